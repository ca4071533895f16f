"""Where the learned mixture begins: maximum likelihood on training points, at a few ε.

−F(ν) is the mean log-likelihood of X = Y + √ε ξ with Y ~ ν (`heatrd.neural.likelihood`).

F is blind to what ν does on scales well below √ε, the late control is not: components that the likelihood does not ask
for make the control worse. So the smallest J is taken whose likelihood at other points is within a standard error of
the best. J = 1 is the Gaussian solution N(0, (λ − ε)₊), known beforehand: a Gaussian source keeps it, and so does a
sample too small to tell. Beyond that, what one fit gets wrong on those scales is an accident of its start and its
points: a committee of fits is averaged, and continued on fresh points from the smallest ε upwards.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from heatrd.neural.data import Data
from heatrd.neural.likelihood import Fit, averaged, first_good, log_likelihood, online_sweeps, spread_out_fit

__all__ = ["NODES", "gaussian_start", "mixture_start", "start_of"]

FloatArray = NDArray[np.float64]
Draw = Callable[[int, int], FloatArray]

PLAIN = ("elliptical", "negentropy")
"""Entropies that leave the mixture at the Gaussian solution."""
START_STREAM = 2**31 + 1
VALIDATION_POINTS = 32768
NODES = 9
COUNTS = (2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 64, 96, 128)
SWEEPS, MEMBER_SWEEPS = 60, 30
PATIENCE = 2
POINTS = 32768
BATCH, SMALLEST_BATCH, BATCH_WORK = 8192, 2048, 2**17
"""Points in a batch of the continuation, fewer where their distances to the means were more than the last."""
COMMITTEE, COMMITTEE_NUMBERS = 6, 256
"""Fits averaged, as far as their means stay below so many numbers."""
FIRST_GAINS, GAINS = range(2, 82), range(4, 44)


def gaussian_start(eigenvalues: FloatArray) -> FloatArray:
    """One component, the Gaussian solution: a table (K, 1, 1 + 2d) of log-weights, means and second moments S.

    The law at ε has the variances v = (S − ε)₊.
    """
    d = eigenvalues.size
    table = np.zeros((NODES, 1, 1 + 2 * d))
    table[:, 0, 1 + d :] = eigenvalues
    return table


def mixture_start(
    draw: Draw,
    check: FloatArray,
    eigenvalues: FloatArray,
    epsilon_range: tuple[float, float],
    components: int,
    rng: np.random.Generator,
) -> FloatArray:
    """Return a table (K, J, 1 + 2d) fitted at points ``draw(n, batch)`` (n, d).

    Each member of the committee has at most ``components`` components, their number chosen at ``check``.
    """
    low = epsilon_range[0]

    def fitted(count: int, batch: int = 0) -> Fit:
        sweeps = MEMBER_SWEEPS if batch else SWEEPS
        return spread_out_fit(draw(POINTS, batch), count, eigenvalues, low, sweeps, rng)

    first = _chosen(fitted, check, eigenvalues, low, components)
    count = first.log_w.size
    if count == 1:
        return gaussian_start(eigenvalues)
    members = min(COMMITTEE, max(1, COMMITTEE_NUMBERS // first.means.size))
    size = int(np.clip(BATCH_WORK // count, SMALLEST_BATCH, BATCH))
    fits = [first, *(fitted(count, batch) for batch in range(1, members))]
    batches = itertools.count(members)
    rows: list[FloatArray] = []

    def fresh() -> FloatArray:
        return draw(size, next(batches))

    for epsilon in np.geomspace(*epsilon_range, NODES):
        gains = GAINS if rows else FIRST_GAINS
        fits = [online_sweeps(fresh, fit, eigenvalues, epsilon, gains) for fit in fits]
        found = averaged(fits)
        rows.append(np.concatenate([found.log_w[:, None], found.means, found.square], axis=1))
    return np.stack(rows)


def _chosen(
    fitted: Callable[[int], Fit], check: FloatArray, eigenvalues: FloatArray, epsilon: float, components: int
) -> Fit:
    """The smallest fit whose likelihood at ``check`` is within a standard error of the best one's."""
    fits = [Fit(np.zeros(1), np.zeros((1, eigenvalues.size)), eigenvalues[None])]
    scores = [log_likelihood(check, fits[0], epsilon)]
    for count in (j for j in COUNTS if j <= components):
        fits.append(fitted(count))
        scores.append(log_likelihood(check, fits[-1], epsilon))
        if first_good(scores) < len(scores) - PATIENCE:
            break
    return fits[first_good(scores)]


def start_of(
    data: Data, span: tuple[float, float], *, entropy: str, components: int, seed: int
) -> FloatArray:
    """Return the table to begin with for ``data``, over the range ``span`` of ε in standard coordinates."""
    eigenvalues, forward = data.coordinates.eigenvalues, data.coordinates.forward
    if entropy in PLAIN:
        return gaussian_start(eigenvalues)
    check = forward(data.validation(VALIDATION_POINTS, seed))

    def draw(n: int, batch: int) -> FloatArray:
        return forward(data.train(n, seed, START_STREAM + batch))

    return mixture_start(draw, check, eigenvalues, span, components, np.random.default_rng((seed, START_STREAM)))
