"""Files: NumPy arrays and a JSON header in one ``.npz``, never pickled, validated when read, replaced atomically."""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from heatrd.errors import InvalidInput
from heatrd.store import DAMAGE, read_members

__all__ = ["read_arrays", "read_header", "write_arrays"]

FORMAT = "heatrd-r2d2"
VERSION = 1


def write_arrays(path: Path, header: dict[str, Any], leaves: Sequence[Any]) -> None:
    """Write ``leaves`` in order under a JSON header; a crash while writing leaves the file before in place."""
    text = json.dumps({"format": FORMAT, "version": VERSION, "leaves": len(leaves), **header})
    arrays: dict[str, Any] = {f"leaf{i:04d}": np.asarray(leaf) for i, leaf in enumerate(leaves)}
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=path.name, suffix=".tmp")
    try:
        with os.fdopen(handle, "wb") as file:
            np.savez(file, header=np.frombuffer(text.encode(), dtype=np.uint8), **arrays)
        os.replace(temporary, path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise


def read_header(path: Path, kind: str) -> dict[str, Any]:
    """Return the validated header of ``path``.

    Raises
    ------
    InvalidInput
        No such file, not one of ours, another version or another kind.
    """
    return _read(path, kind, None)[0]


def read_arrays(
    path: Path, *, kind: str, like: Sequence[Any], fingerprint: dict[str, Any] | None = None
) -> tuple[dict[str, Any], list[np.ndarray]]:
    """Return header and arrays, checked against the shapes and types of ``like`` and, if given, a fingerprint.

    Raises
    ------
    InvalidInput
        As `read_header`; or arrays missing, of another shape or type, or not finite; or another fingerprint.
    """
    header, leaves = _read(path, kind, len(like))
    if fingerprint is not None and header.get("fingerprint") != json.loads(json.dumps(fingerprint)):
        stored = header.get("fingerprint") or {}
        wanted = json.loads(json.dumps(fingerprint))
        differing = sorted(k for k in {*stored, *wanted} if stored.get(k) != wanted.get(k))
        raise InvalidInput(
            f"{path} belongs to another training: {', '.join(differing)} differ; resume with the same settings, "
            "or train into another directory"
        )
    for i, (leaf, model) in enumerate(zip(leaves, like)):
        model = np.asarray(model)
        if leaf.shape != model.shape or leaf.dtype != model.dtype:
            raise InvalidInput(
                f"{path}: array {i} is {leaf.dtype}{leaf.shape}, need {model.dtype}{model.shape}; the file is damaged"
            )
        if np.issubdtype(leaf.dtype, np.floating) and not np.isfinite(leaf).all():
            raise InvalidInput(f"{path}: array {i} is not finite; the file is damaged")
    return header, leaves


def _read(path: Path, kind: str, count: int | None) -> tuple[dict[str, Any], list[np.ndarray]]:
    path = Path(path)
    try:
        with open(path, "rb") as file:
            archive = read_members(file, path.stat().st_size)
        header = json.loads(archive["header"].tobytes().decode())
        if not isinstance(header, dict) or header.get("format") != FORMAT:
            raise ValueError("no R2D2 header")
        leaves = [archive[f"leaf{i:04d}"] for i in range(count or 0)]
    except FileNotFoundError:
        raise InvalidInput(f"{path} does not exist; need a file written by R2D2.save, or a checkpoint") from None
    except (OSError, *DAMAGE) as error:
        raise InvalidInput(f"{path} is not a readable R2D2 file: {error}") from None
    if header.get("version") != VERSION or header.get("kind") != kind:
        found = f"{header.get('kind')!r} of version {header.get('version')!r}"
        raise InvalidInput(f"{path} holds a {found}; need a {kind!r} of version {VERSION}")
    if count is not None and header.get("leaves") != count:
        raise InvalidInput(f"{path} holds {header.get('leaves')!r} arrays; need {count}; the settings do not match")
    return header, leaves
