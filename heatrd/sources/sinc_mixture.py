"""Mixtures of sinc⁴ kernels: band-limited laws, for which the backward heat flow is well posed until
positivity is lost.

The kernel f(u) = 3/(2π) (sin u/u)⁴ has variance 3/4 and the compactly supported characteristic function g(s) =
(3/2) β(s/2), |s| ≤ 4, with the cubic
B-spline β. Running the heat equation backward by e multiplies g by exp(e s²/2), which is harmless on a bounded band:

    F(u; e) = (1/π) ∫₀⁴ g(s) exp(e s²/2) cos(su) ds .

For small |u| this is a Gauss–Legendre sum; beyond, integration by parts at the knots s = 0, 2, 4, where g‴
jumps, gives a series in 1/u that starts with

    F(u; e) ≈ 3/(16π) (3 − 4 exp(2e) cos 2u + exp(8e) cos 4u)/u⁴ .

The mixture μ = Σ w_i a_i⁻¹ f((x − m_i)/a_i) has μ = ν_ε ∗ N(0, ε) with ν_ε = Σ w_i a_i⁻¹ F((x − m_i)/a_i;
ε/a_i²) as long as that is non-negative, which fails first
either at a finite x or in the tails, where x⁴ν_ε tends to an almost periodic function. A single kernel has
zeros, so ε_c = 0;
two shifted ones have ε_c > 0. The tails are of order x⁻⁴: the variance is finite, the third moment is not.
"""

from __future__ import annotations

from collections.abc import Mapping
from fractions import Fraction
from functools import cached_property, lru_cache
from math import gcd, lcm
from typing import Any

import numpy as np
import scipy
from numpy.polynomial import Polynomial
from numpy.polynomial.polynomial import polyval
from numpy.typing import ArrayLike

from heatrd.errors import InvalidInput
from heatrd.sources import _checks
from heatrd.sources.base import FloatArray, Source, Source1D
from heatrd.sources.gaussian import clip_epsilon

__all__ = ["SincMixture"]

_FARTHEST = 1e12  # widths between means
_TERMS = 30  # of the series in 1/u
_PIECES = (Polynomial([2 / 3, 0, -1, 1 / 2]), Polynomial([4 / 3, -2, 1, -1 / 6]))  # β on [0, 1] and [1, 2]


