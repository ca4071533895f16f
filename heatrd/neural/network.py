"""The control network in posterior-mean form: a correction to the posterior of an explicit law.

The optimal control is u = ε∇log φ_t = (E[Y | X_t = x] − x)/(1−t), φ_t = G_{ε(1−t)} ∗ ν (DESIGN (4)), so the network
learns the posterior mean. `heatrd.neural.terminal.GaussianMixtureLaw` has that of its own ν in closed form, mean m₀ and
variance g₀τ with τ = ε(1−t), and the network corrects both:

    m_θ(x, t, ε) = m₀ + c (b_θ + a_θ ⊙ x̂),     g_θ = g₀ exp(h_θ),     x̂ = x/√Var X_t,     c² = λτ/(λ + τ),

with λ the source's eigenvalues and a_θ, b_θ, h_θ zero at the start: where the law is right from the start (Gaussian
sources), so is the control. The posterior variance g_θ, in units of τ, sets the noise of a finite step
(`heatrd.neural.rollout`).
"""

from __future__ import annotations

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from heatrd.neural.layers import Affine, affine, centred_log

__all__ = ["ControlNetwork", "skip_variance"]

Array = jax.Array

GATE_FLOOR = 1e-4
GATE_SPAN = 5.0
CONDITION_WIDTH = 32
HARMONICS = 3
WAVES = 16
WAVES_UP_TO_DIM = 3


def skip_variance(eigenvalues: Any, epsilon: Any) -> Any:
    """v = (λ − ε)₊, the Gaussian source's reconstruction variances, shape (..., d) for ε of shape (..., 1)."""
    return jnp.maximum(eigenvalues - epsilon, 0.0)


class ControlNetwork(eqx.Module):
    """The corrections a_θ, b_θ, h_θ for groups of points that share an ε.

    All arrays are float32. ``frozen`` leaves (eigenvalues, waves, ranges) carry no gradient.
    """

    eigenvalues: Array
    waves: Array
    log_epsilon_range: Array
    log_last: Array
    condition_in: Affine
    condition_out: list[Affine]
    lift: Affine
    hidden: list[Affine]
    readout: Affine
    width: int = eqx.field(static=True)

    def __init__(
        self,
        eigenvalues: np.ndarray,
        epsilon_range: tuple[float, float],
        last: float,
        width: int,
        depth: int,
        rng: np.random.Generator,
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
        rng : numpy Generator
            Draws the weights.
        """
        d = int(eigenvalues.size)
        n_waves = WAVES if d <= WAVES_UP_TO_DIM else 0
        self.eigenvalues = jnp.asarray(eigenvalues, jnp.float32)
        self.waves = jnp.asarray(_waves(d, n_waves, rng), jnp.float32)
        self.log_epsilon_range = jnp.asarray(np.log(epsilon_range), jnp.float32)
        self.log_last = jnp.asarray(np.log(last), jnp.float32)
        self.condition_in = affine(2 * (1 + 2 * HARMONICS), CONDITION_WIDTH, rng)
        self.condition_out = [affine(CONDITION_WIDTH, 2 * width, rng, gain=0.1) for _ in range(depth)]
        self.lift = affine(d + 1 + 2 * n_waves, width, rng)
        self.hidden = [affine(width, width, rng) for _ in range(depth - 1)]
        self.readout = affine(width, 3 * d, rng, gain=0.0)
        self.width = width

    @property
    def dim(self) -> int:
        return int(self.eigenvalues.shape[0])

    def __call__(self, x: Array, t: Array, epsilon: Array, mean: Array, gate: Array) -> tuple[Array, Array]:
        """Return m and g, both (E, B, d): ``mean`` m₀ and ``gate`` g₀ at ``x`` (E, B, d), corrected.

        ``t`` is () or (E,), ``epsilon`` (E,).
        """
        lam = jax.lax.stop_gradient(self.eigenvalues)
        t = jnp.broadcast_to(t, epsilon.shape)
        eps, t_row = epsilon[:, None], t[:, None]
        tau = eps * jnp.maximum(1.0 - t_row, 1e-9)
        v = skip_variance(lam, eps)
        scaled = x / jnp.sqrt(_path_variance(lam, v, eps, t_row))[:, None, :]
        b, a, h = jnp.split(self._body(scaled, self._condition(t, epsilon)), 3, axis=-1)
        correction = jnp.sqrt(lam * tau / (lam + tau))[:, None, :] * (b + a * scaled)
        return mean + correction, jnp.maximum(gate, GATE_FLOOR) * jnp.exp(GATE_SPAN * jnp.tanh(h / GATE_SPAN))

    def _condition(self, t: Array, epsilon: Array) -> Array:
        """Features of (t, ε) after one layer, (E, CONDITION_WIDTH)."""
        e = centred_log(epsilon, self.log_epsilon_range)
        last = jax.lax.stop_gradient(self.log_last)
        s = 2 * jnp.clip(jnp.log(jnp.maximum(1.0 - t, 1e-9)) / last, 0.0, 1.0) - 1
        features = _harmonics(jnp.stack([e, s], axis=-1))
        return jax.nn.silu(self.condition_in(features))

    def _body(self, scaled: Array, condition: Array) -> Array:
        """A residual perceptron whose layers are scaled and shifted by the condition, (E, B, 3d)."""
        h = self.lift(self._features(scaled))
        g = h
        for i, modulation in enumerate(self.condition_out):
            gain, shift = jnp.split(modulation(condition)[:, None, :], 2, axis=-1)
            g = jax.nn.silu(h * (1 + gain) + shift)
            if i < len(self.hidden):
                h = h + self.hidden[i](g)
        return self.readout(g)

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


def _waves(d: int, n: int, rng: np.random.Generator) -> np.ndarray:
    """Random directions with wave numbers from 0.5 to 10 per standard deviation, (d, n)."""
    directions = rng.normal(size=(d, n))
    return directions / np.linalg.norm(directions, axis=0) * np.geomspace(0.5, 10.0, n)
