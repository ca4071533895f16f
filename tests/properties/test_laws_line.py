"""Laws that hold of every source on the line, over randomly drawn sources (DESIGN (1), (2), (5)–(7))."""

import itertools
import math

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

import heatrd
from heatrd import sources
from heatrd.testing import check_overlap, check_solution, check_upper_bound, line_sources, solutions

TOL = 1e-6
quick = settings(max_examples=8)
RATIO = st.floats(math.log(0.05), math.log(1.2)).map(math.exp)
SMOOTH = ("uniform", "laplace", "exponential", "generalized-gaussian", "triangular", "gaussian-mixture", "tabulated")


def solve(source, ratio, tol=TOL, **more):
    return heatrd.solve(source, epsilon=ratio * source.total_variance, tol=tol, **more)


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


def lagrangian_bounds(solution):
    return solution.lagrangian_lower, solution.lagrangian


# -- one solution -----------------------------------------------------------------------------------


@given(solutions(tol=TOL))
@settings(max_examples=25)
def test_bounds_are_ordered_between_shannon_and_gauss(solution):
    check_solution(solution, tol=TOL)


@given(solutions(tol=TOL))
@quick
def test_rate_is_lagrangian_minus_tangent(solution):
    assume(solution.regime != "zero-rate")
    tangent = solution.lagrangian - solution.distortion / (2 * solution.epsilon)
    assert solution.rate == pytest.approx(max(tangent, 0.0), abs=1e-14)
    assert solution.gap == pytest.approx(solution.rate - solution.rate_lower, abs=1e-15)


@given(solutions(tol=TOL))
@quick
def test_bits_and_decibels(solution):
    assert solution.bits == pytest.approx(solution.rate / math.log(2))
    assert solution.snr_db == pytest.approx(10 * math.log10(solution.source.total_variance / solution.distortion))


@given(solutions(tol=TOL))
@quick
def test_lagrangian_is_no_more_than_that_of_silence(solution):
    assert solution.lagrangian_lower <= solution.source.total_variance / (2 * solution.epsilon) + 1e-12


@given(solutions(tol=TOL))
@quick
def test_reconstruction_keeps_the_mean(solution):
    """At the optimum E[X|Y=y] = y on every atom, so E Y = E X; to first order in the square root of the gap."""
    spread = math.sqrt(solution.source.total_variance)
    error = abs(solution.reconstruction.mean[0] - solution.source.mean[0])
    assert error <= 3 * math.sqrt(max(solution.gap, 1e-12)) * spread


@given(solutions(tol=TOL))
@quick
def test_variance_splits_into_reconstruction_and_distortion(solution):
    """E[X|Y] = Y gives Var X = Var Y + D."""
    total = solution.source.total_variance
    split = float(solution.reconstruction.covariance[0, 0]) + solution.distortion
    assert split == pytest.approx(total, abs=10 * math.sqrt(max(solution.gap, 1e-12)) * total)


@given(solutions(line_sources("uniform", "triangular", "atoms", "tabulated"), tol=TOL))
@quick
def test_reconstruction_stays_in_the_hull(solution):
    low, high = solution.source.support
    points = solution.reconstruction.points[:, 0]
    slack = 1e-9 * (high - low)
    assert low - slack <= points.min() and points.max() <= high + slack


@given(solutions(tol=TOL))
@quick
def test_certificate_of_the_answer_reproduces_its_bounds(solution):
    law = solution.reconstruction
    again = heatrd.certify(solution.source, law.points, law.weights, solution.epsilon, repair=False)
    check_overlap(lagrangian_bounds(solution), (again.certificate.lagrangian_lower, again.lagrangian))
    assert again.lagrangian == pytest.approx(solution.lagrangian, abs=1e-8)


@given(solutions(line_sources(*SMOOTH), tol=TOL))
@quick
def test_solving_twice_is_bitwise_the_same(solution):
    again = heatrd.solve(solution.source, epsilon=solution.epsilon, tol=TOL)
    assert (again.rate, again.rate_lower, again.distortion) == (solution.rate, solution.rate_lower, solution.distortion)
    np.testing.assert_array_equal(again.reconstruction.points, solution.reconstruction.points)


