"""Everything that is trained, and the control made of it: the law's own posterior, corrected by the network."""

from __future__ import annotations

from collections.abc import Callable

import equinox as eqx
import jax
import jax.numpy as jnp

from heatrd.neural.network import ControlNetwork
from heatrd.neural.terminal import GaussianMixtureLaw, RadialLaw, mixture_posterior

__all__ = ["Model"]

Array = jax.Array
Posterior = Callable[[Array, Array], tuple[Array, Array]]


class Model(eqx.Module):
    """The control network and the two parametric terminal laws."""

    network: ControlNetwork
    law: GaussianMixtureLaw
    radial: RadialLaw

    def posterior(self, epsilon: Array) -> Posterior:
        """Return (x, t) ↦ (m_θ, g_θ) at ``epsilon`` (E,): mean of Y given X_t = x, and its variance in units of ε(1−t).

        No gradient reaches the law through its posterior: the law is fitted as a law, the control by the network.
        """
        parameters = jax.lax.stop_gradient(self.law.parameters(epsilon))

        def at(x: Array, t: Array) -> tuple[Array, Array]:
            mean, gate = mixture_posterior(x, parameters, epsilon * jnp.maximum(1.0 - t, 1e-9))
            return self.network(x, t, epsilon, mean, gate)

        return at
