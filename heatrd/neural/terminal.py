"""Terminal models: log φ_s and log-densities of X_1, each amortised over ε, each with the heat flow in closed form.

- `log_particles`: ν = samples of the rollout itself (leave one out) with a small share of a broad Gaussian, so that a
  point which no sample reaches costs a bounded amount. Exact as the batch grows; it can see at most log(batch) nats.
- `GaussianMixtureLaw`: ν = Σ_j w_j(ε) N(a_j(ε), diag v_j(ε)), hence φ_s = Σ_j w_j N(a_j, diag v_j + ε(1−s)): KNIFE's
  learned mixture in the heat flow's coordinates, so small ε is no harder than large; exact for Gaussian sources from
  the start; no ceiling in nats.
- `RadialLaw`: an elliptical density of X_1, q(x) = N(x; 0, diag v)·[w + (1−w) p(log r)/p_χ(log r)], r = ‖v^{-1/2}x‖,
  with p a learned mixture of Gaussians in log r: Gaussians, spheres and shells in any dimension.
- `negentropy`: the paper's approximate-negentropy estimate of h(X_1). Not a bound in either direction.
"""

from __future__ import annotations

from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.scipy.special import gammaln, logsumexp

from heatrd.neural.layers import Affine, affine, centred_log

__all__ = [
    "GaussianMixtureLaw", "Mixture", "RadialLaw", "log_broad", "log_particles", "mixture_posterior", "negentropy",
]

Array = jax.Array

BROAD = 4.0
"""Variance of the defensive Gaussian in units of the source's own, per coordinate."""
LOG_2PI = float(np.log(2 * np.pi))
LAW_WIDTH = 32
RADIAL_PARTS = 4


def log_gaussian(x: Array, variance: Array) -> Array:
    """log N(x; 0, diag variance), summed over the last axis."""
    return -0.5 * jnp.sum(x**2 / variance + jnp.log(variance) + LOG_2PI, axis=-1)


def log_broad(x: Array, eigenvalues: Array, tau: Array) -> Array:
    """Log-density of N(0, BROAD·λ) after a heat flow of variance ``tau`` (E,), at ``x`` (E, B, d)."""
    return log_gaussian(x, BROAD * eigenvalues + tau[:, None, None])


def log_particles(x: Array, points: Array, tau: Array, eigenvalues: Array, share: float) -> Array:
    """log φ at ``x`` (E, B, d) for ν = the other B − 1 ``points`` and a ``share`` of the broad Gaussian."""
    b, d = x.shape[1:]
    if d <= 3:
        square = sum((x[:, :, None, k] - points[:, None, :, k]) ** 2 for k in range(d))
    else:
        square = jnp.sum(x**2, -1)[:, :, None] + jnp.sum(points**2, -1)[:, None, :]
        square = jnp.maximum(square - 2 * jnp.einsum("eid,ejd->eij", x, points), 0.0)
    logits = jnp.where(jnp.eye(b, dtype=bool), -jnp.inf, -square / (2 * tau[:, None, None]))
    own = logsumexp(logits, axis=-1) - np.log(b - 1) - 0.5 * d * (LOG_2PI + jnp.log(tau))[:, None]
    return jnp.logaddexp(np.log1p(-share) + own, np.log(share) + log_broad(x, eigenvalues, tau))