class SincMixture(Source1D):
    """Σ w_i a_i⁻¹ f((x − m_i)/a_i) with f = 3/(2π) sinc⁴, or what the backward heat flow made of it.

    Parameters
    ----------
    weights : (k,) array_like, optional
        Non-negative, normalised here; equal when omitted.
    means : (k,) array_like
        Centres m_i. The default, two kernels π/2 apart, has ε_c = log(3)/8.
    widths : scalar or (k,) array_like
        Widths a_i > 0; the variance of a kernel is 3a²/4.
    sharpened : float
        Heat already taken out: the law is ν with ν ∗ N(0, sharpened) = the mixture above. At most its critical ε.
    """

    name = "sinc-mixture"

    def __init__(
        self,
        weights: ArrayLike | None = None,
        means: ArrayLike = (-np.pi / 4, np.pi / 4),
        widths: ArrayLike = 1.0,
        sharpened: float = 0.0,
    ) -> None:
        m = np.atleast_1d(_checks.array(means, "means", self.name))
        a = _checks.array(widths, "widths", self.name)
        w = np.full(m.size, 1.0 / m.size) if weights is None else _checks.probabilities(weights, "weights", self.name)
        if m.ndim != 1 or w.shape != m.shape or a.shape not in ((), m.shape):
            raise InvalidInput(
                f"sinc-mixture: shapes {w.shape}, {m.shape}, {a.shape} of weights, means and widths; need (k,) each"
            )
        if (a <= 0).any():
            raise InvalidInput(f"sinc-mixture: width {a.min():g} must be positive")
        self.weights, self.means, self.widths = w, m, np.broadcast_to(a, m.shape).copy()
        self._unit = float(self.widths.min())
        _checks.variance_of_scale(self._unit, self.name)
        if not np.ptp(m) / self._unit < _FARTHEST:
            raise InvalidInput(f"sinc-mixture: means {np.ptp(m) / self._unit:.2g} widths apart; need < {_FARTHEST:g}")
        self.sharpened = _checks.finite(sharpened, "sharpened", self.name)
        if self.sharpened and not 0 <= self.sharpened <= self._whole_critical * (1 + 1e-13):
            raise InvalidInput(f"sinc-mixture: sharpened={self.sharpened:g} must lie in [0, {self._whole_critical:g}]")

    @property
    def parameters(self) -> Mapping[str, Any]:
        return {"weights": self.weights, "means": self.means, "widths": self.widths, "sharpened": self.sharpened}

    @property
    def mean(self) -> FloatArray:
        return np.array([self.weights @ self.means])

    @property
    def covariance(self) -> FloatArray:
        spread = self.weights @ ((self.means - self.mean[0]) ** 2 + 0.75 * self.widths**2)
        return np.array([[spread - self.sharpened]])

    @property
    def support(self) -> tuple[float, float]:
        return (-np.inf, np.inf)

    def logpdf(self, x: ArrayLike) -> FloatArray:
        with np.errstate(divide="ignore"):
            return np.asarray(np.log(np.maximum(self._density(x, self.sharpened), 0.0)) - np.log(self._unit))

    def cdf(self, x: ArrayLike) -> FloatArray:
        x = np.asarray(x, dtype=np.float64)
        total = np.zeros(x.shape)
        for w, m, a in zip(self.weights, self.means, self.widths):
            total += w * _kernel_cdf((x - m) / a, self.sharpened / a**2)
        return np.clip(total, 0.0, 1.0)

    def tail_cut(self, mass: float) -> tuple[float, float]:
        """From the envelope 2·3/(16π)(3 + 4e^{2e} + e^{8e})/u⁴ of every kernel, with half the mass for each side."""
        log_mass = np.log(_checks.mass_fraction(mass))
        e = self.sharpened / self.widths**2
        log_height = np.log(0.125 / np.pi * (3 + 4 * np.exp(2 * e) + np.exp(8 * e)))
        reach = self.widths * np.maximum(np.exp((log_height - log_mass) / 3), 12.0 + 30.0 * e)
        return float((self.means - reach).min()), float((self.means + reach).max())

    def sample(self, n: int, rng: np.random.Generator | int | None = None) -> FloatArray:
        """Rejection under a multiple of the mixture of min(1, u⁻⁴) envelopes."""
        rng = np.random.default_rng(rng)
        bound = self._envelope_ratio
        out = np.empty(0)
        while out.size < n:
            size = int(1.2 * bound * (n - out.size)) + 64
            which = rng.choice(self.means.size, size=size, p=self.weights)
            x = self.means[which] + self.widths[which] * _envelope_sample(size, rng)
            keep = rng.random(size) * bound * self._envelope(x) <= self._density(x, self.sharpened)
            out = np.concatenate([out, x[keep]])
        return out[:n, None]

    def entropy(self) -> float:
        return self._entropy

    def critical_epsilon(self) -> float:
        return max(self._whole_critical - self.sharpened, 0.0)

    def deblurred(self, epsilon: float) -> Source | None:
        eps = clip_epsilon(epsilon, self.critical_epsilon())
        if eps is None:
            return None
        return SincMixture(self.weights, self.means, self.widths, min(self.sharpened + eps, self._whole_critical))

    def _density(self, x: ArrayLike, sharpened: float) -> FloatArray:
        """The density times the least width, which neither overflows nor underflows."""
        x = np.asarray(x, dtype=np.float64)
        total = np.zeros(x.shape)
        for w, m, a in zip(self.weights, self.means, self.widths):
            total += w * self._unit / a * _kernel((x - m) / a, sharpened / a**2)
        return total

    def _envelope(self, x: FloatArray) -> FloatArray:
        total = np.zeros(x.shape)
        for w, m, a in zip(self.weights, self.means, self.widths):
            total += w * self._unit / a * 0.375 / np.maximum(1.0, np.abs((x - m) / a)) ** 4
        return total

    @cached_property
    def _envelope_ratio(self) -> float:
        x = self._grid(60.0, 0.05)
        e = self.sharpened / self.widths**2
        tail = float((0.0625 * (3 + 4 * np.exp(2 * e) + np.exp(8 * e)) * 3 / np.pi / 0.375).max())
        return 1.05 * max(float((self._density(x, self.sharpened) / self._envelope(x)).max()), tail)

    def _grid(self, reach: float, step: float) -> FloatArray:
        low, high = (self.means - reach * self.widths).min(), (self.means + reach * self.widths).max()
        return np.linspace(low, high, min(int((high - low) / (step * self._unit)) + 2, 400_000))

    @cached_property
    def _whole_critical(self) -> float:
        return (
            _critical(tuple(self.weights), tuple(self.means / self._unit), tuple(self.widths / self._unit))
            * self._unit**2
        )

    @cached_property
    def _entropy(self) -> float:
        """Gauss panels out to 3000 largest widths, fine where the bulk is; the tail from the mean of T log T,
        T = x⁴ density.
        """
        nodes, weights = np.polynomial.legendre.leggauss(10)
        edges = np.union1d(self._grid(3000.0, 0.5), self._grid(40.0, 0.02))
        half = 0.5 * np.diff(edges)[:, None]
        x = edges[:-1, None] + half * (1.0 + nodes)
        f = self._density(x, self.sharpened)
        with np.errstate(divide="ignore", invalid="ignore"):
            inside = float((half * weights * np.where(f > 0, -f * np.log(f), 0.0)).sum() / self._unit)
        centre = float(self.mean[0])
        tail = 0.0
        for side, block in ((-1.0, slice(None, 150)), (1.0, slice(-150, None))):
            u = (x[block] - centre) / self._unit
            t = np.maximum(f[block] * u**4, 1e-300)
            measure = (half[block] * weights) / (half[block] * weights).sum()
            level, tilt = float((measure * t).sum()), float((measure * t * np.log(t)).sum())
            end = side * ((edges[-1] if side > 0 else edges[0]) - centre) / self._unit
            tail += (-tilt + level * (4.0 * np.log(end) + 4.0 / 3.0)) / (3.0 * end**3)
        return float(inside + tail + np.log(self._unit))


