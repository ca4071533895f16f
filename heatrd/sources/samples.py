"""Sources from data: samples as atoms, or smoothed by a Gaussian kernel."""

from __future__ import annotations

from typing import Any

import numpy as np
import scipy
from numpy.typing import ArrayLike

from heatrd.errors import InvalidInput
from heatrd.sources import _checks
from heatrd.sources.base import FloatArray, Source
from heatrd.sources.discrete import Atoms
from heatrd.sources.gaussian import GaussianMixture
from heatrd.sources.kernel_density import KernelDensity

__all__ = ["from_kde", "from_samples"]

_FEW = 64  # below this many kernels a plain mixture is as fast


def from_samples(
    x: ArrayLike,
    method: str = "atoms",
    bandwidth: float | str | None = None,
    weights: ArrayLike | None = None,
) -> Source:
    """Make a source from samples.

    Parameters
    ----------
    x : (n,) or (n, d) array_like
        Samples, one per row.
    method : {"atoms", "kde"}
        ``"atoms"``: the empirical law itself (equal samples merged). ``"kde"``: a Gaussian kernel density.
    bandwidth : float or {"silverman", "scott"}, optional
        Kernel of ``"kde"``. A number is the standard deviation of an isotropic kernel in the samples' units. A rule
        multiplies the sample covariance by the square of scipy's factor, (n(d+2)/4)^(−1/(d+4)) or n^(−1/(d+4)), with n
        the effective number of samples. Default ``"silverman"``.
    weights : (n,) array_like, optional
        Non-negative weights of the samples.

    Returns
    -------
    Source
        `Atoms`; or a `KernelDensity` or `GaussianMixture`. A constant sample is a point mass in either case
        (its R(D) is zero).

    Raises
    ------
    InvalidInput
        Empty, non-numeric, NaN or infinite samples; an unknown method or bandwidth.
    """
    points = _samples(x)
    if method not in ("atoms", "kde"):
        raise InvalidInput(f"from_samples: method={method!r} is unknown; need 'atoms' or 'kde'")
    if method == "atoms":
        if bandwidth is not None:
            raise InvalidInput("from_samples: a bandwidth needs method='kde'")
        return Atoms(points, weights)
    law = Atoms(points, weights)
    if len(law.points) == 1:
        return law
    kernel = _kernel_covariance(law, _effective_size(len(points), weights), bandwidth)
    return _mixture(law.points, law.weights, kernel)


def from_kde(kde: scipy.stats.gaussian_kde) -> Source:
    """Turn a ``scipy.stats.gaussian_kde`` into the same density as a source."""
    return _mixture(np.asarray(kde.dataset, dtype=np.float64).T, np.asarray(kde.weights), np.atleast_2d(kde.covariance))


def _mixture(points: FloatArray, weights: FloatArray, kernel: FloatArray) -> Source:
    if points.shape[1] == 1 and len(points) >= _FEW:
        return KernelDensity(points[:, 0], float(np.sqrt(kernel[0, 0])), weights)
    return GaussianMixture(weights, points, np.broadcast_to(kernel, (len(points), *kernel.shape)))


def _samples(x: Any) -> FloatArray:
    try:
        raw = np.asarray(x)
        points = raw.astype(np.float64) if raw.dtype.kind in "biuf" else np.array(raw.tolist(), dtype=np.float64)
        if raw.dtype.kind in "USc":
            raise TypeError
    except (TypeError, ValueError, OverflowError):
        raise InvalidInput(
            "from_samples: the samples are not all numbers; need an array of shape (n,) or (n, d)"
        ) from None
    if points.size == 0:
        raise InvalidInput("from_samples: there are no samples; need at least one")
    if points.ndim not in (1, 2):
        raise InvalidInput(f"from_samples: samples have shape {points.shape}; need (n,) or (n, d)")
    bad = ~np.isfinite(points)
    if bad.any():
        raise InvalidInput(f"from_samples: {int(bad.sum())} of {points.size} values are NaN or inf; remove them first")
    return points.reshape(len(points), -1)


def _effective_size(n: int, weights: ArrayLike | None) -> float:
    if weights is None:
        return float(n)
    w = _checks.probabilities(weights, "weights", "from_samples")
    return float(1.0 / np.sum(w * w))


def _kernel_covariance(law: Atoms, size: float, bandwidth: float | str | None) -> FloatArray:
    d = law.dim
    if bandwidth is None or isinstance(bandwidth, str):
        rule = bandwidth or "silverman"
        if rule not in ("silverman", "scott"):
            raise InvalidInput(f"from_samples: bandwidth={rule!r} is unknown; need a number, 'silverman' or 'scott'")
        base = size * (d + 2) / 4.0 if rule == "silverman" else size
        unbiased = law.covariance / max(1.0 - 1.0 / size, 0.5 / size)
        return np.asarray(unbiased * base ** (-2.0 / (d + 4)))
    sigma = _checks.positive(bandwidth, "bandwidth", "from_samples")
    return np.asarray(_checks.variance_of_scale(sigma, "from_samples") * np.eye(d))
