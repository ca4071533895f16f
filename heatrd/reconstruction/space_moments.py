"""The convex problem near given centres: local moments up to second order (DESIGN (1), (2)).

In units of √ε let ν be spread over balls of radius r_j around centres y_j and be described by the moment matrix of each
ball, X_j = ∫ (1, δ)(1, δ)ᵀ ν(y_j + dδ), of size 1 + d. To third order in r

    Z(x) = Σ_j ⟨A_j(x), X_j⟩,   ⟨A, X⟩ = k(ξ) (X_00 + Σ_k X_0k ξ_k + ½ Σ_kl X_kl (ξ_k ξ_l − δ_kl)),   ξ = x − y_j,

and minimising Φ(X) = −∫ μ log Z + Σ_j X_j,00 over X_j ⪰ 0, ⟨Q_j, X_j⟩ ≥ 0, Q_j = diag(r_j², −1, …, −1), is convex:
where atoms stand close, or lie in a valley where c is flat to fourth order, Newton's steps on positions and weights
stall and this problem does not. Its dual variables

    S_j = E_00 − ∫ μ A_j/Z − λ_j Q_j ⪰ 0,   λ_j ≥ 0,

say that the quadratic Taylor polynomial of c at y_j is at most 1 on the ball, so 1/Z is feasible for the dual of (2)
up to third order. Solved by a primal–dual interior point with Nesterov–Todd scaling (X̃ = G⁻¹XG⁻ᵀ = GᵀSG diagonal)
and Mehrotra's corrector and Gondzio's, on the weighted central path X_j S_j = τ m_j I, λ_j ⟨Q_j, X_j⟩ = τ m_j:

    (H̃ + I + Σ_j (λ_j/t_j) q̃_j q̃_jᵀ) ΔX̃ = right side,   H̃ the Gram matrix of √μ Ã_j/Z.
"""

from __future__ import annotations

import math
import time
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from heatrd.certificate.space_dual import Tilt
from heatrd.kernels.gram import moment_gram
from heatrd.kernels.moments import moment_gradient, moment_log_sum, transform_blocks
from heatrd.quadrature.tiles import Tiles, near_atoms
from heatrd.reconstruction.cholesky import factorised
from heatrd.reconstruction.space_interior import gram_scratch

__all__ = ["Moments", "optimal_moments"]

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.intp]

_DROP_ROUGH = 22.0  # in the Hessian, which only steers the steps, below 3e-10
_SHORTEST = 1e-8  # steps cut shorter than this mean that rounding has taken over
_RIDGE = 1e-13  # of the diagonal: blocks that all but coincide
_STEP = 0.9  # of the way to the boundary
_CORRECTIONS = 3  # Gondzio's, at most
_CENTRED = (0.3, 3.0)  # products outside this range of the goal are brought back to it
_SPREAD = 0.15  # of the radius: a block spread less is one atom


@dataclass(frozen=True, slots=True, eq=False)
class Moments:
    """Moment matrices around centres.

    Attributes
    ----------
    points : (m, d) array
        Centres y_j, units of √ε.
    radii : (m,) array
    matrices : (m, 1 + d, 1 + d) array
        X_j.
    active : (m,) array of bool
        Blocks that carry mass.
    complementarity : float
        Mean of ⟨X_j, S_j⟩ and λ_j⟨Q_j, X_j⟩ in units of m_j.
    iterations : int
    """

    points: FloatArray
    radii: FloatArray
    matrices: FloatArray
    active: NDArray[np.bool_]
    complementarity: float
    iterations: int

    def dual(self) -> Tilt:
        """The signed law whose 1/Z is the dual point."""
        mass = self.matrices[:, 0, 0]
        rows, columns = np.triu_indices(self.matrices.shape[1])
        return Tilt(self.points, np.log(mass), np.ascontiguousarray(self.matrices[:, rows, columns] / mass[:, None]))

    def law(self) -> tuple[FloatArray, FloatArray]:
        """Atoms with these masses, means and covariances: a pair along each axis in which a block is spread."""
        x, radii = self.matrices[self.active], self.radii[self.active]
        mass, mean = x[:, 0, 0], x[:, 1:, 0] / x[:, :1, 0]
        covariance = x[:, 1:, 1:] / mass[:, None, None] - mean[:, :, None] * mean[:, None, :]
        variances, axes = np.linalg.eigh(covariance)
        spread = variances > (_SPREAD * radii[:, None]) ** 2
        count = spread.sum(axis=1)
        centre = self.points[self.active] + mean
        points, weights = [centre[count == 0]], [mass[count == 0]]
        for k in range(spread.shape[1]):
            split = spread[:, k]
            offset = np.sqrt(count[split] * variances[split, k])[:, None] * axes[split, :, k]
            points += [centre[split] + offset, centre[split] - offset]
            weights += [0.5 * mass[split] / count[split]] * 2
        return np.concatenate(points), np.concatenate(weights)


