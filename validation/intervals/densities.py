"""Densities of sources as functions of complex balls."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from scipy import stats

import heatrd

__all__ = ["Density", "densities"]

Function = Callable[[Any], Any]


@dataclass(frozen=True, slots=True)
class Density:
    """A density analytic on each piece, logslope(x) = (log μ)′, where it has tails; exact entropy."""

    source: Any
    edges: tuple[float, ...]
    value: Callable[[Any, int], Any]
    logslope: Function | None = None
    entropy: Any = None


def densities() -> dict[str, Density]:
    """The sources that are proved; parameters are binary numbers, so that library and proof mean the same law."""
    return {**_bounded(), **_one_tail(), **_exponential_tails(), **_gaussian_tails()}


def _normal(z: Any, mean: float, variance: float) -> Any:
    from flint import arb

    return (-((z - mean) ** 2) / (2 * arb(variance))).exp() / (2 * arb.pi() * variance).sqrt()


def _bounded() -> dict[str, Density]:
    from flint import acb, arb

    inside = (1 / arb(2).sqrt()).erf()
    return {
        "uniform": Density(heatrd.sources.Uniform(-2.0, 2.0), (-2, 2), lambda z, i: acb(0.25) + 0 * z),
        "triangular": Density(
            heatrd.sources.Triangular(-2.0, 0.0, 2.0), (-2, 0, 2), lambda z, i: (2 + z if i == 0 else 2 - z) / 4
        ),
        "truncated gaussian": Density(
            heatrd.as_source("truncated-gaussian"), (-1, 1), lambda z, i: _normal(z, 0.0, 1.0) / inside
        ),
        "beta 2 5": Density(heatrd.as_source(stats.beta(2, 5)), (0, 1), lambda z, i: 30 * z * (1 - z) ** 4),
        "raised cosine": Density(
            heatrd.as_source("cosine"), (-math.pi, math.pi), lambda z, i: (1 + z.cos()) / (2 * arb.pi())
        ),
    }


def _one_tail() -> dict[str, Density]:
    from flint import arb

    whole = (0, math.inf)
    return {
        "exponential": Density(
            heatrd.as_source("exponential"), whole, lambda z, i: (-z).exp(), lambda x: arb(-1), arb(1)
        ),
        "gamma 2": Density(heatrd.as_source(stats.gamma(2.0)), whole, lambda z, i: z * (-z).exp(), lambda x: 1 / x - 1),
        "rayleigh": Density(
            heatrd.as_source("rayleigh"), whole, lambda z, i: z * (-z * z / 2).exp(), lambda x: 1 / x - x
        ),
        "maxwell": Density(
            heatrd.as_source("maxwell"),
            whole,
            lambda z, i: z * z * (-z * z / 2).exp() * (2 / arb.pi()).sqrt(),
            lambda x: 2 / x - x,
        ),
    }


def _exponential_tails() -> dict[str, Density]:
    from flint import arb

    whole = (-math.inf, math.inf)
    return {
        "laplace": Density(
            heatrd.as_source("laplace"),
            (-math.inf, 0, math.inf),
            lambda z, i: (z if i == 0 else -z).exp() / 2,
            lambda x: -x.sgn(),
            1 + arb(2).log(),
        ),
        "logistic": Density(
            heatrd.as_source("logistic"),
            whole,
            lambda z, i: 1 / (z / 2).cosh() ** 2 / 4,
            lambda x: -(x / 2).tanh(),
            arb(2),
        ),
        "hyperbolic secant": Density(
            heatrd.as_source("hyperbolic-secant"),
            whole,
            lambda z, i: 1 / z.cosh() / arb.pi(),
            lambda x: -x.tanh(),
            (2 * arb.pi()).log(),
        ),
    }


def _gaussian_tails() -> dict[str, Density]:
    from flint import arb

    whole = (-math.inf, math.inf)
    mixed = heatrd.sources.GaussianMixture([0.25, 0.5, 0.25], [-2.0, 0.0, 2.0], [0.25, 0.25, 0.25])
    gamma_quarter = (arb(1) / 4).gamma()
    return {
        "gaussian": Density(
            heatrd.sources.Gaussian(0.0, 1.0),
            whole,
            lambda z, i: _normal(z, 0.0, 1.0),
            lambda x: -x,
            (1 + (2 * arb.pi()).log()) / 2,
        ),
        "mixture": Density(
            mixed,
            whole,
            lambda z, i: _normal(z, -2.0, 0.25) / 4 + _normal(z, 0.0, 0.25) / 2 + _normal(z, 2.0, 0.25) / 4,
            lambda x: -4 * (x - 2 * x.sgn()),
        ),
        "gennorm 4": Density(
            heatrd.sources.GeneralizedGaussian(4.0, 1.0),
            whole,
            lambda z, i: 2 * (-(z**4)).exp() / gamma_quarter,
            lambda x: -4 * x**3,
        ),
    }