@lru_cache(maxsize=64)
def _transform(e: float) -> tuple[FloatArray, FloatArray]:
    """Nodes s and weights of (1/π) ∫₀⁴ g(s) exp(e s²/2) … ds."""
    t, w = np.polynomial.legendre.leggauss(40 + int(20 * e))
    s = np.concatenate([1.0 + t, 3.0 + t])
    g = 1.5 * np.concatenate([p(0.5 * half) for p, half in zip(_PIECES, (1.0 + t, 3.0 + t))])
    return s, np.concatenate([w, w]) * g * np.exp(0.5 * e * s * s) / np.pi


@lru_cache(maxsize=64)
def _series(e: float) -> FloatArray:
    """Coefficients C[k, knot] with F(u) = Re Σ C[k, knot] exp(i·knot·u)/u^{k+1}, knots 0, 2, 4."""
    pieces = [1.5 * p(Polynomial([0.0, 0.5])) for p in _PIECES]
    out = np.zeros((_TERMS, 3), dtype=complex)
    for k in range(_TERMS):
        inner, outer = pieces
        jumps = np.array([inner(0.0), outer(2.0) - inner(2.0), -outer(4.0)]) * np.exp(
            0.5 * e * np.array([0.0, 4.0, 16.0])
        )
        if k >= 3:  # g, g′ and g″ are continuous
            out[k] = -((-1.0) ** k) * jumps / (1j ** (k + 1)) / np.pi
        pieces = [p.deriv() + Polynomial([0.0, e]) * p for p in pieces]
    return out


