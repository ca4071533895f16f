"""What a Schrödinger bridge is made of: μ, ν and the tilt τ, checked and discretised."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from heatrd import arguments
from heatrd.bridge.nodes import source_nodes
from heatrd.errors import InvalidInput
from heatrd.laws import DiscreteLaw, as_law
from heatrd.sources import Source

__all__ = ["Marginals", "marginals"]

FloatArray = NDArray[np.float64]

_WIDEST = 1e300  # squares of paths must not overflow
_MOST_NODES = 20_000  # more nodes of μ than this, in R^d, are replaced by fewer that serve kernels of width √ε


@dataclass(frozen=True, slots=True, eq=False)
class Marginals:
    """Both laws as weighted points, and as sources where they have densities.

    Attributes
    ----------
    epsilon : float
        Diffusion coefficient.
    mu, reconstruction : DiscreteLaw
        μ and ν as weighted points.
    source : Source or None
        μ itself.
    nu : Any
        ν itself: a source, a backward heat path, or ``reconstruction``.
    tilt : (m,) array
        τ at the points of ``reconstruction``.
    """

    epsilon: float
    mu: DiscreteLaw
    reconstruction: DiscreteLaw
    source: Source | None
    nu: Any
    tilt: FloatArray

    @property
    def dim(self) -> int:
        """Dimension d of the space."""
        return self.mu.dim


def marginals(
    mu: Any,
    nu: Any,
    epsilon: float,
    source: Source | None = None,
    tilt: ArrayLike | None = None,
    nu_nodes: DiscreteLaw | None = None,
) -> Marginals:
    """Check and discretise what a bridge is made of; arguments and errors as of `SchrodingerBridge`."""
    epsilon = _positive(epsilon)
    if source is None and isinstance(mu, Source):
        source = mu
    first = _nodes_of_mu(mu, source, epsilon)
    second = nu if isinstance(nu, DiscreteLaw) else _nodes_of_nu(nu, nu_nodes, epsilon)
    if second.dim != first.dim:
        raise InvalidInput(f"mu lives in R^{first.dim}, nu in R^{second.dim}; give laws on the same space")
    if source is not None and source.dim != first.dim:
        raise InvalidInput(f"mu lives in R^{first.dim}, its source in R^{source.dim}; give laws on the same space")
    tau = np.zeros(second.size) if tilt is None else np.asarray(tilt, dtype=np.float64)
    if tau.shape != (second.size,):
        raise InvalidInput(f"tilt has shape {tau.shape}; need ({second.size},), one per point of nu")
    return Marginals(epsilon, first, second, source, nu if isinstance(nu, Source) else second, tau)


def _positive(epsilon: float) -> float:
    number = arguments.number(epsilon, "epsilon", positive=True)
    if number > _WIDEST:
        raise InvalidInput(f"epsilon={number:g}; a bridge needs epsilon <= {_WIDEST:g}: change the unit of length")
    return number


def _nodes_of_mu(mu: Any, source: Source | None, epsilon: float) -> DiscreteLaw:
    """Quadrature nodes of μ: given, unless they are more than the kernels need, or computed."""
    if isinstance(mu, Source):
        mu = source_nodes(mu, epsilon)
    law = mu if isinstance(mu, DiscreteLaw) else as_law(*_pair(mu), what="mu")
    if law.dim > 1 and law.size > _MOST_NODES and source is not None and not source.is_discrete:
        return min(law, source_nodes(source, epsilon), key=len)
    return law


def _nodes_of_nu(nu: Any, nodes: DiscreteLaw | None, epsilon: float) -> DiscreteLaw:
    """Quadrature nodes of ν: given, or computed for kernels of width √(ε/4), as t → 1 asks for finer ones."""
    if nodes is not None:
        return nodes
    if not isinstance(nu, Source):
        if hasattr(nu, "points") and hasattr(nu, "weights"):  # any law that can be listed as points
            return as_law(nu.points, nu.weights, what="nu")
        raise InvalidInput(f"nu is a {type(nu).__name__}; need a DiscreteLaw or a Source")
    return source_nodes(nu, 0.25 * epsilon)


def _pair(law: Any) -> tuple[Any, Any]:
    points, weights = getattr(law, "points", None), getattr(law, "weights", None)
    if points is None:
        raise InvalidInput(f"mu is a {type(law).__name__}; need a DiscreteLaw (heatrd.as_law(points, weights))")
    return points, weights
