"""One call for the backward heat equation: choose a method, solve, measure what the answer is worth."""

from __future__ import annotations

import difflib
import math
import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from heatrd import arguments
from heatrd.backward.inversions import (
    ClosedForm,
    Inversion,
    Marching,
    Positive,
    Spectral,
    clip,
    effective_volume,
    kl_divergence,
    negative_mass,
    polish,
)
from heatrd.backward.marching import March, plan_march
from heatrd.backward.path import HeatPath
from heatrd.backward.precision import Precise, solve_precisely
from heatrd.backward.resolution import box_of_source, density_on, finer_spectrum, resolved_spectrum, tabulation
from heatrd.backward.spectral import Spectrum
from heatrd.errors import HeatrdWarning, InvalidInput
from heatrd.grids import Grid, as_grid, check_memory
from heatrd.heat import schemes
from heatrd.sources import as_source
from heatrd.sources.base import Source

__all__ = ["METHODS", "backward_heat"]

FloatArray = NDArray[np.float64]
METHODS = ("auto", "closed-form", "spectral", "finite-difference", "positive", "arbitrary-precision")
DOUBTFUL = 0.1  # estimated relative L1 error from which an answer is flagged
CLOSED_CELLS = {1: 1024, 2: 256, 3: 96}
_WORK = 6e6  # cell updates that polishing may cost
_CLEAN = 1e-7  # negative mass that needs no polishing


def backward_heat(
    source: Any,
    epsilon: float,
    grid: Grid | ArrayLike | None = None,
    method: str = "auto",
    *,
    noise: float | None = None,
    order: int | None = None,
    digits: int | None = None,
    formula: Callable[[Any], Any] | None = None,
    memory_limit: int | None = None,
) -> HeatPath:
    """Solve the heat equation backwards from a source: the optimal density path, control and reconstruction.

    Parameters
    ----------
    source : Source, scipy.stats distribution, name, or tabulated density (`heatrd.from_grid`)
        μ, without atoms.
    epsilon : float
        How far to go back: variance per coordinate, 0 < ε ≤ ε_c; D = dε.
    grid : Grid or axes, optional
        Cell centres per axis. Default: the grid of a tabulated source, else a box that holds the tails, spaced until
        the spectrum is resolved.
    method : str
        "closed-form"; "spectral" (inversion cut at the noise); "finite-difference" (marching with a low-pass in every
        step); "positive" (spectral, then Richardson–Lucy sweeps, for noisy data); "arbitrary-precision" (1-D, formula
        evaluated to ``digits`` digits); "auto": closed form where the source has one, otherwise spectral, made
        "positive" when noise leaves negative mass.
    noise : float, optional
        Relative rms noise of a Fourier mode of the data, where known better than it can be measured.
    order : int, optional
        Order of the finite-difference stencils (default: 8, or higher where the grid is coarse).
    digits : int, optional
        Decimal digits of "arbitrary-precision" (default: enough for an error of 1e-8 where ε_c is known).
    formula : callable, optional
        The density with mpmath numbers, mpf → mpf, for "arbitrary-precision" and sources that have none built in.
    memory_limit : int, optional
        Bytes allowed; default 80 % of what is available.

    Returns
    -------
    HeatPath
        Never negative; `flags` says what not to trust, and a `HeatrdWarning` is issued when there is a flag.

    Raises
    ------
    InvalidInput
        ε outside (0, ε_c] where ε_c is known, atoms in μ, an unknown method or one the source does not admit.
    TooLarge
        A grid that does not fit in memory, with the largest that does.

    Notes
    -----
    The relative error of ρ_1 is of the order η^{1−θ}, θ = ε/ε_c, η the relative noise of the data: no method does
    better for Gaussian-like sources (DESIGN (6)).
    """
    begin = time.perf_counter()
    src = as_source(source)
    eps = _check_epsilon(src, epsilon)
    _check_method(method)
    if noise is not None and not 0 <= (noise := arguments.number(noise, "backward heat: noise")) < 1:
        raise InvalidInput(f"backward heat: noise = {noise:g}; need a relative error in [0, 1)")
    if method == "auto" and src.deblurred(eps) is not None:
        method = "closed-form"
    if method == "closed-form":
        return _closed_form(src, eps, grid, memory_limit, begin)
    if method == "arbitrary-precision":
        return _arbitrary_precision(src, eps, grid, digits, formula, begin)
    return _on_grid(src, eps, method, _Discretisation(grid, noise, order, memory_limit), begin)


