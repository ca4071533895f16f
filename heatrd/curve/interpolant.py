"""A convex, non-increasing interpolant of R(D) through points with known slopes.

Between two points R is a cubic Hermite polynomial in log D with the slopes dR/d log D = −D/2ε (fourth order). Where
that is not convex in D
(R_uu ≥ R_u with u = log D fails somewhere) the piece is Schumaker's C¹ quadratic spline with one extra knot, which is
convex and monotone whenever
the data are (third order). L. L. Schumaker, SIAM J. Numer. Anal. 20 (1983) 853.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

__all__ = ["ConvexCurve"]

FloatArray = NDArray[np.float64]

_TINY = 2.0**-1022  # below this D counts as zero


class ConvexCurve:
    """Callable interpolant.

    Parameters
    ----------
    distortion, rate, slope : (n,) arrays
        Points by increasing distortion and dR/dD ≤ 0 there; made consistent with convexity where they are not, to
        rounding.
    """

    def __init__(self, distortion: FloatArray, rate: FloatArray, slope: FloatArray) -> None:
        self.x = np.asarray(distortion, dtype=np.float64)
        self.y = np.asarray(rate, dtype=np.float64)
        self.m = np.asarray(slope, dtype=np.float64)
        self._prepare()

    def _prepare(self) -> None:
        x, y, m = self.x, self.y, self.m
        self.u = np.log(np.maximum(x, _TINY))
        if x.size < 2:
            self.cubic = np.zeros(0, bool)
            return
        h = np.diff(x)
        chord = np.diff(y) / h
        left, right = np.minimum(m[:-1], chord), np.maximum(m[1:], chord)
        self.left, self.right = left, right
        du = np.diff(self.u)
        a, b = left * x[:-1], right * x[1:]
        t = np.linspace(0.0, 1.0, 33)[:, None]
        first, second = _hermite_derivatives(t, y[:-1], y[1:], a * du, b * du)
        first, second = first / du, second / du**2
        self.cubic = (x[:-1] > 0) & (second - first >= 0).all(axis=0) & (first <= 0).all(axis=0)
        # Schumaker: the knot where the two quadratics join, and the slope there
        with np.errstate(divide="ignore", invalid="ignore"):
            knot = np.where(right > left, (right - chord) / (right - left), 0.5)
        self.share = np.clip(np.nan_to_num(knot, nan=0.5), 1e-9, 1 - 1e-9)
        self.middle = 2 * chord - self.share * left - (1 - self.share) * right

    def __call__(self, distortion: FloatArray) -> FloatArray:
        """Value at any D between the first and the last point; log-linear continuation to the left, constant to the
        right.
        """
        d = np.asarray(distortion, dtype=np.float64)
        x, y = self.x, self.y
        if x.size == 1:
            return np.full(d.shape, y[0]) + self.m[0] * (d - x[0])
        index = np.clip(np.searchsorted(x, d, side="right") - 1, 0, x.size - 2)
        inside = np.clip(d, x[0], x[-1])
        value = np.where(self.cubic[index], self._cubic(inside, index), self._quadratic(inside, index))
        below = y[0] + self.m[0] * x[0] * (np.log(np.maximum(d, _TINY)) - self.u[0])
        return np.where(d < x[0], below, np.where(d > x[-1], y[-1], value))

    def derivative(self, distortion: FloatArray) -> FloatArray:
        """Derivative in D at any D; zero beyond the last point."""
        d = np.asarray(distortion, dtype=np.float64)
        x = self.x
        with np.errstate(divide="ignore", over="ignore"):
            below = self.m[0] * x[0] / np.abs(d) if self.m[0] else np.zeros(d.shape)
        if x.size == 1:
            return np.where(d < x[0], below, 0.0)
        i = np.clip(np.searchsorted(x, d, side="right") - 1, 0, x.size - 2)
        inside = np.clip(d, x[0], x[-1])
        du = self.u[i + 1] - self.u[i]
        t = (np.log(np.maximum(inside, _TINY)) - self.u[i]) / du
        p, q = self.left[i] * x[i] * du, self.right[i] * x[i + 1] * du
        first = _hermite_derivatives(t, self.y[i], self.y[i + 1], p, q)[0] / (du * np.maximum(inside, _TINY))
        t = (inside - x[i]) / (x[i + 1] - x[i])
        c, l, m, r = self.share[i], self.left[i], self.middle[i], self.right[i]
        second = np.where(t <= c, l + (m - l) * t / c, r + (m - r) * (1 - t) / (1 - c))
        value = np.where(self.cubic[i], first, second)
        return np.where(d < x[0], below, np.where(d >= x[-1], 0.0, value))

    def _cubic(self, d: FloatArray, i: NDArray[np.intp]) -> FloatArray:
        du = self.u[i + 1] - self.u[i]
        t = (np.log(np.maximum(d, _TINY)) - self.u[i]) / du
        p, q = self.left[i] * self.x[i] * du, self.right[i] * self.x[i + 1] * du
        s = 1 - t
        return np.asarray(
            s * s * (1 + 2 * t) * self.y[i] + t * t * (1 + 2 * s) * self.y[i + 1] + t * s * (s * p - t * q)
        )

    def _quadratic(self, d: FloatArray, i: NDArray[np.intp]) -> FloatArray:
        h = self.x[i + 1] - self.x[i]
        t = (d - self.x[i]) / h
        c = self.share[i]
        l, m, r = self.left[i], self.middle[i], self.right[i]
        first = self.y[i] + h * (l * t + (m - l) * t * t / (2 * c))
        s = 1 - t
        second = self.y[i + 1] - h * (r * s + (m - r) * s * s / (2 * (1 - c)))
        return np.asarray(np.where(t <= c, first, second))


def _hermite_derivatives(
    t: FloatArray, y0: FloatArray, y1: FloatArray, p: FloatArray, q: FloatArray
) -> tuple[FloatArray, FloatArray]:
    """First and second derivative in t of the cubic with end values y0, y1 and end derivatives p, q."""
    first = (6 * t * t - 6 * t) * (y0 - y1) + (3 * t * t - 4 * t + 1) * p + (3 * t * t - 2 * t) * q
    second = (12 * t - 6) * (y0 - y1) + (6 * t - 4) * p + (6 * t - 2) * q
    return first, second
