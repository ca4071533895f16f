"""Location–scale families on the line.

X = loc + scale·Z with Z standard: every density, tail and moment is written for Z, so a change of unit only
shifts and scales, and scales from 1e-150 to 1e150 are exact. h(X) = h(Z) + log scale.
"""

from __future__ import annotations

import abc
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from heatrd.sources import _checks
from heatrd.sources.base import FloatArray, Source, Source1D

__all__ = ["LocationScale"]


class LocationScale(Source1D):
    """X = loc + scale·Z: subclasses describe the standard variate Z by the hooks ``_z_*``."""

    loc: float
    scale: float

    def _set(self, loc: Any, scale: Any) -> None:
        self.loc = _checks.finite(loc, "loc", self.name)
        self.scale = _checks.positive(scale, "scale", self.name)
        _checks.variance_of_scale(self.scale, self.name, self._z_variance())

    # hooks on the standard variate
    @abc.abstractmethod
    def _z_logpdf(self, z: FloatArray) -> FloatArray: ...

    @abc.abstractmethod
    def _z_cdf(self, z: FloatArray) -> FloatArray: ...

    @abc.abstractmethod
    def _z_tail_cut(self, mass: float) -> tuple[float, float]: ...

    @abc.abstractmethod
    def _z_sample(self, n: int, rng: np.random.Generator) -> FloatArray: ...

    @abc.abstractmethod
    def _z_variance(self) -> float: ...

    def _z_mean(self) -> float:
        return 0.0

    def _z_entropy(self) -> float | None:
        return None

    def _z_support(self) -> tuple[float, float]:
        return (-np.inf, np.inf)

    def _z_breakpoints(self) -> Sequence[float]:
        return ()

    # the source
    @property
    def parameters(self) -> Mapping[str, Any]:
        return {"loc": self.loc, "scale": self.scale}

    @property
    def mean(self) -> FloatArray:
        return np.array([self.loc + self.scale * self._z_mean()])

    @property
    def covariance(self) -> FloatArray:
        return np.array([[self.scale * self.scale * self._z_variance()]])

    @property
    def support(self) -> tuple[float, float]:
        return self._unscale(self._z_support())

    @property
    def breakpoints(self) -> Sequence[float]:
        return tuple(self.loc + self.scale * z for z in self._z_breakpoints())

    def logpdf(self, x: ArrayLike) -> FloatArray:
        with np.errstate(all="ignore"):
            return np.asarray(self._z_logpdf(self._standard(x)) - np.log(self.scale))

    def cdf(self, x: ArrayLike) -> FloatArray:
        with np.errstate(all="ignore"):
            return np.asarray(self._z_cdf(self._standard(x)))

    def tail_cut(self, mass: float) -> tuple[float, float]:
        with np.errstate(all="ignore"):
            return self._unscale(self._z_tail_cut(_checks.mass_fraction(mass)))

    def sample(self, n: int, rng: np.random.Generator | int | None = None) -> FloatArray:
        z = self._z_sample(n, np.random.default_rng(rng))
        return np.asarray(self.loc + self.scale * z)[:, None]

    def entropy(self) -> float | None:
        h = self._z_entropy()
        return None if h is None else float(h + np.log(self.scale))

    def critical_epsilon(self) -> float | None:
        return 0.0

    def deblurred(self, epsilon: float) -> Source | None:
        return self if epsilon == 0 else None

    def standard(self) -> LocationScale:
        """The same law with loc = 0 and scale = 1 (itself where it has no such parameters)."""
        if not {"loc", "scale"} <= set(self.parameters):
            return self
        return type(self)(**{**self.parameters, "loc": 0.0, "scale": 1.0})

    def _standard(self, x: ArrayLike) -> FloatArray:
        return np.asarray((np.asarray(x, dtype=np.float64) - self.loc) / self.scale)

    def _unscale(self, ends: tuple[float, float]) -> tuple[float, float]:
        return float(self.loc + self.scale * ends[0]), float(self.loc + self.scale * ends[1])
