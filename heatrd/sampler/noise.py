"""Random numbers for paths: plain, antithetic, quasi-random; per chunk of paths, so that threads do not matter.

A chunk asks its stream for uniforms (start point, terminal atom) and then for standard normals step by step.
Antithetic paths come in
neighbouring pairs (z, −z), (u, 1 − u). Quasi-random paths are the points of one scrambled Sobol sequence per chunk;
its first
coordinates, which are the most even, go to the start point, the terminal point and the coarse shape of the Brownian
path
(Lévy's midpoint construction). Independent scramblings of the chunks give honest standard errors.
"""

from __future__ import annotations

import inspect
import threading
from collections.abc import Iterator
from typing import Protocol

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtri
from scipy.stats import qmc

__all__ = ["Antithetic", "Plain", "Quasi", "Stream", "midpoint_order", "paths_from_normals"]

FloatArray = NDArray[np.float64]

_RNG = "rng" if "rng" in inspect.signature(qmc.Sobol).parameters else "seed"  # its name before scipy 1.15
_TABLES = threading.Lock()  # scipy reads its direction numbers at the first use, without a lock of its own


class Stream(Protocol):
    """Random numbers of one chunk of ``n`` paths in R^d."""

    rng: np.random.Generator

    def uniforms(self) -> FloatArray:
        """Two uniforms on (0, 1) per path, shape (n, 2)."""

    def extra(self) -> FloatArray:
        """Standard normals (n, d) for the terminal point."""

    def steps(self) -> Iterator[FloatArray]:
        """Standard normals (n, d), one array per time step; the array is overwritten by the next step."""


class Plain:
    """Independent draws."""

    def __init__(self, rng: np.random.Generator, n: int, dim: int, times: FloatArray) -> None:
        self.rng, self.n, self.dim, self.count = rng, n, dim, len(times) - 1

    def uniforms(self) -> FloatArray:
        return self.rng.random((self.n, 2))

    def extra(self) -> FloatArray:
        return self.rng.standard_normal((self.n, self.dim))

    def steps(self) -> Iterator[FloatArray]:
        buffer = np.empty((self.n, self.dim))
        for _ in range(self.count):
            self.rng.standard_normal(out=buffer)
            yield buffer


class Antithetic(Plain):
    """Pairs of mirrored paths; ``n`` is even."""

    def uniforms(self) -> FloatArray:
        out = np.empty((self.n, 2))
        out[::2] = self.rng.random((self.n // 2, 2))
        out[1::2] = np.nextafter(1.0, 0.0) - out[::2]
        return out

    def extra(self) -> FloatArray:
        return _mirrored(self.rng.standard_normal((self.n // 2, self.dim)))

    def steps(self) -> Iterator[FloatArray]:
        for _ in range(self.count):
            yield _mirrored(self.rng.standard_normal((self.n // 2, self.dim)))


class Quasi:
    """A scrambled Sobol sequence."""

    def __init__(self, rng: np.random.Generator, n: int, dim: int, times: FloatArray) -> None:
        self.rng, self.n, self.dim = rng, n, dim
        self.times = times
        count = len(times) - 1
        with _TABLES:
            sobol = qmc.Sobol(2 + dim * (1 + count), scramble=True, **{_RNG: rng})
        points = sobol.random_base2(max(int(np.ceil(np.log2(n))), 0))[:n]
        np.clip(points, 1e-16, 1 - 1e-16, out=points)
        self._uniforms = points[:, :2].copy()
        normals = ndtri(points[:, 2:], out=points[:, 2:])
        self._extra = normals[:, :dim].copy()
        self._normals = normals[:, dim:].reshape(n, count, dim)

    def uniforms(self) -> FloatArray:
        return self._uniforms

    def extra(self) -> FloatArray:
        return self._extra

    def steps(self) -> Iterator[FloatArray]:
        path = paths_from_normals(self._normals, self.times)
        spans = np.sqrt(np.diff(self.times))
        for k, span in enumerate(spans):
            yield (path[k + 1] - path[k]) / span


def _mirrored(half: FloatArray) -> FloatArray:
    out = np.empty((2 * len(half), *half.shape[1:]))
    out[::2], out[1::2] = half, -half
    return out


def midpoint_order(count: int) -> list[tuple[int, int, int]]:
    """(left, middle, right) indices in the order in which Lévy's construction fills a path on 0 … count."""
    order, queue = [], [(0, count)]
    while queue:
        left, right = queue.pop(0)
        if right - left > 1:
            middle = (left + right) // 2
            order.append((left, middle, right))
            queue += [(left, middle), (middle, right)]
    return order


def paths_from_normals(normals: FloatArray, times: FloatArray) -> FloatArray:
    """Brownian paths (count + 1, n, d) on ``times`` from normals (n, count, d), coarse shape first."""
    n, count, dim = normals.shape
    path = np.zeros((count + 1, n, dim))
    path[count] = np.sqrt(times[-1] - times[0]) * normals[:, 0]
    for used, (left, middle, right) in enumerate(midpoint_order(count), start=1):
        before, after = times[middle] - times[left], times[right] - times[middle]
        whole = before + after
        path[middle] = (after * path[left] + before * path[right]) / whole
        path[middle] += np.sqrt(before * after / whole) * normals[:, used]
    return path
