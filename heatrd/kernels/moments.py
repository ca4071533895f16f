"""Kernels of local moments in R^d: blocks of the first moments of a law around centres y_j.

With ξ = x − y and k = exp(−‖ξ‖²/2), units of √ε, a block contributes k(ξ) Σ_q u_q f_q(ξ) to Z(x), with

    f = (1, ξ_1 … ξ_d, then for k ≤ l: ½(ξ_k² − 1) on the diagonal and ξ_k ξ_l beside it):

the value, gradient and second derivatives of k in y, for u = (mass, first moments, second moments). Tiles, and the
centres that they see, as in `posterior`.
"""

from __future__ import annotations

import math

import numpy as np

from heatrd.kernels._jit import jit, jit_sums
from heatrd.kernels.exponential import exponential
from heatrd.kernels.posterior import ROWS, gather, log_terms, most_near, scatter

__all__ = ["moment_features", "moment_gradient", "moment_log_sum", "transform_blocks"]


@jit_sums
def _log_sums(x, start, stop, atoms, u, m, drop, p, log_z):
    """log Z at the nodes start … stop, given log w_n − ‖x_i − y_n‖²/2 in ``p`` and the largest of them in ``log_z``."""
    d = x.shape[1]
    for r in range(stop - start):
        i, top, total = start + r, log_z[r], 0.0
        if d == 2:
            for n in range(m):  # u·f(ξ) by Horner's rule
                a, b = x[i, 0] - atoms[0, n], x[i, 1] - atoms[1, n]
                value = u[0, n] - 0.5 * (u[3, n] + u[5, n])
                value += a * (u[1, n] + 0.5 * u[3, n] * a + u[4, n] * b) + b * (u[2, n] + 0.5 * u[5, n] * b)
                gap = p[r, n] - top
                total += value * exponential(gap) if gap > -drop else 0.0
        elif d == 3:
            for n in range(m):
                a, b, c = x[i, 0] - atoms[0, n], x[i, 1] - atoms[1, n], x[i, 2] - atoms[2, n]
                value = u[0, n] - 0.5 * (u[4, n] + u[7, n] + u[9, n])
                value += a * (u[1, n] + 0.5 * u[4, n] * a + u[5, n] * b + u[6, n] * c)
                value += b * (u[2, n] + 0.5 * u[7, n] * b + u[8, n] * c) + c * (u[3, n] + 0.5 * u[9, n] * c)
                gap = p[r, n] - top
                total += value * exponential(gap) if gap > -drop else 0.0
        else:
            for n in range(m):
                value, q = u[0, n], 1 + d
                for k in range(d):
                    a = x[i, k] - atoms[k, n]
                    value += a * (u[1 + k, n] + 0.5 * u[q, n] * a) - 0.5 * u[q, n]
                    q += 1
                    for s in range(k + 1, d):
                        value += a * (x[i, s] - atoms[s, n]) * u[q, n]
                        q += 1
                gap = p[r, n] - top
                total += value * exponential(gap) if gap > -drop else 0.0
        log_z[r] = top + math.log(total) if total > 0.0 else math.nan


@jit
def moment_log_sum(x, starts, y, log_w, u, pointer, near, drop, log_z):
    """log Σ_j w_j k(x_i − y_j) u_j·f(x_i − y_j) at the nodes, tile by tile; NaN where the sum is not positive.

    Terms whose w k is below e^−drop of the largest one are left out.
    """
    most, d = most_near(pointer), y.shape[1]
    p, atoms = np.empty((ROWS, most)), np.empty((d, most))
    logs, table, some = np.empty((1, most)), log_w.reshape(-1, 1), np.empty((u.shape[1], most))
    for t in range(starts.size - 1):
        first, last = pointer[t], pointer[t + 1]
        gather(y, near, first, last, atoms)
        gather(table, near, first, last, logs)
        gather(u, near, first, last, some)
        for i in range(starts[t], starts[t + 1], ROWS):
            stop = min(i + ROWS, starts[t + 1])
            log_terms(x, i, stop, atoms, logs, last - first, p, log_z[i:stop])
            _log_sums(x, i, stop, atoms, some, last - first, drop, p, log_z[i:stop])


@jit_sums
def _shares(x, start, stop, atoms, logs, m, log_z, drop, p, top):
    """k/Z for the gathered centres at the nodes start … stop, in ``p``; zero where m_n k/Z is below e^−drop."""
    log_terms(x, start, stop, atoms, logs, m, p, top)
    for r in range(stop - start):
        level = log_z[start + r]
        for n in range(m):
            log = p[r, n] - level
            p[r, n] = exponential(log - logs[0, n]) if log > -drop else 0.0


