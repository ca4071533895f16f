"""Entropic optimal transport: `sinkhorn`, the Sinkhorn divergence, the barycentric map (DESIGN (7))."""

from heatrd.transport.measures import Marginal
from heatrd.transport.plan import TransportPlan
from heatrd.transport.solver import sinkhorn, sinkhorn_divergence

__all__ = ["Marginal", "TransportPlan", "sinkhorn", "sinkhorn_divergence"]
