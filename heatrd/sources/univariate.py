"""Closed-form laws on the line, as location–scale families.

X = loc + scale·Z with Z standard: every density, tail and moment is written for Z, so a change of unit only
shifts and scales, and scales from
1e-150 to 1e150 are exact. Each family knows its differential entropy h(Z), and h(X) = h(Z) + log scale.

Critical ε: μ = ν ∗ N(0, ε) extends to an entire function of x, has full support, and |E exp(iωX)| ≤
exp(−εω²/2). A kink, jump, pole, a bounded or half-line
support, or a characteristic function that decays more slowly than a Gaussian one rules out every ε > 0: ε_c = 0.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from scipy import special

from heatrd.errors import InvalidInput
from heatrd.sources import _checks
from heatrd.sources.base import FloatArray, Source
from heatrd.sources.gaussian import Gaussian
from heatrd.sources.location_scale import LocationScale

__all__ = [
    "Exponential",
    "GeneralizedGaussian",
    "Laplace",
    "Logistic",
    "StudentT",
    "Triangular",
    "Uniform",
]

LOG2 = float(np.log(2.0))


class Uniform(LocationScale):
    """Uniform on [low, high]; by default of unit variance, [−√3, √3]."""

    name = "uniform"

    def __init__(self, low: float = -(3.0**0.5), high: float = 3.0**0.5) -> None:
        low, high = _checks.finite(low, "low", self.name), _checks.finite(high, "high", self.name)
        if not low < high:
            raise InvalidInput(f"uniform: low={low:g} must be less than high={high:g}")
        self.low, self.high = low, high
        self._set(low + 0.5 * (high - low), 0.5 * high - 0.5 * low)

    @property
    def parameters(self) -> Mapping[str, Any]:
        return {"low": self.low, "high": self.high}

    @property
    def support(self) -> tuple[float, float]:
        return self.low, self.high

    def logpdf(self, x: ArrayLike) -> FloatArray:
        x = np.asarray(x, dtype=np.float64)
        return np.where((x >= self.low) & (x <= self.high), -np.log(2.0) - np.log(self.scale), -np.inf)

    def tail_cut(self, mass: float) -> tuple[float, float]:
        _checks.mass_fraction(mass)
        return self.support

    def _z_logpdf(self, z: FloatArray) -> FloatArray:
        return np.where(np.abs(z) <= 1, -LOG2, -np.inf)

    def _z_cdf(self, z: FloatArray) -> FloatArray:
        return np.clip(0.5 + 0.5 * z, 0.0, 1.0)

    def _z_tail_cut(self, mass: float) -> tuple[float, float]:
        return (-1.0, 1.0)

    def _z_support(self) -> tuple[float, float]:
        return (-1.0, 1.0)

    def _z_sample(self, n: int, rng: np.random.Generator) -> FloatArray:
        return rng.uniform(-1.0, 1.0, n)

    def _z_variance(self) -> float:
        return 1.0 / 3.0

    def _z_entropy(self) -> float:
        return LOG2


class Laplace(LocationScale):
    """Laplacian: density exp(−|x − loc|/scale)/(2 scale), variance 2 scale²."""

    name = "laplace"

    def __init__(self, loc: float = 0.0, scale: float = 1.0) -> None:
        self._set(loc, scale)

    def _z_logpdf(self, z: FloatArray) -> FloatArray:
        return np.asarray(-np.abs(z) - LOG2)

    def _z_cdf(self, z: FloatArray) -> FloatArray:
        half = 0.5 * np.exp(-np.abs(z))
        return np.where(z < 0, half, 1.0 - half)

    def _z_tail_cut(self, mass: float) -> tuple[float, float]:
        reach = -float(np.log(mass)) - LOG2
        return (-reach, reach)

    def _z_sample(self, n: int, rng: np.random.Generator) -> FloatArray:
        return rng.laplace(0.0, 1.0, n)

    def _z_variance(self) -> float:
        return 2.0

    def _z_entropy(self) -> float:
        return 1.0 + LOG2

    def _z_breakpoints(self) -> Sequence[float]:
        return (0.0,)


class GeneralizedGaussian(LocationScale):
    """Density ∝ exp(−|(x − loc)/scale|^beta): β = 1 Laplacian, β = 2 Gaussian of variance scale²/2, β → ∞ uniform.

    Variance scale² Γ(3/β)/Γ(1/β); entropy 1/β + log(2 scale Γ(1/β)/β).
    """

    name = "generalized-gaussian"

    def __init__(self, beta: float = 1.0, scale: float = 1.0, loc: float = 0.0) -> None:
        self.beta = _checks.positive(beta, "beta", self.name)
        if not 0.02 <= self.beta <= 1e6:
            raise InvalidInput(f"{self.name}: beta={self.beta:g} is out of range; need 0.02 <= beta <= 1e6")
        self._log_norm = float(LOG2 + special.gammaln(1.0 + 1.0 / self.beta))
        self._set(loc, scale)

    @property
    def parameters(self) -> Mapping[str, Any]:
        return {"beta": self.beta, "scale": self.scale, "loc": self.loc}

    def _z_logpdf(self, z: FloatArray) -> FloatArray:
        return np.asarray(-(np.abs(z) ** self.beta) - self._log_norm)

    def _z_cdf(self, z: FloatArray) -> FloatArray:
        half = 0.5 * special.gammaincc(1.0 / self.beta, np.abs(z) ** self.beta)
        return np.where(z < 0, half, 1.0 - half)

    def _z_tail_cut(self, mass: float) -> tuple[float, float]:
        reach = float(special.gammainccinv(1.0 / self.beta, 2.0 * mass)) ** (1.0 / self.beta)
        return (-reach, reach)

    def _z_sample(self, n: int, rng: np.random.Generator) -> FloatArray:
        sign = rng.choice([-1.0, 1.0], size=n)
        return np.asarray(sign * rng.standard_gamma(1.0 / self.beta, n) ** (1.0 / self.beta))

    def _z_variance(self) -> float:
        return float(np.exp(special.gammaln(3.0 / self.beta) - special.gammaln(1.0 / self.beta)))

    def _z_entropy(self) -> float:
        return 1.0 / self.beta + self._log_norm

    def _z_breakpoints(self) -> Sequence[float]:
        return () if self.beta % 2 == 0 else (0.0,)

    def critical_epsilon(self) -> float:
        return 0.5 * self.scale**2 if self.beta == 2 else 0.0

    def deblurred(self, epsilon: float) -> Source | None:
        if self.beta == 2:
            return Gaussian(self.loc, 0.5 * self.scale**2).deblurred(epsilon)
        return super().deblurred(epsilon)


class Logistic(LocationScale):
    """Logistic: density sech²((x − loc)/2 scale)/(4 scale), variance π² scale²/3."""

    name = "logistic"

    def __init__(self, loc: float = 0.0, scale: float = 1.0) -> None:
        self._set(loc, scale)

    def _z_logpdf(self, z: FloatArray) -> FloatArray:
        return np.asarray(-np.abs(z) - 2.0 * np.log1p(np.exp(-np.abs(z))))

    def _z_cdf(self, z: FloatArray) -> FloatArray:
        return np.asarray(special.expit(z))

    def _z_tail_cut(self, mass: float) -> tuple[float, float]:
        reach = float(np.log1p(-mass) - np.log(mass))
        return (-reach, reach)

    def _z_sample(self, n: int, rng: np.random.Generator) -> FloatArray:
        return rng.logistic(0.0, 1.0, n)

    def _z_variance(self) -> float:
        return float(np.pi**2 / 3)

    def _z_entropy(self) -> float:
        return 2.0


class Triangular(LocationScale):
    """Triangular on [low, high] with its top at mode; by default of unit variance, symmetric on [−√6, √6]."""

    name = "triangular"

    def __init__(self, low: float = -(6.0**0.5), mode: float | None = None, high: float = 6.0**0.5) -> None:
        self.low, self.high = _checks.finite(low, "low", self.name), _checks.finite(high, "high", self.name)
        if not self.low < self.high:
            raise InvalidInput(f"triangular: low={self.low:g} must be less than high={self.high:g}")
        middle = 0.5 * self.low + 0.5 * self.high
        self.mode = middle if mode is None else _checks.finite(mode, "mode", self.name)
        if not self.low <= self.mode <= self.high:
            raise InvalidInput(f"triangular: mode={self.mode:g} must lie in [{self.low:g}, {self.high:g}]")
        scale = self.high - self.low
        self._peak = (self.mode - self.low) / scale
        self._set(self.low, scale)

    @property
    def parameters(self) -> Mapping[str, Any]:
        return {"low": self.low, "mode": self.mode, "high": self.high}

    @property
    def support(self) -> tuple[float, float]:
        return self.low, self.high

    @property
    def breakpoints(self) -> Sequence[float]:
        return (self.mode,) if self.low < self.mode < self.high else ()

    def logpdf(self, x: ArrayLike) -> FloatArray:
        x = np.asarray(x, dtype=np.float64)
        with np.errstate(all="ignore"):
            left = (x - self.low) / (self.mode - self.low) if self.mode > self.low else np.zeros_like(x)
            right = (self.high - x) / (self.high - self.mode) if self.high > self.mode else np.zeros_like(x)
            rising = (x < self.mode) | (self.mode == self.high)
            height = np.where(rising, left, right)
            inside = (x >= self.low) & (x <= self.high)
            return np.where(inside, LOG2 - np.log(self.scale) + np.log(np.maximum(height, 0.0)), -np.inf)

    def cdf(self, x: ArrayLike) -> FloatArray:
        x = np.clip(np.asarray(x, dtype=np.float64), self.low, self.high)
        z, w = (x - self.low) / self.scale, (self.high - x) / self.scale
        with np.errstate(all="ignore"):
            return np.where(
                x < self.mode, z * z / self._peak, 1.0 - w * w / (1.0 - self._peak) if self._peak < 1 else z * z
            )

    def tail_cut(self, mass: float) -> tuple[float, float]:
        _checks.mass_fraction(mass)
        return self.support

    def _z_logpdf(self, z: FloatArray) -> FloatArray:
        return np.asarray(self.logpdf(self.loc + self.scale * z) + np.log(self.scale))

    def _z_cdf(self, z: FloatArray) -> FloatArray:
        return self.cdf(self.loc + self.scale * z)

    def _z_tail_cut(self, mass: float) -> tuple[float, float]:
        return (0.0, 1.0)

    def _z_sample(self, n: int, rng: np.random.Generator) -> FloatArray:
        return rng.triangular(0.0, self._peak, 1.0, n)

    def _z_mean(self) -> float:
        return (1.0 + self._peak) / 3.0

    def _z_variance(self) -> float:
        return (1.0 - self._peak + self._peak**2) / 18.0

    def _z_entropy(self) -> float:
        return 0.5 - LOG2


class Exponential(LocationScale):
    """One-sided exponential: density exp(−(x − loc)/scale)/scale on x ≥ loc."""

    name = "exponential"

    def __init__(self, scale: float = 1.0, loc: float = 0.0) -> None:
        self._set(loc, scale)

    @property
    def parameters(self) -> Mapping[str, Any]:
        return {"scale": self.scale, "loc": self.loc}

    def _z_logpdf(self, z: FloatArray) -> FloatArray:
        return np.where(z >= 0, -z, -np.inf)

    def _z_cdf(self, z: FloatArray) -> FloatArray:
        return np.asarray(-np.expm1(-np.maximum(z, 0.0)))

    def _z_tail_cut(self, mass: float) -> tuple[float, float]:
        return (0.0, -float(np.log(mass)))

    def _z_support(self) -> tuple[float, float]:
        return (0.0, np.inf)

    def _z_sample(self, n: int, rng: np.random.Generator) -> FloatArray:
        return rng.standard_exponential(n)

    def _z_mean(self) -> float:
        return 1.0

    def _z_variance(self) -> float:
        return 1.0

    def _z_entropy(self) -> float:
        return 1.0


class StudentT(LocationScale):
    """Student's t with df > 2 degrees of freedom (finite variance scale² df/(df − 2))."""

    name = "student-t"

    def __init__(self, df: float = 5.0, loc: float = 0.0, scale: float = 1.0) -> None:
        self.df = _checks.positive(df, "df", self.name)
        if self.df <= 2:
            raise InvalidInput(f"student-t: df={self.df:g} has infinite variance; R(D) needs df > 2")
        self._log_norm = float(special.betaln(0.5, 0.5 * self.df) + 0.5 * np.log(self.df))
        self._set(loc, scale)

    @property
    def parameters(self) -> Mapping[str, Any]:
        return {"df": self.df, "loc": self.loc, "scale": self.scale}

    def _z_logpdf(self, z: FloatArray) -> FloatArray:
        square = z * z / self.df
        log_one_plus = np.where(np.isfinite(square), np.log1p(square), 2.0 * np.log(np.abs(z)) - np.log(self.df))
        return np.asarray(-0.5 * (self.df + 1.0) * log_one_plus - self._log_norm)

    def _z_cdf(self, z: FloatArray) -> FloatArray:
        return np.asarray(special.stdtr(self.df, z))

    def _z_tail_cut(self, mass: float) -> tuple[float, float]:
        x = float(special.betaincinv(0.5 * self.df, 0.5, 2.0 * mass))  # df/(df + t²), accurate when t² ≫ df
        y = float(special.betainccinv(0.5, 0.5 * self.df, 2.0 * mass))  # t²/(df + t²), accurate when t² ≪ df
        reach = np.sqrt(self.df) * (np.sqrt(1.0 - x) / np.sqrt(x) if x < 0.5 else np.sqrt(y) / np.sqrt(1.0 - y))
        return (-float(reach), float(reach))

    def _z_sample(self, n: int, rng: np.random.Generator) -> FloatArray:
        return rng.standard_t(self.df, n)

    def _z_variance(self) -> float:
        return self.df / (self.df - 2.0)

    def _z_entropy(self) -> float:
        half = 0.5 * (self.df + 1.0)
        return float(half * (special.digamma(half) - special.digamma(0.5 * self.df)) + self._log_norm)
