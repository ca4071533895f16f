"""Plain NumPy twins of the kernels, from their docstrings and by another route. Append-only: one marked block per kernel module."""

import numpy as np


# --- kernels/stencils, kernels/tridiagonal, kernels/steps ------------------------------------------------------------


def shift_matrix(n, k, boundary):
    """Matrix that takes u to u_{i+k}, with mirrored, wrapped or zero cells beyond the walls."""
    matrix = np.zeros((n, n))
    for i in range(n):
        j = i + k
        if boundary == "periodic":
            j %= n
        elif boundary == "reflecting":
            while not 0 <= j < n:
                j = -1 - j if j < 0 else 2 * n - 1 - j
        if 0 <= j < n:
            matrix[i, j] = 1.0
    return matrix


def sweep_matrix(n, taps, parity, boundary):
    """w₀ u_i + Σ w_k (u_{i+k} ± u_{i−k}) as a dense matrix."""
    matrix = taps[0] * np.eye(n)
    for k in range(1, len(taps)):
        matrix += taps[k] * (shift_matrix(n, k, boundary) + parity * shift_matrix(n, -k, boundary))
    return matrix


def along_axis(matrix, values, axis):
    """Apply a matrix along one axis of an array."""
    return np.moveaxis(np.tensordot(matrix, values, axes=(1, axis)), 0, axis)


def tridiagonal_matrix(lower, centre, upper):
    """Dense tridiagonal matrix with rows (lower, centre, upper)."""
    return np.diag(centre) + np.diag(upper[:-1], 1) + np.diag(lower[1:], -1)


def explicit_steps(rho, numbers, steps, boundary):
    """Order-2 explicit heat steps by dense matrices."""
    rho = rho.copy()
    for _ in range(steps):
        new = rho.copy()
        for axis, r in enumerate(numbers):
            new += r * along_axis(sweep_matrix(rho.shape[axis], [-2.0, 1.0], 1, boundary), rho, axis)
        rho = new
    return rho


def legendre_stage(now, before, start, l_now, l_start, mu, nu, mu_tilde, gamma):
    """One RKL2 stage."""
    return mu * now + nu * before + (1 - mu - nu) * start + mu_tilde * l_now + gamma * l_start
