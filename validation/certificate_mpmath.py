"""F(ν) and c of returned laws to thirty digits with mpmath's quadrature: they must lie in the returned intervals.

mpmath shares no code with the library: tanh-sinh quadrature on panels, the potential summed atom by atom in
30-digit arithmetic. It proves nothing (its error estimate is an estimate; for proofs see
`validation.interval_proof`), but it needs no assumption about the source beyond its density, poles and cusps
included."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy import stats

import heatrd

DIGITS = 30


@dataclass(frozen=True, slots=True)
class Case:
    """A source, its density for mpmath, and the ends of its pieces."""

    source: Any
    density: Callable[[Any], Any]
    edges: tuple[Any, ...]


def cases() -> dict[str, Case]:
    """Sources with compact support, half lines and lines; kinks and a pole."""
    import mpmath as mp

    root6, far = mp.sqrt(6), 40
    return {
        "uniform": Case("uniform", lambda x: 1 / (2 * mp.sqrt(3)), (-mp.sqrt(3), mp.sqrt(3))),
        "triangular": Case("triangular", lambda x: (root6 - abs(x)) / 6, (-root6, 0, root6)),
        "beta(2, 5)": Case(stats.beta(2, 5), lambda x: 30 * x * (1 - x) ** 4, (0, 1)),
        "arcsine": Case(stats.beta(0.5, 0.5), lambda x: 1 / (mp.pi * mp.sqrt(x * (1 - x))), (0, mp.mpf("0.5"), 1)),
        "semicircle": Case("semicircle", lambda x: 2 / mp.pi * mp.sqrt(1 - x * x), (-1, 1)),
        "exponential": Case("exponential", lambda x: mp.exp(-x), (0, far)),
        "laplace": Case("laplace", lambda x: mp.exp(-abs(x)) / 2, (-far, 0, far)),
        "gamma(0.3)": Case(
            stats.gamma(0.3), lambda x: x ** mp.mpf(-0.7) * mp.exp(-x) / mp.gamma(mp.mpf(0.3)), (0, 1, far)
        ),
    }


def recompute(case: Case, solution: Any, points: np.ndarray) -> tuple[Any, Any]:
    """F(ν) and the largest c at the points, to 30 digits."""
    import mpmath as mp

    eps, law = mp.mpf(solution.epsilon), solution.reconstruction
    atoms = [(mp.mpf(float(y)), mp.mpf(float(w))) for y, w in zip(law.points[:, 0], law.weights)]
    total = mp.fsum(w for _, w in atoms)
    edges = _split(case.edges, 4 * math.sqrt(solution.epsilon))

    def log_z(x: Any) -> Any:
        return mp.log(mp.fsum(w * mp.exp(-((x - y) ** 2) / (2 * eps)) for y, w in atoms) / total)

    def over(f: Callable[[Any], Any]) -> Any:
        return mp.fsum(mp.quad(f, pair) for pair in itertools.pairwise(edges))

    lagrangian = over(lambda x: -case.density(x) * log_z(x))
    c = [over(lambda x, y=y: case.density(x) * mp.exp(-((x - y) ** 2) / (2 * eps) - log_z(x))) for y in points]
    return lagrangian, max(c)


def _split(edges: tuple[Any, ...], width: float) -> list[Any]:
    out = [edges[0]]
    for a, b in itertools.pairwise(edges):
        n = max(1, math.ceil(float(b - a) / width))
        out += [a + (b - a) * i / n for i in range(1, n + 1)]
    return out


def run(smoke: bool = False) -> list[dict[str, Any]]:
    """Recompute each case at ε = 0.3 and 0.7 of the variance (smoke: two cases at one)."""
    import mpmath as mp

    names = ("uniform", "triangular") if smoke else tuple(cases())
    with mp.workdps(DIGITS):
        return [_record(name, cases()[name], ratio) for name in names for ratio in ((0.3,) if smoke else (0.3, 0.7))]


def _record(name: str, case: Case, ratio: float) -> dict[str, Any]:
    source = heatrd.as_source(case.source)
    solution = heatrd.solve(source, epsilon=ratio * source.total_variance)
    law = solution.reconstruction
    points = law.points[law.weights > 1e-6, 0][::3]
    lagrangian, top = recompute(case, solution, points)
    above, below = float(solution.lagrangian - lagrangian), float(lagrangian - solution.lagrangian_lower)
    excess = float(top - 1)
    return {
        "claim": f"{name}, epsilon = {ratio:g} variance: F and c of the returned law to {DIGITS} digits",
        "expected": "F within [lagrangian_lower, lagrangian]; c <= exp(log_sup) on atoms, 1 within 1e-8",
        "measured": f"F {above:.1e} below the upper bound, {below:.1e} above the lower; c - 1 = {excess:.1e}",
        "passed": bool(
            above >= 0 and below >= 0 and excess <= math.expm1(solution.certificate.log_sup) + 1e-13 and excess > -1e-8
        ),
        "data": {"source": name, "ratio": ratio, "above": above, "below": below, "excess": excess},
    }
