"""Closed forms against mpmath, quadrature and each other."""

import math

import mpmath
import numpy as np
import pytest
import scipy.stats as st
from hypothesis import given
from hypothesis import strategies as some
from scipy import special

import heatrd
from heatrd import closed_forms
from heatrd.closed_forms import differential_entropy, gaussian_distortion, gaussian_rate, sphere_rate
from heatrd.errors import InvalidInput
from heatrd.sources import Gaussian, GaussianMixture, Laplace, Uniform


def test_shannon_lower_bound_of_known_laws():
    assert heatrd.shannon_lower_bound(Gaussian(0, 4.0), 0.5) == pytest.approx(0.5 * np.log(8.0), rel=1e-15)
    b = 0.7
    assert heatrd.shannon_lower_bound(Laplace(0, b), 0.01) == pytest.approx(
        np.log(2 * b * np.e) - 0.5 * np.log(2 * np.pi * np.e * 0.01)
    )
    levels = np.array([[0.01, 0.1], [1.0, 10.0]])
    bound = heatrd.shannon_lower_bound(Uniform(), levels)
    assert bound.shape == (2, 2) and (np.diff(bound.ravel()) <= 0).all() and bound[1, 1] == 0.0
    assert heatrd.shannon_lower_bound(heatrd.as_source("bernoulli-gaussian"), 1e-6) == 0.0
    plane = Gaussian([0, 0], [[2.0, 0.5], [0.5, 1.0]])
    low = 2 * 0.5 * plane.critical_epsilon()
    assert heatrd.shannon_lower_bound(plane, low) == pytest.approx(gaussian_rate(plane.covariance, low), rel=1e-13)


@given(
    logs=some.lists(some.floats(-8, 8), min_size=1, max_size=6),
    fraction=some.floats(1e-6, 0.999),
    seed=some.integers(0, 10_000),
)
def test_water_filling(logs, fraction, seed):
    values = np.exp(logs)
    basis = np.linalg.qr(np.random.default_rng(seed).standard_normal((len(values),) * 2))[0]
    cov = (basis * values) @ basis.T
    cov = 0.5 * (cov + cov.T)
    d = fraction * values.sum()
    water = _water_level(values, d)
    rate = 0.5 * np.maximum(np.log(values / water), 0).sum()
    assert gaussian_rate(cov, d) == pytest.approx(rate, rel=1e-6, abs=1e-8)
    assert gaussian_rate(np.diag(values), d) == pytest.approx(rate, rel=1e-9, abs=1e-12)
    assert gaussian_distortion(np.diag(values), rate) == pytest.approx(d, rel=1e-9)
    src = GaussianMixture([1.0], np.zeros((1, len(values))), np.diag(values))
    assert heatrd.shannon_lower_bound(src, d) <= heatrd.gaussian_upper_bound(src, d) + 1e-9


def _water_level(values, d):
    low, high = 0.0, values.max()
    for _ in range(200):
        middle = 0.5 * (low + high)
        low, high = (middle, high) if np.minimum(middle, values).sum() < d else (low, middle)
    return high


def test_gaussian_rate_edges():
    assert gaussian_rate(4.0, 4.0) == 0.0 and gaussian_rate(4.0, 5.0) == 0.0
    assert gaussian_rate(np.diag([1.0, 0.0]), 0.25) == pytest.approx(np.log(2))
    assert gaussian_rate(np.zeros((2, 2)), 0.1) == 0.0
    assert gaussian_rate(1e300, 1e298) == pytest.approx(np.log(10))
    assert gaussian_rate(1e-300, 1e-302) == pytest.approx(np.log(10))
    assert gaussian_distortion(np.diag([1.0, 4.0]), [0.0, 3.0]) == pytest.approx([5.0, 2 * 2 * np.exp(-3.0)])


