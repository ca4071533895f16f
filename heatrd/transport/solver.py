"""Entropic optimal transport between two given laws: annealed, accelerated, safeguarded Sinkhorn.

With cost C(x, y) = ½‖x − y‖² and regularisation ε the optimal coupling is

    π_ij = a_i b_j exp((f_i + g_j − C_ij)/ε),

and Sinkhorn alternates f = −ε log Σ_j b_j e^{(g_j − C_ij)/ε} (rows exact), g = −ε log Σ_i a_i e^{(f_i − C_ij)/ε}
(columns exact). Seen as a map
γ ↦ T(γ), γ = g/ε, it is a contraction with fixed point the dual optimum; T(γ) − γ = −log of the ratio of column sums
to b, so each sweep tells
its own marginal error. It is made fast and safe by

- annealing: solve at larger ε first and keep the potentials in units of the cost;
- Anderson mixing of the last sweeps (or over-relaxation), accepted only while the marginal error behaves, else a
  plain sweep, which
  never increases the dual gap;
- Newton on the semi-dual where the matrix is small: its Hessian diag(col) − Pᵀ diag(1/a) P is a graph Laplacian;
  steps are damped,
  and a step that does not reduce the error is dropped for a sweep.

Reference: Cuturi, NeurIPS 2013; Schmitzer, SIAM J. Sci. Comput. 41 (2019) A1443; Walker & Ni, SIAM J. Numer. Anal.
49 (2011) 1715.
"""

from __future__ import annotations

import sys
import time
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import LinAlgError, cho_factor, cho_solve, lstsq

from heatrd import arguments
from heatrd.errors import InvalidInput, NotConverged
from heatrd.transport.measures import Marginal, as_marginal, check_masses
from heatrd.transport.operators import DenseKernel, Kernel, make_kernel
from heatrd.transport.plan import TransportPlan

__all__ = ["sinkhorn", "sinkhorn_divergence"]

FloatArray = NDArray[np.float64]

ACCELERATIONS = ("auto", "newton", "anderson", "over-relaxation", "none")
_LONGEST = 1e14  # squared distance over ε
_STEEPEST = 1e6  # factor between two ε on the way down
_NEWTON_SIDE = 1500
_NEWTON_START = 1e-2
_WINDOW = 8
_COARSE_ERROR = 1e-2
_COARSE_SWEEPS = 60


def sinkhorn(
    mu: Any,
    nu: Any,
    epsilon: float,
    *,
    tol: float = 1e-10,
    max_iterations: int = 20_000,
    acceleration: str = "auto",
    annealing: float = 4.0,
    dense_limit: int = 30_000_000,
) -> TransportPlan:
    """Entropic optimal transport with cost ½‖x − y‖²: min over couplings of E½‖X−Y‖² + ε KL(π ‖ μ⊗ν).

    Parameters
    ----------
    mu, nu : DiscreteLaw, Source, (points, weights), (axes, weights) or points
        The marginals: weighted points (n,) or (n, d), or weights on a tensor grid of up to three axes. Both kinds mix.
    epsilon : float
        Regularisation, in units of the cost; also the diffusion coefficient of the bridge.
    tol : float
        Allowed L1 error of the second marginal (the first is exact to rounding).
    max_iterations : int
        Limit on sweeps, all annealing levels together.
    acceleration : {"auto", "newton", "anderson", "over-relaxation", "none"}
        "auto": Anderson mixing, then Newton where the smaller side has at most 1500 points and the matrix is held.
    annealing : float
        Factor between successive ε on the way down; 1 starts at ``epsilon`` at once.
    dense_limit : int
        Most entries of a matrix of pairs that may be held; larger clouds are streamed. Grids in two and three
        dimensions never need one.

    Returns
    -------
    TransportPlan

    Raises
    ------
    InvalidInput
        NaN, negative weights, unequal masses, ε ≤ 0, an unknown acceleration.
    NotConverged
        ``tol`` not reached; ``.result`` holds the plan with its marginal errors.
    """
    start = time.perf_counter()
    max_iterations = arguments.integer(max_iterations, "max_iterations")
    dense_limit = arguments.integer(dense_limit, "dense_limit", 0)
    a, b = as_marginal(mu, "mu", epsilon), as_marginal(nu, "nu", epsilon)
    _check(a, b, epsilon, tol, acceleration, annealing)
    live_a, live_b = _trim(a), _trim(b)
    state = _State(live_a, live_b, np.zeros(live_b.shape))
    schedule = _schedule(live_a, live_b, float(epsilon), float(annealing))
    kernel: Kernel | None = None
    for level in schedule:
        state.rescale(level)
        kernel = make_kernel(live_a, live_b, level, dense_limit=dense_limit, previous=kernel)
        last = level == schedule[-1]
        _solve_level(
            state,
            kernel,
            tol if last else _COARSE_ERROR,
            max_iterations if last else _COARSE_SWEEPS,
            acceleration,
            max_iterations,
        )
    assert kernel is not None
    plan = _finish(state, kernel, a, b, dense_limit, start)
    if not plan.column_error <= tol:
        floor = 4e-16 * float(np.abs(state.gamma).max())
        raise NotConverged(
            f"marginal error {plan.column_error:.3g} after {plan.iterations} sweeps, {tol:.3g} was asked; "
            f"raise max_iterations, "
            f"epsilon or tol (rounding of the potentials alone allows about {floor:.1g})",
            plan,
        )
    return plan


