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
    point, parts = heatrd.solve(both, epsilon=0.1), [heatrd.solve(s, epsilon=0.1) for s in (one, two)]
    low, high = (sum(getattr(s.certificate, k) for s in parts) for k in ("lagrangian_lower", "lagrangian"))
    assert point.certified
    assert point.certificate.lagrangian_lower <= high and low <= point.certificate.lagrangian
