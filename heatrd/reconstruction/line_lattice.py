"""Where the nodes of ν on the line are tried first."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from heatrd.quadrature.line_measure import LineMeasure

__all__ = ["APART", "line_lattice"]

FloatArray = NDArray[np.float64]

APART = 10.0  # source nodes farther apart than this (in √ε) are solved side by side
SMOOTH, BETWEEN = 0.9, 0.45  # the closest spacing far from where the density is not smooth, and on the way there
_NEAR = 24.0  # near, in √ε; the way is as long again


def line_lattice(measure: LineMeasure, epsilon: float, spacing: float) -> FloatArray:
    """Points of about ``spacing``·√ε where atoms are not settled.

    Beside a settled comb they are in step with it: only nodes that can carry it on join it without a seam. There they
    are closer where the density is not smooth.
    """
    root = math.sqrt(epsilon)
    low, high = float(measure.x[0]), float(measure.x[-1])
    left, right = measure.settled
    if not (left or right):
        return _over_clusters(measure.x, epsilon, spacing)
    y = measure.flanks.y
    below, above = y[y < 0.5 * (low + high)], y[y >= 0.5 * (low + high)]
    middle = 0.5 * (below[-1] + above[0]) if left and right else (high if left else low)
    parts = []
    if left:
        step = float(below[-1] - below[-2])
        parts.append(_carried_on(measure.rough, float(below[-1]), middle + 0.25 * spacing * root, step, spacing, root))
    if right:
        step = float(above[1] - above[0])
        parts.append(_carried_on(measure.rough, float(above[0]), middle - 0.25 * spacing * root, -step, spacing, root))
    points = np.unique(np.concatenate(parts))
    close = np.flatnonzero(np.diff(points) < 0.1 * spacing * root)
    return np.delete(points, close)


def _over_clusters(x: FloatArray, epsilon: float, spacing: float) -> FloatArray:
    """A lattice over each cluster of source nodes.

    Clusters more than 10√ε apart (exp(−50) from one to the other) are solved side by side, each by a law on its own
    hull: atoms of μ that stand alone are atoms of ν.
    """
    gaps = np.flatnonzero(np.diff(x) > APART * math.sqrt(epsilon))
    first, last = x[np.concatenate([[0], gaps + 1])], x[np.concatenate([gaps, [x.size - 1]])]
    step = spacing * math.sqrt(epsilon)
    count = np.where(last > first, np.ceil((last - first) / step), 0).astype(np.int64) + 1
    index = np.repeat(np.arange(count.size), count)
    within = np.arange(index.size) - np.repeat(np.cumsum(count) - count, count)
    return np.asarray(0.5 * (first + last)[index] + step * (within - 0.5 * (count[index] - 1)))


def _carried_on(rough: FloatArray, start: float, stop: float, step: float, spacing: float, root: float) -> FloatArray:
    """The comb's points after ``start`` up to ``stop``, and points between them."""
    comb = np.arange(start, stop + step, step)
    away = np.full(comb.size, np.inf)
    for place in rough:
        away = np.minimum(away, np.abs(comb - place) / root)
    far = max(spacing, SMOOTH) if rough.size else spacing
    wanted = np.select([away <= _NEAR, away <= 2 * _NEAR], [spacing, max(spacing, BETWEEN)], far)
    pieces = np.maximum(np.round(abs(step) / root / wanted), 1).astype(np.int64)
    index = np.repeat(np.arange(comb.size), pieces)
    within = np.arange(index.size) - np.repeat(np.cumsum(pieces) - pieces, pieces) + 1
    points = comb[index] + step * within / pieces[index]
    return np.asarray(points[(points - stop) * math.copysign(1, step) < 0])
