"""Uniform laws on polygons and checkerboards, and laws made of independent blocks.

A polygon is cut into triangles; each triangle is the image of a square under (u, v) ↦ a + u(b − a) + u v (c − b), on
which
Gauss–Legendre panels are exact for analytic integrands.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from heatrd import arguments
from heatrd.errors import InvalidInput
from heatrd.sources import _checks
from heatrd.sources._quadrature import panel_rule
from heatrd.sources.base import FloatArray, Source, Source1D
from heatrd.sources.univariate import Laplace, Uniform

__all__ = ["Box", "Checkerboard", "LaplaceProduct", "Polygon", "Product", "Square"]

MOST_SQUARES = 1000
_CROSSES = "polygon: the boundary crosses itself; give the corners of a simple polygon in order"

PANEL = 8.0  # width of a Gauss–Legendre panel of order 16, in units of the spacing asked for


def tensor(axes: Sequence[tuple[FloatArray, FloatArray]]) -> tuple[FloatArray, FloatArray]:
    """Product rule: points (N, d) and weights (N,)."""
    points = np.stack(np.meshgrid(*(a[0] for a in axes), indexing="ij"), axis=-1).reshape(-1, len(axes))
    weights = axes[0][1]
    for a in axes[1:]:
        weights = np.multiply.outer(weights, a[1])
    return points, np.asarray(weights).ravel()


class Product(Source):
    """Independent blocks stacked into one vector.

    Parameters
    ----------
    components : sequence of Source
        Independent sources of any dimension; coordinates are concatenated in order.
    """

    name = "product"

    def __init__(self, components: Sequence[Source]) -> None:
        if not len(components):
            raise InvalidInput("product: no components; need at least one source")
        for c in components:
            if not isinstance(c, Source):
                raise InvalidInput(f"product: {type(c).__name__} is not a Source; use heatrd.as_source first")
        self.components = tuple(components)
        self.dim = sum(c.dim for c in self.components)

    @property
    def parameters(self) -> Mapping[str, Any]:
        return {"components": self.components}

    @property
    def factors(self) -> tuple[tuple[tuple[int, ...], Source], ...]:
        out, first = [], 0
        for c in self.components:
            out.append((tuple(range(first, first + c.dim)), c))
            first += c.dim
        return tuple(out)

    @property
    def mean(self) -> FloatArray:
        return np.concatenate([np.atleast_1d(c.mean) for c in self.components])

    @property
    def covariance(self) -> FloatArray:
        out = np.zeros((self.dim, self.dim))
        for index, c in self.factors:
            out[np.ix_(index, index)] = c.covariance
        return out

    def log_density(self, x: ArrayLike) -> FloatArray:
        x = np.asarray(x, dtype=np.float64)
        total: Any = 0.0
        for index, c in self.factors:
            total = total + c.log_density(x[..., list(index)])
        return np.asarray(total)

    def sample(self, n: int, rng: np.random.Generator | int | None = None) -> FloatArray:
        rng = np.random.default_rng(rng)
        return np.concatenate([np.reshape(c.sample(n, rng), (n, c.dim)) for c in self.components], axis=1)

    @property
    def discrete_part(self) -> tuple[FloatArray, FloatArray]:
        parts = [c.discrete_part for c in self.components]
        if not all(c.is_discrete for c in self.components):
            return super().discrete_part
        size = float(np.prod([float(len(p[1])) for p in parts]))
        if size > 1e6:
            raise InvalidInput(f"product: {size:.3g} atoms cannot be listed; use its factors")
        grids = np.meshgrid(*(np.arange(len(p[1])) for p in parts), indexing="ij")
        points = np.concatenate([p[0][g.ravel()] for p, g in zip(parts, grids)], axis=1)
        weights = np.prod([p[1][g.ravel()] for p, g in zip(parts, grids)], axis=0)
        return points, weights

    @property
    def is_discrete(self) -> bool:
        return all(c.is_discrete for c in self.components)

    def entropy(self) -> float | None:
        parts = [c.entropy() for c in self.components]
        return None if any(p is None for p in parts) else float(sum(p for p in parts if p is not None))

    def critical_epsilon(self) -> float | None:
        parts = [c.critical_epsilon() for c in self.components]
        return None if any(p is None for p in parts) else float(min(p for p in parts if p is not None))

    def deblurred(self, epsilon: float) -> Source | None:
        parts = [c.deblurred(epsilon) for c in self.components]
        return None if any(p is None for p in parts) else Product([p for p in parts if p is not None])

    def nodes(self, spacing: float, mass: float) -> tuple[FloatArray, FloatArray, float, float]:
        """Product of the components' rules (d small)."""
        rules, lost, energy = [], 0.0, 0.0
        for c in self.components:
            x, w, m, e = _component_nodes(c, spacing, mass / len(self.components))
            keep = w > 1e-18 * w.max()
            rules.append((x[keep], w[keep]))
            lost, energy = lost + m, energy + e
        count = float(np.prod([float(len(w)) for _, w in rules]))
        if count > 4e6:
            raise InvalidInput(f"product: about {count:.3g} quadrature nodes would be needed; use a larger epsilon")
        points, weights = rules[0]
        for x, w in rules[1:]:
            n, m = len(points), len(x)
            points = np.concatenate([np.repeat(points, m, axis=0), np.tile(x, (n, 1))], axis=1)
            weights = np.multiply.outer(weights, w).ravel()
        return points, weights, lost, energy