def sinkhorn_divergence(mu: Any, nu: Any, epsilon: float, **options: Any) -> float:
    """S_ε(μ, ν) = OT_ε(μ, ν) − ½ OT_ε(μ, μ) − ½ OT_ε(ν, ν) ≥ 0, zero iff μ = ν, with cost ½‖x − y‖².

    Parameters
    ----------
    mu, nu, epsilon, **options
        As for `sinkhorn`.
    """
    a, b = as_marginal(mu, "mu", epsilon), as_marginal(nu, "nu", epsilon)
    both = sinkhorn(a, b, epsilon, **options).value
    return both - 0.5 * sinkhorn(a, a, epsilon, **options).value - 0.5 * sinkhorn(b, b, epsilon, **options).value


@dataclass
class _State:
    """Iterate: potentials over ε, and the effort so far."""

    mu: Marginal
    nu: Marginal
    gamma: FloatArray
    phi: FloatArray = field(default_factory=lambda: np.zeros(0))
    error: float = np.inf
    epsilon: float = np.inf
    sweeps: int = 0
    newton_steps: int = 0

    def rescale(self, epsilon: float) -> None:
        """Keep g = εγ when ε changes."""
        if np.isfinite(self.epsilon):
            self.gamma = self.gamma * (self.epsilon / epsilon)
        self.epsilon = epsilon


def _sweep(state: _State, kernel: Kernel, gamma: FloatArray) -> tuple[FloatArray, FloatArray, float]:
    """Return φ = f/ε, T(γ) and the L1 error of the column sums at (φ, γ)."""
    phi = -kernel.forward(gamma + state.nu.log_weights)
    image = -kernel.backward(phi + state.mu.log_weights)
    with np.errstate(over="ignore"):
        error = float(np.sum(state.nu.weights * np.abs(np.expm1(gamma - image))))
    state.sweeps += 1
    return phi, image, error


def _solve_level(state: _State, kernel: Kernel, tol: float, limit: int, acceleration: str, total: int) -> None:
    """Iterate at one ε until the marginal error is below ``tol`` or the sweeps run out."""
    small = acceleration in ("auto", "newton") and min(state.mu.size, state.nu.size) <= _NEWTON_SIDE
    dense = kernel if small and isinstance(kernel, DenseKernel) else None
    mixer = _mixer(acceleration, state.nu)
    end = min(state.sweeps + limit, total)
    phi, image, error = _sweep(state, kernel, state.gamma)
    best, stalled, rejected = error, 0, 0
    newton_at = _NEWTON_START
    while error > tol and state.sweeps < end:
        if dense is not None and error < newton_at:
            step = _newton(state, dense, phi, error)
            if step is not None:
                phi, image, error = step
                best = min(best, error)
                continue
            newton_at = 0.1 * error  # sweep closer before the next try
        candidate = mixer.propose(state.gamma, image)
        plain = candidate is None
        trial = image if candidate is None else candidate
        new_phi, new_image, new_error = _sweep(state, kernel, trial)
        if not plain and not new_error <= max(2.0 * error, 1e-14):
            mixer.reset()
            rejected += 1
            trial = image
            new_phi, new_image, new_error = _sweep(state, kernel, trial)
        state.gamma, phi, image, error = trial, new_phi, new_image, new_error
        if error < 0.999 * best:
            best, stalled = error, 0
        else:
            stalled += 1
            if stalled % 50 == 0:
                mixer.reset()
            if error < 1e-9 and stalled > 300:  # rounding of the potentials
                break
    state.phi, state.error = phi, error


class _Plain:
    """γ ← T(γ)."""

    def propose(self, gamma: FloatArray, image: FloatArray) -> FloatArray | None:
        return None

    def reset(self) -> None:
        return


