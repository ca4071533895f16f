"""The bound F(ν̂) of an explicit law, held-out.

ν̂ is a mixture of: particles, the end points of rollouts; particles polished on training points; the learned Gaussian
mixture; the Gaussian source's own solution and broad Gaussians, which defend the tails. All parts have k∗ν̂ in closed
form, and F(ν̂) = −E_μ log k∗ν̂ ≥ L(ε) is averaged over held-out points that ν̂ has never seen: unbiased for F(ν̂),
whatever the network learned. Particles alone stop at log M nats.

The shares are fitted by expectation–maximisation on points that made none of the parts, and only among parts that
those points ask for: of the learned mixture alone, all closed forms, and everything, the first whose likelihood at
one half of the points, fitted at the other, is within a standard error of the best.
"""

from __future__ import annotations

from collections.abc import Callable

import jax.numpy as jnp
import numpy as np
from numpy.typing import NDArray

from heatrd.neural.likelihood import first_good
from heatrd.neural.model import Model
from heatrd.neural.readout import Bound

__all__ = ["explicit_law", "polish"]

FloatArray = NDArray[np.float64]

BROAD_VARIANCES = (1.0, 4.0, 25.0)
SHARE_FLOOR = 1e-7
EM_SWEEPS = 60
BLOCK = 1 << 22


def explicit_law(
    model: Model,
    particles: FloatArray,
    fit: FloatArray,
    epsilon: float,
    polished: tuple[FloatArray, FloatArray] | None = None,
) -> Callable[[FloatArray], Bound]:
    """Return z ↦ the values whose mean is F(ν̂), ν̂ made from ``particles`` (m, d), its shares fitted at ``fit`` (k, d).

    ``polished``: positions and log-weights of further particles.
    """
    eigenvalues = np.asarray(model.network.eigenvalues, dtype=np.float64)
    parameters = model.law.parameters(jnp.asarray([epsilon], jnp.float32))
    log_w, means, variances = (np.asarray(p[0], dtype=np.float64) for p in parameters)

    uniform = np.full(len(particles), -np.log(len(particles)))
    laws = [(particles, uniform)] + ([] if polished is None else [polished])

    def parts(z: FloatArray) -> tuple[FloatArray, FloatArray]:
        columns = [_mixture_part(z, log_w, means, variances, epsilon)]
        columns += [_gaussian_part(z, np.maximum(eigenvalues - epsilon, 0.0), epsilon)]
        columns += [_gaussian_part(z, kappa * eigenvalues, epsilon) for kappa in BROAD_VARIANCES]
        columns += [_particle_part(z, y, w, epsilon) for y, w in laws]
        return np.stack([c[0] for c in columns], axis=1), np.stack([c[1] for c in columns], axis=1)

    closed = 2 + len(BROAD_VARIANCES)
    shares = _shares(parts(fit)[0], (1, closed, closed + len(laws)))

    def bound(z: FloatArray) -> Bound:
        log_z, square = parts(z)
        joint = log_z + np.log(shares)
        total = _logsumexp(joint)
        distortion = float((np.exp(joint - total[:, None]) * square).sum(axis=1).mean())
        return Bound(-total, distortion)

    return bound


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


def _shares(log_z: FloatArray, sizes: tuple[int, ...]) -> FloatArray:
    """Shares of the first parts of ``log_z`` (n, parts); one half of the points decides how many (of ``sizes``)."""
    one, other = log_z[::2], log_z[1::2]
    scores = [_logsumexp(other + np.log(_fit_shares(one, size))) for size in sizes]
    return _fit_shares(log_z, sizes[first_good(scores)])


def _fit_shares(log_z: FloatArray, size: int) -> FloatArray:
    """Maximise Σ log Σ_i α_i Z_i over shares α of the first ``size`` parts by EM, all floored to stay a defence."""
    z = np.exp(log_z[:, :size] - log_z[:, :size].max(axis=1, keepdims=True))
    alpha = np.full(size, 1.0 / size)
    for _ in range(EM_SWEEPS):
        alpha = alpha * (z / (z @ alpha)[:, None]).mean(axis=0)
    alpha = np.maximum(np.pad(alpha, (0, log_z.shape[1] - size)), SHARE_FLOOR)
    return np.asarray(alpha / alpha.sum())


def _logsumexp(x: FloatArray) -> FloatArray:
    top = x.max(axis=1)
    return np.asarray(top + np.log(np.exp(x - top[:, None]).sum(axis=1)))
