"""Newton systems of atoms: factors by panels, Gram matrices without empty columns, lattice nodes within a density."""

from __future__ import annotations

import time
from functools import partial

import numpy as np
import pytest
import reference

from heatrd.certificate.space import certify_law, space_problem
from heatrd.laws import DiscreteLaw
from heatrd.quadrature.space import _finish, space_nodes
from heatrd.quadrature.tiles import make_tiles
from heatrd.reconstruction import cholesky, space, space_interior, space_shape
from heatrd.reconstruction.cholesky import factorised
from heatrd.reconstruction.space_interior import optimal_weights, posterior_gram
from heatrd.reconstruction.space_polish import dual_tilt, polish, tile_state
from heatrd.sources import Banana, Disc, GaussianMixture


def local_matrix(m: int, size: int, seed: int, scales: bool = False) -> np.ndarray:
    """A positive matrix of blocks of atoms scattered along a strip, zero beyond distance one."""
    rng = np.random.default_rng(seed)
    y = rng.uniform([0, 0], [m / 8, 1], (m, 2))
    rows = rng.normal(size=(m * size, m * size))
    near = (((y[:, None] - y[None]) ** 2).sum(axis=-1) < 1).repeat(size, 0).repeat(size, 1)
    a = np.where(near, rows + rows.T, 0.0)
    a[np.diag_indices(len(a))] = np.abs(a).sum(axis=1) + 1
    root = 10.0 ** rng.uniform(-8, 8, len(a)) if scales else np.ones(len(a))
    return a * root[:, None] * root


@pytest.mark.parametrize("size", [1, 3, 4])
@pytest.mark.parametrize("scales", [False, True])
def test_a_factor_by_panels_solves_what_numpy_solves(monkeypatch, size, scales):
    monkeypatch.setattr(cholesky, "_SMALL", 10)
    monkeypatch.setattr(cholesky, "_PANEL", 16)
    a = local_matrix(60, size, seed=size, scales=scales)
    right = np.random.default_rng(1).normal(size=len(a)) * np.sqrt(np.diagonal(a))
    lower = np.tril(a)  # the upper half is not read
    factor = factorised(lower.copy(), size, shift=0.25, overwrite=False)
    assert isinstance(factor, cholesky._Panelled)
    assert len(factor.panels) > 3
    x = factor.solve(right)
    expected = a + 0.25 * np.eye(len(a))
    root = np.sqrt(np.diagonal(expected))
    np.testing.assert_allclose((expected @ x) / root, right / root, atol=1e-11)
    whole = np.linalg.solve(expected / np.outer(root, root), right / root) / root
    np.testing.assert_allclose(x * root, whole * root, rtol=1e-9, atol=1e-11)


def test_a_factor_keeps_its_matrix_where_asked_and_refuses_what_is_not_positive(monkeypatch):
    for small in (1000, 10):
        monkeypatch.setattr(cholesky, "_SMALL", small)
        a = local_matrix(60, 2, seed=5)
        before = a.copy()
        factorised(a, 2, shift=1.0, overwrite=False)
        np.testing.assert_array_equal(a, before)
        a[70, 70] = -1.0
        with pytest.raises(np.linalg.LinAlgError):
            factorised(a, 2)


def test_gram_matrices_do_not_depend_on_tiles_or_on_which_columns_are_left_out():
    source = GaussianMixture([0.5, 0.5], [[-6.0, 0, 0], [6.0, 0, 0]], [np.eye(3), np.eye(3)])
    problem = space_problem(source, 0.5, spacing=1.0)
    y = problem.scaled(source.sample(41, 3))
    w = np.full(41, 1 / 41)
    tiles = make_tiles(problem.tiles.points, problem.tiles.weights, 30.0)
    plain, second = posterior_gram(tiles, tiles.weights, y, np.log(w), 26.0, 4)
    _, p, xi = reference.posterior(tiles.points, y, w)
    g = (np.concatenate([p[:, :, None], p[:, :, None] * xi], axis=2) / np.sqrt(w)[:, None]).reshape(len(p), -1)
    np.testing.assert_allclose(np.tril(plain), np.tril((g * tiles.weights[:, None]).T @ g), atol=1e-9)
    tiles = make_tiles(problem.tiles.points, problem.tiles.weights, 3.0)
    other, second_other = posterior_gram(tiles, tiles.weights, y, np.log(w), 26.0, 4)
    np.testing.assert_allclose(np.tril(other), np.tril(plain), atol=1e-12)
    np.testing.assert_allclose(second_other, second, atol=1e-12)
    rough, _ = posterior_gram(tiles, tiles.weights, y, np.log(w), 16.0, 4, single=True)
    assert np.abs(np.tril(rough - plain)).max() > 1e-12
    np.testing.assert_allclose(np.tril(rough), np.tril(plain), atol=1e-5)


