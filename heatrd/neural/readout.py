"""Read-outs of paths at one ε: the paper's estimate, and an upper bound on L(ε) that holds in expectation.

**Chain.** For any normalised φ_s = G_{ε(1−s)} ∗ ν and any chain P, with W the Brownian chain and K independent paths
from each x,

    F(ν) ≤ −E_μ E log( (1/K) Σ_k φ_s(X_s^k) dW/dP(X^k) ) − (d/2)log(2πε),

which is energy + cross-entropy at K = 1 and decreases to F(ν) with K. No ceiling in nats.

**Variance.** Where the source's mean and covariance are known exactly, E z_k = 0 and E z_k² = λ_k serve as control
variates, their coefficients fitted on other points: the mean stays unbiased, and for Gaussian sources the bound
has no sampling error left.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from numpy.typing import NDArray

from heatrd.neural.coordinates import SMALLEST_EIGENVALUE
from heatrd.neural.losses import joint_log_density
from heatrd.neural.model import Model
from heatrd.neural.rollout import Grid, Paths, final_draw, roll_out, time_grid
from heatrd.neural.terminal import negentropy

__all__ = [
    "Bound",
    "PaperReadout",
    "chain_bound",
    "end_points",
    "paper_readout",
    "remove_known_moments",
]

FloatArray = NDArray[np.float64]
Array = jax.Array

READOUT_SHARE = 1e-3
LATE_TIME_STRIDE = 2
PAPER_POINTS = 2048
BLOCK = 1 << 22


class Bound(NamedTuple):
    """Per-point values whose mean bounds L(ε), and the distortion of the channel behind it (nan where unknown)."""

    values: FloatArray
    distortion: float


class PaperReadout(NamedTuple):
    """Means over fresh paths, in standard coordinates: J, E[KL], terminal term, ‖X_0 − X_1‖²."""

    lagrangian: float
    energy: float
    terminal: float
    distortion: float


@eqx.filter_jit
def _end_points(model: Model, x0: Array, epsilon: Array, times: Array, key: Array) -> Array:
    return roll_out(model, x0, epsilon, times, key).mean


def end_points(model: Model, z: FloatArray, epsilon: float, *, grid: Grid, key: Array) -> FloatArray:
    """Roll the points ``z`` (n, d) out and return the posterior means at the last time, (n, d)."""
    eps = jnp.asarray([epsilon], jnp.float32)
    x0 = jnp.asarray(z[None], jnp.float32)
    return np.asarray(_end_points(model, x0, eps, time_grid(grid), key)[0], dtype=np.float64)


@eqx.filter_jit
def _paper(model: Model, x0: Array, epsilon: Array, times: Array, key: Array, entropy: str) -> tuple[Array, ...]:
    """Return energy, terminal term and squared distance path by path, each (B,).

    The energy is taken as log dP/dW along the path: its mean is the energy's, and its sum with the terminal term has no
    noise left at the optimum.
    """
    keys = jax.random.split(key, 2)
    paths = roll_out(model, x0, epsilon, times, keys[0])
    x1, _, last_ratio = final_draw(paths, epsilon, keys[1])
    if entropy == "last-step-mixture":
        energy, terminal = _best_late_time(model, paths, epsilon)
    elif entropy == "knife":
        energy = paths.log_ratio[-1]
        terminal = -model.law.log_density(paths.x[-1], epsilon, epsilon * (1 - times[-1]))
    else:
        energy = paths.log_ratio[-1] + last_ratio
        if entropy == "elliptical":
            terminal = -model.radial.log_density(x1, epsilon)
        else:
            terminal = jnp.broadcast_to(negentropy(x1)[:, None], energy.shape)
    return energy[0], terminal[0], jnp.sum((x1 - x0) ** 2, axis=-1)[0]


def _best_late_time(model: Model, paths: Paths, epsilon: Array) -> tuple[Array, Array]:
    """Energy and terminal cost where their mean sum is least: at late times, with particles and mixture or it alone.

    Every choice gives an upper estimate. Later times see more of the control, but their narrower kernel needs more
    particles; the mixture needs none, but may be a coarse law.
    """

    def at(s: Array) -> tuple[Array, Array]:
        law = model.law.log_density(paths.x[s], epsilon, epsilon * (1 - paths.times[s]))
        terminal = -jnp.stack([joint_log_density(model, paths, epsilon, s, READOUT_SHARE), law])
        return jnp.stack([paths.log_ratio[s]] * 2), terminal

    last = paths.times.shape[0] - 1
    energy, terminal = jax.lax.map(at, jnp.arange(last, last // 2 - 1, -LATE_TIME_STRIDE))
    energy, terminal = (x.reshape(-1, *x.shape[2:]) for x in (energy, terminal))
    best = jnp.argmin((energy + terminal).mean(axis=(1, 2)))
    return energy[best], terminal[best]


def paper_readout(
    model: Model, z: FloatArray, fit: FloatArray | None, epsilon: float, *, entropy: str, grid: Grid, key: Array
) -> PaperReadout:
    """Energy, terminal term and distortion of fresh paths from ``z`` (n, d), in standard coordinates.

    Points are taken in blocks of `PAPER_POINTS`, each of which is its own particles. With points ``fit`` (k, d) of a
    source whose moments are known, their control variates are removed.
    """
    eps = jnp.asarray([epsilon], jnp.float32)
    times, keys = time_grid(grid), jax.random.split(key, 2)

    def columns(x: FloatArray, key: Array) -> list[FloatArray]:
        blocks = np.split(x, range(PAPER_POINTS, len(x) - PAPER_POINTS // 2, PAPER_POINTS))
        found = [
            _paper(model, jnp.asarray(x0[None], jnp.float32), eps, times, jax.random.fold_in(key, i), entropy)
            for i, x0 in enumerate(blocks)
        ]
        return [np.concatenate([np.asarray(part, dtype=np.float64) for part in column]) for column in zip(*found)]

    parts = columns(z, keys[0])
    if fit is not None:
        lam = np.asarray(model.network.eigenvalues, dtype=np.float64)
        others = columns(fit, keys[1])
        parts = [remove_known_moments(z, part, fit, other, lam) for part, other in zip(parts, others)]
    energy, terminal, distortion = (float(part.mean()) for part in parts)
    offset = -0.5 * z.shape[1] * math.log(2 * math.pi * epsilon)
    return PaperReadout(energy + terminal + offset, energy, terminal, distortion)


def chain_bound(
    model: Model, z: FloatArray, epsilon: float, *, entropy: str, grid: Grid, importance: int, key: Array
) -> Bound:
    """Importance-weighted path bound at the points ``z`` (n, d) with ``importance`` paths each."""
    eps = jnp.asarray([epsilon], jnp.float32)
    per_block = max(1, BLOCK // (64 * importance * max(z.shape[1], 16)))
    values = []
    for i, start in enumerate(range(0, len(z), per_block)):
        block = jnp.asarray(z[start : start + per_block], jnp.float32)
        values.append(
            _chain(model, block, eps, time_grid(grid), jax.random.fold_in(key, i), importance, entropy == "elliptical")
        )
    offset = -0.5 * z.shape[1] * np.log(2 * np.pi * epsilon)
    return Bound(np.concatenate([np.asarray(v, dtype=np.float64) for v in values]) + offset, float("nan"))


@eqx.filter_jit
def _chain(
    model: Model, z: Array, epsilon: Array, times: Array, key: Array, importance: int, to_the_end: bool
) -> Array:
    keys = jax.random.split(key, 2)
    x0 = jnp.tile(z, (importance, 1))[None]
    paths = roll_out(model, x0, epsilon, times, keys[0])
    if to_the_end:
        x1, _, last_ratio = final_draw(paths, epsilon, keys[1])
        log_weight = model.radial.log_density(x1, epsilon) - paths.log_ratio[-1] - last_ratio
    else:
        tau = epsilon * (1 - times[-1])
        log_weight = model.law.log_density(paths.x[-1], epsilon, tau) - paths.log_ratio[-1]
    log_weight = log_weight.reshape(importance, z.shape[0])
    return -(jax.scipy.special.logsumexp(log_weight, axis=0) - np.log(importance))


def remove_known_moments(
    held_out: FloatArray, values: FloatArray, fit: FloatArray, fit_values: FloatArray, eigenvalues: FloatArray
) -> FloatArray:
    """Subtract from ``values`` (n,) the mean-zero part Σ a_k z_k + b_k(z_k² − λ_k), fitted at ``fit`` (k, d)."""

    known = eigenvalues > SMALLEST_EIGENVALUE

    def features(z: FloatArray) -> FloatArray:
        z = z[:, known]
        return np.concatenate([z / np.sqrt(eigenvalues[known]), z**2 / eigenvalues[known] - 1.0], axis=1)

    design = features(fit)
    if len(design) < 4 * design.shape[1]:
        return values
    with_mean = np.concatenate([np.ones((len(design), 1)), design], axis=1)
    coefficients = np.linalg.lstsq(with_mean, fit_values, rcond=None)[0][1:]
    return np.asarray(values - features(held_out) @ coefficients)
