"""Laws of single solutions and of curves, over randomly drawn sources on the line (DESIGN (1), (2))."""

import math

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from line import RATIO, SMOOTH, TOL, lagrangian_bounds, quick, solve

import heatrd
from heatrd.testing import check_overlap, check_solution, line_sources, solutions

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
