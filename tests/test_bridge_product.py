"""Bridges of products: block by block they are what the joint computation gives, in any dimension."""

import numpy as np
import pytest

import heatrd
from heatrd.bridge import ProductBridge, SchrodingerBridge
from heatrd.bridge import product as module
from heatrd.errors import InvalidInput
from heatrd.sources import Box, Gaussian, GaussianMixture, Laplace, Product, Uniform
from heatrd.tec import tec_account


def joint(solution):
    """The same bridge from the listed points of both laws."""
    mu, nu = (
        heatrd.as_law(law.points, law.weights) for law in (solution.certificate.quadrature, solution.reconstruction)
    )
    return SchrodingerBridge(mu, nu, solution.epsilon, source=solution.source)


@pytest.fixture(scope="module")
def plane():
    """Three atoms times two."""
    return heatrd.solve(Product([Uniform(-2.0, 2.0), Uniform(-1.0, 1.8)]), epsilon=0.5, tol=1e-6)


@pytest.mark.parametrize("t", [0.3, 0.8])
def test_evaluates_like_the_joint_bridge(plane, t):
    block_by_block, together = plane.bridge, joint(plane)
    assert isinstance(block_by_block, ProductBridge)
    assert not isinstance(together, ProductBridge)
    x = plane.source.sample(8, 1)
    names = ("log_potential", "log_copotential", "log_density", "control", "backward_control", "velocity", "score")
    for name in (*names, "posterior_mean"):
        one, two = (getattr(bridge, name)(t, x) for bridge in (block_by_block, together))
        np.testing.assert_allclose(one, two, rtol=1e-9, atol=1e-9, err_msg=name)
    assert block_by_block.log_density(0.0, x) == pytest.approx(plane.source.log_density(x))


def test_ends_like_the_joint_bridge(plane):
    one, two = plane.bridge, joint(plane)
    np.testing.assert_allclose(one.terminal.points, two.terminal.points, atol=1e-14)
    np.testing.assert_allclose(one.terminal.weights, two.terminal.weights, rtol=1e-9, atol=1e-14)
    assert one.mu.weights @ one.log_phi0 == pytest.approx(two.mu.weights @ two.log_phi0, abs=1e-9)
    for call in (one.log_density, one.control):
        with pytest.raises(InvalidInput, match="atomic"):
            call(1.0, [[0.0, 0.0]])


@pytest.mark.parametrize("listed", [1_000_000, 100])
def test_quadrature_has_the_moments_of_the_coupling(plane, listed, monkeypatch):
    """E X_t = E X, and E‖X_t − X_0‖² between the ends, whether the nodes are combined or on a lattice."""
    monkeypatch.setattr(module, "_LISTED", listed)
    bridge = plane.bridge
    if listed < 1000:
        bridge.mu = heatrd.as_law(plane.certificate.quadrature.points, plane.certificate.quadrature.weights)
    for t in (0.3, 0.7):
        law = bridge.quadrature(t)
        assert law.weights.sum() == pytest.approx(1, abs=1e-7)
        np.testing.assert_allclose(law.mean, plane.source.mean, atol=1e-6)
        # X_t = (1 − t) X_0 + t X_1 + √(εt(1−t)) Z, and X_1 = E[X_0 | X_1] makes Cov(X_0, X_1) = Cov X_1
        first, last = np.diag(plane.source.covariance), np.diag(plane.reconstruction.covariance)
        expected = (1 - t) ** 2 * first + (1 - (1 - t) ** 2) * last + t * (1 - t) * plane.epsilon
        np.testing.assert_allclose(np.diag(law.covariance), expected, rtol=1e-5)


@pytest.mark.parametrize("method", ["potentials", "quadrature"])
def test_account_is_the_joint_one(plane, method):
    """Against the trapezoidal rule in the plane, over the joint bridge's density."""
    account, together, t = tec_account(plane, method=method, times=[0.6]), joint(plane), 0.6
    axes = np.arange(-4.5, 4.51, 0.1), np.arange(-3.5, 4.31, 0.1)
    x = np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1).reshape(-1, 2)
    phi, hat = together.log_potential(t, x), together.log_copotential(t, x)
    mass = 0.01 * np.exp(phi + hat)
    start = together.mu.weights @ together.log_phi0
    assert mass.sum() == pytest.approx(1, abs=1e-9)
    assert float(account.energy) == pytest.approx(mass @ phi - start, abs=1e-7)
    assert float(account.entropy) == pytest.approx(-mass @ (phi + hat), abs=1e-7)
    assert account.initial_entropy == pytest.approx(np.log(4.0 * 2.8))
    assert account.balance == pytest.approx(0.0, abs=1e-7)
    assert account.optimum == pytest.approx(-start, abs=1e-7)


