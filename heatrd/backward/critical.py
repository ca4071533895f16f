"""The critical ε: the largest ε with μ = ν ∗ N(0, ε I) for a law ν, and D_c = d ε_c.

Closed form where the source has one. Otherwise three consequences of μ = ν∗G_ε are put to the density:

1. *Growth.* |μ̂(ω)| = |ν̂(ω)| exp(−ε‖ω‖²/2) with |ν̂| ≤ 1: so ε ≤ −2 log|μ̂(ω)| / ‖ω‖² at every ω, and ε_c is the
rate of the Gaussian factor in
   the decay of |μ̂|, fitted to the upper envelope of the modes above the noise, log|μ̂| ≈ a + b log‖ω‖ − l‖ω‖ −
   c‖ω‖²/2, b ≤ 0 ≤ l (ν with atoms: b = l = 0; on a sphere of R^d: b = −(d−1)/2; with a smooth density: l > 0).
2. *Convexity.* log ρ + ‖x‖²/2ε is convex (its Hessian is Cov(Y|X = x)/ε²): so ε ≤ −1/min of the second differences of
log ρ at any scale.
   Kinks, jumps and bounded supports give 0.
3. *Positivity.* ρ_t ≥ 0 for the deblurred density: for band-limited densities, where undoing the blur is harmless,
this is what ends the class;
   there ε_c is found by bisection.

2 and the inequality of 1 are proofs up to the noise; the fit and the bisection are estimates with a stated tolerance.
The interval returned joins them.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import linprog

from heatrd.backward.resolution import resolved_spectrum, tabulation
from heatrd.backward.spectral import Spectrum, spectrum_of
from heatrd.errors import InvalidInput
from heatrd.grids import Grid
from heatrd.sources import as_source
from heatrd.sources.base import Source, Source1D

__all__ = ["CriticalValue", "critical_distortion", "critical_epsilon"]

FloatArray = NDArray[np.float64]
METHODS = ("auto", "closed-form", "numerical")
TOLERANCE = 0.005  # stated relative tolerance of a fit at rounding noise
OSCILLATING = 0.15  # mean distance of log|μ̂| from its envelope that counts as interference
STEEPEST = 4.0  # steepest power of ‖ω‖ considered
ZERO = 3e-3  # of the smallest variance: bounds below this mean ε_c = 0


class CriticalValue(float):
    """A number with the interval it is known to lie in.

    Attributes
    ----------
    lower, upper : float
        The interval; equal to the value in closed form.
    method : str
        "closed-form", "support", "convexity", "growth" or "positivity": what decided.
    """

    lower: float
    upper: float
    method: str

    def __new__(cls, value: float, lower: float, upper: float, method: str) -> CriticalValue:
        self = super().__new__(cls, value)
        self.lower, self.upper, self.method = float(lower), float(upper), method
        return self

    def __reduce__(self) -> tuple[type[CriticalValue], tuple[float, float, float, str]]:
        return CriticalValue, (float(self), self.lower, self.upper, self.method)

    @property
    def interval(self) -> tuple[float, float]:
        return self.lower, self.upper

    def scaled(self, factor: float) -> CriticalValue:
        """The value and its interval times ``factor``."""
        return CriticalValue(float(self) * factor, self.lower * factor, self.upper * factor, self.method)


def critical_epsilon(source: Any, *, method: str = "auto", interval: bool = False) -> Any:
    """The largest ε at which the Shannon lower bound is tight.

    Parameters
    ----------
    source : Source, scipy.stats distribution, name, or tabulated density
    method : {"auto", "closed-form", "numerical"}
        "auto" takes the closed form where there is one.
    interval : bool
        Return the pair (lower, upper) instead of the value.

    Returns
    -------
    CriticalValue or (float, float)
        A float with attributes ``lower``, ``upper``, ``method``; per-coordinate variance. 0 means: the bound is never
        tight.

    Raises
    ------
    InvalidInput
        An unknown method; "closed-form" where none is known; d > 3 without a closed form.

    Notes
    -----
    A tabulated density stands for the smooth density it samples (its own multilinear interpolant has ε_c = 0).
    Numerical values carry a tolerance of about 0.5 % at double precision, which grows with the noise of a tabulated
    density; see `CriticalValue.interval`.
    """
    src = as_source(source)
    if method not in METHODS:
        raise InvalidInput(f"critical epsilon: method {method!r} is unknown; choose one of {', '.join(METHODS)}")
    known = src.critical_epsilon() if method != "numerical" and tabulation(src) is None else None
    if known is None and method == "closed-form":
        raise InvalidInput(f"{src.name}: no closed form of epsilon_c is known; use method='numerical'")
    found = CriticalValue(known, known, known, "closed-form") if known is not None else _numerical(src)
    return found.interval if interval else found


def critical_distortion(source: Any, *, method: str = "auto", interval: bool = False) -> Any:
    """D_c = d ε_c: R(D) equals the Shannon lower bound for D ≤ D_c; parameters as in `critical_epsilon`."""
    src = as_source(source)
    found = critical_epsilon(src, method=method).scaled(src.dim)
    return found.interval if interval else found


def _numerical(source: Source) -> CriticalValue:
    if source.discrete_part[1].size:
        return CriticalValue(0.0, 0.0, 0.0, "support")
    if isinstance(source, Source1D) and tabulation(source) is None and not all(map(math.isinf, source.support)):
        return CriticalValue(0.0, 0.0, 0.0, "support")
    spectrum, density, _ = resolved_spectrum(source, 0.0, None, None, None)
    smallest = float(np.linalg.eigvalsh(source.covariance)[0])
    convexity = min(_convexity_bound(density, spectrum), smallest)
    if isinstance(source, Source1D) and tabulation(source) is None:
        convexity = min(convexity, _kink_bound(source, density, spectrum))
    if convexity < ZERO * smallest:
        return CriticalValue(0.0, 0.0, convexity, "convexity")
    ceiling = min(convexity, _modulus_bound(spectrum))
    if math.isinf(spectrum.envelope[1]):
        return _by_positivity(spectrum, ceiling)
    return _by_growth(spectrum, density, ceiling, smallest)


def _convexity_bound(density: FloatArray, spectrum: Spectrum) -> float:
    """ε ≤ −1/min second difference of log ρ, over strides; noise raises its ends and lowers its middle."""
    grid = spectrum.grid
    rms = spectrum.noise * math.sqrt(grid.size) / (grid.cell * grid.size)
    rounding = 4e-16 * (1 + np.abs(np.log(np.maximum(density, 1e-300))))
    with np.errstate(divide="ignore", invalid="ignore"):
        above = np.log(np.maximum(density, 0.0) + 6 * rms) + rounding
        below = np.where(density > 12 * rms, np.log(density - 6 * rms) - rounding, -np.inf)
    best = math.inf
    for a, h in enumerate(grid.spacing):
        for stride in (1, 2, 4, 8, 16, 32):
            if 2 * stride >= grid.shape[a]:
                continue
            ends = _shifted(above, a, stride, 0) + _shifted(above, a, stride, 2)
            middle = _shifted(below, a, stride, 1)
            second = np.where(np.isfinite(middle), ends - 2 * middle, np.inf)
            steepest = float(second.min()) / (stride * h) ** 2
            if steepest < 0:
                best = min(best, -1.0 / steepest)
    return best


def _shifted(values: FloatArray, axis: int, stride: int, k: int) -> FloatArray:
    index: list[Any] = [slice(None)] * values.ndim
    index[axis] = slice(k * stride, values.shape[axis] - (2 - k) * stride)
    return values[tuple(index)]


def _kink_bound(source: Source1D, density: FloatArray, spectrum: Spectrum) -> float:
    """Second differences of log ρ at ever smaller scales, at the peak and the breakpoints."""
    x, h = spectrum.grid.axes[0], spectrum.grid.spacing[0]
    if not spectrum.resolved or len(source.breakpoints):
        places = np.concatenate([x[np.argsort(density)[-3:]], np.asarray(source.breakpoints, dtype=np.float64)])
    else:
        places = x[np.argsort(density)[-1:]]
    best = math.inf
    for scale in h * 0.5 ** np.arange(0, 16):
        around = (places[:, None] + scale * np.linspace(-1, 1, 9)).ravel()
        with np.errstate(invalid="ignore"):
            values = [source.logpdf(around + k * scale) for k in (-1, 0, 1)]
            second = (values[0] + values[2] - 2 * values[1]) / scale**2 + 8e-16 * (1 + np.abs(values[1])) / scale**2
        second = second[np.isfinite(second)]
        if second.size and second.min() < 0:
            best = min(best, -1.0 / float(second.min()))
    return best


def _shells(spectrum: Spectrum, above: float) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Frequency, size and noise of the loudest mode in each of 200 shells, of the modes ``above`` times the noise."""
    radius = np.sqrt(spectrum.square)
    size = np.abs(spectrum.modes)
    inside = (radius <= spectrum.cutoff) & (size > above * spectrum.levels) & (radius > 0)
    radius, size, noise = radius[inside], size[inside], spectrum.levels[inside]
    shell = (radius * (200 / spectrum.cutoff)).astype(np.int64)
    order = np.lexsort((-size, shell))
    first = np.unique(shell[order], return_index=True)[1]
    return radius[order][first], size[order][first], noise[order][first]


