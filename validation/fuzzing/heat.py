"""Probes of the heat equation, backward and forward."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

import heatrd
from heatrd import grids, heat
from validation.fuzzing.dice import Dice
from validation.fuzzing.laws import any_source, line_source
from validation.fuzzing.probes import probe, require, spread


@probe(3, "backward_heat", "HeatPath")
def backward(dice: Dice) -> None:
    source = line_source(dice) if dice.chance(0.7) else any_source(dice)
    epsilon = dice.number("epsilon", lambda: dice.log_uniform(0.01, 0.3) * spread(source))
    options: dict[str, Any] = {}
    if dice.chance(0.3):
        options["method"] = dice.word("method", ("auto", "closed-form", "spectral", "positive", "finite-difference"))
    if dice.chance(0.3):
        unit = math.sqrt(spread(source))
        options["grid"] = dice.array("grid", (9,)) if dice.chance(0.3) else np.linspace(-8 * unit, 8 * unit, 64)
    if dice.chance(0.15):
        options["noise"] = dice.number("noise", lambda: 1e-6, 0.7)
    path = heatrd.backward_heat(source, epsilon, **options)
    t = dice.number("t", dice.random)
    x = dice.array("x", (4,) if path.dim == 1 else (4, path.dim), scale=math.sqrt(spread(path.source)))
    density = path.density(t, x)
    require(not np.isnan(density).any() and (np.asarray(density) >= 0).all(), f"density {density!r}")
    require(not np.isnan(path.control(t, x)).any(), "control is nan")


@probe(5, "grids", "heat")
def forward(dice: Dice) -> None:
    if dice.chance(0.5):
        grid = grids.as_grid(dice.array("axis", (dice.choice((2, 5, 30)),), 0.6))
    else:
        junk = [dice.number(name, lambda v=v: v, 0.3) for name, v in (("low", -1.0), ("high", 1.0), ("shape", 20))]
        grid = grids.Grid.uniform(*junk)
    require(grid.size >= 2, "grid")
    if grid.size <= 2000 and grid.dim == 1:
        rho = dice.array("rho", grid.shape)
        scheme = dice.word("scheme", heat.SCHEMES)
        boundary = dice.word("boundary", grids.BOUNDARIES)
        flow = heat.heat_flow(rho, grid, dice.number("time", lambda: 0.1), scheme=scheme, boundary=boundary)
        repr(flow)
