"""Entropic transport against POT, and the grid route of the bridge against its closed form.

``python -m validation --only bridge_sinkhorn_pot``.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Any

import numpy as np

import heatrd
from heatrd.grids import Grid
from heatrd.laws import as_law
from heatrd.transport import sinkhorn

for _backend in ("JAX", "PYTORCH", "TENSORFLOW", "CUPY"):  # POT would import them all
    os.environ.setdefault(f"POT_BACKEND_DISABLE_{_backend}", "1")


def clouds(n: int, m: int, dim: int, seed: int) -> tuple[Any, Any]:
    """Two random weighted clouds in the unit cube."""
    rng = np.random.default_rng(seed)
    return as_law(rng.random((n, dim)), rng.random(n) + 0.1), as_law(rng.random((m, dim)), rng.random(m) + 0.1)


def against_pot(smoke: bool) -> dict[str, Any]:
    """Largest difference of couplings on random problems."""
    import ot

    worst, cases = 0.0, []
    for seed in range(3 if smoke else 20):
        n, m, dim, eps = 20 + 9 * seed, 30 + 5 * seed, 1 + seed % 3, (0.2, 0.05, 0.02)[seed % 3]
        mu, nu = clouds(n, m, dim, seed)
        plan = sinkhorn(mu, nu, eps, tol=1e-13)
        cost = 0.5 * ot.dist(mu.points, nu.points)
        peer = ot.sinkhorn(mu.weights, nu.weights, cost, eps, stopThr=1e-15, numItermax=200_000, warn=False)
        difference = float(np.abs(plan.coupling - peer).max())
        worst = max(worst, difference)
        cases.append({"n": n, "m": m, "dim": dim, "epsilon": eps, "difference": difference, "sweeps": plan.iterations})
    return {
        "claim": "couplings agree with POT",
        "expected": "≤ 1e-10",
        "measured": worst,
        "passed": worst <= 1e-10,
        "data": cases,
    }


def small_epsilon(smoke: bool) -> Iterator[dict[str, Any]]:
    """Both marginals at ε down to 1e-4 of the largest cost."""
    mu, nu = clouds(100 if smoke else 400, 80 if smoke else 300, 2, 1)
    scale = 0.5 * float(((mu.points[:, None] - nu.points) ** 2).sum(axis=2).max())
    for factor in (1e-2, 1e-3, 1e-4):
        plan = sinkhorn(mu, nu, factor * scale, tol=1e-12)
        error = max(float(np.abs(plan.coupling.sum(axis=k) - law.weights).sum()) for k, law in ((0, nu), (1, mu)))
        yield {
            "claim": f"both marginals at ε = {factor:g} of the largest cost",
            "expected": "≤ 1e-11 by the matrix itself",
            "measured": error,
            "passed": error <= 1e-11,
            "data": {"sweeps": plan.iterations, "newton": plan.newton_steps},
        }


def optimum(smoke: bool) -> Iterator[dict[str, Any]]:
    """At a rate–distortion optimum the ν-side potential is constant on the support."""
    for eps in (0.5, 0.2) if smoke else (0.5, 0.2, 0.1, 0.05):
        solution = heatrd.solve(heatrd.sources.Uniform(), epsilon=eps)
        plan = sinkhorn(solution.certificate.quadrature, solution.reconstruction, eps, tol=1e-13)
        spread = float(np.ptp(plan.g))
        yield {
            "claim": f"ν-side potential constant at the optimum, uniform source, ε = {eps}",
            "expected": "≤ 1e-8",
            "measured": spread,
            "passed": spread <= 1e-8,
        }


def grid_route(smoke: bool) -> Iterator[dict[str, Any]]:
    """Potentials marched with stencils against the closed atomic form: measured order."""
    solution = heatrd.solve(heatrd.sources.Uniform(), epsilon=0.5)
    bridge = solution.bridge
    for order in (2, 4, 8):
        cells = (60, 120)
        errors = []
        for n in cells:
            marched = bridge.on_grid(
                Grid.uniform(-5, 5, n), order=order, start=0.2, end=0.8, steps=4000 if order == 8 else 1600
            )
            errors.append(float(np.abs(marched.density(0.5) - bridge.density(0.5, marched.grid.points[:, 0])).max()))
        rate = float(np.log2(errors[0] / errors[1]))
        yield {
            "claim": f"grid route of the bridge, stencils of order {order}",
            "expected": f"order ≥ {0.85 * order:g}",
            "measured": rate,
            "passed": rate >= 0.85 * order,
            "data": {"cells": cells, "errors": errors},
        }


def run(smoke: bool) -> list[dict[str, Any]]:
    """All records."""
    return [against_pot(smoke), *small_epsilon(smoke), *optimum(smoke), *grid_route(smoke)]
