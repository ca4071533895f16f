"""The kernels of the one-dimensional problem against their dense NumPy twins."""

import numpy as np
import pytest
import reference

from heatrd.kernels import line

ROOT = 0.3


def nodes(n, low=-3.0, high=3.0, seed=0):
    """Sorted random points with positive weights of very different size, summing to one."""
    rng = np.random.default_rng(seed)
    weights = np.exp(rng.uniform(-20, 0, n))
    return np.sort(rng.uniform(low, high, n)), weights / weights.sum()


@pytest.mark.parametrize("reach", [0.5, 7.5, 12.0])
@pytest.mark.parametrize("m", [1, 2, 40])
def test_windows_are_what_a_dense_search_finds(reach, m):
    x, _ = nodes(60, -6, 6)
    y, _ = nodes(m, seed=m)
    lo, hi = line.windows(x, y, ROOT, reach)
    expected_lo, expected_hi = reference.windows(x, y, ROOT, reach)
    np.testing.assert_array_equal(lo, expected_lo)
    np.testing.assert_array_equal(hi, expected_hi)


def test_windows_keep_the_nearest_points_of_a_far_node():
    lo, hi = line.windows(np.array([100.0]), np.array([-1.0, 0.0, 1.0]), 1.0, 2.0)
    assert (lo[0], hi[0]) == (0, 3)


@pytest.mark.parametrize("far", [0.0, 50.0, 1e4])
def test_log_potential(far):
    x, _ = nodes(50)
    x = x + far
    y, w = nodes(30, seed=1)
    lo, hi = np.zeros(50, np.int64), np.full(50, 30)
    logz, cost = np.empty(50), np.empty(50)
    line.log_potential(x, y, np.log(w), ROOT, lo, hi, logz, cost)
    expected_logz, expected_cost = reference.log_potential(x, y, np.log(w), ROOT)
    np.testing.assert_allclose(logz, expected_logz, rtol=1e-14, atol=1e-13)
    np.testing.assert_allclose(cost, expected_cost, rtol=1e-12)


def test_windowed_potential_loses_nothing_that_double_precision_sees():
    x, _ = nodes(50, -9, 9)
    y, w = nodes(30, seed=1)
    lo, hi = line.windows(x, y, ROOT, 12.0)
    logz, cost = np.empty(50), np.empty(50)
    line.log_potential(x, y, np.log(w), ROOT, lo, hi, logz, cost)
    np.testing.assert_allclose(logz, reference.log_potential(x, y, np.log(w), ROOT)[0], rtol=1e-13, atol=1e-13)


@pytest.mark.parametrize("offset", [0.0, 3.0, -2.0])
def test_taylor_coefficients(offset):
    x, w = nodes(40)
    points = np.linspace(-3.5, 3.5, 9)
    out = np.empty((9, line.ORDER))
    line.moments_at(points, x, np.log(w), ROOT, 100.0, offset, out)
    expected = reference.moments_at(points, x, np.log(w), ROOT, line.ORDER) * np.exp(-offset)
    np.testing.assert_allclose(out, expected, rtol=1e-11, atol=1e-14 * expected.max())


def test_taylor_polynomial_reproduces_c_within_a_cell():
    x, w = nodes(40)
    centre, t = np.array([0.4]), np.linspace(-0.25, 0.25, 7)
    out = np.empty((1, line.ORDER))
    line.moments_at(centre, x, np.log(w), ROOT, 100.0, 0.0, out)
    exact = w @ reference.gauss_kernel(x, centre + t * ROOT, ROOT)
    np.testing.assert_allclose([line._value(out[0], s) for s in t], exact, rtol=1e-14)
    slopes = [line._slopes(out[0], s)[0] for s in t]
    g = np.subtract.outer(x, centre + t * ROOT) / ROOT
    np.testing.assert_allclose(slopes, (w[:, None] * g * np.exp(-g * g / 2)).sum(axis=0), rtol=1e-11, atol=1e-14)


def test_value_and_slopes_of_a_polynomial():
    a = np.random.default_rng(3).standard_normal(18)
    p = np.polynomial.Polynomial(a)
    for t in (-0.25, 0.0, 0.2):
        assert line._value(a, t) == pytest.approx(p(t), rel=1e-13)
        assert line._slopes(a, t) == pytest.approx((p.deriv()(t), p.deriv(2)(t)), rel=1e-13)


@pytest.mark.parametrize("slack", [1e-3, 1e-8, 1e-12])
def test_cell_suprema_enclose_the_maximum_and_are_tight(slack):
    rng = np.random.default_rng(5)
    decay = 0.6 ** np.arange(line.ORDER)
    a = rng.standard_normal((200, line.ORDER)) * decay
    a[:, 0] = 1 + 1e-3 * rng.standard_normal(200)
    bound, best, where = (np.empty(200) for _ in range(3))
    line.cell_suprema(a, 0.25, 0.0, slack, bound, best, where)
    exact = np.array([reference.polynomial_supremum(row, 0.25) for row in a])
    assert (bound >= exact - 1e-14).all()
    assert (bound <= exact + slack + 1e-14).all()
    np.testing.assert_allclose(best, exact, atol=slack + 1e-9)
    assert (np.abs(where) <= 0.25).all()
    np.testing.assert_allclose([line._value(row, t) for row, t in zip(a, where)], best, rtol=1e-14)


