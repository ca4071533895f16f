"""What `sinkhorn` accepts as a marginal: weighted points, or weights on a tensor grid."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from heatrd import arguments
from heatrd.bridge.nodes import source_nodes
from heatrd.errors import InvalidInput
from heatrd.laws import DiscreteLaw, as_law
from heatrd.sources import Source

__all__ = ["Marginal", "as_marginal", "check_masses"]

FloatArray = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Marginal:
    """A probability vector on points or on a grid.

    Attributes
    ----------
    weights : array
        Probabilities, (n,) for points, of the grid's shape for a grid.
    mass : float
        Their sum as given, before normalisation.
    axes : tuple of (n_a,) arrays or None
        The grid's axes.
    given : (n, d) array or None
        The points, when there is no grid.
    """

    weights: FloatArray
    mass: float
    axes: tuple[FloatArray, ...] | None = None
    given: FloatArray | None = None

    @property
    def shape(self) -> tuple[int, ...]:
        return self.weights.shape

    @property
    def size(self) -> int:
        return int(self.weights.size)

    @property
    def dim(self) -> int:
        return len(self.axes) if self.axes is not None else int(self.points.shape[1])

    @cached_property
    def points(self) -> FloatArray:
        """Points (n, d), in C order of the grid."""
        if self.axes is None:
            return np.asarray(self.given)
        return np.stack(np.meshgrid(*self.axes, indexing="ij"), axis=-1).reshape(-1, len(self.axes))

    @cached_property
    def log_weights(self) -> FloatArray:
        with np.errstate(divide="ignore"):
            return np.log(self.weights)

    @property
    def law(self) -> DiscreteLaw:
        return DiscreteLaw(self.points, self.weights.ravel())

    def same_as(self, other: Marginal) -> bool:
        """Whether both are the same law written the same way."""
        return (
            self.shape == other.shape
            and np.array_equal(self.points, other.points)
            and np.array_equal(self.weights, other.weights)
        )


def as_marginal(obj: Any, what: str, epsilon: float = 1.0) -> Marginal:
    """Normalise a marginal.

    Parameters
    ----------
    obj : DiscreteLaw, Source, (points, weights), (axes, weights), or array of points
        Points have shape (n,) or (n, d). A grid is a `heatrd.grids.Grid`, or a tuple or list of 1-D axes, with
        weights of the grid's shape.
        A source with a density is replaced by its quadrature nodes for ``epsilon``.
    what : str
        Its name in messages.

    Raises
    ------
    InvalidInput
        NaN, negative weights, zero mass, shapes that do not match.
    """
    if isinstance(obj, Marginal):
        return obj
    if isinstance(obj, Source):
        return _from_source(obj, what, epsilon)
    if hasattr(obj, "points") and hasattr(obj, "weights"):
        return _from_points(obj.points, obj.weights, what)
    if isinstance(obj, tuple) and len(obj) == 2:
        place, weights = obj
        axes = getattr(place, "axes", None)
        if axes is None and _looks_like_axes(place, weights):
            axes = place
        return _from_points(place, weights, what) if axes is None else _from_grid(axes, weights, what)
    return _from_points(obj, None, what)


def check_masses(mu: Marginal, nu: Marginal) -> None:
    """Refuse marginals of different mass or dimension."""
    if mu.dim != nu.dim:
        raise InvalidInput(f"mu lives in R^{mu.dim}, nu in R^{nu.dim}; give marginals on the same space")
    if not math.isclose(mu.mass, nu.mass, rel_tol=1e-9):
        raise InvalidInput(
            f"mu has mass {mu.mass:.12g}, nu has mass {nu.mass:.12g}; balanced transport needs equal "
            "masses: normalise both (heatrd.as_law does)"
        )


def _looks_like_axes(place: Any, weights: Any) -> bool:
    if not isinstance(place, tuple | list) or weights is None:
        return False
    shapes = [np.shape(axis) for axis in place]
    return all(len(s) == 1 for s in shapes) and tuple(s[0] for s in shapes) == np.shape(weights)


def _from_points(points: Any, weights: Any, what: str) -> Marginal:
    law = as_law(points, weights, what=what)  # checks everything
    mass = 1.0 if weights is None else float(np.sum(np.asarray(weights, dtype=np.float64)))
    return Marginal(law.weights, mass, given=law.points)


def _from_grid(axes: Sequence[Any], weights: Any, what: str) -> Marginal:
    arrays = tuple(arguments.numbers(axis, f"{what}: axis") for axis in axes)
    for a, axis in enumerate(arrays):
        if axis.ndim != 1 or axis.size == 0 or not np.isfinite(axis).all():
            raise InvalidInput(f"{what}: axis {a} must be a 1-D array of finite coordinates")
    w = arguments.numbers(weights, f"{what}: weights")
    shape = tuple(axis.size for axis in arrays)
    if w.shape != shape:
        raise InvalidInput(
            f"{what}: weights have shape {w.shape}, the grid has shape {shape}; give one weight per cell"
        )
    if not np.isfinite(w).all() or (w < 0).any():
        raise InvalidInput(f"{what}: weights must be finite and non-negative; NaN, inf or a negative value was given")
    mass = float(w.sum())
    if not mass > 0:
        raise InvalidInput(f"{what}: all weights are zero; at least one must be positive")
    return Marginal(w / mass, mass, axes=arrays)


def _from_source(source: Source, what: str, epsilon: float) -> Marginal:
    nodes = source_nodes(source, arguments.number(epsilon, "epsilon", positive=True))
    return _from_points(nodes.points, nodes.weights, what)
