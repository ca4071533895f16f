"""Laws on the line whose density and quantiles are another library's: their tails are checked, their numbers made safe.

Tail points come from the library's quantiles only when the numerically integrated tail confirms them; many scipy
distributions compute ``isf(q)`` as ``ppf(1 − q)``, which knows nothing below q ≈ 1e-16. Otherwise the tail of the
density is integrated in the log domain and the point found by bisection.
"""

from __future__ import annotations

import warnings
from abc import abstractmethod
from collections.abc import Callable
from typing import Any

import numpy as np
import scipy

from heatrd.sources.base import FloatArray
from heatrd.sources.location_scale import LocationScale

__all__ = ["Borrowed", "quiet"]


def quiet(function: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
    """Call a library without its floating-point and integration warnings."""
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")
        return function(*args, **kwargs)


class Borrowed(LocationScale):
    """A law that knows its standard variate through a library; subclasses say what that is asked."""

    _tail_cache: dict[float, tuple[float, float]]

    @abstractmethod
    def _raw_logpdf(self, z: FloatArray) -> FloatArray:
        """The library's own log-density, warnings and all."""

    @abstractmethod
    def _raw_quantiles(self, mass: float) -> tuple[float, float]:
        """Points beyond which ``mass`` lies, on either side."""

    @abstractmethod
    def _raw_tail(self, z: float, side: int) -> float:
        """Mass beyond ``z`` on the side of the sign."""

    def _z_logpdf(self, z: FloatArray) -> FloatArray:
        low, high = self._z_support()
        value = np.asarray(quiet(self._raw_logpdf, z), dtype=np.float64)
        return np.where((z >= low) & (z <= high) & ~np.isnan(value), value, -np.inf)

    def _z_tail_cut(self, mass: float) -> tuple[float, float]:
        if mass not in self._tail_cache:
            try:
                a, b = quiet(self._raw_quantiles, mass)
            except (ValueError, RuntimeError, ArithmeticError):  # its search met a NaN: the tails are solved here
                a, b = np.nan, np.nan
            self._tail_cache[mass] = (self._tail(float(a), mass, -1), self._tail(float(b), mass, +1))
        return self._tail_cache[mass]

    def _tail(self, guess: float, mass: float, side: int) -> float:
        """Confirm or replace a quantile; a finite end of the support is returned itself when the cut is close to it."""
        end = self._z_support()[0 if side < 0 else 1]
        close = 1e-2 * np.sqrt(self._z_variance())
        if np.isfinite(end) and 0 < abs(guess - end) < close:
            return end
        log_mass = float(np.log(mass))
        confirmed = np.isfinite(guess) and self._confirms(guess, log_mass, side)
        cut = guess if confirmed else self._solve_tail(log_mass, side)
        return end if np.isfinite(end) and abs(cut - end) < close else cut

    def _confirms(self, guess: float, log_mass: float, side: int) -> bool:
        """Whether the tail beyond ``guess`` is the mass asked for, by the density or, where that underflows,
        by cdf or sf.
        """
        log_tail = self._log_tail(guess, side)
        if np.isnan(log_tail):
            tail = float(quiet(self._raw_tail, guess, side))
            log_tail = float(np.log(tail)) if tail > 0 else np.inf
        return abs(log_mass - log_tail) <= 1e-6

    def _solve_tail(self, log_mass: float, side: int) -> float:
        """Solve log-tail = log mass by doubling the reach from the mean, then Brent; the outer side of the root."""
        mean, std = self._z_mean(), float(np.sqrt(self._z_variance()))
        end = self._z_support()[0 if side < 0 else 1]

        def excess(reach: float) -> float:
            value = self._log_tail(mean + side * reach, side) - log_mass
            return -1.0 if np.isnan(value) else float(np.clip(value, -1e6, 1e6))

        inner, outer = 0.0, std
        while excess(outer) > 0:
            inner, outer = outer, 2.0 * outer
            if outer >= abs(end - mean):
                return end
            if outer > 1e250 * std:
                break
        if excess(inner) <= 0:
            return mean + side * outer
        reach = float(scipy.optimize.brentq(excess, inner, outer, rtol=1e-9, xtol=1e-9 * std))
        return mean + side * reach * (1.0 + 1e-8)

    def _log_tail(self, z: float, side: int) -> float:
        """Log of the density's integral beyond ``z``: Gauss panels that double, in units of the tail's own
        decay length.
        """
        end = self._z_support()[0 if side < 0 else 1]
        if side * (end - z) <= 0:
            return -np.inf
        std, room = float(np.sqrt(self._z_variance())), abs(end - z)
        step = min(1e-4 * max(abs(z - self._z_mean()), std), 0.5 * room)
        top, beside = self._z_logpdf(np.array([z, z + side * step]))
        if not np.isfinite(top):  # the density underflows (or has a pole): no opinion
            return np.nan
        slope = (top - beside) / step if np.isfinite(beside) else 1.0 / step
        slowest = 1e-2 / std / (1.0 + abs(z - self._z_mean()) / std)
        length = min(1.0 / max(slope, slowest), room)
        finest = -3 if slope > slowest else -24  # a density that does not fall here may drop close by
        edges = np.concatenate([[0.0], 2.0 ** np.arange(finest, 60)])
        edges = np.append(edges[edges < room / length], room / length if np.isfinite(room) else 2.0**60)
        nodes, weights = np.polynomial.legendre.leggauss(16)
        half = 0.5 * np.diff(edges)[:, None]
        s = edges[:-1, None] + half * (1.0 + nodes)
        with np.errstate(all="ignore"):
            ratio = np.exp(np.minimum(self._z_logpdf(z + side * length * s) - top, 700.0))
        total = float((half * weights * ratio).sum())
        return float(top + np.log(length) + np.log(total)) if total > 0 else -np.inf
