"""The certificate on the line, over the continuum and with the tails.

Let q = μ/Z on the core. c(y) = Σ q_i k(x_i − y) is entire, |c(u + iv)| ≤ exp(v²/2ε) c(u), so its Taylor coefficients in
units of √ε obey |a_n| ≤ e^{n/2} n^{−n/2} sup c. On cells of half-width √ε/2, N = 24 terms leave a remainder below
1e-18 sup c, and the
polynomial's maximum is bounded by subdivision (`cell_suprema`). Outside the hull of the core c only falls.

Far tail, cell by cell, with centre of mass x̄, mass P and second moment M: log Z(x) + x²/2ε is convex, hence

    −∫ μ log Z  ≤  −P log Z(x̄) + M/2ε                       (above)

and α = δ/(√(2πε) μ) adds at most δ to the dual constraint, hence

    ∫ μ log α  =  P log δ − (P/2) log 2πε − ∫ μ log μ         (below).

Local repair: where c exceeds one, α = 1/(Z s) with a smooth s ≥ 1 that covers the excess; the loss is ∫ μ log s
instead of log sup c.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import maximum_filter1d

from heatrd.kernels import line as kernels
from heatrd.quadrature.line import LineMeasure, TailCells

__all__ = [
    "CertificateFunction",
    "LineBounds",
    "bound_lagrangian",
    "bound_potential",
    "certificate_function",
    "evaluate_potential",
]

FloatArray = NDArray[np.float64]

_REACH = 12.0
_CELL = 1.0  # width of a cell of the certificate function, in units of √ε


@dataclass(frozen=True, slots=True, eq=False)
class CertificateFunction:
    """c on cells that cover the hull of the core.

    Attributes
    ----------
    centre, bound, best, at : (K,) arrays
        Cell centres, proved upper bound of c on each cell, largest value seen and where.
    log_offset : float
        ``bound`` and ``best`` are to be multiplied by exp(log_offset) (0 unless c is astronomically large).
    """

    centre: FloatArray
    bound: FloatArray
    best: FloatArray
    at: FloatArray
    log_offset: float

    @property
    def log_sup(self) -> float:
        top = float(self.bound.max())
        return (math.log(top) if top > 0 else -math.inf) + self.log_offset


@dataclass(frozen=True, slots=True, eq=False)
class LineBounds:
    """Both bounds on L(ε) from one law, in standard units.

    Attributes
    ----------
    upper, lower : float
        lower ≤ L(ε) ≤ upper for the discretised source.
    log_sup : float
        log sup c before repair.
    distortion : float
        D_ν in standard units.
    function : CertificateFunction
        c before repair.
    rounding : float
        Bound on accumulated rounding.
    """

    upper: float
    lower: float
    log_sup: float
    distortion: float
    function: CertificateFunction
    rounding: float

    @property
    def gap(self) -> float:
        return self.upper - self.lower


def evaluate_potential(
    x: FloatArray, y: FloatArray, weights: FloatArray, epsilon: float
) -> tuple[FloatArray, FloatArray]:
    """Return log Z at sorted ``x`` and the posterior mean of (x − Y)² for sorted ``y``."""
    root = math.sqrt(epsilon)
    lo, hi = kernels.windows(x, y, root, _REACH)
    logz, cost = np.empty_like(x), np.empty_like(x)
    with np.errstate(divide="ignore"):
        logw = np.log(weights)
    kernels.log_potential(x, y, logw, root, lo, hi, logz, cost)
    return logz, cost


def certificate_function(x: FloatArray, logq: FloatArray, epsilon: float, slack: float) -> CertificateFunction:
    """Bound c(y) = Σ exp(logq_i) k(x_i − y) cell by cell over the hull of ``x`` (sorted)."""
    root = math.sqrt(epsilon)
    top = float(logq.max())
    reach = math.sqrt(2 * max(36.0, min(top, 600.0) + math.log(x.size) + 36.0))
    offset = 0.0 if top < 600.0 else top
    centre = _cells(x, root)
    coefficients = np.empty((centre.size, kernels.ORDER))
    kernels.moments_at(centre, x, logq, root, reach, offset, coefficients)
    bound, best, at = np.empty(centre.size), np.empty(centre.size), np.empty(centre.size)
    unit = math.exp(-offset)
    kernels.cell_suprema(coefficients, 0.5 * _CELL, unit, slack * max(unit, 1e-300), bound, best, at)
    return CertificateFunction(centre, bound, best, centre + root * at, offset)


def _cells(x: FloatArray, root: float) -> FloatArray:
    """Centres of cells covering [x₀, x_n], leaving out wide gaps between nodes where c < 1 trivially."""
    width = _CELL * root
    index = np.floor((x - x[0]) / width).astype(np.int64)
    span = int(index[-1]) + 1
    if span <= 4 * x.size:
        return x[0] + width * (np.arange(span) + 0.5)
    reach = int(math.ceil(9.0 / _CELL))
    near = np.unique((np.unique(index)[:, None] + np.arange(-reach, reach + 1)).ravel())
    near = near[(near >= 0) & (near < span)]
    return x[0] + width * (near + 0.5)


def bound_lagrangian(
    measure: LineMeasure, y: FloatArray, weights: FloatArray, epsilon: float, tol: float, *, repair: bool = True
) -> LineBounds:
    """Bound L(ε) from the law (y, weights), sorted, in standard units.

    Parameters
    ----------
    tol : float
        Gap the caller hopes for, nats; sets how sharply the suprema are located and δ of the far tail.
    """
    logz, cost = evaluate_potential(measure.x, y, weights, epsilon)
    with np.errstate(divide="ignore"):
        logq = np.log(measure.mass) - logz
    core = -float(np.sum(measure.mass * logz))
    core_cost = float(np.sum(measure.mass * cost))
    above, below, far_cost, delta = _tail_bounds(measure.tails, y, weights, epsilon, tol)
    slack = 0.01 * tol
    function = certificate_function(measure.x, logq, epsilon, slack)
    log_sup = max(function.log_sup, -0.5)
    inside = 1.0 - measure.tails.total
    room = -math.log1p(-delta)
    loss = inside * (log_sup + room)
    if repair and 2 * slack < log_sup < 3.0:
        loss = min(loss, _repaired_loss(measure, logq, epsilon, tol, function) + inside * room)
    rounding = 1e-15 * (2.0 + abs(core)) + 4e-16 * math.sqrt(measure.x.size)
    return LineBounds(
        core + above + rounding, core - loss + below - rounding, log_sup, core_cost + far_cost, function, rounding
    )


def _tail_bounds(
    tails: TailCells, y: FloatArray, weights: FloatArray, epsilon: float, tol: float
) -> tuple[float, float, float, float]:
    """Contributions of the far tail to F (above), to the dual (below), to D, and the share δ of the constraint."""
    if tails.mass.size == 0:
        return 0.0, 0.0, 0.0, 0.0
    order = np.argsort(tails.centre, kind="stable")
    logz, cost = evaluate_potential(tails.centre[order], y, weights, epsilon)
    mass, moment = tails.mass[order], tails.moment[order]
    above = float(np.sum(-mass * logz + moment / (2 * epsilon)))
    far_cost = float(np.sum(mass * cost + moment))
    delta = min(0.01 * tol, 0.5)
    total = tails.total
    below = total * (math.log(delta) - 0.5 * math.log(2 * math.pi * epsilon)) + float(tails.entropy.sum())
    return above, below, far_cost, delta


def _repaired_loss(
    measure: LineMeasure, logq: FloatArray, epsilon: float, tol: float, function: CertificateFunction
) -> float:
    """∫ μ log s + log sup c_s for the best of a few smooth majorants s of the local excess of c."""
    best = math.inf
    log_s = np.zeros_like(logq)
    for _ in range(5):
        log_s = log_s + np.log1p(_majorant(measure.x, function, epsilon))
        function = certificate_function(measure.x, logq - log_s, epsilon, 0.01 * tol)
        inside = float(measure.mass.sum())
        loss = float(np.sum(measure.mass * log_s)) + inside * max(function.log_sup, 0.0)
        if loss >= 0.999 * best:
            break
        best = loss
        if function.log_sup < 0.05 * tol:
            break
    return best


def _majorant(x: FloatArray, function: CertificateFunction, epsilon: float) -> FloatArray:
    """A smooth function that exceeds the local excess (c − 1)₊ within a few √ε."""
    root = math.sqrt(epsilon)
    excess = np.maximum(function.bound * math.exp(function.log_offset) - 1.0, 0.0)
    knots = np.arange(math.floor((x[0] - 8 * root) / root), math.ceil((x[-1] + 8 * root) / root) + 1)
    if knots.size > 20 * x.size + 1000:
        return np.full_like(x, excess.max())
    height = np.zeros(knots.size)
    np.maximum.at(
        height, np.clip(np.round(function.centre / root).astype(np.int64) - int(knots[0]), 0, knots.size - 1), excess
    )
    height = maximum_filter1d(height, 9)
    keep = height > 0
    if not keep.any():
        return np.zeros_like(x)
    value = np.empty((x.size, 1))
    kernels.moments_at(
        x, knots[keep] * root, np.log(1.02 * height[keep] / math.sqrt(2 * math.pi)), root, 9.0, 0.0, value
    )
    return value[:, 0]


def bound_potential(measure: LineMeasure, logz: FloatArray, epsilon: float, tol: float) -> float:
    """Lower bound on L(ε) from any positive Z on the nodes of the core, in standard units.

    α = 1/Z, scaled and repaired, is a dual point whether or not Z = k∗ν for a law ν: an interpolated Z serves.

    Parameters
    ----------
    logz : (n,) array
        log Z at ``measure.x``.
    """
    tails = measure.tails
    delta = min(0.01 * tol, 0.5) if tails.mass.size else 0.0
    below = 0.0
    if tails.mass.size:
        below = tails.total * (math.log(delta) - 0.5 * math.log(2 * math.pi * epsilon)) + float(tails.entropy.sum())
    with np.errstate(divide="ignore"):
        logq = np.log(measure.mass) - logz
    function = certificate_function(measure.x, logq, epsilon, 0.01 * tol)
    log_sup = max(function.log_sup, -0.5)
    inside = 1.0 - tails.total
    room = -math.log1p(-delta)
    loss = inside * (log_sup + room)
    if 0.02 * tol < log_sup < 3.0:
        loss = min(loss, _repaired_loss(measure, logq, epsilon, tol, function) + inside * room)
    core = -float(np.sum(measure.mass * logz))
    return core - loss + below - 1e-15 * (2.0 + abs(core)) - 4e-16 * math.sqrt(measure.x.size)
