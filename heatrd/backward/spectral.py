"""Spectral inversion of the heat semigroup, cut where the data's spectrum meets its noise floor.

With S(ω) the Fourier modes of ρ_0 (S(0) = 1), the density at time t is

    ρ_t = Σ_kept S(ω) exp(+εt ‖ω‖²/2) e^{iω·x}.

Noise of rms δ(ω) (rounding counts as noise) makes modes below it worthless: shells of equal ‖ω‖, on which the
amplification is constant, are kept out to ω_c, the last one with a mode that stands out of the noise; within them
only modes with |S| > κδ are kept. For a Gaussian-like source the error is then of the order of the Hölder limit
δ^{1−θ} (DESIGN (6)). δ is read off the outer modes of the grid, where a resolved density has nothing left, so an
unresolved density shows up as "noise" at the level of its aliasing error. In several dimensions it is read line by
line: a rounded coordinate x_i moves ρ(x_i, y_j) alike for all j, and that noise reaches along ω_x as far as the band
and along ω_y as far as ρ̂ does; it is ten times louder near the axes of frequency space than elsewhere. Noise of
another colour betrays itself where |S| exp(εω²/2) > 1: no law ν has such a mode, and δ is raised to what is seen there.

Error estimate, L2 over the box and turned to L1 by the effective volume e^{h(ρ_t)} of the answer:
noise Σ_kept δ² exp(εt‖ω‖²), plus what was dropped: inside ω_c the excess of |S|² over δ², outside it the envelope
log|S| ≈ a − c‖ω‖²/2 fitted to the last shells and continued.
"""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import fft, integrate

from heatrd.grids import Grid

__all__ = ["Spectrum", "mode_weights", "spectrum_of"]

FloatArray = NDArray[np.float64]
KEEP = 2.0  # modes kept inside the cut-off stand this many δ out of the noise
BAND_EDGE = 1e3  # a spectrum expected this many δ high a little beyond its last shell, and not there, is band-limited
EXTENDED = 1 << 20  # cells up to which transforms run in extended precision
EVIDENCE = 20.0  # a shell of N modes of pure noise passes with probability e^{-EVIDENCE}, were its level known exactly
RECURRENCE = 16.0  # further above the noise that a shell must stand after the longest gap


