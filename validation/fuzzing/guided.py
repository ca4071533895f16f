"""Coverage-guided bytes against the readers of files and of command lines; needs the package atheris.

    python -m validation.fuzzing.guided -max_total_time=300 corpus/

The first byte chooses the reader, the rest is the file (or the words of a command line that reads it). Options are
libFuzzer's. What is not an answer or an error of heatrd stops the run and leaves the input behind.
"""

from __future__ import annotations

import contextlib
import io
import sys
import tempfile
import warnings
from pathlib import Path

import atheris

with atheris.instrument_imports(include=["heatrd.store", "heatrd.sources.loading", "heatrd.cli", "heatrd.curve"]):
    import heatrd
    from heatrd.cli import main as command
    from heatrd.sources.loading import load_density, load_samples

    READERS = (load_samples, load_density, heatrd.RDCurve.load)

KINDS = (".npy", ".npz", ".csv", ".txt", ".tsv", ".dat")
FOLDER = Path(tempfile.mkdtemp(prefix="guided"))


def one(data: bytes) -> None:
    """Hand one input to one reader."""
    if not data:
        return
    choice, content = data[0], data[1:]
    file = FOLDER / f"x{KINDS[choice % len(KINDS)]}"
    file.write_bytes(content)
    reader = choice // len(KINDS) % (len(READERS) + 1)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        warnings.simplefilter("ignore", heatrd.HeatrdWarning)
        if reader < len(READERS):
            with contextlib.suppress(heatrd.HeatrdError):
                READERS[reader](file)
        else:
            _compare(file)


def _compare(file: Path) -> None:
    """The table reader of ``heatrd compare``, up to the source, which is unknown on purpose."""
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        code = command(["compare", str(file), "--source", "no-such"])
    assert code == 2 and err.getvalue().count("\n") == 1, (code, err.getvalue())


if __name__ == "__main__":
    atheris.Setup(sys.argv, one)
    atheris.Fuzz()
