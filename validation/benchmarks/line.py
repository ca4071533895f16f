"""The line solver against dense NumPy Blahut–Arimoto, its growth, and its times; ratios of one run.

- Both start from nothing on the same source nodes and stop at a certified gap of 1e-6 nats. Blahut–Arimoto is
  spared the continuum: its own gap is log max c over its lattice of √ε/4, which is smaller than the certified one.
  What it has not reached within its budget counts as a lower bound.
- Cost against range/√ε: the fitted exponent of CPU time over a uniform source.
- One default solve of every named source at ε = 0.05 and 1e-4 of the variance; peak memory of the largest.
- Curves at 40 given distortions.

    python -m validation.benchmarks.line [--smoke]
"""

from __future__ import annotations

import argparse
import math
import time
import tracemalloc
from collections.abc import Callable
from typing import Any

import numpy as np

import heatrd
from heatrd.reconstruction.dispatch import discretise

GAP = 1e-6
TARGETS = {"uniform": 100.0, "laplace": 1000.0}


def fastest(function: Callable[[], Any], repeats: int) -> float:
    """Least CPU time of some runs, seconds."""
    times = []
    for _ in range(repeats):
        began = time.process_time()
        function()
        times.append(time.process_time() - began)
    return min(times)


def dense_blahut_arimoto(source: Any, epsilon: float, budget: float) -> tuple[float, int, float]:
    """Run ν ← ν c until the nodal gap is below GAP or the budget is spent; CPU seconds, sweeps, gap."""
    mu = discretise(source, epsilon)
    x, mass = mu.points[:, 0], mu.weights
    y = np.arange(x.min(), x.max() + 1e-12, 0.25 * math.sqrt(epsilon))
    kernel = np.exp(-(np.subtract.outer(x, y) ** 2) / (2 * epsilon))
    nu = np.full(y.size, 1 / y.size)
    began, sweeps, gap = time.process_time(), 0, math.inf
    while gap > GAP and time.process_time() - began < budget:
        for _ in range(20):
            c = kernel.T @ (mass / np.maximum(kernel @ nu, 1e-300))
            nu = nu * c
        sweeps += 20
        gap = math.log(float(c.max()))
    return time.process_time() - began, sweeps, gap


def against_blahut_arimoto(name: str, budget: float) -> dict[str, Any]:
    source = heatrd.as_source(name)
    epsilon = 0.05 * source.total_variance
    ours = fastest(lambda: heatrd.solve(source, epsilon=epsilon, tol=GAP), 5)
    theirs, sweeps, gap = dense_blahut_arimoto(source, epsilon, budget)
    reached = gap <= GAP
    ratio, target = theirs / ours, TARGETS[name]
    return {
        "claim": f"{name}, epsilon = 0.05 variance, gap 1e-6: times faster than dense Blahut-Arimoto",
        "expected": f">= {target:g}",
        "measured": f"{'' if reached else 'at least '}{ratio:.0f} ({ours:.2g} s against {theirs:.3g} s, "
        f"{sweeps} sweeps, gap {gap:.1e})",
        "passed": bool(ratio >= target),
        "data": {"ours": ours, "theirs": theirs, "sweeps": sweeps, "gap": gap, "reached": reached},
    }


def growth(smoke: bool) -> dict[str, Any]:
    """CPU time against range/√ε."""
    lengths = (100, 200, 400) if smoke else (100, 200, 400, 800, 1600)
    times = [fastest(lambda n=n: heatrd.solve("uniform", epsilon=12 / n**2, tol=GAP), 3) for n in lengths]
    exponent = float(np.polyfit(np.log(lengths), np.log(times), 1)[0])
    return {
        "claim": "cost grows linearly in range/sqrt(epsilon)", "expected": "fitted exponent <= 1.3",
        "measured": f"{exponent:.2f} over {lengths[0]} to {lengths[-1]}", "passed": exponent <= 1.3,
        "data": {"lengths": lengths, "times": times},
    }  # fmt: skip


def memory(smoke: bool) -> dict[str, Any]:
    """Peak of NumPy's allocations against range/√ε."""
    lengths, peaks = (200, 800) if smoke else (200, 800, 3200), []
    for n in lengths:
        tracemalloc.start()
        heatrd.solve("uniform", epsilon=12 / n**2, tol=GAP)
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    exponent = float(np.polyfit(np.log(lengths), np.log(peaks), 1)[0])
    return {
        "claim": "memory grows linearly in range/sqrt(epsilon)", "expected": "fitted exponent <= 1.15",
        "measured": f"{exponent:.2f}; {peaks[-1] / 2**20:.0f} MiB at {lengths[-1]}", "passed": exponent <= 1.15,
        "data": {"lengths": lengths, "peaks": peaks},
    }  # fmt: skip


def named(ratio: float, limit: float, names: list[str]) -> dict[str, Any]:
    """One default solve of every named source, warm."""
    times = {}
    for name in names:
        source = heatrd.as_source(name)
        times[name] = fastest(lambda s=source: heatrd.solve(s, epsilon=ratio * s.total_variance), 1)
    slow = {k: round(v, 2) for k, v in sorted(times.items(), key=lambda kv: -kv[1]) if v > limit}
    return {
        "claim": f"one default solve at epsilon = {ratio:g} variance, {len(names)} named sources",
        "expected": f"<= {limit:g} s each",
        "measured": f"{len(names) - len(slow)} within; slower: {slow or 'none'}", "passed": not slow, "data": times,
    }  # fmt: skip


def forty(limit: float, names: list[str]) -> dict[str, Any]:
    """Curves at 40 distortions from 0.003 to 0.95 of the variance, warm."""
    times = {}
    for name in names:
        source = heatrd.as_source(name)
        asked = source.total_variance * np.geomspace(0.003, 0.95, 40)
        times[name] = fastest(lambda s=source, d=asked: heatrd.rd_curve(s, distortions=d), 1)
    slow = [name for name, seconds in times.items() if seconds > limit]
    return {
        "claim": f"a curve at 40 given distortions: {', '.join(names)}", "expected": f"<= {limit:g} s each",
        "measured": ", ".join(f"{seconds:.1f}" for seconds in times.values()), "passed": not slow, "data": times,
    }  # fmt: skip


def run(smoke: bool = False) -> list[dict[str, Any]]:
    """Run all of it (smoke: no Laplacian, whose target takes Blahut–Arimoto minutes)."""
    from validation.line_sources import names

    which = ["uniform", "laplace", "exponential"] if smoke else names()
    heatrd.solve("laplace", epsilon=0.1)
    rivals, budget = (["uniform"], 20.0) if smoke else (list(TARGETS), 600.0)
    return [
        *(against_blahut_arimoto(name, budget) for name in rivals), growth(smoke), memory(smoke),
        named(0.05, 0.2, which),
        forty(5.0, ["uniform"] if smoke else ["uniform", "laplace", "exponential", "student-t", "gaussian-mixture"]),
        *([] if smoke else [named(1e-4, 3.0, which)]),
    ]  # fmt: skip


def main() -> None:
    """Print the records."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--smoke", action="store_true")
    for record in run(parser.parse_args().smoke):
        word = "pass" if record["passed"] else "FAIL"
        print(f"{word}  {record['claim']}: expected {record['expected']}; measured {record['measured']}", flush=True)


if __name__ == "__main__":
    main()
