"""Kernels of posterior sums over the atoms near a tile: P_ij = w_j k(x_i − y_j)/Z(x_i), units of √ε.

Rows ``starts[t]:starts[t + 1]`` of the nodes ``x`` form tile t, which sees the atoms
``near[pointer[t]:pointer[t + 1]]``; those whose posterior at a node is below e^−drop of the largest one are left out
there. What a tile sees is gathered first, coordinate by coordinate, so that all loops run along atoms in memory order,
and ``ROWS`` nodes are treated in one call, which costs as much as ten atoms.
"""

from __future__ import annotations

import math

import numpy as np

from heatrd.kernels._jit import jit, jit_sums
from heatrd.kernels.exponential import exponential

__all__ = [
    "near_boxes",
    "posterior_energy",
    "posterior_features",
    "posterior_moments",
    "posterior_sum",
    "posterior_tilt",
]

ROWS = 16


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
def most_near(pointer):
    """The largest number of atoms that a tile sees."""
    most = 0
    for t in range(pointer.size - 1):
        most = max(most, pointer[t + 1] - pointer[t])
    return most


@jit
def gather(values, near, first, last, out):
    """Columns of ``out`` (…, ≥ last − first): the rows near[first:last] of ``values`` (m, …)."""
    for n in range(last - first):
        j = near[first + n]
        for k in range(values.shape[1]):
            out[k, n] = values[j, k]


@jit
def scatter(columns, near, first, last, out):
    """Add the columns that `gather` would have filled to the rows near[first:last] of ``out``."""
    for n in range(last - first):
        j = near[first + n]
        for k in range(out.shape[1]):
            out[j, k] += columns[k, n]


@jit
def log_terms(x, start, stop, atoms, logs, m, p, top):
    """log w_n − ‖x_i − y_n‖²/2 for the gathered atoms at nodes start … stop, in ``p``; the largest in ``top``."""
    d, whole = x.shape[1], m - m % 4
    for r in range(stop - start):
        i = start + r
        if d == 2:
            x0, x1 = x[i, 0], x[i, 1]
            for n in range(m):
                u, v = x0 - atoms[0, n], x1 - atoms[1, n]
                p[r, n] = logs[0, n] - 0.5 * (u * u + v * v)
        elif d == 3:
            x0, x1, x2 = x[i, 0], x[i, 1], x[i, 2]
            for n in range(m):
                u, v, w = x0 - atoms[0, n], x1 - atoms[1, n], x2 - atoms[2, n]
                p[r, n] = logs[0, n] - 0.5 * (u * u + v * v + w * w)
        else:
            for n in range(m):
                p[r, n] = logs[0, n]
            for k in range(d):
                at = x[i, k]
                for n in range(m):
                    u = at - atoms[k, n]
                    p[r, n] -= 0.5 * u * u
        a = b = c = e = -math.inf
        for n in range(0, whole, 4):  # four chains at once
            a, b, c, e = max(a, p[r, n]), max(b, p[r, n + 1]), max(c, p[r, n + 2]), max(e, p[r, n + 3])
        for n in range(whole, m):
            a = max(a, p[r, n])
        top[r] = max(max(a, b), max(c, e))


@jit
def _posterior_rows(x, start, stop, atoms, logs, m, drop, p, total, log_z):
    """w_n k(x_i − y_n) for the gathered atoms in units of the largest, in ``p``; their sums, and log Z(x_i)."""
    log_terms(x, start, stop, atoms, logs, m, p, log_z)
    whole = m - m % 4
    for r in range(stop - start):
        top = log_z[r]
        for n in range(m):
            gap = p[r, n] - top
            p[r, n] = exponential(gap) if gap > -drop else 0.0
        a = b = c = d = 0.0
        for n in range(0, whole, 4):  # in an order that does not depend on the compiler
            a, b, c, d = a + p[r, n], b + p[r, n + 1], c + p[r, n + 2], d + p[r, n + 3]
        for n in range(whole, m):
            a += p[r, n]
        total[r] = (a + b) + (c + d)
        log_z[r] = top + math.log(total[r])


