"""Kernels of the problem in R^d and of the radial one.

Posterior sums over atoms near a tile: P_ij = w_j k(x_i − y_j)/Z(x_i), units of √ε. Tables of a function of log(1 + t),
evaluated by Clenshaw's recurrence, for the spherically averaged kernel: panel p of a table holds Chebyshev
coefficients on u ∈ [p h, (p + 1) h], u = log(1 + t).
"""

from __future__ import annotations

import math

import numpy as np

from heatrd.kernels._jit import jit

__all__ = [
    "chebyshev_table",
    "near_boxes",
    "posterior_energy",
    "posterior_features",
    "posterior_moments",
    "posterior_sum",
    "posterior_tilt",
    "radial_log_kernel",
    "scatter_gram",
]


@jit
def _clenshaw(coefficients, panel, x):
    """Σ_k c_k T_k(x) for one panel."""
    b1 = 0.0
    b2 = 0.0
    for k in range(coefficients.shape[1] - 1, 0, -1):
        b1, b2 = 2.0 * x * b1 - b2 + coefficients[panel, k], b1
    return x * b1 - b2 + coefficients[panel, 0]


@jit
def chebyshev_table(t, coefficients, width, out):
    """Evaluate a table at t ≥ 0 (flat arrays)."""
    last = coefficients.shape[0] - 1
    for i in range(t.size):
        u = math.log1p(t[i]) / width
        panel = min(int(u), last)
        out[i] = _clenshaw(coefficients, panel, 2.0 * (u - panel) - 1.0)


@jit
def radial_log_kernel(r, s, reach, coefficients, width, out):
    """log κ(r_i, s_j) = −(r − s)²/2 + f(r s); −∞ where |r − s| > reach."""
    last = coefficients.shape[0] - 1
    for i in range(r.size):
        for j in range(s.size):
            apart = r[i] - s[j]
            if abs(apart) > reach:
                out[i, j] = -math.inf
            else:
                u = math.log1p(r[i] * s[j]) / width
                panel = min(int(u), last)
                out[i, j] = -0.5 * apart * apart + _clenshaw(coefficients, panel, 2.0 * (u - panel) - 1.0)


@jit
def near_boxes(low, high, y, log_w, drop, pointer):
    """Atoms that some point of each box may see, ascending, box by box; ``pointer`` (T + 1,) is filled.

    The others have posterior mass below e^−drop everywhere in the box.
    """
    d = y.shape[1]
    largest = np.empty(y.shape[0])
    near = np.empty(y.shape[0], np.int64)
    found = np.empty(max(y.shape[0], 1024), np.int64)
    pointer[0] = 0
    for t in range(low.shape[0]):
        sure = -math.inf
        for j in range(y.shape[0]):
            nearest = 0.0
            farthest = 0.0
            for k in range(d):
                under = low[t, k] - y[j, k]
                over = y[j, k] - high[t, k]
                apart = max(under, over, 0.0)
                nearest += apart * apart
                across = max(abs(under), abs(over))
                farthest += across * across
            sure = max(sure, log_w[j] - 0.5 * farthest)
            largest[j] = log_w[j] - 0.5 * nearest
        count = 0
        for j in range(y.shape[0]):
            if largest[j] > sure - drop:
                near[count] = j
                count += 1
        last = pointer[t] + count
        if last > found.size:
            longer = np.empty(2 * last, np.int64)
            longer[: pointer[t]] = found[: pointer[t]]
            found = longer
        found[pointer[t] : last] = near[:count]
        pointer[t + 1] = last
    return found[: pointer[low.shape[0]]].copy()


@jit
def _posterior_row(x, y, log_w, first, last, near, drop, index, p):
    """Atoms near[first:last] with posterior above e^−drop of the largest at one x; their number and log Z(x)."""
    top = -math.inf
    for t in range(first, last):
        j = near[t]
        square = 0.0
        for k in range(x.size):
            square += (x[k] - y[j, k]) ** 2
        p[t - first] = log_w[j] - 0.5 * square
        top = max(top, p[t - first])
    total = 0.0
    count = 0
    for t in range(first, last):
        gap = p[t - first] - top
        if gap > -drop:
            p[count] = math.exp(gap)
            total += p[count]
            index[count] = near[t]
            count += 1
    for t in range(count):
        p[t] /= total
    return count, top + math.log(total)


@jit
def posterior_sum(x, starts, y, log_w, pointer, near, drop, log_z):
    """log Z at the nodes, tile by tile (as in `posterior_moments`)."""
    index = np.empty(y.shape[0], np.int64)
    p = np.empty(y.shape[0])
    for t in range(starts.size - 1):
        for i in range(starts[t], starts[t + 1]):
            _, log_z[i] = _posterior_row(x[i], y, log_w, pointer[t], pointer[t + 1], near, drop, index, p)


