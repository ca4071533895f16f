"""Pictures: what is drawn is what the result says, nothing global is touched, every format is written."""

from types import SimpleNamespace

import matplotlib
import numpy as np
import pytest

import heatrd
from heatrd import plots
from heatrd.errors import InvalidInput
from heatrd.laws import as_law

matplotlib.use("Agg")

LOG2 = np.log(2)


class GaussianCurve:
    """The curve of N(0, 1), exact up to a band of the given width; its reconstruction laws are made up."""

    def __init__(self, width=0.02, epsilons=(0.9, 0.5, 0.2, 0.05), variance=1.0):
        self.source = heatrd.as_source("gaussian", cov=variance)
        self.epsilons = np.array(epsilons)
        self.distortions = self.epsilons
        self.width, self.variance = width, variance
        self.rates_lower, self.rates = self.bounds(self.distortions)
        spread = [np.sqrt(variance - e) for e in epsilons]
        self.solutions = [
            SimpleNamespace(epsilon=e, reconstruction=as_law([-s, s])) for e, s in zip(epsilons, spread, strict=True)
        ]

    def rate(self, distortion):
        return 0.5 * np.log(self.variance / np.asarray(distortion))

    def bounds(self, distortion):
        exact = 0.5 * np.log(self.variance / np.asarray(distortion))
        return exact - self.width / 2, exact + self.width / 2


def beside(curve):
    exact = lambda d: 0.5 * np.log(curve.variance / d)  # noqa: E731
    return {"shannon": lambda d: exact(d) - 0.1, "gaussian": lambda d: exact(d) + 0.1}


@pytest.fixture
def ax():
    with plots.figure() as figure:
        yield figure.subplots()


def line(ax, label):
    (found,) = [each for each in ax.lines if each.get_label() == label]
    return found.get_xydata()


@pytest.mark.parametrize("unit, per", [("nat", 1.0), ("bit", LOG2)])
def test_curve_is_drawn_where_it_is(ax, unit, per):
    curve = GaussianCurve()
    assert plots.plot_curve(curve, ax=ax, label="mine", unit=unit) is ax
    d, r = line(ax, "mine").T
    np.testing.assert_allclose(r, 0.5 * np.log(1 / d) / per, atol=1e-12)
    assert unit in ax.get_ylabel() and ax.get_xscale() == "log"


def test_band_has_its_width(ax):
    plots.plot_curve(GaussianCurve(width=0.3), ax=ax)
    corners = ax.collections[0].get_paths()[0].vertices
    at_half = corners[np.isclose(corners[:, 0], 0.5)][:, 1]
    assert np.ptp(at_half) == pytest.approx(0.3)


def test_snr_axis_is_in_decibels(ax):
    curve = GaussianCurve(variance=4.0, epsilons=(2.0, 0.4))
    plots.plot_curve(curve, ax=ax, label="mine", x="snr_db")
    snr, rate = line(ax, "mine").T
    np.testing.assert_allclose(rate, 0.5 * np.log(10) * snr / 10, atol=1e-12)
    assert "dB" in ax.get_xlabel()


def test_bounds_stand_beside_the_curve(ax):
    curve = GaussianCurve()
    plots.plot_curve(curve, ax=ax, bounds=beside(curve))
    words = [text.get_text() for text in ax.get_legend().get_texts()]
    assert "Shannon lower bound" in words and "Gaussian upper bound" in words
    dashed = [each.get_xydata() for each in ax.lines if each.is_dashed()]
    offsets = sorted(float(np.mean(xy[:, 1] - 0.5 * np.log(1 / xy[:, 0]))) for xy in dashed if len(xy) > 10)
    np.testing.assert_allclose(offsets, [-0.1, 0.1], atol=1e-12)


