"""The optimal density path and control inside the backward heat class (DESIGN (5)).

ρ_t solves ∂ₜρ = −(ε/2)Δρ from ρ_0 = μ; u_t = ε∇log ρ_t drives dX = u dt + √ε dW along it: with u as drift the
Fokker–Planck equation

    ∂ₜρ = −∇·(ρu) + (ε/2)Δρ = −εΔρ + (ε/2)Δρ

is that backward heat equation. ν = ρ_1 is the optimal reconstruction at D = dε, and X_t of the same run is at D = dεt.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from heatrd import arguments
from heatrd.backward.evidence import best_certificate
from heatrd.backward.interpolation import LogInterpolant, interpolate_log
from heatrd.backward.inversions import ClosedForm, Inversion, clip
from heatrd.backward.law import closed_law, numerical_law
from heatrd.backward.residual import fokker_planck_residual
from heatrd.certificate.base import Certificate
from heatrd.errors import InvalidInput
from heatrd.grids import Grid
from heatrd.heat.operators import first_taps
from heatrd.laws import DiscreteLaw
from heatrd.plots.path import animate_path, draw_path
from heatrd.sources.base import Source

__all__ = ["HeatPath"]

_FARTHEST = 1e100

FloatArray = NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class HeatPath:
    """Density path ρ_t, control u_t and reconstruction ν of a source at one ε, t ∈ [0, 1], with the evidence.

    Attributes
    ----------
    source : Source
        μ.
    epsilon : float
        Variance undone by t = 1; D = dε.
    grid : Grid
        Where `density` answers without points.
    method : str
        "closed-form", "spectral", "finite-difference", "positive" or "arbitrary-precision".
    critical : float or None
        ε_c where it is known in closed form.
    estimated_error : float
        Estimated relative L1 error of ρ_1: noise let through + signal cut off + discretisation.
    noise_error, cut_error, scheme_error : float
        Its three parts.
    negative_mass : float
        ∫ ρ_1⁻ before projection to non-negative densities.
    residual : float
        KL(μ ‖ ν∗G_ε) on the grid, nats: what pushing the answer forward again fails to reproduce.
    flags : tuple of str
        Reasons not to trust ρ_1 (or remarks on the grid); empty when there are none.
    seconds : float
        Time of the solve.
    """

    source: Source
    epsilon: float
    grid: Grid
    method: str
    critical: float | None
    inversion: Inversion
    estimated_error: float
    noise_error: float
    cut_error: float
    scheme_error: float
    negative_mass: float
    residual: float
    flags: tuple[str, ...]
    seconds: float
    _cache: dict[Any, Any] = field(default_factory=dict, repr=False)

    @property
    def dim(self) -> int:
        return self.source.dim

    @property
    def trusted(self) -> bool:
        """Whether nothing was flagged."""
        return not self.flags

    @property
    def theta(self) -> float:
        """ε/ε_c (NaN where ε_c is not known in closed form)."""
        return self.epsilon / self.critical if self.critical else math.nan

    @property
    def distortion(self) -> float:
        """D = dε, at which ν is the optimal reconstruction."""
        return self.dim * self.epsilon

    @property
    def amplification(self) -> float:
        """Largest factor by which an error of the data was multiplied."""
        return self.inversion.amplification

    @property
    def cutoff(self) -> float:
        """Frequency ω_c beyond which nothing was kept (inf: nothing was cut)."""
        return self.inversion.cutoff

    @property
    def noise(self) -> float:
        """Relative noise of a Fourier mode of the data, as measured."""
        return self.inversion.noise

    def density(self, t: float, x: ArrayLike | None = None) -> FloatArray:
        """ρ_t on the grid, or at points.

        Parameters
        ----------
        t : float in [0, 1]
        x : (..., d) array_like, optional
            Points; for d = 1 scalars of any shape too. Omitted: the cell centres of `grid`.

        Returns
        -------
        array of the grid's shape, or (...)
            Non-negative; interpolated by splines of log ρ_t (order 6) where there is no closed form.
        """
        t = _time(t)
        if x is None:
            return self._on_grid(t).copy()
        points, shape = self._points(x)
        return np.asarray(np.exp(self._log_density(t, points)).reshape(shape))

    def log_density(self, t: float, x: ArrayLike) -> FloatArray:
        """log ρ_t at points (..., d) → (...)."""
        points, shape = self._points(x)
        return self._log_density(_time(t), points).reshape(shape)

    def score(self, t: float, x: ArrayLike) -> FloatArray:
        """∇ log ρ_t at points (..., d), of the same shape (d = 1: scalars of any shape too)."""
        t = _time(t)
        points, _ = self._points(x)
        if isinstance(self.inversion, ClosedForm):
            self._refuse_singular(t)
            values = _differences(self.inversion.law(t).log_density, points, self._feature_scale(t))
        else:
            values = self._interpolant(t).score(points)
        return np.asarray(values.reshape(np.shape(np.asarray(x, dtype=np.float64))))

    def control(self, t: float, x: ArrayLike) -> FloatArray:
        """u_t = ε ∇log ρ_t at points (..., d), of the same shape."""
        return np.asarray(self.epsilon * self.score(t, x))

    @property
    def reconstruction(self) -> DiscreteLaw:
        """ν = ρ_1 as a discrete law: lattice points weighted by density, fine enough for a blur of ε.

        Where the noise in a numerical ρ_1 leaves ν∗G_ε short of μ the weights are moved until it is not, to 1e-10 nats
        (1e-14 on the line, 1e-8 in space) where that can be reached.
        """
        return self._cached("law", self._reconstruction)

    @property
    def certificate(self) -> Certificate:
        """Proved bounds on L(ε) from `reconstruction` (DESIGN (2)); computed on first use.

        In the plane and in space the bound below is the entropy's, h(μ) − (d/2) log 2πε, and where it is not tight
        the better of it and sup c.
        """
        return self._cached("certificate", lambda: best_certificate(self.source, self.reconstruction, self.epsilon))

    def fokker_planck_residual(self, t: float, *, order: int = 8, step: float = 1e-3) -> float:
        """‖∂ₜρ + ∇·(ρu) − (ε/2)Δρ‖₁ / ‖(ε/2)Δρ‖₁ on the grid, by stencils of ``order`` (4 in t)."""
        return fokker_planck_residual(self, _time(t), order, step)

    def plot(self, ax: Any = None, **options: Any) -> Any:
        """Draw the path: a heat map of ρ_t(x) with control arrows (d = 1), a strip of snapshots (d ≥ 2)."""
        return draw_path(self, ax=ax, **options)

    def animate(self, file: str, **options: Any) -> Any:
        """Write an animation of ρ_t (GIF by its suffix; ``frames``, ``fps``)."""
        return animate_path(self, file, **options)

    def _cached(self, key: Any, make: Any) -> Any:
        if key not in self._cache:
            self._cache[key] = make()
        return self._cache[key]

    def _points(self, x: ArrayLike) -> tuple[FloatArray, tuple[int, ...]]:
        a = arguments.numbers(x, "points")
        reach = math.sqrt(self.source.total_variance) + float(np.abs(self.source.mean).max())
        if not (np.abs(a) <= _FARTHEST * reach).all():
            raise InvalidInput(f"points must be finite and within {_FARTHEST:g} times the reach of the source")
        if self.dim == 1 and (a.ndim < 2 or a.shape[-1] != 1):
            return a.reshape(-1, 1), a.shape
        if a.ndim == 0 or a.shape[-1] != self.dim:
            raise InvalidInput(f"points have shape {a.shape}; need (..., {self.dim})")
        return a.reshape(-1, self.dim), a.shape[:-1]

    def _on_grid(self, t: float) -> FloatArray:
        if isinstance(self.inversion, ClosedForm):
            self._refuse_singular(t)
            return self.inversion.raw(t)
        return self._cached(("density", t), lambda: self._evicting(clip(self.inversion.raw(t), self.grid)))

    def _evicting(self, value: Any) -> Any:
        """Keep no more than a handful of grids."""
        times = [key for key in self._cache if isinstance(key, tuple)]
        for key in times[: max(0, len(times) - 15)]:
            del self._cache[key]
        return value

    def _log_density(self, t: float, points: FloatArray) -> FloatArray:
        if isinstance(self.inversion, ClosedForm):
            self._refuse_singular(t)
            return np.asarray(self.inversion.law(t).log_density(points))
        return self._interpolant(t).log_density(points)

    def _interpolant(self, t: float) -> LogInterpolant:
        return self._cached(
            ("log", t),
            lambda: self._evicting(interpolate_log(self._on_grid(t), self.grid, self.inversion.point_noise(t))),
        )

    def _feature_scale(self, t: float) -> float:
        """Length over which ρ_t may vary by a factor: the blur it still contains, or its spread over 40."""
        spread = math.sqrt(self.source.total_variance / self.dim)
        if self.critical is None or math.isinf(self.critical):
            return spread / 40
        return max(math.sqrt(max(self.critical - self.epsilon * t, 0.0)), 1e-4 * spread)

    def _refuse_singular(self, t: float) -> None:
        if t == 1 and self._singular:
            raise InvalidInput(
                f"{self.source.name}: at epsilon={self.epsilon:g} = epsilon_c the law of X_1 has no density; "
                "use .reconstruction, or t < 1"
            )

    @property
    def _singular(self) -> bool:
        return self._cached("singular", lambda: _is_singular(self.inversion))

    def _reconstruction(self) -> DiscreteLaw:
        if isinstance(self.inversion, ClosedForm):
            nu = self.inversion.law(1.0)
            return closed_law(nu, self.source, self.epsilon, self.critical, self._singular)
        density, smooth = self._on_grid(1.0), self._interpolant(1.0)
        return numerical_law(self.source, density, self.grid, self.epsilon, self.residual, smooth)


def _time(t: float) -> float:
    time = arguments.number(t, "heat path: t")
    if not 0 <= time <= 1:
        raise InvalidInput(f"heat path: t={time:g} must be one number in [0, 1]")
    return time


def _is_singular(inversion: Inversion) -> bool:
    if not isinstance(inversion, ClosedForm):
        return False
    law = inversion.law(1.0)
    if law.discrete_part[1].size:
        return True
    try:
        values = law.log_density(law.sample(16, rng=0))
    except InvalidInput:
        return True
    return not bool(np.isfinite(values).all())


def _differences(log_density: Any, points: FloatArray, scale: float, order: int = 8) -> FloatArray:
    """Gradient of a smooth log-density by central differences of ``order``, step 0.05 of its feature scale."""
    h = 0.05 * scale
    taps = first_taps(order) / h
    out = np.zeros(points.shape)
    for a in range(points.shape[1]):
        for k in range(1, taps.size):
            shift = np.zeros(points.shape[1])
            shift[a] = k * h
            out[:, a] += taps[k] * (log_density(points + shift) - log_density(points - shift))
    return out
