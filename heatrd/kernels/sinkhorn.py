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
        c = min(tile, columns - start)
        for b in range(blocks_m):
            k0, k1 = b * block, min((b + 1) * block, m)
            for j in range(c):
                top[b, j] = -np.inf
            for k in range(k0, k1):
                for j in range(c):
                    top[b, j] = max(top[b, j], h[k, start + j])
            for k in range(k0, k1):
                for j in range(c):
                    value[k, j] = np.exp(h[k, start + j] - top[b, j]) if top[b, j] > -np.inf else 0.0
        for a in range(blocks_n):
            i0, i1 = a * block, min((a + 1) * block, n)
            for j in range(c):
                reference[j] = -np.inf
                known[j] = -np.inf
            for b in range(blocks_m):
                for j in range(c):
                    reference[j] = max(reference[j], top[b, j] + near[a, b])
                    known[j] = max(known[j], top[b, j] + far[a, b])
            for i in range(i1 - i0):
                for j in range(c):
                    acc[i, j] = 0.0
            for b in range(blocks_m):
                needed = False
                for j in range(c):
                    if top[b, j] + near[a, b] > known[j] - drop:
                        needed = True
                        break
                if not needed:
                    continue
                k0, k1 = b * block, min((b + 1) * block, m)
                for j in range(c):
                    gap = top[b, j] + near[a, b] - reference[j]
                    known_scale = np.exp(gap) if gap > -745.0 else 0.0
                    for k in range(k0, k1):
                        scaled[k - k0, j] = value[k, j] * known_scale
                for i in range(i0, i1):
                    for k in range(k0, k1):
                        weight = kernel[i, k]
                        if weight > 0.0:
                            for j in range(c):
                                acc[i - i0, j] += weight * scaled[k - k0, j]
            for i in range(i0, i1):
                for j in range(c):
                    total = acc[i - i0, j]
                    if total > 1e-250:
                        out[i, start + j] = reference[j] + np.log(total)
                    else:
                        out[i, start + j] = _direct(x[i], y, s, h, start + j)


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
