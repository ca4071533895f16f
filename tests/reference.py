"""Plain NumPy twins of the kernels, from their docstrings and by another route. One marked block per kernel module."""

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


# --- kernels/line ----------------------------------------------------------------------------------------------------


def gauss_kernel(x, y, root):
    """K_ij = exp(−(x_i − y_j)²/2ε), dense."""
    return np.exp(-((np.subtract.outer(x, y) / root) ** 2) / 2)


def windows(x, y, root, reach):
    """Index ranges of the y within max(reach √ε, 8√ε + distance to the nearest) of each x."""
    distance = np.abs(np.subtract.outer(x, y))
    inside = distance <= np.maximum(reach * root, distance.min(axis=1) + 8 * root)[:, None]
    return inside.argmax(axis=1), len(y) - inside[:, ::-1].argmax(axis=1)


def log_potential(x, y, logw, root):
    """log Σ_j w_j k(x − y_j) and the posterior mean of (x − y)², dense and in long double."""
    square = np.subtract.outer(x, y).astype(np.longdouble) ** 2
    a = np.asarray(logw, np.longdouble) - square / (2 * np.longdouble(root) ** 2)
    top = a.max(axis=1, keepdims=True)
    e = np.exp(a - top)
    total = e.sum(axis=1)
    return (top[:, 0] + np.log(total)).astype(float), ((e * square).sum(axis=1) / total).astype(float)


def moments_at(points, x, logq, root, terms):
    """a_n = Σ_i q_i k(x_i − y) He_n((x_i − y)/√ε)/n! from NumPy's Hermite polynomials."""
    g = np.subtract.outer(x, points) / root
    weight = np.exp(np.asarray(logq)[:, None] - g * g / 2)
    rows, factorial = [], 1.0
    for n in range(terms):
        factorial *= max(n, 1)
        rows.append((weight * np.polynomial.hermite_e.hermeval(g, np.eye(terms)[n])).sum(axis=0) / factorial)
    return np.array(rows).T


def polynomial_supremum(coefficients, radius):
    """Maximum of a polynomial (ascending coefficients) over |t| ≤ radius, from the roots of its derivative."""
    p = np.polynomial.Polynomial(coefficients)
    roots = p.deriv().roots()
    inside = roots.real[(np.abs(roots.imag) < 1e-7) & (np.abs(roots.real) <= radius)]
    return max(p(np.concatenate([inside, [-radius, radius]])))


def newton_system(x, mass, y, w, fixed, root):
    """c, √ε c′, ε c″ at the atoms and Σ_i μ_i v_i v_iᵀ/√(w w) dense, atoms interleaved; ``fixed`` a log-potential."""
    g = np.subtract.outer(x, y) / root
    k = np.exp(-g * g / 2)
    z = k @ w + np.exp(fixed)
    q = (mass / z)[:, None] * k
    p = w * k / z[:, None]
    heavy = p >= 1e-10  # the matrix leaves out what lies outside the first and last node of this posterior weight
    inside = np.maximum.accumulate(heavy, axis=1) & np.maximum.accumulate(heavy[:, ::-1], axis=1)[:, ::-1]
    v = np.stack([p, p * g], axis=2) * inside[:, :, None] / np.sqrt(w)[None, :, None]
    v = v.reshape(len(x), -1)
    return q.sum(axis=0), (q * g).sum(axis=0), (q * (g * g - 1)).sum(axis=0), v.T @ (mass[:, None] * v)


def lower_band(matrix, width):
    """band[j, d] = matrix[j + d, j]; zero below the matrix."""
    n = len(matrix)
    band = np.zeros((n, width))
    for d in range(min(width, n)):
        band[: n - d, d] = np.diag(matrix, -d)
    return band


def from_lower_band(band):
    """The symmetric matrix of a lower band."""
    n, width = band.shape
    matrix = np.diag(band[:, 0]).astype(float)
    for d in range(1, min(width, n)):
        matrix += np.diag(band[: n - d, d], -d) + np.diag(band[: n - d, d], d)
    return matrix