def _basis(size: int) -> FloatArray:
    """Orthonormal symmetric matrices, (size (size + 1)/2, size, size)."""
    rows, columns = np.triu_indices(size)
    out = np.zeros((len(rows), size, size))
    a = np.arange(len(rows))
    out[a, rows, columns] = out[a, columns, rows] = np.where(rows == columns, 1.0, math.sqrt(0.5))
    return out


class _Problem:
    """Z, the slack of the moments and the Hessian, from tiles; the Hessian may come from coarser ones."""

    def __init__(self, tiles: Tiles, curvature: Tiles, points: FloatArray, mass: FloatArray) -> None:
        self.tiles, self.curvature, self.points = tiles, curvature, points
        self.log_mass = np.log(mass)
        self.drop = tiles.drop
        self.basis = _basis(points.shape[1] + 1)
        self.rows, self.columns = np.triu_indices(points.shape[1] + 1)
        self.near = near_atoms(tiles, points, self.log_mass, self.drop)
        self.near_coarse = self.near if tiles is curvature else near_atoms(curvature, points, self.log_mass, self.drop)
        self.near_rough = near_atoms(curvature, points, self.log_mass, _DROP_ROUGH)

    def log_z(self, x: FloatArray) -> FloatArray:
        """log Z at the nodes; NaN where Z ≤ 0."""
        return self._log_sum(self.tiles, self.near, x)

    def _log_sum(self, tiles: Tiles, near: tuple[IntArray, IntArray], x: FloatArray) -> FloatArray:
        mass, out = x[:, 0, 0], np.empty(tiles.size)
        u = np.ascontiguousarray(x[:, self.rows, self.columns] / mass[:, None])
        moment_log_sum(tiles.points, tiles.starts, self.points, np.log(mass), u, *near, self.drop, out)
        return out

    def slack(self, log_z: FloatArray) -> FloatArray:
        """E_00 − ∫ μ A_j/Z."""
        t = self.tiles
        g = np.zeros((len(self.points), len(self.rows)))
        moment_gradient(t.points, t.weights, t.starts, self.points, self.log_mass, log_z, *self.near, self.drop, g)
        out = np.zeros((len(g), *self.basis.shape[1:]))
        g *= np.where(self.rows == self.columns, 1.0, 0.5)
        out[:, self.rows, self.columns] = out[:, self.columns, self.rows] = -g
        out[:, 0, 0] += 1
        return out

    def hessian(self, x: FloatArray, log_z: FloatArray, scaling: FloatArray) -> FloatArray:
        """The scaled Gram matrix, lower half, (m q, m q) in the orthonormal basis."""
        t, size = self.curvature, len(self.rows)
        if t is not self.tiles:
            log_z = self._log_sum(t, self.near_coarse, x)
        moved = np.einsum("nij,ajk,nlk->nail", scaling, self.basis, scaling)
        transform = np.ascontiguousarray(moved[:, :, self.rows, self.columns].swapaxes(1, 2))
        gram = np.zeros((size * len(self.points),) * 2)
        pointer, near = self.near_rough
        work, block = gram_scratch(t, pointer, size, np.float64)
        where = t.points, t.weights, t.starts, self.points, self.log_mass, log_z, pointer, near
        moment_gram(*where, _DROP_ROUGH, size, work, block, gram)
        transform_blocks(gram, transform)
        return gram


def _inner(a: FloatArray, b: FloatArray) -> FloatArray:
    return np.asarray(np.einsum("nij,nij->n", a, b))


@dataclass(slots=True)
class _Point:
    """A primal–dual point: X, S (m, k, k), λ (m,)."""

    x: FloatArray
    s: FloatArray
    multiplier: FloatArray


_Direction = tuple[FloatArray, FloatArray, FloatArray, FloatArray]  # ΔX̃, ΔS̃, Δ⟨Q, X⟩, Δλ


