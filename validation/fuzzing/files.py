"""Hostile files: truncated, flipped, lying about their size, compressed bombs, pickles; and what reads them."""

from __future__ import annotations

import functools
import io
import json
import pickle
import struct
import tempfile
import zipfile
import zlib
from pathlib import Path
from typing import Any

import numpy as np

import heatrd
from heatrd import sources
from heatrd.sources import loading
from heatrd.testing import check_solution
from validation.fuzzing.dice import Dice
from validation.fuzzing.probes import probe, require

__all__ = ["CANARY", "Trap", "hostile_table"]

CANARY = "a pickle was loaded"
BOMB = 3 << 29  # bytes that a bomb unfolds to: more than `loading.MAX_BYTES`
LINES = (
    "1,2\n2,3\n",
    "x,p\n0,1\n1,1\n",
    "nan\n1\n",
    "1e400\n-1e400\n",
    "1_0\n2\n",
    "1;2\n1,2\n",
    "\ufeff1\n2\n",
    "1\x002\n",
    "# only\n",
    "1,,2\n",
    ",\n",
    '"1","2"\n',
    "1\t2\t3\n4\t5\t6\n",
    "٣\n٤\n",
    "1\r2\r3\r",
    "0x10\n",
    "1 2 3\n" * 50,
    "9" * 5000 + "\n1\n",
    "distortion,rate\n0.1,2\n",
    "mse,bits\n0.1,1\n0.2,-1\n",
    "a" * 100000,
    "0.5,1e-320\n0.1,1e308\n",
    "inf\ninf\n",
)


class Trap:
    """An object whose unpickling leaves a mark in the folder above the case's own."""

    def __reduce__(self) -> Any:
        return Path.touch, (Path("..") / CANARY,)


def hostile_table(dice: Dice, stem: str = "x") -> Path:
    """Write a file of numbers, or of something else, and return its path."""
    suffix = dice.say(
        "suffix", dice.choice((".csv", ".csv", ".txt", ".npy", ".npy", ".npz", ".npz", ".dat", "", ".pkl", ".CSV"))
    )
    path = dice.folder / f"{stem}{len(list(dice.folder.iterdir()))}{suffix}"
    roll = dice.random()
    if roll < 0.03:
        path.mkdir()
        return path
    if roll < 0.06:
        return dice.folder / "missing" / f"{stem}{suffix}"
    content = _binary(dice, suffix) if suffix in (".npy", ".npz") else _text(dice)
    path.write_bytes(damaged(dice, content) if dice.chance(0.5) else content)
    return path


def damaged(dice: Dice, content: bytes) -> bytes:
    """Truncate, flip, splice or repeat bytes."""
    data, how = (
        bytearray(content),
        dice.say("damage", dice.choice(("cut", "flip", "flip", "splice", "repeat", "head", "zero"))),
    )
    at = dice.randrange(len(data) + 1)
    match how:
        case "cut":
            del data[at:]
        case "flip":
            for _ in range(dice.choice((1, 1, 3, 30))):
                if data:
                    data[dice.randrange(len(data))] ^= 1 << dice.randrange(8)
        case "splice":
            data[at:at] = dice.randbytes(dice.choice((1, 8, 200)))
        case "repeat":
            data += data[at:]
        case "head":
            data[: min(len(data), 128)] = dice.randbytes(min(len(data), 128))
        case _:
            data[at : at + 16] = bytes(len(data[at : at + 16]))
    return bytes(data)


def _text(dice: Dice) -> bytes:
    if dice.chance(0.4):
        text = "".join(dice.choice(LINES) for _ in range(dice.randint(1, 3)))
        return dice.say("text", text).encode(dice.choice(("utf-8", "utf-8", "utf-16", "utf-8-sig")), "replace")
    columns = dice.choice((1, 1, 2, 3, 5))
    rows = dice.numpy.standard_normal((dice.choice((1, 2, 40)), columns)) * dice.scale()
    mark = dice.choice((",", ";", "\t", " ", ", "))
    head = dice.choice(("", "", "x,y\n", "# head\n"))
    return (head + "\n".join(mark.join(repr(float(v)) for v in row) for row in rows)).encode()


