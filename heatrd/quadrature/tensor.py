"""Tensor-product quadrature of a density on R^d, d ≤ 3, and Gaussian sums on it.

The trapezoidal rule on a box that holds the tails, exponentially accurate for smooth densities, or Gauss–Legendre in
every cell of a table. On a tensor grid a Gaussian sum costs one small matrix product per axis where its points form a
lattice,

    Z_ijk = Σ_abc w_abc E_ia E_jb E_kc,     E_ia = exp(−(x_i − y_a)²/2ε),

and one large product where they are scattered.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from heatrd.errors import TooLarge
from heatrd.grids import TensorProduct, box_of
from heatrd.laws import DiscreteLaw
from heatrd.sources import Source
from heatrd.sources.tabulated import Tabulated

__all__ = ["KernelSum", "Lattice", "TensorRule", "along_axes", "check_size", "lattice_of", "tensor_rules"]

FloatArray = NDArray[np.float64]

SPACING = {1: 0.2, 2: 0.2, 3: 0.3}  # of √ε, or of √ε_c where that is larger
COARSER = 0.85
DROP = 40.0  # the box ends where the density has fallen by this many nats
WIDEST = {1: 64.0, 2: 24.0, 3: 12.0}  # half-width of the box in standard deviations, at the most
ORDERS = {1: (8, 6), 2: (4, 3), 3: (3, 2)}  # Gauss–Legendre nodes per cell and axis of a table
MOST_NODES = 30_000_000  # of a tensor product, which is never listed
LARGEST = 4_000_000  # nodes that are listed
MOST_WORK = 4e11  # multiplications of one Gaussian sum
_BLOCK = 1 << 21


@dataclass(frozen=True, slots=True, eq=False)
class TensorRule(TensorProduct):
    """A tensor-product quadrature.

    Attributes
    ----------
    axes, weights : tuples of (n_a,) arrays
        Nodes and weights along each axis, in the source's units.
    """

    weights: tuple[FloatArray, ...]

    def blocks(self) -> Iterator[slice]:
        """Runs of the first axis that bound the size of temporaries."""
        count = self.shape[0]
        rows = max(1, _BLOCK * count // self.size)
        return (slice(i, min(i + rows, count)) for i in range(0, count, rows))

    def part(self, rows: slice) -> tuple[FloatArray, FloatArray]:
        """Points (…, d) of a run of the first axis, and the products of their weights."""
        points = np.stack(np.meshgrid(self.axes[0][rows], *self.axes[1:], indexing="ij"), axis=-1)
        cell = self.weights[0][rows]
        for w in self.weights[1:]:
            cell = np.multiply.outer(cell, w)
        return points, cell


def tensor_rules(source: Source, epsilon: float) -> tuple[TensorRule, TensorRule]:
    """Two quadratures for μ and functions as smooth as log(μ ∗ G_ε), the better one first.

    Raises
    ------
    TooLarge
        More than thirty million nodes would be needed.
    """
    if isinstance(source, Tabulated):
        better, other = (_gauss_rule(source.axes, order) for order in ORDERS[source.dim])
    else:
        scale = np.sqrt(np.diag(source.covariance))
        low, high = box_of(source.log_density, source.mean, scale, drop=DROP, widest=WIDEST[source.dim])
        step = SPACING[source.dim] * math.sqrt(max(epsilon, source.critical_epsilon() or 0.0))
        count = float(np.prod((high - low) / step + 1))
        if count > MOST_NODES:
            raise TooLarge(f"{source.name} needs {count:.2g} quadrature nodes at epsilon={epsilon:g}; use a larger one")
        better, other = _trapezoid(low, high, step), _trapezoid(low, high, step / COARSER)
    if better.size > MOST_NODES:
        raise TooLarge(f"{source.name} needs {better.size} quadrature nodes; coarsen the table")
    return better, other


def _trapezoid(low: FloatArray, high: FloatArray, step: float) -> TensorRule:
    counts = [math.ceil((b - a) / step) + 1 for a, b in zip(low, high)]
    axes = tuple(np.linspace(a, b, n) for a, b, n in zip(low, high, counts))
    return TensorRule(axes, tuple(np.full(x.size, x[1] - x[0]) for x in axes))


def _gauss_rule(axes: Sequence[FloatArray], order: int) -> TensorRule:
    t, w = np.polynomial.legendre.leggauss(order)
    halves = [0.5 * np.diff(x) for x in axes]
    nodes = tuple((x[:-1, None] + h[:, None] * (1 + t)).ravel() for x, h in zip(axes, halves))
    return TensorRule(nodes, tuple((h[:, None] * w).ravel() for h in halves))


@dataclass(frozen=True, slots=True, eq=False)
class Lattice(TensorProduct):
    """The smallest tensor grid that holds the points of a law, and where they stand on it."""

    index: tuple[NDArray[np.intp], ...]

    def table(self, values: FloatArray) -> FloatArray:
        """Values at the points, zero elsewhere; sums where points coincide."""
        out = np.zeros(self.shape)
        np.add.at(out, self.index, values)
        return out


def lattice_of(points: FloatArray) -> Lattice:
    """The tensor grid of the coordinates of points (m, d)."""
    found = [np.unique(points[:, a], return_inverse=True) for a in range(points.shape[1])]
    return Lattice(tuple(x for x, _ in found), tuple(i.ravel() for _, i in found))


def check_size(count: float, hint: str = "") -> None:
    """Refuse, before allocation, more nodes of a source in the plane or in space than fit."""
    if count > LARGEST:
        raise TooLarge(
            f"the source needs about {count:.3g} quadrature nodes at this epsilon; at most {LARGEST:.3g} fit: "
            f"use a larger epsilon{hint}",
            LARGEST,
        )


def along_axes(table: FloatArray, matrices: Sequence[FloatArray | None]) -> FloatArray:
    """Multiply each axis of ``table`` by its matrix (None: leave it)."""
    for a, matrix in enumerate(matrices):
        if matrix is not None:
            table = np.moveaxis(np.tensordot(matrix, table, axes=(1, a)), 0, a)
    return np.ascontiguousarray(table)


class KernelSum:
    """Z(x) = Σ_j w_j k(x − y_j) and Σ_j w_j k(x − y_j) ‖x − y_j‖² on the nodes of a rule.

    Raises
    ------
    TooLarge
        The sum would take minutes.
    """

    def __init__(self, law: DiscreteLaw, rule: TensorRule, epsilon: float) -> None:
        self.dim = law.dim
        lattice = lattice_of(law.points)
        self.separable = lattice.size <= 64 * law.size + 4096
        work = 4.0 * rule.size * (lattice.shape[0] if self.separable else law.size)
        if work > MOST_WORK:
            raise TooLarge(f"a sum of {law.size} Gaussians on {rule.size} nodes is too long; use a larger epsilon")
        centres = lattice.axes if self.separable else tuple(law.points.T)
        squares = [np.subtract.outer(x, y) ** 2 for x, y in zip(rule.axes, centres)]
        self.kernels = [np.exp(-s / (2 * epsilon)) for s in squares]
        self.moments = [k * s for k, s in zip(self.kernels, squares)]
        if self.separable:
            table = lattice.table(law.weights)
            self.tables = [along_axes(table, [None, *self._factors(a)[1:]]) for a in range(self.dim)]
        else:
            self.kernels[0] = self.kernels[0] * law.weights
            self.moments[0] = self.moments[0] * law.weights

    def _factors(self, special: int | None) -> list[FloatArray]:
        """The kernel of each axis, with the second-moment factor on axis ``special``."""
        return [(self.moments if a == special else self.kernels)[a] for a in range(self.dim)]

    def at(self, rows: slice) -> tuple[FloatArray, FloatArray]:
        """Both sums on a run of the first axis."""
        product = self._lattice if self.separable else self._scattered
        moment = product(rows, 0)
        for a in range(1, self.dim):
            moment += product(rows, a)
        return product(rows, None), moment

    def _lattice(self, rows: slice, special: int | None) -> FloatArray:
        # tables[0] has plain kernels on all axes but the first
        return np.asarray(np.tensordot(self._factors(special)[0][rows], self.tables[special or 0], axes=1))

    def _scattered(self, rows: slice, special: int | None) -> FloatArray:
        first, *others = self._factors(special)
        left = first[rows]
        if not others:
            return np.asarray(left.sum(axis=1))
        shape = (left.shape[0], *(p.shape[0] for p in others))
        for middle in others[:-1]:
            left = (left[:, None, :] * middle[None, :, :]).reshape(-1, left.shape[1])
        return np.asarray((left @ others[-1].T).reshape(shape))
