"""Command lines: words of the grammar with hostile values in between, run in this process or as a program."""

from __future__ import annotations

import contextlib
import io
import json
import os
import subprocess
import sys
from pathlib import Path

from heatrd import sources
from heatrd.cli import main
from validation.fuzzing.dice import Dice
from validation.fuzzing.files import hostile_table
from validation.fuzzing.probes import probe, require

__all__ = ["command_line"]

COMMANDS = (
    "solve",
    "solve",
    "solve",
    "curve",
    "curve",
    "critical",
    "path",
    "sample",
    "compare",
    "neural",
    "completion",
    "no-such",
)
NAMES = (
    "uniform",
    "laplace",
    "gaussian",
    "exponential",
    "atoms",
    "gaussian-mixture",
    "scipy:expon",
    "scipy:cauchy",
    "unifrm",
    "",
)
VALUES = (
    "0.3",
    "0.3",
    "0.3",
    "0.5",
    "1",
    "0",
    "-1",
    "nan",
    "inf",
    "-inf",
    "1e-320",
    "1e308",
    "1e400",
    "abc",
    "",
    "0,5",
    "1e-150",
    "٣",
    "0.3,0.5",
    "1,2,3",
    "[[1,0],[0,1]]",
    "{}",
    "[",
    '"x"',
    "null",
    "true",
    "--",
    "10",
    "99999999999999999999",
)
SAFE_EPSILON = ("0.2", "0.5", "1", "2")
WORDS = {
    "--unit": ("nat", "bit", "byte"),
    "--method": ("atoms", "kde", "x"),
    "--bandwidth": ("scott", "silverman", "0.5", "-1", "x"),
    "--scheme": ("auto", "euler", "heun", "x"),
    "--x": ("distortion", "snr_db", "y"),
    "--view": ("full", "curve", "excess", "atoms", "z"),
    "--out": ("o.csv", "o.npz", "o.xyz", "missing/o.csv", "/proc/o.csv", ""),
    "--plot": ("p.png", "p.svg", "p.exe", "missing/p.png"),
    "--solver": ("auto", "spectral", "closed-form", "x"),
    "--entropy": ("auto", "x"),
    "--save": ("m.npz", "missing/m.npz"),
    "--checkpoint": ("folder", "/proc/folder"),
}
OPTIONS = {
    "solve": ("--epsilon", "--distortion", "--rate", "--tol"),
    "curve": ("--distortions", "--rates", "--max-rate", "--tol", "--rows", "--x", "--view", "--checkpoint"),
    "critical": (),
    "path": ("--epsilon", "--solver", "--times", "--no-certificate"),
    "sample": ("--epsilon", "--paths", "--steps", "--scheme", "--seed"),
    "compare": ("--tol", "--x"),
    "neural": ("--range", "--points", "--entropy", "--seed", "--save"),
    "completion": (),
    "no-such": (),
}
SHARED = (
    "--param",
    "--dim",
    "--samples",
    "--density",
    "--method",
    "--bandwidth",
    "--normalize",
    "--unit",
    "--json",
    "--quiet",
    "--out",
    "--plot",
    "--unknown",
    "--help",
)
FLAGS = ("--no-certificate", "--normalize", "--json", "--quiet", "--unknown", "--help")
CODES = (0, 2, 3, 4)


