"""The control network in posterior-mean form, with a Gaussian skip that is exact for Gaussian sources.

The optimal control is u = ε∇log φ_t = (E[Y | X_t = x] − x)/(1−t), φ_t = G_{ε(1−t)} ∗ ν (DESIGN (4)), so the network learns the
posterior mean. In standard coordinates, with λ the source's eigenvalues, a Gaussian source has ν = N(0, diag v),
v = (λ − ε)₊ (reverse water-filling), and with τ = ε(1−t)

    E[Y | x] = s x,      Var[Y | x] = τ s,      s = v/(v + τ).

Any other source is a correction to this:

    m_θ(x, t, ε) = s x + c (b_θ + a_θ ⊙ x̂),     x̂ = x/√Var X_t,     c² = λτ/(λ + τ),

with a_θ, b_θ zero at the start: a Gaussian source is solved exactly before the first training step. A third head g_θ ∈ (0, 1)
is the posterior variance in units of τ, s at the start. It sets the noise of a finite step (`heatrd.neural.rollout`).
"""

from __future__ import annotations

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

__all__ = ["ControlNetwork", "skip_variance"]

Array = jax.Array

GATE_FLOOR = 1e-4
CONDITION_WIDTH = 32
HARMONICS = 3
WAVES = 16
WAVES_UP_TO_DIM = 3


def skip_variance(eigenvalues: Any, epsilon: Any) -> Any:
    """v = (λ − ε)₊, the Gaussian source's reconstruction variances, shape (..., d) for ε of shape (..., 1)."""
    return jnp.maximum(eigenvalues - epsilon, 0.0)


class ControlNetwork(eqx.Module):
    """m_θ and g_θ for groups of points that share an ε.

    All arrays are float32. ``frozen`` leaves (eigenvalues, waves, ranges) carry no gradient.
    """

    eigenvalues: Array
    waves: Array
    log_epsilon_range: Array
    log_last: Array
    condition_in: eqx.nn.Linear
    condition_out: list[eqx.nn.Linear]
    lift: eqx.nn.Linear
    hidden: list[eqx.nn.Linear]
    readout: eqx.nn.Linear
    width: int = eqx.field(static=True)

    def __init__(
        self, eigenvalues: np.ndarray, epsilon_range: tuple[float, float], last: float, width: int, depth: int, key: Array
    ) -> None:
        """Build for standard coordinates.

        Parameters
        ----------
        eigenvalues : (d,) array
            λ in standard coordinates.
        epsilon_range : (float, float)
            Range of ε in standard coordinates.
        last : float
            1 − t at the last grid point, the smallest time to go that is trained.
        width, depth : int
            Units per hidden layer, number of hidden layers.
        key : jax key
        """
        d = int(eigenvalues.size)
        keys = jax.random.split(key, 4 + 2 * depth)
        n_waves = WAVES if d <= WAVES_UP_TO_DIM else 0
        self.eigenvalues = jnp.asarray(eigenvalues, jnp.float32)
        self.waves = _waves(d, n_waves, keys[0])
        self.log_epsilon_range = jnp.log(jnp.asarray(epsilon_range, jnp.float32))
        self.log_last = jnp.log(jnp.float32(last))
        n_condition = 2 * (1 + 2 * HARMONICS)
        self.condition_in = _linear(n_condition, CONDITION_WIDTH, keys[1])
        self.condition_out = [
            _scaled(_linear(CONDITION_WIDTH, 2 * width, k), 0.1) for k in keys[4 : 4 + depth]
        ]
        self.lift = _linear(d + 1 + 2 * n_waves, width, keys[2])
        self.hidden = [_linear(width, width, k) for k in keys[4 + depth : 4 + 2 * depth - 1]]
        self.readout = _scaled(_linear(width, 3 * d, keys[3]), 0.0)
        self.width = width

    @property
    def dim(self) -> int:
        return int(self.eigenvalues.shape[0])

    def __call__(self, x: Array, t: Array, epsilon: Array) -> tuple[Array, Array]:
        """Return (m, g) at the points ``x`` (E, B, d), at one time ``t`` (), for ``epsilon`` (E,); both (E, B, d)."""
        lam = jax.lax.stop_gradient(self.eigenvalues)
        eps = epsilon[:, None]
        tau = eps * jnp.maximum(1.0 - t, 1e-9)
        v = skip_variance(lam, eps)
        skip = v / (v + tau)
        scaled = x / jnp.sqrt(_path_variance(lam, v, eps, t))[:, None, :]
        b, a, logit = jnp.split(self._body(scaled, self._condition(t, epsilon)), 3, axis=-1)
        correction = jnp.sqrt(lam * tau / (lam + tau))[:, None, :] * (b + a * scaled)
        gate = jnp.clip(skip, GATE_FLOOR, 1 - GATE_FLOOR)
        gate = jax.nn.sigmoid(jnp.log(gate / (1 - gate))[:, None, :] + logit)
        return skip[:, None, :] * x + correction, gate

    def _condition(self, t: Array, epsilon: Array) -> Array:
        """Features of (t, ε) after one layer, (E, CONDITION_WIDTH)."""
        low, high = jax.lax.stop_gradient((self.log_epsilon_range[0], self.log_epsilon_range[1]))
        e = (2 * jnp.log(epsilon) - low - high) / jnp.maximum(high - low, 1e-3)
        last = jax.lax.stop_gradient(self.log_last)
        s = 2 * jnp.clip(jnp.log(jnp.maximum(1.0 - t, 1e-9)) / last, 0.0, 1.0) - 1
        features = _harmonics(jnp.stack([e, jnp.broadcast_to(s, e.shape)], axis=-1))
        return jax.nn.silu(_apply(self.condition_in, features))

    def _body(self, scaled: Array, condition: Array) -> Array:
        """A residual perceptron whose layers are scaled and shifted by the condition, (E, B, 3d)."""
        h = _apply(self.lift, self._features(scaled))
        g = h
        for i, modulation in enumerate(self.condition_out):
            gain, shift = jnp.split(_apply(modulation, condition)[:, None, :], 2, axis=-1)
            g = jax.nn.silu(h * (1 + gain) + shift)
            if i < len(self.hidden):
                h = h + _apply(self.hidden[i], g)
        return _apply(self.readout, g)

    def _features(self, scaled: Array) -> Array:
        d = scaled.shape[-1]
        radius = (jnp.mean(scaled**2, axis=-1, keepdims=True) - 1.0) * np.sqrt(d / 2)
        parts = [jnp.clip(scaled, -8.0, 8.0), jnp.clip(radius, -4.0, 8.0)]
        if self.waves.shape[1]:
            phase = scaled @ jax.lax.stop_gradient(self.waves)
            parts += [jnp.sin(phase), jnp.cos(phase)]
        return jnp.concatenate(parts, axis=-1)


