"""Knots between two solved points, for the price of a few Newton steps or of a certificate.

On the line the solution at the larger ε is carried towards the smaller one (`follow`), in steps that make the band as
wide as asked: its width falls with the square of the step. Elsewhere, and where that fails, a law certified at an ε
that it was not made for costs no solve. Between solutions at ε_a > ε_b the candidates are

* the mixture of both neighbours, F convex in ν: an excess of second order in their distance;
* on the line their interpolation of third order, together with the next solutions on either side: Z = Σ_k ℓ_k(log ε)
  k∗ν_k is no law's potential any more, but 1/Z is a dual point (DESIGN (2)), and proves a lower bound of fourth order;
* a solve started from the nearest law, when both fail.

`refine` depends on nothing but its arguments, so that a sweep gives the same bytes in any order, on any number of
workers.
"""

from __future__ import annotations

import itertools
import math
import threading
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from heatrd.certificate.base import Certificate
from heatrd.certificate.line import bound_potential, evaluate_potential
from heatrd.certificate.radial import RadialLaw
from heatrd.curve.band import Band, Knots
from heatrd.curve.follow import Follower
from heatrd.curve.records import fingerprint, pack_solution, unpack_solution
from heatrd.errors import HeatrdError, InvalidInput
from heatrd.laws import DiscreteLaw
from heatrd.reconstruction.dispatch import Solve, certify_law, solver_for
from heatrd.reconstruction.line import LineProblem
from heatrd.solution import Solution
from heatrd.sources import Source, Source1D

__all__ = ["Between", "Knot", "pieces_between", "refine", "solver"]

FloatArray = NDArray[np.float64]

_GAP = 0.125  # gap asked of a solve, as a share of the tolerance of the band
_ENOUGH = 0.4  # gap that is good enough for a knot that costs no solve
_USELESS = 4.0  # gap of a mixture, in tolerances, after which none of neighbours as far apart is tried
_AIM = 0.55  # width aimed at, as a share of the tolerance
_MOST_PIECES = 64
_DEPTH = 12
_LONGEST = 0.16  # step in log ε
_FEW = 5  # pieces of an interval from which on it is followed
_LOST = 3  # solves after which an interval is no longer followed


@dataclass(frozen=True, slots=True, eq=False)
class Knot:
    """What one certificate proves: ε, L⁺, L⁻ (nats), D, and the law."""

    epsilon: float
    upper: float
    lower: float
    distortion: float
    law: DiscreteLaw
    error: float = 0.0

    @classmethod
    def of(cls, c: Certificate) -> Knot:
        """Keep the numbers and the law of a certificate."""
        return cls(c.epsilon, c.lagrangian, c.lagrangian_lower, c.distortion, c.law, c.discretisation)

    @property
    def gap(self) -> float:
        return self.upper - self.lower

    @property
    def row(self) -> tuple[float, float, float, float]:
        return self.epsilon, self.upper, self.lower, self.distortion


@dataclass(frozen=True, slots=True, eq=False)
class Between:
    """Rows (ε, L⁺, L⁻, D) of the knots found in an interval; effort; whether the band there is narrow enough.

    ``solves`` counts solves, ``certificates`` certificates (with or without a few Newton steps before); ``marked`` are
    the points at the ε that were to be kept.
    """

    rows: FloatArray
    solves: int
    certificates: int
    reached: bool
    marked: tuple[Solution, ...] = ()

    def pack(self) -> tuple[dict[str, Any], dict[str, NDArray[Any]]]:
        """Return header and arrays for a file."""
        packed = [pack_solution(point) for point in self.marked]
        arrays = {f"{i}/{name}": part for i, (_, parts) in enumerate(packed) for name, part in parts.items()}
        header = {
            "solves": self.solves,
            "certificates": self.certificates,
            "reached": self.reached,
            "marked": [about for about, _ in packed],
        }
        return header, {"rows": self.rows, **arrays}

    @classmethod
    def unpack(cls, source: Source, header: dict[str, Any], arrays: dict[str, NDArray[Any]]) -> Between:
        """Rebuild what `pack` gave.

        Raises
        ------
        InvalidInput
            Entries are missing, of wrong shape, or not numbers.
        """
        try:
            rows = np.asarray(arrays["rows"], dtype=float)
            if rows.ndim != 2 or rows.shape[1] != 4 or not np.isfinite(rows).all():
                raise ValueError("rows")
            parts = [
                {name.removeprefix(f"{i}/"): part for name, part in arrays.items() if name.startswith(f"{i}/")}
                for i in range(len(header["marked"]))
            ]
            marked = tuple(unpack_solution(source, h, p) for h, p in zip(header["marked"], parts, strict=True))
            return cls(rows, int(header["solves"]), int(header["certificates"]), bool(header["reached"]), marked)
        except (KeyError, TypeError, ValueError) as error:
            raise InvalidInput(f"the file's interval is damaged: {error}") from None


