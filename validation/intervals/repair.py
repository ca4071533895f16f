"""The repair of a dual that exceeds its constraint: the cheapest Gaussian bumps, by linear programming."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy.optimize import linprog
from scipy.special import logsumexp, ndtr

__all__ = ["cheapest_bumps"]

ROUNDS, ENOUGH = 4, 1e-14  # linearisations, and the excess below which there is nothing to repair
MOST = 100.0  # a bump's height in units of the largest excess


def cheapest_bumps(
    place: np.ndarray,
    mass: np.ndarray,
    atoms: np.ndarray,
    weights: np.ndarray,
    epsilon: float,
    cuts: Sequence[tuple[float, int]],
) -> list[tuple[float, float]]:
    """(knot, height) of bumps Σ h k(x − knot) in s, for which ∫ μ log s + log sup c is least, to first order.

    The source is masses at quadrature places; c = ∫ μ k(x − y)/(Z s) plus what the tails beyond the cuts add. With
    s = s₀ + Σ h b, c falls by Σ h ∫ μ k b/(Z s₀²) and the dual by ∫ μ b/s₀: a linear program in h ≥ 0 and in the
    excess that is left, solved again about its answer until the excess is rounding.
    """
    root = np.sqrt(epsilon)
    log_q = np.log(mass) - logsumexp(np.log(weights) - (place[:, None] - atoms) ** 2 / (2 * epsilon), axis=1)
    knots = np.arange(place[0] - 6 * root, place[-1] + 6 * root, root)
    look = np.arange(place[0] - 4 * root, place[-1] + 4 * root, root / 24)
    kernel = np.exp(log_q - (look[:, None] - place) ** 2 / (2 * epsilon))
    bump = np.exp(-((place[:, None] - knots) ** 2) / (2 * epsilon))
    start, tail = np.ones(place.size), np.zeros(look.size)
    for cut, side in cuts:
        start += ndtr((side * (place - cut) / root + 2) / 0.7)
        tail += 0.5 * ndtr(side * (look - cut) / root)
    height = np.zeros(knots.size)
    for _ in range(ROUNDS):
        s = start + bump @ height
        excess = kernel @ (1 / s) + tail - 1
        unit = excess.max()
        if unit < ENOUGH:
            break
        fall = kernel @ (bump / s[:, None] ** 2)
        found = linprog(
            np.append((mass / s) @ bump, 1.0),
            A_ub=-np.column_stack([fall, np.ones(look.size)]),
            b_ub=-excess / unit,
            bounds=[(-h / unit, MOST) for h in height] + [(0, None)],
        )
        if found.x is None:
            break
        height += unit * found.x[:-1]
    return [(float(knot), float(h)) for knot, h in zip(knots, height) if h > 0]
