"""Claim: where R(D) is known in closed form, the certified interval holds it and is narrow.

Gaussians in one and four dimensions (reverse water-filling, collapsed coordinates included), the uniform law on spheres
(von Mises–Fisher channels), two equal atoms (binary channel, by quadrature-free formulas), the zero-rate end, and the
class in which the Shannon lower bound is tight.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

import heatrd
from heatrd import sources
from heatrd.closed_forms import gaussian_rate, sphere_rate

TOL = 1e-9


def record(name: str, source: Any, exact: Any, distortions: Any, tol: float = TOL) -> dict[str, Any]:
    """Distance of the certified interval from the exact rate, and its width, over some distortions."""
    rows = []
    for distortion in distortions:
        point = heatrd.solve(source, distortion=float(distortion))
        truth = float(exact(point.distortion))
        outside = max(truth - point.rate, point.rate_lower - truth, 0.0)
        rows.append([point.distortion, point.rate_lower, point.rate, truth, outside])
    table = np.array(rows)
    outside, width = float(table[:, 4].max()), float((table[:, 2] - table[:, 1]).max())
    return {
        "claim": f"{name}: the exact rate lies in the certified interval",
        "expected": f"outside by <= 1e-12; width <= {tol:g} nat",
        "measured": f"outside by {outside:.1e}; width {width:.1e} at {len(table)} distortions",
        "passed": outside <= 1e-12 and width <= tol,
        "data": {"columns": ["distortion", "lower", "upper", "exact", "outside"], "rows": rows, "name": name},
    }


def binary_rate(distortion: float) -> float:
    """R(D) of X = ±1 with equal probability under squared error.

    By symmetry ν sits on ±a; with s = tanh(a/ε), E[Y X] gives D = 1 − 2as + a², least at a = s, so D = 1 − s² and
    R = log 2 − h₂((1 + s)/2).
    """
    p = (1 + np.sqrt(1 - distortion)) / 2
    return float(np.log(2) + p * np.log(p) + (1 - p) * np.log1p(-p))


def shannon(source: Any) -> Any:
    """The Shannon lower bound as a function of D."""
    return lambda distortion: heatrd.shannon_lower_bound(source, distortion)


def cases(smoke: bool) -> Iterator[dict[str, Any]]:
    """Records one by one."""
    count = 3 if smoke else 9
    gaussian = sources.Gaussian(0.3, 1.7)
    yield record("Gaussian", gaussian, lambda d: gaussian_rate(1.7, d), 1.7 * np.geomspace(1e-4, 0.95, count))
    variances = np.array([2.0, 1.0, 0.3, 0.05])
    yield record(
        "Gaussian in R⁴, some coordinates collapsed",
        sources.Gaussian(np.zeros(4), np.diag(variances)),
        lambda d: gaussian_rate(np.diag(variances), d),
        variances.sum() * np.geomspace(1e-3, 0.9, count),
    )
    for dim in (2, 3) if smoke else (2, 3, 10, 100):
        yield record(
            f"sphere in R^{dim}",
            sources.Sphere(dim),
            lambda d, dim=dim: sphere_rate(dim, d),
            np.geomspace(0.02, 0.9, count),
            1e-8,
        )
    yield record("two equal atoms", sources.Atoms([-1.0, 1.0]), binary_rate, np.linspace(0.05, 0.95, count))
    mixture = sources.GaussianMixture([0.3, 0.4, 0.3], [-2.0, 0.0, 2.5], [0.5, 0.6, 1.0])
    yield record("Shannon-tight: Gaussian mixture", mixture, shannon(mixture), np.geomspace(0.02, 0.49, count))
    for dim in (2,) if smoke else (2, 3, 20):
        noisy = sources.NoisySphere(dim, noise=0.4)
        found = record(
            f"Shannon-tight: noisy sphere in R^{dim}", noisy, shannon(noisy), 0.16 * dim * np.array([0.2, 0.5, 0.9])
        )
        yield found


def run(smoke: bool = False) -> list[dict[str, Any]]:
    """All records."""
    return list(cases(smoke))


def draw(records: list[dict[str, Any]], directory: Path) -> None:
    """Width of the certified interval against the exact rate."""
    with heatrd.plots.figure(size=(6.4, 3.8)) as figure:
        ax = figure.subplots()
        for item in records:
            rows = np.array(item["data"]["rows"])
            ax.plot(rows[:, 3], np.maximum(rows[:, 2] - rows[:, 1], 1e-17), ".-", label=item["data"]["name"])
        ax.set(xscale="log", yscale="log", xlabel="exact rate (nat)", ylabel="certified width (nat)")
        ax.legend(fontsize=7, bbox_to_anchor=(1.01, 1), loc="upper left")
        heatrd.plots.save(figure, directory / "closed_forms.png")
