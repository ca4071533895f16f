"""Gaussian sums in two and three dimensions and their supremum over the continuum."""

import numpy as np
import pytest
import reference
from scipy import optimize

from heatrd.certificate.space import distortion
from heatrd.certificate.space_dual import log_kernel_sum
from heatrd.certificate.space_maxima import local_maxima
from heatrd.certificate.supremum import degrees, interpolation_error, scan, upper_bound, values_on
from heatrd.kernels import posterior as kernels
from heatrd.quadrature.tiles import Field, make_tiles, near_atoms, thinned
from heatrd.reconstruction.space_interior import posterior_gram


def cloud(seed, n, d, spread=3.0):
    rng = np.random.default_rng(seed)
    return spread * rng.standard_normal((n, d)), rng.random(n) + 0.1


@pytest.mark.parametrize("d", [2, 3])
def test_field_and_derivatives_match_the_dense_sum(d):
    x, a = cloud(1, 300, d)
    y, _ = cloud(2, 40, d)
    tiles = make_tiles(x, a)
    value, gradient, hessian = Field(tiles, np.log(tiles.weights)).derivatives(y)
    expected = reference.gaussian_sum(x, a, y)
    np.testing.assert_allclose(value, expected[0], rtol=1e-12, atol=1e-14)
    np.testing.assert_allclose(gradient, expected[1], rtol=1e-11, atol=1e-13)
    np.testing.assert_allclose(hessian, expected[2], rtol=1e-11, atol=1e-13)


def test_field_on_a_grid_matches_scattered_points():
    x, a = cloud(3, 200, 3)
    tiles = make_tiles(x, a)
    field = Field(tiles, np.log(tiles.weights))
    axes = [np.linspace(-1, 1, 4), np.linspace(0, 2, 5), np.linspace(-3, -1, 3)]
    grid = np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1).reshape(-1, 3)
    values, dropped = field.on_grid(axes)
    np.testing.assert_allclose(values.ravel(), field.at(grid), rtol=1e-12)
    assert 0 <= dropped < 1e-15


@pytest.mark.parametrize("turned", [False, True])
def test_fast_gauss_transform_in_space(turned):
    """Points on a lattice go over axis by axis, others point by point."""
    rng = np.random.default_rng(21)
    x = np.stack(np.meshgrid(*3 * [np.arange(-3.0, 3.1, 0.6)], indexing="ij"), axis=-1).reshape(-1, 3)
    x = x[rng.random(len(x)) < 0.5]
    if turned:
        x = x @ np.linalg.qr(rng.standard_normal((3, 3)))[0]
    tiles = make_tiles(x, rng.random(len(x)))
    field = Field(tiles, np.log(tiles.weights))
    axes = [np.linspace(-3, 3, 5), np.linspace(-2, 4, 4), np.linspace(-4, 2, 6)]
    grid = np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1).reshape(-1, 3)
    values, dropped = field.on_grid(axes, 1e-9)
    np.testing.assert_allclose(values.ravel(), field.at(grid), atol=1e-8)
    assert np.abs(values.ravel() - field.at(grid)).max() <= dropped


@pytest.mark.parametrize("d", [2, 3])
def test_log_sum_and_distortion_match_dense_tables(d):
    x, mu = cloud(4, 150, d, spread=4.0)
    y, w = cloud(5, 30, d, spread=4.0)
    tiles = make_tiles(x, mu / mu.sum())
    w = w / w.sum()
    log_z, p, xi = reference.posterior(tiles.points, y, w)
    np.testing.assert_allclose(log_kernel_sum(tiles, y, np.log(w)), log_z, rtol=0, atol=1e-12 if d == 2 else 1e-10)
    energy = tiles.weights @ (p * (xi**2).sum(axis=2)).sum(axis=1)
    assert distortion(tiles, y, 3 * w) == pytest.approx(energy, rel=1e-10)


