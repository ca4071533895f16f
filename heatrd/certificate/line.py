"""The certificate on the line, over the continuum and with the tails.

Let q = μ/Z on the core. c(y) = Σ q_i k(x_i − y) is bounded by `certificate.cells`; beyond the cuts the dual is that of
`certificate.beyond`.

F beyond the cuts: by quadrature on the flanks; in the farthest tail cell by cell, with centre of mass x̄, mass P
and second moment M: log Z(x) + x²/2ε is convex, hence

    −∫ μ log Z  ≤  −P log Z(x̄) + M/2ε                       (above).

Local repair: where c exceeds one, α = 1/(Z s) with a smooth s ≥ 1 that covers the excess; the loss is ∫ μ log s
instead of log sup c.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from heatrd.certificate.beyond import Beyond
from heatrd.certificate.cells import CELL, CertificateFunction, certificate_function
from heatrd.kernels import line as kernels
from heatrd.quadrature.line_measure import LineMeasure

__all__ = ["LineBounds", "bound_lagrangian", "bound_potential", "evaluate_potential", "supremum"]

FloatArray = NDArray[np.float64]

_REACH = 12.0
_FAR_ABOVE, _COMPLETIONS = 0.05, 3  # log c from which on the law is completed, so many times
_AROUND = 4  # a majorant covers an excess within so many √ε


@dataclass(frozen=True, slots=True, eq=False)
class LineBounds:
    """Both bounds on L(ε) from one law, in standard units.

    Attributes
    ----------
    upper, lower : float
        lower ≤ L(ε) ≤ upper for the discretised source.
    log_sup : float
        log sup c of the dual that was used, before repair.
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


def bound_lagrangian(
    measure: LineMeasure, y: FloatArray, weights: FloatArray, epsilon: float, tol: float, *, repair: bool = True
) -> LineBounds:
    """Bound L(ε) from the law (y, weights), sorted, in standard units.

    Parameters
    ----------
    tol : float
        Gap the caller hopes for, nats; sets how sharply the suprema are located and δ of the far tail.
    """
    above, cost = _functional(measure, y, weights, epsilon)
    logz, core_cost = evaluate_potential(measure.x, y, weights, epsilon)
    core = -float(np.sum(measure.mass * logz))
    lower, log_sup, function = _dual_bound(measure, logz, epsilon, tol, repair)
    rounding = 1e-15 * (2.0 + abs(core)) + 4e-16 * math.sqrt(measure.x.size)
    distortion = float(np.sum(measure.mass * core_cost)) + cost
    return LineBounds(core + above + rounding, lower - rounding, log_sup, distortion, function, rounding)


def supremum(measure: LineMeasure, y: FloatArray, weights: FloatArray, epsilon: float, tol: float) -> float:
    """log of the proved upper bound of sup c, with α = 1/Z up to the tail cells and nothing beyond."""
    x = np.concatenate([measure.x, measure.flanks.x])
    order = np.argsort(x, kind="stable")
    x, mass = x[order], np.concatenate([measure.mass, measure.flanks.mass])[order]
    logz, _ = evaluate_potential(x, y, weights, epsilon)
    with np.errstate(divide="ignore"):
        logq = np.log(mass) - logz
    return certificate_function(x, logq, epsilon, 0.01 * tol).log_sup


def _functional(measure: LineMeasure, y: FloatArray, weights: FloatArray, epsilon: float) -> tuple[float, float]:
    """What lies beyond the cuts adds to F (an upper bound) and to D."""
    tails, flanks = measure.tails, measure.flanks
    value = distortion = 0.0
    if flanks.x.size:
        logz, cost = evaluate_potential(flanks.x, y, weights, epsilon)
        value -= float(np.sum(flanks.mass * logz))
        distortion += float(np.sum(flanks.mass * cost))
    if tails.mass.size:
        order = np.argsort(tails.centre, kind="stable")
        logz, cost = evaluate_potential(tails.centre[order], y, weights, epsilon)
        mass, moment = tails.mass[order], tails.moment[order]
        value += float(np.sum(-mass * logz + moment / (2 * epsilon)))
        distortion += float(np.sum(mass * cost + moment))
    return value, distortion


def _dual_bound(
    measure: LineMeasure, logz: FloatArray, epsilon: float, tol: float, repair: bool
) -> tuple[float, float, CertificateFunction]:
    """Lower bound on L(ε) from log Z on the core; log sup c and c before any repair."""
    lower, log_sup, function = _bound_from(measure, logz, epsilon, tol, repair)
    top, here = log_sup, function
    for _ in range(_COMPLETIONS if repair else 0):
        if top < _FAR_ABOVE:
            break
        logz = _completed(measure, logz, here, epsilon)
        other, top, here = _bound_from(measure, logz, epsilon, tol, repair)
        lower = max(lower, other)
    return lower, log_sup, function


