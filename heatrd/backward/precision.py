"""The backward heat equation on the line beyond double precision.

The error limit η^{1−θ} of DESIGN (6) is a statement about digits: with a density known to P decimal digits, η =
10^{−P}, ρ_1 at θ = 0.95 is good to 1e-6 from P = 120 on. The density is evaluated with mpmath at N equally spaced
points of a box that holds all but 10^{−P} of the mass (the trapezoidal rule is then exact to 10^{−P}), its Fourier
sums are formed in fixed point with Python integers,

    S_k = Σ_j ρ(x_j) e^{−2πi jk/N},   ρ_t(x) = (1/L) Σ_{|k| ≤ K} S_k e^{εt ω_k²/2} e^{iω_k (x − x_0)},   ω_k = 2πk/L,

and cut where |S_k| meets 10^{−P}. N is doubled until the outer modes are there. Values at points come by Horner's rule.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from heatrd.errors import InvalidInput
from heatrd.grids import Grid
from heatrd.sources.base import Source, Source1D
from heatrd.sources.gaussian import GaussianMixture

__all__ = ["Precise", "formula_of", "solve_precisely"]

FloatArray = NDArray[np.float64]
Formula = Callable[[Any], Any]
TARGET = 8  # digits wanted of the answer when the number of digits is left open
GUARD = 12
MOST_DIGITS = 600
MOST_POINTS = 4096
FINER = 2  # cells of the answer's grid per sample of the data


@dataclass(frozen=True)
class Precise:
    """Modes of a density in fixed point: integers in units of 2^{−bits}."""

    epsilon: float
    grid: Grid
    digits: int
    bits: int
    origin: Any
    length: Any
    real: tuple[int, ...]
    imag: tuple[int, ...]
    noise_error: float
    cut_error: float

    @property
    def estimated_error(self) -> float:
        return self.noise_error + self.cut_error

    @property
    def noise(self) -> float:
        return max(10.0**-self.digits, 5e-324)

    @property
    def cutoff(self) -> float:
        return float(2 * math.pi * (len(self.real) - 1) / self.length)

    @property
    def amplification(self) -> float:
        return math.exp(min(0.5 * self.epsilon * self.cutoff**2, 700.0))

    def point_noise(self, t: float) -> float:
        """The estimated error of ρ_1, scaled down to its density's size (noise at t < 1 is smaller)."""
        return self.noise_error / (float(self.length) or 1.0) if t > 0 else 0.0

    def raw(self, t: float) -> FloatArray:
        """ρ_t at the cell centres."""
        return self.values(t, self.grid.axes[0])

    def values(self, t: float, x: FloatArray) -> FloatArray:
        """ρ_t at points (m,), by Horner's rule in fixed point."""
        import mpmath

        with mpmath.workprec(self.bits):
            a, b = self._amplified(t, mpmath)
            angles = [2 * mpmath.pi * (mpmath.mpf(float(point)) - self.origin) / self.length for point in x.ravel()]
            c, s = (_fixed([f(angle) for angle in angles], self.bits, mpmath) for f in (mpmath.cos, mpmath.sin))
            return _horner(a, b, c, s, self.bits) / float(self.length)

    def _amplified(self, t: float, mpmath: Any) -> tuple[list[int], list[int]]:
        half = mpmath.mpf(self.epsilon) * mpmath.mpf(t) / 2
        step = 2 * mpmath.pi / self.length
        factors = [mpmath.exp(half * (step * k) ** 2) for k in range(len(self.real))]
        scaled = [int(mpmath.ldexp(f, self.bits)) for f in factors]
        a, b = ([(v * f) >> self.bits for v, f in zip(part, scaled)] for part in (self.real, self.imag))
        return a, b


def formula_of(source: Source) -> Formula | None:
    """The density of a source as a function of mpmath numbers, where one is built in."""
    own: Formula | None = getattr(source, "mp_density", None)
    if own is not None:
        return own
    if isinstance(source, GaussianMixture) and source.dim == 1:
        return _mixture_formula(source)
    return None


def solve_precisely(
    source: Source, epsilon: float, grid: Grid | None, digits: int | None, formula: Formula | None = None
) -> Precise:
    """Fourier modes of a one-dimensional density to ``digits`` decimal digits.

    Raises
    ------
    InvalidInput
        d > 1, no formula, or mpmath not installed.
    """
    try:
        import mpmath
    except ImportError:
        raise InvalidInput("method='arbitrary-precision' needs mpmath: pip install mpmath") from None
    f = formula if formula is not None else formula_of(source)
    if source.dim != 1 or not isinstance(source, Source1D) or f is None:
        raise InvalidInput(
            f"arbitrary precision needs a one-dimensional source with a formula; {source.name} has none built in: "
            "pass formula=, a function of an mpmath number"
        )
    digits = _digits(source, epsilon) if digits is None else int(digits)
    if not 16 <= digits <= MOST_DIGITS:
        raise InvalidInput(f"digits={digits} must lie in [16, {MOST_DIGITS}]")
    with mpmath.workdps(digits + GUARD):
        bits = mpmath.mp.prec
        low, high = (mpmath.mpf(float(e)) for e in source.tail_cut(10.0 ** -min(digits + 3, 300)))
        if digits + 3 > 300:
            stretch = mpmath.sqrt(mpmath.mpf(digits + 3) / 300)
            middle, half = (low + high) / 2, (high - low) / 2 * stretch
            low, high = middle - half, middle + half
        length = high - low
        modes = _modes(f, low, length, digits, bits, mpmath)
        kept = _kept(modes, bits, digits)
        noise, cut = _errors(modes, kept, epsilon, length, digits, bits, mpmath)
    real, imag = (tuple(part[:kept]) for part in modes)
    if grid is None:
        grid = Grid.uniform(float(low), float(high), FINER * 2 * kept)
    return Precise(epsilon, grid, digits, bits, low, length, real, imag, noise, cut)


