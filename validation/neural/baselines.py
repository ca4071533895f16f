"""The two particle methods R2D2 is compared with, own code. Nats; D = full squared error.

- **NERD** (Lei, Hassani, Saeedi Bidokhti 2022): a generator Y = g_ψ(Z), Z ~ N(0, I), trained on
  F̂ = −E_x log (1/M) Σ_j exp(−‖x − Y_j‖²/2ε), one training per ε; read out with M = 40 000 fresh generator samples.
- **WGD** (Yang, Eckstein, Nutz, Mandt 2023): M particles moved along the Wasserstein gradient of F, y ← y + η ε∇c(y),
  c(y) = E_x k(x−y)/Z(x), one run per ε.

Both laws are sums of M point masses, so neither can report a rate above log M nats. Like R2D2's bound, each is F(ν̂) at
held-out points.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax

Sampler = Callable[[int, np.random.Generator], np.ndarray]
BLOCK = 1 << 22


class Particles(NamedTuple):
    """A law of equal point masses (m, d) and the held-out F(ν̂) with its standard error, D and R = F − D/2ε."""

    points: np.ndarray
    lagrangian: float
    stderr: float
    distortion: float
    rate: float


def nerd(
    sample: Sampler,
    epsilon: float,
    *,
    seed: int = 0,
    steps: int = 1000,
    batch: int = 256,
    generated: int = 1024,
    latent: int = 8,
    width: int = 64,
    readout: int = 40_000,
    held_out: np.ndarray | None = None,
) -> Particles:
    """Train a three-layer generator with Adam (1e-3) and read F out with ``readout`` of its samples."""
    rng = np.random.default_rng(seed)
    x = sample(2048, rng)
    centre, scale, d = x.mean(axis=0), x.std(), x.shape[1]
    eps = epsilon / scale**2
    key = jax.random.key(seed)
    sizes = (latent, width, width, d)
    keys = jax.random.split(key, len(sizes))
    weights = [
        (jax.random.normal(k, (a, b)) * np.sqrt(2 / a), jnp.zeros(b)) for k, a, b in zip(keys, sizes[:-1], sizes[1:])
    ]

    def generate(weights, z):
        for w, b in weights[:-1]:
            z = jax.nn.leaky_relu(z @ w + b)
        return z @ weights[-1][0] + weights[-1][1]

    def loss(weights, x, z):
        y = generate(weights, z)
        square = jnp.sum(x**2, 1)[:, None] + jnp.sum(y**2, 1) - 2 * x @ y.T
        return -(jax.scipy.special.logsumexp(-square / (2 * eps), axis=1) - np.log(z.shape[0])).mean()

    optimiser = optax.adam(1e-3)
    state = optimiser.init(weights)

    @jax.jit
    def update(weights, state, x, key):
        gradient = jax.grad(loss)(weights, x, jax.random.normal(key, (generated, latent)))
        change, state = optimiser.update(gradient, state)
        return optax.apply_updates(weights, change), state

    for k in range(steps):
        batch_x = jnp.asarray((sample(batch, rng) - centre) / scale, jnp.float32)
        weights, state = update(weights, state, batch_x, jax.random.fold_in(key, k))
    y = generate(weights, jax.random.normal(jax.random.fold_in(key, steps), (readout, latent)))
    points = centre + scale * np.asarray(y, dtype=np.float64)
    return evaluate(points, sample(4096, np.random.default_rng((seed, 1))) if held_out is None else held_out, epsilon)


def wgd(
    sample: Sampler,
    epsilon: float,
    *,
    seed: int = 0,
    particles: int = 1024,
    steps: int = 1000,
    batch: int = 2048,
    rate: float = 0.3,
    held_out: np.ndarray | None = None,
) -> Particles:
    """Move ``particles`` by y ← y + η_k ε∇c(y), η_k decaying to a tenth, from draws of the source."""
    rng = np.random.default_rng(seed)
    y = jnp.asarray(sample(particles, rng), jnp.float32)

    @jax.jit
    def move(y, x, eta):
        square = jnp.sum(x**2, 1)[:, None] + jnp.sum(y**2, 1) - 2 * x @ y.T
        p = jax.nn.softmax(-square / (2 * epsilon), axis=1) * y.shape[0] / x.shape[0]
        return y + eta * (p.T @ x - p.sum(axis=0)[:, None] * y)

    for k in range(steps):
        y = move(y, jnp.asarray(sample(batch, rng), jnp.float32), rate * 0.1 ** (k / steps))
    points = np.asarray(y, dtype=np.float64)
    return evaluate(points, sample(4096, np.random.default_rng((seed, 1))) if held_out is None else held_out, epsilon)


def evaluate(points: np.ndarray, x: np.ndarray, epsilon: float) -> Particles:
    """F(ν̂) and D of equal masses on ``points`` (m, d) at the held-out ``x`` (n, d)."""
    values, distances = [], []
    rows = max(1, BLOCK // len(points))
    for start in range(0, len(x), rows):
        block = x[start : start + rows]
        square = (block**2).sum(axis=1)[:, None] + (points**2).sum(axis=1) - 2 * block @ points.T
        nearest = square.min(axis=1, keepdims=True)
        k = np.exp((nearest - square) / (2 * epsilon))
        values.append(nearest[:, 0] / (2 * epsilon) - np.log(k.mean(axis=1)))
        distances.append((k * square).sum(axis=1) / k.sum(axis=1))
    f, distortion = np.concatenate(values), float(np.concatenate(distances).mean())
    mean = float(f.mean())
    return Particles(points, mean, float(f.std() / np.sqrt(f.size)), distortion, mean - distortion / (2 * epsilon))
