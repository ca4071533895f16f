"""Which grid to solve on: a box that holds the tails, spaced so that the spectrum meets its noise inside the band.

For a source with a formula the box runs to where the density has fallen by e⁻⁴⁰, and the number of cells is raised
until the outer quarter of the band holds rounding noise only. Heavy tails stop the growth of the box, slowly decaying
spectra that of the number of cells; both leave a larger "noise" level behind, which the solver measures. A tabulated
density is taken on its own grid.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import ArrayLike, NDArray

from heatrd.backward.interpolation import interpolate_log
from heatrd.backward.spectral import Spectrum, spectrum_of
from heatrd.errors import InvalidInput
from heatrd.grids import Grid, as_grid, box_of, check_memory
from heatrd.sources.base import Source, Source1D
from heatrd.sources.tabulated import Tabulated

__all__ = ["ARRAYS", "box_of_source", "density_on", "finer_spectrum", "grid_for", "resolved_spectrum", "tabulation"]

FloatArray = NDArray[np.float64]
ARRAYS = 14  # arrays of the grid's shape at the peak of a backward solve, transforms included
START = {1: 1024, 2: 128, 3: 96}
FINE = {1: 1024, 2: 192, 3: 112}
FEWEST = 8  # cells per axis that splines and the search for a noise floor need
SETTLED = 1e-6
ROUNDING = 1e-11  # a white spectrum above this level may be a density too narrow for the grid: refine and see
IMAGES = 8  # periods summed on either side where tails leave the box
MOST = {1: 1 << 18, 2: 1024, 3: 192}
WIDEST = {1: 12000.0, 2: 24.0, 3: 12.0}


def tabulation(source: Source) -> Grid | None:
    """The grid a tabulated source was given on; None for other sources."""
    return as_grid(list(source.axes)) if isinstance(source, Tabulated) else None


def box_of_source(source: Source, epsilon: float = 0.0) -> tuple[FloatArray, FloatArray]:
    """Box outside which the source's density is below e⁻⁴⁰ of its peak (as far as the caps allow)."""
    scale = np.sqrt(np.maximum(np.diag(source.covariance), 1e-300))
    mean = np.asarray(source.mean, dtype=np.float64)
    if isinstance(source, Source1D):
        first, last = source.tail_cut(1e-18)
        reach = WIDEST[1] * scale[0]
        return np.array([max(first, mean[0] - reach)]), np.array([min(last, mean[0] + reach)])
    low, high = box_of(source.log_density, mean, scale, drop=40.0, widest=WIDEST[source.dim])
    return low, high


def density_on(grid: Grid, source: Source) -> FloatArray:
    """The source's density at the cell centres; refuses what is not a number there.

    A table is read at its nodes, and between them by splines of its logarithm instead of its multilinear interpolant.
    """
    table = tabulation(source)
    if isinstance(source, Tabulated) and table is not None:
        if all(np.array_equal(a, b) for a, b in zip(table.axes, grid.axes)):
            return np.array(source.density)
        spline = interpolate_log(source.density, table)
        return np.exp(grid.evaluate(spline.log_density))
    with np.errstate(divide="ignore", over="ignore"):
        values = np.exp(grid.evaluate(source.log_density))
    if not np.isfinite(values).all() or not values.any():
        raise InvalidInput(
            f"{source.name}: its density is not finite and positive on this grid; choose a grid inside the support "
            "that avoids its poles"
        )
    return np.asarray(values)


