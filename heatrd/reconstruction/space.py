"""The reconstruction law in two and three dimensions, with its certificate.

Three regimes. *Zero rate*: the point mass at the mean already satisfies the certificate. *Backward heat* (ε ≤ ε_c,
deblurred law known): ν is that law on a lattice of spacing 0.75 √ε, whose aliasing error is exp(−2π²/0.75²) = 6e-16.
*Atomic*: an exchange method. An interior point on a lattice gives the shape of ν; clusters of its support are
polished (positions and weights: sweeps of expectation–maximisation, then Newton); from the third round on the convex
problem of local moments around them gives the dual, and a better law where atoms must split; the certificate names
the local maxima of c above 1; those that matter for the bound (excess times the mass of μ around) join the atoms;
weights are re-optimised, useless atoms dropped, close ones merged. The loop ends when the repaired dual proves the
gap asked for.
"""

from __future__ import annotations

import logging
import time
from functools import partial

import numpy as np
from numpy.typing import NDArray

from heatrd.certificate.base import Certificate
from heatrd.certificate.space import SpaceProblem, as_certificate, space_problem
from heatrd.certificate.space_dual import (
    Measured,
    NodalCheck,
    Tilt,
    capped_supremum,
    check_nodes,
    confirmed,
    objective,
)
from heatrd.certificate.supremum import degrees
from heatrd.errors import InvalidInput, TooLarge
from heatrd.laws import DiscreteLaw
from heatrd.quadrature.space import space_nodes
from heatrd.quadrature.tiles import Field, Tiles, make_tiles, squared_distances, thinned
from heatrd.reconstruction.space_interior import optimal_weights, tile_hessian
from heatrd.reconstruction.space_moments import optimal_moments
from heatrd.reconstruction.space_polish import dual_tilt, polish, tile_state
from heatrd.sources import Source

__all__ = ["DEFAULT_TOLERANCE", "MEMORY", "predicted_bytes", "reconstruct"]

FloatArray = NDArray[np.float64]
_log = logging.getLogger(__name__)

DEFAULT_TOLERANCE = {2: 1e-8, 3: 1e-6}
_LATTICE = 0.8  # first lattice, of √ε
MEMORY = 4 * 2**30  # bytes
_MOST_CANDIDATES = 6000
_MOST_ATOMS = 1500
_CYCLES = 40
_RADIUS = 1.3
# the coarse quadrature: spacing, of √ε; nodes lighter than this share of tol are thinned out; to this spacing
_COARSE = {2: (0.42, 0.01, 0.4), 3: (0.5, 0.01, 1.0)}
_STEERING = {2: (0.5, 0.1, 0.4), 3: (0.8, 0.5, 1.0)}  # the one for Hessians, which only steer
_ENOUGH = 0.95  # of tol: gaps under one quadrature that both should confirm
_TILE = 6.0  # side of its tiles in space, √ε: fewer and larger blocks
_APART = 0.1  # √ε: new atoms stand further from all others
_CENTRES = 0.4  # √ε: atoms closer than this share one centre of moments
_REACH = 1.3  # the ball of a centre reaches beyond its atoms by this factor
_HEAVY = 1e-5  # nats: tails that cost more are followed further out, on a wider quadrature that is still sharper
_WIDE = {2: 0.6, 3: 0.7}  # its spacing, of √ε
_TAIL_SHARE = 0.1
_NEWTON_CYCLES = 2  # before the convex problem of moments is called
_MOST_MOMENTS = 3000


