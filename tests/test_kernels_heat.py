"""The heat kernels against their dense NumPy twins."""

import numpy as np
import pytest
import reference

from heatrd.grids import ghost_index
from heatrd.heat import schemes
from heatrd.kernels import stencils, steps, tridiagonal

BOUNDARIES = ("free", "reflecting", "periodic")


def random(*shape, seed=0):
    return np.random.default_rng(seed).standard_normal(shape)


@pytest.mark.parametrize("boundary", BOUNDARIES)
@pytest.mark.parametrize("parity", [1.0, -1.0])
@pytest.mark.parametrize("reach", [1, 4, 9])
def test_sweep_rows_and_lines_equal_dense_matrix(boundary, parity, reach):
    u, taps = random(3, 7, 5), random(reach + 1, seed=1)
    matrix = reference.sweep_matrix(7, taps, parity, boundary)
    out = np.ones_like(u)
    stencils.sweep_rows(u, taps, parity, ghost_index(7, reach, boundary), out)
    np.testing.assert_allclose(out, 1 + reference.along_axis(matrix, u, 1), rtol=1e-13, atol=1e-13)
    lines = np.ascontiguousarray(np.moveaxis(u, 1, 2)).reshape(15, 7)
    out = np.ones_like(lines)
    stencils.sweep_lines(lines, taps, parity, ghost_index(7, reach, boundary), np.empty(7 + 2 * reach), out)
    np.testing.assert_allclose(out, 1 + lines @ matrix.T, rtol=1e-13, atol=1e-13)


def test_tridiagonal_rows_equal_dense_matrix():
    u, (low, mid, up) = random(2, 6, 3), random(3, 6, seed=2)
    low[0] = up[-1] = 0.0
    out = np.zeros_like(u)
    stencils.tridiagonal_rows(u, low, mid, up, ghost_index(6, 1, "reflecting"), out)
    dense = reference.along_axis(reference.tridiagonal_matrix(low, mid, up), u, 1)
    np.testing.assert_allclose(out, dense, rtol=1e-13, atol=1e-13)


def test_tridiagonal_solve_equals_dense_solve():
    n = 9
    low, up = random(2, n, seed=3)
    mid = 3 + np.abs(low) + np.abs(up)
    f = random(2, n, 4, seed=4)
    dense = np.linalg.inv(reference.tridiagonal_matrix(low, mid, up))
    p, q, x = np.empty(n), np.empty(n), f.copy()
    tridiagonal.factor(low, mid, up, p, q)
    tridiagonal.solve_rows(x, low, p, q)
    np.testing.assert_allclose(x, reference.along_axis(dense, f, 1), rtol=1e-12, atol=1e-13)


@pytest.mark.parametrize("boundary", ["reflecting", "periodic"])
@pytest.mark.parametrize("shape", [(23,), (11, 8), (9, 523), (7, 6, 5), (5, 6, 99), (9, 1), (5, 1, 1), (5, 2, 3)])
@pytest.mark.parametrize("threads", [1, 3])
def test_blocked_steps_equal_dense_steps(boundary, shape, threads):
    rho, numbers = random(*shape), (0.11, 0.07, 0.05)[: len(shape)]
    exact = reference.explicit_steps(rho, numbers, 7, boundary)
    for block in (1, 2, 4):
        found = schemes.advance_blocked(rho.copy(), numbers, 7, boundary=boundary, block=block, threads=threads)
        np.testing.assert_allclose(found, exact, rtol=1e-12, atol=1e-13)


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("shape", [(7, 23, 16), (9, 16, 11), (4, 9, 300)])
def test_steps_in_space_by_tiles_equal_dense_steps(shape, threads, monkeypatch):
    monkeypatch.setattr(schemes, "CACHE", 1)  # as many tiles as there can be
    rho, numbers = random(*shape), (0.11, 0.07, 0.05)
    exact = reference.explicit_steps(rho, numbers, 7, "reflecting")
    for block in (1, 2, 3, 4):
        found = schemes.advance_blocked(rho.copy(), numbers, 7, block=block, threads=threads)
        np.testing.assert_allclose(found, exact, rtol=1e-12, atol=1e-13)


def test_legendre_stage_and_triad_equal_formulas():
    arrays = random(5, 12)
    expected = reference.legendre_stage(*arrays, 1.3, -0.4, 0.2, -0.1)
    before = arrays[1].copy()
    steps.legendre_stage(arrays[0], before, arrays[2], arrays[3], arrays[4], 1.3, -0.4, 0.2, -0.1)
    np.testing.assert_allclose(before, expected, rtol=1e-14)
    out = np.zeros(12)
    steps.triad(out, arrays[0], arrays[1], 2.5)
    np.testing.assert_allclose(out, arrays[0] + 2.5 * arrays[1], rtol=1e-15)
