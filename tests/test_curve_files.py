"""Curves as files, tables and pictures."""

import csv
import math
import sys

import numpy as np
import pytest

import heatrd
from heatrd.curve import RDCurve
from heatrd.curve.law_records import pack_law, unpack_law
from heatrd.errors import InvalidInput
from heatrd.sources import Source1D, Uniform


@pytest.fixture(scope="module")
def uniform():
    return heatrd.rd_curve(Uniform(-1.0, 2.0), tol=1e-3, max_rate=1.2)


def test_save_and_load(uniform, tmp_path):
    uniform.save(tmp_path / "a.npz")
    again = RDCurve.load(tmp_path / "a.npz")
    assert isinstance(again.source, Uniform) and again.source.parameters == uniform.source.parameters
    d = np.geomspace(0.01, 0.8, 100)
    for one, two in zip(uniform.bounds(d), again.bounds(d)):
        assert one.tobytes() == two.tobytes()
    assert again.rate(d).tobytes() == uniform.rate(d).tobytes()
    assert again.solutions[3].reconstruction.points.tobytes() == uniform.solutions[3].reconstruction.points.tobytes()
    assert again.solutions[3].bridge.epsilon == uniform.solutions[3].epsilon
    again.save(tmp_path / "b.npz")
    assert (tmp_path / "a.npz").read_bytes() == (tmp_path / "b.npz").read_bytes()
    uniform.save(tmp_path / "small.npz", solutions=False)
    assert RDCurve.load(tmp_path / "small.npz").solutions[0] is None
    with pytest.raises(InvalidInput, match="not of"):
        RDCurve.load(tmp_path / "a.npz", source="laplace")
    (tmp_path / "c.npz").write_bytes((tmp_path / "a.npz").read_bytes()[:-700])
    with pytest.raises(InvalidInput):
        RDCurve.load(tmp_path / "c.npz")


class Homemade(Source1D):
    """Triangular density by a class that no file can name."""

    name = "homemade"
    mean = np.zeros(1)
    covariance = np.array([[1 / 6]])
    support = (-1.0, 1.0)
    breakpoints = (0.0,)

    def logpdf(self, x):
        with np.errstate(divide="ignore"):
            return np.log(np.maximum(1 - np.abs(x), 0.0))

    def cdf(self, x):
        x = np.clip(x, -1, 1)
        return np.where(x < 0, 0.5 * (1 + x) ** 2, 1 - 0.5 * (1 - x) ** 2)

    def tail_cut(self, mass):
        t = 1 - math.sqrt(2 * mass) if mass < 0.5 else 0.0
        return -t, t

    def sample(self, n, rng=None):
        return np.random.default_rng(rng).triangular(-1, 0, 1, (n, 1))


def test_foreign_source_is_loaded_as_far_as_the_file_knows_it(tmp_path):
    curve = heatrd.rd_curve(Homemade(), distortions=[0.05])
    curve.save(tmp_path / "a.npz")
    again = RDCurve.load(tmp_path / "a.npz")
    assert again.source.total_variance == pytest.approx(1 / 6) and again.rates[0] == curve.rates[0]
    with pytest.raises(InvalidInput, match="does not hold its density"):
        again.source.log_density(np.zeros((1, 1)))
    assert isinstance(RDCurve.load(tmp_path / "a.npz", source=Homemade()).source, Homemade)


def test_csv_and_dataframe_name_their_units(uniform, tmp_path):
    uniform.to_csv(tmp_path / "a.csv")
    with open(tmp_path / "a.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert list(rows[0]) == [
        "epsilon",
        "distortion",
        "snr_db",
        "rate_nat",
        "rate_lower_nat",
        "rate_bit",
        "rate_lower_bit",
    ]
    assert [float(row["rate_nat"]) for row in rows] == uniform.rates.tolist()
    assert float(rows[-1]["rate_bit"]) == pytest.approx(uniform.rates[-1] / math.log(2), rel=1e-15)
    frame = pytest.importorskip("pandas") and uniform.to_dataframe()
    assert frame["rate_lower_nat"].tolist() == uniform.rates_lower.tolist()


def test_xarray_and_netcdf_name_their_units(uniform, tmp_path):
    xarray = pytest.importorskip("xarray")
    data = uniform.to_xarray()
    assert data["rate_nat"].attrs["units"] == "nat" and data["distortion"].attrs["units"] == "squared source units"
    np.testing.assert_array_equal(data["distortion"], uniform.distortions)
    np.testing.assert_array_equal(data["rate_lower_nat"], uniform.rates_lower)
    uniform.to_netcdf(tmp_path / "a.nc")
    with xarray.open_dataset(tmp_path / "a.nc") as again:
        np.testing.assert_array_equal(again["rate_bit"], data["rate_bit"])
        assert again["snr_db"].attrs["units"] == "dB" and again.attrs["tol_nat"] == uniform.tol


def test_missing_packages_are_named(uniform, monkeypatch):
    for name in ("pandas", "xarray"):
        monkeypatch.setitem(sys.modules, name, None)
    for call, name in ((uniform.to_dataframe, "pandas"), (uniform.to_xarray, "xarray")):
        with pytest.raises(ImportError, match=name):
            call()


def test_plot_shows_both_closed_forms(uniform):
    with heatrd.plots.figure() as figure:
        plain, bare = figure.subplots(1, 2)
        uniform.plot(ax=plain)
        uniform.plot(ax=bare, bounds={})
    words = [text.get_text() for text in plain.get_legend().get_texts()]
    assert "Shannon lower bound" in words and "Gaussian upper bound" in words
    assert len(plain.lines) == len(bare.lines) + 2


@pytest.mark.parametrize(
    "source", [heatrd.sources.Ball(5), heatrd.sources.Product([heatrd.sources.Laplace(), Uniform(0.0, 3.0)] * 4)],
    ids=["radial", "product"],
)  # fmt: skip
def test_laws_too_large_to_list_are_kept_by_their_structure(source, tmp_path):
    """The points of a sphere in R^5 or of eight coordinates cannot be listed; file and checkpoint are exact."""
    asked = {"tol": 5e-2, "max_rate": 0.5 * source.dim, "checkpoint": tmp_path / "kept"}
    curve = heatrd.rd_curve(source, **asked)
    curve.save(tmp_path / "curve.npz")
    heatrd.rd_curve(source, **asked).save(tmp_path / "again.npz")
    assert (tmp_path / "again.npz").read_bytes() == (tmp_path / "curve.npz").read_bytes()
    for before, after in zip(curve.solutions, RDCurve.load(tmp_path / "curve.npz", source).solutions, strict=True):
        law, kept = before.reconstruction, after.reconstruction
        assert type(kept) is type(law) and after.gap == before.gap
        np.testing.assert_array_equal(kept.mean, law.mean)
        np.testing.assert_array_equal(kept.covariance, law.covariance)


def test_a_product_that_lost_a_block_is_damaged():
    law = heatrd.solve(heatrd.sources.Product([heatrd.sources.Laplace()] * 3), epsilon=0.5).reconstruction
    arrays = pack_law(law, "points", "weights")
    assert unpack_law(arrays, "points", "weights", 3).size == law.size
    with pytest.raises(KeyError):
        unpack_law({k: v for k, v in arrays.items() if not k.startswith("points-2")}, "points", "weights", 3)
    with pytest.raises(ValueError, match="dimension 4"):
        unpack_law(arrays, "points", "weights", 4)