def test_critical_point_is_marked_only_where_there_is_one(ax):
    mixture = GaussianCurve()
    mixture.source = heatrd.as_source("gaussian-mixture", weights=[0.5, 0.5], means=[-1, 1], covs=[0.25, 0.25])
    plots.plot_curve(mixture, ax=ax)
    (diamond,) = [each for each in ax.lines if each.get_marker() == "D"]
    assert diamond.get_xdata()[0] == pytest.approx(0.25)
    with plots.figure() as figure:
        other = plots.plot_curve(GaussianCurve(), ax=figure.subplots())
    assert not [each for each in other.lines if each.get_marker() == "D"]


def test_excess_is_the_distance_to_the_shannon_bound(ax):
    curve = GaussianCurve(width=0.02)
    plots.plot_excess([curve], ax=ax, bounds=[beside(curve)], labels=["mine"])
    np.testing.assert_allclose(line(ax, "mine")[:, 1], 0.10, atol=1e-12)
    (band,) = ax.collections
    drawn = band.get_paths()[0].vertices[:, 1]
    assert drawn.min() == pytest.approx(0.09) and drawn.max() == pytest.approx(0.11)
    assert ax.get_yscale() == "log"


def test_reconstructions_put_every_atom_at_its_epsilon(ax):
    curve = GaussianCurve()
    plots.plot_reconstructions(curve, ax=ax)
    drawn = np.concatenate([each.get_offsets().data for each in ax.collections])
    expected = [(e, s * np.sqrt(1 - e)) for e in curve.epsilons for s in (-1, 1)]
    np.testing.assert_allclose(drawn, expected)


def test_area_of_an_atom_is_its_weight(ax):
    curve = GaussianCurve(epsilons=(0.5,))
    curve.solutions[0].reconstruction = as_law([-1.0, 0.0, 2.0], [0.5, 0.3, 0.2])
    plots.plot_reconstructions(curve, ax=ax, largest=100.0)
    np.testing.assert_allclose(ax.collections[0].get_sizes(), [50, 30, 20])


def test_a_sphere_is_one_place_with_all_its_mass(ax):
    curve = GaussianCurve(epsilons=(0.5,))
    curve.solutions[0].reconstruction = SimpleNamespace(radii=np.array([0.0, 2.0]), masses=np.array([0.25, 0.75]))
    plots.plot_reconstructions(curve, ax=ax, largest=100.0)
    np.testing.assert_allclose(ax.collections[0].get_offsets().data, [(0.5, 0.0), (0.5, 2.0)])
    np.testing.assert_allclose(ax.collections[0].get_sizes(), [25, 75])


def test_no_line_where_the_excess_is_unknown(ax):
    """For D > 0.3 the interpolant lies on the Shannon bound, the band above it: the excess may be anything in it."""
    curve = GaussianCurve(width=0.02)
    shannon = lambda d: np.where(d > 0.3, curve.rate(d), curve.rate(d) - 0.1)  # noqa: E731
    plots.plot_excess([curve], ax=ax, bounds=[{"shannon": shannon}], labels=["mine"])
    drawn = line(ax, "mine")
    assert np.isnan(drawn[drawn[:, 0] > 0.3, 1]).all()
    np.testing.assert_allclose(drawn[drawn[:, 0] <= 0.3, 1], 0.10, atol=1e-12)
    assert ax.get_ylim()[0] > 1e-3


def test_points_are_told_from_impossible_ones(ax):
    plots.plot_points([0.5, 0.25], [0.5, 0.5], [False, True], ax=ax, variance=1.0, unit="bit")
    np.testing.assert_allclose(line(ax, "points compared"), [[0.5, 0.5 / LOG2]])
    np.testing.assert_allclose(line(ax, "impossible points"), [[0.25, 0.5 / LOG2]])


def fake_solution(source, law, epsilon):
    """A solution with just what a picture needs, the source as 400 equal atoms at its quantiles."""
    x = np.interp(np.linspace(0.00125, 0.99875, 400), source.cdf(np.linspace(-9, 9, 9001)), np.linspace(-9, 9, 9001))
    return SimpleNamespace(
        source=source, reconstruction=law, epsilon=epsilon, distortion=0.2, rate=0.8, gap=1e-10,
        certificate=SimpleNamespace(quadrature=as_law(x)),
    )  # fmt: skip


