"""Claim: the paper's three examples of the backward-heat class: the Shannon lower bound is attained, and by one path.

Freirich & Weinberger (ICLR 2026) solve a Gaussian, a three-component mixture with ε from 4e-4 to 1.64e-2, and a
mixture of sinc⁴ kernels. The range of ε is theirs; the mixture's means and weights are chosen here, with 1.64e-2 as the
smallest component variance, so that their range ends at the critical ε. Judged are

- the certified upper bound against the Shannon lower bound, whose entropy comes from a quadrature of its own;
- the density path of `heatrd.backward_heat`, computed spectrally from a table, against the path in closed form;
- one value beyond the critical ε, where the bound must *not* be attained.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from scipy.integrate import trapezoid

import heatrd
from heatrd import sources

RANGE = (4e-4, 1.64e-2)
PATH_ERROR = 1e-6


def mixture() -> Any:
    """Three components; the narrowest has the variance at which the paper's range of ε ends."""
    return sources.GaussianMixture([0.3, 0.4, 0.3], [-0.5, 0.0, 0.6], [RANGE[1], 0.02, 0.03])


def examples(smoke: bool) -> Iterator[tuple[str, Any, np.ndarray, float, float]]:
    """Name, source, values of ε, gap wanted, excess over the Shannon bound allowed."""
    few = 3 if smoke else 9
    yield "Gaussian", sources.Gaussian(0.0, 1.0), np.linspace(0.1, 0.9, few), 1e-9, 1e-9
    epsilons = np.geomspace(*RANGE, few)
    yield "three-component mixture", mixture(), epsilons[1:] if smoke else epsilons, 1e-6, 1e-9
    sinc = sources.SincMixture()
    shares = np.array([0.9]) if smoke else np.linspace(0.1, 1.0, 7)
    yield "sinc⁴ mixture", sinc, shares * heatrd.critical_epsilon(sinc), 1e-6, 1e-6


def points(name: str, source: Any, epsilons: np.ndarray, gap: float, allowed: float) -> dict[str, Any]:
    """Certified points beside the Shannon lower bound."""
    rows = []
    for epsilon in epsilons:
        point = heatrd.solve(source, epsilon=float(epsilon))
        shannon = float(heatrd.shannon_lower_bound(source, point.distortion))
        rows.append([float(epsilon), point.distortion, point.rate_lower, point.rate, shannon])
    table = np.array(rows)
    width = float((table[:, 3] - table[:, 2]).max())
    excess = float(np.abs(table[:, 3] - table[:, 4]).max())
    shift = float(np.abs(table[:, 1] / table[:, 0] - 1).max())
    return {
        "claim": f"{name}: R(D) is the Shannon lower bound, attained at D = ε, ε from {epsilons[0]:.3g} "
        f"to {epsilons[-1]:.3g}",
        "expected": f"gap <= {gap:g}; |R − Shannon| <= {allowed:g} nat; |D/ε − 1| <= 1e-6",
        "measured": f"gap {width:.1e}; |R − Shannon| {excess:.1e}; |D/ε − 1| {shift:.1e}",
        "passed": width <= gap and excess <= allowed and shift <= 1e-6,
        "data": {"name": name, "columns": ["epsilon", "distortion", "lower", "upper", "shannon"], "rows": rows},
    }


def beyond() -> dict[str, Any]:
    """At 1.5 ε_c the certified *lower* bound is above the Shannon bound."""
    source = mixture()
    point = heatrd.solve(source, epsilon=1.5 * RANGE[1])
    above = float(point.rate_lower - heatrd.shannon_lower_bound(source, point.distortion))
    return {
        "claim": "three-component mixture at 1.5 ε_c: the Shannon lower bound is not attained",
        "expected": "lower bound at least 1e-4 nat above it; atoms",
        "measured": f"{above:.2e} nat; {point.regime}, {len(point.reconstruction.weights)} atoms",
        "passed": above > 1e-4 and point.regime == "atomic",
    }


def path(smoke: bool) -> dict[str, Any]:
    """The spectral path of a tabulated mixture against the components' own: variances minus εt."""
    source, epsilon = mixture(), RANGE[1] / 2
    x = np.linspace(-1.9, 2.1, 512 if smoke else 1024)
    table = heatrd.from_grid(x, np.exp(source.log_density(x[:, None])), normalize=True)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", heatrd.HeatrdWarning)
        found = heatrd.backward_heat(table, epsilon, method="spectral")
    times, densities, errors = (0.0, 0.25, 0.5, 0.75, 1.0), [], []
    for t in times:
        truth = np.exp(
            sources.GaussianMixture(
                [0.3, 0.4, 0.3], [-0.5, 0.0, 0.6], np.array([RANGE[1], 0.02, 0.03]) - epsilon * t
            ).log_density(x[:, None])
        )
        here = np.asarray(found.density(t, x))
        densities.append(here[::4])
        errors.append(float(trapezoid(np.abs(here - truth), x)))
    return {
        "claim": "three-component mixture: spectral path from a table against the closed form, θ = 0.5",
        "expected": f"L1 error <= {PATH_ERROR:g}",
        "measured": f"{max(errors):.1e}",
        "passed": max(errors) <= PATH_ERROR,
        "data": {"x": x[::4], "times": times, "densities": densities, "epsilon": epsilon},
    }


def run(smoke: bool = False) -> list[dict[str, Any]]:
    """All records."""
    return [*(points(*example) for example in examples(smoke)), beyond(), path(smoke)]


def draw(records: list[dict[str, Any]], directory: Path) -> None:
    """The three curves, and the density path of the mixture."""
    curves = [r["data"] for r in records if "rows" in r.get("data", {})]
    with heatrd.plots.figure(size=(8.6, 3.6)) as figure:
        left, right = figure.subplots(1, 2)
        for data in curves:
            rows = np.array(data["rows"])
            line = left.plot(rows[:, 1], rows[:, 4], linewidth=1)[0]
            left.plot(rows[:, 1], rows[:, 3], "o", color=line.get_color(), markersize=4, label=data["name"])
        left.set(xscale="log", xlabel="distortion", ylabel="rate (nat)")
        left.set_title("points: certified; lines: Shannon lower bound", fontsize=9)
        left.legend(fontsize=8)
        data = records[-1]["data"]
        for k, (t, density) in enumerate(zip(data["times"], data["densities"], strict=True)):
            right.plot(data["x"], density, color=f"{0.75 - 0.18 * k:.2f}", label=f"t = {t:g}")
        right.set(xlabel="x", ylabel="density")
        right.set_title("mixture, ε = 0.0082", fontsize=9)
        right.legend(fontsize=8)
        heatrd.plots.save(figure, directory / "paper_examples.png")
