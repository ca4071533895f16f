"""The first shape of ν in R^d: weights on a lattice by interior point, and clusters of its support."""

from __future__ import annotations

import logging
import time
from functools import partial
from itertools import product

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import KDTree

from heatrd.certificate.space import SpaceProblem
from heatrd.certificate.supremum import degrees
from heatrd.errors import TooLarge
from heatrd.quadrature.tiles import Tiles, make_tiles
from heatrd.reconstruction.space_interior import optimal_weights, tile_hessian
from heatrd.reconstruction.space_views import Views

__all__ = ["MEMORY", "MOST_ATOMS", "MOST_MOMENTS", "first_shape", "merged", "predicted_bytes"]

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]
_log = logging.getLogger(__name__)

MEMORY = 4 * 2**30  # bytes
MOST_ATOMS = {2: 2500, 3: 1500}
MOST_MOMENTS = {2: 6000, 3: 1500}  # unknowns of the convex problem of moments
_MOST_CANDIDATES = 6000
_LATTICE = 1.2  # spacing, of √ε
_DENSE = 1.0  # the denser one's
_CORE = (200, 1000)  # inner nodes for which it is worth while; more are too many to be moved later
_CLUSTER = 1.3  # radius of clusters, of the spacing
# lattice nodes with less than this share of the largest mass around one are left out; nodes of μ too
_LIGHT = {2: 1e-8, 3: 3e-3}
_LIGHT_NODES = {2: 0.0, 3: 1e-4}


def first_shape(problem: SpaceProblem, views: Views, accuracy: float) -> tuple[FloatArray, FloatArray]:
    """Interior point on a lattice where μ blurred has mass, then clusters.

    Where a node and all its neighbours have weight, ν seems to have a density, of which a lattice is a good quadrature.
    Where there are many such inner nodes in the plane, but not too many, all is solved once more on a denser lattice,
    and its inner nodes stay as they are (in space the polish brought them together again).

    Raises
    ------
    TooLarge
        Before allocation, where memory or time would not do.
    """
    tiles, dim = views.steering, views.fine.dim
    heavy = tiles.weights > _LIGHT_NODES.get(dim, 1e-4) * tiles.weights.max()
    if not heavy.all():
        tiles = make_tiles(tiles.points[heavy], tiles.weights[heavy] / tiles.weights[heavy].sum())
    nodes = _near_lattice(tiles, _LATTICE)
    shape = views.mass_around(_at(nodes, _LATTICE))
    keep = shape > _LIGHT.get(dim, 3e-3) * shape.max()
    nodes, shape = nodes[keep], shape[keep]
    _refuse(problem, views, len(nodes), accuracy)
    nodes, w = _active(tiles, nodes, _LATTICE, shape)
    if dim > 2 or not _CORE[0] <= np.count_nonzero(_inner(nodes)) <= _CORE[1]:
        return _clusters(_at(nodes, _LATTICE), w, _CLUSTER * _LATTICE)
    nodes = _denser(nodes)
    nodes, w = _active(tiles, nodes, _DENSE, views.mass_around(_at(nodes, _DENSE)))
    inner = _inner(nodes)
    y, rest = _clusters(_at(nodes[~inner], _DENSE), w[~inner], _CLUSTER * _LATTICE)
    return np.concatenate([_at(nodes[inner], _DENSE), y]), np.concatenate([w[inner], rest])


def _at(nodes: IntArray, spacing: float) -> FloatArray:
    """Where lattice nodes are, units of √ε."""
    return np.asarray(spacing * nodes, dtype=np.float64)


def _active(tiles: Tiles, nodes: IntArray, spacing: float, shape: FloatArray) -> tuple[IntArray, FloatArray]:
    """The lattice nodes that have weight, and the weights."""
    t0 = time.monotonic()
    found = optimal_weights(partial(tile_hessian, tiles, _at(nodes, spacing)), shape, shape, tol=1e-6)
    _log.debug(
        "interior point: N=%d M=%d tau=%.1e %d it %.2fs active %d",
        tiles.size,
        len(nodes),
        found.complementarity,
        found.iterations,
        time.monotonic() - t0,
        int(found.active.sum()),
    )
    return nodes[found.active], found.weights[found.active]