@dataclass(frozen=True, slots=True, eq=False)
class Spectrum:
    """Fourier modes of a density on a uniform grid, with their noise level and cut-off.

    Attributes
    ----------
    grid : Grid
    modes : complex array, the shape of ``rfftn``
        S(ω), normalised to S(0) = 1.
    square : array of the same shape
        ‖ω‖².
    mass : float
        Integral of the density before normalisation.
    noise : float
        rms noise of a mode, relative to S(0): the root mean square of ``levels``.
    levels : array of the same shape
        rms noise δ(ω) of each mode.
    cutoff : float
        ω_c.
    kept : bool array
        The modes kept.
    resolved : bool
        Whether the spectrum reaches its noise floor inside the grid's band.
    possible : bool
        Whether every mode kept at first satisfied |S| exp(εω²/2) ≤ 1, as those of a law ν do.
    envelope : (a, c)
        log|S| ≈ a − c‖ω‖²/2 near the cut-off; c = inf for a band-limited density.
    """

    grid: Grid
    modes: NDArray[np.complex128]
    square: FloatArray
    mass: float
    noise: float
    levels: FloatArray
    cutoff: float
    kept: NDArray[np.bool_]
    resolved: bool
    possible: bool
    envelope: tuple[float, float]

    def invert(self, variance: float, finer: int = 1) -> FloatArray:
        """ρ after ``variance`` of blur is undone, of mass 1; may be negative where the noise is.

        ``finer`` > 1 evaluates the same trigonometric sum on that many times as many points per axis.
        """
        factor = np.zeros(self.square.shape)
        factor[self.kept] = np.exp(0.5 * variance * self.square[self.kept])
        modes = self.modes * factor
        if finer == 1:
            return np.asarray(fft.irfftn(modes, s=self.grid.shape)) / self.grid.cell
        shape = [finer * n for n in self.grid.shape]
        wide = np.zeros((*shape[:-1], shape[-1] // 2 + 1), dtype=np.complex128)
        halves = [(slice(0, (n + 1) // 2), slice(-(n // 2), None)) for n in self.grid.shape[:-1]]
        for corner in itertools.product(*halves):
            wide[(*corner, slice(0, modes.shape[-1]))] = modes[(*corner, slice(None))]
        return np.asarray(fft.irfftn(wide, s=shape)) * (finer**self.grid.dim / self.grid.cell)

    def amplification(self, variance: float) -> float:
        """Largest factor any kept mode is multiplied by."""
        return float(np.exp(0.5 * variance * self.square[self.kept].max()))

    def point_noise(self, variance: float) -> float:
        """rms error of a point value of the answer that the noise causes."""
        weights = np.broadcast_to(mode_weights(self.grid), self.kept.shape)[self.kept]
        grown = self.levels[self.kept] ** 2 * np.exp(variance * self.square[self.kept])
        return math.sqrt(float((weights * grown).sum())) / _box_volume(self.grid)

    def point_error(self, variance: float) -> float:
        """The same, with what was cut off (where that can be told)."""
        cut = self._dropped(variance) / _box_volume(self.grid)
        return math.hypot(self.point_noise(variance), cut if math.isfinite(cut) else 0.0)

    def errors(self, variance: float, effective_volume: float) -> tuple[float, float]:
        """Estimated relative L1 errors of the answer: (noise let through, signal cut off)."""
        to_l1 = math.sqrt(2 / math.pi * effective_volume * _box_volume(self.grid))
        return to_l1 * self.point_noise(variance), to_l1 * self._dropped(variance) / _box_volume(self.grid)

    def _dropped(self, variance: float) -> float:
        weights = mode_weights(self.grid)
        inside = ~self.kept & (self.square <= self.cutoff**2)
        excess = np.abs(self.modes[inside]) ** 2 - self.levels[inside] ** 2
        growth = np.broadcast_to(weights, inside.shape)[inside] * np.exp(variance * self.square[inside])
        grown = float((growth * excess).sum())
        a, c = self.envelope
        if math.isinf(c):
            return math.sqrt(max(grown, 0.0))
        if c <= variance:
            return math.inf
        outer = max(self.cutoff, 1e-300)
        q = np.linspace(outer, outer + 12 / math.sqrt(c - variance), 2000)
        log_energy = 2 * a + (variance - c) * q**2
        rim = (self.square > (0.85 * outer) ** 2) & (self.square <= outer**2)
        share = max((rim & self.kept).sum(), 1) / max(rim.sum(), 1)
        density = _box_volume(self.grid) * share * _sphere_area(self.grid.dim) / (2 * math.pi) ** self.grid.dim
        tail = density * integrate.trapezoid(q ** (self.grid.dim - 1) * np.exp(np.minimum(log_energy, 600)), q)
        return math.sqrt(max(grown, 0.0) + float(tail))


def spectrum_of(density: FloatArray, grid: Grid, variance: float = 0.0, noise: float | None = None) -> Spectrum:
    """Transform a density on a uniform grid and find its noise floor and cut-off.

    Parameters
    ----------
    density : array of the grid's shape
    grid : Grid
        Uniform; the density should vanish towards its walls.
    variance : float
        Variance to be undone; modes whose noise would grow beyond the signal (δ exp(εω²/2) > 1) are never kept.
    noise : float, optional
        Relative noise of a mode where it is known; measured otherwise.
    """
    modes = _transform(density) * grid.cell
    mass = float(modes.flat[0].real)
    modes = modes / mass
    square = _frequency_square(grid, modes.shape)
    size = np.abs(modes)
    levels, resolved = _noise_levels(size, grid)
    if noise is not None:
        levels = np.full(size.shape, noise)
    # N numbers of one sign, each rounded, leave at least this much noise, correlated where N is small.
    terms = int((density > 1e-3 * density.max()).sum())
    levels = np.maximum(levels, 2.0**-52 / math.sqrt(max(terms, 1)))
    shells = _Shells.of(size, levels, square, grid)
    last = shells.last_signal(variance)
    impossible = shells.first_impossible(last, variance)
    if impossible is not None:
        levels = np.maximum(levels, 0.5 * float(shells.peak[impossible]))
        shells = _Shells.of(size, levels, square, grid)
        last = shells.last_signal(variance, impossible)
    cutoff = min(shells.width * (last + 1), shells.useful(variance))
    kept = (square <= cutoff**2) & (size > KEEP * levels)
    kept.flat[0] = True
    envelope = shells.envelope(last)
    return Spectrum(
        grid, modes, square, mass, shells.noise, levels, cutoff, kept, resolved, impossible is None, envelope
    )


def _transform(density: FloatArray) -> NDArray[np.complex128]:
    """``rfftn``, in extended precision where affordable: its rounding would be amplified like noise of the data."""
    if density.size <= EXTENDED:
        return np.asarray(fft.rfftn(density.astype(np.longdouble))).astype(np.complex128)
    return np.asarray(fft.rfftn(density))


def _noise_levels(size: FloatArray, grid: Grid) -> tuple[FloatArray, bool]:
    """rms noise of every mode, and whether the outer modes look like noise.

    The level of all outer modes is raised on every line of modes to what its own outer ones say, by their mean square
    and by the loudest: what aliasing leaves is no noise at all, and the loudest covers it.
    """
    outer = np.zeros(size.shape, dtype=bool)
    squares = np.zeros(size.shape)
    for a, n in enumerate(grid.shape):
        index = np.arange(size.shape[a])
        end = np.minimum(index, n - index) > 0.375 * n
        outer |= end.reshape([-1 if b == a else 1 for b in range(grid.dim)])
        line = np.compress(end, size, axis=a) ** 2
        np.maximum(squares, line.max(axis=a, keepdims=True) / _spread(line.shape[a]) ** 2, out=squares)
        if grid.dim > 1:
            np.maximum(squares, line.mean(axis=a, keepdims=True), out=squares)
    level = _rms_by_median(size[outer])
    loudest = float(size[outer].max())
    resolved = loudest <= max(level * (_spread(int(outer.sum())) + math.sqrt(EVIDENCE)), 2.0**-49)
    return np.maximum(np.sqrt(squares), level), resolved


def _spread(n: int) -> float:
    """About the largest of n complex Gaussian modes of rms 1."""
    return math.sqrt(math.log(max(n, 2)) + 1)


def _rms_by_median(size: FloatArray) -> float:
    """rms of complex Gaussian modes from the median of |S|² (exponentially distributed), deaf to outliers."""
    return math.sqrt(float(np.median(size**2)) / math.log(2))


@dataclass(frozen=True, slots=True, eq=False)
class _Shells:
    """Shells of equal ‖ω‖: the number of modes, the largest one, and how far one stands out of its noise at most."""

    width: float
    noise: float
    count: NDArray[np.int64]
    peak: FloatArray
    standing: FloatArray

    @classmethod
    def of(cls, size: FloatArray, levels: FloatArray, square: FloatArray, grid: Grid) -> _Shells:
        width = _shell_width(grid)
        shell = (np.sqrt(square) / width).astype(np.int64).ravel()
        count = np.bincount(shell)
        peak, standing = np.zeros(count.size), np.zeros(count.size)
        np.maximum.at(peak, shell, size.ravel())
        np.maximum.at(standing, shell, (size / levels).ravel())
        return cls(width, math.sqrt(float(np.mean(levels**2))), count, peak, standing)

    def useful(self, variance: float) -> float:
        """Frequency beyond which undoing ``variance`` makes noise larger than any signal."""
        return math.sqrt(2 * max(-math.log(self.noise), 0.0) / variance) if variance > 0 else math.inf

    def last_signal(self, variance: float, end: int | None = None) -> int:
        """Last shell (of those before ``end``) above the noise; the longer the gap before it, the further above."""
        loud = self.standing / np.sqrt(np.log(np.maximum(self.count, 1)) + EVIDENCE)
        last = 0
        for i in np.flatnonzero(loud[:end] > 1):
            gap, longest = i - last - 1, max(4, 0.15 * last)
            if gap >= longest or i > self.useful(variance) / self.width:
                break
            if loud[i] > RECURRENCE ** (gap / longest):
                last = int(i)
        return last

    def first_impossible(self, last: int, variance: float) -> int | None:
        """First shell where |S| exp(εω²/2) > 1, which no law ν allows: noise that is not white, or ε beyond ε_c."""
        if variance == 0:
            return None
        q = self.width * np.arange(last + 1)
        with np.errstate(divide="ignore"):
            beyond = np.flatnonzero(np.log(self.peak[: last + 1]) + 0.5 * variance * q**2 > 0.02)
        return int(beyond[0]) if beyond.size else None

    def envelope(self, last: int) -> tuple[float, float]:
        """Fit log peak ≈ a − c q²/2 on the outer shells kept; c = inf where the band ends before the fit says so."""
        loudest_beyond = self.peak[last + 1 :].max(initial=0.0)
        peak = np.maximum.accumulate(self.peak[::-1])[::-1]  # bridges the dips of an oscillating modulus
        for first in (last // 2, 0):
            shells = np.arange(first, last + 1)
            good = peak[shells] > 4 * self.noise
            if good.sum() >= 4:
                q = self.width * (shells[good] + 0.5)
                slope, offset = np.polyfit(-0.5 * q**2, np.log(peak[shells[good]]), 1)
                beyond = min(last + 4, peak.size - 1)
                expected = offset - 0.5 * slope * (self.width * (beyond + 0.5)) ** 2
                edge = BAND_EDGE * self.noise
                if beyond > last and expected > math.log(edge) and loudest_beyond < edge:
                    return 0.0, math.inf
                return float(offset), max(float(slope), 0.0)
        return 0.0, 0.0


def _frequency_square(grid: Grid, shape: tuple[int, ...]) -> FloatArray:
    square = np.zeros(shape)
    for a, (n, h) in enumerate(zip(grid.shape, grid.spacing)):
        omega = 2 * np.pi * (fft.rfftfreq(n, h) if a == grid.dim - 1 else fft.fftfreq(n, h))
        square += (omega**2).reshape([-1 if b == a else 1 for b in range(grid.dim)])
    return square


def mode_weights(grid: Grid) -> FloatArray:
    """How often each stored mode of ``rfftn`` occurs in the full spectrum, along the last axis."""
    twice = np.full(grid.shape[-1] // 2 + 1, 2.0)
    twice[0] = 1.0
    if grid.shape[-1] % 2 == 0:
        twice[-1] = 1.0
    return twice


def _shell_width(grid: Grid) -> float:
    """Shells as wide as the coarsest mode spacing, and at least 1/400 of the band."""
    coarsest = max(2 * np.pi / (n * h) for n, h in zip(grid.shape, grid.spacing))
    band = math.sqrt(sum((np.pi / h) ** 2 for h in grid.spacing))
    return max(coarsest, band / 400)


def _box_volume(grid: Grid) -> float:
    return grid.cell * grid.size


def _sphere_area(dim: int) -> float:
    return {1: 2.0, 2: 2 * math.pi, 3: 4 * math.pi}[dim]
