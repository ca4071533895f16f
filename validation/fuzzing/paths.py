"""Probes of bridges, transport, sampled paths and accounts."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

import heatrd
from validation.fuzzing.dice import Dice
from validation.fuzzing.laws import line_source, plane_source
from validation.fuzzing.probes import affordable, finite, probe, require, spread


def solved(dice: Dice) -> Any:
    source = line_source(dice) if dice.chance(0.85) else plane_source(dice)
    return heatrd.solve(source, epsilon=affordable(dice, source), tol=1e-4)


@probe(4, "SchrodingerBridge", "Solution")
def bridge(dice: Dice) -> None:
    solution = solved(dice)
    bridge, unit = solution.bridge, math.sqrt(spread(solution.source))
    name = dice.say(
        "method",
        dice.choice(
            (
                "density",
                "control",
                "potential",
                "copotential",
                "score",
                "posterior_mean",
                "velocity",
                "log_density",
                "backward_control",
            )
        ),
    )
    d = solution.source.dim
    x = dice.array("x", (5,) if d == 1 and dice.chance(0.3) else (5, d), scale=unit)
    values = getattr(bridge, name)(dice.number("t", dice.random), x)
    require(not np.isnan(values).any(), f"{name} is nan: {values!r}")


def _balanced(points: Any, weights: Any) -> Any:
    """A marginal, of mass one where its weights can be normalised."""
    if weights is None:
        return points
    total = np.sum(weights) if isinstance(weights, np.ndarray) and weights.dtype.kind == "f" else 0.0
    return points, weights / total if np.isfinite(total) and total > 0 else weights


@probe(10, "sinkhorn", "sinkhorn_divergence")
def transport(dice: Dice) -> None:
    n, m, d = dice.randint(1, 12), dice.randint(1, 12), dice.choice((1, 1, 2))
    unit = dice.scale()
    first = (dice.array("x", (n, d), 0.2, unit), dice.weights("mu", n, 0.2))
    second = (dice.array("y", (m, d), 0.2, unit), dice.weights("nu", m, 0.2))
    mu, nu = (_balanced(*law) for law in (first, second))
    if dice.chance(0.15):
        nu = dice.say("nu", dice.junk())
    epsilon = dice.number("epsilon", lambda: dice.log_uniform(0.05, 5) * unit**2)
    options: dict[str, Any] = {"max_iterations": 300}
    if dice.chance(0.2):
        options["acceleration"] = dice.word("acceleration", ("auto", "none", "newton", "anderson", "over-relaxation"))
    if dice.chance(0.2):
        options[dice.choice(("tol", "annealing", "max_iterations", "dense_limit"))] = dice.say("option", dice.junk())
    if dice.say("divergence", dice.chance(0.3)):
        value = heatrd.sinkhorn_divergence(mu, nu, epsilon, **options)
        require(not math.isnan(value), "divergence is nan")
        return
    plan = heatrd.sinkhorn(mu, nu, epsilon, **options)
    allowed = max(1e-6, float(options.get("tol", 0.0)))
    require(not math.isnan(plan.cost) and plan.marginal_error <= allowed, f"marginal error {plan.marginal_error!r}")


@probe(4, "sample", "Ensemble")
def paths(dice: Dice) -> None:
    solution = solved(dice)
    control = solution if dice.chance(0.5) else solution.bridge
    if dice.chance(0.1):
        control = dice.say(
            "control", dice.choice((dice.junk(), lambda t, x: -x, lambda t, x: x * math.nan, lambda t, x: x[:1]))
        )
    options: dict[str, Any] = {"rng": dice.choice((0, 7)), "threads": 1}
    for key, known in (
        ("scheme", ("auto", "exact", "euler", "exponential", "heun")),
        ("save", (True, False)),
        ("curve", (True, False)),
        ("antithetic", (True, False)),
        ("quasi", (True, False)),
        ("table", (True, False, 64)),
        ("initial", (solution.source,)),
    ):
        if dice.chance(0.2):
            options[key] = dice.word(key, known)
    for key, good in (("until", 0.5), ("epsilon", 0.3)):
        if dice.chance(0.15):
            options[key] = dice.number(key, lambda good=good: good, 0.5)
    if dice.chance(0.1):
        options["times"] = dice.array("times", (4,), 0.5)
    n = dice.number("n_paths", lambda: dice.choice((1, 16, 100)), 0.15)
    k = dice.number("n_steps", lambda: dice.choice((1, 5, 20)), 0.15)
    ensemble = heatrd.sample(control, n, k, **options)
    finite([float(ensemble.energy), float(ensemble.distortion)], "energy and distortion")


@probe(2, "tec_account", "TECAccount")
def account(dice: Dice) -> None:
    solution = solved(dice)
    options: dict[str, Any] = {"n_paths": 64, "n_steps": 10}
    if dice.chance(0.4):
        options["method"] = dice.word("method", ("auto", "potentials", "quadrature", "paths"))
    for key, good in (("until", 0.5), ("optimum", 1.0), ("n_paths", 32)):
        if dice.chance(0.2):
            options[key] = dice.number(key, lambda good=good: good, 0.5)
    if dice.chance(0.1):
        options["times"] = dice.array("times", (3,), 0.5)
    result = heatrd.tec_account(solution, **options)
    require(not np.isnan([float(result.energy), float(result.total)]).any(), "account is nan")
