"""Weighted points that integrate against the marginals ρ_t of a bridge.

From the side of ν,  E f(X_t) = Σ_j w_j e^{τ_j} E[(φ̂_t f)(y_j + √(ε(1−t)) Z)],  and in the same way from the side of μ
with φ_t and √(εt); for smooth ν, and away from the ends in R^d, the trapezoidal rule on a lattice that resolves
√(εt(1−t)), the narrowest feature of ρ_t. Weights sum to one up to the error of the quadrature.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from heatrd.bridge.flows import gaussian_rule, spacing
from heatrd.bridge.potentials import Potentials
from heatrd.laws import DiscreteLaw

if TYPE_CHECKING:
    from heatrd.bridge.schrodinger import SchrodingerBridge

__all__ = ["lattice_serves", "law_around_nodes", "law_on_lattice"]

_LIGHT = 1e-17  # nodes lighter than this are left out of expectations
_EARLY = 0.1  # below it the nodes of μ, slightly blurred, integrate better than a lattice
_LATTICE = {1: 0.4, 2: 0.5, 3: 0.7}  # spacing over √(εt(1−t))
_LATTICE_LIGHT = 1e-12
_LONG = 5000  # nodes on the line from which on a lattice is cheaper
_MANY = 100  # nodes from which on a coarser rule around each is enough


def lattice_serves(bridge: SchrodingerBridge, t: float) -> bool:
    """Whether a lattice integrates better than nodes blurred one by one: for smooth ν, and away from the ends."""
    space = bridge.dim in (2, 3) and (_EARLY <= t < 0.5 or not bridge.atomic)
    return space or (bridge.dim == 1 and not bridge.atomic and bridge.mu.size > _LONG)


def law_around_nodes(bridge: SchrodingerBridge, potentials: Potentials, t: float) -> DiscreteLaw:
    """A Gaussian rule around every node: those of ν for t ≥ 1/2, those of μ before; 0 < t < 1."""
    late = t >= 0.5
    nodes = potentials.nu_nodes if late else potentials.ratio_nodes
    weight = bridge.reconstruction.weights if late else bridge.mu.weights
    heavy = np.asarray(weight[weight > 0] > _LIGHT)
    z, w = gaussian_rule(bridge.dim, 0.25 if heavy.sum() <= _MANY else 0.5, coarse=not late)
    spread = np.sqrt(bridge.epsilon * ((1.0 - t) if late else t))
    points = (nodes.points[heavy, None, :] + spread * z).reshape(-1, bridge.dim)
    other = potentials.phi_hat(t, points)[0] if late else potentials.phi(t, points)[0]
    weights = np.exp(other.reshape(-1, len(w)) + nodes.log_mass[heavy, None]) * w
    keep = weights.ravel() > 0
    return DiscreteLaw(points[keep], weights.ravel()[keep])


def law_on_lattice(bridge: SchrodingerBridge, t: float) -> DiscreteLaw:
    """Lattice whose spacing resolves √(εt(1−t)), or ν itself where that is smooth; 0 < t < 1, d ≤ 3."""
    spread = np.sqrt(bridge.epsilon * t * (1.0 - t))
    step = _LATTICE[bridge.dim] * spread
    ends = bridge.mu.points[bridge.mu.weights > _LATTICE_LIGHT * bridge.mu.weights.max()]
    if not bridge.atomic:
        step = max(step, 0.7 * spacing(bridge.reconstruction.points))
    axes = [
        np.arange(np.floor((a - 6 * spread) / step), np.ceil((b + 6 * spread) / step) + 1) * step
        for a, b in zip(ends.min(axis=0), ends.max(axis=0), strict=True)
    ]
    points = np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1).reshape(-1, bridge.dim)
    weights = bridge.density(t, points) * step**bridge.dim
    keep = weights > _LIGHT
    return DiscreteLaw(points[keep], weights[keep])
