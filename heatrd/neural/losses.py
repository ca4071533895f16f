"""TEC losses in nats: one per way of paying for the terminal law, all written as estimates of L(ε).

    J = E[KL over 0…s] − E log φ_s(X_s) − (d/2)log(2πε)

(`heatrd.neural.rollout`). ``last-step-mixture`` uses two values of s in each step, s = 0 and a random grid time. At s
= 0 the kernel has variance ε, wide enough for a batch to see the whole law from the first step on: this shapes ν. The
random s trains the control on [0, s] towards that ν. Both have the same minimum, L(ε), so nothing needs annealing.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np

from heatrd.neural.model import Model
from heatrd.neural.rollout import Grid, Paths, final_draw, roll_out, time_grid
from heatrd.neural.terminal import GaussianMixtureLaw, log_particles, negentropy

__all__ = ["ENTROPIES", "joint_log_density", "tec_loss"]

Array = jax.Array

ENTROPIES = ("last-step-mixture", "knife", "elliptical", "negentropy")
BROAD_SHARE = 0.01


def tec_loss(
    model: Model, x0: Array, epsilon: Array, key: Array, *, entropy: str, grid: Grid, jitter: bool = True
) -> tuple[Array, Array]:
    """Return what to minimise and the estimate J of L per group.

    Parameters
    ----------
    model : Model
    x0 : (E, B, d)
        Source points in standard coordinates.
    epsilon : (E,)
        ε of each group, in standard coordinates.
    key : jax key
    entropy : str
        One of `ENTROPIES`.
    grid : Grid
        Time grid.
    jitter : bool
        Move the interior times by a random part of a step, so that the control is learned at every t.

    Returns
    -------
    objective : scalar
        Mean of J over groups, plus the fit of the parametric laws where they do not enter J.
    lagrangian : (E,)
        J.
    """
    keys = jax.random.split(key, 4)
    shift = jax.random.uniform(keys[0], (), jnp.float32, -0.5, 0.5) if jitter else jnp.float32(0.0)
    paths = roll_out(model, x0, epsilon, time_grid(grid, shift), keys[1])
    offset = -0.5 * x0.shape[-1] * jnp.log(2 * np.pi * epsilon)
    if entropy == "last-step-mixture":
        s = jax.random.randint(keys[2], (), 1, grid.steps + 1)
        value = 0.5 * (_particle_cost(model, paths, epsilon) + _joint_cost(model, paths, epsilon, s))
        side = _law_cost(model.law, paths, epsilon, 0)
    elif entropy == "knife":
        value = _law_cost(model.law, paths, epsilon, -1)
        side = _law_cost(model.law, jax.lax.stop_gradient(paths), epsilon, 0)
    else:
        x1, cost, _ = final_draw(paths, epsilon, keys[3])
        energy = (paths.cost[-1] + cost).mean(axis=1)
        if entropy == "elliptical":
            value, side = energy - model.radial.log_density(x1, epsilon).mean(axis=1), 0.0 * offset
        else:
            value, side = energy + negentropy(x1), 0.0 * offset
    return jnp.mean(value + side), value + offset


def _particle_cost(model: Model, paths: Paths, epsilon: Array) -> Array:
    """F(ν) + (d/2)log(2πε) with ν = the rollout's own end points, (E,)."""
    lam = jax.lax.stop_gradient(model.network.eigenvalues)
    return -log_particles(paths.x[0], paths.mean, epsilon, lam, BROAD_SHARE).mean(axis=1)


def _joint_cost(model: Model, paths: Paths, epsilon: Array, s: Array) -> Array:
    """E[KL over 0…t_s] − E log φ_{t_s}(X_{t_s}), (E,)."""
    return (paths.cost[s] - joint_log_density(model, paths, epsilon, s, BROAD_SHARE)).mean(axis=1)


def joint_log_density(model: Model, paths: Paths, epsilon: Array, s: Array, share: float) -> Array:
    """log φ_{t_s}(X_{t_s}), (E, B), for ν = one half end points of the other paths, one half the learned mixture.

    Where the kernel √(ε(1−s)) is narrower than the particles are apart, the mixture takes over.
    """
    tau = epsilon * (1 - paths.times[s])
    lam = jax.lax.stop_gradient(model.network.eigenvalues)
    particles = log_particles(paths.x[s], paths.mean, tau, lam, share)
    law = jax.lax.stop_gradient(model.law)
    return jnp.logaddexp(particles, law.log_density(paths.x[s], epsilon, tau)) - np.log(2.0)


def _law_cost(law: GaussianMixtureLaw, paths: Paths, epsilon: Array, s: int) -> Array:
    """The same at time number ``s`` with ν = the learned Gaussian mixture, (E,)."""
    log_phi = law.log_density(paths.x[s], epsilon, epsilon * (1 - paths.times[s]))
    return (paths.cost[s] - log_phi).mean(axis=1)

