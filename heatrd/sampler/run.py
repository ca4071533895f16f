"""Paths of dX = u dt + √ε dW on a time grid t_0 < … < t_K.

With Δ = t' − t, p = 1 − t, q = 1 − t', standard normal z and b = x + p u (for a bridge the posterior mean E[X_1 |
X_t = x]):

- ``exact`` (bridges): draw X_1 given X_0 from the optimal coupling, then a Brownian bridge,
  x' = x + (Δ/p)(X_1 − x) + √(εΔq/p) z. The law of the path at the grid times is exact for every grid.
- ``euler``: x' = x + Δu + √(εΔ) z. Weak and strong order 1 (additive noise). The energy Σ‖u‖²Δ/2ε is exactly the
  relative entropy of
  the discrete chain to its Brownian reference, so energy + entropy bounds the optimum from above even at coarse steps.
- ``exponential``: b frozen over the step, the linear rest solved: x' = x + Δu + √(εΔq/p) z. Order 1, stable up to t
  = 1, where it lands
  on b.
- ``heun``: predictor x̃ and corrector. Where u stays smooth, x' = x + Δ(u + u'(x̃))/2 + √(εΔ) z: weak order 2. Where
  ν has atoms,
  the same with b linear in time over the step, x' = x + w₀(b − x) + w₁(b' − x) + √(εΔq/p) z, w₁ = 1 − (q/Δ)
  log(p/q), w₀ = Δ/p − w₁; the last step lands on an atom.

Paths are cut in chunks with generators of their own, spawned from the caller's; chunks run in threads, and the
result does not depend on how many.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from heatrd import arguments
from heatrd.errors import InvalidInput, TooLarge
from heatrd.kernels.paths import bridge_step, correct, predict, table_energy, table_step
from heatrd.laws import DiscreteLaw
from heatrd.sampler.ensemble import Ensemble, SampledCurve
from heatrd.sampler.fields import Field, Tables, as_field
from heatrd.sampler.noise import Antithetic, Plain, Quasi, Stream

__all__ = ["sample"]

FloatArray = NDArray[np.float64]

SCHEMES = ("auto", "exact", "euler", "exponential", "heun")
_CHUNK = 16_384
_REPLICATES = 16
_TABLE = 4096
_LARGEST_TABLE = 1 << 15
_CURVE_TIMES = 16
_MEMORY = 4 << 30


def sample(
    control: Any,
    n_paths: int,
    n_steps: int = 100,
    *,
    rng: np.random.Generator | int | None = None,
    scheme: str = "auto",
    epsilon: float | None = None,
    initial: Any = None,
    until: float = 1.0,
    times: ArrayLike | None = None,
    save: bool | ArrayLike = False,
    curve: bool = False,
    antithetic: bool = False,
    quasi: bool = False,
    table: bool | int | None = None,
    threads: int | None = None,
) -> Ensemble:
    """Simulate controlled paths and estimate energy, distortion and terminal entropy.

    Parameters
    ----------
    control : SchrodingerBridge, Solution, TransportPlan, HeatPath, TabulatedControl or callable
        Anything with ``.control(t, x)``, or u(t, x) itself; x has shape (n, d).
    n_paths, n_steps : int
        Paths, and equal time steps.
    rng : Generator, int or None
        Normalised by `numpy.random.default_rng`; the same seed gives the same paths on any number of threads.
    scheme : {"auto", "exact", "euler", "exponential", "heun"}
        "auto": exact for bridges, Heun otherwise.
    epsilon : float, optional
        Diffusion coefficient, for controls that carry none.
    initial : Source, DiscreteLaw or (n, d) array_like, optional
        Law of X_0 (points are cycled through); the control's own source when omitted.
    until : float
        Last time.
    times : array_like, optional
        An increasing time grid from 0, instead of ``n_steps`` and ``until``.
    save : bool or array_like
        Keep the paths: at all grid times, or at the grid times nearest to those given.
    curve : bool
        Collect `SampledCurve` along the way (meaningful inside the backward-heat class).
    antithetic, quasi : bool
        Mirrored pairs of paths; or 16 independently scrambled Sobol sequences. Starts are then drawn from the
        source's quadrature
        nodes by inversion.
    table : bool or int, optional
        On the line: tabulate a bridge's control (on that many points) before running. By default when there are many
        paths.
    threads : int, optional
        All processors for the package's own controls, one for foreign functions.

    Returns
    -------
    Ensemble

    Raises
    ------
    InvalidInput
        Unknown scheme, bad times, a control that returns NaN or the wrong shape, nothing to start from.
    TooLarge
        The points and saved paths would take more than 4 GiB.
    """
    start = time.perf_counter()
    field = as_field(control, epsilon, initial)
    grid = _time_grid(n_steps, until, times)
    plan = _Plan.make(field, grid, arguments.integer(n_paths, "n_paths"), scheme, save, curve, antithetic, quasi, table)
    generators = np.random.default_rng(rng).spawn(len(plan.chunks))
    workers = threads or (len(os.sched_getaffinity(0)) if field.parallel else 1)
    out = _Arrays.empty(plan)
    jobs = [
        partial(_run_chunk, plan, first, last, child, out)
        for (first, last), child in zip(plan.chunks, generators, strict=True)
    ]
    if workers == 1 or len(jobs) == 1:
        for job in jobs:
            job()
    else:
        with ThreadPoolExecutor(workers) as pool:
            for done in [pool.submit(job) for job in jobs]:
                done.result()
    return _collect(plan, out, start)


@dataclass(frozen=True, eq=False)
class _Plan:
    """Everything that the chunks share."""

    field: Field
    times: FloatArray
    n: int
    scheme: str
    saved: NDArray[np.intp] | None
    curve: NDArray[np.intp] | None
    block: int
    stream: Callable[..., Stream]
    tables: Tables | None
    chunks: list[tuple[int, int]]

    @classmethod
    def make(
        cls,
        field: Field,
        grid: FloatArray,
        n: int,
        scheme: str,
        save: Any,
        curve: bool,
        antithetic: bool,
        quasi: bool,
        table: bool | int | None,
    ) -> _Plan:
        if antithetic and quasi:
            raise InvalidInput("antithetic and quasi exclude each other; choose one")
        if antithetic and n % 2:
            raise InvalidInput(f"n_paths = {n}; antithetic paths come in pairs, need an even number")
        if quasi and n % _REPLICATES:
            raise InvalidInput(
                f"n_paths = {n}; quasi-random paths come in {_REPLICATES} replicates, need a multiple of it"
            )
        saved = _saved_indices(save, grid)
        _check_memory(n, field.dim, saved, len(grid), n // _REPLICATES if quasi else 0)
        block = 2 if antithetic else n // _REPLICATES if quasi else 1
        size = block if quasi else _CHUNK
        chunks = [(i, min(i + size, n)) for i in range(0, n, size)]
        stream = Antithetic if antithetic else Quasi if quasi else Plain
        return cls(
            field,
            grid,
            n,
            _scheme(scheme, field),
            saved,
            _curve_indices(grid) if curve else None,
            block,
            stream,
            _tables(field, grid, n, table),
            chunks,
        )

    @property
    def horizon(self) -> int:
        """Index of the last time up to which energy can be integrated."""
        last = len(self.times) - 1
        singular = self.times[-1] == 1.0 and self.field.atomic and self.scheme != "euler"
        return last - 1 if singular else last

    @property
    def lands_on_atoms(self) -> bool:
        return self.times[-1] == 1.0 and self.field.atomic and self.scheme != "euler"


@dataclass(frozen=True, eq=False)
class _Arrays:
    """What the chunks fill."""

    initial: FloatArray
    terminal: FloatArray
    energies: FloatArray
    paths: FloatArray | None
    sums: FloatArray | None  # (curve times, chunk-safe) first and second moments of block means

    @classmethod
    def empty(cls, plan: _Plan) -> _Arrays:
        shape = (plan.n, plan.field.dim)
        paths = None if plan.saved is None else np.empty((plan.n, len(plan.saved), plan.field.dim))
        sums = None if plan.curve is None else np.zeros((len(plan.chunks), len(plan.curve), 2, 2))
        return cls(np.empty(shape), np.empty(shape), np.zeros(plan.n), paths, sums)


def _run_chunk(plan: _Plan, first: int, last: int, rng: np.random.Generator, out: _Arrays) -> None:
    """Simulate paths first … last − 1."""
    field = plan.field
    stream = plan.stream(rng, last - first, field.dim, plan.times)
    uniforms = stream.uniforms()
    x = _start(plan, uniforms[:, 0], rng, first, last)
    out.initial[first:last] = x
    recorder = _Recorder(plan, out, first, last)
    step = _exact_stepper(plan, x, uniforms[:, 1], stream) if plan.scheme == "exact" else _controlled_stepper(plan)
    energy = out.energies[first:last]
    recorder.at(0, x, energy)
    for k, noise in enumerate(stream.steps()):
        step(k, x, noise, energy)
        recorder.at(k + 1, x, energy)
    if not np.isfinite(x).all():
        raise InvalidInput(
            "paths ran to NaN or infinity: the control is not finite up to the last time; use until < 1, "
            "smaller steps, "
            "or scheme='exponential'"
        )
    out.terminal[first:last] = x


def _start(plan: _Plan, uniform: FloatArray, rng: np.random.Generator, first: int, last: int) -> FloatArray:
    """X_0 of the chunk."""
    law = plan.field.initial
    if isinstance(law, np.ndarray):
        return law[np.arange(first, last) % len(law)].copy()
    smooth = plan.stream is not Plain
    if (
        smooth
        and plan.field.bridge is not None
        and not isinstance(law, DiscreteLaw)
        and law is plan.field.bridge.source
    ):
        law = plan.field.bridge.mu
    if isinstance(law, DiscreteLaw):
        order = np.lexsort(law.points.T[::-1])
        ends = np.cumsum(law.weights[order])
        return law.points[order][np.searchsorted(ends, uniform * ends[-1], side="right").clip(max=law.size - 1)]
    return np.ascontiguousarray(law.sample(last - first, rng), dtype=np.float64).reshape(last - first, plan.field.dim)


Stepper = Callable[[int, FloatArray, FloatArray, FloatArray], None]


def _exact_stepper(plan: _Plan, x0: FloatArray, uniform: FloatArray, stream: Stream) -> Stepper:
    """Brownian bridges to terminal points drawn from the optimal coupling; energy by the trapezoidal rule in time."""
    field, times, tables = plan.field, plan.times, plan.tables
    assert field.bridge is not None
    end = field.bridge.draw_terminal(x0, uniform, stream.extra())
    weights = _trapezoid(times[: plan.horizon + 1]) / (2 * field.epsilon)
    zero = np.zeros_like(x0)

    def charge(k: int, x: FloatArray, energy: FloatArray) -> None:
        if k > plan.horizon:
            return
        if tables is not None:
            table_energy(x[:, 0], tables.values[k], tables.low, tables.per_cell, weights[k], energy)
        else:
            predict(x, field.values(float(times[k]), x), 0.0, 0.0, zero, weights[k], energy)

    def step(k: int, x: FloatArray, noise: FloatArray, energy: FloatArray) -> None:
        if k == 0:
            charge(0, x, energy)
        delta, p, q = times[k + 1] - times[k], 1.0 - times[k], 1.0 - times[k + 1]
        bridge_step(x, end, delta / p, np.sqrt(field.epsilon * delta * q / p), noise)
        charge(k + 1, x, energy)

    return step


def _controlled_stepper(plan: _Plan) -> Stepper:
    return _heun_stepper(plan) if plan.scheme == "heun" else _euler_stepper(plan)


def _euler_stepper(plan: _Plan) -> Stepper:
    """Euler–Maruyama, and the exponential scheme, which differs in the noise alone."""
    field, times, tables = plan.field, plan.times, plan.tables

    def step(k: int, x: FloatArray, noise: FloatArray, energy: FloatArray) -> None:
        delta, p, q = times[k + 1] - times[k], 1.0 - times[k], 1.0 - times[k + 1]
        variance = field.epsilon * delta * (q / p if plan.scheme == "exponential" else 1.0)
        weight = delta / (2 * field.epsilon) if k < plan.horizon else 0.0
        if tables is not None:
            table_step(
                x[:, 0],
                tables.values[k],
                tables.low,
                tables.per_cell,
                delta,
                np.sqrt(variance),
                noise[:, 0],
                weight,
                energy,
            )
        else:
            predict(x, field.values(float(times[k]), x), delta, np.sqrt(variance), noise, weight, energy)

    return step


def _heun_stepper(plan: _Plan) -> Stepper:
    field, times, tables = plan.field, plan.times, plan.tables

    def values(k: int, x: FloatArray) -> FloatArray:
        if tables is not None:
            return tables.at(k, x, np.empty_like(x))
        return field.values(float(times[k]), x)

    def step(k: int, x: FloatArray, noise: FloatArray, energy: FloatArray) -> None:
        delta, p, q = times[k + 1] - times[k], 1.0 - times[k], 1.0 - times[k + 1]
        u = values(k, x)
        sigma = np.sqrt(field.epsilon * delta * (q / p if field.atomic else 1.0))
        ahead = x.copy()
        idle = np.zeros(len(x))
        predict(ahead, u, delta, sigma, noise, 0.0, idle)
        if q == 0.0 and field.atomic:
            assert field.bridge is not None
            x[:] = field.bridge.posterior_mean(1.0, ahead)
            return
        u_ahead = values(k + 1, ahead)
        a0, a1, a2 = (delta / 2, delta / 2, 0.0)
        if field.atomic:
            late = 1.0 - (q / delta) * np.log(p / q)
            a0, a1, a2 = (delta / p - late) * p, late * q, late
        correct(x, u, ahead, u_ahead, a0, a1, a2, sigma, noise, delta / (2 * field.epsilon), energy)

    return step


class _Recorder:
    """Saves paths and collects the moments of the curve."""

    def __init__(self, plan: _Plan, out: _Arrays, first: int, last: int) -> None:
        self.plan, self.out, self.rows = plan, out, slice(first, last)
        self.chunk = plan.chunks.index((first, last))
        self.saved = {} if plan.saved is None else {int(k): i for i, k in enumerate(plan.saved)}
        self.curve = {} if plan.curve is None else {int(k): i for i, k in enumerate(plan.curve)}

    def at(self, k: int, x: FloatArray, energy: FloatArray) -> None:
        if k in self.saved and self.out.paths is not None:
            self.out.paths[self.rows, self.saved[k]] = x
        if k in self.curve:
            self._moments(self.curve[k], float(self.plan.times[k]), x, energy)

    def _moments(self, row: int, t: float, x: FloatArray, energy: FloatArray) -> None:
        assert self.out.sums is not None and self.plan.field.log_density is not None
        square = ((x - self.out.initial[self.rows]) ** 2).sum(axis=1)
        account = energy - self._half_step(t, x) - np.asarray(self.plan.field.log_density(t, x)).reshape(len(x))
        for column, values in enumerate((square, account)):
            block = min(self.plan.block, len(values))
            means = values[: len(values) - len(values) % block].reshape(-1, block).mean(axis=1)
            self.out.sums[self.chunk, row, column] = means.sum(), (means**2).sum()

    def _half_step(self, t: float, x: FloatArray) -> FloatArray:
        """The exact scheme has charged a whole trapezoid at an interior time: take back the half that lies ahead."""
        plan = self.plan
        k = int(np.searchsorted(plan.times, t))
        if plan.scheme != "exact" or k >= plan.horizon:
            return np.zeros(len(x))
        ahead = 0.5 * (plan.times[k + 1] - plan.times[k]) / (2 * plan.field.epsilon)
        u = plan.tables.at(k, x, np.empty_like(x)) if plan.tables is not None else plan.field.values(t, x)
        return ahead * (u**2).sum(axis=1)


def _collect(plan: _Plan, out: _Arrays, start: float) -> Ensemble:
    field, end = plan.field, float(plan.times[-1])
    exact = plan.scheme == "exact" and field.log_density is not None and not plan.lands_on_atoms
    return Ensemble(
        epsilon=field.epsilon,
        scheme=plan.scheme,
        times=plan.times,
        initial=out.initial,
        terminal=out.terminal,
        energies=out.energies,
        energy_horizon=float(plan.times[plan.horizon]),
        block=plan.block,
        saved_times=None if plan.saved is None else plan.times[plan.saved],
        paths=out.paths,
        curve=_curve(plan, out),
        atomic=plan.lands_on_atoms,
        seconds=time.perf_counter() - start,
        terminal_log_density=partial(field.log_density, end) if exact and field.log_density is not None else None,
    )


def _curve(plan: _Plan, out: _Arrays) -> SampledCurve | None:
    if plan.curve is None or out.sums is None:
        return None
    count = plan.n // plan.block
    total = out.sums.sum(axis=0)
    mean = total[..., 0] / count
    stderr = np.sqrt(np.maximum(total[..., 1] / count - mean**2, 0.0) / max(count - 1, 1))
    t = plan.times[plan.curve]
    eps = plan.field.epsilon * t
    rate = mean[:, 1] - 0.5 * plan.field.dim * np.log(2 * np.pi * np.e * eps)
    return SampledCurve(t, eps, mean[:, 0], stderr[:, 0], rate, stderr[:, 1])


def _time_grid(n_steps: int, until: float, times: ArrayLike | None) -> FloatArray:
    if times is None:
        steps, until = arguments.integer(n_steps, "n_steps"), arguments.number(until, "until")
        if not 0 < until <= 1:
            raise InvalidInput(f"until = {until}; need a time in (0, 1]")
        if 8 * steps > _MEMORY:
            raise TooLarge(f"n_steps = {steps} times would take {8 * steps / 2**30:.3g} GiB", _MEMORY // 8)
        return np.linspace(0.0, until, steps + 1)
    grid = arguments.numbers(times, "times")
    if grid.ndim != 1 or grid.size < 2 or grid[0] != 0 or not grid[-1] <= 1 or not (np.diff(grid) > 0).all():
        raise InvalidInput(
            "times must increase from 0 to at most 1; got " + np.array2string(grid, threshold=8, precision=4)
        )
    return grid


def _scheme(scheme: str, field: Field) -> str:
    arguments.word(scheme, "scheme", SCHEMES)
    if scheme == "auto":
        return "heun" if field.bridge is None else "exact"
    if scheme == "exact" and field.bridge is None:
        raise InvalidInput("the exact scheme draws from a bridge's coupling; pass a SchrodingerBridge, or use 'heun'")
    return scheme


def _saved_indices(save: Any, grid: FloatArray) -> NDArray[np.intp] | None:
    if save is False or save is None:
        return None
    if save is True:
        return np.arange(len(grid))
    wanted = np.atleast_1d(arguments.numbers(save, "save"))
    return np.unique(np.abs(grid[:, None] - wanted).argmin(axis=0))


def _curve_indices(grid: FloatArray) -> NDArray[np.intp]:
    return np.unique(np.linspace(1, len(grid) - 1, min(_CURVE_TIMES, len(grid) - 1)).round().astype(np.intp))


def _check_memory(n: int, dim: int, saved: NDArray[np.intp] | None, count: int, replicate: int) -> None:
    doubles = n * (2 * dim + 1) + (0 if saved is None else n * len(saved) * dim) + 4 * replicate * count * dim
    if 8 * doubles > _MEMORY:
        raise TooLarge(
            f"{n} paths would take {8 * doubles / 2**30:.1f} GiB; save fewer times, or sample in several runs",
            int(n * _MEMORY / (8 * doubles)),
        )


def _tables(field: Field, grid: FloatArray, n: int, table: bool | int | None) -> Tables | None:
    """Tabulate a one-dimensional bridge when asked, or when that is cheaper than evaluating it."""
    if field.bridge is None or field.dim != 1 or table is False:
        if table:
            raise InvalidInput("table=True tabulates one-dimensional bridges only; pass a TabulatedControl")
        return None
    if table is not None and table is not True:
        return Tables.build(field, grid, arguments.integer(table, "table", 2))
    size = max(_TABLE, Tables.resolving(field))
    if table is None and (n < size or size > _LARGEST_TABLE):
        return None
    return Tables.build(field, grid, size)


def _trapezoid(times: FloatArray) -> FloatArray:
    weights = np.zeros(len(times))
    weights[1:] += 0.5 * np.diff(times)
    weights[:-1] += 0.5 * np.diff(times)
    return weights