def _binary(dice: Dice, suffix: str) -> bytes:
    kind = dice.say(
        "kind", dice.choice(("good", "good", "object", "lie", "dtype", "bomb" if suffix == ".npz" else "lie", "pickle"))
    )
    shape = dice.choice(((0,), (1,), (30,), (30, 1), (30, 2), (2, 3, 4), ()))
    array = dice.numpy.standard_normal(shape) * dice.scale()
    match kind:
        case "object":
            array = np.array([Trap(), 1.0], dtype=object)
        case "pickle":
            return pickle.dumps(Trap())
        case "dtype":
            dtype = dice.choice(("U3", "S2", "c16", "M8[s]", "f2", "i1", "?", ">f4", "u8", "f8,i4"))
            array = np.zeros(shape, dtype=dtype)
    body = _npy(array, lie=_size(dice) if kind == "lie" else None)
    if suffix == ".npy":
        return body
    if kind == "bomb":
        return bomb()
    names = dice.sample(
        ("x", "y", "z", "density", "samples", "../../escaped", "/tmp/escaped", "header"), dice.randint(1, 4)
    )
    return _archive({name: body for name in names}, compressed=dice.chance(0.3))


def _size(dice: Dice) -> tuple[int, ...]:
    return dice.choice(((2**62,), (10**12,), (10**6, 10**6), (3 * 10**8,), (0, 10**18), (-1,), (2**40, 2**40)))


def _npy(array: np.ndarray, lie: tuple[int, ...] | None = None) -> bytes:
    """The bytes of an .npy file; with a ``lie``, its header claims another shape."""
    buffer = io.BytesIO()
    np.lib.format.write_array(buffer, array, allow_pickle=True)
    if lie is None:
        return buffer.getvalue()
    head = f"{{'descr': '<f8', 'fortran_order': False, 'shape': {lie!r}, }}".encode()
    head += b" " * (-(len(head) + 11) % 64) + b"\n"
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(head)) + head + array.tobytes()[:1000]


def _archive(members: dict[str, bytes], compressed: bool = False) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED if compressed else zipfile.ZIP_STORED) as archive:
        for name, body in members.items():
            archive.writestr(f"{name}.npy", body)
    return buffer.getvalue()