def _completed(measure: LineMeasure, logz: FloatArray, function: CertificateFunction, epsilon: float) -> FloatArray:
    """log Z of the law completed, where c is far above one, by atoms with the mass that μ has there.

    A law that lacks a part of μ, such as particles without tails, has 1/Z of any size there; what the new atoms cost
    is of the order of the mass that lacked.
    """
    half = 0.5 * CELL * math.sqrt(epsilon)
    high = function.best > math.exp(_FAR_ABOVE - function.log_offset)
    total = np.concatenate([[0.0], np.cumsum(measure.mass)])
    centre = function.centre[high]
    weight = np.diff(total[np.searchsorted(measure.x, [centre - half, centre + half])], axis=0)[0]
    some = weight > 0
    if not some.any():
        return logz
    more, _ = evaluate_potential(measure.x, centre[some], weight[some], epsilon)
    return np.asarray(np.logaddexp(logz, more) - math.log1p(float(weight.sum())))


def _bound_from(
    measure: LineMeasure, logz: FloatArray, epsilon: float, tol: float, repair: bool
) -> tuple[float, float, CertificateFunction]:
    """Lower bound on L(ε) with the dual 1/Z, repaired on demand; log sup c and c before the repair."""
    beyond = Beyond.of(measure, epsilon, tol)
    slack = 0.01 * tol
    with np.errstate(divide="ignore"):
        logq = np.log(measure.mass) - logz
    log_s = beyond.taper(measure.x, math.sqrt(epsilon))
    function = certificate_function(measure.x, logq - log_s, epsilon, slack, beyond)
    log_sup = max(function.log_sup, -0.5)
    loss = float(np.sum(measure.mass * log_s)) + log_sup
    if repair and 2 * slack < log_sup < 3.0:
        loss = min(loss, _repaired_loss(measure, logq, log_s, beyond, epsilon, tol, function))
    flat = beyond.value(float(measure.tails.entropy.sum() + measure.flanks.entropy.sum()), epsilon)
    return flat - float(np.sum(measure.mass * logz)) - loss, log_sup, function


def _repaired_loss(
    measure: LineMeasure,
    logq: FloatArray,
    log_s: FloatArray,
    beyond: Beyond,
    epsilon: float,
    tol: float,
    function: CertificateFunction,
) -> float:
    """∫ μ log s + log sup c_s for the best of a few smooth majorants s of the local excess of c."""
    best = math.inf
    for _ in range(5):
        log_s = log_s + np.log1p(_majorant(measure.x, function, epsilon))
        function = certificate_function(measure.x, logq - log_s, epsilon, 0.01 * tol, beyond)
        loss = float(np.sum(measure.mass * log_s)) + max(function.log_sup, 0.0)
        if loss >= 0.999 * best:
            break
        best = loss
        if function.log_sup < 0.05 * tol:
            break
    return best


def _majorant(x: FloatArray, function: CertificateFunction, epsilon: float) -> FloatArray:
    """A smooth function that exceeds the local excess (c − 1)₊ within a few √ε."""
    root = math.sqrt(epsilon)
    excess = function.bound * math.exp(function.log_offset) - 1.0
    high = excess > 0
    if not high.any():
        return np.zeros_like(x)
    at = np.round(function.centre[high] / root).astype(np.int64)[:, None] + np.arange(-_AROUND, _AROUND + 1)
    knots, place = np.unique(at.ravel(), return_inverse=True)
    height = np.zeros(knots.size)
    np.maximum.at(height, place, np.repeat(excess[high], at.shape[1]))
    value = np.empty((x.size, 1))
    kernels.moments_at(x, knots * root, np.log(1.02 * height / math.sqrt(2 * math.pi)), root, 9.0, 0.0, value)
    return value[:, 0]


def bound_potential(measure: LineMeasure, logz: FloatArray, epsilon: float, tol: float) -> float:
    """Lower bound on L(ε) from any positive Z on the nodes of the core, in standard units.

    α = 1/Z, scaled and repaired, is a dual point whether or not Z = k∗ν for a law ν: an interpolated Z serves.

    Parameters
    ----------
    logz : (n,) array
        log Z at ``measure.x``.
    """
    lower, _, _ = _dual_bound(measure, logz, epsilon, tol, True)
    size = abs(float(np.sum(measure.mass * logz)))
    return lower - 1e-15 * (2.0 + size) - 4e-16 * math.sqrt(measure.x.size)
