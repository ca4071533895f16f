"""Gaussian kernel density on the line, with many points: μ = Σ w_i N(x_i, σ²), evaluated without the n × N table.

Points are gathered in boxes of width σ/2 with centres c. With z = (x − c)/σ and t = (x_i − c)/σ, |t| ≤ 1/4,

    exp(−(z − t)²/2) = exp(−z²/2) Σ_k tᵏ/k! He_k(z),

so a box acts through the moments M_k = Σ w_i tᵢᵏ/k!. The error of ORDER terms is at most (|z|/4)^ORDER/ORDER!
relative, 1e-13 at the reach of
±12σ; farther from every point the nearest few dominate and are summed directly in the log domain. The same
moments give the distribution function,
because ∫ He_k φ = −He_{k−1} φ. This is the backward-heat class with ν the weighted points themselves: ε_c = σ².
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import special

from heatrd.sources import _checks
from heatrd.sources.base import FloatArray, Source, Source1D
from heatrd.sources.discrete import Atoms
from heatrd.sources.gaussian import LOG_2PI, clip_epsilon

__all__ = ["KernelDensity"]

_ORDER = 28
_WINDOW = 30  # boxes on either side: 15σ
_NEAR = 10.0  # beyond this many σ from every point the nearest points are summed directly
_CLOSE = (1.5, 18, 16)  # within 1.5σ of a point, 9σ of boxes and 16 moments are exact to 1e-15


class KernelDensity(Source1D):
    """Σ w_i N(x_i, bandwidth²) on the line.

    Parameters
    ----------
    points : (n,) array_like
        Samples.
    bandwidth : float
        Standard deviation of the kernel, in the units of the samples.
    weights : (n,) array_like, optional
        Non-negative, normalised here; equal when omitted.
    """

    name = "kernel-density"

    def __init__(self, points: ArrayLike, bandwidth: float, weights: ArrayLike | None = None) -> None:
        law = Atoms(np.ravel(np.asarray(points)), weights)
        self.points, self.weights = law.points[:, 0], law.weights
        self.bandwidth = _checks.positive(bandwidth, "bandwidth", self.name)
        self._mean, self._spread = law.mean, law.covariance
        self._kernel_variance = _checks.variance_of_scale(self.bandwidth, self.name)
        self._boxes, self._moments = _boxed_moments(self.points / self.bandwidth, self.weights)

    @property
    def parameters(self) -> Mapping[str, Any]:
        return {"points": self.points, "bandwidth": self.bandwidth, "weights": self.weights}

    @property
    def mean(self) -> FloatArray:
        return self._mean

    @property
    def covariance(self) -> FloatArray:
        return np.asarray(self._spread + self._kernel_variance)

    @property
    def support(self) -> tuple[float, float]:
        return (-np.inf, np.inf)

    def logpdf(self, x: ArrayLike) -> FloatArray:
        x = np.asarray(x, dtype=np.float64)
        z = x.ravel() / self.bandwidth
        distance = self._distance(z)
        out = np.empty(z.size)
        close, near = distance < _CLOSE[0], distance < _NEAR
        out[close] = self._near(z[close], *_CLOSE[1:])
        out[near & ~close] = self._near(z[near & ~close], _WINDOW, _ORDER)
        out[~near] = self._far(z[~near])
        return (out - np.log(self.bandwidth) - 0.5 * LOG_2PI).reshape(x.shape)

    def cdf(self, x: ArrayLike) -> FloatArray:
        x = np.asarray(x, dtype=np.float64)
        z = np.clip(
            x.ravel() / self.bandwidth, self.points[0] / self.bandwidth - 40, self.points[-1] / self.bandwidth + 40
        )
        home = np.floor(2.0 * z)
        below = np.concatenate([[0.0], np.cumsum(self._moments[0])])
        _, window, order = _CLOSE
        total = below[np.searchsorted(self._boxes, home - window)]
        for shift in range(-window, window + 1):
            place, hit = self._box(home + shift)
            u = z[hit] - 0.5 * (home[hit] + shift) - 0.25
            tilt = _hermite_sum(self._moments, place, u, 1, order) * np.exp(-0.5 * u * u - 0.5 * LOG_2PI)
            total[hit] += self._moments[0][place] * special.ndtr(u) - tilt
        return np.clip(total, 0.0, 1.0).reshape(x.shape)

    def tail_cut(self, mass: float) -> tuple[float, float]:
        reach = -float(special.ndtri_exp(np.log(_checks.mass_fraction(mass)))) * self.bandwidth
        return float(self.points[0] - reach), float(self.points[-1] + reach)

    def sample(self, n: int, rng: np.random.Generator | int | None = None) -> FloatArray:
        rng = np.random.default_rng(rng)
        which = rng.choice(len(self.points), size=n, p=self.weights)
        return np.asarray(self.points[which] + self.bandwidth * rng.standard_normal(n))[:, None]

    def critical_epsilon(self) -> float:
        return self._kernel_variance

    def deblurred(self, epsilon: float) -> Source | None:
        eps = clip_epsilon(epsilon, self._kernel_variance)
        if eps is None:
            return None
        if eps == self._kernel_variance:
            return Atoms(self.points, self.weights)
        return KernelDensity(self.points, float(np.sqrt(self._kernel_variance - eps)), self.weights)

    def _distance(self, z: FloatArray) -> FloatArray:
        """Distance to the nearest point, in bandwidths."""
        t = self.points / self.bandwidth
        right = np.clip(np.searchsorted(t, z), 1, max(len(t) - 1, 1))
        return np.minimum(np.abs(z - t[right - 1]), np.abs(z - t[np.minimum(right, len(t) - 1)]))

    def _box(self, index: FloatArray) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
        """Places of the boxes with these indices, and which of the indices exist."""
        place = np.minimum(np.searchsorted(self._boxes, index), len(self._boxes) - 1)
        hit = np.flatnonzero(self._boxes[place] == index)
        return place[hit], hit

    def _near(self, z: FloatArray, window: int, order: int) -> FloatArray:
        home, distance = np.floor(2.0 * z), self._distance(z)
        total = np.zeros(z.size)
        for shift in range(-window, window + 1):
            place, hit = self._box(home + shift)
            if hit.size:
                u = z[hit] - 0.5 * (home[hit] + shift) - 0.25
                total[hit] += _hermite_sum(self._moments, place, u, 0, order) * np.exp(
                    0.5 * (distance[hit] ** 2 - u * u)
                )
        return np.asarray(np.log(total) - 0.5 * distance**2)

    def _far(self, z: FloatArray) -> FloatArray:
        """Sum the points that matter one by one: at distance s only those up to 40/s farther than the nearest."""
        t, log_w = self.points / self.bandwidth, np.log(self.weights)
        out = np.empty(z.size)
        with np.errstate(over="ignore"):
            for i, x in enumerate(z):
                s = self._distance(np.array([x]))[0]
                low, high = np.searchsorted(t, [x - s - 60.0 / s, x + s + 60.0 / s])
                some = slice(min(low, t.size - 1), high + 1)  # the last at least, where the reach is rounding
                out[i] = special.logsumexp(log_w[some] - 0.5 * (x - t[some]) ** 2)
        return out


def _boxed_moments(t: FloatArray, weights: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Box indices (sorted) and moments M_k = Σ w tᵏ/k! about the box centres, shape (ORDER, boxes)."""
    home = np.floor(2.0 * t)
    boxes, which = np.unique(home, return_inverse=True)
    offset = t - 0.5 * home - 0.25
    moments = np.empty((_ORDER, len(boxes)))
    term = weights.copy()
    for k in range(_ORDER):
        moments[k] = np.bincount(which, term, minlength=len(boxes))
        term = term * offset / (k + 1)
    return boxes, moments


def _hermite_sum(moments: FloatArray, place: NDArray[np.intp], z: FloatArray, first: int, order: int) -> FloatArray:
    """Σ_k moments[first + k, place] He_k(z), first + k < order, by the recurrence He_{k+1} = z He_k − k He_{k−1}."""
    before, now = np.zeros_like(z), np.ones_like(z)
    total = moments[first][place]
    for k in range(1, order - first):
        before, now = now, z * now - (k - 1) * before
        total += moments[first + k][place] * now
    return np.asarray(total)
