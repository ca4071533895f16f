"""The account of a Schrödinger bridge: three expectations of its potentials, or exact paths."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from heatrd.bridge import ProductBridge, SchrodingerBridge
from heatrd.sampler import Estimate, sample
from heatrd.sampler.ensemble import block_estimate
from heatrd.tec.account import Terms
from heatrd.tec.entropies import entropy_of, mean
from heatrd.tec.quadrature import bridge_cubature, by_quadrature, line_cubature
from heatrd.tec.times import report_times, time_rule

__all__ = ["SPACE_PATHS", "of_bridge"]

FloatArray = NDArray[np.float64]

LINE_PATHS = 1 << 15
SPACE_PATHS = 1 << 18
_LAST_ATOMIC = 0.95


def of_bridge(
    bridge: SchrodingerBridge, method: str, times: ArrayLike | None, until: float | None, n_paths: int | None, rng: Any
) -> Terms:
    if isinstance(bridge, ProductBridge) and method != "paths":
        return _of_product(bridge, method, times, until)
    atomic = bridge.atomic
    if method in ("auto", "potentials"):
        return _potentials(bridge, report_times(times, until, atomic, 1.0))
    last = _LAST_ATOMIC if atomic else 1.0
    if bridge.dim > 1 and times is None:  # every report costs a pass over the source's nodes
        times = [last if until is None else until]
    grid = report_times(times, until, atomic, last)
    if method == "paths":
        return _paths(bridge, grid, n_paths or (LINE_PATHS if bridge.dim == 1 else SPACE_PATHS), rng)
    terms = by_quadrature(bridge, grid, line_cubature(bridge) if bridge.dim == 1 else bridge_cubature(bridge), atomic)
    if not np.isfinite(entropy_of(bridge)):  # the rate is 1/2t at first, which no rule in t tells
        return replace(terms, excesses=np.full(len(grid), np.inf))
    return terms


def _of_product(bridge: ProductBridge, method: str, times: ArrayLike | None, until: float | None) -> Terms:
    """Independent blocks: every term is a sum over them, and equal blocks are one account."""
    quadrature = method == "quadrature"
    last = _LAST_ATOMIC if quadrature and bridge.atomic else 1.0
    if quadrature and times is None and max(factor.dim for factor in bridge.factors) > 1:
        times = [last if until is None else until]
    grid = report_times(times, until, bridge.atomic, last)
    known: dict[int, Terms] = {}
    for factor in bridge.factors:
        if id(factor) not in known:
            known[id(factor)] = of_bridge(factor, method, grid, None, None, None)
    parts = [known[id(factor)] for factor in bridge.factors]
    energies, entropies, totals, excesses = (
        np.sum([getattr(part, name) for part in parts], axis=0)
        for name in ("energies", "entropies", "totals", "excesses")
    )
    return Terms(parts[0].method, grid, energies, entropies, totals, excesses, np.zeros((4, len(grid))))


def _potentials(bridge: SchrodingerBridge, grid: FloatArray) -> Terms:
    start_phi = mean(bridge.mu, bridge.log_phi0)
    h0 = entropy_of(bridge)
    start_hat = -h0 - start_phi  # E log φ̂_0 = −h(X_0) − E log φ_0
    energies, entropies, totals = (np.empty(len(grid)) for _ in range(3))
    for k, s in enumerate(grid):
        law = bridge.quadrature(s)
        hat = float(law.weights @ bridge.log_copotential(s, law.points))
        if s == 1.0 and bridge.atomic:
            energies[k], entropies[k], totals[k] = np.inf, -np.inf, -start_phi - hat
            continue
        phi = float(law.weights @ bridge.log_potential(s, law.points))
        energies[k], entropies[k] = phi - start_phi, -phi - hat
        totals[k] = energies[k] + entropies[k]
    excesses = totals + start_phi + start_hat
    return Terms("potentials", grid, energies, entropies, totals, excesses, np.zeros((4, len(grid))))


def _paths(bridge: SchrodingerBridge, grid: FloatArray, n_paths: int, rng: Any) -> Terms:
    """Exact paths at Gauss–Legendre times: the time integral has no bias worth the name."""
    nodes, weights, ends = time_rule(grid, bridge.atomic, False)
    ticks = np.unique(np.concatenate([[0.0], nodes, grid]))
    run = sample(bridge, n_paths, times=ticks, save=True, scheme="exact", quasi=True, rng=rng)
    assert run.paths is not None and run.saved_times is not None
    at = {float(t): run.paths[:, i] for i, t in enumerate(run.saved_times)}
    energy, used, eps = np.zeros(n_paths), 0, bridge.epsilon
    columns: list[list[Estimate]] = [[], [], [], []]
    first = _log_ratio(bridge, run.initial)
    for s, end in zip(grid, ends, strict=True):
        for t, w in zip(nodes[used:end], weights[used:end], strict=True):
            energy += w * ((bridge.control(t, at[float(t)]) / np.sqrt(2 * eps)) ** 2).sum(axis=1)
        used = end
        x = at[float(s)]
        hat = bridge.log_copotential(s, x)
        surprise = -bridge.log_potential(s, x) - hat
        for column, values in zip(columns, (energy, surprise, energy + surprise, first - hat), strict=True):
            column.append(block_estimate(values, run.block))
    values = np.array([[float(e) for e in column] for column in columns])
    stderr = np.array([[e.stderr for e in column] for column in columns])
    return Terms("paths", grid, values[0], values[1], values[2], values[3], stderr)


def _log_ratio(bridge: SchrodingerBridge, x: FloatArray) -> FloatArray:
    """log φ̂_0 = log μ/φ_0 at the starts; infinite where μ has no density, as is then the excess."""
    if bridge.source is None or not np.isfinite(entropy_of(bridge)):
        return np.full(len(x), np.inf)
    return np.asarray(bridge.source.log_density(x)) - bridge.log_potential(0.0, x)
