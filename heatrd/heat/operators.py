"""Finite-difference operators on grids: Laplacian and gradient of order 2, 4, 6, 8 (and any even order beyond).

On a uniform axis the central weights of order 2r reproduce derivatives of polynomials of degree 2r + 1 and 2r; their
symbols are

    second derivative   −ω² (1 − C_r (ωh)^{2r} + …),   C_r = 2 (r!)² / (2r+2)!  for even order 2r,
    first derivative     iω (1 − c_r (ωh)^{2r} + …),   c_r = (r!)² / (2r+1)!.

On a non-uniform axis the finite-volume operator of order 2 is used,

    (Lρ)_i = [ (ρ_{i+1} − ρ_i)/(x_{i+1} − x_i) − (ρ_i − ρ_{i−1})/(x_i − x_{i−1}) ] / V_i,

whose volume-weighted column sums vanish, so mass is kept; on uniform axes the columns of every order sum to
zero under reflecting and periodic boundaries. Reflecting walls mirror cells (ρ_{−1−i} = ρ_i), free ones see zeros.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from heatrd.errors import InvalidInput
from heatrd.grids import BOUNDARIES, Grid, ghost_index
from heatrd.kernels import stencils

__all__ = ["AxisOperator", "Laplacian", "axis_operator", "first_taps", "gradient", "laplacian", "second_taps", "sweep"]

FloatArray = NDArray[np.float64]


def second_taps(order: int) -> FloatArray:
    """Weights w₀ … w_r (times h⁻²) of the central second derivative of even ``order`` = 2r."""
    r = _radius(order)
    w = np.array([2.0 * _base_weight(r, k) / k**2 for k in range(1, r + 1)])
    return np.concatenate(([-2.0 * w.sum()], w))


def first_taps(order: int) -> FloatArray:
    """Weights 0, w₁ … w_r (times h⁻¹) of the central first derivative of even ``order`` = 2r."""
    r = _radius(order)
    return np.array([0.0] + [_base_weight(r, k) / k for k in range(1, r + 1)])


def sweep(values: FloatArray, taps: FloatArray, parity: float, axis: int, boundary: str, out: FloatArray) -> None:
    """Add the banded (anti)symmetric sweep along ``axis`` to ``out`` (kernels/stencils)."""
    before, n, after = _folded(values.shape, axis)
    index = ghost_index(n, taps.size - 1, boundary)
    if after == 1:
        line = np.empty(n + 2 * (taps.size - 1))
        stencils.sweep_lines(values.reshape(before, n), taps, parity, index, line, out.reshape(before, n))
    else:
        stencils.sweep_rows(values.reshape(before, n, after), taps, parity, index, out.reshape(before, n, after))


@dataclass(frozen=True, slots=True, eq=False)
class AxisOperator:
    """Second derivative along one axis: tridiagonal rows, or symmetric taps where ``taps`` is given.

    Attributes
    ----------
    lower, centre, upper : (n,) arrays
        Rows of the order-2 operator, boundaries folded in except for the periodic corners ``lower[0]``, ``upper[-1]``.
    taps : (r + 1,) array or None
        Symmetric weights of a uniform axis, for any order.
    """

    axis: int
    boundary: str
    lower: FloatArray
    centre: FloatArray
    upper: FloatArray
    taps: FloatArray | None

    @property
    def bound(self) -> float:
        """Upper bound of the spectral radius."""
        if self.taps is not None:
            return float(np.abs(self.taps[0]) + 2 * np.abs(self.taps[1:]).sum())
        return float((np.abs(self.lower) + np.abs(self.centre) + np.abs(self.upper)).max())

    def add(self, values: FloatArray, out: FloatArray) -> None:
        """Add the operator applied to ``values`` to ``out``."""
        if self.taps is not None:
            sweep(values, self.taps, 1.0, self.axis, self.boundary, out)
            return
        before, n, after = _folded(values.shape, self.axis)
        index = ghost_index(n, 1, self.boundary)
        shape = (before, n, after)
        stencils.tridiagonal_rows(values.reshape(shape), self.lower, self.centre, self.upper, index, out.reshape(shape))


def axis_operator(grid: Grid, axis: int, order: int = 2, boundary: str = "reflecting") -> AxisOperator:
    """Build the second-derivative operator of one axis."""
    check_boundary(boundary)
    x = grid.axes[axis]
    uniform = grid.uniform_axes[axis]
    taps = second_taps(order) / grid.spacing[axis] ** 2
    if not uniform and order != 2:
        raise InvalidInput(f"order {order} needs equal spacing along axis {axis}; use order=2, or resample the density")
    lower, centre, upper = _finite_volume_rows(x, grid.widths[axis], boundary)
    return AxisOperator(axis, boundary, lower, centre, upper, taps if uniform else None)


@dataclass(frozen=True, slots=True, eq=False)
class Laplacian:
    """Δ on a grid, as a sum of axis operators of a declared order."""

    parts: tuple[AxisOperator, ...]
    order: int

    @classmethod
    def on(cls, grid: Grid, order: int = 2, boundary: str = "reflecting") -> Laplacian:
        """Build Δ of even ``order`` on ``grid``; non-uniform axes admit order 2."""
        return cls(tuple(axis_operator(grid, a, order, boundary) for a in range(grid.dim)), order)

    @property
    def bound(self) -> float:
        """Upper bound of the spectral radius of −Δ."""
        return sum(part.bound for part in self.parts)

    def apply(self, values: FloatArray, out: FloatArray | None = None) -> FloatArray:
        """Return Δ values (written to ``out`` where given)."""
        out = np.zeros(values.shape) if out is None else out
        out.fill(0.0)
        values = np.ascontiguousarray(values, dtype=np.float64)
        for part in self.parts:
            part.add(values, out)
        return out


def laplacian(values: FloatArray, grid: Grid, *, order: int = 2, boundary: str = "reflecting") -> FloatArray:
    """Δ of grid values.

    Parameters
    ----------
    values : array of the grid's shape
    grid : Grid
    order : {2, 4, 6, 8, ...}
        Declared order of the error in the spacing.
    boundary : {"reflecting", "periodic", "free"}
        What stands beyond the walls: mirrored cells, the other end, zeros.

    Returns
    -------
    array of the grid's shape
    """
    return Laplacian.on(grid, order, boundary).apply(_on(grid, values))


def gradient(values: FloatArray, grid: Grid, *, order: int = 2, boundary: str = "reflecting") -> FloatArray:
    """∇ of grid values on a uniform grid, shape (*shape, d); parameters as in `laplacian`."""
    check_boundary(boundary)
    if not grid.is_uniform:
        raise InvalidInput("gradient needs equal spacing along every axis; use numpy.gradient on other grids")
    values = np.ascontiguousarray(_on(grid, values))
    out = np.zeros((grid.dim, *grid.shape))
    for a, h in enumerate(grid.spacing):
        sweep(values, first_taps(order) / h, -1.0, a, boundary, out[a])
    return np.moveaxis(out, 0, -1)


def check_boundary(boundary: str) -> None:
    """Refuse an unknown boundary."""
    if boundary not in BOUNDARIES:
        raise InvalidInput(f"boundary {boundary!r} is unknown; choose one of {', '.join(BOUNDARIES)}")


def _on(grid: Grid, values: FloatArray) -> FloatArray:
    values = np.asarray(values, dtype=np.float64)
    if values.shape != grid.shape:
        raise InvalidInput(f"values have shape {values.shape}; the grid has {grid.shape}")
    return values


def _radius(order: int) -> int:
    if order < 2 or order % 2 or order > 24:
        raise InvalidInput(f"order {order} is not available; choose an even order from 2 (2, 4, 6, 8 are usual) to 24")
    return order // 2


def _base_weight(r: int, k: int) -> float:
    sign = 1 if k % 2 else -1
    return sign * math.factorial(r) ** 2 / (math.factorial(r - k) * math.factorial(r + k))


def _folded(shape: tuple[int, ...], axis: int) -> tuple[int, int, int]:
    return math.prod(shape[:axis]), shape[axis], math.prod(shape[axis + 1 :])


def _finite_volume_rows(x: FloatArray, widths: FloatArray, boundary: str) -> tuple[FloatArray, FloatArray, FloatArray]:
    gaps = np.diff(x)
    ends = {"reflecting": np.inf, "periodic": (widths[0] + widths[-1]) / 2, "free": None}[boundary]
    first, last = (widths[0], widths[-1]) if ends is None else (ends, ends)
    lower = 1.0 / (widths * np.concatenate(([first], gaps)))
    upper = 1.0 / (widths * np.concatenate((gaps, [last])))
    centre = -(lower + upper)
    return lower, centre, upper
