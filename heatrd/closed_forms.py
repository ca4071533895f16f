"""Closed forms: the Shannon lower bound, Gaussian reverse water-filling, the sphere, and entropies by quadrature.

Shannon lower bound (DESIGN (1), (5)):  R(D) ≥ h(μ) − (d/2) log(2πe D/d), with equality on the backward-heat class.

Gaussian upper bound: a Gaussian of the same covariance is the hardest source, R(D) ≤ Σ_i ½ log⁺(λ_i/θ), with
the water level θ given by Σ_i min(θ, λ_i) = D over the eigenvalues λ_i of the covariance (Cover & Thomas, §10.3.3).

Uniform law on the sphere of radius 1 in Rⁿ: the optimal channel is von Mises–Fisher, X|Y ∝ exp(κ x·y/‖y‖), with
‖Y‖ = A_n(κ) = I_{n/2}(κ)/I_{n/2−1}(κ) and D = 1 − A_n(κ)². Then dR = κ dA, and by parts
R = κA − log ₀F₁(; n/2; κ²/4), because ∫₀^κ A_n = log ₀F₁(; n/2; κ²/4).

All rates are in nats; distortions are full squared errors summed over coordinates.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import scipy
from numpy.typing import ArrayLike, NDArray
from scipy import special

from heatrd import arguments
from heatrd.errors import InvalidInput
from heatrd.sources import as_source
from heatrd.sources._quadrature import adaptive_sum, panels
from heatrd.sources.base import Source, Source1D
from heatrd.sources.location_scale import LocationScale

__all__ = [
    "differential_entropy",
    "gaussian_distortion",
    "gaussian_rate",
    "gaussian_upper_bound",
    "shannon_lower_bound",
    "sphere_rate",
]

FloatArray = NDArray[np.float64]
_MOST_DIMENSIONS = 1_000_000
_LARGE = 1e8  # concentrations beyond which scipy's Bessel functions end
_LEAST_LEVEL = 1e-290  # of the distortion over radius²: below, the concentration overflows


def shannon_lower_bound(src: Any, distortion: ArrayLike) -> Any:
    """Return the Shannon lower bound max(h(μ) − (d/2) log(2πe D/d), 0).

    Parameters
    ----------
    src : source
        Anything `heatrd.as_source` takes; its entropy is computed by quadrature where it has no closed form.
    distortion : float or array_like
        D = E‖X − Y‖², positive.

    Returns
    -------
    float or ndarray
        Nats, of the shape of ``distortion``. Zero for laws without a density.

    Raises
    ------
    InvalidInput
        Non-positive or NaN distortion; a source in d ≥ 2 whose entropy is not known.
    """
    src = as_source(src)
    d = src.dim
    level = _distortions(distortion)
    bound = differential_entropy(src) - 0.5 * d * (math.log(2 * math.pi * math.e / d) + np.log(level))
    return _like(np.maximum(bound, 0.0), distortion)


def gaussian_upper_bound(src: Any, distortion: ArrayLike) -> Any:
    """Return R(D) of the Gaussian with the covariance of ``src``, an upper bound on its own R(D).

    Parameters
    ----------
    src : source
        Anything `heatrd.as_source` takes.
    distortion : float or array_like
        D = E‖X − Y‖², positive.

    Returns
    -------
    float or ndarray
        Nats, of the shape of ``distortion``; zero from D = trace of the covariance on.
    """
    return gaussian_rate(as_source(src).covariance, distortion)


def gaussian_rate(covariance: ArrayLike, distortion: ArrayLike) -> Any:
    """Return R(D) of a Gaussian by reverse water-filling.

    Parameters
    ----------
    covariance : scalar or (d, d) array_like
        Symmetric positive semi-definite; null directions cost nothing.
    distortion : float or array_like
        D, positive.
    """
    eigenvalues = _eigenvalues(covariance)
    level = _distortions(distortion)
    if eigenvalues.size == 0:
        return _like(np.zeros_like(level), distortion)
    top = eigenvalues[-1]
    knots = eigenvalues / top
    # D(θ) = Σ min(θ, λ_i) is linear between eigenvalues
    at_knots = np.array([np.minimum(theta, knots).sum() for theta in knots])
    level = np.minimum(level, knots.sum() * top)  # the rate is zero from there on
    water = np.interp(level / top, np.concatenate([[0.0], at_knots]), np.concatenate([[0.0], knots]))
    small = level / top < at_knots[0]
    log_water = np.where(small, np.log(level) - np.log(len(knots)) - np.log(top), np.log(np.where(small, 1.0, water)))
    rate = 0.5 * np.maximum(np.log(knots) - log_water[..., None], 0.0).sum(axis=-1)
    return _like(rate, distortion)


def gaussian_distortion(covariance: ArrayLike, rate: ArrayLike) -> Any:
    """Return D(R) of a Gaussian: the inverse of `gaussian_rate`, rates in nats ≥ 0."""
    eigenvalues = _eigenvalues(covariance)[::-1]
    r = arguments.numbers(rate, "rate")
    if not (np.isfinite(r) & (r >= 0)).all():
        raise InvalidInput(f"rate={arguments.short(rate)} must be finite and >= 0 (nats)")
    if eigenvalues.size == 0:
        return _like(np.zeros_like(r), rate)
    logs = np.log(eigenvalues)
    count = np.arange(1, len(logs) + 1)
    # R = max_k ½ Σ_{i≤k} (log λ_i − log θ) over the k largest, so θ is the largest of the solutions for each k
    with np.errstate(over="ignore"):  # the distortion of such a rate is zero
        log_water = ((np.cumsum(logs) - 2 * r[..., None]) / count).max(axis=-1)
    return _like(np.exp(np.minimum(logs, log_water[..., None])).sum(axis=-1), rate)


def sphere_rate(dim: int, distortion: ArrayLike, radius: float = 1.0) -> Any:
    """Return the exact R(D) of the uniform law on the sphere of ``radius`` in R^dim (dim ≥ 2).

    Parameters
    ----------
    dim : int
        Dimension n of the ambient space, n ≥ 2 (n = 2: the circle).
    distortion : float or array_like
        D, positive; the rate is zero from D = radius² on.
    radius : float
        Radius of the sphere.
    """
    n = arguments.integer(dim, "dim", 2)
    if n > _MOST_DIMENSIONS:
        raise InvalidInput(f"dim={n}; need <= {_MOST_DIMENSIONS}")
    radius = arguments.number(radius, "radius", positive=True)
    with np.errstate(over="ignore"):  # far above the radius the rate is zero
        level = _distortions(distortion) / radius / radius
    if not (level > _LEAST_LEVEL).all():
        raise InvalidInput(f"distortion={arguments.short(distortion)} is too small a part of radius²={radius:g}²")
    return _like(np.vectorize(_sphere_rate_at, otypes=[float])(n, level), distortion)


def _sphere_rate_at(n: int, distortion: float) -> float:
    if distortion >= 1:
        return 0.0
    kappa = _concentration(n, distortion)
    return float(-kappa * distortion / (1.0 + np.sqrt(1.0 - distortion)) - _log_scaled_hyp0f1(n, kappa))


def _concentration(n: int, distortion: float) -> float:
    """Solve 1 − A_n(κ)² = D; A is monotone."""
    ratio = np.sqrt(1.0 - distortion)
    guess = ratio * (n - ratio * ratio) / distortion  # Banerjee et al. (2005)

    def excess(log_kappa: float) -> float:
        gap = _one_minus_bessel_ratio(n, np.exp(log_kappa))
        return float(np.log(gap * (2.0 - gap)) - np.log(distortion))

    return float(
        np.exp(scipy.optimize.brentq(excess, np.log(guess) - 1.5, np.log(guess) + 1.5, xtol=1e-15, rtol=1e-15))
    )


def _one_minus_bessel_ratio(n: int, kappa: float) -> float:
    """1 − I_{n/2}(κ)/I_{n/2−1}(κ), to full relative accuracy for large κ by its asymptotic series."""
    m = n - 1.0
    if kappa > 1e4 * n * n:
        return 0.5 * m / kappa * (1.0 - 0.25 * (n - 3.0) / kappa * (1.0 + 1.0 / kappa))
    nu = 0.5 * n - 1.0
    if kappa > _LARGE:
        rest = nu + 0.5 + (nu + 0.5) * (nu + 1.5) / (math.hypot(kappa, nu) + kappa)
        return rest / (rest + kappa)  # Segura (2011): right to second order in 1/κ
    below = special.ive(nu, kappa)
    if below > 1e-280:
        return float(1.0 - special.ive(nu + 1.0, kappa) / below)
    return 1.0 - _bessel_ratio(nu, kappa)


def _bessel_ratio(nu: float, kappa: float) -> float:
    """I_{ν+1}(κ)/I_ν(κ) where κ ≪ ν², by its recurrence downwards (each step damps the error by the ratio squared)."""
    steps = 60 + math.ceil(20 * kappa / (nu + 1))
    ratio = kappa / (2 * (nu + steps + 1))
    for k in range(steps, 0, -1):
        ratio = 1.0 / (2.0 * (nu + k) / kappa + ratio)
    return ratio


def _log_scaled_hyp0f1(n: int, kappa: float) -> float:
    """log ₀F₁(; n/2; κ²/4) − κ, where log ₀F₁ = log Γ(n/2) + (n/2 − 1) log(2/κ) + log I_{n/2−1}(κ)."""
    nu = 0.5 * n - 1.0
    if kappa > 1e4 * n * n:
        m = 4 * nu * nu - 1
        correction = -m / (8 * kappa) * (1.0 - (4 * nu * nu - 9) / (16 * kappa))
        log_scaled = -0.5 * np.log(2 * np.pi * kappa) + np.log1p(correction)
        return float(special.gammaln(nu + 1.0) + nu * np.log(2.0 / kappa) + log_scaled)
    if kappa > _LARGE:  # Debye's uniform expansion (DLMF 10.41.3)
        root = math.hypot(kappa, nu)
        p = nu / root
        log_scaled = nu * nu / (root + kappa) + nu * math.log(kappa / (nu + root)) - 0.5 * math.log(2 * math.pi * root)
        log_scaled += math.log1p((3 * p - 5 * p**3) / (24 * nu) if nu > 0 else 0.125 / kappa)
        return float(special.gammaln(nu + 1.0) + nu * math.log(2.0 / kappa) + log_scaled)
    scaled = special.ive(nu, kappa)
    if scaled > 1e-280 and kappa > 1.0:
        return float(special.gammaln(nu + 1.0) + nu * np.log(2.0 / kappa) + np.log(scaled))
    return float(np.log(special.hyp0f1(nu + 1.0, 0.25 * kappa * kappa)) - kappa)


def differential_entropy(src: Source) -> float:
    """Return h(μ) in nats: the source's closed form, the sum over independent factors, or quadrature.

    Returns
    -------
    float
        −inf for laws with an atom or without a density.

    Raises
    ------
    InvalidInput
        Where nothing is known: a source in d ≥ 2 that is neither a product nor smooth at a known scale.
    """
    known = src.entropy()
    if known is not None:
        return float(known)
    if src.discrete_part[1].sum() > 0:
        return -np.inf
    factors = getattr(src, "factors", None)
    if factors:
        return float(sum(differential_entropy(part) for _, part in factors))
    if isinstance(src, Source1D):
        return _entropy_on_the_line(src)
    width = src.critical_epsilon()
    if width and src.dim <= 3:
        return _entropy_on_a_lattice(src, float(np.sqrt(width)))
    raise InvalidInput(f"the differential entropy of {src.name!r} is not known in closed form in dimension {src.dim}")


def _entropy_on_the_line(src: Source1D) -> float:
    """−∫ f log f by adaptive Gauss–Legendre on panels graded towards every kink, pole and end, in standardised
    units.
    """
    if isinstance(src, LocationScale) and (src.loc, src.scale) != (0.0, 1.0) and (unit := src.standard()) is not src:
        return _entropy_on_the_line(unit) + float(np.log(src.scale))
    scale = float(np.sqrt(src.variance))

    def integrand(x: FloatArray) -> FloatArray:
        log_f = src.logpdf(x) + np.log(scale)
        with np.errstate(all="ignore"):
            return np.where(np.isfinite(log_f), -np.exp(log_f) * log_f, 0.0)

    return adaptive_sum(integrand, panels(src), scale) + float(np.log(scale))


def _entropy_on_a_lattice(src: Source, width: float, tolerance: float = 1e-10) -> float:
    """−∫ f log f by the trapezoidal rule, exponentially accurate for f = ν ∗ N(0, width² I); halved until it
    settles.
    """
    spread = np.sqrt(np.diag(src.covariance))
    means = np.atleast_2d(getattr(src, "means", src.mean))
    widest = (
        np.sqrt(np.max(np.linalg.eigvalsh(getattr(src, "covs", src.covariance))))
        if hasattr(src, "covs")
        else spread.max()
    )
    low, high = means.min(axis=0) - 9.0 * widest, means.max(axis=0) + 9.0 * widest
    previous = np.nan
    for step in width * np.array([0.8, 0.55, 0.4, 0.28, 0.2]):
        counts = np.ceil((high - low) / step).astype(int) + 1
        if counts.prod(dtype=float) > 3e7:
            break
        value = _trapezoid_entropy(src, [l + step * np.arange(c) for l, c in zip(low, counts)], step)
        if abs(value - previous) < tolerance:
            return value
        previous = value
    raise InvalidInput(
        f"the differential entropy of {src.name!r} needs more than 3e7 lattice points; no closed form is known"
    )


def _trapezoid_entropy(src: Source, axes: list[FloatArray], step: float) -> float:
    total = 0.0
    rest = np.stack(np.meshgrid(*axes[1:], indexing="ij"), axis=-1)
    block = max(1, int(1e6 / rest[..., 0].size))
    for i in range(0, len(axes[0]), block):
        first = axes[0][i : i + block]
        points = np.empty((len(first), *rest.shape[:-1], len(axes)))
        points[..., 0] = first.reshape(-1, *[1] * (len(axes) - 1))
        points[..., 1:] = rest
        total += special.entr(np.exp(src.log_density(points))).sum()
    return float(total * step ** len(axes))


def _distortions(distortion: ArrayLike) -> FloatArray:
    level = arguments.numbers(distortion, "distortion")
    if level.size == 0 or np.isnan(level).any() or not (level > 0).all() or np.isinf(level).any():
        raise InvalidInput(f"distortion={arguments.short(distortion)} must be finite and positive")
    return level


def _eigenvalues(covariance: ArrayLike) -> FloatArray:
    """Positive eigenvalues, ascending; rounding errors of zero dropped."""
    c = np.atleast_2d(arguments.numbers(covariance, "covariance"))
    if c.ndim != 2 or c.shape[0] != c.shape[1] or not np.isfinite(c).all():
        raise InvalidInput(f"covariance has shape {c.shape}; need a finite (d, d) matrix")
    top = np.abs(c).max()
    if top == 0:
        return np.zeros(0)
    values = np.linalg.eigvalsh(c / top)
    if values[0] < -1e-10:
        raise InvalidInput(f"covariance has the negative eigenvalue {values[0] * top:g}")
    return np.asarray(values[values > 1e-15 * len(values)] * top)


def _like(values: FloatArray, template: ArrayLike) -> Any:
    return float(values) if np.ndim(template) == 0 else np.asarray(values)
