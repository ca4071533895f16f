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

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.scipy.special import gammaln, logsumexp

from heatrd.neural.layers import Affine, affine, centred_log
from heatrd.neural.network import skip_variance

__all__ = ["GaussianMixtureLaw", "RadialLaw", "log_broad", "log_particles", "negentropy"]

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
    """ν as a Gaussian mixture whose weights, means and standard deviations are functions of ε."""

    eigenvalues: Array
    log_epsilon_range: Array
    inner: Affine
    outer: Affine
    places: Array
    components: int = eqx.field(static=True)
    spread: float = eqx.field(static=True)

    def __init__(
        self,
        eigenvalues: np.ndarray,
        epsilon_range: tuple[float, float],
        components: int,
        rng: np.random.Generator,
        spread: float = 0.0,
    ) -> None:
        """Start with all components at the Gaussian solution, or a share ``spread`` of its variance between them."""
        d = int(eigenvalues.size)
        self.eigenvalues = jnp.asarray(eigenvalues, jnp.float32)
        self.log_epsilon_range = jnp.asarray(np.log(epsilon_range), jnp.float32)
        self.inner = affine(1, LAW_WIDTH, rng)
        size = components * (1 + 2 * d)
        start = 0.01 * rng.normal(size=size) * (components > 1)
        self.outer = Affine(jnp.zeros((size, LAW_WIDTH), jnp.float32), jnp.asarray(start, jnp.float32))
        places = rng.normal(size=(components, d))
        places = places - places.mean(axis=0)
        self.places = jnp.asarray(places / np.maximum(places.std(axis=0), 1e-6) * (components > 1), jnp.float32)
        self.components = components
        self.spread = float(spread) if components > 1 else 0.0

    def parameters(self, epsilon: Array) -> tuple[Array, Array, Array]:
        """log w (E, J), means (E, J, d), variances v (E, J, d) at ``epsilon`` (E,)."""
        lam = jax.lax.stop_gradient(self.eigenvalues)
        d = lam.shape[0]
        h = jnp.tanh(self.inner(centred_log(epsilon, self.log_epsilon_range)[:, None]))
        raw = self.outer(h).reshape(epsilon.shape[0], self.components, 1 + 2 * d)
        log_w = jax.nn.log_softmax(raw[..., 0], axis=-1)
        base = jnp.sqrt(skip_variance(lam, epsilon[:, None]))[:, None, :]
        deviation = np.sqrt(1 - self.spread) * base + jnp.sqrt(lam) * raw[..., 1 + d :]
        start = np.sqrt(self.spread) * base * jax.lax.stop_gradient(self.places)
        return log_w, start + jnp.sqrt(lam) * raw[..., 1 : 1 + d], deviation**2

    def log_density(self, x: Array, epsilon: Array, tau: Array) -> Array:
        """log (G_τ ∗ ν)(x), (E, B), at ``x`` (E, B, d) for ``tau`` (E,) > 0."""
        log_w, means, v = self.parameters(epsilon)
        total = v + tau[:, None, None]
        parts = log_gaussian(x[:, :, None, :] - means[:, None], total[:, None])
        return logsumexp(log_w[:, None, :] + parts, axis=-1)


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
