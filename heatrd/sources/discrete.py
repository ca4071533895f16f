"""Discrete laws as sources: finitely many weighted points in R^d.

A discrete law has differential entropy −∞ and critical ε zero, unless it is a single point, whose rate is zero
at every distortion.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from heatrd import arguments
from heatrd.errors import InvalidInput
from heatrd.laws import as_law
from heatrd.sources import _checks
from heatrd.sources.base import FloatArray, Source, Source1D

__all__ = ["Atoms"]


class Atoms(Source):
    """The law Σ w_i δ(x_i); on the line it is also a `Source1D`. Equal points are merged and sorted lexicographically.

    Parameters
    ----------
    points : (k,) or (k, d) array_like
        Positions; a 1-D array means d = 1.
    weights : (k,) array_like, optional
        Non-negative masses, normalised here; equal when omitted.
    """

    name = "atoms"

    def __new__(cls, points: Any = (0.0,), weights: Any = None) -> Atoms:
        shape = np.shape(points)
        if cls is Atoms and (len(shape) < 2 or shape[-1] == 1):
            return super().__new__(Atoms1D)
        return super().__new__(cls)

    def __init__(self, points: ArrayLike = (0.0,), weights: ArrayLike | None = None) -> None:
        law = as_law(np.atleast_1d(np.asarray(points)), weights, what=self.name)
        if law.dim == 1:
            line, index = np.unique(law.points[:, 0], return_inverse=True)
            merged = line[:, None]
        else:
            merged, index = np.unique(law.points, axis=0, return_inverse=True)
        masses = np.bincount(index.ravel(), law.weights, minlength=len(merged))
        keep = masses > 0
        self.points = np.ascontiguousarray(merged[keep])
        self.weights = arguments.normalised(np.asarray(masses[keep], dtype=np.float64))
        self.dim = int(self.points.shape[1])
        if not np.isfinite(self.covariance).all():
            raise InvalidInput(
                "atoms: the points are so far apart that their variance overflows; change the unit of length"
            )

    def __reduce__(self) -> Any:
        return type(self), (self.points, self.weights)

    @property
    def parameters(self) -> Mapping[str, Any]:
        return {"points": self.points[:, 0] if self.dim == 1 else self.points, "weights": self.weights}

    @property
    def mean(self) -> FloatArray:
        return np.asarray(self.weights @ self.points)

    @property
    def covariance(self) -> FloatArray:
        with np.errstate(over="ignore", invalid="ignore"):
            centred = self.points - self.mean
            return np.asarray((self.weights[:, None] * centred).T @ centred)

    def log_density(self, x: ArrayLike) -> FloatArray:
        return np.full(np.shape(x)[:-1], -np.inf)

    def sample(self, n: int, rng: np.random.Generator | int | None = None) -> FloatArray:
        which = np.random.default_rng(rng).choice(len(self.weights), size=n, p=self.weights)
        return np.asarray(self.points[which])

    @property
    def discrete_part(self) -> tuple[FloatArray, FloatArray]:
        return self.points, self.weights

    def entropy(self) -> float:
        return -np.inf

    def critical_epsilon(self) -> float:
        return 0.0

    def deblurred(self, epsilon: float) -> Source | None:
        return self if epsilon == 0 else None


class Atoms1D(Atoms, Source1D):
    """Atoms on the line."""

    dim = 1

    @property
    def support(self) -> tuple[float, float]:
        return float(self.points[0, 0]), float(self.points[-1, 0])

    def logpdf(self, x: ArrayLike) -> FloatArray:
        return np.full(np.shape(x), -np.inf)

    def log_density(self, x: ArrayLike) -> FloatArray:
        return Atoms.log_density(self, x)

    def cdf(self, x: ArrayLike) -> FloatArray:
        steps = np.minimum(np.concatenate([[0.0], np.cumsum(self.weights)]), 1.0)
        steps[-1] = 1.0
        return np.asarray(steps[np.searchsorted(self.points[:, 0], np.asarray(x, dtype=np.float64), side="right")])

    def tail_cut(self, mass: float) -> tuple[float, float]:
        _checks.mass_fraction(mass)
        return self.support
