"""Quadrature of laws on the line: masses, moments, tails, poles, sizes, refusals."""

import math

import numpy as np
import pytest
from scipy import integrate, stats

import heatrd
from heatrd.errors import InvalidInput, TooLarge
from heatrd.quadrature.line import LineQuadrature
from heatrd.sources.base import Source1D

NAMES = [
    "uniform", "laplace", "exponential", "triangular", "gaussian", "gaussian-mixture", "logistic", "gamma",
    "half-normal",
    "generalized-gaussian", "beta", "cosine", "semicircle", "bernoulli-gaussian", "lognormal", "gumbel", "trapezoid",
]  # fmt: skip
POLES = {
    "gamma": stats.gamma(0.3),
    "gennorm": stats.gennorm(0.5),
    "beta": stats.beta(0.5, 0.5),
    "weibull": stats.weibull_min(0.5),
}


def measures(name, ratio=0.1, width=1.0, tail=1e-12):
    source = heatrd.as_source(name)
    quadrature = LineQuadrature(source, tail_mass=tail)
    return source, quadrature, quadrature.measure(ratio * quadrature.variance, width)


@pytest.mark.parametrize("name", NAMES)
def test_mass_mean_and_variance(name):
    source, quadrature, measure = measures(name)
    assert measure.mass.sum() + measure.tails.total == pytest.approx(1, abs=1e-14)
    assert measure.defect < 1e-13
    x = quadrature.shift + quadrature.scale * measure.x
    cell = quadrature.shift + quadrature.scale * measure.tails.centre
    mean = measure.mass @ x + measure.tails.mass @ cell
    assert mean == pytest.approx(source.mean[0], abs=1e-12 * (1 + abs(source.mean[0])))
    square = measure.mass @ (x - mean) ** 2 + measure.tails.mass @ (cell - mean) ** 2
    square += measure.tails.moment.sum() * quadrature.scale**2
    assert square == pytest.approx(source.total_variance, rel=1e-9)


@pytest.mark.parametrize("name", NAMES)
def test_nodes_are_sorted_within_the_core_and_positive(name):
    source, quadrature, measure = measures(name)
    assert (np.diff(measure.x) >= 0).all() and (measure.mass > 0).all()
    low, high = quadrature.core
    x = quadrature.shift + quadrature.scale * measure.x
    assert low - 1e-12 <= x[0] and x[-1] <= high + 1e-12
    assert source.support[0] - 1e-12 <= low and high <= source.support[1] + 1e-12


@pytest.mark.parametrize("name", ["laplace", "triangular", "exponential", "gaussian-mixture"])
@pytest.mark.parametrize("ratio", [1.0, 0.05])
def test_smoothed_density_agrees_with_quad(name, ratio):
    """∫ μ(x) k(x − y) dx, what every potential is made of."""
    source, quadrature, measure = measures(name, ratio)
    epsilon = ratio * source.total_variance
    x = quadrature.shift + quadrature.scale * measure.x
    for y in np.linspace(-1.5, 2.5, 5):
        got = measure.mass @ np.exp(-((x - y) ** 2) / (2 * epsilon))
        reach = 9 * math.sqrt(epsilon)
        low, high = max(y - reach, source.support[0]), min(y + reach, source.support[1])
        kinks = [p for p in (0.0, y) if low < p < high]
        value, _ = integrate.quad(
            lambda t, y=y: math.exp(float(source.logpdf(t)) - (t - y) ** 2 / (2 * epsilon)),
            low, high, points=kinks or None, epsabs=1e-13, epsrel=1e-12, limit=200,
        )  # fmt: skip
        assert got == pytest.approx(value, abs=2e-12)


@pytest.mark.parametrize("name", POLES)
def test_poles_are_integrated(name):
    frozen = POLES[name]
    source = heatrd.as_source(frozen)
    quadrature = LineQuadrature(source, tail_mass=1e-12)
    measure = quadrature.measure(0.1 * quadrature.variance)
    x = quadrature.shift + quadrature.scale * measure.x
    assert measure.defect < 1e-10
    for level in (0.1, 0.5, 0.9):
        t = frozen.ppf(level)
        smooth = measure.mass @ (1 / (1 + np.exp(-(x - t) / (0.3 * frozen.std()))))
        uniform = (np.arange(200_000) + 0.5) / 200_000
        exact = np.mean(1 / (1 + np.exp(-(frozen.ppf(uniform) - t) / (0.3 * frozen.std()))))
        assert smooth == pytest.approx(exact, abs=1e-6)


