"""The first half of the fast Gauss transform: masses in tiles, spread to a lattice.

Around every tile a window of the lattice receives Σ_i a_i Π_k exp(−(x_ik − z_k)²), z the lattice coordinates.
"""

from __future__ import annotations

import numpy as np

from heatrd.kernels._jit import jit, jit_sums
from heatrd.kernels.exponential import exponential

__all__ = ["spread"]

_LANES = 8  # windows are padded to a multiple of this along the last axis
_SHARED = 3  # rows that share their first coordinate, on average, from which they are summed first


@jit_sums
def _factors(x, first, last, axis, start, count, step, out):
    """exp(−(x_i − z)²) for rows first … last of ``x`` on ``count`` lattice points from step · start on."""
    for i in range(first, last):
        at = x[i, axis]
        for z in range(count):
            apart = at - step * (start + z)
            out[i - first, z] = exponential(-apart * apart)


@jit_sums
def _add_plane(weights, second, third, first, last, slab):
    """Add Σ_r w_r f_r ⊗ g_r over rows first … last, four at a time, to ``slab``; f ``second``, g ``third``."""
    even = last - (last - first) % 4
    for r in range(first, even, 4):
        for u in range(slab.shape[0]):
            a, b = weights[r] * second[r, u], weights[r + 1] * second[r + 1, u]
            c, d = weights[r + 2] * second[r + 2, u], weights[r + 3] * second[r + 3, u]
            for v in range(slab.shape[1]):
                slab[u, v] += a * third[r, v] + b * third[r + 1, v] + c * third[r + 2, v] + d * third[r + 3, v]
    for r in range(even, last):
        for u in range(slab.shape[0]):
            a = weights[r] * second[r, u]
            for v in range(slab.shape[1]):
                slab[u, v] += a * third[r, v]


@jit
def _add_space(weights, first, second, third, keys, plane, scaled, out):
    """Add Σ_r w_r e_r ⊗ f_r ⊗ g_r to ``out``; rows in a run of equal ``keys`` have equal e, and share one plane."""
    rows, runs = weights.size, 1
    for r in range(1, rows):
        runs += keys[r] != keys[r - 1]
    if rows < _SHARED * runs:
        for z in range(out.shape[0]):
            for r in range(rows):
                scaled[r] = weights[r] * first[r, z]
            _add_plane(scaled, second, third, 0, rows, out[z])
        return
    begin = 0
    for r in range(1, rows + 1):
        if r < rows and keys[r] == keys[begin]:
            continue
        plane[:] = 0.0
        _add_plane(weights, second, third, begin, r, plane)
        for z in range(out.shape[0]):
            factor = first[begin, z]
            for u in range(out.shape[1]):
                for v in range(out.shape[2]):
                    out[z, u, v] += factor * plane[u, v]
        begin = r


@jit
def spread(x, a, starts, chosen, low, high, step, origin, values):
    """Add the windows of the tiles ``chosen`` to ``values`` (a plane: first axis of length one).

    ``low`` and ``high`` (chosen, 3): the window of each, places on the lattice, whose place p has the coordinate
    step · (origin + p). In the plane the last two axes are those of ``x``.
    """
    most, d = 0, x.shape[1]
    for t in chosen:
        most = max(most, starts[t + 1] - starts[t])
    size = np.zeros(3, np.int64)
    for n in range(chosen.size):
        for k in range(3):
            size[k] = max(size[k], high[n, k] - low[n, k])
    wide = (size[2] + _LANES - 1) // _LANES * _LANES
    first, second, third = np.empty((most, size[0])), np.empty((most, size[1])), np.empty((most, wide))
    weights, scaled, keys = np.empty(most), np.empty(most), np.empty(most)
    block, flat = np.empty(size[0] * size[1] * wide), np.empty(size[1] * wide)
    for n in range(chosen.size):
        begin, end = starts[chosen[n]], starts[chosen[n] + 1]
        rows = end - begin
        k0, k1, k2 = high[n, 0] - low[n, 0], high[n, 1] - low[n, 1], high[n, 2] - low[n, 2]
        if k0 <= 0 or k1 <= 0 or k2 <= 0:
            continue
        padded = (k2 + _LANES - 1) // _LANES * _LANES
        _factors(x, begin, end, d - 2, origin[1] + low[n, 1], k1, step, second)
        _factors(x, begin, end, d - 1, origin[2] + low[n, 2], k2, step, third)
        third[:rows, k2:padded] = 0.0
        out = block[: k0 * k1 * padded].reshape(k0, k1, padded)
        out[:] = 0.0
        for r in range(rows):
            weights[r], keys[r] = a[begin + r], x[begin + r, 0]
        if d == 2:
            _add_plane(weights, second, third[:, :padded], 0, rows, out[0])
        else:
            _factors(x, begin, end, 0, origin[0] + low[n, 0], k0, step, first)
            plane = flat[: k1 * padded].reshape(k1, padded)
            _add_space(weights[:rows], first, second, third, keys, plane, scaled, out)
        for i in range(k0):
            for j in range(k1):
                for v in range(k2):
                    values[low[n, 0] + i, low[n, 1] + j, low[n, 2] + v] += out[i, j, v]
