"""Read-outs at one ε: the paper's estimate, and two upper bounds on L(ε) that hold in expectation.

**Law.** Freeze ν̂ = a mixture of: particles, the end points of rollouts; the learned Gaussian mixture; the Gaussian
source's own solution and broad Gaussians, which defend the tails; particles polished on training points. All parts have
k∗ν̂ in closed form, their shares are fitted by expectation–maximisation on points that made none of them, and F(ν̂) =
−E_μ log k∗ν̂ ≥ L(ε) is averaged over held-out points that ν̂ has never seen: unbiased for F(ν̂), whatever the
network learned. Particles alone stop at log M nats.

**Chain.** For any normalised φ_s = G_{ε(1−s)} ∗ ν and any chain P, with W the Brownian chain and K independent paths
from each x,

    F(ν) ≤ −E_μ E log( (1/K) Σ_k φ_s(X_s^k) dW/dP(X^k) ) − (d/2)log(2πε),

which is energy + cross-entropy at K = 1 and decreases to F(ν) with K. No ceiling in nats.

**Variance.** Where the source's mean and covariance are known exactly, E z_k = 0 and E z_k² = λ_k serve as control
variates, their coefficients fitted on other points: the mean stays unbiased, and for Gaussian sources the bound
has no sampling error left.
"""

from __future__ import annotations

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
    "law_bound",
    "paper_readout",
    "polish",
    "remove_known_moments",
]

FloatArray = NDArray[np.float64]
Array = jax.Array

