"""Quadrature nodes of a source, for the bridge and for transport."""

from __future__ import annotations

import math

import numpy as np

from heatrd.laws import DiscreteLaw
from heatrd.quadrature.line import LineQuadrature
from heatrd.quadrature.space import space_nodes
from heatrd.sources import Source, Source1D

__all__ = ["source_nodes"]

_MASS = 1e-13


def source_nodes(source: Source, epsilon: float) -> DiscreteLaw:
    """Return nodes and masses of a source, fine enough for kernels of variance ``epsilon``.

    Parameters
    ----------
    source : Source
    epsilon : float
        Variance of the kernels to be integrated against, in the source's units squared.
    """
    if source.is_discrete:
        points, masses = source.discrete_part
        return DiscreteLaw(np.asarray(points, dtype=np.float64), masses / masses.sum())
    if isinstance(source, Source1D):
        line = LineQuadrature(source)
        measure = line.measure(epsilon / line.scale**2)
        return DiscreteLaw((measure.x * line.scale + line.shift)[:, None], measure.mass)
    nodes = space_nodes(source, 0.45 * math.sqrt(epsilon), _MASS)
    return DiscreteLaw(nodes.points, nodes.weights)
