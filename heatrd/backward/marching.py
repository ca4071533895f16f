"""Finite-difference marching of the backward heat equation, with a low-pass inside every step.

∂ₛρ = −½ Δ_h ρ is marched from s = 0 to s = εt by Taylor steps of degree p (p applications of the stencil operator),

    ρ ← P Σ_{j≤p} (−τΔ_h/2)^j / j! ρ,

where P keeps the modes that `spectral` keeps: without it the shortest waves of the grid, which hold nothing but
noise, would grow by exp(½ s λ_max). The errors that come on top of the spectral method's are known mode by mode
before the march,

    space   exp(½ s σ_h(ω)) instead of exp(½ s ‖ω‖²),  σ_h the symbol of −Δ_h,
    time    R_p(τσ_h/2)^M instead of exp(½ s σ_h),     R_p the Taylor polynomial,

so the order of the stencil is raised, and the step shortened, until they are below the estimated error of the data
itself. Rounding noise in the shortest waves must stay small beside ρ until P removes it: (½τλ_max)^p / p! ≤ 10⁹.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import fft

from heatrd.backward.spectral import Spectrum, mode_weights
from heatrd.grids import Grid
from heatrd.heat.operators import Laplacian, second_taps

__all__ = ["March", "plan_march"]

FloatArray = NDArray[np.float64]
ORDERS = (8, 10, 12, 16, 20, 24)
DEGREES = (4, 6, 8, 10, 12)
GROWTH = 1e9


@dataclass(frozen=True, slots=True, eq=False)
class March:
    """A planned march: stencil order, Taylor degree, steps, and the L1 errors these add (estimates).

    Attributes
    ----------
    order, degree, steps : int
    space_error, time_error : float
        Estimated relative L1 errors of the discretisation at the end.
    target : float
        What they were meant to stay below.
    """

    spectrum: Spectrum
    variance: float
    order: int
    degree: int
    steps: int
    space_error: float
    time_error: float
    target: float

    @property
    def affordable(self) -> bool:
        """Whether the stencils' error stays below the target on this grid."""
        return self.space_error <= 2 * self.target

    def run(self, variance: float | None = None) -> FloatArray:
        """March back by ``variance`` (≤ the planned one) and return grid values of mass 1, possibly negative."""
        s = self.variance if variance is None else variance
        steps = max(1, math.ceil(self.steps * s / self.variance - 1e-9))
        grid, kept = self.spectrum.grid, self.spectrum.kept
        laplacian = Laplacian.on(grid, self.order, "periodic")
        rho = _low_pass(self.spectrum.modes, kept, grid)
        if s == 0:
            return rho
        tau = s / steps
        term, image = np.empty_like(rho), np.empty_like(rho)
        for _ in range(steps):
            np.copyto(term, rho)
            for j in range(1, self.degree + 1):
                laplacian.apply(term, image)
                image *= -tau / (2 * j)
                rho += image
                term, image = image, term
            rho = _low_pass(fft.rfftn(rho) * grid.cell, kept, grid)
        return rho


def plan_march(spectrum: Spectrum, variance: float, target: float, effective_volume: float, order: int | None) -> March:
    """Choose order, degree and steps so that the errors they add stay below ``target`` (relative L1) where possible."""
    symbol_at = _SymbolTable(spectrum)
    to_l1 = math.sqrt(2 / math.pi * effective_volume / (spectrum.grid.cell * spectrum.grid.size))
    orders = ORDERS if order is None else (order,)
    for chosen in orders:
        symbol = symbol_at(chosen)
        space = to_l1 * symbol_at.error(np.expm1(0.5 * variance * (symbol - symbol_at.square)), variance)
        if space <= 0.5 * target:
            break
    bound = Laplacian.on(spectrum.grid, chosen, "periodic").bound
    best: tuple[float, int, int, float] | None = None
    for degree in DEGREES:
        longest = 2 * (GROWTH * math.factorial(degree)) ** (1 / degree) / bound
        steps = max(1, math.ceil(variance / longest))
        for _ in range(12):
            added = to_l1 * symbol_at.error(_taylor_defect(0.5 * variance * symbol, degree, steps), variance)
            if added <= 0.5 * target:
                break
            steps = math.ceil(1.5 * steps)
        cost = steps * (degree + 4.0)
        if best is None or cost < best[0]:
            best = (cost, degree, steps, added)
    assert best is not None
    return March(spectrum, variance, chosen, best[1], best[2], space, best[3], target)


class _SymbolTable:
    """Sizes and symbols of the modes kept."""

    def __init__(self, spectrum: Spectrum) -> None:
        self.spectrum = spectrum
        kept = spectrum.kept
        self.square = spectrum.square[kept]
        self.energy = np.abs(spectrum.modes[kept]) ** 2 * np.broadcast_to(mode_weights(spectrum.grid), kept.shape)[kept]

    def __call__(self, order: int) -> FloatArray:
        """Symbol of −Δ_h at the kept modes."""
        grid, kept = self.spectrum.grid, self.spectrum.kept
        total = np.zeros(kept.shape)
        for a, (n, h) in enumerate(zip(grid.shape, grid.spacing)):
            taps = second_taps(order) / h**2
            angle = 2 * np.pi * (fft.rfftfreq(n) if a == grid.dim - 1 else fft.fftfreq(n))
            along = -(taps[0] + 2 * np.cos(np.multiply.outer(angle, np.arange(1, taps.size))) @ taps[1:])
            total += along.reshape([-1 if b == a else 1 for b in range(grid.dim)])
        return np.asarray(total[kept])

    def error(self, relative: FloatArray, variance: float) -> float:
        """Root of the summed squared errors of the answer's modes, given their relative errors."""
        return math.sqrt(float((self.energy * np.exp(variance * self.square) * relative**2).sum()))


def _taylor_defect(exponent: FloatArray, degree: int, steps: int) -> FloatArray:
    """R_p(z/M)^M e^{−z} − 1 for exponents z."""
    z = exponent / steps
    tail, term = np.zeros_like(z), np.ones_like(z)
    for j in range(1, degree + 1):
        term = term * z / j
    for j in range(degree + 1, degree + 40):
        term = term * z / j
        tail = tail + term
    return np.asarray(np.expm1(steps * np.log1p(-np.minimum(tail * np.exp(-z), 0.999))))


def _low_pass(modes: NDArray[np.complex128], kept: NDArray[np.bool_], grid: Grid) -> FloatArray:
    return np.asarray(fft.irfftn(modes * kept, s=grid.shape)) / grid.cell