class _OverRelaxation:
    """γ ← γ + ω (T(γ) − γ), ω from the observed rate of contraction (Young's formula)."""

    def __init__(self, weights: FloatArray) -> None:
        self.weights = weights
        self.norms: list[float] = []
        self.omega = 1.0

    def propose(self, gamma: FloatArray, image: FloatArray) -> FloatArray | None:
        self.norms.append(float(np.sqrt(np.sum(self.weights * (image - gamma) ** 2))))
        if self.omega == 1.0 and len(self.norms) > 12:
            rate = (self.norms[-1] / self.norms[-7]) ** (1 / 6)
            if 0 < rate < 1:
                self.omega = 2.0 / (1.0 + np.sqrt(1.0 - rate))
        return None if self.omega == 1.0 else gamma + self.omega * (image - gamma)

    def reset(self) -> None:
        self.norms, self.omega = [], 1.0


class _Anderson:
    """γ from the combination of the last sweeps whose residual is smallest in L²(ν)."""

    def __init__(self, weights: FloatArray) -> None:
        self.root = np.sqrt(weights).ravel()
        self.reset()

    def reset(self) -> None:
        self.images: list[FloatArray] = []
        self.residuals: list[FloatArray] = []

    def propose(self, gamma: FloatArray, image: FloatArray) -> FloatArray | None:
        self.images.append(image)
        self.residuals.append((image - gamma).ravel() * self.root)
        if len(self.images) > _WINDOW:
            del self.images[0], self.residuals[0]
        if len(self.images) < 3:
            return None
        newest = self.residuals[-1]
        differences = np.stack([newest - r for r in self.residuals[:-1]], axis=1)
        gram = differences.T @ differences
        gram[np.diag_indices_from(gram)] *= 1 + 1e-12
        try:
            theta = lstsq(gram, differences.T @ newest, cond=1e-13, check_finite=True)[0]
        except (LinAlgError, ValueError):
            return None
        out = image.copy()
        for weight, old in zip(theta, self.images[:-1], strict=True):
            out -= weight * (image - old)
        return out if np.isfinite(out).all() else None


def _mixer(acceleration: str, nu: Marginal) -> Any:
    if acceleration == "none":
        return _Plain()
    return _OverRelaxation(nu.weights) if acceleration == "over-relaxation" else _Anderson(nu.weights)


def _newton(
    state: _State, kernel: DenseKernel, phi: FloatArray, error: float
) -> tuple[FloatArray, FloatArray, float] | None:
    """One damped Newton step on the semi-dual; None when no step reduces the error."""
    mu, nu = state.mu, state.nu
    gamma = state.gamma.ravel()
    plan = kernel.plan(phi.ravel() + mu.log_weights.ravel(), gamma + nu.log_weights.ravel())
    step = _newton_direction(plan, nu.weights.ravel())
    if step is None:
        return None
    for scale in (1.0, 0.5, 0.25, 0.0625):
        trial = (gamma + scale * step).reshape(nu.shape)
        new_phi, image, new_error = _sweep(state, kernel, trial)
        if new_error < (1 - 0.1 * scale) * error:
            state.gamma = trial
            state.newton_steps += 1
            return new_phi, image, new_error
    return None


def _newton_direction(plan: FloatArray, b: FloatArray) -> FloatArray | None:
    """Solve the Newton system for γ, on the smaller side of the plan.

    With column sums c and row sums r, (diag c − Pᵀ diag(1/r) P) δ = b − c. When there are fewer rows than columns,
    eliminate δ:
    δ = (b − c)/c + diag(1/c) Pᵀ η with (diag r − P diag(1/c) Pᵀ) η = P ((b − c)/c).
    """
    r, c = plan.sum(axis=1), plan.sum(axis=0)
    if not (r.min() > 0 and c.min() > 0):
        return None
    if plan.shape[1] <= plan.shape[0]:
        return _laplacian_solve(c, plan.T * (1.0 / np.sqrt(r)), b - c)
    ratio = (b - c) / c
    eta = _laplacian_solve(r, plan * (1.0 / np.sqrt(c)), plan @ ratio)
    return None if eta is None else ratio + (plan.T @ eta) / c