def test_solution_shows_source_atoms_and_certificate():
    law = as_law([-1.0, 0.0, 1.0], [0.3, 0.4, 0.3])
    solution = fake_solution(heatrd.as_source("uniform"), law, 0.2)
    with plots.figure() as figure:
        above, below = plots.panels(figure, solution)
        assert plots.plot_solution(solution, ax=above, certificate_ax=below, unit="bit") is above
        y, c = below.lines[0].get_xydata().T
        mu = solution.certificate.quadrature
        kernel = lambda a, b: np.exp(-((a[:, None] - b) ** 2) / 0.4)  # noqa: E731
        z = kernel(mu.points[:, 0], law.points[:, 0]) @ law.weights
        np.testing.assert_allclose(c, kernel(y, mu.points[:, 0]) @ (mu.weights / z), rtol=1e-10)
    assert "bit" in above.get_title()


def test_solution_of_a_planar_source_is_drawn_in_the_plane():
    source = heatrd.as_source(heatrd.sources.Gaussian([0, 0], [[1, 0.5], [0.5, 1]]))
    solution = SimpleNamespace(source=source, reconstruction=as_law([[0.0, 1.0], [1.0, 0.0]]), epsilon=0.3,
                               distortion=0.6, rate=0.5, gap=0.0)  # fmt: skip
    with plots.figure() as figure:
        ax, nothing = plots.panels(figure, solution)
        plots.plot_solution(solution, ax=ax)
    assert nothing is None
    np.testing.assert_allclose(ax.collections[0].get_offsets(), [[0.0, 1.0], [1.0, 0.0]])


@pytest.mark.parametrize("kind, start", [("png", b"\x89PNG"), ("pdf", b"%PDF"), ("svg", b"<?xml")])
def test_every_format_is_written_and_repeats_to_the_byte(kind, start, tmp_path):
    for name in ("a", "b"):
        with plots.figure() as figure:
            plots.plot_curve(GaussianCurve(), ax=figure.subplots())
            plots.save(figure, tmp_path / f"{name}.{kind}")
    first, second = ((tmp_path / f"{name}.{kind}").read_bytes() for name in ("a", "b"))
    assert first.startswith(start) and first == second


def test_nothing_global_is_touched():
    import matplotlib.pyplot as plt

    plt.close("all")
    before = matplotlib.rcParams.copy()
    plots.plot_curve(GaussianCurve())
    assert len(plt.get_fignums()) == 1
    plt.close("all")
    with plots.figure() as figure:
        plots.plot_curve(GaussianCurve(), ax=figure.subplots())
    assert plt.get_fignums() == []
    assert matplotlib.rcParams == before


def test_the_style_is_the_packages_own():
    import matplotlib.pyplot as plt

    ax = plots.plot_curve(GaussianCurve())
    assert not ax.spines["top"].get_visible()
    plt.close("all")


@pytest.mark.parametrize("wrong", [{"unit": "byte"}, {"x": "rate"}])
def test_unknown_units_and_axes_are_refused(ax, wrong):
    with pytest.raises(InvalidInput, match=next(iter(wrong.values()))):
        plots.plot_curve(GaussianCurve(), ax=ax, **wrong)


def test_unknown_formats_are_refused(tmp_path):
    with plots.figure() as figure, pytest.raises(InvalidInput, match="png"):
        plots.save(figure, tmp_path / "x.doc")


def test_a_curve_without_solutions_says_so(ax):
    curve = GaussianCurve()
    curve.solutions = [None]
    with pytest.raises(InvalidInput, match="solutions"):
        plots.plot_reconstructions(curve, ax=ax)


def test_points_join_the_legend_of_the_curve(ax):
    curve = GaussianCurve()
    plots.plot_curve(curve, ax=ax, bounds=beside(curve), label="mine")
    plots.plot_points([0.5], [0.5], [False], ax=ax, variance=1.0)
    words = [text.get_text() for text in ax.get_legend().get_texts()]
    assert words == ["mine", "Shannon lower bound", "Gaussian upper bound", "points compared"]
