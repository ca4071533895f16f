"""The certificate on the line, over the continuum and with the tails.

Let q = μ/Z on the core. c(y) = Σ q_i k(x_i − y) is entire, |c(u + iv)| ≤ exp(v²/2ε) c(u), so its Taylor coefficients in
units of √ε obey |a_n| ≤ e^{n/2} n^{−n/2} sup c. On cells of half-width √ε/2, N = 24 terms leave a remainder below
1e-18 sup c, and the
polynomial's maximum is bounded by subdivision (`cell_suprema`). Outside the hull of the core c only falls.

Beyond the cuts α = δ/(√(2πε) μ), so that μ α is flat and adds δ Φ((y − T)/√ε) to c, and

    ∫ μ log α  =  P log δ − (P/2) log 2πε − ∫ μ log μ         (below).

Where ν is settled beyond the cut so that Z ≈ √(2πε) μ, δ is one but for a sliver; elsewhere δ = 1/2 and a smooth
taper s, which rises from one to two before the cut, makes room for it, or, where the density is so steep that the
taper would cost more than that, δ is a sliver.

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
from scipy.special import ndtr

from heatrd.errors import TooLarge
from heatrd.kernels import line as kernels
from heatrd.quadrature.line_measure import LineMeasure

__all__ = [
    "Beyond",
    "CertificateFunction",
    "LineBounds",
    "bound_lagrangian",
    "bound_potential",
    "certificate_function",
    "evaluate_potential",
    "supremum",
]

FloatArray = NDArray[np.float64]

_MOST_CELLS = 2.0**52  # so that their numbers are exact
_REACH = 12.0
_EDGE = 10.0  # beyond a cut by this many √ε c is what the tail adds
_FAR = 12.0  # and before it by this many, the tail adds nothing
_FAR_ABOVE, _COMPLETIONS = 0.05, 3  # log c from which on the law is completed, so many times
_AROUND = 4  # a majorant covers an excess within so many √ε
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


def certificate_function(
    x: FloatArray, logq: FloatArray, epsilon: float, slack: float, beyond: Beyond | None = None
) -> CertificateFunction:
    """Bound c(y) = Σ exp(logq_i) k(x_i − y) + what ``beyond`` adds, cell by cell over the hull of ``x`` (sorted)."""
    root = math.sqrt(epsilon)
    top = float(logq.max())
    reach = math.sqrt(2 * max(36.0, min(top, 600.0) + math.log(x.size) + 36.0))
    offset = 0.0 if top < 600.0 else top
    centre = _cells(x, root, beyond)
    coefficients = np.empty((centre.size, kernels.ORDER))
    kernels.moments_at(centre, x, logq, root, reach, offset, coefficients)
    if beyond is not None:
        beyond.add(centre, coefficients, root, offset)
    bound, best, at = np.empty(centre.size), np.empty(centre.size), np.empty(centre.size)
    unit = math.exp(-offset)
    kernels.cell_suprema(coefficients, 0.5 * _CELL, unit, slack * max(unit, 1e-300), bound, best, at)
    return CertificateFunction(centre, bound, best, centre + root * at, offset)


def _cells(x: FloatArray, root: float, beyond: Beyond | None) -> FloatArray:
    """Centres of cells covering [x₀, x_n] and what is near a cut, leaving out wide gaps where c < 1 trivially."""
    width = _CELL * root
    low, high = (x[0], x[-1]) if beyond is None else beyond.hull(x, root)
    if not (high - low) / width < _MOST_CELLS:
        raise TooLarge(f"the source spans {(high - low) / root:.2g} times √ε; use a larger epsilon", _MOST_CELLS)
    span = int(math.floor((high - low) / width)) + 1
    if span <= 4 * x.size + 100:
        return np.asarray(low + width * (np.arange(span) + 0.5))
    index = np.floor((x - low) / width).astype(np.int64)
    reach = int(math.ceil(9.0 / _CELL))
    near = (np.unique(index)[:, None] + np.arange(-reach, reach + 1)).ravel()
    near = np.unique(np.concatenate([near, np.arange(30), span - 1 - np.arange(30)]))
    near = near[(near >= 0) & (near < span)]
    return np.asarray(low + width * (near + 0.5))


@dataclass(frozen=True, slots=True)
class Beyond:
    """The dual beyond the cuts: μ α = δ/√(2πε) there.

    Attributes
    ----------
    cuts : (float, float)
        Where it begins on the left and on the right; infinite: nowhere.
    shares : (float, float)
        δ on the left and on the right.
    masses : (float, float)
        Mass of μ beyond.
    """

    cuts: tuple[float, float]
    shares: tuple[float, float]
    masses: tuple[float, float]

    @classmethod
    def of(cls, measure: LineMeasure, epsilon: float, tol: float) -> Beyond:
        """Choose δ on either side."""
        sliver, masses = min(0.01 * tol, 0.5), measure.outside
        shares = []
        for cut, settled, mass, sign in zip(measure.cuts, measure.settled, masses, (-1.0, 1.0)):
            if settled:
                shares.append(1 - min(0.5, sliver / max(mass, 1e-300)))
            else:
                taper = _taper(measure.x, cut, sign, math.sqrt(epsilon)) if math.isfinite(cut) else np.zeros(1)
                steep = float(np.sum(measure.mass * taper)) > mass * math.log(0.5 / sliver)
                shares.append(sliver if steep else 0.5)
        return cls(measure.cuts, (shares[0], shares[1]), masses)

    @classmethod
    def where_settled(cls, measure: LineMeasure, epsilon: float, tol: float) -> Beyond:
        """The same, without the sides where ν is not settled."""
        full = cls.of(measure, epsilon, tol)
        low, high = full.cuts
        left, right = measure.settled
        return cls((low if left else -math.inf, high if right else math.inf), full.shares, full.masses)

    def hull(self, x: FloatArray, root: float) -> tuple[float, float]:
        """The interval outside which c with this addition only falls, or is below δ."""
        low, high = self.cuts
        left = min(x[0], low - _EDGE * root) if math.isfinite(low) else x[0]
        right = max(x[-1], high + _EDGE * root) if math.isfinite(high) else x[-1]
        return float(left), float(right)

    def add(self, centre: FloatArray, coefficients: FloatArray, root: float, offset: float) -> None:
        """Add δ Φ(±(y − T)/√ε) to Taylor models at the centres (units of √ε)."""
        for cut, share, sign in zip(self.cuts, self.shares, (-1.0, 1.0)):
            if not math.isfinite(cut):
                continue
            z = (centre - cut) / root
            near = np.flatnonzero(sign * z > -_FAR)
            scale = share * math.exp(-offset)
            coefficients[near, 0] += scale * ndtr(sign * z[near])
            density = np.where(np.abs(z[near]) < 38.0, np.exp(-0.5 * z[near] ** 2), 0.0) / math.sqrt(2 * math.pi)
            current, previous = density, np.zeros(near.size)
            for k in range(1, coefficients.shape[1]):
                coefficients[near, k] += sign * scale * current / k
                current, previous = (-z[near] * current - previous) / k, current

    def at(self, y: FloatArray, root: float) -> tuple[FloatArray, FloatArray, FloatArray]:
        """The addition to c at points, and its first two derivatives in units of √ε."""
        value, first, second = np.zeros(y.size), np.zeros(y.size), np.zeros(y.size)
        for cut, share, sign in zip(self.cuts, self.shares, (-1.0, 1.0)):
            if math.isfinite(cut):
                z = (y - cut) / root
                density = share / math.sqrt(2 * math.pi) * np.exp(-0.5 * z * z)
                value += share * ndtr(sign * z)
                first += sign * density
                second -= sign * z * density
        return value, first, second

    def taper(self, x: FloatArray, root: float) -> FloatArray:
        """log s: zero, but rising to log 2 before a cut where δ = 1/2 has to fit in."""
        total = np.zeros_like(x)
        for cut, share, sign in zip(self.cuts, self.shares, (-1.0, 1.0)):
            if math.isfinite(cut) and share == 0.5:
                total += _taper(x, cut, sign, root)
        return total

    def value(self, entropy: float, epsilon: float) -> float:
        """∫ μ log α beyond the cuts, ``entropy`` = −∫ μ log μ there."""
        total = sum(m * (math.log(d) - 0.5 * math.log(2 * math.pi * epsilon)) for m, d in zip(self.masses, self.shares))
        return total + entropy


def _taper(x: FloatArray, cut: float, sign: float, root: float) -> FloatArray:
    """log s before one cut."""
    return np.asarray(np.log1p(ndtr((sign * (x - cut) / root + 2.0) / 0.7)))


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
    half = 0.5 * _CELL * math.sqrt(epsilon)
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
