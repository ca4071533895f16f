"""A sweep is the same on any executor, and nothing is lost when it is killed."""

import concurrent.futures as cf
import os
import signal
import subprocess
import sys
import threading
import time

import pytest

import heatrd
from heatrd.curve import generations
from heatrd.curve.running import Ticking
from heatrd.errors import HeatrdWarning, InvalidInput
from heatrd.sources import Laplace


def content(curve, folder):
    curve.save(folder / "curve.npz")
    return (folder / "curve.npz").read_bytes()


SMALL = {"tol": 1e-2, "max_rate": 0.9}


@pytest.fixture(scope="module")
def serial():
    return heatrd.rd_curve("laplace", **SMALL)


class Shuffled(cf.Executor):
    """Runs later pieces first."""

    def __init__(self):
        self.waiting = []

    def submit(self, function, /, *args, **kwargs):
        future = cf.Future()
        future_cancel = future.cancel
        del future_cancel
        self.waiting.append((future, function, args, kwargs))
        if len(self.waiting) == 1:
            threading.Timer(0.3, self.run).start()
        return future

    def run(self):
        batch, self.waiting = self.waiting[::-1], []
        for future, function, args, kwargs in batch:
            future.set_result(function(*args, **kwargs))


@pytest.mark.parametrize("make", [lambda: cf.ThreadPoolExecutor(3), Shuffled])
def test_same_bytes_from_threads_and_in_any_order(serial, tmp_path, make):
    executor = make()
    curve = heatrd.rd_curve("laplace", executor=executor, **SMALL)
    executor.shutdown()
    assert content(curve, tmp_path) == content(serial, tmp_path)


def test_same_bytes_from_worker_processes(serial, tmp_path):
    curves = heatrd.rd_curves(["laplace"], workers=2, **SMALL)
    assert content(curves[0], tmp_path) == content(serial, tmp_path)


def test_same_bytes_from_dask(serial, tmp_path):
    distributed = pytest.importorskip("distributed")
    with distributed.LocalCluster(
        n_workers=1, threads_per_worker=2, processes=False, dashboard_address=None
    ) as cluster:
        with distributed.Client(cluster) as client:
            curve = heatrd.rd_curve("laplace", executor=client.get_executor(pure=False), **SMALL)
    assert content(curve, tmp_path) == content(serial, tmp_path)


class Broken(Laplace):
    """A source whose density fails late."""

    def logpdf(self, x):
        raise InvalidInput("no density today")


def test_errors_of_workers_arrive():
    with cf.ThreadPoolExecutor(2) as executor, pytest.raises(InvalidInput, match="no density today"):
        heatrd.rd_curve(Broken(), executor=executor, **SMALL)


# -- losing nothing -------------------------------------------------------------------------------------------


def test_checkpoint_resumes_with_unfinished_work_only(serial, tmp_path, monkeypatch):
    folder = tmp_path / "points"
    first = heatrd.rd_curve("laplace", checkpoint=folder, **SMALL)
    assert content(first, tmp_path) == content(serial, tmp_path)
    pieces = sorted(folder.glob("*.npz"))
    assert len(pieces) > 5
    pieces[0].unlink()
    pieces[3].write_bytes(b"\0" * 100)
    done = []
    original_solve, original_refine = generations._solve_epsilon, generations.refine
    monkeypatch.setattr(generations, "_solve_epsilon", lambda *a: done.append(a) or original_solve(*a))
    monkeypatch.setattr(generations, "refine", lambda *a: done.append(a) or original_refine(*a))
    with pytest.warns(HeatrdWarning, match="unreadable"):
        second = heatrd.rd_curve("laplace", checkpoint=folder, **SMALL)
    assert len(done) == 2
    assert content(second, tmp_path) == content(serial, tmp_path)
    assert len(list(folder.glob("*.unreadable"))) == 1
    heatrd.rd_curve("laplace", checkpoint=folder, **SMALL)
    assert len(done) == 2
    heatrd.rd_curve(Laplace(0.0, 1.0 + 1e-12), checkpoint=folder, **SMALL)
    assert len(done) == 2 + len(pieces), "another source must not use these points"


KILLED = """
import sys, heatrd
heatrd.rd_curve("laplace", checkpoint=sys.argv[1], tol=1e-2, max_rate=0.9)
"""


def test_killed_sweep_resumes_to_the_same_bytes(serial, tmp_path):
    folder = tmp_path / "points"
    survived = 0
    for pieces in (1, 6):
        process = subprocess.Popen([sys.executable, "-c", KILLED, str(folder)])
        limit = time.monotonic() + 120
        while process.poll() is None and time.monotonic() < limit and len(list(folder.glob("*.npz"))) < pieces:
            time.sleep(0.002)
        process.send_signal(signal.SIGKILL)
        process.wait()
        survived = len(list(folder.glob("*.npz")))
        assert survived >= pieces
    curve = heatrd.rd_curve("laplace", checkpoint=folder, **SMALL)
    assert content(curve, tmp_path) == content(serial, tmp_path)


def test_interrupt_leaves_the_partial_curve(monkeypatch, tmp_path):
    original, count = generations._solve_epsilon, []

    def interrupted(*arguments):
        count.append(1)
        if len(count) == 6:
            raise KeyboardInterrupt
        return original(*arguments)

    monkeypatch.setattr(generations, "_solve_epsilon", interrupted)
    with pytest.raises(KeyboardInterrupt) as stop:
        heatrd.rd_curve("uniform", tol=1e-2, checkpoint=tmp_path)
    partial = stop.value.curve
    assert len(partial.distortions) == 5 and not partial.complete and not partial.certified
    assert len(list(tmp_path.glob("*.npz"))) == 5
    lower, upper = partial.bounds(0.5)
    assert lower <= heatrd.solve("uniform", distortion=0.5).rate <= upper + 1e-8


INTERRUPTED = """
import sys, heatrd
if __name__ == "__main__":
    try:
        heatrd.rd_curve("laplace", tol=1e-7, workers=1, checkpoint=sys.argv[1])
    except KeyboardInterrupt as stop:
        print(len(stop.curve.distortions), flush=True)
        raise SystemExit(130)
"""


def test_ctrl_c_stops_worker_processes_too(tmp_path):
    script = tmp_path / "script.py"
    script.write_text(INTERRUPTED)
    process = subprocess.Popen(
        [sys.executable, str(script), str(tmp_path / "c")],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    limit = time.monotonic() + 120
    while time.monotonic() < limit and len(list((tmp_path / "c").glob("*.npz"))) < 2:
        time.sleep(0.02)
    os.killpg(process.pid, signal.SIGINT)
    output, complaints = process.communicate(timeout=60)
    assert process.returncode == 130 and "Traceback" not in complaints, complaints
    assert int(output) >= 2


class Drawn:
    """Stands for a tqdm bar and counts how often it is drawn."""

    def __init__(self):
        self.total, self.n, self.drawn, self.thrice, self.closed = 0, 0, 0, threading.Event(), False

    def update(self, n):
        self.n += n

    def refresh(self):
        assert not self.closed
        self.drawn += 1
        if self.drawn >= 3:
            self.thrice.set()

    def close(self):
        self.closed = True


def test_a_progress_bar_is_drawn_again_while_a_piece_takes_long():
    inner = Drawn()
    bar = Ticking(inner, every=0.001)
    bar.total += 7
    bar.update()
    assert inner.thrice.wait(30) and (inner.total, inner.n) == (7, 1)
    bar.close()
    drawn = inner.drawn
    time.sleep(0.05)
    assert inner.closed and inner.drawn == drawn
