"""The convex problem of local moments: its kernels, its optimality, and what its dual proves."""

import numpy as np
import pytest

from heatrd.certificate.space import space_problem
from heatrd.certificate.space_dual import Tilt, check_nodes
from heatrd.kernels import moments as kernels
from heatrd.kernels.gram import scatter_gram
from heatrd.quadrature.tiles import make_tiles, near_atoms
from heatrd.reconstruction import space, space_exchange
from heatrd.reconstruction.space_moments import optimal_moments
from heatrd.reconstruction.space_polish import dual_tilt
from heatrd.sources import GaussianMixture, Polygon


def three_components():
    """A mixture without symmetry; its critical ε is 0.138."""
    covariances = [[[0.3, 0.1], [0.1, 0.2]], [[0.2, -0.05], [-0.05, 0.4]], [[0.25, 0.0], [0.0, 0.15]]]
    return GaussianMixture([0.3, 0.4, 0.3], [[-1.0, 0.2], [0.8, 0.9], [0.5, -1.1]], covariances)


def features(xi):
    """f of the kernels' head, written out: (…, d) → (…, q)."""
    d = xi.shape[-1]
    second = [xi[..., k] * xi[..., m] - (k == m) for k in range(d) for m in range(k, d)]
    half = [0.5 if k == m else 1.0 for k in range(d) for m in range(k, d)]
    first = [np.ones(xi.shape[:-1]), *np.moveaxis(xi, -1, 0)]
    return np.stack([*first, *(h * s for h, s in zip(half, second))], axis=-1)


def cloud(seed, n, d):
    rng = np.random.default_rng(seed)
    return 1.5 * rng.standard_normal((n, d)), rng.random(n) / n


@pytest.mark.parametrize("d", [1, 2, 3, 4])
def test_kernels_match_their_twins(d):
    (x, mu), (y, w) = cloud(1, 70, d), cloud(2, 9, d)
    tiles, size = make_tiles(x, mu), (d + 1) * (d + 2) // 2
    u = np.zeros((len(y), size))
    u[:, 0], u[:, 1 : 1 + d] = 1.0, 0.01 * y
    f = features(tiles.points[:, None] - y)
    k = np.exp(-0.5 * ((tiles.points[:, None] - y) ** 2).sum(axis=2))
    z = (k * (f * (w[:, None] * u)).sum(axis=2)).sum(axis=1)
    assert (z > 0).all()
    np.testing.assert_allclose(Tilt(y, np.log(w), u).log_sum(tiles), np.log(z), rtol=1e-11, atol=1e-11)
    near, shares = near_atoms(tiles, y, np.log(w)), k / z[:, None]
    gradient = np.zeros((len(y), size))
    kernels.moment_gradient(tiles.points, tiles.weights, tiles.starts, y, np.log(w), np.log(z), *near, 60.0, gradient)
    np.testing.assert_allclose(gradient, np.einsum("i,ij,ijq->jq", tiles.weights, shares, f), rtol=1e-10, atol=1e-11)
    some = np.array([1, 4, 7])
    out = np.empty((tiles.size, 3 * size))
    kernels.moment_features(tiles.points, tiles.weights, y, np.log(w), np.log(z), some, 60.0, out)
    rows = np.sqrt(tiles.weights)[:, None, None] * shares[:, some, None] * f[:, some]
    np.testing.assert_allclose(out, rows.reshape(tiles.size, -1), rtol=1e-10, atol=1e-12)
    gram = np.zeros((len(y) * size,) * 2)
    scatter_gram(out.T @ out, some, size, gram)
    where = (some[:, None] * size + np.arange(size)).ravel()
    lower = np.tril(np.kron(np.ones((3, 3)), np.ones((size, size))))
    blocks = np.kron(np.tril(np.ones((3, 3))), np.ones((size, size)))
    np.testing.assert_allclose(gram[np.ix_(where, where)] * lower, (out.T @ out) * blocks * lower, atol=1e-12)
    transform = np.random.default_rng(3).standard_normal((len(y), size, size))
    kernels.transform_blocks(gram, transform)
    moved = np.einsum("jba,ijb->ija", transform[some], rows).reshape(tiles.size, -1)
    np.testing.assert_allclose(gram[np.ix_(where, where)] * lower, (moved.T @ moved) * lower, rtol=1e-10, atol=1e-11)


def test_sum_that_is_not_positive_is_no_dual_point():
    tiles = make_tiles(np.array([[0.0, 0.0], [3.0, 0.0]]), np.full(2, 0.5))
    steep = Tilt(np.zeros((1, 2)), np.zeros(1), np.array([[1.0, -1.0, 0.0, 0.0, 0.0, 0.0]]))
    values = steep.log_sum(tiles)
    assert values[0] == 0.0
    assert np.isnan(values[1])


def test_moments_find_the_places_of_atoms():
    """Centres off the atoms: the means return to them, nothing is spread, and the dual certifies."""
    problem = space_problem(Polygon(), 0.25)
    best, _ = space.reconstruct(Polygon(), 0.25)
    atoms, weights = problem.scaled(best.law.points), best.law.weights
    rng = np.random.default_rng(4)
    mass = np.full(len(weights), 0.1)
    before = np.inf
    for shift in (2e-2, 2e-3):
        away = atoms + shift * rng.uniform(-0.5, 0.5, atoms.shape)
        found = optimal_moments(problem.tiles, away, weights, mass, np.full(len(weights), 10 * shift), tol=1e-12)
        points, masses = found.law()
        apart = np.sqrt(((points[:, None] - atoms) ** 2).sum(axis=2)).min(axis=1)
        assert masses.sum() == pytest.approx(1.0, abs=1e-9)
        assert found.complementarity <= 1e-12
        assert len(points) == len(atoms)
        assert apart.max() < 0.1 * min(shift, before)
        before = apart.max()
    check = check_nodes(problem.tiles, atoms, weights, 1e-11, tilt=found.dual(), repair=True)
    assert check.gap < 1e-9


def test_moments_prove_more_than_the_tilt_where_atoms_are_superfluous():
    """Each atom given twice, side by side: Newton's tilt asks too much of them, the moments do not."""
    problem = space_problem(Polygon(), 0.25)
    best, _ = space.reconstruct(Polygon(), 0.25)
    atoms, weights = problem.scaled(best.law.points), best.law.weights
    twice, halves = np.concatenate([atoms + 0.03, atoms - 0.03]), np.tile(0.5 * weights, 2)
    tilted = check_nodes(problem.tiles, twice, halves, 1e-10, tilt=dual_tilt(problem.tiles, twice, halves, 1e-9))
    found = optimal_moments(problem.tiles, twice, halves, np.full(len(twice), 0.1), np.full(len(twice), 0.1), tol=1e-11)
    proved = check_nodes(problem.tiles, twice, halves, 1e-10, tilt=found.dual())
    assert proved.lower <= best.lagrangian
    assert best.lagrangian - proved.lower < 0.1 * (best.lagrangian - tilted.lower)


def test_exchange_settles_beside_the_critical_epsilon(monkeypatch):
    """Atoms in flat valleys, which Newton's steps merge too slowly: eight rounds are enough."""
    monkeypatch.setattr(space_exchange, "_CYCLES", 8)
    found, regime = space.reconstruct(three_components(), 0.1548)
    assert regime == "atomic"
    assert found.gap <= 1e-8
