"""The parts of R2D2, each against the formula it implements: no training here."""

import numpy as np
import pytest
from scipy import integrate, stats

jax = pytest.importorskip("jax")
pytest.importorskip("equinox")
pytest.importorskip("optax")

import jax.numpy as jnp

from heatrd.errors import InvalidInput
from heatrd.neural import law_bound, likelihood, readout
from heatrd.neural.coordinates import coordinates_of
from heatrd.neural.losses import ENTROPIES, tec_loss
from heatrd.neural.model import Model
from heatrd.neural.network import ControlNetwork
from heatrd.neural.rollout import Grid, final_draw, roll_out, time_grid
from heatrd.neural.start import COMMITTEE, NODES, gaussian_start, mixture_start
from heatrd.neural.terminal import (
    GaussianMixtureLaw,
    Mixture,
    RadialLaw,
    log_particles,
    mixture_posterior,
    negentropy,
)

roll_out, final_draw = jax.jit(roll_out), jax.jit(final_draw)
mixture_posterior = jax.jit(mixture_posterior)
posterior = jax.jit(lambda model, x, t, epsilon: model.posterior(epsilon)(x, t))
LAMBDA = np.array([1.0, 0.4, 0.05])
RANGE = (0.02, 1.0)


def new_model(lam=LAMBDA, start=None):
    rng = np.random.default_rng(3)
    return Model(
        network=ControlNetwork(lam, RANGE, 0.01, 8, 2, rng),
        law=GaussianMixtureLaw(lam, RANGE, gaussian_start(lam) if start is None else start, rng),
        radial=RadialLaw(lam, RANGE, 1e-4, rng),
    )


@pytest.fixture(scope="module")
def model():
    """A model with random heads: nothing in the identities below may depend on what its network computes."""
    import equinox as eqx

    new = new_model()
    weight = 0.3 * jax.random.normal(jax.random.key(1), new.network.readout.weight.shape)
    return eqx.tree_at(lambda m: m.network.readout.weight, new, weight)


def test_coordinates_invert_and_diagonalise():
    rng = np.random.default_rng(0)
    a = rng.normal(size=(3, 3))
    c = coordinates_of(np.array([1.0, -2.0, 3.0]), a @ a.T)
    x = rng.normal(size=(5, 3))
    assert np.allclose(c.backward(c.forward(x)), x)
    assert np.allclose(c.rotation.T @ (a @ a.T) @ c.rotation, np.diag(c.eigenvalues) * c.scale**2)
    assert c.eigenvalues[0] == 1.0
    assert np.allclose(c.vector_backward(c.forward(x) - c.forward(0 * x)), x)


@pytest.mark.parametrize("moments", [(np.zeros(2), np.zeros((2, 2))), (np.zeros(1), np.array([[np.inf]]))])
def test_coordinates_refuse_points_and_heavy_tails(moments):
    with pytest.raises(InvalidInput):
        coordinates_of(*moments)


@pytest.mark.parametrize("entropy", ENTROPIES)
def test_every_loss_of_a_new_model_is_the_gaussian_lagrangian(entropy):
    """For a Gaussian source every terminal cost gives L(ε) before training, particles up to their batch's bias."""
    rng = np.random.default_rng(11)
    lam, eps = np.array([1.0, 0.5]), np.array([0.1, 0.4])
    model = new_model(lam)
    x0 = rng.normal(size=(2, 1500, 2)) * np.sqrt(lam)
    loss = jax.jit(lambda m, x, e, k: tec_loss(m, x, e, k, entropy=entropy, grid=Grid(3, 0.05), jitter=False)[1])
    values = loss(model, jnp.asarray(x0, jnp.float32), jnp.asarray(eps, jnp.float32), jax.random.key(0))
    exact = 0.5 * np.log(np.maximum(lam / eps[:, None], 1)).sum(axis=1) + 1
    assert np.allclose(values, exact, atol=0.12)


@pytest.mark.parametrize("shift", [-0.5, 0.0, 0.5])
def test_time_grid_is_geometric_in_the_time_to_go(shift):
    t = np.asarray(time_grid(Grid(8, 0.01), shift), dtype=float)
    assert t[0] == 0 and np.isclose(t[-1], 0.99) and (np.diff(t) > 0).all()
    ratio = (1 - t[2:-1]) / (1 - t[1:-2])
    assert np.allclose(ratio, 0.01 ** (1 / 8), rtol=1e-4)