def _component_nodes(source: Source, spacing: float, mass: float) -> tuple[FloatArray, FloatArray, float, float]:
    """Points (n, d) and weights of one block."""
    own = getattr(source, "nodes", None)
    if own is not None:
        return own(spacing, mass)
    if source.is_discrete:
        x, w = source.discrete_part
        return x, w, 0.0, 0.0
    if isinstance(source, Source1D):
        return _line_nodes(source, spacing, mass)
    raise InvalidInput(f"product: {source!r} has no quadrature of its own; combine it by its density instead")


def _line_nodes(source: Source1D, spacing: float, mass: float) -> tuple[FloatArray, FloatArray, float, float]:
    """Gauss–Legendre panels between the break points of a law on the line."""
    a, b = source.tail_cut(mass)
    low, high = max(a, source.support[0]), min(b, source.support[1])
    edges = np.unique([low, *(t for t in source.breakpoints if low < t < high), high])
    width = min(PANEL * spacing, float(np.sqrt(source.variance)))
    xs, ws = zip(*(panel_rule(u, v, width) for u, v in pairwise(edges)))
    x, w = np.concatenate(xs), np.concatenate(ws)
    points, masses = source.discrete_part
    with np.errstate(over="ignore"):
        density = np.exp(source.logpdf(x))
    x = np.concatenate([x, points[:, 0]])
    weights = np.concatenate([w * density, masses])
    return x[:, None], weights, mass, mass * (high - low) ** 2


class Box(Product):
    """The uniform law on a box: a product of intervals, in any dimension.

    Parameters
    ----------
    low, high : (d,) array_like
    """

    name = "box"

    def __init__(self, low: ArrayLike = (-1.0, -1.0), high: ArrayLike = (1.0, 1.0)) -> None:
        self.low = np.atleast_1d(_checks.array(low, "low", self.name))
        self.high = np.atleast_1d(_checks.array(high, "high", self.name))
        if self.low.shape != self.high.shape or self.low.ndim != 1 or not (self.low < self.high).all():
            raise InvalidInput(
                f"{self.name}: low={low!r} and high={high!r} must be vectors of one length with low < high"
            )
        super().__init__([Uniform(float(a), float(b)) for a, b in zip(self.low, self.high)])

    @property
    def parameters(self) -> Mapping[str, Any]:
        return {"low": self.low, "high": self.high}

    @property
    def support_box(self) -> tuple[FloatArray, FloatArray]:
        return self.low, self.high


class Square(Box):
    """The uniform law on a centred square of the given side."""

    name = "square"

    def __init__(self, side: float = 2.0) -> None:
        half = 0.5 * _checks.positive(side, "side", self.name)
        super().__init__((-half, -half), (half, half))

    @property
    def parameters(self) -> Mapping[str, Any]:
        return {"side": float(self.high[0] - self.low[0])}


class LaplaceProduct(Product):
    """Independent Laplacian coordinates, in any dimension.

    Parameters
    ----------
    scale : (d,) array_like
        Scales of the coordinates.
    loc : (d,) array_like, optional
    """

    name = "laplace-product"

    def __init__(self, scale: ArrayLike = (1.0, 1.0), loc: ArrayLike | None = None) -> None:
        self.scale = np.atleast_1d(_checks.array(scale, "scale", self.name))
        self.loc = np.zeros(len(self.scale)) if loc is None else np.atleast_1d(_checks.array(loc, "loc", self.name))
        if self.loc.shape != self.scale.shape:
            raise InvalidInput(
                f"{self.name}: loc has shape {self.loc.shape}, scale {self.scale.shape}; need one each per coordinate"
            )
        super().__init__([Laplace(float(m), float(s)) for m, s in zip(self.loc, self.scale)])

    @property
    def parameters(self) -> Mapping[str, Any]:
        return {"scale": self.scale, "loc": self.loc}


