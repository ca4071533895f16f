"""Second-order explicit heat steps in place, several at once (temporal blocking by a wavefront).

One step on a uniform grid is, with r_a = ε τ / (2 h_a²),

    ρ ← ρ + Σ_a r_a (ρ_{i+1} − 2ρ_i + ρ_{i−1}).

A field is read once and written once for ``k`` steps: a wavefront of k rows runs over it, level l one row behind level
l − 1. In a plane a row's new values take the place of its neighbour behind, whose old ones are used up: nothing is
copied, and the field moves by k rows, back again in the next pass. In space planes are copied to a ring in cache. The k
ghost rows on either side (mirrored, periodic, or a neighbouring slab's) make the boundary along the first axis, and
threads over slabs, a matter of the caller. Along the other axes the boundary is periodic or reflecting.

What is read from memory is asked for some thousand cells ahead, a small piece at a time between pieces of computation:
the hardware's own prefetching stops at every page of 4 KiB and leaves half the bandwidth unused.
"""

from __future__ import annotations

from heatrd.kernels._jit import jit, prefetch

PIECE = 256  # cells computed at a time, while as many are fetched from memory: more would fill the queue of misses
LINE = 8  # cells of a cache line
AHEAD = 4096  # cells between what is computed and what is fetched

__all__ = ["advance_1d", "advance_2d", "advance_3d", "legendre_stage", "shift_rows", "triad"]


@jit
def _step_row(here, other, ahead, fetch, r0, r1, periodic, target, lead):
    """One step of a row, whose second neighbour ``target`` it overwrites; from column ``lead`` on rows are aligned.

    Where ``fetch`` says so, the row ``ahead`` is asked for meanwhile, a piece at a time.
    """
    m = here.size
    c = 1.0 - 2.0 * r0 - 2.0 * r1
    left = here[m - 1] if periodic else here[0]
    right = here[0] if periodic else here[m - 1]
    target[0] = c * here[0] + r0 * (target[0] + other[0]) + r1 * (left + here[min(1, m - 1)])
    if m == 1:
        return
    begin = max(1, min(lead, m - 1))
    for j in range(1, begin):
        target[j] = c * here[j] + r0 * (target[j] + other[j]) + r1 * (here[j - 1] + here[j + 1])
    for a in range(begin, m - 1, PIECE):
        b = min(a + PIECE, m - 1)
        if fetch:
            for j in range(a, b, LINE):
                prefetch(ahead, j)
        west, middle, east = here[a - 1 : b - 1], here[a:b], here[a + 1 : b + 1]
        across, out = other[a:b], target[a:b]
        for j in range(middle.size):
            out[j] = c * middle[j] + r0 * (out[j] + across[j]) + r1 * (west[j] + east[j])
    target[m - 1] = c * here[m - 1] + r0 * (target[m - 1] + other[m - 1]) + r1 * (here[m - 2] + right)


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
def advance_2d(rho, side, start, k, forward, r0, r1, periodic, lead):
    """Advance a field of n rows by k steps in place; it starts at position ``start`` and moves by k rows.

    Positions 0 … n − 1 are the rows of ``rho`` (n, m); those before and beyond are in ``side`` (3s, m), s ≥ k: rows 0 …
    2s − 1 end before position 0, rows 2s … begin at n. The field is at ``start`` … ``start`` + n − 1 ≤ n − 1 between
    k ghost rows on either side. Level l of row i overwrites level l − 1 of its neighbour behind, so that no row is
    copied: it lies l positions behind (before it, where the sweep runs ``forward``).
    """
    n = rho.shape[0]
    before = 2 * (side.shape[0] // 3)
    sign = 1 if forward else -1
    distance = 1 + AHEAD // rho.shape[1]
    for v in range(1 - k, n + k - 1):
        for l in range(1, k + 1):
            t = v - l + 1
            if t < l - k:
                break
            if t > n + k - 1 - l:
                continue
            i = t if forward else n - 1 - t
            p = start + i - sign * (l - 1)
            q, o = p - sign, p + sign
            here = side[p + before] if p < 0 else (rho[p] if p < n else side[before + p - n])
            target = side[q + before] if q < 0 else (rho[q] if q < n else side[before + q - n])
            other = side[o + before] if o < 0 else (rho[o] if o < n else side[before + o - n])
            ahead = max(0, min(o + sign * distance, n - 1))
            _step_row(here, other, rho[ahead], l == 1, r0, r1, periodic, target, lead)


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
def shift_rows(rho, count):
    """Move all rows of ``rho`` (n, m) but the last ``count`` by ``count`` rows."""
    for i in range(rho.shape[0] - 1, count - 1, -1):
        source, target = rho[i - count], rho[i]
        for j in range(source.size):
            target[j] = source[j]


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
