"""Tails in which ν is settled in advance, and the dual beyond the cuts: against closed forms, quadrature, and each
other."""

import math

import numpy as np
import pytest
from scipy import integrate, special, stats

import heatrd
from heatrd.certificate.beyond import Beyond
from heatrd.certificate.line import bound_lagrangian, evaluate_potential
from heatrd.quadrature.line import LineQuadrature
from heatrd.reconstruction.flank import settle
from heatrd.reconstruction.line import LineProblem

HEAVY = {
    "laplace": 0.02,
    "student-t": 0.05,
    "pareto": 0.05,
    "lognormal": 0.01,
    "logistic": 0.02,
}


def standard(name, ratio, tol=1e-9):
    source = heatrd.as_source(name)
    problem = LineProblem(source, tol)
    return source, problem, problem.standard(ratio * source.total_variance)


@pytest.mark.parametrize("name", HEAVY)
def test_settled_law_pushes_forward_to_the_source(name):
    source, problem, epsilon = standard(name, HEAVY[name])
    measure = problem.measure(epsilon)
    assert any(measure.settled)
    flanks, root = measure.flanks, math.sqrt(epsilon)
    for side, cut, sign in zip(measure.settled, measure.cuts, (-1.0, 1.0)):
        if not side:
            continue
        x = cut + sign * root * np.linspace(0, 20, 401)
        x = np.sort(x)
        logz, _ = evaluate_potential(x, flanks.y, flanks.nu, epsilon)
        logp = source.logpdf(problem.shift + problem.scale * x) + math.log(problem.scale)
        ripple = logz - logp - 0.5 * math.log(2 * math.pi * epsilon)
        mass = measure.outside[int(sign > 0)]
        assert np.abs(ripple).max() * mass <= 1e-9 and np.abs(ripple).max() <= 1e-4


def test_sources_that_cannot_be_deblurred_are_left_alone():
    # the Gaussian's tail is not an image of N(0, ε) beyond ε_c, compact sources have none, short cores need none
    for name, ratio in (("gaussian", 1.5), ("uniform", 0.01), ("beta", 0.01), ("laplace", 0.5)):
        source, _, epsilon = standard(name, ratio)
        assert settle(LineQuadrature(source, tail_mass=1e-12), epsilon, 1e-9) is None


@pytest.mark.parametrize("cuts", [(-1.5, 2.0), (-math.inf, 0.3), (-0.7, math.inf)])
def test_taylor_models_of_the_addition(cuts):
    beyond, root = Beyond(cuts, (0.5, 0.9), (0.1, 0.1)), 0.3
    centre = np.linspace(-4, 4, 57)
    coefficients = np.zeros((centre.size, 24))
    beyond.add(centre, coefficients, root, 0.0)
    for t in (-0.5, -0.2, 0.0, 0.5):
        y = centre + t * root
        expected = np.zeros(y.size)
        if math.isfinite(cuts[0]):
            expected += 0.5 * special.ndtr((cuts[0] - y) / root)
        if math.isfinite(cuts[1]):
            expected += 0.9 * special.ndtr((y - cuts[1]) / root)
        np.testing.assert_allclose(
            np.polynomial.polynomial.polyval(t, coefficients.T, tensor=False), expected, atol=1e-14
        )
        np.testing.assert_allclose(beyond.at(y, root)[0], expected, atol=1e-15)
    step = 1e-4
    value, first, second = beyond.at(centre, root)
    above, below = (beyond.at(centre + s * step * root, root)[0] for s in (1, -1))
    np.testing.assert_allclose(first, (above - below) / (2 * step), atol=1e-7)
    np.testing.assert_allclose(second, (above - 2 * value + below) / step**2, atol=1e-6)


