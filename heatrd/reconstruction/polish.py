"""Interior-point Newton on weights and positions together.

With η = y/√ε the Lagrangian Φ = −Σ_i μ_i log Σ_j ν_j k(x_i − y_j) + Σ_j ν_j has

    ∂Φ/∂ν_j = 1 − c_j,        ∂Φ/∂η_j = −ν_j √ε c′_j,

and its Hessian is Σ_i μ_i v_i v_iᵀ (v_i = posterior weights and their first moments) plus 2 × 2 blocks of c′ and
c″. Weights are kept positive by a
barrier with slack s_j (1 − c_j = s_j, ν_j s_j = τ_j); positions of *free* nodes are Newton variables, the others
stay: on stretches where c ≈ 1
everywhere the positions of the atoms do not matter, and Newton on them would only wander. Rows and columns are
scaled by √ν_j, so
that an atom of weight 1e-12 in a tail counts as much as a heavy one.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from heatrd.certificate.beyond import Beyond
from heatrd.errors import TooLarge
from heatrd.kernels import line as kernels
from heatrd.reconstruction.interior_point import Nodes, longest_step

__all__ = ["polish"]

FloatArray = NDArray[np.float64]
BoolArray = NDArray[np.bool_]

_REACH = 8.5


@dataclass(slots=True, eq=False)
class _State:
    y: FloatArray
    nu: FloatArray
    c: FloatArray
    c1: FloatArray
    c2: FloatArray
    column: NDArray[np.int64]  # of each log-weight among the variables; a free position follows its weight
    band: FloatArray


def _evaluate(
    x: FloatArray,
    mass: FloatArray,
    y: FloatArray,
    nu: FloatArray,
    fixed: FloatArray,
    root: float,
    free: BoolArray,
    beyond: Beyond | None,
) -> _State:
    lo, hi = kernels.windows(x, y, root, _REACH)
    m = y.size
    column = np.concatenate([[0], np.cumsum(1 + free)])
    band = np.zeros((int(column[-1]), int((column[hi] - column[lo]).max())))
    c, c1, c2 = np.empty(m), np.empty(m), np.empty(m)
    kernels.newton_system(x, mass, y, np.log(nu), fixed, root, lo, hi, column, band, c, c1, c2)
    if beyond is None:
        return _State(y, nu, c, c1, c2, column[:-1], band)
    more = beyond.at(y, root)
    return _State(y, nu, c + more[0], c1 + more[1], c2 + more[2], column[:-1], band)


def _factor(state: _State, slack: FloatArray, free: BoolArray, damping: float) -> FloatArray | None:
    band, weight = state.band.copy(), state.column
    band[weight, 0] += slack
    if free.any():
        position = weight[free] + 1
        band[position, 0] += np.maximum(-state.c2[free], 0.0) + damping
        band[weight[free], 1] -= state.c1[free]
    return band if kernels.band_cholesky(band) else None


def _direction(
    state: _State, factor: FloatArray, slack: FloatArray, free: BoolArray, tau: FloatArray
) -> tuple[FloatArray, FloatArray, FloatArray]:
    root_nu, weight = np.sqrt(state.nu), state.column
    right = np.empty(factor.shape[0])
    right[weight] = root_nu * (state.c - 1 + tau / state.nu)
    right[weight[free] + 1] = (root_nu * state.c1)[free]
    kernels.band_solve(factor, right)
    dnu = root_nu * right[weight]
    ds = (tau - state.nu * slack - slack * dnu) / state.nu
    deta = np.zeros(state.y.size)
    deta[free] = right[weight[free] + 1] / root_nu[free]
    return dnu, deta, ds


def polish(
    x: FloatArray,
    mass: FloatArray,
    nodes: Nodes,
    epsilon: float,
    *,
    background: FloatArray | None = None,
    beyond: Beyond | None = None,
    residual: float = 1e-13,
    slack_start: float = 1e-6,
    iterations: int = 25,
) -> Nodes:
    """Iterate the joint interior-point Newton from a start near the optimum.

    Parameters
    ----------
    x, mass : (n,) arrays
        Source nodes (sorted) and masses.
    nodes : Nodes
        Start.
    background : (n,) array, optional
        Log-potential of everything that is held fixed.
    beyond : Beyond, optional
        What the dual beyond the cuts adds to c.
    residual : float
        Stop when the KKT residual max(|1 − c − s|, √ε |c′| of free atoms, relative complementarity) is below this.
    slack_start : float
        First slack, about the violation of c ≤ 1 at the start.
    """
    if x.size == 0:
        raise TooLarge("√ε is below the rounding of the atoms' positions; use a larger epsilon")
    root = math.sqrt(epsilon)
    fixed = np.full(x.size, -np.inf) if background is None else background
    free, envelope = nodes.free, nodes.envelope
    state = _evaluate(x, mass, nodes.y, nodes.nu, fixed, root, free, beyond)
    slack = np.maximum(1 - state.c, slack_start)
    damping = 1e-9
    best = Nodes(nodes.y, nodes.nu, envelope, slack, free)
    for used in range(iterations + 1):
        mean = float((state.nu * slack / envelope).mean())
        now = max(mean, float(np.max(np.abs(1 - state.c - slack))), float(np.max(np.abs(state.c1[free]), initial=0.0)))
        if not math.isfinite(now):
            break
        if now < best.residual:
            best = Nodes(state.y, state.nu, envelope, slack, free, now, used)
        if now <= residual or used == iterations:
            break
        damping = max(0.1 * damping, 1e-12)
        factor = _factor(state, slack, free, damping)
        while factor is None and damping < 1.0:
            damping = 10 * max(damping, 1e-8)
            factor = _factor(state, slack, free, damping)
        if factor is None:
            break
        dnu, deta, ds = _direction(state, factor, slack, free, np.zeros_like(slack))
        alpha = min(1.0, longest_step(state.nu, dnu), longest_step(slack, ds))
        ahead = float(((state.nu + alpha * dnu) * (slack + alpha * ds) / envelope).mean())
        sigma = min(1.0, max(ahead / mean, 0.0) ** 3)
        tau = np.maximum(sigma * mean * envelope - (dnu * ds if alpha > 0.1 else 0.0), 0.0)
        dnu, deta, ds = _direction(state, factor, slack, free, tau)
        a = min(1.0, 0.995 * longest_step(state.nu, dnu), 0.3 / max(float(np.max(np.abs(deta))), 1e-300))
        y, nu = state.y + a * root * deta, np.maximum(state.nu + a * dnu, 1e-280)
        slack = np.maximum(slack + min(1.0, 0.995 * longest_step(slack, ds)) * ds, 1e-18)
        if np.any(np.diff(y) <= 0):
            order = np.argsort(y, kind="stable")
            y, nu, slack, envelope, free = y[order], nu[order], slack[order], envelope[order], free[order]
        state = _evaluate(x, mass, y, nu, fixed, root, free, beyond)
    return best
