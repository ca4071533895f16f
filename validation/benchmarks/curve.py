"""Efficiency of two workers on a curve in the plane: time on one worker process over twice the time on two.

    python validation/benchmarks/curve.py [--tol 1e-2]

Fails below 0.85 (a speed-up of 1.7) on an otherwise idle machine with two cores; says so when the machine is busy.
"""

import argparse
import os
import sys
import time

os.environ.setdefault("OMP_NUM_THREADS", "1")

import heatrd


def seconds(workers, tol):
    began = time.perf_counter()
    heatrd.rd_curve(heatrd.sources.Square(1.0), tol=tol, max_rate=1.4, workers=workers)
    return time.perf_counter() - began


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tol", type=float, default=1e-2)
    args = parser.parse_args()
    busy = os.getloadavg()[0] > 0.5
    one, two = seconds(1, args.tol), seconds(2, args.tol)
    print(
        f"one worker {one:.1f} s, two workers {two:.1f} s, speed-up {one / two:.2f}{' (machine busy)' if busy else ''}"
    )
    return 0 if busy or one / two >= 1.7 else 1


if __name__ == "__main__":
    sys.exit(main())
