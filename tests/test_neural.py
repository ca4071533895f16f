"""`R2D2` as a user sees it: exactness, bounds, reproducibility, resume, files, refusals. Tiny networks, few steps."""

import json
import os
import signal
import subprocess
import sys
import threading

import numpy as np
import pytest

jax = pytest.importorskip("jax")
pytest.importorskip("equinox")
pytest.importorskip("optax")

from heatrd.errors import InvalidInput
from heatrd.neural import R2D2, NeuralCurve
from heatrd.neural.training import MIN_DELTA
from heatrd.sources import Gaussian

TINY = {"width": 8, "depth": 1, "steps": 3, "components": 2}
FIT = {"steps": 6, "batch": 32, "groups": 2, "evaluate_every": 2, "patience": None}
READ = {"held_out": 2000, "particles": 500, "importance": 2}
VARIANCES = np.array([4.0, 0.05])
MEAN = np.array([3.0, -1.0])


UNIFORM_LAGRANGIAN = 1.2068962487137
"""L(0.2) of Uniform[−√3, √3], five atoms polished by Newton to 1e-14."""


def squares(n, rng):
    return rng.uniform(-1, 1, size=(n, 2))


@pytest.fixture(scope="module")
def gaussian():
    return R2D2(**TINY, entropy="knife", seed=1).fit(Gaussian(MEAN, np.diag(VARIANCES)), **FIT)


@pytest.fixture(scope="module")
def square():
    return R2D2(**TINY, seed=2).fit(squares, **FIT)


def gaussian_truth(epsilon):
    rate = 0.5 * np.log(np.maximum(VARIANCES / epsilon, 1)).sum()
    return rate, np.minimum(VARIANCES, epsilon).sum()


@pytest.mark.parametrize("epsilon", [0.05, 0.3, 1.5])
@pytest.mark.parametrize("method", ["law", "chain"])
def test_gaussian_sources_are_exact_from_the_start(gaussian, epsilon, method):
    rate, distortion = gaussian_truth(epsilon)
    estimate = gaussian.rate_distortion(epsilon, method=method, **READ)
    truth = rate + distortion / (2 * epsilon)
    assert estimate.upper_method == method
    assert estimate.lagrangian_upper == pytest.approx(truth, abs=6e-3)
    assert estimate.lagrangian_upper_stderr < 3e-3
    assert estimate.distortion == pytest.approx(distortion, rel=0.1)
    assert estimate.rate == pytest.approx(rate, abs=0.12)
    if method == "law":
        assert estimate.upper_distortion == pytest.approx(distortion, rel=0.05)


def test_gaussian_control_in_source_units(gaussian):
    x, t, eps = np.random.default_rng(0).normal(size=(5, 2)) + MEAN, 0.3, 0.2
    v = np.maximum(VARIANCES - eps, 0)
    exact = -eps * (x - MEAN) / (v + eps * (1 - t))
    assert np.allclose(gaussian.control(t, x, eps), exact, atol=0.05 * np.abs(exact).max())
    assert gaussian.control(t, x[0], eps).shape == (2,)
    assert np.allclose(gaussian.control(t, x[0], eps), gaussian.control(t, x, eps)[0], atol=1e-5)
    mean = gaussian.posterior_mean(t, x, eps)
    assert np.allclose((mean - x) / (1 - t), gaussian.control(t, x, eps))
    assert np.allclose(gaussian.control(1.0, x, eps), gaussian.control(1 - gaussian.last, x, eps), rtol=1e-9)


def test_the_sampler_takes_the_control(gaussian):
    """Euler–Maruyama under the learned control: energy and terminal variance of the Gaussian solution."""
    import heatrd

    epsilon = 0.2
    ensemble = heatrd.sample(gaussian.at(epsilon), 2000, 50, rng=0)
    variance = np.asarray(ensemble.terminal).var(axis=0)
    assert np.allclose(variance, np.maximum(VARIANCES - epsilon, 0), atol=[0.5, 0.03])
    assert gaussian.at(epsilon).epsilon == epsilon


def test_reconstruction_of_a_gaussian(gaussian):
    rng = np.random.default_rng(1)
    x = MEAN + rng.normal(size=(4000, 2)) * np.sqrt(VARIANCES)
    y = gaussian.reconstruct(x, 0.2)
    assert np.allclose(y.var(axis=0), np.maximum(VARIANCES - 0.2, 0), atol=0.3)
    assert np.allclose(y.mean(axis=0), MEAN, atol=0.15)


@pytest.mark.parametrize("method", ["law", "chain"])
def test_the_bound_is_a_bound_even_for_an_untrained_network(square, method):
    """Uniform square, almost no training: two independent uniforms, L is twice that of an interval, ε scaled by 1/3."""
    truth = 2 * UNIFORM_LAGRANGIAN
    estimate = square.rate_distortion(0.2 / 3, method=method, **READ)
    low, high = estimate.lagrangian_upper_interval
    assert low < estimate.lagrangian_upper < high
    assert estimate.lagrangian_upper > truth - 4 * estimate.lagrangian_upper_stderr
    assert estimate.lagrangian_upper < truth + 0.3
    assert estimate.lagrangian_upper_stderr < 0.03


