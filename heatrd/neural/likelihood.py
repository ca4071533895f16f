"""Gaussian mixtures fitted to a source by expectation–maximisation, variances at least ε.

The mixture N(a_j, diag max(S_j, ε)) of the source is k∗ν for ν = Σ_j w_j N(a_j, diag (S_j − ε)₊), so its mean
log-likelihood is −F(ν) up to a constant, and a fit of the one is a fit of the other.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

__all__ = ["Fit", "averaged", "first_good", "log_likelihood", "online_sweeps", "spread_out_fit", "sweep"]

FloatArray = NDArray[np.float64]

RESTARTS, TRIAL_SWEEPS, TRIAL_POINTS = 3, 15, 8192
PRIOR_POINTS, PRIOR_OF = 2.0, 16384
"""The source's own variance counts as so many of so many points in each component's."""
GAIN_POWER = 0.6
LOG_2PI = float(np.log(2 * np.pi))


class Fit(NamedTuple):
    """Gaussian mixture for the source: log-weights (J,), means (J, d), second moments S (J, d); variances max(S, ε)."""

    log_w: FloatArray
    means: FloatArray
    square: FloatArray


class _Moments(NamedTuple):
    """Mean over points of the posterior p_j, p_j x and p_j x²: (J,), (J, d), (J, d)."""

    mass: FloatArray
    first: FloatArray
    second: FloatArray


def log_likelihood(x: FloatArray, fit: Fit, epsilon: float) -> FloatArray:
    """Log-density of the mixture at ``x`` (n, d), (n,)."""
    joint = _log_joint(x, fit, epsilon)
    top = joint.max(axis=0)
    return np.asarray(top + np.log(np.exp(joint - top).sum(axis=0)))


def sweep(x: FloatArray, fit: Fit, prior: FloatArray, epsilon: float) -> Fit:
    """One step of expectation–maximisation for weights, means and variances at the points ``x`` (n, d)."""
    return _maximised(_moments(x, fit, epsilon), prior)


def spread_out_fit(
    x: FloatArray, count: int, prior: FloatArray, epsilon: float, sweeps: int, rng: np.random.Generator
) -> Fit:
    """Best of a few short runs with ``count`` components from spread-out points of ``x`` (n, d), continued."""
    trials, few = [], x[:TRIAL_POINTS]
    for _ in range(RESTARTS):
        width = prior * count ** (-2.0 / prior.size)
        trial = Fit(np.full(count, -np.log(count)), _spread_out(few, count, rng), np.tile(width, (count, 1)))
        for _ in range(TRIAL_SWEEPS):
            trial = sweep(few, trial, prior, epsilon)
        trials.append(trial)
    found = max(trials, key=lambda trial: float(log_likelihood(few, trial, epsilon).mean()))
    for _ in range(sweeps):
        found = sweep(x, found, prior, epsilon)
    return found


def online_sweeps(
    draw: Callable[[], FloatArray], fit: Fit, prior: FloatArray, epsilon: float, gains: Sequence[int]
) -> Fit:
    """Expectation–maximisation on fresh points ``draw()``, moments averaged with gain k^−0.6 for each k of ``gains``.

    Every batch is seen once, so the sampling error falls with all the points drawn, not with those of one batch
    (Cappé and Moulines, 2009).
    """
    weight = np.exp(fit.log_w)
    kept = _Moments(weight, weight[:, None] * fit.means, weight[:, None] * (fit.square + fit.means**2))
    for k in gains:
        new, gain = _moments(draw(), fit, epsilon), float(k) ** -GAIN_POWER
        kept = _Moments(*((1 - gain) * old + gain * fresh for old, fresh in zip(kept, new)))
        fit = _maximised(kept, prior)
    return fit


def averaged(fits: Sequence[Fit]) -> Fit:
    """The mean of several mixtures, a mixture of all their components; F is convex, so its F is at most the mean F."""
    log_w = np.concatenate([fit.log_w for fit in fits]) - np.log(len(fits))
    return Fit(log_w, np.concatenate([fit.means for fit in fits]), np.concatenate([fit.square for fit in fits]))


def first_good(scores: Sequence[FloatArray]) -> int:
    """First of the candidates whose mean score over points (n,) is within a standard error of the best one's."""
    best = max(scores, key=lambda score: float(score.mean()))
    lead = [best - score for score in scores]
    return next(i for i, gap in enumerate(lead) if gap.mean() <= gap.std() / np.sqrt(gap.size))


def _moments(x: FloatArray, fit: Fit, epsilon: float) -> _Moments:
    joint = _log_joint(x, fit, epsilon)
    posterior = np.exp(joint - joint.max(axis=0))
    posterior /= posterior.sum(axis=0) * len(x)
    return _Moments(posterior.sum(axis=1) + 1e-12, posterior @ x, posterior @ x**2)


def _maximised(moments: _Moments, prior: FloatArray) -> Fit:
    mass = moments.mass[:, None]
    means = moments.first / mass
    square = moments.second / mass - means**2
    share = PRIOR_POINTS / PRIOR_OF
    square = (mass * square + share * prior) / (mass + share)
    return Fit(np.log(moments.mass / moments.mass.sum()), means, square)


def _log_joint(x: FloatArray, fit: Fit, epsilon: float) -> FloatArray:
    """log w_j N(x; a_j, diag max(S_j, ε)), (J, n)."""
    variance = np.maximum(fit.square, epsilon)
    constant = fit.log_w - 0.5 * (fit.means**2 / variance + np.log(variance) + LOG_2PI).sum(axis=1)
    return np.asarray(constant[:, None] + (fit.means / variance) @ x.T - 0.5 / variance @ (x**2).T)


def _spread_out(x: FloatArray, count: int, rng: np.random.Generator) -> FloatArray:
    """``count`` of the points, each drawn with probability ∝ squared distance to those before (k-means++)."""
    chosen = [x[rng.integers(len(x))]]
    nearest = ((x - chosen[0]) ** 2).sum(axis=1)
    while len(chosen) < count:
        total = nearest.sum()
        index = rng.choice(len(x), p=nearest / total) if total > 0 else rng.integers(len(x))
        chosen.append(x[index])
        nearest = np.minimum(nearest, ((x - chosen[-1]) ** 2).sum(axis=1))
    return np.array(chosen)
