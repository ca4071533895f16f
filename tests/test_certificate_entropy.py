"""The Shannon dual: bounds by the entropy of the source, against closed forms, the sup-c certificate and wrong laws."""

import warnings

import numpy as np
import pytest

import heatrd
from heatrd import sources
from heatrd.backward.projection import project
from heatrd.certificate.shannon import certify_by_entropy
from heatrd.closed_forms import differential_entropy
from heatrd.errors import HeatrdWarning, InvalidInput, TooLarge
from heatrd.laws import as_law
from heatrd.quadrature.tensor import KernelSum, tensor_rules
from heatrd.reconstruction.dispatch import certify_law

CLASS = {
    "line": (sources.GaussianMixture([0.2, 0.5, 0.3], [-3.0, 0.0, 1.0], [0.4, 1.1, 0.6]), 0.33),
    "plane": (
        sources.GaussianMixture(
            [0.7, 0.3], [[0.0, 0.5], [2.0, -1.0]], [[[0.9, 0.3], [0.3, 0.5]], [[0.6, 0], [0, 1.2]]]
        ),
        0.3,
    ),
    "ring": (sources.NoisySphere(2, radius=1.4, noise=0.5), 0.2),
    "space": (sources.GaussianMixture([0.5, 0.5], [[0, 0, 0], [1, 0, 0.5]], [1.0, 0.7]), 0.5),
    "sphere": (sources.NoisySphere(3, noise=0.45), 0.19),
}


def quiet(*args, **options):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", HeatrdWarning)
        return heatrd.backward_heat(*args, **options)


@pytest.mark.parametrize("name", CLASS)
def test_lattice_laws_of_the_class_are_proved_optimal(name):
    source, epsilon = CLASS[name]
    certificate = heatrd.backward_heat(source, epsilon).certificate
    exact = differential_entropy(source) - 0.5 * source.dim * np.log(2 * np.pi * epsilon)
    assert 0 <= certificate.gap < 1e-11
    assert certificate.lagrangian_lower - 1e-9 <= exact <= certificate.lagrangian + 1e-9
    assert certificate.distortion == pytest.approx(source.dim * epsilon, rel=1e-9)
    assert certificate.quadrature.covariance == pytest.approx(source.covariance, abs=1e-9)


@pytest.mark.parametrize("name, method", [("line", "spectral"), ("line", "finite-difference"), ("ring", "spectral")])
def test_numerical_answers_are_proved_too(name, method):
    source, _ = CLASS[name]
    path = quiet(source, 0.9 * source.critical_epsilon(), method=method)
    assert path.residual > 1e-6, "nothing to project away"
    assert path.certificate.gap < 1e-9
    assert path.reconstruction.mean == pytest.approx(source.mean, abs=1e-3)


def test_heavy_tails_are_continued():
    source = sources.SincMixture()
    path = heatrd.backward_heat(source, 0.5 * source.critical_epsilon())
    law = path.reconstruction
    assert path.certificate.gap < 1e-9
    assert np.abs(law.points).max() > 1e6
    assert law.size < 2e5 and law.weights.sum() == pytest.approx(1.0)


def test_any_law_gets_the_same_value_as_from_the_bound_of_sup_c():
    """Scattered atoms and a lattice, far from optimal: the same F and distortion, and a gap that says so."""
    source = sources.NoisySphere(2, noise=0.5)
    epsilon, rng = 0.2, np.random.default_rng(4)
    scattered = as_law(rng.normal(size=(40, 2)), rng.random(40))
    lattice = as_law(np.stack(np.meshgrid([-1.0, 0.0, 1.0], [-1.5, 0.2]), axis=-1).reshape(-1, 2))
    for law in (scattered, lattice):
        one, other = certify_by_entropy(source, law, epsilon), certify_law(source, law, epsilon)
        assert one.lagrangian == pytest.approx(other.lagrangian, abs=1e-8)
        assert one.distortion == pytest.approx(other.distortion, abs=1e-7)
        assert one.gap > 0.01 and one.log_sup == np.inf
        assert one.lagrangian_lower <= other.lagrangian and other.lagrangian_lower <= one.lagrangian


