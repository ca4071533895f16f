"""Proved upper bounds of Gaussian sums over boxes in R^d (DESIGN (2)).

In units of √ε, c(y) = Σ_i a_i exp(−‖x_i − y‖²/2) with a_i ≥ 0 extends to an entire function with
|c(u + iv)| ≤ exp(‖v‖²/2) c(u). On an interval of half-width h the Bernstein ellipse of parameter ρ has
imaginary half-axis h(ρ − 1/ρ)/2, so interpolation at n Chebyshev points errs at most by

    e_n(h) · sup c,     e_n(h) = min over ρ of 4 ρ^(1−n)/(ρ − 1) · exp(h²(ρ − 1/ρ)²/8)

(Trefethen, Approximation Theory and Practice, thm 8.2), and d axes in turn by e_n Σ_k Λ_n^k with the Lebesgue
constant Λ_n. So values of c on Chebyshev grids of side-2 cells determine c to rounding. Each cell's
polynomial is cut into subcells of side 1/2 in Bernstein form, whose largest coefficient bounds it from
above and whose corner coefficients are values; a second bound takes the Taylor quadratic of the cell at its exact
maximum and only the rest in Bernstein form. Cells that could still hold the supremum are halved until the bound is
within
the accuracy asked for. The overestimate falls with the second derivative of c times side², so flat ridges
cost nothing and isolated peaks cost a constant number of cells per level.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise, product

import numpy as np
from numpy.polynomial import chebyshev
from numpy.typing import NDArray
from scipy.special import comb

from heatrd.quadrature.tiles import Field

__all__ = ["Scan", "chebyshev_points", "degrees", "interpolation_error", "scan", "upper_bound", "values_on"]

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.intp]

_PIECES = 4  # subcells per axis of a side-2 cell
_BATCH = 200_000  # values of subcells at once
_LEVELS = 24
_WORK = 60_000_000  # Bernstein coefficients refined in one bound
_CHUNK = 4_000_000  # of them at once
_BLOCK = {1: 64, 2: 32, 3: 12}  # cells a side evaluated together


@lru_cache(maxsize=256)
def interpolation_error(n: int, half: float) -> float:
    """Return e_n(h) of the module's formula: relative to sup c, one axis, n Chebyshev points."""
    rho = np.exp(np.linspace(0.05, 8.0, 4000))
    log = np.log(4.0) + (1 - n) * np.log(rho) - np.log(rho - 1) + (half * (rho - 1 / rho)) ** 2 / 8
    return float(np.exp(log.min()))


def _lebesgue(n: int) -> float:
    return 1.0 + 2.0 / np.pi * np.log(n)


@lru_cache(maxsize=32)
def chebyshev_points(n: int) -> FloatArray:
    """Chebyshev points of the first kind on [−1, 1], ascending."""
    return np.cos(np.pi * (np.arange(n) + 0.5) / n)[::-1].copy()


@lru_cache(maxsize=32)
def _to_bernstein(n: int) -> FloatArray:
    """Values at n Chebyshev points of [−1, 1] → Bernstein coefficients of degree n − 1."""
    degree = n - 1
    s = 0.5 * (chebyshev_points(n) + 1)
    k = np.arange(n)
    basis = comb(degree, k) * s[:, None] ** k * (1 - s[:, None]) ** (degree - k)
    return np.linalg.inv(basis)


@lru_cache(maxsize=32)
def _resample(n: int, m: int) -> FloatArray:
    """Values at n Chebyshev points → values at m Chebyshev points of each of the pieces, shape (pieces, m, n)."""
    coefficients = np.linalg.inv(chebyshev.chebvander(chebyshev_points(n), n - 1))
    edges = np.linspace(-1, 1, _PIECES + 1)
    out = [
        chebyshev.chebvander(0.5 * (a + b) + 0.5 * (b - a) * chebyshev_points(m), n - 1) @ coefficients
        for a, b in pairwise(edges)
    ]
    return np.array(out)


@lru_cache(maxsize=32)
def _halves(n: int) -> FloatArray:
    """De Casteljau at the midpoint: Bernstein coefficients → those of the two halves, shape (2, n, n)."""
    left = np.array([[comb(i, j) * 0.5**i if j <= i else 0.0 for j in range(n)] for i in range(n)])
    return np.array([left, left[::-1, ::-1]])


