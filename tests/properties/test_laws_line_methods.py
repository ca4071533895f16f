"""Other methods and other laws never beat the bounds; the certificate of any law ν (DESIGN (2), (4)–(7))."""

import itertools
import math

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from line import RATIO, SMOOTH, TOL, lagrangian_bounds, quick, solve

import heatrd
from heatrd import sources
from heatrd.testing import check_overlap, check_upper_bound, line_sources, solutions

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
