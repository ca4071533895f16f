"""Tail points by bisection in the log domain: the x where a log-probability crosses a level."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from heatrd.sources.base import FloatArray

__all__ = ["tail_point"]

_NARROW = 1e-12


def tail_point(
    log_tail: Callable[[FloatArray], FloatArray], log_mass: float, low: float, high: float, *, side: int
) -> float:
    """Return the innermost x found with tail probability at most exp(log_mass).

    Parameters
    ----------
    log_tail : callable
        Log P(X ≤ x) for ``side=-1`` (increasing), log P(X ≥ x) for ``side=+1`` (decreasing); vectorised.
    log_mass : float
        Logarithm of the admitted tail mass.
    low, high : float
        Bracket; the outer end must already satisfy the bound (it is returned when nothing better is found).
    side : {-1, +1}
        Lower or upper tail.
    """
    outer, inner = (low, high) if side < 0 else (high, low)
    for _ in range(12):  # 12 rounds of 65 points narrow the bracket 64¹² ≈ 5e21-fold
        grid = outer + (inner - outer) * np.linspace(0.0, 1.0, 65)
        inside = np.flatnonzero(log_tail(grid) > log_mass)
        first = int(inside[0]) if inside.size else 64
        if first == 0:
            return float(outer)
        outer, inner = float(grid[first - 1]), float(grid[first])
        if abs(inner - outer) <= _NARROW * abs(inner):
            break
    return float(outer)
