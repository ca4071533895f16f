"""Critical ε: closed forms, numerics within their tolerance, zero where the bound is never tight."""

import pickle

import numpy as np
import pytest

import heatrd
from heatrd import sources
from heatrd.backward import critical_distortion, critical_epsilon
from heatrd.errors import InvalidInput

KNOWN = {
    "gaussian": sources.Gaussian(1.0, 0.7),
    "unequal": sources.GaussianMixture([0.3, 0.7], [-2.0, 0.5], [0.3, 1.0]),
    "close-variances": sources.GaussianMixture([0.5, 0.5], [-1.0, 1.0], [0.5, 0.7]),
    "light-narrow": sources.GaussianMixture([0.05, 0.95], [0.0, 0.5], [0.3, 1.0]),
    "three": sources.GaussianMixture([0.3, 0.5, 0.2], [-2.0, 0.5, 3.0], 1.0),
    "sinc": sources.SincMixture(),
    "sinc, a narrow dip": sources.SincMixture([0.5, 0.5], (-1.0, 1.2)),
    "ring": sources.NoisySphere(2, noise=0.3),
    "thin-ring": sources.NoisySphere(2, noise=0.1),
    "mixture-2d": sources.GaussianMixture([0.3, 0.7], [[-2.0, 0.0], [0.5, 1.0]], [1.0, 0.5]),
    "gaussian-2d": sources.Gaussian([0, 0], [[1.0, 0.3], [0.3, 0.5]]),
    "sphere-3d": sources.NoisySphere(3, noise=0.4),
}


@pytest.mark.parametrize("name", KNOWN)
def test_numerics_find_the_closed_form_within_one_percent(name):
    source = KNOWN[name]
    exact = source.critical_epsilon()
    found = critical_epsilon(source, method="numerical")
    assert found == pytest.approx(exact, rel=0.01)
    assert found.lower <= found <= found.upper
    assert found.lower <= exact * (1 + 2e-3) and exact * (1 - 2e-3) <= found.upper
    assert found.upper - found.lower < 0.05 * exact


@pytest.mark.parametrize("name", KNOWN)
def test_closed_form_comes_first(name):
    source = KNOWN[name]
    found = critical_epsilon(source)
    assert found == source.critical_epsilon() and found.method == "closed-form"
    assert critical_epsilon(source, interval=True) == (found, found)
    assert critical_distortion(source) == pytest.approx(source.dim * found)


@pytest.mark.parametrize(
    "source",
    [sources.Laplace(), sources.Uniform(), sources.Exponential(), sources.Triangular(), sources.Logistic(),
     sources.GeneralizedGaussian(1.5), sources.StudentT(4.0), sources.Atoms([0.0, 1.0])],
    ids=lambda s: s.name,
)  # fmt: skip
def test_zero_where_the_bound_is_never_tight(source):
    assert critical_epsilon(source) == 0.0
    found = critical_epsilon(source, method="numerical")
    assert found == 0.0 and found.lower == 0.0
    assert found.upper < 0.1 * source.total_variance


@pytest.mark.parametrize("name", ["unequal", "close-variances", "three", "ring", "mixture-2d"])
def test_a_noisy_table_gives_it_to_five_percent(name):
    source = KNOWN[name]
    spread = 7 * np.sqrt(np.diag(source.covariance))
    axes = [np.linspace(m - s, m + s, 600 if source.dim == 1 else 160) for m, s in zip(source.mean, spread)]
    density = np.exp(source.log_density(np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1)))
    density *= 1 + 1e-10 * np.random.default_rng(4).standard_normal(density.shape)
    table = heatrd.from_grid(axes if source.dim > 1 else axes[0], density, normalize=True)
    found = critical_epsilon(table)
    assert found == pytest.approx(source.critical_epsilon(), rel=0.05)
    assert found.method != "closed-form" and found.lower < found.upper


@pytest.mark.parametrize("scale", [1e-3, 50.0])
def test_it_scales_with_the_square_of_the_unit(scale):
    source = KNOWN["unequal"]
    stretched = sources.GaussianMixture(source.weights, scale * source.means[:, 0], scale**2 * source.covs[:, 0, 0])
    found = critical_epsilon(stretched, method="numerical") / scale**2
    assert found == pytest.approx(float(critical_epsilon(source, method="numerical")), rel=2e-3)


def test_values_carry_their_interval_through_pickle_and_scaling():
    found = critical_epsilon(KNOWN["ring"], method="numerical")
    again = pickle.loads(pickle.dumps(found))
    assert again == found and again.interval == found.interval and again.method == found.method
    assert found.scaled(3).lower == pytest.approx(3 * found.lower)


def test_bad_requests_are_refused():
    with pytest.raises(InvalidInput, match="method"):
        critical_epsilon(KNOWN["ring"], method="guess")
    table = heatrd.from_grid(np.linspace(-1, 1, 50), np.ones(50), normalize=True)
    with pytest.raises(InvalidInput, match="closed form"):
        critical_epsilon(table, method="closed-form")
