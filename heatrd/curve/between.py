"""Knots between two solved points, for the price of a few Newton steps or of a certificate.

A law certified at an ε that it was not made for costs no solve. Between solutions at ε_a > ε_b the candidates are

* the nearest law carried on: its atoms polished by Newton's method at the new ε (on the line, where the atoms stand
  apart);
* the mixture of both neighbours, F convex in ν: an excess of second order in their distance;
* their interpolation of third order, together with the next solutions on either side: Z = Σ_k ℓ_k(log ε) k∗ν_k is no
  law's potential
  any more, but 1/Z is a dual point (DESIGN (2)), and proves a lower bound of fourth order;
* a solve started from the nearest law, when both fail.

`refine` halves no interval blindly: the width of the band falls with the square of the spacing, which tells how many
knots are needed.
It depends on nothing but its arguments, so that a sweep gives the same bytes in any order, on any number of workers.
"""

from __future__ import annotations

import itertools
import math
import threading
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from heatrd.certificate.base import Certificate
from heatrd.certificate.line import bound_potential, evaluate_potential
from heatrd.curve.band import Band, Knots
from heatrd.curve.records import fingerprint
from heatrd.errors import HeatrdError
from heatrd.laws import DiscreteLaw
from heatrd.reconstruction.dispatch import Solve, certify_law, solver_for
from heatrd.reconstruction.exchange import regroup, with_tails
from heatrd.reconstruction.interior_point import Nodes
from heatrd.reconstruction.line import LineProblem
from heatrd.reconstruction.polish import polish
from heatrd.sources import Source, Source1D

__all__ = ["Between", "Knot", "refine", "solver"]

FloatArray = NDArray[np.float64]

_GAP = 0.125  # gap asked of a solve, as a share of the tolerance of the band
_ENOUGH = 0.4  # gap that is good enough for a knot that costs no solve
_AIM = 0.55  # width aimed at, as a share of the tolerance
_MOST_PIECES = 64
_DEPTH = 12
_MOST_ATOMS = 120  # beyond this, atoms do not stand apart and Newton on their positions does not pay


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

    ``solves`` counts solves, ``certificates`` certificates (with or without a few Newton steps before).
    """

    rows: FloatArray
    solves: int
    certificates: int
    reached: bool


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


def refine(source: Source, left: Knot, right: Knot, tol: float, beyond: tuple[Knot, ...] = ()) -> Between:
    """Insert knots between two (``left`` at the larger ε) until the band between them is narrower than ``tol``.

    Parameters
    ----------
    source : Source
    left, right : Knot
    tol : float
        Nats.
    beyond : tuple of Knot
        Solved points next to the interval, for interpolation.
    """
    worker = _Worker(source, tol, (left, right, *beyond))
    reached = worker.between(left, right, 0)
    rows = np.array([knot.row for knot in worker.knots], dtype=float).reshape(-1, 4)
    return Between(rows, worker.solves, worker.certificates, reached)


class _Worker:
    def __init__(self, source: Source, tol: float, bases: tuple[Knot, ...]) -> None:
        self.source, self.tol, self.bases = source, tol, list(bases)
        self.solve = solver(source, _GAP * tol)
        problem = getattr(self.solve, "__self__", None)
        self.line = problem if isinstance(problem, LineProblem) else None
        self.knots: list[Knot] = []
        self.solves = self.certificates = 0

    def width(self, left: Knot, right: Knot) -> float:
        """Width of the band between two knots, from them alone."""
        low, high = min(left.distortion, right.distortion), max(left.distortion, right.distortion)
        if not high > low > 0:
            return 0.0
        band = Band(Knots.sorted(*np.array([left.row, right.row]).T), self.source.total_variance, self.source.dim)
        inner = np.concatenate([np.linspace(low, high, 17), band.crossings()])
        inner = inner[(inner >= low) & (inner <= high)]
        return float(band.width(inner).max())

    def between(self, left: Knot, right: Knot, depth: int) -> bool:
        width = self.width(left, right)
        if width <= self.tol:
            return True
        ratio = math.log(left.epsilon / right.epsilon)
        if depth >= _DEPTH or ratio < 1e-9:
            return False
        pieces = min(max(2, math.ceil(math.sqrt(width / (_AIM * self.tol)))), _MOST_PIECES)
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
            self._carried(epsilon, near),
            self._mixed(epsilon, near, far),
            lambda found: self._interpolated(epsilon, found),
            self._carried(epsilon, far),
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
            t = (near.epsilon - epsilon) / (near.epsilon - far.epsilon)
            law = DiscreteLaw(
                np.concatenate([near.law.points, far.law.points]),
                np.concatenate([(1 - t) * near.law.weights, t * far.law.weights]),
            )
            return self._certified(law, epsilon)

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

    def _carried(self, epsilon: float, knot: Knot) -> Callable[[Knot | None], Knot | None]:
        """Newton on the atoms of a neighbour's law."""

        def candidate(_: Knot | None) -> Knot | None:
            problem = self.line
            if problem is None:
                return None
            start = _nodes(problem, knot.law)
            eps = problem.standard(epsilon)
            if start is None:
                return None
            measure = problem.quadrature.measure(eps)
            merged = regroup(measure, start, eps)
            if merged.y.size > _MOST_ATOMS or merged.free.sum() < 0.8 * merged.y.size:
                return None
            moved = polish(
                measure.x, measure.mass, merged, eps, slack_start=1e-6, residual=1e-3 * self.tol, iterations=12
            )
            if not math.isfinite(moved.residual):
                return None
            law = with_tails(measure, moved, eps, self.tol)
            points = (problem.shift + problem.scale * law.y)[:, None]
            return self._certified(DiscreteLaw(points, law.w / law.w.sum()), epsilon)

        return candidate


def _nodes(problem: LineProblem, law: DiscreteLaw) -> Nodes | None:
    """The atoms of a law inside the core, in standard units."""
    low, high = ((v - problem.shift) / problem.scale for v in problem.quadrature.core)
    y = (law.points[:, 0] - problem.shift) / problem.scale
    keep = np.flatnonzero((law.weights > 1e-25) & (y >= low) & (y <= high))
    if keep.size == 0 or keep.size > 4 * _MOST_ATOMS:
        return None
    keep = keep[np.argsort(y[keep], kind="stable")]
    w = law.weights[keep]
    return Nodes(y[keep], w, w, np.full(keep.size, 1e-3), np.zeros(keep.size, bool))


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
