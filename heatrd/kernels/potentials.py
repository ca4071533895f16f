"""Heat potentials of weighted points, in the log domain.

For atoms y_j with log-masses ℓ_j and a variance s > 0, at every point x,

    log Σ_j exp(ℓ_j − ‖x − y_j‖²/2s)      and      E[Y | x] = Σ_j p_j y_j,   p_j ∝ exp(ℓ_j − ‖x − y_j‖²/2s).

The largest exponent is taken out before anything is exponentiated, so neither s → 0 nor a far x overflows or
underflows; one column of exponents is the only workspace.
"""

from __future__ import annotations

import numpy as np

from heatrd.kernels._jit import jit

__all__ = ["draw_posterior", "log_mixture"]


@jit
def log_mixture(x, y, log_mass, s, log_sum, mean):
    """Fill ``log_sum`` (n,) and ``mean`` (n, d) for points ``x`` (n, d) and atoms ``y`` (m, d)."""
    n, d = x.shape
    m = y.shape[0]
    exponent = np.empty(m)
    scale = 0.5 / s
    for i in range(n):
        top = -np.inf
        for j in range(m):
            square = 0.0
            for k in range(d):
                square += (x[i, k] - y[j, k]) ** 2
            exponent[j] = log_mass[j] - square * scale
            top = max(top, exponent[j])
        total = 0.0
        for k in range(d):
            mean[i, k] = 0.0
        if top == -np.inf:
            log_sum[i] = -np.inf
            for k in range(d):
                mean[i, k] = x[i, k]
            continue
        for j in range(m):
            gap = exponent[j] - top
            if gap > -745.0:
                p = np.exp(gap)
                total += p
                for k in range(d):
                    mean[i, k] += p * y[j, k]
        for k in range(d):
            mean[i, k] /= total
        log_sum[i] = top + np.log(total)


@jit
def draw_posterior(x, y, log_mass, s, uniform, index):
    """Fill ``index`` (n,) with atoms drawn from p_j ∝ exp(ℓ_j − ‖x_i − y_j‖²/2s) by inversion of ``uniform`` (n,)."""
    n, d = x.shape
    m = y.shape[0]
    p = np.empty(m)
    scale = 0.5 / s
    for i in range(n):
        top = -np.inf
        for j in range(m):
            square = 0.0
            for k in range(d):
                square += (x[i, k] - y[j, k]) ** 2
            p[j] = log_mass[j] - square * scale
            top = max(top, p[j])
        total = 0.0
        for j in range(m):
            p[j] = np.exp(p[j] - top)
            total += p[j]
        level = uniform[i] * total
        running = 0.0
        chosen = -1
        for j in range(m):
            if p[j] > 0.0:
                running += p[j]
                chosen = j
                if running > level:
                    break
        index[i] = chosen
