"""Whole curves: enclosed, convex, invariant; the same on any executor; safe when killed."""

import concurrent.futures as cf
import csv
import math
import os
import signal
import subprocess
import sys
import time

import numpy as np
import pytest

import heatrd
from heatrd.curve import RDCurve, between, generations
from heatrd.errors import HeatrdWarning, InvalidInput
from heatrd.sources import Atoms, Gaussian, GaussianMixture, Laplace, Source1D, Uniform


@pytest.fixture(scope="module")
def uniform():
    return heatrd.rd_curve(Uniform(-1.0, 2.0), tol=1e-3, max_rate=1.2)


def binary_hamming_free_rate(epsilon):
    """Equiprobable ±1 at ε < 1 by brute force: ν symmetric on ±y, minimised over y (two atoms are optimal there)."""
    y = np.linspace(0.0, 1.2, 200001)[1:]
    with np.errstate(under="ignore"):
        near, far = np.exp(-((1 - y) ** 2) / (2 * epsilon)), np.exp(-((1 + y) ** 2) / (2 * epsilon))
    f = -np.log(0.5 * (near + far))
    best = f.argmin()
    share = near[best] / (near[best] + far[best])
    d = share * (1 - y[best]) ** 2 + (1 - share) * (1 + y[best]) ** 2
    return d, f[best] - d / (2 * epsilon)


def test_band_is_as_narrow_as_asked_everywhere(uniform):
    d = np.concatenate([np.geomspace(*uniform.asked, 5000), uniform.band.crossings()])
    d = d[(d >= uniform.asked[0]) & (d <= uniform.asked[1])]
    lower, upper = uniform.bounds(d)
    assert (upper - lower).max() <= 1e-3 and (lower <= upper).all()
    assert uniform.certified and uniform.width <= 1e-3
    assert uniform.rates.max() >= 1.2 - 1e-6 and uniform.rates.min() <= 1e-3


@pytest.mark.parametrize("name", ["uniform", "laplace", "triangular"])
def test_followed_points_are_certified_and_enclose_independent_solves(name):
    """Between few solves the solution is followed through births and splittings of atoms; every knot is proved."""
    curve = heatrd.rd_curve(name, tol=1e-4, max_rate=1.0)
    assert curve.certified and curve.solves <= 30 and curve.knots.size >= 2 * curve.solves
    assert (curve.knots.upper - curve.knots.lower).max() <= 1e-4
    for d in curve.asked[0] * 1.1, curve.distortion(0.5), curve.distortion(0.2):
        point = heatrd.solve(name, distortion=d, tol=1e-8)
        lower, upper = curve.bounds(point.distortion)
        assert lower <= point.rate + 1e-12 and point.rate_lower <= upper + 1e-12


def test_independent_solves_lie_in_the_band(uniform):
    for target in (0.06, 0.11, 0.31, 0.6, 0.74):
        point = heatrd.solve(uniform.source, distortion=target)
        lower, upper = uniform.bounds(point.distortion)
        assert lower <= point.rate and point.rate_lower <= upper
        assert abs(uniform.rate(point.distortion) - point.rate) < 1e-4
        if target < 0.7:  # at the zero-rate point the slope jumps to zero
            assert abs(uniform.slope(point.distortion) * 2 * point.epsilon + 1) < 0.02


def test_interpolation_is_convex_monotone_and_inverted(uniform):
    d = np.linspace(uniform.asked[0], 0.76, 4000)
    rate = uniform.rate(d)
    assert (np.diff(rate) <= 1e-15).all()
    assert (np.diff(rate, 2) >= -1e-10).all()
    r = np.linspace(0, 1.15, 50)
    np.testing.assert_allclose(uniform.rate(uniform.distortion(r)), r, atol=1e-9)
    assert uniform.rate(0.75) == 0.0 and uniform.rate(3.0) == 0.0 and uniform.distortion(0.0) == pytest.approx(0.75)
    assert isinstance(uniform.rate(0.3), float) and uniform.rate(np.full((2, 3), 0.3)).shape == (2, 3)