def _modulus_bound(spectrum: Spectrum) -> float:
    """min −2 log|μ̂|/‖ω‖² over the modes that stand out of the noise."""
    q, size, noise = _shells(spectrum, 20.0)
    bounds = -2 * np.log(size - 5 * noise) / q**2
    return float(bounds[bounds > 0].min()) if (bounds > 0).any() else math.inf


def _padded_spectrum(density: FloatArray, grid: Grid) -> Spectrum:
    """The spectrum at finer frequencies, which an oscillating envelope needs: the box is widened with zeros."""
    factor = {1: 4, 2: 2, 3: 1}[grid.dim] if grid.size <= 1 << 18 else 1
    cells = [(factor - 1) * n // 2 for n in grid.shape]
    return spectrum_of(np.pad(density, [(m, m) for m in cells]), grid.padded(cells))


@dataclass(frozen=True, slots=True)
class _Envelope:
    """log|μ̂| ≤ a + b log q − l q − c q²/2 with equality where it touches; ``gap`` is the mean distance."""

    rate: float
    linear: float
    gap: float


def _envelope(q: FloatArray, y: FloatArray, begin: float, terms: str) -> _Envelope:
    """Lowest envelope above the points from ``begin`` q_max on, by linear programming."""
    used = q > begin * q.max()
    q, y = q[used], y[used]
    columns = {"": [], "b": [np.log(q)], "bl": [np.log(q), -q]}[terms]
    table = np.stack([np.ones(q.size), -0.5 * q**2, *columns], axis=1)
    scale = np.abs(table).max(axis=0)
    bounds = [(None, None), (0, None), (-STEEPEST * scale[2], 0) if columns else (), (0, None)][: table.shape[1]]
    table = table / scale
    found = linprog(table.sum(axis=0), A_ub=-table, b_ub=-y, bounds=bounds)
    if found.x is None:
        return _Envelope(0.0, 0.0, math.inf)
    linear = found.x[3] / scale[3] if terms == "bl" else 0.0
    return _Envelope(float(found.x[1] / scale[1]), float(linear), float((table @ found.x - y).mean()))


def _by_growth(spectrum: Spectrum, density: FloatArray, ceiling: float, smallest: float) -> CriticalValue:
    """The Gaussian rate of decay of the envelope of |μ̂|.

    Three envelopes are compared: Gaussian only, on the last frequencies; with a power of ‖ω‖; with an exponential
    too. A power is believed where the modulus oscillates (ν has atoms or lies on a surface), an exponential where it
    fits much better.
    """
    fine = _padded_spectrum(density, spectrum.grid)
    q, size, _ = _shells(fine, 30.0)
    if q.size < 12:
        return CriticalValue(0.5 * ceiling, 0.0, ceiling, "growth")
    y = np.log(size)
    plain, late = _envelope(q, y, 0.35, ""), _envelope(q, y, 0.6, "")
    power, exponential = _envelope(q, y, 0.35, "b"), _envelope(q, y, 0.35, "bl")
    if exponential.gap < 0.3 * power.gap and exponential.linear > 0:
        value, others = exponential.rate, (exponential.rate, exponential.rate)
        if 0.5 * value * q.max() ** 2 < 0.06 * -y.min():
            return CriticalValue(0.0, 0.0, min(2 * value, ceiling), "growth")
    elif power.gap > OSCILLATING and power.gap < 0.988 * plain.gap:
        value, others = power.rate, (power.rate, late.rate)
    elif power.gap > OSCILLATING:
        value, others = plain.rate, (plain.rate, late.rate)
    else:
        value, others = late.rate, (late.rate, power.rate)
    value = min(value, ceiling)
    tolerance = max(TOLERANCE, 3 / max(-float(y.min()), 3.0) ** 2) * value
    if value < ZERO * smallest or (not fine.resolved and value < 0.05 * ceiling):
        return CriticalValue(0.0, 0.0, value + tolerance, "growth")
    low, high = min(*others, value) - tolerance, max(*others, value) + tolerance
    return CriticalValue(value, max(low, 0.0), max(min(high, ceiling), value), "growth")


def _by_positivity(spectrum: Spectrum, ceiling: float) -> CriticalValue:
    """Bisection on the largest blur whose removal leaves the density of a band-limited law non-negative."""
    top = min(ceiling, 60 / spectrum.cutoff**2)
    low, high = 0.0, top
    if not _negative(spectrum, top):
        return CriticalValue(top, top, top, "positivity")
    while high - low > 1e-4 * high and high > 1e-9 * top:
        middle = 0.5 * (low + high)
        low, high = (low, middle) if _negative(spectrum, middle) else (middle, high)
    if low == 0.0:
        return CriticalValue(0.0, 0.0, high, "positivity")
    return CriticalValue(0.5 * (low + high), low * (1 - TOLERANCE), high * (1 + TOLERANCE), "positivity")


def _negative(spectrum: Spectrum, variance: float) -> bool:
    """Whether the deblurred density is negative somewhere, between grid points too, by more than noise and rounding."""
    values = spectrum.invert(variance, finer=8 if spectrum.grid.dim == 1 else 2)
    return bool(_least(values) < -6 * spectrum.point_noise(variance) - 2.0**-50 * values.max())


def _least(values: FloatArray) -> float:
    """Minimum of a periodic function from samples, by the parabolas through its local minima."""
    low = values.copy()
    for a in range(values.ndim):
        before, after = np.roll(values, 1, axis=a), np.roll(values, -1, axis=a)
        bend = before - 2 * values + after
        minimum = (values <= before) & (values <= after) & (bend > 0)
        low -= np.where(minimum, (after - before) ** 2 / np.where(minimum, 8 * bend, 1.0), 0.0)
    return float(low.min())
