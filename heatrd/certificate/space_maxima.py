"""Local maxima of c from the scan that proves its supremum.

In every cell of a scan c is a polynomial, known to the accuracy of the scan, so Newton's ascent needs no further sums
over the nodes of μ. A climber that leaves its cell goes on in the neighbouring one, or stops at the edge where the
scan has none.
"""

from __future__ import annotations

import numpy as np
from numpy.polynomial import chebyshev
from numpy.typing import NDArray
from scipy.spatial import KDTree

from heatrd.certificate.supremum import Scan, chebyshev_points

__all__ = ["local_maxima"]

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.intp]

_HIGH = 0.97  # cells and grid points below cannot climb above one
_STEPS = 8
_LONGEST = 0.3  # step, √ε
_FLATTEST = 1e-8  # curvature: ridges flatter than this count as level
_DISTINCT = 0.4  # √ε: maxima closer than this count once
_BATCH = 2_000_000  # coefficients gathered at once


def local_maxima(result: Scan, top: float, slack: float = 0.0) -> tuple[FloatArray, FloatArray]:
    """Local maxima of c with c > 1, highest first, and their excess c − 1.

    Where the proved bound ``top`` is higher than all of them, and by more than its own ``slack``, there is a second,
    denser search: on a narrow slanting ridge no grid point need be near the maximum, which then has no start among the
    grid's own.
    """
    dim = result.centres.shape[1]
    inner = tuple(range(1, 1 + dim))
    high = np.flatnonzero(result.values.max(axis=inner, initial=0.0) > _HIGH)
    if not len(high):
        return np.zeros((0, dim)), np.zeros(0)
    ascent = _Ascent(result, high)
    values = result.values[high]
    y, excess = ascent.climbed(result.points(high, _grid_maxima(values)))
    if excess.max(initial=0.0) < 0.5 * (top - 1) and top - 1 > 2 * slack:
        every = max(1, result.count // 6)
        thin = np.zeros((result.count,) * dim, dtype=bool)
        thin[(slice(every // 2, None, every),) * dim] = True
        y, excess = ascent.climbed(np.concatenate([y, result.points(high, thin & (values > _HIGH))]))
    return y, excess


def _grid_maxima(v: FloatArray) -> NDArray[np.bool_]:
    """Grid points of each cell, (cells, n, …, n), not below their neighbours in it, and high."""
    top = v > _HIGH
    for axis in range(1, v.ndim):
        low = (slice(None),) * axis + (slice(None, -1),)
        up = (slice(None),) * axis + (slice(1, None),)
        top[low] &= v[up] <= v[low]
        top[up] &= v[up] >= v[low]
    return top


class _Ascent:
    """c as a piecewise polynomial on the high cells of a scan."""

    def __init__(self, result: Scan, cells: IntArray) -> None:
        self.half, self.centres, n = result.half, result.centres[cells], result.count
        self.corner = self.centres.min(axis=0) - self.half
        place = np.round((self.centres - self.corner) / (2 * self.half) - 0.5).astype(np.int64)
        self.shape = place.max(axis=0) + 1
        key = np.ravel_multi_index(tuple(place.T), tuple(self.shape))
        self.by_key = np.argsort(key)
        self.keys = key[self.by_key]
        to_coefficients = np.linalg.inv(chebyshev.chebvander(chebyshev_points(n), n - 1))
        table = result.values[cells]
        for axis in range(1, table.ndim):
            table = np.moveaxis(np.moveaxis(table, axis, -1) @ to_coefficients.T, -1, axis)
        self.table = np.ascontiguousarray(table)
        self.slope = np.zeros((n, n))  # T_k' in terms of T_0 … T_{n−1}, column k
        self.slope[:-1] = chebyshev.chebder(np.eye(n))

    def _cell(self, y: FloatArray, otherwise: IntArray | None = None) -> IntArray:
        """The cell of each point; where the scan has none, the one named ``otherwise``."""
        place = np.clip(np.floor((y - self.corner) / (2 * self.half)).astype(np.int64), 0, self.shape - 1)
        key = np.ravel_multi_index(tuple(place.T), tuple(self.shape))
        found = np.minimum(np.searchsorted(self.keys, key), len(self.keys) - 1)
        cell = self.by_key[found]
        return cell if otherwise is None else np.where(self.keys[found] == key, cell, otherwise)

    def derivatives(self, y: FloatArray, cell: IntArray) -> tuple[FloatArray, FloatArray, FloatArray]:
        """c, ∇c, ∇²c at points of given cells."""
        dim, n = y.shape[1], self.table.shape[1]
        out = np.empty((len(y),) + (3,) * dim)
        step = max(1, _BATCH // n**dim)
        for first in range(0, len(y), step):
            mine = cell[first : first + step]
            t = (y[first : first + step] - self.centres[mine]) / self.half
            basis = chebyshev.chebvander(t, n - 1)
            basis = np.stack([basis, basis @ self.slope, basis @ self.slope @ self.slope], axis=2)
            values = self.table[mine]
            for axis in reversed(range(dim)):
                values = basis[:, axis][:, None] @ values.reshape(len(mine), n**axis, n, -1)
            out[first : first + step] = values.reshape(-1, *out.shape[1:])
        first_order = np.eye(dim, dtype=int)
        gradient = np.stack([out[:, *e] for e in first_order], axis=1) / self.half
        hessian = np.stack([out[:, *(a + b)] for a in first_order for b in first_order], axis=1) / self.half**2
        return out[(slice(None),) + (0,) * dim], gradient, hessian.reshape(len(y), dim, dim)

    def climbed(self, y: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Newton's ascent from the starts that promise c > 1; distinct maxima, highest first, and their excess."""
        cell = self._cell(y)
        for _ in range(_STEPS):
            c, gradient, hessian = self.derivatives(y, cell)
            values, vectors = np.linalg.eigh(hessian)
            curvature = np.maximum(np.abs(values), _FLATTEST)
            step = np.einsum("nij,nj->ni", vectors, np.einsum("nji,nj->ni", vectors, gradient) / curvature)
            length = np.sqrt((step**2).sum(axis=1))
            promising = c + np.einsum("ni,ni->n", gradient, step) > 1  # twice the gain that the quadratic promises
            y = y + step * np.minimum(1.0, _LONGEST / np.maximum(length, 1e-300))[:, None]
            y, cell = y[promising], cell[promising]
            cell = self._cell(y, cell)
            y = np.clip(y, self.centres[cell] - self.half, self.centres[cell] + self.half)
        c = self.derivatives(y, cell)[0]
        order = np.argsort(-c, kind="stable")
        order = order[c[order] > 1]
        y, c = y[order], c[order]
        tree, free, chosen = KDTree(y), np.ones(len(y), dtype=bool), []
        for i in range(len(y)):
            if free[i]:
                chosen.append(i)
                free[tree.query_ball_point(y[i], _DISTINCT)] = False
        return y[chosen], c[chosen] - 1
