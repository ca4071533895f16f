"""The account of any control on the line: the density path of its Euler chain."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from heatrd.bridge.nodes import source_nodes
from heatrd.sources import Source
from heatrd.tec.account import Terms

__all__ = ["of_chain"]

FloatArray = NDArray[np.float64]


def of_chain(control: Any, epsilon: float, initial: Any, grid: FloatArray, n_steps: int) -> Terms:
    """Density path of the Euler chain x' = x + uΔ + √(εΔ) z, by integrating its transition kernels on a lattice.

    Spacing 0.7√(εΔ) integrates them to rounding. Σ E‖u‖²Δ/2ε + h(X_s) is the chain's own account; the excess
    integral is that of the continuous-time
    formula, trapezoidal in t, so the two differ by O(Δ).
    """
    law = source_nodes(initial, 0.25 * epsilon / n_steps) if isinstance(initial, Source) else initial
    times = np.unique(np.concatenate([np.linspace(0, grid[-1], n_steps + 1), grid]))
    x, w = law.points[:, 0], law.weights
    spacing = 0.7 * np.sqrt(epsilon * np.diff(times).min())
    energy, excess, last_rate = 0.0, 0.0, None
    rows: list[tuple[float, float, float]] = []
    for t, end in pairwise(times):
        delta = end - t
        u = np.asarray(control(t, x[:, None]), dtype=np.float64).reshape(len(x))
        energy += delta * float(w @ u**2) / (2 * epsilon)
        mean, noise = x + delta * u, np.sqrt(epsilon * delta)
        heavy = w > 1e-18
        low, high = mean[heavy].min() - 8.5 * noise, mean[heavy].max() + 8.5 * noise
        x = np.arange(np.floor(low / spacing), np.ceil(high / spacing) + 1) * spacing
        density, slope = _push(x, mean[heavy], w[heavy], noise)
        w = density * spacing
        ahead = np.asarray(control(min(end, 1.0), x[:, None]), dtype=np.float64).reshape(len(x)) if end < 1 else None
        if ahead is not None:
            rate = float(w @ (ahead - epsilon * slope) ** 2) / (2 * epsilon)
            excess += delta * (rate if last_rate is None else 0.5 * (rate + last_rate))
            last_rate = rate
        elif last_rate is not None:
            excess += delta * last_rate
        if np.isclose(end, grid, rtol=0, atol=1e-14).any():
            live = density > 0
            rows.append((energy, -float(w[live] @ np.log(density[live])), excess))
    energies, entropies, excesses = np.array(rows).T
    return Terms("quadrature", grid, energies, entropies, energies + entropies, excesses, np.zeros((4, len(grid))))


def _push(x: FloatArray, mean: FloatArray, weight: FloatArray, noise: float) -> tuple[FloatArray, FloatArray]:
    """Density Σ w N(x; mean, noise²) and its score, a block of rows at a time."""
    density, slope = np.empty(len(x)), np.empty(len(x))
    rows = max(4_000_000 // len(mean), 1)
    for i in range(0, len(x), rows):
        z = (x[i : i + rows, None] - mean) / noise
        p = np.exp(-0.5 * z**2) * (weight / (np.sqrt(2 * np.pi) * noise))
        density[i : i + rows] = p.sum(axis=1)
        slope[i : i + rows] = -(p * z).sum(axis=1) / noise / np.maximum(density[i : i + rows], 1e-300)
    return density, slope
