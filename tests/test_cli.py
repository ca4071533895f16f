"""The command line: what it prints and what it writes."""

import contextlib
import io
import math
import re
import shlex
import subprocess
from pathlib import Path
from typing import ClassVar

import numpy as np
import pytest
from commands import assert_refused, rows_of, run, run_json

import heatrd
from heatrd.cli import main
from heatrd.cli._parser import COMMANDS, build_parser
from heatrd.cli._sources import parse_value
from heatrd.reconstruction import product

ROOT = Path(__file__).parent.parent
PNG = b"\x89PNG"


# ---- solve ------------------------------------------------------------------------------------------------


def test_solve_prints_one_json_object_with_the_field_names_of_python(capsys):
    record = run_json("solve uniform --distortion 0.1 --json", capsys)
    solution = heatrd.solve(heatrd.as_source("uniform"), distortion=0.1)
    for name in ("epsilon", "distortion", "rate", "rate_lower", "lagrangian", "lagrangian_lower", "bits", "snr_db"):
        assert record[name] == pytest.approx(getattr(solution, name), rel=1e-9), name
    assert record["distortion"] == pytest.approx(0.1, rel=1e-9)
    assert 0 <= record["gap"] <= 1e-9
    assert record["regime"] == solution.regime
    assert np.shape(record["reconstruction"]["points"]) == (len(record["reconstruction"]["weights"]), 1)
    assert math.fsum(record["reconstruction"]["weights"]) == pytest.approx(1.0)


def test_solve_at_a_rate_in_bits(capsys):
    record = run_json("solve laplace --rate 1 --unit bit --json", capsys)
    assert record["unit"] == "bit"
    assert record["bits"] == pytest.approx(1.0, rel=1e-8)
    assert record["rate"] == pytest.approx(1.0, rel=1e-8)
    assert heatrd.solve(heatrd.as_source("laplace"), distortion=record["distortion"]).rate == pytest.approx(
        math.log(2), rel=1e-7
    )


def test_solve_at_an_epsilon_in_words(capsys):
    code, out, err = run("solve uniform --epsilon 0.2", capsys)
    assert code == 0 and err == ""
    shown = dict(re.split(r"\s{2,}", line, maxsplit=1) for line in out.split("\n\n")[0].splitlines())
    lower, upper = (float(shown[f"rate{side} (nat)"].split()[0]) for side in (" lower", ""))
    assert lower <= upper
    assert float(shown["epsilon"]) == 0.2
    assert float(shown["Shannon bound (nat)"]) < upper < float(shown["Gaussian bound (nat)"])
    assert out.split("\n\n")[1].splitlines()[0].split() == ["point", "weight"]


def test_parameters_reach_the_source(capsys):
    wide = run_json("solve laplace --param scale=2 --distortion 4 --json", capsys)
    narrow = run_json("solve laplace --param scale=1 --distortion 1 --json", capsys)
    assert wide["rate"] == pytest.approx(narrow["rate"], rel=1e-8)


def test_scipy_names_are_sources(capsys):
    record = run_json("solve scipy:gennorm --param beta=2 --distortion 0.1 --json", capsys)
    assert record["rate"] == pytest.approx(0.5 * math.log(0.5 / 0.1), abs=1e-8)


def test_options_and_sources_in_any_order(capsys):
    first = run_json("solve gaussian --distortion 0.5 --json", capsys)
    assert run_json("solve --distortion 0.5 gaussian --json", capsys) == first
    assert run_json("solve --json --source gaussian --distortion 0.5", capsys) == first


def test_a_product_of_more_points_than_can_be_listed_is_answered(capsys, monkeypatch):
    """Three coordinates of one law: its points, cubed, were asked for after the solve, and the answer was lost."""
    monkeypatch.setattr(product, "_ENUMERABLE", 20)
    command = "solve box --param low=[-1,-1,0] --param high=[1,1,2] --epsilon 0.1"
    one = heatrd.solve(heatrd.as_source("uniform", low=0, high=2), epsilon=0.1)
    count = len(one.reconstruction)
    assert count**3 > 20
    record = run_json(f"{command} --json", capsys)
    assert record["rate"] == pytest.approx(3 * one.rate, abs=1e-8)
    blocks = record["reconstruction"]["blocks"]
    assert [np.shape(block["points"]) for block in blocks] == [(count, 1)] * 3
    assert np.sum([block["basis"] for block in blocks], axis=2).tolist() == np.eye(3).tolist()
    code, out, _ = run(command, capsys)
    assert code == 0 and f"{count} × {count} × {count} points" in out


