"""The runner of `validation/`: a failing claim, a crash and a missing package are told apart and counted."""

import json
from types import SimpleNamespace

import pytest

runner = pytest.importorskip("validation.__main__")


def record(passed=True, **more):
    return {"claim": "c", "expected": "1", "measured": "1", "passed": passed, **more}


@pytest.fixture
def modules(monkeypatch):
    """Replace the modules on disk by made-up ones."""
    found = {}
    monkeypatch.setattr(runner, "_names", lambda: iter(found))
    monkeypatch.setattr(runner, "_module", found.__getitem__)
    return found


def raises(error):
    def run(smoke):
        raise error

    return SimpleNamespace(run=run)


def test_passing_claims_are_written_with_versions(modules, tmp_path, capsys):
    modules["good"] = SimpleNamespace(run=lambda smoke: [record(data=[1.0, 2.0]), record(smoke=smoke)])
    assert runner.main(["--smoke", "--json", str(tmp_path / "r.json")]) == 0
    written = json.loads((tmp_path / "r.json").read_text())
    assert written["smoke"] is True and written["versions"]["numpy"]
    assert written["results"]["good"]["records"][1]["smoke"] is True
    assert "2 of 2 claims hold" in capsys.readouterr().out


FAILS = SimpleNamespace(run=lambda smoke: record(passed=False))


@pytest.mark.parametrize("module", [FAILS, raises(ValueError("lost"))])
def test_failing_claim_or_crash_fails_the_run(module, modules, tmp_path, capsys):
    modules["good"] = SimpleNamespace(run=lambda smoke: record())
    modules["bad"] = module
    assert runner.main(["--json", str(tmp_path / "r.json")]) == 1
    assert "FAILED" in capsys.readouterr().out


def test_missing_package_is_skipped_in_smoke_and_fails_the_full_run(modules, tmp_path, capsys):
    modules["good"] = SimpleNamespace(run=lambda smoke: record())
    modules["poor"] = raises(ModuleNotFoundError("No module named 'dit'"))
    target = ["--json", str(tmp_path / "r.json")]
    assert runner.main(["--smoke", *target]) == 0
    assert "1 modules skipped" in capsys.readouterr().out
    assert runner.main(target) == 1


def test_nothing_run_is_no_success(modules, tmp_path):
    assert runner.main(["--json", str(tmp_path / "r.json")]) == 1


def test_only_keeps_the_results_of_the_others(modules, tmp_path):
    for name in ("one", "two"):
        modules[name] = SimpleNamespace(run=lambda smoke: record())
    target = ["--json", str(tmp_path / "r.json")]
    assert runner.main(target) == 0
    assert runner.main(["--only", "one", *target]) == 0
    assert set(json.loads((tmp_path / "r.json").read_text())["results"]) == {"one", "two"}


def test_figures_are_drawn_from_the_records_and_again_from_the_file(modules, tmp_path):
    drawn = []
    modules["good"] = SimpleNamespace(
        run=lambda smoke: record(data=[1, 2]), draw=lambda records, directory: drawn.append(records[0]["data"])
    )
    target = ["--json", str(tmp_path / "r.json"), "--figures", str(tmp_path / "f")]
    assert runner.main(target) == 0
    assert runner.main([*target, "--redraw"]) == 0
    assert drawn == [[1, 2], [1, 2]]


def test_results_are_written_before_a_picture_fails(modules, tmp_path):
    def draw(records, directory):
        raise KeyError("errors")

    modules["good"] = SimpleNamespace(run=lambda smoke: record(), draw=draw)
    with pytest.raises(KeyError):
        runner.main(["--json", str(tmp_path / "r.json"), "--figures", str(tmp_path / "f")])
    assert json.loads((tmp_path / "r.json").read_text())["results"]["good"]["records"]


def test_every_module_on_disk_has_a_claim_to_run():
    names = list(runner._names())
    assert "dct_photograph" in names
    assert not any(name.startswith("benchmarks") for name in names)
