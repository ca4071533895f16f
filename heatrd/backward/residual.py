"""The Fokker–Planck residual of a path: does (ρ, u) satisfy ∂ₜρ + ∇·(ρu) = (ε/2)Δρ on the grid?

ρ_t and u_t are the path's own answers at the cell centres; ∇· and Δ are stencils of a declared order, ∂ₜ a central
difference of order 4.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from heatrd.errors import InvalidInput
from heatrd.heat.operators import first_taps, laplacian, sweep

__all__ = ["fokker_planck_residual"]


def fokker_planck_residual(path: Any, t: float, order: int, step: float) -> float:
    """‖∂ₜρ + ∇·(ρu) − (ε/2)Δρ‖₁ / ‖(ε/2)Δρ‖₁ of a path (`density`, `control`, `grid`, `epsilon`) at time t."""
    if not 2 * step <= t <= 1 - 2 * step:
        raise InvalidInput(f"t={t:g} must lie in [{2 * step:g}, {1 - 2 * step:g}] for a time step of {step:g}")
    grid = path.grid
    rho = path.density(t)
    before, after = (
        (path.density(t - step), path.density(t - 2 * step)),
        (path.density(t + step), path.density(t + 2 * step)),
    )
    change = (8 * (after[0] - before[0]) - (after[1] - before[1])) / (12 * step)
    control = path.control(t, grid.points).reshape(*grid.shape, grid.dim)
    divergence = np.zeros(grid.shape)
    for a, h in enumerate(grid.spacing):
        flux = np.ascontiguousarray(np.where(rho > 0, rho * control[..., a], 0.0))
        sweep(flux, first_taps(order) / h, -1.0, a, "free", divergence)
    diffusion = 0.5 * path.epsilon * laplacian(rho, grid, order=order, boundary="free")
    return float(np.abs(change + divergence - diffusion).sum() / np.abs(diffusion).sum())
