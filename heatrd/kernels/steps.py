"""Second-order explicit heat steps in place, several at once (temporal blocking by a wavefront).

One step on a uniform grid is, with r_a = ε τ / (2 h_a²),

    ρ ← ρ + Σ_a r_a (ρ_{i+1} − 2ρ_i + ρ_{i−1}).

A slab of planes is read once and written once for ``k`` steps: as plane v arrives, level l = 1..k is advanced to plane
v − l from the last three planes of level l − 1, kept in ``ring``; level k goes back into the array. Working in
place spares the write-allocate traffic, and memory traffic falls by k. The k ghost planes on either side
come as ``below`` and ``above`` (copied beforehand: mirrored, periodic, or a neighbouring slab's), which makes
the boundary along the first axis, and threads over slabs, a matter of the caller. Along the other
axes the boundary is periodic or reflecting.
"""

from __future__ import annotations

from heatrd.kernels._jit import jit

__all__ = ["advance_1d", "advance_2d", "advance_3d", "legendre_stage", "triad"]


@jit
def _step_row(down, here, up, r0, r1, periodic, out):
    m = here.size
    c = 1.0 - 2.0 * r0 - 2.0 * r1
    for j in range(1, m - 1):
        out[j] = c * here[j] + r0 * (down[j] + up[j]) + r1 * (here[j - 1] + here[j + 1])
    left = here[m - 1] if periodic else here[0]
    right = here[0] if periodic else here[m - 1]
    first = c * here[0] + r0 * (down[0] + up[0]) + r1 * (left + here[min(1, m - 1)])
    if m > 1:
        out[m - 1] = c * here[m - 1] + r0 * (down[m - 1] + up[m - 1]) + r1 * (here[m - 2] + right)
    out[0] = first


@jit
def _step_plane(down, here, up, r0, r1, r2, periodic, out):
    n, m = here.shape
    c = 1.0 - 2.0 * (r0 + r1 + r2)
    for i in range(n):
        if periodic:
            south = here[i - 1] if i > 0 else here[n - 1]
            north = here[i + 1] if i < n - 1 else here[0]
        else:
            south = here[max(i - 1, 0)]
            north = here[min(i + 1, n - 1)]
        centre, d, u, target = here[i], down[i], up[i], out[i]
        for j in range(1, m - 1):
            target[j] = (
                c * centre[j] + r0 * (d[j] + u[j]) + r1 * (south[j] + north[j]) + r2 * (centre[j - 1] + centre[j + 1])
            )
        left = centre[m - 1] if periodic else centre[0]
        right = centre[0] if periodic else centre[m - 1]
        target[0] = (
            c * centre[0] + r0 * (d[0] + u[0]) + r1 * (south[0] + north[0]) + r2 * (left + centre[min(1, m - 1)])
        )
        if m > 1:
            e = m - 1
            target[e] = c * centre[e] + r0 * (d[e] + u[e]) + r1 * (south[e] + north[e]) + r2 * (centre[e - 1] + right)


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
def advance_2d(rho, below, above, ring, r0, r1, periodic):
    """Advance ``rho`` (n, m) by k steps in place; ``below``, ``above`` (k, m); ``ring`` (k, 3, m) scratch."""
    n = rho.shape[0]
    k = below.shape[0]
    for v in range(-k, n + k):
        if v < 0:
            ring[0, (v + k) % 3, :] = below[v + k]
        elif v < n:
            ring[0, (v + k) % 3, :] = rho[v]
        else:
            ring[0, (v + k) % 3, :] = above[v - n]
        for l in range(1, k + 1):
            i = v - l
            if i < l - k:
                break
            s = i + k
            old = ring[l - 1]
            target = rho[i] if l == k else ring[l, s % 3]
            _step_row(old[(s - 1) % 3], old[s % 3], old[(s + 1) % 3], r0, r1, periodic, target)


@jit
def advance_3d(rho, below, above, ring, r0, r1, r2, periodic):
    """Advance ``rho`` (n, m, p) by k steps in place; ``below``, ``above`` (k, m, p); ``ring`` (k, 3, m, p) scratch."""
    n = rho.shape[0]
    k = below.shape[0]
    for v in range(-k, n + k):
        if v < 0:
            ring[0, (v + k) % 3, :, :] = below[v + k]
        elif v < n:
            ring[0, (v + k) % 3, :, :] = rho[v]
        else:
            ring[0, (v + k) % 3, :, :] = above[v - n]
        for l in range(1, k + 1):
            i = v - l
            if i < l - k:
                break
            s = i + k
            old = ring[l - 1]
            target = rho[i] if l == k else ring[l, s % 3]
            _step_plane(old[(s - 1) % 3], old[s % 3], old[(s + 1) % 3], r0, r1, r2, periodic, target)


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
