"""Distortion and rate targets: hit, certified, whatever the way there."""

import math
from types import SimpleNamespace

import numpy as np
import pytest

import heatrd
from heatrd.curve.guesses import guesses
from heatrd.reconstruction.dispatch import certify_law
from heatrd.reconstruction.line import LineProblem
from heatrd.reconstruction.target import Counted, Guess, _Aim, find, lower_between
from heatrd.sources import Pinwheel


@pytest.mark.parametrize("name", ["laplace", "exponential", "student-t", "gaussian-mixture", "uniform"])
@pytest.mark.parametrize("kind", ["distortion", "rate"])
def test_list_of_targets_is_hit_and_agrees_with_single_solves(name, kind):
    source = heatrd.as_source(name)
    values = source.total_variance * np.geomspace(0.02, 0.9, 9) if kind == "distortion" else np.linspace(0.1, 2.0, 9)
    curve = heatrd.rd_curve(source, **{f"{kind}s": values})
    for value, point in zip(values, curve.solutions, strict=True):
        if kind == "distortion":
            assert point.distortion == pytest.approx(value, rel=1e-9)
        else:
            assert point.rate == pytest.approx(value, rel=1e-9)
        assert point.gap <= 1e-6
    for place in (2, 5):
        alone = heatrd.solve(source, **{kind: float(values[place])})
        among = curve.solutions[place]
        # intervals proved for the same distortion overlap
        assert among.certificate.lower_bound(alone.distortion) <= alone.rate + 1e-12
        assert alone.certificate.lower_bound(among.distortion) <= among.rate + 1e-12


def test_order_of_targets_does_not_matter():
    values = np.array([0.5, 0.02, 0.9, 0.1, 0.3, 0.05, 0.7, 0.2, 0.04])
    one = heatrd.rd_curve("uniform", distortions=values)
    other = heatrd.rd_curve("uniform", distortions=values[::-1])
    assert [p.rate for p in one.solutions] == [p.rate for p in other.solutions[::-1]]


def test_a_wrong_guess_costs_solves_only():
    counted = Counted(heatrd.as_source("laplace"), None, 1e-9)
    certificate, _ = find(counted, "distortion", 0.3, Guess(2.5, 0.1))
    assert certificate.distortion == pytest.approx(0.3, rel=1e-9)
    assert certificate.gap <= 1e-9


def test_a_guess_between_solved_points_is_close():
    source = heatrd.as_source("laplace")
    known = [heatrd.solve(source, epsilon=e, tol=1e-7) for e in (0.05, 0.08, 0.13, 0.2, 0.3)]
    inside = heatrd.solve(source, epsilon=0.1, tol=1e-8)
    guess = guesses("distortion", known, np.array([inside.distortion]))[inside.distortion]
    assert guess.epsilon == pytest.approx(0.1, rel=1e-4)
    nearby = heatrd.solve(source, epsilon=0.1 * math.exp(1e-3), tol=1e-8)
    assert guess.slope == pytest.approx(1e3 * math.log(nearby.distortion / inside.distortion), rel=1e-2)
    assert guesses("distortion", known, np.array([1e-3, 1.9])) == {}
    assert guesses("distortion", known[:3], np.array([inside.distortion])) == {}


@pytest.mark.parametrize("name", ["laplace", "uniform"])
def test_a_draft_is_what_its_proof_says_but_for_the_quadrature(name):
    problem = LineProblem(heatrd.as_source(name), 1e-8)
    draft = problem.draft(0.1)
    certificate = draft.prove()
    assert certificate.distortion == pytest.approx(draft.distortion, rel=1e-10)
    assert abs(certificate.lagrangian - draft.upper) <= 2 * certificate.discretisation + 1e-13
    assert np.array_equal(certificate.law.points, draft.law.points)


@pytest.mark.parametrize("name", ["laplace", "exponential", "student-t"])
def test_targets_near_zero_rate(name):
    """These tails send something at every slope: ε far beyond the variance."""
    source = heatrd.as_source(name)
    asked = (1 - 1e-5) * source.total_variance
    near = heatrd.solve(source, distortion=asked)
    assert near.distortion == pytest.approx(asked, rel=1e-9)
    assert near.epsilon > source.total_variance
    small = heatrd.solve(source, rate=1e-4)
    assert small.rate == pytest.approx(1e-4, rel=1e-8)
    assert small.gap <= 1e-9


@pytest.mark.parametrize(
    "source",
    [
        heatrd.sources.GaussianMixture([0.3, 0.3, 0.4], [[0, 0], [2, 1], [-1, 2]], 0.15 * np.eye(2)),
        heatrd.sources.NoisySphere(3, noise=0.3),
        heatrd.sources.Box([-1, -2], [1, 2]),
    ],
    ids=["space", "radial", "product"],
)
def test_targets_in_space(source):
    for share in (0.2, 0.5):
        found = heatrd.solve(source, distortion=share * source.total_variance, tol=1e-4)
        assert found.distortion == pytest.approx(share * source.total_variance, rel=1e-9)
        assert found.gap <= 1e-4


def test_lower_bound_between_two_slopes_is_one():
    """From exact values of a Gaussian's L = log(σ²/ε)/2 + 1/2: below them everywhere, and near them between two."""
    variance, proved = 2.0, []
    for epsilon in (0.3, 0.31, 0.5):
        exact = 0.5 * np.log(variance / epsilon) + 0.5
        proved.append(SimpleNamespace(epsilon=epsilon, lagrangian_lower=exact))
    for epsilon in np.geomspace(0.05, 1.9, 40):
        exact = 0.5 * np.log(variance / epsilon) + 0.5
        for some in (proved, proved[:1], proved[::2], proved[::-1]):
            assert lower_between(epsilon, some, variance) <= exact + 1e-14
    exact = 0.5 * np.log(variance / 0.305) + 0.5
    assert exact - lower_between(0.305, proved, variance) < 2e-4
    assert exact - lower_between(0.305, proved[:1], variance) > 1e-2


def test_the_last_digits_of_a_distortion_in_the_plane_cost_certificates_only():
    """A law kept while ε moves a little: by itself it proves little there, with the duals around nearly all."""
    source = Pinwheel()
    epsilon = 0.2 * float(np.linalg.eigvalsh(source.covariance)[-1])
    aim = _Aim(Counted(source, None, 1e-8), "distortion", 0.1)
    low, high = aim.at(math.log(epsilon)), aim.at(math.log(epsilon) + 1e-4)
    alone = certify_law(source, low.draft.law, epsilon * math.exp(5e-5))
    moved = aim._certified(low.draft.law, math.log(epsilon) + 5e-5, "atomic", [low, high])
    assert moved.draft.gap < 3e-8 < alone.gap
    there = heatrd.solve(source, epsilon=epsilon * math.exp(5e-5))
    assert moved.draft.prove().lagrangian_lower <= there.certificate.lagrangian
