"""The band and the interpolant, against curves known in closed form."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from heatrd.curve.band import Band, Knots
from heatrd.curve.interpolant import ConvexCurve


def gaussian_knots(epsilon, variances, gap=0.0, loss=1.0):
    """Exact knots of a Gaussian with these coordinate variances: D = Σ min(ε, λ), L = Σ ½ log⁺(λ/ε) + D/2ε."""
    e, lam = np.asarray(epsilon)[:, None], np.asarray(variances)[None, :]
    d = np.minimum(e, lam).sum(axis=1)
    value = 0.5 * np.maximum(np.log(lam / e), 0).sum(axis=1) + d / (2 * e[:, 0])
    return Knots.sorted(e[:, 0], value + 0.5 * gap, value - 0.5 * gap * loss, d)


def gaussian_rate(d, variances):
    lam = np.asarray(variances)
    out = []
    for target in np.atleast_1d(d):
        low, high = 0.0, lam.max()
        for _ in range(200):
            mid = 0.5 * (low + high)
            low, high = (mid, high) if np.minimum(mid, lam).sum() < target else (low, mid)
        out.append(0.5 * np.maximum(np.log(lam / high), 0).sum())
    return np.array(out)


@given(
    st.lists(st.floats(0.01, 3.0), min_size=1, max_size=9, unique=True),
    st.lists(st.floats(0.2, 4.0), min_size=1, max_size=4),
    st.floats(0.0, 0.05),
)
def test_band_encloses_reverse_water_filling(epsilon, variances, gap):
    band = Band(gaussian_knots(epsilon, variances, gap), sum(variances), len(variances))
    d = np.concatenate([np.geomspace(1e-3, 1.2, 60) * sum(variances), band.crossings()])
    d = d[d > 1e-9]
    true = np.where(d < sum(variances), gaussian_rate(np.minimum(d, sum(variances) * (1 - 1e-15)), variances), 0.0)
    lower, upper = band.lower(d), band.upper(d)
    assert (lower <= true + 1e-9).all()
    assert (true <= upper + 1e-9).all()


def test_band_is_exact_on_the_backward_heat_class_from_one_knot():
    entropy = np.log(2 * np.pi * np.e) + 0.5 * np.log(0.7)
    band = Band(gaussian_knots([0.7], [1.0, 0.7]), 1.7, 2, differential=entropy)
    d = np.geomspace(1e-6, 1.4, 50)
    np.testing.assert_allclose(band.lower(d), gaussian_rate(d, [1.0, 0.7]), atol=1e-12)
    np.testing.assert_allclose(band.upper(d), gaussian_rate(d, [1.0, 0.7]), atol=1e-12)


def test_width_falls_with_the_square_of_the_spacing():
    variances = np.geomspace(0.02, 1.0, 12)  # between the water levels the curve bends, and E is not constant
    width = []
    for count in (20, 40, 80, 160):
        band = Band(gaussian_knots(np.geomspace(0.9, 0.03, count), variances), variances.sum(), variances.size)
        d = np.linspace(0.8, variances.sum() * 0.9, 4001)
        width.append(band.width(d).max())
    ratios = np.array(width[:-1]) / np.array(width[1:])
    assert (ratios > 3.0).all() and width[-1] < 2e-3


def test_entropy_of_a_discrete_source_closes_the_band_at_zero():
    band = Band(Knots(np.array([0.5]), np.array([0.9]), np.array([0.85]), np.array([0.3])), 1.0, 1, np.log(2))
    assert band.upper(np.array([0.0, 1e-9])).max() <= np.log(2) + 1e-12
    assert band.upper(np.array([0.15]))[0] < np.log(2)


def test_bounds_are_monotone_and_lower_is_convex():
    band = Band(gaussian_knots(np.geomspace(1, 0.01, 7), [1.0, 0.3, 0.1]), 1.4, 3)
    d = np.linspace(1e-3, 1.5, 3000)
    assert (np.diff(band.lower(d)) <= 1e-12).all() and (np.diff(band.upper(d)) <= 1e-12).all()
    assert (np.diff(band.lower(d), 2) >= -1e-12).all()


@pytest.mark.parametrize("ends", [(0.05, 0.9), (0.4, 0.8)])
def test_interpolant_has_fourth_order(ends):
    def curve(d):
        return 0.5 * np.log(1 / d) + 0.05 * (1 - d) ** 2

    def slope(d):
        return -0.5 / d - 0.1 * (1 - d)

    fine = np.geomspace(*ends, 4001)
    errors = []
    for n in (5, 10, 20, 40):
        x = np.geomspace(*ends, n + 1)
        errors.append(np.abs(ConvexCurve(x, curve(x), slope(x))(fine) - curve(fine)).max())
    orders = np.log2(np.array(errors[:-1]) / np.array(errors[1:]))
    assert (orders > 3.5).all() and errors[-1] < 1e-7


@given(st.lists(st.tuples(st.floats(0.02, 1.0), st.floats(0.02, 1.0)), min_size=2, max_size=8))
def test_interpolant_is_convex_and_decreasing_for_any_convex_data(steps):
    """Data from a random convex piecewise curve: places and slopes drawn, values between the tangents."""
    x = np.cumsum([s[0] for s in steps]) + 0.1
    slopes = -np.cumsum([s[1] for s in steps])[::-1]
    meet = 0.5 * (x[:-1] + x[1:])
    y = np.concatenate([[0.0], np.cumsum(slopes[:-1] * (meet - x[:-1]) + slopes[1:] * (x[1:] - meet))])
    curve = ConvexCurve(x, y - y[-1], slopes)
    d = np.linspace(x[0], x[-1], 2001)
    value = curve(d)
    assert (np.diff(value) <= 1e-12).all()
    assert (np.diff(value, 2) >= -1e-9).all()
    np.testing.assert_allclose(curve(x), y - y[-1], atol=1e-12)
    inner = d[1:-1]
    numeric = (curve(inner + 1e-6) - curve(inner - 1e-6)) / 2e-6
    assert np.quantile(np.abs(numeric - curve.derivative(inner)), 0.98) < 1e-3


def test_data_that_no_cubic_keeps_convex_is_still_convex():
    """A steep and a flat end force Schumaker's piece."""
    curve = ConvexCurve(np.array([1.0, 2.0]), np.array([1.0, 0.0]), np.array([-50.0, -0.01]))
    assert not curve.cubic.any()
    d = np.linspace(1, 2, 1001)
    assert (np.diff(curve(d), 2) >= -1e-12).all() and (np.diff(curve(d)) <= 1e-12).all()
