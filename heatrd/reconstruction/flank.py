"""Where a tail of μ is smooth on the scale √ε, ν is settled there in advance.

Beyond a cut ν is put on a lattice, with weights ν_j = h_j μ(y_j) v_j and v found by van Cittert's iteration
v ← v · √(2πε) μ/Z, which contracts at once where log μ hardly bends within √ε (an exponential tail takes one step), and
leaves ripples alone. There Z = √(2πε) μ to the accuracy of the lattice, 2 exp(−2π² ε/h²), and the dual
α = 1/(√(2πε) μ) is as good as 1/Z: what lies beyond the cut costs the certificate next to nothing, however heavy the
tail, and the search for atoms is confined to the core.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr

from heatrd.certificate.line import evaluate_potential
from heatrd.quadrature.line import LineQuadrature
from heatrd.quadrature.line_measure import SettledLaw, TailCells

__all__ = ["blend", "handed_over", "settle"]

FloatArray = NDArray[np.float64]

_REACH = 9.0
_STEPS = 40
_MARGIN = 20.0  # the cut keeps this far (in √ε) at least from where the density is not smooth; ...
_WORTH = 64.0  # a core no longer than this (in √ε) is solved as it is
_SHARP, _LONG = 2e-10, 1e4  # below this tolerance kinks are felt so far away that only a longer core is cut
_DECADE = 6.0  # ... what it costs falls by ten every so many √ε, as a share of the mass beyond
_HANDOVER = 36.0
_GROWTH = 60.0  # spacings grow by e over so many √ε at the fastest
_SPARE = 24  # points beyond the end, where v is carried on
_MOST_ATOMS = 400_000


def settle(quadrature: LineQuadrature, epsilon: float, tol: float) -> SettledLaw | None:
    """Settle ν in the tails of a source, where they allow it; None where neither does.

    Parameters
    ----------
    quadrature : LineQuadrature
    epsilon : float
        In standard units.
    tol : float
        Gap to be proved, nats.
    """
    low, high = quadrature.ends
    sides = [_side(quadrature, epsilon, tol, end, sign) for end, sign in ((low, -1.0), (high, 1.0))]
    if all(side is None for side in sides):
        return None
    root = math.sqrt(epsilon)
    cuts, room = [low, high], [-math.inf, math.inf]
    ys, nus = [], []
    for k, (side, sign) in enumerate(zip(sides, (-1.0, 1.0))):
        if side is not None:
            first, y, nu = side
            room[k], cuts[k] = first, first + sign * _REACH * root
            ys.append(y)
            nus.append(nu)
    y, nu = np.concatenate(ys), np.concatenate(nus)
    order = np.argsort(y, kind="stable")
    settled = sides[0] is not None, sides[1] is not None
    return SettledLaw((cuts[0], cuts[1]), settled, (room[0], room[1]), y[order], nu[order])


def blend(
    settled: SettledLaw, tails: TailCells, y: FloatArray, nu: FloatArray, root: float
) -> tuple[FloatArray, FloatArray]:
    """Hand over smoothly, within 36√ε of where it begins, from a law that is good everywhere to the settled one."""

    def share(points: FloatArray) -> FloatArray:
        total = np.zeros(points.size)
        for at, side, sign in zip(settled.room, settled.sides, (-1.0, 1.0)):
            if side:
                total += ndtr((sign * (points - at) / root - 0.5 * _HANDOVER) / 2.5)
        return total

    y_all = np.concatenate([y, settled.y, tails.centre])
    far = tails.mass * share(tails.centre)
    nu_all = np.concatenate([nu * (1 - share(y)), settled.nu * share(settled.y), far])
    order = np.argsort(y_all, kind="stable")
    order = order[nu_all[order] > 0]
    return y_all[order], nu_all[order]


def handed_over(settled: SettledLaw, root: float) -> tuple[float, float]:
    """The interval outside which `blend` takes nothing but the settled law."""
    low, high = settled.room
    return low - 2 * _HANDOVER * root, high + 2 * _HANDOVER * root


def _side(
    quadrature: LineQuadrature, epsilon: float, tol: float, end: float, sign: float
) -> tuple[float, FloatArray, FloatArray] | None:
    """Where the room for free atoms ends on one side, and the settled atoms beyond."""
    if not math.isfinite(end):
        return None
    root = math.sqrt(epsilon)
    begin = _smooth_from(quadrature, sign)
    short = _WORTH if tol >= _SHARP or quadrature.rough.size == 0 else _LONG
    if sign * (end - begin) < short * root or abs(end - begin) / root > _MOST_ATOMS:
        return None
    found, flat = None, 2 * _HANDOVER
    while found is None or (found[1] > flat - _HANDOVER - _REACH and flat < _MOST_ATOMS):
        flat = flat if found is None else 2 * found[1] + 2 * _HANDOVER
        y, h = _lattice(quadrature, begin, end, root, sign, tol, flat)
        logp = _log_density(quadrature, y)
        if not np.isfinite(logp).all():
            return None
        v, residual = _deblur(y, h, logp, epsilon, sign)
        residual = np.maximum(np.abs(residual), _between(quadrature, y, h, np.exp(logp) * v, epsilon, sign))
        first = _first_settled(y, h, logp, residual, root, tol)
        if first >= y.size - _SPARE - 16:
            return None
        found = first, abs(y[first] - begin) / root
    first = found[0]
    v[-_SPARE:] = v[-_SPARE - 1]
    return float(y[first - 1]), y[first:], (h * np.exp(logp) * v)[first:]


def _smooth_from(quadrature: LineQuadrature, sign: float) -> float:
    """The outermost place, in standard units, where the density may not be smooth, or the mean."""
    a, b = quadrature.core
    mean = float(np.ravel(quadrature.source.mean)[0])
    centre = (min(max(mean, a), b) - quadrature.shift) / quadrature.scale
    return max([centre, *quadrature.rough.tolist()], key=lambda t: sign * t)


def _log_density(quadrature: LineQuadrature, z: FloatArray) -> FloatArray:
    x = quadrature.shift + quadrature.scale * z
    return np.asarray(quadrature.source.logpdf(x), dtype=float) + math.log(quadrature.scale)


def _lattice(
    quadrature: LineQuadrature, begin: float, end: float, root: float, sign: float, tol: float, flat: float
) -> tuple[FloatArray, FloatArray]:
    """Points from ``begin`` outwards to beyond ``end``, and the length that belongs to each.

    A lattice of spacing h√ε leaves a ripple of amplitude r = 2 exp(−2π²/h²) in Z, which costs r²/4 for the mass
    beyond and raises c by as much: h follows from that, after a stretch of ``flat``·√ε, in which the cut will be,
    with no ripple to speak of.
    """
    z = np.linspace(0.0, abs(end - begin) / root, 4001)
    density = np.exp(_log_density(quadrature, begin + sign * root * z))
    beyond = np.cumsum((density * root * z[1])[::-1])[::-1]
    ripple = np.sqrt(np.minimum(4e-3 * tol / np.maximum(beyond, 1e-300), tol))
    spacing = math.pi * np.sqrt(2 / np.log(2 / ripple))
    finest = math.pi * math.sqrt(2 / math.log(20 / tol))
    spacing = np.minimum(np.maximum(spacing, finest), finest * np.exp(np.clip((z - flat) / _GROWTH, 0.0, 5.0)))
    index = np.concatenate([[0.0], np.cumsum(np.diff(z) * 0.5 * (1 / spacing[1:] + 1 / spacing[:-1]))])
    inner = np.interp(np.arange(int(index[-1]) + 1), index, z)
    at = np.concatenate([inner, inner[-1] + spacing[-1] * np.arange(1, _SPARE + 1)])
    return begin + sign * root * at, root * np.interp(at, z, spacing)


def _deblur(
    y: FloatArray, h: FloatArray, logp: FloatArray, epsilon: float, sign: float
) -> tuple[FloatArray, FloatArray]:
    """Weights relative to h μ, and log Z − log √(2πε) μ at the points after the last step."""
    order = slice(None, None, int(sign))
    y_, h_, logp_ = y[order], h[order], logp[order]
    # a lattice has its ripple's crests at its points
    ripple = np.log1p(2 * np.exp(-2 * math.pi**2 * epsilon / h_**2))
    target = logp_ + 0.5 * math.log(2 * math.pi * epsilon) + ripple
    logv = np.zeros(y.size)
    best, kept = np.full(y.size, np.inf), logv
    for _ in range(_STEPS):
        top = logp_.max()
        logz, _ = evaluate_potential(y_, y_, np.maximum(np.exp(logp_ - top + logv) * h_, 1e-300), epsilon)
        residual = logz + top - target
        if not np.isfinite(residual).all():
            break
        if np.median(np.abs(residual)) >= 0.9 * np.median(np.abs(best)):
            break
        best, kept = residual, logv
        logv = logv - residual
    return np.exp(kept[order]), best[order]


def _between(
    quadrature: LineQuadrature, y: FloatArray, h: FloatArray, density: FloatArray, epsilon: float, sign: float
) -> FloatArray:
    """|log Z − log √(2πε) μ| halfway to the next point: a density that waves between the points shows there."""
    order = slice(None, None, int(sign))
    middle = 0.5 * (y[1:] + y[:-1])
    logz, _ = evaluate_potential(middle[order], y[order], np.maximum(h * density, 1e-300)[order], epsilon)
    trough = np.log1p(-2 * np.exp(-2 * math.pi**2 * epsilon / h[1:] ** 2))
    residual = logz[order] - _log_density(quadrature, middle) - 0.5 * math.log(2 * math.pi * epsilon) - trough
    return np.concatenate([np.abs(np.nan_to_num(residual, nan=np.inf)), [0.0]])


def _first_settled(
    y: FloatArray, h: FloatArray, logp: FloatArray, residual: FloatArray, root: float, tol: float
) -> int:
    """The innermost point from which on the lattice law is good enough for the tolerance."""
    beyond = np.cumsum((np.exp(logp) * h)[::-1])[::-1]
    rough = np.flatnonzero((residual * beyond > 0.1 * tol) & (np.arange(y.size) < y.size - _SPARE))
    first = int(rough[-1]) + 1 if rough.size else 0
    away = np.abs(y - y[0]) / root
    near = np.flatnonzero((beyond * 10.0 ** (-away / _DECADE) > 0.1 * tol) | (away < _MARGIN))
    return max(first + int(_REACH), int(near[-1]) + 1)
