"""Gauss–Legendre rules on the line: even panels, and adaptive ones graded towards a density's special points."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from heatrd.errors import TooLarge
from heatrd.sources.base import FloatArray, Source1D

__all__ = ["adaptive_sum", "panel_rule", "panels"]

MOST_PANELS = 50_000
_PANEL = np.polynomial.legendre.leggauss(16)


def panel_rule(low: float, high: float, width: float) -> tuple[FloatArray, FloatArray]:
    """Gauss–Legendre nodes and weights of order 16 on panels not wider than ``width``."""
    count = max(1.0, np.ceil((high - low) / width)) if width > 0 else np.inf
    if not count <= MOST_PANELS:
        raise TooLarge(f"{count:.3g} panels of width {width:.3g} are too many; use a larger epsilon", MOST_PANELS)
    count = int(count)
    edges = np.linspace(low, high, count + 1)
    half = 0.5 * np.diff(edges)
    x = (edges[:-1] + half)[:, None] + half[:, None] * _PANEL[0]
    return x.ravel(), (half[:, None] * _PANEL[1]).ravel()


def adaptive_sum(integrand: Callable[[FloatArray], FloatArray], edges: FloatArray, scale: float) -> float:
    """∫ integrand dx/scale: 16-point Gauss on all panels at once; panels that disagree with their halves are split."""
    nodes, weights = _PANEL

    def rule(a: FloatArray, b: FloatArray) -> FloatArray:
        half = 0.5 * (b - a)
        return np.asarray((half / scale) * (integrand((a + half)[:, None] + half[:, None] * nodes) @ weights))

    total, a, b = 0.0, edges[:-1], edges[1:]
    whole = rule(a, b)
    for _ in range(40):
        middle = 0.5 * (a + b)
        left, right = rule(a, middle), rule(middle, b)
        rough = np.abs(left + right - whole) > 1e-15 + 1e-13 * np.abs(whole)
        rough &= b - a > 1e-13 * np.maximum(np.abs(a), np.abs(b))  # below that x itself is rounding noise
        total += float((left + right)[~rough].sum())
        if not rough.any() or rough.sum() > 20_000:
            break
        a, b = np.concatenate([a[rough], middle[rough]]), np.concatenate([middle[rough], b[rough]])
        whole = np.concatenate([left[rough], right[rough]])
    else:
        rough[:] = True
    return total + float(whole.sum() if rough.any() else 0.0)


def panels(src: Source1D) -> FloatArray:
    """Edges growing geometrically away from every special point, inside the range that holds all but 1e-30 of
    the mass.
    """
    low, high = src.tail_cut(1e-30)
    scale = float(np.sqrt(src.variance))
    special_points = [*src.breakpoints, *(e for e in src.support if np.isfinite(e)), float(src.mean[0])]
    means = np.ravel(getattr(src, "means", ()))
    if len(means) > 200:  # a cloud of components: even panels resolve it, and splitting does the rest
        means = np.linspace(means.min(), means.max(), 200)
    centres = np.unique(np.concatenate([special_points, means]))
    reach = np.log2(max((high - low) / scale, 2.0)) + 1
    finest = -1000 if len(centres) < 6 else -100 if len(centres) < 50 else -4
    ladder = scale * 2.0 ** np.concatenate([np.arange(finest, -8, 8), np.arange(max(finest, -8), reach, 0.5)])
    ladder = ladder if len(centres) < 50 else ladder[ladder < 4 * scale]
    edges = np.concatenate([centres, *(c + ladder for c in centres), *(c - ladder for c in centres), [low, high]])
    return np.unique(np.clip(edges, low, high))