@pytest.mark.parametrize("t", [0.0, 0.5, 0.97])
def test_a_new_model_is_the_gaussian_posterior(t):
    eps = 0.1
    x = np.random.default_rng(1).normal(size=(1, 6, 3))
    m, g = posterior(new_model(), jnp.asarray(x, jnp.float32), jnp.float32(t), jnp.asarray([eps], jnp.float32))
    v, tau = np.maximum(LAMBDA - eps, 0), eps * (1 - t)
    assert np.allclose(m, v / (v + tau) * x, atol=1e-6)
    assert np.allclose(g, np.maximum(v / (v + tau), 1e-4), atol=1e-4)


def test_step_cost_is_the_mean_log_ratio(model):
    """The accumulated KL and the pathwise log dP/dW have the same mean; each is far from zero."""
    x0 = jnp.asarray(np.random.default_rng(2).normal(size=(2, 20000, 3)) * np.sqrt(LAMBDA), jnp.float32)
    eps = jnp.asarray([0.05, 0.5], jnp.float32)
    paths = roll_out(model, x0, eps, time_grid(Grid(4, 0.05)), jax.random.key(5))
    difference = np.asarray(paths.log_ratio[-1] - paths.cost[-1], dtype=float)
    assert (np.asarray(paths.cost[-1]).mean(axis=1) > 0.1).all()
    error = difference.std(axis=1) / np.sqrt(difference.shape[1])
    assert (error < 0.05).all() and (np.abs(difference.mean(axis=1)) < 4 * error + 1e-3).all()


def test_importance_weights_average_to_one(model):
    """E_P[dW/dP] = 1 for one starting point: the chain is absolutely continuous and its ratio is right."""
    x0 = jnp.zeros((1, 100000, 3), jnp.float32) + 0.2
    eps = jnp.asarray([1.0], jnp.float32)
    paths = roll_out(model, x0, eps, time_grid(Grid(3, 0.4)), jax.random.key(6))
    weight = np.exp(-np.asarray(paths.log_ratio[-1][0], dtype=float))
    error = weight.std() / np.sqrt(weight.size)
    assert weight.std() > 0.1 and error < 0.05
    assert abs(weight.mean() - 1) < 4 * error


def test_final_draw_has_the_posterior_moments(model):
    x0 = jnp.zeros((1, 50000, 3), jnp.float32)
    eps = jnp.asarray([0.3], jnp.float32)
    paths = roll_out(model, x0, eps, time_grid(Grid(2, 0.3)), jax.random.key(7))
    x1, cost, ratio = final_draw(paths, eps, jax.random.key(8))
    z = np.asarray((x1 - paths.mean) / jnp.sqrt(paths.gate * 0.3 * 0.3), dtype=float)[0]
    assert np.allclose(z.mean(axis=0), 0, atol=0.03) and np.allclose(z.var(axis=0), 1, atol=0.05)
    gap = np.asarray(ratio - cost, dtype=float)[0]
    assert abs(gap.mean()) < 4 * gap.std() / np.sqrt(gap.size)


def test_particles_leave_their_own_point_out():
    rng = np.random.default_rng(3)
    x, y = rng.normal(size=(2, 7, 2)), rng.normal(size=(2, 7, 2))
    tau, lam, share = np.array([0.1, 0.4]), np.array([1.0, 0.5]), 0.01
    ours = log_particles(*(jnp.asarray(a, jnp.float32) for a in (x, y, tau, lam)), share)
    for e in range(2):
        for i in range(7):
            near = [stats.multivariate_normal.pdf(x[e, i], y[e, j], tau[e] * np.eye(2)) for j in range(7) if j != i]
            broad = stats.multivariate_normal.pdf(x[e, i], [0, 0], np.diag(4 * lam + tau[e]))
            assert np.isclose(ours[e, i], np.log((1 - share) * np.mean(near) + share * broad), rtol=1e-3, atol=1e-3)


