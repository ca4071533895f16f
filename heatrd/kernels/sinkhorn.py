"""Log-domain Gaussian sums for entropic transport.

One axis pass takes, for every column j,

    out[i, j] = log Σ_k exp(H[k, j] − (x_i − y_k)²/2s)

at nearly the price of a matrix product. Rows and columns are cut in blocks; within a block H is taken relative to
its largest value and
the kernel relative to the nearest pair of the two blocks, so the inner loop is multiply-and-add. A pair of blocks
whose best
possible term lies more than e^−drop below a term known to be in the sum is skipped: with rough or steep H (small ε) a
band around the transport map is all that remains. Where a sum underflows all the same, it is redone term by term.
"""

from __future__ import annotations

import numpy as np

from heatrd.kernels._jit import jit

__all__ = ["axis_kernel", "log_axis_pass"]


@jit
def axis_kernel(x, y, s, block, kernel, near, far):
    """Fill ``kernel`` (n, m) with exp(−(x−y)²/2s − near) per pair of blocks, ``near`` and ``far`` (blocks, blocks)
    with the extreme exponents."""
    n, m = x.size, y.size
    for a in range(near.shape[0]):
        i0, i1 = a * block, min((a + 1) * block, n)
        for b in range(near.shape[1]):
            k0, k1 = b * block, min((b + 1) * block, m)
            best, worst = -np.inf, np.inf
            for i in range(i0, i1):
                for k in range(k0, k1):
                    e = -0.5 * (x[i] - y[k]) ** 2 / s
                    best = max(best, e)
                    worst = min(worst, e)
                    kernel[i, k] = e
            near[a, b] = best
            far[a, b] = worst
            for i in range(i0, i1):
                for k in range(k0, k1):
                    kernel[i, k] = np.exp(kernel[i, k] - best)


@jit
def log_axis_pass(x, y, s, block, kernel, near, far, h, drop, tile, out):
    """Fill ``out`` (n, c) with log Σ_k exp(h[k, j] − (x_i − y_k)²/2s) for ``h`` (m, c)."""
    n, m, columns = x.size, y.size, h.shape[1]
    blocks_n, blocks_m = near.shape
    top = np.empty((blocks_m, tile))
    value = np.empty((m, tile))
    scaled = np.empty((block, tile))
    reference = np.empty(tile)
    known = np.empty(tile)
    acc = np.empty((block, tile))
    for start in range(0, columns, tile):
        part = h[:, start : min(start + tile, columns)]
        _scale_blocks(part, block, top, value)
        for a in range(blocks_n):
            i0, i1 = a * block, min((a + 1) * block, n)
            _extreme_terms(part.shape[1], top, near[a], far[a], reference, known)
            acc[:] = 0.0
            for b in range(blocks_m):
                if _is_needed(part.shape[1], top[b], near[a, b], known, drop):
                    k0, k1 = b * block, min((b + 1) * block, m)
                    _scale_values(value[k0:k1, : part.shape[1]], top[b], near[a, b], reference, scaled)
                    _add_products(kernel[i0:i1, k0:k1], part.shape[1], scaled, acc)
            for i in range(i0, i1):
                for j in range(part.shape[1]):
                    total = acc[i - i0, j]
                    if total > 1e-250:
                        out[i, start + j] = reference[j] + np.log(total)
                    else:
                        out[i, start + j] = _direct(x[i], y, s, part, j)


@jit
def _scale_blocks(h, block, top, value):
    """Fill ``top`` (blocks, c) with the largest h of every block, ``value`` (m, c) with exp(h − top)."""
    m, columns = h.shape
    for b in range(top.shape[0]):
        k0, k1 = b * block, min((b + 1) * block, m)
        for j in range(columns):
            top[b, j] = -np.inf
        for k in range(k0, k1):
            for j in range(columns):
                top[b, j] = max(top[b, j], h[k, j])
        for k in range(k0, k1):
            for j in range(columns):
                value[k, j] = np.exp(h[k, j] - top[b, j]) if top[b, j] > -np.inf else 0.0


@jit
def _extreme_terms(columns, top, near, far, reference, known):
    """Fill ``reference`` with a bound of the largest exponent of every column, ``known`` with one that occurs."""
    for j in range(columns):
        reference[j] = -np.inf
        known[j] = -np.inf
    for b in range(near.size):
        for j in range(columns):
            reference[j] = max(reference[j], top[b, j] + near[b])
            known[j] = max(known[j], top[b, j] + far[b])


@jit
def _is_needed(columns, top, near, known, drop):
    """Whether a block's best possible term lies within ``drop`` of a known one, for any column."""
    for j in range(columns):
        if top[j] + near > known[j] - drop:
            return True
    return False


@jit
def _scale_values(value, top, near, reference, scaled):
    """Bring a block's values to the reference of the sum."""
    rows, columns = value.shape
    for j in range(columns):
        gap = top[j] + near - reference[j]
        scale = np.exp(gap) if gap > -745.0 else 0.0
        for k in range(rows):
            scaled[k, j] = value[k, j] * scale


@jit
def _add_products(kernel, columns, scaled, acc):
    """Add ``kernel @ scaled`` to ``acc``."""
    for i in range(kernel.shape[0]):
        for k in range(kernel.shape[1]):
            weight = kernel[i, k]
            if weight > 0.0:
                for j in range(columns):
                    acc[i, j] += weight * scaled[k, j]


@jit
def _direct(x, y, s, h, column):
    best = -np.inf
    for k in range(y.size):
        best = max(best, h[k, column] - 0.5 * (x - y[k]) ** 2 / s)
    if best == -np.inf:
        return best
    total = 0.0
    for k in range(y.size):
        total += np.exp(h[k, column] - 0.5 * (x - y[k]) ** 2 / s - best)
    return best + np.log(total)
