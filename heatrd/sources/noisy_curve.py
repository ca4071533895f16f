"""Noisy curves in the plane: two moons and spirals.

A noisy curve is γ(T) + N(0, s² I) with T uniform on the curve's parameter interval: in the backward-heat class
up to ε_c = s², with the same curve and less noise as its deblurred law. Its density is a Gaussian sum over
Gauss–Legendre points of the curve, dense enough (panels of 2 s) to be exact to rounding; where they are many, points
are taken cell by cell, and only those of the curve count whose share could be seen.
"""

from __future__ import annotations

import abc
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import scipy
from numpy.typing import ArrayLike, NDArray

from heatrd import arguments
from heatrd.errors import InvalidInput, TooLarge
from heatrd.sources import _checks
from heatrd.sources._quadrature import panel_rule
from heatrd.sources.base import FloatArray, Source

__all__ = ["NoisyCurve", "Spirals", "TwoMoons"]

MOST_ARMS, MOST_TURNS = 1000, 200
MOST_PANELS = 20_000  # along all arms
_FEW = 4000  # nodes of a curve that are summed for every point
_CELL = 6.0  # of the noise
_UNSEEN = 110.0  # squared distances, in units of the noise, beyond the nearest node's: exp(−55) of its share
_WIDE = 2.0  # spacings of so many noises let a Gauss–Hermite rule stand for the noise
_HERMITE_DIGITS = 13.0  # of a Gauss–Hermite rule of order n against kernels of width √ε: (noise/√ε)^2n
IntArray = NDArray[np.intp]

LOG_2PI = float(np.log(2 * np.pi))


