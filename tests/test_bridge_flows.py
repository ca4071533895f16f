"""The measures under the heat flow that bridges are made of, each against its closed form."""

import numpy as np
import pytest
from scipy.special import softmax
from scipy.stats import multivariate_normal

import heatrd
from heatrd.bridge.flows import AtomFlow, DensityFlow, MixtureFlow, SumFlow, UnitFlow
from heatrd.bridge.nodes import source_nodes
from heatrd.sources import Gaussian


@pytest.mark.parametrize("dim", [1, 2, 3])
@pytest.mark.parametrize("s", [0.0, 1e-4, 0.02])
def test_density_flow_of_a_gaussian(dim, s):
    """G_s ∗ N(0, I) = N(0, (1 + s) I), value and score, by local quadrature."""
    source = Gaussian(np.zeros(dim), np.eye(dim))
    law = source_nodes(source, 0.3)
    flow = DensityFlow(source.log_density, AtomFlow(law.points, np.log(law.weights)), coarse=0.3)
    x = np.random.default_rng(0).uniform(-2, 2, (9, dim))
    value, score = flow.log_and_score(s, x)
    exact = -0.5 * (x**2).sum(axis=1) / (1 + s) - 0.5 * dim * np.log(2 * np.pi * (1 + s))
    assert value == pytest.approx(exact, abs=1e-6)
    assert score == pytest.approx(-x / (1 + s), abs=1e-5)


def test_unit_flow_draws_brownian_steps():
    normal = np.array([[1.0, -2.0]])
    assert UnitFlow().draw(0.25, np.ones((1, 2)), np.zeros(1), normal).tolist() == [[1.5, 0.0]]


def test_sum_of_flows_draws_each_atom_as_often_as_its_posterior():
    """Two parts of two atoms are as one of four: a uniform grid of uniforms hits each in proportion."""
    points, log_mass = np.array([[-1.0], [0.0], [0.5], [2.0]]), np.log([0.1, 0.3, 0.4, 0.2])
    flow = SumFlow(AtomFlow(points[:2], log_mass[:2]), AtomFlow(points[2:], log_mass[2:]))
    n, s, x = 20_000, 0.7, 0.4
    uniform = (np.arange(n) + 0.5) / n
    drawn = flow.draw(s, np.full((n, 1), x), uniform, np.zeros((n, 1)))[:, 0]
    exact = softmax(log_mass - (x - points[:, 0]) ** 2 / (2 * s))
    assert [np.mean(drawn == y) for y in points[:, 0]] == pytest.approx(exact, abs=1e-3)


@pytest.mark.parametrize("t", [0.2, 0.4, 0.7])
def test_quadrature_in_the_plane_has_mass_one_and_the_moments_of_the_path(t):
    """E X_t = (1 − t) E X_0 + t E X_1 for a Brownian bridge between coupled ends."""
    bridge = heatrd.solve(heatrd.as_source("ring"), epsilon=0.3, tol=1e-4).bridge
    law = bridge.quadrature(t)
    assert law.weights.sum() == pytest.approx(1, abs=1e-6)
    mean = (1 - t) * bridge.mu.weights @ bridge.mu.points + t * bridge.terminal.weights @ bridge.terminal.points
    assert law.weights @ law.points == pytest.approx(mean, abs=1e-5)


def test_draws_from_a_mixture_have_its_posterior_mean_and_covariance():
    """Z ~ Σ_k w_k N(m_k, C_k) and X = Z + √s W: moments of Z given X, one component by Gaussian algebra."""
    weights, means = np.array([0.3, 0.7]), np.array([[-1.0, 0.0], [0.8, 0.5]])
    covs = np.array([[[0.5, 0.2], [0.2, 0.4]], [[0.3, -0.1], [-0.1, 0.6]]])
    s, x, rng, n = 0.4, np.array([0.3, -0.2]), np.random.default_rng(0), 40_000
    uniform = (np.arange(n) + 0.5) / n
    normal = rng.standard_normal((n // 2, 2))
    normal = np.concatenate([normal, -normal])[rng.permutation(n)]
    drawn = MixtureFlow(weights, means, covs).draw(s, np.tile(x, (n, 1)), uniform, normal)
    gains = [c @ np.linalg.inv(c + s * np.eye(2)) for c in covs]
    centres = np.array([m + g @ (x - m) for m, g in zip(means, gains, strict=True)])
    spreads = np.array([c - g @ c for c, g in zip(covs, gains, strict=True)])
    p = weights * [multivariate_normal.pdf(x, m, c + s * np.eye(2)) for m, c in zip(means, covs, strict=True)]
    p /= p.sum()
    mean = p @ centres
    second = np.einsum("k,kij->ij", p, spreads + centres[:, :, None] * centres[:, None, :])
    assert drawn.mean(axis=0) == pytest.approx(mean, abs=0.02)
    assert np.cov(drawn.T) == pytest.approx(second - np.outer(mean, mean), abs=0.02)
