"""Means over laws, and the differential entropy of what a control starts from."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from heatrd.bridge import ProductBridge, SchrodingerBridge
from heatrd.bridge.nodes import source_nodes
from heatrd.laws import DiscreteLaw
from heatrd.sources import Source

__all__ = ["entropy_of", "mean", "source_entropy"]

FloatArray = NDArray[np.float64]


def mean(law: DiscreteLaw, values: FloatArray) -> float:
    live = law.weights > 0
    return float(law.weights[live] @ values[live])


def entropy_of(bridge: SchrodingerBridge) -> float:
    if isinstance(bridge, ProductBridge):
        return sum(entropy_of(factor) for factor in bridge.factors)
    return -np.inf if bridge.source is None else source_entropy(bridge.source, bridge.mu)


def source_entropy(source: Source, nodes: DiscreteLaw | None) -> float:
    """h(μ), in closed form or on the quadrature nodes."""
    value = source.entropy()
    if value is not None:
        return float(value)
    if len(source.discrete_part[1]):
        return -np.inf
    law = source_nodes(source, 0.01 * source.total_variance / source.dim) if nodes is None else nodes
    log_density = np.asarray(source.log_density(law.points))
    return -mean(law, log_density) if np.isfinite(log_density).all() else -np.inf