@jit_sums
def _add_gradients(x, mu, start, stop, atoms, m, p, out):
    """Add Σ_i μ_i k/Z f over the nodes start … stop to ``out`` (q, m)."""
    d = x.shape[1]
    for r in range(stop - start):
        i = start + r
        for n in range(m):
            p[r, n] *= mu[i]
            out[0, n] += p[r, n]
        q = 1 + d
        for k in range(d):
            a = x[i, k]
            for n in range(m):
                xi = a - atoms[k, n]
                out[1 + k, n] += p[r, n] * xi
                out[q, n] += 0.5 * p[r, n] * (xi * xi - 1.0)
            q += 1
            for s in range(k + 1, d):
                b = x[i, s]
                for n in range(m):
                    out[q, n] += p[r, n] * (a - atoms[k, n]) * (b - atoms[s, n])
                q += 1


@jit
def moment_gradient(x, mu, starts, y, log_m, log_z, pointer, near, drop, out):
    """Σ_i μ_i k f/Z (m, q), added to ``out``; terms with m_j k/Z below e^−drop are left out."""
    most, d = most_near(pointer), y.shape[1]
    p, atoms, found = np.empty((ROWS, most)), np.empty((d, most)), np.empty((out.shape[1], most))
    logs, table, top = np.empty((1, most)), log_m.reshape(-1, 1), np.empty(ROWS)
    for t in range(starts.size - 1):
        first, last = pointer[t], pointer[t + 1]
        gather(y, near, first, last, atoms)
        gather(table, near, first, last, logs)
        found[:, : last - first] = 0.0
        for i in range(starts[t], starts[t + 1], ROWS):
            stop = min(i + ROWS, starts[t + 1])
            _shares(x, i, stop, atoms, logs, last - first, log_z, drop, p, top)
            _add_gradients(x, mu, i, stop, atoms, last - first, p, found)
        scatter(found, near, first, last, out)


@jit_sums
def _fill_features(x, mu, start, stop, atoms, m, p, size, out):
    """√μ_i k/Z f at the nodes start … stop, in ``out``."""
    d = x.shape[1]
    for r in range(stop - start):
        i = start + r
        root = math.sqrt(mu[i])
        for n in range(m):
            value, at = root * p[r, n], n * size
            out[i, at] = value
            q = at + 1 + d
            for k in range(d):
                first = value * (x[i, k] - atoms[k, n])
                out[i, at + 1 + k] = first
                out[i, q] = 0.5 * (first * (x[i, k] - atoms[k, n]) - value)
                q += 1
                for s in range(k + 1, d):
                    out[i, q] = first * (x[i, s] - atoms[s, n])
                    q += 1


@jit
def moment_features(x, mu, y, log_m, log_z, near, drop, out):
    """√μ_i k/Z f for the blocks ``near``, (n, near·q): rows of which the Hessian is the Gram matrix."""
    m, d = near.size, y.shape[1]
    p, atoms, logs, top = np.empty((ROWS, m)), np.empty((d, m)), np.empty((1, m)), np.empty(ROWS)
    gather(y, near, 0, m, atoms)
    gather(log_m.reshape(-1, 1), near, 0, m, logs)
    for i in range(0, x.shape[0], ROWS):
        stop = min(i + ROWS, x.shape[0])
        _shares(x, i, stop, atoms, logs, m, log_z, drop, p, top)
        _fill_features(x, mu, i, stop, atoms, m, p, (d + 1) * (d + 2) // 2, out)


@jit
def transform_blocks(gram, transform):
    """Replace every block B_ab of the lower half of ``gram`` by T_aᵀ B_ab T_b; ``transform`` (m, q, q).

    Of blocks on the diagonal the lower half is read. Blocks whose first entry, between masses, is zero are zero.
    """
    m, size = transform.shape[0], transform.shape[1]
    block, half = np.empty((size, size)), np.empty((size, size))
    for a in range(m):
        for b in range(a + 1):
            i, j = a * size, b * size
            if gram[i, j] == 0.0:
                continue
            for r in range(size):
                for s in range(size):
                    block[r, s] = gram[i + max(r, s), j + min(r, s)] if a == b else gram[i + r, j + s]
            for r in range(size):
                for s in range(size):
                    half[r, s] = 0.0
                for t in range(size):
                    for s in range(size):
                        half[r, s] += block[r, t] * transform[b, t, s]
            for r in range(size):
                for s in range(size):
                    gram[i + r, j + s] = 0.0
                for t in range(size):
                    for s in range(size):
                        gram[i + r, j + s] += transform[a, t, r] * half[t, s]
