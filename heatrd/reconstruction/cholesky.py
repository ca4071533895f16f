"""Cholesky factors of the Newton systems of atoms, of which only close ones interact.

Ordered by the reverse Cuthill–McKee algorithm (scipy's) a matrix of atoms in the plane has all its entries near the
diagonal, and so has its factor: an atom interacts with those within a few √ε only. Panels of columns are factorised
one after the other down to the last row that they reach.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import cho_factor, cho_solve, cholesky, solve_triangular
from scipy.sparse import csr_array
from scipy.sparse.csgraph import reverse_cuthill_mckee

from heatrd.kernels.blocks import block_pattern, permuted_panel

__all__ = ["Factor", "factorised"]

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]

_SMALL = 1800  # unknowns up to which the whole is factorised at once
_WORTHY = 0.5  # share of the work that is left, above which it is as well
_PANEL = 192
_ZERO = 1e-16  # of the root of both diagonal entries


class Factor(Protocol):
    """A factor of A."""

    def solve(self, right: FloatArray) -> FloatArray:
        """A⁻¹ ``right``, (n,) → (n,)."""


@dataclass(frozen=True, slots=True, eq=False)
class _Whole:
    """The upper factor."""

    upper: FloatArray

    def solve(self, right: FloatArray) -> FloatArray:
        return np.asarray(cho_solve((self.upper, False), right, check_finite=False))


@dataclass(frozen=True, slots=True, eq=False)
class _Panelled:
    """A[order, order] = L Lᵀ, in panels of columns, each from the diagonal down to the last row that it reaches."""

    order: IntArray
    panels: list[FloatArray]

    def solve(self, right: FloatArray) -> FloatArray:
        x = right[self.order]
        starts = np.cumsum([0] + [a.shape[1] for a in self.panels])
        for j, a in zip(starts, self.panels):
            k = j + a.shape[1]
            x[j:k] = solve_triangular(a[: k - j], x[j:k], lower=True, check_finite=False)
            x[k : j + len(a)] -= a[k - j :] @ x[j:k]
        for j, a in zip(starts[-2::-1], self.panels[::-1]):
            k = j + a.shape[1]
            x[j:k] -= x[k : j + len(a)] @ a[k - j :]
            x[j:k] = solve_triangular(a[: k - j], x[j:k], lower=True, trans=1, check_finite=False)
        out = np.empty_like(x)
        out[self.order] = x
        return out


def factorised(matrix: FloatArray, size: int = 1, *, shift: float = 0.0, overwrite: bool = True) -> Factor:
    """Factorise a symmetric positive matrix, of which the lower half is read.

    Parameters
    ----------
    matrix : (n, n) array
        Rows of blocks of ``size``, one block an atom.
    size : int
        Unknowns an atom.
    shift : float
        Added to the diagonal.
    overwrite : bool
        Whether ``matrix`` may be destroyed.

    Raises
    ------
    numpy.linalg.LinAlgError
        It is not positive within rounding.
    """
    n = len(matrix)
    if n > _SMALL:
        pattern = block_pattern(matrix, size, _ZERO)
        atoms = reverse_cuthill_mckee(csr_array(pattern), symmetric_mode=True).astype(np.int64)
        reach = _reach(pattern[np.ix_(atoms, atoms)])
        if ((reach - np.arange(len(reach))).astype(float) ** 2).sum() < _WORTHY * len(reach) ** 3 / 3:
            return _panelled(matrix, size, shift, pattern, atoms, reach)
    whole = matrix if overwrite else matrix.copy()
    if shift:
        whole[np.diag_indices(n)] += shift
    return _Whole(cho_factor(whole.T, lower=False, overwrite_a=True, check_finite=False)[0])


def _reach(pattern: NDArray[np.bool_]) -> IntArray:
    """The row behind the last that a column of the factor reaches."""
    m = len(pattern)
    return np.asarray(np.maximum.accumulate(m - pattern[::-1].argmax(axis=0)))


def _panelled(
    matrix: FloatArray, size: int, shift: float, pattern: NDArray[np.bool_], atoms: IntArray, reach: IntArray
) -> _Panelled:
    """The factor of the reordered matrix: what a finished panel changes in later ones is subtracted there."""
    m, step = len(atoms), max(1, _PANEL // size)
    starts = list(range(0, m, step))
    panels = []
    for first in starts:
        last = min(first + step, m)
        a = np.zeros((size * (int(reach[last - 1]) - first), size * (last - first)))
        permuted_panel(matrix, atoms, size, pattern, first, last, a)
        a[np.diag_indices(a.shape[1])] += shift
        panels.append(a)
    for p, a in enumerate(panels):
        n = a.shape[1]
        a[:n] = cholesky(a[:n], lower=True, check_finite=False)
        a[n:] = solve_triangular(a[:n], a[n:].T, lower=True, check_finite=False).T
        for q in range(p + 1, len(panels)):
            below = a[size * (starts[q] - starts[p]) :]
            if not len(below):
                break
            beside = below[: panels[q].shape[1]]
            panels[q][: len(below), : len(beside)] -= below @ beside.T
    return _Panelled((size * atoms[:, None] + np.arange(size)).ravel(), panels)
