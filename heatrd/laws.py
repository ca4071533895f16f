"""Discrete laws: weighted points in R^d.

One type serves for the reconstruction law ν, for the discretised source μ and for users' particles.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from heatrd import arguments
from heatrd.errors import InvalidInput

__all__ = ["DiscreteLaw", "as_law"]

FloatArray = NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class DiscreteLaw:
    """A probability law on finitely many points.

    Attributes
    ----------
    points : (m, d) array
        Support points, in the source's units.
    weights : (m,) array
        Probabilities, non-negative, summing to one.
    """

    points: FloatArray
    weights: FloatArray

    @property
    def dim(self) -> int:
        return int(self.points.shape[1])

    @property
    def size(self) -> int:
        return int(self.points.shape[0])

    @property
    def mean(self) -> FloatArray:
        return np.asarray(self.weights @ self.points)

    @property
    def covariance(self) -> FloatArray:
        centred = self.points - self.mean
        return np.asarray((self.weights[:, None] * centred).T @ centred)

    def __len__(self) -> int:
        return self.size


def as_law(points: ArrayLike, weights: ArrayLike | None = None, *, what: str = "law") -> DiscreteLaw:
    """Validate points and weights and return them as a normalised `DiscreteLaw`.

    Parameters
    ----------
    points : (m,) or (m, d) array_like
        Support points; a 1-D array means d = 1.
    weights : (m,) array_like, optional
        Non-negative masses with a positive finite sum (normalised here); uniform when omitted.
    what : str
        What to call the law in error messages.

    Raises
    ------
    InvalidInput
        Empty, non-finite, negative or mismatched input.
    """
    p = np.array(arguments.numbers(points, f"{what}: points"))
    if p.ndim == 1:
        p = p[:, None]
    if p.ndim != 2 or p.size == 0:
        raise InvalidInput(f"{what}: points have shape {p.shape}; need (m,) or (m, d) with m, d >= 1")
    if not np.isfinite(p).all():
        raise InvalidInput(f"{what}: points contain NaN or inf; remove them first")
    if weights is None:
        w = np.full(len(p), 1.0 / len(p))
    else:
        w = arguments.numbers(weights, f"{what}: weights")
        if w.shape != (len(p),):
            raise InvalidInput(f"{what}: weights have shape {w.shape}; need ({len(p)},), one per point")
        if not np.isfinite(w).all() or (w < 0).any():
            raise InvalidInput(f"{what}: weights must be finite and non-negative")
        if not w.max() > 0:
            raise InvalidInput(f"{what}: all weights are zero; at least one must be positive")
        w = np.array(arguments.normalised(w))
    return DiscreteLaw(np.ascontiguousarray(p), w)
