"""Kernels of the radial problem: tables of a function of log(1 + t), for the spherically averaged kernel.

Panel p of a table holds Chebyshev coefficients on u ∈ [p h, (p + 1) h], u = log(1 + t); Clenshaw's recurrence
evaluates them.
"""

from __future__ import annotations

import math

from heatrd.kernels._jit import jit

__all__ = ["chebyshev_table", "radial_log_kernel"]


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