class _Scaled:
    """One Newton system in Nesterov–Todd coordinates, where X̃ = S̃ = diag(values)."""

    def __init__(
        self, problem: _Problem, at: _Point, log_z: FloatArray, residual: FloatArray, ball: FloatArray
    ) -> None:
        root = np.linalg.cholesky(at.x)
        _, self.values, right = np.linalg.svd(np.linalg.cholesky(at.s).swapaxes(1, 2) @ root)
        self.scaling = root @ right.swapaxes(1, 2) / np.sqrt(self.values)[:, None, :]
        self.inverse = np.sqrt(self.values)[:, :, None] * (right @ np.linalg.inv(root))
        transposed = self.scaling.swapaxes(1, 2)
        self.basis = problem.basis
        self.at, self.room = at, _inner(at.x, ball)
        self.residual = transposed @ residual @ self.scaling
        self.ball = self._coordinates(transposed @ ball @ self.scaling)
        matrix = problem.hessian(at.x, log_z, self.scaling)
        m, size = self.ball.shape
        j = np.arange(m)
        outer = (at.multiplier / self.room)[:, None, None] * self.ball[:, :, None] * self.ball[:, None, :]
        matrix.reshape(m, size, m, size)[j, :, j, :] += np.eye(size) + outer
        matrix[np.diag_indices(len(matrix))] *= 1 + _RIDGE
        self.factor = factorised(matrix, size)

    def _coordinates(self, symmetric: FloatArray) -> FloatArray:
        return np.asarray(np.einsum("aij,nij->na", self.basis, symmetric))

    def direction(self, target: FloatArray, product: FloatArray) -> _Direction:
        """ΔX̃, ΔS̃, Δ⟨Q, X⟩, Δλ towards X̃∘S̃ = Λ² + target and λ⟨Q, X⟩ raised by ``product``."""
        both = 2 * target / (self.values[:, :, None] + self.values[:, None, :])
        right = self._coordinates(both + self.residual) + (product / self.room)[:, None] * self.ball
        step = self.factor.solve(right.ravel()).reshape(right.shape)
        dx = np.einsum("na,aij->nij", step, self.basis)
        room = (self.ball * step).sum(axis=1)
        return dx, both - dx, room, (product - self.at.multiplier * room) / self.room

    def steps(self, direction: _Direction) -> tuple[float, float]:
        """The longest primal and dual step ≤ 1 to the boundary."""
        dx, ds, room, multiplier = direction
        return self._longest(dx, self.room, room), self._longest(ds, self.at.multiplier, multiplier)

    def products(self, direction: _Direction, a: float, b: float) -> tuple[FloatArray, FloatArray]:
        """Symmetric part of X̃S̃, and λ⟨Q, X⟩, after steps a and b."""
        dx, ds, room, multiplier = direction
        diagonal = self.values[:, :, None] * np.eye(self.values.shape[1])
        product = (diagonal + a * dx) @ (diagonal + b * ds)
        both = (self.room + a * room) * (self.at.multiplier + b * multiplier)
        return 0.5 * (product + product.swapaxes(1, 2)), both

    def _longest(self, change: FloatArray, value: FloatArray, d_value: FloatArray) -> float:
        """The longest step ≤ 1 that keeps a block positive and ``value`` too."""
        root = 1 / np.sqrt(self.values)
        lowest = np.linalg.eigvalsh(root[:, :, None] * change * root[:, None, :])[:, 0].min()
        lowest = min(float(lowest), float((d_value / value).min()))
        return min(1.0, -1 / lowest) if lowest < 0 else 1.0


def _start(problem: _Problem, weights: FloatArray, mass: FloatArray, radii: FloatArray) -> _Point:
    """Blocks spread over half their balls, with slacks on a wide central path."""
    m, size = len(weights), problem.basis.shape[1]
    variance = (0.5 * radii) ** 2 / (size - 1)
    x = np.eye(size) * variance[:, None, None]
    x[:, 0, 0] = 1.0
    x *= weights[:, None, None]
    level = 0.1 * np.minimum(mass / weights, 10.0)
    s = np.eye(size) * (level / variance)[:, None, None]
    s[:, 0, 0] = np.maximum(level, problem.slack(problem.log_z(x))[:, 0, 0])
    assert s.shape == (m, size, size)
    return _Point(x, s, level / (0.75 * radii**2))


