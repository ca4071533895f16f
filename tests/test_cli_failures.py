"""What the command line says and returns when the input is wrong, the work fails, or it is interrupted."""

import contextlib
import json
import math
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from commands import as_process, assert_refused, rows_of, run

import heatrd
from heatrd.cli import main
from heatrd.errors import NotConverged, TooLarge

ROOT = Path(__file__).parent.parent
PNG = b"\x89PNG"
INSIDE_NUMBA = SystemError("CPUDispatcher(...) returned a result with an exception set")
INSIDE_NUMBA.__cause__ = KeyboardInterrupt()


# ---- bad input --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "command, words",
    [
        ("slove uniform", "did you mean 'solve'"),
        ("curve numbers.csv", "--samples numbers.csv"),
        ("solve unifrom --epsilon 0.1", "uniform"),
        ("solve laplace --param scal=2 --epsilon 0.1", "scale"),
        ("solve laplace --distorton 0.1", "did you mean '--distortion'"),
        ("solve laplace --tolerance 0.1", "did you mean '--tol'"),
        ("path laplace --epsilon 1 --grid 4", "unrecognized arguments: --grid 4; try: heatrd path --help"),
        ("curve laplace --unit bits", "did you mean 'bit'"),
        ("solve laplace", "exactly one of"),
        ("solve laplace --epsilon 0.1 --rate 1", "not allowed with"),
        ("solve laplace --epsilon zero", "invalid float"),
        ("solve --epsilon 0.1", "no source given"),
        ("solve laplace uniform --epsilon 0.1", "one source is needed"),
        ("solve laplace --distortion 0", "distortion"),
        ("solve laplace --distortion -1", "distortion"),
        ("solve laplace --epsilon nan", "epsilon"),
        ("solve laplace --rate -1", "rate"),
        ("solve laplace --param scale=-1 --epsilon 0.1", "scale"),
        ("solve laplace --param scale --epsilon 0.1", "name=value"),
        ("solve laplace --param gaussian.cov=1 --epsilon 0.1", "not among"),
        ("solve --param scale=1 --samples x.csv --epsilon 0.1", "named source"),
        ("solve scipy:cauchy --epsilon 0.1", "variance"),
        ("solve scipy:gennrom --param beta=1 --epsilon 0.1", "gennorm"),
        ("curve laplace --distortions a,b", "not a list of numbers"),
        ("curve laplace --rates ,", "empty"),
        ("solve laplace --epsilon 0.1 --plot x.jpeg", ".png"),
        ("solve laplace --epsilon 0.1 --out x.json", ".csv"),
        ("solve laplace --epsilon 0.1 --out /no/such/place/x.csv", "no directory"),
        ("solve --samples /no/such/file.csv --epsilon 0.1", "/no/such/file.csv"),
        ("solve --density /no/such/file.csv --epsilon 0.1", "/no/such/file.csv"),
        ("compare /no/such/file.csv gaussian", "/no/such/file.csv"),
        ("completion tcsh", "did you mean"),
    ],
)
def test_bad_input_is_one_line_and_code_2(command, words, capsys):
    assert_refused(command, capsys, words)


@pytest.mark.parametrize("content", ["", "a\nb\n", "1\nnan\n", "1\ninf\n", "\x00\x01\x02"])
def test_unusable_sample_files(content, capsys, tmp_path):
    (tmp_path / "x.csv").write_text(content)
    assert_refused(["solve", "--samples", str(tmp_path / "x.csv"), "--epsilon", "0.1"], capsys)


def test_unnormalised_density_is_refused_unless_asked(capsys, tmp_path):
    x = np.linspace(-6, 6, 801)
    np.savetxt(tmp_path / "p.csv", np.column_stack([x, 3 * np.exp(-(x**2) / 2)]), delimiter=",")
    command = ["solve", "--density", str(tmp_path / "p.csv"), "--distortion", "0.25"]
    assert_refused(command, capsys, "normal")
    code, out, err = run([*command, "--normalize", "--json", "--tol", "1e-3"], capsys)
    assert code == 0, err
    assert json.loads(out)["rate"] == pytest.approx(math.log(2), abs=1e-3)


# ---- exit codes -------------------------------------------------------------------------------------------


def test_not_certified_prints_the_best_answer_and_exits_3(capsys, monkeypatch):
    best = heatrd.solve(heatrd.as_source("uniform"), epsilon=0.2)

    def stops_short(*_, **__):
        raise NotConverged("stopped at 1e-3 nats; raise tol", result=best)

    monkeypatch.setattr(heatrd, "solve", stops_short)
    code, out, err = run("solve uniform --epsilon 0.2 --json", capsys)
    assert code == 3 and "stopped at 1e-3" in err
    assert json.loads(out)["rate"] == best.rate