def _laplacian_solve(diagonal: FloatArray, root: FloatArray, right: FloatArray) -> FloatArray | None:
    """Solve (diag(d) − R Rᵀ) δ = right, a graph Laplacian with kernel 1, scaled to unit diagonal."""
    scale = 1.0 / np.sqrt(diagonal)
    scaled = root * scale[:, None]
    matrix = -(scaled @ scaled.T)
    matrix[np.diag_indices_from(matrix)] += 1.0 + 1e-14
    null = np.sqrt(diagonal)  # D^{1/2} 1 spans the kernel
    matrix += np.outer(null, null) / (null @ null)
    rhs = right * scale
    rhs -= null * (null @ rhs) / (null @ null)
    for ridge in (0.0, 1e-12, 1e-9):
        try:
            shifted = matrix + ridge * np.eye(len(matrix)) if ridge else matrix
            step = cho_solve(cho_factor(shifted, lower=True, check_finite=False), rhs, check_finite=False) * scale
        except LinAlgError:
            continue
        return step if np.isfinite(step).all() else None
    return None


def _check(mu: Marginal, nu: Marginal, epsilon: float, tol: float, acceleration: str, annealing: float) -> None:
    check_masses(mu, nu)
    arguments.number(epsilon, "epsilon", positive=True)
    if arguments.number(tol, "tol", positive=True) >= 1:
        raise InvalidInput(f"tol = {tol:g}; need a marginal error below 1")
    arguments.word(acceleration, "acceleration", ACCELERATIONS)
    if not 1 <= arguments.number(annealing, "annealing") <= _STEEPEST:
        raise InvalidInput(f"annealing = {annealing}; need a factor from 1 (for none) to {_STEEPEST:g}")


def _trim(m: Marginal) -> Marginal:
    """Drop points without mass (grids keep theirs)."""
    if m.axes is not None or (m.weights > 0).all():
        return m
    keep = m.weights > 0
    return Marginal(m.weights[keep], m.mass, given=m.points[keep])


def _schedule(mu: Marginal, nu: Marginal, epsilon: float, factor: float) -> list[float]:
    """ε from the size of the cost down to the one asked."""
    low = np.minimum(_corner(mu, np.min), _corner(nu, np.min))
    high = np.maximum(_corner(mu, np.max), _corner(nu, np.max))
    with np.errstate(over="ignore"):
        largest = 0.5 * float(np.sum((high - low) ** 2))
    if not largest <= min(_LONGEST * epsilon, sys.float_info.max):
        raise InvalidInput(
            f"the points lie too far apart for epsilon={epsilon:g}: the cost reaches {largest / epsilon:.3g} epsilon; "
            f"need <= {_LONGEST:g}, or a larger epsilon"
        )
    levels = [epsilon]
    while factor > 1.0 and levels[-1] * factor < 0.05 * largest:
        levels.append(levels[-1] * factor)
    return levels[::-1]


def _corner(m: Marginal, end: Any) -> FloatArray:
    if m.axes is not None:
        return np.array([end(axis) for axis in m.axes])
    return np.asarray(end(m.points, axis=0))


def _finish(state: _State, kernel: Kernel, mu: Marginal, nu: Marginal, dense_limit: int, start: float) -> TransportPlan:
    """Fix the gauge Σ b g = 0, extend the potentials to points without mass, and measure both marginals."""
    shift = float(np.sum(state.nu.weights * state.gamma))
    gamma, phi = state.gamma - shift, state.phi + shift
    row_sums = phi + kernel.forward(gamma + state.nu.log_weights)
    image = -kernel.backward(phi + state.mu.log_weights)
    with np.errstate(over="ignore"):
        column_error = float(np.sum(state.nu.weights * np.abs(np.expm1(gamma - image))))
    row_error = float(np.sum(state.mu.weights * np.abs(np.expm1(row_sums))))
    value = state.epsilon * float(np.sum(state.mu.weights * phi) + np.sum(state.nu.weights * gamma))
    if state.mu.shape != mu.shape:
        to = make_kernel(mu, state.nu, state.epsilon, dense_limit=dense_limit)
        phi = -to.forward(gamma + state.nu.log_weights)
    if state.nu.shape != nu.shape:
        live_phi = phi if state.mu.shape == mu.shape else phi[mu.weights > 0]
        to = make_kernel(state.mu, nu, state.epsilon, dense_limit=dense_limit)
        full = -to.backward(live_phi + state.mu.log_weights)
        full[nu.weights > 0] = gamma
        gamma = full
    return TransportPlan(
        source_marginal=mu,
        target_marginal=nu,
        epsilon=state.epsilon,
        f=state.epsilon * phi,
        g=state.epsilon * gamma,
        value=value,
        row_error=row_error,
        column_error=column_error,
        iterations=state.sweeps,
        newton_steps=state.newton_steps,
        kernel=type(kernel).__name__,
        seconds=time.perf_counter() - start,
        dense_limit=dense_limit,
    )
