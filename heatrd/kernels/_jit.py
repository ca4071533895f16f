"""The one decorator of all kernels: serial, GIL-free, cached where that is safe.

``cache=True`` fails at import where no cache directory is writable and does not recover from a
corrupt cache file; here both fall back to compiling in memory. The first compilation
in a process is announced on stderr, because it takes seconds.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import numba
from llvmlite import ir
from numba.core import event, types
from numba.extending import intrinsic

__all__ = ["jit", "jit_sums", "prefetch"]


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


def jit(function: Callable[..., Any], fastmath: Any = False) -> Any:
    """Compile ``function`` with numba: ``nogil``, IEEE arithmetic, forgiving cache."""
    try:
        dispatcher = numba.njit(nogil=True, cache=True, fastmath=fastmath)(function)
    except RuntimeError:  # no locator: nowhere to write a cache
        return numba.njit(nogil=True, fastmath=fastmath)(function)
    if hasattr(dispatcher, "_cache"):  # absent under NUMBA_DISABLE_JIT=1
        if hasattr(getattr(dispatcher._cache, "_cache_file", None), "_source_stamp"):
            dispatcher._cache._cache_file._source_stamp = _stamp()
        dispatcher._cache = _ForgivingCache(dispatcher._cache)
    return dispatcher


@cache
def _stamp() -> tuple[tuple[str, float, int], ...]:
    """Times and sizes of all kernel files: one kernel compiles another's code into its own.

    numba looks at the file of a function only, and would go on with what was compiled from the old text of another.
    """
    try:
        states = [(path.name, path.stat()) for path in sorted(Path(__file__).parent.glob("*.py"))]
    except OSError:
        return ()
    return tuple((name, state.st_mtime, state.st_size) for name, state in states)


def jit_sums(function: Callable[..., Any]) -> Any:
    """Compile as `jit`, but sums may be taken in any order, in vector registers.

    Infinities and NaN keep their meaning. Kernels called from here keep the arithmetic that they were compiled with.
    """
    return jit(function, fastmath={"reassoc", "contract", "nsz"})


@intrinsic
def _prefetch(typing_context: Any, array: Any, index: Any) -> Any:
    def generate(context: Any, builder: Any, signature: Any, values: Any) -> Any:
        word, byte = ir.IntType(32), ir.IntType(8).as_pointer()
        data = context.make_array(signature.args[0])(context, builder, values[0]).data
        kind = ir.FunctionType(ir.VoidType(), [byte, word, word, word])
        call = builder.module.declare_intrinsic("llvm.prefetch", [byte], kind)
        reading, second_cache, of_data = word(0), word(2), word(1)
        where = builder.bitcast(builder.gep(data, [values[1]]), byte)
        builder.call(call, [where, reading, second_cache, of_data])
        return context.get_dummy_value()

    return types.void(array, index), generate


def _nothing(array: Any, index: Any) -> None:
    """Stand in for `prefetch` where kernels run as Python."""


#: Ask for the cache line of ``array[index]`` (contiguous), to be brought into the second cache meanwhile.
prefetch: Any = _nothing if vars(numba.config)["DISABLE_JIT"] else _prefetch

event.register("numba:compile", _Announcer())