def optimal_moments(
    tiles: Tiles,
    points: FloatArray,
    weights: FloatArray,
    mass: FloatArray,
    radii: FloatArray,
    *,
    curvature: Tiles | None = None,
    tol: float = 1e-10,
    iterations: int = 40,
    deadline: float = np.inf,
) -> Moments:
    """Minimise F over the moments of the balls around given centres.

    Parameters
    ----------
    tiles : Tiles
        μ, units of √ε.
    points, weights : (m, d), (m,) arrays
        Centres, and the masses to start from.
    mass : (m,) array
        Mass of μ around each centre: the weights of the central path.
    radii : (m,) array
        Radii of the balls; the Taylor error is of third order in them.
    curvature : Tiles, optional
        A coarser quadrature for the Hessian.
    tol : float
        Stop where τ and the scaled residual of S are below this.
    iterations : int
        Most steps.
    deadline : float
        Processor time of this thread, seconds, after which no further step is taken.
    """
    mass = np.maximum(mass, 1e-25)
    problem = _Problem(tiles, tiles if curvature is None else curvature, points, mass)
    now = _start(problem, np.maximum(weights / weights.sum(), 1e-6 * mass), mass, radii)
    size = problem.basis.shape[1]
    ball = np.tile(np.diag(np.r_[1.0, -np.ones(size - 1)]), (len(points), 1, 1))
    ball[:, 0, 0] = radii**2
    tau, done = np.inf, 0
    log_z = problem.log_z(now.x)
    while done < iterations and time.thread_time() < deadline:
        residual = now.s - problem.slack(log_z) + now.multiplier[:, None, None] * ball
        room = _inner(now.x, ball)
        tau = float(np.mean((_inner(now.x, now.s) + room * now.multiplier) / mass)) / (size + 1)
        diagonal = np.einsum("nii->ni", now.x)
        missed = float((residual**2 * diagonal[:, :, None] * diagonal[:, None, :]).max())
        if (tau <= tol and missed <= tol**2) or tau <= 0.1 * tol:
            break
        try:
            moved = _advance(problem, _Scaled(problem, now, log_z, residual, ball), now, tau, mass)
        except np.linalg.LinAlgError:  # rounding: the point reached is as good as it gets
            break
        if moved is None:
            break
        now, log_z = moved
        done += 1
    active = now.x[:, 0, 0] / mass > now.s[:, 0, 0]
    return Moments(points, radii, now.x, active, tau, done)


def _advance(
    problem: _Problem, system: _Scaled, now: _Point, tau: float, mass: FloatArray
) -> tuple[_Point, FloatArray] | None:
    """Predictor and correctors; the next point and its log Z, or None where Z would not stay positive."""
    size = system.values.shape[1]
    square, product = (system.values**2)[:, :, None] * np.eye(size), system.room * now.multiplier
    affine = system.direction(-square, -product)
    blocks, balls = system.products(affine, *system.steps(affine))
    mean = float(np.mean((np.einsum("nii->n", blocks) + balls) / mass)) / (size + 1)
    goal = min(max(mean / tau, 0.0), 1.0) ** 3 * tau * mass
    dx, ds, dt, dl = affine
    target = goal[:, None, None] * np.eye(size) - square - 0.5 * (dx @ ds + ds @ dx)
    (dx, ds, dt, dl), a, b = _centred(system, goal, target, goal - product - dt * dl)
    a, b = _STEP * a, _STEP * b
    change = system.scaling @ dx @ system.scaling.swapaxes(1, 2)
    slack = now.s + b * (system.inverse.swapaxes(1, 2) @ ds @ system.inverse)
    while a > _SHORTEST:
        x = now.x + a * change
        log_z = problem.log_z(x)
        if np.isfinite(log_z).all():
            halves = 0.5 * (x + x.swapaxes(1, 2)), 0.5 * (slack + slack.swapaxes(1, 2))
            return _Point(*halves, now.multiplier + b * dl), log_z
        a *= 0.5
    return None


def _centred(
    system: _Scaled, goal: FloatArray, target: FloatArray, product: FloatArray
) -> tuple[_Direction, float, float]:
    """A direction and its steps, lengthened by Gondzio's corrections.

    Products that a step a third longer would leave far from the goal are what stops it; a correction brings them back,
    for one more solution with the same factor.
    """
    best = system.direction(target, product)
    a, b = system.steps(best)
    low, high = _CENTRED[0] * goal, _CENTRED[1] * goal
    for _ in range(_CORRECTIONS):
        blocks, balls = system.products(best, min(1.0, 1.08 * _STEP * a + 0.24), min(1.0, 1.08 * _STEP * b + 0.24))
        values, vectors = np.linalg.eigh(blocks)
        missing = np.maximum(np.clip(values, low[:, None], high[:, None]) - values, -high[:, None])
        target = target + np.einsum("nij,nj,nkj->nik", vectors, missing, vectors)
        product = product + np.maximum(np.clip(balls, low, high) - balls, -high)
        trial = system.direction(target, product)
        longer = system.steps(trial)
        if sum(longer) < a + b + 0.01:
            break
        best, (a, b) = trial, longer
    return best, a, b
