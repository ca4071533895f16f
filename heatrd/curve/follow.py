"""A solution carried along ε: path following on the central path of a fixed, small barrier.

At fixed barrier τ the conditions (weights ν, slacks s, positions of the free atoms)

    1 − c_j = s_j,    ν_j s_j = τ e_j,    c′(y_j) = 0 at free atoms

have a solution that moves smoothly with ε, through births and splittings of atoms too. From one ε to the next it is
extrapolated (second order in log ε) and corrected by one or two Newton steps, on a quadrature just fine enough; the
certificate (DESIGN (2)) then proves what it is worth. Where c ≈ 1 over more than a fraction of √ε, ν stands on a
lattice, whose weights alone move; elsewhere it is made of free atoms. When the certificate complains, the division is
made afresh, an atom on a minimum of c is split, and one is inserted at each maximum above one.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from heatrd.certificate.base import Certificate
from heatrd.certificate.cells import CertificateFunction
from heatrd.certificate.line import LineBounds, bound_lagrangian, evaluate_potential
from heatrd.kernels import line as kernels
from heatrd.laws import DiscreteLaw
from heatrd.quadrature.line_measure import LineMeasure
from heatrd.reconstruction.interior_point import Nodes, join, lattice, longest_step, solve_nodes
from heatrd.reconstruction.line import LineProblem
from heatrd.reconstruction.polish import polish

__all__ = ["Follower"]

FloatArray = NDArray[np.float64]
BoolArray = NDArray[np.bool_]

_BARRIER = 0.03  # τ, as a share of the tolerance
_ACCEPTED = 0.4  # gap of a good point, as a share of the tolerance
_LATTICE = 0.4  # spacing of lattice nodes, in √ε
_START = 0.25  # spacing of the first lattice
_FLAT = 0.2  # c may change by this share of the tolerance from a lattice node to the next
_ACTIVE = 0.1  # share of the envelope from which on a node counts
_APART = 0.7  # nodes farther apart than this (in √ε) belong to different groups
_PANEL, _FINER = 4.0, 2.8  # panels of the quadrature, in √ε, and of the second one that checks it
_STRIDE = 0.05  # longest step in log ε without a point in between
_MOST_NODES = 12_000
_REACH = 8.5
_ATTEMPTS = 4
_LOOSE = 1e-3  # first slack after a division
_HALVINGS = 5
_RANGE = 1.5  # a lattice, or a quadrature, serves ε over this factor


@dataclass(frozen=True, slots=True, eq=False)
class _System:
    """c and its derivatives (units of √ε) at the nodes; the band of the Gauss–Newton matrix, with the place of each
    weight in it (a free position follows its weight)."""

    c: FloatArray
    c1: FloatArray
    c2: FloatArray
    free: BoolArray
    weight: NDArray[np.int64]
    band: FloatArray

    @classmethod
    def at(cls, measure: LineMeasure, y: FloatArray, nu: FloatArray, free: BoolArray, root: float) -> _System:
        low, high = kernels.windows(measure.x, y, root, _REACH)
        c, c1, c2 = np.empty(y.size), np.empty(y.size), np.empty(y.size)
        column = np.concatenate([[0], np.cumsum(1 + free)])
        band = np.zeros((int(column[-1]), int((column[high] - column[low]).max())))
        nothing = np.full(measure.x.size, -np.inf)
        kernels.newton_system(measure.x, measure.mass, y, np.log(nu), nothing, root, low, high, column, band, c, c1, c2)
        return cls(c, c1, c2, free, column[:-1], band)

    def residual(self, slack: FloatArray) -> float:
        """Largest violation of 1 − c = s and, at free atoms, of c′ = 0."""
        return max(float(np.max(np.abs(1 - self.c - slack))), float(np.max(np.abs(self.c1[self.free]), initial=0.0)))

    def step(
        self, nu: FloatArray, slack: FloatArray, tau: FloatArray, damping: float
    ) -> tuple[FloatArray, FloatArray, FloatArray] | None:
        """Newton step of weights, positions (units of √ε) and slacks; None where the matrix cannot be factored."""
        factor = self._factor(slack, damping)
        if factor is None:
            return None
        free, scale = self.free, np.sqrt(nu)
        right = np.empty(factor.shape[0])
        right[self.weight] = scale * (self.c - 1 + tau / nu)
        right[self.weight[free] + 1] = (scale * self.c1)[free]
        kernels.band_solve(factor, right)
        dnu, move = scale * right[self.weight], np.zeros(nu.size)
        move[free] = right[self.weight[free] + 1] / scale[free]
        return dnu, move, (tau - nu * slack - slack * dnu) / nu

    def _factor(self, slack: FloatArray, damping: float) -> FloatArray | None:
        """Cholesky factor of the matrix with damped positions; of its Gauss–Newton part where it is not definite."""
        weight, position = self.weight[self.free], self.weight[self.free] + 1
        curvature = np.maximum(-self.c2[self.free], 0.0)
        for damp, mixed in ((damping, 1.0), (30 * damping, 1.0), (1e3 * damping, 1.0), (1e3 * damping, 0.0)):
            band = self.band.copy()
            band[self.weight, 0] += slack
            if position.size:
                band[position, 0] += curvature + damp
                band[weight, 1] -= mixed * self.c1[self.free]
            if kernels.band_cholesky(band):
                return band
        return None


class Follower:
    """One solution on the line, carried from ε to ε.

    Parameters
    ----------
    problem : LineProblem
    tol : float
        Width of the band that the points are for, nats; their gap is at most 0.4 of it.
    epsilon : float
        Where to start, with a solution on a lattice.
    """

    def __init__(self, problem: LineProblem, tol: float, epsilon: float) -> None:
        self.problem, self.tol = problem, tol
        self.quadrature = problem.quadrature
        self.certificates = 0
        self._made_for = math.nan
        self._here = problem.standard(epsilon)
        self._gridded = math.inf
        self._past: list[tuple[float, Nodes]] = []
        self._nodes: Nodes

    @property
    def able(self) -> bool:
        """Whether this source at this ε is small enough to be followed."""
        return self.quadrature.count(self._here, _PANEL) <= _MOST_NODES

    def at(self, epsilon: float) -> Certificate | None:
        """Go to another ε and prove what is found there; None where the solution is lost."""
        target = self.problem.standard(epsilon)
        self._discretise(min(target, self._here))
        if not math.isfinite(self._gridded):
            self._begin()
        bounds = self._go(target, _HALVINGS)
        return None if bounds is None else self._certificate(epsilon, bounds)

    # -- one ε -------------------------------------------------------------------------------------

    def _go(self, target: float, halvings: int) -> LineBounds | None:
        """One step to ``target``, or two halves of it where that fails."""
        before = self._here, self._nodes, self._past, self._gridded
        ratio = abs(math.log(target / self._here))
        bounds = self._proved(target) if ratio <= _STRIDE else None
        if bounds is not None or halvings == 0:
            return bounds
        self._here, self._nodes, self._past, self._gridded = before
        if self._go(math.sqrt(self._here * target), halvings - 1) is None:
            return None
        return self._go(target, halvings - 1)

    def _begin(self) -> None:
        """Solve on a lattice over the hull of the core."""
        x = self._measure.x
        points = lattice(float(x[0]), float(x[-1]), self._here, _START)
        gap = _BARRIER * self.tol
        self._nodes = solve_nodes(x, self._measure.mass, points, self._here, gap=gap)
        self._divide(self._here)

    def _discretise(self, eps: float) -> None:
        if not eps >= self._made_for or eps > _RANGE * self._made_for:
            self._made_for = eps / math.sqrt(_RANGE)
            self._measure = self.quadrature.measure(self._made_for, _PANEL)
            self._finer = self.quadrature.measure(self._made_for, _FINER)

    def _proved(self, eps: float) -> LineBounds | None:
        """Correct and certify at ε, with repairs where the certificate asks for them."""
        if self._gridded > _RANGE * eps:
            self._divide(eps)
        for _ in range(_ATTEMPTS):
            found = self._centre(eps, self._predicted(eps))
            if found is None and len(self._past) > 1:
                found = self._centre(eps, self._nodes)
            if found is None:
                self._divide(eps)
                continue
            bounds = self._bounds(found, eps)
            if bounds.gap <= _ACCEPTED * self.tol:
                self._accept(eps, found)
                return bounds
            divided = self._gridded == eps and not self._past
            self._nodes, self._past = found, []
            if divided or found.free.all():
                self._nodes = _with_peaks(found, bounds.function, eps, self.tol)
            else:
                self._divide(eps)
        return None

    def _accept(self, eps: float, nodes: Nodes) -> None:
        self._nodes, self._here = nodes, eps
        self._past = [*self._past[-2:], (eps, nodes)]

    def _predicted(self, eps: float) -> Nodes:
        """Extrapolate positions, log-weights and log-slacks in log ε."""
        now, past = self._nodes, self._past
        if len(past) < 2:
            return now
        t = np.log([e for e, _ in past])
        weights = [np.prod([(math.log(eps) - b) / (a - b) for b in t if b != a]) for a in t]
        y, nu, slack = (
            sum(w * value(nodes) for w, (_, nodes) in zip(weights, past, strict=True))
            for value in (lambda n: n.y, lambda n: np.log(n.nu), lambda n: np.log(n.slack))
        )
        if np.any(np.diff(y) <= 0):
            return now
        return Nodes(y, _near(now.nu, nu), now.envelope, _near(now.slack, slack), now.free)

    def _centre(self, eps: float, start: Nodes) -> Nodes | None:
        """Newton to the point of the central path; None where it does not converge."""
        y, nu, slack, free = start.y, start.nu, start.slack, start.free
        tau = _BARRIER * self.tol * start.envelope
        root = math.sqrt(eps)
        for done in range(31 if len(self._past) < 2 else 9):
            system = _System.at(self._measure, y, nu, free, root)
            residual = system.residual(slack)
            if not math.isfinite(residual):
                return None
            if residual <= 0.1 * self.tol and float(np.max(nu * slack / tau)) < 4:
                return Nodes(y, nu, start.envelope, slack, free, residual, done)
            step = system.step(nu, slack, tau, _BARRIER * self.tol)
            if step is None:
                return None
            dnu, move, dslack = step
            a = min(1.0, 0.99 * longest_step(nu, dnu), 0.3 / max(float(np.max(np.abs(move))), 1e-300))
            y, nu = y + a * root * move, nu + a * dnu
            slack = np.maximum(slack + min(1.0, 0.99 * longest_step(slack, dslack)) * dslack, 1e-18)
            if np.any(np.diff(y) <= 0):
                return None
        return None

    def _divide(self, eps: float) -> None:
        """Divide the support afresh into free atoms and lattice."""
        kept = self._nodes.take(self._nodes.nu > _ACTIVE * self._nodes.envelope)
        kept = kept if kept.y.size else self._nodes
        root = math.sqrt(eps)
        first = np.flatnonzero(np.concatenate([[True], np.diff(kept.y) > _APART * root]))
        last = np.concatenate([first[1:], [kept.y.size]]) - 1
        total = np.add.reduceat(kept.nu, first)
        centre = np.add.reduceat(kept.nu * kept.y, first) / total
        narrow = kept.y[last] - kept.y[first] <= 1.05 * root
        atom = narrow & (_change(self._measure, kept, centre, root) > _FLAT * self.tol)
        barrier = np.full(total.size, _BARRIER * self.tol)
        atoms = Nodes(centre, total, total, barrier, np.ones(total.size, bool)).take(atom)
        rest = kept.take(np.repeat(~atom, last - first + 1))
        start = join(atoms, self._lattice(rest, kept.y[first[~atom]], kept.y[last[~atom]], atoms.y, root))
        self._past, self._gridded = [], eps
        found = polish(
            self._measure.x,
            self._measure.mass,
            start,
            eps,
            residual=_BARRIER * self.tol,
            slack_start=_LOOSE,
            iterations=40,
        )
        self._nodes = found if math.isfinite(found.residual) else start

    def _lattice(self, rest: Nodes, low: FloatArray, high: FloatArray, atoms: FloatArray, root: float) -> Nodes:
        """Lattice nodes around the groups that span [low, high], away from the atoms, with the groups' weights."""
        step = _LATTICE * root
        places = [np.arange(math.ceil((a - 1.5 * root) / step), math.floor((b + 1.5 * root) / step) + 1)
                  for a, b in zip(low, high, strict=True)]  # fmt: skip
        grid = step * np.unique(np.concatenate([np.zeros(0, int), *places]))
        fence = np.concatenate([[-math.inf], atoms, [math.inf]])
        after = np.searchsorted(fence, grid)
        clear = np.minimum(grid - fence[after - 1], fence[after] - grid) > 0.8 * root
        grid = grid[clear & (grid >= self._measure.x[0]) & (grid <= self._measure.x[-1])]
        if grid.size < 2:
            return rest
        weight = np.zeros(grid.size)
        left = np.clip(np.searchsorted(grid, rest.y) - 1, 0, grid.size - 2)
        share = np.clip((rest.y - grid[left]) / (grid[left + 1] - grid[left]), 0.0, 1.0)
        np.add.at(weight, left, rest.nu * (1 - share))
        np.add.at(weight, left + 1, rest.nu * share)
        envelope = self._mass_near(grid, root) * 0.5 * _LATTICE
        nu = np.maximum(weight, 1e-2 * envelope)
        return Nodes(grid, nu, envelope, np.full(grid.size, 0.1 * self.tol), np.zeros(grid.size, bool))

    def _mass_near(self, points: FloatArray, root: float) -> FloatArray:
        """Mass of μ within √ε of the points."""
        x, total = self._measure.x, np.cumsum(self._measure.mass)
        both = np.interp(points + root, x, total) - np.interp(points - root, x, total, left=0.0)
        return np.maximum(both, 1e-280)

    # -- proof ---------------------------------------------------------------------------------------

    def _bounds(self, nodes: Nodes, eps: float) -> LineBounds:
        self.certificates += 1
        self._y, self._w = _completed(self._measure, nodes)
        return bound_lagrangian(self._measure, self._y, self._w, eps, 0.1 * self.tol, repair=False)

    def _certificate(self, epsilon: float, bounds: LineBounds) -> Certificate:
        """Carry the difference between the two quadratures in the bounds."""
        problem, measure = self.problem, self._measure
        eps, scale, shift = problem.standard(epsilon), problem.scale, problem.shift
        values = [-float(np.sum(m.mass * evaluate_potential(m.x, self._y, self._w, eps)[0]))
                  for m in (measure, self._finer)]  # fmt: skip
        defect = max(measure.defect, self._finer.defect)
        error = abs(values[1] - values[0]) + (2 * defect if defect > 2e-14 else 0.0)
        points = np.concatenate([measure.x, measure.tails.centre])
        masses = np.concatenate([measure.mass, measure.tails.mass])
        return Certificate(
            epsilon=float(epsilon),
            lagrangian=bounds.upper + error,
            lagrangian_lower=bounds.lower - error,
            distortion=bounds.distortion * scale * scale,
            log_sup=bounds.log_sup,
            discretisation=error,
            law=DiscreteLaw((shift + scale * self._y)[:, None], self._w / self._w.sum()),
            quadrature=DiscreteLaw((shift + scale * points)[:, None], masses / masses.sum()),
        )


