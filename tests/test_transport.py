"""Entropic transport: POT, closed forms, grids against clouds, rate–distortion optima, small ε, bad input."""

import os

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import heatrd
from heatrd.errors import InvalidInput, NotConverged, TooLarge
from heatrd.laws import as_law
from heatrd.sources import Gaussian, Uniform
from heatrd.transport import sinkhorn, sinkhorn_divergence, solver

for backend in ("JAX", "PYTORCH", "TENSORFLOW", "CUPY"):  # POT would import them all
    os.environ.setdefault(f"POT_BACKEND_DISABLE_{backend}", "1")


def clouds(n, m, dim, seed):
    rng = np.random.default_rng(seed)
    return as_law(rng.random((n, dim)), rng.random(n) + 0.1), as_law(rng.random((m, dim)), rng.random(m) + 0.1)


def bumps(n, seed, dim=2):
    """Weights on a grid over the unit cube."""
    rng = np.random.default_rng(seed)
    axis = np.linspace(0, 1, n)
    grid = np.stack(np.meshgrid(*[axis] * dim, indexing="ij"), axis=-1)
    weights = np.zeros(grid.shape[:-1])
    for _ in range(3):
        weights += np.exp(-((grid - 0.2 - 0.6 * rng.random(dim)) ** 2).sum(axis=-1) / (2 * 0.1**2))
    return tuple([axis] * dim), weights / weights.sum()


def scattered(law):
    axes, weights = law
    points = np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1).reshape(-1, len(axes))
    return points, weights.ravel()


def columns_of(plan):
    return np.abs(plan.coupling.sum(axis=0) - plan.nu.weights).sum(), np.abs(
        plan.coupling.sum(axis=1) - plan.mu.weights
    ).sum()


@pytest.mark.parametrize("n,m,dim,eps", [(30, 40, 1, 0.05), (50, 20, 2, 0.02), (40, 40, 3, 0.1)])
def test_agrees_with_pot(n, m, dim, eps):
    ot = pytest.importorskip("ot")
    mu, nu = clouds(n, m, dim, n + m)
    plan = sinkhorn(mu, nu, eps, tol=1e-13)
    cost = 0.5 * ot.dist(mu.points, nu.points)
    peer = ot.sinkhorn(mu.weights, nu.weights, cost, eps, stopThr=1e-15, numItermax=100_000, warn=False)
    np.testing.assert_allclose(plan.coupling, peer, atol=1e-10)
    assert abs(plan.cost - np.sum(peer * cost)) < 1e-10


@pytest.mark.parametrize("acceleration", ["auto", "newton", "anderson", "over-relaxation", "none"])
def test_every_acceleration_reaches_the_same_plan(acceleration):
    mu, nu = clouds(60, 45, 2, 7)
    plan = sinkhorn(mu, nu, 0.02, tol=1e-12, acceleration=acceleration)
    reference = sinkhorn(mu, nu, 0.02, tol=1e-13, annealing=1.0, acceleration="none")
    np.testing.assert_allclose(plan.coupling, reference.coupling, atol=1e-13)
    assert max(columns_of(plan)) < 2e-12
    assert plan.marginal_error < 1e-12


def test_dual_value_equals_primal_value():
    mu, nu = clouds(40, 50, 2, 1)
    plan = sinkhorn(mu, nu, 0.05, tol=1e-13)
    p = plan.coupling
    cost = 0.5 * ((mu.points[:, None] - nu.points) ** 2).sum(axis=2)
    relative = np.sum(p * np.log(p / (mu.weights[:, None] * nu.weights)))
    assert abs(plan.value - (np.sum(p * cost) + 0.05 * relative)) < 1e-13
    assert abs(plan.mutual_information - relative) < 1e-10


