"""Weighted points sorted into cubic tiles, and Gaussian sums that touch only tiles that matter.

All lengths are in units of √ε, so the kernel is k(z) = exp(−‖z‖²/2). Two sums carry the whole method:

    log Z(x_i) = log Σ_j w_j k(x_i − y_j),        c(y) = Σ_i a_i k(x_i − y),   a_i = μ_i / Z(x_i).

A tile keeps its tight bounding box, so a sum may leave out what is provably below a relative 1e-16: atoms j whose
largest possible term in the tile is e⁻³⁸ of a term that is surely there, and tiles whose whole mass seen from
their nearest point is below the accuracy asked for.

On large tensor grids c is summed by a fast Gauss transform: with a lattice z of step h, in each coordinate,

    e^{−(x−y)²/2} = √(2/π) h Σ_z e^{−(x−z)²} e^{−(z−y)²} · (1 + θ),   |θ| ≤ 2.1 e^{−π²/2h²}

(Poisson summation), so masses are spread to the lattice once and carried to the grid axis by axis. Leaving out
|x − z| > T or |z − y| > T costs at most 1.5 e^{−T²} of the mass each.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from heatrd.kernels.posterior import near_boxes
from heatrd.kernels.transform import spread

__all__ = [
    "LOG_HUGE",
    "Field",
    "Tiles",
    "make_tiles",
    "near_atoms",
    "squared_distances",
    "thinned",
]

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.intp]

_LARGE = 4.0  # side of a grid, √ε, from which the fast Gauss transform pays
_DROP = {1: 38.0, 2: 38.0}  # e^-38 = 3e-17
_DROP_SPACE = 28.0  # e^-28 = 7e-13: beyond the plane tolerances are wider
LOG_HUGE = 600.0


@dataclass(frozen=True, slots=True, eq=False)
class Tiles:
    """Points sorted by tile.

    Attributes
    ----------
    points : (N, d) array
        Sorted points, units of √ε.
    weights : (N,) array
        Their masses.
    order : (N,) array
        ``points = original[order]``.
    starts : (T + 1,) array
        Tile t holds rows ``starts[t]:starts[t + 1]``.
    low, high : (T, d) arrays
        Tight bounding boxes of the tiles.
    """

    points: FloatArray
    weights: FloatArray
    order: IntArray
    starts: IntArray
    low: FloatArray
    high: FloatArray

    @property
    def dim(self) -> int:
        return int(self.points.shape[1])

    @property
    def drop(self) -> float:
        """Terms of Z that are by this many nats below a sure one are left out."""
        return _DROP.get(self.dim, _DROP_SPACE)

    @property
    def size(self) -> int:
        return int(self.points.shape[0])

    def __len__(self) -> int:
        return len(self.starts) - 1

    def rows(self, tile: int) -> slice:
        return slice(int(self.starts[tile]), int(self.starts[tile + 1]))


def make_tiles(points: FloatArray, weights: FloatArray, side: float = 3.0) -> Tiles:
    """Sort points into cubes of the given side (units of √ε)."""
    keys = np.floor((points - points.min(axis=0)) / side)  # floats: points may lie further apart than integers reach
    order = np.lexsort(keys.T[::-1])
    changes = (np.diff(keys[order], axis=0) != 0).any(axis=1)
    starts = np.concatenate([[0], np.flatnonzero(changes) + 1, [len(points)]])
    p = np.ascontiguousarray(points[order])
    low = np.minimum.reduceat(p, starts[:-1], axis=0)
    high = np.maximum.reduceat(p, starts[:-1], axis=0)
    return Tiles(p, np.ascontiguousarray(weights[order]), order, starts, low, high)


def thinned(tiles: Tiles, lightest: float, side: float) -> Tiles:
    """Nodes lighter than ``lightest`` that share a cube of the given side become one, at their centre of mass.

    A tail of mass p is then wrong by about p side²/12: enough to steer by, not to certify.
    """
    light = tiles.weights < lightest
    if not light.any():
        return tiles
    x, w = tiles.points[light], tiles.weights[light]
    _, cell = np.unique(np.floor(x / side), axis=0, return_inverse=True)
    mass = np.bincount(cell.ravel(), w)
    centre = np.stack([np.bincount(cell.ravel(), w * column) for column in x.T], axis=1) / mass[:, None]
    points = np.concatenate([tiles.points[~light], centre])
    return make_tiles(points, np.concatenate([tiles.weights[~light], mass]))


def squared_distances(a: FloatArray, b: FloatArray) -> FloatArray:
    """‖a_i − b_j‖², shape (len(a), len(b)), from differences (no cancellation)."""
    out = np.subtract.outer(a[:, 0], b[:, 0])
    out *= out
    for k in range(1, a.shape[1]):
        difference = np.subtract.outer(a[:, k], b[:, k])
        difference *= difference
        out += difference
    return out


def near_atoms(
    tiles: Tiles, atoms: FloatArray, log_weights: FloatArray, drop: float | None = None
) -> tuple[IntArray, IntArray]:
    """Atoms that matter tile by tile, ``near[pointer[t]:pointer[t + 1]]`` in tile t, ascending.

    The others have posterior mass below exp(−drop) everywhere in the tile; ``tiles.drop`` when omitted. What is left
    out lowers Z, so bounds stay bounds.
    """
    drop = tiles.drop if drop is None else drop
    pointer = np.empty(len(tiles) + 1, np.int64)
    near = near_boxes(tiles.low, tiles.high, np.ascontiguousarray(atoms), log_weights, drop, pointer)
    return pointer, near


def _outer_rows(a: FloatArray, factors: list[FloatArray]) -> FloatArray:
    """a_i Π_k factors[k][i, ·], shape (N, product of the factors' widths)."""
    out = factors[0] * a[:, None]
    for f in factors[1:]:
        out = (out[:, :, None] * f[:, None, :]).reshape(len(a), -1)
    return out


class Field:
    """c(y) = Σ_i a_i k(x_i − y) with its derivatives, at scattered points and on tensor grids.

    Parameters
    ----------
    tiles : Tiles
        The points x_i (the weights stored there are not used).
    log_a : (N,) array
        log a_i, in the tiles' order; values above LOG_HUGE are cut to it.
    """

    def __init__(self, tiles: Tiles, log_a: FloatArray) -> None:
        self.tiles = tiles
        self.a = np.exp(np.minimum(log_a, LOG_HUGE))
        self.mass = np.add.reduceat(self.a, tiles.starts[:-1])

    def _near(self, low: FloatArray, high: FloatArray, drop: float) -> tuple[IntArray, float, float]:
        """Tiles that matter in a box; the proved bound of what is left out, and of the whole sum."""
        apart = np.maximum(np.maximum(self.tiles.low - high, low - self.tiles.high), 0.0)
        bound = self.mass * np.exp(-0.5 * (apart**2).sum(axis=1))
        order = np.argsort(bound)
        dropped = np.cumsum(bound[order])
        cut = int(np.searchsorted(dropped, drop, side="right"))
        return order[cut:], float(dropped[cut - 1]) if cut else 0.0, float(dropped[-1])

    def bound(self, low: FloatArray, high: FloatArray) -> float:
        """Proved upper bound of c over a box, from the tiles' masses alone (crude)."""
        return self._near(low, high, 0.0)[2]

    def _gather(self, near: IntArray) -> tuple[FloatArray, FloatArray]:
        rows = np.concatenate([np.arange(self.tiles.starts[t], self.tiles.starts[t + 1]) for t in np.sort(near)])
        return self.tiles.points[rows], self.a[rows]

    def on_grid(self, axes: list[FloatArray], drop: float = 1e-16) -> tuple[FloatArray, float]:
        """c on the tensor grid of ``axes``, and the proved bound of what the values lack (relative 1e-15 aside).

        Small grids: Σ_i a_i Π_k E_k[i, ·] as one matrix product. Large ones: the fast Gauss transform of the
        module's head, whose cost per tile does not depend on the grid.
        """
        low, high = np.array([a.min() for a in axes]), np.array([a.max() for a in axes])
        near, dropped, _ = self._near(low, high, drop)
        shape = tuple(len(a) for a in axes)
        if not len(near):
            return np.zeros(shape), dropped
        if 1 < len(axes) <= 3 and max(high - low) > _LARGE:
            values, lost = self._transformed(axes, near, drop)
            return values, dropped + lost
        x, a = self._gather(near)
        factors = [np.exp(-0.5 * np.subtract.outer(x[:, k], axis) ** 2) for k, axis in enumerate(axes)]
        if len(axes) == 1:
            return a @ factors[0], dropped
        return (_outer_rows(a, factors[:-1]).T @ factors[-1]).reshape(shape), dropped

    def _transformed(self, axes: list[FloatArray], near: IntArray, drop: float) -> tuple[FloatArray, float]:
        """The fast Gauss transform on a tensor grid from the tiles ``near``, and the bound of its truncation."""
        total, dim = float(self.mass[near].sum()), len(axes)
        reach = float(np.sqrt(np.log(max(4.0 * dim * total / drop, 10.0))))
        step = float(np.pi / np.sqrt(2 * np.log(4.0 * dim / drop)))
        lattice = [np.arange(np.floor((y.min() - reach) / step), np.ceil((y.max() + reach) / step) + 1) for y in axes]
        shape, starts = tuple(len(z) for z in lattice), np.array([z[0] for z in lattice])
        low = np.ceil((self.tiles.low[near] - reach) / step) - starts
        high = np.floor((self.tiles.high[near] + reach) / step) + 1 - starts
        windows = [np.clip(ends, 0, shape).astype(np.int64) for ends in (low, high)]
        values = np.zeros((1,) * (3 - dim) + shape)
        if dim == 2:
            windows = [np.insert(ends, 0, place, axis=1) for place, ends in enumerate(windows)]
            starts = np.insert(starts, 0, 0.0)
        spread(self.tiles.points, self.a, self.tiles.starts, near, *windows, step, starts, values)
        values = values.reshape(shape)
        for k, (y, z) in enumerate(zip(axes, lattice)):
            last_factor = np.exp(-(np.subtract.outer(y, step * z) ** 2)) * (step * np.sqrt(2 / np.pi))
            values = np.moveaxis(np.tensordot(last_factor, values, axes=(1, k)), 0, k)
        return values, drop * (1.0 + float(values.max()))

    def at(self, y: FloatArray, drop: float = 1e-16) -> FloatArray:
        """c at scattered points (n, d) → (n,)."""
        return self.derivatives(y, order=0, drop=drop)[0]

    def derivatives(
        self, y: FloatArray, order: int = 2, drop: float = 1e-16
    ) -> tuple[FloatArray, FloatArray, FloatArray]:
        """Return c, ∇c, ∇²c at points (n, d) → (n,), (n, d), (n, d, d); zero arrays beyond ``order``."""
        n, d = y.shape
        value, gradient, hessian = np.zeros(n), np.zeros((n, d)), np.zeros((n, d, d))
        if n == 0:
            return value, gradient, hessian
        groups = make_tiles(y, np.ones(n), side=3.0)
        for t in range(len(groups)):
            rows = groups.order[groups.rows(t)]
            near, _, _ = self._near(groups.low[t], groups.high[t], drop)
            if not len(near):
                continue
            x, a = self._gather(near)
            step = max(1, 4_000_000 // len(x))
            for first in range(0, len(rows), step):
                part = rows[first : first + step]
                k = np.exp(-0.5 * squared_distances(y[part], x))
                k *= a
                value[part] = k.sum(axis=1)
                if order >= 1:
                    centre = y[part].mean(axis=0)
                    u, v = x - centre, y[part] - centre
                    first_moment = k @ u
                    gradient[part] = first_moment - v * value[part][:, None]
                    if order >= 2:
                        products = (u[:, :, None] * u[:, None, :]).reshape(len(x), d * d)
                        second = (k @ products).reshape(-1, d, d)
                        cross = first_moment[:, :, None] * v[:, None, :]
                        second -= cross + cross.transpose(0, 2, 1)
                        second += v[:, :, None] * v[:, None, :] * value[part][:, None, None]
                        second -= np.eye(d) * value[part][:, None, None]
                        hessian[part] = second
        return value, gradient, hessian
