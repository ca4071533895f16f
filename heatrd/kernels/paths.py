"""One time step of many paths. Noise is handed in, so every kernel is deterministic.

A step of a scheme is x' = x + α₀ u + α₁ u' + α₂ (x̃ − x) + σ z with control values u = u_t(x), u' = u_{t'}(x̃), a
predictor x̃ and
standard normal z; which scheme it is lies in the numbers α, σ (see `heatrd.sampler`).
"""

from __future__ import annotations

from heatrd.kernels._jit import jit

__all__ = ["bridge_step", "correct", "predict", "table_energy", "table_step", "table_values"]


@jit
def table_step(x, table, low, per_cell, drift, sigma, noise, weight, energy):
    """x += drift·u(x) + sigma·noise, energy += weight·u(x)², u by linear interpolation in a uniform ``table``."""
    last = table.size - 2
    for i in range(x.size):
        place = (x[i] - low) * per_cell
        cell = int(min(max(place, 0.0), last))
        u = table[cell] + (place - cell) * (table[cell + 1] - table[cell])
        energy[i] += weight * u * u
        x[i] += drift * u + sigma * noise[i]


@jit
def table_values(x, table, low, per_cell, out):
    """Fill ``out`` (n,) with u(x) by linear interpolation, linear extrapolation outside."""
    last = table.size - 2
    for i in range(x.size):
        place = (x[i] - low) * per_cell
        cell = int(min(max(place, 0.0), last))
        out[i] = table[cell] + (place - cell) * (table[cell + 1] - table[cell])


@jit
def table_energy(x, table, low, per_cell, weight, energy):
    """energy += weight·u(x)² with u from the table."""
    last = table.size - 2
    for i in range(x.size):
        place = (x[i] - low) * per_cell
        cell = int(min(max(place, 0.0), last))
        u = table[cell] + (place - cell) * (table[cell + 1] - table[cell])
        energy[i] += weight * u * u


@jit
def predict(x, u, drift, sigma, noise, weight, energy):
    """x += drift·u + sigma·noise and energy += weight·‖u‖², arrays of shape (n, d)."""
    n, d = x.shape
    for i in range(n):
        square = 0.0
        for k in range(d):
            square += u[i, k] * u[i, k]
            x[i, k] += drift * u[i, k] + sigma * noise[i, k]
        energy[i] += weight * square


@jit
def correct(x, u, ahead, u_ahead, a0, a1, a2, sigma, noise, weight, energy):
    """x += a0·u + a1·u' + a2·(x̃ − x) + sigma·noise, energy += weight·(‖u‖² + ‖u'‖²)/2."""
    n, d = x.shape
    for i in range(n):
        square = 0.0
        for k in range(d):
            square += u[i, k] * u[i, k] + u_ahead[i, k] * u_ahead[i, k]
            x[i, k] += a0 * u[i, k] + a1 * u_ahead[i, k] + a2 * (ahead[i, k] - x[i, k]) + sigma * noise[i, k]
        energy[i] += 0.5 * weight * square


@jit
def bridge_step(x, end, fraction, sigma, noise):
    """x += fraction·(end − x) + sigma·noise: one step of a Brownian bridge pinned at ``end``."""
    n, d = x.shape
    for i in range(n):
        for k in range(d):
            x[i, k] += fraction * (end[i, k] - x[i, k]) + sigma * noise[i, k]
