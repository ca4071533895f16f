"""The forward heat semigroup on grids: ∂ₜρ = (ε/2) Δρ, so that ρ_t = ρ_0 ∗ N(0, εt I) for t ∈ [0, 1]."""

from heatrd.heat.flow import SCHEMES, HeatFlow, heat_flow
from heatrd.heat.operators import Laplacian, gradient, laplacian

__all__ = ["SCHEMES", "HeatFlow", "Laplacian", "gradient", "heat_flow", "laplacian"]
