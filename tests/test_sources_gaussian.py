"""Gaussians and their mixtures in the plane and in space against scipy."""

import pickle

import numpy as np
import pytest
import scipy.stats as st

from heatrd.sources import (
    Atoms,
    Gaussian,
    GaussianMixture,
    Source1D,
)


def test_gaussian_in_the_plane_against_scipy():
    mean, cov = [0.5, -1.0], [[2.0, 0.6], [0.6, 0.5]]
    src, ref = Gaussian(mean, cov), st.multivariate_normal(mean, cov)
    x = ref.rvs(50, random_state=1)
    np.testing.assert_allclose(src.log_density(x), ref.logpdf(x), rtol=1e-12)
    assert src.entropy() == pytest.approx(ref.entropy(), rel=1e-14)
    assert src.critical_epsilon() == pytest.approx(np.linalg.eigvalsh(cov)[0], rel=1e-14)
    assert src.factors is None and not isinstance(src, Source1D)
    assert pickle.loads(pickle.dumps(src)).dim == 2
    draw = src.sample(40_000, rng=3)
    np.testing.assert_allclose(np.cov(draw.T), cov, atol=0.06)


def test_block_diagonal_gaussian_factors():
    cov = np.zeros((4, 4))
    cov[np.ix_([0, 2], [0, 2])] = [[2.0, 0.5], [0.5, 1.0]]
    cov[1, 1] = 3.0
    blocks = dict(Gaussian(np.arange(4.0), cov).factors)
    assert set(blocks) == {(0, 2), (1,), (3,)}
    assert blocks[(1,)].variance == 3.0 and blocks[(0, 2)].dim == 2
    assert isinstance(blocks[(3,)], Atoms)


def test_mixture_in_space_with_shared_and_own_covariances():
    rng = np.random.default_rng(5)
    means = rng.standard_normal((6, 3))
    roots = rng.standard_normal((6, 3, 3))
    covs = roots @ roots.transpose(0, 2, 1) + 0.1 * np.eye(3)
    covs[3:] = covs[0]
    weights = rng.random(6)
    src = GaussianMixture(weights, means, covs)
    x = rng.standard_normal((4, 5, 3)) * 3
    parts = [
        np.log(w / weights.sum()) + st.multivariate_normal(m, c).logpdf(x) for w, m, c in zip(weights, means, covs)
    ]
    np.testing.assert_allclose(src.log_density(x), np.logaddexp.reduce(parts), rtol=1e-11)
    assert src.critical_epsilon() == pytest.approx(min(np.linalg.eigvalsh(c)[0] for c in covs), rel=1e-10)
    draw = src.sample(60_000, rng=3)
    np.testing.assert_allclose(np.cov(draw.T), src.covariance, atol=0.04 * np.abs(src.covariance).max())
