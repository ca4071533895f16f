"""Probes of sources from samples, tables and names."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

import heatrd
from heatrd import sources
from heatrd.testing import check_solution
from validation.fuzzing.dice import Dice
from validation.fuzzing.laws import any_source
from validation.fuzzing.probes import affordable, finite, probe, require


@probe(8, "from_samples", "sources")
def samples(dice: Dice) -> None:
    size = dice.choice((0, 1, 2, 3, 30, 200))
    shape = (size,) if dice.chance(0.7) else (size, dice.choice((1, 2, 3)))
    x = dice.array("x", shape, scale=dice.scale())
    options: dict[str, Any] = {"method": dice.word("method", ("atoms", "kde"))}
    if dice.chance(0.4):
        options["bandwidth"] = dice.number("bandwidth", lambda: dice.choice(("silverman", "scott", 0.3, 1.0)))
    if dice.chance(0.3):
        options["weights"] = dice.weights("weights", size)
    source = heatrd.from_samples(x, **options)
    if source.dim == 1 or (len(np.shape(x)) and size <= 3):
        check_solution(heatrd.solve(source, epsilon=affordable(dice, source), tol=1e-4))


@probe(15, "from_grid", "sources")
def table(dice: Dice) -> None:
    d = dice.choice((1, 1, 1, 2, 3))
    sizes = tuple(dice.choice((1, 2, 3, 6, 6, 9)) for _ in range(d))
    unit = dice.scale()
    axes = [unit * np.cumsum(dice.numpy.uniform(0.1, 1, n)) for n in sizes]
    if dice.chance(0.25):
        axes[0] = (
            np.sort(dice.array("axis", (sizes[0],), 0.0)) if dice.chance(0.5) else dice.array("axis", (sizes[0],), 0.7)
        )
    heights = np.abs(dice.numpy.standard_normal(sizes)) + 0.01
    density = dice.array("density", sizes, 0.7) if dice.chance(0.4) else dice.say("density", heights)
    coords = dice.say("coords", axes[0] if d == 1 else tuple(axes))
    source = heatrd.from_grid(coords, density, normalize=dice.say("normalize", dice.chance(0.8)))
    points = source.sample(5, 0)
    require(points.shape == (5, d) and np.isfinite(points).all(), "samples")
    if d == 1:
        check_solution(heatrd.solve(source, epsilon=affordable(dice, source), tol=1e-4))


@probe(4, "as_source", "Source", "sources")
def ask_a_source(dice: Dice) -> None:
    source = heatrd.as_source(any_source(dice))
    repr(source)
    require(
        source.mean.shape == (source.dim,) and source.covariance.shape == (source.dim, source.dim), "shapes of moments"
    )
    draws = source.sample(7, 1)
    require(draws.shape == (7, source.dim), f"samples of shape {draws.shape}")
    finite(draws, "samples")
    with np.errstate(over="ignore"):  # the probe's own product
        wide = np.nan_to_num(draws * 1e3)
    values = source.log_density(np.concatenate([draws, wide]))
    require(values.shape == (14,) and not np.isnan(values).any(), f"log-density {values!r}")
    entropy = source.entropy()
    require(entropy is None or not math.isnan(entropy), "entropy is nan")
    if isinstance(source, sources.Source1D):
        low, high = source.tail_cut(1e-9)
        require(low <= high, f"tail cut ({low!r}, {high!r})")
        p = source.cdf(np.array([low, draws[0, 0], high]))
        require(((p >= 0) & (p <= 1)).all() and (np.diff(np.sort(p)) >= 0).all(), f"distribution function {p!r}")