_WIDEST = 1e150  # the square of a polygon's width must be a number


class _Pieces(Source):
    """Uniform on disjoint triangles, each given by its corners (n, 3, 2)."""

    dim = 2
    triangles: FloatArray

    def _areas(self) -> FloatArray:
        a, b, c = self.triangles[:, 0], self.triangles[:, 1], self.triangles[:, 2]
        u, v = b - a, c - a
        return np.asarray(0.5 * np.abs(u[:, 0] * v[:, 1] - u[:, 1] * v[:, 0]))

    @property
    def mean(self) -> FloatArray:
        area = self._areas()
        return np.asarray((area / area.sum()) @ self.triangles.mean(axis=1))

    @property
    def covariance(self) -> FloatArray:
        area = self._areas()
        corners = self.triangles - self.mean
        total = corners.sum(axis=1)
        second = (np.einsum("nki,nkj->nij", corners, corners) + total[:, :, None] * total[:, None, :]) / 12
        return np.asarray(np.einsum("n,nij->ij", area / area.sum(), second))

    def entropy(self) -> float:
        return float(np.log(self._areas().sum()))

    def critical_epsilon(self) -> float:
        return 0.0

    @property
    def support_box(self) -> tuple[FloatArray, FloatArray]:
        corners = self.triangles.reshape(-1, 2)
        return corners.min(axis=0), corners.max(axis=0)

    def log_density(self, x: ArrayLike) -> FloatArray:
        x = np.asarray(x, dtype=np.float64)
        inside = np.zeros(x.shape[:-1], dtype=bool)
        for t in self.triangles:
            signs = [_cross(t[(k + 1) % 3] - t[k], x - t[k]) for k in range(3)]
            s = np.stack(signs)
            inside |= (s >= 0).all(axis=0) | (s <= 0).all(axis=0)
        return np.where(inside, -self.entropy(), -np.inf)

    def sample(self, n: int, rng: np.random.Generator | int | None = None) -> FloatArray:
        rng = np.random.default_rng(rng)
        area = self._areas()
        which = rng.choice(len(area), size=n, p=area / area.sum())
        u, v = rng.random((2, n, 1))
        fold = u + v > 1
        u, v = np.where(fold, 1 - u, u), np.where(fold, 1 - v, v)
        t = self.triangles[which]
        return np.asarray(t[:, 0] + u * (t[:, 1] - t[:, 0]) + v * (t[:, 2] - t[:, 0]))

    def nodes(self, spacing: float, mass: float) -> tuple[FloatArray, FloatArray, float, float]:
        points, weights = [], []
        total = self._areas().sum()
        for area, (a, b, c) in zip(self._areas(), self.triangles):
            if area <= 1e-14 * total:
                continue
            sides = np.linalg.norm([b - a, c - a, c - b], axis=1)
            u, wu = panel_rule(0.0, 1.0, PANEL * spacing / max(sides[0], sides[1]))
            v, wv = panel_rule(0.0, 1.0, PANEL * spacing / sides[2])
            grid, w = tensor([(u, wu), (v, wv)])
            points.append(a + grid[:, :1] * (b - a) + grid[:, :1] * grid[:, 1:] * (c - b))
            weights.append(w * 2 * grid[:, 0] * area / total)
        return np.concatenate(points), np.concatenate(weights), 0.0, 0.0


def _cross(u: FloatArray, v: FloatArray) -> FloatArray:
    return np.asarray(u[..., 0] * v[..., 1] - u[..., 1] * v[..., 0])


class Polygon(_Pieces):
    """The uniform law on a simple polygon in the plane.

    Parameters
    ----------
    vertices : (n, 2) array_like
        Corners in order, either orientation; the boundary must not cross itself.
    """

    name = "polygon"

    def __init__(self, vertices: ArrayLike = ((-1.0, -1.0), (1.5, -0.5), (0.5, 1.2))) -> None:
        v = _checks.array(vertices, "vertices", self.name)
        if v.ndim != 2 or v.shape[1] != 2 or len(v) < 3:
            raise InvalidInput(f"polygon: vertices have shape {v.shape}; need (n, 2) with n >= 3")
        if not np.ptp(v, axis=0).max() < _WIDEST:
            raise InvalidInput(f"polygon: the vertices span {np.ptp(v, axis=0).max():.2g}; need < {_WIDEST:g}: rescale")
        self.vertices = v
        self.triangles = _ears(v)

    @property
    def parameters(self) -> Mapping[str, Any]:
        return {"vertices": self.vertices}


