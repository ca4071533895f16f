"""Atoms added to a dual point where c exceeds 1 (DESIGN (2)).

Let c = ∫ μ k/Z̃ exceed 1 by e_j at points v_j, mostly far out where Z̃ wants atoms that carry hardly any mass. Then the
minimum over η ≥ 0 of

    Φ(η) = −∫ μ log(Z̃ + Σ_j η_j k(x − v_j)) + Σ_j η_j

has c(v_j) ≤ 1 at its points and a smaller c everywhere; the bound loses ∫ μ log(1 + Σ_j η_j k/Z̃), which lies between
Σ_j η_j and Σ_j η_j (1 + e_j). This is a problem of as many unknowns as there are maxima: the convex problem that Z̃
comes from need not be solved again.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csc_array, hstack
from scipy.spatial import KDTree

from heatrd.certificate.space_dual import Tilt
from heatrd.quadrature.tiles import Tiles
from heatrd.reconstruction.space_interior import optimal_additions

__all__ = ["Completed", "Missing"]

FloatArray = NDArray[np.float64]

_REACH = {2: 12.0, 3: 9.0}  # √ε: in the tails, where 1/Z̃ is capped, c is made of nodes far away
_TINY = 1e-14  # terms of c below are left out
_SPARSE = 0.05  # share of entries up to which a sparse product is faster
_BATCH = 4_000_000  # entries of a dense block
_LARGEST = 600.0  # log k/Z̃: more is out of range
_LEAST = 1e-12  # share of Z̃ at a node that is not of atoms added before, at least
_SLIGHT = 1e-9  # c − 1 without any of them where an atom was added before, at least
_SHARE = 1e-5  # of all weights added: how sharply they are found
_IDLE = 1e-3  # of the weight that one atom alone would get: an atom with less is left out


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


@dataclass(frozen=True, slots=True, eq=False)
class Completed:
    """A dual point and the atoms added to it.

    Attributes
    ----------
    dual : Tilt
        Z̃.
    points, eta : (m, d), (m,) arrays
        v_j, η_j.
    """

    dual: Tilt
    points: FloatArray
    eta: FloatArray

    @classmethod
    def of(cls, dual: Tilt) -> Completed:
        """Nothing added yet."""
        return cls(dual, np.zeros((0, dual.points.shape[1])), np.zeros(0))

    @property
    def tilt(self) -> Tilt:
        """Z̃ + Σ_j η_j k(x − v_j)."""
        moments = np.zeros((len(self.eta), self.dual.moments.shape[1]))
        moments[:, 0] = 1
        return Tilt(
            np.concatenate([self.dual.points, self.points]),
            np.concatenate([self.dual.log_weights, np.log(self.eta)]),
            np.concatenate([self.dual.moments, moments]),
        )


def _ratios(tiles: Tiles, log_z: FloatArray, points: FloatArray) -> csc_array:
    """k(x_i − v_j)/Z̃(x_i), (n, m), of nodes that are not too far from v_j."""
    reach = _REACH.get(points.shape[1], _REACH[3])
    near = KDTree(points).sparse_distance_matrix(KDTree(tiles.points), reach, output_type="coo_matrix")
    values = np.exp(np.minimum(-0.5 * near.data**2 - log_z[near.col], _LARGEST))
    some = tiles.weights[near.col] * values > _TINY
    return csc_array((values[some], (near.col[some], near.row[some])), shape=(tiles.size, len(points)))


def _cheap(eta: FloatArray, spare: float) -> NDArray[np.bool_]:
    """The lightest atoms, which together weigh no more than ``spare``."""
    order = np.argsort(eta)
    cheap = np.zeros(len(eta), dtype=bool)
    cheap[order] = np.cumsum(eta[order]) <= spare
    return cheap


class Missing:
    """Maxima v_j of c above 1 at a dual point.

    Parameters
    ----------
    tiles : Tiles
        μ, units of √ε.
    log_z : (n,) array
        log Z̃ of the dual point with what was added to it, at the nodes.
    points : (m, d) array
        v_j.
    excess : (m,) array
        c − 1 there, positive.
    completed : Completed
        The dual point.

    Attributes
    ----------
    needs : (m,) array
        e_j/∫ μ (k/Z̃)²: to first order the weight η_j that one atom alone would get, and what it costs.
    """

    def __init__(
        self, tiles: Tiles, log_z: FloatArray, points: FloatArray, excess: FloatArray, completed: Completed
    ) -> None:
        ratios = _ratios(tiles, log_z, points)
        found = ratios.T @ tiles.weights > 1 + 0.5 * excess
        self._tiles, self._log_z, self._ratios = tiles, log_z, ratios[:, found]
        self._points, self._excess, self.completed = points[found], excess[found], completed
        self.needs = self._excess / (self._ratios.power(2).T @ tiles.weights)

    def added(self, spare: float = 0.0, together: bool = False) -> Completed:
        """The dual point with atoms at those of the points that get weight, and twice of it where that costs ``spare``.

        c has its maxima beside the points after they got their weight; twice of it covers them. ``together``: the
        weights of atoms added before are found anew, which costs the bound less than new ones on top of them; the
        lightest, far out, keep theirs, or c would rise around them again.
        """
        old, mu, without = self.completed, self._tiles.weights, np.ones(self._tiles.size)
        if not len(self.needs):
            return old
        points, ratios, needs, excess = self._points, self._ratios, self.needs, self._excess
        fixed = np.ones(len(old.eta), dtype=bool)
        if together:
            given = _ratios(self._tiles, self._log_z, old.points)
            fixed = given.T @ mu <= _TINY  # another quadrature saw them
            without = np.maximum(1 - given[:, ~fixed] @ old.eta[~fixed], _LEAST)
            points, ratios = np.concatenate([old.points[~fixed], points]), hstack([given[:, ~fixed], ratios], "csc")
            least = np.append(np.full(len(points) - len(excess), _SLIGHT), excess)
            excess = np.maximum(ratios.T @ (mu / without) - 1, least)
            needs = excess / (ratios.power(2).T @ (mu / without**2))
        again = old.eta[~fixed]

        def assemble(eta: FloatArray) -> tuple[FloatArray, FloatArray]:
            z = without + ratios @ eta
            scaled = csc_array(ratios * np.sqrt(eta)).multiply((np.sqrt(mu) / z)[:, None])
            return ratios.T @ (mu / z), _gram(scaled)

        order = needs * (1 + excess)  # one atom far from all others: c = a/(1 + η b) at its node
        eta = optimal_additions(assemble, order, excess / (1 + excess), tol=_SHARE)
        cheap = np.append(_cheap(again, spare), np.zeros(len(eta) - len(again), dtype=bool))
        eta[cheap] = np.maximum(eta[cheap], again[cheap[: len(again)]])
        keep = cheap | (eta > _IDLE * order)
        eta *= 1 + min(1.0, spare / max(float(eta.sum()), 1e-300))
        points = np.concatenate([old.points[fixed], points[keep]])
        return Completed(old.dual, points, np.append(old.eta[fixed], eta[keep]))
