"""The times of an account: those reported, and the Gauss–Legendre rule between them."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
from numpy.typing import ArrayLike, NDArray

from heatrd import arguments
from heatrd.errors import InvalidInput

__all__ = ["report_times", "time_rule"]

FloatArray = NDArray[np.float64]

_SOONEST = 1e-9  # earlier times are not told from zero
_PANEL = 12  # Gauss–Legendre nodes per panel in time


def report_times(times: ArrayLike | None, until: float | None, atomic: bool, last: float) -> FloatArray:
    if times is not None:
        grid: FloatArray = np.atleast_1d(arguments.numbers(times, "times"))
        if grid.ndim != 1 or not grid.size or not ((np.diff(grid) > 0).all() and grid[0] >= _SOONEST and grid[-1] <= 1):
            raise InvalidInput(f"times = {times}; need increasing s in [{_SOONEST:g}, 1]")
    else:
        end = last if until is None else arguments.number(until, "until")
        if not _SOONEST <= end <= 1:
            raise InvalidInput(f"until = {until}; need s in [{_SOONEST:g}, 1]")
        grid = 1 - 0.5 ** np.arange(1.0, 11.0) if atomic and end > 0.99 else np.linspace(0, end, 5)[1:-1]
        grid = np.append(grid[grid < end], end)
    if atomic and last < 1 and grid[-1] == 1:
        raise InvalidInput(
            "energy and entropy diverge as s → 1 where the reconstruction is atomic; "
            "use until < 1, or method='potentials', "
            "which takes the limit of their sum"
        )
    return grid


def time_rule(grid: FloatArray, singular: bool, rough: bool) -> tuple[FloatArray, FloatArray, list[int]]:
    """Gauss–Legendre nodes and weights on [0, s_1], [s_1, s_2], ….

    In −log(1 − t) where the integrand blows up at 1; in the square root of the first interval where μ may be
    ``rough``, because a jump
    makes the excess rate grow like t^{−1/2}.
    """
    z, w = np.polynomial.legendre.leggauss(_PANEL)
    edges = np.concatenate([[0.0], grid])
    scale = -np.log1p(-edges) if singular else edges
    nodes, weights, ends = [], [], []
    for a, b in pairwise(scale):
        pieces = max(int(np.ceil((b - a) / (0.7 if singular else 0.3))), 1)
        cuts = np.linspace(0.0, 1.0, pieces + 1)
        half = 0.5 * np.diff(cuts)[:, None]
        v, share = (cuts[:-1, None] + half * (1 + z)).ravel(), (half * w).ravel()
        place, stretch = (b * v**2, 2 * b * v) if a == 0.0 and rough else (a + (b - a) * v, np.full(len(v), b - a))
        nodes.append(-np.expm1(-place) if singular else place)
        weights.append(share * stretch * (np.exp(-place) if singular else 1.0))
        ends.append(sum(len(n) for n in nodes))
    return np.concatenate(nodes), np.concatenate(weights), ends