@jit
def posterior_sum(x, starts, y, log_w, pointer, near, drop, log_z):
    """log Z at the nodes."""
    most = most_near(pointer)
    p, total = np.empty((ROWS, most)), np.empty(ROWS)
    atoms, logs, table = np.empty((y.shape[1], most)), np.empty((1, most)), log_w.reshape(-1, 1)
    for t in range(starts.size - 1):
        first, last = pointer[t], pointer[t + 1]
        gather(y, near, first, last, atoms)
        gather(table, near, first, last, logs)
        for i in range(starts[t], starts[t + 1], ROWS):
            stop = min(i + ROWS, starts[t + 1])
            _posterior_rows(x, i, stop, atoms, logs, last - first, drop, p, total, log_z[i:stop])


@jit_sums
def _energy(x, mu, start, stop, atoms, m, p, total):
    """Σ_i μ_i Σ_n P_in ‖x_i − y_n‖² over the nodes start … stop."""
    energy = 0.0
    for r in range(stop - start):
        i, mine = start + r, 0.0
        for k in range(x.shape[1]):
            at = x[i, k]
            for n in range(m):
                apart = at - atoms[k, n]
                mine += p[r, n] * apart * apart
        energy += mu[i] / total[r] * mine
    return energy


@jit
def posterior_energy(x, mu, starts, y, log_w, pointer, near, drop):
    """Σ_i μ_i Σ_j P_ij ‖x_i − y_j‖²."""
    most, energy = most_near(pointer), 0.0
    p, total, log_z = np.empty((ROWS, most)), np.empty(ROWS), np.empty(ROWS)
    atoms, logs, table = np.empty((y.shape[1], most)), np.empty((1, most)), log_w.reshape(-1, 1)
    for t in range(starts.size - 1):
        first, last = pointer[t], pointer[t + 1]
        gather(y, near, first, last, atoms)
        gather(table, near, first, last, logs)
        for i in range(starts[t], starts[t + 1], ROWS):
            stop = min(i + ROWS, starts[t + 1])
            _posterior_rows(x, i, stop, atoms, logs, last - first, drop, p, total, log_z)
            energy += _energy(x, mu, i, stop, atoms, last - first, p, total)
    return energy


@jit_sums
def _tilt(x, start, stop, atoms, logs, m, p, total, out):
    """Σ_n P_in (a_n + b_n·(x_i − y_n)); a_n stands in the second row of ``logs``, b_n below y_n in ``atoms``."""
    d = x.shape[1]
    for r in range(stop - start):
        i, mine = start + r, 0.0
        for n in range(m):
            mine += p[r, n] * logs[1, n]
        for k in range(d):
            at = x[i, k]
            for n in range(m):
                mine += p[r, n] * atoms[d + k, n] * (at - atoms[k, n])
        out[i] = mine / total[r]


@jit
def posterior_tilt(x, starts, y, log_w, pointer, near, drop, a, b, out):
    """Σ_j P_ij (a_j + b_j·(x_i − y_j)) at the nodes: the relative change of Z as w_j becomes w_j (1 + a_j + b_j·∇)."""
    most, d = most_near(pointer), y.shape[1]
    p, total, log_z = np.empty((ROWS, most)), np.empty(ROWS), np.empty(ROWS)
    atoms, logs = np.empty((2 * d, most)), np.empty((2, most))
    rows, table = np.empty((y.shape[0], 2 * d)), np.empty((y.shape[0], 2))
    rows[:, :d], rows[:, d:], table[:, 0], table[:, 1] = y, b, log_w, a
    for t in range(starts.size - 1):
        first, last = pointer[t], pointer[t + 1]
        gather(rows, near, first, last, atoms)
        gather(table, near, first, last, logs)
        for i in range(starts[t], starts[t + 1], ROWS):
            stop = min(i + ROWS, starts[t + 1])
            _posterior_rows(x, i, stop, atoms, logs, last - first, drop, p, total, log_z)
            _tilt(x, i, stop, atoms, logs, last - first, p, total, out)