@pytest.mark.parametrize(
    ("n", "rates"),
    [
        (2, [0.10265, 0.59049, 1.54386, 2.71901]),
        (3, [0.15481, 0.92221, 2.66289, 4.98896]),
        (33, [1.73364, 11.29501, 37.16487, 74.02939]),
    ],
)
def test_sphere_facts(n, rates):
    np.testing.assert_allclose(sphere_rate(n, [0.9, 0.5, 0.1, 0.01]), rates, atol=6e-6)
    assert sphere_rate(n, 2.5, radius=5.0) == pytest.approx(sphere_rate(n, 0.1), rel=1e-13)
    assert sphere_rate(n, 1.0) == 0.0 and sphere_rate(n, 3.0) == 0.0


@pytest.mark.parametrize("n", [2, 3, 10, 400])
@pytest.mark.parametrize("distortion", [0.999, 0.4, 1e-3, 1e-6, 1e-9])
def test_sphere_is_the_integral_of_the_inverse_bessel_ratio(n, distortion):
    nu = mpmath.mpf(n) / 2 - 1

    def kappa(r):
        """Invert the Bessel ratio I_{n/2}/I_{n/2−1}."""
        start = r * (n - r * r) / (1 - r * r)
        return mpmath.findroot(lambda k: mpmath.besseli(nu + 1, k) / mpmath.besseli(nu, k) - r, start) if r else 0 * r

    with mpmath.workdps(40):
        radius = mpmath.sqrt(1 - mpmath.mpf(distortion))
        top = kappa(radius)
        exact = top * radius - mpmath.log(mpmath.hyp0f1(nu + 1, top**2 / 4))
        assert abs(sphere_rate(n, distortion) / exact - 1) < 1e-11
    if distortion == 0.4:  # the integral itself, by its definition
        with mpmath.workdps(20):
            assert abs(sphere_rate(n, distortion) - mpmath.quad(kappa, [0, radius], maxdegree=4)) < 1e-9


@pytest.mark.parametrize(
    ("src", "exact"),
    [
        (heatrd.as_source(st.gamma(0.1)), lambda: _gamma_entropy(0.1)),
        (heatrd.as_source(st.gamma(0.5, loc=3.0, scale=1e-3)), lambda: _gamma_entropy(0.5) + np.log(1e-3)),
        (heatrd.as_source(st.exponnorm(1.5)), lambda: float(st.exponnorm(1.5).entropy())),
        (GaussianMixture([0.5, 0.5], [-1e4, 1e4], 1.0), lambda: 0.5 * np.log(2 * np.pi * np.e) + np.log(2)),
        (GaussianMixture([0.5, 0.5], [0.0, 0.0], [1.0, 1e-12]), lambda: _nested_entropy(1e-6)),
        (
            GaussianMixture([0.5, 0.5], [[0, 0], [40, 0]], [1.0, 0.25]),
            lambda: np.log(2 * np.pi * np.e) + np.log(2) + 0.5 * np.log(0.25),
        ),
    ],
)
def test_entropy_by_quadrature(src, exact):
    assert differential_entropy(src) == pytest.approx(exact(), abs=1e-9)


def _gamma_entropy(a):
    return float(a + mpmath.loggamma(a) + (1 - a) * mpmath.digamma(a))


def _nested_entropy(sigma):
    """−∫ f log f of ½N(0, 1) + ½N(0, σ²) by mpmath, split where the narrow part ends."""
    with mpmath.workdps(25):

        def f(x):
            return (mpmath.npdf(x) + mpmath.npdf(x, 0, sigma)) / 2

        knots = [0, *(sigma * mpmath.mpf(2) ** i for i in range(-2, 22)), 2, 4, 8, 16]
        return float(2 * mpmath.quad(lambda x: -f(x) * mpmath.log(f(x)), knots))


def test_entropy_of_a_product_is_the_sum():
    src = Gaussian([0.0, 1.0, 2.0], [1.0, 2.0, 3.0])
    parts = src.factors
    assert differential_entropy(src) == pytest.approx(sum(differential_entropy(p) for _, p in parts), rel=1e-14)


