"""One BLAS thread while a problem in R^d is solved, where threadpoolctl is installed.

The matrices are small, a few dozen to a thousand rows: handing them to BLAS threads costs more than it gains, and makes
rounding, and with it the number of rounds, depend on how many there are.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from functools import cache
from typing import Any

__all__ = ["one_blas_thread"]

_lock = threading.Lock()
_limit = ExitStack()
_inside = 0


@cache
def _controller() -> Any:
    """The libraries loaded, seen through threadpoolctl; None without it."""
    try:
        from threadpoolctl import ThreadpoolController
    except ImportError:
        return None
    return ThreadpoolController()


@contextmanager
def one_blas_thread() -> Iterator[None]:
    """Limit BLAS to one thread until the last of all solves that run at the same time is done."""
    global _inside
    with _lock:
        _inside += 1
        if _inside == 1 and (controller := _controller()) is not None:
            _limit.enter_context(controller.limit(limits=1, user_api="blas"))
    try:
        yield
    finally:
        with _lock:
            _inside -= 1
            if _inside == 0:
                _limit.close()
