"""The TEC account: three routes that agree, the optimum, divergence and convergence, and what a wrong control costs."""

import numpy as np
import pytest
from scipy.integrate import solve_ivp

import heatrd
from heatrd.bridge import SchrodingerBridge
from heatrd.errors import InvalidInput
from heatrd.laws import as_law
from heatrd.sources import BernoulliGaussian, Gaussian, GaussianMixture, Laplace, Uniform
from heatrd.tec import tec_account

SIGMA2, EPS = 1.3, 0.6


@pytest.fixture(scope="module")
def atomic():
    """Outside the class, ν not optimal: the identities hold for any ν."""
    source = GaussianMixture([0.4, 0.6], [-1.0, 2.0], [0.3, 0.5])
    return SchrodingerBridge(source, as_law([-1.2, 0.1, 1.9], [0.3, 0.2, 0.5]), 0.8)


@pytest.fixture(scope="module")
def uniform_solution():
    return heatrd.solve(Uniform(), epsilon=0.5)


def routes(control, **options):
    return [tec_account(control, method=method, **options) for method in ("potentials", "quadrature", "paths")]


def assert_agree(one, two, three, tolerance):
    for name in ("energies", "entropies", "totals", "excesses"):
        np.testing.assert_allclose(getattr(two, name), getattr(one, name), atol=tolerance)
    assert three.stderr[:3].max() < 2e-3
    values = np.array([three.energies, three.entropies, three.totals, three.excesses])
    exact = np.array([one.energies, one.entropies, one.totals, one.excesses])
    assert (np.abs(values - exact) < 4 * three.stderr + 1e-5).all()


def test_gaussian_in_closed_form():
    source = Gaussian(0.3, SIGMA2)
    for control in (heatrd.backward_heat(source, EPS), SchrodingerBridge(source, source.deblurred(EPS), EPS)):
        accounts = routes(control)
        assert_agree(*accounts, 1e-6)
        for account in accounts[:2]:
            left = SIGMA2 - EPS * account.times
            np.testing.assert_allclose(account.energies, 0.5 * np.log(SIGMA2 / left), atol=1e-9)
            np.testing.assert_allclose(account.entropies, 0.5 * np.log(2 * np.pi * np.e * left), atol=1e-9)
            assert abs(account.total - account.optimum) < 1e-9
            assert abs(account.balance) < 1e-9


def test_mixture_in_the_class():
    source = GaussianMixture([0.4, 0.6], [-1.0, 2.0], [0.5, 1.0])
    assert_agree(*routes(heatrd.backward_heat(source, 0.3)), 1e-6)


def test_outside_the_class(atomic, uniform_solution):
    assert_agree(*routes(atomic, until=0.9), 1e-6)
    assert_agree(*routes(uniform_solution, until=0.9), 1e-6)


def test_a_source_with_a_kink_and_many_atoms():
    solution = heatrd.solve(Laplace(), epsilon=0.5)
    one, two = (tec_account(solution, method=m, times=[0.6]) for m in ("potentials", "quadrature"))
    np.testing.assert_allclose([two.energy, two.entropy, two.excess], [one.energy, one.entropy, one.excess], atol=1e-6)


def test_in_the_plane():
    source = GaussianMixture([0.5, 0.5], [[-0.8, 0.0], [0.8, 0.3]], [0.5 * np.eye(2), 0.4 * np.eye(2)])
    inside = SchrodingerBridge(source, source.deblurred(0.3), 0.3)
    assert_agree(*routes(inside, times=[1.0], n_paths=1 << 16), 1e-4)
    rough = as_law([[-0.8, 0.0], [0.8, 0.3], [0.0, 0.1]], [0.4, 0.4, 0.2])
    outside = SchrodingerBridge(source, rough, 1.2)
    one, two = (tec_account(outside, method=m, times=[0.4]) for m in ("potentials", "quadrature"))
    np.testing.assert_allclose([two.energy, two.entropy, two.excess], [one.energy, one.entropy, one.excess], atol=1e-4)


