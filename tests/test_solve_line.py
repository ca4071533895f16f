"""`heatrd.solve` on the line: exact facts, targets, scales, samples, hard densities, bad input (issue 2)."""

import math

import numpy as np
import pytest
from scipy import stats

import heatrd
from heatrd.errors import InvalidInput
from heatrd.reconstruction.line import LineProblem
from heatrd.testing import check_solution

# -- exact facts ------------------------------------------------------------------------------------


@pytest.mark.parametrize("ratio", [1e-4, 0.01, 0.3, 0.999])
@pytest.mark.parametrize("variance", [1.0, 6.25])
def test_gaussian_closed_form(ratio, variance):
    solution = heatrd.solve(heatrd.sources.Gaussian(0.7, variance), epsilon=ratio * variance, tol=1e-11)
    assert solution.regime == "backward-heat"
    assert solution.rate == pytest.approx(-0.5 * math.log(ratio), abs=1e-11)
    assert solution.rate_lower == pytest.approx(-0.5 * math.log(ratio), abs=1e-11)
    assert solution.distortion == pytest.approx(ratio * variance, rel=1e-10)


@pytest.mark.parametrize("ratio", [1.0, 1.5, 20.0])
def test_gaussian_is_silent_from_its_variance_on(ratio):
    solution = heatrd.solve(heatrd.sources.Gaussian(3.0, 2.0), epsilon=2.0 * ratio)
    assert solution.rate <= 1e-12 and solution.gap <= 1e-12
    assert solution.distortion == pytest.approx(2.0, rel=1e-12)
    assert solution.lagrangian == pytest.approx(1 / (2 * ratio), rel=1e-12)


@pytest.mark.parametrize("fraction", [0.1, 0.5, 0.9, 1.0])
def test_mixture_in_the_backward_heat_class_meets_the_shannon_bound(fraction):
    source = heatrd.sources.GaussianMixture([0.3, 0.5, 0.2], [-2.0, 0.5, 3.0], [0.4, 0.25, 0.6])
    assert heatrd.critical_epsilon(source) == pytest.approx(0.25)
    solution = heatrd.solve(source, epsilon=0.25 * fraction)
    assert solution.regime == "backward-heat"
    assert solution.rate == pytest.approx(heatrd.shannon_lower_bound(source, solution.distortion), abs=1e-10)
    assert solution.distortion == pytest.approx(0.25 * fraction, rel=1e-9)


@pytest.mark.parametrize(("epsilon", "atoms"), [(0.5, 2), (0.2, 3), (0.1, 5), (0.05, 7)])
def test_uniform_of_unit_variance_has_so_many_atoms(epsilon, atoms):
    solution = heatrd.solve("uniform", epsilon=epsilon, tol=1e-11)
    law = solution.reconstruction
    assert law.size == atoms and solution.regime == "atomic" and solution.gap <= 1e-11
    np.testing.assert_allclose(law.points[:, 0], -law.points[::-1, 0], atol=1e-6)
    np.testing.assert_allclose(law.weights, law.weights[::-1], atol=1e-6)


def test_uniform_lagrangian():
    assert heatrd.solve("uniform", epsilon=0.2).lagrangian == pytest.approx(1.2068962487137, abs=1e-12)


def test_laplacian_lagrangian():
    """The trial's 1.23391637427 "at 0.2" is for unit variance (scale 1/√2), tails cut at 20 scales: ε = 0.2 variance.

    The cut moves it by 4e-8.
    """
    scale = 1 / math.sqrt(2)
    solution = heatrd.solve(heatrd.sources.Laplace(0.0, scale), epsilon=0.2, tol=1e-11)
    assert solution.lagrangian == pytest.approx(1.2339164171844, abs=1e-11)
    assert solution.lagrangian == pytest.approx(1.23391637427, abs=1e-7)
    cut = heatrd.solve(stats.truncexpon(20.0), epsilon=0.4)  # one half of the cut law
    whole = heatrd.solve("exponential", epsilon=0.4)
    assert 0 < abs(cut.lagrangian - whole.lagrangian) < 1e-6


