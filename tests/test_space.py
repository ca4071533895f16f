"""Two and three dimensions: the exchange method, its certificates, invariances."""

from functools import partial
from itertools import pairwise

import numpy as np
import pytest
import reference
from hypothesis import given, settings
from hypothesis import strategies as st

import heatrd
from heatrd.certificate import space as space_certificate
from heatrd.certificate.space import certify_law, space_problem
from heatrd.certificate.space_dual import Measured, check_nodes
from heatrd.errors import InvalidInput, TooLarge
from heatrd.laws import as_law
from heatrd.quadrature.tiles import make_tiles
from heatrd.reconstruction import product, radial, space, space_polish, space_shape
from heatrd.reconstruction.space_interior import optimal_weights, tile_hessian
from heatrd.reconstruction.space_polish import dual_tilt, polish, tile_state
from heatrd.sources import (
    Atoms,
    Banana,
    Box,
    Disc,
    GaussianMixture,
    MultivariateT,
    NoisySphere,
    Pinwheel,
    Polygon,
    TwoMoons,
)


def cloud(seed, n, d, spread=3.0):
    rng = np.random.default_rng(seed)
    return spread * rng.standard_normal((n, d)), rng.random(n) + 0.1


def test_interior_point_solves_the_weights():
    """KKT conditions on fixed points: c ≤ 1, and c = 1 where there is weight."""
    x, mu = cloud(7, 120, 2, spread=2.0)
    tiles = make_tiles(x, mu / mu.sum())
    points = np.stack(np.meshgrid(np.arange(-4.0, 5), np.arange(-4.0, 5)), axis=-1).reshape(-1, 2)
    mass = np.full(len(points), 1.0 / len(points))
    found = optimal_weights(lambda w: tile_hessian(tiles, points, w), mass, mass, tol=1e-11)
    c, _ = tile_hessian(tiles, points, found.weights)
    assert c.max() < 1 + 1e-7
    np.testing.assert_allclose(c[found.active], 1.0, atol=1e-6)
    assert (~found.active).sum() > 20


def test_polish_state_matches_finite_differences():
    x, mu = cloud(8, 60, 2)
    tiles = make_tiles(x, mu / mu.sum())
    y, w = cloud(9, 4, 2)
    w = w / w.sum()
    state = tile_state(tiles, y, w)
    h = 1e-5

    def objective(theta):
        return tile_state(tiles, y + theta[:, 1:], w * np.exp(theta[:, 0])).objective

    gradient, hessian = np.zeros(12), np.zeros((12, 12))
    for i in range(12):
        e = np.zeros(12)
        e[i] = h
        gradient[i] = (objective(e.reshape(4, 3)) - objective(-e.reshape(4, 3))) / (2 * h)
        for j in range(12):
            f = np.zeros(12)
            f[j] = 1e-4
            g = e * 10
            hessian[i, j] = (
                objective((g + f).reshape(4, 3))
                - objective((g - f).reshape(4, 3))
                - objective((f - g).reshape(4, 3))
                + objective((-g - f).reshape(4, 3))
            ) / (4 * 1e-8)
    root = np.repeat(np.sqrt(w), 3)
    mine = np.column_stack([1 - state.c, -state.gradient]) * w[:, None]
    np.testing.assert_allclose(mine.ravel(), gradient, atol=1e-9)
    mine = np.tril(state.second()[0] * np.outer(root, root))
    np.testing.assert_allclose(mine, np.tril(hessian), atol=2e-6)


def test_polish_leaves_a_saddle():
    """One atom between two far clusters is a saddle in position and weight once it is split in two equal halves."""
    x = np.array([[-2.0, 0.0], [2.0, 0.0]])
    tiles = make_tiles(x, np.array([0.5, 0.5]))
    y = np.array([[0.0, 0.0], [0.0, 0.0]])
    result = polish(partial(tile_state, tiles), y, np.array([0.5, 0.5]), iterations=60)
    assert result.residual < 1e-9
    assert np.ptp(result.points[:, 0]) > 3.0


