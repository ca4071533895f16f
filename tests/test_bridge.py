"""The Schrödinger bridge: closed forms, marginals, the certificate, the flow equations, the grid route."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.integrate import quad
from scipy.optimize import brentq

import heatrd
from heatrd.bridge import SchrodingerBridge
from heatrd.errors import InvalidInput
from heatrd.grids import Grid
from heatrd.laws import DiscreteLaw, as_law
from heatrd.sources import BernoulliGaussian, Gaussian, GaussianMixture, Laplace, NoisySphere, Uniform

ROOT3 = np.sqrt(3.0)


def two_atoms(a):
    return DiscreteLaw(np.array([[-a], [a]]), np.array([0.5, 0.5]))


@pytest.fixture(scope="module")
def uniform_bridge():
    """The optimum of Uniform[−√3, √3] at ε = 0.5: two atoms ±a with c'(a) = 0, c by 200 Gauss nodes."""
    eps = 0.5

    z, w = np.polynomial.legendre.leggauss(200)
    x, w = ROOT3 * z, 0.5 * w

    def slope(a):
        near, far = np.exp(-((x - a) ** 2) / (2 * eps)), np.exp(-((x + a) ** 2) / (2 * eps))
        return w @ ((x - a) / eps * near / (0.5 * (near + far)))

    return SchrodingerBridge(Uniform(), two_atoms(brentq(slope, 0.5, 1.2, xtol=1e-15)), eps)


@pytest.fixture(scope="module")
def mixture_bridge():
    """A source outside its class with a non-optimal ν: every identity but ρ_1 = ν holds."""
    source = GaussianMixture([0.4, 0.6], [-1.0, 2.0], [0.3, 0.5])
    return SchrodingerBridge(source, as_law([-1.2, 0.1, 1.9], [0.3, 0.2, 0.5]), 0.8)


@pytest.mark.parametrize("t", [0.0, 1e-4, 0.2, 0.3, 0.7, 0.999, 1.0])
def test_gaussian_closed_forms(t):
    source, eps = Gaussian(1.0, 2.0), 0.7
    bridge = SchrodingerBridge(source, source.deblurred(eps), eps)
    x = np.linspace(-6, 8, 15)
    variance = 2.0 - eps * t
    np.testing.assert_allclose(bridge.log_density(t, x), Gaussian(1.0, variance).logpdf(x), atol=1e-11)
    np.testing.assert_allclose(bridge.control(t, x), -eps * (x - 1) / variance, atol=1e-11)
    np.testing.assert_allclose(bridge.velocity(t, x), 0.5 * bridge.control(t, x), atol=1e-11)
    np.testing.assert_allclose(bridge.copotential(t, x), 1.0, atol=1e-10)


@pytest.mark.parametrize("t", [1e-5, 0.1, 0.24, 0.26, 0.5, 0.9])
def test_small_times_by_adaptive_quadrature(mixture_bridge, t):
    """φ̂_t by scipy's quad, independent of all nodes."""
    eps, source = mixture_bridge.epsilon, mixture_bridge.source
    for x in (-2.0, 0.4, 3.1):
        spread = np.sqrt(eps * t)

        def integrand(z, x=x, spread=spread):
            ratio = source.logpdf(z) - mixture_bridge.log_potential(0.0, [z])[0]
            return float(np.exp(ratio - 0.5 * ((x - z) / spread) ** 2)) / (np.sqrt(2 * np.pi) * spread)

        reach = 12 * spread / np.sqrt(1 - t)
        expected = quad(integrand, x - reach - 6 * t, x + reach + 6 * t, epsabs=0, epsrel=1e-11, limit=400, points=[x])[
            0
        ]
        np.testing.assert_allclose(mixture_bridge.copotential(t, [x])[0], expected, rtol=2e-9)


def test_starts_at_the_source(uniform_bridge):
    x = np.linspace(-1.7, 1.7, 11)
    np.testing.assert_allclose(uniform_bridge.density(0, x), 1 / (2 * ROOT3), rtol=1e-10)
    assert uniform_bridge.density(0, [2.0])[0] == 0.0
    np.testing.assert_allclose(uniform_bridge.density(1e-9, x), 1 / (2 * ROOT3), rtol=1e-7)


