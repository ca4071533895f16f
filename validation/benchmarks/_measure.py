"""Clock, spread and memory of the benchmarks.

Times are processor seconds of the process, all threads together, so that other programs' turns on the cores are left
out and a peer that spreads over cores is charged for what it uses. Repetitions give median, least and largest; a ratio
carries the range that the two spreads allow.
"""

from __future__ import annotations

import multiprocessing
import resource
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

Summary = dict[str, Any]


def timed(work: Callable[[], Any]) -> tuple[float, Any]:
    """Processor seconds and result of one call."""
    began = time.process_time()
    result = work()
    return time.process_time() - began, result


def repeated(work: Callable[[], Any], first: float | None = None) -> Summary:
    """Times of five calls below 0.2 s, three up to ten, otherwise one; ``first`` counts as a call."""
    times = [timed(work)[0] if first is None else first]
    calls = 5 if times[0] < 0.2 else 3 if times[0] < 10 else 1
    times += [timed(work)[0] for _ in range(calls - 1)]
    return {"median": statistics.median(times), "low": min(times), "high": max(times), "runs": len(times)}


def ratio(theirs: Summary, ours: Summary) -> Summary:
    """Times theirs is slower than ours: ratio of medians, and the range of ratios."""
    return {
        "median": theirs["median"] / ours["median"],
        "low": theirs["low"] / ours["high"],
        "high": theirs["high"] / ours["low"],
    }


def exponent(sizes: list[float], seconds: list[float]) -> tuple[float, float]:
    """Slope of log seconds against log size by least squares, with its standard error."""
    import numpy as np

    x, y = np.log(sizes), np.log(seconds)
    slope, intercept = np.polyfit(x, y, 1)
    rest = y - slope * x - intercept
    spread = np.sqrt((rest**2).sum() / max(1, len(x) - 2) / ((x - x.mean()) ** 2).sum())
    return float(slope), float(spread)


def peak_memory(warm: Callable[[], Any], work: Callable[[], Any]) -> float:
    """Bytes that ``work`` adds at its peak to a fresh process that has done ``warm``; both must be picklable."""
    context = multiprocessing.get_context("spawn")
    here, there = context.Pipe(duplex=False)
    child = context.Process(target=_measure_peak, args=(there, warm, work))
    child.start()
    there.close()
    try:
        return float(here.recv())
    finally:
        child.join()


def _measure_peak(pipe: Any, warm: Callable[[], Any], work: Callable[[], Any]) -> None:
    warm()
    before = _status("VmRSS")
    if before is None:  # no /proc: the difference of all-time peaks, which a large warm-up could hide
        unit = 1 if sys.platform == "darwin" else 1024
        first = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        work()
        pipe.send((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - first) * unit)
        return
    Path("/proc/self/clear_refs").write_text("5")
    work()
    pipe.send(max(0, (_status("VmHWM") or before) - before))


def _status(field: str) -> int | None:
    """A field of /proc/self/status in bytes."""
    path = Path("/proc/self/status")
    if not path.exists():
        return None
    line = next(line for line in path.read_text().splitlines() if line.startswith(field))
    return int(line.split()[1]) * 1024
