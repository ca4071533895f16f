"""The generations of a sweep: where to solve, what is kept, and the curve from it.

Generations of independent work: first a log-spaced set of solves from zero rate to the highest rate asked for; more
towards zero rate until the rate is below the tolerance; then every interval where the band is too wide is refined by
itself (`between`). Every generation is a function of the one before it, never of the order in which its pieces end.
"""

from __future__ import annotations

import itertools
import math
import time
import warnings
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

import heatrd
from heatrd.closed_forms import differential_entropy
from heatrd.curve.band import Band, Knots
from heatrd.curve.between import Between, Knot, pieces_between, refine, solver
from heatrd.curve.guesses import guesses
from heatrd.curve.records import fingerprint, pack_solution, unpack_solution
from heatrd.curve.result import RDCurve
from heatrd.curve.running import progress_bar, run_pieces
from heatrd.errors import HeatrdError, HeatrdWarning, InvalidInput, TooLarge
from heatrd.laws import DiscreteLaw
from heatrd.reconstruction.product import on_lines
from heatrd.reconstruction.target import Guess
from heatrd.solution import Solution, solve, solve_target
from heatrd.sources import Source, Source1D
from heatrd.store import Checkpoint, digest

__all__ = ["Sweep"]

FloatArray = NDArray[np.float64]

_SOLVED_GAP = 0.125  # gap of a solved point, as a share of the tolerance of the band
_LONG = 3  # pieces of an interval in space from which on it is divided by solves, so that workers share it
_APART = 4  # of so many targets one is solved first
_SKIPPED = 4  # of so many points on the line one is solved, the others lie on the path between


def _solve_epsilon(source: Source, epsilon: float, tol: float, start: DiscreteLaw | None = None) -> Solution:
    """One solved point at a given ε, from a neighbour's law where there is one."""
    if not source.total_variance > 0:
        return solve(source, epsilon=epsilon, tol=tol)
    began = time.perf_counter()
    certificate, regime = solver(source, tol)(epsilon, start)
    return Solution(source, certificate, regime, certificate.distortion, tol, 1, time.perf_counter() - began)


def _solve_target(source: Source, name: str, value: float, tol: float, guess: Guess | None = None) -> Solution:
    """One solved point at a given distortion or rate."""
    if guess is None:
        target: dict[str, Any] = {name: value}
        return solve(source, tol=tol, **target)
    return solve_target(source, name, value, tol, guess)


