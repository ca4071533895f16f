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

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import cho_factor, cho_solve

from heatrd.quadrature.tiles import Tiles, posterior

__all__ = ["Polished", "State", "polish", "tile_state"]

FloatArray = NDArray[np.float64]

_SPECTRAL = 330  # unknowns up to which the Hessian is diagonalised


@dataclass(slots=True)
class State:
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

    def worst(self) -> float:
        """max_j |1 − c_j| and ‖∇c_j‖: what the light atoms still lack."""
        return float(np.sqrt(((1 - self.c) ** 2 + (self.gradient**2).sum(axis=1)).max()))


Evaluation = Callable[[FloatArray, FloatArray, bool], State]


def tile_state(tiles: Tiles, points: FloatArray, weights: FloatArray, second: bool) -> State:
    """Objective, c, ∇c and (if ``second``) the Hessian, from tiles."""
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
    return State(points, weights, objective, c, gradient, hessian)


@dataclass(frozen=True, slots=True, eq=False)
class Polished:
    """Atoms after polishing (units of √ε); ``residual`` is the largest |1 − c_j|, ‖∇c_j‖."""

    points: FloatArray
    weights: FloatArray
    c: FloatArray
    residual: float
    iterations: int


class _Newton:
    """Steps from one state: (|Λ| + shift)⁻¹ on the eigenvectors where that is cheap, else Cholesky of H + shift."""

    def __init__(self, state: State) -> None:
        assert state.hessian is not None
        m, d = state.points.shape
        self.state, self.root = state, np.sqrt(state.weights)
        g = np.empty((m, 1 + d))
        g[:, 0] = 1 - state.c
        g[:, 1:] = -state.gradient
        g *= self.root[:, None]
        self.gradient = g.ravel()
        self.values: FloatArray | None = None
        if len(self.gradient) <= _SPECTRAL:
            self.values, self.vectors = np.linalg.eigh(state.hessian)

    def _split(self, q: FloatArray) -> tuple[FloatArray, FloatArray]:
        step = q.reshape(len(self.root), -1) / self.root[:, None]
        return step[:, 0], step[:, 1:]

    def step(self, shift: float) -> tuple[FloatArray, FloatArray, float] | None:
        """(δ log w, δ y, predicted decrease), or None where the shifted Hessian is not positive."""
        if self.values is not None:
            q = -self.vectors @ ((self.vectors.T @ self.gradient) / (np.abs(self.values) + shift))
        else:
            matrix = self.state.hessian.copy()  # type: ignore[union-attr]
            matrix[np.diag_indices(len(matrix))] += shift
            try:
                factor = cho_factor(matrix, lower=True, overwrite_a=True, check_finite=False)
            except np.linalg.LinAlgError:
                return None
            q = -cho_solve(factor, self.gradient, check_finite=False)
        return (*self._split(q), float(-0.5 * self.gradient @ q))

    def escape(self) -> list[tuple[FloatArray, FloatArray]]:
        """Trial steps along the direction of most negative curvature (a saddle: an atom about to split)."""
        if self.values is None or self.values[0] > -1e-8:
            return []
        dl, dy = self._split(self.vectors[:, 0])
        size = max(float(np.abs(dl).max()) / 0.5, float(np.abs(dy).max()), 1e-300)
        return [(sign * t / size * dl, sign * t / size * dy) for t in (0.4, 0.1, 0.02) for sign in (1.0, -1.0)]


def polish(
    evaluate: Evaluation,
    points: FloatArray,
    weights: FloatArray,
    *,
    tol: float = 1e-11,
    iterations: int = 40,
    shift: float = 1e-4,
) -> Polished:
    """Minimise F over positions and weights from a start near the solution.

    Parameters
    ----------
    evaluate : callable
        (points, weights, second) ↦ `State`, such as `tile_state` with its first argument filled in.
    points, weights : (m, d), (m,) arrays
        Start.
    tol : float
        Stop when |1 − c_j| and ‖∇c_j‖ are below this at every atom.
    """
    state = evaluate(points, weights, True)
    done = 0
    while done < iterations:
        done += 1
        newton = _Newton(state)
        following = None if state.worst() <= tol else _descend(evaluate, newton, shift)
        if following is None:
            following = _escaped(evaluate, newton)
            if following is None:
                break
        state, shift = following[0], following[1] or shift
    return Polished(state.points, state.weights, state.c, state.worst(), done)


def _descend(evaluate: Evaluation, newton: _Newton, shift: float) -> tuple[State, float] | None:
    """One accepted step and the next shift; None where no step helps any more."""
    state = newton.state
    noise = 1e-13 * (1 + abs(state.objective))
    for _ in range(12):
        step = newton.step(shift)
        if step is None:
            shift = max(4 * shift, 1e-12)
            continue
        dl, dy, predicted = step
        length = np.maximum(np.abs(dl) / 1.5, np.sqrt((dy**2).sum(axis=1)) / 0.6)
        clip = 1.0 / np.maximum(length, 1.0)  # atom by atom: a restless light atom must not hold up the others
        trial = evaluate(state.points + clip[:, None] * dy, state.weights * np.exp(clip * dl), False)
        gain = state.objective - trial.objective
        silent = abs(gain) <= noise
        better = trial.residual() < 0.9 * state.residual() or trial.worst() < 0.9 * state.worst()
        if gain > max(1e-3 * predicted, noise) or (silent and better):
            good = silent or gain > 0.5 * predicted
            shift = max(shift * (0.1 if good else 0.5), 1e-13)
            return evaluate(trial.points, trial.weights, True), shift
        shift = max(6 * shift, 1e-12)
        if shift > 1e3:
            break
    return None


def _escaped(evaluate: Evaluation, newton: _Newton) -> tuple[State, float] | None:
    """Leave a saddle downhill; None at a minimum."""
    state = newton.state
    for dl, dy in newton.escape():
        trial = evaluate(state.points + dy, state.weights * np.exp(dl), False)
        if trial.objective < state.objective - 1e-13 * (1 + abs(state.objective)):
            return evaluate(trial.points, trial.weights, True), 0.0
    return None