def test_two_point_source_at_high_rate_costs_one_bit():
    solution = heatrd.solve(heatrd.sources.Atoms([-1.0, 1.0]), epsilon=1e-3)
    assert solution.bits == pytest.approx(1.0, abs=1e-9)
    assert solution.distortion < 1e-9


def test_two_point_source_by_its_own_formula():
    """±1 at ε: ν on ±a with a = tanh(a/ε), and F in closed form."""
    from scipy.optimize import brentq

    epsilon = 0.3
    a = brentq(lambda t: t - math.tanh(t / epsilon), 1e-3, 1.0, xtol=1e-15)
    exact = -math.log(0.5 * (math.exp(-((1 - a) ** 2) / (2 * epsilon)) + math.exp(-((1 + a) ** 2) / (2 * epsilon))))
    solution = heatrd.solve(heatrd.sources.Atoms([-1.0, 1.0]), epsilon=epsilon, tol=1e-11)
    assert solution.lagrangian == pytest.approx(exact, abs=1e-11)
    np.testing.assert_allclose(solution.reconstruction.points[:, 0], [-a, a], atol=1e-6)


def test_high_rate_limit_is_the_shannon_bound():
    """L(ε) − (h − ½ log 2πε) → 0 as ε → 0 for a smooth density, and is positive outside the class."""
    source = heatrd.as_source("triangular")
    excess = [
        heatrd.solve(source, epsilon=e).rate
        - heatrd.shannon_lower_bound(source, heatrd.solve(source, epsilon=e).distortion)
        for e in (1e-1, 1e-2, 1e-3)
    ]
    assert excess[0] > excess[1] > excess[2] > -1e-12 and excess[2] < 1e-2


# -- gap on named sources ---------------------------------------------------------------------------

HARD = {
    "beta-half": stats.beta(0.5, 0.5),
    "gamma-0.3": stats.gamma(0.3),
    "gennorm-0.5": stats.gennorm(0.5),
    "t-3": stats.t(3.0),
    "lomax-3.5": stats.lomax(3.5),
    "skewnorm": stats.skewnorm(-6.0),
    "weibull-0.7": stats.weibull_min(0.7),
    "laplace-asymmetric": stats.laplace_asymmetric(3.0),
    "johnsonsu": stats.johnsonsu(1.0, 1.5),
    "genextreme": stats.genextreme(0.2),
    "powerlaw": stats.powerlaw(0.4),
    "loguniform": stats.loguniform(0.01, 1.0),
    "vonmises_line": stats.vonmises_line(3.0),
}


@pytest.mark.parametrize("name", HARD)
def test_hard_densities_are_certified_or_say_so(name):
    source = heatrd.as_source(HARD[name])
    solution = heatrd.solve(source, epsilon=0.1 * source.total_variance, tol=1e-6)
    check_solution(solution, tol=1e-6)
    assert solution.certified
    particles = heatrd.certify(source, source.sample(50, 0), None, solution.epsilon, repair=False)
    assert particles.lagrangian > solution.lagrangian_lower
    assert particles.certificate.lagrangian_lower < solution.lagrangian


@pytest.mark.parametrize("ratio", [0.01, 0.2, 1.0])
@pytest.mark.parametrize(
    "name", ["uniform", "laplace", "exponential", "triangular", "gamma", "gaussian-mixture", "half-normal"]
)
def test_named_sources_reach_the_default_gap(name, ratio):
    source = heatrd.as_source(name)
    solution = heatrd.solve(source, epsilon=ratio * source.total_variance)
    assert solution.certified
    check_solution(solution, tol=1e-9)


@pytest.mark.parametrize("name", ["uniform", "laplace", "exponential", "logistic"])
def test_sharper_gap_when_asked(name):
    source = heatrd.as_source(name)
    loose, sharp = (heatrd.solve(source, epsilon=0.2 * source.total_variance, tol=t) for t in (1e-9, 1e-11))
    assert sharp.gap <= 1e-11
    assert sharp.lagrangian_lower <= loose.lagrangian and loose.lagrangian_lower <= sharp.lagrangian


