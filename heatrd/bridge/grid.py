"""The grid route to the same bridge: both potentials marched by the heat equation with stencils.

φ solves ∂_t φ = −(ε/2)Δφ backwards from a time t₁ < 1, φ̂ solves ∂_t φ̂ = (ε/2)Δφ̂ forwards from a time t₀ > 0;
between the two both are on
the grid and u = ε∇log φ is a difference of logs. The start values are the closed forms (a sum over atoms, a
quadrature of μ/φ_0), already
smooth on the scales √(ε(1−t₁)) and √(εt₀), so the error is that of the stencils: O(h^order) at fixed t.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from heatrd.errors import InvalidInput
from heatrd.grids import Grid, as_grid
from heatrd.heat import HeatFlow, gradient, heat_flow

if TYPE_CHECKING:
    from heatrd.bridge.schrodinger import SchrodingerBridge

__all__ = ["GridBridge", "grid_bridge"]

FloatArray = NDArray[np.float64]
_FLOOR = 1e-300


@dataclass(frozen=True, slots=True, eq=False)
class GridBridge:
    """Potentials on a grid at any time in [start, end].

    Attributes
    ----------
    epsilon, start, end : float
        Diffusion coefficient, t₀ and t₁.
    order : int
        Declared order of the stencils.
    backward, forward : HeatFlow
        The flows of φ (from t₁ down) and of φ̂ (from t₀ up); they share `grid`.
    """

    epsilon: float
    start: float
    end: float
    order: int
    backward: HeatFlow
    forward: HeatFlow

    @property
    def grid(self) -> Grid:
        """Where the answers live."""
        return self.backward.grid

    def potential(self, t: float) -> FloatArray:
        """φ_t, of the grid's shape."""
        return self.backward((self.end - self._time(t)) / (self.end - self.start))

    def copotential(self, t: float) -> FloatArray:
        """φ̂_t, of the grid's shape."""
        return self.forward((self._time(t) - self.start) / (self.end - self.start))

    def density(self, t: float) -> FloatArray:
        """ρ_t = φ_t φ̂_t, of the grid's shape."""
        return self.potential(t) * self.copotential(t)

    def control(self, t: float) -> FloatArray:
        """u_t = ε∇log φ_t by stencils of the same order, shape ``(*shape, d)``."""
        return self.epsilon * gradient(np.log(np.maximum(self.potential(t), _FLOOR)), self.grid, order=self.order)

    def energy_rate(self, t: float) -> float:
        """E‖u_t‖²/2ε = ∫ (ε/2)‖∇log φ‖² φ φ̂, nats per unit of time."""
        return self.grid.integrate((self.control(t) ** 2).sum(axis=-1) * self.density(t)) / (2 * self.epsilon)

    def entropy(self, t: float) -> float:
        """h(X_t), nats."""
        rho = self.density(t)
        live = rho > _FLOOR
        return -self.grid.integrate(np.where(live, rho * np.log(np.where(live, rho, 1.0)), 0.0))

    def _time(self, t: float) -> float:
        if not self.start <= t <= self.end:
            raise InvalidInput(f"t = {t} is outside [{self.start:.6g}, {self.end:.6g}], where this grid bridge lives")
        return float(t)


def grid_bridge(
    bridge: SchrodingerBridge,
    grid: Grid,
    *,
    start: float = 0.1,
    end: float = 0.9,
    order: int = 8,
    scheme: str = "rkl2",
    steps: int | None = None,
) -> GridBridge:
    """March both potentials of a bridge on a uniform grid.

    Parameters
    ----------
    bridge : SchrodingerBridge
    grid : Grid or axes
        Uniform; its walls reflect, so leave room for the tails of ρ.
    start, end : float
        t₀ and t₁, 0 < t₀ < t₁ < 1.
    order : {2, 4, 6, 8}
        Order of the stencils.
    scheme, steps
        As in `heatrd.heat.heat_flow`.
    """
    grid = as_grid(grid)
    if not 0 < start < end < 1:
        raise InvalidInput(f"start = {start}, end = {end}; need 0 < start < end < 1")
    points = grid.points.reshape(-1, grid.dim)
    epsilon = bridge.epsilon * (end - start)
    flows = [
        heat_flow(
            values.reshape(grid.shape), grid, epsilon, scheme=scheme, order=order, boundary="reflecting", steps=steps
        )
        for values in (bridge.potential(end, points), bridge.copotential(start, points))
    ]
    return GridBridge(bridge.epsilon, start, end, order, *flows)