def test_thinned_tails_keep_mass_and_mean():
    x, w = cloud(20, 4000, 2)
    w *= np.exp(-0.5 * (x**2).sum(axis=1))
    tiles = make_tiles(x, w / w.sum())
    lightest, side = 1e-5, 0.8
    thin = thinned(tiles, lightest, side)
    tail = tiles.weights < lightest
    assert thin.size < 0.8 * tiles.size
    assert thin.weights.sum() == pytest.approx(1.0, abs=1e-14)
    np.testing.assert_allclose(thin.weights @ thin.points, tiles.weights @ tiles.points, atol=1e-13)
    second = np.abs(thin.weights @ thin.points**2 - tiles.weights @ tiles.points**2).max()
    assert 0 < second < tiles.weights[tail].sum() * side**2 / 4
    np.testing.assert_array_equal(np.sort(thin.weights)[-50:], np.sort(tiles.weights)[-50:])


@pytest.mark.parametrize("apart", [1.0, 1e12, 1e25])
def test_tiles_of_points_however_far_apart(apart):
    """Cell numbers beyond the range of integers neither wrap nor warn: a tile holds what lies in one cube."""
    x = np.concatenate([np.eye(3)[k] * apart + cloud(19, 40, 3)[0] for k in range(3)])
    tiles = make_tiles(x, np.arange(120.0))
    np.testing.assert_array_equal(tiles.points, x[tiles.order])
    np.testing.assert_array_equal(np.sort(tiles.weights), np.arange(120.0))
    assert (tiles.high - tiles.low <= 3.0 + 1e-15 * apart).all()


@pytest.mark.parametrize("d", [2, 3])
def test_fast_transform_stays_within_its_bound(d):
    x, a = cloud(13, 400, d)
    tiles = make_tiles(x, a)
    field = Field(tiles, np.log(tiles.weights))
    axes = [np.linspace(-4, 3, 9), np.linspace(-5, 6, 11), np.linspace(-2, 4, 7)][:d]
    grid = np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1).reshape(-1, d)
    exact = reference.gaussian_sum(x, a, grid)[0].reshape([len(t) for t in axes])
    errors = []
    for drop in (1e-4, 1e-8, 1e-13):
        values, bound = field.on_grid(axes, drop)
        errors.append(np.abs(values - exact).max())
        assert errors[-1] <= bound + 1e-13 * exact.max()
    assert errors[0] > errors[1] > errors[2]


@pytest.mark.parametrize("d", [1, 2, 3, 4])
def test_posterior_kernels_match_their_twins(d):
    x, mu = cloud(14, 90, d)
    y, w = cloud(15, 12, d)
    tiles, log_w = make_tiles(x, mu), np.log(w)
    pointer, near = near_atoms(tiles, y, log_w, 38.0)
    where = tiles.starts, y, log_w, pointer, near
    log_z, p, xi = reference.posterior(tiles.points, y, w)
    out = np.empty(tiles.size)
    kernels.posterior_sum(tiles.points, *where, 38.0, out)
    np.testing.assert_allclose(out, log_z, atol=1e-12)
    a, b = cloud(16, 12, d)[::-1]
    kernels.posterior_tilt(tiles.points, *where, 38.0, a, b, out)
    np.testing.assert_allclose(out, (p * (a + (xi * b).sum(axis=2))).sum(axis=1), rtol=1e-10)
    c, gradient = np.zeros(12), np.zeros((12, d))
    kernels.posterior_moments(tiles.points, tiles.weights, *where, 38.0, out, c, gradient)
    np.testing.assert_allclose(c, tiles.weights @ p / w, rtol=1e-11)
    np.testing.assert_allclose(gradient, np.einsum("i,ij,ijk->jk", tiles.weights, p, xi) / w[:, None], atol=1e-11)
    gram, second = posterior_gram(tiles, tiles.weights, y, log_w, 38.0, 1 + d)
    g = (np.concatenate([p[:, :, None], p[:, :, None] * xi], axis=2) / np.sqrt(w)[:, None]).reshape(len(x), -1)
    np.testing.assert_allclose(gram, np.tril((g * tiles.weights[:, None]).T @ g), rtol=1e-11, atol=1e-11)
    moments = np.einsum("i,ij,ijk,ijl->jkl", tiles.weights, p, xi, xi) / w[:, None, None]
    np.testing.assert_allclose(second, np.triu(np.ones((d, d))) * moments, rtol=1e-11, atol=1e-11)


