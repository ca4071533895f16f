"""Time stepping for ∂ₜρ = (ε/2) Δρ: each scheme advances grid values over a variance s = εt in N steps.

============== ===== ====== ============================================= ==========================
scheme         time  space  stable for                                    positive
============== ===== ====== ============================================= ==========================
explicit       1     2…     (ε τ/2) λ ≤ 2, λ the spectral radius of −Δ    order 2, (ε τ/2) λ ≤ 1
rkl2           2     2…     every step, √ many stages                     not promised
crank-nicolson 2     2      every step                                    not promised
convolution    exact exact  —                                             yes
spectral       exact exact  —                                             up to rounding
============== ===== ====== ============================================= ==========================

RKL2: Meyer, Balsara & Aslam, J. Comput. Phys. 257 (2014) 594, s stages reach (s² + s − 2)/4 explicit steps.
Crank–Nicolson sweeps one axis after the other; the axes commute, so the splitting adds no error (an ADI scheme
without its usual correction terms). The convolution samples the Gaussian where it is wide enough (√s ≥ 0.9 h: its
error, like exp(−2π² s/h²), is then below 2e-7 relative to the highest frequencies the grid holds and below rounding
for resolved ones from √s ≥ 1.4 h on).
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import fft

from heatrd.errors import InvalidInput
from heatrd.grids import Grid, ghost_index
from heatrd.heat.operators import AxisOperator, Laplacian, axis_operator, sweep
from heatrd.kernels import steps as kernels
from heatrd.kernels import tridiagonal

__all__ = [
    "advance_blocked",
    "convolve",
    "crank_nicolson",
    "explicit",
    "gaussian_taps",
    "rkl2",
    "rkl2_stages",
    "spectral",
    "stable_steps",
]

FloatArray = NDArray[np.float64]
NARROWEST = 1.4  # √s/h from which sampled Gaussian taps are exact to rounding: exp(−2π²·1.96) = 1.6e-17
LINE = 8  # cells of a cache line
CACHE = 1 << 19  # bytes of a core's second cache that a tile may fill
MOST_TAPS = 10_000_000
WIDEST = 8.6  # standard deviations kept: erfc leaves 8e-18


def stable_steps(laplacian: Laplacian, variance: float) -> int:
    """Smallest number of explicit steps over ``variance`` that is stable: (s/2N) λ ≤ 2."""
    return max(1, math.ceil(variance * laplacian.bound / 4 * (1 - 1e-12)))


def explicit(values: FloatArray, laplacian: Laplacian, variance: float, steps: int) -> FloatArray:
    """Forward Euler: ρ ← ρ + (s/2N) Δρ, N times."""
    needed = stable_steps(laplacian, variance)
    if steps < needed:
        raise InvalidInput(
            f"explicit scheme: {steps} steps are unstable on this grid; use steps >= {needed}, or scheme='rkl2'"
        )
    rho = np.array(values, dtype=np.float64)
    work = np.empty_like(rho)
    for _ in range(steps):
        laplacian.apply(rho, work)
        work *= variance / (2 * steps)
        rho += work
    return rho


def rkl2_stages(laplacian: Laplacian, variance: float, steps: int) -> int:
    """Odd number of RKL2 stages that makes a step of ``variance / steps`` stable."""
    ratio = variance / steps * laplacian.bound / 4  # in explicit steps
    stages = max(3, math.ceil(0.5 * (math.sqrt(9 + 16 * ratio) - 1)))
    return stages + 1 - stages % 2


def rkl2(values: FloatArray, laplacian: Laplacian, variance: float, steps: int) -> FloatArray:
    """Super-time-stepping by Runge–Kutta–Legendre polynomials of order 2."""
    stages = rkl2_stages(laplacian, variance, steps)
    rho = np.array(values, dtype=np.float64)
    for _ in range(steps):
        rho = _rkl2_step(rho, laplacian, variance / (2 * steps), stages)
    return rho


def _rkl2_step(y0: FloatArray, laplacian: Laplacian, tau: float, stages: int) -> FloatArray:
    j = np.arange(stages + 1, dtype=np.float64)
    b = np.full(stages + 1, 1.0 / 3.0)
    b[2:] = (j[2:] ** 2 + j[2:] - 2) / (2 * j[2:] * (j[2:] + 1))
    w1 = 4.0 / (stages**2 + stages - 2)
    ly0 = laplacian.apply(y0)
    before, now = y0.copy(), y0 + b[1] * w1 * tau * ly0
    ly = np.empty_like(y0)
    for k in range(2, stages + 1):
        mu = (2 * k - 1) / k * b[k] / b[k - 1]
        nu = -(k - 1) / k * b[k] / b[k - 2]
        mu_tilde = mu * w1 * tau
        gamma = -(1 - b[k - 1]) * mu_tilde
        laplacian.apply(now, ly)
        kernels.legendre_stage(
            now.ravel(), before.ravel(), y0.ravel(), ly.ravel(), ly0.ravel(), mu, nu, mu_tilde, gamma
        )
        now, before = before, now
    return now


def crank_nicolson(values: FloatArray, grid: Grid, boundary: str, variance: float, steps: int) -> FloatArray:
    """Crank–Nicolson sweeps, axis by axis: (I − rL) ρ⁺ = (I + rL) ρ with r = s/4N."""
    rho = np.array(values, dtype=np.float64)
    sweeps = [_AxisSolver(axis_operator(grid, a, 2, boundary), variance / (4 * steps)) for a in range(grid.dim)]
    for _ in range(steps):
        for solver in sweeps:
            rho = solver.step(rho)
    return rho


class _AxisSolver:
    """One Crank–Nicolson sweep; periodic corners by the Sherman–Morrison formula."""

    def __init__(self, operator: AxisOperator, r: float) -> None:
        self.operator, self.r = operator, r
        self.periodic = operator.boundary == "periodic"
        lower, centre, upper = -r * operator.lower, 1 - r * operator.centre, -r * operator.upper
        if self.periodic:
            self.corner = (lower[0], upper[-1], -centre[0])  # T = T' + u vᵀ, u = (γ, 0…, β), v = (1, 0…, α/γ)
            centre = centre.copy()
            centre[0] -= self.corner[2]
            centre[-1] -= self.corner[0] * self.corner[1] / self.corner[2]
        self.lower = lower
        self.p, self.q = np.empty_like(centre), np.empty_like(centre)
        tridiagonal.factor(lower, centre, upper, self.p, self.q)
        if self.periodic:
            column = np.zeros(centre.size)
            column[0], column[-1] = self.corner[2], self.corner[1]
            self.column = self._solve(column[None, :, None])[0, :, 0]

    def _solve(self, f: FloatArray) -> FloatArray:
        tridiagonal.solve_rows(f, self.lower, self.p, self.q)
        return f

    def step(self, rho: FloatArray) -> FloatArray:
        axis = self.operator.axis
        right = np.zeros(rho.shape)
        self.operator.add(rho, right)
        right *= self.r
        right += rho
        f = right.reshape(math.prod(rho.shape[:axis]), rho.shape[axis], -1)
        self._solve(f)
        if self.periodic:
            ratio = self.corner[0] / self.corner[2]
            dot = (f[:, 0] + ratio * f[:, -1]) / (1 + self.column[0] + ratio * self.column[-1])
            f -= dot[:, None, :] * self.column[None, :, None]
        return right


def gaussian_taps(variance: float, spacing: float) -> FloatArray:
    """Half of the sampled Gaussian of ``variance`` on ``spacing``, w₀ … w_r with w₀ + 2 Σ w_k = 1."""
    reach = max(1.0, WIDEST * math.sqrt(variance) / spacing)
    if not reach <= MOST_TAPS:
        raise InvalidInput(
            f"a Gaussian of variance {variance:.3g} spans {reach:.3g} cells of width {spacing:.3g}; coarsen the grid"
        )
    reach = math.ceil(reach)
    taps = np.exp(-0.5 * (spacing * np.arange(reach + 1)) ** 2 / variance)
    return np.asarray(taps / (taps[0] + 2 * taps[:0:-1].sum()))


def convolve(values: FloatArray, grid: Grid, boundary: str, variance: float) -> FloatArray:
    """Separable banded Gaussian convolution, one axis after the other; exact for √s ≥ 1.4 h."""
    rho = np.ascontiguousarray(values, dtype=np.float64)
    for a, h in enumerate(grid.spacing):
        if math.sqrt(variance) < NARROWEST * h:
            raise InvalidInput(
                f"spacing {h:.3g} along axis {a} does not resolve a Gaussian of variance {variance:.3g}; "
                f"use spacing <= {math.sqrt(variance) / NARROWEST:.3g}, or scheme='spectral'"
            )
        out = np.zeros(rho.shape)
        sweep(rho, gaussian_taps(variance, h), 1.0, a, boundary, out)
        rho = out
    return rho


def spectral(values: FloatArray, grid: Grid, boundary: str, variance: float) -> FloatArray:
    """Exact semigroup of the trigonometric interpolant: modes × exp(−s‖ω‖²/2) (FFT; cosines where reflecting)."""
    if boundary == "periodic":
        modes = fft.rfftn(values)
        for a, (n, h) in enumerate(zip(grid.shape, grid.spacing)):
            omega = 2 * np.pi * (fft.rfftfreq(n, h) if a == grid.dim - 1 else fft.fftfreq(n, h))
            modes *= _along(np.exp(-0.5 * variance * omega**2), a, grid.dim)
        return np.asarray(fft.irfftn(modes, s=grid.shape))
    modes = fft.dctn(values, type=2)
    for a, (n, h) in enumerate(zip(grid.shape, grid.spacing)):
        modes *= _along(np.exp(-0.5 * variance * (np.pi * np.arange(n) / (n * h)) ** 2), a, grid.dim)
    return np.asarray(fft.idctn(modes, type=2))


def _along(factor: FloatArray, axis: int, dim: int) -> FloatArray:
    return factor.reshape([-1 if a == axis else 1 for a in range(dim)])


def advance_blocked(
    rho: FloatArray,
    numbers: tuple[float, ...],
    steps: int,
    *,
    boundary: str = "reflecting",
    block: int = 4,
    threads: int = 1,
) -> FloatArray:
    """Order-2 explicit steps, ``block`` of them for each pass through memory.

    Parameters
    ----------
    rho : C-contiguous array of dimension 1, 2 or 3
        Overwritten; use what is returned.
    numbers : tuple of float
        r_a = ετ/(2h_a²), one per axis; stable and positive for Σ r_a ≤ ½.
    steps : int
    boundary : {"reflecting", "periodic"}
    block : int
        Steps per pass (temporal blocking); 1 reads and writes every cell at each step.
    threads : int
        Slabs along the first axis, in more than one dimension, each advanced in a thread.

    Returns
    -------
    array of the shape of ``rho``
    """
    with ThreadPoolExecutor(max_workers=max(threads, 1)) as pool:
        if rho.ndim == 1:
            return _advance_lines(rho, numbers, steps, boundary, block)
        return _advance_slabs(rho, numbers, steps, boundary, block, threads, pool)


def _advance_slabs(
    rho: FloatArray,
    numbers: tuple[float, ...],
    steps: int,
    boundary: str,
    block: int,
    threads: int,
    pool: ThreadPoolExecutor,
) -> FloatArray:
    """Planes and space, in place: slabs along the first axis, their fields moved back and forth by a block of rows."""
    slabs = _slabs(rho, min(threads, max(1, rho.shape[0] // max(block, 1))))
    most = max(1, min(block, steps, min(len(s) for s in slabs)))
    phase, periodic = _phase(rho), boundary == "periodic"
    fields = [_MovingField(slab, _scratch((3 * most, *rho.shape[1:]), phase)) for slab in slabs]
    done, start = 0, 0
    while done < steps:
        k = min(most, steps - done)
        forward = start - k >= -most
        _fill_ghosts(fields, start, k, boundary)
        jobs = [(f.rows, f.side, start, k, forward, *numbers, periodic) for f in fields]
        if rho.ndim == 2:
            _in_threads(pool, kernels.advance_2d, [(*job, LINE - phase) for job in jobs])
        else:
            _in_threads(pool, _advance_tiles, jobs)
        done, start = done + k, start - k if forward else start + k
    for field in fields:
        field.bring_home(start)
    return rho


@dataclass(frozen=True, slots=True)
class _MovingField:
    """Rows of a plane that may begin a few positions before their array; see `kernels.advance_2d`."""

    rows: FloatArray
    side: FloatArray

    def __getitem__(self, position: int) -> FloatArray:
        n, before = len(self.rows), 2 * (len(self.side) // 3)
        if 0 <= position < n:
            return np.asarray(self.rows[position])
        return np.asarray(self.side[before + position - (n if position >= n else 0)])

    def bring_home(self, start: int) -> None:
        """Move the field from ``start`` ≤ 0 to position 0."""
        if start < 0:
            kernels.shift_rows(self.rows.reshape(len(self.rows), -1), -start)
            self.rows[:-start] = self.side[2 * (len(self.side) // 3) + start :][:-start]


def _advance_tiles(
    rho: FloatArray,
    side: FloatArray,
    start: int,
    k: int,
    forward: bool,
    r0: float,
    r1: float,
    r2: float,
    periodic: bool,
) -> None:
    """k steps in space, by tiles along the second axis whose planes at work fit the cache."""
    n, m, p = rho.shape
    width = m if periodic else max(k, CACHE // (8 * (2 * k + 1) * p))
    starts = range(0, max(m - width, 0) + 1, width)
    edges, lead = np.empty((k, n + 2 * k, p if len(starts) > 1 else 0)), -_phase(rho) % LINE
    for begin, end in itertools.pairwise((*starts, m)):
        kernels.advance_3d(rho, side, start, k, forward, r0, r1, r2, periodic, begin, end, edges, lead)


def _fill_ghosts(fields: list[_MovingField], start: int, k: int, boundary: str) -> None:
    """Copy the k rows on either side of each field from its neighbours, or from where the boundary says."""
    owners = [(field, start + i) for field in fields for i in range(len(field.rows))]
    index = ghost_index(len(owners), k, boundary)
    first = 0
    for field in fields:
        n = len(field.rows)
        for i in (*range(-k, 0), *range(n, n + k)):
            owner, position = owners[index[first + i + k]]
            field[start + i][:] = owner[position]
        first += n


def _advance_lines(rho: FloatArray, numbers: tuple[float, ...], steps: int, boundary: str, block: int) -> FloatArray:
    """A line, in place, with ghosts copied beforehand."""
    done = 0
    while done < steps:
        k = min(block, steps - done, rho.size)
        index = ghost_index(rho.size, k, boundary)
        kernels.advance_1d(rho, rho[index[:k]], rho[index[-k:]], np.empty((k, 3)), *numbers)
        done += k
    return rho


def _phase(values: FloatArray) -> int:
    """Where in a cache line an array begins, in cells."""
    return values.ctypes.data // 8 % LINE


def _scratch(shape: tuple[int, ...], phase: int = 0) -> FloatArray:
    """An uninitialised array that begins ``phase`` cells after the beginning of a cache line."""
    room = np.empty(math.prod(shape) + 2 * LINE)
    start = (phase - _phase(room)) % LINE
    return room[start : start + math.prod(shape)].reshape(shape)


def _slabs(rho: FloatArray, count: int) -> list[FloatArray]:
    edges = np.linspace(0, rho.shape[0], count + 1).astype(int)
    return [rho[a:b] for a, b in itertools.pairwise(edges)]


def _in_threads(pool: ThreadPoolExecutor, kernel: Callable[..., None], jobs: list[tuple[Any, ...]]) -> None:
    if len(jobs) == 1 or pool._max_workers == 1:
        for job in jobs:
            kernel(*job)
    else:
        list(pool.map(lambda job: kernel(*job), jobs))