class Sweep:
    """The state of one curve while it is computed."""

    def __init__(self, source: Source, tol: float, runner: Any, checkpoint: Any, progress: bool) -> None:
        self.source, self.tol, self.runner = source, tol, runner
        self.began = time.perf_counter()
        self.store = (
            None
            if checkpoint is None
            else Checkpoint(checkpoint, digest("curve", heatrd.__version__, fingerprint(source), tol))
        )
        self.differential = _differential(source)
        self.points: list[Solution | None] = []
        self.solved: dict[float, Solution] = {}
        self.between: dict[tuple[float, float], Between] = {}
        self.marks: list[float] = []
        self.range: tuple[float, float] | None = None
        self.whole_curve = False
        self.bar = progress_bar(progress, getattr(source, "name", "curve"))

    # -- the two kinds of sweep ------------------------------------------------------------------

    def at_targets(self, name: str, values: FloatArray) -> None:
        """Solve at distortions or rates: some first, the others from what those tell of ε."""
        self.points = [None] * values.size
        order = np.argsort(values, kind="stable")
        first = np.unique(np.append(order[::_APART], order[-1]))
        self._aim(name, values, first, {})
        rest = np.setdiff1d(order, first)
        known = [self.points[i] for i in order if i in set(first.tolist())]
        self._aim(name, values, rest, guesses(name, [s for s in known if s is not None], values[rest]))

    def _aim(self, name: str, values: FloatArray, which: NDArray[np.int64], guessed: Mapping[float, Guess]) -> None:
        """Solve at some of the targets."""
        targets = [float(values[i]) for i in which]
        jobs = [
            (f"{name}-{v.hex()}", (_solve_target, (self.source, name, v, self._solved_tol(), guessed.get(v))))
            for v in targets
        ]

        def keep(index: int, solution: Any) -> None:
            if isinstance(solution, HeatrdError):
                raise solution
            self.points[int(which[index])] = solution

        self._solutions(jobs, keep)

    def whole(self, most: float) -> None:
        """Solve from zero rate to the rate ``most`` and refine."""
        self.whole_curve = True
        variance = self.source.total_variance
        if not variance > 0:
            self._solve_all([1.0])
            return
        top = float(np.linalg.eigvalsh(np.atleast_2d(self.source.covariance)).max())
        self._solve_all(self._anchors(self._first_epsilons(top, most)))
        self._towards_zero_rate(top)
        self._towards_high_rate(most)
        knots = self._knots()
        reached = knots.distortion[knots.rate >= most * (1 - 1e-9)]
        self.range = (float(reached.max() if reached.size else knots.distortion.min()), variance)
        self._divide()
        self._refine()

    def _first_epsilons(self, top: float, most: float) -> list[float]:
        source = self.source
        low = self._lowest_epsilon(top, most)
        many = (46 if self.tol < 1e-3 else 24) if source.dim == 1 else (24 if self.tol < 1e-3 else 14)
        span = math.log(top / low)
        grid = np.geomspace(top, low, max(4, min(many, math.ceil(many * span / 7))))
        critical = source.critical_epsilon() or 0.0
        if critical <= low:
            return [float(e) for e in grid]
        critical = min(critical, top)
        inside = np.geomspace(critical, low, 8)
        return [
            *(float(e) for e in grid if e > critical * 1.02),
            float(critical),
            float(critical * (1 - 1e-4)),
            *(float(e) for e in inside[1:]),
        ]

    def _anchors(self, epsilons: list[float]) -> list[float]:
        """The ε to be solved at; on the line, above the critical ε, the others are left to the paths between them."""
        critical = self.source.critical_epsilon() or 0.0
        above = [e for e in epsilons if e > critical]
        if not isinstance(self.source, Source1D) or self.source.is_discrete:
            return epsilons
        solved = {*above[::_SKIPPED], *above[-1:]}
        self.marks = [e for e in above if e not in solved]
        return [e for e in epsilons if e in solved or e <= critical]

    def _lowest_epsilon(self, top: float, most: float) -> float:
        """ε from which on the rate is at least ``most``: by the Shannon lower bound, since D(ε) ≤ dε."""
        if self.differential is not None:
            return min(
                max(math.exp(2 * (self.differential - most) / self.source.dim) / (2 * math.pi * math.e), 1e-7 * top),
                0.5 * top,
            )
        return top * math.exp(-2 * min(most, 1.0) / self.source.dim)

    def _towards_zero_rate(self, top: float) -> None:
        factor = 1.0
        while factor < 1e9:
            last = self.solved[max(self.solved)]
            if last.rate <= 0.25 * self.tol:
                return
            self._solve_all([top * factor * f for f in (1.5, 2.25, 3.5, 6.0)])
            factor *= 6.0

    def _towards_high_rate(self, most: float) -> None:
        """Where the Shannon bound said nothing: go on until the rate, or the entropy of a discrete source, is
        reached.
        """
        limit = _entropy(self.source)
        for _ in range(12):
            low = min(self.solved)
            rate = self.solved[low].rate_lower
            if rate >= most or (limit is not None and rate >= limit - 0.25 * self.tol):
                return
            before = len(self.solved)
            self._solve_all([low * math.exp(-0.25 * k) for k in range(1, 5)])
            if len(self.solved) < before + 4:
                warnings.warn(
                    f"{self.source!r}: the curve ends at {rate / math.log(2):.3g} bits; beyond, a solve would not fit "
                    "in memory",
                    HeatrdWarning,
                    stacklevel=5,
                )
                return

    # -- pieces of work ----------------------------------------------------------------------------

    def _solved_tol(self) -> float:
        return max(_SOLVED_GAP * self.tol, 1e-12)

    def _solve_all(self, epsilons: Sequence[float], starts: Mapping[float, DiscreteLaw] | None = None) -> None:
        wanted = sorted({e for e in epsilons if e not in self.solved})  # small ε take longest: first
        tol, starts = self._solved_tol(), starts or {}
        jobs = [(f"epsilon-{e.hex()}", (_solve_epsilon, (self.source, e, tol, starts.get(e)))) for e in wanted]

        def keep(index: int, solution: Any) -> None:
            if isinstance(solution, TooLarge) and self.solved:
                return
            if isinstance(solution, HeatrdError):
                raise solution
            self.solved[wanted[index]] = solution

        self._solutions(jobs, keep)

    def _solutions(self, jobs: list[tuple[str, Any]], keep: Any) -> None:
        """Run solves, taking from the checkpoint what is there."""
        self._expect(len(jobs))
        todo: list[int] = []
        for index, (name, _) in enumerate(jobs):
            solution = self._recall(name)
            if solution is None:
                todo.append(index)
            else:
                keep(index, solution)
                self.bar.update()

        def done(place: int, solution: Any) -> None:
            name = jobs[todo[place]][0]
            if self.store is not None and isinstance(solution, Solution):
                self.store.save(name, "solution", *pack_solution(solution))
            keep(todo[place], solution)
            self.bar.update()

        run_pieces(self.runner, [jobs[i][1] for i in todo], done)

    def _recall(self, name: str) -> Solution | None:
        found = None if self.store is None else self.store.load(name, "solution")
        if found is None or self.store is None:
            return None
        try:
            return unpack_solution(self.source, *found)
        except InvalidInput as error:
            self.store.quarantine(name, str(error))
            return None

    def _wide(self) -> list[tuple[float, float]]:
        """Neighbouring ε, the larger first, between which the band is wider than asked."""
        band = self._band()
        return [(a, b) for a, b in itertools.pairwise(sorted(self.solved, reverse=True)) if self._too_wide(band, a, b)]

    def _divide(self) -> None:
        """In space, where the points of a wide interval cost a solve each: some of them first, all at once."""
        if on_lines(self.source):
            return
        starts = {}
        for a, b in self._wide():
            left, right = (Knot.of(self.solved[e].certificate) for e in (a, b))
            if self.solved[a].regime == "backward-heat":
                continue
            parts = math.ceil(pieces_between(self.source, left, right, self.tol) / _LONG)
            for epsilon in np.geomspace(a, b, parts + 1)[1:-1]:
                starts[float(epsilon)] = left.law
        self._solve_all(list(starts), starts)

    def _refine(self) -> None:
        """Refine every interval where the band is wider than asked; small ε, which take longest, first."""
        ends = sorted(self.solved, reverse=True)
        pairs = self._wide()
        self._expect(len(pairs))
        todo = []
        for pair in reversed(pairs):
            known = self._recalled_interval(pair)
            if known is None:
                todo.append(pair)
            else:
                self.between[pair] = known
                self.bar.update()

        def done(place: int, result: Any) -> None:
            if isinstance(result, HeatrdError):
                raise result
            if self.store is not None:
                self.store.save(_interval(todo[place]), "between", *result.pack())
            self.between[todo[place]] = result
            self.bar.update()

        run_pieces(self.runner, [self._piece(ends, a, b) for a, b in todo], done)
        for found in self.between.values():
            self.solved |= {point.epsilon: point for point in found.marked}

    def _piece(self, ends: list[float], a: float, b: float) -> Any:
        place = ends.index(a)
        beyond = [
            e for e in ends[max(place - 1, 0) : place + 3] if e not in (a, b) and self.solved[e].regime == "atomic"
        ]
        left, right, *others = (Knot.of(self.solved[e].certificate) for e in (a, b, *beyond))
        follow = self.solved[a].regime != "backward-heat"
        return refine, (self.source, left, right, self.tol, tuple(others), self._marks(a, b), follow)

    def _marks(self, a: float, b: float) -> tuple[float, ...]:
        return tuple(e for e in self.marks if b < e < a)

    def _recalled_interval(self, pair: tuple[float, float]) -> Between | None:
        name = _interval(pair)
        found = None if self.store is None else self.store.load(name, "between")
        if found is None or self.store is None:
            return None
        try:
            return Between.unpack(self.source, *found)
        except InvalidInput as error:
            self.store.quarantine(name, str(error))
            return None

    def _too_wide(self, band: Band, a: float, b: float) -> bool:
        high, low = (self.solved[e].certificate.distortion for e in (a, b))
        assert self.range is not None
        if not high > low > 0 or high <= self.range[0]:
            return False
        probes = np.concatenate([np.linspace(low, high, 33), np.geomspace(low, high, 9), band.crossings()])
        probes = probes[(probes >= low) & (probes <= high)]
        return bool(band.width(probes).max() > self.tol)

    def _expect(self, pieces: int) -> None:
        self.bar.total += pieces
        self.bar.refresh()

    # -- result ------------------------------------------------------------------------------------

    def _knots(self) -> Knots:
        solutions = [*self.solved.values(), *(s for s in self.points if s is not None)]
        rows = [Knot.of(s.certificate).row for s in solutions if math.isfinite(s.epsilon)]
        blocks = [
            np.array(rows, dtype=float).reshape(-1, 4),
            *(self.between[pair].rows for pair in sorted(self.between)),
        ]
        return Knots.sorted(*np.concatenate(blocks).T)

    def _band(self) -> Band:
        return Band(
            self._knots(), self.source.total_variance, self.source.dim, _entropy(self.source), self.differential
        )

    def assemble(self, complete: bool = True) -> RDCurve:
        """Return the curve from what is finished."""
        if self.whole_curve:
            shown = [self.solved[e] for e in sorted(self.solved, reverse=True)]
        else:
            shown = [s for s in self.points if s is not None]
        solves = sum(s.evaluations for s in shown) + sum(b.solves for b in self.between.values())
        band = self._band()
        return RDCurve(
            self.source,
            np.array([s.epsilon for s in shown], dtype=float),
            np.array([s.distortion for s in shown], dtype=float),
            tuple(shown),
            band,
            self.tol,
            self.range,
            solves,
            sum(b.certificates for b in self.between.values()),
            time.perf_counter() - self.began,
            complete,
        )


def _interval(pair: tuple[float, float]) -> str:
    return f"between-{pair[0].hex()}-{pair[1].hex()}"


def _differential(source: Source) -> float | None:
    """Differential entropy h(μ), nats; None where it is not known or not finite."""
    if source.is_discrete or not source.total_variance > 0:
        return None
    try:
        value = float(differential_entropy(source))
    except InvalidInput:
        return None
    return value if math.isfinite(value) else None


def _entropy(source: Source) -> float | None:
    """Shannon entropy of a purely discrete source: R(0), nats."""
    if not source.is_discrete:
        return None
    masses = np.asarray(source.discrete_part[1], dtype=float)
    masses = masses[masses > 0]
    return float(-(masses * np.log(masses)).sum())