def test_solve_writes_law_and_picture(capsys, tmp_path):
    code, _, err = run(f"solve uniform --epsilon 0.2 --out {tmp_path}/law.csv --plot {tmp_path}/point.png", capsys)
    assert code == 0, err
    rows = rows_of(tmp_path / "law.csv")
    assert len(rows) == 3
    assert sum(float(row["weight"]) for row in rows) == pytest.approx(1.0)
    assert (tmp_path / "point.png").read_bytes().startswith(PNG)


def test_solve_writes_npz_without_pickles(capsys, tmp_path):
    code, _, err = run(f"solve uniform --epsilon 0.2 --out {tmp_path}/law.npz", capsys)
    assert code == 0, err
    with np.load(tmp_path / "law.npz", allow_pickle=False) as law:
        assert law["weight"].sum() == pytest.approx(1.0)


# ---- curve ------------------------------------------------------------------------------------------------


def test_curve_table_holds_ordered_bounds(capsys):
    code, out, err = run("curve laplace --distortions 0.5,0.1,0.02 --rows 0", capsys)
    assert code == 0, err
    heads, *rows = [line for line in out.splitlines() if line.strip()][1:]
    assert "Shannon" in heads and "Gaussian" in heads
    table = np.array([[float(cell) for cell in row.split()] for row in rows])
    distortion, lower, upper, shannon, gaussian = table[:, [0, 2, 3, 5, 6]].T
    assert (np.diff(distortion) < 0).all() and (np.diff(upper) > 0).all()
    assert (lower <= upper).all() and (shannon <= upper + 1e-6).all() and (upper <= gaussian + 1e-6).all()
    for wanted in (0.5, 0.1, 0.02):
        assert np.isclose(distortion, wanted, rtol=1e-6).any()


def test_curve_json(capsys):
    record = run_json("curve gaussian --distortions 0.5,0.25 --json", capsys)
    assert record["certified"] is True
    np.testing.assert_allclose(record["rates"], 0.5 * np.log(1 / np.array(record["distortions"])), atol=1e-8)
    assert len(record["epsilons"]) == len(record["rates_lower"]) == len(record["rates"])


def test_rates_are_asked_for_in_the_unit(capsys):
    record = run_json("curve gaussian --rates 1,2 --unit bit --json", capsys)
    assert np.isclose(record["rates"], 1.0, atol=1e-6).any() and np.isclose(record["rates"], 2.0, atol=1e-6).any()
    assert np.isclose(record["distortions"], 0.25, rtol=1e-6).any()


def test_several_curves_in_one_picture_and_one_file(capsys, tmp_path):
    command = "curve uniform laplace --param laplace.scale=2 --distortions 0.5,0.1 --json --x snr_db"
    record = run_json(f"{command} --plot {tmp_path}/two.svg --out {tmp_path}/two.csv", capsys)
    assert [each["source"] for each in record["curves"]] == ["uniform", "laplace(scale=2)"]
    rows = rows_of(tmp_path / "two.csv")
    assert {row["source"] for row in rows} == {"uniform", "laplace(scale=2)"}
    assert all(float(row["rate_lower_nat"]) <= float(row["rate_nat"]) for row in rows)
    assert "<svg" in (tmp_path / "two.svg").read_text()


@pytest.mark.parametrize("view", ["full", "curve", "excess", "atoms"])
def test_every_view_draws(view, capsys, tmp_path):
    code, _, err = run(f"curve uniform --distortions 0.5,0.2 --view {view} --plot {tmp_path}/v.png", capsys)
    assert code == 0, err
    assert (tmp_path / "v.png").read_bytes().startswith(PNG)


def test_samples_from_a_file(capsys, tmp_path):
    np.savetxt(tmp_path / "x.csv", [-1.0, 1.0, -1.0, 1.0])
    record = run_json(["solve", "--samples", str(tmp_path / "x.csv"), "--rate", "0.2", "--json"], capsys)
    flip = record["distortion"] / 4  # two points at ±1: R(D) of a fair coin with reconstructions inside
    assert 0 < flip < 0.25 and record["rate"] < math.log(2)


def test_constant_samples_cost_nothing(capsys, tmp_path):
    np.savetxt(tmp_path / "x.csv", np.full(20, 3.0))
    record = run_json(["solve", "--samples", str(tmp_path / "x.csv"), "--epsilon", "0.1", "--json"], capsys)
    assert record["rate"] == 0 and record["reconstruction"]["points"] == [[3.0]]


