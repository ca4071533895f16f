"""Laws in the plane: of atoms, Gaussians and products (DESIGN (1), (2), (5))."""

import math

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

import heatrd
from heatrd import sources
from heatrd.testing import check_overlap, check_solution

TOL = 1e-4
few = settings(max_examples=5)
RATIO = st.floats(math.log(0.3), math.log(1.0)).map(math.exp)
ANGLE = st.floats(0.1, 3.0)
POINTS = st.lists(
    st.tuples(st.integers(-20, 20), st.integers(-20, 20)), min_size=2, max_size=6, unique=True
).map(lambda pairs: np.array(pairs) / 10.0)  # fmt: skip
ATOMS = POINTS.map(sources.Atoms)
NUMBER = st.integers(200, 2000).map(lambda n: n / 1000)
COVARIANCE = st.builds(
    lambda a, b, c: np.array([[a, c * math.sqrt(a * b)], [c * math.sqrt(a * b), b]]),
    NUMBER,
    NUMBER,
    st.floats(-0.8, 0.8),
)
LINES = st.sampled_from([sources.Uniform(-1.0, 1.0), sources.Laplace(0.0, 0.7), sources.Gaussian(0.0, 0.5)])


def solve(source, ratio, tol=TOL, **more):
    return heatrd.solve(source, epsilon=ratio * source.total_variance / source.dim, tol=tol, **more)


def bounds(solution):
    return solution.lagrangian_lower, solution.lagrangian


def turn(angle):
    return np.array([[math.cos(angle), -math.sin(angle)], [math.sin(angle), math.cos(angle)]])


@given(ATOMS, RATIO)
@few
def test_bounds_are_ordered_and_below_gauss(source, ratio):
    check_solution(solve(source, ratio), tol=TOL)


@given(COVARIANCE, st.floats(0.2, 2.0))
@few
def test_gaussian_is_reverse_water_filling(covariance, level):
    epsilon = level * float(np.linalg.eigvalsh(covariance)[0])
    solution = heatrd.solve(sources.Gaussian([0.0, 1.0], covariance), epsilon=epsilon, tol=1e-6)
    values = np.linalg.eigvalsh(covariance)
    assert solution.rate == pytest.approx(0.5 * np.maximum(np.log(values / epsilon), 0).sum(), abs=1e-6)
    assert solution.distortion == pytest.approx(np.minimum(values, epsilon).sum(), rel=1e-5)


@given(ATOMS, RATIO, ANGLE)
@few
def test_rotation(source, ratio, angle):
    points, weights = source.discrete_part
    turned = sources.Atoms(points @ turn(angle).T, weights)
    check_overlap(bounds(solve(source, ratio)), bounds(solve(turned, ratio)), slack=1e-9)


@given(COVARIANCE, st.floats(0.2, 0.9), ANGLE)
@few
def test_rotation_of_gaussians(covariance, ratio, angle):
    q = turn(angle)
    one, two = (sources.Gaussian([0.0, 0.0], c) for c in (covariance, q @ covariance @ q.T))
    check_overlap(bounds(solve(one, ratio, 1e-6)), bounds(solve(two, ratio, 1e-6)), slack=1e-9)


@given(ATOMS, RATIO, st.floats(0.05, 20), st.floats(-5, 5))
@few
def test_scaling_and_translation(source, ratio, scale, shift):
    points, weights = source.discrete_part
    moved = sources.Atoms(scale * points + [shift, -shift], weights)
    one, two = solve(source, ratio), solve(moved, ratio)
    check_overlap(bounds(one), bounds(two), slack=1e-8)
    assert two.certificate.lower_bound(scale**2 * one.distortion) <= one.rate + 1e-8


@given(ATOMS, RATIO, st.sampled_from([-300, -30, 30, 300]))
@few
def test_powers_of_two_scale_exactly(source, ratio, power):
    points, weights = source.discrete_part
    one, two = solve(source, ratio), solve(sources.Atoms(2.0**power * points, weights), ratio)
    assert two.rate == pytest.approx(one.rate, rel=1e-9)
    assert two.distortion / 2.0**power / 2.0**power == pytest.approx(one.distortion, rel=1e-9)


@given(POINTS, RATIO, st.randoms(use_true_random=False))
@few
def test_sample_order_does_not_matter(points, ratio, random):
    order = list(range(len(points)))
    random.shuffle(order)
    one, two = (solve(heatrd.from_samples(p), ratio) for p in (points, points[order]))
    check_overlap(bounds(one), bounds(two))


@given(ATOMS, RATIO)
@few
def test_points_on_a_line_cost_what_they_cost_on_the_line(source, ratio):
    """R of (X, 0) is R of X."""
    x = source.discrete_part[0][:, 0]
    assume(np.ptp(x) > 0)
    line = sources.Atoms(x, source.discrete_part[1])
    plane = sources.Atoms(np.column_stack([x, np.zeros_like(x)]), source.discrete_part[1])
    epsilon = ratio * line.total_variance
    one, two = (heatrd.solve(s, epsilon=epsilon, tol=TOL) for s in (line, plane))
    check_overlap(bounds(one), bounds(two), slack=1e-9)