def test_near_atoms_are_those_that_matter_somewhere_in_the_box():
    tiles = make_tiles(*cloud(18, 200, 3, spread=5.0), side=2.0)
    y, w = cloud(19, 60, 3, spread=5.0)
    log_w = np.log(w)
    pointer, near = near_atoms(tiles, y, log_w, 20.0)
    for t in range(len(tiles)):
        nearest = np.clip(y, tiles.low[t], tiles.high[t])
        farthest = np.where(2 * y < tiles.low[t] + tiles.high[t], tiles.high[t], tiles.low[t])
        sure = (log_w - 0.5 * ((y - farthest) ** 2).sum(axis=1)).max()
        expected = np.flatnonzero(log_w - 0.5 * ((y - nearest) ** 2).sum(axis=1) > sure - 20.0)
        np.testing.assert_array_equal(near[pointer[t] : pointer[t + 1]], expected)


@pytest.mark.parametrize("d", [2, 3])
def test_local_maxima_of_a_scan_are_those_of_the_sum(d):
    """Against scipy's ascent of the sum itself, from the points that make it."""
    x, a = cloud(20, 12, d, spread=2.5)
    tiles = make_tiles(x, 3 * a)
    field = Field(tiles, np.log(tiles.weights))
    accuracy = 1e-9
    result = scan(field, accuracy)
    y, excess = local_maxima(result, upper_bound(result, accuracy))
    np.testing.assert_allclose(excess, field.at(y) - 1, atol=1e-8)
    assert (np.diff(excess) <= 0).all()
    for start in x:
        top = optimize.minimize(lambda z: -field.at(z[None])[0], start, tol=1e-10)
        if -top.fun > 1.001:
            assert np.sqrt(((y - top.x) ** 2).sum(axis=1)).min() < 1e-3


def test_another_field_on_the_cells_of_a_scan():
    x, a = cloud(17, 200, 2, spread=6.0)
    tiles = make_tiles(x, a / a.max())
    field = Field(tiles, np.log(tiles.weights))
    result = scan(field, 1e-9, floor=0.0)
    some = np.flatnonzero(np.arange(len(result.values)) % 3 == 1)
    np.testing.assert_allclose(values_on(field, result, some, 1e-9), result.values[some], atol=1e-10)


def test_interpolation_error_bounds_the_true_error():
    """The remainder of Chebyshev interpolation of the widest admissible function, cos-modulated Gaussians included."""
    t = np.linspace(-1, 1, 2001)
    for n in (8, 12, 16):
        nodes = np.cos(np.pi * (np.arange(n) + 0.5) / n)
        for shift in (0.0, 0.7, 2.0, 5.0):
            f = lambda u, s=shift: np.exp(-0.5 * (u - s) ** 2)  # noqa: E731
            fit = np.polynomial.chebyshev.chebfit(nodes, f(nodes), n - 1)
            error = np.abs(np.polynomial.chebyshev.chebval(t, fit) - f(t)).max()
            assert error <= interpolation_error(n, 1.0) + 1e-15
    assert interpolation_error(16, 1.0) < 1e-9 < interpolation_error(10, 1.0)


@pytest.mark.parametrize(("d", "accuracy"), [(1, 1e-11), (2, 1e-10), (3, 1e-7)])
def test_upper_bound_encloses_the_supremum_tightly(d, accuracy):
    x, a = cloud(6, 25, d, spread=1.5)
    tiles = make_tiles(x, a / a.max())
    field = Field(tiles, np.log(tiles.weights))
    starts = x[np.argsort(-field.at(x))[:8]]
    best = max(
        -optimize.minimize(
            lambda y: -field.at(y[None, :])[0],
            s,
            jac=lambda y: -field.derivatives(y[None, :], 1)[1][0],
            method="BFGS",
            options={"gtol": 1e-10},
        ).fun
        for s in starts
    )
    bound = upper_bound(scan(field, accuracy, floor=0.0), accuracy)
    assert best * (1 - 1e-13) <= bound <= best * (1 + accuracy) + accuracy
    assert degrees(accuracy, d)[2] <= 5 * accuracy
