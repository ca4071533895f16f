"""compile the numerical kernels now, so that the next command starts at once

examples:
  heatrd warmup
  heatrd warmup --json
"""

from __future__ import annotations

import argparse
import sys
import time

import numpy as np

import heatrd
from heatrd import sources
from heatrd.cli._output import print_json

__all__ = ["PROBLEMS", "add_arguments", "run"]


def _line() -> None:
    for name in ("uniform", "laplace", "gaussian"):
        heatrd.solve(heatrd.as_source(name), epsilon=0.2)


def _radial() -> None:
    heatrd.solve(sources.Disc(), epsilon=0.1)


def _plane() -> None:
    heatrd.solve(sources.Banana(0.8), epsilon=0.3)


def _mixture(dim: int) -> sources.Source:
    means, covariances = np.zeros((2, dim)), np.stack([0.3 * np.eye(dim), np.diag([0.2, 0.4, 0.3][:dim])])
    means[1, 0] = 1.0
    return sources.GaussianMixture([0.5, 0.5], means, covariances)


def _space() -> None:
    heatrd.solve(_mixture(3), epsilon=0.5)


def _heat() -> None:
    for dim in (1, 2, 3):
        heatrd.backward_heat(_mixture(dim), 0.1, method="finite-difference")


def _paths() -> None:
    heatrd.sample(heatrd.solve(heatrd.as_source("uniform"), epsilon=0.2), 64, 8, rng=1)
    heatrd.sample(heatrd.backward_heat(_mixture(2), 0.1), 64, 8, rng=1)


PROBLEMS = {
    "line": _line,
    "radial": _radial,
    "plane": _plane,
    "space": _space,
    "backward heat": _heat,
    "sampled paths": _paths,
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of ``heatrd warmup``."""
    parser.add_argument("--json", action="store_true", help="print exactly one JSON object on stdout")


def run(args: argparse.Namespace) -> int:
    """Solve one small problem of each kind, which compiles and caches its kernels on the way."""
    start = time.perf_counter()
    for problem in PROBLEMS.values():
        problem()
    seconds = time.perf_counter() - start
    if args.json:
        print_json({"seconds": seconds, "solved": list(PROBLEMS)})
    else:
        print(f"kernels are ready ({', '.join(PROBLEMS)}: {seconds:.1f} s)", file=sys.stdout)
    return 0