# ---- compare ----------------------------------------------------------------------------------------------


def test_compare_measures_gaps_and_flags_the_impossible(capsys, tmp_path):
    file = tmp_path / "points.csv"
    file.write_text("distortion,rate_bit\n0.25,1.5\n0.25,0.9\n0.0625,2.0\n")
    record = run_json(f"compare {file} --source gaussian --json", capsys)
    assert record["impossible"] == [False, True, False]
    np.testing.assert_allclose(record["gap_bits"], [0.5, -0.1, 0.0], atol=1e-6)
    np.testing.assert_allclose(record["gap_db"], 20 * np.log10(2) * np.array([0.5, -0.1, 0.0]), atol=1e-5)


def test_compare_reads_two_bare_columns_and_draws(capsys, tmp_path):
    (tmp_path / "points.csv").write_text("0.2 , 0.9\n0.05, 1.7\n")
    command = f"compare {tmp_path}/points.csv gaussian --plot {tmp_path}/gap.png --out {tmp_path}/gap.csv"
    code, out, err = run(command, capsys)
    assert code == 0, err
    assert out.count("ok") == 2 and "IMPOSSIBLE" not in out
    assert (tmp_path / "gap.png").read_bytes().startswith(PNG)
    rows = rows_of(tmp_path / "gap.csv")
    assert float(rows[0]["gap_nat"]) == pytest.approx(0.9 - 0.5 * math.log(5), abs=1e-6)


@pytest.mark.parametrize(
    "text, words",
    [
        ("", "holds no points"),
        ("distortion,rate\n", "no points"),
        ("a,b\n1,2\n", "one named distortion"),
        ("0.1,x\n", "does not hold"),
        ("0.1\n", "does not hold"),
        ("0,1\n", "no point"),
        ("0.1,-1\n", "no point"),
        ("nan,1\n", "no point"),
        ("0.1,inf\n", "no point"),
    ],
)
def test_compare_refuses_unusable_points(text, words, capsys, tmp_path):
    (tmp_path / "points.csv").write_text(text)
    assert_refused(f"compare {tmp_path}/points.csv gaussian", capsys, words)


# ---- path, sample, neural ----------------------------------------------------------------------------------


def test_path_of_a_gaussian_is_the_gaussian_path(capsys, tmp_path):
    record = run_json(f"path gaussian --epsilon 0.5 --json --times 0,1 --out {tmp_path}/p.csv", capsys)
    assert record["theta"] == pytest.approx(0.5) and record["distortion"] == 0.5
    assert record["gap"] <= 1e-9 and record["flags"] == []
    table = np.array(
        [[float(row[name]) for name in ("t", "x", "density", "control")] for row in rows_of(tmp_path / "p.csv")]
    )
    t, x, density, control = table[np.abs(table[:, 1]) < 3].T
    variance = 1 - 0.5 * t
    np.testing.assert_allclose(density, np.exp(-(x**2) / (2 * variance)) / np.sqrt(2 * np.pi * variance), rtol=1e-9)
    np.testing.assert_allclose(control, -0.5 * x / variance, atol=1e-9)


@pytest.mark.parametrize("suffix, start", [("png", PNG), ("gif", b"GIF8")])
def test_path_is_drawn_and_animated(suffix, start, capsys, tmp_path, monkeypatch):
    from heatrd.backward import HeatPath

    animate = HeatPath.animate
    monkeypatch.setattr(HeatPath, "animate", lambda self, file: animate(self, file, frames=3))
    code, out, err = run(f"path gaussian --epsilon 0.5 --no-certificate --plot {tmp_path}/p.{suffix}", capsys)
    assert code == 0, err
    assert "residual" in out and "gap" not in out
    assert (tmp_path / f"p.{suffix}").read_bytes().startswith(start)


def test_path_beyond_the_critical_epsilon_is_refused(capsys):
    assert_refused("path gaussian --epsilon 1.5", capsys, "1.5")
    assert_refused("path laplace --epsilon 0.1", capsys, "0.1")