def test_terms_diverge_and_their_sum_converges(uniform_solution):
    """E_s grows and h_s falls by ½ log 2 per halving of 1 − s; the sum meets the certified optimum."""
    account = tec_account(uniform_solution)
    assert account.energies[-1] == np.inf and account.entropies[-1] == -np.inf
    late = slice(5, 10)
    np.testing.assert_allclose(np.diff(account.energies[late]), 0.5 * np.log(2), atol=2e-3)
    np.testing.assert_allclose(np.diff(account.entropies[late]), -0.5 * np.log(2), atol=2e-3)
    gaps = account.optimum - account.totals
    assert (np.diff(gaps[:-1]) < 0).all() and gaps[8] < 1e-7
    assert abs(account.total - account.optimum) < 1e-12
    assert abs(account.lagrangian - uniform_solution.lagrangian) < 1e-9
    assert abs(account.excess - (account.total - np.log(2 * np.sqrt(3)))) < 1e-10


def test_optimum_is_below_every_other_reconstruction(uniform_solution):
    """The sum at s = 1 is the Lagrangian of whatever ν the bridge ends in, never below the optimum."""
    best = tec_account(uniform_solution).total
    a = uniform_solution.reconstruction.points[1, 0]
    for law in (as_law([-a - 0.1, a + 0.1]), as_law([-a, a], [0.45, 0.55]), as_law([-1.0, 0.0, 1.0])):
        assert tec_account(SchrodingerBridge(Uniform(), law, 0.5)).total > best + 1e-4


def test_source_with_an_atom_has_no_finite_excess():
    bridge = SchrodingerBridge(BernoulliGaussian(0.4, 1.0), as_law([-0.5, 0.0, 0.5]), 0.6)
    account = tec_account(bridge, until=0.5)
    assert account.initial_entropy == -np.inf and account.excess == np.inf
    assert np.isfinite(account.total)


# -- perturbed controls: DESIGN (3) predicts the price ------------------------------------------------------------


def linear_account(gain):
    """h(X_0) + E∫‖u − ε∇log ρ‖²/2ε for u = −gain(t) x from N(0, σ²): variances by an ODE, everything Gaussian."""

    def rates(t, state):
        variance = state[0]
        excess = EPS**2 * (1 / variance - gain(t) / EPS) ** 2 * variance / (2 * EPS)
        return [-2 * gain(t) * variance + EPS, excess, gain(t) ** 2 * variance / (2 * EPS)]

    end = solve_ivp(rates, (0, 1), [SIGMA2, 0.0, 0.0], rtol=1e-11, atol=1e-12, max_step=0.02).y[:, -1]
    account = end[2] + 0.5 * np.log(2 * np.pi * np.e * end[0])
    predicted = Gaussian(0.0, SIGMA2).entropy() + end[1]
    assert abs(account - predicted) < 1e-8, "DESIGN (3) itself"
    return account


def optimal_gain(t):
    return EPS / (SIGMA2 - EPS * t)


PERTURBED = {
    "scaled": lambda t: 0.9 * optimal_gain(t),
    "delayed": lambda t: optimal_gain(max(t - 0.2, 0.0)),
    "reversed": lambda t: -optimal_gain(t),
}


@pytest.mark.parametrize("name", PERTURBED)
def test_a_wrong_control_costs_what_the_formula_says(name):
    gain = PERTURBED[name]
    price = linear_account(gain) - Gaussian(0.0, SIGMA2).entropy()
    assert price > 1e-4
    source = Gaussian(0.0, SIGMA2)
    chain = [
        tec_account(lambda t, x: -gain(t) * x, initial=source, epsilon=EPS, until=1.0, n_steps=n) for n in (50, 100)
    ]
    assert chain[0].method == "quadrature"
    for quantity in ("total", "excess"):
        coarse, fine = (float(getattr(a, quantity)) for a in chain)
        base = Gaussian(0.0, SIGMA2).entropy() if quantity == "total" else 0.0
        assert abs(2 * fine - coarse - base - price) < 1e-3 * max(price, 0.1)  # the chain is first order in the step
    run = heatrd.sample(lambda t, x: -gain(t) * x, 100_000, 100, epsilon=EPS, initial=source, scheme="heun", rng=5)
    account = tec_account(run, optimum=source.entropy())
    assert account.total.stderr < 8e-3
    assert abs(account.total - account.optimum - price) < 4 * account.total.stderr + 1e-3


