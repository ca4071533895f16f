"""The certified band around a rate–distortion curve, from finitely many proved points.

At a knot ε_i, with s_i = 1/2ε_i, a certificate gives L_i⁻ ≤ L(ε_i) ≤ L_i⁺ and an achievable pair (D_i, L_i⁺ − s_i
D_i). Two facts
carry this to every D:

* R is convex. Upper bound: chords of the achievable pairs, (total variance, 0) among them. Lower bound: tangents,
  R(D) ≥ L_i⁻ − s_i D.
* E(ε) = L(ε) + (d/2) log ε is non-decreasing, because ν ↦ ν ∗ G_δ maps the laws allowed at ε + δ into those allowed
  at ε
  (DESIGN (1)). With D = dε̃ this reads

      R(D) ≥ L_i⁻ − (d/2)(1 + log(D/dε_i))   for D ≥ dε_i,
      R(D) ≤ L_i⁺ − (d/2)(1 + log(D/dε_i))   for D ≤ D_i,

  the Shannon lower bound shifted to the knot. It is exact on the backward-heat class, where one knot carries the
  whole high-rate curve.

Chords and tangents alone are δ²d/8 apart for knots δ apart in log ε; the shifted Shannon bounds differ by the change
of E only, which vanishes at
high rates.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

__all__ = ["Band", "Knots"]

FloatArray = NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class Knots:
    """Proved points, sorted by decreasing ε.

    Attributes
    ----------
    epsilon, upper, lower, distortion : (n,) arrays
        ε_i, L_i⁺, L_i⁻ (nats) and D_i.
    """

    epsilon: FloatArray
    upper: FloatArray
    lower: FloatArray
    distortion: FloatArray

    @classmethod
    def sorted(cls, epsilon: FloatArray, upper: FloatArray, lower: FloatArray, distortion: FloatArray) -> Knots:
        """Sort by decreasing ε; of equal ε keep the narrowest."""
        columns = [np.asarray(c, dtype=np.float64) for c in (epsilon, upper, lower, distortion)]
        order = np.lexsort((columns[1] - columns[2], -columns[0]))
        columns = [c[order] for c in columns]
        first = np.concatenate([[True], np.diff(columns[0]) != 0]) if order.size else np.zeros(0, bool)
        return cls(*(c[first] for c in columns))

    @property
    def size(self) -> int:
        return int(self.epsilon.size)

    @property
    def slope(self) -> FloatArray:
        """s_i = 1/2ε_i (zero for infinite ε)."""
        return 0.5 / self.epsilon

    @property
    def rate(self) -> FloatArray:
        """Achievable rate at D_i."""
        return np.maximum(self.upper - self.slope * self.distortion, 0.0)


class Band:
    """Proved bounds on R(D) at any D.

    Parameters
    ----------
    knots : Knots
    variance : float
        Total variance, where the rate is zero.
    dim : int
        Dimension of the source.
    entropy : float, optional
        Shannon entropy of a discrete source, nats: R(0).
    differential : float, optional
        Differential entropy h(μ), nats: the Shannon lower bound holds at every D, below the last knot too.
    """

    def __init__(
        self, knots: Knots, variance: float, dim: int, entropy: float | None = None, differential: float | None = None
    ) -> None:
        self.knots, self.variance, self.dim, self.entropy = knots, float(variance), int(dim), entropy
        self.differential = differential if differential is not None and math.isfinite(differential) else None

    @cached_property
    def _hull(self) -> tuple[FloatArray, FloatArray]:
        """Lower convex hull of the achievable pairs, by increasing D."""
        d = np.append(self.knots.distortion, self.variance)
        r = np.append(self.knots.rate, 0.0)
        if self.entropy is not None:
            d, r = np.append(d, 0.0), np.append(r, self.entropy)
        keep = d <= self.variance
        d, r = d[keep], r[keep]
        order = np.lexsort((r, d))
        stack: list[int] = []
        for i in order.tolist():
            if stack and r[i] >= r[stack[-1]]:
                continue
            while len(stack) > 1 and _above(d, r, stack[-2], stack[-1], i):
                stack.pop()
            stack.append(i)
        return d[stack], r[stack]

    @cached_property
    def _tangents(self) -> tuple[FloatArray, FloatArray, FloatArray]:
        """Upper envelope of the tangents: slopes, intercepts, and the distortions where they take over (slopes
        decreasing).
        """
        slope = np.append(0.0, self.knots.slope)
        level = np.append(0.0, self.knots.lower)
        order = np.lexsort((-level, slope))
        stack: list[int] = []
        for i in order.tolist():
            if stack and slope[i] == slope[stack[-1]]:
                continue
            while len(stack) > 1:
                a, b = stack[-2], stack[-1]
                # line b is never the highest when i meets a to the right of where b meets a
                if (level[i] - level[a]) * (slope[b] - slope[a]) >= (level[b] - level[a]) * (slope[i] - slope[a]):
                    stack.pop()
                else:
                    break
            if len(stack) == 1 and level[i] <= level[stack[0]] and slope[i] > 0:
                continue
            stack.append(i)
        s, l = slope[stack], level[stack]
        meet = np.diff(l) / np.diff(s) if s.size > 1 else np.zeros(0)
        return s, l, meet

    @cached_property
    def _monotone(self) -> tuple[FloatArray, FloatArray, FloatArray, FloatArray]:
        """Running extrema of E: ascending dε with the largest E⁻ up to it; ascending D_i with the smallest E⁺ from it
        on.
        """
        k, d = self.knots, self.dim
        finite = np.isfinite(k.epsilon)
        excess = 0.5 * d * np.log(k.epsilon[finite])
        order = np.argsort(k.epsilon[finite], kind="stable")
        low = np.maximum.accumulate((k.lower[finite] + excess)[order])
        by_d = np.argsort(k.distortion[finite], kind="stable")
        high = np.minimum.accumulate((k.upper[finite] + excess)[by_d][::-1])[::-1]
        return d * k.epsilon[finite][order], low, k.distortion[finite][by_d], high

    def lower(self, distortion: FloatArray) -> FloatArray:
        """Proved lower bound, nats."""
        d = np.minimum(np.asarray(distortion, dtype=np.float64), self.variance)
        s, l, meet = self._tangents
        index = np.searchsorted(-meet, -d, side="left") if meet.size else np.zeros(d.shape, int)
        bound = l[index] - s[index] * d
        at, low, _, _ = self._monotone
        index = np.searchsorted(at, d, side="right") - 1
        if at.size:
            with np.errstate(divide="ignore"):
                shifted = low[np.maximum(index, 0)] - 0.5 * self.dim * (1 + np.log(d / self.dim))
            bound = np.where(index >= 0, np.maximum(bound, shifted), bound)
        if self.differential is not None:
            with np.errstate(divide="ignore"):
                shannon = self.differential - 0.5 * self.dim * np.log(2 * math.pi * math.e * d / self.dim)
            bound = np.maximum(bound, shannon - 1e-13)
        return np.where(d >= self.variance, 0.0, np.maximum(bound, 0.0))

    def upper(self, distortion: FloatArray) -> FloatArray:
        """Proved upper bound, nats; inf where nothing is known."""
        d = np.asarray(distortion, dtype=np.float64)
        x, r = self._hull
        bound = np.interp(d, x, r, left=np.inf)
        _, _, at, high = self._monotone
        index = np.searchsorted(at, d, side="left")
        if at.size:
            with np.errstate(divide="ignore"):
                shifted = high[np.minimum(index, at.size - 1)] - 0.5 * self.dim * (1 + np.log(d / self.dim))
            bound = np.where(index < at.size, np.minimum(bound, shifted), bound)
        return np.where(d >= self.variance, 0.0, np.maximum(bound, 0.0))

    def width(self, distortion: FloatArray) -> FloatArray:
        """Upper minus lower bound, nats."""
        return self.upper(distortion) - self.lower(distortion)

    def vertices(self) -> tuple[FloatArray, FloatArray, FloatArray]:
        """Distortions (increasing), rates and slopes −1/2ε of the knots, ended by the zero-rate point.

        The rates are the upper bounds: F(ν) is off by the square of what the lower bound is off by.
        """
        k = self.knots
        keep = (k.distortion < self.variance * (1 - 1e-12)) & np.isfinite(k.epsilon) & (k.distortion > 0)
        order = np.lexsort((k.epsilon[keep], k.distortion[keep]))
        d, slope = k.distortion[keep][order], -k.slope[keep][order]
        first = np.concatenate([np.diff(d) > 1e-13 * d[1:], np.ones(min(d.size, 1), bool)])
        d, slope = d[first], slope[first]
        rate = self.upper(d)
        last = float(slope[-1]) if d.size else 0.0
        chord = -float(rate[-1]) / (self.variance - float(d[-1])) if d.size else 0.0
        return np.append(d, self.variance), np.append(rate, 0.0), np.append(slope, 0.5 * max(chord, last))

    def crossings(self) -> FloatArray:
        """Distortions where tangents cross, where shifted bounds take over, and the vertices of the hull."""
        at, _, by_d, _ = self._monotone
        return np.concatenate([self._hull[0], self._tangents[2], at, by_d])

    def probes(self, low: float, high: float) -> FloatArray:
        """Distortions where the band may be widest: the crossings of tangents, the vertices of the hull, and points
        between.
        """
        marks = np.unique(np.concatenate([self.crossings(), np.geomspace(low, high, 257)]))
        marks = marks[(marks >= low) & (marks <= high) & (marks < self.variance)]
        return np.unique(np.concatenate([marks, np.sqrt(marks[1:]) * np.sqrt(marks[:-1])]))


def _above(d: FloatArray, r: FloatArray, a: int, b: int, c: int) -> bool:
    """Whether point b lies on or above the chord from a to c (d ascending)."""
    return bool((r[b] - r[a]) * (d[c] - d[a]) >= (r[c] - r[a]) * (d[b] - d[a]))
