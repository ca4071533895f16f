"""Stretches of the line that are solved again while the rest of ν stays."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from heatrd.certificate.line import evaluate_potential
from heatrd.quadrature.line_measure import LineMeasure
from heatrd.reconstruction.interior_point import Nodes

__all__ = ["Stretch", "background", "stretches"]

FloatArray = NDArray[np.float64]

_MARGIN = 30.0  # a stretch reaches this far (in √ε) beyond what it is solved for


@dataclass(frozen=True, slots=True, eq=False)
class Stretch:
    """The source nodes that matter to an interval, which nodes lie in it, and the log-potential of the others."""

    x: FloatArray
    mass: FloatArray
    inner: slice
    background: FloatArray | None

    @classmethod
    def cut(cls, measure: LineMeasure, nodes: Nodes, epsilon: float, a: float, b: float) -> Stretch:
        reach = 8 * math.sqrt(epsilon)
        rows = slice(*np.searchsorted(measure.x, [a - reach, b + reach]))
        x = measure.x[rows]
        first, left = np.searchsorted(nodes.y, [a - 2 * reach, a])
        right, last = np.searchsorted(nodes.y, [b, b + 2 * reach], side="right")
        near = nodes.take(np.r_[first:left, right:last])
        return cls(x, measure.mass[rows], slice(left, right), background(measure, x, epsilon, near))


def stretches(points: FloatArray, epsilon: float) -> list[tuple[float, float]]:
    """Disjoint intervals about sorted points."""
    margin = _MARGIN * math.sqrt(epsilon)
    if points.size == 0:
        return []
    breaks = np.flatnonzero(np.diff(points) > 2 * margin)
    left = points[np.concatenate([[0], breaks + 1])] - margin
    right = points[np.concatenate([breaks, [points.size - 1]])] + margin
    return list(zip(left.tolist(), right.tolist()))


def background(measure: LineMeasure, x: FloatArray, epsilon: float, near: Nodes | None = None) -> FloatArray | None:
    """Log-potential at x of the settled part of ν, and of nodes held fixed; None where there is nothing."""
    y, nu = measure.flanks.y, measure.flanks.nu
    if x.size and y.size:
        reach = 12 * math.sqrt(epsilon)
        close = (y >= x[0] - reach) & (y <= x[-1] + reach)
        y, nu = y[close], nu[close]
    if near is not None:
        y, nu = np.concatenate([y, near.y]), np.concatenate([nu, near.nu])
    if y.size == 0 or x.size == 0:
        return None
    order = np.argsort(y, kind="stable")
    return evaluate_potential(x, y[order], nu[order], epsilon)[0]
