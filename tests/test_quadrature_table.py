"""Quadrature of tabulated densities in the plane and in space, against Gauss–Legendre in every cell."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import heatrd
from heatrd.errors import TooLarge
from heatrd.quadrature import tensor
from heatrd.quadrature.table import table_nodes
from heatrd.quadrature.tensor import _gauss_rule
from heatrd.reconstruction import space
from heatrd.sources import Tabulated


def random_table(seed, dim, smooth):
    rng = np.random.default_rng(seed)
    axes = [np.sort(rng.uniform(-1.5, 1.5, rng.integers(2, 12))) for _ in range(dim)]
    axes = [x + 0.02 * np.arange(x.size) for x in axes]  # no cell narrower than that
    grid = np.meshgrid(*axes, indexing="ij")
    p = np.exp(-0.5 * sum(g * g for g in grid)) * (1.0 if smooth else rng.uniform(0, 1, grid[0].shape))
    return Tabulated(axes, p, normalize=True)


def integrand(x, root):
    """A log of a Gaussian sum of that width, as F has."""
    centres = root * np.array([[0.3, 0.2, 0.1], [-1.4, 1.2, 0.5], [1.1, -1.6, 0.3]])[:, : x.shape[1]]
    return np.log(sum(np.exp(-0.5 * ((x - c) ** 2).sum(axis=1) / root**2) for c in centres))


@settings(deadline=None)
@given(st.integers(0, 10**6), st.sampled_from([2, 3]), st.booleans(), st.floats(0.2, 3.0))
def test_agrees_with_a_fine_rule_in_every_cell(seed, dim, smooth, root):
    source = random_table(seed, dim, smooth)
    x, w = table_nodes(source, (0.3 if dim == 2 else 0.5) * root)
    assert (w > 0).all() and abs(w.sum() - 1) < (1e-9 if dim == 2 else 1e-7)
    fine = _gauss_rule(source.axes, 20 if dim == 2 else 10)
    points, volumes = fine.part(slice(None))
    points, masses = points.reshape(-1, dim), (volumes * np.exp(source.log_density(points))).ravel()
    expected = masses @ integrand(points, root)
    assert abs(w @ integrand(x, root) - expected) < (2e-8 if dim == 2 else 2e-5)
    np.testing.assert_allclose(w @ x, source.mean, atol=1e-9 if dim == 2 else 1e-7)


def bell(n, dim=2, **options):
    x = np.linspace(-3, 3, n)
    grid = np.meshgrid(*[x] * dim, indexing="ij")
    p = np.exp(-0.5 * sum(g * g for g in grid))
    if options.get("noisy"):
        p = p * np.random.default_rng(0).uniform(0.5, 1.5, p.shape)
    return Tabulated([x] * dim, p, normalize=True)


def test_a_finer_table_of_a_smooth_density_needs_no_more_nodes():
    counts = [len(table_nodes(bell(n), 0.15)[1]) for n in (200, 400, 800)]
    assert max(counts) < 1.1 * min(counts)


def test_what_a_kink_adds_stays_near_it():
    x = np.linspace(-1, 1, 301)
    a, b = np.meshgrid(x, x, indexing="ij")
    kinked = Tabulated([x, x], np.maximum(1 - np.abs(a + 0.6 * b), 0.1), normalize=True)
    cells = 4 * 300**2  # two nodes along each axis in every cell
    points, w = table_nodes(kinked, 0.06)
    assert len(w) < 0.3 * cells
    np.testing.assert_allclose(w @ points**2, np.diag(kinked.covariance) + kinked.mean**2, atol=1e-9)


def test_too_many_nodes_are_refused_before_they_are_made(monkeypatch):
    with pytest.raises(TooLarge, match="quadrature nodes at this epsilon"):
        table_nodes(bell(31), 1e-5)
    monkeypatch.setattr(tensor, "LARGEST", 20_000)
    with pytest.raises(TooLarge, match="coarser table"):
        table_nodes(bell(101, noisy=True), 0.2)


def test_a_kinked_table_in_the_plane_is_solved_to_the_tolerance():
    """Lattice nodes, blind to the kinks, left a gap of 2e-4."""
    x = np.linspace(-3, 3, 41)
    a, b = np.meshgrid(x, x, indexing="ij")
    p = np.exp(-0.5 * (a**2 + b**2)) * (1 + np.sin(3 * a) * np.cos(2 * b)) * np.maximum(1 - (abs(a) + abs(b)) / 4, 0)
    source = heatrd.from_grid((x, x), p, normalize=True)
    point = heatrd.solve(source, epsilon=0.5 * float(np.linalg.eigvalsh(source.covariance)[-1]))
    assert point.certified and point.gap <= 1e-8


def test_a_product_table_is_worth_the_sum_of_its_axes():
    """Solved in the plane, which knows of no product, and on the line."""
    x, p = np.array([0.0, 0.5, 2.0]), np.array([0.4, 1.0, 0.1])
    y, q = np.array([-1.0, 0.0, 0.3, 1.0]), np.array([0.2, 1.0, 0.0, 0.7])
    both = heatrd.from_grid((x, y), np.multiply.outer(p, q), normalize=True)
    one, two = heatrd.from_grid(x, p, normalize=True), heatrd.from_grid(y, q, normalize=True)
    (plane, _), parts = space.reconstruct(both, 0.1), [heatrd.solve(s, epsilon=0.1) for s in (one, two)]
    low, high = (sum(getattr(s.certificate, k) for s in parts) for k in ("lagrangian_lower", "lagrangian"))
    assert plane.gap <= 1e-8
    assert plane.lagrangian_lower <= high and low <= plane.lagrangian
    point = heatrd.solve(both, epsilon=0.1)  # what a user gets: the product is seen
    assert point.certified and len(point.reconstruction.blocks) == 2 and point.gap <= 1e-9
    assert point.certificate.lagrangian == pytest.approx(high, abs=1e-9)


def test_independent_axes_of_a_table_are_found():
    rng = np.random.default_rng(3)
    axes = [np.sort(rng.normal(size=n)) for n in (4, 5, 6)]
    one, two, pair = rng.uniform(size=4), rng.uniform(size=5), rng.uniform(size=(4, 6))
    dark = two * (np.arange(5) != 2)
    assert Tabulated(axes, pair[:, None, :] * two[:, None], normalize=True).factors is not None
    found = dict(Tabulated(axes, pair[:, None, :] * dark[:, None], normalize=True).factors)
    assert set(found) == {(0, 2), (1,)}
    np.testing.assert_allclose(found[0, 2]._unit_density / found[0, 2]._unit_density.max(), pair / pair.max())
    np.testing.assert_allclose(found[1,].density / found[1,].density.max(), dark / dark.max())
    whole = Tabulated(axes, one[:, None, None] * two[:, None] * rng.uniform(size=6), normalize=True)
    assert [index for index, _ in whole.factors] == [(0,), (1,), (2,)]
    table = one[:, None] * two
    table[1, 2] *= 1 + 1e-12
    assert Tabulated(axes[:2], table, normalize=True).factors is None
    assert Tabulated(axes[:1], one, normalize=True).factors is None


def test_a_table_with_one_independent_axis_is_solved_in_blocks():
    x, z = np.linspace(-2, 2, 21), np.linspace(0, 1, 5)
    a, b = np.meshgrid(x, x, indexing="ij")
    pair, line = np.exp(-(a**2) - b**2 - a * b), 1 + z
    source = heatrd.from_grid((x, z, x), pair[:, None, :] * line[:, None], normalize=True)
    point = heatrd.solve(source, epsilon=0.2)
    parts = [heatrd.from_grid((x, x), pair, normalize=True), heatrd.from_grid(z, line, normalize=True)]
    alone = [heatrd.solve(s, epsilon=0.2) for s in parts]
    assert point.gap <= 1e-8  # the plane's tolerance, not that of lines
    assert point.certified
    assert point.certificate.lagrangian == pytest.approx(sum(p.certificate.lagrangian for p in alone), abs=2e-8)
