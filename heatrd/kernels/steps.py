"""Second-order explicit heat steps in place, several at once (temporal blocking by a wavefront).

One step on a uniform grid is, with r_a = ε τ / (2 h_a²),

    ρ ← ρ + Σ_a r_a (ρ_{i+1} − 2ρ_i + ρ_{i−1}).

A slab of rows is read once and written once for ``k`` steps: as row v arrives, level l = 1..k is advanced to row
v − l from the last three rows of level l − 1, kept in ``ring``; level k goes back into the array. Working in
place spares the write-allocate traffic, and memory traffic falls by k. The k ghost rows on either side
come as ``below`` and ``above`` (copied beforehand: mirrored, periodic, or a neighbouring slab's), which makes
the boundary along the first axis, and threads over slabs, a matter of the caller. Along the other
axes the boundary is periodic or reflecting.
"""

from __future__ import annotations

from heatrd.kernels._jit import jit

PIECE = 1024  # cells of a row taken at once: five such pieces fit the first cache

__all__ = ["advance_1d", "advance_2d", "advance_3d", "legendre_stage", "triad"]


@jit
def _step_row(down, here, up, r0, r1, periodic, out, lead):
    """One step of a row; from column ``lead`` on all rows are aligned, so that no load but two crosses a cache line."""
    m = here.size
    c = 1.0 - 2.0 * r0 - 2.0 * r1
    left = here[m - 1] if periodic else here[0]
    right = here[0] if periodic else here[m - 1]
    first = c * here[0] + r0 * (down[0] + up[0]) + r1 * (left + here[min(1, m - 1)])
    begin = max(1, min(lead, m - 1))
    for j in range(1, begin):
        out[j] = c * here[j] + r0 * (down[j] + up[j]) + r1 * (here[j - 1] + here[j + 1])
    west, middle, east = here[begin - 1 : m - 2], here[begin : m - 1], here[begin + 1 : m]
    d, u, target = down[begin : m - 1], up[begin : m - 1], out[begin : m - 1]
    for j in range(middle.size):
        target[j] = c * middle[j] + r0 * (d[j] + u[j]) + r1 * (west[j] + east[j])
    if m > 1:
        out[m - 1] = c * here[m - 1] + r0 * (down[m - 1] + up[m - 1]) + r1 * (here[m - 2] + right)
    out[0] = first


@jit
def _step_and_take_row(down, here, up, r0, r1, periodic, out, fresh, lead):
    """`_step_row` with the row above still in memory, and a copy of it, in pieces that stay in the first cache."""
    m = here.size
    c = 1.0 - 2.0 * r0 - 2.0 * r1
    left = here[m - 1] if periodic else here[0]
    right = here[0] if periodic else here[m - 1]
    first = c * here[0] + r0 * (down[0] + up[0]) + r1 * (left + here[min(1, m - 1)])
    last = c * here[m - 1] + r0 * (down[m - 1] + up[m - 1]) + r1 * (here[max(m - 2, 0)] + right)
    begin = max(1, min(lead, m - 1))
    for j in range(1, begin):
        out[j] = c * here[j] + r0 * (down[j] + up[j]) + r1 * (here[j - 1] + here[j + 1])
        fresh[j] = up[j]
    for a in range(begin, max(m - 1, 1), PIECE):
        b = min(a + PIECE, m - 1)
        west, middle, east = here[a - 1 : b - 1], here[a:b], here[a + 1 : b + 1]
        d, u, target, copy = down[a:b], up[a:b], out[a:b], fresh[a:b]
        for j in range(middle.size):
            target[j] = c * middle[j] + r0 * (d[j] + u[j]) + r1 * (west[j] + east[j])
        for j in range(u.size):
            copy[j] = u[j]
    fresh[0], fresh[m - 1] = up[0], up[m - 1]
    out[m - 1] = last
    out[0] = first


