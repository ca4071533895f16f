"""The account by integrals over x of the density path and the control, and the rules in x."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from heatrd.bridge import SchrodingerBridge
from heatrd.tec.account import Terms
from heatrd.tec.times import time_rule

__all__ = ["bridge_cubature", "by_quadrature", "line_cubature", "path_cubature"]

FloatArray = NDArray[np.float64]
Cubature = Callable[[float], tuple[FloatArray, FloatArray]]

_LINE_POINTS, _PLANE_POINTS = 50_000, 160


def by_quadrature(path: Any, grid: FloatArray, cubature: Cubature, atomic: bool | None) -> Terms:
    """Integrals over x at Gauss–Legendre times; ``cubature(t)`` gives points (n, d) and weights that carry ρ_t."""
    nodes, weights, ends = time_rule(grid, bool(atomic), path.dim == 1)
    eps, root = path.epsilon, np.sqrt(2 * path.epsilon)
    energy_rate, excess_rate = np.empty(len(nodes)), np.empty(len(nodes))
    for k, t in enumerate(nodes):
        x, w = cubature(float(t))
        u = path.control(t, x)
        energy_rate[k] = w @ ((u / root) ** 2).sum(axis=1)
        excess_rate[k] = w @ (((u - eps * path.score(t, x)) / root) ** 2).sum(axis=1)
    energies = np.cumsum(weights * energy_rate)[np.array(ends) - 1]
    excesses = np.cumsum(weights * excess_rate)[np.array(ends) - 1]
    entropies = np.empty(len(grid))
    for k, s in enumerate(grid):
        x, w = cubature(float(s))
        entropies[k] = -w @ path.log_density(s, x)
    return Terms("quadrature", grid, energies, entropies, energies + entropies, excesses, np.zeros((4, len(grid))))


def line_cubature(bridge: SchrodingerBridge) -> Cubature:
    """Trapezoidal rule in x, spaced for a density smoothed over √(εt(1−t)) and controls varying over ε(1−t)."""
    live = np.concatenate(
        [
            bridge.mu.points[bridge.mu.weights > 1e-16, 0],
            bridge.reconstruction.points[bridge.reconstruction.weights > 1e-16, 0],
        ]
    )
    low, high = live.min(), live.max()
    span = np.ptp(bridge.reconstruction.points[:, 0]) / max(bridge.reconstruction.size - 1, 1)

    def points_and_weights(t: float) -> tuple[FloatArray, FloatArray]:
        late = 1.0 - t if bridge.atomic else 1.0
        spread = np.sqrt(bridge.epsilon * t * late)
        step = min(0.4 * spread, 0.5 * bridge.epsilon * late / max(span, 1e-3 * np.sqrt(bridge.epsilon)))
        slack = 9.0 * np.sqrt(bridge.epsilon * t * (1.0 - t)) + 4 * step
        count = int(np.clip(np.ceil((high - low + 2 * slack) / step), 64, _LINE_POINTS))
        x, step = np.linspace(low - slack, high + slack, count + 1, retstep=True)
        density = bridge.density(t, x)
        keep = density > 1e-25
        return x[keep, None], density[keep] * step

    return points_and_weights


def bridge_cubature(bridge: SchrodingerBridge) -> Cubature:
    def points_and_weights(t: float) -> tuple[FloatArray, FloatArray]:
        law = bridge.quadrature(t)
        return law.points, law.weights

    return points_and_weights


def path_cubature(path: Any) -> Cubature:
    """Trapezoidal rule over the box of a heat path: its densities are smooth and vanish at the walls."""
    count = {1: 2000, 2: _PLANE_POINTS, 3: 64}[path.dim]
    axes = [np.linspace(low, high, count) for low, high in path.grid.walls]
    cell = float(np.prod([axis[1] - axis[0] for axis in axes]))
    x = np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1).reshape(-1, path.dim)

    def points_and_weights(t: float) -> tuple[FloatArray, FloatArray]:
        density = np.asarray(path.density(t, x)).reshape(len(x))
        keep = density > 1e-18 * density.max()
        return x[keep], density[keep] * cell

    return points_and_weights
