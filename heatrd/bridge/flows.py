"""Heat flows of measures: x ↦ log (G_s ∗ m)(x) and its gradient, at any x and any variance s ≥ 0.

The gradient is a posterior mean: ∇ log (G_s ∗ m)(x) = (E[Z | x] − x)/s, with Z drawn from m(dz) G_s(x − z) (Tweedie).
Which formula is used depends on what m is:

- atoms (`AtomFlow`): the sum, in the log domain, any d;
- Gaussian mixtures (`MixtureFlow`): covariances grow by sI, exact down to s = 0;
- densities (`DensityFlow`): their quadrature nodes as atoms while √s resolves the nodes, below that a quadrature of
  its own in a window around the point where the mass of m(dz) G_s(x − z) lies: Gauss–Legendre between the
  breakpoints of a density on the line, Gauss–Hermite in R^d, d ≤ 3.

`SumFlow` adds the atomic and the continuous part of a mixed law.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Protocol

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.spatial import cKDTree

from heatrd.kernels.potentials import draw_posterior, log_mixture, log_mixture_line

__all__ = [
    "AtomFlow",
    "DensityFlow",
    "Flow",
    "MixtureFlow",
    "PathFlow",
    "SumFlow",
    "UnitFlow",
    "gaussian_rule",
    "spacing",
]

FloatArray = NDArray[np.float64]
LogDensity = Callable[[FloatArray], FloatArray]

_WINDOW = 12.0  # half-width of the local window in standard deviations
_FINEST = 1e-8  # narrowest window over the largest coordinate
_LINE_ORDER = 96
_PIECE_ORDER = 24
_CUBE_ORDER = {2: 12, 3: 8}
_NARROW_ORDER = 6  # where the window is narrow against the density
_CHUNK = 200_000
_PAIRS = 20_000_000  # of points and atoms in one kernel: some tenths of a second


class Flow(Protocol):
    """A measure with its heat flow. Points have shape (n, d)."""

    atomic: bool

    def log_and_score(
        self, s: float, x: FloatArray, hint: FloatArray | None = None, width: float | None = None
    ) -> tuple[FloatArray, FloatArray]:
        """Return log (G_s ∗ m)(x) of shape (n,) and its gradient (n, d).

        ``hint`` (n, d) and ``width`` tell where m(dz) G_s(x − z) has its mass, and how wide it is, if the caller knows.
        """

    def draw(self, s: float, x: FloatArray, uniform: FloatArray, normal: FloatArray) -> FloatArray:
        """Draw Z given x from m(dz) G_s(x − z), with random numbers handed in."""


def gaussian_rule(dim: int, step: float = 0.25, *, coarse: bool = False) -> tuple[FloatArray, FloatArray]:
    """Nodes (k, d) and weights (k,) of a quadrature for N(0, I_d).

    On the line the trapezoidal rule, which for integrands with singularities near the real axis (logs of
    mixtures) beats Gauss–Hermite at equal cost; in the plane and in space tensor Gauss–Hermite, of low order when
    ``coarse`` (a blur narrow against the integrand).
    """
    if dim == 1:
        reach = int(np.ceil(8.5 / step))
        z = np.arange(-reach, reach + 1) * step
        w = np.exp(-0.5 * z**2)
    else:
        z, w = np.polynomial.hermite_e.hermegauss(5 if coarse else {2: 16, 3: 9}.get(dim, 4))
    w = w / w.sum()
    nodes = np.array(list(itertools.product(z, repeat=dim)))
    weights = np.prod(np.array(list(itertools.product(w, repeat=dim))), axis=1)
    keep = weights > 1e-18
    return nodes[keep], weights[keep] / weights[keep].sum()


class AtomFlow:
    """Weighted atoms: ``points`` (m, d) and log-masses (m,), not necessarily normalised."""

    atomic = True

    def __init__(self, points: FloatArray, log_mass: FloatArray) -> None:
        live = log_mass > -np.inf
        self.points = np.ascontiguousarray(points[live], dtype=np.float64)
        self.log_mass = np.ascontiguousarray(log_mass[live], dtype=np.float64)
        order = np.argsort(self.points[:, 0], kind="stable")
        self._sorted = np.ascontiguousarray(self.points[order]), np.ascontiguousarray(self.log_mass[order])

    def posterior(self, s: float, x: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Return log (G_s ∗ m)(x) and E[Z | x]."""
        n, d = x.shape
        log_sum, mean = np.empty(n), np.empty((n, d))
        points, log_mass = self._sorted
        for rows in _batches(n, len(points)):
            if d == 1:
                place = np.ascontiguousarray(x[rows, 0])
                log_mixture_line(place, points[:, 0], log_mass, s, log_sum[rows], mean[rows, 0])
            else:
                log_mixture(np.ascontiguousarray(x[rows]), points, log_mass, s, log_sum[rows], mean[rows])
        return log_sum - 0.5 * d * np.log(2 * np.pi * s), mean

    def draw(self, s: float, x: FloatArray, uniform: FloatArray, normal: FloatArray) -> FloatArray:
        """Draw Z given x from m(dz) G_s(x − z), by inversion of ``uniform`` (n,)."""
        points, log_mass = self._sorted
        index = np.empty(len(x), dtype=np.int64)
        for rows in _batches(len(x), len(points)):
            draw_posterior(np.ascontiguousarray(x[rows]), points, log_mass, s, uniform[rows], index[rows])
        return points[index]

    def log_and_score(
        self, s: float, x: FloatArray, hint: FloatArray | None = None, width: float | None = None
    ) -> tuple[FloatArray, FloatArray]:
        if s == 0.0:
            return np.full(len(x), -np.inf), np.full(x.shape, np.nan)
        value, mean = self.posterior(s, x)
        with np.errstate(over="ignore"):  # far beyond the atoms the score is infinite
            return value, (mean - x) / s


