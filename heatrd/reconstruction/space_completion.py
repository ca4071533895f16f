"""Atoms added to a dual point where c exceeds 1 (DESIGN (2)).

Let c = ∫ μ k/Z̃ exceed 1 by e_j at points v_j, mostly far out where Z̃ wants atoms that carry hardly any mass. Then the
minimum over η ≥ 0 of

    Φ(η) = −∫ μ log(Z̃ + Σ_j η_j k(x − v_j)) + Σ_j η_j

has c(v_j) ≤ 1 at its points and a smaller c everywhere; the bound loses ∫ μ log(1 + Σ_j η_j k/Z̃), which lies between
Σ_j η_j and Σ_j η_j (1 + e_j). This is a problem of as many unknowns as there are maxima: the convex problem that Z̃
comes from need not be solved again.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csc_array
from scipy.spatial import KDTree

from heatrd.certificate.space_dual import Tilt
from heatrd.quadrature.tiles import Tiles
from heatrd.reconstruction.space_interior import optimal_additions

__all__ = ["Missing"]

FloatArray = NDArray[np.float64]

_REACH = {2: 12.0, 3: 9.0}  # √ε: in the tails, where 1/Z̃ is capped, c is made of nodes far away
_TINY = 1e-14  # terms of c below are left out
_SPARSE = 0.05  # share of entries up to which a sparse product is faster
_BATCH = 4_000_000  # entries of a dense block
_LARGEST = 600.0  # log k/Z̃: more is out of range
_IDLE = 1e-3  # of what it was thought to need: an atom with less weight is left out


def _gram(a: Any) -> FloatArray:
    """AᵀA of a sparse matrix, block by block of rows where it is not so sparse."""
    rows, columns = a.shape
    if a.nnz <= _SPARSE * rows * columns:
        return np.asarray((a.T @ a).toarray())
    a, out = a.tocsr(), np.zeros((columns, columns))
    step = max(1, _BATCH // columns)
    for first in range(0, rows, step):
        block = a[first : first + step].toarray()
        out += block.T @ block
    return out


class Missing:
    """Maxima v_j of c above 1 at a dual point.

    Parameters
    ----------
    tiles : Tiles
        μ, units of √ε.
    log_z : (n,) array
        log Z̃ of the dual point at the nodes.
    points : (m, d) array
        v_j.
    excess : (m,) array
        c − 1 there, positive.

    Attributes
    ----------
    needs : (m,) array
        e_j/∫ μ (k/Z̃)²: to first order the weight η_j that one atom alone would get, and what it costs.
    """

    def __init__(self, tiles: Tiles, log_z: FloatArray, points: FloatArray, excess: FloatArray) -> None:
        reach = _REACH.get(points.shape[1], _REACH[3])
        near = KDTree(points).sparse_distance_matrix(KDTree(tiles.points), reach, output_type="coo_matrix")
        values = np.exp(np.minimum(-0.5 * near.data**2 - log_z[near.col], _LARGEST))
        terms = tiles.weights[near.col] * values
        found = np.bincount(near.row, terms, len(points)) > 1 + 0.5 * excess
        some = (terms > _TINY) & found[near.row]
        column = np.cumsum(found) - 1
        shape = tiles.size, int(found.sum())
        self._ratios = csc_array((values[some], (near.col[some], column[near.row[some]])), shape=shape)
        self._weights, self._points, self._excess = tiles.weights, points[found], excess[found]
        self.needs = self._excess / (self._ratios.power(2).T @ tiles.weights)

    def added(self, tilt: Tilt, spare: float = 0.0) -> Tilt:
        """The tilt with atoms at those of the points that get weight, and as much again where that costs ``spare``.

        c has its maxima beside the points after they got their weight; twice of it covers them.
        """
        ratios, mu = self._ratios, self._weights
        if not len(self.needs):
            return tilt

        def assemble(eta: FloatArray) -> tuple[FloatArray, FloatArray]:
            z = 1 + ratios @ eta
            scaled = csc_array(ratios * np.sqrt(eta)).multiply((np.sqrt(mu) / z)[:, None])
            return ratios.T @ (mu / z), _gram(scaled)

        eta = optimal_additions(assemble, self.needs, self._excess)
        keep = eta > _IDLE * self.needs
        eta *= 1 + min(1.0, spare / max(float(eta.sum()), 1e-300))
        points = self._points[keep]
        moments = np.zeros((len(points), tilt.moments.shape[1]))
        moments[:, 0] = 1
        return Tilt(
            np.concatenate([tilt.points, points]),
            np.concatenate([tilt.log_weights, np.log(eta[keep])]),
            np.concatenate([tilt.moments, moments]),
        )