def _kernel(u: FloatArray, e: float) -> FloatArray:
    """F(u; e)."""
    if e == 0:
        return np.asarray(1.5 / np.pi * np.sinc(u / np.pi) ** 4)
    u = np.abs(u)
    out = np.empty(u.shape)
    near = u < 4.0 + 40.0 * e
    s, w = _transform(e)
    close = u[near]
    values = np.empty(close.size)
    for i in range(0, close.size, 20_000):
        values[i : i + 20_000] = np.cos(np.multiply.outer(close[i : i + 20_000], s)) @ w
    out[near] = values
    far = u[~near]
    with np.errstate(under="ignore"):
        out[~near] = _powers(_series(e), far)
    return out


def _powers(coefficients: np.ndarray, u: FloatArray) -> FloatArray:
    """Re Σ_k Σ_p C[k, p] exp(ipu) u^{−k−1}: C is real for odd k and imaginary for even k; terms below rounding are
    left out.
    """
    if not u.size:
        return np.zeros(u.shape)
    size = np.abs(coefficients).max(axis=1) * float(u.min()) ** -np.arange(float(_TERMS))
    terms = int(np.flatnonzero(size > 1e-19 * size[3])[-1]) + 1
    square = (1.0 / u) ** 2
    even = polyval(square, coefficients[3:terms:2].real)
    odd = polyval(square, coefficients[4 : max(terms, 5) : 2].imag) / u
    cos, sin = np.cos(2 * u), np.sin(2 * u)
    inner = even[1] * cos - odd[1] * sin
    outer = even[2] * (cos - sin) * (cos + sin) - odd[2] * (2 * sin * cos)
    return np.asarray((even[0] + inner + outer) * square**2)


def _kernel_cdf(u: FloatArray, e: float) -> FloatArray:
    """∫_{−∞}^u F(v; e) dv."""
    size = np.abs(u)
    out = np.empty(u.shape)
    near = size < 12.0 + 30.0 * e
    s, w = _transform(e)
    close = size[near]
    out[near] = 0.5 - np.sin(np.multiply.outer(close, s)) @ (w / s)
    with np.errstate(under="ignore", over="ignore"):
        out[~near] = _tail_series(_series(e), size[~near])
    return np.where(u > 0, 1.0 - out, out)


def _tail_series(coefficients: np.ndarray, u: FloatArray) -> FloatArray:
    """∫_u^∞ of the series: ∫ v⁻ᵐ = u^{1−m}/(m − 1), and ∫ exp(ipv) v⁻ᵐ by parts, −exp(ipu) u⁻ᵐ/(ip) Σ_j
    (m)_j/(ipu)ʲ.
    """
    total = np.zeros(u.shape)
    for k in range(3, 15):
        m = k + 1
        total += coefficients[k, 0].real * u ** (1.0 - m) / (m - 1)
        for column, p in ((1, 2.0), (2, 4.0)):
            term, series = np.ones(u.shape, dtype=complex), np.zeros(u.shape, dtype=complex)
            for j in range(12):
                series += term
                term = term * (m + j) / (1j * p * u)
            total += (coefficients[k, column] * -np.exp(1j * p * u) / (1j * p) * series).real * u ** (-float(m))
    return total


def _envelope_sample(n: int, rng: np.random.Generator) -> FloatArray:
    """Draws from the density 3/8·min(1, u⁻⁴)."""
    sign = rng.choice([-1.0, 1.0], size=n)
    inner = rng.random(n) < 0.75
    return np.asarray(sign * np.where(inner, rng.random(n), (1.0 - rng.random(n)) ** (-1.0 / 3.0)))