@jit
def posterior_energy(x, mu, starts, y, log_w, pointer, near, drop):
    """Σ_i μ_i Σ_j P_ij ‖x_i − y_j‖² (tiles as in `posterior_moments`)."""
    index = np.empty(y.shape[0], np.int64)
    p = np.empty(y.shape[0])
    energy = 0.0
    for t in range(starts.size - 1):
        for i in range(starts[t], starts[t + 1]):
            count, _ = _posterior_row(x[i], y, log_w, pointer[t], pointer[t + 1], near, drop, index, p)
            mine = 0.0
            for a in range(count):
                square = 0.0
                for k in range(x.shape[1]):
                    square += (x[i, k] - y[index[a], k]) ** 2
                mine += p[a] * square
            energy += mu[i] * mine
    return energy


@jit
def posterior_tilt(x, starts, y, log_w, pointer, near, drop, a, b, out):
    """Σ_j P_ij (a_j + b_j·(x_i − y_j)) at the nodes: the relative change of Z as w_j becomes w_j (1 + a_j + b_j·∇)."""
    d = x.shape[1]
    index = np.empty(y.shape[0], np.int64)
    p = np.empty(y.shape[0])
    for t in range(starts.size - 1):
        for i in range(starts[t], starts[t + 1]):
            count, _ = _posterior_row(x[i], y, log_w, pointer[t], pointer[t + 1], near, drop, index, p)
            total = 0.0
            for k in range(count):
                j = index[k]
                term = a[j]
                for q in range(d):
                    term += b[j, q] * (x[i, q] - y[j, q])
                total += p[k] * term
            out[i] = total


@jit
def posterior_moments(x, mu, starts, y, log_w, pointer, near, drop, log_z, c, gradient):
    """log Z at the nodes, and Σ_i μ_i P_ij (1, x_i − y_j)/w_j added to ``c`` (m,) and ``gradient`` (m, d).

    Rows ``starts[t]:starts[t + 1]`` of ``x`` form tile t, which sees the atoms ``near[pointer[t]:pointer[t + 1]]``.
    """
    d = x.shape[1]
    index = np.empty(y.shape[0], np.int64)
    p = np.empty(y.shape[0])
    for t in range(starts.size - 1):
        for i in range(starts[t], starts[t + 1]):
            count, log_z[i] = _posterior_row(x[i], y, log_w, pointer[t], pointer[t + 1], near, drop, index, p)
            for a in range(count):
                j = index[a]
                v = mu[i] * p[a]
                c[j] += v
                for k in range(d):
                    gradient[j, k] += v * (x[i, k] - y[j, k])
    for j in range(y.shape[0]):
        w = math.exp(log_w[j])
        c[j] /= w
        for k in range(d):
            gradient[j, k] /= w


@jit
def posterior_features(x, mu, y, log_w, near, drop, size, out, second):
    """Rows g_ij = √μ_i P_ij (1, x_i − y_j)/√w_j for the atoms ``near``, (n, near·size); size = 1 or 1 + d.

    With size > 1, Σ_i μ_i P_ij (x_i − y_j)(x_i − y_j)ᵀ/w_j is added to ``second`` (m, d, d), upper half.
    """
    d = x.shape[1]
    index = np.empty(near.size, np.int64)
    p = np.empty(near.size)
    place = np.zeros(y.shape[0], np.int64)
    root = np.empty(near.size)
    for a in range(near.size):
        place[near[a]] = a
        root[a] = math.exp(-0.5 * log_w[near[a]])
    out[:] = 0.0
    for i in range(x.shape[0]):
        count, _ = _posterior_row(x[i], y, log_w, 0, near.size, near, drop, index, p)
        for t in range(count):
            j = index[t]
            a = place[j]
            v = math.sqrt(mu[i]) * p[t] * root[a]
            out[i, a * size] = v
            for k in range(size - 1):
                out[i, a * size + 1 + k] = v * (x[i, k] - y[j, k])
            if size > 1:
                share = mu[i] * p[t] * root[a] ** 2
                for k in range(d):
                    for q in range(k, d):
                        second[j, k, q] += share * (x[i, k] - y[j, k]) * (x[i, q] - y[j, q])


@jit
def scatter_gram(block, near, size, gram):
    """Add the lower half of a Gram matrix of the atoms or blocks ``near`` (ascending) to that of all of them."""
    for a in range(near.size):
        for r in range(size):
            row = gram[near[a] * size + r]
            for b in range(a + 1):
                for s in range(size):
                    row[near[b] * size + s] += block[a * size + r, b * size + s]


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