@pytest.mark.parametrize("sigma,tau,eps", [(1.0, 0.5, 0.3), (0.4, 2.0, 1.5)])
def test_gaussians_in_closed_form(sigma, tau, eps):
    """The entropic plan of N(0, σ²), N(0, τ²) is Gaussian with covariance c, c² + εc = σ²τ² (Janati et al. 2020)."""
    covariance = 0.5 * (np.sqrt(eps**2 + 4 * sigma**2 * tau**2) - eps)
    plan = sinkhorn(Gaussian(0.0, sigma**2), Gaussian(1.0, tau**2), eps, tol=1e-12)
    assert abs(plan.distortion - (sigma**2 + tau**2 + 1 - 2 * covariance)) < 1e-9
    x = np.array([-0.7, 0.0, 1.1])
    np.testing.assert_allclose(plan.barycentric_map(x)[:, 0], 1 + covariance / sigma**2 * x, atol=1e-8)


@pytest.mark.parametrize("eps", [0.05, 1e-3, 1e-4])
def test_grid_agrees_with_the_same_points(eps):
    """Axis passes, linear and blocked, against the matrix of all pairs."""
    mu, nu = bumps(12, 1), bumps(14, 2)
    on_grid = sinkhorn(mu, nu, eps, tol=1e-10, max_iterations=20_000)
    as_points = sinkhorn(scattered(mu), scattered(nu), eps, tol=1e-10)
    assert on_grid.kernel == "GridKernel" and as_points.kernel == "DenseKernel"
    assert on_grid.f.shape == (12, 12) and on_grid.g.shape == (14, 14)
    assert abs(on_grid.value - as_points.value) < 1e-11
    np.testing.assert_allclose(on_grid.coupling, as_points.coupling, atol=2e-10)
    np.testing.assert_allclose(on_grid.barycentric_map(), as_points.barycentric_map(), atol=1e-6)


def test_streaming_agrees_with_the_matrix():
    mu, nu = clouds(50, 60, 3, 3)
    dense, streamed = sinkhorn(mu, nu, 0.05, tol=1e-12), sinkhorn(mu, nu, 0.05, tol=1e-12, dense_limit=10)
    assert streamed.kernel == "StreamKernel"
    assert abs(dense.value - streamed.value) < 1e-13
    np.testing.assert_allclose(dense.f, streamed.f, atol=1e-11)
    assert abs(dense.cost - streamed.cost) < 1e-12
    with pytest.raises(TooLarge, match="barycentric_map"):
        _ = streamed.coupling


def test_a_grid_against_a_cloud_and_in_space():
    mu, cloud = bumps(6, 4, dim=3), as_law(np.random.default_rng(0).random((20, 3)))
    plan = sinkhorn(mu, cloud, 0.05, tol=1e-12)
    assert max(columns_of(plan)) < 1e-11
    cube = sinkhorn(mu, bumps(5, 5, dim=3), 0.05, tol=1e-11)
    assert cube.kernel == "GridKernel" and max(columns_of(cube)) < 1e-10


def test_large_grid_without_a_matrix():
    mu, nu = bumps(128, 1), bumps(128, 2)
    plan = sinkhorn(mu, nu, 1e-2, tol=1e-9)
    assert plan.column_error < 1e-9 and plan.row_error < 1e-12
    small = sinkhorn(bumps(64, 1), bumps(64, 2), 1e-2, tol=1e-9)
    assert abs(plan.value - small.value) < 1e-4  # the discretisation, not the solver
    assert abs(plan.cost - (plan.value - 1e-2 * plan.mutual_information)) < 1e-12


@pytest.mark.parametrize("scale", [1e-150, 1.0, 1e100])
def test_small_regularisation_any_unit(scale):
    """ε = 1e-4 of the largest cost, in any unit of length."""
    mu, nu = clouds(80, 60, 2, 5)
    mu, nu = as_law(scale * mu.points, mu.weights), as_law(scale * nu.points, nu.weights)
    plan = sinkhorn(mu, nu, 1e-4 * scale**2, tol=1e-11)
    assert max(columns_of(plan)) < 1e-10
    assert np.isfinite(plan.f).all() and np.isfinite(plan.g).all()
    assert plan.value > 0


