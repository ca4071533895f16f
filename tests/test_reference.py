"""The reference table: consistent with closed forms, with itself and with fresh solves."""

import itertools
import math
from collections import Counter

import pytest

import heatrd
from heatrd.errors import InvalidInput

ROWS = heatrd.reference_table()


def test_table_is_large_and_narrow():
    counts = Counter(row.source for row in ROWS)
    assert sum(count == 12 for count in counts.values()) >= 12
    for row in ROWS:
        assert 0 <= row.gap <= 1e-9, row


def test_gaussian_rows_are_the_closed_form():
    rows = heatrd.reference_table("gaussian")
    assert len(rows) == 12
    for row in rows:
        true = -0.5 * math.log(row.distortion)
        assert row.rate_lower - 1e-12 <= true <= row.rate_upper + 1e-12


@pytest.mark.parametrize("name", sorted({row.source for row in ROWS}))
def test_rows_decrease_convexly_under_the_gaussian(name):
    rows = sorted(heatrd.reference_table(name), key=lambda row: row.distortion)
    for a, b in itertools.pairwise(rows):
        assert b.rate_lower <= a.rate_upper
        # tangents of one row never exceed another row
        assert a.rate_lower - (b.distortion - a.distortion) / (2 * a.epsilon) <= b.rate_upper + 1e-9
        assert b.rate_lower + (b.distortion - a.distortion) / (2 * b.epsilon) <= a.rate_upper + 1e-9
    for row in rows:
        assert row.rate_lower <= -0.5 * math.log(row.distortion) + 1e-9 or "2d" in name or "circle" in name


def test_a_row_is_found_again():
    row = next(r for r in heatrd.reference_table("uniform") if r.asked == "distortion" and r.distortion > 0.4)
    point = heatrd.solve(heatrd.sources.Uniform(-math.sqrt(3), math.sqrt(3)), distortion=row.distortion, tol=1e-9)
    assert point.rate_lower <= row.rate_upper + 1e-10 and row.rate_lower <= point.rate + 1e-10
    assert row.epsilon == pytest.approx(point.epsilon, rel=1e-6)


def test_unknown_source_names_the_known():
    with pytest.raises(InvalidInput, match="gaussian"):
        heatrd.reference_table("nothing")
