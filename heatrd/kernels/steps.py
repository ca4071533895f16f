"""Second-order explicit heat steps in place, several at once (temporal blocking by a wavefront).

One step on a uniform grid is, with r_a = ε τ / (2 h_a²),

    ρ ← ρ + Σ_a r_a (ρ_{i+1} − 2ρ_i + ρ_{i−1}).

A field is read once and written once for ``k`` steps: a wavefront of k rows (planes in space) runs over it, level l one
behind level l − 1. A row's new values take the place of its neighbour behind, whose old ones are used up: nothing is
copied, and the field moves by k rows, back again in the next pass. In space the sweep is made for tiles of rows that
fit the cache, skewed by one row a level, so that no cell is computed twice. The k ghost rows on either side (mirrored,
periodic, or a neighbouring slab's) make the boundary along the first axis, and threads over slabs, a matter of the
caller. Along the other axes the boundary is periodic or reflecting.

What is read from memory is asked for some thousand cells ahead, a small piece at a time between pieces of computation:
the hardware's own prefetching stops at every page of 4 KiB and leaves half the bandwidth unused.
"""

from __future__ import annotations

import numpy as np

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
def _step_line(here, south, north, other, ahead, fetch, r0, r1, r2, periodic, target):
    """`_step_row` in space: ``south`` and ``north`` are the neighbours in the plane."""
    m = here.size
    c = 1.0 - 2.0 * (r0 + r1 + r2)
    e = m - 1
    left = here[e] if periodic else here[0]
    right = here[0] if periodic else here[e]
    head = c * here[0] + r0 * (target[0] + other[0]) + r1 * (south[0] + north[0])
    target[0] = head + r2 * (left + here[min(1, e)])
    if m == 1:
        return
    for a in range(1, e, PIECE):
        b = min(a + PIECE, e)
        if fetch:
            for j in range(a - 1, b, LINE):
                prefetch(ahead, j)
        west, middle, east = here[a - 1 : b - 1], here[a:b], here[a + 1 : b + 1]
        s, n, across, out = south[a:b], north[a:b], other[a:b], target[a:b]
        for j in range(middle.size):
            out[j] = c * middle[j] + r0 * (out[j] + across[j]) + r1 * (s[j] + n[j]) + r2 * (west[j] + east[j])
    tail = c * here[e] + r0 * (target[e] + other[e]) + r1 * (south[e] + north[e])
    target[e] = tail + r2 * (here[e - 1] + right)


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
def _at(rho, side, before, position):
    """The row, or the plane, at a position of `advance_2d`."""
    if position < 0:
        return side[position + before]
    n = rho.shape[0]
    return rho[position] if position < n else side[before + position - n]


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
            here, target, other = _at(rho, side, before, p), _at(rho, side, before, q), _at(rho, side, before, o)
            ahead = max(0, min(o + sign * distance, n - 1))
            _step_row(here, other, rho[ahead], l == 1, r0, r1, periodic, target, lead)


@jit
def _line_ends(here, other, target, first, last, m, r0, r1, r2, periodic, ends):
    """New values of the first and the last cell of rows first … last − 1 of a plane (flat, rows of m), to ``ends``."""
    c = 1.0 - 2.0 * (r0 + r1 + r2)
    for i in range(first, last):
        a = i * m
        e = a + m - 1
        left = here[e] if periodic else here[a]
        right = here[a] if periodic else here[e]
        head = c * here[a] + r0 * (target[a] + other[a]) + r1 * (here[a - m] + here[a + m])
        tail = c * here[e] + r0 * (target[e] + other[e]) + r1 * (here[e - m] + here[e + m])
        ends[i, 0] = head + r2 * (left + here[min(a + 1, e)])
        ends[i, 1] = tail + r2 * (here[max(e - 1, a)] + right)


@jit
def _step_lines(here, other, ahead, fetch, first, last, m, r0, r1, r2, periodic, target, ends, lead):
    """Rows first … last − 1 of a plane (flat, rows of m), whose neighbouring rows are there, as one run.

    At the ends of the rows the run is wrong; what belongs there is found beforehand.
    """
    _line_ends(here, other, target, first, last, m, r0, r1, r2, periodic, ends)
    c = 1.0 - 2.0 * (r0 + r1 + r2)
    a, end, piece = first * m, last * m, PIECE if fetch else last * m
    while a < end:
        size = min(lead if a == first * m and lead > 0 else piece, end - a)
        if fetch:
            for j in range(a, a + size, LINE):
                prefetch(ahead, j)
        middle, west, east = here[a : a + size], here[a - 1 : a - 1 + size], here[a + 1 : a + 1 + size]
        south, north = here[a - m : a - m + size], here[a + m : a + m + size]
        across, out = other[a : a + size], target[a : a + size]
        for j in range(size):
            out[j] = c * middle[j] + r0 * (out[j] + across[j]) + r1 * (south[j] + north[j]) + r2 * (west[j] + east[j])
        a += size
    for i in range(first, last):
        target[i * m], target[i * m + m - 1] = ends[i, 0], ends[i, 1]


@jit
def _step_tile(here, other, ahead, fetch, first, last, edge, r0, r1, r2, periodic, target, ends, lead):
    """Step rows first … last − 1 of a plane; ``edge`` is the row before them where the plane no longer has it."""
    rows, m = here.shape
    top = last - 1 if last == rows else last
    if first > 0:
        south = edge
    else:
        south = here[rows - 1] if periodic else here[0]
    north = here[0] if periodic else here[rows - 1]
    after = here[first + 1] if first + 1 < rows else north
    _step_line(here[first], south, after, other[first], ahead[first], fetch, r0, r1, r2, periodic, target[first])
    if top > first + 1:
        run = (first + 1, top, m, r0, r1, r2, periodic)
        _step_lines(here.ravel(), other.ravel(), ahead.ravel(), fetch, *run, target.ravel(), ends, lead)
    if last == rows and rows - 1 > first:
        e = rows - 1
        _step_line(here[e], here[e - 1], north, other[e], ahead[e], fetch, r0, r1, r2, periodic, target[e])


@jit
def advance_3d(rho, side, start, k, forward, r0, r1, r2, periodic, begin, end, edges, lead):
    """`advance_2d` in space, for a tile: rows ``begin`` … ``end`` − 1 of all planes of ``rho`` (n, m, p).

    Level l works on rows one before those of level l − 1, whose northern neighbours are there; the southern ones were
    overwritten by the tile before and kept in ``edges`` (k, n + 2k, p), by level and plane. Tiles have k rows at least.
    """
    n, m = rho.shape[0], rho.shape[1]
    ends = np.empty((m, 2))
    before = 2 * (side.shape[0] // 3)
    sign = 1 if forward else -1
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
            here, target, other = _at(rho, side, before, p), _at(rho, side, before, q), _at(rho, side, before, o)
            first = 0 if begin == 0 else begin - l + 1
            last = m if end == m else end - l + 1
            edge = edges[l - 1, t + k]
            ahead = rho[max(0, min(o + sign, n - 1))]
            if last < m:
                kept = edges[l - 1, t + k - 1]
                saved = target[last - 1].copy()
                _step_tile(here, other, ahead, l == 1, first, last, edge, r0, r1, r2, periodic, target, ends, lead)
                kept[:] = saved
                if t == n + k - 1 - l:
                    edge[:] = here[last - 1]
            else:
                _step_tile(here, other, ahead, l == 1, first, last, edge, r0, r1, r2, periodic, target, ends, lead)


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