# -- the curve --------------------------------------------------------------------------------------


@given(line_sources(), RATIO, RATIO)
@quick
def test_distortion_rises_and_rate_falls_with_epsilon(source, a, b):
    low, high = sorted((a, b))
    assume(high > 1.2 * low)
    first, second = solve(source, low), solve(source, high)
    assert first.distortion <= second.distortion + 1e-3 * source.total_variance
    assert first.rate >= second.rate_lower - 1e-12


@given(line_sources(), RATIO, RATIO)
@quick
def test_no_point_lies_below_anothers_tangent(source, a, b):
    """Convexity, as certified: R(D₂) ≥ L(ε₁) − D₂/2ε₁."""
    first, second = solve(source, a), solve(source, b)
    assert first.certificate.lower_bound(second.distortion) <= second.rate + 1e-12
    assert second.certificate.lower_bound(first.distortion) <= first.rate + 1e-12


@given(line_sources(), RATIO, st.floats(1.1, 2.0), st.floats(0.1, 0.9))
@quick
def test_chords_lie_above_the_curve(source, ratio, factor, t):
    first, second = solve(source, ratio), solve(source, factor * ratio)
    assume(second.distortion > first.distortion * (1 + 1e-6))
    middle = heatrd.solve(source, distortion=t * first.distortion + (1 - t) * second.distortion, tol=TOL)
    assert middle.rate_lower <= t * first.rate + (1 - t) * second.rate + 1e-9


@given(line_sources(), RATIO, st.floats(1.05, 3.0))
@quick
def test_epsilon_times_lagrangian_grows(source, ratio, factor):
    """2εL(ε) = min(2εR + D) is non-decreasing in ε, and L itself non-increasing."""
    first, second = solve(source, ratio), solve(source, factor * ratio)
    assert first.lagrangian_lower * first.epsilon <= second.lagrangian * second.epsilon * (1 + 1e-12) + 1e-15
    assert second.lagrangian_lower <= first.lagrangian + 1e-12


@given(line_sources(*SMOOTH), st.floats(0.05, 0.9))
@quick
def test_distortion_target_is_hit(source, fraction):
    target = fraction * source.total_variance
    solution = heatrd.solve(source, distortion=target, tol=TOL)
    assert solution.distortion == pytest.approx(target, rel=1e-9)
    check_solution(solution, tol=TOL)


@given(line_sources(*SMOOTH), st.floats(0.1, 2.0))
@settings(max_examples=5)
def test_rate_target_is_hit(source, target):
    solution = heatrd.solve(source, rate=target, tol=1e-9)
    assert abs(0.5 * (solution.rate + solution.rate_lower) - target) <= 1e-9 * target + solution.gap


@given(line_sources(*SMOOTH), st.floats(0.1, 0.9))
@settings(max_examples=5)
def test_distortion_of_rate_of_distortion_is_distortion(source, fraction):
    target = fraction * source.total_variance
    there = heatrd.solve(source, distortion=target, tol=1e-9)
    assume(there.rate > 1e-3)
    back = heatrd.solve(source, rate=there.rate, tol=1e-9)
    assert back.distortion == pytest.approx(target, rel=1e-6)


@given(line_sources(), st.floats(1.0, 10.0))
@quick
def test_rate_is_zero_from_the_variance_on(source, factor):
    solution = heatrd.solve(source, distortion=factor * source.total_variance)
    assert (solution.rate, solution.gap, solution.regime) == (0.0, 0.0, "zero-rate")
    assert solution.reconstruction.points[0, 0] == pytest.approx(source.mean[0])


@given(line_sources(), RATIO)
@quick
def test_warm_start_does_not_change_the_answer(source, ratio):
    cold = solve(source, ratio)
    warm = solve(source, ratio, start=solve(source, 1.3 * ratio).reconstruction)
    check_overlap(lagrangian_bounds(cold), lagrangian_bounds(warm))