@jit
def _step_ends(down, here, up, first, last, r0, r1, r2, periodic, out, shift):
    """One step of the first and the last cell of rows first … last − 1 of a plane."""
    m = here.shape[1]
    e = m - 1
    c = 1.0 - 2.0 * (r0 + r1 + r2)
    for i in range(first, last):
        left = here[i, e] if periodic else here[i, 0]
        right = here[i, 0] if periodic else here[i, e]
        head = c * here[i, 0] + r0 * (down[i, 0] + up[i, 0]) + r1 * (here[i - 1, 0] + here[i + 1, 0])
        tail = c * here[i, e] + r0 * (down[i, e] + up[i, e]) + r1 * (here[i - 1, e] + here[i + 1, e])
        out[i + shift, 0] = head + r2 * (left + here[i, min(1, e)])
        if m > 1:
            out[i + shift, e] = tail + r2 * (here[i, e - 1] + right)


@jit
def _step_plane(down, here, up, first, last, r0, r1, r2, periodic, out, shift):
    """One step of rows first … last − 1 of a plane whose neighbouring rows are there; row i goes to ``out[i + shift]``.

    The rows are treated as one run, which is wrong at their ends; the ends are done again.
    """
    m = here.shape[1]
    c = 1.0 - 2.0 * (r0 + r1 + r2)
    start, size = first * m, (last - first) * m
    flat = here.ravel()
    middle = flat[start : start + size]
    south, north = flat[start - m : start - m + size], flat[start + m : start + m + size]
    west, east = flat[start - 1 : start - 1 + size], flat[start + 1 : start + 1 + size]
    d, u = down.ravel()[start : start + size], up.ravel()[start : start + size]
    target = out.ravel()[start + shift * m : start + shift * m + size]
    for j in range(size):
        target[j] = c * middle[j] + r0 * (d[j] + u[j]) + r1 * (south[j] + north[j]) + r2 * (west[j] + east[j])
    _step_ends(down, here, up, first, last, r0, r1, r2, periodic, out, shift)


@jit
def _take_plane(source, rows, start, fresh):
    """Copy the rows of a tile, halo included, into ``fresh``."""
    for q in range(fresh.shape[0]):
        row = rows[start + q]
        for j in range(fresh.shape[1]):
            fresh[q, j] = source[row, j]


@jit
def _step_and_take_plane(down, here, source, rows, start, r0, r1, r2, periodic, out, shift, fresh):
    """`_step_plane` with the plane above still in memory, and `_take_plane` of it, in runs of neighbouring rows."""
    width, m = here.shape
    c = 1.0 - 2.0 * (r0 + r1 + r2)
    flat, below, above, target, copy = here.ravel(), down.ravel(), source.ravel(), out.ravel(), fresh.ravel()
    for j in range(m):
        fresh[0, j] = source[rows[start], j]
        fresh[width - 1, j] = source[rows[start + width - 1], j]
    first = 1
    while first < width - 1:
        last = first + 1
        while last < width - 1 and rows[start + last] == rows[start + last - 1] + 1 and (last - first) * m < PIECE:
            last += 1
        o, size = first * m, (last - first) * m
        a, t = rows[start + first] * m, (first + shift) * m
        middle, west, east = flat[o : o + size], flat[o - 1 : o + size - 1], flat[o + 1 : o + size + 1]
        south, north, d = flat[o - m : o + size - m], flat[o + m : o + size + m], below[o : o + size]
        u, new, taken = above[a : a + size], target[t : t + size], copy[o : o + size]
        for j in range(size):
            taken[j] = u[j]
        for j in range(size):
            new[j] = c * middle[j] + r0 * (d[j] + taken[j]) + r1 * (south[j] + north[j]) + r2 * (west[j] + east[j])
        _step_ends(down, here, fresh, first, last, r0, r1, r2, periodic, out, shift)
        first = last


