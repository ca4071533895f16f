"""Tridiagonal solves along one axis of an array (Thomas' algorithm, factored once).

For T = tridiag(l, d, u) with row i = (l_i, d_i, u_i) the factors are

    p_i = 1 / (d_i − l_i q_{i−1}),   q_i = u_i p_i,

and a solve is one forward and one backward sweep, x_i = (f_i − l_i x_{i−1}) p_i, then x_i −= q_i x_{i+1}. No pivoting:
T must be diagonally dominant, which I − rL of the heat equation is.
"""

from __future__ import annotations

from heatrd.kernels._jit import jit

__all__ = ["factor", "solve_rows"]


@jit
def factor(lower, centre, upper, p, q):
    """Fill the factors ``p``, ``q`` (n,) of the tridiagonal matrix with rows (lower, centre, upper)."""
    n = centre.size
    p[0] = 1.0 / centre[0]
    q[0] = upper[0] * p[0]
    for i in range(1, n):
        p[i] = 1.0 / (centre[i] - lower[i] * q[i - 1])
        q[i] = upper[i] * p[i]


@jit
def solve_rows(f, lower, p, q):
    """Solve in place along the middle axis of ``f`` (a, n, b), given `factor`'s ``p`` and ``q``."""
    a, n, b = f.shape
    for m in range(a):
        first = f[m, 0]
        for j in range(b):
            first[j] *= p[0]
        for i in range(1, n):
            here = f[m, i]
            before = f[m, i - 1]
            l, scale = lower[i], p[i]
            for j in range(b):
                here[j] = (here[j] - l * before[j]) * scale
        for i in range(n - 2, -1, -1):
            here = f[m, i]
            after = f[m, i + 1]
            w = q[i]
            for j in range(b):
                here[j] -= w * after[j]