def test_a_gap_wider_than_asked_exits_3(capsys):
    code, out, err = run("solve laplace --epsilon 0.2 --tol 1e-30 --json", capsys)
    assert code in (2, 3), err
    if code == 3:
        assert json.loads(out)["gap"] > 1e-30


@pytest.mark.parametrize(
    "error, code, words",
    [
        (TooLarge("a grid of 4096^3 needs 500 GiB; at most 300^3 fits"), 4, "300^3"),
        (MemoryError(), 4, "out of memory"),
        (KeyboardInterrupt(), 130, "interrupted"),
        (RuntimeError("lost\nmy way"), 1, "internal error: RuntimeError: lost my way"),
        (ModuleNotFoundError("No module named 'jax'", name="jax"), 2, "heatrd[neural]"),
        (NotConverged("nothing found"), 3, "nothing found"),
        (INSIDE_NUMBA, 130, "interrupted"),
    ],
)
def test_every_failure_has_its_code_and_one_line(error, code, words, capsys, monkeypatch):
    def fails(*_, **__):
        raise error

    monkeypatch.delenv("HEATRD_DEBUG", raising=False)
    monkeypatch.setattr(heatrd, "solve", fails)
    assert_refused("solve uniform --epsilon 0.2", capsys, words, code=code)


@pytest.mark.parametrize("closed", ["stdout", "stderr"])
def test_a_closed_output_is_no_error(closed, monkeypatch):
    """``>&-``: Python then has None for a stream."""
    monkeypatch.setattr(sys, closed, None)
    assert main(["solve", "uniform", "--epsilon", "0.2"]) == 0
    getattr(sys, closed).close()


def test_debug_shows_the_traceback(monkeypatch):
    def fails(*_, **__):
        raise RuntimeError("lost")

    monkeypatch.setenv("HEATRD_DEBUG", "1")
    monkeypatch.setattr(heatrd, "solve", fails)
    with pytest.raises(RuntimeError, match="lost"):
        main(["solve", "uniform", "--epsilon", "0.2"])


def test_interrupted_curve_prints_what_is_done(capsys, monkeypatch):
    done = heatrd.rd_curve(heatrd.as_source("gaussian"), distortions=[0.5, 0.25])
    calls = []

    def second_is_interrupted(*_, **__):
        calls.append(1)
        if len(calls) == 2:
            raise KeyboardInterrupt
        return done

    monkeypatch.setattr(heatrd, "rd_curve", second_is_interrupted)
    code, out, err = run("curve gaussian laplace", capsys)
    assert code == 130 and "interrupted" in err
    assert "gaussian" in out and "laplace" not in out


def test_module_runs_as_a_program_and_is_quiet_when_piped():
    process = as_process("solve gaussian --distortion 0.25 --json")
    out, err = process.communicate(timeout=120)
    assert process.returncode == 0
    assert json.loads(out)["rate"] == pytest.approx(math.log(2), abs=1e-8)
    assert "\r" not in err and all(line.startswith("heatrd:") for line in err.splitlines())


def test_reader_that_leaves_early_is_no_error():
    process = as_process("curve gaussian --distortions 0.5,0.4,0.3,0.2,0.1")
    process.stdout.close()
    err = process.stderr.read()
    process.stderr.close()
    assert process.wait(timeout=120) == 0
    assert "Traceback" not in err and "Broken" not in err


def test_reader_that_leaves_early_costs_no_picture(tmp_path):
    """The answer is printed last: when it meets a closed pipe, the files are there."""
    process = as_process("curve uniform --rates 0.5,1 --plot a.png --out a.csv", cwd=tmp_path)
    process.stdout.close()
    err = process.stderr.read()
    process.stderr.close()
    assert process.wait(timeout=120) == 0 and "Traceback" not in err, err
    assert (tmp_path / "a.png").read_bytes().startswith(PNG) and len(rows_of(tmp_path / "a.csv")) == 2


def test_ctrl_c_exits_130_without_a_traceback():
    process = as_process(
        "curve laplace --tol 1e-11 --distortions " + ",".join(f"{0.3 + 0.0005 * i}" for i in range(3000))
    )
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(timeout=6)
    assert process.poll() is None, "too quick to be interrupted: ask for more"
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 130, err
    assert "interrupted" in err and "Traceback" not in err


class Dying:
    def __del__(self):
        raise KeyboardInterrupt


def test_interrupt_during_a_destructor(monkeypatch, capsys):
    """Python reports an exception in a destructor and goes on; Ctrl-C must stop the command nevertheless."""

    def command(_):
        Dying()
        for _ in range(1000):
            time.sleep(0.02)
        return 0

    parser = SimpleNamespace(parse_args=lambda _: SimpleNamespace(run=command))
    monkeypatch.setattr("heatrd.cli.build_parser", lambda: parser)
    assert main([]) == 130
    assert capsys.readouterr().err == "heatrd: interrupted\n"