def _path_variance(lam: Array, v: Array, eps: Array, t: Array) -> Array:
    """Var X_t of the Gaussian bridge: X_t = (1−t)X_0 + tY + √(εt(1−t))·noise, E[Y|X_0] = aX_0, a = v/(v+ε)."""
    a = v / (v + eps)
    y = a**2 * lam + v * (1 - a)
    return (1 - t) ** 2 * lam + 2 * t * (1 - t) * a * lam + t**2 * y + eps * t * (1 - t) + 1e-12


def _harmonics(x: Array) -> Array:
    """x, sin(kπx/2), cos(kπx/2) for k = 1, …, HARMONICS, flattened over the last axis."""
    parts = [x]
    for k in range(1, HARMONICS + 1):
        parts += [jnp.sin(0.5 * np.pi * k * x), jnp.cos(0.5 * np.pi * k * x)]
    return jnp.concatenate(parts, axis=-1)


def _waves(d: int, n: int, key: Array) -> Array:
    """Random directions with wave numbers from 0.5 to 10 per standard deviation, (d, n)."""
    directions = jax.random.normal(key, (d, n), jnp.float32)
    directions = directions / jnp.maximum(jnp.linalg.norm(directions, axis=0), 1e-6)
    return directions * jnp.geomspace(0.5, 10.0, n, dtype=jnp.float32) if n else directions


def _linear(n_in: int, n_out: int, key: Array) -> eqx.nn.Linear:
    return eqx.nn.Linear(n_in, n_out, key=key, dtype=jnp.float32)


def _scaled(layer: eqx.nn.Linear, factor: float) -> eqx.nn.Linear:
    return jax.tree.map(lambda leaf: leaf * factor, layer)


def _apply(layer: eqx.nn.Linear, x: Array) -> Array:
    assert layer.bias is not None
    return x @ layer.weight.T + layer.bias
