"""The forward heat semigroup: exact solutions, conservation, positivity, and what is refused."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from heatrd.errors import InvalidInput, TooLarge
from heatrd.grids import Grid, as_grid
from heatrd.heat import SCHEMES, Laplacian, gradient, heat_flow, laplacian, schemes

MARCHING = ("explicit", "rkl2", "crank-nicolson")
EXACT = ("convolution", "spectral")


def gaussian(grid, variances, mean=0.0):
    total = np.ones(())
    for x, v in zip(grid.axes, variances):
        total = np.multiply.outer(total, np.exp(-((x - mean) ** 2) / (2 * v)) / np.sqrt(2 * np.pi * v))
    return total


@pytest.mark.parametrize("dim, n", [(1, 64), (2, 48), (3, 28)])
@pytest.mark.parametrize("scheme", EXACT)
def test_exact_schemes_in_free_space_have_the_gaussian_solution(dim, n, scheme):
    before = (0.5, 0.4, 0.6)[:dim]
    grid = Grid.uniform([-4.6] * dim, [5.2] * dim, [n] * dim)
    flow = heat_flow(gaussian(grid, before, 0.3), grid, 0.35, scheme=scheme)
    assert all(a < b for a, b in zip(grid.shape, flow.grid.shape)), "the box must have been padded"
    for t in (0.0, 0.4, 1.0):
        exact = gaussian(flow.grid, [v + 0.35 * t for v in before], 0.3)
        # what the given box leaves out of ρ_0 is missing from the answer as well
        assert np.abs(flow(t) - exact).sum() * grid.cell < 3e-8
        assert flow.grid.integrate(flow(t)) == pytest.approx(grid.integrate(gaussian(grid, before, 0.3)), abs=5e-15)


@pytest.mark.parametrize("boundary", ["reflecting", "periodic"])
@pytest.mark.parametrize("scheme", [s for s in SCHEMES if s != "auto"])
def test_eigenfunctions_decay_at_their_rate_and_mass_is_kept(scheme, boundary):
    grid = Grid.uniform([0, 0], [1.0, 2.0], [60, 90])
    k = np.array([2 * np.pi, 3 * np.pi if boundary == "reflecting" else 2 * np.pi])
    wave = np.cos(k[0] * grid.points[..., 0]) * np.cos(k[1] * grid.points[..., 1])
    flow = heat_flow(1 + 0.7 * wave, grid, 0.02, scheme=scheme, boundary=boundary, order=2)
    exact = 1 + 0.7 * wave * np.exp(-0.01 * (k @ k))
    assert np.abs(flow(1.0) - exact).max() < (1e-13 if scheme in EXACT else 3e-3)
    assert np.abs(flow(1.0) - flow.initial).max() > 0.1
    assert flow.grid.integrate(flow(1.0)) == pytest.approx(2.0, abs=1e-13)


@pytest.mark.parametrize("boundary", ["free", "reflecting", "periodic"])
@pytest.mark.parametrize("scheme", MARCHING)
def test_stretched_grids_keep_mass_and_converge_to_the_solution(scheme, boundary):
    errors = []
    for n in (100, 200):
        grid = as_grid(np.sinh(np.linspace(-2.6, 2.6, n)))
        flow = heat_flow(gaussian(grid, [0.49]), grid, 0.3, scheme=scheme, boundary=boundary, steps=None)
        final = flow(1.0)
        assert flow.grid.integrate(final) == pytest.approx(flow.grid.integrate(flow.initial), abs=1e-13)
        errors.append(flow.grid.integrate(np.abs(final - gaussian(flow.grid, [0.79]))))
    assert errors[1] < 2e-4 and 1.8 < np.log2(errors[0] / errors[1]) < 2.3


@pytest.mark.parametrize("scheme", ["explicit", "convolution"])
def test_positive_schemes_keep_a_spike_positive(scheme):
    spike = np.zeros((31, 29))
    spike[15, 3] = 1.0
    grid = Grid.uniform([0, 0], [31, 29], [31, 29])
    flow = heat_flow(spike, grid, 6.0, scheme=scheme, boundary="reflecting", steps=12 if scheme == "explicit" else None)
    assert flow(1.0).min() >= 0 and flow(1.0).max() < 0.1


@given(st.integers(0, 2**32 - 1), st.sampled_from(EXACT), st.floats(0.1, 0.9))
def test_semigroup_law(seed, scheme, split):
    rho = np.random.default_rng(seed).random((24, 20))
    grid = Grid.uniform([0, 0], [24, 20], [24, 20])

    def flow(values, variance):
        return heat_flow(values, grid, variance, scheme=scheme, boundary="periodic")(1.0)

    tolerance = 1e-13 if scheme == "spectral" else 1e-7
    np.testing.assert_allclose(flow(flow(rho, 9 * split), 9 * (1 - split)), flow(rho, 9.0), atol=tolerance)


def test_unstable_steps_are_refused_with_the_smallest_stable_number():
    grid = Grid.uniform(-4, 4, 80)
    rho = gaussian(grid, [1.0])
    with pytest.raises(InvalidInput, match=r"use steps >= (\d+)") as caught:
        heat_flow(rho, grid, 1.0, scheme="explicit", boundary="reflecting", steps=3)
    needed = int(str(caught.value).split(">= ")[1].split(",")[0])
    stable = heat_flow(rho, grid, 1.0, scheme="explicit", boundary="reflecting", steps=needed)
    assert np.abs(stable(1.0)).max() < rho.max()
    with pytest.raises(InvalidInput, match="unstable"):
        schemes.explicit(rho, Laplacian.on(grid), 1.0, needed - 1)


@pytest.mark.parametrize("order", [2, 4, 6, 8, 16])
def test_stencils_differentiate_polynomials_of_their_degree_exactly(order):
    grid = Grid.uniform([-1.0, -1.0], [1.0, 1.5], [40, 44])
    x, y = grid.points[..., 0], grid.points[..., 1]
    inner = (slice(order, -order),) * 2
    value = x**order - x * y ** (order - 1)
    second = order * (order - 1) * x ** (order - 2) - x * (order - 1) * (order - 2) * y ** max(order - 3, 0)
    first = np.stack([order * x ** (order - 1) - y ** (order - 1), -x * (order - 1) * y ** (order - 2)], axis=-1)
    found = laplacian(value, grid, order=order)[inner]
    np.testing.assert_allclose(found, second[inner], atol=1e-9 * np.abs(second).max())
    np.testing.assert_allclose(
        gradient(value, grid, order=order)[inner], first[inner], atol=1e-10 * np.abs(first).max()
    )


@pytest.mark.parametrize(
    "change, match",
    [
        ({"scheme": "euler"}, "scheme"),
        ({"boundary": "absorbing"}, "boundary"),
        ({"epsilon": -1.0}, "epsilon"),
        ({"epsilon": np.nan}, "epsilon"),
        ({"steps": 0}, "steps"),
        ({"density": np.ones(7)}, "shape"),
        ({"density": np.full(20, np.nan)}, "NaN"),
        ({"order": 3, "scheme": "rkl2"}, "order"),
        ({"grid": np.sort(np.random.default_rng(0).random(20)), "scheme": "spectral"}, "equal spacing"),
        ({"grid": np.sort(np.random.default_rng(0).random(20)), "scheme": "rkl2", "order": 4}, "equal spacing"),
    ],
)
def test_bad_input_is_refused(change, match):
    arguments = {"density": np.ones(20), "grid": np.arange(20.0), "epsilon": 1.0} | change
    with pytest.raises(InvalidInput, match=match):
        heat_flow(**arguments)


@pytest.mark.parametrize("t", [-0.1, 1.1, np.nan])
def test_times_outside_the_unit_interval_are_refused(t):
    with pytest.raises(InvalidInput, match="t="):
        heat_flow(np.ones(20), np.arange(20.0), 1.0)(t)


def test_gradient_needs_equal_spacing():
    with pytest.raises(InvalidInput, match="equal spacing"):
        gradient(np.ones(4), as_grid([0.0, 1.0, 3.0, 4.0]))


def test_convolution_refuses_a_kernel_the_grid_does_not_resolve():
    grid = Grid.uniform(0, 10, 10)
    with pytest.raises(InvalidInput, match="spacing <="):
        schemes.convolve(np.ones(10), grid, "periodic", 0.01)


def test_memory_limit_names_a_grid_that_fits():
    rho, grid = np.ones((64, 64)), Grid.uniform([0, 0], [1, 1], [64, 64])
    with pytest.raises(TooLarge) as caught:
        heat_flow(rho, grid, 0.1, boundary="reflecting", memory_limit=10_000)
    m = caught.value.largest
    heat_flow(np.ones(m), Grid.uniform([0, 0], [1, 1], m), 0.1, boundary="reflecting", memory_limit=10_000)
