"""Throughput of the sampler beside what generating its normals alone allows; time and memory of 10⁶ paths × 200 steps.

One dimension, tabulated control, Euler steps with energy; one thread for the ratio, all cores for the run.
``python -m validation.benchmarks.sampler [--smoke]``.
"""

from __future__ import annotations

import resource
import sys
import time
from collections.abc import Iterator
from typing import Any

import numpy as np

import heatrd
from heatrd.sampler import sample

CHUNK = 16_384


def normals(count: int) -> float:
    """Seconds for ``count`` standard normals into one buffer, as the sampler draws them."""
    rng, buffer = np.random.default_rng(0), np.empty((CHUNK, 1))
    start = time.perf_counter()
    for _ in range(count // CHUNK):
        rng.standard_normal(out=buffer)
    return (time.perf_counter() - start) * count / (count // CHUNK * CHUNK)


def simulated(bridge: Any, paths: int, steps: int, scheme: str, threads: int | None) -> float:
    """Seconds of one run."""
    start = time.perf_counter()
    sample(bridge, paths, steps, rng=0, scheme=scheme, threads=threads, table=True)
    return time.perf_counter() - start


def parts(smoke: bool) -> Iterator[dict[str, Any]]:
    """Records, one at a time."""
    bridge = heatrd.solve(heatrd.sources.Uniform(), epsilon=0.2).bridge
    paths, steps, repeats = (100_000, 50, 2) if smoke else (1_000_000, 200, 3)
    simulated(bridge, 20_000, 4, "euler", 1)
    pairs = [(normals(paths * steps), simulated(bridge, paths, steps, "euler", 1)) for _ in range(repeats)]
    draw, run_ = min(p[0] for p in pairs), min(p[1] for p in pairs)
    yield {
        "claim": "throughput over that of the normals alone, one thread",
        "expected": "≥ 0.5",
        "measured": draw / run_,
        "passed": draw / run_ >= 0.5,
        "data": {"normals_s": draw, "run_s": run_, "paths": paths, "steps": steps},
    }
    for scheme in ("euler", "exact"):
        seconds = simulated(bridge, paths, steps, scheme, None)
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
        yield {
            "claim": f"{paths:,} paths × {steps} steps, {scheme}",
            "expected": "≤ 20 s and ≤ 1 GiB",
            "measured": [seconds, peak],
            "passed": seconds <= 20 and peak <= 1,
        }


def run(smoke: bool = False) -> list[dict[str, Any]]:
    """Every record of this module."""
    return list(parts(smoke))


if __name__ == "__main__":
    for found in parts("--smoke" in sys.argv):
        print(
            "pass" if found["passed"] else "FAIL",
            found["claim"],
            "|",
            found["expected"],
            "|",
            found["measured"],
            found.get("data", ""),
            flush=True,
        )