# --- kernels/potentials, kernels/sinkhorn, kernels/paths --------------------------------------------------------------


def log_mixture(x, y, log_mass, s):
    """log Σ_j exp(ℓ_j − ‖x − y_j‖²/2s) and the posterior mean, by scipy's logsumexp on the dense table."""
    from scipy.special import logsumexp, softmax

    table = log_mass - ((x[:, None, :] - y) ** 2).sum(axis=2) / (2 * s)
    return logsumexp(table, axis=1), softmax(table, axis=1) @ y


def draw_posterior(x, y, log_mass, s, uniform):
    """Index of the atom where the cumulative posterior passes ``uniform``."""
    from scipy.special import softmax

    p = softmax(log_mass - ((x[:, None, :] - y) ** 2).sum(axis=2) / (2 * s), axis=1)
    return np.array([np.searchsorted(np.cumsum(row), u, side="right") for row, u in zip(p, uniform)])


def log_axis_pass(x, y, s, h):
    """log Σ_k exp(h[k, j] − (x_i − y_k)²/2s), densely."""
    from scipy.special import logsumexp

    return logsumexp(h[None, :, :] - (x[:, None, None] - y[None, :, None]) ** 2 / (2 * s), axis=1)


def table_values(x, table, low, per_cell):
    """Linear interpolation, extended linearly by the outermost slopes."""
    axis = low + np.arange(table.size) / per_cell
    inside = np.interp(x, axis, table)
    left = table[0] + (x - axis[0]) * (table[1] - table[0]) * per_cell
    right = table[-1] + (x - axis[-1]) * (table[-1] - table[-2]) * per_cell
    return np.where(x < axis[0], left, np.where(x > axis[-1], right, inside))


def path_step(x, u, ahead, u_ahead, a0, a1, a2, sigma, noise):
    """x + α₀ u + α₁ u' + α₂ (x̃ − x) + σ z."""
    return x + a0 * u + a1 * u_ahead + a2 * (ahead - x) + sigma * noise


# --- kernels/radial, kernels/posterior ---


def chebyshev_table(t, coefficients, width):
    """The table's Chebyshev series on the panel of log(1 + t), by numpy's own evaluation."""
    u = np.log1p(t) / width
    panel = np.minimum(u.astype(int), len(coefficients) - 1)
    x = 2 * (u - panel) - 1
    return np.array([np.polynomial.chebyshev.chebval(v, coefficients[p]) for v, p in zip(x, panel)])


def radial_log_kernel(r, s, reach, coefficients, width):
    """log κ(r, s) from the table, densely."""
    apart = np.subtract.outer(r, s)
    smooth = chebyshev_table(np.multiply.outer(r, s).ravel(), coefficients, width).reshape(apart.shape)
    return np.where(np.abs(apart) > reach, -np.inf, -0.5 * apart**2 + smooth)


def gaussian_sum(x, a, y):
    """c(y) = Σ a_i exp(−‖x_i − y‖²/2) with gradient and Hessian, densely."""
    z = x[None, :, :] - y[:, None, :]
    k = a * np.exp(-0.5 * (z**2).sum(axis=2))
    outer = z[:, :, :, None] * z[:, :, None, :] - np.eye(x.shape[1])
    return k.sum(axis=1), np.einsum("ni,nik->nk", k, z), np.einsum("ni,nikl->nkl", k, outer)


def posterior(x, y, w):
    """log Z (n,), P (n, m) and x_i − y_j (n, m, d) of weighted atoms under the unit Gaussian kernel."""
    xi = x[:, None, :] - y
    terms = w * np.exp(-0.5 * (xi**2).sum(axis=2))
    z = terms.sum(axis=1)
    return np.log(z), terms / z[:, None], xi
