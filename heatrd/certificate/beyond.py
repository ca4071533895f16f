"""The dual on the line beyond the cuts of the core.

There α = δ/(√(2πε) μ), so that μ α is flat and adds δ Φ((y − T)/√ε) to c, and

    ∫ μ log α  =  P log δ − (P/2) log 2πε − ∫ μ log μ         (below).

Where ν is settled beyond the cut so that Z ≈ √(2πε) μ, δ is one but for a sliver; elsewhere δ = 1/2 and a smooth
taper s, which rises from one to two before the cut, makes room for it, or, where the density is so steep that the
taper would cost more than that, δ is a sliver.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr

from heatrd.quadrature.line_measure import LineMeasure

__all__ = ["Beyond"]

FloatArray = NDArray[np.float64]

_EDGE = 10.0  # beyond a cut by this many √ε c is what the tail adds
_FAR = 12.0  # and before it by this many, the tail adds nothing


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
