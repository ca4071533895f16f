"""Where the learned mixture begins: maximum likelihood on training points, at a few ε.

−F(ν) is the mean log-likelihood of X = Y + √ε ξ with Y ~ ν, so the best Gaussian mixture ν of J components at ε is the
best mixture of components N(a_j, v_j + ε) for the source itself: expectation–maximisation with variances bounded below
by ε, started at the smallest ε and continued upwards.

F is blind to what ν does on scales well below √ε, the late control is not: components that the likelihood does not ask
for make the control worse. So the smallest J is taken whose likelihood at other points is within a standard error of
the best. J = 1 is the Gaussian solution N(0, (λ − ε)₊), known beforehand: a Gaussian source keeps it, and so does a
sample too small to tell.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from heatrd.neural.data import Data

__all__ = ["NODES", "gaussian_start", "mixture_start", "start_of"]

FloatArray = NDArray[np.float64]

PLAIN = ("elliptical", "negentropy")
"""Entropies that leave the mixture at the Gaussian solution."""
START_STREAM = 2**31 + 1
VALIDATION_POINTS = 8192
NODES = 9
COUNTS = (2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 64, 96, 128)
RESTARTS, TRIAL_SWEEPS = 3, 15
FIRST_SWEEPS = 60
SWEEPS = 12
PATIENCE = 2
PRIOR_POINTS = 2.0
"""Weight of the source's own variance in each component's, in points."""
TRIAL_POINTS, POINTS, WORK = 16384, 65536, 2**19
"""Points to choose J by, at most so many for the chosen J, and at most so many distances a sweep."""
LOG_2PI = float(np.log(2 * np.pi))


class Fit(NamedTuple):
    """Gaussian mixture for the source: log-weights (J,), means (J, d), second moments S (J, d); variances max(S, ε)."""

    log_w: FloatArray
    means: FloatArray
    square: FloatArray


def gaussian_start(eigenvalues: FloatArray) -> FloatArray:
    """One component, the Gaussian solution: a table (K, 1, 1 + 2d) of log-weights, means and second moments S.

    The law at ε has the variances v = (S − ε)₊.
    """
    d = eigenvalues.size
    table = np.zeros((NODES, 1, 1 + 2 * d))
    table[:, 0, 1 + d :] = eigenvalues
    return table


def mixture_start(
    draw: Callable[[int], FloatArray],
    check: FloatArray,
    eigenvalues: FloatArray,
    epsilon_range: tuple[float, float],
    components: int,
    rng: np.random.Generator,
) -> FloatArray:
    """Return a table (K, J, 1 + 2d) fitted at points ``draw(n)`` (n, d), its J ≤ ``components`` chosen at ``check``."""
    low, d = epsilon_range[0], eigenvalues.size
    fit = draw(TRIAL_POINTS)
    fits = [Fit(np.zeros(1), np.zeros((1, d)), eigenvalues[None])]
    scores = [_log_likelihood(check, fits[0], low)]
    for count in (j for j in COUNTS if j <= min(components, len(fit) // 2)):
        fits.append(_first(fit, count, eigenvalues, low, rng))
        scores.append(_log_likelihood(check, fits[-1], low))
        if _smallest_good(scores) < len(scores) - PATIENCE:
            break
    chosen = _smallest_good(scores)
    if chosen == 0:
        return gaussian_start(eigenvalues)
    found, rows = fits[chosen], []
    fit = draw(int(np.clip(WORK / found.means.size, TRIAL_POINTS, POINTS)))
    for epsilon in np.geomspace(*epsilon_range, NODES):
        for _ in range(SWEEPS):
            found = _sweep(fit, found, eigenvalues, epsilon)
        rows.append(np.concatenate([found.log_w[:, None], found.means, found.square], axis=1))
    return np.stack(rows)


def _smallest_good(scores: list[FloatArray]) -> int:
    """First of the candidates whose mean score is within a standard error of the best one's."""
    best = max(scores, key=lambda score: float(score.mean()))
    lead = [best - score for score in scores]
    return next(i for i, gap in enumerate(lead) if gap.mean() <= gap.std() / np.sqrt(gap.size))


def _first(
    x: FloatArray, count: int, prior: FloatArray, epsilon: float, rng: np.random.Generator
) -> Fit:
    """Best of a few short runs from spread-out points, continued."""
    trials = []
    for _ in range(RESTARTS):
        width = prior * count ** (-2.0 / prior.size)
        trial = Fit(np.full(count, -np.log(count)), _spread_out(x, count, rng), np.tile(width, (count, 1)))
        for _ in range(TRIAL_SWEEPS):
            trial = _sweep(x, trial, prior, epsilon)
        trials.append(trial)
    found = max(trials, key=lambda trial: float(_log_likelihood(x, trial, epsilon).mean()))
    for _ in range(FIRST_SWEEPS):
        found = _sweep(x, found, prior, epsilon)
    return found


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


def _sweep(x: FloatArray, fit: Fit, prior: FloatArray, epsilon: float) -> Fit:
    """One step of expectation–maximisation for weights, means and variances v + ε ≥ ε."""
    joint = _log_joint(x, fit, epsilon)
    posterior = np.exp(joint - joint.max(axis=1, keepdims=True))
    posterior /= posterior.sum(axis=1, keepdims=True)
    count = posterior.sum(axis=0) + 1e-9
    means = (posterior.T @ x) / count[:, None]
    square = (posterior.T @ x**2) / count[:, None] - means**2
    square = (count[:, None] * square + PRIOR_POINTS * prior) / (count[:, None] + PRIOR_POINTS)
    return Fit(np.log(count / count.sum()), means, square)


def _log_joint(x: FloatArray, fit: Fit, epsilon: float) -> FloatArray:
    """log w_j N(x; a_j, diag max(S_j, ε)), (n, J)."""
    variance = np.maximum(fit.square, epsilon)
    distance = x**2 @ (1 / variance).T - 2 * x @ (fit.means / variance).T + (fit.means**2 / variance).sum(axis=1)
    return np.asarray(fit.log_w - 0.5 * (distance + (np.log(variance) + LOG_2PI).sum(axis=1)))


def _log_likelihood(x: FloatArray, fit: Fit, epsilon: float) -> FloatArray:
    """Log-density of the mixture at ``x`` (n, d), (n,)."""
    return np.asarray(np.logaddexp.reduce(_log_joint(x, fit, epsilon), axis=1))


def start_of(
    data: Data, span: tuple[float, float], *, entropy: str, components: int, seed: int
) -> FloatArray:
    """Return the table to begin with for ``data``, over the range ``span`` of ε in standard coordinates."""
    eigenvalues, forward = data.coordinates.eigenvalues, data.coordinates.forward
    if entropy in PLAIN:
        return gaussian_start(eigenvalues)
    check = forward(data.validation(VALIDATION_POINTS, seed))

    def draw(n: int) -> FloatArray:
        return forward(data.train(n, seed, START_STREAM))

    return mixture_start(draw, check, eigenvalues, span, components, np.random.default_rng((seed, START_STREAM)))
