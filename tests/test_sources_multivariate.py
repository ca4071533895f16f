"""Multivariate sources: moments, densities, samples, deblurring, names and bad input."""

import numpy as np
import pytest
from scipy import stats

from heatrd.errors import InvalidInput, TooLarge
from heatrd.quadrature.space import space_nodes
from heatrd.sources import (
    Ball,
    Banana,
    Box,
    Checkerboard,
    Disc,
    Gaussian,
    GaussianMixture,
    IsotropicLaplace,
    IsotropicT,
    Laplace,
    LaplaceProduct,
    MultivariateT,
    NoisySphere,
    Pinwheel,
    Polygon,
    Product,
    Sphere,
    Spirals,
    Square,
    TwoMoons,
    Uniform,
    as_source,
    noisy_curve,
    source_names,
)

SOURCES = [
    Box(),
    Square(3.0),
    LaplaceProduct([1.0, 0.5]),
    Polygon(),
    Polygon([[0, 0], [2, 0], [2, 2], [1, 0.5], [0, 2]]),
    Checkerboard(),
    TwoMoons(),
    TwoMoons(0.0),
    Spirals(),
    Banana(),
    Banana(-1.0, 2.0, 0.3),
    Pinwheel(),
    Disc(),
    Ball(3, 2.0, [1.0, 0.0, 0.0]),
    NoisySphere(2),
    NoisySphere(3, 1.0, 0.2),
    IsotropicLaplace(2),
    Sphere(2),
    Sphere(3),
    Product([Uniform(-1, 1), Laplace()]),
    GaussianMixture([0.5, 0.5], [[0, 0], [1, 0]], [np.eye(2), 0.3 * np.eye(2)]),
]


@pytest.mark.parametrize("source", SOURCES, ids=lambda s: f"{s.name}{s.dim}")
def test_quadrature_has_the_declared_moments_and_entropy(source):
    epsilon = 0.1 * np.linalg.eigvalsh(source.covariance)[-1]
    nodes = space_nodes(source, 0.3 * np.sqrt(epsilon), 1e-13)
    scale = np.sqrt(source.total_variance)
    mean = nodes.weights @ nodes.points
    centred = nodes.points - mean
    np.testing.assert_allclose(mean, source.mean, atol=1e-8 * scale)
    np.testing.assert_allclose((nodes.weights[:, None] * centred).T @ centred, source.covariance, atol=1e-8 * scale**2)
    entropy = source.entropy()
    if entropy is not None and np.isfinite(entropy):
        assert -nodes.weights @ source.log_density(nodes.points) == pytest.approx(entropy, abs=2e-6)


@pytest.mark.parametrize("source", SOURCES, ids=lambda s: f"{s.name}{s.dim}")
def test_samples_have_the_declared_moments(source):
    n = 20_000
    x = source.sample(n, np.random.default_rng(12345))
    assert x.shape == (n, source.dim)
    z = np.abs(x.mean(axis=0) - source.mean) / np.sqrt(np.diag(source.covariance) / n)
    assert z.max() < 4.5
    centred = x - source.mean
    for i in range(source.dim):
        for j in range(i, source.dim):
            products = centred[:, i] * centred[:, j]
            stderr = products.std(ddof=1) / np.sqrt(n)
            assert abs(products.mean() - source.covariance[i, j]) < 4.5 * stderr + 1e-15
    np.testing.assert_array_equal(x, source.sample(n, np.random.default_rng(12345)))


@pytest.mark.parametrize(
    "source",
    [TwoMoons(0.3), Spirals(2, 0.7, 1.0, 0.3), Banana(), Pinwheel(3), NoisySphere(2, 1.0, 0.4), MultivariateT(8.0)],
    ids=lambda s: s.name,
)
def test_density_integrates_to_one_by_another_rule(source):
    axis = np.linspace(-14, 14, 561)
    grid = np.stack(np.meshgrid(axis, axis, indexing="ij"), axis=-1)
    total = np.exp(source.log_density(grid)).sum() * 0.05**2
    assert total == pytest.approx(1, abs=2e-5 if source.name == "multivariate-t" else 1e-7)


