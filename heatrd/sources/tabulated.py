"""Tabulated densities: multilinear interpolation of values on a rectangular grid, d ≤ 3.

The density is Σ_k p_k Π_i φ_{k_i}(x_i) with the hat functions φ of each axis. So mass, mean and covariance are
exact linear functionals of the table, by
∫φ, ∫xφ and ∫x²φ, and on the line the distribution function is a quadratic and −∫ p log p a closed form in
every cell. Every interior node where the slope changes is
a kink, hence ε_c = 0. Outside the grid the density is zero.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Any

import numpy as np
import scipy
from numpy.typing import ArrayLike
from scipy import special

from heatrd import arguments
from heatrd.errors import InvalidInput
from heatrd.sources import _checks
from heatrd.sources.base import FloatArray, Source, Source1D

__all__ = ["Tabulated", "from_grid"]

_MASS_TOLERANCE = 1e-3
_ROUNDING = 1e-14  # relative: tables that differ by less are one
_NOTHING = 1e-30  # of the greatest value, which is as good as zero
_NODES = 6  # Gauss points per axis and cell for the entropy, all axes but the last


def from_grid(coords: Any, density: ArrayLike, normalize: bool = False) -> Source:
    """Make a source from a density tabulated on a rectangular grid.

    Parameters
    ----------
    coords : (n,) array_like, or a sequence of d arrays (n_i,)
        Grid coordinates, strictly increasing, not necessarily even.
    density : (n,) or (n_1, ..., n_d) array_like
        Non-negative values of the density, axes in the order of ``coords``; interpolated multilinearly between
        nodes and zero outside.
    normalize : bool
        Rescale the table to total mass one. Without it, a mass that differs from one by more than 1e-3 is
        refused (a smaller difference, of the size of an interpolation error, is rescaled).

    Raises
    ------
    InvalidInput
        Shapes that do not match, coordinates that do not increase, NaN, negative or unnormalised density, d > 3.
    """
    return Tabulated(coords, density, normalize=normalize)


class Tabulated(Source):
    """A density given on a grid (see `from_grid`); on the line it is also a `Source1D`."""

    name = "tabulated"

    def __new__(cls, coords: Any = ((0.0, 1.0),), density: Any = (1.0, 1.0), normalize: bool = False) -> Tabulated:
        if cls is Tabulated and arguments.numbers(density, "tabulated: density").ndim == 1:
            return super().__new__(Tabulated1D)
        return super().__new__(cls)

    def __init__(self, coords: Any, density: ArrayLike, normalize: bool = False) -> None:
        table = _checks.array(density, "density", self.name)
        self.axes = _axes(coords, table.shape)
        self.dim = table.ndim
        if (table < 0).any():
            raise InvalidInput(
                f"tabulated: the density is negative at {int((table < 0).sum())} nodes (least {table.min():g})"
            )
        top = table.max()
        if top == 0:
            raise InvalidInput("tabulated: the density is zero everywhere")
        self._widths = [float(axis[-1] - axis[0]) for axis in self.axes]
        mass = _contract(table / top, [h[0] for h in self._hats(np.array([a[0] for a in self.axes]))])
        log_mass = float(np.log(mass) + np.log(top) + np.log(self._widths).sum())
        if not normalize and not abs(log_mass) <= _MASS_TOLERANCE:
            raise InvalidInput(
                f"tabulated: the density integrates to {_exp(log_mass):.6g}, not 1; pass normalize=True (--normalize) "
                "to rescale it"
            )
        self._given = table, bool(normalize)  # kept: to normalise twice would change last digits
        self._unit_density = table / top / mass
        self.density = self._unit_density
        with np.errstate(over="ignore", invalid="ignore"):
            for width in self._widths:
                self.density = self.density / width
            held = np.isfinite(self.covariance).all() and np.isfinite(self.density).all() and self.density.any()
        if not held:
            raise InvalidInput("tabulated: density or variance leave double precision; change the unit of length")

    def __reduce__(self) -> Any:
        return Tabulated, (self.axes, *self._given)

    @property
    def parameters(self) -> Mapping[str, Any]:
        table, normalize = self._given
        return {"coords": self.axes[0] if self.dim == 1 else self.axes, "density": table, "normalize": normalize}

    def _hats(self, origin: FloatArray) -> list[tuple[FloatArray, FloatArray, FloatArray]]:
        """Hat-function moments about ``origin`` in units of each axis' width, where nothing overflows."""
        return [_hat_integrals((axis - o) / w) for axis, o, w in zip(self.axes, origin, self._widths)]

    @cached_property
    def factors(self) -> tuple[tuple[tuple[int, ...], Source], ...] | None:
        """Axes on which the table is a product, but for rounding, are independent."""
        return _independent_axes(self.axes, self._unit_density)

    @property
    def mean(self) -> FloatArray:
        start = np.array([axis[0] for axis in self.axes])
        hats = self._hats(start)
        unit = [_contract(self._unit_density, [h[int(i == k)] for k, h in enumerate(hats)]) for i in range(self.dim)]
        return np.asarray(start + np.array(unit) * self._widths)

    @property
    def covariance(self) -> FloatArray:
        hats = self._hats(self.mean)
        result = np.empty((self.dim, self.dim))
        for i, j in np.ndindex(self.dim, self.dim):
            power = [(k == i) + (k == j) for k in range(self.dim)]
            result[i, j] = _contract(self._unit_density, [h[p] for h, p in zip(hats, power)])
        with np.errstate(over="ignore"):
            return np.asarray(result * np.outer(self._widths, self._widths))

    def log_density(self, x: ArrayLike) -> FloatArray:
        x = np.asarray(x, dtype=np.float64)
        table = scipy.interpolate.RegularGridInterpolator(self.axes, self.density, bounds_error=False, fill_value=0.0)
        with np.errstate(divide="ignore"):
            return np.asarray(np.log(np.maximum(table(x.reshape(-1, self.dim)), 0.0))).reshape(x.shape[:-1])

    def entropy(self) -> float | None:
        """−∫ p log p: along the last axis in closed form, Gauss–Legendre in the cells of the others."""
        t, w = np.polynomial.legendre.leggauss(_NODES)
        t, w = 0.5 * (1.0 + t), 0.5 * w
        fine = self._unit_density
        for axis in range(self.dim - 1):  # interpolate one axis after the other onto the Gauss points of its cells
            low, high = (np.moveaxis(part, axis, -1)[..., None] for part in _cell_ends(fine, axis))
            values = low + (high - low) * t
            fine = np.moveaxis(values.reshape(*values.shape[:-2], -1), -1, axis)
        lengths = [np.diff(nodes / width) for nodes, width in zip(self.axes, self._widths)]
        weights = [(length[:, None] * w).ravel() for length in lengths[:-1]]
        inside = _contract(_segment_entropy(*_cell_ends(fine, self.dim - 1)), [*weights, lengths[-1]])
        return inside + float(np.log(self._widths).sum())

    def sample(self, n: int, rng: np.random.Generator | int | None = None) -> FloatArray:
        """A cell by its mass, then rejection of uniform points in the cell under its highest corner."""
        rng = np.random.default_rng(rng)
        shape = tuple(len(a) - 1 for a in self.axes)
        corners = [
            self.density[tuple(slice(o, o + s) for o, s in zip(offset, shape))]
            for offset in np.ndindex(*[2] * self.dim)
        ]
        volume = _outer([np.diff(a) / np.ptp(a) for a in self.axes])
        mass = (np.mean(corners, axis=0) * volume).ravel()
        height = np.max(corners, axis=0).ravel()
        out, todo = np.empty((n, self.dim)), np.arange(n)
        cell = rng.choice(mass.size, size=n, p=mass / mass.sum())
        while todo.size:
            index = np.unravel_index(cell[todo], shape)
            for i, (axis, k) in enumerate(zip(self.axes, index)):
                out[todo, i] = axis[k] + (axis[k + 1] - axis[k]) * rng.random(todo.size)
            kept = rng.random(todo.size) * height[cell[todo]] <= np.exp(self.log_density(out[todo]))
            todo = todo[~kept]
        return out

    def critical_epsilon(self) -> float:
        return 0.0

    def deblurred(self, epsilon: float) -> Source | None:
        return self if epsilon == 0 else None