class GaussianMixtureLaw(eqx.Module):
    """ν as a Gaussian mixture whose weights, means and standard deviations are functions of ε.

    A table of mixtures at a few ε (`heatrd.neural.start`), interpolated in log ε, with v = (S − ε)₊: constant in ε
    where the source is a Gaussian mixture in the backward-heat class. To it is added what is learned.
    """

    eigenvalues: Array
    log_epsilon_range: Array
    inner: Affine
    outer: Affine
    start: Array
    components: int = eqx.field(static=True)

    def __init__(
        self,
        eigenvalues: np.ndarray,
        epsilon_range: tuple[float, float],
        start: np.ndarray,
        rng: np.random.Generator,
    ) -> None:
        """Begin at ``start``, (K, J, 1 + 2d): log-weights, means, second moments S at K log-spaced ε over the range."""
        self.eigenvalues = jnp.asarray(eigenvalues, jnp.float32)
        self.log_epsilon_range = jnp.asarray(np.log(epsilon_range), jnp.float32)
        self.inner = affine(1, LAW_WIDTH, rng)
        self.components = int(start.shape[1])
        self.start = jnp.asarray(start, jnp.float32)
        size = start.shape[1] * start.shape[2]
        self.outer = Affine(jnp.zeros((size, LAW_WIDTH), jnp.float32), jnp.zeros(size, jnp.float32))

    def parameters(self, epsilon: Array) -> Mixture:
        """Weights, means and variances at ``epsilon`` (E,)."""
        lam = jax.lax.stop_gradient(self.eigenvalues)
        d = lam.shape[0]
        place = centred_log(epsilon, self.log_epsilon_range)
        raw = self.outer(jnp.tanh(self.inner(place[:, None]))).reshape(epsilon.shape[0], self.components, 1 + 2 * d)
        start = _interpolate(jax.lax.stop_gradient(self.start), place)
        log_w = jax.nn.log_softmax(start[..., 0] + raw[..., 0], axis=-1)
        means = start[..., 1 : 1 + d] + jnp.sqrt(lam) * raw[..., 1 : 1 + d]
        base = jnp.sqrt(jnp.maximum(start[..., 1 + d :] - epsilon[:, None, None], 0.0))
        return Mixture(log_w, means, (base + jnp.sqrt(lam) * raw[..., 1 + d :]) ** 2)

    def log_density(self, x: Array, epsilon: Array, tau: Array) -> Array:
        """log (G_τ ∗ ν)(x), (E, B), at ``x`` (E, B, d) for ``tau`` (E,) > 0."""
        return logsumexp(_log_parts(x, self.parameters(epsilon), tau), axis=-1)


class Mixture(NamedTuple):
    """Gaussian mixtures, one a group: log w (E, J), means (E, J, d), variances v (E, J, d)."""

    log_w: Array
    means: Array
    variances: Array


def _log_parts(x: Array, mixture: Mixture, tau: Array) -> Array:
    """log w_j N(x; a_j, v_j + τ), (E, B, J)."""
    total = mixture.variances + tau[:, None, None]
    parts = log_gaussian(x[:, :, None, :] - mixture.means[:, None], total[:, None])
    return mixture.log_w[:, None, :] + parts


def mixture_posterior(x: Array, mixture: Mixture, tau: Array) -> tuple[Array, Array]:
    """Mean of Y ~ ν given Y + √τ ξ = x, and its variance in units of τ, coordinate by coordinate, both (E, B, d).

    Given the component, Y has mean s x + b and variance sτ, with s = v/(v + τ), b = τa/(v + τ).
    """
    tau = jnp.broadcast_to(tau, x.shape[:1])
    responsibility = jax.nn.softmax(_log_parts(x, mixture, tau), axis=-1)
    s = mixture.variances / (mixture.variances + tau[:, None, None])
    b = mixture.means * (1 - s)

    def average(y: Array) -> Array:
        return jnp.einsum("ebj,ejd->ebd", responsibility, y)

    slope = average(s)
    mean = slope * x + average(b)
    spread = x**2 * (average(s**2) - slope**2) + 2 * x * (average(s * b) - slope * average(b))
    spread = spread + average(b**2) - average(b) ** 2
    return mean, slope + jnp.maximum(spread, 0.0) / tau[:, None, None]


def _interpolate(table: Array, place: Array) -> Array:
    """Linear interpolation of ``table`` (K, …) on equidistant nodes of [−1, 1] at ``place`` (E,)."""
    last = table.shape[0] - 1
    if last == 0:
        return jnp.broadcast_to(table[0], (*place.shape, *table.shape[1:]))
    position = jnp.clip(0.5 * (place + 1) * last, 0.0, last)
    left = jnp.clip(jnp.floor(position), 0, last - 1).astype(jnp.int32)
    share = (position - left)[:, None, None]
    return (1 - share) * table[left] + share * table[left + 1]


