"""Declared orders, measured: stencils, time steps, interpolation and the Fokker–Planck residual of a path.

A rate within 0.1 of the declared order and the final error both have to hold.
"""

import numpy as np
import pytest

import heatrd
from heatrd.backward.interpolation import ORDER, interpolate_log
from heatrd.grids import Grid, as_grid
from heatrd.heat import Laplacian, gradient, heat_flow, laplacian
from heatrd.heat.schemes import rkl2_stages, stable_steps

# Cells at which rounding does not yet show, and the error at the finer of them.
CELLS = {2: (24, 48), 4: (20, 40), 6: (16, 32), 8: (14, 28)}
BEST = {2: 1e-3, 4: 2e-6, 6: 1e-8, 8: 1e-10}


def rate(errors, counts):
    return np.log(errors[0] / errors[1]) / np.log(counts[1] / counts[0])


def wave(grid):
    """A product of 3/2 + cos x on a box that fits it, with its Laplacian and gradient."""
    c, c1, c2 = (
        [f(x) for x in grid.axes] for f in (lambda x: 1.5 + np.cos(x), lambda x: -np.sin(x), lambda x: -np.cos(x))
    )

    def product(special):
        total = np.ones(())
        for a in range(grid.dim):
            total = np.multiply.outer(total, special.get(a, c)[a])
        return total

    gradients = np.stack([product({a: c1}) for a in range(grid.dim)], axis=-1)
    return product({}), sum(product({a: c2}) for a in range(grid.dim)), gradients


