"""The Gibbs kernel of a pair of marginals, as an operator on logarithms.

    forward(h)_i  = log Σ_j exp(h_j − ‖x_i − y_j‖²/2ε)        (from ν's side to μ's)
    backward(h)_j = log Σ_i exp(h_i − ‖x_i − y_j‖²/2ε)

Three ways, one interface:

- `DenseKernel` keeps exp(F + G − C/ε) for reference potentials (F, G) and multiplies by what changed since; when the
  change grows large
  it is absorbed into the references. Cost: one matrix–vector product.
- `StreamKernel` never forms the matrix: term by term, for point clouds whose matrix would not fit.
- `GridKernel` works axis by axis: matrix products while everything stays within the range of doubles, blocked
  log-domain passes that
  drop all but a band beyond that (`heatrd.kernels.sinkhorn`). A 512² grid needs two passes with 512 × 512 matrices.
"""

from __future__ import annotations

from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from heatrd.kernels.potentials import log_mixture
from heatrd.kernels.sinkhorn import axis_kernel, log_axis_pass
from heatrd.transport.measures import Marginal

__all__ = ["DenseKernel", "GridKernel", "Kernel", "StreamKernel", "make_kernel"]

FloatArray = NDArray[np.float64]

_ABSORB = 100.0  # largest change of a log-potential carried outside the stored matrix
_DROP = 42.0  # e^-42 = 6e-19
_TILE = 32
_SAFE = 1e-280  # smallest linear-domain sum that is trusted


class Kernel(Protocol):
    """The operator pair; arrays have the marginals' shapes."""

    epsilon: float

    def forward(self, h: FloatArray) -> FloatArray: ...

    def backward(self, h: FloatArray) -> FloatArray: ...


class DenseKernel:
    """Stabilised matrix of all pairs."""

    def __init__(self, mu: Marginal, nu: Marginal, epsilon: float, cost: FloatArray | None = None) -> None:
        self.epsilon = epsilon
        self.cost = half_squared_cost(mu.points, nu.points) if cost is None else cost
        self._shapes = mu.shape, nu.shape
        self._row = np.zeros(mu.size)
        self._column = np.zeros(nu.size)
        self._matrix: FloatArray | None = None

    def _absorb(self, row: FloatArray, column: FloatArray) -> FloatArray:
        matrix = self.cost * (-1.0 / self.epsilon)
        matrix += row[:, None]
        matrix += column
        np.exp(matrix, out=matrix)
        self._row, self._column, self._matrix = row, column, matrix
        return matrix

    def forward(self, h: FloatArray) -> FloatArray:
        return self._apply(np.ravel(h), forward=True).reshape(self._shapes[0])

    def backward(self, h: FloatArray) -> FloatArray:
        return self._apply(np.ravel(h), forward=False).reshape(self._shapes[1])

    def _apply(self, h: FloatArray, *, forward: bool) -> FloatArray:
        mine, other = (self._column, self._row) if forward else (self._row, self._column)
        if self._matrix is not None:
            matrix = self._matrix if forward else self._matrix.T
            live = h > -np.inf
            change = np.where(live, h - mine, -np.inf)
            if np.abs(change[live]).max() < _ABSORB:
                total = matrix @ np.exp(change)
                if total.min() > np.exp(-_ABSORB) and total.max() < np.exp(_ABSORB):
                    return np.log(total) - other
        out = self._from_scratch(h, forward=forward)
        finite = np.where(h > -np.inf, h, mine)
        if forward:
            self._absorb(-out, finite)
        else:
            self._absorb(finite, -out)
        return out

    def _from_scratch(self, h: FloatArray, *, forward: bool) -> FloatArray:
        matrix = self.cost * (-1.0 / self.epsilon) if forward else self.cost.T * (-1.0 / self.epsilon)
        matrix += h
        top = matrix.max(axis=1)
        matrix -= top[:, None]
        np.exp(matrix, out=matrix)
        return top + np.log(matrix.sum(axis=1))

    def plan(self, row: FloatArray, column: FloatArray) -> FloatArray:
        """exp(row_i + column_j − C_ij/ε), shape (n, m)."""
        matrix = self.cost * (-1.0 / self.epsilon)
        matrix += row[:, None]
        matrix += column
        return np.exp(matrix, out=matrix)


class StreamKernel:
    """All pairs, none stored."""

    def __init__(self, mu: Marginal, nu: Marginal, epsilon: float) -> None:
        self.epsilon = epsilon
        self.mu, self.nu = mu, nu

    def forward(self, h: FloatArray) -> FloatArray:
        return _stream(self.mu, self.nu, h, self.epsilon)

    def backward(self, h: FloatArray) -> FloatArray:
        return _stream(self.nu, self.mu, h, self.epsilon)


