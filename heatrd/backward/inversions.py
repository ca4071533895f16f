"""Ways to undo the blur: each answers ρ_t for t ∈ [0, 1] on a grid, raw, and says how far it can be trusted.

=================== =========================================================================== ===================
inversion           ρ_t                                                                         error
=================== =========================================================================== ===================
`ClosedForm`        density of the source's own ν_{εt}                                          rounding
`Spectral`          modes × exp(εt‖ω‖²/2), cut at the noise (`spectral`)                        measured noise, cut
`Marching`          finite differences with the same low-pass (`marching`)                      + space, time
`Positive`          spectral answer clipped, then Richardson–Lucy sweeps ν ← ν·(μ/φ ∗ G_ε)      as spectral
=================== =========================================================================== ===================

The sweep of `Positive` is Blahut–Arimoto's, ν ← ν·c (DESIGN (7)): it keeps ν ≥ 0 and its mass, and decreases
KL(μ‖ν∗G_ε). The ratio is taken of (μ + f)/(φ + f), f the noise of a point value, so that the empty part of the grid
says nothing.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property
from typing import Protocol

import numpy as np
from numpy.typing import NDArray
from scipy import fft

from heatrd.backward.marching import March
from heatrd.backward.spectral import Spectrum
from heatrd.grids import Grid
from heatrd.sources.base import Source

__all__ = [
    "ClosedForm",
    "Inversion",
    "Marching",
    "Positive",
    "Spectral",
    "clip",
    "effective_volume",
    "kl_divergence",
    "negative_mass",
    "polish",
]

FloatArray = NDArray[np.float64]


class Inversion(Protocol):
    """What a path asks of a solver."""

    @property
    def grid(self) -> Grid: ...

    def raw(self, t: float) -> FloatArray:
        """ρ_t on the grid before projection: of mass 1, possibly negative."""

    def point_noise(self, t: float) -> float:
        """rms error of a point value of ρ_t."""

    @property
    def noise(self) -> float:
        """Relative noise of a Fourier mode of the data."""

    @property
    def cutoff(self) -> float:
        """ω_c; inf where nothing was cut."""

    @property
    def amplification(self) -> float:
        """Largest factor by which an error of the data was multiplied."""


@dataclass(frozen=True)
class ClosedForm:
    """ρ_t from the source's own closed form."""

    source: Source
    epsilon: float
    grid: Grid

    noise = 0.0
    cutoff = math.inf
    amplification = 1.0

    def law(self, t: float) -> Source:
        """The law of X_t."""
        found = self.source.deblurred(self.epsilon * t)
        assert found is not None
        return found

    def raw(self, t: float) -> FloatArray:
        law = self.law(t)
        return np.exp(self.grid.evaluate(law.log_density))

    def point_noise(self, t: float) -> float:
        return 0.0


@dataclass(frozen=True)
class Spectral:
    """ρ_t by spectral inversion."""

    spectrum: Spectrum
    epsilon: float

    @property
    def grid(self) -> Grid:
        return self.spectrum.grid

    @property
    def noise(self) -> float:
        return self.spectrum.noise

    @property
    def cutoff(self) -> float:
        return self.spectrum.cutoff

    @property
    def amplification(self) -> float:
        return self.spectrum.amplification(self.epsilon)

    def raw(self, t: float) -> FloatArray:
        return self.spectrum.invert(self.epsilon * t)

    def point_noise(self, t: float) -> float:
        return self.spectrum.point_error(self.epsilon * t)


@dataclass(frozen=True)
class Marching(Spectral):
    """ρ_t by finite-difference marching."""

    march: March

    def raw(self, t: float) -> FloatArray:
        return self.march.run(self.epsilon * t)


@dataclass(frozen=True)
class Positive(Spectral):
    """ρ_t from a positive ν: the spectral answer where it is positive, the forward flow of ν where it is not."""

    nu: FloatArray
    sweeps: int
    clean: float = 1e-4

    def raw(self, t: float) -> FloatArray:
        direct = super().raw(t)
        if t < 1 and negative_mass(direct, self.grid) <= self.clean:
            return direct
        return self._blurred(self.epsilon * (1 - t))

    def _blurred(self, variance: float) -> FloatArray:
        if variance == 0:
            return self.nu
        kernel = np.exp(-0.5 * variance * self.spectrum.square)
        return np.maximum(fft.irfftn(self._modes * kernel, s=self.grid.shape), 0.0)

    @cached_property
    def _modes(self) -> NDArray[np.complex128]:
        return np.asarray(fft.rfftn(self.nu))


def polish(
    density: FloatArray, start: FloatArray, spectrum: Spectrum, epsilon: float, sweeps: int, tol: float
) -> tuple[FloatArray, int]:
    """Richardson–Lucy sweeps from ``start``, until KL(μ‖φ) ≤ ``tol``, the noise is met, or ``sweeps`` are done.

    Returns
    -------
    nu : array of the grid's shape
        Non-negative, of mass 1.
    done : int
        Sweeps made.
    """
    grid = spectrum.grid
    kernel = np.exp(-0.5 * epsilon * spectrum.square)

    def blur(values: FloatArray) -> FloatArray:
        return np.asarray(fft.irfftn(fft.rfftn(values) * kernel, s=grid.shape))

    volume = grid.cell * grid.size
    floor = 4 * spectrum.noise * math.sqrt(grid.size) / volume
    mu = density / (density.sum() * grid.cell)
    nu = start
    for done in range(sweeps):
        phi = np.maximum(blur(nu), 0.0)
        noise_energy = spectrum.noise**2 * grid.size / volume
        if float(((mu - phi) ** 2).sum()) * grid.cell <= noise_energy or kl_divergence(mu, phi, grid, floor) <= tol:
            return nu, done
        nu = nu * np.maximum(blur((np.maximum(mu, 0.0) + floor) / (phi + floor)), 0.0)
        nu = nu / (nu.sum() * grid.cell)
    return nu, sweeps


def clip(density: FloatArray, grid: Grid) -> FloatArray:
    """Nearest density in the plain sense: negative values set to zero, mass set to one."""
    positive = np.maximum(density, 0.0)
    return np.asarray(positive / (positive.sum() * grid.cell))


def negative_mass(density: FloatArray, grid: Grid) -> float:
    """∫ ρ⁻."""
    return float(-np.minimum(density, 0.0).sum() * grid.cell)


def effective_volume(density: FloatArray, grid: Grid) -> float:
    """e^{h(ρ)} of a clipped density: the volume it occupies."""
    p = np.maximum(density, 1e-300)
    p = p / (p.sum() * grid.cell)
    return math.exp(min(float(-(p * np.log(p)).sum() * grid.cell), 700.0))


def kl_divergence(p: FloatArray, q: FloatArray, grid: Grid, floor: float = 1e-300) -> float:
    """KL(p‖q) on a grid, as the sum of the non-negative terms p log(p/q) − p + q, where both stand above ``floor``."""
    seen = (p > floor) & (q > floor)
    a, b = p[seen], q[seen]
    r = b / a
    d = np.clip(r - 1, -1e-3, 1e-3)
    terms = a * np.where(np.abs(r - 1) < 1e-4, d**2 / 2 - d**3 / 3, r - 1 - np.log(r))
    return float(terms.sum() * grid.cell)
