"""Efficiency of two workers on a curve in the plane.

    python validation/benchmarks/curve.py [--tol 1e-3]

Speed-up by wall clock: the time of one worker process over that of two. On a busy machine that says little, so that
the processor time of every piece of work is recorded too: all of it over that of the busier of the two workers, which
is what the division of the work allows. Fails below 1.7 by processor time, and by wall clock where the machine is
otherwise idle.
"""

import argparse
import concurrent.futures as cf
import multiprocessing
import os
import sys
import time
import warnings

os.environ.setdefault("OMP_NUM_THREADS", "1")

import heatrd
from heatrd.errors import HeatrdWarning

ENOUGH = 1.7


def timed(function, *arguments):
    """Result of a piece, the process that made it, and its processor seconds."""
    began = time.process_time()
    result = function(*arguments)
    return result, os.getpid(), time.process_time() - began


class Recording(cf.ProcessPoolExecutor):
    """Worker processes that tell what each piece took."""

    def __init__(self, workers):
        super().__init__(workers, mp_context=multiprocessing.get_context("spawn"))
        self.pieces = []

    def submit(self, function, /, *arguments):
        outer = cf.Future()

        def done(inner):
            result, worker, seconds = inner.result()
            self.pieces.append((worker, seconds))
            outer.set_result(result)

        super().submit(timed, function, *arguments).add_done_callback(done)
        return outer


def source():
    """A mixture without symmetry, so that neither radius nor product shortens the work."""
    covariances = [[[0.3, 0.1], [0.1, 0.2]], [[0.2, -0.05], [-0.05, 0.4]], [[0.25, 0.0], [0.0, 0.15]]]
    return heatrd.sources.GaussianMixture([0.3, 0.4, 0.3], [[-1.0, 0.2], [0.8, 0.9], [0.5, -1.1]], covariances)


def run(workers, tol):
    """Wall seconds of the curve, and processor seconds of each worker."""
    with Recording(workers) as executor:
        list(executor.map(len, [()] * workers))
        began = time.perf_counter()
        heatrd.rd_curve(source(), tol=tol, max_rate=1.4, executor=executor)
        wall = time.perf_counter() - began
    busy = {}
    for worker, seconds in executor.pieces:
        busy[worker] = busy.get(worker, 0.0) + seconds
    return wall, sorted(busy.values())


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tol", type=float, default=1e-3)
    args = parser.parse_args()
    warnings.simplefilter("ignore", HeatrdWarning)
    idle = os.getloadavg()[0] < 0.5
    (one, _), (two, busy) = run(1, args.tol), run(2, args.tol)
    by_processor = sum(busy) / max(busy)
    print(f"by processor time {by_processor:.2f} (workers {', '.join(f'{s:.1f} s' for s in busy)})")
    print(f"by wall clock {one / two:.2f} ({one:.1f} s, {two:.1f} s){'' if idle else ', on a busy machine'}")
    return 0 if by_processor >= ENOUGH and (not idle or one / two >= ENOUGH) else 1


if __name__ == "__main__":
    sys.exit(main())