class NoisyCurve(Source):
    """A law on curves in the plane, blurred by N(0, noise² I); ``noise = 0`` is the singular law itself."""

    dim = 2
    noise: float

    @abc.abstractmethod
    def _curves(self) -> list[tuple[float, float, float]]:
        """(start, end, weight) of the parameter on each arm."""

    @abc.abstractmethod
    def _point(self, arm: int, t: FloatArray) -> FloatArray:
        """γ(t) on an arm, shape (n, 2)."""

    @abc.abstractmethod
    def _speed(self) -> float:
        """The largest ‖γ′(t)‖ on any arm."""

    @abc.abstractmethod
    def _with_noise(self, noise: float) -> Source:
        """The same curve with other noise."""

    def curve_nodes(self, width: float) -> tuple[FloatArray, FloatArray]:
        """Points and masses along the curve: panels of order 16 not longer than ``width``."""
        curves, step = self._curves(), width / self._speed()
        if (count := sum((b - a) / step for a, b, _ in curves)) > MOST_PANELS:
            raise TooLarge(
                f"{self.name}: {count:.3g} pieces of {width:.3g} along the curve are too many; use a larger noise or "
                "epsilon, or a shorter curve",
                MOST_PANELS,
            )
        points, weights = [], []
        for arm, (a, b, mass) in enumerate(curves):
            t, w = panel_rule(a, b, step)
            points.append(self._point(arm, t))
            weights.append(mass * w / (b - a))
        return np.concatenate(points), np.concatenate(weights)

    def _moments(self) -> tuple[FloatArray, FloatArray]:
        x, w = self.curve_nodes(self._size() / 8)
        mean = w @ x
        return mean, (w[:, None] * (x - mean)).T @ (x - mean)

    def _size(self) -> float:
        return float(
            np.ptp(
                np.concatenate([self._point(k, np.linspace(a, b, 64)) for k, (a, b, _) in enumerate(self._curves())]),
                axis=0,
            ).max()
        )

    @property
    def mean(self) -> FloatArray:
        return np.asarray(self._moments()[0])

    @property
    def covariance(self) -> FloatArray:
        return np.asarray(self._moments()[1] + self.noise**2 * np.eye(2))

    def log_density(self, x: ArrayLike) -> FloatArray:
        x = np.asarray(x, dtype=np.float64)
        if self.noise == 0:
            return np.full(x.shape[:-1], -np.inf)
        centres, w = self.curve_nodes(2.0 * self.noise)
        flat, centres = x.reshape(-1, 2) / self.noise, centres / self.noise
        out = np.empty(len(flat))
        for some, near in _neighbourhoods(flat, centres):
            step = max(1, 4_000_000 // len(near))
            for i in range(0, len(some), step):
                out[some[i : i + step]] = _log_sum(flat[some[i : i + step]], centres[near], w[near])
        return (out - LOG_2PI - 2 * np.log(self.noise)).reshape(x.shape[:-1])

    def sample(self, n: int, rng: np.random.Generator | int | None = None) -> FloatArray:
        rng = np.random.default_rng(rng)
        curves = self._curves()
        mass = np.array([c[2] for c in curves])
        arm = rng.choice(len(curves), size=n, p=mass / mass.sum())
        u = rng.random(n)
        out = self.noise * rng.standard_normal((n, 2))
        for k, (a, b, _) in enumerate(curves):
            out[arm == k] += self._point(k, a + (b - a) * u[arm == k])
        return out

    def critical_epsilon(self) -> float:
        return self.noise**2

    def entropy(self) -> float | None:
        if self.noise == 0:
            return -np.inf
        points, weights, _, _ = self.nodes(0.25 * self.noise, 1e-16)
        return float(-(weights @ self.log_density(points)) / weights.sum())

    def deblurred(self, epsilon: float) -> Source | None:
        left = self.noise**2 - float(epsilon)
        if left < -1e-13 * self.noise**2:
            return None
        return self._with_noise(float(np.sqrt(left)) if left > 1e-12 * self.noise**2 else 0.0)

    def nodes(self, spacing: float, mass: float) -> tuple[FloatArray, FloatArray, float, float]:
        """A lattice near the curve; on the bare curve its own nodes, with a rule for the noise where that is fine."""
        if spacing > _WIDE * self.noise:
            x, w = self.curve_nodes(8.0 * spacing)
            return (*_blurred(x, w, self.noise, 0.45 * self.noise / spacing), 0.0, 0.0)
        step = min(0.6 * self.noise, spacing)
        reach = self.noise * float(np.sqrt(-2 * np.log(mass)))
        centres, _ = self.curve_nodes(2.0 * self.noise)
        low, high = centres.min(axis=0) - reach, centres.max(axis=0) + reach
        axes = [(step * np.arange(np.floor(a / step), np.ceil(b / step) + 1), np.zeros(0)) for a, b in zip(low, high)]
        if len(axes[0][0]) * len(axes[1][0]) > 2e7:
            raise TooLarge(
                f"{self.name}: a lattice that resolves noise={self.noise:g} has too many points; use a larger noise, "
                "or an epsilon above 20 of its squares"
            )
        grid = np.stack(np.meshgrid(axes[0][0], axes[1][0], indexing="ij"), axis=-1).reshape(-1, 2)
        near = scipy.spatial.cKDTree(centres).query(grid, distance_upper_bound=reach)[0] <= reach
        points = grid[near]
        return points, np.exp(self.log_density(points)) * step**2, mass, mass * (reach + self.noise) ** 2


def _neighbourhoods(x: FloatArray, centres: FloatArray) -> Iterator[tuple[IntArray, IntArray]]:
    """Groups of points, with the centres that matter to them; in units of the noise."""
    if len(centres) <= _FEW:
        yield np.arange(len(x)), np.arange(len(centres))
        return
    cells, group = np.unique(np.floor(x / _CELL), axis=0, return_inverse=True)
    tree, middles, half = scipy.spatial.cKDTree(centres), (cells + 0.5) * _CELL, _CELL / np.sqrt(2)
    reach = half + np.sqrt((tree.query(middles)[0] + half) ** 2 + _UNSEEN)
    order = np.argsort(group.ravel(), kind="stable")
    members = np.split(order, np.cumsum(np.bincount(group.ravel()))[:-1])
    for some, middle, radius in zip(members, middles, reach):
        yield some, np.asarray(tree.query_ball_point(middle, radius))


def _log_sum(x: FloatArray, centres: FloatArray, w: FloatArray) -> FloatArray:
    """log Σ w exp(−‖x − centre‖²/2)."""
    d2 = np.subtract.outer(x[:, 0], centres[:, 0]) ** 2
    d2 += np.subtract.outer(x[:, 1], centres[:, 1]) ** 2
    nearest = d2.min(axis=1)
    return np.asarray(-0.5 * nearest + np.log(np.exp(-0.5 * (d2 - nearest[:, None])) @ w))


def _blurred(x: FloatArray, w: FloatArray, noise: float, ratio: float) -> tuple[FloatArray, FloatArray]:
    """Points and masses with a Gauss–Hermite rule for the noise around each; ``ratio`` is noise/√ε."""
    if noise == 0:
        return x, w
    z, v = np.polynomial.hermite_e.hermegauss(2 + int(_HERMITE_DIGITS / -np.log10(ratio) / 2))
    around = noise * np.stack(np.meshgrid(z, z, indexing="ij"), axis=-1).reshape(-1, 2)
    share = np.multiply.outer(v, v).ravel() / v.sum() ** 2
    return (x[:, None] + around).reshape(-1, 2), np.multiply.outer(w, share).ravel()


class TwoMoons(NoisyCurve):
    """Two interleaved half circles of radius one, blurred: the standard test shape of clustering.

    Parameters
    ----------
    noise : float
        Standard deviation s of the blur; ε_c = s².
    """

    name = "two-moons"

    def __init__(self, noise: float = 0.1) -> None:
        self.noise = _checks.finite(noise, "noise", self.name)
        if self.noise < 0:
            raise InvalidInput(f"{self.name}: noise={noise} must be >= 0")

    @property
    def parameters(self) -> Mapping[str, Any]:
        return {"noise": self.noise}

    def _curves(self) -> list[tuple[float, float, float]]:
        return [(0.0, np.pi, 0.5), (0.0, np.pi, 0.5)]

    def _point(self, arm: int, t: FloatArray) -> FloatArray:
        if arm == 0:
            return np.stack([np.cos(t), np.sin(t)], axis=-1)
        return np.stack([1 - np.cos(t), 0.5 - np.sin(t)], axis=-1)

    def _speed(self) -> float:
        return 1.0

    def _with_noise(self, noise: float) -> Source:
        return TwoMoons(noise)


class Spirals(NoisyCurve):
    """Archimedean spirals, blurred.

    Parameters
    ----------
    arms : int
    turns : float
        Revolutions of each arm.
    radius : float
        Outer radius; the inner one is a tenth of it.
    noise : float
        Standard deviation s of the blur; ε_c = s².
    """

    name = "spirals"

    def __init__(self, arms: int = 2, turns: float = 1.0, radius: float = 2.0, noise: float = 0.1) -> None:
        self.arms = arguments.integer(arms, f"{self.name}: arms")
        if self.arms > MOST_ARMS:
            raise InvalidInput(f"{self.name}: arms={self.arms}; need <= {MOST_ARMS}")
        self.turns = _checks.positive(turns, "turns", self.name)
        if self.arms * self.turns > MOST_TURNS:
            raise InvalidInput(
                f"{self.name}: arms={self.arms} of turns={self.turns:g} each; need at most {MOST_TURNS} together"
            )
        self.radius = _checks.positive(radius, "radius", self.name)
        self.noise = _checks.finite(noise, "noise", self.name)
        if self.noise < 0:
            raise InvalidInput(f"{self.name}: noise={noise} must be >= 0")

    @property
    def parameters(self) -> Mapping[str, Any]:
        return {"arms": self.arms, "turns": self.turns, "radius": self.radius, "noise": self.noise}

    def _curves(self) -> list[tuple[float, float, float]]:
        return [(0.1, 1.0, 1.0 / self.arms)] * self.arms

    def _point(self, arm: int, t: FloatArray) -> FloatArray:
        angle = 2 * np.pi * (self.turns * t + arm / self.arms)
        return self.radius * np.stack([t * np.cos(angle), t * np.sin(angle)], axis=-1)

    def _speed(self) -> float:
        return float(self.radius * np.hypot(1.0, 2 * np.pi * self.turns))

    def _with_noise(self, noise: float) -> Source:
        return Spirals(self.arms, self.turns, self.radius, noise)
