"""`rd_curve`: where to solve, and the curve from it.

Generations of independent work: first a log-spaced set of solves from zero rate to the highest rate asked for; more
towards zero rate
until the rate is below the tolerance; then every interval where the band is too wide is refined by itself
(`between`). Every generation is a function of
the one before it, never of the order in which its pieces end.
"""

from __future__ import annotations

import itertools
import math
import time
import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

import heatrd
from heatrd import arguments
from heatrd.closed_forms import differential_entropy
from heatrd.curve.band import Band, Knots
from heatrd.curve.between import Between, Knot, refine, solver
from heatrd.curve.records import fingerprint, pack_solution, unpack_solution
from heatrd.curve.result import RDCurve
from heatrd.curve.running import progress_bar, run_pieces, working
from heatrd.errors import HeatrdError, HeatrdWarning, InvalidInput, TooLarge
from heatrd.solution import Solution, solve
from heatrd.sources import RadialSource, Source, as_source
from heatrd.store import Checkpoint, digest

__all__ = ["rd_curve", "rd_curves"]

FloatArray = NDArray[np.float64]

_MOST_BITS = 5.0
_SOLVED_GAP = 0.125  # gap of a solved point, as a share of the tolerance of the band


def rd_curve(
    src: Any,
    distortions: ArrayLike | None = None,
    rates: ArrayLike | None = None,
    tol: float | None = None,
    executor: Any = None,
    workers: int | None = None,
    progress: bool = False,
    checkpoint: Any = None,
    max_rate: float | None = None,
) -> RDCurve:
    """Compute a certified rate–distortion curve.

    Parameters
    ----------
    src : source
        Anything `heatrd.as_source` takes.
    distortions, rates : array_like, optional
        Points to solve at (rates in nats), one of the two; the whole curve from zero rate to ``max_rate`` when both
        are omitted.
    tol : float, optional
        Width of the band asked for, nats: over the whole range, or at the points asked for. When omitted:
        1e-6 at points;
        over the whole range 1e-4 on the line, for rotationally symmetric sources and for products, 1e-3 otherwise.
    executor : concurrent.futures.Executor, optional
        Where to work: threads, processes, ``dask.distributed.Client.get_executor(pure=False)``, ``mpi4py.futures``.
    workers : int, optional
        Work in this many processes instead.
    progress : bool
        Show a bar with the time left on stderr (needs tqdm).
    checkpoint : path, optional
        Folder that keeps every finished piece; a later call with the same source and ``tol`` goes on from there.
    max_rate : float, optional
        Highest rate of the whole curve, nats; 5 bits when omitted.

    Returns
    -------
    RDCurve
        With a `HeatrdWarning` where the band could not be made as narrow as asked.

    Raises
    ------
    InvalidInput
        Both distortions and rates, values out of range, a source that cannot be used.
    KeyboardInterrupt
        With the partial curve as its attribute ``curve``.

    Examples
    --------
    >>> import heatrd
    >>> curve = heatrd.rd_curve("uniform", tol=1e-2)
    >>> lower, upper = curve.bounds(0.25)
    >>> bool(lower <= curve.rate(0.25) <= upper), upper - lower < 1e-2
    (True, True)
    """
    with working(executor, workers) as runner:
        return _curve(as_source(src), distortions, rates, tol, runner, progress, checkpoint, max_rate)


def rd_curves(
    sources: Sequence[Any],
    distortions: ArrayLike | None = None,
    rates: ArrayLike | None = None,
    tol: float | None = None,
    executor: Any = None,
    workers: int | None = None,
    progress: bool = False,
    checkpoint: Any = None,
    max_rate: float | None = None,
) -> list[RDCurve]:
    """Compute the curves of several sources on one set of workers; parameters as for `rd_curve`."""
    if isinstance(sources, str):
        raise InvalidInput(f"sources={sources!r} is one name; give a list, or use rd_curve")
    laws = [as_source(source) for source in sources]
    with working(executor, workers) as runner:
        return [_curve(law, distortions, rates, tol, runner, progress, checkpoint, max_rate) for law in laws]


def _curve(
    source: Source,
    distortions: ArrayLike | None,
    rates: ArrayLike | None,
    tol: float | None,
    runner: Any,
    progress: bool,
    checkpoint: Any,
    max_rate: float | None,
) -> RDCurve:
    if distortions is not None and rates is not None:
        raise InvalidInput("give distortions or rates, not both")
    whole = distortions is None and rates is None
    sweep = _Sweep(source, _tolerance(source, tol, whole), runner, checkpoint, progress)
    try:
        if distortions is not None:
            sweep.at_targets("distortion", _targets(distortions, "distortions"))
        elif rates is not None:
            sweep.at_targets("rate", _targets(rates, "rates"))
        else:
            sweep.whole(_MOST_BITS * math.log(2) if max_rate is None else float(_targets(max_rate, "max_rate")[0]))
    except KeyboardInterrupt as stop:
        stop.curve = sweep.assemble(complete=False)  # type: ignore[attr-defined]
        raise
    finally:
        sweep.bar.close()
    curve = sweep.assemble()
    if curve.width > curve.tol:
        warnings.warn(
            f"{source!r}: the band is up to {curve.width:.2g} nats wide, {curve.tol:.2g} asked",
            HeatrdWarning,
            stacklevel=3,
        )
    return curve


def _tolerance(source: Source, tol: float | None, whole: bool) -> float:
    if tol is None:
        if not whole:
            return 1e-6
        return 1e-4 if source.dim == 1 or isinstance(source, RadialSource) or source.factors is not None else 1e-3
    value = arguments.number(tol, "tol")
    if not 1e-11 <= value <= 1.0:
        raise InvalidInput(f"tol={value:g}; need a width between 1e-11 and 1 nat")
    return value