def test_account_is_the_sum_of_the_blocks_accounts(plane):
    together = tec_account(plane, method="quadrature", until=0.9)
    parts = [
        tec_account(heatrd.solve(block, epsilon=0.5, tol=5e-7), method="quadrature", until=0.9)
        for block in plane.source.components
    ]
    np.testing.assert_allclose(together.energies, sum(p.energies for p in parts), rtol=1e-7)
    np.testing.assert_allclose(together.entropies, sum(p.entropies for p in parts), rtol=1e-6)
    assert together.optimum == pytest.approx(sum(p.optimum for p in parts), abs=1e-6)
    assert together.balance == pytest.approx(0.0, abs=1e-6)


@pytest.mark.parametrize(
    "source, epsilon",
    [
        (Gaussian([0.0, 1.0], [[1.0, 0.5], [0.5, 2.0]]), 1.0),
        (Product([GaussianMixture([0.4, 0.6], [-1.0, 2.0], [0.5, 1.0]), GaussianMixture(None, [0.0, 3.0], 0.7)]), 0.3),
    ],
    ids=["one coordinate collapses", "two mixtures"],
)
def test_paths_agree_with_quadrature(source, epsilon):
    solution = heatrd.solve(source, epsilon=epsilon, tol=1e-6)
    exact = tec_account(solution, method="quadrature", times=[0.7])
    drawn = tec_account(solution, method="paths", times=[0.7], n_paths=1 << 15)
    for name in ("energy", "entropy", "total"):
        found = getattr(drawn, name)
        assert 0 < found.stderr < 0.02
        assert abs(float(found) - float(getattr(exact, name))) < 4.5 * found.stderr
    ends = heatrd.sample(solution, 1 << 15, 1, scheme="exact", rng=1)
    assert abs(float(ends.distortion) - solution.distortion) < 4.5 * ends.distortion.stderr
    between = np.corrcoef(ends.terminal.T)[0, 1]
    wanted = solution.bridge.reconstruction.covariance
    assert between == pytest.approx(wanted[0, 1] / np.sqrt(wanted[0, 0] * wanted[1, 1]), abs=0.03)


def test_ten_dimensions():
    solution = heatrd.solve(Box([-1.0] * 10, [1.0] * 10), epsilon=0.1)
    account = tec_account(solution)
    assert account.total == pytest.approx(account.optimum, abs=1e-8)
    assert solution.bridge.control(0.5, np.zeros((3, 10))).shape == (3, 10)
    paths = heatrd.sample(solution, 64, 4, rng=0)
    assert paths.terminal.shape == (64, 10)


def test_a_constant_direction_is_a_bridge_between_points():
    """X = (Z, Z): across the diagonal nothing moves, and no density is finite."""
    solution = heatrd.solve(Gaussian([0.0, 1.0], [[1.0, 1.0], [1.0, 1.0]]), epsilon=0.5)
    bridge = solution.bridge
    along, across = np.array([[0.3, 1.3]]), np.array([[0.1, -0.1]])
    t, line = 0.4, heatrd.solve(Gaussian(0.0, 2.0), epsilon=0.5).bridge
    spread = 0.5 * t * (1 - t)
    density = line.density(t, [0.3 * np.sqrt(2)]) * np.exp(-0.5 * 0.02 / spread) / np.sqrt(2 * np.pi * spread)
    np.testing.assert_allclose(bridge.density(t, along + across), density, rtol=1e-9)
    np.testing.assert_allclose(bridge.control(t, along + across) @ [1, -1], -0.2 / (1 - t), rtol=1e-9)
    for method in ("potentials", "quadrature", "paths"):
        account = tec_account(solution, method=method, times=[0.5], n_paths=1 << 12)
        assert float(account.excess) == np.inf
        assert account.initial_entropy == -np.inf
    exact = tec_account(solution, method="potentials", times=[0.5])
    assert exact.total == pytest.approx(tec_account(solution, method="quadrature", times=[0.5]).total, abs=1e-6)


def test_products_of_products_are_taken_apart():
    nested = heatrd.solve(Product([Box([-1.0, -1.0], [1.0, 1.0]), Laplace()]), epsilon=0.3, tol=1e-6).bridge
    flat = heatrd.solve(Product([Uniform(-1.0, 1.0), Uniform(-1.0, 1.0), Laplace()]), epsilon=0.3, tol=1e-6).bridge
    assert len(nested.factors) == 3
    assert nested.factors[0] is nested.factors[1]
    x = np.array([[0.2, -0.4, 1.0]])
    np.testing.assert_allclose(nested.control(0.4, x), flat.control(0.4, x), atol=1e-4)
