"""Kernels of the one-dimensional problem: potentials, the certificate function and its supremum, Newton systems.

Throughout x (n,) are sorted source nodes, y (m,) sorted reconstruction points, `root` = √ε, and
k(z) = exp(−z²/2ε). Everything is computed in the log domain where range demands.
"""

from __future__ import annotations

import numpy as np

from heatrd.kernels._jit import jit

ORDER = 24  # terms of the Taylor models of c
LANES = 8
LOG_TINY = -700.0


@jit
def windows(x, y, root, reach):
    """Index range [lo, hi) of the points y that matter at each x: within reach·√ε, or 8√ε beyond the nearest."""
    n, m = x.size, y.size
    lo = np.empty(n, np.int64)
    hi = np.empty(n, np.int64)
    a = 0
    b = 0
    near = 0
    for i in range(n):
        while near + 1 < m and abs(y[near + 1] - x[i]) <= abs(y[near] - x[i]):
            near += 1
        r = max(reach * root, abs(y[near] - x[i]) + 8 * root)
        while a < m and y[a] < x[i] - r:
            a += 1
        while a > 0 and y[a - 1] >= x[i] - r:
            a -= 1
        if b < a:
            b = a
        while b < m and y[b] <= x[i] + r:
            b += 1
        while b > a and y[b - 1] > x[i] + r:
            b -= 1
        lo[i] = min(a, near)  # the nearest, however coarse the numbers are out there
        hi[i] = max(b, near + 1)
    return lo, hi


@jit
def log_potential(x, y, logw, root, lo, hi, logz, cost):
    """log Z(x) = log Σ_j w_j k(x − y_j) and the posterior mean of (x − y)²."""
    for i in range(x.size):
        top = -np.inf
        for j in range(lo[i], hi[i]):
            g = (x[i] - y[j]) / root
            a = logw[j] - 0.5 * g * g
            if a > top:
                top = a
        total = 0.0
        second = 0.0
        for j in range(lo[i], hi[i]):
            g = (x[i] - y[j]) / root
            e = np.exp(logw[j] - 0.5 * g * g - top)
            total += e
            second += e * g * g
        logz[i] = top + np.log(total)
        cost[i] = second / total * root * root


@jit
def moments_at(points, x, logq, root, reach, offset, out):
    """Taylor coefficients a_n of c(y + t√ε) = Σ a_n tⁿ at each point: a_n = Σ_i q_i k(x_i − y) He_n(g_i)/n!.

    Nodes are taken in blocks of eight, so that the Hermite recurrence runs in vector registers.
    """
    n = x.size
    terms = out.shape[1]
    g = np.empty(LANES)
    previous = np.empty(LANES)
    current = np.empty(LANES)
    total = np.empty((terms, LANES))
    first = 0
    for j in range(points.size):
        y = points[j]
        while first < n and x[first] < y - reach * root:
            first += 1
        while first > 0 and x[first - 1] >= y - reach * root:
            first -= 1
        total[:, :] = 0.0
        i = first
        while i < n and x[i] <= y + reach * root:
            for l in range(LANES):
                g[l] = 0.0
                current[l] = 0.0
                previous[l] = 0.0
                if i + l < n:
                    g[l] = (x[i + l] - y) / root
                    a = logq[i + l] - 0.5 * g[l] * g[l] - offset
                    if a > LOG_TINY:
                        current[l] = np.exp(a)
            i += LANES
            for l in range(LANES):
                total[0, l] += current[l]
            for k in range(1, terms):
                inverse = 1.0 / k
                for l in range(LANES):
                    following = (g[l] * current[l] - previous[l]) * inverse
                    previous[l] = current[l]
                    current[l] = following
                    total[k, l] += following
        for k in range(terms):
            out[j, k] = total[k].sum()


@jit
def _value(a, t):
    total = 0.0
    for k in range(a.size - 1, -1, -1):
        total = total * t + a[k]
    return total


@jit
def _slopes(a, t):
    """First and second derivative of the polynomial at t."""
    d1 = 0.0
    d2 = 0.0
    for k in range(a.size - 1, 0, -1):
        d1 = d1 * t + k * a[k]
    for k in range(a.size - 1, 1, -1):
        d2 = d2 * t + k * (k - 1) * a[k]
    return d1, d2