@dataclass(frozen=True, slots=True)
class _Discretisation:
    """What the caller fixed of it."""

    grid: Grid | ArrayLike | None
    noise: float | None
    order: int | None
    memory_limit: int | None


def _on_grid(src: Source, eps: float, method: str, fixed: _Discretisation, begin: float) -> HeatPath:
    """The methods that see no more of the source than its values on a grid."""
    stencils = method == "finite-difference"
    spectrum, density, remarks = resolved_spectrum(src, eps, fixed.grid, fixed.noise, fixed.memory_limit, stencils)
    chosen: Inversion = Spectral(spectrum, eps)
    scheme_error = 0.0
    if stencils:
        march, density = _planned(src, eps, spectrum, density, fixed)
        spectrum, chosen = march.spectrum, Marching(march.spectrum, eps, march)
        scheme_error = march.space_error + march.time_error
    raw = chosen.raw(1.0)
    noise_error, cut_error = spectrum.errors(eps, effective_volume(raw, spectrum.grid))
    negative, final = negative_mass(raw, spectrum.grid), clip(raw, spectrum.grid)
    if method == "positive" or (method == "auto" and negative > _CLEAN):
        method, chosen = "positive", _polished(Spectral(spectrum, eps), density, final)
        scheme_error = float(np.abs(chosen.nu - final).sum() * spectrum.grid.cell)
        final = chosen.nu
    estimated = min(noise_error + cut_error + scheme_error, 2.0)
    return _path(
        src,
        eps,
        spectrum.grid,
        "spectral" if method == "auto" else method,
        chosen,
        remarks + _flags(spectrum, estimated, negative, eps),
        begin,
        final,
        estimated_error=estimated,
        noise_error=min(noise_error, 2.0),
        cut_error=min(cut_error, 2.0),
        scheme_error=scheme_error,
        negative_mass=negative,
        residual=_residual(density, final, spectrum.grid, eps),
    )


def _planned(
    src: Source, eps: float, spectrum: Spectrum, density: FloatArray, fixed: _Discretisation
) -> tuple[March, FloatArray]:
    """A march whose stencils are exact enough, on a finer grid where they have to be and none was asked for."""
    while True:
        volume = effective_volume(Spectral(spectrum, eps).raw(1.0), spectrum.grid)
        march = plan_march(spectrum, eps, sum(spectrum.errors(eps, volume)), volume, fixed.order)
        if fixed.grid is not None or march.affordable:
            return march, density
        finer = finer_spectrum(src, eps, spectrum.grid, fixed.noise, fixed.memory_limit)
        if finer is None:
            return march, density
        spectrum, density = finer


def _check_epsilon(src: Source, epsilon: float) -> float:
    eps = arguments.number(epsilon, "backward heat: epsilon", positive=True)
    if src.discrete_part[1].size:
        raise InvalidInput(f"{src.name} has atoms, so it is no blur of any law (epsilon_c = 0); use heatrd.solve")
    critical = None if tabulation(src) else src.critical_epsilon()
    if critical is not None and eps > critical * (1 + 1e-12):
        raise InvalidInput(
            f"backward heat: epsilon={eps:g} exceeds epsilon_c={critical:.10g} of {src.name}: no law nu with "
            f"mu = nu * N(0, epsilon I) exists beyond it; use epsilon <= {critical:.10g}, or heatrd.solve beyond"
        )
    return eps


def _check_method(method: str) -> None:
    if method in METHODS:
        return
    near = difflib.get_close_matches(str(method).replace("_", "-").lower(), METHODS, n=1, cutoff=0.4)
    hint = f"did you mean {near[0]!r}? " if near else ""
    raise InvalidInput(f"backward heat: method {method!r} is unknown; {hint}choose one of {', '.join(METHODS)}")


