"""The kernels of the problem in R^d that are not seen through their callers: exponentials and products."""

import math
import os
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from heatrd.kernels import _jit, gram
from heatrd.kernels.exponential import exponential
from heatrd.kernels.gram import compress, lower_product
from heatrd.kernels.posterior import ROWS, posterior_sum


@given(st.floats(-707.9, 709.4))
def test_exponential_is_that_of_the_library(x):
    assert math.isclose(exponential(x), math.exp(x), rel_tol=5e-16)


def test_exponential_beyond_the_range():
    assert exponential(-math.inf) == exponential(-1e9) == exponential(-708.0) < 1e-300
    assert exponential(710.0) == exponential(1e9) == exponential(math.inf) == math.inf
    assert math.isnan(exponential(math.nan))
    assert exponential(0.0) == 1.0


@pytest.mark.parametrize("kind, error", [(np.float64, 1e-13), (np.float32, 1e-4)])
@pytest.mark.parametrize("rows, columns", [(1, 1), (4, 8), (5, 3), (7, 10), (0, 5), (13, 21)])
def test_lower_product(rows, columns, kind, error):
    f = np.random.default_rng(rows + columns).standard_normal((rows, columns)).astype(kind)
    out = np.full((columns, columns), np.nan, dtype=kind)
    lower_product(f, out)
    np.testing.assert_allclose(np.tril(out), np.tril(f.T @ f), atol=error)


def test_empty_columns_are_left_out_block_by_block():
    features, near, kept = np.zeros((5, 8)), np.array([3, 7, 9, 12]), np.empty(4, dtype=np.int64)
    features[2, 2:4] = 1.0
    features[0, 6] = 2.0
    expected = features[:, [2, 3, 6, 7]].copy()
    assert compress(features, near, 2, kept) == 2
    np.testing.assert_array_equal(kept[:2], [7, 12])
    np.testing.assert_array_equal(features.ravel()[:20].reshape(5, 4), expected)
    full = np.ones((2, 4))
    assert compress(full, near[:2], 2, kept) == 2
    np.testing.assert_array_equal(kept[:2], near[:2])
    np.testing.assert_array_equal(full, 1.0)


@pytest.mark.parametrize("d", [2, 3])
def test_sums_over_tiles_longer_than_a_block_of_rows_and_over_far_atoms(d):
    """Nodes so far from all atoms that every term underflows have a log Z all the same."""
    rng = np.random.default_rng(5)
    x = rng.standard_normal((2 * ROWS + 3, d))
    x[-1] += 1e3
    y, log_w = rng.standard_normal((6, d)), np.log(rng.random(6))
    terms = log_w - 0.5 * ((x[:, None] - y) ** 2).sum(axis=2)
    out = np.empty(len(x))
    posterior_sum(x, np.array([0, len(x)]), y, log_w, np.array([0, 6]), np.arange(6), 40.0, out)
    np.testing.assert_allclose(out, np.logaddexp.reduce(terms, axis=1), rtol=1e-14, atol=1e-13)


def test_caches_depend_on_all_kernel_files():
    """The machine code of a kernel holds that of others, whose files numba's own stamp does not cover."""
    stamp = _jit._stamp()
    assert {"gram.py", "moments.py", "posterior.py", "exponential.py"} <= {name for name, _, _ in stamp}
    if hasattr(gram.posterior_gram, "_cache"):  # not under NUMBA_DISABLE_JIT=1
        assert gram.posterior_gram._cache._cache_file._source_stamp == stamp


def test_sums_are_the_same_whether_compiled_now_or_read_from_the_cache(tmp_path):
    """Code that may sum in any order is vectorised one way alone and another inside its callers."""
    program = (
        "import numpy as np\n"
        "from heatrd.kernels.posterior import posterior_sum\n"
        "rng = np.random.default_rng(0)\n"
        "x, y, out = rng.normal(size=(150, 2)), rng.normal(size=(37, 2)), np.empty(150)\n"
        "places = np.array([0, 150]), y, np.log(rng.random(37)), np.array([0, 37]), np.arange(37)\n"
        "posterior_sum(x, *places, 26.0, out)\n"
        "print(out.tobytes().hex())"
    )
    where = dict(os.environ, NUMBA_CACHE_DIR=str(tmp_path))
    runs = [subprocess.run([sys.executable, "-c", program], env=where, capture_output=True, text=True) for _ in "ab"]
    assert runs[0].stdout and runs[0].stdout == runs[1].stdout, runs[1].stderr