def _inner(nodes: IntArray) -> NDArray[np.bool_]:
    """Whether all 2d neighbours of a lattice node are among the nodes."""
    close = KDTree(nodes).query_ball_point(nodes, 1.1, return_length=True)
    return np.asarray(close == 2 * nodes.shape[1] + 1)


def _denser(nodes: IntArray) -> IntArray:
    """The nodes of the denser lattice next to those given."""
    steps = np.array(list(product((-1, 0, 1), repeat=nodes.shape[1])))
    moved = np.rint(nodes * (_LATTICE / _DENSE)).astype(np.int64)[:, None, :] + steps
    return np.asarray(np.unique(moved.reshape(-1, nodes.shape[1]), axis=0))


def _refuse(problem: SpaceProblem, views: Views, candidates: int, accuracy: float) -> None:
    """Raise `TooLarge`, before allocation, where memory or time would not do."""
    if candidates > _MOST_CANDIDATES:
        raise TooLarge(
            f"the lattice of spacing {_LATTICE}√ε has {candidates} nodes near the source; at most "
            f"{_MOST_CANDIDATES} fit: use a larger epsilon",
            _MOST_CANDIDATES,
        )
    needed = predicted_bytes(problem, views.coarse, candidates, accuracy)
    if needed > MEMORY:
        raise TooLarge(
            f"about {needed / 2**30:.1f} GiB would be needed at epsilon={problem.epsilon:g}; "
            f"{MEMORY / 2**30:g} GiB are allowed: use a larger epsilon or a larger tol",
            MEMORY,
        )


def predicted_bytes(problem: SpaceProblem, coarse: Tiles, candidates: int, accuracy: float) -> int:
    """Peak memory of the exchange, bytes: quadratures, Newton systems of weights and of atoms, the scan of c.

    Two or three matrices of each kind live at once; a scan keeps the values of its cells three times over.
    """
    dim, tiles = problem.tiles.dim, problem.tiles
    nodes = tiles.size + coarse.size + (0 if problem.finer is None else problem.finer.size)
    unknowns = (1 + dim) * min(candidates, MOST_ATOMS.get(dim, MOST_ATOMS[3]))
    moments = min((1 + dim) * (2 + dim) // 2 * candidates, MOST_MOMENTS.get(dim, MOST_MOMENTS[3]))
    n, _, _ = degrees(accuracy, dim)
    occupied = np.unique(np.floor(tiles.points / 2.0).astype(np.int64), axis=0)
    values = 3**dim * len(occupied) * n**dim if len(occupied) < 64 else 2 * len(occupied) * n**dim
    return 8 * (12 * (dim + 2) * nodes + 3 * candidates**2 + 4 * max(unknowns, moments) ** 2 + 3 * values)


def _near_lattice(tiles: Tiles, spacing: float) -> IntArray:
    """Lattice nodes in or next to the tiles' boxes, in units of the spacing."""
    out = []
    for low, high in zip(tiles.low, tiles.high):
        axes = [np.arange(np.floor(a / spacing), np.ceil(b / spacing) + 1) for a, b in zip(low, high)]
        out.append(np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1).reshape(-1, tiles.dim))
    return np.asarray(np.unique(np.concatenate(out).astype(np.int64), axis=0))


def _clusters(y: FloatArray, w: FloatArray, radius: float) -> tuple[FloatArray, FloatArray]:
    """Greedy clusters around the heaviest nodes, replaced by their centres of mass."""
    order = np.argsort(-w, kind="stable")
    free = np.ones(len(w), dtype=bool)
    points, weights = [], []
    for j in order:
        if not free[j]:
            continue
        group = np.flatnonzero(free & (((y - y[j]) ** 2).sum(axis=1) < radius**2))
        free[group] = False
        total = w[group].sum()
        points.append(w[group] @ y[group] / total)
        weights.append(total)
    return np.array(points), np.array(weights)


def merged(y: FloatArray, w: FloatArray, radius: float) -> tuple[FloatArray, FloatArray]:
    """Replace pairs closer than ``radius`` by their centres of mass."""
    keep = w > 1e-15
    return _clusters(y[keep], w[keep], radius) if keep.any() else (y[keep], w[keep])