@pytest.mark.parametrize("name", ["laplace", "student-t", "exponential", "lognormal"])
def test_tail_cells(name):
    source, quadrature, measure = measures(name, tail=1e-6)
    tails = measure.tails
    sides = 2 if math.isinf(source.support[0]) else 1
    assert tails.total == pytest.approx(sides * 1e-6, rel=1e-6) or name == "lognormal"
    assert (tails.mass > 0).all() and (tails.moment >= 0).all()
    centre = quadrature.shift + quadrature.scale * tails.centre
    low, high = quadrature.core
    assert ((centre < low) | (centre > high)).all()


def test_tail_cells_of_the_exponential_in_closed_form():
    _, quadrature, measure = measures("exponential", tail=1e-6)
    cut = quadrature.core[1]
    tails, scale = measure.tails, quadrature.scale
    centre = quadrature.shift + scale * tails.centre
    assert tails.mass @ centre == pytest.approx(1e-6 * (cut + 1), rel=1e-9)
    second = tails.mass @ centre**2 + scale**2 * tails.moment.sum()
    assert second == pytest.approx(1e-6 * (cut * cut + 2 * cut + 2), rel=1e-9)
    # −∫ μ log μ = ∫ x e^{−x}, in units where the density is scale·e^{−x}
    assert tails.entropy.sum() == pytest.approx(1e-6 * (cut + 1) - 1e-6 * math.log(scale), rel=1e-9)


@pytest.mark.parametrize("name", ["laplace", "triangular", "gamma", "logistic"])
def test_refinement_changes_nothing_that_matters(name):
    _source, quadrature, measure = measures(name)
    finer = quadrature.measure(0.1 * quadrature.variance, 0.5)
    y = np.linspace(-2, 2, 9)
    epsilon = 0.1 * quadrature.variance
    smooth = [np.array([m.mass @ np.exp(-((m.x - t) ** 2) / (2 * epsilon)) for t in y]) for m in (measure, finer)]
    np.testing.assert_allclose(smooth[0], smooth[1], atol=1e-14)
    assert finer.x.size > measure.x.size


def test_number_of_nodes_is_linear_in_range_over_root_epsilon():
    quadrature = LineQuadrature(heatrd.as_source("uniform"))
    sizes = [quadrature.measure(e).x.size for e in (1e-2, 1e-4, 1e-6)]
    assert 8 < sizes[1] / sizes[0] < 11 and 9 < sizes[2] / sizes[1] < 11
    for epsilon, size in zip((1e-2, 1e-4, 1e-6), sizes):
        assert quadrature.count(epsilon) >= size


def test_discrete_and_mixed_laws_are_exact():
    points, weights = np.array([-1.0, 0.5, 4.0]), np.array([0.2, 0.5, 0.3])
    quadrature = LineQuadrature(heatrd.sources.Atoms(points, weights))
    measure = quadrature.measure(0.01)
    np.testing.assert_allclose(quadrature.shift + quadrature.scale * measure.x, points, rtol=1e-15, atol=1e-15)
    np.testing.assert_allclose(measure.mass, weights, rtol=1e-15)
    assert measure.tails.total == 0
    _, spike, measure = measures("bernoulli-gaussian")
    assert measure.mass[np.abs(measure.x * spike.scale + spike.shift) < 1e-300].max() == pytest.approx(0.5, rel=1e-12)


@pytest.mark.parametrize("scale", [1e-150, 1e-3, 1e150])
def test_standard_units_take_the_scale_out(scale):
    one, two = (LineQuadrature(heatrd.sources.Laplace(0.0, s)) for s in (1.0, scale))
    assert 0.4 <= two.variance <= 2.1
    a, b = one.measure(0.1 * one.variance), two.measure(0.1 * two.variance)
    assert a.x.size == pytest.approx(b.x.size, rel=0.3)
    np.testing.assert_allclose(b.mass.sum() + b.tails.total, 1, atol=1e-14)


class Broken(Source1D):
    """A density that is not one."""

    name = "broken"

    def __init__(self, height):
        self.height = height

    mean = property(lambda self: np.zeros(1))
    covariance = property(lambda self: np.ones((1, 1)) / 3)
    support = property(lambda self: (-1.0, 1.0))

    def logpdf(self, x):
        return np.full(np.shape(x), math.log(self.height) if self.height > 0 else self.height)

    def cdf(self, x):
        return np.clip((np.asarray(x) + 1) / 2, 0, 1)

    def tail_cut(self, mass):
        return -1.0, 1.0

    def sample(self, n, rng=None):
        return np.zeros((n, 1))


def test_what_is_no_density_is_refused():
    with pytest.raises(InvalidInput, match="NaN"):
        LineQuadrature(Broken(math.nan)).measure(0.1)
    assert LineQuadrature(Broken(0.5)).measure(0.1).defect < 1e-14


def test_size_is_predicted_before_allocation():
    with pytest.raises(TooLarge):
        heatrd.solve("laplace", epsilon=1e-22)
