"""scipy.stats distributions as sources.

A distribution is split into shapes, loc and scale, and the standard variate is asked, so the scale robustness of
`LocationScale` carries over; its tails are checked as `Borrowed` says.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import scipy

from heatrd.errors import InvalidInput
from heatrd.sources import _checks
from heatrd.sources._quadrature import adaptive_sum, panels
from heatrd.sources.base import FloatArray, Source
from heatrd.sources.borrowed import Borrowed, quiet
from heatrd.sources.discrete import Atoms
from heatrd.sources.gaussian import clip_epsilon
from heatrd.sources.univariate import Exponential

__all__ = ["NewStyleSource", "ScipySource", "is_scipys", "shape_names"]

#: standard points where a density has a kink, jump or pole inside its support, by scipy name
_BREAKPOINTS: dict[str, Callable[..., tuple[float, ...]]] = {
    "crystalball": lambda beta, m: (-beta,),
    "dgamma": lambda a: (0.0,),
    "dweibull": lambda c: (0.0,),
    "laplace_asymmetric": lambda kappa: (0.0,),
    "loglaplace": lambda c: (1.0,),
    "trapezoid": lambda c, d: (c, d),
    "irwinhall": lambda n: tuple(float(i) for i in range(1, int(n))),
}

#: smooth on the whole line, yet without a Gaussian factor: not entire, or the characteristic function decays too slowly
_NO_GAUSSIAN_FACTOR = frozenset(
    "genhyperbolic genlogistic gumbel_l gumbel_r hypsecant jf_skew_t johnsonsu loggamma moyal nct norminvgauss".split()
)

_LOST_MASS = 0.01

#: entropies that scipy computes by quadrature although ``_entropy`` is overridden
_NUMERICAL_ENTROPY = {"tukeylambda", "vonmises", "vonmises_line"}


class ScipySource(Borrowed):
    """A continuous distribution of scipy.stats by name.

    Parameters
    ----------
    distribution : str or rv_continuous
        scipy name such as ``"gamma"``, or an instance of a user's own ``rv_continuous`` subclass.
    loc, scale : float
        Location and scale.
    **shapes : float
        Shape parameters by scipy's names.

    Raises
    ------
    InvalidInput
        Unknown name or parameter, parameters outside the distribution's domain, infinite variance.
    """

    def __init__(self, distribution: Any = "norm", loc: float = 0.0, scale: float = 1.0, **shapes: float) -> None:
        self._dist = (
            distribution if isinstance(distribution, scipy.stats.rv_continuous) else _scipy_distribution(distribution)
        )
        self._key = distribution
        self.name = f"scipy:{self._dist.name}"
        self._shapes = _shape_values(self._dist, shapes, self.name)
        self._shape_names = shape_names(self._dist)
        if not np.all(quiet(self._dist._argcheck, *self._shapes)):
            given = ", ".join(f"{k}={v:g}" for k, v in zip(self._shape_names, self._shapes))
            raise InvalidInput(f"{self.name}: parameters {given} are outside the distribution's domain")
        self._ends = _support_of(self._dist, self._shapes)
        mean, variance = (float(v) for v in quiet(self._dist.stats, *self._shapes, moments="mv"))
        if not (np.isfinite(mean) and np.isfinite(variance)):
            raise InvalidInput(f"{self.name}: the variance is infinite or undefined; R(D) needs a finite variance")
        if not variance > 0:
            raise InvalidInput(f"{self.name}: the variance is {variance:g}; need a positive variance")
        self._mean, self._variance = mean, variance
        self._tail_cache = {}
        self._set(0.0, 1.0)
        if not _has_closed_moments(self._dist, self._shapes):
            self._mean, self._variance = _integrated_moments(self)
            self._tail_cache = {}
        self._set(loc, scale)

    @property
    def parameters(self) -> Mapping[str, Any]:
        shapes = dict(zip(self._shape_names, self._shapes))
        return {"distribution": self._key, **shapes, "loc": self.loc, "scale": self.scale}

    def _raw_logpdf(self, z: FloatArray) -> FloatArray:
        return self._dist.logpdf(z, *self._shapes)

    def _z_cdf(self, z: FloatArray) -> FloatArray:
        return np.asarray(quiet(self._dist.cdf, z, *self._shapes))

    def _raw_quantiles(self, mass: float) -> tuple[float, float]:
        return self._dist.ppf(mass, *self._shapes), self._dist.isf(mass, *self._shapes)

    def _raw_tail(self, z: float, side: int) -> float:
        return (self._dist.cdf if side < 0 else self._dist.sf)(z, *self._shapes)

    def _z_sample(self, n: int, rng: np.random.Generator) -> FloatArray:
        return np.asarray(quiet(self._dist.rvs, *self._shapes, size=n, random_state=rng))

    def _z_mean(self) -> float:
        return self._mean

    def _z_variance(self) -> float:
        return self._variance

    def _z_support(self) -> tuple[float, float]:
        return self._ends[0], self._ends[1]

    def _z_breakpoints(self) -> Sequence[float]:
        if hasattr(self._dist, "_hbins"):  # rv_histogram
            return tuple(float(b) for b in self._dist._hbins[1:-1])
        return _BREAKPOINTS.get(self._dist.name, lambda *_: ())(*self._shapes)

    def _z_entropy(self) -> float | None:
        own = type(self._dist)._entropy is not scipy.stats.rv_continuous._entropy
        if not (own and is_scipys(self._dist)) or self._dist.name in _NUMERICAL_ENTROPY:
            return None
        value = float(quiet(self._dist.entropy, *self._shapes))
        return value if np.isfinite(value) else None

    def critical_epsilon(self) -> float | None:
        if np.isfinite(self._ends).any() or self.breakpoints:
            return 0.0
        if not is_scipys(self._dist):
            return None
        if self._dist.name == "exponnorm":  # scale·(N(0, 1) + Exponential(K))
            return self.scale**2
        if self._dist.name == "skewnorm":  # scale·(δ|N(0, 1)| + √(1 − δ²) N(0, 1)), δ² = a²/(1 + a²)
            return self.scale**2 / (1.0 + self._shapes[0] ** 2)
        return 0.0 if self._dist.name in _NO_GAUSSIAN_FACTOR else None

    def deblurred(self, epsilon: float) -> Source | None:
        critical = self.critical_epsilon()
        eps = None if critical is None else clip_epsilon(epsilon, critical)
        if eps is None:
            return None
        if eps == 0:
            return self
        rest = 1.0 - eps / self.scale**2  # the standard variate's variance from the Gaussian part, relative
        if self._dist.name == "exponnorm":
            rate = self._shapes[0]
            if eps == critical:
                return Exponential(rate * self.scale, self.loc)
            sigma = self.scale * np.sqrt(rest)
            return ScipySource("exponnorm", K=rate * self.scale / sigma, loc=self.loc, scale=sigma)
        a = self._shapes[0]
        delta2 = a * a / (1.0 + a * a)
        if eps == critical:
            return _half_normal(self.loc, self.scale * np.sqrt(delta2), a)
        scale = self.scale * np.sqrt(rest)
        shape = np.sign(a) * np.sqrt(delta2 / (rest - delta2))
        return ScipySource("skewnorm", a=float(shape), loc=self.loc, scale=float(scale))


class NewStyleSource(Borrowed):
    """A scipy.stats distribution of the new interface (``scipy.stats.Normal(mu=…)``, ``make_distribution(…)()``)."""

    def __init__(self, distribution: Any) -> None:
        self._dist = distribution
        self.name = f"scipy:{type(distribution).__name__}"
        if np.shape(quiet(distribution.mean)) not in ((), (1,)):
            raise InvalidInput(f"{self.name}: array parameters; need a single distribution")
        mean, variance = float(np.squeeze(quiet(distribution.mean))), float(np.squeeze(quiet(distribution.variance)))
        if not (np.isfinite(mean) and np.isfinite(variance) and variance > 0):
            raise InvalidInput(f"{self.name}: the variance is {variance:g}; R(D) needs a finite positive variance")
        self._mean, self._variance = mean, variance
        self._ends = tuple(float(np.squeeze(e)) for e in quiet(distribution.support))
        self._tail_cache = {}
        self._set(0.0, 1.0)

    @property
    def parameters(self) -> Mapping[str, Any]:
        return {"distribution": self._dist}

    def _raw_logpdf(self, z: FloatArray) -> FloatArray:
        return np.real(self._dist.logpdf(z))

    def _z_cdf(self, z: FloatArray) -> FloatArray:
        return np.asarray(quiet(self._dist.cdf, z))

    def _raw_quantiles(self, mass: float) -> tuple[float, float]:
        return float(np.squeeze(self._dist.icdf(mass))), float(np.squeeze(self._dist.iccdf(mass)))

    def _raw_tail(self, z: float, side: int) -> float:
        return float(np.squeeze((self._dist.cdf if side < 0 else self._dist.ccdf)(z)))

    def _z_sample(self, n: int, rng: np.random.Generator) -> FloatArray:
        return np.asarray(self._dist.sample(n, rng=rng)).reshape(n)

    def _z_mean(self) -> float:
        return self._mean

    def _z_variance(self) -> float:
        return self._variance

    def _z_support(self) -> tuple[float, float]:
        return self._ends[0], self._ends[1]

    def critical_epsilon(self) -> float | None:
        return 0.0 if np.isfinite(self._ends).any() else None


def _half_normal(loc: float, scale: float, sign: float) -> Source:
    if scale == 0:
        return Atoms([loc])
    if sign > 0:
        return ScipySource("halfnorm", loc=loc, scale=float(scale))
    return ScipySource("truncnorm", a=-np.float64(40.0), b=0.0, loc=loc, scale=float(scale))


def _has_closed_moments(dist: Any, shapes: Sequence[float]) -> bool:
    """Whether scipy knows the variance by formula; otherwise its own quadrature is good to 1e-6 or so only."""
    if type(dist)._munp is not scipy.stats.rv_continuous._munp:
        return True
    return quiet(dist._stats, *shapes)[1] is not None


def _integrated_moments(src: ScipySource) -> tuple[float, float]:
    """Mean and variance of the standard variate by quadrature, unless its tails are too heavy for it."""
    edges, spread = panels(src), float(np.sqrt(src.variance))
    if edges[-1] - edges[0] > 1e4 * spread:
        return src._mean, src._variance

    def moment(k: int) -> float:
        return adaptive_sum(lambda x: np.exp(src.logpdf(x)) * (x - src._mean) ** k, edges, 1.0)

    mass, first, second = (moment(k) for k in (0, 1, 2))
    if abs(mass - 1) > _LOST_MASS:
        raise InvalidInput(
            f"{src.name}: the density integrates to {mass:.3g} in double precision, not to one; its parameters "
            f"make it as narrow as {spread:.2g}: use ones that are less extreme"
        )
    shift = first / mass
    return src._mean + shift, second / mass - shift**2


def is_scipys(dist: Any) -> bool:
    """Whether it is scipy's own distribution of that name, not a user's."""
    return type(dist) is type(getattr(scipy.stats, dist.name or "", None))


def _support_of(dist: Any, shapes: Sequence[float]) -> tuple[float, float]:
    """The support, corrected where scipy reports a wider one."""
    if dist.name == "pearson3" and shapes[0] != 0:
        end = -2.0 / shapes[0]
        return (end, np.inf) if end < 0 else (-np.inf, end)
    low, high = quiet(dist.support, *shapes)
    return float(low), float(high)


def _scipy_distribution(name: Any) -> Any:
    dist = getattr(scipy.stats, str(name), None)
    if not isinstance(dist, scipy.stats.rv_continuous):
        raise InvalidInput(f"scipy:{name} is not a continuous distribution of scipy.stats")
    return dist


def shape_names(dist: Any) -> list[str]:
    """Names of the shape parameters, in scipy's order."""
    return [s.strip() for s in dist.shapes.split(",")] if dist.shapes else []


def _shape_values(dist: Any, given: Mapping[str, Any], what: str) -> list[float]:
    names = shape_names(dist)
    for key in given:
        if key not in names:
            raise InvalidInput(f"{what}: unknown parameter {key!r}; it takes {', '.join([*names, 'loc', 'scale'])}")
    missing = [n for n in names if n not in given]
    if missing:
        raise InvalidInput(
            f"{what}: parameter {missing[0]!r} is missing; it takes {', '.join([*names, 'loc', 'scale'])}"
        )
    return [_checks.finite(given[n], n, what) for n in names]
