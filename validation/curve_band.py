"""Claim: the band of `heatrd.rd_curve` encloses independent solves, is as narrow as asked, and takes few solves.

    python validation/curve_band.py [--tol 1e-4] [sources ...]

Fails (exit code 1) when a point solved to 1e-9 lies outside the band, when the band is wider than asked, or when more
than 60 solves were needed at 1e-4.
"""

import argparse
import sys
import time
import warnings

import numpy as np

import heatrd


def check(name, tol):
    began, cpu = time.perf_counter(), time.process_time()
    curve = heatrd.rd_curve(name, tol=tol)
    wall, cpu = time.perf_counter() - began, time.process_time() - cpu
    outside = 0
    for d in np.geomspace(curve.asked[0] * 1.01, curve.asked[1] * 0.97, 9):
        point = heatrd.solve(name, distortion=d, tol=1e-8)
        lower, upper = curve.bounds(point.distortion)
        outside += not (lower <= point.rate + 1e-12 and point.rate_lower <= upper + 1e-12)
    few = tol < 9e-5 or curve.solves <= 60
    good = outside == 0 and curve.width <= tol and few
    print(
        f"{name:18s} width {curve.width:.2e} solves {curve.solves:3d} certificates {curve.certificates:5d} "
        f"knots {curve.knots.size:5d} "
        f"outside {outside} wall {wall:.1f} s cpu {cpu:.1f} s {'ok' if good else 'FAILED'}",
        flush=True,
    )
    return good


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("sources", nargs="*", default=["uniform", "laplace", "gaussian-mixture"])
    parser.add_argument("--tol", type=float, default=1e-4)
    args = parser.parse_args()
    warnings.simplefilter("ignore", heatrd.HeatrdWarning)
    return 0 if all([check(name, args.tol) for name in args.sources]) else 1


if __name__ == "__main__":
    sys.exit(main())