def test_terms_of_the_bound_average_to_it(square):
    x = squares(READ["held_out"], np.random.default_rng(4))
    terms = square.bound_terms(x, 0.1, particles=500)
    bound = square.rate_distortion(0.1, source=x, method="law", particles=500)
    assert terms.shape == (len(x),)
    assert terms.mean() == pytest.approx(bound.lagrangian_upper, abs=1e-12)
    assert np.allclose(square.bound_terms(x[:3], 0.1, particles=500), terms[:3], atol=1e-12)


def test_training_lowers_the_held_out_loss():
    """Two well separated atoms, where the Gaussian start is poor."""
    coins = R2D2(**TINY, epsilon_range=(0.05, 0.3), seed=2).fit(
        lambda n, rng: rng.choice([-1.0, 1.0], size=(n, 2)), **(FIT | {"steps": 200, "evaluate_every": 50})
    )
    losses = coins.history.held_out
    assert losses[-1] < losses[0] - 0.05
    assert coins.history.best_step > 0
    assert losses[coins.history.steps == coins.history.best_step] < losses.min() + 2 * MIN_DELTA


def test_curve_is_ordered_and_monotone(gaussian, tmp_path):
    curve = gaussian.curve([0.1, 1.0, 0.3], method="law", **READ)
    assert isinstance(curve, NeuralCurve) and len(curve) == 3
    assert (np.diff(curve.epsilons) < 0).all() and (np.diff(curve.distortions) < 0).all()
    assert (np.diff(curve.rates) > 0).all()
    curve.to_csv(tmp_path / "c.csv")
    assert (tmp_path / "c.csv").read_text().count("\n") == 4
    inside = float(np.mean(curve.column("upper_distortion")[:2]))
    assert curve[0].upper_rate <= curve.rate_upper(inside) <= curve[1].upper_rate
    assert np.isnan(curve.rate_upper(1e-9))
    json.dumps(curve[0].to_dict())
    assert "np.float64" not in repr(curve[0])
    assert len(gaussian.curve(2, method="law", **READ)) == 2


def test_save_load_is_the_identity(square, tmp_path):
    path = tmp_path / "m.npz"
    square.save(path)
    again = R2D2.load(path)
    x = np.random.default_rng(2).uniform(-1, 1, size=(6, 2))
    assert np.array_equal(square.control(0.4, x, 0.1), again.control(0.4, x, 0.1))
    assert square.rate_distortion(0.1, **READ).to_dict() == again.rate_distortion(0.1, **READ).to_dict()
    assert np.array_equal(square.history.held_out, again.history.held_out)
    assert repr(square) == repr(again)
    with np.load(path, allow_pickle=False) as archive:
        assert all(archive[name].dtype != object for name in archive.files)


@pytest.mark.parametrize("damage", ["missing", "text", "truncated", "nan", "version"])
def test_load_refuses_damaged_files(square, tmp_path, damage):
    path = tmp_path / "m.npz"
    square.save(path)
    if damage == "missing":
        path.unlink()
    elif damage == "text":
        path.write_text("not a model")
    elif damage == "truncated":
        path.write_bytes(path.read_bytes()[:1000])
    else:
        with np.load(path) as archive:
            arrays = dict(archive)
        if damage == "nan":
            arrays["leaf0006"] = np.full_like(arrays["leaf0006"], np.nan)
        else:
            header = json.loads(arrays["header"].tobytes())
            arrays["header"] = np.frombuffer(json.dumps(header | {"version": 99}).encode(), dtype=np.uint8)
        np.savez(path, **arrays)
    with pytest.raises(InvalidInput):
        R2D2.load(path)


def test_resume_is_the_uninterrupted_training(square, tmp_path):
    def interrupt(step, loss):
        if step == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        R2D2(**TINY, seed=2).fit(squares, **FIT, checkpoint=tmp_path, callback=interrupt)
    resumed = R2D2(**TINY, seed=2).fit(squares, **FIT, checkpoint=tmp_path, resume=True)
    assert np.array_equal(resumed.history.held_out, square.history.held_out)
    assert np.array_equal(resumed.history.training, square.history.training)
    for a, b in zip(jax.tree.leaves(resumed._fit.model), jax.tree.leaves(square._fit.model)):
        assert np.array_equal(a, b)
    with pytest.raises(InvalidInput, match="seed"):
        R2D2(**TINY, seed=3).fit(squares, **FIT, checkpoint=tmp_path, resume=True)