def _near(value: FloatArray, log: FloatArray) -> FloatArray:
    """exp(log), at most a factor e from ``value``."""
    base = np.log(value)
    return np.asarray(np.exp(np.clip(log, base - 1, base + 1)))


def _completed(measure: LineMeasure, nodes: Nodes) -> tuple[FloatArray, FloatArray]:
    """Points and weights with an atom per tail cell, sorted; the nodes scaled to the mass of the core."""
    inside = 1.0 - measure.tails.total
    y = np.concatenate([nodes.y, measure.tails.centre])
    w = np.concatenate([nodes.nu * (inside / nodes.nu.sum()), measure.tails.mass])
    order = np.argsort(y, kind="stable")
    return y[order], w[order]


def _change(measure: LineMeasure, nodes: Nodes, points: FloatArray, root: float) -> FloatArray:
    """Largest change of c from a point to a lattice spacing beside it."""
    logz, _ = evaluate_potential(measure.x, nodes.y, nodes.nu, root * root)
    beside = (points[:, None] + _LATTICE * root * np.array([-1.0, 0.0, 1.0])).ravel()
    c = np.empty((beside.size, 1))
    kernels.moments_at(beside, measure.x, np.log(measure.mass) - logz, root, 9.0, 0.0, c)
    left, middle, right = c.reshape(-1, 3).T
    return np.asarray(np.maximum(np.abs(middle - left), np.abs(middle - right)))


