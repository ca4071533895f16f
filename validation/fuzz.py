"""Fuzz run: hostile arguments, files and command lines against every public function, each case bounded.

    python -m validation.fuzz                        20 000 cases, two worker processes, a report
    python -m validation.fuzz --cases 500 --seed 7   other cases
    python -m validation.fuzz --case 1234            one case again, with its traceback

A case is a function of (seed, number) alone. It runs with warnings (numpy's among them) as errors, in a folder of its
own, within a limit of processor time, and in a process with a limit of memory; a case that does not return at all is
killed with its process. It passes when the answer is right (bounds ordered, finite, between Shannon's and Gauss's,
equal at every scale: whatever its probe can check) or when the package refuses it by an error of its own. It fails
on any other exception or warning, a wrong answer, exit codes outside the contract, a file outside its folder, a
loaded pickle, the limits, or the death of the process.
"""

from __future__ import annotations

import argparse
import collections
import importlib
import json
import math
import multiprocessing
import multiprocessing.connection
import os
import random
import resource
import signal
import sys
import tempfile
import time
import traceback
import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

CASES, SMOKE_CASES, SEED = 20_000, 150, 5
CPU_SECONDS, GRACE = 120.0, 4.0  # processor time of one case; the parent waits GRACE times longer by the clock
MEMORY = 6 << 30
PROBE_MODULES = ("solving", "sources", "bounds", "heat", "paths", "curves", "others", "commands", "files")


class TimeUp(BaseException):
    """The case used up its processor time."""


def probes() -> list[Any]:
    """Every probe there is, in an order that does not change: cases depend on it."""
    from validation.fuzzing.probes import PROBES

    for module in PROBE_MODULES:
        importlib.import_module(f"validation.fuzzing.{module}")
    return PROBES


def run_case(seed: int, number: int, only: str | None = None) -> dict[str, Any]:
    """Run one case here and return what happened."""
    from validation.fuzzing.dice import Dice

    chosen = [each for each in probes() if only in (None, each.name)]
    weights = [each.weight for each in chosen]
    probe = random.Random(f"{seed}:{number}:which").choices(chosen, weights)[0]
    with tempfile.TemporaryDirectory(prefix="fuzz") as outer:
        folder = Path(outer, "case")
        folder.mkdir()
        dice = Dice(f"{seed}:{number}", folder)
        began, before = time.process_time(), os.getcwd()
        os.chdir(folder)
        try:
            outcome, detail = _judged(probe, dice)
        finally:
            os.chdir(before)
        strays = sorted(path.name for path in Path(outer).iterdir() if path.name != "case")
    if strays:
        outcome, detail = "stray", f"left outside its folder: {strays}"
    cpu = time.process_time() - began
    record = {"case": number, "probe": probe.name, "outcome": outcome, "cpu": cpu}
    return record if outcome in ("answer", "refused") else {**record, "detail": detail, "said": dice.said}


def _judged(probe: Any, dice: Any) -> tuple[str, str]:
    from heatrd.errors import HeatrdError, HeatrdWarning

    signal.signal(signal.SIGPROF, _time_up)
    signal.setitimer(signal.ITIMER_PROF, CPU_SECONDS)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            warnings.simplefilter("ignore", HeatrdWarning)
            probe.run(dice)
        return "answer", ""
    except HeatrdError:
        return "refused", ""
    except TimeUp:
        return "slow", f"more than {CPU_SECONDS:g} s\n" + traceback.format_exc(limit=-6)
    except AssertionError as error:
        return "wrong", f"{error}\n" + traceback.format_exc(limit=-4)
    except (Exception, SystemExit) as error:
        return type(error).__name__, traceback.format_exc(limit=-8)
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)


def _time_up(*_: Any) -> None:
    raise TimeUp


def _worker(pipe: Any, seed: int, memory: int) -> None:
    """Run the cases whose numbers arrive, until None does."""
    resource.setrlimit(resource.RLIMIT_AS, (memory, memory))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    sys.stdout.flush()
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    while (number := pipe.recv()) is not None:
        pipe.send(run_case(seed, number))


class _Hand:
    """One worker process and the case it has in hand."""

    def __init__(self, seed: int, memory: int) -> None:
        self.seed, self.memory = seed, memory
        self.start()

    def start(self) -> None:
        context = multiprocessing.get_context("spawn")
        self.pipe, theirs = context.Pipe()
        self.process = context.Process(target=_worker, args=(theirs, self.seed, self.memory), daemon=True)
        self.process.start()
        theirs.close()
        self.case: int | None = None
        self.since = time.monotonic()

    def give(self, number: int) -> None:
        self.case, self.since = number, time.monotonic()
        self.pipe.send(number)

    def result(self) -> dict[str, Any] | None:
        """What became of the case, if it has ended; a dead or hanging process is replaced."""
        late = time.monotonic() - self.since > GRACE * CPU_SECONDS
        if not self.pipe.poll() and self.process.is_alive() and not late:
            return None
        case = self.case
        try:
            if self.pipe.poll():
                self.case = None
                return self.pipe.recv()
        except EOFError:
            pass
        outcome = "hang" if self.process.is_alive() else f"died ({self.process.exitcode})"
        self.process.kill()
        self.process.join()
        self.start()
        return {"case": case, "probe": "?", "outcome": outcome, "cpu": CPU_SECONDS, "detail": outcome, "said": []}


