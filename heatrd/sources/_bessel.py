"""The spherical average of an exponential: Γ(ν + 1)(t/2)^(−ν) I_ν(t), ν = d/2 − 1, without overflow or underflow.

E over a uniform direction u of exp(t e·u) equals ₀F₁(; d/2; t²/4). For small t the positive series is summed;
beyond, scipy's scaled I_ν cannot underflow; from t = 10⁶ on, where scipy loses its digits and then is NaN, Debye's
expansion (DLMF 10.41.3) in the form that holds for all ν ≥ 0: with s² = ν² + t² and q = ν²/s²,

    log e^{−t} I_ν(t) = ν²/(s + t) − ν asinh(ν/t) − ½ log 2πs + log(1 + (3 − 5q)/24s + (81 − 462q + 385q²)/1152s² + …).

The logarithmic derivative of the average is the Bessel ratio A_d(t) = I_{d/2}(t)/I_{d/2−1}(t).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import gammaln, ive

from heatrd.sources.base import FloatArray

__all__ = ["bessel_ratio", "log_damped_average", "log_sphere_average"]

_TERMS = 160
_LARGE = 1e6


def log_sphere_average(dim: int, t: ArrayLike) -> FloatArray:
    """log E exp(t e·u), u uniform on the unit sphere of R^dim, t ≥ 0 of any shape."""
    return np.asarray(log_damped_average(dim, t) + np.asarray(t, dtype=np.float64))


def log_damped_average(dim: int, t: ArrayLike) -> FloatArray:
    """log E exp(t (e·u − 1)): no cancellation at large t; absolute error about 1e-15 d."""
    t = np.asarray(t, dtype=np.float64)
    out = np.empty(t.shape)
    nu = 0.5 * dim - 1.0
    b = 0.5 * dim
    small, large = t <= np.sqrt(120.0 * b), t > _LARGE
    if small.any():
        zs = 0.25 * t[small] ** 2
        term = np.ones_like(zs)
        total = np.zeros_like(zs)  # without the leading one, for log1p
        for k in range(1, _TERMS):
            term = term * (zs / (k * (b + k - 1)))
            total += term
            if not (term > 1e-18 * (1 + total)).any():
                break
        out[small] = np.log1p(total) - t[small]
    rest = ~small
    if rest.any():
        out[rest] = gammaln(nu + 1) - nu * np.log(0.5 * t[rest])
        out[rest & ~large] += np.log(ive(nu, t[rest & ~large]))
        out[rest & large] += _log_scaled_bessel(nu, t[rest & large])
    return out


def _log_scaled_bessel(nu: float, t: FloatArray) -> FloatArray:
    """log e^{−t} I_ν(t) for large t, by Debye's expansion."""
    s = np.hypot(nu, t)
    q = (nu / s) ** 2
    series = (3 - 5 * q) / (24 * s) + (81 - 462 * q + 385 * q**2) / 1152 / s / s
    return np.asarray(nu * (nu / (s + t)) - nu * np.arcsinh(nu / t) - 0.5 * np.log(2 * np.pi * s) + np.log1p(series))


def bessel_ratio(dim: int, t: ArrayLike) -> FloatArray:
    """A_d(t) = I_{d/2}(t)/I_{d/2−1}(t), t ≥ 0: the derivative of `log_sphere_average`."""
    t = np.asarray(t, dtype=np.float64)
    # I_{ν+1}/I_ν = (t/2)/(ν+1) · ₀F₁(ν+2; ·)/₀F₁(ν+1; ·)
    return np.asarray(t / dim * np.exp(log_damped_average(dim + 2, t) - log_damped_average(dim, t)))