class Tabulated1D(Tabulated, Source1D):
    """A piecewise linear density on the line."""

    dim = 1

    def __init__(self, coords: Any, density: ArrayLike, normalize: bool = False) -> None:
        super().__init__(coords, density, normalize)
        occupied = np.flatnonzero(self.density > 0)
        first, last = max(occupied[0] - 1, 0), min(occupied[-1] + 1, self.density.size - 1)
        self._x, self._p = self.axes[0][first : last + 1], self.density[first : last + 1]
        cells = 0.5 * np.diff(self._x) * (self._p[1:] + self._p[:-1])
        self._below = np.concatenate([[0.0], np.cumsum(cells)])
        with np.errstate(over="ignore"):
            self._slopes = np.diff(self._p) / np.diff(self._x)
        if not np.isfinite(self._slopes).all():
            raise InvalidInput("tabulated: a slope of the density overflows; change the unit of length")

    @property
    def support(self) -> tuple[float, float]:
        return float(self._x[0]), float(self._x[-1])

    @property
    def breakpoints(self) -> Sequence[float]:
        """Interior nodes where the slope changes."""
        steepest = np.abs(self._slopes).max()
        kinks = np.abs(np.diff(self._slopes)) > 1e-12 * steepest
        return tuple(float(x) for x in self._x[1:-1][kinks])

    def logpdf(self, x: ArrayLike) -> FloatArray:
        with np.errstate(divide="ignore"):
            return np.asarray(np.log(np.interp(np.asarray(x, dtype=np.float64), self._x, self._p, left=0.0, right=0.0)))

    def log_density(self, x: ArrayLike) -> FloatArray:
        return Source1D.log_density(self, x)

    def cdf(self, x: ArrayLike) -> FloatArray:
        x = np.clip(np.asarray(x, dtype=np.float64), *self.support)
        k = np.clip(np.searchsorted(self._x, x, side="right") - 1, 0, len(self._slopes) - 1)
        step = x - self._x[k]
        return np.clip(self._below[k] + step * (self._p[k] + 0.5 * self._slopes[k] * step), 0.0, 1.0)

    def tail_cut(self, mass: float) -> tuple[float, float]:
        _checks.mass_fraction(mass)
        above = np.concatenate([np.cumsum(np.diff(self._below)[::-1])[::-1], [0.0]])
        a = self._x[np.flatnonzero(self._below <= mass)[-1]]
        b = self._x[np.flatnonzero(above <= mass)[0]]
        return float(a), float(b)