_SOLVERS: OrderedDict[tuple[str, float], Solve] = OrderedDict()
_LOCK = threading.Lock()


def solver(source: Source, tol: float) -> Solve:
    """Return the solver of a source, kept for the next call in this process."""
    key = (fingerprint(source), tol)
    with _LOCK:
        found = _SOLVERS.get(key)
    if found is None:
        found = solver_for(source, tol)
        with _LOCK:
            _SOLVERS[key] = found
            while len(_SOLVERS) > 8:
                _SOLVERS.popitem(last=False)
    return found


def refine(
    source: Source,
    left: Knot,
    right: Knot,
    tol: float,
    beyond: tuple[Knot, ...] = (),
    marks: tuple[float, ...] = (),
    follow: bool = True,
) -> Between:
    """Insert knots between two (``left`` at the larger ε) until the band between them is narrower than ``tol``.

    Parameters
    ----------
    source : Source
    left, right : Knot
    tol : float
        Nats.
    beyond : tuple of Knot
        Solved points next to the interval, for interpolation.
    marks : tuple of float
        ε strictly between, decreasing, at which the certificates are to be kept where the solution is followed.
    follow : bool
        Carry the solution of ``left`` along, where that is possible.
    """
    worker = _Worker(source, tol, (left, right, *beyond))
    chain = worker.followed(left, right, marks) if follow else None
    if chain is None:
        chain = [left, right]
    reached = all([worker.between(a, b, 0) for a, b in worker.too_wide(chain)])
    rows = np.array([knot.row for knot in worker.knots], dtype=float).reshape(-1, 4)
    return Between(rows, worker.solves, worker.certificates, reached, tuple(worker.marked))


def _width(source: Source, left: Knot, right: Knot) -> float:
    """Width of the band between two knots, from them alone."""
    low, high = min(left.distortion, right.distortion), max(left.distortion, right.distortion)
    if not high > low > 0:
        return 0.0
    band = Band(Knots.sorted(*np.array([left.row, right.row]).T), source.total_variance, source.dim)
    inner = np.concatenate([np.linspace(low, high, 17), band.crossings()])
    inner = inner[(inner >= low) & (inner <= high)]
    return float(band.width(inner).max())


def pieces_between(source: Source, left: Knot, right: Knot, tol: float) -> int:
    """Return how many pieces make the band as narrow as ``tol``: its width falls with their square."""
    return math.ceil(math.sqrt(_width(source, left, right) / (_AIM * tol)))