@pytest.mark.parametrize("dim", [1, 2, 3])
@pytest.mark.parametrize("order", [2, 4, 6, 8])
@pytest.mark.parametrize("boundary, length", [("reflecting", np.pi), ("periodic", 2 * np.pi)])
def test_space_order(dim, order, boundary, length):
    """Relative rms error; along each axis another number of cells, so that no axis can stand in for another."""
    counts, errors = CELLS[order], {"laplacian": [], "gradient": []}
    for n in counts:
        cells = [(n + n // 4 * a) * (2 if boundary == "periodic" else 1) for a in range(dim)]
        grid = Grid.uniform([0.0] * dim, [length] * dim, cells)
        values, exact, slopes = wave(grid)
        found = laplacian(values, grid, order=order, boundary=boundary)
        errors["laplacian"].append(np.sqrt(np.mean((found - exact) ** 2) / np.mean(exact**2)))
        found = gradient(values, grid, order=order, boundary=boundary)
        errors["gradient"].append(np.sqrt(np.mean((found - slopes) ** 2) / np.mean(slopes**2)))
    for name, error in errors.items():
        assert abs(rate(error, counts) - order) < 0.1, (name, error)
        assert error[1] < BEST[order], name


@pytest.mark.parametrize("dim", [1, 2, 3])
@pytest.mark.parametrize("scheme, order, best", [("explicit", 1, 4e-3), ("rkl2", 2, 3e-6), ("crank-nicolson", 2, 5e-5)])
def test_time_order(dim, scheme, order, best):
    """Against the exact decay of the discrete operator's own eigenvector, so that space has no part in the error."""
    n = {1: 24, 2: 16, 3: 10}[dim]
    grid = Grid.uniform([0.0] * dim, [1.0] * dim, [n] * dim)
    mode = np.ones(())
    for x in grid.axes:
        mode = np.multiply.outer(mode, np.cos(np.pi * x))
    symbol = dim * 4 * n**2 * np.sin(np.pi / (2 * n)) ** 2
    variance = 0.6 / dim
    exact = 1 + 0.5 * mode * np.exp(-0.5 * variance * symbol)
    counts = {"explicit": (800, 1600), "rkl2": (160, 320), "crank-nicolson": (20, 40)}[scheme]
    errors = []
    for steps in counts:
        flow = heat_flow(1 + 0.5 * mode, grid, variance, scheme=scheme, boundary="reflecting", steps=steps)
        assert flow.time_order == order
        errors.append(np.abs(flow(1.0) - exact).max())
    assert abs(rate(errors, counts) - order) < 0.1
    assert errors[1] < best


def test_super_time_steps_far_beyond_the_explicit_limit_stay_accurate():
    """Twenty steps of dozens of stages where the explicit scheme needs thousands."""
    grid = Grid.uniform(0.0, 1.0, 200)
    mode, symbol = np.cos(np.pi * grid.axes[0]), 4 * 200**2 * np.sin(np.pi / 400) ** 2
    flow = heat_flow(1 + 0.5 * mode, grid, 0.6, scheme="rkl2", boundary="reflecting", steps=20)
    assert stable_steps(Laplacian.on(grid), 0.6) > 20_000
    assert rkl2_stages(Laplacian.on(grid), 0.6, 20) < 80
    assert np.abs(flow(1.0) - 1 - 0.5 * mode * np.exp(-0.3 * symbol)).max() < 2e-4


@pytest.mark.parametrize("dim", [1, 2])
def test_interpolation_order(dim):
    """log ρ by splines: order 6 for values, 5 for the score, on a density that is no Gaussian."""

    def log_density(p):
        return -0.5 * (p**2).sum(axis=-1) + 0.5 * np.sin(2 * p).sum(axis=-1)

    def score(p):
        return -p + np.cos(2 * p)

    points = np.random.default_rng(5).uniform(-2, 2, (400, dim))
    counts, errors = (40, 80), []
    for n in counts:
        grid = Grid.uniform([-8.0] * dim, [8.0] * dim, [n] * dim)
        rho = np.exp(log_density(grid.points))
        mass = grid.integrate(rho)
        found = interpolate_log(rho / mass, grid)
        value = np.abs(found.log_density(points) + np.log(mass) - log_density(points)).max()
        errors.append((value, np.abs(found.score(points) - score(points)).max()))
    errors = np.array(errors)
    assert rate(errors[:, 0], counts) > ORDER - 0.3 and errors[1, 0] < 1e-5
    assert rate(errors[:, 1], counts) > ORDER - 1.3 and errors[1, 1] < 3e-4


@pytest.mark.parametrize("order", [2, 4, 6, 8])
def test_fokker_planck_residual_converges_at_the_order_of_the_stencils(order):
    source = heatrd.sources.GaussianMixture([0.4, 0.6], [-1.0, 1.2], [1.0, 0.7])
    counts, residuals = {2: (200, 400), 4: (100, 200), 6: (80, 160), 8: (72, 144)}[order], []
    for n in counts:
        path = heatrd.backward_heat(source, 0.35, grid=np.linspace(-9, 9, n))
        residuals.append(path.fokker_planck_residual(0.5, order=order, step=2e-3))
    assert abs(rate(residuals, counts) - order) < 0.1 + 0.04 * order
    assert residuals[1] < {2: 4e-3, 4: 3e-4, 6: 8e-5, 8: 3e-5}[order]


def test_fokker_planck_residual_in_the_plane():
    source = heatrd.sources.NoisySphere(2, noise=0.4)
    counts, residuals = (64, 128), []
    for n in counts:
        axis = np.linspace(-4.5, 4.5, n)
        residuals.append(heatrd.backward_heat(source, 0.08, grid=[axis, axis]).fokker_planck_residual(0.5, order=4))
    assert abs(rate(residuals, counts) - 4) < 0.25
    assert residuals[1] < 3e-3


def test_stretched_axis_keeps_order_two():
    counts, errors = (100, 200), []
    for n in counts:
        grid = as_grid(np.sinh(np.linspace(-2.4, 2.4, n)))
        x = grid.axes[0]
        rho = np.exp(-(x**2))
        flow = heat_flow(rho, grid, 0.5, scheme="crank-nicolson", boundary="reflecting", steps=400)
        errors.append(grid.integrate(np.abs(flow(1.0) - np.exp(-(x**2) / 2) / np.sqrt(2))))
    assert abs(rate(errors, counts) - 2) < 0.1 and errors[1] < 2e-4
