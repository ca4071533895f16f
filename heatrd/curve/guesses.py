"""Where to look for the ε of a distortion or a rate, from points solved at others.

ε is nearly D/d: log(dε/D) ≥ 0 is interpolated against log D, by its logarithm, since it falls by orders of magnitude
towards high rate; likewise log ε + 2R/d against R, as it is. Each time by a cubic through the four nearest points.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from heatrd.reconstruction.target import Guess
from heatrd.solution import Solution

__all__ = ["guesses"]

FloatArray = NDArray[np.float64]

_FEWEST = 4
_CLEAR = 1e-10


def guesses(name: str, known: list[Solution], values: FloatArray) -> dict[float, Guess]:
    """Return a guess for each target that lies between points of positive rate.

    Parameters
    ----------
    name : str
        "distortion" or "rate".
    known : list of Solution
    values : (n,) array
        Targets.
    """
    known = [s for s in known if s.regime != "zero-rate" and math.isfinite(s.epsilon)]
    if len(known) < _FEWEST:
        return {}
    dim = known[0].source.dim
    t = np.array([math.log(dim * s.epsilon) for s in known])
    if name == "distortion":
        x, slope = np.array([math.log(s.distortion) for s in known]), 1.0
    else:
        x, slope = np.array([s.rate for s in known]), -2.0 / dim
    x, index = np.unique(x, return_index=True)
    above = t[index] - slope * x
    tight = dim * (known[0].source.critical_epsilon() or 0.0)  # up to here D = dε
    found = {}
    for value in values.tolist():
        at = math.log(value) if name == "distortion" else value
        if x.size < _FEWEST or not x[0] < at < x[-1] or (name == "distortion" and value <= tight):
            continue
        first = min(max(int(np.searchsorted(x, at)) - 2, 0), x.size - _FEWEST)
        near = slice(first, first + _FEWEST)
        add, rise = _cubic(x[near], above[near], at, name == "distortion")
        residual = 1.0 if name == "distortion" else -1.0 / value  # its derivative in x
        if (slope + rise) * residual > 0:
            found[value] = Guess(math.exp(slope * at + add) / dim, residual / (slope + rise))
    return found


def _cubic(x: FloatArray, y: FloatArray, at: float, positive: bool) -> tuple[float, float]:
    """Value and slope at a point of the cubic through four; of log y where y is clearly positive."""
    logs = positive and bool((y > _CLEAR).all())
    fit = np.polynomial.Polynomial.fit(x, np.log(y) if logs else y, 3)
    value, rise = float(fit(at)), float(fit.deriv()(at))
    return (math.exp(value), math.exp(value) * rise) if logs else (value, rise)