def test_particles_agree_in_both_distance_formulas():
    """Padding with zero coordinates (dimension 4 takes the other formula) multiplies by a known Gaussian factor."""
    rng = np.random.default_rng(4)
    x, y = rng.normal(size=(1, 9, 2)), rng.normal(size=(1, 9, 2))
    pad = ((0, 0), (0, 0), (0, 2))
    tau = jnp.asarray([0.3], jnp.float32)
    share = 1e-6

    def value(a, b, d):
        return log_particles(jnp.asarray(a, jnp.float32), jnp.asarray(b, jnp.float32), tau, jnp.ones(d), share)

    low, high = value(x, y, 2), value(np.pad(x, pad), np.pad(y, pad), 4)
    assert np.allclose(high, low - np.log(2 * np.pi * 0.3), atol=1e-3)


COINS = np.array([[-1.2], [1.2]])
DRAWN = stats.norm.rvs(size=(40000, 1), random_state=4) * 0.4 + COINS[np.random.default_rng(5).integers(0, 2, 40000)]


@pytest.fixture(scope="module")
def table():
    """Start of two components N(±1.2, 0.16), far enough apart that six would be too many."""
    def draw(n, batch):
        return DRAWN[np.random.default_rng(batch).integers(20000, size=n)]

    return mixture_start(draw, DRAWN[20000:], np.array([1.6]), (0.02, 0.5), 6, np.random.default_rng(0))


def test_the_start_finds_the_components_of_a_mixture_and_no_more(table):
    assert table.shape == (NODES, 2 * COMMITTEE, 3)
    low = np.geomspace(0.02, 0.5, NODES) < 0.16
    assert low.sum() > 3
    assert np.allclose(np.sort(table[low, :, 1]), np.repeat([-1.2, 1.2], COMMITTEE), atol=0.02)
    assert np.allclose(table[low, :, 2], 0.16, atol=0.01)


def test_a_gaussian_source_starts_at_its_own_solution():
    x = np.random.default_rng(6).normal(size=(30000, 2)) * np.sqrt([1.0, 0.3])
    lam = np.array([1.0, 0.3])
    table = mixture_start(lambda n, batch: x[:16000], x[16000:], lam, RANGE, 3, np.random.default_rng(0))
    assert np.array_equal(table, gaussian_start(lam))


def test_a_committee_is_the_mean_of_its_members():
    x, eps = DRAWN[:500], 0.05
    rng = np.random.default_rng(10)
    fits = [likelihood.spread_out_fit(x, 3, np.array([1.6]), eps, 2, rng) for _ in range(2)]
    densities = [np.exp(likelihood.log_likelihood(x, fit, eps)) for fit in fits]
    mean = likelihood.log_likelihood(x, likelihood.averaged(fits), eps)
    assert np.allclose(np.exp(mean), np.mean(densities, axis=0))


def test_online_sweeps_of_one_batch_at_full_gain_are_a_sweep_and_small_gains_average_batches():
    prior, eps = np.array([1.6]), 0.05
    fit = likelihood.spread_out_fit(DRAWN[:2000], 2, prior, eps, 20, np.random.default_rng(11))
    once = likelihood.online_sweeps(lambda: DRAWN[:2000], fit, prior, eps, range(1, 2))
    for a, b in zip(once, likelihood.sweep(DRAWN[:2000], fit, prior, eps)):
        assert np.allclose(a, b)
    batches = iter(np.split(DRAWN[:40000], 200))
    found = likelihood.online_sweeps(lambda: next(batches), fit, prior, eps, range(2, 202))
    assert np.allclose(np.sort(found.means[:, 0]), [-1.2, 1.2], atol=0.015)


def test_the_first_good_candidate_is_the_first_within_a_standard_error():
    noise = np.random.default_rng(12).normal(size=400)
    best = np.zeros(400)
    assert likelihood.first_good([best - 1.0, best - 0.001 + 0.1 * noise, best]) == 1
    assert likelihood.first_good([best - 1.0, best - 0.1, best]) == 2
    assert likelihood.first_good([best, best]) == 0


def test_a_bound_takes_only_parts_that_pay():
    """Gaussian source, exact learned law: nothing else gets a share. Two atoms: the particles get it."""
    rng = np.random.default_rng(13)
    new, eps, x = new_model(np.ones(1), gaussian_start(np.ones(1))), 0.3, rng.normal(size=(3000, 1))
    law = law_bound.explicit_law(new, rng.normal(size=(200, 1)) * np.sqrt(0.7), x[:2000], eps)
    exact = 0.5 * np.log(1 / eps) + 0.5 * x[2000:, 0] ** 2
    assert np.allclose(law(x[2000:]).values, exact, atol=2e-5)
    coins = rng.choice([-1.0, 1.0], size=(3000, 1))
    few = law_bound.explicit_law(new, coins[:400], coins[400:2000], 0.05)(coins[2000:])
    assert few.values.mean() < np.log(2) + 0.05