def _closed_form(src: Source, eps: float, grid: Grid | ArrayLike | None, limit: int | None, begin: float) -> HeatPath:
    if src.deblurred(eps) is None:
        raise InvalidInput(f"{src.name} has no closed form for its deblurred law; use method='spectral'")
    if src.dim > 3:
        raise InvalidInput(f"{src.name} has dimension {src.dim}; density paths are tabulated for d <= 3")
    if grid is None:
        low, high = box_of_source(src)
        chosen = Grid.uniform(low, high, [CLOSED_CELLS[src.dim]] * src.dim)
    else:
        chosen = as_grid(grid)
        if chosen.dim != src.dim:
            raise InvalidInput(f"the grid has {chosen.dim} axes; {src.name} has dimension {src.dim}")
    check_memory(chosen.shape, 6, "a density path", limit)
    return _path(
        src,
        eps,
        chosen,
        "closed-form",
        ClosedForm(src, eps, chosen),
        (),
        begin,
        estimated_error=0.0,
        noise_error=0.0,
        cut_error=0.0,
        scheme_error=0.0,
        negative_mass=0.0,
        residual=0.0,
    )


def _arbitrary_precision(
    src: Source,
    eps: float,
    grid: Grid | ArrayLike | None,
    digits: int | None,
    formula: Callable[[Any], Any] | None,
    begin: float,
) -> HeatPath:
    found: Precise = solve_precisely(src, eps, None if grid is None else as_grid(grid), digits, formula)
    raw = found.raw(1.0)
    negative, final = negative_mass(raw, found.grid), clip(raw, found.grid)
    residual = _residual(density_on(found.grid, src), final, found.grid, eps)
    flags = ("estimated error above 0.1",) if found.estimated_error > DOUBTFUL else ()
    return _path(
        src,
        eps,
        found.grid,
        "arbitrary-precision",
        found,
        flags,
        begin,
        final,
        estimated_error=found.estimated_error,
        noise_error=found.noise_error,
        cut_error=found.cut_error,
        scheme_error=0.0,
        negative_mass=negative,
        residual=residual,
    )


def _polished(plain: Spectral, density: FloatArray, start: FloatArray) -> Positive:
    sweeps = int(np.clip(_WORK / density.size, 8, 2000))
    nu, done = polish(density, start, plain.spectrum, plain.epsilon, sweeps, 1e-11)
    return Positive(plain.spectrum, plain.epsilon, nu, done)


def _flags(spectrum: Spectrum, estimated: float, negative: float, eps: float) -> tuple[str, ...]:
    flags = []
    if not spectrum.resolved:
        flags.append("the spectrum does not reach a noise floor on this grid: use finer spacing or a wider box")
    if not spectrum.possible:
        flags.append("modes larger than any law nu allows: noise that is not white, or epsilon > epsilon_c")
    if estimated > DOUBTFUL:
        flags.append(f"estimated relative error {estimated:.2g} of the final density")
    if negative > 0.5 * DOUBTFUL:
        flags.append(f"negative mass {negative:.2g} before projection")
    growth = spectrum.envelope[1]
    if math.isfinite(growth) and eps > 1.1 * growth:
        flags.append(f"the spectrum decays like that of a source with epsilon_c = {growth:.3g} < epsilon")
    return tuple(flags)


def _residual(density: FloatArray, nu: FloatArray, grid: Grid, eps: float) -> float:
    """KL(μ‖ν∗G_ε) by the forward semigroup: positive convolution where the grid resolves the blur."""
    mu = density / (density.sum() * grid.cell)
    if math.sqrt(eps) >= schemes.NARROWEST * max(grid.spacing):
        return kl_divergence(mu, schemes.convolve(nu, grid, "periodic", eps), grid)
    return kl_divergence(
        mu, np.maximum(schemes.spectral(nu, grid, "periodic", eps), 0.0), grid, 1e-14 * float(mu.max())
    )


def _path(
    src: Source,
    eps: float,
    grid: Grid,
    method: str,
    inversion: Inversion,
    flags: tuple[str, ...],
    begin: float,
    final: FloatArray | None = None,
    **evidence: Any,
) -> HeatPath:
    path = HeatPath(
        source=src,
        epsilon=eps,
        grid=grid,
        method=method,
        critical=None if tabulation(src) else src.critical_epsilon(),
        inversion=inversion,
        flags=flags,
        seconds=time.perf_counter() - begin,
        _cache={} if final is None else {("density", 1.0): final},
        **evidence,
    )
    if flags:
        _warn(f"backward heat, {src.name} at epsilon={eps:g}: " + "; ".join(flags))
    return path


def _warn(message: str) -> None:
    warnings.warn(message, HeatrdWarning, stacklevel=4)
