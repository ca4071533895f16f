"""A share of the fuzz run: the same cases every time, in this process."""

import warnings

import pytest

import heatrd

fuzz = pytest.importorskip("validation.fuzz")
CHEAP = (
    "command",
    "sample_file",
    "density_file",
    "curve_file",
    "bounds",
    "closed",
    "laws",
    "transport",
    "table",
    "forward",
)


def failures(numbers, only=None):
    with warnings.catch_warnings():
        records = [fuzz.run_case(7, number, only) for number in numbers]
    return [record for record in records if record["outcome"] not in ("answer", "refused")]


@pytest.mark.parametrize("probe", CHEAP)
def test_no_case_fails(probe):
    assert not failures(range(15), probe)


def test_every_public_name_has_a_probe():
    covered = {name for each in fuzz.probes() for name in each.covers}
    unused = {"__version__", "sources", "plots", "neural", "testing"}
    assert not set(heatrd.__all__) - covered - unused


def test_the_harness_notices_what_it_should(monkeypatch):
    """A wrong answer, a raw exception, a warning, a stray file and a case that never ends."""
    from validation.fuzzing.probes import Probe

    def outcome(function):
        monkeypatch.setattr(fuzz, "probes", lambda: [Probe("made-up", function, 1.0, ())])
        return fuzz.run_case(0, 0)["outcome"]

    def endless(dice):
        while True:
            pass

    def wrong(dice):
        raise AssertionError("two is three")

    monkeypatch.setattr(fuzz, "CPU_SECONDS", 0.2)
    assert outcome(lambda dice: None) == "answer"
    assert outcome(lambda dice: heatrd.solve("uniform", epsilon=-1)) == "refused"
    assert outcome(wrong) == "wrong"
    assert outcome(lambda dice: 1 / 0) == "ZeroDivisionError"
    assert outcome(lambda dice: warnings.warn("overflow", RuntimeWarning, stacklevel=1)) == "RuntimeWarning"
    assert outcome(lambda dice: (dice.folder.parent / "stray").touch()) == "stray"
    assert outcome(endless) == "slow"
