"""Rectangular grids of cells in one, two and three dimensions.

A `Grid` is a tensor product of axes. An axis is a list of cell centres x_0 < … < x_{n−1}; its walls lie at the
midpoints, and the outer walls mirror the first and last half-width. On a uniform axis every cell has width h. Sums
over cells weighted by cell volume are integrals: exact to rounding for smooth densities that vanish at the
walls (trapezoidal rule), and exactly conserved by the finite-volume heat operators.
"""

from __future__ import annotations

import math
import os
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from heatrd import arguments
from heatrd.errors import InvalidInput, TooLarge

__all__ = ["Grid", "TensorProduct", "as_grid", "available_memory", "box_of", "check_memory", "ghost_index"]

FloatArray = NDArray[np.float64]
BOUNDARIES = ("free", "reflecting", "periodic")
_UNIFORM_TOLERANCE = 1e-9


@dataclass(frozen=True, slots=True, eq=False)
class TensorProduct:
    """All combinations of the coordinates in ``axes``, a tuple of (n_a,) arrays."""

    axes: tuple[FloatArray, ...]

    @property
    def dim(self) -> int:
        return len(self.axes)

    @property
    def shape(self) -> tuple[int, ...]:
        return tuple(x.size for x in self.axes)

    @property
    def size(self) -> int:
        return math.prod(self.shape)


