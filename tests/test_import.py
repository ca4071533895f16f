"""`import heatrd` costs nothing: heavy packages are loaded on first use."""

import operator
import os
import subprocess
import sys

import pytest

HEAVY = ("numba", "matplotlib", "jax", "dask", "scipy")


def loaded_by(statement: str) -> set[str]:
    """Return the top-level packages in ``sys.modules`` of a fresh interpreter after ``statement``."""
    code = f"{statement}\nimport sys\nprint(' '.join({{name.partition('.')[0] for name in sys.modules}}))"
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(p for p in sys.path if p)}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env=environment)
    return set(done.stdout.split())


def test_import_loads_nothing_heavy():
    assert not loaded_by("import heatrd").intersection(HEAVY)


def test_the_check_itself_sees_what_is_loaded():
    assert "scipy" in loaded_by("import heatrd; heatrd.as_source('laplace')")


def test_command_line_help_loads_no_plotting_and_no_compiler():
    statement = (
        "import contextlib, io\n"
        "from heatrd.cli import main\n"
        "with contextlib.redirect_stdout(io.StringIO()): main(['curve', '--help'])"
    )
    assert not loaded_by(statement).intersection({"numba", "matplotlib", "jax", "dask"})


def test_sources_load_no_compiler():
    assert "numba" not in loaded_by("import heatrd.sources")


@pytest.mark.parametrize(
    "name", ["solve", "rd_curve", "as_source", "certify", "Solution", "RDCurve", "critical_epsilon"]
)
def test_public_names_resolve_to_objects_not_modules(name):
    import types

    import heatrd

    assert callable(getattr(heatrd, name))
    assert not isinstance(getattr(heatrd, name), types.ModuleType)
    assert name in dir(heatrd)


def test_unknown_name_is_an_attribute_error():
    import heatrd

    with pytest.raises(AttributeError, match="no_such_name"):
        operator.attrgetter("no_such_name")(heatrd)
