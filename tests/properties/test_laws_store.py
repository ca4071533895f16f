"""Saving, threads, executors and repetition change nothing."""

import concurrent.futures as cf
import math
import tempfile
from pathlib import Path

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

import heatrd
from heatrd.testing import line_sources, plane_sources

few = settings(max_examples=4)
RATES = [0.2, 0.7]


def fields(solution):
    law = solution.reconstruction
    return (solution.rate, solution.rate_lower, solution.distortion, law.points.tobytes(), law.weights.tobytes())


def saved(curve, folder, name="curve.npz"):
    curve.save(Path(folder) / name)
    return (Path(folder) / name).read_bytes()


@given(line_sources())
@few
def test_load_is_the_inverse_of_save(source):
    curve = heatrd.rd_curve(source, rates=RATES, tol=1e-3)
    with tempfile.TemporaryDirectory() as folder:
        first = saved(curve, folder)
        again = heatrd.RDCurve.load(Path(folder) / "curve.npz")
        assert saved(again, folder, "again.npz") == first
    assert type(again.source) is type(source) and repr(again.source) == repr(source)
    d = np.geomspace(0.1, 1.0, 7) * source.total_variance
    for one, two in zip(curve.bounds(d), again.bounds(d)):
        np.testing.assert_array_equal(one, two)
    for one, two in zip(curve.solutions, again.solutions):
        assert fields(one) == fields(two)


@given(plane_sources().filter(lambda source: source.is_discrete))
@settings(max_examples=3)
def test_load_is_the_inverse_of_save_in_the_plane(source):
    curve = heatrd.rd_curve(source, rates=[0.3], tol=1e-2)
    with tempfile.TemporaryDirectory() as folder:
        first = saved(curve, folder)
        again = heatrd.RDCurve.load(Path(folder) / "curve.npz")
        assert saved(again, folder, "again.npz") == first
    np.testing.assert_array_equal(again.source.discrete_part[0], source.discrete_part[0])


@given(line_sources("uniform", "laplace", "atoms", "gaussian-mixture"), st.integers(2, 4))
@settings(max_examples=3)
def test_executor_and_number_of_threads_do_not_matter(source, threads):
    alone = heatrd.rd_curve(source, rates=RATES, tol=1e-3)
    with cf.ThreadPoolExecutor(threads) as pool, tempfile.TemporaryDirectory() as folder:
        shared = heatrd.rd_curve(source, rates=RATES, tol=1e-3, executor=pool)
        assert saved(alone, folder, "a") == saved(shared, folder, "b")


@given(st.lists(line_sources("uniform", "laplace", "atoms", "tabulated"), min_size=3, max_size=5))
@settings(max_examples=4)
def test_concurrent_solves_are_those_done_one_by_one(several):
    def run(source):
        return fields(heatrd.solve(source, epsilon=0.3 * source.total_variance, tol=1e-6))

    alone = [run(source) for source in several]
    with cf.ThreadPoolExecutor(4) as pool:
        assert list(pool.map(run, several)) == alone


@given(line_sources("uniform", "laplace"), st.integers(1, 4), st.integers(0, 2**31))
@settings(max_examples=4)
def test_sampled_paths_do_not_depend_on_threads(source, threads, seed):
    bridge = heatrd.solve(source, epsilon=0.3 * source.total_variance, tol=1e-6).bridge
    one, many = (heatrd.sample(bridge, 9000, 3, rng=seed, threads=n, until=0.9) for n in (1, threads))
    assert float(one.energy) == float(many.energy) and float(one.distortion) == float(many.distortion)
    np.testing.assert_array_equal(one.terminal, many.terminal)


@given(
    st.lists(st.integers(-40, 40), min_size=3, max_size=30, unique=True), st.floats(math.log(0.1), 0.0).map(math.exp)
)
@few
def test_kernel_density_does_not_depend_on_the_order_of_samples(samples, ratio):
    x = np.array(samples, dtype=float)
    one, two = (heatrd.from_samples(v, method="kde") for v in (x, x[::-1].copy()))
    epsilon = ratio * one.total_variance
    first, second = (heatrd.solve(s, epsilon=epsilon, tol=1e-6) for s in (one, two))
    assert first.lagrangian_lower <= second.lagrangian and second.lagrangian_lower <= first.lagrangian
