"""Names of the sources on the line; friendly ones for scipy.stats families."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from typing import Any

from heatrd.sources import _checks, scipy_adaptor, univariate
from heatrd.sources.base import Source
from heatrd.sources.bernoulli_gaussian import BernoulliGaussian
from heatrd.sources.discrete import Atoms
from heatrd.sources.gaussian import Gaussian, GaussianMixture
from heatrd.sources.registry import register
from heatrd.sources.sinc_mixture import SincMixture

__all__ = ["SCIPY_FAMILIES"]

#: name → (scipy name, {friendly parameter: (scipy's shape, default)}, other names)
SCIPY_FAMILIES: Mapping[str, tuple[str, Mapping[str, tuple[str, float]], tuple[str, ...]]] = {
    "arcsine": ("arcsine", {}, ()),
    "asymmetric-laplace": ("laplace_asymmetric", {"kappa": ("kappa", 2.0)}, ("laplace-asymmetric",)),
    "beta": ("beta", {"a": ("a", 2.0), "b": ("b", 5.0)}, ()),
    "chi-squared": ("chi2", {"df": ("df", 3.0)}, ("chi2",)),
    "cosine": ("cosine", {}, ("raised-cosine",)),
    "exponentially-modified-gaussian": ("exponnorm", {"K": ("K", 1.0)}, ("exponnorm", "emg")),
    "gamma": ("gamma", {"shape": ("a", 2.0)}, ()),
    "gumbel": ("gumbel_r", {}, ("gumbel-r",)),
    "half-normal": ("halfnorm", {}, ("halfnorm", "half-gaussian")),
    "hyperbolic-secant": ("hypsecant", {}, ("hypsecant", "sech")),
    "inverse-gaussian": ("invgauss", {"mu": ("mu", 1.0)}, ("invgauss",)),
    "lognormal": ("lognorm", {"sigma": ("s", 0.5)}, ("lognorm", "log-normal")),
    "maxwell": ("maxwell", {}, ()),
    "pareto": ("pareto", {"alpha": ("b", 4.0)}, ()),
    "rayleigh": ("rayleigh", {}, ()),
    "semicircle": ("semicircular", {}, ("semicircular", "wigner")),
    "skew-normal": ("skewnorm", {"shape": ("a", 3.0)}, ("skewnorm",)),
    "trapezoid": ("trapezoid", {"c": ("c", 0.25), "d": ("d", 0.75)}, ()),
    "truncated-gaussian": ("truncnorm", {"a": ("a", -1.0), "b": ("b", 1.0)}, ("truncnorm", "truncated-normal")),
    "von-mises": ("vonmises_line", {"kappa": ("kappa", 2.0)}, ("vonmises",)),
    "weibull": ("weibull_min", {"shape": ("c", 1.5)}, ("weibull-min",)),
}


def _factory(scipy_name: str, shapes: Mapping[str, tuple[str, float]]) -> Callable[..., Source]:
    """A factory with an honest signature: the friendly shape parameters, then loc and scale."""
    defaults = {**{key: default for key, (_, default) in shapes.items()}, "loc": 0.0, "scale": 1.0}

    def make(**given: Any) -> Source:
        values = {k: _checks.finite(v, k, scipy_name) for k, v in {**defaults, **given}.items()}
        own = {shapes[k][0] if k in shapes else k: v for k, v in values.items()}
        return scipy_adaptor.ScipySource(scipy_name, **own)

    kind = inspect.Parameter.KEYWORD_ONLY
    signature = inspect.Signature([inspect.Parameter(k, kind, default=v) for k, v in defaults.items()])
    vars(make)["__signature__"] = signature
    return make


def _default_mixture(weights: Any = None, means: Any = (-2.0, 0.0, 2.0), covs: Any = 0.25) -> Source:
    return GaussianMixture(weights, means, covs)


def _atoms(points: Any = (-1.0, 1.0), weights: Any = None) -> Source:
    return Atoms(points, weights)


register("gaussian", Gaussian, aliases=("normal", "norm"))
register("gaussian-mixture", _default_mixture, aliases=("mixture", "gmm"))
register("uniform", univariate.Uniform)
register("laplace", univariate.Laplace, aliases=("laplacian",))
register("generalized-gaussian", univariate.GeneralizedGaussian, aliases=("generalised-gaussian", "gennorm", "ggd"))
register("logistic", univariate.Logistic)
register("triangular", univariate.Triangular, aliases=("triangle",))
register("exponential", univariate.Exponential)
register("student-t", univariate.StudentT, aliases=("t", "studentt"))
register("bernoulli-gaussian", BernoulliGaussian, aliases=("spike-and-slab",))

for _name, (_scipy_name, _shapes, _aliases) in SCIPY_FAMILIES.items():
    register(_name, _factory(_scipy_name, _shapes), aliases=_aliases)
register("sinc-mixture", SincMixture, aliases=("sinc4", "sinc"))
register("atoms", _atoms, aliases=("discrete",))
