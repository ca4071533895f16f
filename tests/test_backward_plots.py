"""Pictures of a path: what is drawn, and what is refused."""

import matplotlib

matplotlib.use("Agg")

import matplotlib.pyplot as plt
import numpy as np
import pytest

import heatrd
from heatrd import sources
from heatrd.errors import InvalidInput

LINE = sources.GaussianMixture([0.4, 0.6], [-1.5, 1.0], [0.5, 0.8])
RING = sources.NoisySphere(2, noise=0.3)


@pytest.fixture(autouse=True)
def close_figures():
    yield
    plt.close("all")


def test_heat_map_with_arrows_on_the_line():
    path = heatrd.backward_heat(LINE, 0.4)
    figure, ax = plt.subplots()
    assert path.plot(ax=ax, times=30, arrows=6) is ax
    assert ax.get_xlabel() == "time $t$" and ax.get_ylabel() == "$x$"
    mesh = ax.collections[0]
    drawn = mesh.get_array().reshape(400, 30)
    x = mesh.get_coordinates()[:, 0, 1]
    np.testing.assert_allclose(drawn[:, -1], path.density(1.0, x))
    figure.canvas.draw()


def test_strip_of_snapshots_in_the_plane():
    path = heatrd.backward_heat(RING, 0.06)
    ax = path.plot(times=4, arrows=6)
    insets = ax.child_axes
    assert [inset.get_title() for inset in insets] == ["$t$ = 0", "$t$ = 0.33", "$t$ = 0.67", "$t$ = 1"]
    ax.figure.canvas.draw()


def test_strip_of_a_path_in_space_shows_a_slice():
    path = heatrd.backward_heat(sources.Gaussian([0, 0, 0], [1.0, 0.5, 0.25]), 0.1)
    assert len(path.plot(times=2, arrows=3).child_axes) == 2


def test_a_singular_end_is_drawn_up_to_just_before_it():
    path = heatrd.backward_heat(sources.NoisySphere(2, noise=0.3), 0.09)
    assert path.plot(times=2).child_axes[-1].get_title() == "$t$ = 0.99"


@pytest.mark.parametrize("source", [LINE, RING], ids=["line", "plane"])
def test_animation_is_a_gif_with_all_frames(source, tmp_path):
    from PIL import Image

    file = tmp_path / "path.gif"
    heatrd.backward_heat(source, 0.05).animate(str(file), frames=5, fps=10)
    with Image.open(file) as image:
        assert image.n_frames == 5


def test_animation_refuses_other_suffixes(tmp_path):
    with pytest.raises(InvalidInput, match="suffix"):
        heatrd.backward_heat(LINE, 0.1).animate(str(tmp_path / "path.txt"))
