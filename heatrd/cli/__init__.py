"""The command line: ``heatrd COMMAND ...``, also ``python -m heatrd``.

Answers go to stdout; progress, warnings and errors to stderr, one line each.

========= =============================================================
exit code meaning
========= =============================================================
0         done
1         internal error (``HEATRD_DEBUG=1`` shows the traceback)
2         bad input
3         not certified to the tolerance asked; the best answer is printed
4         refused, or stopped, for memory
130       interrupted; finished points are printed, checkpoints kept
========= =============================================================
"""

from __future__ import annotations

import _thread
import os
import sys
import threading
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from heatrd.cli._parser import build_parser
from heatrd.errors import HeatrdError, HeatrdWarning, InvalidInput, NotConverged, TooLarge

__all__ = ["main"]

EXTRAS = {"jax": "neural", "equinox": "neural", "optax": "neural", "dask": "distributed", "distributed": "distributed"}
DONE, INTERNAL, BAD_INPUT, NOT_CERTIFIED, NO_MEMORY, INTERRUPTED = 0, 1, 2, 3, 4, 130


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit code.

    Parameters
    ----------
    argv : sequence of str, optional
        Arguments without the program's name; ``sys.argv[1:]`` when omitted.

    Returns
    -------
    int
        0, 1, 2, 3, 4 or 130, as the table above says.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("default", HeatrdWarning)
        warnings.showwarning = _one_line_warning
        _open_streams()
        try:
            args = build_parser().parse_args(argv)
        except SystemExit as stop:  # argparse: --help (0) or a usage error (2), already printed
            return int(stop.code or 0)
        with _no_interrupt_lost():
            return _guarded(lambda: int(args.run(args)))


@contextmanager
def _no_interrupt_lost() -> Iterator[None]:
    """Raise Ctrl-C once more where it came during a destructor (llvmlite's, say): Python only reports it there."""
    before = sys.unraisablehook

    def hook(found: Any) -> None:
        if issubclass(found.exc_type, KeyboardInterrupt):
            threading.Timer(0.01, _thread.interrupt_main).start()
        else:
            before(found)

    sys.unraisablehook = hook
    try:
        yield
    finally:
        sys.unraisablehook = before


def _open_streams() -> None:
    """Give a process that was started without an output (``>&-``) one that forgets."""
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, "w"))


def _guarded(command: Callable[[], int]) -> int:
    """Run a command and turn every exception into one line on stderr and an exit code."""
    if os.environ.get("HEATRD_DEBUG") == "1":
        return command()
    try:
        code = command()
        sys.stdout.flush()
        return code
    except BrokenPipeError:  # the reader has seen enough (``heatrd curve laplace | head``)
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return DONE
    except KeyboardInterrupt:
        return _say("interrupted", INTERRUPTED)
    except (TooLarge, MemoryError) as error:
        return _say(str(error) or "out of memory; try a smaller problem", NO_MEMORY)
    except NotConverged as error:
        return _say(str(error), NOT_CERTIFIED)
    except (InvalidInput, OSError) as error:
        return _say(str(error), BAD_INPUT)
    except ModuleNotFoundError as error:
        return _say(_missing_module(error), INTERNAL if _is_own(error) else BAD_INPUT)
    except HeatrdError as error:
        return _say(str(error), INTERNAL)
    except Exception as error:
        if isinstance(error.__cause__, KeyboardInterrupt):  # numba's dispatcher wraps it in a SystemError
            return _say("interrupted", INTERRUPTED)
        return _say(f"internal error: {type(error).__name__}: {error} (HEATRD_DEBUG=1 shows the traceback)", INTERNAL)


def _say(message: str, code: int) -> int:
    print("heatrd:", " ".join(message.split()), file=sys.stderr)
    return code


def _is_own(error: ModuleNotFoundError) -> bool:
    return (error.name or "").partition(".")[0] == "heatrd"


def _missing_module(error: ModuleNotFoundError) -> str:
    extra = EXTRAS.get((error.name or "").partition(".")[0])
    advice = f"; try: pip install 'heatrd[{extra}]'" if extra else ""
    return f"{error}{advice}"


def _one_line_warning(message: Warning | str, category: type[Warning], *_: Any, **__: Any) -> None:
    kind = "warning" if issubclass(category, HeatrdWarning) else f"warning ({category.__name__})"
    print(f"heatrd: {kind}:", " ".join(str(message).split()), file=sys.stderr)