class _Worker:
    def __init__(self, source: Source, tol: float, bases: tuple[Knot, ...]) -> None:
        self.source, self.tol, self.bases = source, tol, list(bases)
        self.solve = solver(source, _GAP * tol)
        self.line = self.solve if isinstance(self.solve, LineProblem) else None
        self.knots: list[Knot] = []
        self.marked: list[Solution] = []
        self.solves = self.certificates = 0
        self.too_far = math.inf  # ratio of ε of neighbours whose mixture was of no use

    # -- following -----------------------------------------------------------------------------------

    def followed(self, left: Knot, right: Knot, marks: tuple[float, ...]) -> list[Knot] | None:
        """Carry the solution of ``left`` to ``right``; None where that cannot be done."""
        if self.line is None or pieces_between(self.source, left, right, self.tol) < _FEW:
            return None
        self._path = Follower(self.line, self.tol, left.epsilon)
        if not self._path.able:
            return None
        self._lost = 0
        chain, step = [left], math.sqrt(4 * self.tol / self.source.dim)
        for target in (*marks, right.epsilon):
            while chain[-1].epsilon > target:
                room = math.log(chain[-1].epsilon / target)
                pieces = math.ceil(room / min(step, _LONGEST) - 1e-6)
                final = pieces <= 1
                if final and target == right.epsilon:
                    chain += [*self._filled(chain[-1], right, 0), right]
                    break
                epsilon = target if final else chain[-1].epsilon * math.exp(-room / pieces)
                knot = self._carried(epsilon, keep=final)
                if knot is None:
                    return [*chain, right]
                width = self._pair_width(chain[-1], knot)
                gap = min(max(chain[-1].gap, knot.gap), 0.5 * self.tol)
                growth = math.sqrt(max(0.85 * self.tol - gap, 0.1 * self.tol) / max(width - gap, 1e-3 * self.tol))
                step = (room / pieces) * min(max(growth, 0.4), 1.6)
                chain += [*self._filled(chain[-1], knot, 0), knot]
        return chain

    def _filled(self, left: Knot, right: Knot, depth: int) -> list[Knot]:
        """Knots on the path between two that are too far apart."""
        if depth > 3 or self._pair_width(left, right) <= 0.97 * self.tol:
            return []
        knot = self._carried(math.sqrt(left.epsilon) * math.sqrt(right.epsilon), keep=False)
        if knot is None:
            return []
        return [*self._filled(left, knot, depth + 1), knot, *self._filled(knot, right, depth + 1)]

    def _carried(self, epsilon: float, keep: bool) -> Knot | None:
        """The next knot on the path; a solve where the path is lost, and None when that was too often."""
        before = self._path.certificates
        certificate, regime = self._path.at(epsilon), "atomic"
        self.certificates += self._path.certificates - before
        if certificate is None:
            self._lost += 1
            if self._lost > _LOST or self.line is None:
                return None
            self.solves += 1
            certificate, regime = self.solve(epsilon, None)
            self._path = Follower(self.line, self.tol, epsilon)
        return self._kept(certificate, regime, keep)

    def _pair_width(self, left: Knot, right: Knot) -> float:
        """About the width of the band between two knots near each other: chord over tangents, or the change of E."""
        dim, a, b = self.source.dim, 0.5 / left.epsilon, 0.5 / right.epsilon
        if not left.distortion > right.distortion:
            return left.gap + right.gap
        meet = (right.lower - left.lower) / (b - a)
        high, low = left.upper - a * left.distortion, right.upper - b * right.distortion
        chord = high + (low - high) * (left.distortion - meet) / (left.distortion - right.distortion)
        change = left.upper - right.lower + 0.5 * dim * math.log(left.epsilon / right.epsilon)
        short = (dim * right.epsilon - right.distortion) / (left.distortion - right.distortion)
        width = chord - (left.lower - a * meet)
        return max(min(width, max(change, 4 * width * short * short)), left.gap, right.gap)

    def _kept(self, certificate: Certificate, regime: str, keep: bool) -> Knot:
        knot = Knot.of(certificate)
        self.knots.append(knot)
        if keep:
            self.marked.append(Solution(self.source, certificate, regime, certificate.distortion, self.tol, 0, 0.0))
        return knot

    def too_wide(self, chain: list[Knot]) -> list[tuple[Knot, Knot]]:
        """Neighbours between which the band of the whole chain is wider than asked."""
        d = np.array([k.distortion for k in chain])
        if not (d > 0).all():
            return []
        band = Band(Knots.sorted(*np.array([k.row for k in chain]).T), self.source.total_variance, self.source.dim)
        low, high = float(d.min()), float(d.max())
        probes = np.unique(np.concatenate([*np.linspace(d[1:], d[:-1], 5), band.crossings()]))
        probes = probes[(probes >= low) & (probes <= high)]
        wide = probes[band.width(probes) > self.tol]
        return [
            (a, b)
            for a, b in itertools.pairwise(chain)
            if np.any((wide >= min(a.distortion, b.distortion)) & (wide <= max(a.distortion, b.distortion)))
        ]

    # -- elsewhere -----------------------------------------------------------------------------------

    def between(self, left: Knot, right: Knot, depth: int) -> bool:
        width = _width(self.source, left, right)
        if width <= self.tol:
            return True
        ratio = math.log(left.epsilon / right.epsilon)
        if depth >= _DEPTH or ratio < 1e-9:
            return False
        pieces = min(max(2, pieces_between(self.source, left, right, self.tol)), _MOST_PIECES)
        chain = [left]
        for j in range(1, pieces):
            epsilon = left.epsilon * math.exp(-ratio * j / pieces)
            knot = self.at(epsilon, chain[-1], right)
            self.knots.append(knot)
            chain.append(knot)
        chain.append(right)
        if max(k.gap for k in chain) > 0.6 * self.tol:
            return False
        return all([self.between(a, b, depth + 1) for a, b in itertools.pairwise(chain)])

    def at(self, epsilon: float, near: Knot, far: Knot) -> Knot:
        """The cheapest knot at ε that is good enough, else the best."""
        best: Knot | None = None
        for candidate in (
            self._mixed(epsilon, near, far),
            lambda found: self._interpolated(epsilon, found),
        ):
            knot = candidate(best)
            if knot is None:
                continue
            self.certificates += 1
            if best is None or knot.gap < best.gap:
                best = knot
            if best.gap <= _ENOUGH * self.tol:
                return best
        self.solves += 1
        try:
            knot = Knot.of(self.solve(epsilon, near.law)[0])
        except HeatrdError:
            if best is None:
                raise
            return best
        if knot.gap <= _GAP * self.tol:
            self.bases.append(knot)
        return knot if best is None or knot.gap < best.gap else best

    def _interpolated(self, epsilon: float, best: Knot | None) -> Knot | None:
        """The best knot so far with a lower bound from the interpolated potential."""
        problem = self.line
        bases = sorted(self.bases, key=lambda k: abs(math.log(k.epsilon / epsilon)))[:4]
        if problem is None or best is None or len(bases) < 3:
            return None
        eps = problem.standard(epsilon)
        measure = problem.quadrature.measure(eps, 0.5)
        weights = _lagrange(math.log(epsilon), np.log([k.epsilon for k in bases]))
        z = np.zeros(measure.x.size)
        reference = np.zeros(measure.x.size)
        for k, (weight, base) in enumerate(zip(weights, bases)):
            y, w = _atoms(problem, base.law)
            logz, _ = evaluate_potential(measure.x, y, w, eps)
            if k == 0:
                reference = logz
            z += weight * np.exp(logz - reference)
        if not (z > 0).all():
            return None
        lower = bound_potential(measure, reference + np.log(z), eps, self.tol) - 2 * best.error
        return Knot(best.epsilon, best.upper, max(lower, best.lower), best.distortion, best.law, best.error)

    def _mixed(self, epsilon: float, near: Knot, far: Knot) -> Callable[[Knot | None], Knot | None]:
        def candidate(_: Knot | None) -> Knot | None:
            apart = math.log(near.epsilon / far.epsilon)
            if apart > self.too_far:
                return None
            t = (near.epsilon - epsilon) / (near.epsilon - far.epsilon)
            law = _mixture(near.law, far.law, t)
            if law is None:
                return None
            knot = self._certified(law, epsilon)
            if knot is not None and knot.gap > _USELESS * self.tol:
                self.too_far = 0.7 * apart
            return knot

        return candidate

    def _certified(self, law: DiscreteLaw, epsilon: float) -> Knot | None:
        try:
            if self.line is not None:
                return Knot.of(self.line.certify(law, epsilon))
            if isinstance(self.source, Source1D) or self.source.factors is None:
                return Knot.of(certify_law(self.source, law, epsilon))
        except HeatrdError:
            pass
        return None


