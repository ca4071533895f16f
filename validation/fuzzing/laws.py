"""Sources for the probes: well-formed ones of moderate size, and constructors called with hostile parameters."""

from __future__ import annotations

import inspect
from typing import Any

import numpy as np
from scipy import stats

import heatrd
from heatrd import sources
from validation.fuzzing.dice import Dice

__all__ = ["any_source", "hostile_source", "line_source", "plane_source"]

CHEAP = (
    "uniform",
    "laplace",
    "gaussian",
    "exponential",
    "triangular",
    "atoms",
    "gaussian-mixture",
    "tabulated",
    "scipy",
)
SCIPY = (
    "norm",
    "uniform",
    "expon",
    "gamma",
    "beta",
    "gennorm",
    "triang",
    "cosine",
    "rayleigh",
    "t",
    "cauchy",
    "lognorm",
    "pareto",
    "levy",
    "weibull_min",
    "arcsine",
    "genpareto",
    "vonmises",
    "powerlaw",
    "truncnorm",
)


def line_source(dice: Dice) -> Any:
    """A well-formed source on the line, in some unit of length."""
    unit, shift = dice.scale(), dice.choice((0.0, 0.0, 1.0, -3.0))
    match dice.choice(CHEAP):
        case "uniform":
            law = sources.Uniform(unit * (shift - 1), unit * (shift + dice.uniform(0.1, 2)))
        case "laplace":
            law = sources.Laplace(unit * shift, unit)
        case "gaussian":
            law = sources.Gaussian(unit * shift, unit**2)
        case "exponential":
            law = sources.Exponential(unit, unit * shift)
        case "triangular":
            law = sources.Triangular(unit * (shift - 1), unit * (shift + dice.random()), unit * (shift + 1.5))
        case "atoms":
            size = dice.choice((1, 2, 3, 10, 40))
            law = sources.Atoms(unit * (shift + dice.numpy.standard_normal(size)), dice.numpy.uniform(0.01, 1, size))
        case "gaussian-mixture":
            size = dice.randint(1, 4)
            means, variances = dice.numpy.uniform(-3, 3, size), dice.numpy.uniform(0.05, 1.5, size)
            law = sources.GaussianMixture(dice.numpy.uniform(0.1, 1, size), unit * means, unit**2 * variances)
        case "tabulated":
            grid = np.cumsum(dice.numpy.uniform(0.1, 1, dice.randint(2, 12)))
            law = heatrd.from_grid(unit * (grid + shift), dice.numpy.uniform(0, 1, grid.size), normalize=True)
        case _:
            law = heatrd.as_source(stats.gamma(dice.uniform(1, 5), loc=unit * shift, scale=unit))
    return dice.say("source", law)


def plane_source(dice: Dice) -> Any:
    """A small well-formed source in two dimensions."""
    unit = dice.scale()
    match dice.choice(("atoms", "gaussian", "product")):
        case "atoms":
            law = sources.Atoms(unit * dice.numpy.standard_normal((dice.randint(1, 8), 2)))
        case "gaussian":
            root = dice.numpy.standard_normal((2, 2))
            law = sources.Gaussian([0.0, unit], unit**2 * (root @ root.T))
        case _:
            law = sources.Product([sources.Uniform(0.0, unit), sources.Laplace(0.0, unit)])
    return dice.say("source", law)


def hostile_source(dice: Dice) -> Any:
    """A source from its constructor, with parameters of which some are junk."""
    if dice.chance(0.25):
        return _hostile_scipy(dice)
    name = dice.word("name", sources.source_names(), 0.03)
    if not isinstance(name, str) or name not in sources.source_names():
        return heatrd.as_source(name)
    given: dict[str, Any] = {}
    for key, default in sources.source_parameters(name).items():
        if dice.chance(0.5):
            given[key] = _parameter(dice, default)
    if dice.chance(0.03):
        given["no_such_parameter"] = 1
    return heatrd.as_source(name, **dice.say("parameters", given))


def _parameter(dice: Dice, default: Any) -> Any:
    if dice.chance(0.4):
        return dice.junk()
    if isinstance(default, bool) or default is None or default is inspect.Parameter.empty:
        return dice.choice((None, 1.0, [0.5, 0.5], [1.0, 2.0, 3.0]))
    if isinstance(default, int):
        return dice.choice((-1, 0, 1, 2, 3, 5, 10, 10**9, 2.5))
    if isinstance(default, float):
        return dice.choice((1.0, dice.sign() * dice.scale(), dice.log_uniform(0.05, 20)))
    values = np.asarray(default, dtype=float)
    return dice.scale() * values if dice.chance(0.7) else dice.array("entries", values.shape)


def _hostile_scipy(dice: Dice) -> Any:
    name = dice.choice(SCIPY)
    family = getattr(stats, name)
    shapes = [s.strip() for s in family.shapes.split(",")] if family.shapes else []
    given = {key: dice.log_uniform(0.05, 20) for key in shapes}
    if dice.chance(0.7):
        given |= {"loc": dice.choice((0.0, dice.sign() * dice.scale())), "scale": dice.scale()}
    if dice.chance(0.4):
        given[dice.choice([*given, "scale"])] = dice.junk()
    if dice.chance(0.5):
        return heatrd.as_source(f"scipy:{dice.say('name', name)}", **dice.say("parameters", given))
    with np.errstate(all="ignore"):
        try:
            frozen = family(**given)
        except Exception:  # scipy's own refusal, not ours
            frozen = family(*[1.0 for _ in shapes])
    return heatrd.as_source(dice.say("frozen", frozen))


def any_source(dice: Dice) -> Any:
    """A source of any kind, or what only claims to be one."""
    roll = dice.random()
    if roll < 0.45:
        return line_source(dice)
    if roll < 0.55:
        return plane_source(dice)
    if roll < 0.9:
        return hostile_source(dice)
    return dice.say(
        "source", dice.choice(("laplace", "Uniform ", "unifrom", "scipy:expon", "scipy:poisson", dice.junk()))
    )