@given(ATOMS, RATIO)
@few
def test_a_projection_costs_less(source, ratio):
    """Data processing: L of a coordinate is no more than L of the pair at the same slope."""
    points, weights = source.discrete_part
    assume(np.ptp(points[:, 0]) > 0)
    epsilon = ratio * source.total_variance / 2
    both = heatrd.solve(source, epsilon=epsilon, tol=TOL)
    first = heatrd.solve(sources.Atoms(points[:, 0], weights), epsilon=epsilon, tol=TOL)
    assert first.lagrangian_lower <= both.lagrangian + 1e-12


@given(ATOMS, RATIO, st.floats(0.01, 0.5))
@few
def test_noise_on_the_reproduction_only_raises_the_lagrangian(source, ratio, noise):
    solution = solve(source, ratio)
    law, step = solution.reconstruction, math.sqrt(2 * noise * solution.epsilon)
    steps = step * np.array([[1, 0], [-1, 0], [0, 1], [0, -1]])
    points = (law.points[:, None] + steps).reshape(-1, 2)
    judged = heatrd.certify(source, points, np.repeat(law.weights, 4) / 4, solution.epsilon, repair=False)
    assert judged.lagrangian >= solution.lagrangian_lower


@given(ATOMS, RATIO, st.integers(1, 5), st.integers(0, 2**31))
@few
def test_random_laws_never_beat_the_bounds(source, ratio, size, seed):
    rng = np.random.default_rng(seed)
    solution = solve(source, ratio)
    points = source.mean + math.sqrt(source.total_variance) * rng.uniform(-1.5, 1.5, (size, 2))
    judged = heatrd.certify(source, points, rng.uniform(0.1, 1, size), solution.epsilon, repair=False)
    check_overlap(bounds(solution), (judged.certificate.lagrangian_lower, judged.lagrangian))
    assert judged.lagrangian >= solution.lagrangian_lower


@given(ATOMS, RATIO, st.integers(1, 30))
@few
def test_blahut_arimoto_overlaps(source, ratio, sweeps):
    solution = solve(source, ratio)
    other = heatrd.blahut_arimoto(source, solution.epsilon, iterations=sweeps).certificate
    check_overlap(bounds(solution), (other.lagrangian_lower, other.lagrangian))


@given(ATOMS, RATIO, RATIO)
@few
def test_no_point_lies_below_anothers_tangent(source, a, b):
    first, second = solve(source, a), solve(source, b)
    assert first.certificate.lower_bound(second.distortion) <= second.rate + 1e-12
    assert second.certificate.lower_bound(first.distortion) <= first.rate + 1e-12


# -- products ---------------------------------------------------------------------------------------


@given(LINES, LINES, RATIO)
@few
def test_lagrangians_of_independent_coordinates_add(one, two, ratio):
    product = sources.Product([one, two])
    whole = solve(product, ratio, 1e-8)
    parts = [heatrd.solve(s, epsilon=whole.epsilon, tol=1e-9) for s in (one, two)]
    total = tuple(sum(b) for b in zip(*map(bounds, parts)))
    check_overlap(bounds(whole), total, slack=1e-10)
    assert whole.distortion == pytest.approx(sum(p.distortion for p in parts), rel=1e-4)


@given(LINES, LINES, RATIO)
@few
def test_order_of_coordinates_does_not_matter(one, two, ratio):
    first, second = (solve(sources.Product(list(pair)), ratio, 1e-8) for pair in ((one, two), (two, one)))
    check_overlap(bounds(first), bounds(second), slack=1e-10)


@given(LINES, st.integers(2, 6), RATIO)
@few
def test_copies_cost_in_proportion(source, copies, ratio):
    many = solve(sources.Product([source] * copies), ratio, 1e-8)
    single = heatrd.solve(source, epsilon=many.epsilon, tol=1e-9)
    low, high = bounds(single)
    check_overlap(bounds(many), (copies * low, copies * high), slack=1e-9)


@given(POINTS, RATIO)
@few
def test_product_of_atoms_is_the_atoms_of_the_product(points, ratio):
    """The same law twice: as a product, solved by coordinates, and as points in the plane."""
    x, y = np.unique(points[:, 0])[:3], np.unique(points[:, 1])[:3]
    assume(len(x) > 1 and len(y) > 1)
    grid = np.stack(np.meshgrid(x, y, indexing="ij"), axis=-1).reshape(-1, 2)
    product = sources.Product([sources.Atoms(x), sources.Atoms(y)])
    plane = sources.Atoms(grid)
    epsilon = ratio * plane.total_variance / 2
    one, two = (heatrd.solve(s, epsilon=epsilon, tol=TOL) for s in (product, plane))
    check_overlap(bounds(one), bounds(two), slack=1e-9)
