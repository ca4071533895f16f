"""Samples and tabulated densities from files: text tables, ``.npy`` and ``.npz`` (never pickles)."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from heatrd.errors import InvalidInput
from heatrd.sources.base import FloatArray, Source
from heatrd.sources.samples import from_samples
from heatrd.sources.tabulated import from_grid
from heatrd.store import DAMAGE, read_members, read_npy

__all__ = ["load_density", "load_samples", "read_density", "read_samples"]

MAX_BYTES = 1 << 30
_TEXT = (".csv", ".txt", ".tsv", ".dat")


def load_samples(
    path: str | os.PathLike[str],
    method: str = "atoms",
    bandwidth: float | str | None = None,
    max_bytes: int = MAX_BYTES,
) -> Source:
    """Read samples from a file (`read_samples`) and make them a source (`from_samples`)."""
    data = read_samples(path, max_bytes)
    with _about(path):
        return from_samples(data, method=method, bandwidth=bandwidth)


def load_density(path: str | os.PathLike[str], normalize: bool = False, max_bytes: int = MAX_BYTES) -> Source:
    """Read a tabulated density from a file (`read_density`) and make it a source (`from_grid`)."""
    coords, density = read_density(path, max_bytes)
    with _about(path):
        return from_grid(coords, density, normalize=normalize)


@contextlib.contextmanager
def _about(path: Any) -> Iterator[None]:
    """Name the file in errors about what it holds."""
    try:
        yield
    except InvalidInput as error:
        raise InvalidInput(f"{path}: {error}") from None


def read_samples(path: str | os.PathLike[str], max_bytes: int = MAX_BYTES) -> FloatArray:
    """Read samples, one per row.

    Parameters
    ----------
    path : path
        ``.csv``, ``.txt``, ``.tsv``, ``.dat`` (comma, semicolon, tab or blanks; ``#`` comments; one header
        line allowed), ``.npy``, or ``.npz`` (its only array, or the one called ``samples`` or ``x``).
    max_bytes : int
        Larger files are refused.

    Returns
    -------
    (n,) or (n, d) ndarray

    Raises
    ------
    InvalidInput
        Missing, unreadable, too large, empty or non-numeric file.
    """
    data = _load(Path(path), max_bytes)
    if isinstance(data, dict):
        data = _pick(data, ("samples", "x"), path)
    if data.ndim == 2 and data.shape[1] == 1:
        data = data[:, 0]
    if data.ndim not in (1, 2) or data.size == 0:
        raise InvalidInput(f"{path}: samples have shape {data.shape}; need (n,) or (n, d) with at least one row")
    return data


def read_density(path: str | os.PathLike[str], max_bytes: int = MAX_BYTES) -> tuple[Any, FloatArray]:
    """Read a tabulated density as ``(coords, density)`` for `from_grid`.

    Parameters
    ----------
    path : path
        A table with columns x, p (or x, y, p or x, y, z, p listing every node of a grid once, in any order), as text
        or ``.npy``; or ``.npz`` with arrays ``x`` (``y``, ``z``) and ``density``.
    max_bytes : int
        Larger files are refused.
    """
    data = _load(Path(path), max_bytes)
    if isinstance(data, dict):
        if "density" not in data or "x" not in data:
            raise InvalidInput(f"{path}: has arrays {', '.join(sorted(data))}; need 'x' (and 'y', 'z') and 'density'")
        axes = tuple(data[k] for k in ("x", "y", "z") if k in data)
        return (axes[0] if len(axes) == 1 else axes), data["density"]
    if data.ndim != 2 or not 2 <= data.shape[1] <= 4:
        raise InvalidInput(f"{path}: a table of shape {data.shape}; need columns x, p or x, y, p or x, y, z, p")
    return _gridded(data, path)


def _gridded(table: FloatArray, path: Any) -> tuple[Any, FloatArray]:
    if np.isnan(table).any():
        raise InvalidInput(f"{path}: contains NaN")
    axes = [np.unique(column) for column in table[:, :-1].T]
    shape = tuple(a.size for a in axes)
    order = np.lexsort(table[:, -2::-1].T)
    coordinates = (
        np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1).reshape(-1, len(axes))
        if np.prod(shape) == len(table)
        else None
    )
    if coordinates is None or not (table[order, :-1] == coordinates).all():
        raise InvalidInput(
            f"{path}: {len(table)} rows do not list every node of a {'×'.join(map(str, shape))} grid exactly once"
        )
    density = table[order, -1].reshape(shape)
    return (axes[0] if len(axes) == 1 else tuple(axes)), density


def _load(path: Path, max_bytes: int) -> Any:
    try:
        size = path.stat().st_size
        if path.is_dir():
            raise InvalidInput(f"{path}: is a folder; need a file")
    except (OSError, ValueError) as error:
        raise InvalidInput(f"{path}: cannot be read ({getattr(error, 'strerror', None) or error})") from None
    if size > max_bytes:
        raise InvalidInput(
            f"{path}: has {size / 2**20:.0f} MiB, more than {max_bytes / 2**20:.0f} MiB; thin it or raise max_bytes"
        )
    if size == 0:
        raise InvalidInput(f"{path}: is empty")
    try:
        if path.suffix.lower() in (".npy", ".npz"):
            return _load_binary(path, max_bytes)
        if path.suffix.lower() in _TEXT:
            return _load_text(path)
    except OSError as error:
        raise InvalidInput(f"{path}: cannot be read ({error.strerror or error})") from None
    raise InvalidInput(f"{path}: unknown kind of file {path.suffix!r}; need {', '.join((*_TEXT, '.npy', '.npz'))}")


def _load_binary(path: Path, max_bytes: int) -> Any:
    try:
        with open(path, "rb") as file:
            if path.suffix.lower() == ".npy":
                return _numeric(read_npy(file, path.stat().st_size), path)
            return {key: _numeric(array, path) for key, array in read_members(file, max_bytes).items()}
    except DAMAGE as error:
        if isinstance(error, InvalidInput):
            raise
        raise InvalidInput(
            f"{path}: is not a readable {path.suffix} file of numbers (pickled objects are refused)"
        ) from None


def _load_text(path: Path) -> FloatArray:
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except UnicodeDecodeError:
        raise InvalidInput(
            f"{path}: is not text; need numbers separated by commas, semicolons, tabs or blanks"
        ) from None
    rows = [(i + 1, body) for i, line in enumerate(lines) if (body := line.split("#", 1)[0].strip())]
    if not rows:
        raise InvalidInput(f"{path}: holds no data")
    delimiter = next((d for d in (",", ";", "\t") if d in rows[0][1]), None)
    if not _parsed(rows[0][1], delimiter):
        rows = rows[1:]  # a header line
    if not rows:
        raise InvalidInput(f"{path}: holds a header but no numbers")
    table: list[list[float]] = []
    for number, body in rows:
        values = _parsed(body, delimiter)
        if not values:
            raise InvalidInput(
                f"{path}: line {number} holds what is no number: {body[:40]!r}; keep only columns of numbers"
            )
        if table and len(values) != len(table[0]):
            raise InvalidInput(
                f"{path}: line {number} has {len(values)} numbers, those before it have {len(table[0])}: {body[:40]!r}"
            )
        table.append(values)
    return np.array(table, dtype=np.float64)


def _parsed(body: str, delimiter: str | None) -> list[float]:
    """The numbers of one line; empty when any field is not a number."""
    try:
        return [float(field) for field in body.rstrip(delimiter).split(delimiter)]
    except ValueError:
        return []


def _numeric(array: np.ndarray, path: Path) -> FloatArray:
    if array.dtype.kind not in "biuf":
        raise InvalidInput(f"{path}: holds {array.dtype} values; need real numbers")
    return np.asarray(array, dtype=np.float64)


def _pick(arrays: dict[str, FloatArray], names: tuple[str, ...], path: Any) -> FloatArray:
    if len(arrays) == 1:
        return next(iter(arrays.values()))
    for name in names:
        if name in arrays:
            return arrays[name]
    raise InvalidInput(f"{path}: holds several arrays ({', '.join(sorted(arrays))}); name one of them {names[0]!r}")
