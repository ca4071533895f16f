"""The forward semigroup as one callable: ρ_t = ρ_0 ∗ N(0, εt I), t ∈ [0, 1], by any scheme of `schemes`.

Free space is a padded box: cells are added until the mass that would diffuse past the walls by t = 1,

    Σ_i m_i Q(dist_i / √ε)   (m the marginal along an axis, Q the Gaussian tail),

falls below 1e-16 of the total, and the walls of the padded box reflect, so that mass is kept to rounding.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import special

from heatrd import arguments
from heatrd.errors import InvalidInput
from heatrd.grids import Grid, as_grid, check_memory
from heatrd.heat import schemes
from heatrd.heat.operators import Laplacian, check_boundary

__all__ = ["SCHEMES", "HeatFlow", "heat_flow"]

FloatArray = NDArray[np.float64]

TIME_ORDER: dict[str, float] = {
    "convolution": math.inf,
    "spectral": math.inf,
    "crank-nicolson": 2,
    "rkl2": 2,
    "explicit": 1,
}
SCHEMES = ("auto", *TIME_ORDER)
_LEAK = 1e-16
_NARROWEST = 1e-150
_DEFAULT_STEPS = 64


@dataclass(frozen=True, slots=True, eq=False)
class HeatFlow:
    """The heat flow of a density on a grid: call it with a time.

    Attributes
    ----------
    initial : array of the grid's shape
        ρ_0 on `grid` (padded where the boundary is free).
    grid : Grid
        The grid of the answers.
    epsilon : float
        Variance added per coordinate by t = 1.
    scheme, boundary : str
        As in `heat_flow`.
    order : int
        Declared order in the spacing (of the time-stepping schemes).
    steps : int
        Time steps to t = 1 (of the time-stepping schemes).
    """

    initial: FloatArray
    grid: Grid
    epsilon: float
    scheme: str
    order: int
    boundary: str
    steps: int

    @property
    def time_order(self) -> float:
        """Declared order in the time step (inf for the exact schemes)."""
        return TIME_ORDER[self.scheme]

    def __call__(self, t: float) -> FloatArray:
        """ρ_t on `grid`, for t ∈ [0, 1]."""
        if not 0 <= t <= 1:
            raise InvalidInput(f"heat flow: t={t!r} is outside [0, 1]")
        variance = self.epsilon * float(t)
        if variance == 0:
            return self.initial.copy()
        walls = "periodic" if self.boundary == "periodic" else "reflecting"
        if self.scheme == "convolution" and math.sqrt(variance) >= schemes.NARROWEST * max(self.grid.spacing):
            return schemes.convolve(self.initial, self.grid, walls, variance)
        if self.scheme in ("convolution", "spectral"):
            return schemes.spectral(self.initial, self.grid, walls, variance)
        steps = max(1, math.ceil(self.steps * float(t) - 1e-9))
        if self.scheme == "crank-nicolson":
            return schemes.crank_nicolson(self.initial, self.grid, walls, variance, steps)
        laplacian = Laplacian.on(self.grid, self.order, walls)
        if self.scheme == "rkl2":
            return schemes.rkl2(self.initial, laplacian, variance, steps)
        return schemes.explicit(self.initial, laplacian, variance, steps)


def heat_flow(
    density: ArrayLike,
    grid: Grid | ArrayLike,
    epsilon: float,
    *,
    scheme: str = "auto",
    order: int = 2,
    boundary: str = "free",
    steps: int | None = None,
    memory_limit: int | None = None,
) -> HeatFlow:
    """Set up the forward heat flow of a density on a grid.

    Parameters
    ----------
    density : array of the grid's shape
        ρ_0 (any finite values; it need not be normalised).
    grid : Grid or axes
        Cell centres per axis; spacing may differ between axes and, for the order-2 schemes, along an axis.
    epsilon : float
        Variance per coordinate added by t = 1.
    scheme : {"auto", "convolution", "spectral", "crank-nicolson", "rkl2", "explicit"}
        "auto": convolution on uniform grids (spectral while the Gaussian is narrower than 1.4 cells), Crank–Nicolson
        otherwise.
    order : {2, 4, 6, 8}
        Order of the stencils of "rkl2" and "explicit".
    boundary : {"free", "reflecting", "periodic"}
        Free space is padded until less than 1e-16 of the mass reaches the walls.
    steps : int, optional
        Time steps to t = 1; default 64, and as many as stability asks for "explicit".
    memory_limit : int, optional
        Bytes allowed; default 80 % of what is available.

    Returns
    -------
    HeatFlow
        Call it with t ∈ [0, 1]; its `grid` is the padded one.

    Raises
    ------
    InvalidInput
        Unknown scheme or boundary, shapes that do not match, an unstable number of explicit steps.
    TooLarge
        The padded grid would not fit in memory.
    """
    grid = as_grid(grid)
    spacings = np.concatenate([np.diff(axis) for axis in grid.axes])
    if not (spacings.min() > _NARROWEST and spacings.max() < 1 / _NARROWEST):
        raise InvalidInput(
            f"heat flow: spacings from {spacings.min():.3g} to {spacings.max():.3g}: their squares leave double "
            "precision; change the unit of length"
        )
    rho = np.ascontiguousarray(arguments.numbers(density, "density"))
    if rho.shape != grid.shape:
        raise InvalidInput(f"heat flow: density has shape {rho.shape}, the grid {grid.shape}")
    if not np.isfinite(rho).all():
        raise InvalidInput("heat flow: the density contains NaN or inf; clean it first")
    epsilon = arguments.number(epsilon, "heat flow: epsilon")
    if epsilon < 0:
        raise InvalidInput(f"heat flow: epsilon={epsilon:g} must be a finite number >= 0")
    check_boundary(boundary)
    if scheme not in SCHEMES:
        raise InvalidInput(f"heat flow: scheme {scheme!r} is unknown; choose one of {', '.join(SCHEMES)}")
    if scheme == "auto":
        scheme = "convolution" if grid.is_uniform else "crank-nicolson"
    if scheme in ("convolution", "spectral") and not grid.is_uniform:
        raise InvalidInput(f"heat flow: scheme {scheme!r} needs equal spacing per axis; use scheme='crank-nicolson'")
    if boundary == "free":
        cells = [_padding(rho, grid, a, epsilon) for a in range(grid.dim)]
        check_memory([n + 2 * m for n, m in zip(grid.shape, cells)], 5, "the heat flow", memory_limit)
        grid = grid.padded(cells)
        rho = np.pad(rho, [(m, m) for m in cells])
    else:
        check_memory(grid.shape, 5, "the heat flow", memory_limit)
    count = _steps(grid, order, boundary, scheme, epsilon, steps)
    return HeatFlow(rho, grid, float(epsilon), scheme, order, boundary, count)


def _steps(grid: Grid, order: int, boundary: str, scheme: str, epsilon: float, steps: int | None) -> int:
    if steps is not None and (steps != int(steps) or steps < 1):
        raise InvalidInput(f"heat flow: steps={steps!r} must be a positive integer")
    if scheme not in ("explicit", "rkl2"):
        return _DEFAULT_STEPS if steps is None else int(steps)
    laplacian = Laplacian.on(grid, order, "periodic" if boundary == "periodic" else "reflecting")
    if scheme == "rkl2":
        return _DEFAULT_STEPS if steps is None else int(steps)
    needed = schemes.stable_steps(laplacian, epsilon)
    if steps is not None and steps < needed:
        raise InvalidInput(
            f"heat flow: {steps} explicit steps are unstable on this grid; use steps >= {needed}, or scheme='rkl2'"
        )
    return needed if steps is None else int(steps)


def _padding(rho: FloatArray, grid: Grid, axis: int, epsilon: float) -> int:
    """Cells to add at either end of ``axis`` so that less than 1e-16 of the mass diffuses past the walls."""
    others = tuple(b for b in range(grid.dim) if b != axis)
    marginal = np.abs(rho).sum(axis=others) if others else np.abs(rho)
    total = marginal.sum()
    if total == 0 or epsilon == 0:
        return 0
    low, high = grid.walls[axis]
    x, scale = grid.axes[axis], math.sqrt(epsilon)

    def leak(pad: float) -> float:
        out = special.ndtr(-(x - low + pad) / scale) + special.ndtr(-(high + pad - x) / scale)
        return float((marginal * out).sum() / total)

    widths = grid.widths[axis]
    step = float(max(min(widths[0], widths[-1]), 1e-300))
    few, many = 0, math.ceil(9 * scale / step) + 1
    if leak(0.0) <= _LEAK:
        return 0
    while many - few > 1:
        middle = (few + many) // 2
        few, many = (few, middle) if leak(middle * step) <= _LEAK else (middle, many)
    return many
