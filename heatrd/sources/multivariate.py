"""Laws in the plane and beyond with smooth densities: noisy curves, banana, pinwheel, multivariate t.

A noisy curve is γ(T) + N(0, s² I) with T uniform on the curve's parameter interval: in the backward-heat class
up to ε_c = s², with the same curve and less noise as its deblurred law. Its density is a Gaussian sum over
Gauss–Legendre points of the curve, dense
enough (panels of 2 s) to be exact to rounding.
"""

from __future__ import annotations

import abc
from collections.abc import Mapping
from typing import Any

import numpy as np
import scipy
from numpy.typing import ArrayLike
from scipy import special

from heatrd import arguments
from heatrd.errors import InvalidInput
from heatrd.sources import _checks
from heatrd.sources.base import FloatArray, Source
from heatrd.sources.gaussian import Gaussian
from heatrd.sources.radial import Ball, Disc, IsotropicLaplace, IsotropicT, NoisySphere, Sphere, panels
from heatrd.sources.registry import register, register_converter
from heatrd.sources.shapes import Box, Checkerboard, LaplaceProduct, Polygon, Square, tensor

__all__ = ["Banana", "MultivariateT", "NoisyCurve", "Pinwheel", "Spirals", "TwoMoons"]

MOST_ARMS = 1000
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
    def _with_noise(self, noise: float) -> Source:
        """The same curve with other noise."""

    def curve_nodes(self, width: float) -> tuple[FloatArray, FloatArray]:
        """Points and masses along the curve: panels of order 16 not longer than ``width``."""
        points, weights = [], []
        for arm, (a, b, mass) in enumerate(self._curves()):
            probe = self._point(arm, np.linspace(a, b, 400))
            length = float(np.sqrt((np.diff(probe, axis=0) ** 2).sum(axis=1)).max() * 399)
            t, w = panels(a, b, (b - a) * width / length)
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
        flat = x.reshape(-1, 2) / self.noise
        centres = centres / self.noise
        out = np.empty(len(flat))
        step = max(1, 4_000_000 // len(w))
        for i in range(0, len(flat), step):
            part = flat[i : i + step]
            d2 = np.subtract.outer(part[:, 0], centres[:, 0]) ** 2
            d2 += np.subtract.outer(part[:, 1], centres[:, 1]) ** 2
            nearest = d2.min(axis=1)
            out[i : i + step] = -0.5 * nearest + np.log(np.exp(-0.5 * (d2 - nearest[:, None])) @ w)
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
        """A lattice near the curve; on the bare curve, its own nodes."""
        if self.noise == 0:
            x, w = self.curve_nodes(8.0 * spacing)
            return x, w, 0.0, 0.0
        step = min(0.6 * self.noise, spacing)
        reach = self.noise * float(np.sqrt(-2 * np.log(mass)))
        centres, _ = self.curve_nodes(2.0 * self.noise)
        low, high = centres.min(axis=0) - reach, centres.max(axis=0) + reach
        axes = [(step * np.arange(np.floor(a / step), np.ceil(b / step) + 1), np.zeros(0)) for a, b in zip(low, high)]
        if len(axes[0][0]) * len(axes[1][0]) > 2e7:
            raise InvalidInput(f"{self.name}: too many quadrature points at this epsilon and noise; use larger ones")
        grid = np.stack(np.meshgrid(axes[0][0], axes[1][0], indexing="ij"), axis=-1).reshape(-1, 2)
        near = scipy.spatial.cKDTree(centres).query(grid, distance_upper_bound=reach)[0] <= reach
        points = grid[near]
        return points, np.exp(self.log_density(points)) * step**2, mass, mass * (reach + self.noise) ** 2


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

    def _with_noise(self, noise: float) -> Source:
        return Spirals(self.arms, self.turns, self.radius, noise)


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
            n = int(np.ceil(reach * s / h))
            t = h * np.arange(-n, n + 1, dtype=np.float64)
            w = np.exp(-0.5 * (t / s) ** 2)
            axes.append((t, np.asarray(w / w.sum(), dtype=np.float64)))
        if len(axes[0][0]) * len(axes[1][0]) > 8e6:
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
        """Trapezoidal rule in the arc length of the ridge and in the noise."""
        reach = float(np.sqrt(2 * special.gammainccinv(1.0, mass)))
        h = min(0.6 * self.scale, spacing)
        far = self._arc(np.array([reach * self.scale]))[0]
        t = h * np.arange(-np.ceil(far / h), np.ceil(far / h) + 1)
        x = self._from_arc(t, reach * self.scale)
        along = np.exp(-0.5 * (x / self.scale) ** 2) / np.sqrt(1 + (2 * self.curvature * x / self.scale) ** 2)
        k = min(0.6 * self.noise, spacing)
        z = k * np.arange(-np.ceil(reach * self.noise / k), np.ceil(reach * self.noise / k) + 1)
        if len(x) * len(z) > 8e6:
            raise InvalidInput(f"{self.name}: too many quadrature points at this epsilon; use a larger one")
        across = np.exp(-0.5 * (z / self.noise) ** 2)
        grid, weights = tensor([(x, along / along.sum()), (z, across / across.sum())])
        keep = weights > 1e-17 * weights.max()
        grid, weights = grid[keep], weights[keep]
        points = np.stack([grid[:, 0], self._ridge(grid[:, 0]) + grid[:, 1]], axis=1)
        stretch = np.sqrt(1 + (2 * self.curvature * reach) ** 2)
        return points, weights, mass, mass * float((self.scale * stretch + self.noise) / reach) ** 2 * 4

    def _arc(self, x: FloatArray) -> FloatArray:
        """Arc length of the ridge from 0 to x."""
        if abs(self.curvature) < 1e-8:
            return x
        u = 2 * self.curvature * x / self.scale
        return np.asarray(self.scale / (4 * self.curvature) * (u * np.sqrt(1 + u * u) + np.arcsinh(u)))

    def _from_arc(self, t: FloatArray, far: float) -> FloatArray:
        """Inverse of `_arc`, by Newton from a table."""
        table = np.linspace(-1.2 * far, 1.2 * far, 4001)
        x = np.interp(t, self._arc(table), table)
        for _ in range(4):
            x = x - (self._arc(x) - t) / np.sqrt(1 + (2 * self.curvature * x / self.scale) ** 2)
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
        z, w = self._rule(spacing, mass, float(np.sqrt(1 + (self.twist * far) ** 2)), (self.radial, self.tangential))
        f = z + np.array([self.radius, 0.0])
        points = np.concatenate([self._turn(f, float(k)) for k in range(self.arms)])
        return points, np.tile(w / self.arms, self.arms), mass, mass * 4 * far**2


class MultivariateT(Source):
    """Multivariate t on R^d: m + A T with T isotropic and A Aᵀ = shape. Heavy tails: ε_c = 0.

    Parameters
    ----------
    df : float
        Degrees of freedom, > 2.
    loc : (d,) array_like
    shape : (d, d) array_like
        The covariance is df/(df − 2) shape.
    """

    name = "multivariate-t"

    def __init__(self, df: float = 5.0, loc: ArrayLike = (0.0, 0.0), shape: ArrayLike | None = None) -> None:
        self.loc = np.atleast_1d(_checks.array(loc, "loc", self.name))
        self.dim = len(self.loc)
        self.shape = np.eye(self.dim) if shape is None else _checks.array(shape, "shape", self.name)
        if (
            self.loc.ndim != 1
            or self.shape.shape != (self.dim, self.dim)
            or not np.allclose(self.shape, self.shape.T, rtol=1e-12)
        ):
            raise InvalidInput(
                f"{self.name}: loc has shape {self.loc.shape}, shape {self.shape.shape}; need (d,), symmetric (d, d)"
            )
        values, vectors = np.linalg.eigh(self.shape)
        if values[0] <= 0:
            raise InvalidInput(
                f"{self.name}: the shape matrix must be positive definite, not with eigenvalue {values[0]:g}"
            )
        self._root = vectors * np.sqrt(values)
        self._log_root = float(0.5 * np.log(values).sum())
        self._unit = IsotropicT(self.dim, df)
        self.df = self._unit.df

    @property
    def parameters(self) -> Mapping[str, Any]:
        return {"df": self.df, "loc": self.loc, "shape": self.shape}

    @property
    def mean(self) -> FloatArray:
        return self.loc.copy()

    @property
    def covariance(self) -> FloatArray:
        return np.asarray(self.df / (self.df - 2) * self.shape)

    def log_density(self, x: ArrayLike) -> FloatArray:
        z = np.linalg.solve(self._root, (np.asarray(x, dtype=np.float64) - self.loc)[..., None])[..., 0]
        return np.asarray(self._unit.log_density(z) - self._log_root)

    def sample(self, n: int, rng: np.random.Generator | int | None = None) -> FloatArray:
        return np.asarray(self.loc + self._unit.sample(n, rng) @ self._root.T)

    def entropy(self) -> float:
        return self._unit.entropy() + self._log_root

    def critical_epsilon(self) -> float:
        return 0.0

    def nodes(self, spacing: float, mass: float) -> tuple[FloatArray, FloatArray, float, float]:
        largest = float(np.linalg.svd(self._root, compute_uv=False)[0])
        points, weights, lost, energy = self._unit.nodes(spacing / largest, mass)
        return self.loc + points @ self._root.T, weights, lost, energy * largest**2

    @property
    def isotropic(self) -> IsotropicT | None:
        """The same law as a radial source where the shape matrix is a multiple of the identity."""
        scale = self.shape[0, 0]
        if np.allclose(self.shape, scale * np.eye(self.dim), rtol=1e-14, atol=0):
            return IsotropicT(self.dim, self.df, float(np.sqrt(scale)), self.loc)
        return None


def _from_scipy(obj: Any) -> Source | None:
    """Frozen multivariate distributions of scipy.stats."""
    kind = type(obj).__name__
    if kind == "multivariate_normal_frozen":
        covariance = getattr(obj, "cov_object", None)
        return Gaussian(np.atleast_1d(obj.mean), covariance.covariance if covariance is not None else obj.cov)
    if kind == "multivariate_t_frozen":
        return MultivariateT(float(obj.df), np.atleast_1d(obj.loc), np.atleast_2d(obj.shape))
    if kind == "uniform_direction_frozen":
        return Sphere(int(obj.dim))
    if kind.endswith("_frozen") and isinstance(obj, scipy.stats._multivariate.multi_rv_frozen):
        raise InvalidInput(
            f"{kind}: of scipy's multivariate distributions, multivariate_normal, multivariate_t and "
            "uniform_direction are read; "
            "wrap others in a class with the attributes of heatrd.Source"
        )
    return None


def ring(radius: float = 1.0, noise: float = 0.1**0.5) -> Source:
    """The noisy ring: uniform on a circle plus N(0, noise² I)."""
    return NoisySphere(2, radius, noise)


def circle(radius: float = 1.0) -> Source:
    """The uniform law on a circle in the plane."""
    return Sphere(2, radius)


register("sphere", Sphere)
register("circle", circle)
register("ball", Ball)
register("disc", Disc, aliases=("disk",))
register("noisy-sphere", NoisySphere)
register("ring", ring, aliases=("noisy-ring",))
register("isotropic-laplace", IsotropicLaplace, aliases=("laplace-isotropic",))
register("isotropic-t", IsotropicT)
register("multivariate-t", MultivariateT)
register("box", Box)
register("square", Square)
register("laplace-product", LaplaceProduct)
register("polygon", Polygon)
register("checkerboard", Checkerboard)
register("two-moons", TwoMoons, aliases=("moons",))
register("spirals", Spirals, aliases=("spiral",))
register("banana", Banana)
register("pinwheel", Pinwheel)
register_converter(_from_scipy)