@pytest.mark.parametrize(
    "source", [TwoMoons(0.3), Spirals(noise=0.2), NoisySphere(2, 1.0, 0.4), NoisySphere(3, 1.0, 0.4)]
)
def test_deblurred_law_blurs_back(source):
    critical = source.critical_epsilon()
    epsilon = 0.6 * critical
    inner = source.deblurred(epsilon)
    np.testing.assert_allclose(
        inner.covariance + epsilon * np.eye(source.dim), source.covariance, rtol=1e-9, atol=1e-12
    )
    nodes = space_nodes(inner, 0.3 * np.sqrt(epsilon), 1e-14)
    x = source.sample(20, 1)
    d2 = ((x[:, None, :] - nodes.points) ** 2).sum(axis=2)
    density = np.exp(-0.5 * d2 / epsilon) @ nodes.weights / (2 * np.pi * epsilon) ** (source.dim / 2)
    np.testing.assert_allclose(density, np.exp(source.log_density(x)), rtol=1e-8)
    bare = source.deblurred(critical)
    assert bare.critical_epsilon() == 0
    assert np.isneginf(bare.log_density(x)).all()
    assert source.deblurred(1.01 * critical) is None


@pytest.mark.parametrize("dim", [2, 10, 100])
def test_radial_quadrature_in_high_dimension(dim):
    for source in (Ball(dim), NoisySphere(dim), IsotropicLaplace(dim), IsotropicT(dim, 30.0)):
        r, w, lost, _ = source.radial_nodes(0.5, 1e-13)
        assert w.sum() == pytest.approx(1, abs=1e-11)
        assert w @ r**2 == pytest.approx(source.second_moment, rel=1e-9)
        assert lost <= 1e-12
        x = source.sample(4000, 3)
        radius2 = (x**2).sum(axis=1)
        assert abs(radius2.mean() - source.second_moment) < 5 * radius2.std() / np.sqrt(4000)


def test_multivariate_t_matches_scipy():
    shape = np.array([[1.0, 0.3], [0.3, 0.5]])
    frozen = stats.multivariate_t([1.0, 2.0], shape, df=5)
    mine = as_source(frozen)
    x = frozen.rvs(50, random_state=0)
    np.testing.assert_allclose(mine.log_density(x), frozen.logpdf(x), rtol=1e-12)
    assert mine.entropy() == pytest.approx(float(frozen.entropy()), rel=1e-10)
    np.testing.assert_allclose(mine.covariance, 5 / 3 * shape)


def test_scipy_multivariate():
    normal = as_source(stats.multivariate_normal([0.0, 1.0], [[2.0, 0.5], [0.5, 1.0]]))
    assert isinstance(normal, Gaussian)
    np.testing.assert_allclose(normal.covariance, [[2.0, 0.5], [0.5, 1.0]])
    assert isinstance(as_source(stats.uniform_direction(3)), Sphere)
    with pytest.raises(InvalidInput, match="multivariate_normal"):
        as_source(stats.dirichlet([1.0, 2.0, 3.0]))


def test_names():
    names = set(source_names())
    expected = {
        "ring",
        "sphere",
        "noisy-sphere",
        "disc",
        "ball",
        "box",
        "square",
        "polygon",
        "banana",
        "two-moons",
        "pinwheel",
        "spirals",
        "checkerboard",
        "laplace-product",
        "isotropic-laplace",
        "multivariate-t",
        "circle",
    }
    assert expected <= names
    assert as_source("ring", noise=0.2).critical_epsilon() == pytest.approx(0.04)
    assert as_source("disk", radius=2.0).covariance[0, 0] == pytest.approx(1.0)
    for name in expected:
        source = as_source(name)
        assert source.dim >= 2
        assert source.sample(3, 0).shape == (3, source.dim)


