"""The reconstruction law ν = ρ_1 of a heat path, as weighted points.

Closed forms: atoms, a quadrature of the sphere, or a lattice weighted by the density. Numerical answers: the grid's own
points, weighted by the density; where clipping and cut-off leave ν∗G_ε short of μ, the weights are moved until it is
not (`projection`). Heavy tails on the line are continued beyond the lattice.
"""

from __future__ import annotations

import math

import numpy as np
import scipy
from numpy.typing import NDArray
from scipy import fft

from heatrd.backward.interpolation import LogInterpolant
from heatrd.backward.inversions import clip
from heatrd.backward.lattice import has_heavy_tails, lattice_law, lattice_spacing, with_tails
from heatrd.backward.projection import TOLERANCE, project
from heatrd.backward.resolution import box_of_source, tabulation
from heatrd.errors import InvalidInput
from heatrd.grids import Grid, as_grid, check_memory
from heatrd.laws import DiscreteLaw, as_law
from heatrd.sources.base import Source

__all__ = ["closed_law", "numerical_law"]

FloatArray = NDArray[np.float64]
SPACING = 0.4  # of √ε: lattices whose weights are to be moved
COARSEST = 0.75  # of √ε: spacing from which a grid is too coarse to stand for ν under the blur
LIGHT = 1e-17
NARROWEST = 1e-4  # of ε: at ε_c itself ν may jump, and no lattice resolves a jump


def closed_law(nu: Source, source: Source, epsilon: float, critical: float | None, singular: bool) -> DiscreteLaw:
    """Weighted points for a ν known in closed form."""
    if nu.is_discrete:
        return as_law(*nu.discrete_part, what="reconstruction")
    if singular:
        return _sphere_points(nu, epsilon)
    return with_tails(_lattice_of(nu, epsilon, critical), source, epsilon)


def numerical_law(
    source: Source, density: FloatArray, grid: Grid, epsilon: float, residual: float, smooth: LogInterpolant
) -> DiscreteLaw:
    """Weighted points for a ν found on a grid.

    Parameters
    ----------
    density : array of the grid's shape
        ρ_1, clipped.
    residual : float
        KL(μ‖ν∗G_ε) of it, nats.
    smooth : LogInterpolant
        log ρ_1 with the tails that drown in noise continued.
    """
    density, grid = _refined(density, grid, epsilon)
    heavy = has_heavy_tails(source)
    if residual <= TOLERANCE[source.dim] or heavy or tabulation(source) is not None:
        law = lattice_law(density, grid, epsilon, tol=0.03 * math.sqrt(2 * residual))
        return with_tails(law, source, epsilon) if heavy else law
    strides = [max(1, int(SPACING * math.sqrt(epsilon) / h)) for h in grid.spacing]
    coarse = as_grid([x[::k] for x, k in zip(grid.axes, strides)])
    points = coarse.points.reshape(-1, grid.dim)
    weights = np.exp(smooth.log_density(points))
    keep = weights > LIGHT * weights.max()
    return project(source, as_law(points[keep], weights[keep], what="reconstruction"), epsilon)


def _refined(density: FloatArray, grid: Grid, epsilon: float) -> tuple[FloatArray, Grid]:
    """The trigonometric interpolant on a finer grid, where the blur would see the lattice."""
    factors = [math.ceil(h / (COARSEST * math.sqrt(epsilon))) for h in grid.spacing]
    if max(factors) == 1:
        return density, grid
    counts = [n * k for n, k in zip(grid.shape, factors)]
    check_memory(counts, 6, "the reconstruction law")
    axes = []
    for a, (x, n, h, k) in enumerate(zip(grid.axes, counts, grid.spacing, factors)):
        density = scipy.signal.resample(density, n, axis=a)
        axes.append(x[0] + h / k * np.arange(n))
    finer = as_grid(axes)
    return clip(density, finer), finer


def _lattice_of(law: Source, epsilon: float, critical: float | None) -> DiscreteLaw:
    """Lattice law of a smooth ν: spaced for its narrowest feature, then thinned axis by axis."""
    low, high = box_of_source(law)
    narrow = math.inf if critical is None else max(critical - epsilon, NARROWEST * epsilon)
    spread = float(np.linalg.eigvalsh(law.covariance)[0])
    spacing = lattice_spacing(epsilon, min(narrow, spread), law.dim)
    counts = [max(8, math.ceil((b - a) / spacing)) for a, b in zip(low, high)]
    check_memory(counts, 8, "the reconstruction law")
    grid = Grid.uniform(low, high, [fft.next_fast_len(n, real=True) for n in counts])
    nu = np.exp(grid.evaluate(law.log_density))
    return lattice_law(nu, grid, epsilon)


def _sphere_points(law: Source, epsilon: float) -> DiscreteLaw:
    """Quadrature of the uniform law on a sphere: equally spaced points on the circle, Gauss × equally spaced on S²."""
    radius = float(getattr(law, "radius", 0.0))
    if not radius or law.dim not in (2, 3):
        raise InvalidInput(f"{law.name}: this singular reconstruction has no quadrature here; use a smaller epsilon")
    reach = radius / math.sqrt(epsilon)
    count = 24 + 2 * math.ceil(4 * reach + reach**2)
    angle = 2 * np.pi * np.arange(count) / count
    circle = np.stack([np.cos(angle), np.sin(angle)], axis=-1)
    if law.dim == 2:
        return as_law(radius * circle, what="reconstruction")
    z, w = np.polynomial.legendre.leggauss(count // 2)
    ring = np.sqrt(1 - z**2)[:, None, None] * circle
    points = np.concatenate([ring, np.broadcast_to(z[:, None, None], (*ring.shape[:2], 1))], axis=-1)
    return as_law(radius * points.reshape(-1, 3), np.repeat(w, count), what="reconstruction")
