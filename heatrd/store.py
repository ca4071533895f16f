"""Files that survive: npz with a JSON header, written atomically, read without pickle, quarantined when broken.

A file holds one JSON header (entry ``header``, UTF-8 bytes) with ``kind``, ``schema`` and ``version``, and plain
arrays. It is
written beside its final name, flushed to disk and renamed, so a name never shows half a file. A `Checkpoint` is a
folder
with one such file per finished piece of work, under a key that names the whole task: other tasks in the same folder
do not meet.
"""

from __future__ import annotations

import hashlib
import io
import json
import math
import os
import struct
import tempfile
import tokenize
import warnings
import zipfile
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from heatrd.errors import HeatrdWarning, InvalidInput

__all__ = ["DAMAGE", "Checkpoint", "digest", "read_members", "read_npy", "read_npz", "write_npz", "write_whole"]

SCHEMA = 1
DAMAGE = (
    EOFError, ValueError, KeyError, TypeError, AttributeError, IndexError, OverflowError, RecursionError, MemoryError,
    NotImplementedError, RuntimeError, SyntaxError, struct.error, tokenize.TokenError, zlib.error,
    zipfile.BadZipFile, zipfile.LargeZipFile,
)  # fmt: skip


def npz_bytes(kind: str, header: Mapping[str, Any], arrays: Mapping[str, NDArray[Any]]) -> bytes:
    """Return the bytes of a file; the same content gives the same bytes."""
    full = {"kind": kind, "schema": SCHEMA, **header}
    text = json.dumps(full, sort_keys=True, allow_nan=True).encode()
    buffer = io.BytesIO()
    plain: dict[str, Any] = {name: np.ascontiguousarray(arrays[name]) for name in sorted(arrays)}
    if any(array.dtype.hasobject for array in plain.values()):
        raise ValueError("arrays of objects are not written")
    np.savez(buffer, header=np.frombuffer(text, dtype=np.uint8), **plain)
    return buffer.getvalue()


def write_npz(path: str | Path, kind: str, header: Mapping[str, Any], arrays: Mapping[str, NDArray[Any]]) -> None:
    """Write a file atomically: either the old content or the new is there, whatever happens.

    Parameters
    ----------
    path : path
        Final name; nothing is appended.
    kind : str
        What the file is; `read_npz` checks it.
    header : mapping
        Anything JSON can hold.
    arrays : mapping
        Plain numeric, boolean or string arrays by name ("header" is taken).
    """
    write_whole(path, npz_bytes(kind, header, arrays))


def write_whole(path: str | Path, content: bytes) -> None:
    """Write a file atomically; a device or a pipe of that name is written to as it is."""
    target = Path(os.path.realpath(path))
    if target.exists() and not target.is_file():
        target.write_bytes(content)
        return
    handle, name = tempfile.mkstemp(prefix=f".{target.name}.", suffix=".tmp", dir=target.parent)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.chmod(name, 0o666 & ~_umask())
        os.replace(name, target)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise


def read_npz(path: str | Path, kind: str) -> tuple[dict[str, Any], dict[str, NDArray[Any]]]:
    """Read a file written by `write_npz`: header and arrays.

    Raises
    ------
    InvalidInput
        Not such a file, damaged, of another kind, or of a newer schema.
    FileNotFoundError
        There is no such file.
    """
    try:
        with open(path, "rb") as raw:
            arrays = read_members(raw, Path(path).stat().st_size)
        header = json.loads(bytes(arrays.pop("header")).decode())
        found, schema = header["kind"], int(header["schema"])
    except FileNotFoundError:
        raise
    except (OSError, *DAMAGE) as error:
        raise InvalidInput(f"{str(path)!r} is not a readable heatrd file ({type(error).__name__}: {error})") from None
    if found != kind:
        raise InvalidInput(f"{str(path)!r} holds a {found!r}, a {kind!r} is needed")
    if schema > SCHEMA:
        raise InvalidInput(f"{str(path)!r} has schema {schema}, newer than the {SCHEMA} known here; update heatrd")
    return header, arrays