def reconstruct(
    source: Source,
    epsilon: float,
    *,
    tol: float | None = None,
    start: DiscreteLaw | None = None,
    seconds: float = 170.0,
) -> tuple[Certificate, str]:
    """Return the best reconstruction law found at ε with its certificate, and the regime.

    Parameters
    ----------
    source : Source
        d = 2 or 3 (the code holds for any d; the cost grows like (range/√ε)^d).
    epsilon : float
        Per-coordinate variance of the backward channel.
    tol : float, optional
        Gap to prove, nats; 1e-8 in two dimensions and 1e-6 beyond when omitted. If it is not reached, the best
        certificate found is returned: look at its ``gap``. Where heavy tails alone cost more, the rest is solved to a
        tenth of what they cost.
    start : DiscreteLaw, optional
        A law to start from, such as the solution at a neighbouring ε.
    seconds : float
        Give up improving after this much processor time of the calling thread.

    Returns
    -------
    certificate : Certificate
    regime : str
        "zero-rate", "backward-heat" or "atomic".

    Raises
    ------
    TooLarge
        The nodes or the lattice would not fit in memory.
    """
    if not (np.isfinite(epsilon) and epsilon > 0):
        raise InvalidInput(f"epsilon={epsilon} must be positive and finite")
    tol = DEFAULT_TOLERANCE.get(source.dim, 1e-6) if tol is None else float(tol)
    deadline = time.thread_time() + seconds
    problem = space_problem(source, epsilon)
    if problem.nodes.tail_energy / epsilon > _HEAVY:
        problem = space_problem(source, epsilon, spacing=_WIDE.get(source.dim, 0.7))
    tol = max(tol, _TAIL_SHARE * problem.nodes.tail_energy / epsilon)
    accuracy = max((0.05 if source.dim == 2 else 0.2) * tol, 2e-13)
    centre = np.zeros((1, source.dim))
    if _may_be_silent(source, problem):
        check = check_nodes(problem.tiles, centre, np.ones(1), accuracy, repair=False, finer=problem.finer)
        if check.gap <= tol:
            return as_certificate(problem, check, centre, np.ones(1)), "zero-rate"
    smooth = _deblurred(source, problem, accuracy)
    if smooth is not None and smooth.gap <= tol:
        return smooth, "backward-heat"
    exchanged = _Exchange(source, problem, tol, accuracy, deadline).run(start)
    if smooth is not None and smooth.gap <= exchanged.gap:
        return smooth, "backward-heat"
    return exchanged, "atomic"