def test_scaling_and_shift_leave_the_curve(uniform):
    other = heatrd.rd_curve(Uniform(10.0, 10.3), tol=1e-3, max_rate=1.2)
    d = np.geomspace(0.05, 0.7, 30)
    low, up = uniform.bounds(d)
    low2, up2 = other.bounds(d * 0.01)
    assert (low <= up2 + 1e-12).all() and (low2 <= up + 1e-12).all()
    np.testing.assert_allclose(other.rate(d * 0.01), uniform.rate(d), atol=2e-4)


def test_backward_heat_class_is_exact_at_any_rate():
    source = GaussianMixture([0.4, 0.6], [-1.0, 1.5], [0.5, 0.3])
    curve = heatrd.rd_curve(source, tol=1e-2)
    d = np.geomspace(1e-6, 0.2999, 40)
    lower, upper = curve.bounds(d)
    shannon = heatrd.shannon_lower_bound(source, d)
    assert np.abs(lower - shannon).max() < 1e-9
    assert np.abs(upper - shannon).max() < 2e-3
    assert curve.critical_distortion == pytest.approx(0.3)
    assert curve.solves < 40


def test_gaussian_vector_is_reverse_water_filling():
    curve = heatrd.rd_curve(Gaussian([0.0, 0.0], [[1.0, 0.0], [0.0, 0.2]]), tol=1e-2, max_rate=2.0)
    d = np.geomspace(0.05, 1.19, 40)
    lower, upper = curve.bounds(d)
    true = heatrd.gaussian_upper_bound(curve.source, d)
    assert (lower <= true + 1e-9).all() and (true <= upper + 1e-9).all()
    assert curve.width <= 1e-2


def test_discrete_source_ends_at_its_entropy():
    curve = heatrd.rd_curve(Atoms([[-1.0], [1.0]], [0.5, 0.5]), tol=1e-3)
    for epsilon in (0.9, 0.5, 0.3):
        d, r = binary_hamming_free_rate(epsilon)
        lower, upper = curve.bounds(d)
        assert lower - 1e-8 <= r <= upper + 1e-8
    assert curve.bounds(1e-9)[1] <= math.log(2) + 1e-9
    assert curve.rates.max() == pytest.approx(math.log(2), abs=1e-3)


def test_points_asked_for_come_in_their_order():
    asked = [0.5, 1.2, 0.8]
    curve = heatrd.rd_curve("laplace", distortions=asked, tol=1e-6)
    np.testing.assert_allclose(curve.distortions, asked, rtol=1e-9)
    assert (curve.rates - curve.rates_lower <= 1e-6).all() and curve.certified
    back = heatrd.rd_curve("laplace", rates=[curve.rate(0.8)], tol=1e-6)
    assert back.distortions[0] == pytest.approx(0.8, rel=1e-6)


@pytest.mark.parametrize(
    "options",
    [
        {"distortions": [-1.0]},
        {"distortions": []},
        {"rates": [float("nan")]},
        {"tol": 0.0},
        {"distortions": [0.1], "rates": [1.0]},
        {"distortions": ["x"]},
        {"workers": 0},
        {"workers": 2, "executor": object()},
        {"executor": object()},
        {"max_rate": -1.0},
    ],
)
def test_bad_input(options):
    with pytest.raises(InvalidInput):
        heatrd.rd_curve("uniform", **options)


def test_bad_queries(uniform):
    with pytest.raises(InvalidInput):
        uniform.rate(-0.1)
    with pytest.raises(InvalidInput):
        uniform.distortion(float("nan"))
    with pytest.raises(InvalidInput):
        heatrd.rd_curves("uniform")


def test_constant_source():
    curve = heatrd.rd_curve(Atoms([[2.0]], [1.0]))
    assert curve.rate(0.5) == 0.0 and curve.rates.max() == 0.0


