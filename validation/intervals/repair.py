"""The repair of a dual that exceeds its constraint: the cheapest Gaussian bumps, by linear programming."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy.optimize import linprog
from scipy.special import logsumexp, ndtr

__all__ = ["cheapest_bumps"]

Cuts = Sequence[tuple[float, int]]

ROUNDS, ENOUGH = 8, 1e-13  # linearisations, and the excess below which there is nothing to repair
NEAR = 1e-3  # local maxima of c are placed exactly where they come as near to one as this


class Constraint:
    """c for masses at places, with what the tails beyond the cuts add."""

    def __init__(self, place: np.ndarray, log_q: np.ndarray, epsilon: float, cuts: Cuts) -> None:
        self.place, self.log_q, self.epsilon, self.cuts = place, log_q, epsilon, cuts
        self.root = np.sqrt(epsilon)

    def kernel(self, y: np.ndarray) -> np.ndarray:
        return np.exp(self.log_q - (y[:, None] - self.place) ** 2 / (2 * self.epsilon))

    def tails(self, y: np.ndarray) -> np.ndarray:
        return np.asarray(sum((0.5 * ndtr(side * (y - cut) / self.root) for cut, side in self.cuts), np.zeros(y.size)))

    def derivatives(self, y: np.ndarray, s: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """c′ and c″."""
        away = (self.place - y[:, None]) / self.epsilon
        each = self.kernel(y) / s
        first, second = (each * away).sum(axis=1), (each * (away**2 - 1 / self.epsilon)).sum(axis=1)
        for cut, side in self.cuts:
            z = (y - cut) / self.root
            bell = side * np.exp(-z * z / 2) / np.sqrt(8 * np.pi) / self.root
            first, second = first + bell, second - bell * z / self.root
        return first, second

    def peaks(self, grid: np.ndarray, c: np.ndarray, s: np.ndarray) -> np.ndarray:
        """Local maxima near and above one, by Newton's method from those on a grid."""
        inner = c[1:-1]
        at = grid[1:-1][(inner >= c[:-2]) & (inner >= c[2:]) & (inner > 1 - NEAR)]
        y, step = at.copy(), grid[1] - grid[0]
        for _ in range(4):
            first, second = self.derivatives(y, s)
            y = np.clip(y - np.divide(first, second, out=np.zeros(y.size), where=second < 0), at - step, at + step)
        return y


def cheapest_bumps(
    place: np.ndarray, mass: np.ndarray, atoms: np.ndarray, weights: np.ndarray, epsilon: float, cuts: Cuts
) -> list[tuple[float, float]]:
    """(knot, height) of bumps Σ h k(x − knot) in s, for which ∫ μ log s + log sup c is least, to first order.

    The source is masses at quadrature places; c = ∫ μ k(x − y)/(Z s) plus what the tails beyond the cuts add. With
    s = s₀ + Σ h b, c falls by Σ h ∫ μ k b/(Z s₀²) and the dual by ∫ μ b/s₀: a linear program in h ≥ 0 and in the
    excess that is left, on a grid and at the local maxima of c, solved again about its answer until nothing is left.
    """
    root = np.sqrt(epsilon)
    log_z = logsumexp(np.log(weights) - (place[:, None] - atoms) ** 2 / (2 * epsilon), axis=1)
    constraint = Constraint(place, np.log(mass) - log_z, epsilon, cuts)
    knots = np.arange(place[0] - 6 * root, place[-1] + 6 * root, root)
    bumps = np.exp(-((place[:, None] - knots) ** 2) / (2 * epsilon))
    look = grid = np.arange(place[0] - 4 * root, place[-1] + 4 * root, root / 24)
    kernel, height = constraint.kernel(grid), np.zeros(knots.size)
    start = 1 + sum((ndtr((side * (place - cut) / root + 2) / 0.7) for cut, side in cuts), np.zeros(place.size))
    for _ in range(ROUNDS):
        s = start + bumps @ height
        found = constraint.peaks(grid, kernel[: grid.size] @ (1 / s) + constraint.tails(grid), s)
        look, kernel = np.append(look, found), np.vstack([kernel, constraint.kernel(found)])
        excess = kernel @ (1 / s) + constraint.tails(look) - 1
        if excess.max() < ENOUGH:
            break
        height = height + _program((mass / s) @ bumps, kernel @ (bumps / s[:, None] ** 2), excess, height)
    return [(float(knot), float(h)) for knot, h in zip(knots, height) if h > 0]


def _program(cost: np.ndarray, fall: np.ndarray, excess: np.ndarray, height: np.ndarray) -> np.ndarray:
    """Change of the heights, each at most the largest excess, that makes cost + the excess left least."""
    unit = excess.max()
    found = linprog(
        np.append(cost, 1.0),
        A_ub=-np.column_stack([fall, np.ones(excess.size)]),
        b_ub=-excess / unit,
        bounds=[(-h / unit, 1.0) for h in height] + [(0, None)],
    )
    return np.zeros(height.size) if found.x is None else np.maximum(unit * found.x[:-1], -height)