@jit
def cell_suprema(coefficients, radius, unit, slack, bound, best, where):
    """Bound the maximum of each Taylor polynomial over |t| ≤ radius, within ``slack`` of max(its maximum, unit)."""
    stack_t = np.empty(512)
    stack_r = np.empty(512)
    for j in range(coefficients.shape[0]):
        a = coefficients[j]
        top, at = _climb(a, radius)
        bound[j], best[j], where[j] = _enclose(a, radius, top, at, unit, slack, stack_t, stack_r)


@jit
def _climb(a, radius):
    """A high value of the polynomial and its place: the best of nine, then Newton steps while they rise."""
    top, at = -np.inf, 0.0
    for k in range(-4, 5):
        v = _value(a, k * 0.25 * radius)
        if v > top:
            top, at = v, k * 0.25 * radius
    for _ in range(6):
        d1, d2 = _slopes(a, at)
        if d2 < 0:
            t = min(radius, max(-radius, at - d1 / d2))
            v = _value(a, t)
            if not v > top:
                break
            top, at = v, t
    return top, at


@jit
def _enclose(a, radius, top, at, unit, slack, stack_t, stack_r):
    """Upper bound of the polynomial over the cell, the highest value met, and its place.

    On a subcell of half-width r about t₀: p ≤ max over |δ| ≤ r of the quadratic Taylor polynomial + M₃ r³/6, with
    M₃ from the coefficients; subcells are halved until that is within ``slack``.
    """
    third = _third_derivative(a, radius)
    upper = max(top, 0.0)
    size = 1
    stack_t[0], stack_r[0] = 0.0, radius
    while size > 0:
        size -= 1
        t, r = stack_t[size], stack_r[size]
        v = _value(a, t)
        d1, d2 = _slopes(a, t)
        d1 = abs(d1)
        if v > top:
            top, at = v, t
        here = v + d1 * r + 0.5 * d2 * r * r
        if d2 < 0 and d1 < -d2 * r:
            here = v - 0.5 * d1 * d1 / d2
        here += third * r * r * r / 6
        if here <= max(top, unit) + slack or r < 1e-7 or size > 508:
            if here > upper:
                upper = here
        else:
            stack_t[size], stack_r[size] = t - 0.5 * r, 0.5 * r
            stack_t[size + 1], stack_r[size + 1] = t + 0.5 * r, 0.5 * r
            size += 2
    return upper, top, at


@jit
def _third_derivative(a, radius):
    """Bound M₃ of the third derivative over |t| ≤ radius."""
    third = 0.0
    power = 1.0
    for k in range(3, a.size):
        third += abs(a[k]) * k * (k - 1) * (k - 2) * power
        power *= radius
    return third


@jit
def newton_system(x, mass, y, logw, fixed, root, lo, hi, column, band, c, c1, c2):
    """Gradient moments and Gauss–Newton matrix of −∫ μ log Z in log w_j and, of free atoms, y_j/√ε.

    ``column[j]`` is the place of log w_j among the variables; that of y_j/√ε follows it where ``column[j + 1]`` is two
    further. Fills c_j = c(y_j), c1_j = √ε c′(y_j), c2_j = ε c″(y_j) and the lower band of Σ_i μ_i v_i v_iᵀ scaled by
    1/√(w_j w_l), with v_i = (p_ij, p_ij g_ij), p_ij the posterior weights; ``fixed`` is the log-potential of everything
    that is not a variable (−inf: nothing).
    """
    c[:], c1[:], c2[:] = 0.0, 0.0, 0.0
    band[:, :] = 0.0
    widest = 1
    for i in range(x.size):
        widest = max(widest, hi[i] - lo[i])
    p = np.empty(widest)
    g = np.empty(widest)
    v = np.empty(2 * widest)
    half = np.exp(-0.5 * logw)
    for i in range(x.size):
        a, b = lo[i], hi[i]
        _posterior(x[i], y[a:b], logw[a:b], fixed[i], root, p, g)
        for j in range(b - a):
            h = half[a + j]
            q = mass[i] * p[j] * h * h
            c[a + j] += q
            c1[a + j] += q * g[j]
            c2[a + j] += q * (g[j] * g[j] - 1)
        first, last = 0, b - a  # the matrix need not be exact: outer nodes of posterior weight below 1e-10 are left out
        while first < last and p[first] < 1e-10:
            first += 1
        while last > first and p[last - 1] < 1e-10:
            last -= 1
        if first < last:
            places = column[a + first : a + last + 1]
            _add_square(mass[i], p[first:last], g[first:last], half[a + first : a + last], places, v, band)