@pytest.mark.parametrize("t", [0.0, 0.6, 0.97])
def test_the_control_of_a_mixture_source_is_exact_from_the_start(table, t):
    """u* = ε∇log ρ_t with ρ_t the same mixture, its variances 0.16 − εt: the backward-heat class."""
    eps = 0.1
    law = GaussianMixtureLaw(np.array([1.6]), (0.02, 0.5), table, np.random.default_rng(0))
    v = 0.16 - eps * t
    x = np.sort(DRAWN[:400], axis=0) * np.sqrt(v / 0.16)
    tau = jnp.asarray([eps * (1 - t)], jnp.float32)
    mean, gate = mixture_posterior(jnp.asarray(x[None], jnp.float32), law.parameters(jnp.asarray([eps])), tau)
    weight = 1 / (1 + np.exp(2 * 1.2 * x / v))
    exact = eps * ((weight * -1.2 + (1 - weight) * 1.2) - x) / v
    error = np.asarray(mean)[0] - x - (1 - t) * exact
    assert np.mean(error**2) < 0.01 * np.mean(((1 - t) * exact) ** 2)
    assert (np.asarray(gate) > 0).all()


def test_posterior_of_a_mixture_is_an_integral():
    """Mean and variance of Y given Y + √τ ξ = x, by quadrature over the density of ν."""
    log_w, a, v, tau = np.log([0.3, 0.7]), np.array([-0.5, 0.8]), np.array([0.2, 0.05]), 0.1
    law = Mixture(*(jnp.asarray(q, jnp.float32) for q in (log_w[None], a[None, :, None], v[None, :, None])))
    for x in (-0.9, 0.1, 1.3):
        mean, gate = mixture_posterior(jnp.full((1, 1, 1), x, jnp.float32), law, jnp.asarray([tau], jnp.float32))
        y = np.linspace(-5, 5, 20001)
        p = stats.norm.pdf(y[:, None], a, np.sqrt(v)) @ np.exp(log_w) * stats.norm.pdf(x - y, scale=np.sqrt(tau))
        p /= p.sum()
        assert np.isclose(mean[0, 0, 0], p @ y, atol=1e-4)
        assert np.isclose(gate[0, 0, 0], (p @ y**2 - (p @ y) ** 2) / tau, atol=1e-3)


def test_mixture_law_is_normalised():
    eps = jnp.asarray([0.1], jnp.float32)
    start = np.tile(np.array([[0.0, -1.0, 0.5], [-1.0, 2.0, 0.02]]), (NODES, 1, 1))
    law = GaussianMixtureLaw(np.array([1.0]), RANGE, start, np.random.default_rng(0))
    grid = np.linspace(-12, 12, 4001)
    density = np.exp(np.asarray(law.log_density(jnp.asarray(grid[None, :, None], jnp.float32), eps, 0.5 * eps)[0]))
    w = np.exp([0.0, -1.0]) / np.exp([0.0, -1.0]).sum()
    exact = w[0] * stats.norm.pdf(grid, -1.0, np.sqrt(0.45)) + w[1] * stats.norm.pdf(grid, 2.0, np.sqrt(0.05))
    assert np.isclose(integrate.trapezoid(density, grid), 1, atol=1e-4)
    assert np.allclose(density, exact, atol=5e-3)


@pytest.mark.parametrize("logit", [4.0, -3.0])
def test_radial_law_is_normalised(logit):
    import equinox as eqx

    law = RadialLaw(np.array([1.0, 0.6]), RANGE, 1e-3, np.random.default_rng(0))
    bias = law.outer.bias.at[2].set(logit).at[0].set(0.3)
    law = eqx.tree_at(lambda m: m.outer.bias, law, bias)
    rng = np.random.default_rng(5)
    scale = np.array([2.0, 2.0])
    x = rng.normal(size=(1, 200000, 2)) * scale
    log_q = np.asarray(law.log_density(jnp.asarray(x, jnp.float32), jnp.asarray([0.1], jnp.float32))[0], dtype=float)
    ratio = np.exp(log_q - stats.norm.logpdf(x[0], scale=scale).sum(axis=1))
    error = ratio.std() / np.sqrt(ratio.size)
    assert error < 0.02 and abs(ratio.mean() - 1) < 4 * error + 1e-3