@pytest.mark.parametrize(
    ("source", "share"),
    [(TwoMoons(0.1), 0.2), (Polygon([[0, 0], [2, 0], [2, 2], [1, 0.5], [0, 2]]), 0.4)],
)
def test_gap_in_the_plane(source, share):
    epsilon = share * np.linalg.eigvalsh(source.covariance)[-1]
    certificate, regime = space.reconstruct(source, epsilon)
    assert regime == "atomic"
    assert 0 <= certificate.gap <= 1e-8
    # an independent sum: F of the law over another quadrature, and c on a fine lattice
    points, weights, *_ = source.nodes(0.17 * np.sqrt(epsilon), 1e-14)
    law = certificate.law
    log_z, _ = reference.log_mixture(points, law.points, np.log(law.weights), epsilon)
    value = -float(weights @ log_z) / weights.sum()
    assert certificate.lagrangian_lower - 1e-12 <= value <= certificate.lagrangian + 1e-12
    root = np.sqrt(epsilon)
    lattice = np.stack(np.meshgrid(*(np.linspace(a, b, 90) for a, b in zip(points.min(0), points.max(0)))), -1)
    c, _, _ = reference.gaussian_sum(points / root, weights * np.exp(-log_z), lattice.reshape(-1, 2)[::7] / root)
    assert c.max() <= np.exp(certificate.log_sup) + 1e-9


def test_mixture_beyond_its_class_with_tails():
    source = GaussianMixture([0.5, 0.5], [[-1.0, 0.0], [1.0, 0.3]], [np.diag([0.2, 0.5]), np.diag([0.4, 0.15])])
    epsilon = 0.4
    assert epsilon > source.critical_epsilon()
    certificate, regime = space.reconstruct(source, epsilon)
    assert regime == "atomic"
    assert certificate.gap <= 1e-8
    assert certificate.discretisation <= certificate.gap


def test_backward_heat_class_equals_the_shannon_bound():
    source = GaussianMixture([0.4, 0.6], [[0.0, 0.0], [1.5, 1.0]], [np.diag([0.5, 0.6]), np.diag([0.7, 0.4])])
    epsilon = 0.3
    certificate, regime = space.reconstruct(source, epsilon)
    points = np.stack(np.meshgrid(np.arange(-7, 9, 0.1), np.arange(-7, 8, 0.1), indexing="ij"), -1).reshape(-1, 2)
    log_f = source.log_density(points)
    entropy = -float(np.exp(log_f) @ log_f) * 0.01
    assert regime == "backward-heat"
    assert certificate.distortion == pytest.approx(2 * epsilon, abs=1e-9)
    slb = entropy - np.log(2 * np.pi * epsilon)
    assert certificate.lagrangian_lower - 1e-11 <= slb <= certificate.lagrangian + 1e-11
    assert certificate.gap < 1e-9


def test_space_agrees_with_radius_and_product():
    """Three solvers that share only the certificate's Chebyshev bound."""
    for source, other, epsilon in [
        (Disc(), radial.reconstruct, 0.1),
        (NoisySphere(2), radial.reconstruct, 0.4),
        (Box(), product.reconstruct, 0.1),
    ]:
        mine, _ = space.reconstruct(source, epsilon, tol=1e-6)
        theirs, _ = other(source, epsilon)
        assert mine.gap <= 1e-6
        assert theirs.gap <= 1e-9
        assert mine.lagrangian_lower <= theirs.lagrangian
        assert theirs.lagrangian_lower <= mine.lagrangian


def test_three_dimensions():
    rng = np.random.default_rng(11)
    source = Atoms(rng.standard_normal((200, 3)) * [1.0, 0.7, 0.4])
    certificate, _ = space.reconstruct(source, 0.3)
    assert certificate.gap <= 1e-6
    assert certificate.law.dim == 3
    assert certificate.discretisation == 0


def test_maximum_on_a_slanting_ridge_is_found():
    """No grid point is near it: the bound of c tells that something was missed, and the denser search finds it."""
    x = np.random.default_rng(0).standard_normal((2000, 3)) * [1.0, 0.8, 0.5]
    source = heatrd.from_samples(x, method="atoms")
    epsilon = 0.5 * np.linalg.eigvalsh(source.covariance)[-1]
    found, _ = space.reconstruct(source, epsilon)
    assert found.gap <= 1e-6
    problem = space_problem(source, epsilon)
    without = problem.scaled(found.law.points[:-1]), found.law.weights[:-1]
    check = check_nodes(problem.tiles, *without, 1e-8, repair=False)
    assert np.log1p(check.excess.max()) == pytest.approx(check.log_sup, rel=1e-3)


