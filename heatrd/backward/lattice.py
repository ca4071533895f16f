"""A reconstruction law for a smooth ν: lattice points weighted by density.

Replacing ν by Σ_j |cell| ν(y_j) δ_{y_j} changes ν∗G_ε by the aliases of ν's spectrum, damped by exp(−ε‖ω‖²/2): for a
broad ν a ripple exp(−2π²ε/Δ²) of spacing Δ; for a Gaussian ν of variance v, exp(−2π² (vε/(v+ε))/Δ²) relative to the
density at every point. Δ = ¾ √(vε/(v+ε)) makes that 6e-16. On a grid the strides per axis are the largest whose
change of ν∗G_ε, measured, stays below a tolerance.

Heavy tails on the line leave any lattice. A blur of ε hardly changes them, so beyond a cut ν is made of the tail cells
of μ, which widen outwards: an atom of mass P at a cell's centre of mass costs F no more than P width²/24ε.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray
from scipy import fft

from heatrd.grids import Grid
from heatrd.laws import DiscreteLaw, as_law
from heatrd.quadrature.line import LineQuadrature
from heatrd.sources.base import Source, Source1D

__all__ = ["has_heavy_tails", "lattice_law", "lattice_spacing", "with_tails"]

FloatArray = NDArray[np.float64]
SPACING = {1: 0.75, 2: 0.75, 3: 0.95}  # of √(vε/(v+ε)): relative ripples of 6e-16 and, in space, 3e-10
DROP = {1: 1e-18, 2: 1e-17, 3: 1e-12}  # weights left out, relative to the largest
TOLERANCE = {1: 1e-13, 2: 1e-13, 3: 1e-10}
STRIDES = (16, 12, 10, 8, 6, 5, 4, 3, 2)
HEAVY = 10.0  # tails that reach this much farther at mass 1e-15 than at 1e-4 are no Gaussian's
CUTS = 10.0 ** np.arange(-9, -1)  # masses at which the tail may take over from the lattice


def lattice_spacing(epsilon: float, narrowest: float, dim: int) -> float:
    """Spacing that represents a ν whose narrowest feature has variance ``narrowest`` under a blur of ``epsilon``."""
    if math.isinf(narrowest):
        return SPACING[dim] * math.sqrt(epsilon)
    return SPACING[dim] * math.sqrt(epsilon * narrowest / (epsilon + narrowest))


def lattice_law(density: FloatArray, grid: Grid, epsilon: float, *, tol: float = 0.0) -> DiscreteLaw:
    """Weighted lattice points that stand for ``density`` under a blur of variance ``epsilon``.

    Parameters
    ----------
    density : array of the grid's shape
        ν ≥ 0 on a uniform grid that resolves it.
    tol : float
        Largest L1 change of ν∗G_ε that coarsening may cause (at least `TOLERANCE`).
    """
    nu = density / (density.sum() * grid.cell)
    tol = max(tol, TOLERANCE[grid.dim])
    offset = np.unravel_index(int(np.argmax(nu)), nu.shape)
    pick = [_stride(nu, grid, a, int(offset[a]), epsilon, tol) for a in range(grid.dim)]
    chosen = tuple(slice(int(offset[a]) % pick[a], None, pick[a]) for a in range(grid.dim))
    weights = nu[chosen]
    points = np.stack(np.meshgrid(*(x[s] for x, s in zip(grid.axes, chosen)), indexing="ij"), axis=-1)
    flat = weights.ravel()
    keep = flat > DROP[grid.dim] * flat.max()
    return as_law(points.reshape(-1, grid.dim)[keep], flat[keep], what="reconstruction")


def _stride(nu: FloatArray, grid: Grid, axis: int, offset: int, epsilon: float, tol: float) -> int:
    """Largest stride along one axis whose aliases, seen through the blur, stay below ``tol``."""
    h = grid.spacing[axis]
    n = nu.shape[axis]
    omega = 2 * np.pi * fft.rfftfreq(n, h).reshape([-1 if a == axis else 1 for a in range(grid.dim)])
    kernel = np.exp(-0.5 * epsilon * omega**2)
    for k in STRIDES:
        if n // k < 4 or k * h > SPACING[grid.dim] * math.sqrt(epsilon):
            continue
        comb = np.zeros(n)
        comb[offset % k :: k] = k
        comb = comb.reshape([-1 if a == axis else 1 for a in range(grid.dim)])
        change = fft.irfft(fft.rfft(nu * (comb - 1.0), axis=axis) * kernel, n=n, axis=axis)
        if float(np.abs(change).sum()) * grid.cell <= tol:
            return k
    return 1


def has_heavy_tails(source: Source) -> bool:
    """Whether a law on the line reaches out for so long that no lattice follows it."""
    if not isinstance(source, Source1D) or not all(map(math.isinf, source.support)):
        return False
    (near_low, near_high), (far_low, far_high) = source.tail_cut(1e-4), source.tail_cut(1e-15)
    return far_high - far_low > HEAVY * (near_high - near_low)


def with_tails(law: DiscreteLaw, source: Source, epsilon: float) -> DiscreteLaw:
    """Continue a lattice law on the line by the tail cells of ``source`` where these are heavy."""
    if not isinstance(source, Source1D) or not has_heavy_tails(source):
        return law
    points = law.points[:, 0]
    for mass in CUTS:
        quadrature = LineQuadrature(source, tail_mass=float(mass))
        low, high = quadrature.core
        if points.min() <= low and points.max() >= high:
            break
    tails = quadrature.measure(epsilon / quadrature.scale**2).tails
    inside = (points > low) & (points < high)
    weights = law.weights[inside] * ((1.0 - tails.total) / law.weights[inside].sum())
    beyond = quadrature.shift + quadrature.scale * tails.centre
    return as_law(
        np.concatenate([points[inside], beyond]), np.concatenate([weights, tails.mass]), what="reconstruction"
    )