@dataclass(frozen=True, slots=True, eq=False)
class Grid(TensorProduct):
    """A tensor product of cell centres.

    Attributes
    ----------
    axes : tuple of (n_a,) arrays
        Strictly increasing cell centres along each axis, in the source's units.
    """

    @classmethod
    def uniform(cls, low: ArrayLike, high: ArrayLike, shape: int | Sequence[int]) -> Grid:
        """Divide the box [low, high] into ``shape`` equal cells (the centres lie half a cell inside the walls)."""
        pairs = (("low", low), ("high", high), ("shape", shape))
        given = [np.atleast_1d(arguments.numbers(value, f"grid: {name}")) for name, value in pairs]
        try:
            lows, highs, counts = np.broadcast_arrays(*given)
        except ValueError:
            lengths = ", ".join(str(v.size) for v in given)
            raise InvalidInput(f"grid: low, high and shape have lengths {lengths}; need equal ones") from None
        if lows.ndim != 1 or not (np.isfinite(lows).all() and np.isfinite(highs).all() and (highs > lows).all()):
            raise InvalidInput(f"grid: need finite low < high per axis; got low={low!r}, high={high!r}")
        if not ((counts >= 2) & (counts == np.floor(counts)) & (counts < 2**40)).all():
            raise InvalidInput(f"grid: need at least 2 cells per axis; got shape={arguments.short(shape)}")
        check_memory([int(n) for n in counts], 1, "a grid")
        return as_grid([_centres(a, b, int(n)) for a, b, n in zip(lows, highs, counts)])

    @property
    def uniform_axes(self) -> tuple[bool, ...]:
        """Whether each axis has equal spacing (to 1e-9)."""
        return tuple(_is_uniform(x) for x in self.axes)

    @property
    def is_uniform(self) -> bool:
        return all(self.uniform_axes)

    @property
    def spacing(self) -> tuple[float, ...]:
        """Cell width along each axis (the mean one where the axis is not uniform)."""
        return tuple(float((x[-1] - x[0]) / (x.size - 1)) for x in self.axes)

    @property
    def widths(self) -> tuple[FloatArray, ...]:
        """Cell widths along each axis, shapes (n_a,)."""
        return tuple(_widths(x) for x in self.axes)

    @property
    def walls(self) -> tuple[tuple[float, float], ...]:
        """Outer walls along each axis."""
        return tuple((float(x[0] - w[0] / 2), float(x[-1] + w[-1] / 2)) for x, w in zip(self.axes, self.widths))

    @property
    def cell(self) -> float:
        """Volume of a cell of a uniform grid."""
        return math.prod(self.spacing)

    @property
    def volumes(self) -> FloatArray:
        """Cell volumes, of the grid's shape (a scalar array on uniform grids)."""
        if self.is_uniform:
            return np.asarray(self.cell)
        total = np.ones(())
        for widths in self.widths:
            total = np.multiply.outer(total, widths)
        return total

    @property
    def points(self) -> FloatArray:
        """All cell centres, shape (*shape, d)."""
        return np.stack(np.meshgrid(*self.axes, indexing="ij"), axis=-1)

    def integrate(self, values: FloatArray) -> float:
        """Integral of grid values over the box."""
        return float(np.sum(values * self.volumes))

    def padded(self, cells: Sequence[int]) -> Grid:
        """The grid with ``cells[a]`` more cells at either end of axis a (continuing the outermost spacing)."""
        return as_grid([_extend(x, int(m)) for x, m in zip(self.axes, cells)])

    def evaluate(self, function: Callable[[FloatArray], FloatArray], block: int = 1 << 20) -> FloatArray:
        """Values of ``function`` (points (m, d) → (m,)) at all centres, evaluated in blocks to bound memory."""
        out = np.empty(self.shape)
        rows = max(1, block * self.shape[0] // self.size)
        for start in range(0, self.shape[0], rows):
            part = (self.axes[0][start : start + rows], *self.axes[1:])
            points = np.stack(np.meshgrid(*part, indexing="ij"), axis=-1)
            out[start : start + rows] = np.asarray(function(points.reshape(-1, self.dim))).reshape(points.shape[:-1])
        return out


def as_grid(axes: Grid | ArrayLike | Sequence[ArrayLike]) -> Grid:
    """Validate axes of cell centres and return a `Grid`.

    Parameters
    ----------
    axes : Grid, (n,) array_like, or sequence of (n_a,) array_like
        Strictly increasing finite coordinates, at least two per axis, at most three axes.
    """
    if isinstance(axes, Grid):
        return axes
    try:
        given: Any = axes
        listed = [given] if np.ndim(given[0]) == 0 else list(given)
        arrays = tuple(np.array(arguments.numbers(x, "grid: axis")) for x in listed)
    except (TypeError, ValueError, OverflowError, IndexError, KeyError) as error:
        raise InvalidInput(f"grid: need one increasing array of coordinates per axis: {error}") from None
    if not 1 <= len(arrays) <= 3:
        raise InvalidInput(f"grid: {len(arrays)} axes given; grids have 1, 2 or 3")
    for a, x in enumerate(arrays):
        if x.ndim != 1 or x.size < 2 or not np.isfinite(x).all() or not (np.diff(x) > 0).all():
            raise InvalidInput(f"grid: axis {a} must hold at least 2 finite, strictly increasing coordinates")
    return Grid(arrays)


def ghost_index(n: int, reach: int, boundary: str) -> NDArray[np.int64]:
    """Cells that stand for cells −reach … n−1+reach of the extended axis, shape (n + 2 reach,); −1 for a zero."""
    i = np.arange(-reach, n + reach)
    if boundary == "periodic":
        return i % n
    if boundary == "reflecting":
        i = i % (2 * n)
        return np.where(i < n, i, 2 * n - 1 - i)
    return np.where((i >= 0) & (i < n), i, -1)


def box_of(
    log_density: Callable[[FloatArray], FloatArray],
    mean: FloatArray,
    scale: FloatArray,
    *,
    drop: float = 40.0,
    widest: float = 64.0,
) -> tuple[FloatArray, FloatArray]:
    """Smallest box found outside which log ρ < max log ρ − ``drop``, by growing and trimming a coarse grid.

    Parameters
    ----------
    log_density : callable
        (m, d) → (m,).
    mean, scale : (d,) arrays
        Centre and standard deviations of the law.
    drop : float
        Fall of log ρ that counts as nothing (40: densities of 4e-18 of the peak).
    widest : float
        Half-width, in standard deviations, at which growth stops (heavy tails).

    Returns
    -------
    low, high : (d,) arrays
    """
    dim = mean.size
    counts = {1: 1025, 2: 129, 3: 49}[dim]
    half = np.full((2, dim), 6.0)
    for _ in range(40):
        low, high = mean - half[0] * scale, mean + half[1] * scale
        values = _coarse_values(log_density, low, high, counts)
        kept = values > values.max() - drop
        grow = np.zeros((2, dim), dtype=bool)
        for a in range(dim):
            others = tuple(b for b in range(dim) if b != a)
            along = kept.any(axis=others) if others else kept
            grow[0, a], grow[1, a] = along[0], along[-1]
        grow &= half < widest
        if not grow.any():
            break
        half = np.where(grow, np.minimum(half * 1.5, widest), half)
    return _trim(kept, low, high)


def _coarse_values(log_density: Callable[..., FloatArray], low: FloatArray, high: FloatArray, n: int) -> FloatArray:
    axes = [np.linspace(a, b, n) for a, b in zip(low, high)]
    points = np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1)
    values = np.asarray(log_density(points.reshape(-1, low.size)), dtype=np.float64).reshape(points.shape[:-1])
    return np.where(np.isnan(values), -np.inf, values)


