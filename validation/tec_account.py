"""Energy + terminal entropy by three routes: potentials, quadrature of the density path, sampled paths.

``python -m validation --only tec_account``; the figure shows the divergence of the terms and the convergence of
their sum.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

import heatrd
from heatrd import sources
from heatrd.tec import tec_account

NAMES = ("energies", "entropies", "totals", "excesses")


def cases(smoke: bool) -> Iterator[tuple[str, Any, float, float]]:
    """Name, control, last s, tolerance of the deterministic routes."""
    yield "Gaussian, in the class", heatrd.backward_heat(sources.Gaussian(0.3, 1.3), 0.6), 1.0, 1e-6
    yield (
        "mixture, in the class",
        heatrd.backward_heat(sources.GaussianMixture([0.4, 0.6], [-1.0, 2.0], [0.5, 1.0]), 0.3),
        1.0,
        1e-6,
    )
    yield "uniform, atoms", heatrd.solve(sources.Uniform(), epsilon=0.2), 0.9, 1e-6
    yield "Laplace, atoms", heatrd.solve(sources.Laplace(), epsilon=0.5), 0.9, 1e-6
    yield (
        "2-D Gaussian, in the class",
        heatrd.solve(sources.Gaussian([0.0, 0.0], [[1.0, 0.3], [0.3, 0.5]]), epsilon=0.2),
        1.0,
        1e-4,
    )
    if not smoke:
        yield (
            "noisy ring, atoms",
            heatrd.solve(sources.NoisySphere(2, noise=0.1**0.5), epsilon=0.5, tol=1e-6),
            0.6,
            1e-4,
        )


def compare(name: str, control: Any, until: float, tolerance: float) -> Iterator[dict[str, Any]]:
    """Two records: the deterministic routes against each other, the paths against the first."""
    one, two, three = (tec_account(control, method=m, times=[until]) for m in ("potentials", "quadrature", "paths"))
    values = [[float(getattr(a, n)[-1]) for n in NAMES] for a in (one, two, three)]
    difference = float(np.abs(np.array(values[0]) - values[1]).max())
    yield {
        "claim": f"{name}: potentials = quadrature at s = {until}",
        "expected": f"≤ {tolerance:g}",
        "measured": difference,
        "passed": difference <= tolerance,
        "data": dict(zip(("potentials", "quadrature", "paths"), values, strict=True)),
    }
    stderr = three.stderr[:3, -1]
    z = np.abs(np.array(values[2][:3]) - values[0][:3]) / stderr
    yield {
        "claim": f"{name}: sampled paths at s = {until}",
        "expected": "within 4 standard errors, each < 2e-3",
        "measured": float(z.max()),
        "passed": bool(z.max() < 4 and stderr.max() < 2e-3),
        "data": {"stderr": stderr.tolist()},
    }


def limit() -> dict[str, Any]:
    """Outside the class the terms diverge, the sum tends to the optimum."""
    account = tec_account(heatrd.solve(sources.Uniform(), epsilon=0.2))
    gap = float(account.optimum - account.totals[-2])
    slope = float(np.diff(account.energies[-4:-1]).mean() / np.log(2))
    data = {n: [v for v in getattr(account, n).tolist() if np.isfinite(v)] for n in ("times", *NAMES)}
    passed = abs(gap) < 1e-6 and abs(slope - 0.5) < 1e-3 and abs(account.totals[-1] - account.optimum) < 1e-10
    return {
        "claim": "uniform, ε = 0.2: energy grows by ½ log 2 per halving of 1 − s, the sum converges",
        "expected": "slope 0.5, gap < 1e-6 at 1 − s = 2⁻¹⁰",
        "measured": [slope, gap],
        "passed": bool(passed),
        "data": {**data, "optimum": account.optimum},
    }


def run(smoke: bool) -> list[dict[str, Any]]:
    """All records."""
    return [record for case in cases(smoke) for record in compare(*case)] + [limit()]


def draw(records: list[dict[str, Any]], directory: Path) -> None:
    """Draw the terms against 1 − s."""
    from heatrd import plots

    data = records[-1].get("data", {})
    if "energies" not in data:
        return
    with plots.style(), plots.figure() as figure:
        ax = figure.subplots()
        left = 1 - np.array(data["times"])[: len(data["energies"])]
        for name in NAMES[:3]:
            ax.plot(left, np.array(data[name])[: len(left)], "o-", label=name)
        ax.axhline(data["optimum"], color="#777777", linewidth=0.9)
        ax.set_xscale("log")
        ax.set_xlabel("1 − s")
        ax.set_ylabel("nat")
        ax.legend()
        plots.save(figure, directory / "tec_account.png")