@pytest.mark.parametrize(
    "build",
    [
        lambda: Polygon([[0, 0], [1, 1], [1, 0], [0, 1]]),
        lambda: Polygon([[0, 0], [1, 0], [2, 0]]),
        lambda: Polygon([[0, 0], [1, 0]]),
        lambda: Box([0, 0], [1, 0]),
        lambda: Box([0, 0], [1]),
        lambda: Ball(2, -1.0),
        lambda: Sphere(2.5),
        lambda: NoisySphere(2, 1.0, 0.0),
        lambda: IsotropicT(2, 2.0),
        lambda: TwoMoons(-0.1),
        lambda: TwoMoons(float("nan")),
        lambda: Spirals(arms=0),
        lambda: Pinwheel(arms=1.5),
        lambda: Banana(noise=0.0),
        lambda: MultivariateT(5.0, [0, 0], [[1, 2], [2, 1]]),
        lambda: Checkerboard(0),
        lambda: Product([]),
        lambda: Product([3]),
        lambda: LaplaceProduct([1.0, -1.0]),
        lambda: Sphere(3, 1.0, [0.0, 0.0]),
    ],
)
def test_bad_parameters(build):
    with pytest.raises(InvalidInput):
        build()


def test_polygon_density_and_clockwise_order():
    vertices = [[0, 0], [2, 0], [2, 2], [1, 0.5], [0, 2]]
    one, other = Polygon(vertices), Polygon(vertices[::-1])
    x = np.random.default_rng(0).uniform(-0.5, 2.5, (400, 2))
    np.testing.assert_array_equal(one.log_density(x), other.log_density(x))
    assert np.isneginf(one.log_density(np.array([1.0, 1.5])))
    assert one.log_density(np.array([0.2, 0.2])) == pytest.approx(-np.log(2.5))


@pytest.mark.parametrize("curvature", [0.8, -3.0])
def test_nodes_of_a_bent_banana_do_not_depend_on_their_spacing(curvature):
    """Near its apex a strongly bent ridge turns within less than the spacing asked for."""
    source = Banana(curvature)

    def characteristic(spacing):
        points, weights, _, _ = source.nodes(spacing, 1e-13)
        return np.cos(points @ [1.3, 0.5]) @ weights / weights.sum()

    assert characteristic(0.25) == pytest.approx(characteristic(0.1), abs=1e-12)


def test_density_of_a_narrow_curve_cell_by_cell(monkeypatch):
    source = Spirals(noise=0.02)
    rng = np.random.default_rng(0)
    far = np.concatenate([source.sample(200, 1), source.sample(50, 2) + 0.3, 5 * rng.standard_normal((20, 2))])
    monkeypatch.setattr(noisy_curve, "_FEW", 0)
    local = source.log_density(far)
    monkeypatch.setattr(noisy_curve, "_FEW", 10**9)
    np.testing.assert_allclose(local, source.log_density(far), rtol=1e-14, atol=1e-13)


@pytest.mark.parametrize("source", [TwoMoons(0.05), Spirals(noise=0.01, turns=3.0)], ids=["moons", "spirals"])
@pytest.mark.parametrize("widths", [4.5, 30.0])
def test_nodes_wider_than_the_noise_integrate_kernels(source, widths):
    """∫ μ(dx) k(x − y) by the nodes for kernels of width √ε, against the bare curve with kernels of variance ε + s²."""
    epsilon = (widths * source.noise) ** 2
    x, w, _, _ = source.nodes(0.45 * np.sqrt(epsilon), 1e-14)
    bare, mass = source.curve_nodes(0.5 * source.noise)
    y = source.sample(5, 0)

    def kernel(points, masses, variance):
        square = ((y[:, None] - points) ** 2).sum(axis=2)
        return np.exp(-0.5 * square / variance) @ masses

    both = epsilon + source.noise**2
    np.testing.assert_allclose(kernel(x, w, epsilon), epsilon / both * kernel(bare, mass, both), rtol=1e-10, atol=1e-13)
    assert w.sum() == pytest.approx(1, abs=1e-13)


def test_curves_too_long_to_resolve_are_refused():
    with pytest.raises(InvalidInput, match="turns"):
        Spirals(turns=1e17)
    with pytest.raises(TooLarge, match="noise"):
        TwoMoons(1e-6).entropy()
    with pytest.raises(TooLarge, match="larger noise"):
        TwoMoons(1e-6).log_density([[0.0, 1.0]])


def test_a_polygon_wider_than_numbers_square_is_refused():
    with pytest.raises(InvalidInput, match=r"span 2e\+200"):
        Polygon([[-1e200, 0], [1e200, 0], [0, 1]])
    assert Polygon([[-1e140, 0], [1e140, 0], [0, 1e140]]).triangles.shape == (1, 3, 2)