def _exp(value: float) -> float:
    """exp, infinite where it overflows."""
    with np.errstate(over="ignore"):
        return float(np.exp(value))


def _axes(coords: Any, shape: tuple[int, ...]) -> tuple[FloatArray, ...]:
    """Bring the coordinates to one increasing array per axis and check them against the table."""
    if not 1 <= len(shape) <= 3:
        raise InvalidInput(f"tabulated: the density has {len(shape)} axes; from_grid takes 1, 2 or 3")
    several = isinstance(coords, (tuple, list)) and len(coords) > 0 and arguments.numbers(coords[0], "coords").ndim == 1
    axes = [_checks.array(c, "coords", "tabulated") for c in (coords if several else [coords])]
    if len(axes) == 1 and axes[0].ndim == 2 and len(axes[0]) == len(shape) == 1:
        axes = [axes[0][0]]
    if len(axes) != len(shape):
        raise InvalidInput(
            f"tabulated: {len(axes)} coordinate arrays for a density of shape {shape}; need one per axis"
        )
    for i, axis in enumerate(axes):
        if axis.shape != (shape[i],):
            raise InvalidInput(f"tabulated: axis {i} has {axis.size} coordinates but the density has shape {shape}")
        if axis.size < 2:
            raise InvalidInput(f"tabulated: axis {i} has one node; need at least two")
        if not (np.diff(axis) > 0).all():
            raise InvalidInput(
                f"tabulated: the coordinates of axis {i} must increase strictly; sort them and drop repeats"
            )
    return tuple(axes)


