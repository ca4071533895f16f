"""Real data: 4×4 grey patches of photographs (d = 16) and 8×8 handwritten digits (d = 64), bounds beside NERD and WGD.

All three methods train on the same rows and report F(ν̂), or R2D2’s path bound, at the same held-out rows: true upper
bounds in expectation. The claim
is the ordering at the highest rate, where point masses saturate.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np

import heatrd
from heatrd.neural import R2D2
from validation.neural.baselines import nerd, wgd

RATIOS = (0.02, 0.1, 0.5)


def patches(n: int = 20_000) -> np.ndarray:
    """Random 4×4 patches of scikit-learn's two photographs, grey values in [0, 1], (n, 16)."""
    from sklearn.datasets import load_sample_images

    rng = np.random.default_rng(0)
    images = [image.mean(axis=2) / 255 for image in load_sample_images().images]
    rows = []
    for image in images:
        i, j = (rng.integers(0, size - 3, n // len(images)) for size in image.shape)
        rows.append(np.stack([image[i + a, j + b] for a in range(4) for b in range(4)], axis=1))
    return rng.permutation(np.concatenate(rows))


def digits() -> np.ndarray:
    """The 1797 digits of scikit-learn, grey values in [0, 1], (1797, 64)."""
    from sklearn.datasets import load_digits

    return np.random.default_rng(0).permutation(load_digits().data / 16)


def run(smoke: bool = False) -> list[dict[str, Any]]:
    """Both data sets; the patches with a short training when ``smoke``."""
    cases = {"patches 4x4": patches} if smoke else {"patches 4x4": patches, "digits 8x8": digits}
    return [_case(name, load(), smoke) for name, load in cases.items()]


def _case(name: str, x: np.ndarray, smoke: bool) -> dict[str, Any]:
    held, rest = np.split(x, [len(x) // 5])
    variance = float(rest.var(axis=0).mean())
    model = R2D2(entropy="knife", components=8 if smoke else 32, width=64, depth=2, steps=8, seed=0,
                 epsilon_range=(RATIOS[0] * variance, RATIOS[-1] * variance))
    model.fit(rest, steps=40 if smoke else 150, batch=256, groups=2, patience=None, held_out=0.1, learning_rate=3e-3)
    rows = [_row(model, rest, held, ratio * variance, smoke) for ratio in (RATIOS[:1] if smoke else RATIOS)]
    first = rows[0]
    ceiling = min(first["NERD"], first["WGD"])
    return {
        "claim": f"{name}: R2D2's held-out bound on L below NERD's and WGD's at ε/σ² = {RATIOS[0]}",
        "expected": f"< {ceiling:.3f}",
        "measured": f"{first['R2D2']:.3f} ± {first['stderr']:.3f} (NERD {first['NERD']:.3f}, WGD {first['WGD']:.3f})",
        "passed": bool(first["R2D2"] < ceiling),
        "data": {"name": name, "rows": rows},
    }


def _row(model: R2D2, rest: np.ndarray, held: np.ndarray, epsilon: float, smoke: bool) -> dict[str, float]:
    def sample(n: int, rng: np.random.Generator) -> np.ndarray:
        return rest[rng.integers(len(rest), size=n)]

    steps = 50 if smoke else 400
    best = model.rate_distortion(epsilon, source=held, importance=4)
    return {
        "epsilon": epsilon,
        "R2D2": best.lagrangian_upper,
        "stderr": best.lagrangian_upper_stderr,
        "rate": best.rate,
        "distortion": best.distortion,
        "NERD": nerd(sample, epsilon, steps=steps, held_out=held).lagrangian,
        "WGD": wgd(sample, epsilon, steps=steps, batch=1024, held_out=held).lagrangian,
    }


def draw(records: list[dict[str, Any]], directory: Path) -> None:
    """The three bounds on L(ε) against ε, a panel a data set."""
    with heatrd.plots.figure(size=(3.6 * len(records), 3.2)) as figure:
        axes = figure.subplots(1, len(records), squeeze=False)[0]
        for ax, record in zip(axes, records):
            rows = record["data"]["rows"]
            for name in ("R2D2", "NERD", "WGD"):
                ax.plot([row["epsilon"] for row in rows], [row[name] for row in rows], "o-", ms=3, label=name)
            ax.set(xscale="log", yscale="log", xlabel="ε", title=record["data"]["name"])
            ax.set_xticks([row["epsilon"] for row in rows], [f"{row['epsilon']:.2g}" for row in rows])
            ax.set_xticks([], minor=True)
            ax.yaxis.set_major_formatter("{x:g}")
            ax.yaxis.set_minor_formatter("{x:g}")
        axes[0].set_ylabel("held-out bound on L(ε)  (nat)")
        axes[0].legend()
        heatrd.plots.save(figure, directory / "neural_real_data.png")


if __name__ == "__main__":
    for result in run(smoke="--smoke" in sys.argv):
        print("pass" if result["passed"] else "FAIL", result["claim"], "|", result["measured"], flush=True)
        for line in result["data"]["rows"]:
            print("   ", {k: round(v, 4) for k, v in line.items()}, flush=True)