def test_one_hessian_for_all_steps_finds_the_same_dual():
    source = GaussianMixture([0.5, 0.5], [[-1.0, 0.0], [1.0, 0.3]], [0.3 * np.eye(2), 0.2 * np.eye(2)])
    problem = space_problem(source, 0.8)
    tiles = problem.tiles
    y, w = problem.scaled(np.array([[-0.9, 0.05], [0.9, 0.2]])), np.array([0.55, 0.45])
    seen = tiles.weights > 1e-4  # further out the signed law may be negative

    def log_sum(curvature, steps):
        return dual_tilt(tiles, y, w, 1e-6, curvature=curvature, steps=steps).log_sum(tiles)[seen]

    exact = log_sum(None, 8)
    before, after, later = (np.abs(log_sum(tiles, steps) - exact).max() for steps in (0, 5, 30))
    assert before > 0.1
    assert after < 0.5 * before
    assert later < 0.05 * before


def test_the_polish_looks_at_the_clock():
    problem = space_problem(Banana(), 0.4)
    y = problem.scaled(Banana().sample(8, 1))
    late = polish(partial(tile_state, problem.tiles), y, np.full(8, 0.125), deadline=time.thread_time() - 1)
    assert late.iterations == 0
    in_time = polish(partial(tile_state, problem.tiles), y, np.full(8, 0.125), deadline=time.thread_time() + 1000)
    assert in_time.iterations > 0


def test_the_polish_stops_where_it_gains_nothing():
    """The last two steps gained less than ``idle``, those before more; F is near what the whole of it reaches."""
    problem = space_problem(Disc(), 0.1)
    y, w, idle = problem.scaled(Disc().sample(6, 1)), np.full(6, 1 / 6), 1e-6
    evaluate = partial(tile_state, problem.tiles)
    done = polish(evaluate, y, w, idle=idle, iterations=60).iterations
    whole = polish(evaluate, y, w, iterations=60)
    assert done < whole.iterations
    steps = [polish(evaluate, y, w, iterations=k) for k in range(1, done + 1)]
    values = np.array([evaluate(s.points, s.weights).objective for s in steps])
    gains = values[:-2] - values[2:]
    assert gains[-1] < idle <= gains[:-1].min()
    assert values[-1] - evaluate(whole.points, whole.weights).objective < idle


def test_inner_lattice_nodes_have_all_their_neighbours():
    square = np.stack(np.meshgrid(np.arange(4), np.arange(5), indexing="ij"), axis=-1).reshape(-1, 2)
    inner = space_shape._inner(square)
    expected = (square > 0).all(axis=1) & (square < [3, 4]).all(axis=1)
    np.testing.assert_array_equal(inner, expected)
    cube = np.stack(np.meshgrid(*[np.arange(3)] * 3, indexing="ij"), axis=-1).reshape(-1, 3)
    np.testing.assert_array_equal(cube[space_shape._inner(cube)], [[1, 1, 1]])
    far = np.array([[0, 0], [10**9, 10**9]])  # no table of the box between them would fit
    assert not space_shape._inner(far).any()
    denser = space_shape._DENSE * space_shape._denser(square)
    for node in space_shape._LATTICE * square:  # each old node is surrounded
        assert (np.abs(denser - node).max(axis=1) <= space_shape._DENSE).sum() >= 4


