"""Files: atomic, exact, free of pickle, and honest about damage."""

import os
import pickle
import zipfile

import numpy as np
import pytest

import heatrd
from heatrd.errors import HeatrdWarning, InvalidInput
from heatrd.store import Checkpoint, digest, read_npz, write_npz

ARRAYS = {"x": np.array([0.1, -np.inf, 1e-300]), "empty": np.zeros((0, 3)), "flag": np.array([True, False])}


def test_round_trip_is_exact_and_reproducible(tmp_path):
    for name in ("a", "b"):
        write_npz(tmp_path / name, "thing", {"n": 3, "text": "µ"}, ARRAYS)
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()
    header, arrays = read_npz(tmp_path / "a", "thing")
    assert header["n"] == 3 and header["text"] == "µ"
    assert set(arrays) == set(ARRAYS)
    for name, value in ARRAYS.items():
        assert arrays[name].dtype == value.dtype and arrays[name].tobytes() == value.tobytes()


def test_wrong_kind_and_newer_schema_are_refused(tmp_path):
    write_npz(tmp_path / "a", "thing", {}, {})
    with pytest.raises(InvalidInput, match="'other'"):
        read_npz(tmp_path / "a", "other")
    write_npz(tmp_path / "b", "thing", {"schema": 99}, {})
    with pytest.raises(InvalidInput, match="schema 99"):
        read_npz(tmp_path / "b", "thing")


def test_every_truncation_is_noticed(tmp_path):
    write_npz(tmp_path / "a", "thing", {"n": 1}, ARRAYS)
    content = (tmp_path / "a").read_bytes()
    for size in [0, 1, 10, *range(40, len(content), 97)]:
        (tmp_path / "cut").write_bytes(content[:size])
        with pytest.raises(InvalidInput):
            read_npz(tmp_path / "cut", "thing")


def test_flipped_bytes_never_go_unnoticed(tmp_path):
    write_npz(tmp_path / "a", "thing", {"n": 1}, {"x": np.arange(200.0)})
    content = bytearray((tmp_path / "a").read_bytes())
    at = bytes(content).index(np.float64(100.0).tobytes())
    content[at + 6] ^= 0xFF
    (tmp_path / "a").write_bytes(content)
    with pytest.raises(InvalidInput):
        read_npz(tmp_path / "a", "thing")


def test_pickles_are_not_loaded(tmp_path):
    class Bomb:
        def __reduce__(self):
            return os.mkdir, (str(tmp_path / "exploded"),)

    (tmp_path / "bomb").write_bytes(pickle.dumps(Bomb()))
    with pytest.raises(InvalidInput):
        read_npz(tmp_path / "bomb", "thing")
    np.save(tmp_path / "object.npy", np.array([Bomb()], dtype=object), allow_pickle=True)
    with zipfile.ZipFile(tmp_path / "archive", "w") as archive:
        archive.write(tmp_path / "object.npy", "header.npy")
    with pytest.raises(InvalidInput):
        read_npz(tmp_path / "archive", "thing")
    assert not (tmp_path / "exploded").exists()


def test_objects_are_not_written_and_leave_nothing_behind(tmp_path):
    write_npz(tmp_path / "a", "thing", {"n": 1}, {})
    before = (tmp_path / "a").read_bytes()
    with pytest.raises(ValueError):
        write_npz(tmp_path / "a", "thing", {}, {"x": np.array([object()])})
    assert (tmp_path / "a").read_bytes() == before
    assert [p.name for p in tmp_path.iterdir()] == ["a"]


def test_checkpoint_keeps_tasks_apart_and_quarantines(tmp_path):
    one, two = Checkpoint(tmp_path / "c", "one"), Checkpoint(tmp_path / "c", "two")
    one.save("p", "thing", {"v": 1}, {"x": np.ones(2)})
    assert two.load("p", "thing") is None
    header, arrays = one.load("p", "thing")
    assert header["v"] == 1 and arrays["x"].tolist() == [1.0, 1.0]
    one.path("p").write_bytes(b"rubbish")
    with pytest.warns(HeatrdWarning, match="unreadable"):
        assert one.load("p", "thing") is None
    assert not one.path("p").exists()
    assert one.path("p").with_suffix(".unreadable").read_bytes() == b"rubbish"


def test_full_disk_is_reported_once_and_does_not_stop(tmp_path, monkeypatch):
    store = Checkpoint(tmp_path, "k")

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.warns(HeatrdWarning, match="No space left") as caught:
        store.save("a", "thing", {}, {"x": np.ones(1)})
        store.save("b", "thing", {}, {"x": np.ones(1)})
    assert len(caught) == 1
    assert list(tmp_path.iterdir()) == []


def test_checkpoint_on_a_file_is_bad_input(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(InvalidInput, match="cannot be used as a folder"):
        Checkpoint(tmp_path / "file", "k")


def test_digest_sees_every_part():
    x = np.arange(6.0)
    base = digest("a", {"p": x, "q": 1.0})
    assert base == digest("a", {"q": 1.0, "p": x.copy()})
    different = [
        digest("b", {"p": x, "q": 1.0}),
        digest("a", {"p": x.reshape(2, 3), "q": 1.0}),
        digest("a", {"p": x, "q": 1}),
        digest("a", {"p": np.nextafter(x, 9), "q": 1.0}),
        digest("a", {"p": x}),
        digest(["a"], {"p": x, "q": 1.0}),
    ]
    assert len({base, *different}) == 7


def test_a_table_that_does_not_fit_on_the_disk_leaves_the_old_one(tmp_path, monkeypatch):
    def full(_):
        raise OSError(28, "No space left on device")

    curve, name = heatrd.rd_curve("uniform", rates=[0.5]), tmp_path / "curve.csv"
    curve.to_csv(name)
    before = name.read_bytes()
    assert before.startswith(b"epsilon,distortion") and before.count(b"\r\n") == 2
    monkeypatch.setattr("os.fsync", full)
    for write in (lambda: heatrd.rd_curve("uniform", rates=[0.5, 1.0]).to_csv(name), lambda: curve.save(name)):
        with pytest.raises(OSError, match="No space"):
            write()
    assert name.read_bytes() == before
    assert list(tmp_path.iterdir()) == [name]
