"""Kernels of local moments in R^d: blocks of the first moments of a law around centres y_j.

With ξ = x − y and k = exp(−‖ξ‖²/2), units of √ε, a block contributes k(ξ) Σ_q u_q f_q(ξ) to Z(x), with

    f = (1, ξ_1 … ξ_d, then for k ≤ l: ½(ξ_k² − 1) on the diagonal and ξ_k ξ_l beside it):

the value, gradient and second derivatives of k in y, for u = (mass, first moments, second moments).
"""

from __future__ import annotations

import math

import numpy as np

from heatrd.kernels._jit import jit

__all__ = ["moment_features", "moment_gradient", "moment_log_sum"]


@jit
def _features(x, y, f):
    """Fill f(x − y)."""
    d = x.size
    for k in range(d):
        f[1 + k] = x[k] - y[k]
    f[0] = 1.0
    q = 1 + d
    for k in range(d):
        f[q] = 0.5 * (f[1 + k] ** 2 - 1.0)
        q += 1
        for m in range(k + 1, d):
            f[q] = f[1 + k] * f[1 + m]
            q += 1


@jit
def moment_log_sum(x, starts, y, log_w, u, pointer, near, drop, log_z):
    """log Σ_j w_j k(x_i − y_j) u_j·f(x_i − y_j) at the nodes, tile by tile; NaN where the sum is not positive.

    Rows ``starts[t]:starts[t + 1]`` of ``x`` form tile t, which sees the blocks ``near[pointer[t]:pointer[t + 1]]``;
    terms whose w k is below e^−drop of the largest one are left out.
    """
    d = x.shape[1]
    xi = np.empty(d)
    e = np.empty(y.shape[0])
    for t in range(starts.size - 1):
        first, last = pointer[t], pointer[t + 1]
        for i in range(starts[t], starts[t + 1]):
            top = -math.inf
            for n in range(first, last):
                square = 0.0
                for k in range(d):
                    square += (x[i, k] - y[near[n], k]) ** 2
                e[n - first] = log_w[near[n]] - 0.5 * square
                top = max(top, e[n - first])
            total = 0.0
            for n in range(first, last):
                gap = e[n - first] - top
                if gap > -drop:
                    j = near[n]
                    for k in range(d):
                        xi[k] = x[i, k] - y[j, k]
                    q = 1 + d
                    value = u[j, 0]
                    for k in range(d):  # u·f(ξ) by Horner's rule
                        slope = u[j, 1 + k] + 0.5 * u[j, q] * xi[k]
                        value -= 0.5 * u[j, q]
                        q += 1
                        for m in range(k + 1, d):
                            slope += u[j, q] * xi[m]
                            q += 1
                        value += slope * xi[k]
                    total += math.exp(gap) * value
            log_z[i] = top + math.log(total) if total > 0.0 else math.nan


@jit
def moment_gradient(x, mu, starts, y, log_m, log_z, pointer, near, drop, out):
    """Σ_i μ_i k f/Z (m, q), added to ``out``; terms with m_j k/Z below e^−drop are left out."""
    d = x.shape[1]
    f = np.empty(out.shape[1])
    for t in range(starts.size - 1):
        for i in range(starts[t], starts[t + 1]):
            for n in range(pointer[t], pointer[t + 1]):
                j = near[n]
                square = 0.0
                for k in range(d):
                    square += (x[i, k] - y[j, k]) ** 2
                log = -0.5 * square - log_z[i]
                if log + log_m[j] > -drop:
                    _features(x[i], y[j], f)
                    value = mu[i] * math.exp(log)
                    for q in range(f.size):
                        out[j, q] += value * f[q]


@jit
def moment_features(x, mu, y, log_m, log_z, transform, near, drop, out):
    """√μ_i k/Z · Tᵀ f for the blocks ``near``, (n, near·q): rows of which the Hessian is the Gram matrix."""
    size = transform.shape[1]
    f = np.empty(size)
    for i in range(x.shape[0]):
        root = math.sqrt(mu[i])
        for n in range(near.size):
            j = near[n]
            square = 0.0
            for k in range(x.shape[1]):
                square += (x[i, k] - y[j, k]) ** 2
            log = -0.5 * square - log_z[i]
            first = n * size
            if log + log_m[j] <= -drop:
                out[i, first : first + size] = 0.0
                continue
            _features(x[i], y[j], f)
            value = root * math.exp(log)
            for a in range(size):
                total = 0.0
                for b in range(size):
                    total += transform[j, b, a] * f[b]
                out[i, first + a] = value * total