@jit
def _posterior(x, y, logw, fixed, root, p, g):
    """Fill g_j = (x − y_j)/√ε and the posterior weights p_j of x."""
    top = fixed
    for j in range(y.size):
        g[j] = (x - y[j]) / root
        p[j] = logw[j] - 0.5 * g[j] * g[j]
        if p[j] > top:
            top = p[j]
    total = np.exp(fixed - top)
    for j in range(y.size):
        p[j] = np.exp(p[j] - top)
        total += p[j]
    for j in range(y.size):
        p[j] /= total


@jit
def _add_square(mass, p, g, half, column, v, band):
    """Add mass · v vᵀ to the lower band, v = (p_j, p_j g_j)/√w_j at the places ``column``."""
    begin = column[0]
    size = column[p.size] - begin
    for j in range(p.size):
        k = column[j] - begin
        v[k] = p[j] * half[j]
        if column[j + 1] - column[j] == 2:
            v[k + 1] = v[k] * g[j]
    for k in range(size):
        t = mass * v[k]
        row = band[begin + k]
        for l in range(size - k):
            row[l] += t * v[k + l]


@jit
def node_rows(x, y, root, start, count, rows):
    """Rows of A_ij = k(x_i − y_j) for the ``count[i]`` nodes from ``start[i]`` on."""
    for i in range(x.size):
        for j in range(count[i]):
            g = (x[i] - y[start[i] + j]) / root
            rows[i, j] = np.exp(-0.5 * g * g)


@jit
def rows_dot(rows, start, count, v, out):
    """out_i = Σ_j A_ij v_j."""
    for i in range(start.size):
        total = 0.0
        for j in range(count[i]):
            total += rows[i, j] * v[start[i] + j]
        out[i] = total


@jit
def rows_transposed_dot(rows, start, count, q, out):
    """out_j = Σ_i A_ij q_i."""
    out[:] = 0.0
    for i in range(start.size):
        t = q[i]
        for j in range(count[i]):
            out[start[i] + j] += rows[i, j] * t


@jit
def rows_normal(rows, start, count, q, scale, band):
    """Lower band of E Aᵀ diag(q) A E with E = diag(scale); ``band[j, d]`` is entry (j + d, j)."""
    band[:, :] = 0.0
    r = np.empty(rows.shape[1])
    for i in range(start.size):
        s = start[i]
        k = count[i]
        for j in range(k):
            r[j] = rows[i, j] * scale[s + j]
        for j in range(k):
            t = q[i] * r[j]
            if t > 1e-40:
                for l in range(j, k):
                    band[s + j, l - j] += t * r[l]


@jit
def band_cholesky(band):
    """Factor a symmetric positive definite band matrix in place; ``band[j, d]`` is entry (j + d, j). False: not
    definite.

    Serial on purpose: LAPACK's blocked routine hands blocks of a few dozen rows to BLAS threads, which costs more
    than it gives and
    fights with callers who run several solves at once.
    """
    n, width = band.shape
    for j in range(n):
        pivot = band[j, 0]
        if not pivot > 0.0:
            return False
        pivot = np.sqrt(pivot)
        band[j, 0] = pivot
        reach = min(width, n - j)
        for d in range(1, reach):
            band[j, d] /= pivot
        for k in range(1, reach):
            t = band[j, k]
            if t != 0.0:
                for d in range(k, reach):
                    band[j + k, d - k] -= t * band[j, d]
    return True


@jit
def band_solve(factor, right):
    """Solve L Lᵀ x = right in place with the factor of `band_cholesky`."""
    n, width = factor.shape
    for j in range(n):
        right[j] /= factor[j, 0]
        t = right[j]
        for d in range(1, min(width, n - j)):
            right[j + d] -= t * factor[j, d]
    for j in range(n - 1, -1, -1):
        t = right[j]
        for d in range(1, min(width, n - j)):
            t -= factor[j, d] * right[j + d]
        right[j] = t / factor[j, 0]