def test_optimum_on_the_line_is_its_own_plan():
    """At (μ, ν*) the ν-side potential is constant and the coupling is that of rate–distortion (DESIGN (7))."""
    eps = 0.2
    solution = heatrd.solve(Uniform(), epsilon=eps)
    plan = sinkhorn(solution.certificate.quadrature, solution.reconstruction, eps, tol=1e-13, annealing=4.0)
    assert np.abs(plan.g).max() < 1e-8
    assert abs(plan.distortion - solution.distortion) < 1e-9
    assert abs(plan.value / eps - solution.lagrangian) < 1e-9


def test_optimum_in_the_plane_is_its_own_plan():
    """A product of two sources at equal slope: ν* is the product of the optimal laws, 3 × 2 atoms of unequal weight."""
    eps = 0.2
    one, two = heatrd.solve(Uniform(), epsilon=eps), heatrd.solve(Uniform(-0.9, 1.2), epsilon=eps)
    laws = [(s.certificate.quadrature, s.reconstruction) for s in (one, two)]
    mu, nu = (as_law(*product(*pair)) for pair in zip(*laws, strict=True))
    assert nu.size == 6
    plan = sinkhorn(mu, nu, eps, tol=1e-13)
    assert np.abs(plan.g).max() < 1e-8
    assert abs(plan.distortion - one.distortion - two.distortion) < 1e-9
    disturbed = as_law(nu.points, nu.weights * np.array([1.1, 1, 1, 1, 1, 1]))
    assert np.abs(sinkhorn(mu, disturbed, eps, tol=1e-13).g).max() > 1e-3


def product(one, two):
    points = np.stack(np.meshgrid(one.points[:, 0], two.points[:, 0], indexing="ij"), axis=-1).reshape(-1, 2)
    return points, np.outer(one.weights, two.weights).ravel()


@given(eps=st.floats(0.02, 1.0), seed=st.integers(0, 1000))
def test_laws_of_transport(eps, seed):
    """Symmetry; translation; the value grows with ε; the divergence is ≥ 0 and 0 on the diagonal."""
    mu, nu = clouds(12, 9, 2, seed)
    plan, back = sinkhorn(mu, nu, eps, tol=1e-12), sinkhorn(nu, mu, eps, tol=1e-12)
    assert abs(plan.value - back.value) < 1e-12
    np.testing.assert_allclose(plan.coupling, back.coupling.T, atol=1e-11)
    shifted = sinkhorn(as_law(mu.points + 3, mu.weights), as_law(nu.points + 3, nu.weights), eps, tol=1e-12)
    np.testing.assert_allclose(shifted.coupling, plan.coupling, atol=1e-10)
    assert sinkhorn(mu, nu, 1.5 * eps).value >= plan.value - 1e-12
    assert sinkhorn_divergence(mu, nu, eps) > 1e-6
    assert abs(sinkhorn_divergence(mu, mu, eps)) < 1e-12


def test_points_without_mass():
    mu = as_law([0.0, 0.5, 1.0], [0.5, 0.0, 0.5])
    nu = as_law([0.1, 0.4, 0.9], [0.3, 0.7, 0.0])
    plan = sinkhorn(mu, nu, 0.1, tol=1e-12)
    assert np.isfinite(plan.f).all() and np.isfinite(plan.g).all()
    assert plan.coupling[1].sum() == 0 and plan.coupling[:, 2].sum() == 0
    axes, w = bumps(8, 3)
    w[w < np.median(w)] = 0.0
    assert max(columns_of(sinkhorn((axes, w / w.sum()), bumps(8, 4), 0.02, tol=1e-11))) < 1e-10


def test_bridge_of_a_plan_meets_both_marginals():
    mu, nu = clouds(15, 10, 2, 11)
    plan = sinkhorn(mu, nu, 0.1, tol=1e-13)
    bridge = plan.bridge()
    np.testing.assert_allclose(bridge.terminal.weights, nu.weights, atol=1e-12)
    run = heatrd.sample(plan, 20_000, 10, rng=0)
    assert abs(run.distortion - plan.distortion) < 4 * run.distortion.stderr
    np.testing.assert_allclose(plan.density(0.5, mu.points), bridge.density(0.5, mu.points))


