"""Probes of curves."""

from __future__ import annotations

from typing import Any

import numpy as np

import heatrd
from heatrd import sources
from validation.fuzzing.dice import Dice
from validation.fuzzing.laws import any_source, line_source
from validation.fuzzing.probes import probe, require


@probe(5, "rd_curve", "rd_curves", "RDCurve")
def curve(dice: Dice) -> None:
    source = line_source(dice) if dice.chance(0.9) else any_source(dice)
    variance = source.total_variance if isinstance(source, sources.Source) else 1.0
    options: dict[str, Any] = {}
    kind = dice.choice(("distortions", "rates", "whole", "both"))
    if kind in ("distortions", "both"):
        good = np.array([0.9, 0.5, 0.3]) * (variance or 1.0)
        options["distortions"] = (
            dice.array("distortions", (3,), 0.8) if dice.chance(0.3) else dice.say("distortions", good)
        )
    if kind in ("rates", "both"):
        options["rates"] = dice.array("rates", (2,), 0.8) if dice.chance(0.3) else dice.say("rates", [0.0, 0.3, 0.8])
    if kind == "whole":
        options["max_rate"] = dice.number("max_rate", lambda: 0.7)
    if dice.chance(0.1):
        options[dice.choice(("executor", "workers", "checkpoint", "tol"))] = dice.say("option", dice.junk())
    else:
        options["tol"] = 1e-2
    several = dice.say("several", dice.chance(0.1))
    result = heatrd.rd_curves([source], **options)[0] if several else heatrd.rd_curve(source, **options)
    _ask_the_curve(dice, result)


def _ask_the_curve(dice: Dice, curve: Any) -> None:
    require((curve.rates_lower <= curve.rates + 1e-12).all(), "band not ordered")
    name = dice.say("query", dice.choice(("rate", "bounds", "distortion", "slope")))
    value = dice.array("at", (3,)) if dice.chance(0.4) else dice.number("at", dice.scale)
    answer = np.asarray(getattr(curve, name)(value), dtype=float)
    require(not np.isnan(answer).any(), f"{name} is nan: {answer!r}")
    if dice.chance(0.3):
        file = dice.folder / "curve.npz"
        curve.save(file)
        again = heatrd.RDCurve.load(file)
        again.save(dice.folder / "again.npz")
        same = file.read_bytes() == (dice.folder / "again.npz").read_bytes()
        require(same, "save, load, save changes the file")
    if dice.chance(0.2):
        curve.to_csv(dice.folder / "curve.csv")
