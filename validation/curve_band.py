"""Claim: the band of `heatrd.rd_curve` encloses independent solves, is as narrow as asked, and takes few solves.

    python validation/curve_band.py [--tol 1e-4] [sources ...]

Fails when a point solved to 1e-8 lies outside the band, when the band is wider than asked, when more than 60 solves
were needed, or when it took more than 20 s of processor time.
"""

import argparse
import sys
import time
import warnings
from typing import Any

import numpy as np

import heatrd

SOURCES = ("uniform", "laplace", "gaussian-mixture")
MOST_SOLVES = 60
MOST_SECONDS = 20.0


def check(name: str, tol: float) -> dict[str, Any]:
    """One source: the band against nine independent solves."""
    cpu = time.process_time()
    curve = heatrd.rd_curve(name, tol=tol)
    cpu = time.process_time() - cpu
    outside = 0
    for d in np.geomspace(curve.asked[0] * 1.01, curve.asked[1] * 0.97, 9):
        point = heatrd.solve(name, distortion=d, tol=1e-8)
        lower, upper = curve.bounds(point.distortion)
        outside += not (lower <= point.rate + 1e-12 and point.rate_lower <= upper + 1e-12)
    return {
        "claim": f"{name}: a band of {tol:g} nats holds nine independent solves",
        "expected": f"width <= {tol:g}, 0 outside, at most {MOST_SOLVES} solves and {MOST_SECONDS:g} s of CPU",
        "measured": f"width {curve.width:.2e}, {outside} outside, {curve.solves} solves, {cpu:.1f} s of CPU",
        "passed": bool(outside == 0 and curve.width <= tol and curve.solves <= MOST_SOLVES and cpu <= MOST_SECONDS),
    }


def run(smoke: bool = False) -> list[dict[str, Any]]:
    """Three sources at 1e-4 and at 1e-6 nats; the uniform at 1e-3 when ``smoke``."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", heatrd.HeatrdWarning)
        if smoke:
            return [check("uniform", 1e-3)]
        return [check(name, tol) for tol in (1e-4, 1e-6) for name in SOURCES]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("sources", nargs="*", default=list(SOURCES))
    parser.add_argument("--tol", type=float, default=1e-4)
    args = parser.parse_args()
    warnings.simplefilter("ignore", heatrd.HeatrdWarning)
    records = [check(name, args.tol) for name in args.sources]
    for record in records:
        print("pass" if record["passed"] else "FAIL", record["claim"], "|", record["measured"])
    return 0 if all(record["passed"] for record in records) else 1


if __name__ == "__main__":
    sys.exit(main())