@pytest.mark.parametrize("change", [lambda u: 0.9 * u, lambda u: u + 0.3])
def test_a_wrong_control_outside_the_gaussian_class(atomic, optimal_chain, change):
    """Energy + entropy = h(X_0) + excess for the Euler chain of any control, here of an atomic bridge up to s = 0.7."""

    def control(t, x):
        return change(atomic.control(t, x))

    chain = [
        tec_account(control, initial=atomic.source, epsilon=atomic.epsilon, until=0.7, n_steps=n) for n in (50, 100)
    ]
    balance = 2 * chain[1].balance - chain[0].balance
    assert abs(balance) < 3e-4
    assert abs(2 * chain[1].total - chain[0].total - optimal_chain) > 1e-3


@pytest.fixture(scope="module")
def optimal_chain(atomic):
    """The chain under the bridge's own control, extrapolated to zero step."""
    rough, fine = (
        tec_account(atomic.control, initial=atomic.source, epsilon=atomic.epsilon, until=0.7, n_steps=n).total
        for n in (100, 200)
    )
    return 2 * fine - rough


def test_the_chain_tends_to_the_account_of_the_bridge(atomic, optimal_chain):
    assert abs(optimal_chain - tec_account(atomic, until=0.7).total) < 6e-5


def test_added_noise_costs_its_energy():
    """u + a ξ with fresh noise per step adds a²/2ε of energy and, as steps shrink, nothing else."""
    rng, a, source = np.random.default_rng(1), 0.5, Gaussian(0.0, SIGMA2)

    def control(t, x):
        return -optimal_gain(t) * x + a * rng.standard_normal(x.shape)

    run = heatrd.sample(control, 200_000, 200, epsilon=EPS, initial=source, scheme="euler", rng=3)
    account = tec_account(run, optimum=source.entropy())
    assert account.total.stderr < 5e-3
    assert abs(account.total - account.optimum - a**2 / (2 * EPS)) < 4 * account.total.stderr + 3e-3


def test_plot_and_errors(atomic, uniform_solution):
    pytest.importorskip("matplotlib").use("Agg")
    axes = tec_account(uniform_solution, until=0.9).plot()
    assert [line.get_label() for line in axes.lines] == ["energy", "entropy  $h(X_s)$", "sum", "optimum"]
    with pytest.raises(InvalidInput, match="method"):
        tec_account(atomic, method="magic")
    with pytest.raises(InvalidInput, match="until < 1"):
        tec_account(atomic, method="quadrature", until=1.0)
    with pytest.raises(InvalidInput, match="until < 1"):
        tec_account(heatrd.sample(atomic, 100, 4, rng=0))
    with pytest.raises(InvalidInput, match="initial="):
        tec_account(lambda t, x: x, epsilon=1.0, method="quadrature")
    with pytest.raises(InvalidInput, match="increasing"):
        tec_account(atomic, times=[0.5, 0.2])


def test_the_optimum_in_the_plane():
    """optimum = L(ε) + (d/2) log 2πε with d = 2."""
    source = heatrd.sources.Atoms([[0.0, 0.0], [1.0, 0.0], [0.0, 2.0]])
    solution = heatrd.solve(source, epsilon=0.2, tol=1e-6)
    account = tec_account(solution)
    assert account.optimum == pytest.approx(solution.lagrangian + np.log(2 * np.pi * 0.2), abs=1e-12)
    assert account.lagrangian == pytest.approx(solution.lagrangian, abs=1e-12)


def test_entropies_without_closed_form_are_as_exact_on_nodes():
    from heatrd.closed_forms import differential_entropy
    from heatrd.tec.entropies import source_entropy

    source = heatrd.as_source("skew-normal")
    assert source.entropy() is None
    assert source_entropy(source, None) == pytest.approx(differential_entropy(source), abs=1e-9)
