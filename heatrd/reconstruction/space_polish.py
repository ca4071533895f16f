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

import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import numpy as np
from numpy.typing import NDArray

from heatrd.certificate.space_dual import TILT_FLOOR, Tilt
from heatrd.kernels.posterior import posterior_moments, posterior_tilt
from heatrd.quadrature.tiles import Tiles, near_atoms
from heatrd.reconstruction.cholesky import Factor, factorised
from heatrd.reconstruction.space_interior import posterior_gram

__all__ = ["Polished", "State", "dual_tilt", "polish", "tile_state"]

FloatArray = NDArray[np.float64]

_DROP_SHARP = 26.0  # in the Hessian below 5e-12
_DROP_ROUGH = 16.0  # and in a rough one below 1e-7
_RESTLESS, _SWEEPS = 0.5, 10  # expectation–maximisation as long as c or ∇c of an atom are further off, at most
_LOWERED, _LOWERED_AFTER_FAILURE = (0.1, 0.5), (0.5, 1.0)  # the shift, after a good step and after another
_SHARES, _RAISED = (1.0, 0.3), 6.0  # of a step that are tried before the shift is raised by this factor
_SPECTRAL = 330  # unknowns up to which a saddle is looked for


@dataclass(slots=True)
class State:
    """Objective and first derivatives at one set of atoms; ``second`` works out the Hessian and its blocks B.

    The blocks, (m, 1 + d, 1 + d), have been subtracted from GᵀG on the diagonal of the Hessian.
    """

    points: FloatArray
    weights: FloatArray
    objective: float
    c: FloatArray
    gradient: FloatArray
    second: Callable[[], tuple[FloatArray, FloatArray]]

    def residual(self) -> float:
        """√(Σ w ((1 − c)² + ‖∇c‖²)): the gradient's norm in the scaled variables."""
        return float(np.sqrt(self.weights @ ((1 - self.c) ** 2 + (self.gradient**2).sum(axis=1))))

    def worst(self) -> float:
        """max_j |1 − c_j| and ‖∇c_j‖: what the light atoms still lack."""
        return float(np.sqrt(((1 - self.c) ** 2 + (self.gradient**2).sum(axis=1)).max()))


Evaluation = Callable[[FloatArray, FloatArray], State]


def tile_state(tiles: Tiles, points: FloatArray, weights: FloatArray, *, curvature: Tiles | None = None) -> State:
    """Objective, c, ∇c and, when asked for, the Hessian, from tiles.

    The Hessian only steers the steps. While they are long it may come from a coarser quadrature ``curvature``, and
    then leaves out posterior masses below 1e-7; the last steps need it sharp, because it is nearly singular.
    """
    m, d = points.shape
    log_w = np.log(weights)
    c, gradient, log_z = np.zeros(m), np.zeros((m, d)), np.empty(tiles.size)
    pointer, near = near_atoms(tiles, points, log_w)
    where = tiles.points, tiles.weights, tiles.starts, points, log_w, pointer, near
    posterior_moments(*where, tiles.drop, log_z, c, gradient)
    objective = float(weights.sum()) - float(tiles.weights @ log_z)
    steering = (tiles, _DROP_SHARP) if curvature is None else (curvature, _DROP_ROUGH)
    second = partial(_hessian, steering[0], points, log_w, c, gradient, steering[1])
    return State(points, weights, objective, c, gradient, second)


def _hessian(
    tiles: Tiles, points: FloatArray, log_w: FloatArray, c: FloatArray, gradient: FloatArray, drop: float
) -> tuple[FloatArray, FloatArray]:
    """GᵀG − blockdiag [[c − 1, ∇cᵀ], [∇c, ∇²c]], lower half, and the blocks."""
    m, d = points.shape
    size = 1 + d
    hessian, second = posterior_gram(tiles, tiles.weights, points, log_w, drop, size, single=drop <= _DROP_ROUGH)
    blocks = np.zeros((m, size, size))
    blocks[:, 0, 0] = c - 1
    blocks[:, 0, 1:] = blocks[:, 1:, 0] = gradient
    blocks[:, 1:, 1:] = second + np.triu(np.ones((d, d)), 1).T * second.transpose(0, 2, 1)
    blocks[:, 1:, 1:] -= c[:, None, None] * np.eye(d)
    j = np.arange(m)
    hessian.reshape(m, size, m, size)[j, :, j, :] -= blocks
    return hessian, blocks