def test_ends_at_the_reconstruction(uniform_bridge):
    np.testing.assert_allclose(uniform_bridge.terminal.weights, uniform_bridge.nu.weights, atol=1e-12)


def test_copotential_at_one_is_the_certificate(uniform_bridge):
    law, eps = uniform_bridge.nu, uniform_bridge.epsilon
    for y in (-1.5, 0.0, 0.77, 2.5):

        def integrand(x, y=y):
            k = np.exp(-((x - law.points[:, 0]) ** 2) / (2 * eps))
            return np.exp(-((x - y) ** 2) / (2 * eps)) / (law.weights @ k) / (2 * ROOT3)

        c = quad(integrand, -ROOT3, ROOT3, epsabs=1e-12)[0]
        np.testing.assert_allclose(uniform_bridge.copotential(1.0, [y])[0], c, rtol=1e-11)
        assert c < 1 + 1e-12


@pytest.mark.parametrize("t", [1e-6, 0.01, 0.3, 0.5, 0.8, 0.9999])
def test_mass_is_kept(uniform_bridge, mixture_bridge, t):
    for bridge in (uniform_bridge, mixture_bridge):
        law = bridge.quadrature(t)
        assert abs(law.weights.sum() - 1) < 1e-11


def test_quadrature_gives_the_moments_of_the_coupling(mixture_bridge):
    """E X_t = (1−t) E X_0 + t E X_1, and Var X_t from the coupling plus the variance of the Brownian bridge."""
    b = mixture_bridge
    end = b.terminal
    y = b.posterior_mean(0.0, b.mu.points)[:, 0]
    x = b.mu.points[:, 0]
    cross = b.mu.weights @ (x * y)
    for t in (0.05, 0.4, 0.6, 0.95):
        law = b.quadrature(t)
        mean = law.weights @ law.points[:, 0]
        second = law.weights @ law.points[:, 0] ** 2
        np.testing.assert_allclose(mean, (1 - t) * (b.mu.weights @ x) + t * end.mean[0], atol=1e-9)
        exact = (
            (1 - t) ** 2 * (b.mu.weights @ x**2)
            + t**2 * (end.weights @ end.points[:, 0] ** 2)
            + 2 * t * (1 - t) * cross
        )
        np.testing.assert_allclose(second, exact + b.epsilon * t * (1 - t), atol=1e-8)


def test_control_is_the_posterior_mean(mixture_bridge):
    t, x = 0.6, np.array([-1.0, 0.5, 2.2])
    law, s = mixture_bridge.nu, mixture_bridge.epsilon * 0.4
    p = law.weights * np.exp(-((x[:, None] - law.points[:, 0]) ** 2) / (2 * s))
    mean = (p @ law.points[:, 0]) / p.sum(axis=1)
    np.testing.assert_allclose(mixture_bridge.control(t, x), (mean - x) / 0.4, rtol=1e-12)
    np.testing.assert_allclose(mixture_bridge.posterior_mean(t, x), mean, rtol=1e-12)


