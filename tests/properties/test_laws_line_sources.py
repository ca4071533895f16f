"""How R(D) follows the source: moved, scaled, blurred, mixed, sampled or tabulated (DESIGN (1), (5))."""

import math

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from line import RATIO, SMOOTH, TOL, lagrangian_bounds, quick, solve

import heatrd
from heatrd import sources
from heatrd.testing import check_overlap, line_sources


def moved(source, scale, shift):
    """The source of scale·X + shift, by another construction of the same family."""
    match source:
        case sources.Uniform():
            ends = sorted([scale * source.low + shift, scale * source.high + shift])
            return sources.Uniform(*ends)
        case sources.Laplace():
            return sources.Laplace(scale * source.loc + shift, abs(scale) * source.scale)
        case sources.Atoms():
            points, weights = source.discrete_part
            return sources.Atoms(scale * points[:, 0] + shift, weights)
        case sources.GeneralizedGaussian():
            return sources.GeneralizedGaussian(source.beta, abs(scale) * source.scale, scale * source.loc + shift)
    raise AssertionError(type(source))


MOVABLE = line_sources("uniform", "laplace", "atoms", "generalized-gaussian")


# -- transformations of the source ------------------------------------------------------------------


@given(MOVABLE, RATIO, st.floats(0.01, 100.0), st.floats(-10, 10))
@quick
def test_affine_law(source, ratio, scale, shift):
    """R_{aX+b}(a²D) = R_X(D)."""
    one, two = solve(source, ratio), solve(moved(source, scale, shift), ratio)
    check_overlap(lagrangian_bounds(one), lagrangian_bounds(two), slack=1e-10)
    at_same = two.certificate.lower_bound(scale**2 * one.distortion)
    assert at_same <= one.rate + 1e-9 and one.certificate.lower_bound(two.distortion / scale**2) <= two.rate + 1e-9


@given(MOVABLE, RATIO)
@quick
def test_reflection(source, ratio):
    mirrored = moved(source, -1.0, 0.0)
    check_overlap(lagrangian_bounds(solve(source, ratio)), lagrangian_bounds(solve(mirrored, ratio)))


@given(line_sources("uniform", "laplace", "atoms"), RATIO, st.sampled_from([-400, -40, 40, 400]))
@quick
def test_powers_of_two_scale_exactly(source, ratio, power):
    centred = moved(source, 1.0, -float(source.mean[0]))
    assume(abs(float(centred.mean[0])) < 1e-12)
    factor = 2.0**power
    one, two = solve(centred, ratio), solve(moved(centred, factor, 0.0), ratio)
    assert two.rate == pytest.approx(one.rate, rel=1e-9)
    assert two.distortion / factor / factor == pytest.approx(one.distortion, rel=1e-9)


@given(line_sources("uniform", "laplace"), RATIO)
@quick
def test_symmetric_sources_are_reproduced_symmetrically(source, ratio):
    solution = solve(source, ratio, 1e-9)
    law, centre = solution.reconstruction, float(source.mean[0])
    mirrored = heatrd.certify(source, 2 * centre - law.points, law.weights, solution.epsilon, repair=False)
    assert mirrored.lagrangian == pytest.approx(solution.lagrangian, abs=1e-11)


@given(st.floats(0.3, 3.0), st.floats(0.05, 0.95), st.floats(-5, 5))
@quick
def test_gaussian_is_its_closed_form(variance, ratio, mean):
    solution = solve(sources.Gaussian(mean, variance), ratio, 1e-11)
    assert solution.rate == pytest.approx(-0.5 * math.log(ratio), abs=1e-11)
    assert solution.distortion == pytest.approx(ratio * variance, rel=1e-9)


@given(line_sources("gaussian-mixture"), st.floats(0.05, 0.99))
@quick
def test_shannon_bound_is_met_in_the_backward_heat_class(source, fraction):
    epsilon = fraction * heatrd.critical_epsilon(source)
    solution = heatrd.solve(source, epsilon=epsilon)
    shannon = heatrd.shannon_lower_bound(source, solution.distortion)
    assert solution.rate == pytest.approx(shannon, abs=1e-9)
    assert solution.distortion == pytest.approx(epsilon, rel=1e-8)


