"""The Bernoulli–Gaussian law: zero with some probability, normal otherwise."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from heatrd.errors import InvalidInput
from heatrd.sources import _checks
from heatrd.sources.base import FloatArray, Source, Source1D
from heatrd.sources.gaussian import GaussianMixture1D

__all__ = ["BernoulliGaussian"]


class BernoulliGaussian(Source1D):
    """Zero with probability 1 − p, N(0, scale²) with probability p: the standard sparse source."""

    name = "bernoulli-gaussian"

    def __init__(self, p: float = 0.5, scale: float = 1.0) -> None:
        self.p = _checks.finite(p, "p", self.name)
        if not 0 < self.p <= 1:
            raise InvalidInput(f"bernoulli-gaussian: p={self.p:g} must lie in (0, 1]")
        self.scale = _checks.positive(scale, "scale", self.name)
        variance = _checks.variance_of_scale(self.scale, self.name)
        self._mixture = GaussianMixture1D([1.0 - self.p, self.p], [0.0, 0.0], [0.0, variance])

    @property
    def parameters(self) -> Mapping[str, Any]:
        return {"p": self.p, "scale": self.scale}

    @property
    def mean(self) -> FloatArray:
        return self._mixture.mean

    @property
    def covariance(self) -> FloatArray:
        return self._mixture.covariance

    @property
    def support(self) -> tuple[float, float]:
        return (-np.inf, np.inf)

    @property
    def discrete_part(self) -> tuple[FloatArray, FloatArray]:
        return self._mixture.discrete_part

    def logpdf(self, x: ArrayLike) -> FloatArray:
        return self._mixture.logpdf(x)

    def cdf(self, x: ArrayLike) -> FloatArray:
        return self._mixture.cdf(x)

    def tail_cut(self, mass: float) -> tuple[float, float]:
        return self._mixture.tail_cut(mass)

    def sample(self, n: int, rng: np.random.Generator | int | None = None) -> FloatArray:
        return self._mixture.sample(n, rng)

    def entropy(self) -> float | None:
        return self._mixture.entropy()

    def critical_epsilon(self) -> float:
        return self._mixture.critical_epsilon()

    def deblurred(self, epsilon: float) -> Source | None:
        return self._mixture.deblurred(epsilon)