@jit
def advance_1d(rho, below, above, ring, r0):
    """Advance ``rho`` (n,) by k steps in place; ``below``, ``above`` (k,); ``ring`` (k, 3) scratch."""
    n = rho.size
    k = below.size
    c = 1.0 - 2.0 * r0
    for v in range(-k, n + k):
        ring[0, (v + k) % 3] = below[v + k] if v < 0 else (rho[v] if v < n else above[v - n])
        for l in range(1, k + 1):
            i = v - l
            if i < l - k:
                break
            s = i + k
            value = c * ring[l - 1, s % 3] + r0 * (ring[l - 1, (s - 1) % 3] + ring[l - 1, (s + 1) % 3])
            if l == k:
                rho[i] = value
            else:
                ring[l, s % 3] = value


@jit
def advance_2d(rho, below, above, ring, r0, r1, periodic, lead):
    """Advance ``rho`` (n, m) by k steps in place; ``below``, ``above`` (k, m); ``ring`` (k, 3, m) scratch.

    ``lead``: the first column at which a cache line begins.
    """
    n = rho.shape[0]
    k = below.shape[0]
    for v in range(-k, n + k):
        fresh = below[v + k] if v < 0 else (rho[v] if v < n else above[v - n])
        for l in range(1, k + 1):
            i = v - l
            if i < l - k:
                break
            s = i + k
            old = ring[l - 1]
            target = rho[i] if l == k else ring[l, s % 3]
            if l == 1:
                taken = ring[0, (v + k) % 3]
                _step_and_take_row(old[(s - 1) % 3], old[s % 3], fresh, r0, r1, periodic, target, taken, lead)
            else:
                _step_row(old[(s - 1) % 3], old[s % 3], old[(s + 1) % 3], r0, r1, periodic, target, lead)
        if v < 2 - k:
            ring[0, (v + k) % 3, :] = fresh


@jit
def advance_3d(rho, planes, rows, start, end, ring, r0, r1, r2, periodic, out):
    """Advance rows ``start`` … ``end`` − 1 of all planes of ``rho`` (n, m, p) by k steps into ``out``.

    ``planes`` (n + 2k) and ``rows`` (m + 2k) name the cells that stand for those beyond the walls; ``ring`` (k, 3,
    end − start + 2k, p) is scratch. Level l holds rows l … end − start + 2k − l of the tile: the tiles overlap instead
    of waiting for each other, so that a tile's ring stays in cache however large the planes are.
    """
    n = rho.shape[0]
    k = ring.shape[0]
    width = end - start + 2 * k
    for v in range(-k, n + k):
        fresh = ring[0, (v + k) % 3]
        source = rho[planes[v + k]]
        for l in range(1, k + 1):
            i = v - l
            if i < l - k:
                break
            s = i + k
            down, here = ring[l - 1, (s - 1) % 3], ring[l - 1, s % 3]
            target = out[i] if l == k else ring[l, s % 3]
            shift = start - k if l == k else 0
            if l == 1:
                _step_and_take_plane(down, here, source, rows, start, r0, r1, r2, periodic, target, shift, fresh)
            else:
                up = ring[l - 1, (s + 1) % 3]
                _step_plane(down, here, up, l, width - l, r0, r1, r2, periodic, target, shift)
        if v < 2 - k:
            _take_plane(source, rows, start, fresh)


@jit
def triad(a, b, c, scale):
    """STREAM's triad a = b + scale c, to measure memory bandwidth: 24 bytes per element."""
    for i in range(a.size):
        a[i] = b[i] + scale * c[i]


@jit
def legendre_stage(now, before, start, l_now, l_start, mu, nu, mu_tilde, gamma):
    """Write the next RKL2 stage over ``before``: μ Y_{j−1} + ν Y_{j−2} + (1−μ−ν) Y_0 + μ̃ L Y_{j−1} + γ̃ L Y_0."""
    rest = 1.0 - mu - nu
    for i in range(now.size):
        before[i] = mu * now[i] + nu * before[i] + rest * start[i] + mu_tilde * l_now[i] + gamma * l_start[i]