def _with_peaks(nodes: Nodes, function: CertificateFunction, eps: float, tol: float) -> Nodes:
    """Split free atoms beside a maximum of c above one; insert an atom at the other maxima."""
    root = math.sqrt(eps)
    padded = np.concatenate([[-np.inf], function.best, [-np.inf]])
    high = (function.best > 1 + 0.1 * tol) & (function.best >= padded[:-2]) & (function.best >= padded[2:])
    split: set[int] = set()
    new: list[tuple[float, float, float]] = []
    for place in function.at[high].tolist():
        nearest = int(np.argmin(np.abs(nodes.y - place)))
        y, nu, envelope = (float(v[nearest]) for v in (nodes.y, nodes.nu, nodes.envelope))
        distance = abs(y - place)
        if distance <= 1e-4 * root or nearest in split:
            continue
        if nodes.free[nearest] and distance < 0.9 * root:
            split.add(nearest)
            new += [(y - distance, 0.5 * nu, envelope), (y + distance, 0.5 * nu, envelope)]
        else:
            after = min(max(int(np.searchsorted(nodes.y, place)), 1), nodes.y.size - 1)
            local = float(min(nodes.nu[after - 1], nodes.nu[after]))
            new.append((place, 1e-3 * local, 1e-2 * local))
    if not new:
        return nodes
    keep = np.ones(nodes.y.size, bool)
    keep[list(split)] = False
    y, nu, envelope = np.array(new).T
    return join(nodes.take(keep), Nodes(y, nu, envelope, np.full(y.size, 0.1 * tol), np.ones(y.size, bool)))