def test_cells_below_the_unit_are_bounded_but_not_refined():
    a = np.zeros((1, line.ORDER))
    a[0, :3] = 0.2, 0.3, 0.4
    bound, best, where = (np.empty(1) for _ in range(3))
    line.cell_suprema(a, 0.25, 1.0, 1e-9, bound, best, where)
    exact = reference.polynomial_supremum(a[0], 0.25)
    assert exact - 1e-14 <= bound[0] <= 1.0


@pytest.mark.parametrize("background", [-np.inf, -1.0])
def test_newton_system(background):
    x, mass = nodes(60)
    y, w = np.linspace(-2.5, 2.5, 12), nodes(12, seed=2)[1]
    m = len(y)
    lo, hi = np.zeros(60, np.int64), np.full(60, m)
    fixed = np.full(60, background)
    band, c, c1, c2 = np.empty((2 * m, 2 * m)), np.empty(m), np.empty(m), np.empty(m)
    line.newton_system(x, mass, y, np.log(w), fixed, ROOT, lo, hi, 2 * np.arange(m + 1), band, c, c1, c2)
    expected = reference.newton_system(x, mass, y, w, fixed, ROOT)
    for got, wanted in zip((c, c1, c2), expected):
        np.testing.assert_allclose(got, wanted, rtol=1e-11, atol=1e-13 * np.abs(wanted).max())
    dense = reference.from_lower_band(band)
    np.testing.assert_allclose(dense, expected[3], rtol=1e-10, atol=1e-13 * np.abs(dense).max())
    free = np.arange(m) % 3 == 1
    column = np.concatenate([[0], np.cumsum(1 + free)])
    few = np.empty((column[-1], column[-1]))
    line.newton_system(x, mass, y, np.log(w), fixed, ROOT, lo, hi, column, few, c, c1, c2)
    kept = np.flatnonzero(np.stack([np.ones(m, bool), free], axis=1).ravel())
    np.testing.assert_allclose(reference.from_lower_band(few), dense[np.ix_(kept, kept)], rtol=1e-13)


def test_newton_gradient_is_the_derivative_of_the_objective():
    x, mass = nodes(60)
    y, w = np.linspace(-2.5, 2.5, 6), np.full(6, 1 / 6)
    lo, hi, fixed = np.zeros(60, np.int64), np.full(60, 6), np.full(60, -np.inf)
    band, c, c1, c2 = np.empty((12, 12)), np.empty(6), np.empty(6), np.empty(6)
    line.newton_system(x, mass, y, np.log(w), fixed, ROOT, lo, hi, 2 * np.arange(7), band, c, c1, c2)

    def objective(points):
        return -mass @ np.log(reference.gauss_kernel(x, points, ROOT) @ w)

    for j in range(6):
        step = 1e-5 * ROOT * np.eye(6)[j]
        slope = (objective(y + step) - objective(y - step)) / 2e-5
        assert slope == pytest.approx(-w[j] * c1[j], rel=1e-6, abs=1e-10)


@pytest.fixture
def rows():
    x, q = nodes(70)
    y, scale = nodes(25, seed=4)
    start, stop = line.windows(x, y, ROOT, 4.0)
    count = stop - start
    matrix = np.zeros((70, int(count.max())))
    line.node_rows(x, y, ROOT, start, count, matrix)
    dense = reference.gauss_kernel(x, y, ROOT)
    inside = (np.arange(25) >= start[:, None]) & (np.arange(25) < stop[:, None])
    return matrix, start, count, np.where(inside, dense, 0.0), q, scale


def test_node_rows_and_products(rows):
    matrix, start, count, dense, q, v = rows
    out, back = np.empty(70), np.empty(25)
    line.rows_dot(matrix, start, count, v, out)
    line.rows_transposed_dot(matrix, start, count, q, back)
    np.testing.assert_allclose(out, dense @ v, rtol=1e-13)
    np.testing.assert_allclose(back, q @ dense, rtol=1e-13)


def test_normal_matrix(rows):
    matrix, start, count, dense, q, scale = rows
    width = matrix.shape[1]
    band = np.empty((25, width))
    line.rows_normal(matrix, start, count, q, scale, band)
    scaled = dense * scale
    np.testing.assert_allclose(
        band, reference.lower_band(scaled.T @ (q[:, None] * scaled), width), rtol=1e-12, atol=1e-38
    )


@pytest.mark.parametrize(("n", "width"), [(1, 1), (5, 1), (30, 4), (12, 12), (6, 9)])
def test_band_cholesky_and_solve(n, width):
    rng = np.random.default_rng(n)
    band = np.zeros((n, width))
    for d in range(min(width, n)):
        band[: n - d, d] = rng.standard_normal(n - d)
    band[:, 0] = np.abs(band).sum() + 1
    dense = reference.from_lower_band(band)
    right = rng.standard_normal(n)
    solution, factor = right.copy(), band.copy()
    assert line.band_cholesky(factor)
    lower = np.tril(reference.from_lower_band(factor))
    np.testing.assert_allclose(lower @ lower.T, dense, rtol=1e-12, atol=1e-12)
    line.band_solve(factor, solution)
    np.testing.assert_allclose(solution, np.linalg.solve(dense, right), rtol=1e-10)


@pytest.mark.parametrize("pivot", [0.0, -1.0, np.nan])
def test_indefinite_band_is_refused(pivot):
    assert not line.band_cholesky(np.array([[2.0, 0.5], [pivot, 0.0]]))
