"""Probes of pictures, estimators, checks for others, and laws."""

from __future__ import annotations

from typing import Any

import heatrd
from heatrd.errors import HeatrdError
from validation.fuzzing.dice import Dice
from validation.fuzzing.laws import line_source
from validation.fuzzing.paths import solved
from validation.fuzzing.probes import affordable, finite, probe, require


@probe(0.4, "plots", "RDCurve", "Solution")
def pictures(dice: Dice) -> None:
    import matplotlib

    matplotlib.use("Agg")
    solution = solved(dice)
    with heatrd.plots.figure() as figure:
        ax = figure.subplots()
        if dice.chance(0.5):
            solution.plot(ax=ax, unit=dice.word("unit", ("nat", "bit"), 0.3))
        else:
            curve = heatrd.rd_curve(solution.source, rates=[0.2, 0.5], tol=1e-2)
            curve.plot(
                ax=ax, unit=dice.word("unit", ("nat", "bit"), 0.3), x=dice.word("x", ("distortion", "snr_db"), 0.3)
            )
        heatrd.plots.save(figure, dice.folder / "picture.png")


@probe(2.5, "neural")
def estimator(dice: Dice) -> None:
    options: dict[str, Any] = {}
    for key, good in (
        ("dim", 1),
        ("width", 4),
        ("depth", 1),
        ("steps", 3),
        ("components", 2),
        ("last", 0.01),
        ("seed", 0),
    ):
        if dice.chance(0.3):
            options[key] = dice.number(key, lambda good=good: good, 0.5)
    if dice.chance(0.3):
        options["epsilon_range"] = dice.say("epsilon_range", dice.choice(((0.1, 1.0), (1.0, 0.1), (0, 1), dice.junk())))
    if dice.chance(0.3):
        options["entropy"] = dice.word("entropy", ("auto",), 0.7)
    model = heatrd.neural.R2D2(**options)
    try:
        model.rate_distortion(dice.number("epsilon", lambda: 0.3))
    except HeatrdError:
        pass
    else:
        raise AssertionError("an untrained model gave an answer")


@probe(2, "testing")
def checks_of_others(dice: Dice) -> None:
    """No claim below the certified bound may pass, and the certified one must."""
    source = line_source(dice)
    solution = heatrd.solve(source, epsilon=affordable(dice, source), tol=1e-6)
    if solution.rate_lower < 0.05:
        return
    excess = heatrd.testing.check_upper_bound(source, solution.distortion, solution.rate)
    require(abs(excess) < 1e-3, f"the certified rate has an excess of {excess!r}")
    try:
        heatrd.testing.check_upper_bound(source, solution.distortion, 0.9 * solution.rate_lower)
    except AssertionError:
        return
    require(False, "an impossible claim passed")


@probe(2.5, "HeatrdError", "InvalidInput", "TooLarge", "NotConverged", "HeatrdWarning", "DiscreteLaw", "as_law")
def laws(dice: Dice) -> None:
    size = dice.randint(0, 5)
    law = heatrd.as_law(dice.array("points", (size, 2) if dice.chance(0.5) else (size,)), dice.weights("weights", size))
    require(abs(law.weights.sum() - 1) < 1e-12 and (law.weights >= 0).all(), "weights are no probability")
    finite(law.points, "points")
