"""Whole curves: first version, log-spaced solves with the band of chords, tangents and shifted Shannon bounds."""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from heatrd.closed_forms import differential_entropy
from heatrd.curve.band import Band, Knots
from heatrd.curve.result import RDCurve
from heatrd.errors import InvalidInput
from heatrd.solution import Solution, solve
from heatrd.sources import Source, as_source

__all__ = ["rd_curve", "rd_curves"]

_MOST_BITS = 5.0


def rd_curve(src: Any, distortions: ArrayLike | None = None, rates: ArrayLike | None = None, tol: float = 1e-6,
             executor: Any = None, workers: int | None = None, progress: bool = False, checkpoint: Any = None) -> RDCurve:
    """Compute a certified rate–distortion curve.

    Parameters
    ----------
    src : source
        Anything `heatrd.as_source` takes.
    distortions, rates : array_like, optional
        Points to solve at (rates in nats); the whole curve up to 5 bits when both are omitted.
    tol : float
        Width of the band asked for, nats.
    """
    began = time.perf_counter()
    source = as_source(src)
    if distortions is not None and rates is not None:
        raise InvalidInput("give distortions or rates, not both")
    name, values = ("distortion", distortions) if distortions is not None else ("rate", rates)
    if values is not None:
        targets = np.atleast_1d(np.asarray(values, dtype=np.float64)).ravel()
        solutions = [solve(source, **{name: float(v)}, tol=min(0.5 * tol, 1e-7)) for v in targets]  # type: ignore[arg-type]
    else:
        solutions = [solve(source, epsilon=float(e), tol=0.1 * tol) for e in _epsilons(source)]
    return _assemble(source, solutions, tol, began)


def rd_curves(sources: Sequence[Any], **options: Any) -> list[RDCurve]:
    """Compute the curves of several sources; see `rd_curve`."""
    return [rd_curve(source, **options) for source in sources]


def _epsilons(source: Source) -> np.ndarray:
    if source.total_variance <= 0:
        return np.ones(1)
    top = source.total_variance / source.dim
    rate = _MOST_BITS * math.log(2)
    try:
        entropy = differential_entropy(source)
    except InvalidInput:
        entropy = -math.inf
    low = top * 1e-3
    if math.isfinite(entropy):
        low = math.exp(2 * (entropy - rate) / source.dim) / (2 * math.pi * math.e)
    return np.geomspace(3 * top, max(low, 1e-4 * top), 40)


def _assemble(source: Source, solutions: list[Solution], tol: float, began: float) -> RDCurve:
    columns = [(s.epsilon, s.lagrangian, s.lagrangian_lower, s.certificate.distortion) for s in solutions
               if math.isfinite(s.epsilon)]
    knots = Knots.sorted(*np.array(columns, dtype=float).reshape(-1, 4).T)
    band = Band(knots, source.total_variance, source.dim)
    return RDCurve(source, np.array([s.epsilon for s in solutions]), np.array([s.distortion for s in solutions]),
                   tuple(solutions), band, tol, None, sum(s.evaluations for s in solutions), 0, time.perf_counter() - began)
