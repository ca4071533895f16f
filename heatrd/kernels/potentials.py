"""Heat potentials of weighted points, in the log domain.

For atoms y_j with log-masses ℓ_j and a variance s > 0, at every point x,

    log Σ_j exp(ℓ_j − ‖x − y_j‖²/2s)      and      E[Y | x] = Σ_j p_j y_j,   p_j ∝ exp(ℓ_j − ‖x − y_j‖²/2s).

On the line, with sorted atoms, only those are visited whose term can exceed e^−40 of the nearest atom's term: with Λ
= max ℓ and the
nearest atom's exponent L, those with |x − y_j| ≤ √(2s(Λ − L + 40)).

The largest exponent is taken out before anything is exponentiated, so neither s → 0 nor a far x overflows or
underflows; one column of exponents is the only workspace.
"""

from __future__ import annotations

import numpy as np

from heatrd.kernels._jit import jit

__all__ = ["draw_posterior", "log_mixture", "log_mixture_line"]


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
def log_mixture_line(x, y, log_mass, s, log_sum, mean):
    """The same for sorted atoms ``y`` (m,) on the line, points ``x`` (n,); ``log_sum``, ``mean`` (n,)."""
    m = y.size
    exponent = np.empty(m)
    scale = 0.5 / s
    heaviest = -np.inf
    for j in range(m):
        heaviest = max(heaviest, log_mass[j])
    for i in range(x.size):
        after = np.searchsorted(y, x[i])
        known = -np.inf
        for j in range(max(after - 1, 0), min(after + 1, m)):
            known = max(known, log_mass[j] - (x[i] - y[j]) ** 2 * scale)
        if known == -np.inf:  # the square overflows
            log_sum[i] = -np.inf
            mean[i] = y[min(after, m - 1)]
            continue
        reach = np.sqrt(max(heaviest - known + 40.0, 0.0) / scale)
        first = min(np.searchsorted(y, x[i] - reach), max(after - 1, 0))  # the neighbours, though the reach be rounding
        last = max(np.searchsorted(y, x[i] + reach), min(after + 1, m))
        top = known
        for j in range(first, last):
            exponent[j] = log_mass[j] - (x[i] - y[j]) ** 2 * scale
            top = max(top, exponent[j])
        total, first_moment = 0.0, 0.0
        for j in range(first, last):
            gap = exponent[j] - top
            if gap > -745.0:
                p = np.exp(gap)
                total += p
                first_moment += p * y[j]
        log_sum[i] = top + np.log(total)
        mean[i] = first_moment / total


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