@lru_cache(maxsize=32)
def _taylor_functionals(n: int) -> tuple[FloatArray, FloatArray]:
    """Value, first and second derivative at the middle of [−1, 1] from Bernstein coefficients, (3, n); the Bernstein
    coefficients of 1, t, t², (3, n)."""
    degree = n - 1
    k = np.arange(n)
    functionals = np.zeros((3, n))
    functionals[0] = comb(degree, k) / 2.0**degree
    difference = np.eye(n)
    for order in (1, 2):
        difference = np.diff(difference, axis=0)
        left = degree - order
        basis = comb(left, np.arange(left + 1)) / 2.0**left
        factor = degree / 2 if order == 1 else degree * (degree - 1) / 4
        functionals[order] = factor * basis @ difference
    monomials = np.array(
        [np.ones(n), 2 * k / degree - 1, 4 * k * (k - 1) / (degree * (degree - 1)) - 4 * k / degree + 1]
    )
    return functionals, monomials


def _outer(vectors: list[FloatArray]) -> FloatArray:
    out = vectors[0]
    for v in vectors[1:]:
        out = np.multiply.outer(out, v)
    return np.asarray(out).ravel()


def _quadratic_bound(cells: FloatArray) -> FloatArray:
    """Bound each cell by its Taylor quadratic at the centre, maximised exactly, plus the Bernstein bound of the rest.

    Along an eigenvector of curvature λ < 0 with slope γ the quadratic rises at most by γ²/2|λ|, so ridges and
    peaks are overestimated by the third order only.
    """
    dim, n = cells.ndim - 1, cells.shape[1]
    flat = cells.reshape(len(cells), -1)
    functionals, monomials = _taylor_functionals(n)
    powers = [tuple(int(v) for v in np.eye(dim, dtype=int)[a]) for a in range(dim)]
    pairs = [(a, b) for a in range(dim) for b in range(a, dim)]
    seconds = [tuple(x + y for x, y in zip(powers[a], powers[b])) for a, b in pairs]
    orders = [(0,) * dim, *powers, *seconds]
    rows = np.array([_outer([functionals[k] for k in order]) for order in orders])
    factor = np.array([1.0] * (1 + dim) + [0.5 if a == b else 1.0 for a, b in pairs])
    shapes = factor[:, None] * np.array([_outer([monomials[k] for k in order]) for order in orders])
    taylor = flat @ rows.T
    rest = (flat - taylor @ shapes).max(axis=1)
    gradient = taylor[:, 1 : 1 + dim]
    hessian = np.zeros((len(cells), dim, dim))
    for column, (a, b) in enumerate(pairs):
        hessian[:, a, b] = hessian[:, b, a] = taylor[:, 1 + dim + column]
    values, vectors = np.linalg.eigh(hessian)
    slope = np.abs(np.einsum("nji,nj->ni", vectors, gradient))
    radius = np.sqrt(dim)
    down = np.maximum(-values, 1e-300)
    inside = (values < 0) & (slope <= down * radius)
    with np.errstate(over="ignore"):  # far-off laws have c of any size; infinity is a bound
        rise = np.where(inside, slope**2 / (2 * down), slope * radius + 0.5 * values * radius**2)
        return np.asarray(taylor[:, 0] + rise.sum(axis=1) + rest)


def _along(matrix: FloatArray, values: FloatArray, axis: int) -> FloatArray:
    return np.moveaxis(np.moveaxis(values, axis, -1) @ matrix.T, -1, axis)


@dataclass(frozen=True, slots=True, eq=False)
class Scan:
    """c on the Chebyshev grids of all side-2 cells that could reach ``floor``.

    Attributes
    ----------
    centres : (C, d) array
        Cell centres, units of √ε.
    half : float
        Half-width of a cell.
    values : (C, n, …, n) array
        c at the Chebyshev points.
    skipped : float
        Proved bound of c over the cells left out, and outside the box (or c is larger elsewhere).
    dropped : float
        Proved bound of what the values leave out.
    """

    centres: FloatArray
    half: float
    values: FloatArray
    skipped: float
    dropped: float

    @property
    def count(self) -> int:
        return int(self.values.shape[1]) if len(self.values) else 0

    def points(self, cells: IntArray, marked: NDArray[np.bool_]) -> FloatArray:
        """The grid points of some cells that are marked, (…, d); ``marked`` has the shape of ``values[cells]``."""
        cell, *place = np.nonzero(marked)
        offsets = self.half * chebyshev_points(self.count)
        return self.centres[cells[cell]] + np.stack([offsets[k] for k in place], axis=1)


