"""Positions and weights of atoms together: Levenberg–Marquardt on the exact Hessian (DESIGN §2).

In units of √ε, with P_ij = w_j k(x_i − y_j)/Z(x_i), ξ_ij = x_i − y_j and the unnormalised objective
Φ = −Σ_i μ_i log Z_i + Σ_j w_j, steps are measured in q_j = √w_j (δ log w_j, δ y_j). Then

    gradient_j = √w_j (1 − c_j, −∇c_j),
    Hessian    = GᵀG − blockdiag [[c_j − 1, ∇c_jᵀ], [∇c_j, ∇²c_j]],   G_i,j = √μ_i P_ij (1, ξ_ij)/√w_j.

At the solution the first diagonal block vanishes and −∇²c_j ≥ 0. In this scale the Hessian's entries
are of order one for heavy and light atoms alike. Symmetric sources have flat directions: the
shift λ keeps the steps finite there, and they do not move c.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import cho_factor, cho_solve

from heatrd.quadrature.tiles import Tiles, posterior

__all__ = ["Polished", "polish"]

FloatArray = NDArray[np.float64]


@dataclass(slots=True)
class _State:
    """Objective and first two derivatives at one set of atoms."""

    points: FloatArray
    weights: FloatArray
    objective: float
    c: FloatArray
    gradient: FloatArray
    hessian: FloatArray | None

    def residual(self) -> float:
        """√(Σ w ((1 − c)² + ‖∇c‖²)): the gradient's norm in the scaled variables."""
        return float(np.sqrt(self.weights @ ((1 - self.c) ** 2 + (self.gradient**2).sum(axis=1))))


def _evaluate(tiles: Tiles, points: FloatArray, weights: FloatArray, second: bool) -> _State:
    m, d = points.shape
    size = 1 + d
    objective = float(weights.sum())
    c, gradient = np.zeros(m), np.zeros((m, d))
    hessian = np.zeros((m * size, m * size)) if second else None
    blocks = np.zeros((m, size, size))
    root = np.sqrt(weights)
    for rows, near, p, log_z in posterior(tiles, points, np.log(weights)):
        x, mu = tiles.points[rows], tiles.weights[rows]
        objective -= float(mu @ log_z)
        xi = x[:, None, :] - points[near]
        p /= root[near]  # P/√w
        weighted = mu[:, None] * p  # μP/√w
        c[near] += weighted.sum(axis=0) / root[near]
        first = np.einsum("ij,ijk->jk", weighted, xi)
        gradient[near] += first / root[near][:, None]
        if hessian is None:
            continue
        g = np.empty((len(x), len(near), size))
        g[:, :, 0] = p
        g[:, :, 1:] = p[:, :, None] * xi
        g *= np.sqrt(mu)[:, None, None]
        flat = g.reshape(len(x), -1)
        index = (near[:, None] * size + np.arange(size)).ravel()
        hessian[np.ix_(index, index)] += flat.T @ flat
        for a in range(d):
            for b in range(a, d):
                second_moment = np.einsum("ij,ij,ij->j", weighted, xi[:, :, a], xi[:, :, b]) / root[near]
                blocks[near, 1 + a, 1 + b] += second_moment
                if a != b:
                    blocks[near, 1 + b, 1 + a] += second_moment
    if hessian is not None:
        blocks[:, 0, 0] = c - 1
        blocks[:, 0, 1:] = gradient
        blocks[:, 1:, 0] = gradient
        blocks[:, 1:, 1:] -= c[:, None, None] * np.eye(d)
        view = hessian.reshape(m, size, m, size)
        j = np.arange(m)
        view[j, :, j, :] -= blocks
    return _State(points, weights, objective, c, gradient, hessian)


@dataclass(frozen=True, slots=True, eq=False)
class Polished:
    """Atoms after polishing (units of √ε); ``residual`` is the scaled gradient's norm."""

    points: FloatArray
    weights: FloatArray
    c: FloatArray
    residual: float
    iterations: int


def _step(state: _State, shift: float) -> tuple[FloatArray, FloatArray, float] | None:
    """Return (δ log w, δ y, predicted decrease) of the shifted Newton step, or None where it is not convex."""
    m, d = state.points.shape
    assert state.hessian is not None
    root = np.sqrt(state.weights)
    g = np.empty((m, 1 + d))
    g[:, 0] = 1 - state.c
    g[:, 1:] = -state.gradient
    g *= root[:, None]
    matrix = state.hessian.copy()
    matrix[np.diag_indices(len(matrix))] += shift
    try:
        factor = cho_factor(matrix, lower=True, overwrite_a=True, check_finite=False)
    except np.linalg.LinAlgError:
        return None
    q = -cho_solve(factor, g.ravel(), check_finite=False)
    step = q.reshape(m, 1 + d) / root[:, None]
    return step[:, 0], step[:, 1:], float(-0.5 * g.ravel() @ q)


def polish(
    tiles: Tiles, points: FloatArray, weights: FloatArray, *, tol: float = 1e-11, iterations: int = 40, shift: float = 1e-4
) -> Polished:
    """Minimise F over positions and weights from a start near the solution.

    Parameters
    ----------
    tiles : Tiles
        The discretised source, units of √ε.
    points, weights : (m, d), (m,) arrays
        Start.
    tol : float
        Stop when the scaled gradient's norm is below this.
    """
    state = _evaluate(tiles, points, weights, True)
    done = 0
    for done in range(1, iterations + 1):
        residual = state.residual()
        if residual <= tol:
            break
        accepted = False
        for _ in range(12):
            step = _step(state, shift)
            if step is None:
                shift = max(4 * shift, 1e-12)
                continue
            dl, dy, predicted = step
            length = np.maximum(np.abs(dl) / 1.5, np.sqrt((dy**2).sum(axis=1)) / 0.6)
            clip = 1.0 / np.maximum(length, 1.0)  # atom by atom: a restless light atom must not hold up the others
            trial = _evaluate(tiles, state.points + clip[:, None] * dy, state.weights * np.exp(clip * dl), False)
            noise = 1e-14 * (1 + abs(state.objective))
            gain = state.objective - trial.objective
            if gain > 1e-3 * predicted or (abs(gain) <= 10 * noise and trial.residual() < 0.9 * residual):
                accepted = True
                good = gain > 0.5 * predicted
                small = abs(gain) <= 10 * noise
                shift = max(shift * (0.1 if good or small else 0.5), 1e-13)
                state = _evaluate(tiles, trial.points, trial.weights, True)
                break
            shift = max(6 * shift, 1e-12)
            if shift > 1e3:
                break
        if not accepted:
            break
    return Polished(state.points, state.weights, state.c, state.residual(), done)