# -- sensitivity ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("source", "name", "distortion"),
    [
        (Laplace(0.3, 1.1), "scale", 0.6),
        (Uniform(-1.0, 2.0), "high", 0.2),
        (heatrd.as_source("generalized-gaussian", beta=1.4), "beta", 0.3),
    ],
)
def test_sensitivity_is_the_derivative_of_full_solves(source, name, distortion):
    curve = heatrd.rd_curve(source, distortions=[distortion])
    found = curve.sensitivity(distortion)
    value, h = source.parameters[name], 2e-3
    ends = [
        heatrd.solve(type(source)(**{**source.parameters, name: value + s * h}), distortion=distortion, tol=1e-10)
        for s in (-1, 1)
    ]
    middle = [0.5 * (p.rate + p.rate_lower) for p in ends]
    assert found[name] == pytest.approx((middle[1] - middle[0]) / (2 * h), abs=1e-5)
    if "loc" in found:
        assert abs(found["loc"]) < 1e-9


def test_sensitivity_of_a_matrix_counts_both_entries():
    cov = np.array([[1.0, 0.3], [0.3, 0.5]])
    source = Gaussian([0.0, 0.0], cov)
    found = heatrd.rd_curve(source, distortions=[0.2]).sensitivity(0.2)["cov"]
    np.testing.assert_allclose(found, 0.5 * np.linalg.inv(cov), atol=1e-4)  # h = ½ log det


# -- executors ---------------------------------------------------------------------------------------------


def content(curve, folder):
    curve.save(folder / "curve.npz")
    return (folder / "curve.npz").read_bytes()


SMALL = {"tol": 1e-2, "max_rate": 0.9}


@pytest.fixture(scope="module")
def serial():
    return heatrd.rd_curve("laplace", **SMALL)


class Shuffled(cf.Executor):
    """Runs later pieces first."""

    def __init__(self):
        self.waiting = []

    def submit(self, function, /, *args, **kwargs):
        future = cf.Future()
        future_cancel = future.cancel
        del future_cancel
        self.waiting.append((future, function, args, kwargs))
        if len(self.waiting) == 1:
            import threading

            threading.Timer(0.3, self.run).start()
        return future

    def run(self):
        batch, self.waiting = self.waiting[::-1], []
        for future, function, args, kwargs in batch:
            future.set_result(function(*args, **kwargs))


@pytest.mark.parametrize("make", [lambda: cf.ThreadPoolExecutor(3), Shuffled])
def test_same_bytes_from_threads_and_in_any_order(serial, tmp_path, make):
    executor = make()
    curve = heatrd.rd_curve("laplace", executor=executor, **SMALL)
    executor.shutdown()
    assert content(curve, tmp_path) == content(serial, tmp_path)


def test_same_bytes_from_worker_processes(serial, tmp_path):
    curves = heatrd.rd_curves(["laplace"], workers=2, **SMALL)
    assert content(curves[0], tmp_path) == content(serial, tmp_path)


def test_same_bytes_from_dask(serial, tmp_path):
    distributed = pytest.importorskip("distributed")
    with distributed.LocalCluster(
        n_workers=1, threads_per_worker=2, processes=False, dashboard_address=None
    ) as cluster:
        with distributed.Client(cluster) as client:
            curve = heatrd.rd_curve("laplace", executor=client.get_executor(pure=False), **SMALL)
    assert content(curve, tmp_path) == content(serial, tmp_path)


class Broken(Laplace):
    """A source whose density fails late."""

    def logpdf(self, x):
        raise InvalidInput("no density today")


def test_errors_of_workers_arrive():
    with cf.ThreadPoolExecutor(2) as executor, pytest.raises(InvalidInput, match="no density today"):
        heatrd.rd_curve(Broken(), executor=executor, **SMALL)


# -- losing nothing -------------------------------------------------------------------------------------------


def test_checkpoint_resumes_with_unfinished_work_only(serial, tmp_path, monkeypatch):
    folder = tmp_path / "points"
    first = heatrd.rd_curve("laplace", checkpoint=folder, **SMALL)
    assert content(first, tmp_path) == content(serial, tmp_path)
    pieces = sorted(folder.glob("*.npz"))
    assert len(pieces) > 5
    pieces[0].unlink()
    pieces[3].write_bytes(b"\0" * 100)
    done = []
    original_solve, original_refine = generations._solve_epsilon, generations.refine
    monkeypatch.setattr(generations, "_solve_epsilon", lambda *a: done.append(a) or original_solve(*a))
    monkeypatch.setattr(generations, "refine", lambda *a: done.append(a) or original_refine(*a))
    with pytest.warns(HeatrdWarning, match="unreadable"):
        second = heatrd.rd_curve("laplace", checkpoint=folder, **SMALL)
    assert len(done) == 2
    assert content(second, tmp_path) == content(serial, tmp_path)
    assert len(list(folder.glob("*.unreadable"))) == 1
    heatrd.rd_curve("laplace", checkpoint=folder, **SMALL)
    assert len(done) == 2
    heatrd.rd_curve(Laplace(0.0, 1.0 + 1e-12), checkpoint=folder, **SMALL)
    assert len(done) == 2 + len(pieces), "another source must not use these points"