class MixtureFlow:
    """A Gaussian mixture with ``weights`` (k,), ``means`` (k, d), ``covs`` (k, d, d)."""

    atomic = False

    def __init__(self, weights: FloatArray, means: FloatArray, covs: FloatArray) -> None:
        self.log_weights = np.log(np.asarray(weights, dtype=np.float64))
        self.means = np.asarray(means, dtype=np.float64)
        eigen, self.axes = np.linalg.eigh(np.asarray(covs, dtype=np.float64))
        self.eigen = np.maximum(eigen, 0.0)
        self.atomic = bool((self.eigen.min(axis=1) <= 1e-14).any())

    def log_and_score(
        self, s: float, x: FloatArray, hint: FloatArray | None = None, width: float | None = None
    ) -> tuple[FloatArray, FloatArray]:
        log_parts, scores = zip(*(self._component(k, s, x) for k in range(len(self.means))), strict=True)
        return _mix(log_parts, scores)

    def draw(self, s: float, x: FloatArray, uniform: FloatArray, normal: FloatArray) -> FloatArray:
        """Draw Z given x: a component by inversion of ``uniform`` (n,), then its Gaussian posterior from ``normal``
        (n, d)."""
        logs = np.stack([self._component(k, s, x)[0] for k in range(len(self.means))])
        p = np.exp(logs - logs.max(axis=0))
        chosen = (np.cumsum(p, axis=0) < uniform * p.sum(axis=0)).sum(axis=0).clip(max=len(p) - 1)
        out = np.empty_like(x)
        for k in range(len(p)):
            pick = chosen == k
            gain = self.eigen[k] / (self.eigen[k] + s)
            z = ((x[pick] - self.means[k]) @ self.axes[k]) * gain + np.sqrt(gain * s) * normal[pick]
            out[pick] = self.means[k] + z @ self.axes[k].T
        return out

    def _component(self, k: int, s: float, x: FloatArray) -> tuple[FloatArray, FloatArray]:
        variance = self.eigen[k] + s
        if not (variance > 0).all():
            return np.full(len(x), -np.inf), np.full(x.shape, np.nan)
        z = (x - self.means[k]) @ self.axes[k]
        with np.errstate(over="ignore"):  # far beyond the component its logarithm is −∞, and so may be the score
            square, pull = (z / np.sqrt(variance)) ** 2, z / variance
        value = self.log_weights[k] - 0.5 * (square + np.log(2 * np.pi * variance)).sum(axis=1)
        return value, -pull @ self.axes[k].T


class SumFlow:
    """m₁ + m₂: the atomic and the continuous part of a mixed law."""

    def __init__(self, *parts: Flow) -> None:
        self.parts = parts
        self.atomic = any(part.atomic for part in parts)

    def log_and_score(
        self, s: float, x: FloatArray, hint: FloatArray | None = None, width: float | None = None
    ) -> tuple[FloatArray, FloatArray]:
        values = [part.log_and_score(s, x, hint, width) for part in self.parts]
        return _mix([v[0] for v in values], [np.where(np.isfinite(v[1]), v[1], 0.0) for v in values])

    def draw(self, s: float, x: FloatArray, uniform: FloatArray, normal: FloatArray) -> FloatArray:
        """Draw Z given x: a part by the first share of ``uniform``, then within it."""
        logs = np.stack([part.log_and_score(s, x)[0] for part in self.parts])
        p = np.exp(logs - logs.max(axis=0))
        p /= p.sum(axis=0)
        ends = np.cumsum(p, axis=0)
        out = np.empty_like(x)
        for k, part in enumerate(self.parts):
            start = ends[k] - p[k]
            pick = (uniform >= start) & ((uniform < ends[k]) | (k == len(self.parts) - 1))
            out[pick] = part.draw(
                s, x[pick], (uniform[pick] - start[pick]) / np.maximum(p[k, pick], 1e-300), normal[pick]
            )
        return out


