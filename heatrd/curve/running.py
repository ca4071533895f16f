"""Running independent pieces of work: here, in processes, or on any `concurrent.futures` executor.

Pieces are pure functions of their arguments and results are used by their place, not by their time of arrival: who
computes them, and in
which order, cannot change a byte of the result.
"""

from __future__ import annotations

import concurrent.futures as cf
import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from heatrd import arguments
from heatrd.errors import HeatrdError, InvalidInput

__all__ = ["Piece", "Ticking", "progress_bar", "run_pieces", "working"]

Piece = tuple[Callable[..., Any], tuple[Any, ...]]

_MOST_WORKERS = 1024


@contextmanager
def working(executor: Any, workers: int | None) -> Iterator[Any]:
    """Yield the executor to use: the caller's, a pool of ``workers`` processes, or None (run here).

    Raises
    ------
    InvalidInput
        Both are given, ``workers`` is not a positive integer, or the executor cannot submit.
    """
    if executor is not None:
        if workers is not None:
            raise InvalidInput("give executor or workers, not both")
        if not callable(getattr(executor, "submit", None)):
            raise InvalidInput(
                f"executor={executor!r} has no submit(); give a concurrent.futures.Executor or workers=2"
            )
        yield executor
        return
    if workers is None:
        yield None
        return
    if isinstance(workers, bool) or not isinstance(workers, int) or not 1 <= workers <= _MOST_WORKERS:
        raise InvalidInput(f"workers={arguments.short(workers)}; need an integer from 1 to {_MOST_WORKERS}")
    pool = _Pool(workers, mp_context=multiprocessing.get_context("spawn"), initializer=_worker)
    try:
        yield pool
    except BaseException:
        _terminate(pool)
        raise
    pool.shutdown()


class _Pool(cf.ProcessPoolExecutor):
    """Our own worker processes: stopped by ending them, which settles what is pending."""


def _worker() -> None:
    """Set a worker process up: the parent handles Ctrl-C, and no worker outlives the parent."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    parent = multiprocessing.parent_process()
    if parent is not None:
        threading.Thread(target=_leave_with, args=(parent,), daemon=True).start()


def _leave_with(parent: Any) -> None:
    parent.join()
    os._exit(1)


def _terminate(pool: _Pool) -> None:
    processes = list((getattr(pool, "_processes", None) or {}).values())
    pool.shutdown(wait=False)
    for process in processes:
        process.terminate()


def run_pieces(executor: Any, pieces: Sequence[Piece], done: Callable[[int, Any], None]) -> None:
    """Run every piece and report each result (or the `HeatrdError` that it raised) as ``done(index, result)``, as
    they arrive.
    """
    if executor is None:
        for index, (function, arguments) in enumerate(pieces):
            done(index, _guarded(function, *arguments))
        return
    futures = {
        executor.submit(_guarded, function, *arguments): index for index, (function, arguments) in enumerate(pieces)
    }
    pending = set(futures)
    try:
        while pending:
            finished, pending = cf.wait(pending, timeout=0.2, return_when=cf.FIRST_COMPLETED)
            for future in finished:
                done(futures[future], future.result())
    except BaseException:
        if not isinstance(executor, _Pool):
            for future in pending:
                future.cancel()
        raise


def _guarded(function: Callable[..., Any], *arguments: Any) -> Any:
    """Return the result, or the error of our own family as a value."""
    try:
        return function(*arguments)
    except HeatrdError as error:
        return error


class _Silent:
    """A progress bar that shows nothing."""

    total: int = 0

    def update(self, n: int = 1) -> None: ...

    def refresh(self) -> None: ...

    def close(self) -> None: ...


class Ticking:
    """A tqdm bar whose clock goes on while a piece takes long.

    Parameters
    ----------
    bar : tqdm
    every : float
        Seconds between two drawings.
    """

    def __init__(self, bar: Any, every: float = 1.0) -> None:
        self._bar, self._every, self._closed = bar, every, threading.Event()
        self._clock = threading.Thread(target=self._tick, daemon=True)
        self._clock.start()

    @property
    def total(self) -> int:
        return int(self._bar.total)

    @total.setter
    def total(self, pieces: int) -> None:
        self._bar.total = pieces

    def update(self, n: int = 1) -> None:
        self._bar.update(n)

    def refresh(self) -> None:
        self._bar.refresh()

    def close(self) -> None:
        self._closed.set()
        self._clock.join()
        self._bar.close()

    def _tick(self) -> None:
        while not self._closed.wait(self._every):
            self._bar.refresh()


def progress_bar(wanted: bool, label: str) -> _Silent | Ticking:
    """Return a tqdm bar on stderr, with time left, where wanted and tqdm is installed; a silent one otherwise."""
    if wanted:
        try:
            from tqdm import tqdm
        except ImportError:
            return _Silent()
        return Ticking(tqdm(total=0, desc=label, unit="pt", dynamic_ncols=True, leave=False, smoothing=0))
    return _Silent()