def _independent_axes(
    axes: Sequence[FloatArray], table: FloatArray
) -> tuple[tuple[tuple[int, ...], Source], ...] | None:
    """The table as a product of tables of its axes, in their order; None where it is none."""
    if table.ndim == 1:
        return None
    for axis in range(table.ndim):
        flat = np.moveaxis(table, axis, 0).reshape(table.shape[axis], -1)
        i, j = np.unravel_index(flat.argmax(), flat.shape)
        one, other = flat[:, j] / flat[i, j], flat[i]
        if (np.abs(flat - np.outer(one, other)) > _ROUNDING * flat + _NOTHING * flat[i, j]).any():
            continue
        rest = [k for k in range(table.ndim) if k != axis]
        other = other.reshape([table.shape[k] for k in rest])
        others = [axes[k] for k in rest]
        deeper = _independent_axes(others, other)
        if deeper is None:
            deeper = ((tuple(range(len(rest))), Tabulated(others, other, normalize=True)),)
        parts: list[tuple[tuple[int, ...], Source]] = [((axis,), Tabulated([axes[axis]], one, normalize=True))]
        parts += [(tuple(rest[k] for k in index), part) for index, part in deeper]
        return tuple(sorted(parts, key=lambda part: part[0]))
    return None


def _hat_integrals(x: FloatArray) -> tuple[FloatArray, FloatArray, FloatArray]:
    """∫φ_k, ∫xφ_k, ∫x²φ_k of the hat functions on the nodes ``x``."""
    a, b, h = x[:-1], x[1:], np.diff(x)
    left = (h / 2, h * (2 * a + b) / 6, h * (3 * a * a + 2 * a * b + b * b) / 12)  # against the hat that falls from a
    right = (h / 2, h * (a + 2 * b) / 6, h * (a * a + 2 * a * b + 3 * b * b) / 12)  # against the hat that rises to b
    zero = np.zeros(1)
    moments = [np.concatenate([lo, zero]) + np.concatenate([zero, hi]) for lo, hi in zip(left, right)]
    return moments[0], moments[1], moments[2]


def _cell_ends(table: FloatArray, axis: int) -> tuple[FloatArray, FloatArray]:
    n = table.shape[axis]
    return np.take(table, np.arange(n - 1), axis), np.take(table, np.arange(1, n), axis)


def _segment_entropy(p: FloatArray, q: FloatArray) -> FloatArray:
    """−∫₀¹ r log r dt for r = p + (q − p)t: by the primitive r²(1 − 2 log r)/4, by Gauss–Legendre where p and
    q are close.
    """
    t, w = np.polynomial.legendre.leggauss(12)
    smooth = special.entr(p[..., None] + (q - p)[..., None] * (0.5 * (1.0 + t))) @ (0.5 * w)
    close = np.abs(q - p) <= 0.5 * np.maximum(p, q)
    primitive = (0.5 * q * special.entr(q) + 0.25 * q * q) - (0.5 * p * special.entr(p) + 0.25 * p * p)
    return np.where(close, smooth, primitive / np.where(close, 1.0, q - p))


def _contract(table: FloatArray, vectors: Sequence[FloatArray]) -> float:
    result = table
    for v in reversed(vectors):
        result = result @ v
    return float(result)


def _outer(vectors: Sequence[FloatArray]) -> FloatArray:
    result = vectors[0]
    for v in vectors[1:]:
        result = result[..., None] * v
    return result