@pytest.mark.parametrize("name", HEAVY)
def test_dual_is_feasible_by_adaptive_quadrature(name):
    """∫ μ α k ≤ 1 + what the lower bound has paid for, recomputed with scipy's quadrature at random places."""
    source, problem, epsilon = standard(name, HEAVY[name])
    found, _ = problem(HEAVY[name] * source.total_variance)
    measure = problem.measure(epsilon, 0.5)
    y = (found.law.points[:, 0] - problem.shift) / problem.scale
    w = found.law.weights
    bounds = bound_lagrangian(measure, y, w, epsilon, 1e-9, repair=False)
    beyond, root = Beyond.of(measure, epsilon, 1e-9), math.sqrt(epsilon)

    def density(x):
        return np.exp(source.logpdf(problem.shift + problem.scale * x)) * problem.scale

    def integrand(x, at):
        x = np.atleast_1d(x)
        logz, _ = evaluate_potential(x, y, w, epsilon)
        value = np.exp(-logz - beyond.taper(x, root) - 0.5 * (x - at) ** 2 / epsilon) * density(x)
        return float(value[0])

    low, high = measure.x[0] - root, measure.x[-1] + root
    low, high = max(low, measure.cuts[0]), min(high, measure.cuts[1])
    lo, hi = ((v - problem.shift) / problem.scale for v in source.support)
    low, high = max(low, lo), min(high, hi)
    rng = np.random.default_rng(3)
    places = np.concatenate([[c for c in measure.cuts if math.isfinite(c)], rng.uniform(low, high, 6)])
    for at in places:
        a, b = max(low, at - 9 * root), min(high, at + 9 * root)
        points = [t for t in measure.rough if a < t < b]
        core = integrate.quad(integrand, a, b, args=(at,), epsabs=1e-12, limit=400, points=points or None)[0]
        total = core + float(beyond.at(np.array([at]), root)[0][0])
        assert total <= math.exp(bounds.log_sup) + 1e-9


@pytest.mark.parametrize("name", ["student-t", "pareto", "lognormal"])
@pytest.mark.parametrize("ratio", [0.2, 0.01])
def test_heavy_tails_reach_the_tolerance(name, ratio):
    source = heatrd.as_source(name)
    solution = heatrd.solve(source, epsilon=ratio * source.total_variance)
    assert solution.gap <= 1e-9
    assert solution.rate >= heatrd.shannon_lower_bound(source, solution.distortion)


def test_a_density_that_waves_between_the_points_of_the_lattice_is_not_settled():
    """sinc⁴ tails, blurred by more than their period, are no blurred law: the cut lies where they hardly weigh."""
    source, problem, eps = standard("sinc-mixture", 2.0)
    measure = problem.measure(eps)
    assert max(measure.outside) < 1e-9
    assert heatrd.solve(source, epsilon=2.0 * source.total_variance).gap <= 2e-10


@pytest.mark.parametrize("ratio", [0.2, 0.7])
def test_inside_the_backward_heat_class_the_truth_lies_between_the_bounds(ratio):
    """Below ε_c L(ε) = h(μ) − ½ log 2πε, with the entropy by scipy's quadrature."""
    law = stats.exponnorm(1.5)  # an exponential blurred by N(0, 1)
    solution = heatrd.solve(law, epsilon=ratio, tol=1e-10)
    low, high = law.ppf(1e-17), law.isf(1e-17)
    entropy = integrate.quad(lambda x: special.entr(law.pdf(x)), low, high, epsabs=1e-13, limit=500, points=[0, 5])[0]
    truth = entropy - 0.5 * math.log(2 * math.pi * ratio)
    assert solution.lagrangian_lower - 1e-11 <= truth <= solution.lagrangian + 1e-11
    assert solution.gap <= 1e-9


@pytest.mark.parametrize("name", ["laplace", "student-t", "exponential"])
def test_settled_and_unsettled_answers_overlap(name, monkeypatch):
    source = heatrd.as_source(name)
    epsilon = 0.03 * source.total_variance
    settled = heatrd.solve(source, epsilon=epsilon)
    monkeypatch.setattr("heatrd.reconstruction.line.settle", lambda *_: None)
    plain = heatrd.solve(source, epsilon=epsilon)
    assert max(settled.lagrangian_lower, plain.lagrangian_lower) <= min(settled.lagrangian, plain.lagrangian)
    assert settled.reconstruction.points.size != plain.reconstruction.points.size