# -- targets ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["uniform", "laplace", "gaussian", "gamma"])
@pytest.mark.parametrize("fraction", [0.02, 0.3, 0.9])
def test_distortion_target(name, fraction):
    source = heatrd.as_source(name)
    target = fraction * source.total_variance
    solution = heatrd.solve(source, distortion=target)
    assert solution.distortion == pytest.approx(target, rel=1e-9)
    assert solution.gap <= 1e-9 and solution.evaluations >= 1


@pytest.mark.parametrize("rate", [0.05, math.log(2), 2.5])
def test_rate_target(rate):
    solution = heatrd.solve("laplace", rate=rate)
    assert 0.5 * (solution.rate + solution.rate_lower) == pytest.approx(rate, rel=1e-9)
    gaussian = heatrd.solve("gaussian", rate=rate)
    assert gaussian.distortion == pytest.approx(math.exp(-2 * rate), rel=1e-8)


def test_zero_rate_and_large_distortion():
    for solution in (
        heatrd.solve("laplace", rate=0),
        heatrd.solve("laplace", distortion=2.0),
        heatrd.solve("laplace", distortion=50),
    ):
        assert (solution.rate, solution.gap, solution.regime) == (0.0, 0.0, "zero-rate")


@pytest.mark.parametrize("scale", [1e-150, 1e-30, 1e30, 1e150])
def test_results_scale(scale):
    unit = heatrd.solve(heatrd.sources.Laplace(0.0, 1.0), epsilon=0.3)
    solution = heatrd.solve(heatrd.sources.Laplace(0.0, scale), epsilon=0.3 * scale * scale)
    assert solution.lagrangian == pytest.approx(unit.lagrangian, abs=1e-9)
    assert solution.distortion / scale / scale == pytest.approx(unit.distortion, rel=1e-4)
    assert solution.gap <= 1e-9


# -- samples and tables -----------------------------------------------------------------------------


@pytest.mark.parametrize("n", [2, 100, 1000])
def test_samples_as_atoms(n):
    x = np.random.default_rng(n).laplace(size=n)
    source = heatrd.from_samples(x, method="atoms")
    solution = heatrd.solve(source, epsilon=0.1 * x.var())
    check_solution(solution, tol=1e-9)
    assert solution.rate <= math.log(n)


def test_samples_as_kernel_density_converge_to_their_law():
    x = np.random.default_rng(0).laplace(size=2000)
    source = heatrd.from_samples(x, method="kde")
    kde = heatrd.solve(source, distortion=0.2 * source.total_variance, tol=1e-6)
    true = heatrd.solve("laplace", distortion=0.4)
    assert kde.gap <= 1e-6 and abs(kde.rate - true.rate) < 0.1


def test_constant_samples_cost_nothing():
    solution = heatrd.solve(heatrd.from_samples(np.full(10, 3.0), method="atoms"), epsilon=0.1)
    assert (solution.rate, solution.gap) == (0.0, 0.0)


def test_table_of_a_density_agrees_with_the_density():
    x = np.linspace(-math.sqrt(6), math.sqrt(6), 3)
    table = heatrd.from_grid(x, np.array([0.0, 1 / math.sqrt(6), 0.0]))
    one, two = heatrd.solve(table, epsilon=0.1), heatrd.solve("triangular", epsilon=0.1)
    assert one.lagrangian == pytest.approx(two.lagrangian, abs=1e-9)


def test_integer_and_float32_samples():
    x = np.random.default_rng(0).integers(-5, 6, 300)
    values = [
        heatrd.solve(heatrd.from_samples(x.astype(t), method="atoms"), epsilon=2.0).lagrangian
        for t in (int, "f4", "f8")
    ]
    assert values[0] == pytest.approx(values[1], abs=1e-12) and values[0] == values[2]