@pytest.mark.parametrize("t", [0.1, 0.5, 0.9])
def test_potentials_solve_their_heat_equations(mixture_bridge, t):
    """∂_t φ = −(ε/2) φ'', ∂_t φ̂ = (ε/2) φ̂'', ∂_t ρ = −(ρ v)' — finite differences of order 4."""
    b, h, k = mixture_bridge, 1e-2, 1e-3
    x = np.array([-1.3, 0.2, 1.5])

    def d1(f, step):
        return (f(-2 * step) - 8 * f(-step) + 8 * f(step) - f(2 * step)) / (12 * step)

    def d2(f, step):
        return (-f(-2 * step) + 16 * f(-step) - 30 * f(0.0) + 16 * f(step) - f(2 * step)) / (12 * step**2)

    for function, sign in ((b.potential, -1), (b.copotential, 1)):
        left = d1(lambda s, f=function: f(t + s, x), k)
        right = sign * 0.5 * b.epsilon * d2(lambda z, f=function: f(t, x + z), h)
        np.testing.assert_allclose(left, right, rtol=1e-5, atol=1e-6)
    flux = d1(lambda z: b.density(t, x + z) * b.velocity(t, x + z), h)
    np.testing.assert_allclose(d1(lambda s: b.density(t + s, x), k), -flux, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(b.score(t, x), d1(lambda z: b.log_density(t, x + z), h), rtol=1e-6)


def test_stable_up_to_the_end(uniform_bridge):
    """u(1 − t) → nearest atom − x, with no overflow."""
    a = uniform_bridge.nu.points[1, 0]
    x = np.array([-30.0, -0.5, 0.4, 30.0])
    for gap in (1e-3, 1e-8, 1e-13):
        u = uniform_bridge.control(1 - gap, x)
        np.testing.assert_allclose(u * gap, np.where(x > 0, a, -a) - x, rtol=1e-3)
        assert np.isfinite(uniform_bridge.log_potential(1 - gap, x)).all()


def test_any_dimension_for_atoms():
    rng = np.random.default_rng(0)
    mu, nu = as_law(rng.normal(size=(40, 6))), as_law(rng.normal(size=(5, 6)))
    bridge = SchrodingerBridge(mu, nu, 0.5)
    x = rng.normal(size=(7, 6))
    assert bridge.control(0.3, x).shape == x.shape
    assert bridge.density(0.3, x).shape == (7,)
    assert abs(bridge.terminal.weights.sum() - 1) < 1e-12


def test_mixed_source_keeps_its_mass():
    source = BernoulliGaussian(0.4, 1.0)
    bridge = SchrodingerBridge(source, as_law([-0.5, 0.0, 0.5]), 0.6)
    z, w = np.polynomial.legendre.leggauss(60)
    cuts = np.concatenate([-np.geomspace(9, 0.02, 12), np.geomspace(0.02, 9, 12)])
    half = 0.5 * np.diff(cuts)[:, None]
    x, weights = (cuts[:-1, None] + half * (1 + z)).ravel(), (half * w).ravel()
    for t in (1e-3, 0.1, 0.6):
        assert abs(weights @ bridge.density(t, x) - 1) < 1e-9


@given(eps=st.floats(0.1, 2.0), shift=st.floats(-3, 3), angle=st.floats(0, 6.28))
def test_moves_with_its_laws(eps, shift, angle):
    """Rigid motions commute with everything."""
    rng = np.random.default_rng(1)
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    mu, nu, x = rng.normal(size=(20, 2)), rng.normal(size=(6, 2)), rng.normal(size=(4, 2))
    one = SchrodingerBridge(as_law(mu), as_law(nu), eps)
    two = SchrodingerBridge(as_law(mu @ turn.T + shift), as_law(nu @ turn.T + shift), eps)
    moved = x @ turn.T + shift
    np.testing.assert_allclose(two.log_density(0.5, moved), one.log_density(0.5, x), atol=1e-9)
    np.testing.assert_allclose(two.control(0.5, moved), one.control(0.5, x) @ turn.T, atol=1e-9)


@pytest.mark.parametrize("order", [2, 4, 8])
def test_grid_route_at_the_stencils_order(uniform_bridge, order):
    errors = []
    for cells in (80, 160):
        grid = uniform_bridge.on_grid(
            Grid.uniform(-5, 5, cells), order=order, start=0.2, end=0.8, steps=100 if order == 2 else 1600
        )
        x = grid.grid.points[:, 0]
        exact = uniform_bridge.density(0.5, x)
        errors.append(
            [
                np.abs(grid.density(0.5) - exact).max(),
                np.abs((grid.control(0.5)[:, 0] - uniform_bridge.control(0.5, x)) * exact).max(),
            ]
        )
    density, control = np.array(errors).T
    assert np.log2(control[0] / control[1]) > 0.9 * min(order, 6)
    assert density[1] < {2: 1e-3, 4: 1e-5, 8: 3e-8}[order]
    if order < 8:
        assert np.log2(density[0] / density[1]) > 0.9 * order


def test_grid_route_in_the_plane():
    source = GaussianMixture([0.5, 0.5], [[-1.0, 0.0], [1.0, 0.4]], [0.5 * np.eye(2), 0.4 * np.eye(2)])
    bridge = SchrodingerBridge(source, as_law([[-1.0, 0.1], [0.9, 0.3], [0.2, -0.2]], [0.4, 0.4, 0.2]), 0.7)
    grid = bridge.on_grid(Grid.uniform([-5, -5], [5, 5], 64), order=8, start=0.3, end=0.7, steps=200)
    x = grid.grid.points.reshape(-1, 2)
    np.testing.assert_allclose(grid.density(0.5).ravel(), bridge.density(0.5, x), atol=2e-6)
    assert abs(grid.grid.integrate(grid.density(0.5)) - 1) < 1e-6


@pytest.mark.parametrize("method", ["closed-form", "spectral"])
def test_from_a_heat_path(method):
    source, eps = GaussianMixture([0.4, 0.6], [-1.0, 2.0], [0.5, 1.0]), 0.3
    bridge = SchrodingerBridge.from_path(heatrd.backward_heat(source, eps, method=method))
    exact = SchrodingerBridge(source, source.deblurred(eps), eps)
    x = np.linspace(-2.5, 4, 9)
    tolerance = 1e-9 if method == "closed-form" else 1e-3
    limit = (2.0**-53) ** (1 - eps / 0.5)  # of any backward solver in double precision, DESIGN (6)
    for t in (0.0, 0.3, 0.8, 1.0):
        np.testing.assert_allclose(bridge.log_density(t, x), exact.log_density(t, x), atol=tolerance)
        np.testing.assert_allclose(bridge.log_copotential(t, x), 0.0, atol=limit)


def test_solution_hands_out_its_bridge():
    solution = heatrd.solve(Laplace(), epsilon=0.5)
    bridge = solution.bridge
    heavy = solution.reconstruction.weights > 1e-9
    np.testing.assert_allclose(bridge.copotential(1.0, solution.reconstruction.points[heavy]), 1.0, atol=1e-7)
    smooth = heatrd.solve(Gaussian(0.0, 1.0), epsilon=0.4).bridge
    np.testing.assert_allclose(smooth.density(1.0, [0.3]), np.exp(Gaussian(0.0, 0.6).logpdf([0.3])), rtol=1e-10)


def test_reconstruction_on_circles():
    """A noisy ring's ν is a law on circles; the bridge takes its points, and ρ_1 is ν as far as it is solved."""
    solution = heatrd.solve(NoisySphere(2, noise=np.sqrt(0.1)), epsilon=0.5, tol=1e-6)
    bridge = solution.bridge
    np.testing.assert_allclose(bridge.terminal.weights, bridge.nu.weights, atol=1e-4)
    assert abs(bridge.quadrature(0.5).weights.sum() - 1) < 1e-6


def test_shapes_and_errors(uniform_bridge):
    assert uniform_bridge.density(0.5, 0.3).shape == ()
    assert uniform_bridge.control(0.5, [0.1, 0.2]).shape == (2,)
    assert uniform_bridge.control(0.5, np.zeros((4, 1))).shape == (4, 1)
    with pytest.raises(InvalidInput, match=r"t < 1"):
        uniform_bridge.density(1.0, [0.0])
    with pytest.raises(InvalidInput, match=r"outside \[0, 1\]"):
        uniform_bridge.control(1.5, [0.0])
    with pytest.raises(InvalidInput, match="shape"):
        uniform_bridge.control(0.5, np.zeros((4, 2)))
    with pytest.raises(InvalidInput, match="epsilon"):
        SchrodingerBridge(as_law([0.0]), as_law([0.0]), -1.0)
    with pytest.raises(InvalidInput, match="R\\^2"):
        SchrodingerBridge(as_law([0.0]), as_law([[0.0, 1.0]]), 1.0)
    with pytest.raises(InvalidInput, match="discrete"):
        SchrodingerBridge(as_law([0.0, 1.0]), as_law([0.5]), 1.0).density(0.0, [0.0])


def test_controls_so_far_out_that_they_overflow_are_infinite():
    bridge = heatrd.solve("uniform", epsilon=4.0).bridge
    assert np.isposinf(bridge.control(0.6, np.array([-1e308]))).all()
    assert np.isfinite(bridge.control(0.6, np.array([-1e300]))).all()
