"""A reconstruction law on the line with its bounds."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from heatrd.certificate.line import LineBounds, bound_lagrangian
from heatrd.quadrature.line_measure import LineMeasure
from heatrd.reconstruction.interior_point import Nodes

__all__ = ["LineLaw", "with_tails"]

FloatArray = NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class LineLaw:
    """Reconstruction law in standard units: y (m,), w (m,) sorted and normalised with the tails; bounds; effort."""

    y: FloatArray
    w: FloatArray
    nodes: Nodes
    bounds: LineBounds
    rounds: int


def with_tails(measure: LineMeasure, nodes: Nodes, epsilon: float, tol: float, rounds: int = 0) -> LineLaw:
    """Normalise, add an atom per tail cell, and bound."""
    y = np.concatenate([nodes.y, measure.flanks.y, measure.tails.centre])
    w = np.concatenate([nodes.nu, measure.flanks.nu, measure.tails.mass])
    order = np.argsort(y, kind="stable")
    y, w = y[order], w[order] / w.sum()
    return LineLaw(y, w, nodes, bound_lagrangian(measure, y, w, epsilon, tol), rounds)