def test_negentropy_is_exact_for_gaussians_and_positive_otherwise():
    rng = np.random.default_rng(6)
    a = np.array([[1.0, 0.0], [0.7, 0.5]])
    normal = rng.normal(size=(1, 100000, 2)) @ a.T
    exact = 0.5 * np.log((2 * np.pi * np.e) ** 2 * np.linalg.det(a @ a.T))
    assert np.isclose(negentropy(jnp.asarray(normal, jnp.float32))[0], exact, atol=0.02)
    coins = rng.choice([-1.0, 1.0], size=(1, 1000, 1))
    gaussian = 0.5 * np.log(2 * np.pi * np.e * coins.var())
    assert float(negentropy(jnp.asarray(coins, jnp.float32))[0]) < gaussian - 0.1


def test_law_parts_are_integrals_of_the_kernel():
    z, eps, v = np.array([[0.3], [-1.1]]), 0.2, np.array([0.7])
    log_z, square = law_bound._gaussian_part(z, v, eps)
    for i, x in enumerate(z[:, 0]):

        def integrand(y, power, x=x):
            return stats.norm.pdf(y, scale=np.sqrt(0.7)) * np.exp(-((x - y) ** 2) / (2 * eps)) * (x - y) ** power

        mass = integrate.quad(integrand, -10, 10, args=(0,))[0]
        assert np.isclose(log_z[i], np.log(mass))
        assert np.isclose(square[i], integrate.quad(integrand, -10, 10, args=(2,))[0] / mass)


def test_particle_part_is_the_dense_sum():
    rng = np.random.default_rng(7)
    z, y, eps = rng.normal(size=(11, 2)), rng.normal(size=(5, 2)), 0.15
    square = ((z[:, None] - y) ** 2).sum(axis=-1)
    k = np.exp(-square / (2 * eps))
    w = rng.dirichlet(np.ones(5))
    log_z, distance = law_bound._particle_part(z, y, np.log(w), eps)
    assert np.allclose(log_z, np.log(k @ w))
    assert np.allclose(distance, (k * square) @ w / (k @ w))


def test_polishing_finds_the_two_atoms_of_a_coin():
    """μ = two atoms ±1 at ε = 0.5: L = F of the symmetric pair ±a with a = tanh(a/ε), and no sweep increases F."""
    z, eps = np.repeat([[-1.0], [1.0]], 50, axis=0), 0.5
    start = np.random.default_rng(1).normal(size=(30, 1))
    values = []
    for sweeps in (0, 1, 5, 400):
        y, log_w = law_bound.polish(start, z, eps, sweeps)
        values.append(-law_bound._particle_part(z, y, log_w, eps)[0].mean())
    a = 0.9
    for _ in range(200):
        a = np.tanh(a / eps)
    pair = -np.log(0.5 * (np.exp(-((1 - a) ** 2) / (2 * eps)) + np.exp(-((1 + a) ** 2) / (2 * eps))))
    assert (np.diff(values) < 0).all() and values[-1] == pytest.approx(pair, abs=1e-4)


def test_shares_maximise_the_likelihood():
    log_z = np.log(np.random.default_rng(8).uniform(0.1, 1.0, size=(400, 3)))
    alpha = law_bound._fit_shares(log_z, 3)
    assert np.isclose(alpha.sum(), 1) and (alpha > 0).all()
    best = np.log(np.exp(log_z) @ alpha).mean()
    for direction in np.eye(3):
        assert np.log(np.exp(log_z) @ (0.95 * alpha + 0.05 * direction)).mean() <= best + 1e-5


def test_control_variates_keep_the_mean_and_remove_quadratic_noise():
    rng = np.random.default_rng(9)
    lam = np.array([1.0, 0.3])
    fit, held = (rng.normal(size=(n, 2)) * np.sqrt(lam) for n in (500, 900))
    f = lambda z: 2.0 + z[:, 0] - 3 * z[:, 1] ** 2  # noqa: E731
    values = readout.remove_known_moments(held, f(held), fit, f(fit), lam)
    assert np.allclose(values, 2.0 - 3 * 0.3)
