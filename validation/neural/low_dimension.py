"""R2D2 against certified truth in one and two dimensions.

One amortised training a source; at each ε the upper bound F(ν̂) must lie within 0.01 nats of the certified L(ε).
F(ν̂) − L(ε) is measured by differences: the mean of log k∗ν* − log k∗ν̂ over 32 768 fresh points, ν* the certified law;
beside it stands the bound as `rate_distortion` reads it from its own 16 384 points, which has more noise. In the
backward-heat class also the control along true paths, E‖u_θ − u*‖²/E‖u*‖² ≤ 1 %: for the Gaussian mixture, whose ν the
network's law can represent, and for the noisy ring, whose ν it cannot; for the mixture also the terminal law,
W₁ ≤ 0.02 σ.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
from scipy import special, stats

import heatrd
from heatrd import sources
from heatrd.neural import R2D2

RATIOS = (0.02, 0.05, 0.1, 0.2, 0.5, 0.9)
TARGET = 0.01
WEIGHTS, CENTRES, SPREAD = [0.3, 0.4, 0.3], [-1.5, 0.0, 1.5], 0.16
LINE = {
    "gaussian": sources.Gaussian(0.0, 1.0),
    "mixture": sources.GaussianMixture(WEIGHTS, CENTRES, [SPREAD] * 3),
    "laplace": sources.Laplace(0.0, np.sqrt(0.5)),
    "uniform": sources.Uniform(-np.sqrt(3), np.sqrt(3)),
}
PLANE = {
    "ring": sources.NoisySphere(2, 1.0, noise=np.sqrt(0.1)),
    "banana": sources.Banana(),
    "two moons": sources.TwoMoons(),
}


def run(smoke: bool = False, only: tuple[str, ...] = ()) -> list[dict[str, Any]]:
    """Train and judge every source; one small one when ``smoke``."""
    names = only or (("mixture",) if smoke else (*PLANE, *LINE))
    return [record for name in names for record in _case(name, smoke)]


def _case(name: str, smoke: bool) -> list[dict[str, Any]]:
    source = {**LINE, **PLANE}[name]
    settings = {"steps": 60, "batch": 512} if smoke else {"steps": 200, "batch": 1024}
    model = R2D2(seed=1).fit(source, learning_rate=3e-3, patience=None, **settings)
    rows = [_row(model, source, ratio, smoke) for ratio in (RATIOS[1:5:3] if smoke else RATIOS)]
    limit = 0.05 if smoke else TARGET
    worst, noisy = (max(rows, key=lambda row: row[key]) for key in ("excess", "held_out_excess"))
    losses = model.history.held_out
    record = {
        "claim": f"{name}: upper bound within {limit} nats of L(ε), one training for ε/σ² = 0.02…0.9",
        "expected": f"<= {limit}",
        "measured": f"{worst['excess']:.4f} ± {worst['stderr']:.4f} (as read on {4096 if smoke else 16384} points "
        f"{noisy['held_out_excess']:.4f} ± {noisy['held_out_stderr']:.4f}; "
        f"R̂ off by up to {max(abs(row['estimate']) for row in rows):.3f})",
        "passed": bool(worst["excess"] <= limit),
        "data": {"source": name, "rows": rows, "seconds": model.history.seconds, "best_step": model.history.best_step,
                 "validation_loss_at_start": losses[0], "lowest_after": min(losses[1:]), **settings},
    }
    fields = {"mixture": _mixture_field, "ring": _ring_field}
    return [record, *(fields[name](model, smoke) if name in fields else [])]


def _row(model: R2D2, source: Any, ratio: float, smoke: bool) -> dict[str, float]:
    """One ε: F(ν̂) − L(ε) by differences on fresh points, and the bound as `rate_distortion` reads it."""
    epsilon = ratio * source.total_variance / source.dim
    n = 4096 if smoke else 16384
    solution = heatrd.solve(source, epsilon=epsilon, tol=1e-3)
    truth = exact(source, epsilon)
    truth = solution.lagrangian_lower if truth is None else truth
    estimate = model.rate_distortion(epsilon, held_out=n, particles=n // 4, method="law")
    x = source.sample(2 * n, np.random.default_rng(99))
    terms = model.bound_terms(x, epsilon, particles=n // 4) - _terms(x, solution)
    return {
        "ratio": ratio,
        "epsilon": epsilon,
        "truth": truth,
        "excess": float(terms.mean()) + solution.lagrangian - truth,
        "stderr": float(terms.std() / np.sqrt(terms.size)),
        "upper": estimate.lagrangian_upper,
        "held_out_excess": estimate.lagrangian_upper - truth,
        "held_out_stderr": estimate.lagrangian_upper_stderr,
        "estimate": estimate.lagrangian - truth,
    }


def exact(source: Any, epsilon: float) -> float | None:
    """L(ε) by the Shannon lower bound where it is known to be tight."""
    critical, entropy = source.critical_epsilon(), source.entropy()
    if critical is None or entropy is None or epsilon > critical:
        return None
    return float(entropy - 0.5 * source.dim * np.log(2 * np.pi * epsilon))


def _terms(x: np.ndarray, solution: Any) -> np.ndarray:
    """−log Σ_j ν_j k(x − y_j) at ``x`` (n, d) for the certified law."""
    y, log_w = solution.reconstruction.points.reshape(-1, x.shape[1]), np.log(solution.reconstruction.weights)
    found = np.empty(len(x))
    for rows in np.array_split(np.arange(len(x)), 64):
        square = ((x[rows][:, None] - y) ** 2).sum(axis=-1)
        found[rows] = -special.logsumexp(log_w - square / (2 * solution.epsilon), axis=1)
    return found


def _mixture_field(model: R2D2, smoke: bool) -> list[dict[str, Any]]:
    """Control and terminal law of the three-component mixture at ε = 0.1 (ε_c = 0.16), both in closed form."""
    epsilon, n = 0.1, 4000 if smoke else 20000
    rng = np.random.default_rng(5)

    def path(t: float) -> tuple[np.ndarray, np.ndarray]:
        variance = SPREAD - epsilon * t
        x = rng.choice(CENTRES, size=n, p=WEIGHTS) + np.sqrt(variance) * rng.normal(size=n)
        return x, epsilon * _score(x, variance)

    error, by_time = _control_error(model, epsilon, path)
    y = np.sort(model.reconstruct(rng.choice(CENTRES, size=n, p=WEIGHTS) + 0.4 * rng.normal(size=n), epsilon)[:, 0])
    sigma = float(np.sqrt(LINE["mixture"].total_variance))
    wasserstein = float(np.abs(y - _quantiles(SPREAD - epsilon, n)).mean()) / sigma
    return [
        _bounded("mixture: relative squared control error along true paths", error, 0.01) | {"by_time": by_time},
        _bounded("mixture: W1 of the terminal law, in σ", wasserstein, 0.05 if smoke else 0.02),
    ]


def _ring_field(model: R2D2, smoke: bool) -> list[dict[str, Any]]:
    """Control of the ring at ε = 0.05 (ε_c = 0.1): ρ_t is the ring of noise variance v = 0.1 − εt, and with r = ‖x‖

    ∇log ρ_t = (I₁/I₀(r/v) − r)/v · x/r.
    """
    epsilon, n = 0.05, 4000 if smoke else 20000
    rng = np.random.default_rng(6)

    def path(t: float) -> tuple[np.ndarray, np.ndarray]:
        v, angle = 0.1 - epsilon * t, rng.uniform(0, 2 * np.pi, n)
        x = np.stack([np.cos(angle), np.sin(angle)], axis=1) + np.sqrt(v) * rng.normal(size=(n, 2))
        r = np.linalg.norm(x, axis=1, keepdims=True)
        return x, epsilon * (special.ive(1, r / v) / special.ive(0, r / v) - r) / v * x / r

    error, by_time = _control_error(model, epsilon, path)
    return [_bounded("ring: relative squared control error along true paths", error, 0.01) | {"by_time": by_time}]


def _control_error(model: R2D2, epsilon: float, path: Any) -> tuple[float, dict[str, float]]:
    """Σ_t E‖u_θ − u*‖²/Σ_t E‖u*‖² over 16 times in (0, 1), and the ratio at single times."""

    def at(t: float) -> tuple[float, float]:
        x, exact = path(t)
        return float(((model.control(t, x, epsilon) - exact) ** 2).mean()), float((exact**2).mean())

    sums = np.sum([at(t) for t in (np.arange(16) + 0.5) / 16], axis=0)
    by_time = {f"{t:g}": float(np.divide(*at(t))) for t in (0.0, 0.5, 0.9, 0.97, 0.99)}
    return float(sums[0] / sums[1]), by_time


def _score(x: np.ndarray, variance: float) -> np.ndarray:
    """∇log of the mixture with component variance ``variance``."""
    posterior = special.softmax(np.log(WEIGHTS) - (x[:, None] - CENTRES) ** 2 / (2 * variance), axis=1)
    return (posterior @ np.array(CENTRES) - x) / variance


def _quantiles(variance: float, n: int) -> np.ndarray:
    """Midpoint quantiles of that mixture, (n,)."""
    grid = np.linspace(-4, 4, 8001)
    cdf = stats.norm.cdf((grid[:, None] - CENTRES) / np.sqrt(variance)) @ np.array(WEIGHTS)
    return np.interp((np.arange(n) + 0.5) / n, cdf, grid)


def _bounded(claim: str, value: float, limit: float) -> dict[str, Any]:
    return {"claim": claim, "expected": f"<= {limit:g}", "measured": f"{value:.4f}", "passed": bool(value <= limit)}


def draw(records: list[dict[str, Any]], directory: Path) -> None:
    """Excess of the bound over the certified L against ε/σ², with two standard errors."""
    with heatrd.plots.figure(size=(5.4, 3.8)) as figure:
        ax = figure.subplots()
        for record in (r for r in records if "data" in r):
            rows = record["data"]["rows"]
            ax.errorbar(
                [row["ratio"] for row in rows], [row["excess"] for row in rows],
                yerr=[2 * row["stderr"] for row in rows], label=record["data"]["source"], marker="o", ms=3,
            )
        ax.axhline(TARGET, color="#777777", linewidth=0.9, dashes=(4, 2), label="target")
        ax.set(xscale="log", xlabel="ε/σ²", ylabel="F(ν̂) − L(ε)  (nat)", ylim=(None, 1.45 * TARGET))
        ax.legend(fontsize=7, ncol=3, loc="upper center")
        heatrd.plots.save(figure, directory / "neural_low_dimension.png")


if __name__ == "__main__":
    for result in run(only=tuple(sys.argv[1:])):
        print("pass" if result["passed"] else "FAIL", result["claim"], "|", result["measured"], flush=True)
        for line in [*result.get("data", {}).get("rows", []), *([result["by_time"]] if "by_time" in result else [])]:
            print("   ", {k: round(v, 5) for k, v in line.items()}, flush=True)