def campaign(numbers: Sequence[int], seed: int, workers: int, memory: int = MEMORY) -> Iterator[dict[str, Any]]:
    """Yield the record of every case, as they end."""
    hands = [_Hand(seed, memory) for _ in range(workers)]
    waiting, left = collections.deque(numbers), len(numbers)
    try:
        while left:
            for hand in hands:
                found = hand.result() if hand.case is not None else None
                if hand.case is None and waiting:
                    hand.give(waiting.popleft())
                if found is not None:
                    left -= 1
                    yield found
            multiprocessing.connection.wait([hand.pipe for hand in hands], timeout=1.0)
    finally:
        for hand in hands:
            hand.process.kill()


def watched(numbers: Sequence[int], seed: int, workers: int, seconds: float = math.inf) -> list[dict[str, Any]]:
    """Run a campaign, print failures as they come and counts now and then, and stop after ``seconds`` by the clock."""
    records, began = [], time.monotonic()
    for record in campaign(numbers, seed, workers):
        records.append(record)
        if "detail" in record:
            tail = record["detail"][-600:]
            print(f"case {record['case']} {record['probe']}: {record['outcome']}: {tail}", flush=True)
        if len(records) % 500 == 0:
            print(f"-- {len(records)} cases", dict(collections.Counter(r["outcome"] for r in records)), flush=True)
        if time.monotonic() - began > seconds:
            break
    return records


def summary(records: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Counts by outcome and by probe, the slowest case, and the failures."""
    outcomes = collections.Counter(record["outcome"] for record in records)
    by_probe: dict[str, collections.Counter[str]] = collections.defaultdict(collections.Counter)
    for record in records:
        by_probe[record["probe"]][record["outcome"]] += 1
    return {
        "cases": len(records),
        "outcomes": dict(outcomes),
        "probes": {name: dict(count) for name, count in sorted(by_probe.items())},
        "cpu": sum(record["cpu"] for record in records),
        "slowest": max((record["cpu"] for record in records), default=0.0),
        "failures": [record for record in records if record["outcome"] not in ("answer", "refused")],
    }


def run(smoke: bool = False) -> dict[str, Any]:
    """The claim: no case fails. Smoke size here, one after another; the full size in worker processes."""
    records = [run_case(SEED, k) for k in range(SMOKE_CASES)] if smoke else watched(range(CASES), SEED, 2)
    return claim({"seed": SEED, **summary(records)})


def claim(found: dict[str, Any]) -> dict[str, Any]:
    """What `python -m validation` records of a run: of failures, what `--case` needs to show them again."""
    kept = ("case", "probe", "outcome", "cpu")
    found = {**found, "failures": [{key: each[key] for key in kept} for each in found["failures"]]}
    answered, refused = (found["outcomes"].get(name, 0) for name in ("answer", "refused"))
    return {
        "claim": f"{found['cases']} hostile cases: a right answer or an error of heatrd",
        "expected": "no other outcome",
        "measured": f"{answered} answered, {refused} refused, {len(found['failures'])} neither",
        "passed": not found["failures"],
        "data": found,
    }


def main(argv: Sequence[str] | None = None) -> int:
    """Run a campaign and print what it found."""
    parser = argparse.ArgumentParser(prog="python -m validation.fuzz")
    parser.add_argument("--cases", type=int, default=CASES)
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--seed", type=int, default=SEED)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--seconds", type=float, default=math.inf, help="stop after this time, by the clock")
    parser.add_argument("--json", type=Path)
    parser.add_argument("--case", type=int, help="run this case here and print it")
    args = parser.parse_args(argv)
    if args.case is not None:
        record = run_case(args.seed, args.case)
        print(json.dumps({**record, "detail": None}, indent=1), record.get("detail", ""), sep="\n")
        return int("detail" in record)
    found = summary(watched(range(args.first, args.first + args.cases), args.seed, args.workers, args.seconds))
    print(json.dumps({k: v for k, v in found.items() if k != "failures"}, indent=1))
    if args.json:
        args.json.write_text(json.dumps(found, indent=1, default=str) + "\n")
    return int(bool(found["failures"]))


if __name__ == "__main__":
    sys.exit(main())
