"""Disks that are full or read-only, caches that are broken, address space that is short."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import heatrd
from heatrd.errors import HeatrdWarning

PACKAGE = Path(heatrd.__file__).parent
KERNEL = """
import numpy as np, heatrd
from heatrd.kernels.potentials import log_mixture_line
out, mean = np.empty(1), np.empty(1)
log_mixture_line(np.array([0.3]), np.array([0.0, 1.0]), np.log([0.5, 0.5]), 0.1, out, mean)
print(heatrd.__file__, float(out[0]), float(mean[0]))
"""


def run(script, folder, **environment):
    kept = {k: v for k, v in os.environ.items() if k not in ("NUMBA_CACHE_DIR", "PYTHONPATH")}
    return subprocess.Popen(
        [sys.executable, "-c", script],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=folder,
        env={**kept, "PYTHONPATH": str(folder), **environment},
    )


def answer(process):
    out, err = process.communicate(timeout=250)
    assert process.returncode == 0, err[-2000:]
    assert "Traceback" not in err
    return out.split()[1:]


@pytest.fixture
def installed(tmp_path):
    """A copy of the package, without its caches."""
    shutil.copytree(PACKAGE, tmp_path / "heatrd", ignore=shutil.ignore_patterns("__pycache__"))
    return tmp_path


def test_no_place_for_a_cache(installed):
    """Neither beside the sources (a file is in the way) nor in the home directory."""
    (installed / "heatrd" / "kernels" / "__pycache__").write_text("")
    found = answer(run(KERNEL, installed, HOME="/dev/null", XDG_CACHE_HOME="/dev/null", PYTHONDONTWRITEBYTECODE="1"))
    assert len(found) == 2


def test_cold_starts_at_once_and_broken_caches(installed):
    cache = installed / "cache"
    cold = [run(KERNEL, installed, NUMBA_CACHE_DIR=str(cache)) for _ in range(3)]
    answers = {tuple(answer(process)) for process in cold}
    assert len(answers) == 1
    broken = [file for file in cache.rglob("*.nb?") if file.is_file()]
    assert broken, "nothing was cached"
    for k, file in enumerate(broken):
        file.write_bytes(b"" if k % 2 else b"rubbish" * 10)
    assert {tuple(answer(run(KERNEL, installed, NUMBA_CACHE_DIR=str(cache))))} == answers
    assert {tuple(answer(run(KERNEL, installed, NUMBA_CACHE_DIR=str(cache))))} == answers


FULL = Path("/dev/full")
needs_full = pytest.mark.skipif(not FULL.exists(), reason="no /dev/full on this system")


@needs_full
@pytest.mark.parametrize("suffix", [".csv", ".npz"])
def test_output_on_a_full_disk(suffix, tmp_path, capsys):
    from heatrd.cli import main

    (tmp_path / f"o{suffix}").symlink_to(FULL)
    assert main(["solve", "uniform", "--epsilon", "0.3", "--out", str(tmp_path / f"o{suffix}")]) == 2
    err = capsys.readouterr().err
    assert "No space left" in err and err.count("\n") == 1


@needs_full
def test_standard_output_on_a_full_disk():
    with open(FULL, "w") as full:
        done = subprocess.run(
            [sys.executable, "-m", "heatrd", "solve", "gaussian", "--epsilon", "0.3"],
            stdout=full, stderr=subprocess.PIPE, text=True, timeout=200, check=False,
        )  # fmt: skip
    assert done.returncode == 2 and "Traceback" not in done.stderr and "No space left" in done.stderr


LIMITED = """
import resource, sys, warnings, heatrd
curve = heatrd.rd_curve("uniform", rates=[0.2], tol=1e-2)
resource.setrlimit(resource.RLIMIT_FSIZE, (64, 64))
import signal; signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
try:
    curve.save("curve.npz")
except OSError as error:
    print("save", error.errno)
with warnings.catch_warnings(record=True) as caught:
    warnings.simplefilter("always")
    again = heatrd.rd_curve("uniform", rates=[0.2], tol=1e-2, checkpoint="points")
print(len(caught), "going on without it" in str(caught[0].message), again.rates[0] == curve.rates[0])
"""


def test_files_that_may_not_grow(tmp_path):
    """RLIMIT_FSIZE: saving fails by OSError and leaves nothing; a checkpoint warns once, and the curve is the same."""
    done = subprocess.run(
        [sys.executable, "-c", LIMITED], capture_output=True, text=True, timeout=250, cwd=tmp_path, check=False,
        env={**os.environ, "PYTHONPATH": str(PACKAGE.parent)},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-2000:]
    assert done.stdout.split("\n")[0].startswith("save") and done.stdout.split("\n")[1] == "1 True True"
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []


SHORT = """
import resource
import numpy as np, heatrd
from heatrd import grids, heat
heat.heat_flow(np.ones((64, 64)), grids.Grid.uniform([-1, -1], [1, 1], [64, 64]), 0.01)
with open("/proc/self/statm") as file:
    size = int(file.read().split()[0]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_AS, (size + (400 << 20),) * 2)
try:
    heatrd.backward_heat("ring", 0.05, grid=[np.linspace(-3, 3, 6000)] * 2, method="spectral")
except heatrd.TooLarge as error:
    n = error.largest[0]
    print("refused", n, "largest" in str(error))
    heatrd.backward_heat("ring", 0.05, grid=[np.linspace(-3, 3, n)] * 2, method="spectral")
    print("done")
"""


def test_short_address_space_is_predicted_and_the_size_named_fits(tmp_path):
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", SHORT], capture_output=True, text=True, timeout=250, check=False
    )
    assert done.returncode == 0, done.stderr[-2000:]
    assert done.stdout.startswith("refused") and done.stdout.strip().endswith("done")


def test_checkpoint_in_a_folder_that_vanishes(tmp_path):
    folder = tmp_path / "points"
    from heatrd.store import Checkpoint

    store = Checkpoint(folder, "k")
    folder.rmdir()
    with pytest.warns(HeatrdWarning, match="going on without it"):
        store.save("a", "thing", {}, {"x": np.zeros(1)})
