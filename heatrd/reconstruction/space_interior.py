"""Optimal weights on given points: a primal–dual interior-point method (DESIGN §2).

In units of √ε, over w ≥ 0 minimise Φ(w) = −Σ_i μ_i log(Kw)_i + Σ_j w_j (at the minimum Σw = 1). With
α_i Z_i = μ_i, Z = Kw, slacks s = 1 − Kᵀα ≥ 0 and w∘s = τ, one Newton step solves

    (H + diag(s/w)) Δw = (τ − corrector)/w − (1 − Kᵀ(μ/Z)),     H = Kᵀ diag(μ/Z²) K,

scaled symmetrically by √w, with Mehrotra's predictor and corrector. The points are kept in tiles, so
H costs only what overlaps.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import cho_factor, cho_solve

from heatrd.quadrature.tiles import Tiles, posterior

__all__ = ["Weights", "optimal_weights", "tile_hessian"]

FloatArray = NDArray[np.float64]

_DROP = 26.0  # terms below a relative 5e-12 are left out here


Assembly = Callable[[FloatArray], tuple[FloatArray, FloatArray]]


def tile_hessian(tiles: Tiles, points: FloatArray, weights: FloatArray) -> tuple[FloatArray, FloatArray]:
    """c at the points, and √w H √w (dense), from tiles."""
    m = len(points)
    c, hessian = np.zeros(m), np.zeros((m, m))
    root = np.sqrt(weights)
    for rows, near, p, _ in posterior(tiles, points, np.log(weights), _DROP):
        mu = tiles.weights[rows]
        c[near] += (mu @ p) / weights[near]
        p *= np.sqrt(mu)[:, None]
        p /= root[near]
        hessian[np.ix_(near, near)] += p.T @ p
    return c, hessian


def _longest(x: FloatArray, dx: FloatArray) -> float:
    down = dx < 0
    return min(1.0, float(np.min(-x[down] / dx[down]))) if down.any() else 1.0


@dataclass(frozen=True, slots=True, eq=False)
class Weights:
    """Weights (sum one), slacks 1 − c of the unnormalised problem, which are active, mean weighted complementarity."""

    weights: FloatArray
    slacks: FloatArray
    active: NDArray[np.bool_]
    complementarity: float
    iterations: int


def optimal_weights(
    assemble: Assembly, start: FloatArray, mass: FloatArray, *, tol: float = 1e-9, iterations: int = 50
) -> Weights:
    """Minimise F over the weights of given points.

    Parameters
    ----------
    assemble : callable
        w ↦ (c at the points, √w H √w), such as `tile_hessian` with its first two arguments filled in.
    start : (m,) array
        Positive starting weights.
    mass : (m,) array
        Mass m_j of μ around each point; the central path is w_j s_j = τ m_j, so that atoms in
        a tail are resolved as early as those in the bulk.
    tol : float
        Stop at τ ≤ tol with excess max m_j (c_j − 1) ≤ 10 tol.
    """
    m = np.maximum(mass, 1e-25)
    w = np.maximum(start / start.sum(), 1e-6 * m)
    s = np.zeros(0)
    tau, done = np.inf, 0
    while done < iterations:
        done += 1
        c, h = assemble(w)
        if not s.size:
            s = np.maximum(1.0 - c, 0.1 * np.minimum(m / w, 10.0))
        residual = s - (1.0 - c)
        tau = float(np.mean(w * s / m))
        if tau <= tol and float(np.max(m * (c - 1.0))) <= 10 * tol:
            break
        root = np.sqrt(w)
        h[np.diag_indices(len(w))] += s + 1e-14
        try:
            factor = cho_factor(h, lower=True, overwrite_a=True, check_finite=False)
        except np.linalg.LinAlgError:
            break
        dw, ds = _direction(factor, root, w, s, residual, np.zeros(len(w)))
        a, b = _longest(w, dw), _longest(s, ds)
        affine = float(np.mean(np.maximum((w + a * dw) * (s + b * ds), 0.0) / m))
        sigma = min(affine / tau, 1.0) ** 3
        dw, ds = _direction(factor, root, w, s, residual, sigma * tau * m - dw * ds)
        w = np.maximum(w + 0.99 * _longest(w, dw) * dw, 1e-300)
        s = np.maximum(s + 0.99 * _longest(s, ds) * ds, 1e-300)
    return Weights(w / w.sum(), s, w / m > s, tau, done)


def _direction(
    factor: tuple[FloatArray, bool],
    root: FloatArray,
    w: FloatArray,
    s: FloatArray,
    residual: FloatArray,
    target: FloatArray,
) -> tuple[FloatArray, FloatArray]:
    """Solve S Δw + W Δs = target − w s with Δs = HΔw − residual."""
    rhs = (target - w * s) + w * residual
    step = root * cho_solve(factor, rhs / root, check_finite=False)
    return step, (target - w * s - s * step) / w