READOUT_SHARE = 1e-3
BROAD_VARIANCES = (1.0, 4.0, 25.0)
SHARE_FLOOR = 1e-7
EM_SWEEPS = 60
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
    """Energy and terminal cost at the time in the later half of the grid where their mean sum is least.

    Every s gives an upper estimate; later ones see more of the control, but their narrower kernel needs more particles.
    """

    def at(s: Array) -> tuple[Array, Array]:
        return paths.log_ratio[s], -joint_log_density(model, paths, epsilon, s, READOUT_SHARE)

    n = paths.times.shape[0]
    energy, terminal = jax.lax.map(at, jnp.arange(n // 2, n))
    best = jnp.argmin((energy + terminal).mean(axis=(1, 2)))
    return energy[best], terminal[best]


def paper_readout(
    model: Model, z: FloatArray, fit: FloatArray | None, epsilon: float, *, entropy: str, grid: Grid, key: Array
) -> PaperReadout:
    """Energy, terminal term and distortion of fresh paths from ``z`` (n, d), in standard coordinates.

    With points ``fit`` (n, d) of a source whose moments are known, their control variates are removed.
    """
    eps = jnp.asarray([epsilon], jnp.float32)
    times, keys = time_grid(grid), jax.random.split(key, 2)

    def columns(x: FloatArray, k: Array) -> list[FloatArray]:
        x0 = jnp.asarray(x[None], jnp.float32)
        return [np.asarray(part, dtype=np.float64) for part in _paper(model, x0, eps, times, k, entropy)]

    parts = columns(z, keys[0])
    if fit is not None:
        lam = np.asarray(model.network.eigenvalues, dtype=np.float64)
        others = columns(fit, keys[1])
        parts = [remove_known_moments(z, part, fit, other, lam) for part, other in zip(parts, others)]
    energy, terminal, distortion = (float(part.mean()) for part in parts)
    offset = -0.5 * z.shape[1] * np.log(2 * np.pi * epsilon)
    return PaperReadout(energy + terminal + offset, energy, terminal, distortion)


def polish(particles: FloatArray, z: FloatArray, epsilon: float, sweeps: int) -> tuple[FloatArray, FloatArray]:
    """Lower F at the points ``z`` (n, d) by expectation–maximisation over positions and weights of particles (m, d).

    Each sweep sets w_j ← mean_i p_ij and y_j ← Σ_i p_ij z_i / Σ_i p_ij, p_ij the posterior of atom j given z_i: F at
    ``z`` never increases. Returns positions and log-weights.
    """
    y, log_w = particles, np.full(len(particles), -np.log(len(particles)))
    for _ in range(sweeps):
        joint = log_w + (z @ y.T - 0.5 * (y**2).sum(axis=1)) / epsilon
        posterior = np.exp(joint - joint.max(axis=1, keepdims=True))
        posterior /= posterior.sum(axis=1, keepdims=True)
        mass = posterior.sum(axis=0)
        keep = mass > SHARE_FLOOR
        y, log_w = (posterior.T @ z)[keep] / mass[keep, None], np.log(mass[keep] / mass[keep].sum())
    return y, log_w


def law_bound(
    model: Model,
    particles: FloatArray,
    fit: FloatArray,
    held_out: FloatArray,
    epsilon: float,
    polished: tuple[FloatArray, FloatArray] | None = None,
) -> Bound:
    """F(ν̂) at the points ``held_out`` (n, d), ν̂ made from ``particles`` (m, d), its shares fitted at ``fit`` (k, d).

    ``polished``: positions and log-weights of further particles.
    """
    eigenvalues = np.asarray(model.network.eigenvalues, dtype=np.float64)
    parameters = model.law.parameters(jnp.asarray([epsilon], jnp.float32))
    log_w, means, variances = (np.asarray(p[0], dtype=np.float64) for p in parameters)

    uniform = np.full(len(particles), -np.log(len(particles)))
    laws = [(particles, uniform)] + ([] if polished is None else [polished])

    def parts(z: FloatArray) -> tuple[FloatArray, FloatArray]:
        columns = [_particle_part(z, y, w, epsilon) for y, w in laws]
        columns += [_mixture_part(z, log_w, means, variances, epsilon)]
        columns += [_gaussian_part(z, np.maximum(eigenvalues - epsilon, 0.0), epsilon)]
        columns += [_gaussian_part(z, kappa * eigenvalues, epsilon) for kappa in BROAD_VARIANCES]
        return np.stack([c[0] for c in columns], axis=1), np.stack([c[1] for c in columns], axis=1)

    shares = _fit_shares(parts(fit)[0])
    log_z, square = parts(held_out)
    joint = log_z + np.log(shares)
    total = _logsumexp(joint)
    distortion = float((np.exp(joint - total[:, None]) * square).sum(axis=1).mean())
    return Bound(-total, distortion)


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


def _particle_part(z: FloatArray, y: FloatArray, log_w: FloatArray, epsilon: float) -> tuple[FloatArray, FloatArray]:
    """log k∗(weighted points y) and the posterior mean of ‖z − Y‖², both (n,)."""
    log_z, square = np.empty(len(z)), np.empty(len(z))
    rows = max(1, BLOCK // len(y))
    y_square = (y**2).sum(axis=1)
    for start in range(0, len(z), rows):
        block = z[start : start + rows]
        distance = np.maximum((block**2).sum(axis=1)[:, None] + y_square - 2 * block @ y.T, 0.0)
        joint = log_w - distance / (2 * epsilon)
        top = joint.max(axis=1, keepdims=True)
        weight = np.exp(joint - top)
        mass = weight.sum(axis=1)
        log_z[start : start + rows] = np.log(mass) + top[:, 0]
        square[start : start + rows] = np.einsum("ij,ij->i", weight, distance) / mass
    return log_z, square


def _mixture_part(
    z: FloatArray, log_w: FloatArray, means: FloatArray, variances: FloatArray, epsilon: float
) -> tuple[FloatArray, FloatArray]:
    """The same for ν = Σ_j w_j N(a_j, diag v_j), component by component."""
    parts = [_gaussian_part(z - a, v, epsilon) for a, v in zip(means, variances)]
    joint = np.stack([p[0] for p in parts], axis=1) + (log_w - _logsumexp(log_w[None])[0])
    total = _logsumexp(joint)
    square = (np.exp(joint - total[:, None]) * np.stack([p[1] for p in parts], axis=1)).sum(axis=1)
    return total, square


def _gaussian_part(z: FloatArray, v: FloatArray, epsilon: float) -> tuple[FloatArray, FloatArray]:
    """The same for ν = N(0, diag v): k∗ν = Π √(ε/(v+ε)) exp(−z²/2(v+ε)), Y | z ~ N(zv/(v+ε), vε/(v+ε))."""
    keep = epsilon / (v + epsilon)
    log_z = 0.5 * np.log(keep).sum() - 0.5 * (z**2 / (v + epsilon)).sum(axis=1)
    square = ((keep * z) ** 2).sum(axis=1) + (v * keep).sum()
    return log_z, square


def _fit_shares(log_z: FloatArray) -> FloatArray:
    """Maximise Σ log Σ_i α_i Z_i over shares α by EM, floored so that every part stays a defence."""
    z = np.exp(log_z - log_z.max(axis=1, keepdims=True))
    alpha = np.full(z.shape[1], 1.0 / z.shape[1])
    for _ in range(EM_SWEEPS):
        alpha = alpha * (z / (z @ alpha)[:, None]).mean(axis=0)
    alpha = np.maximum(alpha, SHARE_FLOOR)
    return np.asarray(alpha / alpha.sum())


def _logsumexp(x: FloatArray) -> FloatArray:
    top = x.max(axis=1)
    return np.asarray(top + np.log(np.exp(x - top[:, None]).sum(axis=1)))