def _mixture(one: Any, other: Any, share: float) -> Any:
    """(1 − share) one + share other, of points or of spheres about one centre; None for laws of other structure."""
    if isinstance(one, DiscreteLaw) and isinstance(other, DiscreteLaw):
        points = np.concatenate([one.points, other.points])
        return DiscreteLaw(points, np.concatenate([(1 - share) * one.weights, share * other.weights]))
    if isinstance(one, RadialLaw) and isinstance(other, RadialLaw) and np.array_equal(one.centre, other.centre):
        radii = np.concatenate([one.radii, other.radii])
        masses = np.concatenate([(1 - share) * one.masses, share * other.masses])
        return RadialLaw(radii, masses, one.centre, min(one.spacing, other.spacing))
    return None


def _atoms(problem: LineProblem, law: DiscreteLaw) -> tuple[FloatArray, FloatArray]:
    """Sorted points in standard units, and weights."""
    order = np.argsort(law.points[:, 0], kind="stable")
    order = order[law.weights[order] > 0]
    return (law.points[order, 0] - problem.shift) / problem.scale, law.weights[order]


def _lagrange(t: float, nodes: FloatArray) -> FloatArray:
    """Weights of the interpolating polynomial through ``nodes`` at t."""
    gaps = nodes[:, None] - nodes[None, :]
    np.fill_diagonal(gaps, 1.0)
    away = np.where(np.eye(nodes.size, dtype=bool), 1.0, t - nodes[None, :])
    return np.asarray(np.prod(away / gaps, axis=1))