@jit_sums
def _add_moments(x, mu, start, stop, atoms, m, p, total, out):
    """Add Σ_i μ_i P_in (1, x_i − y_n) over the nodes start … stop to ``out`` (1 + d, m)."""
    for r in range(stop - start):
        i = start + r
        share = mu[i] / total[r]
        for n in range(m):
            p[r, n] *= share
            out[0, n] += p[r, n]
        for k in range(x.shape[1]):
            at = x[i, k]
            for n in range(m):
                out[1 + k, n] += p[r, n] * (at - atoms[k, n])


@jit
def posterior_moments(x, mu, starts, y, log_w, pointer, near, drop, log_z, c, gradient):
    """log Z at the nodes, and Σ_i μ_i P_ij (1, x_i − y_j)/w_j added to ``c`` (m,) and ``gradient`` (m, d)."""
    most, d = most_near(pointer), y.shape[1]
    p, total = np.empty((ROWS, most)), np.empty(ROWS)
    atoms, logs, table = np.empty((d, most)), np.empty((1, most)), log_w.reshape(-1, 1)
    found, sums = np.empty((1 + d, most)), np.zeros((y.shape[0], 1 + d))
    for t in range(starts.size - 1):
        first, last = pointer[t], pointer[t + 1]
        gather(y, near, first, last, atoms)
        gather(table, near, first, last, logs)
        found[:, : last - first] = 0.0
        for i in range(starts[t], starts[t + 1], ROWS):
            stop = min(i + ROWS, starts[t + 1])
            _posterior_rows(x, i, stop, atoms, logs, last - first, drop, p, total, log_z[i:stop])
            _add_moments(x, mu, i, stop, atoms, last - first, p, total, found)
        scatter(found, near, first, last, sums)
    for j in range(y.shape[0]):
        w = math.exp(log_w[j])
        c[j] += sums[j, 0] / w
        for k in range(d):
            gradient[j, k] += sums[j, 1 + k] / w


@jit_sums
def _fill_features(x, mu, start, stop, atoms, root, p, total, size, out, second):
    """Rows start … stop of ``out``, and Σ_i μ_i P_in (x_i − y_n)(x_i − y_n)ᵀ/w_n added to ``second`` (d², m)."""
    m, d = root.size, x.shape[1]
    for r in range(stop - start):
        i = start + r
        share, whole = math.sqrt(mu[i]) / total[r], mu[i] / total[r]
        if size == 1:
            for n in range(m):
                out[i, n] = share * p[r, n] * root[n]
            continue
        for n in range(m):
            value = share * p[r, n] * root[n]
            out[i, n * size] = value
            for k in range(d):
                out[i, n * size + 1 + k] = value * (x[i, k] - atoms[k, n])
        for n in range(m):
            p[r, n] *= whole * root[n] * root[n]
        for k in range(d):
            for q in range(k, d):
                a, b, s = x[i, k], x[i, q], k * d + q
                for n in range(m):
                    second[s, n] += p[r, n] * (a - atoms[k, n]) * (b - atoms[q, n])


@jit
def posterior_features(x, mu, y, log_w, near, drop, size, out, second):
    """Rows g_ij = √μ_i P_ij (1, x_i − y_j)/√w_j for the atoms ``near``, (n, near·size); size = 1 or 1 + d.

    With size > 1, Σ_i μ_i P_ij (x_i − y_j)(x_i − y_j)ᵀ/w_j is added to ``second`` (m, d, d), upper half.
    """
    m, d = near.size, y.shape[1]
    p, total, log_z = np.empty((ROWS, m)), np.empty(ROWS), np.empty(ROWS)
    atoms, logs, root, sums = np.empty((d, m)), np.empty((1, m)), np.empty(m), np.zeros((d * d, m))
    gather(y, near, 0, m, atoms)
    gather(log_w.reshape(-1, 1), near, 0, m, logs)
    for n in range(m):
        root[n] = math.exp(-0.5 * logs[0, n])
    for i in range(0, x.shape[0], ROWS):
        stop = min(i + ROWS, x.shape[0])
        _posterior_rows(x, i, stop, atoms, logs, m, drop, p, total, log_z)
        _fill_features(x, mu, i, stop, atoms, root, p, total, size, out, sums)
    if size > 1:
        scatter(sums, near, 0, m, second.reshape(-1, d * d))
