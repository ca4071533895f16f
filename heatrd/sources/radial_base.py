"""What all rotationally symmetric laws share, in any dimension.

X = m + ρ U with U uniform on the unit sphere and ρ ≥ 0 independent. A radial source knows its dimension, its centre
and a quadrature of the law of ρ; the reconstruction law is rotationally symmetric too, so everything is a problem on
the half line.
"""

from __future__ import annotations

import abc

import numpy as np
from numpy.typing import ArrayLike
from scipy import special

from heatrd import arguments
from heatrd.errors import InvalidInput
from heatrd.sources import _checks
from heatrd.sources._quadrature import panel_rule
from heatrd.sources.base import FloatArray, Source

__all__ = ["RadialSource", "log_sphere_area", "sphere_rule"]

MOST_DIMENSIONS = 5000


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
        r, w = panel_rule(low, high, width)
        log_mass = self.log_profile(r) + log_sphere_area(self.dim) + (self.dim - 1) * np.log(r)
        mass = w * np.exp(log_mass)
        return r, mass