def _may_be_silent(source: Source, problem: SpaceProblem) -> bool:
    """Whether a point mass at the mean could be optimal: the necessary conditions, and c at a few nodes."""
    if problem.tiles.size == 1:
        return True
    if np.linalg.eigvalsh(source.covariance)[-1] > problem.epsilon * (1 + 1e-9):
        return False
    x = problem.tiles.points
    field = Field(problem.tiles, np.log(problem.tiles.weights) + 0.5 * (x**2).sum(axis=1))
    return bool((field.at(x[:: max(1, len(x) // 200)]) <= 1 + 1e-6).all())


def _deblurred(source: Source, problem: SpaceProblem, accuracy: float) -> Certificate | None:
    """The lattice law of the deblurred source, certified; None outside the backward-heat class."""
    law = source.deblurred(problem.epsilon)
    if law is None:
        return None
    for spacing in (0.75, 0.6):
        atoms, weights = _lattice_law(law, problem, spacing)
        if len(atoms) > 60_000:
            return None
        check = check_nodes(problem.tiles, atoms, weights, accuracy, finer=problem.finer, maxima=False)
        if check.gap <= max(20 * accuracy, 1e-11):
            break
    return as_certificate(problem, check, atoms, weights)


def _lattice_law(law: Source, problem: SpaceProblem, spacing: float) -> tuple[FloatArray, FloatArray]:
    """Nodes of ν itself, ``spacing``·√ε apart, as atoms in scaled units."""
    nodes = space_nodes(law, spacing * np.sqrt(problem.epsilon), 1e-15)
    keep = nodes.weights > 1e-17 * nodes.weights.max()
    return problem.scaled(nodes.points[keep]), nodes.weights[keep] / nodes.weights[keep].sum()


class _Exchange:
    """The exchange loop: atoms in, certificate out."""

    def __init__(self, source: Source, problem: SpaceProblem, tol: float, accuracy: float, deadline: float) -> None:
        self.problem, self.tol, self.accuracy, self.deadline = problem, tol, accuracy, deadline
        self.tiles = problem.tiles
        self.dim = source.dim
        self.best: tuple[NodalCheck, FloatArray, FloatArray, Tilt | None] | None = None
        self.judged: FloatArray | None = None
        self.proved: Certificate | None = None
        self.confirmed = False
        self.stale = 0
        self.coarse = self._thinner(source, *_COARSE.get(self.dim, _COARSE[3]))
        self.steering = self._thinner(source, *_STEERING.get(self.dim, _STEERING[3]))
        if self.dim > 2 and self.steering is not self.tiles:
            self.steering = make_tiles(self.steering.points, self.steering.weights, _TILE)
        _log.debug("nodes: %d, coarse %d, steering %d", self.tiles.size, self.coarse.size, self.steering.size)
        half = make_tiles(0.5 * self.tiles.points, self.tiles.weights)
        self.wide = Field(half, np.log(half.weights))
        double = make_tiles(2.0 * self.tiles.points, self.tiles.weights)
        self.narrow = Field(double, np.log(double.weights))

    def _thinner(self, source: Source, spacing: float, light: float, apart: float) -> Tiles:
        """A coarser quadrature, its light nodes thinned out; the given one where that is exact."""
        if self.problem.nodes.exact:
            return self.tiles
        mass = self.problem.nodes.tail_mass
        tiles = space_problem(source, self.problem.epsilon, spacing=spacing, mass=mass, second=False).tiles
        if tiles.size > 0.7 * self.tiles.size:
            tiles = self.tiles
        return thinned(tiles, light * self.tol, apart)

    def mass_around(self, y: FloatArray) -> FloatArray:
        """Mass of μ within about 2√ε of y: what an excess of c there can cost."""
        return np.minimum(self.wide.at(0.5 * y, 1e-30), 1.0)

    def mass_at(self, y: FloatArray) -> FloatArray:
        """Mass of μ within about √ε/2 of y: the order of an atom's weight there."""
        return np.clip(self.narrow.at(2.0 * y, 1e-30), 1e-20, 1.0)

    def run(self, start: DiscreteLaw | None) -> Certificate:
        """Polish, look where c exceeds 1, insert, until the repaired dual proves the tolerance."""
        y, w = self._first_shape() if start is None else self._given(start)
        tiles, settled, worst = self.coarse, False, np.inf
        for cycle in range(_CYCLES):
            convex = cycle >= _NEWTON_CYCLES and self._manageable(len(w))
            y, w, residual = self._polished(tiles, y, w, settled and not convex)
            fine = tiles is self.tiles
            accuracy = self.accuracy if fine else max(self.accuracy, min(1e-2 * worst, 1e-6 if self.dim == 2 else 1e-3))
            tilt = None
            if convex:
                y, w, tilt = self._convex(
                    tiles, y, w, max(0.3 * 0.75**cycle, 0.13), max(0.005 * self.tol, 1e-4 * worst)
                )
            check = capped_supremum(tiles, y, w, accuracy, 0.1 * self.tol, tilt=tilt)
            matter = np.log1p(check.excess) * self.mass_around(check.maxima)
            worst = float(matter.max(initial=0.0))
            _log.debug("%d m=%d residual=%.1e sup=%.2e matter=%.2e", cycle, len(w), residual, check.log, worst)
            late = time.thread_time() > self.deadline
            if not fine:
                if (worst < self.tol and check.log < 1.0) or cycle > 12 or late:
                    if (self._judge(y, w, tilt) and self._confirmed()) or late:
                        break
                    tiles, self.judged, self.best = self.tiles, None, None
            elif worst <= 30 * self.tol or settled or late:
                if self._judge(y, w, tilt) or late:
                    break
            new = self._needed(check.maxima, matter, y)
            settled = len(new) <= 2 or (fine and worst <= 100 * self.tol)
            if len(new):
                y, w = self._insert(tiles, y, w, new, 0.02 * self.tol)
        return self._best(y, w)

    def _manageable(self, atoms: int) -> bool:
        """Whether the convex problem of moments around so many centres is small enough."""
        return (1 + self.dim) * (2 + self.dim) // 2 * atoms <= _MOST_MOMENTS

    def _needed(self, maxima: FloatArray, matter: FloatArray, y: FloatArray) -> FloatArray:
        """Maxima of c that matter and stand apart from the atoms, worst first."""
        take = matter > max(1e-2 * float(matter.max(initial=0.0)), 0.02 * self.tol)
        take &= squared_distances(maxima, y).min(axis=1, initial=np.inf) > _APART**2
        order = np.argsort(-matter * take)
        return maxima[order[: min(int(take.sum()), _MOST_ATOMS - len(y))]]

    def _convex(
        self, tiles: Tiles, y: FloatArray, w: FloatArray, radius: float, tol: float
    ) -> tuple[FloatArray, FloatArray, Tilt]:
        """The dual point of the convex problem around these atoms, and the better of both laws."""
        centres, weights = _merge(y, w, _CENTRES)
        apart = squared_distances(y, centres)
        radii = np.full(len(centres), radius)
        np.maximum.at(radii, apart.argmin(axis=1), _REACH * np.sqrt(apart.min(axis=1)))
        t0 = time.monotonic()
        found = optimal_moments(
            tiles,
            centres,
            weights,
            self.mass_at(centres),
            radii,
            curvature=self.steering,
            tol=tol,
        )
        points, masses = found.law()
        tilt = found.dual()
        given, other, ideal = (
            objective(tiles, y, w),
            objective(tiles, points, masses),
            -float(tiles.weights @ tilt.log_sum(tiles)),
        )
        _log.debug(
            "   moments: %d blocks, tau %.1e %d it %.2fs, F(atoms) - D %.1e, F - D %.1e with %d atoms",
            len(centres),
            found.complementarity,
            found.iterations,
            time.monotonic() - t0,
            given - ideal,
            other - ideal,
            len(masses),
        )
        if given - ideal > max(0.1 * self.tol, 2 * (other - ideal)) and self._manageable(len(masses)):
            y, w = points, masses / masses.sum()
        return y, w, tilt

    def _given(self, start: DiscreteLaw) -> tuple[FloatArray, FloatArray]:
        keep = start.weights > 1e-9
        return self.problem.scaled(start.points[keep]), start.weights[keep]

    def _polished(
        self, tiles: Tiles, y: FloatArray, w: FloatArray, settled: bool
    ) -> tuple[FloatArray, FloatArray, float]:
        result = polish(
            partial(tile_state, tiles, curvature=None if settled else self.steering),
            y,
            w,
            tol=0.05 * self.tol,
            iterations=25 if settled else 18,
            shift=1e-7 if settled else 1e-4,
        )
        return *_merge(result.points, result.weights, 0.02), result.residual

    def _judge(self, y: FloatArray, w: FloatArray, given: Tilt | None) -> bool:
        """Repair the dual, from the one given or from Newton's tilts; keep the best law; whether to stop."""
        if self.judged is not None and np.array_equal(y, self.judged):
            return True
        self.judged = y
        before = np.inf if self.best is None else self.best[0].gap
        enough = _ENOUGH * self.tol
        for damping in (0.0,) if given is not None else (1e-6, 1e-9):
            tilt = dual_tilt(self.tiles, y, w, damping) if given is None else given
            check = check_nodes(self.tiles, y, w, self.accuracy, tilt=tilt, maxima=False, enough=enough)
            _log.debug(
                "   repaired: damping=%.0e gap=%.2e sup=%.2e loss=%.1e",
                damping,
                check.gap,
                check.log_sup_dual,
                check.loss,
            )
            if self.best is None or check.gap < self.best[0].gap:
                self.best = (check, y, w, tilt)
            if not 0.5 * self.tol < check.gap < 10 * self.tol:
                break
        assert self.best is not None
        gap = self.best[0].gap
        self.stale = 0 if gap < 0.5 * before else self.stale + 1
        return gap <= enough or self.stale > 8

    def _confirmed(self) -> bool:
        """Whether the best law holds under both quadratures; its certificate is kept."""
        assert self.best is not None
        check, y, w, tilt = self.best
        enough = max(self.tol, 2 * check.gap)
        self.proved = self._repeated(check, y, w)
        if self.proved.gap > enough:
            afresh = self._certificate(y, w, tilt)
            self.proved = afresh if afresh.gap < self.proved.gap else self.proved
        _log.debug("   under both quadratures: gap=%.2e", self.proved.gap)
        self.confirmed = self.proved.gap <= enough
        return self.confirmed

    def _repeated(self, check: NodalCheck, y: FloatArray, w: FloatArray) -> Certificate:
        """The same law and the same dual under both quadratures."""
        if self.problem.finer is not None:
            measured = Measured(self.tiles, self.problem.finer, y, np.log(w / w.sum()), self.accuracy)
            check = confirmed(measured, check)
        return as_certificate(self.problem, check, y, w)

    def _certificate(self, y: FloatArray, w: FloatArray, tilt: Tilt | None) -> Certificate:
        """Both quadratures, and a dual found with both."""
        check = check_nodes(self.tiles, y, w, self.accuracy, finer=self.problem.finer, tilt=tilt, maxima=False)
        return as_certificate(self.problem, check, y, w)

    def _best(self, y: FloatArray, w: FloatArray) -> Certificate:
        """The certificate of the best law, with both quadratures."""
        if self.proved is not None and self.confirmed:
            return self.proved
        if self.best is None:
            last = self._certificate(y, w, None)
        elif (last := self._repeated(*self.best[:3])).gap > self.tol:
            afresh = self._certificate(*self.best[1:])
            last = afresh if afresh.gap < last.gap else last
        return last if self.proved is None or last.gap < self.proved.gap else self.proved

    def _first_shape(self) -> tuple[FloatArray, FloatArray]:
        """Interior point on a lattice where μ blurred has mass, then clusters."""
        spacing = _LATTICE if self.dim == 2 else 1.2
        tiles = self.steering
        if self.dim > 2:  # the shape needs no tails
            heavy = tiles.weights > 1e-4 * tiles.weights.max()
            tiles = make_tiles(tiles.points[heavy], tiles.weights[heavy] / tiles.weights[heavy].sum())
        y = _near_lattice(tiles, spacing)
        shape = self.mass_around(y)
        keep = shape > (1e-4 if self.dim == 2 else 3e-3) * shape.max()
        y, shape = y[keep], shape[keep]
        self._refuse(len(y), spacing)
        t0 = time.monotonic()
        found = optimal_weights(partial(tile_hessian, tiles, y), shape, shape, tol=1e-6)
        _log.debug(
            "interior point: N=%d M=%d tau=%.1e %d it %.2fs active %d",
            self.coarse.size,
            len(y),
            found.complementarity,
            found.iterations,
            time.monotonic() - t0,
            int(found.active.sum()),
        )
        return _cluster(y[found.active], found.weights[found.active], _RADIUS * spacing)

    def _refuse(self, candidates: int, spacing: float) -> None:
        """Raise `TooLarge`, before allocation, where memory or time would not do."""
        if candidates > _MOST_CANDIDATES:
            raise TooLarge(
                f"the lattice of spacing {spacing}√ε has {candidates} nodes near the source; at most "
                f"{_MOST_CANDIDATES} fit: use a larger epsilon",
                _MOST_CANDIDATES,
            )
        needed = predicted_bytes(self.problem, self.coarse, candidates, self.accuracy)
        if needed > MEMORY:
            raise TooLarge(
                f"about {needed / 2**30:.1f} GiB would be needed at epsilon={self.problem.epsilon:g}; "
                f"{MEMORY / 2**30:g} GiB are allowed: use a larger epsilon or a larger tol",
                MEMORY,
            )

    def _insert(
        self, tiles: Tiles, y: FloatArray, w: FloatArray, new: FloatArray, tol: float
    ) -> tuple[FloatArray, FloatArray]:
        """Add atoms, re-optimise all weights, drop what got none."""
        points = np.concatenate([y, new])
        mass = self.mass_at(points)
        weights = np.concatenate([w, 0.05 * mass[len(w) :]])
        t0 = time.monotonic()
        found = optimal_weights(partial(tile_hessian, tiles, points), weights, mass, tol=tol)
        keep = found.active
        _log.debug(
            "   insert %d, dropped %d+%d, tau %.1e %d it %.2fs",
            len(new),
            int((~keep[: len(w)]).sum()),
            int((~keep[len(w) :]).sum()),
            found.complementarity,
            found.iterations,
            time.monotonic() - t0,
        )
        return points[keep], found.weights[keep]


def predicted_bytes(problem: SpaceProblem, coarse: Tiles, candidates: int, accuracy: float) -> int:
    """Peak memory of the exchange, bytes: quadratures, Newton systems of weights and of atoms, the scan of c.

    Two or three matrices of each kind live at once; a scan keeps the values of its cells three times over.
    """
    dim, tiles = problem.tiles.dim, problem.tiles
    nodes = tiles.size + coarse.size + (0 if problem.finer is None else problem.finer.size)
    atoms = (1 + dim) * min(candidates, _MOST_ATOMS)
    n, _, _ = degrees(accuracy, dim)
    occupied = np.unique(np.floor(tiles.points / 2.0).astype(np.int64), axis=0)
    values = 3**dim * len(occupied) * n**dim if len(occupied) < 64 else 2 * len(occupied) * n**dim
    return 8 * (12 * (dim + 2) * nodes + 3 * candidates**2 + 4 * atoms**2 + 3 * values)


def _near_lattice(tiles: Tiles, spacing: float) -> FloatArray:
    """Lattice nodes in or next to the tiles' boxes."""
    out = []
    for low, high in zip(tiles.low, tiles.high):
        axes = [np.arange(np.floor(a / spacing), np.ceil(b / spacing) + 1) for a, b in zip(low, high)]
        out.append(np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1).reshape(-1, tiles.dim))
    return np.asarray(spacing * np.unique(np.concatenate(out).astype(np.int64), axis=0))


def _cluster(y: FloatArray, w: FloatArray, radius: float) -> tuple[FloatArray, FloatArray]:
    """Greedy clusters around the heaviest nodes, replaced by their centres of mass."""
    order = np.argsort(-w, kind="stable")
    free = np.ones(len(w), dtype=bool)
    points, weights = [], []
    for j in order:
        if not free[j]:
            continue
        group = np.flatnonzero(free & (((y - y[j]) ** 2).sum(axis=1) < radius**2))
        free[group] = False
        total = w[group].sum()
        points.append(w[group] @ y[group] / total)
        weights.append(total)
    return np.array(points), np.array(weights)


def _merge(y: FloatArray, w: FloatArray, radius: float) -> tuple[FloatArray, FloatArray]:
    """Replace pairs closer than ``radius`` by their centres of mass."""
    keep = w > 1e-15
    return _cluster(y[keep], w[keep], radius)
