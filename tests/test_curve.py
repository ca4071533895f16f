"""Whole curves: enclosed, convex, invariant."""

import math

import numpy as np
import pytest

import heatrd
from heatrd.curve import between
from heatrd.errors import InvalidInput
from heatrd.sources import Atoms, Gaussian, GaussianMixture, Laplace, Uniform


@pytest.fixture(scope="module")
def uniform():
    return heatrd.rd_curve(Uniform(-1.0, 2.0), tol=1e-3, max_rate=1.2)


def binary_hamming_free_rate(epsilon):
    """Equiprobable ±1 at ε < 1 by brute force: ν symmetric on ±y, minimised over y (two atoms are optimal there)."""
    y = np.linspace(0.0, 1.2, 200001)[1:]
    with np.errstate(under="ignore"):
        near, far = np.exp(-((1 - y) ** 2) / (2 * epsilon)), np.exp(-((1 + y) ** 2) / (2 * epsilon))
    f = -np.log(0.5 * (near + far))
    best = f.argmin()
    share = near[best] / (near[best] + far[best])
    d = share * (1 - y[best]) ** 2 + (1 - share) * (1 + y[best]) ** 2
    return d, f[best] - d / (2 * epsilon)


def test_band_is_as_narrow_as_asked_everywhere(uniform):
    d = np.concatenate([np.geomspace(*uniform.asked, 5000), uniform.band.crossings()])
    d = d[(d >= uniform.asked[0]) & (d <= uniform.asked[1])]
    lower, upper = uniform.bounds(d)
    assert (upper - lower).max() <= 1e-3 and (lower <= upper).all()
    assert uniform.certified and uniform.width <= 1e-3
    assert uniform.rates.max() >= 1.2 - 1e-6 and uniform.rates.min() <= 1e-3


@pytest.mark.parametrize("name", ["uniform", "laplace", "triangular"])
def test_followed_points_are_certified_and_enclose_independent_solves(name):
    """Between few solves the solution is followed through births and splittings of atoms; every knot is proved."""
    curve = heatrd.rd_curve(name, tol=1e-4, max_rate=1.0)
    assert curve.certified and curve.solves <= 30 and curve.knots.size >= 2 * curve.solves
    assert (curve.knots.upper - curve.knots.lower).max() <= 1e-4
    for d in curve.asked[0] * 1.1, curve.distortion(0.5), curve.distortion(0.2):
        point = heatrd.solve(name, distortion=d, tol=1e-8)
        lower, upper = curve.bounds(point.distortion)
        assert lower <= point.rate + 1e-12 and point.rate_lower <= upper + 1e-12


def test_independent_solves_lie_in_the_band(uniform):
    for target in (0.06, 0.11, 0.31, 0.6, 0.74):
        point = heatrd.solve(uniform.source, distortion=target)
        lower, upper = uniform.bounds(point.distortion)
        assert lower <= point.rate and point.rate_lower <= upper
        assert abs(uniform.rate(point.distortion) - point.rate) < 1e-4
        if target < 0.7:  # at the zero-rate point the slope jumps to zero
            assert abs(uniform.slope(point.distortion) * 2 * point.epsilon + 1) < 0.02


def test_interpolation_is_convex_monotone_and_inverted(uniform):
    d = np.linspace(uniform.asked[0], 0.76, 4000)
    rate = uniform.rate(d)
    assert (np.diff(rate) <= 1e-15).all()
    assert (np.diff(rate, 2) >= -1e-10).all()
    r = np.linspace(0, 1.15, 50)
    np.testing.assert_allclose(uniform.rate(uniform.distortion(r)), r, atol=1e-9)
    assert uniform.rate(0.75) == 0.0 and uniform.rate(3.0) == 0.0 and uniform.distortion(0.0) == pytest.approx(0.75)
    assert isinstance(uniform.rate(0.3), float) and uniform.rate(np.full((2, 3), 0.3)).shape == (2, 3)


def test_scaling_and_shift_leave_the_curve(uniform):
    other = heatrd.rd_curve(Uniform(10.0, 10.3), tol=1e-3, max_rate=1.2)
    d = np.geomspace(0.05, 0.7, 30)
    low, up = uniform.bounds(d)
    low2, up2 = other.bounds(d * 0.01)
    assert (low <= up2 + 1e-12).all() and (low2 <= up + 1e-12).all()
    np.testing.assert_allclose(other.rate(d * 0.01), uniform.rate(d), atol=2e-4)


def test_backward_heat_class_is_exact_at_any_rate():
    source = GaussianMixture([0.4, 0.6], [-1.0, 1.5], [0.5, 0.3])
    curve = heatrd.rd_curve(source, tol=1e-2)
    d = np.geomspace(1e-6, 0.2999, 40)
    lower, upper = curve.bounds(d)
    shannon = heatrd.shannon_lower_bound(source, d)
    assert np.abs(lower - shannon).max() < 1e-9
    assert np.abs(upper - shannon).max() < 2e-3
    assert curve.critical_distortion == pytest.approx(0.3)
    assert curve.solves < 40


