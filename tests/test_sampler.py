"""The sampler: means in standard errors, orders, reproducibility, every kind of control."""

import time

import numpy as np
import pytest

import heatrd
from heatrd.bridge import SchrodingerBridge
from heatrd.errors import InvalidInput, TooLarge
from heatrd.laws import DiscreteLaw, as_law
from heatrd.sampler import TabulatedControl, nearest_neighbour_entropy, sample
from heatrd.sampler.noise import midpoint_order, paths_from_normals
from heatrd.sources import Gaussian, GaussianMixture, Uniform

A = 0.7695105881508131  # optimal atoms ±A of Uniform[−√3, √3] at ε = 0.5


def within(estimate, exact, stderr_max, bias=0.0, z=4.0):
    assert estimate.stderr < stderr_max, "too few samples for this test to mean anything"
    assert abs(estimate - exact) < z * estimate.stderr + bias


@pytest.fixture(scope="module")
def uniform_bridge():
    return SchrodingerBridge(Uniform(), DiscreteLaw(np.array([[-A], [A]]), np.array([0.5, 0.5])), 0.5)


@pytest.fixture(scope="module")
def gaussian_bridge():
    source = Gaussian(1.0, 2.0)
    return SchrodingerBridge(source, source.deblurred(0.7), 0.7)


def exact_distortion(bridge):
    x = bridge.mu.points
    law = bridge.reconstruction
    p = law.weights * np.exp(-((x - law.points[:, 0]) ** 2) / (2 * bridge.epsilon))
    p /= p.sum(axis=1, keepdims=True)
    return float(bridge.mu.weights @ (p * (x - law.points[:, 0]) ** 2).sum(axis=1))


def test_exact_scheme_on_atoms(uniform_bridge):
    run = sample(uniform_bridge, 100_000, 16, rng=11)
    assert run.scheme == "exact" and run.n_paths == 100_000
    np.testing.assert_allclose(np.unique(run.terminal), [-A, A])
    within(run.distortion, exact_distortion(uniform_bridge), 3e-3)
    assert abs((run.terminal > 0).mean() - 0.5) < 4 * 0.5 / np.sqrt(1e5)
    assert run.entropy == -np.inf
    assert run.energy_horizon == 15 / 16


@pytest.mark.parametrize("steps", [2, 7])
def test_exact_marginals_at_any_step(uniform_bridge, steps):
    """Second and fourth moments at every grid time, against quadrature."""
    run = sample(uniform_bridge, 60_000, steps, rng=5, save=True)
    for k, t in enumerate(run.saved_times[:-1]):
        law = uniform_bridge.quadrature(float(t))
        for power in (2, 4):
            values = run.paths[:, k, 0] ** power
            exact = law.weights @ law.points[:, 0] ** power
            assert abs(values.mean() - exact) < 4.5 * values.std() / np.sqrt(len(values))


@pytest.mark.parametrize("scheme", ["exact", "euler", "heun"])
def test_gaussian_energy_entropy_and_account(gaussian_bridge, scheme):
    """E∫‖u‖²/2ε = ½ log(σ²/(σ²−ε)), h = ½ log 2πe(σ²−ε), and their sum is h(μ)."""
    run = sample(gaussian_bridge, 100_000, 100, rng=2, scheme=scheme)
    bias = 4e-3 if scheme == "euler" else 2e-4
    within(run.energy, 0.5 * np.log(2.0 / 1.3), 2e-3, bias)
    within(run.entropy, 0.5 * np.log(2 * np.pi * np.e * 1.3), 6e-3, bias)
    within(run.account, Gaussian(1.0, 2.0).entropy(), 8e-3, bias)
    within(run.distortion, 0.7, 5e-3, 2e-2 if scheme == "euler" else 1e-3)
    assert run.standard_errors == {
        "energy": run.energy_stderr,
        "distortion": run.distortion_stderr,
        "entropy": run.entropy_stderr,
    }