def test_reports_what_it_did_not_reach():
    mu, nu = clouds(30, 30, 2, 2)
    with pytest.raises(NotConverged, match="marginal error") as caught:
        sinkhorn(mu, nu, 1e-3, tol=1e-12, max_iterations=5, acceleration="none")
    plan = caught.value.result
    assert plan.column_error > 1e-12
    assert abs(columns_of(plan)[0] - plan.column_error) < 1e-12


@pytest.mark.parametrize(
    "mu,nu,eps,message",
    [
        (([0.0, np.nan], [0.5, 0.5]), ([0.0], [1.0]), 0.1, "NaN"),
        (([0.0, 1.0], [0.5, -0.5]), ([0.0], [1.0]), 0.1, "non-negative"),
        (([0.0, 1.0], [0.5, 0.5]), ([0.0], [2.0]), 0.1, "mass"),
        (([0.0, 1.0], [0.5, 0.5]), ([0.0], [1.0]), 0.0, "epsilon"),
        (([0.0, 1.0], [0.5, 0.5]), ([0.0], [1.0]), -1.0, "epsilon"),
        (([0.0, 1.0], [0.5, 0.5]), ([0.0], [1.0]), np.nan, "epsilon"),
        (([0.0, 1.0], [0.5, 0.5]), ([[0.0, 1.0]], [1.0]), 0.1, "R\\^2"),
        (([0.0, 1.0], [0.0, 0.0]), ([0.0], [1.0]), 0.1, "zero"),
        ((([0.0, 1.0], [0.0, 1.0]), np.full((2, 2), np.nan)), ([[0.0, 1.0]], [1.0]), 0.1, "NaN"),
    ],
)
def test_bad_input(mu, nu, eps, message):
    with pytest.raises(InvalidInput, match=message):
        sinkhorn(mu, nu, eps)


def test_bad_options():
    with pytest.raises(InvalidInput, match="acceleration"):
        sinkhorn([0.0], [1.0], 0.1, acceleration="magic")
    with pytest.raises(InvalidInput, match="tol"):
        sinkhorn([0.0], [1.0], 0.1, tol=0.0)


# -- the parts of the iteration ---------------------------------------------------------------------


def test_potentials_keep_their_size_in_units_of_the_cost_when_epsilon_falls():
    state = solver._State(None, None, np.array([1.0, -2.0]))
    state.rescale(4.0)
    assert state.gamma.tolist() == [1.0, -2.0]
    state.rescale(1.0)
    assert state.gamma.tolist() == [4.0, -8.0]


def test_newton_direction_has_no_part_along_the_constants():
    """The semi-dual does not change along γ + const: of all solutions of the singular system the balanced one."""
    rng = np.random.default_rng(2)
    plan = rng.random((7, 5)) ** 4
    plan /= plan.sum()
    target = np.full(5, 0.2)
    step = solver._newton_direction(plan, target)
    rows, columns = plan.sum(axis=1), plan.sum(axis=0)
    hessian = np.diag(columns) - plan.T @ (plan / rows[:, None])
    assert hessian @ step == pytest.approx(target - columns, abs=1e-12)
    assert abs(columns @ step) < 1e-12


def test_a_mixing_step_that_does_harm_is_replaced_by_a_sweep(monkeypatch):
    class Harmful:
        def __init__(self):
            self.rng, self.resets = np.random.default_rng(0), 0

        def propose(self, gamma, image):
            return gamma + self.rng.standard_normal(gamma.shape)

        def reset(self):
            self.resets += 1

    harmful = Harmful()
    monkeypatch.setattr(solver, "_mixer", lambda *_: harmful)
    plan = sinkhorn(*clouds(12, 15, 2, 3), 0.2, acceleration="anderson", tol=1e-9)
    assert plan.column_error <= 1e-9 and harmful.resets > 3
