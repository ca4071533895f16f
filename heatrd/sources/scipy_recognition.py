"""Objects of scipy.stats, frozen or of the new interface, recognised as sources.

Distributions that heatrd has in closed form (norm, uniform, laplace, gennorm, logistic, triang, expon, t) become those
classes, all others `ScipySource` or `NewStyleSource`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import scipy

from heatrd.sources import _checks
from heatrd.sources.base import Source
from heatrd.sources.gaussian import Gaussian, GaussianMixture
from heatrd.sources.scipy_adaptor import NewStyleSource, ScipySource, is_scipys, shape_names
from heatrd.sources.univariate import (
    Exponential,
    GeneralizedGaussian,
    Laplace,
    Logistic,
    StudentT,
    Triangular,
    Uniform,
)

__all__ = ["from_frozen", "from_new_style"]


def from_frozen(frozen: Any) -> Source:
    """Turn a frozen ``rv_continuous`` into heatrd's own class where it has one, else into a `ScipySource`."""
    dist = frozen.dist
    if dist.name == "vonmises" and is_scipys(dist):  # a law on the circle: cut it open at ±π
        dist = scipy.stats.vonmises_line
    shapes, loc, scale = dist._parse_args(*frozen.args, **frozen.kwds)
    values = [_checks.finite(v, n, f"scipy:{dist.name}") for v, n in zip(shapes, shape_names(dist))]
    loc = _checks.finite(loc, "loc", f"scipy:{dist.name}")
    scale = _checks.positive(scale, "scale", f"scipy:{dist.name}")
    own = _closed_form(dist, values, loc, scale)
    if own is not None:
        return own
    key = dist.name if is_scipys(dist) else dist
    return ScipySource(key, loc=loc, scale=scale, **dict(zip(shape_names(dist), values)))


def from_new_style(dist: Any) -> Source:
    """Turn a new-interface distribution into a source."""
    name = type(dist).__name__
    if name == "Normal":
        sigma = _checks.positive(dist.sigma, "sigma", "Normal")
        return Gaussian(_checks.finite(dist.mu, "mu", "Normal"), sigma**2)
    if name == "Uniform":
        return Uniform(dist.a, dist.b)
    if name == "Logistic" and not hasattr(dist, "mu"):
        return Logistic()
    if name == "ShiftedScaledDistribution":
        inner = from_new_style(dist._dist)
        if isinstance(inner, Gaussian):
            scale, loc = _checks.finite(dist.scale, "scale", name), _checks.finite(dist.loc, "loc", name)
            return Gaussian(loc + scale * float(inner.mean[0]), scale**2 * inner.total_variance)
    if name == "Mixture" and all(type(c).__name__ == "Normal" for c in dist.components):
        means = [float(np.squeeze(c.mu)) for c in dist.components]
        variances = [float(np.squeeze(c.sigma)) ** 2 for c in dist.components]
        return GaussianMixture(dist.weights, means, variances)
    return NewStyleSource(dist)


def _closed_form(dist: Any, shapes: Sequence[float], loc: float, scale: float) -> Source | None:
    if not is_scipys(dist):
        return None
    match dist.name:
        case "norm":
            return Gaussian(loc, _checks.variance_of_scale(scale, "norm"))
        case "levy_stable" if shapes[0] == 2:
            return Gaussian(loc, 2.0 * _checks.variance_of_scale(scale, "levy_stable"))
        case "uniform":
            return Uniform(loc, loc + scale)
        case "laplace":
            return Laplace(loc, scale)
        case "gennorm":
            return GeneralizedGaussian(shapes[0], scale, loc)
        case "logistic":
            return Logistic(loc, scale)
        case "triang":
            return Triangular(loc, loc + shapes[0] * scale, loc + scale)
        case "expon":
            return Exponential(scale, loc)
        case "t":
            return StudentT(shapes[0], loc, scale)
    return None