def test_the_lightest_nodes_in_space_count_as_tails():
    source = GaussianMixture([1.0], [[0.0, 0, 0]], [np.diag([1.0, 0.5, 0.25])])
    mass = 1e-6
    nodes = space_nodes(source, 0.4, mass)
    assert mass < nodes.tail_mass <= 1.5 * mass
    fewer, more = len(nodes.points), len(space_nodes(source, 0.4, mass * 1e-3).points)
    assert fewer < more
    np.testing.assert_allclose(nodes.weights.sum(), 1.0)
    second = nodes.weights @ nodes.points**2
    np.testing.assert_allclose(second, [1.0, 0.5, 0.25], rtol=1e-4)


@pytest.mark.parametrize("d", [2, 3])
@pytest.mark.parametrize("epsilon", [1.0, 0.2])
def test_the_upper_bound_counts_the_way_from_the_tails_to_the_atoms(d, epsilon):
    """F of a point mass is tr Σ/2ε; nodes that are left out have the furthest way to it."""
    covariance = np.diag([1.0, 0.5, 0.25][:d])
    source = GaussianMixture([0.5, 0.5], np.zeros((2, d)), [covariance, covariance])
    bounds = certify_law(source, DiscreteLaw(np.zeros((1, d)), np.ones(1)), epsilon, repair=False)
    exact = np.trace(covariance) / (2 * epsilon)
    assert 0 <= bounds.lagrangian - exact < 1e-6


def test_a_law_that_starts_from_lattice_nodes_within_a_density_is_proved_too(monkeypatch):
    source = GaussianMixture([0.5, 0.5], [[-1.0, 0.0], [1.0, 0.3]], [0.6 * np.eye(2), [[0.3, 0.1], [0.1, 0.15]]])
    plain, _ = space.reconstruct(source, 0.16)
    cores = []
    inner = space_shape._inner
    monkeypatch.setattr(space_shape, "_CORE", (3, 1000))
    monkeypatch.setattr(space_shape, "_inner", lambda nodes: cores.append(inner(nodes)) or cores[-1])
    kept, _ = space.reconstruct(source, 0.16)
    assert len(cores) == 2
    assert cores[1].any()
    assert max(plain.gap, kept.gap) <= 1e-8
    assert kept.lagrangian_lower <= plain.lagrangian
    assert plain.lagrangian_lower <= kept.lagrangian


def test_one_atom_far_from_the_central_path_does_not_hold_up_the_others():
    """Its product w s/m is 10⁹ times theirs; in their mean it set the goal of them all (23 steps, not 7)."""
    source = Disc()
    tiles = space_problem(source, 0.1 * float(np.linalg.eigvalsh(source.covariance)[-1]), second=False).tiles
    axis = 1.1 * np.arange(-5, 6)
    points = np.stack(np.meshgrid(axis, axis), axis=-1).reshape(-1, 2)
    points = points[(points**2).sum(axis=1) < 36]
    even = np.full(len(points), 1 / len(points))
    odd = np.where(np.arange(len(points)) == len(points) // 2, 1e-9, 1.0) * even
    assemble = partial(space_interior.tile_hessian, tiles, points)
    found = [optimal_weights(assemble, even, mass, tol=1e-9) for mass in (even, odd)]
    assert found[1].iterations <= found[0].iterations + 2
    heavy = found[0].weights > 1e-6
    np.testing.assert_allclose(found[1].weights[heavy], found[0].weights[heavy], rtol=1e-3)


def test_mass_beyond_a_rim_that_is_trimmed_has_further_to_go():
    """Tails are counted to their nearest node; where that is left out as light, to the nearest one that stays."""
    points = np.array([[0.0, 0.0, 0.0], [1.0, 0.0, 0.0], [3.0, 0.0, 0.0]])
    weights = np.array([0.5, 0.5, 1e-10])
    found = _finish(1e-9, points, weights, 4e-10, 1e-12)
    assert len(found.points) == 2
    assert found.tail_mass == pytest.approx(5e-10)
    least = 4e-10 * 2.0**2 + 1e-10 * 2.0**2  # from the rim and from the light node to the nearest that stays
    assert least <= found.tail_energy <= 2 * (1e-12 + 4e-10 * 4) + 1e-10 * 4 + 1e-18