def grid_for(source: Source, memory_limit: int | None = None, fine: bool = False) -> tuple[Grid, FloatArray]:
    """Grid and density for a source with a formula; ``fine`` starts with the cells that stencils want."""
    low, high = box_of_source(source)
    n = (FINE if fine else START)[source.dim]
    before = math.inf
    while True:
        grid = Grid.uniform(low, high, [n] * source.dim)
        check_memory(grid.shape, ARRAYS, "a backward heat solve", memory_limit)
        density = _periodised(density_on(grid, source), grid, source)
        larger = n * 2 if source.dim < 3 else (n * 3) // 2 // 8 * 8
        spectrum = spectrum_of(density, grid)
        rounding = spectrum.resolved and spectrum.noise < ROUNDING
        settled = spectrum.noise < SETTLED and spectrum.noise > 0.2 * before  # refining no longer helps
        if rounding or settled or larger > MOST[source.dim]:
            return grid, density
        before = spectrum.noise
        n = larger


def _periodised(density: FloatArray, grid: Grid, source: Source) -> FloatArray:
    """Σ_k ρ(x + kL) on the line where heavy tails leave the box: its Fourier series samples μ̂ without a kink."""
    if source.dim > 1 or max(density[0], density[-1]) < 1e-22 * density.max():
        return density
    (low, high), x = grid.walls[0], grid.axes[0]
    images = [k for k in range(-IMAGES, IMAGES + 1) if k]
    return np.asarray(density + sum(np.exp(source.log_density((x + k * (high - low))[:, None])) for k in images))


def resolved_spectrum(
    source: Source,
    epsilon: float,
    grid: Grid | ArrayLike | None,
    noise: float | None,
    memory_limit: int | None,
    fine: bool = False,
) -> tuple[Spectrum, FloatArray, tuple[str, ...]]:
    """Spectrum of the source on the grid asked for, its own, or a suitable one; with remarks about the choice."""
    if source.dim > 3:
        raise InvalidInput(
            f"{source.name} has dimension {source.dim}; grids have at most 3, and it has no closed form here"
        )
    remarks: tuple[str, ...] = ()
    chosen = tabulation(source) if grid is None else as_grid(grid)
    if chosen is None:
        chosen, density = grid_for(source, memory_limit, fine)
    else:
        if chosen.dim != source.dim:
            raise InvalidInput(f"the grid has {chosen.dim} axes; {source.name} has dimension {source.dim}")
        if not chosen.is_uniform:
            chosen = _equal_spacing(chosen, density_on(chosen, source))
            remarks = ("resampled to equal spacing",)
        if min(chosen.shape) < FEWEST:
            raise InvalidInput(
                f"a grid of {chosen.shape} cells is too coarse to undo a blur; use {FEWEST} or more per axis"
            )
        check_memory(chosen.shape, ARRAYS, "a backward heat solve", memory_limit)
        density = density_on(chosen, source)
    return spectrum_of(density, chosen, epsilon, noise), density, remarks


def finer_spectrum(
    source: Source, epsilon: float, grid: Grid, noise: float | None, memory_limit: int | None
) -> tuple[Spectrum, FloatArray] | None:
    """The spectrum on half again as many cells; None for a table, or where they would be too many."""
    counts = [3 * n // 2 for n in grid.shape]
    if tabulation(source) is not None or max(counts) > MOST[source.dim]:
        return None
    check_memory(counts, ARRAYS, "a backward heat solve", memory_limit)
    finer = Grid.uniform([w[0] for w in grid.walls], [w[1] for w in grid.walls], counts)
    density = density_on(finer, source)
    return spectrum_of(density, finer, epsilon, noise), density


def _equal_spacing(grid: Grid, density: FloatArray) -> Grid:
    """Equal spacing, as coarse as the coarsest in the body: finer would show interpolation errors as signal."""
    axes = []
    for a, x in enumerate(grid.axes):
        others = tuple(b for b in range(grid.dim) if b != a)
        marginal = density.max(axis=others) if others else density
        body = (marginal[1:] > 1e-6 * marginal.max()) & (marginal[:-1] > 1e-6 * marginal.max())
        spacing = float(np.diff(x)[body].max()) if body.any() else float(np.diff(x).max())
        axes.append(np.linspace(x[0], x[-1], max(8, math.ceil((x[-1] - x[0]) / spacing) + 1)))
    return as_grid(axes)