def test_sample_agrees_with_exact_values_in_standard_errors(capsys, tmp_path):
    command = f"sample uniform --epsilon 0.3 --paths 4000 --steps 20 --seed 5 --json --out {tmp_path}/x.csv"
    record = run_json(command, capsys)
    rows = record["quantities"]
    assert any("energy" in name for name in rows) and any("entropy" in name for name in rows)
    for name, row in rows.items():
        assert 0 < row["stderr"] < 0.05, name
        assert abs(row["z"]) < 5, name
        assert row["z"] == pytest.approx((row["estimate"] - row["exact"]) / row["stderr"])
    exact = heatrd.solve("uniform", epsilon=0.3).distortion
    assert rows["distortion"]["exact"] == pytest.approx(exact)
    assert len(rows_of(tmp_path / "x.csv")) == 4000


def test_sample_draws_paths(capsys, tmp_path):
    command = f"sample gaussian --epsilon 0.5 --paths 500 --steps 10 --plot {tmp_path}/p.png"
    code, out, err = run(command, capsys)
    assert code == 0, err
    assert out.split()[:5] == ["quantity", "exact", "estimate", "stderr", "z"]
    assert (tmp_path / "p.png").read_bytes().startswith(PNG)


class FakeR2D2:
    """Stands for the trained model: the exact Lagrangian of N(0, 1) plus 0.01, in results of the real types."""

    made: ClassVar[dict] = {}

    def __init__(self, **settings):
        FakeR2D2.made = settings

    def fit(self, source, **settings):
        FakeR2D2.made |= {"source": source, **settings}
        settings["callback"](1, 0.0)
        settings["callback"](2, 0.0)

    def curve(self, points, **_):
        from heatrd.neural.results import NeuralCurve, NeuralEstimate

        epsilons = np.geomspace(*FakeR2D2.made["epsilon_range"], points)[::-1]
        exact = [0.5 * np.log(1 / e) + 0.5 for e in epsilons]
        return NeuralCurve(
            tuple(
                NeuralEstimate(e, x - 0.5, e, x, 0.0, 0.0, x + 0.01, 0.002, "law", e, 99)
                for e, x in zip(epsilons, exact)
            )
        )


def test_neural_sets_its_bound_beside_the_certified_optimum(capsys, tmp_path, monkeypatch):
    pytest.importorskip("jax")
    monkeypatch.setattr(heatrd.neural, "R2D2", FakeR2D2)
    command = f"neural gaussian --range 0.1,0.5 --steps 40 --points 2 --seed 3 --unit bit --json --out {tmp_path}/n.csv"
    record = run_json(f"{command} --plot {tmp_path}/n.png", capsys)
    assert FakeR2D2.made["steps"] == 40 and FakeR2D2.made["seed"] == 3 and FakeR2D2.made["progress"] is False
    np.testing.assert_allclose(record["excess"], 0.01 / np.log(2), atol=1e-5)
    np.testing.assert_allclose(record["lagrangian_upper_stderr"], 0.002 / np.log(2))
    np.testing.assert_allclose(record["rate"], [0.5, 0.5 * math.log2(10)], atol=1e-9)
    assert float(rows_of(tmp_path / "n.csv")[0]["excess_bit"]) == pytest.approx(0.01 / math.log(2), abs=1e-5)
    assert (tmp_path / "n.png").read_bytes().startswith(PNG)


def test_neural_trains_on_copies(capsys, monkeypatch):
    pytest.importorskip("jax")
    monkeypatch.setattr(heatrd.neural, "R2D2", FakeR2D2)
    run_json("neural laplace --dim 3 --range 0.1,0.5 --no-certified --json", capsys)
    assert FakeR2D2.made["source"].dim == 3


@pytest.mark.parametrize("option", ["--points 0", "--held-out 1"])
def test_neural_sizes_are_checked_before_the_training(option, capsys, monkeypatch):
    pytest.importorskip("jax")
    monkeypatch.setattr(heatrd.neural, "R2D2", None)
    assert_refused(f"neural laplace {option}", capsys, "need at least")


def test_neural_range_is_checked(capsys):
    pytest.importorskip("jax")
    assert_refused("neural gaussian --range 1,0.1", capsys, "increasing")
    assert_refused("neural gaussian --range 1", capsys, "increasing")


# ---- critical, warmup, completion -------------------------------------------------------------------------


def test_critical_point_of_a_mixture(capsys):
    record = run_json("critical gaussian --param cov=0.5 --unit bit --json", capsys)
    assert record["critical_epsilon"] == pytest.approx(0.5)
    assert record["critical_distortion"] == pytest.approx(0.5)
    assert record["rate"] == pytest.approx(0.0, abs=1e-9)