def degrees(accuracy: float, dim: int) -> tuple[int, int, float]:
    """Return (n on cells, n on subcells, total relative error) for the accuracy asked for (≥ 5e-15)."""
    for n in range(6, 40):
        outer = interpolation_error(n, 1.0) * sum(_lebesgue(n) ** k for k in range(dim))
        if outer <= accuracy / 10 or n == 39:
            break
    for m in range(4, 16):
        inner = interpolation_error(m, 1.0 / _PIECES) * sum(_lebesgue(m) ** k for k in range(dim))
        if inner <= accuracy / 4 or m == 15:
            break
    return n, m, inner + outer * _lebesgue(m) ** dim


def scan(field: Field, accuracy: float, floor: float = 0.5) -> Scan:
    """Evaluate c block by block on the cells of the box of its points; keep the cells that could reach ``floor``.

    Outside the hull of the points c only decreases under projection to it, so the box is enough. A cell is left out
    where Λ^d times its largest value, or the tiles' masses alone, prove that c stays below ``floor`` there.
    """
    low, high = field.tiles.low.min(axis=0), field.tiles.high.max(axis=0)
    dim, half = len(low), 1.0
    n, _, error = degrees(accuracy, dim)
    count = np.maximum(1, np.ceil((high - low) / 2.0)).astype(int)
    start = 0.5 * (low + high) - count
    block = _BLOCK.get(dim, 1)
    largest = _lebesgue(n) ** dim
    centres, values, skipped, dropped = [np.zeros((0, dim))], [np.zeros((0,) + (n,) * dim)], 0.0, 0.0
    waiting = [(np.zeros(dim, dtype=int), count)]
    while waiting:
        corner, size = waiting.pop()
        origin = start + 2.0 * corner
        bound = field.bound(origin, origin + 2.0 * size)
        if bound < floor:
            skipped = max(skipped, bound)
            continue
        if (size > block).any():
            waiting += _parts(corner, size, block)
            continue
        middles = [a + 2.0 * np.arange(k) + 1.0 for a, k in zip(origin, size)]
        v, lost = field.on_grid([(m[:, None] + half * chebyshev_points(n)).ravel() for m in middles], 1e-3 * accuracy)
        v = _into_cells(v, size, n)
        tops = largest * (v.reshape(len(v), -1).max(axis=1) + lost) / (1 - error)
        keep = tops >= floor
        skipped = max(skipped, float(tops[~keep].max(initial=0.0)))
        dropped = max(dropped, lost)
        centres.append(np.stack([g.ravel() for g in np.meshgrid(*middles, indexing="ij")], axis=1)[keep])
        values.append(v[keep])
    return Scan(np.concatenate(centres), half, np.concatenate(values), skipped, dropped)