@lru_cache(maxsize=256)
def _critical(weights: tuple[float, ...], means: tuple[float, ...], widths: tuple[float, ...]) -> float:
    """The largest ε at which the sharpened density is nowhere negative (least width 1)."""
    law = SincMixture(weights, means, widths)
    grid = law._grid(60.0, 0.04)

    def negative(eps: float) -> bool:
        return _tail_minimum(law, eps) < 0 or float(law._density(grid, eps).min()) < 0

    if negative(1e-9):
        return 0.0
    low, high = 1e-9, 0.01
    while not negative(high):
        low, high = high, 2.0 * high
    for _ in range(24):
        middle = 0.5 * (low + high)
        low, high = (low, middle) if negative(middle) else (middle, high)
    candidates = [_finite_root(law, x, grid[1] - grid[0], low) for x in _lowest_minima(law, grid, high)]
    tail = (
        high * 1.01
        if _tail_minimum(law, high * 1.01) >= 0
        else _root(lambda eps: _tail_minimum(law, eps), low * 0.9, high * 1.01)
    )
    return min([tail, *candidates])


def _lowest_minima(law: SincMixture, grid: FloatArray, eps: float) -> FloatArray:
    """The local minima of the density relative to its envelope that are nearest to zero."""
    value = law._density(grid, eps) / law._envelope(grid)
    inner = np.flatnonzero((value[1:-1] <= value[:-2]) & (value[1:-1] <= value[2:])) + 1
    return grid[inner[np.argsort(value[inner])[:6]]]


def _finite_root(law: SincMixture, x: float, step: float, eps: float) -> float:
    """The ε at which the local minimum near ``x`` touches zero."""

    def least(level: float) -> float:
        found = scipy.optimize.minimize_scalar(
            lambda t: float(law._density(t, level)) * 1e3,
            bounds=(x - 2 * step, x + 2 * step),
            method="bounded",
            options={"xatol": 1e-11},
        )
        return float(found.fun)

    return _root(least, 0.9 * eps, 1.1 * eps)


def _root(function: Any, low: float, high: float) -> float:
    """The sign change of a decreasing function; ``high`` when there is none below it."""
    if function(high) >= 0:
        return high
    if function(low) <= 0:
        return low
    return float(scipy.optimize.brentq(function, low, high, xtol=1e-15, rtol=1e-14))


def _tail_minimum(law: SincMixture, eps: float) -> float:
    """inf of lim x⁴·density: kernels of commensurable widths are added in phase, other groups take their
    infima independently.
    """
    total = 0.0
    rest = list(range(law.means.size))
    while rest:
        base = law.widths[rest[0]]
        ratios = {i: Fraction(law.widths[i] / base).limit_denominator(12) for i in rest}
        group = [i for i in rest if abs(float(ratios[i]) - law.widths[i] / base) < 1e-12 and ratios[i].numerator <= 12]
        rest = [i for i in rest if i not in group]
        turns = lcm(*(ratios[i].numerator for i in group)) / gcd(*(ratios[i].denominator for i in group))
        total += _group_minimum(law, group, np.pi * base * turns, eps)
    return total


def _group_minimum(law: SincMixture, group: list[int], period: float, eps: float) -> float:
    w, m, a = law.weights[group], law.means[group], law.widths[group]
    e = eps / a**2

    def value(x: ArrayLike) -> FloatArray:
        u = (np.asarray(x)[..., None] - m) / a
        return np.asarray((3.0 - 4.0 * np.exp(2 * e) * np.cos(2 * u) + np.exp(8 * e) * np.cos(4 * u)) @ (w * a**3))

    x = np.linspace(0.0, period, int(400 * period / np.pi) + 2)
    step = x[1] - x[0]
    best = x[int(np.argmin(value(x)))]
    found = scipy.optimize.minimize_scalar(
        lambda t: float(value(t)), bounds=(best - 2 * step, best + 2 * step), method="bounded", options={"xatol": 1e-11}
    )
    return float(min(found.fun, value(best)))
