"""Rotationally symmetric laws: spheres with and without noise, balls, the isotropic Laplace and Student laws."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from scipy import special

from heatrd.errors import InvalidInput
from heatrd.sources import _checks
from heatrd.sources._bessel import log_damped_average
from heatrd.sources._gamma import digamma_gap, log_gamma_ratio
from heatrd.sources._quadrature import panel_rule
from heatrd.sources.base import FloatArray, Source
from heatrd.sources.radial_base import RadialSource, log_sphere_area

__all__ = ["Ball", "Disc", "IsotropicLaplace", "IsotropicT", "NoisySphere", "Sphere"]

FINEST_NOISE = 1e-13  # of the radius: radii closer than that are rounding


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
        return np.asarray(-(u**2) / (2 * v) - norm + log_damped_average(self.dim, (self.radius + u) * self.radius / v))

    def _nodes_beside(self, spacing: float, mass: float) -> tuple[FloatArray, FloatArray, float]:
        """Nodes u of ρ − radius with their masses, and the farthest radius."""
        low, high = self._reach(mass)
        u, w = panel_rule(low - self.radius, high - self.radius, min(spacing, 3.5 * self.noise))
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
        r, w = panel_rule(low, self.radius, min(spacing, self.radius / max(1.0, self.dim / 8)))
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
        self._log_norm = log_gamma_ratio(0.5 * self.df, half) - constant

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
        return float(-self._log_norm + 0.5 * (n + d) * digamma_gap(0.5 * n, 0.5 * d))

    def critical_epsilon(self) -> float:
        return 0.0
