"""Gram matrices of features of atoms or of blocks of moments, summed tile by tile.

The features of what a tile sees are laid out row by row (`posterior_features`, `moment_features`); those that vanish
at all of its nodes are left out, the lower half of the product is formed, and added where it belongs. ``work`` (rows
times columns of the largest tile) and ``block`` (columns squared) are scratch; their type, double or single, is that of
the products.
"""

from __future__ import annotations

import numpy as np

from heatrd.kernels._jit import jit, jit_sums
from heatrd.kernels.moments import moment_features
from heatrd.kernels.posterior import posterior_features

__all__ = ["compress", "lower_product", "moment_gram", "posterior_gram", "scatter_gram"]


@jit
def compress(features, near, size, kept):
    """Move the blocks of ``size`` columns whose first is not zero to the front; their number, and in ``kept`` which.

    ``features`` (n, near·size), contiguous, becomes (n, number·size) in the same memory.
    """
    rows, count = features.shape[0], 0
    for a in range(near.size):
        for i in range(rows):
            if features[i, a * size] != 0.0:
                kept[count] = a
                count += 1
                break
    if count < near.size:
        flat = features.reshape(features.size)
        for i in range(rows):
            for u in range(count):
                for k in range(size):
                    flat[(i * count + u) * size + k] = flat[(i * near.size + kept[u]) * size + k]
        for u in range(count):
            kept[u] = near[kept[u]]
    else:
        kept[:count] = near
    return count


@jit_sums
def lower_product(f, out):
    """The lower half of fᵀf (columns, columns), four rows and four columns at a time; above it anything."""
    rows, columns = f.shape
    last, even = rows - rows % 4, columns - columns % 4
    out[:] = 0.0
    for a in range(0, even, 4):
        for r in range(0, last, 4):
            p0, p1, p2, p3 = f[r, a], f[r, a + 1], f[r, a + 2], f[r, a + 3]
            q0, q1, q2, q3 = f[r + 1, a], f[r + 1, a + 1], f[r + 1, a + 2], f[r + 1, a + 3]
            s0, s1, s2, s3 = f[r + 2, a], f[r + 2, a + 1], f[r + 2, a + 2], f[r + 2, a + 3]
            t0, t1, t2, t3 = f[r + 3, a], f[r + 3, a + 1], f[r + 3, a + 2], f[r + 3, a + 3]
            for b in range(a + 4):
                p, q, s, t = f[r, b], f[r + 1, b], f[r + 2, b], f[r + 3, b]
                out[a, b] += p0 * p + q0 * q + s0 * s + t0 * t
                out[a + 1, b] += p1 * p + q1 * q + s1 * s + t1 * t
                out[a + 2, b] += p2 * p + q2 * q + s2 * s + t2 * t
                out[a + 3, b] += p3 * p + q3 * q + s3 * s + t3 * t
        for r in range(last, rows):
            for c in range(a, a + 4):
                value = f[r, c]
                for b in range(a + 4):
                    out[c, b] += value * f[r, b]
    for c in range(even, columns):
        for r in range(rows):
            value = f[r, c]
            for b in range(c + 1):
                out[c, b] += value * f[r, b]


@jit
def scatter_gram(block, near, size, gram):
    """Add the lower half of a Gram matrix of the atoms or blocks ``near`` (ascending) to that of all of them."""
    for a in range(near.size):
        for r in range(size):
            row = gram[near[a] * size + r]
            for b in range(a):
                for s in range(size):
                    row[near[b] * size + s] += block[a * size + r, b * size + s]
            for s in range(r + 1):
                row[near[a] * size + s] += block[a * size + r, a * size + s]


@jit
def _add_product(features, near, size, block, kept, gram):
    """Add the product of one tile's features to ``gram``."""
    rows = features.shape[0]
    count = compress(features, near, size, kept)
    columns = count * size
    f = features.reshape(features.size)[: rows * columns].reshape(rows, columns)
    out = block[: columns * columns].reshape(columns, columns)
    lower_product(f, out)
    scatter_gram(out, kept[:count], size, gram)


@jit
def posterior_gram(x, mu, starts, y, log_w, pointer, near, drop, size, work, block, gram, second):
    """Σ_i g_i g_iᵀ of `posterior_features`, its lower half added to ``gram``, and their ``second``."""
    kept = np.empty(y.shape[0], np.int64)
    for t in range(starts.size - 1):
        rows, some = slice(starts[t], starts[t + 1]), near[pointer[t] : pointer[t + 1]]
        shape = (starts[t + 1] - starts[t], some.size * size)
        features = work[: shape[0] * shape[1]].reshape(shape)
        posterior_features(x[rows], mu[rows], y, log_w, some, drop, size, features, second)
        _add_product(features, some, size, block, kept, gram)


@jit
def moment_gram(x, mu, starts, y, log_m, log_z, pointer, near, drop, size, work, block, gram):
    """Σ_i g_i g_iᵀ of `moment_features`, its lower half added to ``gram``."""
    kept = np.empty(y.shape[0], np.int64)
    for t in range(starts.size - 1):
        rows, some = slice(starts[t], starts[t + 1]), near[pointer[t] : pointer[t + 1]]
        shape = (starts[t + 1] - starts[t], some.size * size)
        features = work[: shape[0] * shape[1]].reshape(shape)
        moment_features(x[rows], mu[rows], y, log_m, log_z[rows], some, drop, features)
        _add_product(features, some, size, block, kept, gram)