def test_gaussian_vector_is_reverse_water_filling():
    curve = heatrd.rd_curve(Gaussian([0.0, 0.0], [[1.0, 0.0], [0.0, 0.2]]), tol=1e-2, max_rate=2.0)
    d = np.geomspace(0.05, 1.19, 40)
    lower, upper = curve.bounds(d)
    true = heatrd.gaussian_upper_bound(curve.source, d)
    assert (lower <= true + 1e-9).all() and (true <= upper + 1e-9).all()
    assert curve.width <= 1e-2


def test_discrete_source_ends_at_its_entropy():
    curve = heatrd.rd_curve(Atoms([[-1.0], [1.0]], [0.5, 0.5]), tol=1e-3)
    for epsilon in (0.9, 0.5, 0.3):
        d, r = binary_hamming_free_rate(epsilon)
        lower, upper = curve.bounds(d)
        assert lower - 1e-8 <= r <= upper + 1e-8
    assert curve.bounds(1e-9)[1] <= math.log(2) + 1e-9
    assert curve.rates.max() == pytest.approx(math.log(2), abs=1e-3)


def test_points_asked_for_come_in_their_order():
    asked = [0.5, 1.2, 0.8]
    curve = heatrd.rd_curve("laplace", distortions=asked, tol=1e-6)
    np.testing.assert_allclose(curve.distortions, asked, rtol=1e-9)
    assert (curve.rates - curve.rates_lower <= 1e-6).all() and curve.certified
    back = heatrd.rd_curve("laplace", rates=[curve.rate(0.8)], tol=1e-6)
    assert back.distortions[0] == pytest.approx(0.8, rel=1e-6)


@pytest.mark.parametrize(
    "options",
    [
        {"distortions": [-1.0]},
        {"distortions": []},
        {"rates": [float("nan")]},
        {"tol": 0.0},
        {"distortions": [0.1], "rates": [1.0]},
        {"distortions": ["x"]},
        {"workers": 0},
        {"workers": 2, "executor": object()},
        {"executor": object()},
        {"max_rate": -1.0},
    ],
)
def test_bad_input(options):
    with pytest.raises(InvalidInput):
        heatrd.rd_curve("uniform", **options)


def test_bad_queries(uniform):
    with pytest.raises(InvalidInput):
        uniform.rate(-0.1)
    with pytest.raises(InvalidInput):
        uniform.distortion(float("nan"))
    with pytest.raises(InvalidInput):
        heatrd.rd_curves("uniform")


def test_constant_source():
    curve = heatrd.rd_curve(Atoms([[2.0]], [1.0]))
    assert curve.rate(0.5) == 0.0 and curve.rates.max() == 0.0


# -- sensitivity ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("source", "name", "distortion"),
    [
        (Laplace(0.3, 1.1), "scale", 0.6),
        (Uniform(-1.0, 2.0), "high", 0.2),
        (heatrd.as_source("generalized-gaussian", beta=1.4), "beta", 0.3),
    ],
)
def test_sensitivity_is_the_derivative_of_full_solves(source, name, distortion):
    curve = heatrd.rd_curve(source, distortions=[distortion])
    found = curve.sensitivity(distortion)
    value, h = source.parameters[name], 2e-3
    ends = [
        heatrd.solve(type(source)(**{**source.parameters, name: value + s * h}), distortion=distortion, tol=1e-10)
        for s in (-1, 1)
    ]
    middle = [0.5 * (p.rate + p.rate_lower) for p in ends]
    assert found[name] == pytest.approx((middle[1] - middle[0]) / (2 * h), abs=1e-5)
    if "loc" in found:
        assert abs(found["loc"]) < 1e-9


def test_sensitivity_of_a_matrix_counts_both_entries():
    cov = np.array([[1.0, 0.3], [0.3, 0.5]])
    source = Gaussian([0.0, 0.0], cov)
    found = heatrd.rd_curve(source, distortions=[0.2]).sensitivity(0.2)["cov"]
    np.testing.assert_allclose(found, 0.5 * np.linalg.inv(cov), atol=1e-4)  # h = ½ log det


def test_knots_between_are_proved_and_cheap():
    """Every knot that `refine` inserts encloses L(ε) of an independent solve."""
    source = Uniform(-1.0, 1.0)
    ends = [between.Knot.of(heatrd.solve(source, epsilon=e, tol=1e-8).certificate) for e in (0.03, 0.02)]
    found = between.refine(source, *ends, 1e-4)
    assert found.reached and len(found.rows) >= 3 and found.solves <= 1
    for epsilon, upper, lower, distortion in found.rows[:: max(1, len(found.rows) // 3)]:
        truth = heatrd.solve(source, epsilon=epsilon, tol=1e-9)
        assert lower <= truth.lagrangian and truth.lagrangian_lower <= upper and upper - lower <= 5e-5
        assert distortion == pytest.approx(truth.distortion, rel=1e-2)
