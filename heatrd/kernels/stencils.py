"""Banded symmetric sweeps along one axis: stencils and short convolutions.

An array is seen as ``u[a, n, b]``: ``n`` runs along the axis, ``a`` and ``b`` over what is before and after it.
With taps (w₀, w₁, …, w_r) and a parity ±1 the sweep adds

    out[a, i, b] += w₀ u[a, i, b] + Σ_{k=1..r} w_k (u[a, i+k, b] ± u[a, i−k, b]),

parity +1 for second derivatives and Gaussian convolution, −1 for first derivatives. Ghost cells are named by
``index`` of length n + 2r: ``index[i + r]`` is the cell that stands for cell i of the extended
axis (−1: a zero), so that reflecting, periodic and free boundaries share the loop.

Central weights of order 2r (Fornberg, Math. Comp. 51 (1988) 699): with
a_k = (−1)^{k+1} (r!)² / ((r−k)! (r+k)!),

    u″ ≈ h⁻² (w₀ u₀ + Σ w_k (u_k + u_{−k})),   w_k = 2 a_k / k²,   w₀ = −2 Σ w_k,
    u′ ≈ h⁻¹ Σ w_k (u_k − u_{−k}),             w_k = a_k / k.
"""

from __future__ import annotations

from heatrd.kernels._jit import jit

__all__ = ["sweep_lines", "sweep_rows", "tridiagonal_rows"]


@jit
def sweep_rows(u, taps, parity, index, out):
    """Add the sweep along the middle axis of ``u`` (a, n, b) to ``out``; contiguous runs of length b."""
    a, n, b = u.shape
    r = taps.size - 1
    for p in range(a):
        for i in range(n):
            target = out[p, i]
            centre = u[p, i]
            w = taps[0]
            if w != 0.0:
                for j in range(b):
                    target[j] += w * centre[j]
            for k in range(1, r + 1):
                w = taps[k]
                above = index[i + r + k]
                below = index[i + r - k]
                if above >= 0 and below >= 0:
                    up = u[p, above]
                    down = u[p, below]
                    for j in range(b):
                        target[j] += w * (up[j] + parity * down[j])
                elif above >= 0:
                    up = u[p, above]
                    for j in range(b):
                        target[j] += w * up[j]
                elif below >= 0:
                    down = u[p, below]
                    for j in range(b):
                        target[j] += w * parity * down[j]


@jit
def sweep_lines(u, taps, parity, index, line, out):
    """Add the sweep along the last axis of ``u`` (a, n) to ``out``; ``line`` (n + 2r) is scratch."""
    a, n = u.shape
    r = taps.size - 1
    for p in range(a):
        source = u[p]
        target = out[p]
        for i in range(n + 2 * r):
            cell = index[i]
            line[i] = source[cell] if cell >= 0 else 0.0
        w = taps[0]
        for i in range(n):
            target[i] += w * source[i]
        for k in range(1, r + 1):
            w = taps[k]
            up = line[r + k : r + k + n]
            down = line[r - k : r - k + n]
            for i in range(n):
                target[i] += w * (up[i] + parity * down[i])


@jit
def tridiagonal_rows(u, lower, centre, upper, index, out):
    """Add T u along the middle axis of ``u`` (a, n, b), T tridiagonal with row i = (lower, centre, upper)[i]."""
    a, n, b = u.shape
    for p in range(a):
        for i in range(n):
            target = out[p, i]
            here = u[p, i]
            down = u[p, max(index[i], 0)]
            up = u[p, max(index[i + 2], 0)]
            l, c, r = lower[i], centre[i], upper[i]
            for j in range(b):
                target[j] += c * here[j] + l * down[j] + r * up[j]
