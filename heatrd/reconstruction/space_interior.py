"""Optimal weights on given points: a primal–dual interior-point method (DESIGN §2).

In units of √ε, over w ≥ 0 minimise Φ(w) = −Σ_i μ_i log(Kw)_i + Σ_j w_j (at the minimum Σw = 1). With
α_i Z_i = μ_i, Z = Kw, slacks s = 1 − Kᵀα ≥ 0 and w∘s = τ, one Newton step solves

    (H + diag(s/w)) Δw = (τ − corrector)/w − (1 − Kᵀ(μ/Z)),     H = Kᵀ diag(μ/Z²) K,

scaled symmetrically by √w, with Mehrotra's predictor and corrector, and Gondzio's. The points are kept in tiles, so
H costs only what overlaps.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from heatrd.kernels import gram as gram_kernels
from heatrd.kernels.posterior import posterior_moments
from heatrd.quadrature.tiles import Tiles, near_atoms
from heatrd.reconstruction.cholesky import Factor, factorised

__all__ = ["Weights", "gram_scratch", "optimal_additions", "optimal_weights", "posterior_gram", "tile_hessian"]

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]

_DROP = 26.0  # terms of c below a relative 5e-12 are left out here
_DROP_SQUARED = 16.0  # and in H, which only steers the step, below 1e-7
_LEAST_PROGRESS = 0.1  # every step aims at this share of τ at most: many atoms that all but coincide slow it down
_ROOM = 1e-2  # of the mass around it: what the slack of a heavy atom starts with
_CORRECTIONS = 3  # Gondzio's, at most
_CENTRED = (0.1, 10.0)  # products outside this range of the goal are brought back to it


Assembly = Callable[[FloatArray], tuple[FloatArray, FloatArray]]


def posterior_gram(
    tiles: Tiles,
    mu: FloatArray,
    points: FloatArray,
    log_w: FloatArray,
    drop: float,
    size: int,
    *,
    single: bool = False,
) -> tuple[FloatArray, FloatArray]:
    """Σ_i g_i g_iᵀ, g_ij = √μ_i P_ij (1, x_i − y_j)/√w_j, lower half, (m·size, m·size), size = 1 or 1 + d.

    With size > 1 also Σ_i μ_i P_ij (x_i − y_j)(x_i − y_j)ᵀ/w_j, (m, d, d), upper half. Posterior masses below
    e^−drop are left out. ``single``: the products in single precision, which leaves the sum positive to 1e-7 only.
    """
    m, d = points.shape
    gram, second = np.zeros((m * size, m * size)), np.zeros((m if size > 1 else 0, d, d))
    pointer, near = near_atoms(tiles, points, log_w, drop)
    work, block = gram_scratch(tiles, pointer, size, np.float32 if single else np.float64)
    kernel = tiles.points, mu, tiles.starts, points, log_w, pointer, near, drop, size, work, block, gram, second
    gram_kernels.posterior_gram(*kernel)
    return gram, second


def gram_scratch(tiles: Tiles, pointer: IntArray, size: int, kind: type) -> tuple[NDArray[Any], NDArray[Any]]:
    """Memory for the features of any one tile, and for their products."""
    seen = np.diff(pointer) * size
    features = int((np.diff(tiles.starts) * seen).max(initial=0))
    return np.empty(features, dtype=kind), np.empty(int(seen.max(initial=0)) ** 2, dtype=kind)


def tile_hessian(tiles: Tiles, points: FloatArray, weights: FloatArray) -> tuple[FloatArray, FloatArray]:
    """c at the points, and the lower half of √w H √w, from tiles."""
    m, log_w = len(points), np.log(weights)
    pointer, near = near_atoms(tiles, points, log_w, _DROP)
    c, gradient, log_z = np.zeros(m), np.zeros(points.shape), np.empty(tiles.size)
    where = tiles.points, tiles.weights, tiles.starts, points, log_w, pointer, near
    posterior_moments(*where, _DROP, log_z, c, gradient)
    return c, posterior_gram(tiles, tiles.weights, points, log_w, _DROP_SQUARED, 1)[0]


def _longest(x: FloatArray, dx: FloatArray) -> float:
    down = dx < 0
    return min(1.0, float(np.min(-x[down] / dx[down]))) if down.any() else 1.0


@dataclass(frozen=True, slots=True, eq=False)
class Weights:
    """Weights (sum one), slacks 1 − c of the unnormalised problem, which are active, complementarity Σws/Σm."""

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
        w ↦ (c at the points, √w H √w, of which the lower half is read), such as `tile_hessian` with its first two
        arguments filled in.
    start : (m,) array
        Positive starting weights.
    mass : (m,) array
        Mass m_j of μ around each point; the central path is w_j s_j = τ m_j, so that atoms in
        a tail are resolved as early as those in the bulk.
    tol : float
        Stop at τ ≤ tol with excess max m_j (c_j − 1) ≤ 10 tol.
    """
    m = np.maximum(mass, 1e-25)
    start = np.maximum(start / start.sum(), 1e-6 * m)
    w, s, tau, done = _followed(assemble, start, m, m, _ROOM * np.minimum(m / start, 10.0), tol, iterations)
    return Weights(w / w.sum(), s, w / m > s, tau, done)