def test_critical_point_that_does_not_exist(capsys):
    assert run_json("critical laplace --json", capsys)["critical_epsilon"] == 0
    code, out, _ = run("critical laplace", capsys)
    assert code == 0 and "unbounded" in out


def test_warmup(capsys):
    record = run_json("warmup --json", capsys)
    assert record["seconds"] >= 0
    assert {"line", "plane", "space"} <= set(record["solved"])
    from heatrd.kernels import gram, line, moments, paths, transform

    kernels = [gram.posterior_gram, line.newton_system, moments.moment_log_sum, paths.predict, transform.spread]
    compiled = [k for k in kernels if hasattr(k, "signatures")]  # none under NUMBA_DISABLE_JIT=1
    assert all(k.signatures for k in compiled)


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_knows_commands_options_and_sources(shell, capsys):
    code, out, _ = run(["completion", shell], capsys)
    assert code == 0
    for module in COMMANDS:
        assert module.__name__.rpartition(".")[2] in out
    assert "laplace" in out and "distortion" in out and "snr_db" in out


def test_bash_completes(capsys):
    _, script, _ = run("completion bash", capsys)
    for words, expected in ((["sol"], "solve"), (["solve", "lapl"], "laplace"), (["curve", "--uni"], "--unit"),
                            (["curve", "--unit", "b"], "bit")):  # fmt: skip
        state = f"COMP_WORDS=(heatrd {' '.join(words)}); COMP_CWORD={len(words)}; _heatrd; echo ${{COMPREPLY[@]}}"
        program = f"compopt() {{ :; }}\n{script}\n{state}"
        done = subprocess.run(["bash", "-c", program], capture_output=True, text=True, check=True)
        assert expected in done.stdout.split(), (words, done.stdout, done.stderr)


# ---- help -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", [module.__name__.rpartition(".")[2] for module in COMMANDS])
def test_help_has_examples_that_parse(name, capsys):
    code, out, _ = run([name, "--help"], capsys)
    assert code == 0
    examples = re.findall(rf"^  heatrd ({name}.*)$", out, flags=re.MULTILINE)
    assert examples
    for example in examples:
        assert build_parser().parse_args(shlex.split(example.partition(">")[0])).command == name


@pytest.mark.parametrize("page", ["README.md", "docs/quickstart.md", "docs/cli.md", "docs/index.md"])
def test_commands_shown_in_the_docs_parse(page):
    text = (ROOT / page).read_text()
    shown = re.findall(r"(?:^\$ |`)heatrd ([a-z][^`\n…|]*)", text, flags=re.MULTILINE)
    assert shown or page == "docs/index.md"
    for command in shown:
        words = shlex.split(command.partition("#")[0])
        if len(words) > 1 or words == ["warmup"]:
            build_parser().parse_args(words)


def test_readme_has_exactly_two_setup_commands():
    blocks = re.findall(r"^```bash\n(.*?)^```", (ROOT / "README.md").read_text(), flags=re.MULTILINE | re.DOTALL)
    assert len(blocks) == 2
    assert all(block.count("\n") == 1 and "venv" in block and "pip install" in block for block in blocks)
    assert "heatrd curve" in blocks[0] and blocks[1].strip().endswith("-m pytest")


def test_no_command_shows_what_there_is(capsys):
    assert_refused([], capsys, "COMMAND", "try: heatrd --help")


def test_version(capsys):
    code, out, _ = run("--version", capsys)
    assert code == 0 and out.strip() == f"heatrd {heatrd.__version__}"


# ---- parts ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "text, value",
    [("2", 2), ("0.5", 0.5), (".5", 0.5), ("1e-3", 1e-3), ("0.3,0.7", [0.3, 0.7]), ("[[1,0],[0,2]]", [[1, 0], [0, 2]]),
     ("true", True), ("word", "word"), ("inf", math.inf)],
)  # fmt: skip
def test_parameter_values(text, value):
    assert parse_value(text) == value


def test_warnings_are_one_line(capsys, monkeypatch):
    import warnings

    solve = heatrd.solve

    def warns(*args, **kwargs):
        warnings.warn("tails cut at 1e-9", heatrd.HeatrdWarning, stacklevel=2)
        return solve(*args, **kwargs)

    monkeypatch.setattr(heatrd, "solve", warns)
    with contextlib.redirect_stderr(io.StringIO()) as err:
        code = main(["solve", "gaussian", "--epsilon", "0.2"])
    assert code == 0
    assert err.getvalue() == "heatrd: warning: tails cut at 1e-9\n"
