"""Claim: inside the backward-heat class one sampled run serves the whole curve; outside it does not.

The path is a Markov chain X_0 → X_s → X_t, s < t. If every X_t is an optimal reproduction at its own distortion, then
X_s refines X_t without loss, and the source is successively refinable there (Equitz & Cover 1991). Two tests:

- inside: from *one* run, (E‖X_t − X_0‖², rate) at many t against the exact curve, in standard errors;
- outside, for a bridge to atoms: I(X_0; X_t) = E log[G_εt(X_t − X_0)/(φ_0(X_0) φ̂_t(X_t))] is computed along one run
  and must exceed the certified R(D_t) by many standard errors at intermediate t, and meet it as t → 1.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

import heatrd
from heatrd import sources

LIMIT = 4.5


def inside(name: str, source: Any, epsilon: float, paths: int) -> dict[str, Any]:
    """One run against the Shannon lower bound, which is the curve there."""
    run = heatrd.sample(heatrd.solve(source, epsilon=epsilon), paths, 64, rng=20, curve=True)
    curve = run.curve
    exact_distortion = source.dim * curve.epsilon
    exact_rate = np.array([heatrd.shannon_lower_bound(source, d) for d in exact_distortion])
    z_distortion = np.abs(curve.distortion - exact_distortion) / curve.distortion_stderr
    z_rate = np.abs(curve.rate - exact_rate) / curve.rate_stderr
    worst, stderr = float(max(z_distortion.max(), z_rate.max())), float(curve.rate_stderr.max())
    return {
        "claim": f"{name}: one run gives the curve at {len(curve.times)} distortions",
        "expected": f"within {LIMIT} standard errors; each <= 0.02 nat",
        "measured": f"{worst:.2f} standard errors; each <= {stderr:.1e} nat",
        "passed": worst <= LIMIT and stderr <= 0.02,
        "data": {
            "name": name,
            "distortion": curve.distortion,
            "rate": curve.rate,
            "stderr": curve.rate_stderr,
            "exact": exact_rate,
        },
    }


def outside(name: str, source: Any, epsilon: float, paths: int) -> dict[str, Any]:
    """I(X_0; X_t) along the bridge against the certified curve at the same distortion."""
    solution = heatrd.solve(source, epsilon=epsilon)
    bridge = solution.bridge
    times = np.array([0.1, 0.3, 0.5, 0.7, 0.9])
    grid = np.unique(np.concatenate([np.linspace(0, 0.95, 20), times, [1.0]]))
    run = heatrd.sample(solution, paths, rng=21, times=grid, save=True)
    start, rows = run.paths[:, 0], []
    phi = bridge.log_potential(0.0, start)
    for t in times:
        here = run.paths[:, int(np.argmin(np.abs(grid - t)))]
        square = ((here - start) ** 2).sum(axis=1)
        kernel = -square / (2 * epsilon * t) - 0.5 * source.dim * np.log(2 * np.pi * epsilon * t)
        values = kernel - phi - bridge.log_copotential(float(t), here)
        point = heatrd.solve(source, distortion=float(square.mean()))
        slope = square / (2 * point.epsilon)  # the error of D moves the curve along its tangent
        terms = values + slope
        rows.append(
            [
                float(t),
                float(square.mean()),
                float(values.mean()),
                float(terms.std(ddof=1) / np.sqrt(len(terms))),
                point.rate_lower,
                point.rate,
            ]
        )
    table = np.array(rows)
    excess = table[:, 2] - table[:, 5]
    clear = float((excess / table[:, 3]).max())
    below = float(((table[:, 2] - table[:, 4]) / table[:, 3]).min())
    return {
        "claim": f"{name}: intermediate reproductions of one run are not optimal, and never better than R(D)",
        "expected": f"excess over the certified curve > {LIMIT} standard errors somewhere, > −{LIMIT} everywhere",
        "measured": f"up to {excess.max():.4f} nat, {clear:.0f} standard errors; least {below:.1f}",
        "passed": clear > LIMIT and below > -LIMIT,
        "data": {"name": name, "columns": ["t", "distortion", "rate", "stderr", "lower", "upper"], "rows": rows},
    }


def run(smoke: bool = False) -> list[dict[str, Any]]:
    """Three sources inside, three outside (smoke: one each)."""
    paths = 20_000 if smoke else 100_000
    mixture = sources.GaussianMixture([0.3, 0.4, 0.3], [-2.0, 0.0, 2.5], [0.5, 0.6, 1.0])
    within = [("three-component mixture", mixture, 0.45)]
    if not smoke:
        within.append(("Gaussian in the plane", sources.Gaussian([0, 0], [[1.0, 0.4], [0.4, 0.7]]), 0.4))
        within.append(("noisy ring", sources.NoisySphere(2, noise=0.4), 0.15))
    beyond = [("uniform", sources.Uniform(), 0.2)] + (
        [] if smoke else [("exponential", sources.Exponential(), 0.5), ("disc in the plane", sources.Disc(), 0.15)]
    )
    return [*(inside(*case, paths) for case in within), *(outside(*case, paths // 4) for case in beyond)]


def draw(records: list[dict[str, Any]], directory: Path) -> None:
    """Rate along one run against the curve."""
    with heatrd.plots.figure(size=(8.6, 3.6)) as figure:
        left, right = figure.subplots(1, 2)
        for k, data in enumerate(r["data"] for r in records if "exact" in r["data"]):
            left.plot(data["distortion"], data["exact"], color=f"C{k}", linewidth=1)
            left.errorbar(
                data["distortion"], data["rate"], 2 * np.array(data["stderr"]), fmt="o", color=f"C{k}", markersize=3,
                label=data["name"],
            )  # fmt: skip
        left.set_title("inside the class: one run, ± 2 standard errors", fontsize=9)
        for k, data in enumerate(r["data"] for r in records if "rows" in r["data"]):
            rows = np.array(data["rows"])
            excess = rows[:, 2] - rows[:, 5]
            right.errorbar(
                rows[:, 0], excess, 2 * rows[:, 3], fmt="o-", color=f"C{k}", markersize=3, label=data["name"]
            )
        right.axhline(0, color="#777777", linewidth=0.8)
        right.set_title("outside: what intermediate points waste", fontsize=9)
        left.set(xlabel="distortion", ylabel="rate (nat)")
        right.set(xlabel="t", ylabel="I(X₀; X_t) − R(D_t)  (nat)")
        left.legend(fontsize=8)
        right.legend(fontsize=8)
        heatrd.plots.save(figure, directory / "successive_refinement.png")