def test_ring_point_of_the_issue():
    exact = 2.5406304809
    source = NoisySphere(2, 1.0, 0.1**0.5)
    circle = 2 * np.pi * np.arange(64) / 64
    certificate = certify_law(source, as_law(np.stack([np.cos(circle), np.sin(circle)], 1)), 0.1)
    assert certificate.lagrangian_lower - 1e-9 <= exact <= certificate.lagrangian + 1e-9
    assert certificate.gap < 1e-9


def test_certificate_of_a_bad_law_still_encloses_the_truth():
    exact = 2.5406304809
    source = NoisySphere(2, 1.0, 0.1**0.5)
    rng = np.random.default_rng(0)
    angle = rng.uniform(0, 2 * np.pi, 40)
    law = as_law(np.stack([np.cos(angle), np.sin(angle)], 1) * rng.uniform(0.9, 1.1, (40, 1)))
    plain = certify_law(source, law, 0.1, repair=False)
    repaired = certify_law(source, law, 0.1, repair=True)
    for certificate in (plain, repaired):
        assert certificate.lagrangian_lower <= exact <= certificate.lagrangian
    assert repaired.gap < plain.gap
    assert plain.gap == pytest.approx(plain.log_sup + plain.discretisation, rel=1e-3)


@pytest.mark.parametrize("repair", [False, True])
def test_a_law_far_away_proves_nothing_wrong(repair):
    """c beyond the range of floating point: its bound must not be cut short."""
    source = Polygon()
    certificate = certify_law(source, as_law([[30.0, 30.0]]), 0.1, accuracy=1e-6, repair=repair)
    good = certify_law(source, as_law(source.nodes(0.3, 0.0)[0]), 0.1, accuracy=1e-6, repair=False)
    assert certificate.lagrangian > 5e3
    assert certificate.lagrangian_lower <= good.lagrangian


def test_tilted_dual_is_nearer_than_the_law():
    """Atoms a little off their places: the law's own c misses by the shift, the tilted one by its square."""
    rng = np.random.default_rng(3)
    problem = space_problem(Polygon(), 0.25)
    best, _ = space.reconstruct(Polygon(), 0.25)
    atoms = problem.scaled(best.law.points) + 1e-5 * rng.standard_normal(best.law.points.shape)
    weights = best.law.weights * (1 + 1e-5 * rng.standard_normal(best.law.size))
    plain = check_nodes(problem.tiles, atoms, weights, 1e-12)
    tilt = dual_tilt(problem.tiles, atoms, weights / weights.sum(), 1e-9)
    tilted = check_nodes(problem.tiles, atoms, weights, 1e-12, tilt=tilt)
    assert tilted.gap < 0.05 * plain.gap
    assert plain.lower <= tilted.lower <= best.lagrangian


def test_cap_costs_what_it_may():
    x, mu = cloud(18, 500, 2, spread=2.0)
    tiles = make_tiles(x, mu / mu.sum())
    measured = Measured(tiles, None, np.zeros((1, 2)), np.zeros(1), 1e-9)
    before = measured.supremum().log
    measured.cap(0.1)
    assert 0.05 < measured.integrals(measured.log_s)[0] <= 0.1
    assert measured.supremum().log < before


def test_law_of_the_coarse_quadrature_must_hold_on_the_fine_ones():
    """Here the first law that the coarse quadrature finds is 1.7e-8 short on the two fine ones."""
    source = Polygon()
    certificate, _ = space.reconstruct(source, 0.05 * np.linalg.eigvalsh(source.covariance)[-1])
    assert certificate.gap <= 1e-8


def test_zero_rate_and_warm_start():
    source = Polygon()
    top = np.linalg.eigvalsh(source.covariance)[-1]
    silent, regime = space.reconstruct(source, 1.6 * top)
    assert regime == "zero-rate"
    assert silent.rate <= 1e-8
    first, _ = space.reconstruct(source, 0.5 * top)
    warm, _ = space.reconstruct(source, 0.45 * top, start=first.law)
    cold, _ = space.reconstruct(source, 0.45 * top)
    assert warm.gap <= 1e-8
    assert warm.lagrangian == pytest.approx(cold.lagrangian, abs=2e-8)


