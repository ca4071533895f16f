"""Independent blocks at equal slope: additivity, reverse water-filling, rotated Gaussians."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import heatrd
from heatrd.errors import InvalidInput
from heatrd.reconstruction import dispatch, line, product, radial
from heatrd.sources import Box, Disc, Gaussian, Laplace, LaplaceProduct, Polygon, Product, Uniform


def water_filling(values, epsilon):
    d = np.minimum(values, epsilon)
    return 0.5 * np.log(values / d).sum(), d.sum()


@settings(max_examples=8)
@given(seed=st.integers(0, 10**6), log_epsilon=st.floats(-4, 1))
def test_gaussian_reverse_water_filling(seed, log_epsilon):
    rng = np.random.default_rng(seed)
    d = int(rng.integers(2, 6))
    root = rng.standard_normal((d, d)) + 0.5 * np.eye(d)
    cov = root @ root.T
    epsilon = float(np.exp(log_epsilon) * np.trace(cov) / d)
    source = Gaussian(rng.standard_normal(d), cov)
    certificate, regime = product.reconstruct(source, epsilon)
    values = np.linalg.eigvalsh(cov)
    rate, distortion = water_filling(values, epsilon)
    assert certificate.gap <= 1e-8
    assert certificate.distortion == pytest.approx(distortion, rel=1e-6)
    assert (
        certificate.rate_lower - 1e-9
        <= rate
        <= certificate.rate + 1e-9 + abs(certificate.distortion - distortion) / (2 * epsilon)
    )
    if epsilon < values[0] * 0.999:
        assert regime == "backward-heat"
    if epsilon > values[-1] * 1.001:
        assert regime == "zero-rate"
    np.testing.assert_allclose(certificate.law.mean, source.mean, atol=1e-6 * np.sqrt(np.trace(cov)))
    expected = np.linalg.eigh(cov)[1] @ np.diag(np.maximum(values - epsilon, 0)) @ np.linalg.eigh(cov)[1].T
    np.testing.assert_allclose(certificate.law.covariance, expected, atol=1e-5 * np.trace(cov))


def test_equal_coordinates_in_ten_dimensions():
    one, _ = line.LineProblem(Uniform(-1, 1), 1e-10)(0.05)
    ten, regime = product.reconstruct(Box([-1] * 10, [1] * 10), 0.05)
    assert regime == "atomic"
    assert ten.lagrangian == pytest.approx(10 * one.lagrangian, abs=1e-8)
    assert ten.distortion == pytest.approx(10 * one.distortion, rel=1e-6)
    assert ten.gap <= 1e-8
    with pytest.raises(InvalidInput, match="too many"):
        _ = ten.law.points
    assert len(ten.law.blocks) == 10


def test_the_hardest_block_sets_the_default_tolerance():
    cheap, plane = Uniform(-1, 1), Polygon()
    assert product.default_tolerance(Product([cheap, Disc()])) == product.default_tolerance(cheap) == 1e-9
    assert product.default_tolerance(Product([cheap, plane])) == product.default_tolerance(plane) == 1e-8
    assert not product.on_lines(Product([cheap, plane]))
    assert product.on_lines(Gaussian([0, 0], [[1, 0.5], [0.5, 1]]))
    asked = {}

    def solve_block(source, epsilon, tol, start):
        asked[source.dim] = tol
        return product._solve_block(source, epsilon, 1e-6, start)

    product.reconstruct(Product([cheap, plane]), 0.2, solve_block=solve_block)
    assert asked[1] + asked[2] == pytest.approx(1e-8)
    assert asked[2] == pytest.approx(10 * asked[1])


def test_blocks_of_different_kinds_add_up():
    source = Product([Disc(), Uniform(-1, 1)])
    together, _ = product.reconstruct(source, 0.1)
    disc, _ = radial.reconstruct(Disc(), 0.1)
    edge, _ = line.LineProblem(Uniform(-1, 1), 1e-9)(0.1)
    assert together.lagrangian == pytest.approx(disc.lagrangian + edge.lagrangian, abs=2e-9)
    assert together.law.points.shape == (len(together.law), 3)
    assert together.law.weights.sum() == pytest.approx(1)
    np.testing.assert_allclose(together.law.covariance[2, :2], 0, atol=1e-12)


def test_listed_points_of_a_square():
    certificate, _ = product.reconstruct(Box(), 0.1)
    proved = heatrd.certify(Box(), certificate.law.points, certificate.law.weights, 0.1, repair=False)
    assert proved.lagrangian == pytest.approx(certificate.lagrangian, abs=1e-9)
    assert proved.certificate.gap < 1e-8


def test_degenerate_gaussian_is_a_line():
    certificate, _ = product.reconstruct(Gaussian([0, 0], [[1.0, 1.0], [1.0, 1.0]]), 0.5)
    assert certificate.rate == pytest.approx(0.5 * np.log(2 / 0.5), abs=1e-8)


def test_which_sources_are_products():
    assert product.applies(LaplaceProduct([1.0, 2.0]))
    assert product.applies(Gaussian([0, 0], [[2.0, 1.0], [1.0, 2.0]]))
    assert not product.applies(Polygon())
    assert not product.applies(Laplace())
    assert heatrd.solve(LaplaceProduct([1.0, 1.0]), epsilon=0.5).gap <= 1e-8


def test_certify_law_of_a_product_goes_block_by_block():
    source = LaplaceProduct([1.0, 0.5, 2.0, 1.0, 1.0])
    certificate, _ = product.reconstruct(source, 0.3, tol=1e-6)
    again = dispatch.certify_law(source, certificate.law, 0.3)
    assert again.lagrangian == pytest.approx(certificate.lagrangian, abs=1e-7)
    assert again.lagrangian_lower <= certificate.lagrangian
    assert again.gap < 1e-5
