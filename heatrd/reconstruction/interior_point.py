"""Interior point on fixed nodes: min over ν ≥ 0 of −Σ_i μ_i log (Z⁰ + Aν)_i + Σ_j ν_j.

The optimality conditions are ν ≥ 0, s = 1 − Aᵀ(μ/Z) ≥ 0, ν s = 0: c ≤ 1 on the nodes, with c = 1 on the support
(DESIGN (2)).
A primal–dual step with Mehrotra's corrector solves

    (Aᵀ Q A + diag(s/ν)) dν = c − 1 + τ/ν,   Q = μ/Z²,

whose matrix is banded once k is cut; it is scaled by √(ν/s) on both sides before the Cholesky factorisation. The
barrier is
weighted by an envelope, τ_j = τ e_j with e ∝ μ, so that the slack of an atom of weight 1e-12 in a tail is resolved
as well as that of a heavy one.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from heatrd.certificate.beyond import Beyond
from heatrd.errors import TooLarge
from heatrd.kernels import line as kernels

__all__ = ["Nodes", "lattice", "longest_step", "solve_nodes"]

FloatArray = NDArray[np.float64]
BoolArray = NDArray[np.bool_]

_REACH = 7.5
_MOST_NODES = 100_000_000
_FAILED = 1e-6  # a residual above this sends the problem to the primal path


@dataclass(frozen=True, slots=True, eq=False)
class Nodes:
    """Reconstruction nodes, sorted.

    Attributes
    ----------
    y, nu : (m,) arrays
        Positions and weights.
    envelope, slack : (m,) arrays
        Scale of each weight's barrier; the barrier's s_j ≈ 1 − c_j.
    free : (m,) bool array
        Nodes that are atoms, whose positions may move.
    residual : float
        Largest violation of the optimality conditions at the nodes.
    iterations : int
    """

    y: FloatArray
    nu: FloatArray
    envelope: FloatArray
    slack: FloatArray
    free: BoolArray
    residual: float = math.inf
    iterations: int = 0

    def take(self, index: NDArray[np.int64] | BoolArray | slice) -> Nodes:
        """Return some of the nodes."""
        return Nodes(self.y[index], self.nu[index], self.envelope[index], self.slack[index], self.free[index])

    def active(self) -> Nodes:
        """Return the nodes that carry weight."""
        active = self.nu > self.slack * self.envelope
        return self.take(active if active.any() else self.nu >= self.nu.max())


def join(*parts: Nodes) -> Nodes:
    """Merge and sort."""
    y = np.concatenate([p.y for p in parts])
    nu = np.concatenate([p.nu for p in parts])
    envelope = np.concatenate([p.envelope for p in parts])
    slack = np.concatenate([p.slack for p in parts])
    free = np.concatenate([p.free for p in parts])
    return Nodes(y, nu, envelope, slack, free).take(np.argsort(y, kind="stable"))


def lattice(low: float, high: float, epsilon: float, spacing: float = 0.5) -> FloatArray:
    """Points of ``spacing``·√ε over an interval."""
    step = spacing * math.sqrt(epsilon)
    m = int(math.ceil((high - low) / step)) + 1
    if m > _MOST_NODES:
        raise TooLarge(f"a lattice of {m} points is more than {_MOST_NODES}; use a larger epsilon", _MOST_NODES)
    return np.asarray(0.5 * (low + high) + step * (np.arange(m) - 0.5 * (m - 1)))


def solve_nodes(
    x: FloatArray,
    mass: FloatArray,
    y: FloatArray,
    epsilon: float,
    *,
    background: FloatArray | None = None,
    beyond: Beyond | None = None,
    total: float = 1.0,
    gap: float = 1e-12,
    iterations: int = 60,
) -> Nodes:
    """Find the optimal weights for fixed positions.

    Parameters
    ----------
    x, mass : (n,) arrays
        Source nodes (sorted) and masses.
    y : (m,) array
        Positions, sorted.
    background : (n,) array, optional
        Log-potential of everything that is held fixed, log Z⁰.
    beyond : Beyond, optional
        What the dual beyond the cuts adds to c.
    total : float
        About the mass to be placed on ``y``.
    gap : float
        Stop when relative complementarity plus dual infeasibility falls below this.
    """
    root = math.sqrt(epsilon)
    kernel = _Kernel(x, y, root, np.zeros(y.size) if beyond is None else beyond.at(y, root)[0])
    fixed = np.zeros(x.size) if background is None else np.exp(background)
    even = np.full(y.size, total / y.size)
    envelope = even * np.maximum(
        kernel.potential(mass, fixed, even)[1], 1e-250
    )  # one Blahut–Arimoto step from even weights
    free = np.zeros(y.size, bool)
    nu, slack = envelope, np.full(y.size, 0.5)
    z, c = kernel.potential(mass, fixed, nu)
    band = np.empty((nu.size, kernel.rows.shape[1]))
    best = Nodes(y, nu, envelope, slack, free)
    for done in range(iterations + 1):
        mean = float((nu * slack / envelope).mean())
        reached = mean + float(np.max(np.abs(1 - c - slack)))
        if not math.isfinite(reached):
            break
        if reached < best.residual:
            best = Nodes(y, nu, envelope, slack, free, reached, done)
        if reached < gap or done == iterations:
            break
        scale = np.sqrt(nu / slack)
        kernels.rows_normal(kernel.rows, kernel.start, kernel.count, mass / z**2, scale, band)
        band[:, 0] += 1.0
        if not kernels.band_cholesky(band):
            break
        dnu, ds = _direction(band, scale, c, nu, slack, np.zeros_like(nu))
        alpha = min(1.0, longest_step(nu, dnu), longest_step(slack, ds))
        ahead = float(((nu + alpha * dnu) * (slack + alpha * ds) / envelope).mean())
        sigma = min(1.0, max(ahead / mean, 0.0) ** 3)
        tau = np.maximum(sigma * mean * envelope - (dnu * ds if alpha > 0.1 else 0.0), 0.0)
        dnu, ds = _direction(band, scale, c, nu, slack, tau)
        fraction = min(max(0.9, 1 - 10 * mean), 0.9999)
        nu = np.maximum(nu + min(1.0, fraction * longest_step(nu, dnu)) * dnu, 1e-280)
        slack = np.maximum(slack + min(1.0, fraction * longest_step(slack, ds)) * ds, 1e-20)
        z, c = kernel.potential(mass, fixed, nu)
    return best if best.residual < _FAILED else _follow_barrier(kernel, mass, fixed, best, gap)


def _follow_barrier(kernel: _Kernel, mass: FloatArray, fixed: FloatArray, start: Nodes, gap: float) -> Nodes:
    """Primal path following, slower and safe: Newton on −Σ μ log Z + Σ ν − τ Σ e log ν for a falling τ.

    The primal–dual iteration can be caught near the boundary where c ≈ 1 almost everywhere; the barrier
    function alone is self-concordant, so that damped Newton always descends.
    """
    envelope = start.envelope
    nu, tau = envelope.copy(), 0.1
    z, c = kernel.potential(mass, fixed, nu)
    value = _barrier_value(mass, z, nu, tau * envelope)
    band = np.empty((nu.size, kernel.rows.shape[1]))
    done = start.iterations
    while tau > 0.3 * gap and done < 400:
        for _ in range(12):
            done += 1
            slack = tau * envelope / nu
            scale = np.sqrt(nu / slack)
            kernels.rows_normal(kernel.rows, kernel.start, kernel.count, mass / z**2, scale, band)
            band[:, 0] += 1.0
            if not kernels.band_cholesky(band):
                return start
            dnu = (c - 1 + slack) * scale
            kernels.band_solve(band, dnu)
            dnu *= scale
            decrement = float(np.sum((c - 1 + slack) * dnu))
            step = min(1.0, 0.9 * longest_step(nu, dnu))
            while True:
                trial = nu + step * dnu
                new_z, new_c = kernel.potential(mass, fixed, trial)
                new_value = _barrier_value(mass, new_z, trial, tau * envelope)
                if new_value <= value - 1e-4 * step * decrement + 1e-15 * (1 + abs(value)) or step < 1e-4:
                    break
                step *= 0.5
            nu, z, c, value = trial, new_z, new_c, new_value
            if decrement < 1e-3 * tau:
                break
        tau *= 0.15
        value = _barrier_value(mass, z, nu, tau * envelope)
    slack = np.maximum(1 - c, tau * envelope / nu)
    residual = float((nu * slack / envelope).mean() + np.max(np.abs(1 - c - slack)))
    return Nodes(start.y, nu, envelope, slack, start.free, residual, done)


def _barrier_value(mass: FloatArray, z: FloatArray, nu: FloatArray, weight: FloatArray) -> float:
    return float(nu.sum() - mass @ np.log(z) - weight @ np.log(nu))


class _Kernel:
    """The matrix A, cut to a window of nodes for each x, and what else adds to c."""

    def __init__(self, x: FloatArray, y: FloatArray, root: float, addition: FloatArray) -> None:
        self.addition = addition
        self.start, stop = kernels.windows(x, y, root, _REACH)
        self.count = stop - self.start
        self.rows = np.empty((x.size, int(self.count.max())))
        kernels.node_rows(x, y, root, self.start, self.count, self.rows)

    def potential(self, mass: FloatArray, fixed: FloatArray, nu: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Z at the source nodes and c at the reconstruction nodes."""
        z, c = np.empty(mass.size), np.empty(nu.size)
        kernels.rows_dot(self.rows, self.start, self.count, nu, z)
        z = np.maximum(z + fixed, 1e-290)
        kernels.rows_transposed_dot(self.rows, self.start, self.count, mass / z, c)
        return z, c + self.addition


def _direction(
    factor: FloatArray, scale: FloatArray, c: FloatArray, nu: FloatArray, slack: FloatArray, tau: FloatArray
) -> tuple[FloatArray, FloatArray]:
    dnu = (c - 1 + tau / nu) * scale
    kernels.band_solve(factor, dnu)
    dnu *= scale
    return dnu, (tau - nu * slack - slack * dnu) / nu


def longest_step(v: FloatArray, dv: FloatArray) -> float:
    """Largest step that keeps v + a dv ≥ 0."""
    negative = dv < 0
    if not negative.any():
        return 1e6
    return float(np.min(-v[negative] / dv[negative]))