def test_one_run_gives_the_whole_curve():
    """R(D) = ½ log(σ²/D) at D = εt for every t of one run (DESIGN (5)); a mixture against its Shannon lower bound."""
    source = GaussianMixture([0.4, 0.6], [-1.0, 2.0], [0.6, 1.0])
    bridge = SchrodingerBridge(source, source.deblurred(0.5), 0.5)
    curve = sample(bridge, 50_000, 32, rng=9, curve=True).curve
    x = bridge.mu
    entropy = -x.weights @ source.logpdf(x.points[:, 0])
    assert len(curve.times) == 16 and curve.times[-1] == 1.0
    assert (np.abs(curve.distortion - curve.epsilon) < 4.5 * curve.distortion_stderr).all()
    exact = entropy - 0.5 * np.log(2 * np.pi * np.e * curve.epsilon)
    assert (np.abs(curve.rate - exact) < 4.5 * curve.rate_stderr + 1e-4).all()
    assert curve.rate_stderr.max() < 6e-3 and curve.distortion_stderr.max() < 5e-3


def coarse_and_reference(bridge, scheme, coarse, fine, n, seed):
    """Terminal points of ``scheme`` on 2^coarse steps and of a fine run driven by the same Brownian path."""
    rng = np.random.default_rng(seed)
    steps = 1 << fine
    x0 = bridge.mu.points[rng.choice(bridge.mu.size, n, p=bridge.mu.weights)]
    z = rng.standard_normal((steps, n, 1))
    ends = []
    for level in (coarse, fine):
        group = 1 << (fine - level)
        noise = z.reshape(-1, group, n, 1).sum(axis=1) / np.sqrt(group)
        ends.append(drive(bridge, scheme, x0, noise))
    return ends


def drive(bridge, scheme, x0, noise):
    """The package's scheme with given noise (its stepper, not a copy of it)."""
    from heatrd.sampler.fields import as_field
    from heatrd.sampler.plan import Plan
    from heatrd.sampler.steppers import controlled_stepper

    times = np.linspace(0, 0.8, len(noise) + 1)
    plan = Plan.make(as_field(bridge, None, None), times, len(x0), scheme, False, False, False, False, False)
    step, x, energy = controlled_stepper(plan), x0.copy(), np.zeros(len(x0))
    for k, z in enumerate(noise):
        step(k, x, z, energy)
    return x[:, 0]


@pytest.mark.parametrize("scheme,order", [("euler", 1.0), ("exponential", 1.0), ("heun", 1.0)])
def test_strong_orders(uniform_bridge, scheme, order):
    errors = []
    for coarse in (3, 5):
        rough, fine = coarse_and_reference(uniform_bridge, scheme, coarse, 9, 1000, 3)
        errors.append(np.sqrt(np.mean((rough - fine) ** 2)))
    assert np.log2(errors[0] / errors[1]) / 2 > 0.85 * order
    assert errors[1] < 0.06


@pytest.mark.parametrize("scheme,order,error", [("euler", 1.0, 2e-2), ("heun", 2.0, 1e-3)])
def test_weak_orders_without_noise(scheme, order, error):
    """For a linear drift the variance of the scheme obeys a recursion: no Monte Carlo, the order is seen to
    rounding."""
    sigma, eps, errors = 1.0, 0.6, []
    for steps in (20, 40):
        variance, delta = sigma, 1.0 / steps
        for k in range(steps):
            rate, ahead = (-eps / (sigma - eps * t) for t in (k * delta, (k + 1) * delta))
            grow, spread = 1 + delta * rate, 1.0
            if scheme == "heun":
                grow, spread = 1 + 0.5 * delta * (rate + ahead * (1 + delta * rate)), 1 + 0.5 * delta * ahead
            variance = grow**2 * variance + spread**2 * eps * delta
        errors.append(abs(variance - (sigma - eps)))
        run = sample(
            lambda t, x: -eps * x / (sigma - eps * t),
            1 << 15,
            steps,
            epsilon=eps,
            scheme=scheme,
            rng=1,
            quasi=True,
            initial=Gaussian(0.0, sigma),
        )
        second = (run.terminal[:, 0] ** 2).reshape(16, -1).mean(axis=1)
        assert abs(second.mean() - variance) < 4.5 * second.std(ddof=1) / 4
    assert np.log2(errors[0] / errors[1]) > 0.9 * order
    assert errors[1] < error


