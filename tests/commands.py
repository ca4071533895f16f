"""Running the command line in tests: in this process, or as a process of its own."""

import csv
import json
import os
import shlex
import subprocess
import sys

import pytest

from heatrd.cli import main


def run(command, capsys):
    """Run one command line; return (exit code, stdout, stderr)."""
    code = main(shlex.split(command) if isinstance(command, str) else command)
    out = capsys.readouterr()
    return code, out.out, out.err


def run_json(command, capsys):
    code, out, err = run(command, capsys)
    assert code == 0, err
    assert out.count("\n") == 1, "exactly one line, one object"
    return json.loads(out, parse_constant=lambda name: pytest.fail(f"{name} is no JSON"))


def rows_of(file):
    return list(csv.DictReader(file.read_text().splitlines()))


def assert_refused(command, capsys, *words, code=2):
    """Check for the exit code, one line on stderr with these words, and nothing on stdout."""
    got, out, err = run(command, capsys)
    assert got == code, (got, err)
    assert out == ""
    assert err.count("\n") == 1 and err.startswith("heatrd"), err
    assert "Traceback" not in err
    for word in words:
        assert word in err, err


def as_process(command, **options):
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(p for p in sys.path if p)}
    pipe = subprocess.PIPE
    return subprocess.Popen(
        [sys.executable, "-m", "heatrd", *shlex.split(command)], stdout=pipe, stderr=pipe, text=True, env=environment,
        **options
    )  # fmt: skip