# -- bad input --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("call", "says"),
    [
        (lambda: heatrd.solve("laplce", epsilon=0.1), "laplace"),
        (lambda: heatrd.as_source("laplace", scal=0.1), "scale"),
        (lambda: heatrd.as_source("laplace", scale=-1.0), "positive"),
        (lambda: heatrd.solve(stats.cauchy(), epsilon=0.1), "variance"),
        (lambda: heatrd.as_source("student-t", df=2.0), "variance"),
        (lambda: heatrd.from_grid([0.0, 1.0, 2.0], [0.1, math.nan, 0.1]), "NaN"),
        (lambda: heatrd.from_grid([0.0, 1.0, 2.0], [0.1, -0.2, 0.1]), "negative"),
        (lambda: heatrd.from_grid([0.0, 1.0, 2.0], [3.0, 3.0, 3.0]), "normal"),
        (lambda: heatrd.from_samples([]), "no samples"),
        (lambda: heatrd.from_samples(["a", "b"]), "number"),
        (lambda: heatrd.solve("laplace", distortion=0.0), "distortion"),
        (lambda: heatrd.solve("laplace", distortion=-1.0), "distortion"),
        (lambda: heatrd.solve("laplace", epsilon=0.1, rate=1.0), "exactly one"),
        (lambda: heatrd.solve("laplace"), "exactly one"),
        (lambda: heatrd.solve("laplace", epsilon=math.nan), "epsilon"),
        (lambda: heatrd.solve("laplace", epsilon="small"), "epsilon"),
        (lambda: heatrd.solve("laplace", rate=-0.1), "rate"),
        (lambda: heatrd.solve("laplace", epsilon=0.1, tol=0.0), "tol"),
        (lambda: heatrd.solve("laplace", epsilon=0.1, tol=math.nan), "tol"),
        (lambda: heatrd.solve(object(), epsilon=0.1), "source"),
        (lambda: heatrd.solve(stats.poisson(3), epsilon=0.1), "discrete"),
        (lambda: heatrd.blahut_arimoto("laplace", -1.0), "epsilon"),
        (lambda: heatrd.blahut_arimoto("laplace", 0.1, iterations=0), "iterations"),
    ],
)  # fmt: skip
def test_bad_input_is_one_line_that_names_the_culprit(call, says):
    with pytest.raises(InvalidInput) as caught:
        call()
    message = str(caught.value)
    assert "\n" not in message and says.lower() in message.lower()


def test_absurd_size_is_refused_with_the_size_that_fits():
    with pytest.raises(heatrd.TooLarge) as caught:
        heatrd.solve("uniform", epsilon=1e-20)
    smallest = caught.value.largest
    assert 1e-20 < smallest < 1e-6 and "epsilon" in str(caught.value)


def test_repr_and_derived_numbers():
    solution = heatrd.solve("uniform", epsilon=0.2)
    assert "regime='atomic'" in repr(solution)
    assert solution.bits == pytest.approx(solution.rate / math.log(2))
    assert solution.seconds > 0 and solution.evaluations == 1


def test_samples_far_apart_are_their_own_atoms():
    """At √ε far below their distances ν = μ: R is the entropy log n, and D is the closed form of two points."""
    rng = np.random.default_rng(3)
    points = np.concatenate([rng.standard_t(3, size=400), [50.0, 50.0 + 5e-5]])
    solution = heatrd.solve(heatrd.from_samples(points), epsilon=1e-11)
    assert solution.gap <= 1e-9
    assert solution.rate == pytest.approx(math.log(points.size), abs=1e-6)
    assert np.isin(points.round(9), solution.reconstruction.points[:, 0].round(9)).mean() > 0.99


def test_an_excess_in_a_few_places_of_a_long_range_is_repaired_there():
    """Clusters a million √ε apart: what one of them lacks costs its mass, not all of it."""
    points = np.concatenate([np.arange(200.0), [50.0 + 6e-5]])
    solution = heatrd.solve(heatrd.from_samples(points), epsilon=1e-10)
    shifted = solution.reconstruction.points[:, 0].copy()
    shifted[0] += 3e-6
    law = heatrd.DiscreteLaw(shifted[:, None], solution.reconstruction.weights)
    judged = LineProblem(heatrd.from_samples(points)).certify(law, 1e-10)
    assert judged.log_sup > 1e-3
    assert judged.gap < 0.1 * judged.log_sup
