"""Probes of solving and certifying."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

import heatrd
from heatrd import sources
from heatrd.testing import check_overlap, check_solution
from validation.fuzzing.dice import Dice
from validation.fuzzing.laws import any_source, hostile_source, line_source, plane_source
from validation.fuzzing.probes import finite, probe, require, spread


def _target(dice: Dice, source: Any) -> dict[str, Any]:
    name = dice.choice(("epsilon", "distortion", "rate"))
    low = 0.1 if source.dim == 1 else 0.4
    good = {
        "epsilon": lambda: dice.log_uniform(low, 3.0) * spread(source),
        "distortion": lambda: dice.uniform(low, 1.2) * (source.total_variance or 1.0),
        "rate": lambda: dice.uniform(0.0, 1.5),
    }[name]
    return {name: dice.number(name, good, 0.25)}


@probe(10, "solve", "Solution", "Certificate")
def solve_line(dice: Dice) -> None:
    source = line_source(dice)
    target = _target(dice, source)
    more = {"tol": dice.number("tol", lambda: 10 ** dice.uniform(-9, -2))} if dice.chance(0.4) else {}
    solution = heatrd.solve(source, **target, **more)
    check_solution(solution)
    finite([solution.rate, solution.rate_lower, solution.distortion, solution.bits], "the answer")
    require(not math.isnan(solution.snr_db), "SNR is nan")


@probe(3, "solve", "Solution")
def solve_plane(dice: Dice) -> None:
    source = plane_source(dice)
    check_solution(heatrd.solve(source, **_target(dice, source), tol=1e-3))


@probe(8, "solve", "as_source", "sources")
def solve_hostile(dice: Dice) -> None:
    source = hostile_source(dice)
    require(source.total_variance >= 0 and np.isfinite(source.covariance).all(), f"covariance {source.covariance!r}")
    ratio = dice.log_uniform(0.2, 3.0) if source.dim == 1 else 1.5
    check_solution(heatrd.solve(source, epsilon=dice.say("epsilon", ratio * spread(source)), tol=1e-4))


@probe(4, "solve")
def solve_scales_exactly(dice: Dice) -> None:
    """R_{aX}(a²D) = R_X(D) for a a power of two, at any scale: within the tolerance, and nothing contradicted."""
    power = dice.say("power", dice.choice((-498, -300, -100, -7, 7, 100, 300, 498)))
    epsilon = dice.say("epsilon", dice.log_uniform(0.1, 1.5))
    kind = dice.say("kind", dice.choice(("uniform", "laplace", "gaussian", "atoms", "mixture", "kde", "grid")))
    points = np.round(8 * dice.numpy.standard_normal(9)) / 8

    def law(unit: float) -> Any:
        match kind:
            case "uniform":
                return sources.Uniform(-unit, unit)
            case "laplace":
                return sources.Laplace(0.0, unit)
            case "gaussian":
                return sources.Gaussian(0.0, unit**2)
            case "atoms":
                return sources.Atoms(unit * points)
            case "mixture":
                return sources.GaussianMixture(None, unit * points, unit**2 / 4)
            case "kde":
                return heatrd.from_samples(unit * points, method="kde", bandwidth=unit / 2)
            case _:
                return heatrd.from_grid(unit * np.arange(4.0), np.array([0.0, 1.0, 2.0, 1.0]), normalize=True)

    unit = 2.0**power
    one = heatrd.solve(law(1.0), epsilon=epsilon, tol=1e-6)
    two = heatrd.solve(law(unit), epsilon=epsilon * unit**2, tol=1e-6)
    there = two.distortion / unit / unit
    require(math.isclose(one.rate, two.rate, abs_tol=2e-6), f"rates {one.rate!r}, {two.rate!r}")
    require(math.isclose(there, one.distortion, rel_tol=1e-3), "distortions do not scale")
    require(one.certificate.lower_bound(there) <= two.rate + 1e-12, "bounds contradict each other")
    require(two.certificate.lower_bound(one.distortion * unit * unit) <= one.rate + 1e-12, "bounds contradict")


@probe(3, "solve")
def solve_junk(dice: Dice) -> None:
    keys = dice.sample(("epsilon", "distortion", "rate", "tol", "start"), dice.randint(0, 3))
    check_solution(heatrd.solve(any_source(dice), **{key: dice.say(key, dice.junk()) for key in keys}))


@probe(5, "certify", "Certified", "as_law")
def certify(dice: Dice) -> None:
    source = line_source(dice) if dice.chance(0.8) else plane_source(dice)
    size, unit = dice.randint(1, 8), math.sqrt(spread(source))
    shape = (size,) if source.dim == 1 and dice.chance(0.7) else (size, source.dim)
    points, weights = dice.array("points", shape, scale=unit), dice.weights("weights", size)
    epsilon = dice.number("epsilon", lambda: dice.log_uniform(0.1, 2) * unit**2)
    judged = heatrd.certify(source, points, weights, epsilon, repair=dice.say("repair", dice.chance(0.3)))
    require(judged.lagrangian_lower <= judged.lagrangian, "bounds not ordered")
    require(judged.log_sup >= -1e-8, f"sup c below one: {judged.log_sup!r}")
    if dice.chance(0.3):
        best = heatrd.solve(source, epsilon=epsilon, tol=1e-3)
        check_overlap(
            (best.lagrangian_lower, best.lagrangian), (judged.lagrangian_lower, judged.lagrangian), slack=1e-9
        )


@probe(3, "blahut_arimoto")
def blahut(dice: Dice) -> None:
    source = line_source(dice) if dice.chance(0.8) else any_source(dice)
    epsilon = dice.number("epsilon", lambda: dice.log_uniform(0.2, 2) * spread(source))
    options: dict[str, Any] = {}
    if dice.chance(0.4):
        options["points"] = dice.array("points", (dice.randint(1, 6),), scale=math.sqrt(spread(source)))
    if dice.chance(0.3):
        options["weights"] = dice.weights("weights", dice.randint(1, 6))
    if dice.chance(0.2):
        options["spacing"] = dice.number("spacing", lambda: 0.5)
    result = heatrd.blahut_arimoto(source, epsilon, dice.number("iterations", lambda: dice.randint(1, 20)), **options)
    require(result.certificate.lagrangian_lower <= result.certificate.lagrangian, "bounds not ordered")
    finite(result.law.weights, "weights")