def _trim(kept: NDArray[np.bool_], low: FloatArray, high: FloatArray) -> tuple[FloatArray, FloatArray]:
    n = kept.shape[0]
    step = (high - low) / (n - 1)
    new_low, new_high = low.copy(), high.copy()
    for a in range(low.size):
        others = tuple(b for b in range(low.size) if b != a)
        along = np.flatnonzero(kept.any(axis=others) if others else kept)
        new_low[a] = low[a] + step[a] * max(along[0] - 1, 0)
        new_high[a] = low[a] + step[a] * min(along[-1] + 1, n - 1)
    return new_low, new_high


def available_memory() -> int:
    """Bytes that can be allocated: what is free (best guess of the operating system), within its own limit."""
    return max(0, min(_free_memory(), _address_space_left()))


def _address_space_left() -> int:
    """What RLIMIT_AS leaves to this process."""
    try:
        import resource

        limit = resource.getrlimit(resource.RLIMIT_AS)[0]
        if limit == resource.RLIM_INFINITY:
            return sys.maxsize
        with open("/proc/self/statm", encoding="ascii") as pages:
            return limit - int(pages.read().split()[0]) * resource.getpagesize()
    except (ImportError, OSError, ValueError):
        return sys.maxsize


def _free_memory() -> int:
    try:
        with open("/proc/meminfo", encoding="ascii") as info:
            for line in info:
                if line.startswith("MemAvailable:"):
                    return int(line.split()[1]) * 1024
    except OSError:
        pass
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // 2
    except (ValueError, OSError, AttributeError):
        return 4 << 30


def check_memory(shape: Sequence[int], arrays: float, what: str, limit: int | None = None) -> None:
    """Refuse a grid whose predicted memory does not fit, naming the largest of the same proportions that does.

    Parameters
    ----------
    shape : sequence of int
        Cells per axis.
    arrays : float
        Arrays of that shape, in float64, that the computation holds at its peak.
    what : str
        The computation, for the message.
    limit : int, optional
        Bytes allowed; default 80 % of the memory available now.

    Raises
    ------
    TooLarge
        With ``largest``, the shape that fits.
    """
    allowed = int(0.8 * available_memory()) if limit is None else int(limit)
    needed = 8.0 * arrays * math.prod(float(n) for n in shape)
    if needed <= allowed:
        return
    factor = (allowed / needed) ** (1.0 / len(shape))
    largest = tuple(max(2, int(n * factor)) for n in shape)
    raise TooLarge(
        f"{what} on a grid of {' × '.join(map(str, shape))} cells needs {needed / 2**30:.3g} GiB; "
        f"{allowed / 2**30:.3g} GiB may be used. The largest grid of these proportions that fits is "
        f"{' × '.join(map(str, largest))}: coarsen the grid or shrink the box",
        largest=largest,
    )


def _centres(low: float, high: float, n: int) -> FloatArray:
    """Counted from the middle, so that the cells of a wide box are equal to the last digit where the mass is."""
    return np.asarray(0.5 * (low + high) + (high - low) / n * (np.arange(n) - 0.5 * (n - 1)))


def _is_uniform(x: FloatArray) -> bool:
    steps = np.diff(x)
    slack = _UNIFORM_TOLERANCE * steps.mean() + 8 * np.finfo(float).eps * np.abs(x).max()
    return bool(np.abs(steps - steps.mean()).max() <= slack)


def _widths(x: FloatArray) -> FloatArray:
    if _is_uniform(x):
        return np.full(x.size, (x[-1] - x[0]) / (x.size - 1))
    walls = np.concatenate(([1.5 * x[0] - 0.5 * x[1]], (x[1:] + x[:-1]) / 2, [1.5 * x[-1] - 0.5 * x[-2]]))
    return np.diff(walls)


def _extend(x: FloatArray, cells: int) -> FloatArray:
    first, last = (x[1] - x[0], x[-1] - x[-2]) if not _is_uniform(x) else ((x[-1] - x[0]) / (x.size - 1),) * 2
    steps = np.arange(1, cells + 1)
    return np.concatenate((x[0] - first * steps[::-1], x, x[-1] + last * steps))
