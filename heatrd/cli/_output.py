"""What commands write: aligned tables, one JSON object, CSV and NPZ files, pictures, a sign of life."""

from __future__ import annotations

import argparse
import csv
import io
import json
import math
import os
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

import heatrd
from heatrd.errors import InvalidInput
from heatrd.store import write_whole

__all__ = [
    "NATS_PER",
    "add_output_arguments",
    "add_unit_argument",
    "check_output_files",
    "deliver",
    "numbers",
    "print_json",
    "print_pairs",
    "print_table",
    "progress_wanted",
    "save_picture",
    "sign_of_life",
    "write_columns",
]

NATS_PER = {"nat": 1.0, "bit": math.log(2.0)}
PICTURES = (".png", ".pdf", ".svg")
TABLES = (".csv", ".npz")


def add_output_arguments(parser: argparse.ArgumentParser, *, pictures: Sequence[str] = PICTURES) -> None:
    """Add ``--json``, ``--plot``, ``--out`` and ``--quiet``."""
    group = parser.add_argument_group("output")
    group.add_argument("--json", action="store_true", help="print exactly one JSON object on stdout")
    group.add_argument("--plot", metavar="FILE", help=f"draw the result ({', '.join(pictures)})")
    group.add_argument("--out", metavar="FILE", help="write the numbers (.csv or .npz)")
    group.add_argument("--quiet", action="store_true", help="no progress on stderr")
    parser.set_defaults(pictures=tuple(pictures))


def add_unit_argument(parser: argparse.ArgumentParser) -> None:
    """Add ``--unit``, the unit of every rate read and written."""
    parser.add_argument(
        "--unit", choices=tuple(NATS_PER), default="nat", help="unit of every rate read and written (default: nat)"
    )


def check_output_files(args: argparse.Namespace) -> None:
    """Refuse, before any long computation, output files that could not be written."""
    for file, suffixes in ((args.plot, args.pictures), (args.out, TABLES)):
        if file is None:
            continue
        path = Path(file)
        if path.suffix.lower() not in suffixes:
            raise InvalidInput(f"cannot write {file!r}: its name must end in {', '.join(suffixes)}")
        if not path.parent.is_dir():
            raise InvalidInput(f"cannot write {file!r}: there is no directory {str(path.parent)!r}; create it first")
        if path.is_dir() or not os.access(path if path.exists() else path.parent, os.W_OK):
            raise InvalidInput(f"cannot write {file!r}: no permission, or a directory; choose another place")


def deliver(
    args: argparse.Namespace, *, answer: Callable[[], None], out: Callable[[], None], plot: Callable[[], None]
) -> None:
    """Write the files that were asked for, then print the answer, whatever became of the files.

    In this order ``| head`` costs no picture.
    """
    try:
        if args.out:
            out()
        if args.plot:
            plot()
    finally:
        answer()


def progress_wanted(args: argparse.Namespace) -> bool:
    """Return whether progress should be shown: on a terminal, unless told to be quiet."""
    return not args.quiet and sys.stderr.isatty()


@contextmanager
def sign_of_life(what: str, args: argparse.Namespace, *, after: float = 2.0) -> Iterator[None]:
    """Show, on a terminal, what takes long and for how many seconds it has."""
    if not progress_wanted(args):
        yield
        return
    done = threading.Event()
    ticker = threading.Thread(target=_tick, args=(what, done, after), daemon=True)
    ticker.start()
    try:
        yield
    finally:
        done.set()
        ticker.join()


def _tick(what: str, done: threading.Event, after: float) -> None:
    start = time.monotonic()
    wait = after
    while not done.wait(wait):
        wait = 1.0
        print(f"\r{what} ... {time.monotonic() - start:.0f} s", end="", file=sys.stderr, flush=True)
    if wait < after:
        print("\r\033[K", end="", file=sys.stderr, flush=True)


def print_json(record: Mapping[str, Any]) -> None:
    """Print one JSON object; values without a finite number become null."""
    print(json.dumps({**_plain(record), "version": heatrd.__version__}, allow_nan=False))


def _plain(value: Any) -> Any:
    """Turn arrays, NumPy numbers and non-finite floats into what JSON knows."""
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, np.ndarray):
        return _plain(value.tolist())
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if isinstance(value, np.generic):
        return _plain(value.item())
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    return value if value is None or isinstance(value, str | int | bool) else repr(value)


def print_pairs(pairs: Sequence[tuple[str, str]]) -> None:
    """Print ``name  value`` lines, aligned."""
    width = max(len(name) for name, _ in pairs)
    for name, value in pairs:
        print(f"{name:<{width}}  {value}")


def print_table(columns: Mapping[str, Sequence[str]]) -> None:
    """Print columns of ready text, right-aligned under their heads."""
    widths = {head: max(len(head), *(len(cell) for cell in cells), 0) for head, cells in columns.items()}
    print("  ".join(f"{head:>{widths[head]}}" for head in columns))
    for row in zip(*columns.values(), strict=True):
        print("  ".join(f"{cell:>{width}}" for cell, width in zip(row, widths.values(), strict=True)))


def numbers(values: Any, form: str = ".6g") -> list[str]:
    """Format numbers for a table; a dash where there is none."""
    return [format(float(v), form) if math.isfinite(v) else "-" for v in np.asarray(values, dtype=float)]


def write_columns(file: str, columns: Mapping[str, Any]) -> None:
    """Write equally long named columns to ``.csv``, or named arrays of any shape to ``.npz``."""
    if file.lower().endswith(".npz"):
        arrays: dict[str, Any] = {name: np.asarray(column) for name, column in columns.items()}
        content = io.BytesIO()  # a zip archive cut off by a full disk complains once more when it is collected
        np.savez(content, **arrays)
        write_whole(file, content.getvalue())
        return
    text = io.StringIO(newline="")
    writer = csv.writer(text)
    writer.writerow(columns)
    writer.writerows(zip(*(np.asarray(column).tolist() for column in columns.values()), strict=True))
    write_whole(file, text.getvalue().encode())


def save_picture(file: str, draw: Callable[[Any], Any], *, size: tuple[float, float] | None = None) -> None:
    """Draw on a fresh figure in the package's style and save it."""
    with heatrd.plots.figure(size=size) as figure:
        draw(figure)
        heatrd.plots.save(figure, file)