def test_beyond_the_class_the_entropy_is_a_bound_that_is_not_tight():
    source = sources.NoisySphere(2, noise=0.3)
    angle = 2 * np.pi * np.arange(60) / 60
    ring = as_law(0.9 * np.stack([np.cos(angle), np.sin(angle)], axis=-1))
    one, other = (f(source, ring, 0.15) for f in (certify_by_entropy, certify_law))
    assert one.lagrangian_lower < other.lagrangian_lower < one.lagrangian


def test_what_the_box_leaves_out_is_charged():
    """A law that stays away from part of the source: every node far from it is bounded, not dropped."""
    source = sources.GaussianMixture([0.5, 0.5], [-40.0, 40.0], [1.0, 1.0])
    certificate = certify_by_entropy(source, as_law([-40.0]), 0.01)
    assert certificate.lagrangian == pytest.approx(0.5 * (1 + 1 + 80**2) / 0.02, rel=1e-6)


def test_a_table_is_certified_for_its_interpolant():
    x = np.linspace(-7, 7, 200)
    table = heatrd.from_grid(x, np.exp(-(x**2) / 2), normalize=True)
    path = quiet(table, 0.4)
    one = certify_by_entropy(table, path.reconstruction, 0.4)
    other = certify_law(table, path.reconstruction, 0.4)
    assert one.lagrangian == pytest.approx(other.lagrangian, abs=1e-8)
    assert 0 < path.certificate.gap <= one.gap < 1e-5


@pytest.mark.parametrize("dim", [1, 2, 3])
def test_gaussian_sums(dim):
    """Lattice or scattered, the sums are those of their definition."""
    source, rng = sources.Gaussian(np.zeros(dim), np.ones(dim)), np.random.default_rng(dim)
    rule = tensor_rules(source, 4.0)[1]
    nodes, cell = rule.part(slice(2, 4))
    assert cell.shape == nodes.shape[:-1] and rule.part(slice(None))[1].sum() == pytest.approx(
        np.prod([x[-1] - x[0] + x[1] - x[0] for x in rule.axes])
    )
    lattice = np.stack(np.meshgrid(*[np.arange(-1.0, 2.0)] * dim), axis=-1).reshape(-1, dim)
    for points in (lattice[: len(lattice) - 1], rng.normal(size=(400, dim))):
        law = as_law(points, rng.random(len(points)))
        kernel = KernelSum(law, rule, 4.0)
        squares = ((nodes[..., None, :] - law.points) ** 2).sum(axis=-1)
        plain = np.exp(-squares / 8.0)
        z, moment = kernel.at(slice(2, 4))
        np.testing.assert_allclose(z, plain @ law.weights, rtol=1e-12)
        np.testing.assert_allclose(moment, (plain * squares) @ law.weights, rtol=1e-12)


def test_projection_recovers_weights():
    """From equal weights to those that push forward to the source, and no further than asked."""
    source = sources.GaussianMixture([0.25, 0.75], [[-1.0, 0.0], [1.0, 1.0]], 0.5)
    points = np.stack(np.meshgrid([-1.0, 1.0], [0.0, 1.0], indexing="ij"), axis=-1).reshape(-1, 2)
    law = project(source, as_law(points), 0.5, tol=1e-12)
    np.testing.assert_allclose(law.weights, [0.25, 0.0, 0.0, 0.75], atol=1e-4)
    assert certify_by_entropy(source, law, 0.5).gap < 1e-11
    again = project(source, law, 0.5, tol=1e-10)
    np.testing.assert_allclose(again.weights, law.weights, rtol=1e-12)


def test_bad_input():
    law = as_law([[0.0, 0.0]])
    with pytest.raises(InvalidInput, match="density on R"):
        certify_by_entropy(sources.Gaussian([0.0] * 4, np.eye(4)), as_law([[0.0] * 4]), 0.1)
    with pytest.raises(InvalidInput, match="density on R"):
        certify_by_entropy(sources.Gaussian(0.0, 1.0), law, 0.1)
    with pytest.raises(InvalidInput, match="density on R"):
        certify_by_entropy(sources.Atoms([[0.0, 0.0], [1.0, 0.0]]), law, 0.1)
    with pytest.raises(TooLarge, match="quadrature nodes"):
        certify_by_entropy(sources.Gaussian([0.0, 0.0], [1.0, 1e-8]), law, 1e-9)