def read_members(file: IO[bytes], most: int) -> dict[str, NDArray[Any]]:
    """Return the arrays of an npz file that unfold to no more than ``most`` bytes; no pickles, nothing is extracted.

    Raises
    ------
    ValueError
        The archive holds more than ``most`` bytes, or an array that is longer than its member.
    one of `DAMAGE`
        Anything else that is wrong with it.
    """
    with zipfile.ZipFile(file) as archive:
        members = archive.infolist()
        total = sum(member.file_size for member in members)
        if total > most:
            raise ValueError(f"unfolds to {total} bytes, {most} are allowed")
        arrays = {}
        for member in members:
            with archive.open(member) as stream:
                arrays[member.filename.removesuffix(".npy")] = read_npy(stream, member.file_size)
    return arrays


def read_npy(file: IO[bytes], size: int) -> NDArray[Any]:
    """Read one array without pickle, whose header must claim no more than the ``size`` bytes that are there."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # oddly written headers are NumPy's business; their content is checked here
        version = np.lib.format.read_magic(file)
        read_header = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}
        shape, _, dtype = read_header[version](file)
    claimed = dtype.itemsize * math.prod(shape)
    if dtype.hasobject or any(n < 0 for n in shape) or claimed > size:
        raise ValueError(f"an array of {claimed} bytes in a file of {size}, or pickled objects")
    file.seek(0)
    return np.lib.format.read_array(file, allow_pickle=False)


def digest(*parts: Any) -> str:
    """Hash numbers, strings, arrays and nested containers of them to 32 hexadecimal digits."""
    state = hashlib.sha256()
    for part in parts:
        _feed(state, part)
    return state.hexdigest()[:32]


def _feed(state: Any, part: Any) -> None:
    if isinstance(part, Mapping):
        state.update(b"{")
        for key in sorted(part, key=str):
            _feed(state, str(key))
            _feed(state, part[key])
        state.update(b"}")
    elif isinstance(part, (list, tuple)):
        state.update(b"[")
        for each in part:
            _feed(state, each)
        state.update(b"]")
    elif isinstance(part, np.ndarray) and part.dtype != object:
        state.update(f"{part.dtype.str}{part.shape}".encode() + np.ascontiguousarray(part).tobytes())
    elif isinstance(part, np.ndarray):
        _feed(state, part.tolist())
    else:
        state.update(f"<{type(part).__name__}:{part!r}>".encode())


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


class Checkpoint:
    """A folder of finished pieces of one task.

    Parameters
    ----------
    folder : path
        Made when it is not there; may be shared by several tasks.
    key : str
        Names the task (`digest` of everything the result depends on).

    Raises
    ------
    InvalidInput
        The folder cannot be made or is a file.
    """

    def __init__(self, folder: str | Path, key: str) -> None:
        self.key = key
        self._complained = False
        try:
            self.folder = Path(folder)
            self.folder.mkdir(parents=True, exist_ok=True)
        except (OSError, TypeError, ValueError) as error:
            raise InvalidInput(f"checkpoint={str(folder)!r} cannot be used as a folder: {error}") from None

    def path(self, name: str) -> Path:
        """File of one piece."""
        return self.folder / f"{self.key}-{name}.npz"

    def load(self, name: str, kind: str) -> tuple[dict[str, Any], dict[str, NDArray[Any]]] | None:
        """Return header and arrays of a finished piece; None where there is none. An unreadable file is moved aside."""
        path = self.path(name)
        try:
            return read_npz(path, kind)
        except FileNotFoundError:
            return None
        except InvalidInput as error:
            self.quarantine(name, str(error))
            return None

    def quarantine(self, name: str, reason: str) -> None:
        """Move a file that cannot be used out of the way and say so."""
        path = self.path(name)
        aside = path.with_suffix(".unreadable")
        try:
            os.replace(path, aside)
        except OSError:
            aside = path
        warnings.warn(f"checkpoint: {reason}; kept as {aside.name}, computing afresh", HeatrdWarning, stacklevel=4)

    def save(self, name: str, kind: str, header: Mapping[str, Any], arrays: Mapping[str, NDArray[Any]]) -> None:
        """Keep a finished piece. A full or vanished disk is reported once and does not stop the work."""
        try:
            write_npz(self.path(name), kind, header, arrays)
        except OSError as error:
            if not self._complained:
                self._complained = True
                warnings.warn(
                    f"checkpoint: cannot write to {str(self.folder)!r} ({error}); going on without it",
                    HeatrdWarning,
                    stacklevel=3,
                )