@functools.cache
def bomb() -> bytes:
    """A few MB that unfold to `BOMB` bytes of zeros, as an honest array in a compressed .npz."""
    head = _npy(np.zeros(0), lie=(BOMB // 8,))
    press, check, pieces = zlib.compressobj(6, zlib.DEFLATED, -15), zlib.crc32(head), []
    pieces.append(press.compress(head))
    zeros = bytes(1 << 24)
    for _ in range(BOMB >> 24):
        pieces.append(press.compress(zeros))
        check = zlib.crc32(zeros, check)
    body = b"".join([*pieces, press.flush()])
    size, name = len(head) + BOMB, b"x.npy"
    shared = struct.pack("<HHHHHIIIHH", 20, 0, 8, 0, 0, check, len(body), size, len(name), 0)
    local = b"PK\x03\x04" + shared + name + body
    central = b"PK\x01\x02" + struct.pack("<H", 20) + shared + struct.pack("<HHHII", 0, 0, 0, 0, 0) + name
    return local + central + b"PK\x05\x06" + struct.pack("<HHHHIIH", 0, 0, 1, 1, len(central), len(local), 0)


@functools.cache
def good_curve() -> bytes:
    """The bytes of a curve saved by the package."""
    with tempfile.TemporaryDirectory() as folder:
        heatrd.rd_curve("uniform", rates=[0.2, 0.8], tol=1e-3).save(Path(folder) / "c.npz")
        return (Path(folder) / "c.npz").read_bytes()


def _forged(dice: Dice, content: bytes) -> bytes:
    """The same archive with some header entries, or an array, replaced by junk."""
    with np.load(io.BytesIO(content)) as file:
        arrays = {name: file[name] for name in file.files}
    header = json.loads(arrays["header"].tobytes())
    for _ in range(dice.randint(1, 3)):
        if dice.chance(0.6):
            junk = (None, "x", -1, 0, 2**70, float("nan"), [], {}, [1, "a"], {"name": "Path"}, True, 1e308, "../../etc")
            header[dice.say("key", dice.choice(sorted(header)))] = dice.say("value", dice.choice(junk))
        else:
            name = dice.say("array", dice.choice(sorted(set(arrays) - {"header"})))
            now = np.atleast_1d(arrays[name])
            other = -now if now.dtype.kind in "fi" else now[::-1]
            arrays[name] = dice.choice((np.zeros(0), np.full(3, np.nan), other, np.array("x"), now[..., :1]))
    arrays["header"] = np.frombuffer(json.dumps(header).encode(), dtype=np.uint8)
    buffer = io.BytesIO()
    np.savez(buffer, **arrays)
    return buffer.getvalue()


@probe(18, "load_samples", "sources")
def sample_file(dice: Dice) -> None:
    path = hostile_table(dice)
    method = dice.say("method", dice.choice(("atoms", "kde")))
    source = loading.load_samples(path if dice.chance(0.9) else str(path), method=method)
    if source.dim == 1 or len(getattr(source, "weights", [0] * 99)) <= 5:
        check_solution(heatrd.solve(source, epsilon=0.5 * source.total_variance / source.dim or 1.0, tol=1e-3))


@probe(12, "load_density", "sources")
def density_file(dice: Dice) -> None:
    source = loading.load_density(hostile_table(dice), normalize=dice.chance(0.8))
    if source.dim == 1:
        check_solution(heatrd.solve(source, epsilon=0.5 * source.total_variance, tol=1e-3))


@probe(14, "RDCurve")
def curve_file(dice: Dice) -> None:
    content = good_curve()
    content = _forged(dice, content) if dice.chance(0.5) else damaged(dice, content)
    if dice.chance(0.03):
        content = bomb()
    path = dice.folder / "curve.npz"
    path.write_bytes(content)
    curve = heatrd.RDCurve.load(path, source=dice.say("source", dice.choice((None, None, "uniform", "laplace"))))
    low, high = curve.bounds(np.array([0.1, 0.5, 2.0]))
    require(not np.isnan(low).any() and not np.isnan(high).any(), "bounds of a loaded curve are nan")
    repr(curve.source)


@probe(2, "neural")
def estimator_file(dice: Dice) -> None:
    from heatrd.neural.storage import write_arrays

    path = dice.folder / "model.npz"
    header = {"kind": "model", "settings": dice.choice(({}, [], None, {"dim": -1}, {"dim": 10**9, "width": 10**9}))}
    write_arrays(path, dice.say("header", header), [np.zeros(3)])
    content = path.read_bytes()
    if dice.chance(0.7):
        path.write_bytes(damaged(dice, content) if dice.chance(0.9) else bomb())
    heatrd.neural.R2D2.load(path)
    require(False, "a made-up file was taken for a model")


@probe(2, "rd_curve")
def checkpoint_folder(dice: Dice) -> None:
    """A damaged checkpoint changes nothing but the time it takes."""
    import warnings

    folder = dice.folder / "checkpoint"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", heatrd.HeatrdWarning)
        first = heatrd.rd_curve("uniform", rates=[0.2, 0.5], tol=1e-2, checkpoint=folder)
        for file in sorted(folder.iterdir()):
            if dice.chance(0.7):
                content = file.read_bytes()
                file.write_bytes(damaged(dice, content) if dice.chance(0.8) else pickle.dumps(Trap()))
        again = heatrd.rd_curve("uniform", rates=[0.2, 0.5], tol=1e-2, checkpoint=folder)
    require(np.array_equal(first.rates, again.rates), "a damaged checkpoint changed the curve")


assert sources.load_samples is loading.load_samples