@given(line_sources("laplace", "exponential", "uniform", "triangular"), st.floats(0.05, 0.5))
@quick
def test_shannon_bound_is_not_met_outside_the_class(source, ratio):
    solution = solve(source, ratio, 1e-9)
    assert solution.rate_lower > heatrd.shannon_lower_bound(source, solution.distortion) + 1e-9


@given(line_sources(*SMOOTH), RATIO, st.floats(0.02, 0.3))
@quick
def test_noise_on_the_source_raises_the_lagrangian_bound(source, ratio, noise):
    """R_{X+N}(D + σ²) ≤ R_X(D): reproduce X by Y, then X + N by the same Y. Checked with X an empirical law."""
    rng = np.random.default_rng(0)
    points = np.unique(source.sample(12, rng)[:, 0])
    empirical = sources.Atoms(points)
    variance = noise * empirical.total_variance
    blurred = sources.GaussianMixture(None, points, np.full(points.size, variance))
    one = solve(empirical, ratio)
    two = heatrd.solve(blurred, epsilon=one.epsilon, tol=TOL)
    assert two.certificate.lower_bound(one.distortion + variance) <= one.rate + 1e-9


# -- atoms, samples, mixtures -----------------------------------------------------------------------


@given(line_sources("atoms"), RATIO, st.randoms(use_true_random=False))
@quick
def test_order_of_atoms_does_not_matter(source, ratio, random):
    points, weights = source.discrete_part
    order = list(range(len(weights)))
    random.shuffle(order)
    shuffled = sources.Atoms(points[order], weights[order])
    check_overlap(lagrangian_bounds(solve(source, ratio)), lagrangian_bounds(solve(shuffled, ratio)))


@given(st.lists(st.integers(-8, 8), min_size=3, max_size=30), RATIO)
@quick
def test_duplicates_are_weights(samples, ratio):
    assume(len(set(samples)) > 1)
    values, counts = np.unique(np.array(samples, dtype=float), return_counts=True)
    one = solve(heatrd.from_samples(np.array(samples, dtype=float), method="atoms"), ratio)
    two = solve(sources.Atoms(values, counts / counts.sum()), ratio)
    check_overlap(lagrangian_bounds(one), lagrangian_bounds(two))
    assert one.distortion == pytest.approx(two.distortion, rel=1e-3)


@given(st.lists(st.integers(-40, 40), min_size=3, max_size=30, unique=True), RATIO)
@quick
def test_sample_order_does_not_matter(samples, ratio):
    x = np.array(samples, dtype=float)
    one, two = (solve(heatrd.from_samples(v, method="atoms"), ratio) for v in (x, np.sort(x)[::-1].copy()))
    check_overlap(lagrangian_bounds(one), lagrangian_bounds(two))


@given(line_sources("atoms"))
@quick
def test_high_rate_of_atoms_is_their_entropy(source):
    """As ε → 0 the rate of a discrete source tends to its entropy, and never exceeds it."""
    weights = source.discrete_part[1]
    entropy = float(-(weights * np.log(weights)).sum())
    solution = heatrd.solve(source, epsilon=1e-5)
    assert solution.rate == pytest.approx(entropy, abs=1e-6)
    assert solve(source, 0.1).rate_lower <= entropy + 1e-12


