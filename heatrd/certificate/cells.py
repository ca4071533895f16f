"""The function c on the line, bounded over the continuum cell by cell.

c(y) = Σ q_i k(x_i − y) is entire, |c(u + iv)| ≤ exp(v²/2ε) c(u), so its Taylor coefficients in units of √ε obey
|a_n| ≤ e^{n/2} n^{−n/2} sup c. On cells of half-width √ε/2, N = 24 terms leave a remainder below 1e-18 sup c, and the
polynomial's maximum is bounded by subdivision (`cell_suprema`). Outside the hull of the core c only falls.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from heatrd.certificate.beyond import Beyond
from heatrd.errors import TooLarge
from heatrd.kernels import line as kernels

__all__ = ["CELL", "CertificateFunction", "certificate_function"]

FloatArray = NDArray[np.float64]

_MOST_CELLS = 2.0**52  # so that their numbers are exact
CELL = 1.0  # width of a cell, in units of √ε


@dataclass(frozen=True, slots=True, eq=False)
class CertificateFunction:
    """c on cells that cover the hull of the core.

    Attributes
    ----------
    centre, bound, best, at : (K,) arrays
        Cell centres, proved upper bound of c on each cell, largest value seen and where.
    log_offset : float
        ``bound`` and ``best`` are to be multiplied by exp(log_offset) (0 unless c is astronomically large).
    """

    centre: FloatArray
    bound: FloatArray
    best: FloatArray
    at: FloatArray
    log_offset: float

    @property
    def log_sup(self) -> float:
        top = float(self.bound.max())
        return (math.log(top) if top > 0 else -math.inf) + self.log_offset


def certificate_function(
    x: FloatArray, logq: FloatArray, epsilon: float, slack: float, beyond: Beyond | None = None
) -> CertificateFunction:
    """Bound c(y) = Σ exp(logq_i) k(x_i − y) + what ``beyond`` adds, cell by cell over the hull of ``x`` (sorted)."""
    root = math.sqrt(epsilon)
    top = float(logq.max())
    reach = math.sqrt(2 * max(36.0, min(top, 600.0) + math.log(x.size) + 36.0))
    offset = 0.0 if top < 600.0 else top
    centre = _cells(x, root, beyond)
    coefficients = np.empty((centre.size, kernels.ORDER))
    kernels.moments_at(centre, x, logq, root, reach, offset, coefficients)
    if beyond is not None:
        beyond.add(centre, coefficients, root, offset)
    bound, best, at = np.empty(centre.size), np.empty(centre.size), np.empty(centre.size)
    unit = math.exp(-offset)
    kernels.cell_suprema(coefficients, 0.5 * CELL, unit, slack * max(unit, 1e-300), bound, best, at)
    return CertificateFunction(centre, bound, best, centre + root * at, offset)


def _cells(x: FloatArray, root: float, beyond: Beyond | None) -> FloatArray:
    """Centres of cells covering [x₀, x_n] and what is near a cut, leaving out wide gaps where c < 1 trivially."""
    width = CELL * root
    low, high = (x[0], x[-1]) if beyond is None else beyond.hull(x, root)
    if not (high - low) / width < _MOST_CELLS:
        raise TooLarge(f"the source spans {(high - low) / root:.2g} times √ε; use a larger epsilon", _MOST_CELLS)
    span = int(math.floor((high - low) / width)) + 1
    if span <= 4 * x.size + 100:
        return np.asarray(low + width * (np.arange(span) + 0.5))
    index = np.floor((x - low) / width).astype(np.int64)
    reach = int(math.ceil(9.0 / CELL))
    near = (np.unique(index)[:, None] + np.arange(-reach, reach + 1)).ravel()
    near = np.unique(np.concatenate([near, np.arange(30), span - 1 - np.arange(30)]))
    near = near[(near >= 0) & (near < span)]
    return np.asarray(low + width * (near + 0.5))