@settings(max_examples=6)
@given(seed=st.integers(0, 10**6), angle=st.floats(0.1, 3.0), log_scale=st.floats(-6, 6))
def test_invariances(seed, angle, log_scale):
    """Rotation, translation and scaling of the source; the order of samples."""
    rng = np.random.default_rng(seed)
    x = rng.standard_normal((40, 2)) * [1.0, 0.5]
    epsilon = 0.25
    base, _ = space.reconstruct(Atoms(x), epsilon)
    c, s = np.cos(angle), np.sin(angle)
    a = 10.0**log_scale
    moved, _ = space.reconstruct(Atoms(a * (x @ np.array([[c, -s], [s, c]]) + [3.0, -1.0])), epsilon * a * a)
    assert base.gap <= 1e-8
    assert moved.gap <= 1e-8
    assert moved.lagrangian == pytest.approx(base.lagrangian, abs=2e-8)
    assert moved.distortion == pytest.approx(a * a * base.distortion, rel=1e-3)
    shuffled, _ = space.reconstruct(Atoms(rng.permutation(x)), epsilon)
    assert shuffled.lagrangian == base.lagrangian
    np.testing.assert_array_equal(shuffled.law.points, base.law.points)


def test_public_entry():
    point = heatrd.solve(TwoMoons(0.2), distortion=0.5)
    assert point.distortion == pytest.approx(0.5, rel=1e-6)
    assert point.gap <= 1e-8
    assert point.reconstruction.points.shape[1] == 2
    assert point.rate_lower <= point.rate


def test_refusals():
    with pytest.raises(InvalidInput, match="positive"):
        space.reconstruct(Polygon(), -1.0)
    with pytest.raises(InvalidInput, match="R\\^3"):
        certify_law(Polygon(), as_law(np.zeros((1, 3))), 0.1)
    with pytest.raises(TooLarge):
        space.reconstruct(GaussianMixture([0.5, 0.5], [[0, 0], [1, 0]], [np.eye(2), 2 * np.eye(2)]), 1e-6)


def test_second_quadrature_sees_a_coarse_first_one():
    source = Polygon()
    law = as_law(np.array([[0.0, 0.0], [0.5, 0.0]]))
    coarse = space_problem(source, 0.01, spacing=2.0)
    check = check_nodes(coarse.tiles, coarse.scaled(law.points), law.weights, 1e-6, repair=False, finer=coarse.finer)
    fine = space_problem(source, 0.01, spacing=0.3)
    good = check_nodes(fine.tiles, fine.scaled(law.points), law.weights, 1e-6, repair=False, finer=fine.finer)
    assert check.difference > 10 * good.difference
    assert abs(check.objective - good.objective) <= 3 * check.difference + 1e-9


