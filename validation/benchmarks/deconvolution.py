"""Undoing a Gaussian blur on a grid: `heatrd.backward_heat` beside scikit-image's Richardson–Lucy.

μ = ν ∗ N(0, ε) is a Gaussian mixture evaluated on n × n points, so ν is known: a mixture too. Reported are the
processor seconds and the L1 error of the recovered density. θ = ε/ε_c says how ill-posed the problem is; the best
possible relative error in double precision is about 1e-16^(1−θ).
"""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import numpy as np

import heatrd
from heatrd import sources
from validation.benchmarks._measure import ratio, repeated

MEANS = ((-1.5, -0.8), (1.4, -0.5), (0.2, 1.6))
WEIGHTS = (0.3, 0.3, 0.4)
HALF_WIDTH = 10.0
SWEEPS = (10, 100, 1000)
RATIOS = (0.25, 0.5, 0.75)


def grids(n: int, theta: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Axis, source density and true ν on the grid; unit covariances, so ε_c = 1."""
    x = np.linspace(-HALF_WIDTH, HALF_WIDTH, n)
    points = np.stack(np.meshgrid(x, x, indexing="ij"), axis=-1)

    def mixture(variance: float) -> np.ndarray:
        return np.exp(sources.GaussianMixture(WEIGHTS, MEANS, [variance * np.eye(2)] * 3).log_density(points))

    return x, mixture(1.0), mixture(1.0 - theta)


def beside(n: int, theta: float, sweeps: tuple[int, ...]) -> list[dict[str, Any]]:
    """One record a method."""
    x, density, truth = grids(n, theta)
    h = x[1] - x[0]
    table = heatrd.from_grid((x, x), density, normalize=True)

    def spectral() -> Any:
        return heatrd.backward_heat(table, theta, method="spectral")

    rows: list[dict[str, Any]] = []
    path = spectral()
    found = np.asarray(path.density(1.0, np.stack(np.meshgrid(x, x, indexing="ij"), axis=-1)))
    rows.append(_row("heatrd", n, theta, repeated(spectral), np.abs(found - truth).sum() * h * h))
    try:
        from skimage.restoration import richardson_lucy
    except ModuleNotFoundError as error:
        return [*rows, {"method": "Richardson–Lucy", "n": n, "theta": theta, "skipped": str(error)}]
    reach = int(np.ceil(6 * np.sqrt(theta) / h))
    line = np.exp(-((h * np.arange(-reach, reach + 1)) ** 2) / (2 * theta))
    psf = np.outer(line, line) / line.sum() ** 2
    for count in sweeps:

        def deconvolve(count: int = count) -> np.ndarray:
            return np.asarray(richardson_lucy(density * h * h, psf, num_iter=count, clip=False))

        error = np.abs(deconvolve() / (h * h) - truth).sum() * h * h
        rows.append(_row(f"Richardson–Lucy, {count} sweeps", n, theta, repeated(deconvolve), error))
        rows[-1]["ratio"] = ratio(rows[-1]["seconds"], rows[0]["seconds"])
    return rows


def _row(method: str, n: int, theta: float, seconds: dict[str, Any], error: float) -> dict[str, Any]:
    print(f"  {n}², θ = {theta}: {method:<30}{seconds['median']:.3f} s  L1 error {error:.1e}", flush=True)
    return {"method": method, "n": n, "theta": theta, "seconds": seconds, "l1": float(error)}


def run(smoke: bool = False) -> list[dict[str, Any]]:
    """Three degrees of ill-posedness (smoke: one, small)."""
    cases = ((48, 0.5),) if smoke else tuple((128, theta) for theta in RATIOS)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return [row for n, theta in cases for row in beside(n, theta, SWEEPS[:1] if smoke else SWEEPS)]


def claims(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """heatrd's error is the smallest at every θ."""
    found = []
    for theta in dict.fromkeys(row["theta"] for row in rows):
        here = [row for row in rows if row["theta"] == theta and "l1" in row]
        others = [row["l1"] for row in here if row["method"] != "heatrd"]
        mine = here[0]["l1"]
        found.append(
            {
                "claim": f"deconvolution at θ = {theta}: smaller L1 error than Richardson–Lucy",
                "expected": f"< {min(others, default=np.inf):.1e}",
                "measured": f"{mine:.1e}",
                "passed": not others or mine < min(others),
            }
        )
    return found


def draw(rows: list[dict[str, Any]], directory: Path) -> None:
    """L1 error against processor seconds, one colour a θ."""
    with heatrd.plots.figure(size=(5.2, 3.6)) as figure:
        ax = figure.subplots()
        for k, theta in enumerate(dict.fromkeys(row["theta"] for row in rows)):
            here = [row for row in rows if row["theta"] == theta and "l1" in row]
            ax.plot(here[0]["seconds"]["median"], here[0]["l1"], "s", color=f"C{k}", markersize=8)
            ax.plot(
                [r["seconds"]["median"] for r in here[1:]],
                [r["l1"] for r in here[1:]],
                "o--",
                color=f"C{k}",
                label=f"θ = {theta:g}",
            )
        ax.set(xscale="log", yscale="log", xlabel="processor seconds", ylabel="L1 error of the recovered density")
        ax.set_title("squares: heatrd; circles: Richardson–Lucy, 10, 100, 1000 sweeps", fontsize=9)
        ax.legend()
        heatrd.plots.save(figure, directory / "deconvolution.png")
