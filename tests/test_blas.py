"""BLAS threads while problems in R^d are solved."""

import sys

import numpy as np
import pytest

import heatrd
from heatrd.reconstruction import blas, space
from heatrd.sources import TwoMoons

threadpoolctl = pytest.importorskip("threadpoolctl")


def counts():
    return {library["num_threads"] for library in threadpoolctl.threadpool_info() if library["user_api"] == "blas"}


@pytest.fixture(autouse=True)
def two_threads():
    with threadpoolctl.threadpool_limits(2, user_api="blas"):
        yield


def test_a_solve_uses_one_thread_and_gives_the_others_back(monkeypatch):
    seen, exchanged = [], space.exchanged
    monkeypatch.setattr(space, "exchanged", lambda *given: seen.append(counts()) or exchanged(*given))
    heatrd.solve(TwoMoons(0.3), epsilon=0.5)
    assert seen == [{1}]
    assert counts() == {2}


def test_the_last_of_concurrent_solves_gives_the_threads_back():
    first, second = blas.one_blas_thread(), blas.one_blas_thread()
    first.__enter__()
    second.__enter__()
    first.__exit__(None, None, None)
    assert counts() == {1}
    second.__exit__(None, None, None)
    assert counts() == {2}


def test_an_error_gives_the_threads_back():
    with pytest.raises(ZeroDivisionError), blas.one_blas_thread():
        assert counts() == {1}
        1 / 0  # noqa: B018
    assert counts() == {2}


def test_without_threadpoolctl_nothing_changes(monkeypatch):
    monkeypatch.setitem(sys.modules, "threadpoolctl", None)
    blas._controller.cache_clear()
    try:
        with blas.one_blas_thread():
            pass
        found = heatrd.solve(TwoMoons(0.3), epsilon=0.5)
    finally:
        blas._controller.cache_clear()
    assert np.isfinite(found.rate)
    assert found.gap <= 1e-8
