"""Atoms in the plane and in space at small ε: the closed form, and the scan that leaves empty space out."""

import math

import mpmath
import numpy as np
import pytest

import heatrd
from heatrd.certificate.supremum import scan
from heatrd.errors import TooLarge
from heatrd.quadrature.tiles import Field, make_tiles
from heatrd.reconstruction import isolated as module
from heatrd.reconstruction import space
from heatrd.reconstruction.isolated import isolated
from heatrd.sources import Atoms


def some_atoms(n=6, d=2, seed=1):
    rng = np.random.default_rng(seed)
    return Atoms(rng.standard_normal((n, d)), rng.uniform(0.2, 1, n))


def least_distance(source):
    apart = np.linalg.norm(source.points[:, None] - source.points, axis=2)
    return apart[apart > 0].min()


@pytest.mark.parametrize("d", [2, 3])
def test_bounds_where_atoms_begin_to_be_confused(d, monkeypatch):
    """With the bound of sup c at 0.2 nats it is still above c, and the interval still holds the solver's."""
    monkeypatch.setattr(module, "_NEGLIGIBLE", 5.0)
    source = some_atoms(d=d)
    epsilon = least_distance(source) ** 2 / (8 * math.log(25.0))
    found = isolated(source, epsilon)
    assert 0.15 < found.log_sup < 0.25
    best, _ = space.reconstruct(source, epsilon, tol=1e-6)
    assert found.lagrangian_lower <= best.lagrangian + 1e-12
    assert best.lagrangian_lower <= found.lagrangian + 1e-12
    judged = heatrd.certify(source, found.law.points, found.law.weights, epsilon, repair=False)
    assert judged.lagrangian == pytest.approx(found.lagrangian, abs=1e-12)
    assert judged.distortion == pytest.approx(found.distortion, rel=1e-10)
    assert judged.log_sup <= found.log_sup
    assert judged.log_sup > 1e-7


@pytest.mark.parametrize("share", [310.0, 700.0, 1200.0])
def test_confusion_to_forty_digits(share):
    """D and F of atoms that are confused once in 10⁶⁷ … 10²⁶⁰ times."""
    source = some_atoms()
    epsilon = least_distance(source) ** 2 / share
    found = isolated(source, epsilon)
    with mpmath.workdps(40):
        x = [[mpmath.mpf(float(v)) for v in row] for row in source.points]
        w = [mpmath.mpf(float(v)) for v in source.weights]
        square = [[sum((a - b) ** 2 for a, b in zip(p, q)) for q in x] for p in x]
        k = [[mpmath.exp(-s / (2 * mpmath.mpf(epsilon))) for s in row] for row in square]
        z = [sum(b * kk for b, kk in zip(w, row)) for row in k]
        n = range(len(w))
        exact = sum(w[i] / z[i] * sum(w[j] * k[i][j] * square[i][j] for j in n) for i in n)
        objective = -sum(a * mpmath.log(b) for a, b in zip(w, z))
    assert found.distortion == pytest.approx(float(exact), rel=1e-11)
    assert found.lagrangian_lower <= float(objective) <= found.lagrangian
    assert found.gap < 1e-13


def test_near_atoms_are_left_to_the_solver():
    source = some_atoms()
    assert isolated(source, least_distance(source) ** 2 / 200) is None
    assert isolated(Atoms([[0.0, 0.0], [1e-9, 0.0], [1.0, 1.0]]), 1e-30) is None


@pytest.mark.parametrize("ratio", [1e-8, 1e-13, 1e-190])
def test_small_epsilon_in_the_plane(ratio):
    source = some_atoms(40)
    point = heatrd.solve(source, epsilon=ratio * source.total_variance)
    entropy = -float(source.weights @ np.log(source.weights))
    assert point.rate_lower <= entropy + 1e-14
    assert point.rate == pytest.approx(entropy, abs=1e-12)
    assert point.gap < 1e-13


def test_a_distortion_next_to_nothing_is_met():
    """What a fuzz run asked for (seed 11, case 1510): two atoms, D = 1.7e-290."""
    source = Atoms([[0.003056, 0.10813], [0.185129, 0.015969]])
    point = heatrd.solve(source, distortion=1.7490305756982703e-290)
    assert point.distortion == pytest.approx(1.7490305756982703e-290, rel=1e-6)
    assert point.rate == pytest.approx(math.log(2), abs=1e-12)


def test_other_laws_are_not_judged_below_the_rounding_of_points():
    source = some_atoms(4)
    with pytest.raises(TooLarge, match="use epsilon >="):
        heatrd.certify(source, np.ones((3, 2)), None, 1e-86, repair=False)


def test_the_scan_leaves_empty_space_out_at_once():
    """Three points 10⁶ widths apart: the flat list of blocks would have 10⁹."""
    calls = 0

    class Counting(Field):
        def bound(self, low, high):
            nonlocal calls
            calls += 1
            return super().bound(low, high)

    points = 1e6 * np.array([[0.0, 0.0], [1.0, 0.2], [0.4, 1.0]])
    tiles = make_tiles(points, np.ones(3))
    result = scan(Counting(tiles, np.log(0.9 * tiles.weights)), 1e-9)
    assert calls < 1000
    assert result.values.max() == pytest.approx(0.9, abs=1e-2)
    assert result.skipped < 0.5
