"""Grids: cells, boxes, ghost cells, memory."""

import numpy as np
import pytest

from heatrd.errors import InvalidInput, TooLarge
from heatrd.grids import Grid, as_grid, box_of, check_memory, ghost_index


def test_uniform_grid_has_its_walls_and_volume():
    grid = Grid.uniform([-1.0, 0.0], [1.0, 3.0], [4, 6])
    assert grid.shape == (4, 6) and grid.dim == 2 and grid.is_uniform
    np.testing.assert_allclose(grid.walls, [(-1, 1), (0, 3)], atol=1e-15)
    np.testing.assert_allclose(grid.spacing, [0.5, 0.5])
    assert grid.integrate(np.ones(grid.shape)) == pytest.approx(6.0)
    np.testing.assert_allclose(grid.points[1, 2], [-0.25, 1.25])


def test_stretched_axis_integrates_linear_functions_exactly():
    x = np.sinh(np.linspace(-2, 2, 31))
    grid = as_grid(x)
    (low, high), widths = grid.walls[0], grid.widths[0]
    assert not grid.is_uniform
    assert widths.sum() == pytest.approx(high - low)
    padded = grid.padded([3])
    assert padded.shape == (37,) and np.array_equal(padded.axes[0][3:-3], x)


def test_evaluate_in_blocks_equals_evaluate_at_once():
    grid = Grid.uniform([0, 0], [1, 2], [37, 11])
    values = grid.evaluate(lambda p: p[:, 0] + 10 * p[:, 1], block=50)
    np.testing.assert_allclose(values, grid.points[..., 0] + 10 * grid.points[..., 1])


@pytest.mark.parametrize(
    "axes",
    [[1.0], [0.0, 0.0], [2.0, 1.0], [0.0, np.nan], np.zeros((4, 3, 2)), [[0.0, 1.0]] * 4, "grid", [], None],
    ids=str,
)
def test_bad_axes_are_refused(axes):
    with pytest.raises(InvalidInput, match="grid"):
        as_grid(axes)


@pytest.mark.parametrize("low, high, shape", [(1, 0, 8), (0, np.inf, 8), (0, 1, 1), (0, 1, 2.5)])
def test_bad_boxes_are_refused(low, high, shape):
    with pytest.raises(InvalidInput, match="grid"):
        Grid.uniform(low, high, shape)


def test_ghost_cells_mirror_wrap_or_vanish():
    assert ghost_index(3, 4, "reflecting").tolist() == [2, 2, 1, 0, 0, 1, 2, 2, 1, 0, 0]
    assert ghost_index(3, 2, "periodic").tolist() == [1, 2, 0, 1, 2, 0, 1]
    assert ghost_index(3, 2, "free").tolist() == [-1, -1, 0, 1, 2, -1, -1]


def test_box_holds_an_off_centre_narrow_peak_and_little_else():
    def log_density(x):
        return -0.5 * (((x[:, 0] - 5) / 0.1) ** 2 + ((x[:, 1] + 3) / 2) ** 2)

    centre, reach = np.array([5.0, -3.0]), np.sqrt(80) * np.array([0.1, 2.0])
    low, high = box_of(log_density, centre, np.array([0.1, 2.0]))
    assert (low < centre - reach).all() and (high > centre + reach).all()
    assert (high - low < 2.6 * reach).all()


def test_memory_is_refused_with_the_largest_grid_that_fits():
    with pytest.raises(TooLarge, match="largest grid") as caught:
        check_memory((2000, 1000), 10, "a test", limit=10 * 8 * 1000 * 500)
    assert caught.value.largest == (1000, 500)
    check_memory(caught.value.largest, 10, "a test", limit=10 * 8 * 1000 * 500)