def _ears(vertices: FloatArray) -> FloatArray:
    """Cut a simple polygon into triangles by clipping ears."""
    twice_area = float(np.sum(_cross(vertices, np.roll(vertices, -1, axis=0))))
    scale = float(np.ptp(vertices, axis=0).max()) ** 2
    if not abs(twice_area) > 1e-12 * scale:
        raise InvalidInput("polygon: the vertices enclose no area")
    _refuse_crossings(vertices)
    left = list(range(len(vertices)) if twice_area > 0 else range(len(vertices) - 1, -1, -1))
    triangles = []
    while len(left) > 3:
        for k in range(len(left)):
            i, j, l = left[k - 1], left[k], left[(k + 1) % len(left)]
            a, b, c = vertices[i], vertices[j], vertices[l]
            if _cross(b - a, c - b) <= 0:
                continue
            others = vertices[[m for m in left if m not in (i, j, l)]]
            inside = (_cross(b - a, others - a) > 0) & (_cross(c - b, others - b) > 0) & (_cross(a - c, others - c) > 0)
            if not inside.any():
                triangles.append([a, b, c])
                left.pop(k)
                break
        else:  # only collinear corners are left over
            corners = vertices[left]
            turn = _cross(corners - np.roll(corners, 1, axis=0), np.roll(corners, -1, axis=0) - corners)
            flat = np.flatnonzero(np.abs(turn) <= 1e-12 * scale)
            if not len(flat):
                raise InvalidInput(_CROSSES)
            left.pop(int(flat[0]))
    triangles.append([vertices[k] for k in left])
    return np.array(triangles)


def _refuse_crossings(v: FloatArray) -> None:
    """Raise if two edges that are not neighbours cross properly."""
    n = len(v)
    a, b = v, np.roll(v, -1, axis=0)
    for i in range(n):
        j = np.array([k for k in range(i + 2, n) if (k + 1) % n != i], dtype=int)
        if not len(j):
            continue
        d = b[i] - a[i]
        s1, s2 = _cross(d, a[j] - a[i]), _cross(d, b[j] - a[i])
        t1, t2 = _cross(b[j] - a[j], a[i] - a[j]), _cross(b[j] - a[j], b[i] - a[j])
        if ((s1 * s2 < 0) & (t1 * t2 < 0)).any():
            raise InvalidInput(_CROSSES)


class Checkerboard(_Pieces):
    """The uniform law on the black squares of a checkerboard.

    Parameters
    ----------
    squares : int
        Squares per side.
    side : float
        Side of the whole board, centred at the origin.
    """

    name = "checkerboard"

    def __init__(self, squares: int = 4, side: float = 4.0) -> None:
        self.squares = arguments.integer(squares, "checkerboard: squares")
        if self.squares > MOST_SQUARES:
            raise InvalidInput(f"checkerboard: squares={self.squares}; need <= {MOST_SQUARES}")
        self.side = _checks.positive(side, "side", self.name)
        h = self.side / self.squares
        lows = [
            (-0.5 * self.side + i * h, -0.5 * self.side + j * h)
            for i in range(self.squares)
            for j in range(self.squares)
            if (i + j) % 2 == 0
        ]
        self._lows, self._cell = np.array(lows), h
        corners = self._lows[:, None, :] + h * np.array([[0.0, 0.0], [1.0, 0.0], [1.0, 1.0], [0.0, 1.0]])
        self.triangles = np.concatenate([corners[:, [0, 1, 2]], corners[:, [0, 2, 3]]])

    @property
    def parameters(self) -> Mapping[str, Any]:
        return {"squares": self.squares, "side": self.side}

    def nodes(self, spacing: float, mass: float) -> tuple[FloatArray, FloatArray, float, float]:
        x, w = panel_rule(0.0, self._cell, PANEL * spacing)
        grid, weights = tensor([(x, w), (x, w)])
        points = (self._lows[:, None, :] + grid).reshape(-1, 2)
        return points, np.tile(weights, len(self._lows)) / (len(self._lows) * self._cell**2), 0.0, 0.0
