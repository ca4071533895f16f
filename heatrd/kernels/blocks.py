"""Kernels of symmetric matrices made of small blocks, one for each atom: pattern, reordering.
"""

from __future__ import annotations

import math

import numpy as np

from heatrd.kernels._jit import jit

__all__ = ["block_pattern", "permuted_panel"]


@jit
def block_pattern(matrix, size, least):
    """Which blocks of ``size`` rows and columns have an entry a_rs above ``least`` √(a_rr a_ss), (m, m).

    The lower half is read.
    """
    m = matrix.shape[0] // size
    root = np.empty(matrix.shape[0])
    for r in range(root.size):
        root[r] = math.sqrt(max(matrix[r, r], 0.0))
    out = np.zeros((m, m), np.bool_)
    for a in range(m):
        for r in range(a * size, (a + 1) * size):
            for b in range(a + 1):
                if not out[a, b]:
                    for s in range(b * size, min((b + 1) * size, r + 1)):
                        if abs(matrix[r, s]) > least * root[r] * root[s]:
                            out[a, b] = True
                            out[b, a] = True
    return out


@jit
def permuted_panel(matrix, order, size, pattern, first, last, out):
    """Columns of the blocks ``order[first:last]``, from the diagonal down, of the matrix with its blocks reordered.

    ``out`` (rows, columns) is zero before; the lower half of ``matrix`` is read, where ``pattern`` has a block.
    """
    for a in range(first, first + out.shape[0] // size):
        for b in range(first, min(a + 1, last)):
            if not pattern[order[a], order[b]]:
                continue
            i, j = order[a] * size, order[b] * size
            u, v = (a - first) * size, (b - first) * size
            for r in range(size):
                for s in range(size if b < a else r + 1):
                    out[u + r, v + s] = matrix[max(i + r, j + s), min(i + r, j + s)]