@given(line_sources("atoms"), line_sources("atoms"), RATIO, st.floats(0.1, 0.9))
@quick
def test_mixing_sources_costs_no_more_than_telling_which(one, two, ratio, t):
    """L(mixture) ≤ t L₁ + (1−t) L₂ + H(t), and ≥ t L₁ + (1−t) L₂: side information only helps."""
    (p, v), (q, w) = one.discrete_part, two.discrete_part
    both = sources.Atoms(np.concatenate([p, q]), np.concatenate([t * v, (1 - t) * w]))
    epsilon = ratio * both.total_variance
    first, second, mixed = (heatrd.solve(s, epsilon=epsilon, tol=TOL) for s in (one, two, both))
    entropy = -t * math.log(t) - (1 - t) * math.log(1 - t)
    assert mixed.lagrangian_lower <= t * first.lagrangian + (1 - t) * second.lagrangian + entropy + 1e-12
    assert mixed.lagrangian >= t * first.lagrangian_lower + (1 - t) * second.lagrangian_lower - 1e-12


@given(st.floats(0.2, 0.8), RATIO)
@quick
def test_binary_source_is_below_its_entropy_and_concave_in_p(p, ratio):
    epsilon = ratio * 0.25
    values = [
        heatrd.solve(sources.Atoms([0.0, 1.0], [1 - q, q]), epsilon=epsilon, tol=1e-9) for q in (p - 0.1, p, p + 0.1)
    ]
    assert values[1].lagrangian >= 0.5 * (values[0].lagrangian_lower + values[2].lagrangian_lower) - 1e-12


@given(line_sources("tabulated"), RATIO)
@quick
def test_refined_table_of_the_same_density_agrees(source, ratio):
    """Tabulating a density that is linear between the nodes on a finer grid changes nothing."""
    low, high = source.support
    coarse = np.linspace(low, high, 9)
    heights = np.exp(source.logpdf(coarse))
    fine = np.linspace(low, high, 33)
    one = heatrd.from_grid(coarse, heights, normalize=True)
    two = heatrd.from_grid(fine, np.interp(fine, coarse, heights), normalize=True)
    check_overlap(lagrangian_bounds(solve(one, ratio)), lagrangian_bounds(solve(two, ratio)), slack=1e-10)


@given(line_sources("tabulated"), RATIO)
@quick
def test_reversed_table_agrees(source, ratio):
    low, high = source.support
    grid = np.linspace(low, high, 12)
    heights = np.interp(grid, grid, np.abs(np.sin(3 * grid)) + 0.1)
    one = heatrd.from_grid(grid, heights, normalize=True)
    two = heatrd.from_grid(-grid[::-1], heights[::-1], normalize=True)
    check_overlap(lagrangian_bounds(solve(one, ratio)), lagrangian_bounds(solve(two, ratio)), slack=1e-10)


@pytest.mark.parametrize("power", [-498, 498])
@pytest.mark.parametrize("name", ["uniform", "laplace", "gaussian", "atoms"])
def test_curves_and_targets_scale(name, power):
    """R_{aX}(a²D) = R_X(D) for whole curves, their inverses and slopes, and for solves at a distortion or a rate."""

    def law(unit):
        return {
            "uniform": lambda: sources.Uniform(-unit, unit),
            "laplace": lambda: sources.Laplace(0.0, unit),
            "gaussian": lambda: sources.Gaussian(0.0, unit * unit),
            "atoms": lambda: sources.Atoms(unit * np.array([-1.0, 0.25, 0.5])),
        }[name]()

    def figures(source, variance):
        curve = heatrd.rd_curve(source, max_rate=0.8, tol=1e-3)
        d = np.array([0.35, 0.6, 0.9, 1.1]) * variance
        low, high = curve.bounds(d)
        by_distortion = heatrd.solve(source, distortion=0.6 * variance, tol=1e-6)
        by_rate = heatrd.solve(source, rate=0.3, tol=1e-6)
        return [
            *curve.rate(d), *low, *high, *(curve.slope(d) * variance), *(curve.distortion([0.2, 0.6]) / variance),
            by_distortion.rate, by_distortion.distortion / variance, by_rate.rate, by_rate.distortion / variance,
        ]  # fmt: skip

    unit, one = 2.0**power, law(1.0)
    assert figures(law(unit), one.total_variance * unit**2) == pytest.approx(
        figures(one, one.total_variance), rel=1e-7, abs=1e-12
    )
