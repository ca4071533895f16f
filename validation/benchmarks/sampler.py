"""Throughput of the sampler beside what generating its normals alone allows; time and memory of 10⁶ paths × 200 steps.

One dimension, tabulated control, with energy. Processor time, so that other programs' turns are left
out; wall times beside it.
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
    """Processor seconds for ``count`` standard normals into one buffer, as the sampler draws them."""
    rng, buffer = np.random.default_rng(0), np.empty((CHUNK, 1))
    start = time.process_time()
    for _ in range(count // CHUNK):
        rng.standard_normal(out=buffer)
    return (time.process_time() - start) * count / (count // CHUNK * CHUNK)


def simulated(bridge: Any, paths: int, steps: int, scheme: str) -> tuple[float, float]:
    """Wall seconds on all cores, and processor seconds of one run."""
    wall, processor = time.perf_counter(), time.process_time()
    sample(bridge, paths, steps, rng=0, scheme=scheme, table=True)
    return time.perf_counter() - wall, time.process_time() - processor


def parts(smoke: bool) -> Iterator[dict[str, Any]]:
    """Records, one at a time."""
    bridge = heatrd.solve(heatrd.sources.Uniform(), epsilon=0.2).bridge
    paths, steps, repeats = (100_000, 50, 2) if smoke else (1_000_000, 200, 2)
    simulated(bridge, 20_000, 4, "euler")
    draw = min(normals(paths * steps) for _ in range(repeats))
    runs = {scheme: [simulated(bridge, paths, steps, scheme) for _ in range(repeats)] for scheme in ("euler", "exact")}
    busy = min(cpu for _, cpu in runs["euler"])
    yield {
        "claim": "throughput over that of the normals alone",
        "expected": "≥ 0.5",
        "measured": draw / busy,
        "passed": draw / busy >= 0.5,
        "data": {"normals_s": draw, "run_s": busy, "paths": paths, "steps": steps},
    }
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    for scheme, times in runs.items():
        wall, cpu = min(t[0] for t in times), min(t[1] for t in times)
        yield {
            "claim": f"{paths:,} paths × {steps} steps, {scheme}, processor seconds on one core and peak memory",
            "expected": "≤ 20 s and ≤ 1 GiB",
            "measured": [cpu, peak],
            "passed": cpu <= 20 and peak <= 1,
            "data": {"wall_s": wall},
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