def dual_tilt(
    tiles: Tiles,
    points: FloatArray,
    weights: FloatArray,
    damping: float,
    *,
    curvature: Tiles | None = None,
    steps: int = 3,
) -> Tilt:
    """Signed changes of the atoms after which c(y_j) = 1 and ∇c(y_j) = 0 at every atom where it stands.

    The dual point α = 1/Z̃, Z̃ = Σ_j w_j (1 + a_j + b_j·∇) k, need not come from a law, so Z̃ is linear in (a, b) and
    −Σ μ log Z̃ + Σ w_j a_j is convex: Newton's steps with the Hessian GᵀG. Its c misses 1 by the square of what the
    c of the law misses. The penalty ½ Σ (damping w_j + 1e-12)(a_j² + ‖b_j‖²) holds superfluous and weightless atoms.
    With ``curvature``, a coarser quadrature, the Hessian of the first step comes from there and serves for all.
    """
    m, d = points.shape
    log_w, root = np.log(weights), np.sqrt(weights)
    pointer, near = near_atoms(tiles, points, log_w)
    where = tiles.points, tiles.weights, tiles.starts, points, log_w, pointer, near
    a, b, r = np.zeros(m), np.zeros((m, d)), np.zeros(tiles.size)
    penalty = damping + 1e-12 / weights
    factor: Factor | None = None
    for _ in range(steps):
        tilted = tiles.weights / np.maximum(1 + r, TILT_FLOOR)
        c, gradient, log_z = np.zeros(m), np.zeros((m, d)), np.empty(tiles.size)
        posterior_moments(where[0], tilted, *where[2:], tiles.drop, log_z, c, gradient)
        g = np.column_stack([c - 1, gradient]) * root[:, None]
        g -= (penalty * root)[:, None] * np.column_stack([a, b])
        try:
            if factor is None or curvature is None:
                there = (tiles, tilted**2 / tiles.weights) if curvature is None else (curvature, curvature.weights)
                gram, _ = posterior_gram(*there, points, log_w, _DROP_SHARP, 1 + d)
                gram[np.diag_indices(len(gram))] += np.repeat(penalty, 1 + d)
                factor = factorised(gram, 1 + d)
            step = factor.solve(g.ravel())
        except np.linalg.LinAlgError:
            break
        step = step.reshape(m, 1 + d) / root[:, None]
        a, b = a + step[:, 0], b + step[:, 1:]
        posterior_tilt(where[0], *where[2:], tiles.drop, a, b, r)
    moments = np.zeros((m, (1 + d) * (2 + d) // 2))
    moments[:, 0], moments[:, 1 : 1 + d] = 1 + a, b
    return Tilt(points, log_w - np.log(weights.sum()), moments)


@dataclass(frozen=True, slots=True, eq=False)
class Polished:
    """Atoms after polishing (units of √ε); ``residual`` is the largest |1 − c_j|, ‖∇c_j‖."""

    points: FloatArray
    weights: FloatArray
    c: FloatArray
    residual: float
    iterations: int


class _Newton:
    """Steps from one state by a positive Hessian: GᵀG − B with the negative part of −B turned over, atom by atom.

    Where an atom stands at its local maximum of c, B has no positive part and the Hessian is the exact one.
    """

    def __init__(self, state: State) -> None:
        self.state, self.root = state, np.sqrt(state.weights)
        g = np.column_stack([1 - state.c, -state.gradient]) * self.root[:, None]
        self.gradient = g.ravel()
        self.matrix, blocks = state.second()
        values, vectors = np.linalg.eigh(blocks)
        turned = np.einsum("nij,nj,nkj->nik", vectors, 2 * np.maximum(values, 0.0), vectors)
        m, size = g.shape
        self.saddle = self.matrix.copy() if len(self.gradient) <= _SPECTRAL else None
        j = np.arange(m)
        self.matrix.reshape(m, size, m, size)[j, :, j, :] += turned

    def _split(self, q: FloatArray) -> tuple[FloatArray, FloatArray]:
        step = q.reshape(len(self.root), -1) / self.root[:, None]
        return step[:, 0], step[:, 1:]

    def step(self, shift: float) -> tuple[FloatArray, FloatArray, float] | None:
        """(δ log w, δ y, predicted decrease), or None where rounding leaves the matrix not positive."""
        try:
            factor = factorised(self.matrix, 1 + self.state.points.shape[1], shift=shift, overwrite=False)
        except np.linalg.LinAlgError:
            return None
        q = -factor.solve(self.gradient)
        return (*self._split(q), float(-0.5 * self.gradient @ q))

    def escape(self) -> list[tuple[FloatArray, FloatArray]]:
        """Trial steps along the direction of most negative curvature (a saddle: an atom about to split)."""
        if self.saddle is None:
            return []
        values, vectors = np.linalg.eigh(self.saddle)
        if values[0] > -1e-8:
            return []
        dl, dy = self._split(vectors[:, 0])
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
    idle: float = 0.0,
    deadline: float = np.inf,
) -> Polished:
    """Minimise F over positions and weights from a start near the solution.

    Parameters
    ----------
    evaluate : callable
        (points, weights) ↦ `State`, such as `tile_state` with its first argument filled in.
    points, weights : (m, d), (m,) arrays
        Start.
    tol : float
        Stop when |1 − c_j| and ‖∇c_j‖ are below this at every atom.
    iterations : int
        Most steps.
    shift : float
        Levenberg and Marquardt's, to start with.
    idle : float
        Stop after two steps that lower F by less than this together.
    deadline : float
        Processor time of this thread, seconds, after which no further step is taken.
    """
    state = _swept(evaluate, evaluate(points, weights))
    done, values = 0, [np.inf, np.inf, state.objective]
    while done < iterations and time.thread_time() < deadline and values[-3] - values[-1] >= idle:
        done += 1
        newton = _Newton(state)
        following = None if state.worst() <= tol else _descend(evaluate, newton, shift)
        if following is None:
            following = _escaped(evaluate, newton)
            if following is None:
                break
        state, shift = following[0], following[1] or shift
        values.append(state.objective)
    return Polished(state.points, state.weights, state.c, state.worst(), done)


def _swept(evaluate: Evaluation, state: State) -> State:
    """Sweeps of expectation–maximisation, w_j ← w_j c_j and y_j ← y_j + ∇c_j/c_j, which never raise F.

    They bring light atoms of the tails home, which have far to go and where the Hessian is indefinite.
    """
    for _ in range(_SWEEPS):
        if state.worst() < _RESTLESS:
            break
        c = np.maximum(state.c, 1e-3)
        state = evaluate(state.points + state.gradient / c[:, None], state.weights * c)
    return state


def _descend(evaluate: Evaluation, newton: _Newton, shift: float) -> tuple[State, float] | None:
    """One accepted step and the next shift; None where no step helps any more."""
    state = newton.state
    noise = 1e-13 * (1 + abs(state.objective))
    easier, same = _LOWERED
    for _ in range(12):
        step = newton.step(shift)
        if step is None:
            shift = max(4 * shift, 1e-12)
            continue
        dl, dy, predicted = step
        length = np.maximum(np.abs(dl) / 1.5, np.sqrt((dy**2).sum(axis=1)) / 0.6)
        clip = 1.0 / np.maximum(length, 1.0)  # atom by atom: a restless light atom must not hold up the others
        for share in _SHARES:
            part = share * clip
            trial = evaluate(state.points + part[:, None] * dy, state.weights * np.exp(part * dl))
            gain, expected = state.objective - trial.objective, share * (2 - share) * predicted
            silent = abs(gain) <= noise
            better = trial.residual() < 0.9 * state.residual() or trial.worst() < 0.9 * state.worst()
            if gain > max(1e-3 * expected, noise) or (silent and better):
                if share < 1:
                    return trial, max(_RAISED * shift, 1e-12)
                good = silent or gain > 0.5 * expected
                return trial, max(shift * (easier if good else same), 1e-13)
        shift, (easier, same) = max(_RAISED * shift, 1e-12), _LOWERED_AFTER_FAILURE
        if shift > 1e3:
            break
    return None


def _escaped(evaluate: Evaluation, newton: _Newton) -> tuple[State, float] | None:
    """Leave a saddle downhill; None at a minimum."""
    state = newton.state
    for dl, dy in newton.escape():
        trial = evaluate(state.points + dy, state.weights * np.exp(dl))
        if trial.objective < state.objective - 1e-13 * (1 + abs(state.objective)):
            return trial, 0.0
    return None
