"""One point of the curve from a fitted model: the paper's read-out, and apart from it the held-out bound."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import jax
import numpy as np
from numpy.typing import NDArray

from heatrd.arguments import integer, word
from heatrd.neural.fitted import Fitted
from heatrd.neural.law_bound import explicit_law, polish
from heatrd.neural.readout import Bound, chain_bound, end_points, paper_readout, remove_known_moments
from heatrd.neural.results import NeuralEstimate
from heatrd.neural.rollout import Grid

__all__ = [
    "HELD_OUT_POINTS", "PARTICLES_UP_TO_DIM", "SELECTION_POINTS", "Reading", "estimate", "read_key", "reading",
    "rollout_law",
]

FloatArray = NDArray[np.float64]

HELD_OUT_POINTS = 16384
PARTICLES_UP_TO_DIM = 3
POLISHING_SWEEPS, POLISHING_SWEEPS_BEYOND = 25, 8
POLISHED = 256
SELECTION_POINTS = 8192
CHAIN_POINTS, CHAIN_SELECTION_POINTS = 4096, 2048
PAPER_POINTS, PAPER_FIT_POINTS = 8192, 2048
READOUT_STEPS = 32


@dataclass(frozen=True, slots=True)
class Reading:
    """How to read out: arguments of `R2D2.rate_distortion`, checked."""

    held_out: int
    particles: int
    importance: int
    polishing: int
    method: str
    seed: int


def reading(
    dim: int, seed: int, *, held_out: Any, particles: Any, importance: Any, polishing: Any, method: Any
) -> Reading:
    """Check the arguments of a read-out in dimension ``dim``.

    Raises
    ------
    InvalidInput
        One of them is of no use.
    """
    if polishing is None:
        polishing = POLISHING_SWEEPS if dim <= PARTICLES_UP_TO_DIM else POLISHING_SWEEPS_BEYOND
    return Reading(
        held_out=integer(held_out, "held_out", 2),
        particles=integer(particles, "particles", 2),
        importance=integer(importance, "importance", 1),
        polishing=integer(polishing, "polishing", 0),
        method=word(method, "method", ("auto", "law", "chain")),
        seed=seed,
    )


def read_key(seed: int, stream: int) -> jax.Array:
    """Key of one of the read-out's streams of noise."""
    return jax.random.fold_in(jax.random.key(seed), 1_000_000 + stream)


def estimate(
    fitted: Fitted, held: FloatArray, eps: float, epsilon: float, how: Reading, exact_moments: bool
) -> NeuralEstimate:
    """Read out at ``eps``, in standard coordinates (``epsilon`` in source units), with the points ``held`` (n, d).

    ``exact_moments``: mean and covariance of ``held`` are known exactly and serve as control variates.
    """
    coordinates, settings = fitted.coordinates, fitted.settings
    pool = coordinates.forward(fitted.pool)
    fine = Grid(max(settings.steps, READOUT_STEPS), settings.last)
    paper = paper_readout(
        fitted.model, held[:PAPER_POINTS], pool[:PAPER_FIT_POINTS] if exact_moments else None, eps,
        entropy=settings.entropy, key=read_key(how.seed, 1), grid=fine,
    )
    bound, chosen = _bound(fitted, held, eps, how, exact_moments)
    return NeuralEstimate(
        epsilon=epsilon,
        rate=paper.lagrangian - paper.distortion / (2 * eps),
        distortion=paper.distortion * coordinates.scale**2,
        lagrangian=paper.lagrangian,
        energy=paper.energy,
        terminal_entropy=paper.terminal + coordinates.dim * float(np.log(coordinates.scale)),
        lagrangian_upper=float(bound.values.mean()),
        lagrangian_upper_stderr=float(bound.values.std(ddof=1) / np.sqrt(bound.values.size)),
        upper_method=chosen,
        upper_distortion=bound.distortion * coordinates.scale**2,
        held_out=bound.values.size,
    )


def _bound(
    fitted: Fitted, held: FloatArray, eps: float, how: Reading, exact_moments: bool
) -> tuple[Bound, str]:
    """The bound asked for; ``auto`` compares both on the points for choices, so that the choice does not bias it."""
    fit = fitted.coordinates.forward(fitted.choice)
    bounds: dict[str, Callable[[FloatArray], Bound]] = {}
    trials: dict[str, FloatArray] = {}
    if how.method in ("auto", "law"):
        bounds["law"] = rollout_law(fitted, eps, how)
        trials["law"] = bounds["law"](fit).values
    if how.method in ("auto", "chain"):

        def chain(z: FloatArray, stream: int = 4) -> Bound:
            return chain_bound(
                fitted.model, z, eps, entropy=fitted.settings.entropy, importance=how.importance,
                key=read_key(how.seed, stream), grid=fitted.settings.grid,
            )

        bounds["chain"], trials["chain"] = chain, chain(fit[:CHAIN_SELECTION_POINTS], 3).values
    common = min(len(values) for values in trials.values())
    method = min(trials, key=lambda name: float(trials[name][:common].mean()))
    held = held if method == "law" else held[:CHAIN_POINTS]
    bound = bounds[method](held)
    if exact_moments:
        eigenvalues = fitted.coordinates.eigenvalues
        trial = trials[method]
        values = remove_known_moments(held, bound.values, fit[: len(trial)], trial, eigenvalues)
        bound = Bound(values, bound.distortion)
    return bound, method


def rollout_law(fitted: Fitted, eps: float, how: Reading) -> Callable[[FloatArray], Bound]:
    """The explicit law ν̂ of rollouts from training points, as a map from points (n, d) to the terms of F(ν̂)."""
    pool, fit = fitted.coordinates.forward(fitted.pool), fitted.coordinates.forward(fitted.choice)
    starts = np.resize(pool, (how.particles, pool.shape[1]))
    y = end_points(fitted.model, starts, eps, key=read_key(how.seed, 2), grid=fitted.settings.grid)
    refined = polish(y[:POLISHED], pool, eps, how.polishing) if how.polishing else None
    return explicit_law(fitted.model, y, fit, eps, refined)
