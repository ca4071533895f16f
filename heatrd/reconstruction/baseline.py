"""Blahut–Arimoto: ν ← ν·c on a fixed lattice, the baseline (DESIGN (7)).

Also known as Richardson–Lucy deconvolution and as EM for a Gaussian location mixture. Its excess falls like 1/k and it
never leaves its lattice; it is here to be compared with, and as a check that shares no code with the solver.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from heatrd import arguments
from heatrd.certificate.base import Certificate
from heatrd.errors import InvalidInput, TooLarge
from heatrd.laws import DiscreteLaw, as_law
from heatrd.reconstruction.dispatch import certify_law, discretise
from heatrd.sources import as_source

__all__ = ["BlahutArimoto", "blahut_arimoto"]

FloatArray = NDArray[np.float64]

_MOST_ENTRIES = 250_000_000
_MOST_ITERATIONS = 10**9


@dataclass(frozen=True, slots=True, eq=False)
class BlahutArimoto:
    """Result of Blahut–Arimoto.

    Attributes
    ----------
    law : DiscreteLaw
        ν after the last iteration.
    certificate : Certificate
        What ν proves, over the continuum.
    iterations : int
        Iterations done.
    nodal_gap : float
        log max c over the lattice nodes: the usual stopping quantity, which is no certificate.
    """

    law: DiscreteLaw
    certificate: Certificate
    iterations: int
    nodal_gap: float


def blahut_arimoto(
    src: object,
    epsilon: float,
    iterations: int = 1000,
    *,
    points: ArrayLike | None = None,
    weights: ArrayLike | None = None,
    spacing: float = 0.25,
    nodal_gap: float = 0.0,
) -> BlahutArimoto:
    """Run Blahut–Arimoto on fixed points and certify the outcome.

    Parameters
    ----------
    src : source
        Anything `as_source` takes; d ≤ 3.
    epsilon : float
        Per-coordinate variance of the backward channel.
    iterations : int
        Most iterations.
    points : (m,) or (m, d) array_like, optional
        Reconstruction alphabet; a lattice of ``spacing``·√ε over the hull of the source's nodes when omitted.
    weights : (m,) array_like, optional
        Start; uniform when omitted.
    nodal_gap : float
        Stop when log max c over the points falls below this.

    Raises
    ------
    InvalidInput
        ε ≤ 0, iterations < 1, bad points.
    TooLarge
        The dense m × n kernel would have more than 2.5e8 entries.
    """
    source = as_source(src)
    epsilon = arguments.number(epsilon, "epsilon", positive=True)
    iterations = arguments.integer(iterations, "iterations")
    if iterations > _MOST_ITERATIONS:
        raise InvalidInput(f"iterations={iterations:g}; need <= {_MOST_ITERATIONS}")
    spacing, nodal_gap = arguments.number(spacing, "spacing", positive=True), arguments.number(nodal_gap, "nodal_gap")
    mu = discretise(source, epsilon)
    y = _lattice(mu.points, spacing * math.sqrt(epsilon), mu.size) if points is None else _as_points(points, source.dim)
    if mu.size * len(y) > _MOST_ENTRIES:
        raise TooLarge(
            f"a kernel of {mu.size} x {len(y)} entries is too large for dense Blahut–Arimoto; "
            f"use fewer points or a larger epsilon",
            _MOST_ENTRIES // mu.size,
        )
    nu = as_law(y, weights, what="start").weights
    with np.errstate(over="ignore"):
        squared = (
            ((mu.points[:, None, :] - y[None, :, :]) ** 2).sum(axis=-1)
            if source.dim > 1
            else (mu.points[:, :1] - y[:, 0]) ** 2
        )
        exponent = -squared / (2 * epsilon)
    if not np.isfinite(exponent.max(axis=1)).all():
        raise InvalidInput("points lie so far from the source that the squared distances overflow")
    kernel = np.exp(exponent - exponent.max(axis=1, keepdims=True))
    gap, done = math.inf, 0
    while done < iterations:
        done += 1
        c = kernel.T @ (mu.weights / (kernel @ nu))
        gap = math.log(float(c.max()))
        if gap <= nodal_gap:
            break
        nu = nu * c
    law = DiscreteLaw(y, nu / nu.sum())
    return BlahutArimoto(law, certify_law(source, law, epsilon), done, gap)


def _as_points(points: ArrayLike, dim: int) -> FloatArray:
    y = arguments.numbers(points, "points")
    y = y[:, None] if y.ndim == 1 else y
    if y.ndim != 2 or y.shape[1] != dim or not len(y) or not np.isfinite(y).all():
        raise InvalidInput(f"points have shape {np.shape(points)}; need finite (m, {dim})")
    return y


def _lattice(nodes: FloatArray, step: float, n: int) -> FloatArray:
    low, high = nodes.min(axis=0), nodes.max(axis=0)
    with np.errstate(over="ignore", divide="ignore", invalid="ignore"):  # steps next to zero
        counts = np.ceil((high - low) / step) + 1
        count = float(np.prod(counts))
    if not count * n <= _MOST_ENTRIES:
        raise TooLarge(
            f"a lattice of {'x'.join(f'{c:.0f}' for c in counts)} points against {n} source nodes is too large for "
            "dense Blahut–Arimoto; give points=, or a larger spacing or epsilon",
            _MOST_ENTRIES // n,
        )
    axes = [0.5 * (a + b) + step * (np.arange(int(k)) - 0.5 * (k - 1)) for a, b, k in zip(low, high, counts)]
    return np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1).reshape(-1, len(axes))
