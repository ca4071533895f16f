"""Affine layers with NumPy-drawn weights: building a network compiles nothing."""

from __future__ import annotations

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

__all__ = ["Affine", "affine", "centred_log"]

Array = jax.Array


class Affine(eqx.Module):
    """x ↦ x Wᵀ + b over the last axis."""

    weight: Array
    bias: Array

    def __call__(self, x: Array) -> Array:
        return x @ self.weight.T + self.bias


def affine(n_in: int, n_out: int, rng: np.random.Generator, *, gain: float = 1.0) -> Affine:
    """Weights and biases uniform on ±gain/√n_in, float32."""
    bound = gain / np.sqrt(n_in)
    weight = rng.uniform(-bound, bound, size=(n_out, n_in)) if gain else np.zeros((n_out, n_in))
    bias = rng.uniform(-bound, bound, size=n_out) if gain else np.zeros(n_out)
    return Affine(jnp.asarray(weight, jnp.float32), jnp.asarray(bias, jnp.float32))


def centred_log(epsilon: Array, log_range: Array) -> Array:
    """log ε mapped to [−1, 1] over its range; carries no gradient to the range."""
    low, high = jax.lax.stop_gradient((log_range[0], log_range[1]))
    return (2 * jnp.log(epsilon) - low - high) / jnp.maximum(high - low, 1e-3)