@given(line_sources(), RATIO)
@quick
def test_tighter_tolerance_overlaps(source, ratio):
    rough, fine = solve(source, ratio, 1e-4), solve(source, ratio, 1e-8)
    assert fine.gap <= 1e-8
    check_overlap(lagrangian_bounds(rough), lagrangian_bounds(fine))


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


# -- other methods ----------------------------------------------------------------------------------


@given(line_sources(), RATIO, st.integers(1, 60))
@quick
def test_blahut_arimoto_overlaps_and_is_no_better(source, ratio, sweeps):
    solution = solve(source, max(ratio, 0.1))
    other = heatrd.blahut_arimoto(source, solution.epsilon, iterations=sweeps).certificate
    check_overlap(lagrangian_bounds(solution), (other.lagrangian_lower, other.lagrangian))
    assert other.lagrangian >= solution.lagrangian_lower


@given(line_sources(*SMOOTH), RATIO)
@quick
def test_blahut_arimoto_descends(source, ratio):
    """F(ν·c) ≤ F(ν): more sweeps never raise the certified upper bound."""
    epsilon = max(ratio, 0.1) * source.total_variance
    values = [heatrd.blahut_arimoto(source, epsilon, iterations=k).certificate.lagrangian for k in (1, 4, 16, 64)]
    assert all(b <= a + 1e-11 for a, b in itertools.pairwise(values))


@given(line_sources("gaussian-mixture"), st.floats(0.1, 0.8))
@settings(max_examples=5)
def test_backward_heat_overlaps(source, fraction):
    epsilon = fraction * heatrd.critical_epsilon(source)
    solution = heatrd.solve(source, epsilon=epsilon)
    law = source.deblurred(epsilon)
    points = law.sample(400, np.random.default_rng(0))
    particles = heatrd.certify(source, points, None, epsilon, repair=False)
    check_overlap(lagrangian_bounds(solution), (particles.certificate.lagrangian_lower, particles.lagrangian))
    assert particles.lagrangian > solution.lagrangian_lower


@given(line_sources(), RATIO, st.integers(1, 12), st.integers(0, 2**31))
@quick
def test_random_laws_never_beat_the_bounds(source, ratio, size, seed):
    rng = np.random.default_rng(seed)
    solution = solve(source, ratio)
    spread = math.sqrt(source.total_variance)
    points = source.mean[0] + spread * rng.uniform(-2, 2, size)
    judged = heatrd.certify(source, points, rng.uniform(0.1, 1, size), solution.epsilon, repair=False)
    assert judged.lagrangian >= solution.lagrangian_lower
    assert judged.certificate.lagrangian_lower <= solution.lagrangian
    assert judged.rate >= solution.certificate.lower_bound(judged.distortion) - 1e-12


@given(line_sources(), RATIO)
@quick
def test_scalar_quantisers_never_beat_the_curve(source, ratio):
    """A uniform quantiser with centroids: (D, H) of the samples' own law."""
    x = source.sample(200, np.random.default_rng(1))[:, 0]
    empirical = sources.Atoms(np.unique(x), np.unique(x, return_counts=True)[1] / x.size)
    cell = np.round(x / (2 * math.sqrt(ratio * x.var())))
    _, index, count = np.unique(cell, return_inverse=True, return_counts=True)
    centroid = np.bincount(index, x) / count
    distortion = float(np.mean((x - centroid[index]) ** 2))
    assume(distortion > 1e-3 * x.var())
    entropy = float(-(count / x.size * np.log(count / x.size)).sum())
    check_upper_bound(empirical, distortion, entropy)


# -- the law ν and its certificate ------------------------------------------------------------------