def _parts(corner: IntArray, size: IntArray, block: int) -> list[tuple[IntArray, IntArray]]:
    """Cut a box of cells near the middle of each axis that is longer than a block, at a multiple of it."""
    half = np.where(size > block, block * -(-size // (2 * block)), size)
    ends = [((0, h), (h, n)) if n > h else ((0, n),) for h, n in zip(half, size)]
    return [(corner + [a for a, _ in part], np.array([b - a for a, b in part])) for part in product(*ends)][::-1]


def values_on(field: Field, result: Scan, cells: IntArray, accuracy: float) -> FloatArray:
    """Another c on some cells of a scan, (C, n, …, n): neighbouring cells are evaluated together."""
    dim, n = result.centres.shape[1], result.count
    out = np.empty((len(cells),) + (n,) * dim)
    centres = result.centres[cells]
    place = np.round((centres - centres.min(axis=0)) / 2.0).astype(int)
    block = place // _BLOCK.get(dim, 1)
    for each in np.unique(block, axis=0):
        mine = np.flatnonzero((block == each).all(axis=1))
        first, last = place[mine].min(axis=0), place[mine].max(axis=0)
        origin = centres[mine[0]] - 2.0 * place[mine[0]]
        size = last - first + 1
        axes = [
            (o + 2.0 * np.arange(a, b + 1)[:, None] + result.half * chebyshev_points(n)).ravel()
            for o, a, b in zip(origin, first, last)
        ]
        all_values = _into_cells(field.on_grid(axes, 1e-3 * accuracy)[0], size, n)
        out[mine] = all_values[np.ravel_multi_index(tuple((place[mine] - first).T), tuple(size))]
    return out


def _into_cells(values: FloatArray, size: FloatArray, n: int) -> FloatArray:
    """A grid of size·n points an axis → (cells, n, …, n)."""
    dim = len(size)
    split = values.reshape([m for k in size for m in (int(k), n)])
    return split.transpose([*range(0, 2 * dim, 2), *range(1, 2 * dim, 2)]).reshape(-1, *(n,) * dim)


def upper_bound(result: Scan, accuracy: float) -> float:
    """Return a proved upper bound of sup c, within about ``accuracy`` of it (relative where c exceeds 1)."""
    if not len(result.values):
        return result.skipped
    _, m, error = degrees(accuracy, result.centres.shape[1])
    best = float(result.values.max())
    live, top = _subcells(result, m, max(best, 1.0) * (1 + 0.5 * accuracy))
    top = max(top, _halved(live, best, accuracy))
    rounding = 1e-14
    return max((top + result.dropped) / (1.0 - error) * (1 + rounding), result.skipped)


def _subcells(result: Scan, m: int, target: float) -> tuple[FloatArray, float]:
    """The subcells in Bernstein form, (…, m, …, m), whose bound exceeds ``target``; the largest of the other bounds."""
    dim, n = result.centres.shape[1], result.count
    pieces = np.einsum("ab,pbn->pan", _to_bernstein(m), _resample(n, m)).reshape(_PIECES * m, n)
    batch = max(1, _BATCH // len(pieces) ** dim)
    top, live = 0.0, [np.zeros((0,) + (m,) * dim)]
    for first in range(0, len(result.values), batch):
        b = result.values[first : first + batch]
        cells = len(b)
        for _ in range(dim):  # the axis in front is resampled and goes last
            b = b.reshape(cells, n, -1).transpose(0, 2, 1) @ pieces.T
        b = b.reshape(cells, *(_PIECES, m) * dim)
        bounds = b
        for axis in range(dim):
            bounds = bounds.max(axis=2 + axis)
        keep = bounds > target
        top = max(top, float(bounds[~keep].max(initial=0.0)))
        live.append(b.transpose(0, *range(1, 2 * dim, 2), *range(2, 2 * dim + 1, 2))[keep])
    return np.concatenate(live), top


def _halved(cells: FloatArray, best: float, accuracy: float) -> float:
    """Bound the maximum over subcells: those that may exceed the largest value seen are halved, depth first.

    So memory stays bounded; ``best`` is the largest value seen before.
    """
    dim, m = cells.ndim - 1, cells.shape[1]
    corners = (slice(None),) + (slice(None, None, m - 1),) * dim
    waiting, work, top = [(0, cells)] if len(cells) else [], 0, 0.0
    while waiting:
        level, cells = waiting.pop()
        best = max(best, float(cells[corners].max()))
        target = max(best, 1.0) * (1 + 0.5 * accuracy)
        flat = cells.reshape(len(cells), -1).max(axis=1)
        if m > 3:
            flat = np.fmin(flat, _quadratic_bound(cells))
        keep = flat > target
        work += int(keep.sum()) * m**dim
        if level == _LEVELS or work > _WORK:  # hopelessly many: accept the bounds reached
            keep[:] = False
        top = max(top, float(flat[~keep].max(initial=0.0)))
        cells = cells[keep]
        for axis in range(dim):
            cells = np.concatenate([_along(h, cells, axis + 1) for h in _halves(m)])
        parts = -(-cells.size // _CHUNK)
        waiting += [(level + 1, part) for part in np.array_split(cells, parts)] if parts else []
    return max(top, best)