def test_heun_beats_euler_on_atoms(uniform_bridge):
    exact = exact_distortion(uniform_bridge)
    errors = {}
    for scheme in ("euler", "exponential", "heun"):
        run = sample(uniform_bridge, 1 << 16, 16, rng=4, scheme=scheme, quasi=True)
        errors[scheme] = abs(run.distortion - exact) - 3 * run.distortion.stderr
        assert run.distortion.stderr < 4e-3
    assert errors["heun"] < 1e-3 < errors["exponential"] < errors["euler"]


@pytest.mark.parametrize("options", [{}, {"antithetic": True}, {"quasi": True}])
@pytest.mark.parametrize("scheme", ["exact", "heun"])
def test_reproducible_whatever_the_threads(uniform_bridge, options, scheme):
    runs = [sample(uniform_bridge, 40_000, 5, rng=7, scheme=scheme, threads=threads, **options) for threads in (1, 3)]
    np.testing.assert_array_equal(runs[0].terminal, runs[1].terminal)
    np.testing.assert_array_equal(runs[0].energies, runs[1].energies)
    other = sample(uniform_bridge, 40_000, 5, rng=8, scheme=scheme, **options)
    assert not np.array_equal(other.energies, runs[0].energies)


def test_an_interrupt_ends_the_other_chunks():
    """The first call fails; without a word to the others seven chunks would take fifty steps each."""
    calls = 0

    def control(t, x):
        nonlocal calls
        calls += 1
        if calls == 1:
            raise KeyboardInterrupt
        time.sleep(0.01)
        return -x

    with pytest.raises(KeyboardInterrupt):
        sample(control, 1 << 17, 50, threads=2, epsilon=0.1, initial=np.zeros((1, 1)), scheme="euler", rng=0)
    assert calls < 200


def test_antithetic_pairs_and_quasi_random_gain(gaussian_bridge):
    plain = sample(gaussian_bridge, 32_768, 20, rng=1, scheme="heun")
    mirrored = sample(gaussian_bridge, 32_768, 20, rng=1, scheme="heun", antithetic=True)
    centred = mirrored.terminal - 1.0
    np.testing.assert_allclose(centred[::2], -centred[1::2], atol=1e-6)  # the drift is odd about the mean
    quasi = sample(gaussian_bridge, 32_768, 20, rng=1, scheme="heun", quasi=True)
    assert quasi.distortion.stderr < 0.5 * plain.distortion.stderr
    assert abs(quasi.distortion - 0.7) < 5 * quasi.distortion.stderr + 1e-3


def test_standard_errors_are_honest(uniform_bridge):
    """The scatter of independent runs agrees with the standard error that each reports."""
    for options in ({}, {"antithetic": True}, {"quasi": True}):
        runs = [sample(uniform_bridge, 1024, 4, rng=seed, **options).distortion for seed in range(40)]
        scatter, told = np.std([float(r) for r in runs], ddof=1), np.mean([r.stderr for r in runs])
        assert 0.6 < scatter / told < 1.6


def test_levy_construction_is_brownian():
    times = np.array([0.0, 0.1, 0.35, 0.4, 0.8, 1.0])
    assert sorted(m for _, m, _ in midpoint_order(5)) == [1, 2, 3, 4]
    basis = paths_from_normals(np.eye(5)[:, :, None], times)[:, :, 0]  # path values as linear maps of the normals
    np.testing.assert_allclose(basis @ basis.T, np.minimum.outer(times, times), atol=1e-14)