def command_line(dice: Dice) -> list[str]:
    """Draw a command line."""
    command = dice.choice(COMMANDS)
    words = [command] if dice.chance(0.98) else []
    if command == "compare":
        words.append(str(hostile_table(dice, "points")))
    if command == "completion":
        words.append(dice.choice(("bash", "zsh", "fish", "cmd")))
    elif dice.chance(0.85):
        words.append(dice.choice(NAMES) if dice.chance(0.7) else dice.choice(sources.source_names()))
    if command in ("solve", "path", "sample") and dice.chance(0.7):
        words += ["--epsilon", dice.choice(SAFE_EPSILON)]
    if command == "curve" and dice.chance(0.8):
        words += ["--rates", dice.choice(("0.2", "0.1,0.4", "0")), "--tol", "1e-3"]
    if command == "sample":
        words += [
            "--paths",
            dice.choice(("50", "64", "0", "-5", "1000000000000")),
            "--steps",
            dice.choice(("5", "0", "10")),
        ]
    if command == "neural":  # the command refuses these; what it computes is too long for a case
        words += ["--steps", dice.choice(("0", "-1", "x"))]
    for _ in range(dice.choice((0, 0, 1, 1, 2, 4))):
        words += _option(dice, command)
    if command == "curve" and "--rates" not in words and set(words) & (set(sources.source_names()) - set(NAMES)):
        words += ["--rates", "0.3", "--tol", "1e-2"]  # a whole curve in the plane is too long for a case
    return dice.say("argv", words)


def _option(dice: Dice, command: str) -> list[str]:
    known = (*OPTIONS[command], *SHARED)
    name = dice.choice(known)
    if name in FLAGS:
        return [name]
    if name in ("--samples", "--density"):
        return [name, str(hostile_table(dice, "data"))]
    if name == "--param":
        key = dice.choice(
            ("scale", "loc", "low", "high", "weights", "means", "cov", "points", "dim", "nonsense", "uniform.low", "")
        )
        return [name, f"{key}={dice.choice(VALUES)}" if dice.chance(0.9) else dice.choice(VALUES)]
    if name == "--dim":
        return [name, dice.choice(("1", "2", "0", "-3", "100000000000", "x"))]
    value = dice.choice(WORDS.get(name, VALUES))
    return [f"{name}={value}"] if dice.chance(0.2) else [name, value]


def check_outcome(words: list[str], code: int, out: str, err: str) -> None:
    """Check the contract of the command line: codes, streams, one line of complaint, valid JSON."""
    require("Traceback" not in err and "Warning:" not in err, f"stderr: {err[-800:]}")
    require(code in CODES, f"exit code {code}: {err[-500:]}")
    lines = [line for line in err.splitlines() if not line.startswith(("heatrd: compiling", "heatrd: warning:"))]
    if code == 2:
        require(len(lines) == 1 and lines[0].startswith("heatrd"), f"exit code 2 with stderr {err!r}")
        writes = any(
            word.startswith(("--out", "--plot")) for word in words
        )  # an answer may be printed, then not written
        require(out == "" or writes, f"exit code 2 with stdout {out[:200]!r}")
    if code == 0 and "--help" not in words:
        require(not lines, f"exit code 0 with stderr {err!r}")
        if "--json" in words and words[0] != "completion":
            record = json.loads(out, parse_constant=_no_constant)
            require(isinstance(record, dict) and out.count("\n") == 1, "not one JSON object on one line")
            _ordered(record)


def _no_constant(name: str) -> None:
    raise AssertionError(f"{name} is no JSON")


def _ordered(record: dict) -> None:
    if "rate_lower" in record and "rate" in record and isinstance(record["rate"], float):
        require(
            record["rate_lower"] <= record["rate"], f"bounds {record['rate_lower']!r}, {record['rate']!r} not ordered"
        )


@probe(30, "cli")
def command(dice: Dice) -> None:
    """In this process."""
    words = command_line(dice)
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        code = main(words)
    check_outcome(words, code, out.getvalue(), err.getvalue())


@probe(0.15, "cli")
def program(dice: Dice) -> None:
    """As a program of its own, output through pipes."""
    words = command_line(dice)
    root = str(Path(__file__).parents[2])
    paths = os.pathsep.join([root, os.environ.get("PYTHONPATH", "")]).rstrip(os.pathsep)
    done = subprocess.run(
        [sys.executable, "-W", "error", "-m", "heatrd", *[word.replace("\0", "") for word in words]],
        capture_output=True,
        text=True,
        timeout=300,
        env={**os.environ, "PYTHONPATH": paths},
        check=False,
    )
    check_outcome(words, done.returncode, done.stdout, done.stderr)
