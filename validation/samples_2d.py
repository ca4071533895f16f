"""A real data set in the plane: petal length and width of 150 irises (Fisher 1936), with bootstrap intervals.

The samples as equal atoms have a curve of their own, which is certified; how far the curve of the *population* is from
it is a statistical question. Answered twice: by the bootstrap (resamples of 150, percentile interval), and by the
influence function. R at slope −1/2ε changes by −log Z(x) − F when a little mass moves to x, so the standard error of
R(D) at fixed D is the standard deviation of log Z(X) over √n, to first order: the envelope theorem. The two must agree.

Resampling repeats points, and fewer different points cost fewer bits, so at high rate the bootstrap lies below the
curve (no more than log n nats can be seen in n samples). The bias, bootstrap mean minus curve, is part of the record.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

import heatrd

TOL = 1e-4
SHARES = (0.5, 0.2, 0.1, 0.05)


def petals() -> np.ndarray:
    """Return petal length and width, cm, (150, 2)."""
    from sklearn.datasets import load_iris

    return np.asarray(load_iris().data[:, 2:], dtype=float)


def resampled(x: np.ndarray, distortion: float, count: int, rng: np.random.Generator) -> np.ndarray:
    """Lower and upper certified rates (count, 2) of resamples at one distortion."""
    out = np.empty((count, 2))
    for row in out:
        point = heatrd.solve(heatrd.from_samples(rng.choice(x, size=len(x))), distortion=distortion, tol=TOL)
        row[:] = point.rate_lower, point.rate
    return out


def study(x: np.ndarray, share: float, count: int, rng: np.random.Generator) -> dict[str, Any]:
    """One distortion."""
    source = heatrd.from_samples(x)
    point = heatrd.solve(source, distortion=share * source.total_variance, tol=TOL)
    law = point.reconstruction
    square = ((x[:, None] - law.points) ** 2).sum(axis=2)
    log_z = np.log(np.exp(-square / (2 * point.epsilon)) @ law.weights)
    rates = resampled(x, point.distortion, count, rng)
    low, high = np.quantile(rates.mean(axis=1), [0.025, 0.975])
    return {
        "distortion": point.distortion,
        "rate_lower": point.rate_lower,
        "rate": point.rate,
        "width": max(point.gap, float(np.ptp(rates, axis=1).max())),
        "interval": [float(low), float(high)],
        "bootstrap_stderr": float(rates.mean(axis=1).std(ddof=1)),
        "influence_stderr": float(log_z.std(ddof=1) / np.sqrt(len(x))),
        "bias": float(rates.mean() - point.rate),
        "atoms": len(law.weights),
    }


def run(smoke: bool = False) -> list[dict[str, Any]]:
    """Four distortions and 80 resamples (smoke: one and 20)."""
    x, rng = petals(), np.random.default_rng(1936)
    rows = [study(x, share, 20 if smoke else 80, rng) for share in (SHARES[1:2] if smoke else SHARES)]
    width = max(row["width"] for row in rows)
    quotients = [row["bootstrap_stderr"] / row["influence_stderr"] for row in rows if row["rate"] < np.log(len(x)) / 3]
    far = 0.5 if smoke else 0.25
    covered = sum(row["interval"][0] <= row["rate"] <= row["interval"][1] for row in rows)
    return [
        {
            "claim": "iris petals: every curve point, of the data and of each resample, is certified",
            "expected": f"width <= {TOL:g} nat",
            "measured": f"{width:.1e} nat",
            "passed": width <= TOL,
            "data": {"rows": rows, "points": x.tolist()},
        },
        {
            "claim": "iris petals, rates below a third of log n: bootstrap and influence function agree",
            "expected": f"ratio of standard errors within {far:.0%} of one",
            "measured": ", ".join(f"{q:.2f}" for q in quotients),
            "passed": bool(quotients) and max(abs(q - 1) for q in quotients) <= far,
        },
        {
            "claim": "iris petals: the bootstrap interval, and its bias, at each distortion",
            "expected": "interval of positive length below 0.5 nat; bias negative at the highest rate",
            "measured": "; ".join(_words(row) for row in rows)
            + f"; {covered} of {len(rows)} intervals hold the data's own rate",
            "passed": all(0 < row["interval"][1] - row["interval"][0] < 0.5 for row in rows) and rows[-1]["bias"] < 0,
        },
    ]


def _words(row: dict[str, Any]) -> str:
    low, high = row["interval"]
    return f"D = {row['distortion']:.3g}: R = {row['rate']:.3f} [{low:.3f}, {high:.3f}] nat"


def draw(records: list[dict[str, Any]], directory: Path) -> None:
    """The samples, and the curve with its intervals in bits."""
    data, bit = records[0]["data"], np.log(2)
    rows, x = data["rows"], np.array(data["points"])
    with heatrd.plots.figure(size=(8.4, 3.6)) as figure:
        left, right = figure.subplots(1, 2)
        left.plot(*x.T, ".", alpha=0.5)
        left.set(xlabel="petal length (cm)", ylabel="petal width (cm)", title="150 irises")
        d = [row["distortion"] for row in rows]
        rate = np.array([row["rate"] for row in rows]) / bit
        low, high = (np.array([row["interval"][k] for row in rows]) / bit for k in (0, 1))
        right.fill_between(d, low, high, alpha=0.25, label="bootstrap, 95 %")
        right.plot(d, rate, "o-", markersize=3, label="the samples' own curve, certified")
        right.set(xlabel="distortion (cm²)", ylabel="rate (bit per flower)", ylim=(0, None))
        right.set_title(f"no more than log₂ {len(x)} = {np.log2(len(x)):.2f} bit at any distortion", fontsize=9)
        right.legend(fontsize=8)
        heatrd.plots.save(figure, directory / "samples_2d.png")