def _targets(values: ArrayLike, name: str) -> FloatArray:
    targets = np.atleast_1d(arguments.numbers(values, name)).ravel()
    positive = (targets >= 0).all() if name == "rates" else (targets > 0).all()
    if targets.size == 0 or not np.isfinite(targets).all() or not positive:
        raise InvalidInput(f"{name}={values!r}; need at least one finite positive number")
    return targets


def _solve_epsilon(source: Source, epsilon: float, tol: float) -> Solution:
    """One solved point at a given ε."""
    if not source.total_variance > 0:
        return solve(source, epsilon=epsilon, tol=tol)
    began = time.perf_counter()
    certificate, regime = solver(source, tol)(epsilon, None)
    return Solution(source, certificate, regime, certificate.distortion, tol, 1, time.perf_counter() - began)


def _solve_target(source: Source, name: str, value: float, tol: float) -> Solution:
    """One solved point at a given distortion or rate."""
    return solve(source, tol=tol, **{name: value})  # type: ignore[arg-type]


class _Sweep:
    """The state of one curve while it is computed."""

    def __init__(self, source: Source, tol: float, runner: Any, checkpoint: Any, progress: bool) -> None:
        self.source, self.tol, self.runner = source, tol, runner
        self.began = time.perf_counter()
        self.bar = progress_bar(progress, getattr(source, "name", "curve"))
        self.store = (
            None
            if checkpoint is None
            else Checkpoint(checkpoint, digest("curve", heatrd.__version__, fingerprint(source), tol))
        )
        self.differential = _differential(source)
        self.points: list[Solution | None] = []
        self.solved: dict[float, Solution] = {}
        self.between: dict[tuple[float, float], Between] = {}
        self.range: tuple[float, float] | None = None
        self.whole_curve = False

    # -- the two kinds of sweep ------------------------------------------------------------------

    def at_targets(self, name: str, values: FloatArray) -> None:
        """Solve at distortions or rates."""
        self.points = [None] * values.size
        jobs = [
            (f"{name}-{float(v).hex()}", (_solve_target, (self.source, name, float(v), self._solved_tol())))
            for v in values
        ]

        def keep(index: int, solution: Any) -> None:
            if isinstance(solution, HeatrdError):
                raise solution
            self.points[index] = solution

        self._solutions(jobs, keep)

    def whole(self, most: float) -> None:
        """Solve from zero rate to the rate ``most`` and refine."""
        self.whole_curve = True
        variance = self.source.total_variance
        if not variance > 0:
            self._solve_all([1.0])
            return
        top = float(np.linalg.eigvalsh(np.atleast_2d(self.source.covariance)).max())
        self._solve_all(self._first_epsilons(top, most))
        self._towards_zero_rate(top)
        self._towards_high_rate(most)
        knots = self._knots()
        reached = knots.distortion[knots.rate >= most * (1 - 1e-9)]
        self.range = (float(reached.max() if reached.size else knots.distortion.min()), variance)
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

    def _solve_all(self, epsilons: Sequence[float]) -> None:
        wanted = [e for e in dict.fromkeys(epsilons) if e not in self.solved]
        jobs = [(f"epsilon-{e.hex()}", (_solve_epsilon, (self.source, e, self._solved_tol()))) for e in wanted]

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

    def _refine(self) -> None:
        """Refine every interval where the band is wider than asked."""
        ends = sorted(self.solved, reverse=True)
        pairs = [(a, b) for a, b in itertools.pairwise(ends) if self._too_wide(a, b)]
        self._expect(len(pairs))
        names = [f"between-{a.hex()}-{b.hex()}" for a, b in pairs]
        todo = []
        for pair, name in zip(pairs, names):
            found = None if self.store is None else self.store.load(name, "between")
            known = None if found is None else _unpack_between(*found)
            if known is None:
                if found is not None and self.store is not None:
                    self.store.quarantine(name, f"{name} is damaged")
                todo.append((pair, name))
            else:
                self.between[pair] = known
                self.bar.update()

        def done(place: int, result: Any) -> None:
            if isinstance(result, HeatrdError):
                raise result
            pair, name = todo[place]
            if self.store is not None:
                self.store.save(
                    name,
                    "between",
                    {"solves": result.solves, "certificates": result.certificates, "reached": result.reached},
                    {"rows": result.rows},
                )
            self.between[pair] = result
            self.bar.update()

        def piece(a: float, b: float) -> Any:
            place = ends.index(a)
            beyond = [
                e for e in ends[max(place - 1, 0) : place + 3] if e not in (a, b) and self.solved[e].regime == "atomic"
            ]
            left, right, *others = (Knot.of(self.solved[e].certificate) for e in (a, b, *beyond))
            return refine, (self.source, left, right, self.tol, tuple(others))

        run_pieces(self.runner, [piece(a, b) for (a, b), _ in todo], done)

    def _too_wide(self, a: float, b: float) -> bool:
        high, low = (self.solved[e].certificate.distortion for e in (a, b))
        assert self.range is not None
        if not high > low > 0 or high <= self.range[0]:
            return False
        band = self._band()
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


def _unpack_between(header: dict[str, Any], arrays: dict[str, Any]) -> Between | None:
    try:
        rows = np.asarray(arrays["rows"], dtype=float)
        if rows.ndim != 2 or rows.shape[1] != 4 or not np.isfinite(rows).all():
            return None
        return Between(rows, int(header["solves"]), int(header["certificates"]), bool(header["reached"]))
    except (KeyError, TypeError, ValueError):
        return None


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
