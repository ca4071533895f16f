"""Paths of dX = u dt + √ε dW on a time grid t_0 < … < t_K, by one of the schemes of `steppers`.

Paths are cut in chunks with generators of their own, spawned from the caller's; chunks run in threads, and the
result does not depend on how many.
"""

from __future__ import annotations

import math
import os
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from threading import Event
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from heatrd import arguments
from heatrd.errors import InvalidInput
from heatrd.laws import DiscreteLaw
from heatrd.sampler.ensemble import Ensemble, SampledCurve
from heatrd.sampler.fields import as_field
from heatrd.sampler.noise import Plain
from heatrd.sampler.plan import Plan, time_grid
from heatrd.sampler.steppers import controlled_stepper, exact_stepper

__all__ = ["sample"]

FloatArray = NDArray[np.float64]


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
    grid = time_grid(n_steps, until, times)
    plan = Plan.make(field, grid, arguments.integer(n_paths, "n_paths"), scheme, save, curve, antithetic, quasi, table)
    generators = np.random.default_rng(rng).spawn(len(plan.chunks))
    usual = len(os.sched_getaffinity(0)) if field.parallel else 1
    workers = usual if threads is None else arguments.integer(threads, "threads")
    out, stop = _Arrays.empty(plan), Event()
    jobs = [
        partial(_run_chunk, plan, first, last, child, out, stop)
        for (first, last), child in zip(plan.chunks, generators, strict=True)
    ]
    if workers == 1 or len(jobs) == 1:
        for job in jobs:
            job()
    else:
        with ThreadPoolExecutor(min(workers, len(jobs))) as pool:
            waiting = [pool.submit(job) for job in jobs]
            try:
                for done in waiting:
                    done.result()
            except BaseException:  # interrupted, or a chunk failed: the others end at their next step
                stop.set()
                raise
    return _collect(plan, out, start)


@dataclass(frozen=True, eq=False)
class _Arrays:
    """What the chunks fill."""

    initial: FloatArray
    terminal: FloatArray
    energies: FloatArray
    paths: FloatArray | None
    sums: FloatArray | None  # (curve times, chunk-safe) first and second moments of block means

    @classmethod
    def empty(cls, plan: Plan) -> _Arrays:
        shape = (plan.n, plan.field.dim)
        paths = None if plan.saved is None else np.empty((plan.n, len(plan.saved), plan.field.dim))
        sums = None if plan.curve is None else np.zeros((len(plan.chunks), len(plan.curve), 2, 2))
        return cls(np.empty(shape), np.empty(shape), np.zeros(plan.n), paths, sums)


def _run_chunk(plan: Plan, first: int, last: int, rng: np.random.Generator, out: _Arrays, stop: Event) -> None:
    """Simulate paths first … last − 1, unless told to stop."""
    if stop.is_set():
        return
    field = plan.field
    stream = plan.stream(rng, last - first, field.dim, plan.times)
    uniforms = stream.uniforms()
    x = _start(plan, uniforms[:, 0], rng, first, last)
    out.initial[first:last] = x
    recorder = _Recorder(plan, out, first, last)
    step = exact_stepper(plan, x, uniforms[:, 1], stream) if plan.scheme == "exact" else controlled_stepper(plan)
    energy = out.energies[first:last]
    recorder.at(0, x, energy)
    for k, noise in enumerate(stream.steps()):
        if stop.is_set():
            return
        step(k, x, noise, energy)
        recorder.at(k + 1, x, energy)
    if not np.isfinite(x).all():
        raise InvalidInput(
            "paths ran to NaN or infinity: the control is not finite up to the last time; use until < 1, "
            "smaller steps, "
            "or scheme='exponential'"
        )
    out.terminal[first:last] = x


def _start(plan: Plan, uniform: FloatArray, rng: np.random.Generator, first: int, last: int) -> FloatArray:
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
        and isinstance(plan.field.bridge.mu, DiscreteLaw)
    ):
        law = plan.field.bridge.mu
    if isinstance(law, DiscreteLaw):
        order = np.lexsort(law.points.T[::-1])
        ends = np.cumsum(law.weights[order])
        return law.points[order][np.searchsorted(ends, uniform * ends[-1], side="right").clip(max=law.size - 1)]
    return np.ascontiguousarray(law.sample(last - first, rng), dtype=np.float64).reshape(last - first, plan.field.dim)


class _Recorder:
    """Saves paths and collects the moments of the curve."""

    def __init__(self, plan: Plan, out: _Arrays, first: int, last: int) -> None:
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
        for column, values in enumerate((square / _unit(self.plan), account)):
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


def _collect(plan: Plan, out: _Arrays, start: float) -> Ensemble:
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


def _curve(plan: Plan, out: _Arrays) -> SampledCurve | None:
    if plan.curve is None or out.sums is None:
        return None
    count = plan.n // plan.block
    total = out.sums.sum(axis=0)
    mean = total[..., 0] / count
    stderr = np.sqrt(np.maximum(total[..., 1] / count - mean**2, 0.0) / max(count - 1, 1))
    t = plan.times[plan.curve]
    eps, unit = plan.field.epsilon * t, _unit(plan)
    rate = mean[:, 1] - 0.5 * plan.field.dim * np.log(2 * math.pi * math.e * eps)
    return SampledCurve(t, eps, unit * mean[:, 0], unit * stderr[:, 0], rate, stderr[:, 1])


def _unit(plan: Plan) -> float:
    """A power of two near ε, in which squared distances are collected: their squares stay in double precision."""
    return 2.0 ** math.floor(math.log2(plan.field.epsilon))