def _stream(to: Marginal, of: Marginal, h: FloatArray, epsilon: float) -> FloatArray:
    out, mean = np.empty(to.size), np.empty((to.size, to.dim))
    log_mixture(to.points, of.points, np.ravel(h), epsilon, out, mean)
    return out.reshape(to.shape)


class _Axis:
    """One axis of the separable kernel, both ways."""

    def __init__(self, x: FloatArray, y: FloatArray, epsilon: float) -> None:
        self.x, self.y, self.epsilon = x, y, epsilon
        self.linear = np.exp(-0.5 * (x[:, None] - y) ** 2 / epsilon)
        self._blocked: dict[bool, tuple[int, FloatArray, FloatArray, FloatArray]] = {}

    def blocked(self, forward: bool) -> tuple[int, FloatArray, FloatArray, FloatArray]:
        if forward not in self._blocked:
            x, y = (self.x, self.y) if forward else (self.y, self.x)
            block = _block_size(x, y, self.epsilon)
            shape = (-(-x.size // block), -(-y.size // block))
            kernel, near, far = np.empty((x.size, y.size)), np.empty(shape), np.empty(shape)
            axis_kernel(x, y, self.epsilon, block, kernel, near, far)
            self._blocked[forward] = (block, kernel, near, far)
        return self._blocked[forward]

    def log_pass(self, h: FloatArray, forward: bool) -> FloatArray:
        x, y = (self.x, self.y) if forward else (self.y, self.x)
        out = np.empty((x.size, h.shape[1]))
        block, kernel, near, far = self.blocked(forward)
        log_axis_pass(x, y, self.epsilon, block, kernel, near, far, h, _DROP, _TILE, out)
        return out


def _block_size(x: FloatArray, y: FloatArray, epsilon: float) -> int:
    """Largest block over which neither kernel nor potential leaves the range of doubles."""
    reach = max(x.max(), y.max()) - min(x.min(), y.min())
    step = max(reach / max(x.size, y.size), 1e-300)
    return int(np.clip(600.0 * epsilon / (step * max(reach, 1e-300)), 2, 32))


class GridKernel:
    """Tensor grids on both sides."""

    def __init__(self, mu: Marginal, nu: Marginal, epsilon: float) -> None:
        self.epsilon = epsilon
        assert mu.axes is not None and nu.axes is not None
        self.axes = [_Axis(x, y, epsilon) for x, y in zip(mu.axes, nu.axes, strict=True)]

    def forward(self, h: FloatArray) -> FloatArray:
        return self._apply(h, forward=True)

    def backward(self, h: FloatArray) -> FloatArray:
        return self._apply(h, forward=False)

    def _apply(self, h: FloatArray, *, forward: bool) -> FloatArray:
        out = self._linear(h, forward)
        return self._blocked(h, forward) if out is None else out

    def _linear(self, h: FloatArray, forward: bool) -> FloatArray | None:
        """Matrix products; None where the sums leave the range of doubles."""
        top = h.max()
        value = h - top
        np.exp(value, out=value)
        value[value < 1e-300] = 0.0
        for axis, part in enumerate(self.axes):
            matrix = part.linear if forward else part.linear.T
            value = np.moveaxis(np.tensordot(matrix, value, axes=(1, axis)), 0, axis)
        if not value.min() > _SAFE:
            return None
        return np.log(value) + top

    def _blocked(self, h: FloatArray, forward: bool) -> FloatArray:
        value = h
        for axis, part in enumerate(self.axes):
            moved = np.moveaxis(value, axis, 0)
            rest = moved.shape[1:]
            flat = np.ascontiguousarray(moved).reshape(moved.shape[0], -1)
            out = part.log_pass(flat, forward)
            value = np.moveaxis(out.reshape(out.shape[0], *rest), 0, axis)
        return np.ascontiguousarray(value)


def half_squared_cost(x: FloatArray, y: FloatArray) -> FloatArray:
    """½‖x_i − y_j‖², shape (n, m), from differences (no cancellation)."""
    cost = np.zeros((len(x), len(y)))
    for k in range(x.shape[1]):
        cost += 0.5 * np.subtract.outer(x[:, k], y[:, k]) ** 2
    return cost


def make_kernel(
    mu: Marginal, nu: Marginal, epsilon: float, *, dense_limit: int, previous: Kernel | None = None
) -> Kernel:
    """Choose the operator: grids by axes, small clouds by a matrix, large ones by streaming."""
    if mu.axes is not None and nu.axes is not None and min(mu.size, nu.size) > 1 and mu.dim > 1:
        return GridKernel(mu, nu, epsilon)
    if mu.size * nu.size <= dense_limit:
        return DenseKernel(mu, nu, epsilon, previous.cost if isinstance(previous, DenseKernel) else None)
    if mu.axes is not None and nu.axes is not None:
        return GridKernel(mu, nu, epsilon)
    return StreamKernel(mu, nu, epsilon)
