"""Laws in the plane that are a simpler law pushed through a shear: banana and pinwheel."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from scipy import special

from heatrd import arguments
from heatrd.errors import InvalidInput
from heatrd.sources import _checks
from heatrd.sources.base import FloatArray, Source
from heatrd.sources.shapes import tensor

__all__ = ["Banana", "Pinwheel"]

MOST_ARMS = 1000
_MOST_NODES = 8e6
_WIDEST_ASPECT = 1e30
LOG_2PI = float(np.log(2 * np.pi))


class _Sheared(Source):
    """Weighted images of Gaussians under area-preserving smooth maps of the plane."""

    dim = 2

    def _rule(
        self, spacing: float, mass: float, slope: float, sigmas: tuple[float, float]
    ) -> tuple[FloatArray, FloatArray]:
        """Trapezoidal rule of N(0, diag σ²), finer by the largest stretch of the map."""
        reach = float(np.sqrt(2 * special.gammainccinv(1.0, mass)))
        axes: list[tuple[FloatArray, FloatArray]] = []
        for s in sigmas:
            h = min(0.5 * s, spacing / slope)
            if not (count := np.ceil(reach * s / h)) <= _MOST_NODES:
                raise InvalidInput(f"{self.name}: too many quadrature points at this epsilon; use a larger one")
            n = int(count)
            t = h * np.arange(-n, n + 1, dtype=np.float64)
            w = np.exp(-0.5 * (t / s) ** 2)
            axes.append((t, np.asarray(w / w.sum(), dtype=np.float64)))
        if len(axes[0][0]) * len(axes[1][0]) > _MOST_NODES:
            raise InvalidInput(f"{self.name}: too many quadrature points at this epsilon; use a larger one")
        points, weights = tensor(axes)
        keep = weights > 1e-17 * weights.max()
        return points[keep], weights[keep]


class Banana(_Sheared):
    """X₁ = scale Z₁, X₂ = curvature (X₁² − scale²)/scale + noise Z₂ with Z standard normal.

    Parameters
    ----------
    curvature : float
        Bend of the ridge.
    scale : float
        Standard deviation along the first axis.
    noise : float
        Standard deviation across the ridge.
    """

    name = "banana"

    def __init__(self, curvature: float = 0.5, scale: float = 1.0, noise: float = 0.5) -> None:
        self.curvature = _checks.finite(curvature, "curvature", self.name)
        self.scale = _checks.positive(scale, "scale", self.name)
        self.noise = _checks.positive(noise, "noise", self.name)
        for width in (self.scale, self.noise, float(np.hypot(1.5 * self.curvature * self.scale, self.scale))):
            _checks.variance_of_scale(width, self.name)
        if not 1 / _WIDEST_ASPECT < self.scale / self.noise < _WIDEST_ASPECT:
            raise InvalidInput(
                f"{self.name}: scale={self.scale:g} and noise={self.noise:g} differ by more than {_WIDEST_ASPECT:g}"
            )

    @property
    def parameters(self) -> Mapping[str, Any]:
        return {"curvature": self.curvature, "scale": self.scale, "noise": self.noise}

    @property
    def mean(self) -> FloatArray:
        return np.zeros(2)

    @property
    def covariance(self) -> FloatArray:
        return np.diag([self.scale**2, 2 * (self.curvature * self.scale) ** 2 + self.noise**2])

    def _ridge(self, x: FloatArray) -> FloatArray:
        return np.asarray(self.curvature * (x * x - self.scale**2) / self.scale)

    def log_density(self, x: ArrayLike) -> FloatArray:
        x = np.asarray(x, dtype=np.float64)
        z1 = x[..., 0] / self.scale
        z2 = (x[..., 1] - self._ridge(x[..., 0])) / self.noise
        return np.asarray(-0.5 * (z1 * z1 + z2 * z2) - LOG_2PI - np.log(self.scale) - np.log(self.noise))

    def sample(self, n: int, rng: np.random.Generator | int | None = None) -> FloatArray:
        z = np.random.default_rng(rng).standard_normal((n, 2))
        x = self.scale * z[:, 0]
        return np.stack([x, self._ridge(x) + self.noise * z[:, 1]], axis=1)

    def entropy(self) -> float:
        return float(1 + LOG_2PI + np.log(self.scale) + np.log(self.noise))

    def nodes(self, spacing: float, mass: float) -> tuple[FloatArray, FloatArray, float, float]:
        """Trapezoidal rule in a smoothed arc length of the ridge, ds = √(a² + slope²) dx, and in the noise.

        x(s) branches where slope = ±i a, at a distance a²π scale/8 curvature from the real line: a ≥ 1 is so large that
        the rule errs by e^−30 there.
        """
        reach = float(np.sqrt(2 * special.gammainccinv(1.0, mass)))
        h = min(0.6 * self.scale, spacing)
        a = max(1.0, float(np.sqrt(30 * h / (2 * np.pi) * abs(self.curvature) / (np.pi / 8 * self.scale))))
        far = self._arc(np.array([reach * self.scale]), a)[0]
        t = h * np.arange(-np.ceil(far / h), np.ceil(far / h) + 1)
        x = self._from_arc(t, reach * self.scale, a)
        along = np.exp(-0.5 * (x / self.scale) ** 2) / np.sqrt(a * a + (2 * self.curvature * x / self.scale) ** 2)
        k = min(0.6 * self.noise, spacing)
        z = k * np.arange(-np.ceil(reach * self.noise / k), np.ceil(reach * self.noise / k) + 1)
        if len(x) * len(z) > _MOST_NODES:
            raise InvalidInput(f"{self.name}: too many quadrature points at this epsilon; use a larger one")
        across = np.exp(-0.5 * (z / self.noise) ** 2)
        grid, weights = tensor([(x, along / along.sum()), (z, across / across.sum())])
        keep = weights > 1e-17 * weights.max()
        grid, weights = grid[keep], weights[keep]
        points = np.stack([grid[:, 0], self._ridge(grid[:, 0]) + grid[:, 1]], axis=1)
        stretch = np.sqrt(1 + (2 * self.curvature * reach) ** 2)
        return points, weights, mass, mass * float((self.scale * stretch + self.noise) / reach) ** 2 * 4

    def _arc(self, x: FloatArray, a: float) -> FloatArray:
        """∫₀ˣ √(a² + slope²): for a = 1 the arc length of the ridge."""
        if abs(self.curvature) < 1e-8:
            return a * x
        u = 2 * self.curvature * x / self.scale
        return np.asarray(self.scale / (4 * self.curvature) * (u * np.sqrt(a * a + u * u) + a * a * np.arcsinh(u / a)))

    def _from_arc(self, t: FloatArray, far: float, a: float) -> FloatArray:
        """Inverse of `_arc`, by Newton from a table."""
        table = np.linspace(-1.2 * far, 1.2 * far, 4001)
        x = np.interp(t, self._arc(table, a), table)
        for _ in range(4):
            x = x - (self._arc(x, a) - t) / np.sqrt(a * a + (2 * self.curvature * x / self.scale) ** 2)
        return x


class Pinwheel(_Sheared):
    """Gaussian arms N((radius, 0), diag(radial², tangential²)), rotated by 2πk/arms + twist ‖x‖.

    Parameters
    ----------
    arms : int
    radius : float
        Distance of the arms' centres from the origin.
    radial, tangential : float
        Standard deviations along and across an arm, before the twist.
    twist : float
        Rotation per unit of distance from the origin, radians.
    """

    name = "pinwheel"

    def __init__(
        self, arms: int = 5, radius: float = 1.5, radial: float = 0.4, tangential: float = 0.15, twist: float = 0.6
    ) -> None:
        self.arms = arguments.integer(arms, f"{self.name}: arms")
        if self.arms > MOST_ARMS:
            raise InvalidInput(f"{self.name}: arms={self.arms}; need <= {MOST_ARMS}")
        self.radius = _checks.positive(radius, "radius", self.name)
        self.radial = _checks.positive(radial, "radial", self.name)
        self.tangential = _checks.positive(tangential, "tangential", self.name)
        self.twist = _checks.finite(twist, "twist", self.name)

    @property
    def parameters(self) -> Mapping[str, Any]:
        return {
            "arms": self.arms,
            "radius": self.radius,
            "radial": self.radial,
            "tangential": self.tangential,
            "twist": self.twist,
        }

    def _turn(self, x: FloatArray, arm: FloatArray | float, sign: float = 1.0) -> FloatArray:
        angle = sign * (2 * np.pi * arm / self.arms + self.twist * np.sqrt((x * x).sum(axis=-1)))
        c, s = np.cos(angle), np.sin(angle)
        return np.stack([c * x[..., 0] - s * x[..., 1], s * x[..., 0] + c * x[..., 1]], axis=-1)

    def _moments(self) -> tuple[FloatArray, FloatArray]:
        x, w, _, _ = self.nodes(self.tangential, 1e-16)
        mean = w @ x
        return mean, (w[:, None] * (x - mean)).T @ (x - mean)

    @property
    def mean(self) -> FloatArray:
        return np.asarray(self._moments()[0])

    @property
    def covariance(self) -> FloatArray:
        return np.asarray(self._moments()[1])

    def log_density(self, x: ArrayLike) -> FloatArray:
        x = np.asarray(x, dtype=np.float64)
        out = np.full(x.shape[:-1], -np.inf)
        for arm in range(self.arms):
            f = self._turn(x, float(arm), -1.0)
            z1, z2 = (f[..., 0] - self.radius) / self.radial, f[..., 1] / self.tangential
            out = np.logaddexp(out, -0.5 * (z1 * z1 + z2 * z2))
        return np.asarray(out - LOG_2PI - np.log(self.radial * self.tangential * self.arms))

    def sample(self, n: int, rng: np.random.Generator | int | None = None) -> FloatArray:
        rng = np.random.default_rng(rng)
        f = rng.standard_normal((n, 2)) * (self.radial, self.tangential) + (self.radius, 0.0)
        return self._turn(f, rng.integers(self.arms, size=n).astype(float))

    def nodes(self, spacing: float, mass: float) -> tuple[FloatArray, FloatArray, float, float]:
        far = self.radius + 3.5 * self.radial
        z, w = self._rule(spacing, mass, float(np.hypot(1, self.twist * far)), (self.radial, self.tangential))
        f = z + np.array([self.radius, 0.0])
        points = np.concatenate([self._turn(f, float(k)) for k in range(self.arms)])
        return points, np.tile(w / self.arms, self.arms), mass, mass * 4 * far**2
