"""The control of a fitted model at any time and place, in source units."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from numpy.typing import ArrayLike, NDArray

from heatrd.arguments import number, short
from heatrd.errors import InvalidInput
from heatrd.neural.fitted import Fitted
from heatrd.neural.model import Model
from heatrd.sources import Source

if TYPE_CHECKING:
    from heatrd.neural.estimator import R2D2

__all__ = ["ControlAt", "control", "posterior_mean"]

FloatArray = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class ControlAt:
    """The control at one ε, as `heatrd.sample` and `heatrd.tec_account` take it.

    Attributes
    ----------
    model : R2D2
    epsilon : float
        In source units.
    source : Source or None
        What the model was fitted on, where that was a source.
    """

    model: R2D2
    epsilon: float
    source: Source | None

    def control(self, t: float, x: ArrayLike) -> FloatArray:
        """u_θ(x, t, ε), of the shape of ``x``."""
        return self.model.control(t, x, self.epsilon)


def control(fitted: Fitted, t: Any, x: ArrayLike, epsilon: float) -> FloatArray:
    """u_θ(x, t, ε) = (m_θ − x)/(1 − t), of the shape of ``x``."""
    mean = posterior_mean(fitted, t, x, epsilon)
    return np.asarray((mean - np.asarray(x, dtype=np.float64)) / max(1 - float(t), fitted.settings.last))


def posterior_mean(fitted: Fitted, t: Any, x: ArrayLike, epsilon: float) -> FloatArray:
    """m_θ(x, t, ε) ≈ E[Y | X_t = x], of the shape of ``x``."""
    time = _time(t)
    points = fitted.points(x)
    eps = jnp.asarray([fitted.standard_epsilon(epsilon)], jnp.float32)
    z = jnp.asarray(fitted.coordinates.forward(points)[None], jnp.float32)
    m = _mean(fitted.model, z, jnp.float32(min(time, 1 - fitted.settings.last)), eps)
    return fitted.coordinates.backward(np.asarray(m[0], dtype=np.float64)).reshape(np.shape(x))


@eqx.filter_jit
def _mean(model: Model, z: jax.Array, t: jax.Array, epsilon: jax.Array) -> jax.Array:
    return model.posterior(epsilon)(z, t)[0]


def _time(t: Any) -> float:
    found = number(t, "t")
    if not 0 <= found <= 1:
        raise InvalidInput(f"t={short(t)} must lie in [0, 1]")
    return found