def _digits(source: Source, epsilon: float) -> int:
    critical = source.critical_epsilon()
    if critical is None or not 0 < epsilon < critical:
        return 60
    return min(MOST_DIGITS, max(40, math.ceil(TARGET / (1 - epsilon / critical)) + 8))


def _modes(f: Formula, low: Any, length: Any, digits: int, bits: int, mpmath: Any) -> tuple[list[int], list[int]]:
    """Modes S_0 = 1 … S_{N/2} as fixed-point integers, N doubled until the outer ones are noise."""
    n = 128
    while True:
        values = [int(mpmath.ldexp(f(low + length * j / n), bits)) for j in range(n)]
        real, imag = _fourier(values, n, bits, mpmath)
        small = (n << bits) // 10 ** (digits - 3)
        outer = slice(7 * n // 16, None)
        if max(map(abs, real[outer] + imag[outer])) * n <= small * n or 2 * n > MOST_POINTS:
            break
        n *= 2
    top = real[0]
    return [(v << bits) // top for v in real], [(v << bits) // top for v in imag]


def _fourier(values: list[int], n: int, bits: int, mpmath: Any) -> tuple[list[int], list[int]]:
    cosines = _fixed([mpmath.cospi(mpmath.mpf(2 * m) / n) for m in range(n)], bits, mpmath)
    sines = np.roll(cosines, n // 4)
    table, j = np.array(values, dtype=object), np.arange(n)
    real = [int(table @ cosines[(j * k) % n]) >> bits for k in range(n // 2 + 1)]
    imag = [-(int(table @ sines[(j * k) % n]) >> bits) for k in range(n // 2 + 1)]
    return real, imag


def _kept(modes: tuple[list[int], list[int]], bits: int, digits: int) -> int:
    """Modes before the first run of four at the level of the digits."""
    floor = (1 << bits) // 10 ** (digits - 2)
    quiet = 0
    for k, (a, b) in enumerate(zip(*modes)):
        quiet = quiet + 1 if max(abs(a), abs(b)) < floor else 0
        if quiet == 4:
            return max(k - 3, 2)
    return len(modes[0])


def _errors(
    modes: tuple[list[int], list[int]], kept: int, epsilon: float, length: Any, digits: int, bits: int, mpmath: Any
) -> tuple[float, float]:
    """Sums of what noise of 10^{−digits} per mode becomes, and of the modes that a Gaussian continuation would add."""
    step = 2 * mpmath.pi / length

    def amplified(k: int) -> Any:
        return mpmath.exp(mpmath.mpf(epsilon) * (step * k) ** 2 / 2)

    noise = 2 * sum(amplified(k) for k in range(kept)) * mpmath.mpf(10) ** -digits
    sizes = [mpmath.ldexp(mpmath.mpf(max(abs(modes[0][k]), abs(modes[1][k]), 1)), -bits) for k in (kept // 2, kept - 1)]
    fall = mpmath.log(sizes[0] / sizes[1]) / ((kept - 1) ** 2 - (kept // 2) ** 2)
    grow = mpmath.mpf(epsilon) * step**2 / 2
    if fall <= grow:
        return min(float(noise), 2.0), 2.0
    last = sizes[1] * amplified(kept - 1)
    ratio = mpmath.exp(-(fall - grow) * (2 * kept - 1))
    return min(float(noise), 2.0), min(float(2 * last * ratio / (1 - ratio)), 2.0)


def _fixed(values: list[Any], bits: int, mpmath: Any) -> Any:
    """mpmath numbers as an object array of integers in units of 2^{−bits}."""
    return np.array([int(mpmath.ldexp(v, bits)) for v in values], dtype=object)


def _horner(a: list[int], b: list[int], c: Any, s: Any, bits: int) -> FloatArray:
    """a_0 + 2 Re Σ_{k ≥ 1} (a_k + i b_k) e^{ikφ} at all points at once, in units of 2^{−bits}, as floats."""
    x = y = np.zeros(c.size, dtype=object)
    for u, v in zip(reversed(a[1:]), reversed(b[1:])):
        p, q = x + u, y + v
        x, y = (p * c - q * s) >> bits, (p * s + q * c) >> bits
    return np.array([_as_float(a[0] + 2 * value, bits) for value in x])


def _as_float(value: int, bits: int) -> float:
    shift = max(abs(value).bit_length() - 64, 0)
    return math.ldexp(float(value >> shift), shift - bits)


def _mixture_formula(source: GaussianMixture) -> Formula:
    import mpmath

    parts = [(float(w), float(m[0]), float(c[0, 0])) for w, m, c in zip(source.weights, source.means, source.covs)]

    def density(x: Any) -> Any:
        total = mpmath.mpf(0)
        for w, m, c in parts:
            total += w / mpmath.sqrt(2 * mpmath.pi * c) * mpmath.exp(-((x - m) ** 2) / (2 * mpmath.mpf(c)))
        return total

    return density
