"""Rollouts of the controlled chain and their exact cost against the Brownian chain.

Geometric time grid, 1 − t_k = δ^{k/N}, because φ_t has the scale √(ε(1−t)). A step from t to t′ = t + Δ draws

    X′ = X + (m − X)Δ/(1−t) + √(εΔr)·ξ,       r = (1−t′)/(1−t) + g·Δ/(1−t),

the two moments of the Schrödinger bridge's own transition (a Brownian bridge to Y with posterior mean m and variance
gε(1−t)), so that Gaussian sources have no discretisation error at any step; r → 1 as Δ → 0. Whatever m and g are, the
step costs

    KL = ‖m − X‖² Δ/(2ε(1−t)²) + ½ Σ_k (r_k − 1 − log r_k)

against the Brownian step N(X, εΔ). For every law ν and every s ≤ 1, with φ_s = G_{ε(1−s)} ∗ ν,

    L(ε) + (d/2)log(2πε) ≤ F(ν) + (d/2)log(2πε) ≤ E[KL over 0…s] − E log φ_s(X_s)              (Jensen)

with equality throughout at the optimum: no density of X_s itself is needed. At s = 0 this is F(ν), the objective of
particle and generator methods; at s = 1 it is energy plus cross-entropy.
"""

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from heatrd.neural.model import Model

__all__ = ["Grid", "Paths", "final_draw", "roll_out", "time_grid"]

Array = jax.Array


class Grid(NamedTuple):
    """The time grid: number of steps N, and 1 − t_N."""

    steps: int
    last: float


class Paths(NamedTuple):
    """Rolled-out paths of E groups of B points, on N + 1 times."""

    times: Array
    """(N + 1,)"""
    x: Array
    """(N + 1, E, B, d)"""
    cost: Array
    """(N + 1, E, B): accumulated KL, averaged over each step's own noise."""
    log_ratio: Array
    """(N + 1, E, B): accumulated log dP/dW along the path drawn; its mean is that of ``cost``."""
    mean: Array
    """(E, B, d): m at the last time."""
    gate: Array
    """(E, B, d): g at the last time."""


def time_grid(grid: Grid, shift: Array | float = 0.0) -> Array:
    """Times t_0 = 0 < … < t_N = 1 − last; interior points moved by ``shift`` ∈ [−½, ½] of a step."""
    k = jnp.arange(1, grid.steps, dtype=jnp.float32)
    interior = jnp.exp(np.float32(np.log(grid.last)) * (k + shift) / grid.steps)
    return 1.0 - jnp.concatenate([jnp.ones(1, jnp.float32), interior, jnp.full(1, grid.last, jnp.float32)])


def roll_out(model: Model, x0: Array, epsilon: Array, times: Array, key: Array) -> Paths:
    """Simulate from ``x0`` (E, B, d) at ``epsilon`` (E,); backpropagation recomputes the steps (checkpointing)."""
    eps, posterior = epsilon[:, None, None], model.posterior(epsilon)

    @jax.checkpoint
    def step(carry: tuple[Array, Array, Array], now: tuple[Array, Array, Array]) -> tuple[tuple, tuple]:
        x, cost, log_ratio = carry
        t, t_next, xi = now
        m, g = posterior(x, t)
        share = (t_next - t) / (1 - t)
        r = (1 - share) + g * share
        variance = eps * (t_next - t)
        move = share * (m - x)
        jump = move + jnp.sqrt(variance * r) * xi
        cost = cost + _sum(move**2) / (2 * variance[..., 0]) + 0.5 * _sum(r - 1 - jnp.log(r))
        log_ratio = log_ratio + 0.5 * _sum(jump**2 / variance - xi**2 - jnp.log(r))
        new = (x + jump, cost, log_ratio)
        return new, new

    zero = jnp.zeros(x0.shape[:2], jnp.float32)
    noise = jax.random.normal(key, (times.shape[0] - 1, *x0.shape), jnp.float32)
    (x_last, _, _), (x, cost, log_ratio) = jax.lax.scan(step, (x0, zero, zero), (times[:-1], times[1:], noise))
    mean, gate = posterior(x_last, times[-1])
    return Paths(
        times=times,
        x=jnp.concatenate([x0[None], x]),
        cost=jnp.concatenate([zero[None], cost]),
        log_ratio=jnp.concatenate([zero[None], log_ratio]),
        mean=mean,
        gate=gate,
    )


def final_draw(paths: Paths, epsilon: Array, key: Array) -> tuple[Array, Array, Array]:
    """Go from the last time to 1, X_1 ~ N(m, gε(1−t_N)): X_1 (E, B, d), the step's KL and its log dP/dW, (E, B)."""
    variance = (epsilon * (1 - paths.times[-1]))[:, None, None]
    xi = jax.random.normal(key, paths.mean.shape, jnp.float32)
    move = paths.mean - paths.x[-1]
    jump = move + jnp.sqrt(variance * paths.gate) * xi
    cost = _sum(move**2 / (2 * variance) + 0.5 * (paths.gate - 1 - jnp.log(paths.gate)))
    log_ratio = 0.5 * _sum(jump**2 / variance - xi**2 - jnp.log(paths.gate))
    return paths.x[-1] + jump, cost, log_ratio


def _sum(x: Array) -> Array:
    return jnp.sum(x, axis=-1)
