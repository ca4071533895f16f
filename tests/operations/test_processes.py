"""Threads, fork, spawn, interrupts, repetition, strict warnings: each in processes of its own."""

import multiprocessing
import os
import signal
import subprocess
import sys
import time

import pytest

import heatrd

ENVIRONMENT = {**os.environ, "MPLBACKEND": "Agg"}

STATE = """
import hashlib, heatrd
parts = []
for name, epsilon in (("uniform", 0.2), ("laplace", 0.4)):
    s = heatrd.solve(name, epsilon=epsilon)
    law = s.reconstruction
    parts.append(repr((s.rate, s.rate_lower, s.distortion)).encode() + law.points.tobytes() + law.weights.tobytes())
parts.append(heatrd.sample(s.bridge, 500, 4, rng=3).terminal.tobytes())
print(hashlib.sha256(b"".join(parts)).hexdigest())
"""


def run(script, *options, **environment):
    done = subprocess.run(
        [sys.executable, *options, "-c", script],
        capture_output=True,
        text=True,
        timeout=250,
        env={**ENVIRONMENT, **environment},
        check=False,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    return done.stdout.strip()


def test_same_bytes_in_every_process_and_with_warnings_and_floating_point_errors_raised():
    """Underflow alone may happen: it is zero, as it is by NumPy's own default."""
    strict = "import numpy; numpy.seterr(divide='raise', over='raise', invalid='raise')" + STATE
    one = run(STATE, PYTHONHASHSEED="1", OMP_NUM_THREADS="1", OPENBLAS_NUM_THREADS="1")
    two = run(strict, "-W", "error", PYTHONHASHSEED="2")
    assert len(one) == 64 and one == two


def test_without_docstrings_and_assertions():
    """python -OO."""
    script = "import sys; from heatrd.cli import main; sys.exit(main(['solve', 'uniform', '--epsilon', '0.2']))"
    assert run(script, "-OO", "-W", "error") == run(script)


def solve_once(name):
    return heatrd.solve(name, epsilon=0.3).rate


@pytest.mark.parametrize("method", ["fork", "spawn"])
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_child_processes_after_use(method):
    """Nothing that the parent has loaded or computed stops its children."""
    expected = [solve_once(name) for name in ("uniform", "laplace")]
    with multiprocessing.get_context(method).Pool(2) as pool:
        found = pool.map_async(solve_once, ("uniform", "laplace"))
        assert found.get(timeout=200) == expected


INTERRUPTED = {
    "solve": "solve student-t --param df=3 --epsilon 0.0003 --tol 1e-13",
    "sample": "sample laplace --epsilon 0.2 --paths 4000000 --steps 400 --scheme heun",
    "path": "path noisy-sphere --epsilon 0.002 --solver spectral",  # eight seconds: a signal at the exit kills silently
}


@pytest.mark.parametrize("command", INTERRUPTED)
def test_interrupt(command):
    process = subprocess.Popen(
        [sys.executable, "-m", "heatrd", *INTERRUPTED[command].split()],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        env=ENVIRONMENT,
    )
    time.sleep(3)
    if process.poll() is None:
        process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=120)
    assert process.returncode in (130, 0, 3), err
    assert "Traceback" not in err


REPEATED = """
import heatrd
def used():
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * 4096
def work(count):
    for k in range(count):
        heatrd.solve(heatrd.sources.Uniform(0.0, 1.0 + 1e-3 * (k % 7)), epsilon=0.02, tol=1e-6)
work(60)
before = used()
work(120)
print(used() - before)
"""


def test_memory_does_not_grow():
    """A hundred and twenty solves: less than 1 MB (the full run: ten thousand)."""
    assert int(run(REPEATED)) < 1 << 20