class RadialLaw(eqx.Module):
    """An elliptical density of X_1, a Gaussian at the start, its radial law learned as a function of ε."""

    eigenvalues: Array
    log_epsilon_range: Array
    inner: Affine
    outer: Affine
    floor: float = eqx.field(static=True)

    def __init__(
        self, eigenvalues: np.ndarray, epsilon_range: tuple[float, float], floor: float, rng: np.random.Generator
    ) -> None:
        d = int(eigenvalues.size)
        self.eigenvalues = jnp.asarray(eigenvalues, jnp.float32)
        self.log_epsilon_range = jnp.asarray(np.log(epsilon_range), jnp.float32)
        self.inner = affine(1, LAW_WIDTH, rng)
        size = d + 1 + 3 * RADIAL_PARTS
        start = np.zeros(size)
        start[d] = 4.0
        start[d + 1 : d + 1 + RADIAL_PARTS] = np.linspace(-1.0, 1.0, RADIAL_PARTS)
        self.outer = Affine(jnp.zeros((size, LAW_WIDTH), jnp.float32), jnp.asarray(start, jnp.float32))
        self.floor = floor

    def log_density(self, x: Array, epsilon: Array) -> Array:
        """log q(x), (E, B), at ``x`` (E, B, d)."""
        lam = jax.lax.stop_gradient(self.eigenvalues)
        d = lam.shape[0]
        raw = self.outer(jnp.tanh(self.inner(centred_log(epsilon, self.log_epsilon_range)[:, None])))
        eps = epsilon[:, None]
        variance = jnp.maximum(lam - eps, self.floor * eps) * jnp.exp(raw[:, :d])
        spread = 1 / np.sqrt(2 * d)
        log_r = 0.5 * jnp.log(jnp.sum(x**2 / variance[:, None, :], axis=-1) + 1e-12)
        log_chi = d * log_r - 0.5 * jnp.exp(2 * log_r) - (0.5 * d - 1) * np.log(2) - gammaln(0.5 * d)
        centre, log_s, log_w = jnp.split(raw[:, d + 1 :], 3, axis=-1)
        centre = 0.5 * np.log(d) + spread * centre
        scale = spread * jnp.exp(log_s)
        z = (log_r[..., None] - centre[:, None]) / scale[:, None]
        parts = jax.nn.log_softmax(log_w)[:, None] - 0.5 * z**2 - jnp.log(scale)[:, None] - 0.5 * LOG_2PI
        gaussian = jax.nn.log_sigmoid(raw[:, d])[:, None]
        shell = jax.nn.log_sigmoid(-raw[:, d])[:, None] + logsumexp(parts, axis=-1) - log_chi
        return log_gaussian(x, variance[:, None, :]) + jnp.logaddexp(gaussian, shell)


def negentropy(x: Array) -> Array:
    """Approximate h of each group of ``x`` (E, B, d): Gaussian entropy less Hyvärinen's two-moment negentropies, (E,).

    The coordinates are whitened by the group's own covariance. The approximation holds near a Gaussian.
    """
    d = x.shape[-1]
    centred = x - x.mean(axis=1, keepdims=True)
    covariance = jnp.einsum("ebi,ebj->eij", centred, centred) / x.shape[1] + 1e-9 * jnp.eye(d)
    factor = jnp.linalg.cholesky(covariance)
    white = jax.scipy.linalg.solve_triangular(factor, jnp.swapaxes(centred, 1, 2), lower=True)
    log_det = 2 * jnp.sum(jnp.log(jnp.diagonal(factor, axis1=1, axis2=2)), axis=-1)
    bump = jnp.exp(-0.5 * white**2)
    odd = 36 / (8 * np.sqrt(3) - 9) * jnp.mean(white * bump, axis=-1) ** 2
    even = 24 / (16 * np.sqrt(3) - 27) * (jnp.mean(bump, axis=-1) - np.sqrt(0.5)) ** 2
    return 0.5 * (log_det + d * (1 + LOG_2PI)) - jnp.sum(odd + even, axis=-1)