def test_ctrl_c_at_any_moment_leaves_a_checkpoint_that_resumes_exactly(square, tmp_path):
    """SIGINT by the clock, wherever the training happens to be by then; the last session runs to the end."""
    interrupts = 0
    for session in range(5):
        timer = threading.Timer(0.001 * 3**session, os.kill, (os.getpid(), signal.SIGINT))
        try:
            resumed = R2D2(**TINY, seed=2).fit(
                squares, **FIT, checkpoint=tmp_path, checkpoint_every=10**6, resume=True,
                callback=lambda step, loss, timer=timer: None if timer.ident else timer.start(),
            )
            timer.cancel()
            break
        except KeyboardInterrupt:
            interrupts += 1
    assert interrupts > 1
    assert np.array_equal(resumed.history.held_out, square.history.held_out)
    assert np.array_equal(resumed.history.training, square.history.training)
    for a, b in zip(jax.tree.leaves(resumed._fit.model), jax.tree.leaves(square._fit.model)):
        assert np.array_equal(a, b)


def test_seeds_reproduce_and_differ(square):
    x = np.array([[0.2, -0.4]])
    again = R2D2(**TINY, seed=2).fit(squares, **FIT)
    other = R2D2(**TINY, seed=9).fit(squares, **FIT)
    assert np.array_equal(again.control(0.1, x, 0.1), square.control(0.1, x, 0.1))
    assert not np.array_equal(other.control(0.1, x, 0.1), square.control(0.1, x, 0.1))


def test_the_elliptical_law_trains_on_samples():
    x = np.random.default_rng(3).normal(size=(400, 2)) * [1.0, 0.5] + 7
    model = R2D2(**TINY, entropy="elliptical").fit(x, **FIT, held_out=0.25)
    assert len(model._fit.choice) == 50 and not {*model._fit.choice[:, 0]} & {*model._fit.pool[:, 0]}
    estimate = model.rate_distortion(0.1, method="law", **READ)
    assert estimate.held_out == 100
    truth = 0.5 * np.log(1 / 0.1) + 0.5 * np.log(0.25 / 0.1) + 1
    assert estimate.lagrangian_upper == pytest.approx(truth, abs=5 * estimate.lagrangian_upper_stderr + 0.05)
    assert estimate.lagrangian == pytest.approx(truth, abs=0.5)


def test_held_out_samples_are_never_trained_on():
    from heatrd.neural.data import data_of

    x = np.arange(200.0)
    data = data_of(x, dim=None, held_out=0.2, seed=0)
    held, chosen = set(data.held_out(10**6, 0)[:, 0]), set(data.validation(10**6, 0)[:, 0])
    seen = set(data.train(5000, 0, 0)[:, 0])
    assert len(held) == 40 and len(chosen) == 20 and len(seen) == 140
    assert len(held | chosen | seen) == 200


def test_early_stopping_keeps_the_best():
    model = R2D2(**TINY, entropy="knife").fit(
        Gaussian(MEAN, np.diag(VARIANCES)), **(FIT | {"steps": 40, "patience": 2, "learning_rate": 0.5})
    )
    assert model.history.stopped == "patience" and model.history.steps[-1] < 40
    best = model.history.held_out[model.history.steps == model.history.best_step]
    assert best < model.history.held_out.min() + MIN_DELTA


@pytest.mark.parametrize(
    "settings",
    [{"entropy": "guess"}, {"epsilon_range": (1.0, 0.1)}, {"epsilon_range": (0.0, 1.0)}, {"epsilon_range": 3},
     {"width": 0}, {"steps": 2.5}, {"dim": 0}, {"seed": -1}, {"last": 1.0}],
)
def test_bad_settings_are_refused(settings):
    with pytest.raises(InvalidInput):
        R2D2(**settings)


@pytest.mark.parametrize(
    "data",
    [np.full((50, 2), np.nan), np.zeros((50, 2)), np.zeros((2, 2, 2)), np.zeros(3), [["a"]], lambda n: np.zeros((n, 2)),
     lambda n, rng: rng.normal(size=(n + 1, 1)), lambda n, rng: rng.normal(size=(n, 3))],
)
def test_bad_data_are_refused(data):
    with pytest.raises(InvalidInput):
        R2D2(dim=None if isinstance(data, np.ndarray) else 2, **TINY).fit(data, **FIT)


def test_bad_calls_are_refused(square):
    x = np.zeros((3, 2))
    for call in (
        lambda: square.control(1.1, x, 0.1),
        lambda: square.control(-0.1, x, 0.1),
        lambda: square.control(0.1, np.zeros((3, 5)), 0.1),
        lambda: square.control(0.1, np.full((3, 2), np.inf), 0.1),
        lambda: square.control(0.1, x, 1e3),
        lambda: square.rate_distortion(np.nan),
        lambda: square.rate_distortion(0.1, method="best"),
        lambda: square.curve([]),
        lambda: R2D2().control(0.1, x, 0.1),
        lambda: R2D2().fit(squares, resume=True),
        lambda: R2D2().fit(squares, batch=3),
        lambda: R2D2().fit(squares, held_out=0),
    ):
        with pytest.raises(InvalidInput):
            call()


def test_importing_heatrd_loads_no_jax_and_neural_changes_no_flags():
    code = (
        "import sys, heatrd; assert 'jax' not in sys.modules; import jax; before = dict(jax.config.values);"
        "import heatrd.neural; assert dict(jax.config.values) == before"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=120)