@given(solutions(tol=TOL), st.floats(0.01, 0.5))
@quick
def test_noise_on_the_reproduction_only_raises_the_lagrangian(solution, noise):
    """Data processing: F(ν ∗ N(0, s)) ≥ F(ν*), with N in place of the normal law three equal points."""
    law, step = solution.reconstruction, math.sqrt(1.5 * noise * solution.epsilon)
    points = np.concatenate([law.points[:, 0] + step * k for k in (-1, 0, 1)])
    judged = heatrd.certify(solution.source, points, np.tile(law.weights, 3), solution.epsilon, repair=False)
    assert judged.lagrangian >= solution.lagrangian_lower


@given(line_sources(), RATIO, st.floats(0.1, 0.9), st.integers(0, 2**31))
@quick
def test_lagrangian_is_convex_in_the_law(source, ratio, t, seed):
    rng = np.random.default_rng(seed)
    epsilon, spread = ratio * source.total_variance, math.sqrt(source.total_variance)
    p, q = (source.mean[0] + spread * rng.uniform(-2, 2, 5) for _ in range(2))
    v, w = (rng.dirichlet(np.ones(5)) for _ in range(2))
    f = [
        heatrd.certify(source, points, weights, epsilon, repair=False).lagrangian
        for points, weights in ((p, v), (q, w), (np.concatenate([p, q]), np.concatenate([t * v, (1 - t) * w])))
    ]
    assert f[2] <= t * f[0] + (1 - t) * f[1] + 1e-9 * (1 + abs(f[0]) + abs(f[1]))


@given(line_sources(), RATIO, st.integers(0, 2**31))
@quick
def test_splitting_an_atom_changes_nothing(source, ratio, seed):
    rng = np.random.default_rng(seed)
    spread = math.sqrt(source.total_variance)
    points, weights = source.mean[0] + spread * rng.uniform(-2, 2, 4), rng.dirichlet(np.ones(4))
    epsilon = ratio * source.total_variance
    one = heatrd.certify(source, points, weights, epsilon, repair=False)
    two = heatrd.certify(
        source, np.tile(points, 2), np.concatenate([0.3 * weights, 0.7 * weights]), epsilon, repair=False
    )
    assert two.lagrangian == pytest.approx(one.lagrangian, rel=1e-12)
    assert two.log_sup == pytest.approx(one.log_sup, rel=1e-9, abs=1e-10)


@given(line_sources(), RATIO, st.integers(0, 2**31))
@quick
def test_sup_c_is_never_below_one(source, ratio, seed):
    """∫ c dν = 1, so sup c ≥ 1 whatever ν."""
    rng = np.random.default_rng(seed)
    points = source.mean[0] + math.sqrt(source.total_variance) * rng.uniform(-2, 2, 4)
    judged = heatrd.certify(source, points, None, ratio * source.total_variance, repair=False)
    assert judged.log_sup >= -1e-9


@given(solutions(tol=TOL), st.floats(0.01, 0.3))
@quick
def test_stray_mass_is_paid_for(solution, share):
    """Mixing the optimum with mass far away costs −log(1 − share) at the most, and is seen."""
    law, far = solution.reconstruction, 50 * math.sqrt(solution.source.total_variance)
    points = np.append(law.points[:, 0], law.points[:, 0].max() + far)
    judged = heatrd.certify(
        solution.source, points, np.append((1 - share) * law.weights, share), solution.epsilon, repair=False
    )
    assert judged.lagrangian >= solution.lagrangian_lower
    assert judged.lagrangian == pytest.approx(solution.lagrangian - math.log1p(-share), abs=1e-6)


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


@given(line_sources(*SMOOTH), RATIO)
@quick
def test_bridge_starts_at_the_source_and_ends_at_the_reconstruction(source, ratio):
    """φ_0 φ̂_0 = μ, and φ̂_1 = c, which is one on the atoms (DESIGN (4))."""
    solution = solve(source, max(ratio, 0.1), 1e-8)
    assume(solution.regime == "atomic")
    law = solution.reconstruction
    heavy = law.weights > 1e-3
    c = solution.bridge.copotential(1.0, law.points[heavy])
    np.testing.assert_allclose(np.ravel(c), 1.0, atol=1e-3)


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