KILLED = """
import sys, heatrd
heatrd.rd_curve("laplace", checkpoint=sys.argv[1], tol=1e-2, max_rate=0.9)
"""


def test_killed_sweep_resumes_to_the_same_bytes(serial, tmp_path):
    folder = tmp_path / "points"
    survived = 0
    for pieces in (1, 6):
        process = subprocess.Popen([sys.executable, "-c", KILLED, str(folder)])
        limit = time.monotonic() + 120
        while process.poll() is None and time.monotonic() < limit and len(list(folder.glob("*.npz"))) < pieces:
            time.sleep(0.002)
        process.send_signal(signal.SIGKILL)
        process.wait()
        survived = len(list(folder.glob("*.npz")))
        assert survived >= pieces
    curve = heatrd.rd_curve("laplace", checkpoint=folder, **SMALL)
    assert content(curve, tmp_path) == content(serial, tmp_path)


def test_interrupt_leaves_the_partial_curve(monkeypatch, tmp_path):
    original, count = generations._solve_epsilon, []

    def interrupted(*arguments):
        count.append(1)
        if len(count) == 6:
            raise KeyboardInterrupt
        return original(*arguments)

    monkeypatch.setattr(generations, "_solve_epsilon", interrupted)
    with pytest.raises(KeyboardInterrupt) as stop:
        heatrd.rd_curve("uniform", tol=1e-2, checkpoint=tmp_path)
    partial = stop.value.curve
    assert len(partial.distortions) == 5 and not partial.complete and not partial.certified
    assert len(list(tmp_path.glob("*.npz"))) == 5
    lower, upper = partial.bounds(0.5)
    assert lower <= heatrd.solve("uniform", distortion=0.5).rate <= upper + 1e-8


INTERRUPTED = """
import sys, heatrd
if __name__ == "__main__":
    try:
        heatrd.rd_curve("laplace", tol=1e-7, workers=1, checkpoint=sys.argv[1])
    except KeyboardInterrupt as stop:
        print(len(stop.curve.distortions), flush=True)
        raise SystemExit(130)
"""


def test_ctrl_c_stops_worker_processes_too(tmp_path):
    script = tmp_path / "script.py"
    script.write_text(INTERRUPTED)
    process = subprocess.Popen(
        [sys.executable, str(script), str(tmp_path / "c")],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    limit = time.monotonic() + 120
    while time.monotonic() < limit and len(list((tmp_path / "c").glob("*.npz"))) < 2:
        time.sleep(0.02)
    os.killpg(process.pid, signal.SIGINT)
    output, complaints = process.communicate(timeout=60)
    assert process.returncode == 130 and "Traceback" not in complaints, complaints
    assert int(output) >= 2


# -- files -----------------------------------------------------------------------------------------------------


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


def test_knots_between_are_proved_and_cheap():
    """Every knot that `refine` inserts encloses L(ε) of an independent solve."""
    source = Uniform(-1.0, 1.0)
    ends = [between.Knot.of(heatrd.solve(source, epsilon=e, tol=1e-8).certificate) for e in (0.03, 0.02)]
    found = between.refine(source, *ends, 1e-4)
    assert found.reached and len(found.rows) >= 3 and found.solves <= 1
    for epsilon, upper, lower, distortion in found.rows[:: max(1, len(found.rows) // 3)]:
        truth = heatrd.solve(source, epsilon=epsilon, tol=1e-9)
        assert lower <= truth.lagrangian and truth.lagrangian_lower <= upper and upper - lower <= 5e-5
        assert distortion == pytest.approx(truth.distortion, rel=1e-2)
