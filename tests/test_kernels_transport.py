"""Kernels of potentials, transport and paths against their dense twins."""

import numpy as np
import pytest
import reference

from heatrd.kernels import paths, potentials, sinkhorn


@pytest.mark.parametrize("dim", [1, 2, 5])
@pytest.mark.parametrize("s", [1e-4, 0.3, 50.0])
def test_log_mixture(dim, s):
    rng = np.random.default_rng(dim)
    x, y, log_mass = rng.normal(size=(40, dim)), rng.normal(size=(13, dim)), rng.normal(size=13)
    value, mean = np.empty(40), np.empty((40, dim))
    potentials.log_mixture(x, y, log_mass, s, value, mean)
    expected, expected_mean = reference.log_mixture(x, y, log_mass, s)
    np.testing.assert_allclose(value, expected, rtol=1e-13)
    np.testing.assert_allclose(mean, expected_mean, atol=1e-12)


@pytest.mark.parametrize("s", [1e-6, 1e-2, 10.0])
def test_log_mixture_line(s):
    rng = np.random.default_rng(2)
    x, y, log_mass = 5 * rng.normal(size=60), np.sort(3 * rng.normal(size=80)), 20 * rng.normal(size=80)
    value, mean = np.empty(60), np.empty(60)
    potentials.log_mixture_line(x, y, log_mass, s, value, mean)
    expected, expected_mean = reference.log_mixture(x[:, None], y[:, None], log_mass, s)
    np.testing.assert_allclose(value, expected, rtol=1e-13, atol=1e-13)
    np.testing.assert_allclose(mean, expected_mean[:, 0], atol=1e-12)


def test_log_mixture_stays_finite_far_out():
    x, y = np.array([[1e8]]), np.array([[0.0], [1.0]])
    value, mean = np.empty(1), np.empty((1, 1))
    potentials.log_mixture(x, y, np.log([0.5, 0.5]), 1e-8, value, mean)
    assert np.isfinite(value[0]) and mean[0, 0] == 1.0


def test_draw_posterior():
    rng = np.random.default_rng(3)
    x, y, log_mass, u = rng.normal(size=(200, 2)), rng.normal(size=(7, 2)), rng.normal(size=7), rng.random(200)
    index = np.empty(200, dtype=np.int64)
    potentials.draw_posterior(x, y, log_mass, 0.4, u, index)
    np.testing.assert_array_equal(index, reference.draw_posterior(x, y, log_mass, 0.4, u))


@pytest.mark.parametrize("block", [2, 7, 32])
@pytest.mark.parametrize("s", [1e-5, 1e-3, 1.0])
def test_log_axis_pass(block, s):
    rng = np.random.default_rng(1)
    x, y = np.sort(rng.random(37)), np.linspace(0, 1, 41)
    steep = -0.4 * (y[:, None] - 0.3 * rng.random(19)) ** 2 / s
    h = steep + rng.normal(size=steep.shape)
    h[5] = -np.inf
    shape = (-(-x.size // block), -(-y.size // block))
    kernel, near, far = np.empty((x.size, y.size)), np.empty(shape), np.empty(shape)
    sinkhorn.axis_kernel(x, y, s, block, kernel, near, far)
    out = np.empty((x.size, h.shape[1]))
    sinkhorn.log_axis_pass(x, y, s, block, kernel, near, far, h, 42.0, 8, out)
    np.testing.assert_allclose(out, reference.log_axis_pass(x, y, s, h), rtol=1e-13, atol=1e-12)


def test_table_kernels():
    rng = np.random.default_rng(5)
    x, table, noise = rng.normal(size=300) * 3, rng.normal(size=50), rng.normal(size=300)
    u = reference.table_values(x, table, -2.0, 49 / 4)
    out = np.empty(300)
    paths.table_values(x, table, -2.0, 49 / 4, out)
    np.testing.assert_allclose(out, u, atol=1e-11)
    moved, energy = x.copy(), np.ones(300)
    paths.table_step(moved, table, -2.0, 49 / 4, 0.1, 0.3, noise, 2.0, energy)
    np.testing.assert_allclose(moved, x + 0.1 * u + 0.3 * noise, atol=1e-11)
    np.testing.assert_allclose(energy, 1 + 2 * u**2, rtol=1e-10)
    charged = np.zeros(300)
    paths.table_energy(x, table, -2.0, 49 / 4, 0.5, charged)
    np.testing.assert_allclose(charged, 0.5 * u**2, rtol=1e-10, atol=1e-14)


def test_steps():
    rng = np.random.default_rng(6)
    x, u, ahead, u_ahead, z = (rng.normal(size=(20, 3)) for _ in range(5))
    out, energy = x.copy(), np.zeros(20)
    paths.correct(out, u, ahead, u_ahead, 0.1, 0.2, 0.3, 0.4, z, 2.0, energy)
    np.testing.assert_allclose(out, reference.path_step(x, u, ahead, u_ahead, 0.1, 0.2, 0.3, 0.4, z), rtol=1e-13)
    np.testing.assert_allclose(energy, (u**2 + u_ahead**2).sum(axis=1))
    out, energy = x.copy(), np.zeros(20)
    paths.predict(out, u, 0.1, 0.4, z, 3.0, energy)
    np.testing.assert_allclose(out, reference.path_step(x, u, x, u, 0.1, 0.0, 0.0, 0.4, z), rtol=1e-13)
    np.testing.assert_allclose(energy, 3 * (u**2).sum(axis=1))
    out = x.copy()
    paths.bridge_step(out, ahead, 0.25, 0.4, z)
    np.testing.assert_allclose(out, reference.path_step(x, u, ahead, u, 0.0, 0.0, 0.25, 0.4, z), rtol=1e-13)