def test_every_kind_of_control():
    source, eps = Gaussian(0.0, 1.0), 0.5
    bridge = SchrodingerBridge(source, source.deblurred(eps), eps)
    times, axis = np.linspace(0, 1, 101), np.linspace(-8, 8, 401)
    table = np.array([bridge.control(t, axis) for t in times])
    controls = {
        "bridge": (bridge, {}),
        "path": (heatrd.backward_heat(source, eps), {}),
        "solution": (heatrd.solve(source, epsilon=eps), {}),
        "table": (TabulatedControl(times, axis, table, eps), {"initial": source}),
        "function": (lambda t, x: -eps * x / (1 - eps * t), {"initial": source, "epsilon": eps}),
        "points": (
            lambda t, x: (-eps * x / (1 - eps * t)).ravel(),
            {"initial": source.sample(20_000, 1), "epsilon": eps},
        ),
    }
    for name, (control, options) in controls.items():
        run = sample(control, 20_000, 60, rng=3, **options)
        within(run.energy, 0.5 * np.log(2.0), 4e-3, 5e-4)
        assert run.scheme == ("exact" if name in ("bridge", "solution") else "heun")


def test_in_the_plane():
    source = Gaussian([0.0, 1.0], [[1.0, 0.3], [0.3, 0.6]])
    bridge = SchrodingerBridge(source, source.deblurred(0.3), 0.3)
    run = sample(bridge, 30_000, 20, rng=0, save=[0.5, 1.0])
    assert run.paths.shape == (30_000, 2, 2)
    np.testing.assert_allclose(run.paths[:, -1], run.terminal)
    within(run.distortion, 0.6, 5e-3)
    within(run.account, source.entropy(), 2e-2)


def test_nearest_neighbour_entropy():
    rng = np.random.default_rng(0)
    for dim in (1, 2, 3):
        terms = nearest_neighbour_entropy(0.3 * rng.normal(size=(40_000, dim)))
        exact = 0.5 * dim * np.log(2 * np.pi * np.e * 0.09)
        assert abs(terms.mean() - exact) < 0.02


def test_errors(uniform_bridge):
    with pytest.raises(InvalidInput, match="scheme"):
        sample(uniform_bridge, 10, 4, scheme="milstein")
    with pytest.raises(InvalidInput, match="even"):
        sample(uniform_bridge, 11, 4, antithetic=True)
    with pytest.raises(InvalidInput, match="multiple"):
        sample(uniform_bridge, 17, 4, quasi=True)
    with pytest.raises(InvalidInput, match="times"):
        sample(uniform_bridge, 10, times=[0.1, 0.5])
    with pytest.raises(InvalidInput, match="epsilon"):
        sample(lambda t, x: x, 10, 4, initial=Uniform())
    with pytest.raises(InvalidInput, match="start"):
        sample(lambda t, x: x, 10, 4, epsilon=1.0)
    with pytest.raises(InvalidInput, match="shape"):
        sample(lambda t, x: x[:3], 10, 4, epsilon=1.0, initial=Uniform())
    with pytest.raises(InvalidInput, match="not finite"):
        sample(lambda t, x: np.full_like(x, np.nan), 10, 4, epsilon=1.0, initial=Uniform())
    with pytest.raises(InvalidInput, match="exact"):
        sample(lambda t, x: x, 10, 4, epsilon=1.0, initial=Uniform(), scheme="exact")
    with pytest.raises(TooLarge, match="GiB"):
        sample(uniform_bridge, 10_000_000, 1000, save=True)
    with pytest.raises(InvalidInput, match="NaN"):
        TabulatedControl([0, 1], [0.0, 1.0], [[0.0, np.nan], [0.0, 0.0]], 1.0)


def test_plots(uniform_bridge):
    pytest.importorskip("matplotlib").use("Agg")
    from heatrd.plots.bridge import plot_paths, plot_terminal

    run = sample(uniform_bridge, 200, 20, rng=0, save=True)
    axes = plot_paths(run, bridge=uniform_bridge)
    assert len(axes.lines) > 50 and axes.get_xlabel() == "t"
    assert plot_terminal(run, law=uniform_bridge.reconstruction).get_ylabel() == "share of paths"
    assert run.plot().get_ylabel() == "$X_t$"
    plane = SchrodingerBridge(as_law(np.eye(2)), as_law(-np.eye(2)), 0.5)
    assert sample(plane, 50, 5, rng=0, save=True).plot().get_xlabel() == "$x_1$"
