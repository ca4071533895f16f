"""Rotationally symmetric laws in any dimension.

X = m + ρ U with U uniform on the unit sphere and ρ ≥ 0 independent. A radial source knows its dimension, its centre
and a
quadrature of the law of ρ; the reconstruction law is rotationally symmetric too, so everything is a problem on the
half line.
"""

from __future__ import annotations

import abc
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from scipy import special

from heatrd import arguments
from heatrd.errors import InvalidInput, TooLarge
from heatrd.sources import _checks
from heatrd.sources._bessel import log_damped_average
from heatrd.sources.base import FloatArray, Source

__all__ = ["Ball", "Disc", "IsotropicLaplace", "IsotropicT", "NoisySphere", "RadialSource", "Sphere", "sphere_rule"]

_ORDER = 16
MOST_PANELS, MOST_DIMENSIONS = 50_000, 5000
FINEST_NOISE = 1e-13  # of the radius: radii closer than that are rounding
_PANEL = np.polynomial.legendre.leggauss(_ORDER)


def sphere_rule(dim: int, degree: int) -> tuple[FloatArray, FloatArray]:
    """Points and weights on the unit circle or sphere, exact for polynomials of the given degree (d = 2, 3)."""
    n = degree + 1
    if dim == 2:
        angle = 2 * np.pi * (np.arange(n) + 0.5) / n
        return np.stack([np.cos(angle), np.sin(angle)], axis=1), np.full(n, 1.0 / n)
    if dim == 3:
        z, w = np.polynomial.legendre.leggauss(n // 2 + 1)
        angle = 2 * np.pi * (np.arange(n) + 0.5) / n
        s = np.sqrt(1 - z * z)
        points = np.stack(
            [np.outer(s, np.cos(angle)), np.outer(s, np.sin(angle)), np.broadcast_to(z[:, None], (len(z), n))], axis=-1
        )
        return points.reshape(-1, 3), np.repeat(w / 2 / n, n)
    raise InvalidInput(f"points on the sphere of R^{dim} cannot be listed; they can for dim = 2 or 3")


def panels(low: float, high: float, width: float) -> tuple[FloatArray, FloatArray]:
    """Gauss–Legendre nodes and weights of order 16 on panels not wider than ``width``."""
    count = max(1.0, np.ceil((high - low) / width)) if width > 0 else np.inf
    if not count <= MOST_PANELS:
        raise TooLarge(f"{count:.3g} panels of width {width:.3g} are too many; use a larger epsilon", MOST_PANELS)
    count = int(count)
    edges = np.linspace(low, high, count + 1)
    half = 0.5 * np.diff(edges)
    x = (edges[:-1] + half)[:, None] + half[:, None] * _PANEL[0]
    return x.ravel(), (half[:, None] * _PANEL[1]).ravel()


def log_sphere_area(dim: int) -> float:
    """log of the surface of the unit sphere of R^dim."""
    return float(np.log(2.0) + 0.5 * dim * np.log(np.pi) - special.gammaln(0.5 * dim))


class RadialSource(Source):
    """A rotationally symmetric law about ``centre``; subclasses know the law of the radius."""

    def __init__(self, dim: int, centre: ArrayLike | None = None) -> None:
        self.dim = arguments.integer(dim, f"{self.name}: dim")
        if self.dim > MOST_DIMENSIONS:
            raise InvalidInput(f"{self.name}: dim={self.dim}; need <= {MOST_DIMENSIONS}")
        self.centre = np.zeros(self.dim) if centre is None else _checks.array(centre, "centre", self.name)
        if self.centre.shape != (self.dim,):
            raise InvalidInput(f"{self.name}: centre has shape {self.centre.shape}; need ({self.dim},)")

    @property
    @abc.abstractmethod
    def second_moment(self) -> float:
        """E ρ²."""

    @abc.abstractmethod
    def radial_nodes(self, spacing: float, mass: float) -> tuple[FloatArray, FloatArray, float, float]:
        """Radii and masses on panels (order 16) not wider than ``spacing``; the mass left out and its energy ∫ρ²."""

    @abc.abstractmethod
    def log_profile(self, r: FloatArray) -> FloatArray:
        """Log-density of X at distance ``r`` from the centre."""

    @abc.abstractmethod
    def sample_radius(self, n: int, rng: np.random.Generator) -> FloatArray:
        """Draw ``n`` values of ρ."""

    @property
    def mean(self) -> FloatArray:
        return self.centre.copy()

    @property
    def covariance(self) -> FloatArray:
        return np.asarray(self.second_moment / self.dim * np.eye(self.dim))

    @property
    def total_variance(self) -> float:
        return float(self.second_moment)

    def log_density(self, x: ArrayLike) -> FloatArray:
        x = np.asarray(x, dtype=np.float64) - self.centre
        return np.asarray(self.log_profile(np.sqrt((x * x).sum(axis=-1))))

    def sample(self, n: int, rng: np.random.Generator | int | None = None) -> FloatArray:
        rng = np.random.default_rng(rng)
        direction = rng.standard_normal((n, self.dim))
        direction /= np.sqrt((direction**2).sum(axis=1))[:, None]
        return np.asarray(self.centre + self.sample_radius(n, rng)[:, None] * direction)

    def nodes(self, spacing: float, mass: float) -> tuple[FloatArray, FloatArray, float, float]:
        """Quadrature in R², R³: radii times points on spheres, as many as each radius needs."""
        r, w, lost, energy = self.radial_nodes(8.0 * spacing, mass)
        points, weights = [], []
        keep = w > 1e-18 * w.max()
        for radius, weight in zip(r[keep], w[keep]):
            degree = max(8, int(np.ceil(2 * np.pi * radius / spacing)) + 8)
            u, v = sphere_rule(self.dim, degree)
            points.append(self.centre + radius * u)
            weights.append(weight * v)
            if sum(map(len, points[-1:])) * len(r) > 50_000_000:
                raise InvalidInput(f"{self.name}: too many quadrature points at this epsilon; use a larger one")
        return np.concatenate(points), np.concatenate(weights), lost, energy

    def _profile_nodes(self, low: float, high: float, width: float) -> tuple[FloatArray, FloatArray]:
        """Nodes of the law of ρ from the density profile on [low, high]."""
        r, w = panels(low, high, width)
        log_mass = self.log_profile(r) + log_sphere_area(self.dim) + (self.dim - 1) * np.log(r)
        mass = w * np.exp(log_mass)
        return r, mass


class Sphere(RadialSource):
    """The uniform law on the sphere of the given radius in R^dim (the circle for dim = 2). Singular: h = −∞, ε_c = 0.

    Parameters
    ----------
    dim : int
        Dimension of the space, >= 2.
    radius : float
    centre : (dim,) array_like, optional
    """

    name = "sphere"

    def __init__(self, dim: int = 3, radius: float = 1.0, centre: ArrayLike | None = None) -> None:
        super().__init__(dim, centre)
        self.radius = _checks.positive(radius, "radius", self.name)
        _checks.variance_of_scale(self.radius, self.name)

    @property
    def parameters(self) -> Mapping[str, Any]:
        return {"dim": self.dim, "radius": self.radius, "centre": self.centre}

    @property
    def second_moment(self) -> float:
        return self.radius**2

    def radial_nodes(self, spacing: float, mass: float) -> tuple[FloatArray, FloatArray, float, float]:
        return np.array([self.radius]), np.ones(1), 0.0, 0.0

    def log_profile(self, r: FloatArray) -> FloatArray:
        return np.full(np.shape(r), -np.inf)

    def sample_radius(self, n: int, rng: np.random.Generator) -> FloatArray:
        return np.full(n, self.radius)

    def entropy(self) -> float:
        return -np.inf

    def critical_epsilon(self) -> float:
        return 0.0


class NoisySphere(RadialSource):
    """Uniform on a sphere plus N(0, noise² I): the noisy ring for dim = 2. ε_c = noise².

    Parameters
    ----------
    dim : int
    radius : float
        Radius of the sphere.
    noise : float
        Standard deviation s of each coordinate of the noise.
    centre : (dim,) array_like, optional
    """

    name = "noisy-sphere"

    def __init__(
        self, dim: int = 3, radius: float = 1.0, noise: float = 0.1**0.5, centre: ArrayLike | None = None
    ) -> None:
        super().__init__(dim, centre)
        self.radius = _checks.positive(radius, "radius", self.name)
        self.noise = _checks.positive(noise, "noise", self.name)
        _checks.variance_of_scale(self.radius, self.name)
        _checks.variance_of_scale(self.noise, self.name, self.dim)
        if self.noise < FINEST_NOISE * self.radius:
            raise InvalidInput(
                f"{self.name}: noise={self.noise:g} is lost in the rounding of radius={self.radius:g}; "
                f"use noise >= {FINEST_NOISE * self.radius:.3g}, or a sphere without noise"
            )

    @property
    def parameters(self) -> Mapping[str, Any]:
        return {"dim": self.dim, "radius": self.radius, "noise": self.noise, "centre": self.centre}

    @property
    def second_moment(self) -> float:
        return self.radius**2 + self.dim * self.noise**2

    def log_profile(self, r: FloatArray) -> FloatArray:
        return self._log_profile_beside(np.asarray(r, dtype=np.float64) - self.radius)

    def _log_profile_beside(self, u: FloatArray) -> FloatArray:
        """The log-density at distance radius + u: u is known better than the sum where the noise is small."""
        v = self.noise**2
        norm = 0.5 * self.dim * np.log(2 * np.pi * v)
        return np.asarray(-(u**2) / (2 * v) - norm + _damped(self.dim, (self.radius + u) * self.radius / v))

    def _nodes_beside(self, spacing: float, mass: float) -> tuple[FloatArray, FloatArray, float]:
        """Nodes u of ρ − radius with their masses, and the farthest radius."""
        low, high = self._reach(mass)
        u, w = panels(low - self.radius, high - self.radius, min(spacing, 3.5 * self.noise))
        log_area = log_sphere_area(self.dim) + (self.dim - 1) * np.log(self.radius + u)
        return u, w * np.exp(self._log_profile_beside(u) + log_area), high

    def _reach(self, mass: float) -> tuple[float, float]:
        """Radii between which all but the mass lies: ρ² is noise² times a non-central χ²."""
        t = float(np.sqrt(2 * special.gammainccinv(0.5 * self.dim, max(mass, 1e-300))))
        middle = np.sqrt(self.radius**2 + self.dim * self.noise**2)
        far = min(self.radius + t * self.noise, middle + self.noise * (2 + np.sqrt(-2 * np.log(mass)) * 1.5))
        near = max(0.0, middle - self.noise * (2 + np.sqrt(-2 * np.log(mass)) * 1.5))
        return near, max(far, middle + self.noise)

    def radial_nodes(self, spacing: float, mass: float) -> tuple[FloatArray, FloatArray, float, float]:
        u, w, high = self._nodes_beside(spacing, mass)
        return self.radius + u, w, mass, mass * 4 * high**2

    def sample_radius(self, n: int, rng: np.random.Generator) -> FloatArray:
        first = self.radius + self.noise * rng.standard_normal(n)
        rest = rng.chisquare(self.dim - 1, n) if self.dim > 1 else np.zeros(n)
        return np.asarray(np.sqrt(first**2 + self.noise**2 * rest))

    def entropy(self) -> float:
        u, w, _ = self._nodes_beside(self.noise, 1e-17)
        return float(-(w @ self._log_profile_beside(u)) / w.sum())

    def critical_epsilon(self) -> float:
        return self.noise**2

    def deblurred(self, epsilon: float) -> Source | None:
        left = self.noise**2 - float(epsilon)
        if left < -1e-13 * self.noise**2:
            return None
        if left <= max(1e-12 * self.noise**2, (1.01 * FINEST_NOISE * self.radius) ** 2):
            return Sphere(self.dim, self.radius, self.centre)
        return NoisySphere(self.dim, self.radius, float(np.sqrt(left)), self.centre)


def _damped(dim: int, t: FloatArray) -> FloatArray:
    """log E exp(t(e·u − 1)) for u uniform on the sphere."""
    return log_damped_average(dim, t)


class Ball(RadialSource):
    """The uniform law on the ball of the given radius in R^dim. ε_c = 0.

    Parameters
    ----------
    dim : int
    radius : float
    centre : (dim,) array_like, optional
    """

    name = "ball"

    def __init__(self, dim: int = 3, radius: float = 1.0, centre: ArrayLike | None = None) -> None:
        super().__init__(dim, centre)
        self.radius = _checks.positive(radius, "radius", self.name)
        _checks.variance_of_scale(self.radius, self.name)

    @property
    def parameters(self) -> Mapping[str, Any]:
        return {"dim": self.dim, "radius": self.radius, "centre": self.centre}

    @property
    def second_moment(self) -> float:
        return self.radius**2 * self.dim / (self.dim + 2)

    def radial_nodes(self, spacing: float, mass: float) -> tuple[FloatArray, FloatArray, float, float]:
        low = 0.0
        if self.dim > 30:  # the mass below is (low/radius)^dim
            low = self.radius * float(np.exp(np.log(1e-18) / self.dim))
        r, w = panels(low, self.radius, min(spacing, self.radius / max(1.0, self.dim / 8)))
        weights = w * self.dim * np.exp((self.dim - 1) * np.log(r / self.radius)) / self.radius
        return r, weights, 0.0, 0.0

    def log_profile(self, r: FloatArray) -> FloatArray:
        return np.where(np.asarray(r) <= self.radius, -self._log_volume(), -np.inf)

    def _log_volume(self) -> float:
        return log_sphere_area(self.dim) - float(np.log(self.dim)) + self.dim * float(np.log(self.radius))

    def sample_radius(self, n: int, rng: np.random.Generator) -> FloatArray:
        return np.asarray(self.radius * rng.random(n) ** (1 / self.dim))

    @property
    def support_box(self) -> tuple[FloatArray, FloatArray]:
        return self.centre - self.radius, self.centre + self.radius

    def entropy(self) -> float:
        return self._log_volume()

    def critical_epsilon(self) -> float:
        return 0.0


class Disc(Ball):
    """The uniform law on a disc in the plane."""

    name = "disc"

    def __init__(self, radius: float = 1.0, centre: ArrayLike | None = None) -> None:
        super().__init__(2, radius, centre)

    @property
    def parameters(self) -> Mapping[str, Any]:
        return {"radius": self.radius, "centre": self.centre}


class IsotropicLaplace(RadialSource):
    """Density proportional to exp(−‖x − m‖/scale) on R^dim: ρ is Gamma(dim, scale). ε_c = 0.

    Parameters
    ----------
    dim : int
    scale : float
        Decay length; the covariance is (dim + 1) scale² I.
    centre : (dim,) array_like, optional
    """

    name = "isotropic-laplace"

    def __init__(self, dim: int = 2, scale: float = 1.0, centre: ArrayLike | None = None) -> None:
        super().__init__(dim, centre)
        self.scale = _checks.positive(scale, "scale", self.name)
        _checks.variance_of_scale(self.scale, self.name, self.dim * (self.dim + 1))

    @property
    def parameters(self) -> Mapping[str, Any]:
        return {"dim": self.dim, "scale": self.scale, "centre": self.centre}

    @property
    def second_moment(self) -> float:
        return self.scale**2 * self.dim * (self.dim + 1)

    def radial_nodes(self, spacing: float, mass: float) -> tuple[FloatArray, FloatArray, float, float]:
        high = self.scale * float(special.gammainccinv(self.dim, mass))
        low = self.scale * float(special.gammaincinv(self.dim, 1e-18)) if self.dim > 12 else 0.0
        width = min(spacing, 2.0 * self.scale)
        r, w = self._profile_nodes(low, high, width)
        energy = self.second_moment * float(special.gammaincc(self.dim + 2, high / self.scale))
        return r, w, mass, energy

    def log_profile(self, r: FloatArray) -> FloatArray:
        norm = log_sphere_area(self.dim) + special.gammaln(self.dim) + self.dim * np.log(self.scale)
        return np.asarray(-np.asarray(r) / self.scale - norm)

    def sample_radius(self, n: int, rng: np.random.Generator) -> FloatArray:
        return rng.gamma(self.dim, self.scale, n)

    def entropy(self) -> float:
        return float(log_sphere_area(self.dim) + special.gammaln(self.dim) + self.dim * np.log(self.scale) + self.dim)

    def critical_epsilon(self) -> float:
        return 0.0


_STIRLING = 1e3  # from here on differences of log Γ and of ψ by their asymptotic series: nothing cancels


def _log_gamma_ratio(b: float, h: float) -> float:
    """log Γ(b + h) − log Γ(b)."""
    a = b + h
    if b < _STIRLING:
        return float(special.gammaln(a) - special.gammaln(b))
    series = (1 / a - 1 / b) / 12 - (1 / a**3 - 1 / b**3) / 360
    return float((b - 0.5) * np.log1p(h / b) + h * np.log(a) - h + series)


def _digamma_gap(b: float, h: float) -> float:
    """ψ(b + h) − ψ(b)."""
    a = b + h
    if b < _STIRLING:
        return float(special.digamma(a) - special.digamma(b))
    return float(np.log1p(h / b) + h / (2 * a * b) + h * (1 / a + 1 / b) / (12 * a * b))


class IsotropicT(RadialSource):
    """Multivariate t with ``df`` > 2 degrees of freedom and shape matrix scale² I on R^dim. ε_c = 0.

    Parameters
    ----------
    dim : int
    df : float
        Degrees of freedom, > 2 for a finite variance.
    scale : float
        The covariance is df/(df − 2) scale² I.
    centre : (dim,) array_like, optional
    """

    name = "isotropic-t"

    def __init__(self, dim: int = 2, df: float = 5.0, scale: float = 1.0, centre: ArrayLike | None = None) -> None:
        super().__init__(dim, centre)
        self.df = _checks.positive(df, "df", self.name)
        if self.df <= 2:
            raise InvalidInput(f"{self.name}: df={self.df:g} has infinite variance; need df > 2")
        self.scale = _checks.positive(scale, "scale", self.name)
        _checks.variance_of_scale(self.scale, self.name, self.dim * self.df / (self.df - 2))
        half = 0.5 * self.dim
        constant = half * float(np.log(self.df * np.pi)) + self.dim * float(np.log(self.scale))
        self._log_norm = _log_gamma_ratio(0.5 * self.df, half) - constant

    @property
    def parameters(self) -> Mapping[str, Any]:
        return {"dim": self.dim, "df": self.df, "scale": self.scale, "centre": self.centre}

    @property
    def second_moment(self) -> float:
        return self.dim * self.scale**2 * self.df / (self.df - 2)

    def tail(self, r: float) -> tuple[float, float]:
        """P(ρ > r) and ∫_{ρ > r} ρ²: ρ²/(scale² dim) is F(dim, df)."""
        x = r**2 / (r**2 + self.df * self.scale**2)
        mass = float(special.betaincc(0.5 * self.dim, 0.5 * self.df, x))
        energy = self.second_moment * float(special.betaincc(0.5 * self.dim + 1, 0.5 * self.df - 1, x))
        return mass, energy

    def radial_nodes(self, spacing: float, mass: float) -> tuple[FloatArray, FloatArray, float, float]:
        x = float(special.betainccinv(0.5 * self.dim, 0.5 * self.df, mass))
        high = self.scale * float(np.sqrt(self.df * x / max(1 - x, 1e-300)))
        lost, energy = self.tail(high)
        low = 0.0
        if self.dim > 12:
            y = float(special.betaincinv(0.5 * self.dim, 0.5 * self.df, 1e-18))
            low = self.scale * float(np.sqrt(self.df * y / (1 - y)))
        r, w = self._profile_nodes(low, high, min(spacing, self.scale * min(1.0, np.sqrt(self.df))))
        return r, w, lost, energy

    def nodes(self, spacing: float, mass: float) -> tuple[FloatArray, FloatArray, float, float]:
        """As for any radial source; a mass too small for a number of nodes that can be summed is raised."""
        least, most = (1e-7, 100.0) if self.dim == 2 else (1e-5, 30.0)
        return super().nodes(spacing, mass if mass > 0.5 * least else max(least, self.tail(most * spacing)[0]))

    def log_profile(self, r: FloatArray) -> FloatArray:
        n, d = self.df, self.dim
        return np.asarray(self._log_norm - 0.5 * (n + d) * np.log1p((np.asarray(r) / self.scale) ** 2 / n))

    def sample_radius(self, n: int, rng: np.random.Generator) -> FloatArray:
        return np.asarray(self.scale * np.sqrt(rng.chisquare(self.dim, n) / rng.chisquare(self.df, n) * self.df))

    def entropy(self) -> float:
        n, d = self.df, self.dim
        return float(-self._log_norm + 0.5 * (n + d) * _digamma_gap(0.5 * n, 0.5 * d))

    def critical_epsilon(self) -> float:
        return 0.0
