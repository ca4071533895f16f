"""Differences of log Γ and of ψ far out, where the values themselves would cancel."""

from __future__ import annotations

import numpy as np
from scipy import special

__all__ = ["STIRLING", "digamma_gap", "log_gamma_ratio"]

STIRLING = 1e3  # from here on differences of log Γ and of ψ by their asymptotic series: nothing cancels


def log_gamma_ratio(b: float, h: float) -> float:
    """log Γ(b + h) − log Γ(b)."""
    a = b + h
    if b < STIRLING:
        return float(special.gammaln(a) - special.gammaln(b))
    series = (1 / a - 1 / b) / 12 - (1 / a**3 - 1 / b**3) / 360
    return float((b - 0.5) * np.log1p(h / b) + h * np.log(a) - h + series)


def digamma_gap(b: float, h: float) -> float:
    """ψ(b + h) − ψ(b)."""
    a = b + h
    if b < STIRLING:
        return float(special.digamma(a) - special.digamma(b))
    return float(np.log1p(h / b) + h / (2 * a * b) + h * (1 / a + 1 / b) / (12 * a * b))