def test_memory_is_predicted_before_the_start(monkeypatch):
    problem = space_problem(Polygon(), 0.05)
    needed = space.predicted_bytes(problem, problem.tiles, 200, 1e-9)
    assert 8 * 3 * 200**2 < needed < 2**30
    assert space.predicted_bytes(problem, problem.tiles, 6000, 1e-9) > 8 * 3 * 6000**2
    monkeypatch.setattr(space_shape, "MEMORY", needed // 100)
    with pytest.raises(TooLarge, match="GiB would be needed"):
        space.reconstruct(Polygon(), 0.05)


def test_tails_widen_both_bounds():
    """Beyond the nodes −log Z ≤ ‖x − y‖²/2ε − log w for any atom y: energy/ε and mass·(R² − log w) above, mass below.

    R is the longest way from a node to its nearest atom, looked up tile by tile (of side 3).
    """
    import dataclasses

    source = GaussianMixture(None, [[-1.0, 0.0], [1.0, 0.0]], np.eye(2))
    law, problem = heatrd.solve(source, epsilon=0.5, tol=1e-4).reconstruction, space_problem(source, 0.5)
    atoms, weights = problem.scaled(law.points), law.weights
    check = check_nodes(problem.tiles, atoms, weights, 1e-8, finer=problem.finer)
    bare, wide = (
        space_certificate.as_certificate(
            dataclasses.replace(problem, nodes=dataclasses.replace(problem.nodes, tail_mass=mass, tail_energy=energy)),
            check,
            atoms,
            weights,
        )
        for mass, energy in ((0.0, 0.0), (1e-3, 0.2))
    )
    ways = np.linalg.norm(problem.tiles.points[:, None] - atoms, axis=2).min(axis=1).max()
    least, most = (0.2 / 0.5 + 1e-3 * (r**2 - np.log(weights.min())) for r in (ways, ways + 3 * np.sqrt(2)))
    assert least <= wide.lagrangian - bare.lagrangian <= most
    lost = bare.lagrangian_lower - wide.lagrangian_lower
    assert bare.lagrangian_lower > 0.1 and lost == pytest.approx(1e-3 * (1 + check.objective), rel=1e-9)


@pytest.mark.parametrize("df", [4.0, 8.0])
def test_both_quadratures_of_a_heavy_tail_reach_equally_far(df):
    """A cut set by the number of nodes must not move in as the second quadrature gets finer."""
    source = MultivariateT(df, [0.0, 1.0], [[1.0, 0.3], [0.3, 0.5]])
    problem = space_problem(source, 4.0)
    assert problem.finer.size > 1.2 * problem.tiles.size
    first, second = (np.abs(tiles.points).max() for tiles in (problem.tiles, problem.finer))
    assert second == pytest.approx(first, rel=0.02)
    assert problem.nodes.tail_mass < 1e-4


def test_heavy_tail_off_the_axes_gives_an_honest_interval():
    source = MultivariateT(10.0, [0.0, 1.0], [[1.0, 0.3], [0.3, 0.5]])
    certificate, _ = space.reconstruct(source, 1.0)
    assert certificate.gap < 5e-4
    assert certificate.lagrangian >= source.entropy() - np.log(2 * np.pi)  # Shannon


def test_sweeps_never_raise_the_objective_and_bring_a_stray_tail_atom_home():
    x, mu = cloud(30, 400, 2, spread=1.5)
    tiles = make_tiles(np.concatenate([x, [[9.0, 9.0]]]), np.append(mu / mu.sum(), 1e-9))
    y, w = np.array([[0.0, 0.0], [1.0, -1.0], [7.5, 8.0]]), np.array([0.6, 0.4, 1e-10])
    states = [tile_state(tiles, y, w)]

    def evaluate(points, weights):
        states.append(tile_state(tiles, points, weights))
        return states[-1]

    assert states[0].worst() > 1
    swept = space_polish._swept(evaluate, states[0])
    objectives = [state.objective for state in states]
    assert all(b <= a + 1e-14 for a, b in pairwise(objectives))
    np.testing.assert_allclose(swept.points[2], [9.0, 9.0], atol=0.3)


def test_out_of_time_the_bounds_reached_so_far_are_returned():
    source = Banana()
    full, _ = space.reconstruct(source, 0.2)
    early, _ = space.reconstruct(source, 0.2, seconds=0.0)
    assert full.gap <= 1e-8 < early.gap < 1
    assert early.lagrangian_lower <= full.lagrangian and full.lagrangian_lower <= early.lagrangian


def test_where_the_two_quadratures_differ_the_spacing_is_refined():
    """Half of an arm that crosses the origin, where the twist is not smooth: the difference alone was 3e-8."""
    source = Pinwheel(arms=2, radial=0.4988, tangential=0.173, twist=0.3853)
    point = heatrd.solve(source, epsilon=0.1551 * float(np.linalg.eigvalsh(source.covariance)[-1]))
    assert point.certified and point.certificate.discretisation < 0.5e-8


def test_a_refinement_that_does_not_fit_loses_nothing(monkeypatch):
    source = Pinwheel(arms=2, radial=0.4988, tangential=0.173, twist=0.3853)
    given = space.space_problem

    def small(source, epsilon, *, spacing=0.3):
        if spacing < 0.3:
            raise TooLarge("too many nodes", 1)
        return given(source, epsilon, spacing=spacing)

    monkeypatch.setattr(space, "space_problem", small)
    certificate, regime = space.reconstruct(source, 0.1551 * float(np.linalg.eigvalsh(source.covariance)[-1]))
    assert regime == "atomic" and 1e-8 < certificate.gap < 1e-7


def test_a_cap_that_may_cost_nothing_caps_nothing():
    """At the highest node of the first quadrature it cost 9e-7 under one whose nodes reach nearer the edge."""
    near, far = (make_tiles(np.array([[0.0, 0.0], [reach, 0.0]]), np.array([0.7, 0.3])) for reach in (2.0, 2.1))
    measured = Measured(near, far, np.zeros((1, 2)), np.zeros(1), 1e-10)
    measured.cap(1e-9)
    assert not any(s.any() for s in measured.log_s)
    measured.cap(0.7)
    assert all(s.any() for s in measured.log_s)