def optimal_additions(assemble: Assembly, matter: FloatArray, excess: FloatArray, *, tol: float = 1e-3) -> FloatArray:
    """Minimise Φ over weights η ≥ 0 that are added to a given Z, which keeps its weight.

    Parameters
    ----------
    assemble : callable
        η ↦ (c at the points, √η H √η), as for `optimal_weights`.
    matter : (m,) array
        The order of the weights, positive: start and, times the excess, central path.
    excess : (m,) array
        c − 1 at the points with nothing added, or (c − 1)/c where that is large; positive: the order of the slacks.
    tol : float
        Stop where all that is left of the excess, and of the weight of points that need none, is this share.

    Returns
    -------
    (m,) array
        η.
    """
    return _followed(assemble, matter, matter * excess, 1 / excess, excess, tol, 40)[0]


def _followed(
    assemble: Assembly,
    w: FloatArray,
    m: FloatArray,
    matters: FloatArray,
    room: FloatArray,
    tol: float,
    iterations: int,
) -> tuple[FloatArray, FloatArray, float, int]:
    """Weights, slacks and τ = Σws/Σm along the central path w∘s = τ m, until τ ≤ tol and ``matters`` (c − 1) ≤ 10 tol.

    Slacks start at ``room`` at least. The mean of ws/m itself would be set by a few atoms far from the path.
    """
    s, whole = np.zeros(0), float(m.sum())
    tau, done = np.inf, 0
    while done < iterations:
        done += 1
        c, h = assemble(w)
        if not s.size:
            s = np.maximum(1.0 - c, room)
        residual = s - (1.0 - c)
        tau = float(w @ s) / whole
        if tau <= tol and float(np.max(matters * (c - 1.0))) <= 10 * tol:
            break
        root = np.sqrt(w)
        h[np.diag_indices(len(w))] += s + 1e-14
        try:
            factor = factorised(h)
        except np.linalg.LinAlgError:
            break
        towards = partial(_direction, factor, root, w, s, residual)
        dw, ds = towards(np.zeros(len(w)))
        affine = np.maximum((w + _longest(w, dw) * dw) * (s + _longest(s, ds) * ds), 0.0)
        sigma = min((float(affine.sum()) / (tau * whole)) ** 3, _LEAST_PROGRESS)
        dw, ds, a, b = _centred(towards, w, s, sigma * tau * m, sigma * tau * m - dw * ds)
        w = np.maximum(w + 0.99 * a * dw, 1e-300)
        s = np.maximum(s + 0.99 * b * ds, 1e-300)
    return w, s, tau, done


def _centred(
    towards: Callable[[FloatArray], tuple[FloatArray, FloatArray]],
    w: FloatArray,
    s: FloatArray,
    goal: FloatArray,
    target: FloatArray,
) -> tuple[FloatArray, FloatArray, float, float]:
    """Δw, Δs and the longest steps, lengthened by Gondzio's corrections as those of `space_moments`."""
    dw, ds = towards(target)
    a, b = _longest(w, dw), _longest(s, ds)
    low, high = _CENTRED[0] * goal, _CENTRED[1] * goal
    for _ in range(_CORRECTIONS):
        products = (w + min(1.0, 1.08 * a + 0.1) * dw) * (s + min(1.0, 1.08 * b + 0.1) * ds)
        target = target + np.maximum(np.clip(products, low, high) - products, -high)
        trial = towards(target)
        longer = _longest(w, trial[0]), _longest(s, trial[1])
        if sum(longer) < a + b + 0.01:
            break
        (dw, ds), (a, b) = trial, longer
    return dw, ds, a, b


def _direction(
    factor: Factor,
    root: FloatArray,
    w: FloatArray,
    s: FloatArray,
    residual: FloatArray,
    target: FloatArray,
) -> tuple[FloatArray, FloatArray]:
    """Solve S Δw + W Δs = target − w s with Δs = HΔw − residual."""
    rhs = (target - w * s) + w * residual
    step = root * factor.solve(rhs / root)
    return step, (target - w * s - s * step) / w
