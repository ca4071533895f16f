"""The one decorator of all kernels: serial, GIL-free, cached where that is safe.

``cache=True`` fails at import where no cache directory is writable and does not recover from a
corrupt cache file; here both fall back to compiling in memory. The first compilation
in a process is announced on stderr, because it takes seconds.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

import numba
from numba.core import event

__all__ = ["jit"]


class _ForgivingCache:
    """A numba function cache whose failures mean "not cached" instead of an exception."""

    def __init__(self, cache: Any) -> None:
        self._cache = cache

    def __getattr__(self, name: str) -> Any:
        return getattr(self._cache, name)

    def load_overload(self, *args: Any) -> Any:
        try:
            return self._cache.load_overload(*args)
        except Exception:  # a corrupt or truncated cache file: recompile
            return None

    def save_overload(self, *args: Any) -> None:
        try:
            self._cache.save_overload(*args)
        except Exception:
            try:
                self._cache.flush()  # an unreadable index: start a new one
                self._cache.save_overload(*args)
            except Exception:
                return


class _Announcer(event.Listener):
    """Say once, on stderr, that kernels are being compiled."""

    announced = False

    def on_start(self, event: Any) -> None:
        kernel = getattr(event.data["dispatcher"], "py_func", None)
        ours = getattr(kernel, "__module__", "").startswith("heatrd.")
        if ours and not _Announcer.announced:
            _Announcer.announced = True
            print("heatrd: compiling numerical kernels (first use only) ...", file=sys.stderr, flush=True)

    def on_end(self, event: Any) -> None:
        return


def jit(function: Callable[..., Any]) -> Any:
    """Compile ``function`` with numba: ``nogil``, IEEE arithmetic, forgiving cache."""
    try:
        dispatcher = numba.njit(nogil=True, cache=True)(function)
    except RuntimeError:  # no locator: nowhere to write a cache
        return numba.njit(nogil=True)(function)
    if hasattr(dispatcher, "_cache"):  # absent under NUMBA_DISABLE_JIT=1
        dispatcher._cache = _ForgivingCache(dispatcher._cache)
    return dispatcher


event.register("numba:compile", _Announcer())
