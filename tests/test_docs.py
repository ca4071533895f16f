"""The documentation's examples give what they print; the gallery's scripts draw; tables follow their JSON."""

import doctest
import json
import re
import runpy
import warnings
from pathlib import Path

import pytest

from heatrd.errors import HeatrdWarning

ROOT = Path(__file__).parent.parent
PAGES = sorted(p.relative_to(ROOT).as_posix() for p in (ROOT / "docs").rglob("*.md") if ">>> " in p.read_text())
GALLERY = sorted(p.name for p in (ROOT / "docs" / "gallery").glob("*.py"))
OPTIONS = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE


def without_fences(text):
    """A closing fence would be read as expected output; lines keep their numbers."""
    return re.sub(r"^```.*$", "", text, flags=re.MULTILINE)


@pytest.mark.parametrize("page", PAGES)
def test_examples_print_what_the_page_says(page):
    text = without_fences((ROOT / page).read_text())
    found = doctest.DocTestParser().get_doctest(text, {}, page, page, 0)
    assert found.examples
    said = []
    runner = doctest.DocTestRunner(optionflags=OPTIONS)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", HeatrdWarning)
        result = runner.run(found, out=said.append)
    assert result.failed == 0, "".join(said)


def test_the_pages_people_start_with_have_examples():
    assert {"docs/tutorial.md", "docs/howto/test_estimator.md", "docs/howto/high_precision.md"} <= set(PAGES)


@pytest.mark.parametrize("script", GALLERY)
def test_gallery_script_draws_its_picture(script, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    runpy.run_path(str(ROOT / "docs" / "gallery" / script))
    name = script.replace(".py", ".png")
    assert [p.name for p in tmp_path.iterdir()] == [name]
    assert (tmp_path / name).stat().st_size > 10_000
    assert (ROOT / "docs" / "_static" / "gallery" / name).exists()
    assert script in (ROOT / "docs" / "gallery" / "index.md").read_text()


def test_gallery_is_large_enough():
    assert len(GALLERY) >= 10


def test_tables_in_the_documentation_come_from_the_committed_results():
    claims = pytest.importorskip("validation.claims")
    stored = json.loads((ROOT / "validation" / "results" / "full.json").read_text())
    assert (ROOT / "docs" / "_tables" / "validation.md").read_text() == claims.records_table(stored)
    readme = (ROOT / "README.md").read_text()
    for row in claims.readme_table(stored).splitlines():
        assert row in readme, row


def test_benchmark_tables_come_from_the_committed_results(tmp_path):
    tables = pytest.importorskip("validation.benchmarks.tables")
    stored = json.loads((ROOT / "validation" / "results" / "benchmarks.json").read_text())
    tables.write(stored, tmp_path)
    written = sorted(tmp_path.iterdir())
    assert written
    for path in written:
        assert path.read_text() == (ROOT / "docs" / "_tables" / path.name).read_text()
