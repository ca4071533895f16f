"""compile the numerical kernels now, so that the next command starts at once

examples:
  heatrd warmup
  heatrd warmup --json
"""

from __future__ import annotations

import argparse
import sys
import time

import heatrd
from heatrd.cli._output import print_json

__all__ = ["add_arguments", "run"]

TARGETS = (("uniform", 0.2), ("laplace", 0.2), ("gaussian", 0.2))


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of ``heatrd warmup``."""
    parser.add_argument("--json", action="store_true", help="print exactly one JSON object on stdout")


def run(args: argparse.Namespace) -> int:
    """Solve one small problem of each kind, which compiles and caches every kernel on the way."""
    start = time.perf_counter()
    for name, epsilon in TARGETS:
        heatrd.solve(heatrd.as_source(name), epsilon=epsilon)
    seconds = time.perf_counter() - start
    if args.json:
        print_json({"seconds": seconds, "solved": [name for name, _ in TARGETS]})
    else:
        print(f"kernels are ready ({seconds:.1f} s)", file=sys.stdout)
    return 0
