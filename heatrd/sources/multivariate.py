"""The multivariate t, scipy's multivariate distributions, and the names of laws in the plane and beyond."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import scipy
from numpy.typing import ArrayLike

from heatrd.errors import InvalidInput
from heatrd.sources import _checks
from heatrd.sources.base import FloatArray, Source
from heatrd.sources.gaussian import Gaussian
from heatrd.sources.noisy_curve import Spirals, TwoMoons
from heatrd.sources.radial import Ball, Disc, IsotropicLaplace, IsotropicT, NoisySphere, Sphere
from heatrd.sources.registry import register, register_converter
from heatrd.sources.shapes import Box, Checkerboard, LaplaceProduct, Polygon, Square
from heatrd.sources.sheared import Banana, Pinwheel

__all__ = ["MultivariateT"]

LOG_2PI = float(np.log(2 * np.pi))


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