@pytest.mark.parametrize("bad", [0.0, -1.0, np.nan, np.inf, "a", [0.1, -0.1], []])
def test_bad_distortions(bad):
    for call in (heatrd.shannon_lower_bound, heatrd.gaussian_upper_bound):
        with pytest.raises(InvalidInput):
            call(Gaussian(), bad)
    with pytest.raises(InvalidInput):
        sphere_rate(3, bad)


def test_other_bad_input():
    with pytest.raises(InvalidInput, match=">= 2"):
        sphere_rate(1, 0.5)
    with pytest.raises(InvalidInput, match="radius"):
        sphere_rate(3, 0.5, radius=-1)
    with pytest.raises(InvalidInput, match=">= 0"):
        gaussian_distortion(1.0, -1.0)
    with pytest.raises(InvalidInput, match="negative eigenvalue"):
        gaussian_rate(np.diag([1.0, -1.0]), 0.5)


@pytest.mark.parametrize("n, kappa", [(2, 5e4), (2, 1e6), (3, 2e5), (5, 4e5), (8, 7e5)])
def test_sphere_far_along_its_asymptotic_series(n, kappa):
    """D = 1 − A_n(κ)², R = κ A_n(κ) − log ₀F₁(; n/2; κ²/4), with fifty digits."""
    with mpmath.workdps(50):
        nu, k = mpmath.mpf(n) / 2 - 1, mpmath.mpf(kappa)
        below = mpmath.besseli(nu, k)
        a = mpmath.besseli(nu + 1, k) / below
        rate = k * a - (mpmath.loggamma(nu + 1) + nu * mpmath.log(2 / k) + mpmath.log(below))
        distortion = 1 - a**2
    assert sphere_rate(n, float(distortion)) == pytest.approx(float(rate), rel=2e-12)


@pytest.mark.parametrize("name", ["skew-normal", "exponentially-modified-gaussian"])
def test_entropies_by_quadrature_move_with_the_unit_of_length(name):
    one, three = (differential_entropy(heatrd.as_source(name, loc=loc, scale=s)) for loc, s in ((0, 1.0), (2, 3.0)))
    assert three == pytest.approx(one + np.log(3.0), abs=1e-12)


def test_bessel_ratios_where_scipys_functions_end():
    """Concentrations beyond 1e8 in many dimensions, and orders far above the argument, against expansions and scipy."""
    n, kappa = 400, 2e8
    nu = 0.5 * n - 1
    first = 0.5 * (n - 1) / kappa * (1 - 0.25 * (n - 3) / kappa)
    assert closed_forms._one_minus_bessel_ratio(n, kappa) == pytest.approx(first, rel=1e-12)
    a, b = (4 * nu**2 - 1) / (8 * kappa), (4 * nu**2 - 9) / (16 * kappa)
    log = math.lgamma(nu + 1) + nu * math.log(2 / kappa) - 0.5 * math.log(2 * math.pi * kappa)
    log += math.log1p(-a * (1 - b))
    assert closed_forms._log_scaled_hyp0f1(n, kappa) == pytest.approx(log, rel=1e-13)
    for nu, kappa in ((200.0, 500.0), (150.0, 20.0)):
        direct = special.ive(nu + 1, kappa) / special.ive(nu, kappa)
        assert closed_forms._bessel_ratio(nu, kappa) == pytest.approx(direct, rel=1e-13)


def test_rate_of_the_sphere_in_many_dimensions_at_tiny_distortions():
    """R = (n − 1)/2 log(1/D) + const + O(D): the slope holds across the ends of scipy's functions."""
    d = np.geomspace(1e-12, 1e-4, 17)
    rate = sphere_rate(1000, d)
    slope = np.diff(rate) / np.diff(np.log(d))
    np.testing.assert_allclose(slope, -999 / 2, rtol=2e-4)
