"""Probes of bounds, closed forms and critical values."""

from __future__ import annotations

import math

import numpy as np

import heatrd
from heatrd import closed_forms
from validation.fuzzing.dice import Dice
from validation.fuzzing.laws import any_source, hostile_source
from validation.fuzzing.probes import probe, require


@probe(10, "shannon_lower_bound", "gaussian_upper_bound")
def bounds(dice: Dice) -> None:
    source = any_source(dice)
    source = heatrd.as_source(source) if isinstance(source, str) else source
    d = dice.array("distortion", (3,)) if dice.chance(0.3) else dice.number("distortion", dice.scale)
    low, high = heatrd.shannon_lower_bound(source, d), heatrd.gaussian_upper_bound(source, d)
    require(not np.isnan(low).any() and not np.isnan(high).any(), f"bounds {low!r}, {high!r}")
    require((np.asarray(low) <= np.asarray(high) * (1 + 1e-9) + 1e-9).all(), f"Shannon {low!r} above Gauss {high!r}")


@probe(7.5, "closed_forms")
def closed(dice: Dice) -> None:
    d = dice.array("distortion", (3,)) if dice.chance(0.3) else dice.number("distortion", dice.scale)
    match dice.say("form", dice.choice(("rate", "distortion", "sphere"))):
        case "rate":
            value = closed_forms.gaussian_rate(dice.array("covariance", dice.choice(((), (2, 2), (1, 1)))), d)
        case "distortion":
            value = closed_forms.gaussian_distortion(dice.array("covariance", dice.choice(((), (2, 2), (1, 1)))), d)
        case _:
            dim = dice.number("dim", lambda: dice.choice((2, 3, 10, 1000)))
            value = closed_forms.sphere_rate(dim, d, dice.number("radius", dice.scale))
    require(not np.isnan(value).any() and (np.asarray(value) >= 0).all(), f"value {value!r}")


@probe(7.5, "critical_epsilon", "critical_distortion")
def critical(dice: Dice) -> None:
    source = any_source(dice) if dice.chance(0.5) else hostile_source(dice)
    options = {"method": dice.word("method", ("auto", "auto", "closed-form"))} if dice.chance(0.3) else {}
    value = heatrd.critical_epsilon(source, **options)
    require(value >= 0 and not math.isnan(value), f"critical epsilon {value!r}")
    require(heatrd.critical_distortion(source, **options) >= value * (1 - 1e-12), "critical distortion below epsilon")


@probe(2.5, "reference_table")
def reference(dice: Dice) -> None:
    rows = heatrd.reference_table(dice.word("source", ("laplace", "uniform", None), 0.5))
    require(all(row.rate_lower <= row.rate_upper for row in rows), "reference bounds not ordered")