class DensityFlow:
    """A density given by its logarithm (n, d) → (n,), with quadrature nodes for the scales that they resolve.

    Parameters
    ----------
    log_density : callable
        Logarithm of the (unnormalised) density.
    nodes : AtomFlow
        The same measure discretised.
    coarse : float
        Variance from which on the nodes are used as atoms.
    edges : array_like
        On the line: ends of the support and breakpoints, between which the density is smooth.
    """

    atomic = False

    def __init__(self, log_density: LogDensity, nodes: AtomFlow, *, coarse: float, edges: ArrayLike = ()) -> None:
        self.log_density = log_density
        self.nodes = nodes
        self.coarse = coarse
        self.dim = nodes.points.shape[1]
        self.edges = np.unique(np.asarray(edges, dtype=np.float64))
        self.finest = min((_FINEST * float(np.abs(nodes.points).max())) ** 2, coarse)

    def log_and_score(
        self, s: float, x: FloatArray, hint: FloatArray | None = None, width: float | None = None
    ) -> tuple[FloatArray, FloatArray]:
        if s >= self.coarse or self.dim > 3:
            return self.nodes.log_and_score(s, x)
        if s == 0.0:
            tiny = 1e-7 * self.coarse
            return self.log_density(x), self.log_and_score(tiny, x)[1]
        if s < self.finest:  # a window this narrow is lost in the rounding of x
            s, hint, width = self.finest, None, None
        centre = x if hint is None else hint
        width = np.sqrt(s) if width is None else width
        local = self._on_line if self.dim == 1 else self._in_cube
        value, score = np.empty(len(x)), np.empty(x.shape)
        rows = max(_CHUNK // _CUBE_ORDER.get(self.dim, 48) ** self.dim, 1)
        for i in range(0, len(x), rows):
            part = slice(i, i + rows)
            value[part], score[part] = local(s, x[part], centre[part], width)
        lost = ~np.isfinite(value)
        if lost.any() and s > 0:  # a singular part, or nothing of the density in the window
            value[lost], score[lost] = self.nodes.log_and_score(s, x[lost])
        return value, score

    def draw(self, s: float, x: FloatArray, uniform: FloatArray, normal: FloatArray) -> FloatArray:
        """Draw Z given x from the quadrature nodes (exact for expectations that the nodes integrate)."""
        return self.nodes.draw(s, x, uniform, normal)

    def _on_line(self, s: float, x: FloatArray, centre: FloatArray, width: float) -> tuple[FloatArray, FloatArray]:
        low, high = centre[:, 0] - _WINDOW * width, centre[:, 0] + _WINDOW * width
        row, a, b = _pieces(low, high, self.edges)
        z, w = np.polynomial.legendre.leggauss(_LINE_ORDER if len(row) <= 3 * len(x) else _PIECE_ORDER)
        half = 0.5 * (b - a)
        node = (0.5 * (a + b))[:, None] + half[:, None] * z
        move = node - x[row]
        with np.errstate(divide="ignore"):
            log_w = np.log(half)[:, None] + np.log(w)
        log_f = self.log_density(node.reshape(-1, 1)).reshape(node.shape) - move**2 / (2 * s) + log_w
        top = np.full(len(x), -np.inf)
        np.maximum.at(top, row, log_f.max(axis=1, initial=-np.inf))
        with np.errstate(invalid="ignore", divide="ignore"):
            f = np.exp(log_f - np.where(np.isfinite(top), top, 0.0)[row][:, None])
            total = np.bincount(row, f.sum(axis=1), minlength=len(x))
            drift = np.bincount(row, (f * move).sum(axis=1), minlength=len(x)) / total
            value = top + np.log(total) - 0.5 * np.log(2 * np.pi * s)
        return value, drift[:, None] / s

    def _in_cube(self, s: float, x: FloatArray, centre: FloatArray, width: float) -> tuple[FloatArray, FloatArray]:
        order = _CUBE_ORDER[self.dim] if s > 0.2 * self.coarse else _NARROW_ORDER
        z1, w1 = np.polynomial.hermite_e.hermegauss(order)
        z = np.array(list(itertools.product(z1, repeat=self.dim)))
        log_w = np.log(np.array(list(itertools.product(w1, repeat=self.dim)))).sum(axis=1) + 0.5 * (z**2).sum(axis=1)
        node = centre[:, None, :] + width * z
        move = node - x[:, None, :]
        log_f = self.log_density(node.reshape(-1, self.dim)).reshape(node.shape[:2])
        log_f = log_f - (move**2).sum(axis=2) / (2 * s) + log_w
        top = log_f.max(axis=1)
        with np.errstate(invalid="ignore", divide="ignore"):
            f = np.exp(log_f - np.where(np.isfinite(top), top, 0.0)[:, None])
            total = f.sum(axis=1)
            drift = (f[:, :, None] * move).sum(axis=1) / total[:, None]
            value = top + np.log(total) + self.dim * (np.log(width) - 0.5 * np.log(2 * np.pi * s))
        return value, drift / s


class UnitFlow:
    """Lebesgue measure: log (G_s ∗ 1) = 0. The ratio μ/φ_0 inside the backward-heat class, where μ = φ_0."""

    atomic = False

    def log_and_score(
        self, s: float, x: FloatArray, hint: FloatArray | None = None, width: float | None = None
    ) -> tuple[FloatArray, FloatArray]:
        return np.zeros(len(x)), np.zeros(x.shape)

    def draw(self, s: float, x: FloatArray, uniform: FloatArray, normal: FloatArray) -> FloatArray:
        """Draw x + √s Z."""
        return x + np.sqrt(s) * normal


class PathFlow:
    """The flow of a backward heat path: (G_s ∗ ν) = ρ_{1 − s/ε}; by its lattice ν while √s resolves that, by the
    path itself below.

    Parameters
    ----------
    path : HeatPath
        With ``epsilon``, ``log_density(t, x)``, ``score(t, x)``.
    nodes : AtomFlow
        ν on a lattice.
    coarse : float
        Variance from which on the lattice is used.
    """

    atomic = False

    def __init__(self, path: Any, nodes: AtomFlow, *, coarse: float) -> None:
        self.path, self.nodes, self.coarse = path, nodes, coarse

    def log_and_score(
        self, s: float, x: FloatArray, hint: FloatArray | None = None, width: float | None = None
    ) -> tuple[FloatArray, FloatArray]:
        if s >= self.coarse:
            return self.nodes.log_and_score(s, x)
        t = min(max(1.0 - s / self.path.epsilon, 0.0), 1.0)
        value = np.asarray(self.path.log_density(t, x)).reshape(len(x))
        return value, np.asarray(self.path.score(t, x)).reshape(x.shape)

    def draw(self, s: float, x: FloatArray, uniform: FloatArray, normal: FloatArray) -> FloatArray:
        """Draw from the lattice (exact for expectations that it integrates)."""
        return self.nodes.draw(s, x, uniform, normal)


def spacing(points: FloatArray) -> float:
    """Median distance of a point to its nearest neighbour."""
    if len(points) < 2:
        return 0.0
    return float(np.median(cKDTree(points).query(points, k=2)[0][:, 1]))


def _batches(n: int, atoms: int) -> Iterator[slice]:
    """Rows of n points, so many at a time that a kernel over all atoms returns, and an interrupt is seen, soon."""
    rows = max(_PAIRS // max(atoms, 1), 1)
    return (slice(first, first + rows) for first in range(0, n, rows))


def _pieces(low: FloatArray, high: FloatArray, edges: FloatArray) -> tuple[NDArray[np.intp], FloatArray, FloatArray]:
    """Cut the windows [low_i, high_i] at the edges; outside the outermost edges nothing is left."""
    if edges.size == 0:
        return np.arange(len(low)), low, high
    first = np.searchsorted(edges, low, side="right")
    last = np.searchsorted(edges, high, side="left")
    count = last - first + 1
    row = np.repeat(np.arange(len(low)), count)
    piece = np.arange(count.sum()) - np.repeat(np.cumsum(count) - count, count) + first[row]
    bounds = np.concatenate([[-np.inf], edges, [np.inf]])
    a, b = np.maximum(bounds[piece], low[row]), np.minimum(bounds[piece + 1], high[row])
    keep = (piece >= 1) & (piece <= len(edges) - 1) & (b > a)
    return row[keep], a[keep], b[keep]


def _mix(log_parts: Sequence[FloatArray], scores: Sequence[FloatArray]) -> tuple[FloatArray, FloatArray]:
    """Log of a sum and its gradient, from the logs and gradients of the terms."""
    logs = np.array(log_parts)
    top = logs.max(axis=0)
    p = np.where(np.isneginf(top), 1.0, np.exp(logs - np.where(np.isfinite(top), top, 0.0)))  # far out: any is right
    total = p.sum(axis=0)
    with np.errstate(divide="ignore", invalid="ignore"):
        score = np.einsum("kn,knd->nd", p / total, np.array(scores))
        return top + np.log(total), score
