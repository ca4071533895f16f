"""Nodes that stand around one maximum of c, merged into atoms whose positions are Newton variables.

From a good start `polish` converges quadratically. On long stretches where c ≈ 1 everywhere ν is nearly smooth, and
the nodes serve as they are.
"""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from heatrd.certificate.beyond import Beyond
from heatrd.kernels.line import moments_at
from heatrd.quadrature.line_measure import LineMeasure
from heatrd.reconstruction.interior_point import Nodes, join
from heatrd.reconstruction.line_lattice import APART
from heatrd.reconstruction.line_law import LineLaw, with_tails
from heatrd.reconstruction.polish import polish
from heatrd.reconstruction.stretches import Stretch, background, stretches

__all__ = ["atomic", "find_atoms", "simplify"]

FloatArray = NDArray[np.float64]
BoolArray = NDArray[np.bool_]

_SPLIT = 0.8  # active nodes farther apart than this (in √ε) belong to different groups
_ATOM = 1.05  # a group no wider than this may be one atom ...
_SHARP = 1e-6  # ... if −ε c″ at its centre exceeds this ...
_SHARPEST = 1e-10  # ... and, where that does not do, less ...
_TRUSTED, _LEAST = 3.0, 10.0  # ... but no less than c is known to, or than what the tolerance feels
_BESIDE, _CLEAR = 1.5, 0.6  # reach of a stretch (in √ε), and how near to an atom its idle nodes may be
_IDLE = 1e-3  # share of the envelope that an idle node starts with at most
_HOPELESS = 1e-2  # residual of merged nodes from which on they are not bounded


def find_atoms(measure: LineMeasure, nodes: Nodes, epsilon: float, tol: float) -> LineLaw:
    """Merge and polish again and again: what is an atom shows once its neighbours are, the flattest last."""
    best, sharp = atomic(measure, nodes, epsilon, tol, 1e-3, idle=True), _SHARP
    while best.bounds.gap > 0.5 * tol and sharp > _SHARPEST:
        sharp = min(sharp, max(_TRUSTED * best.bounds.log_sup, _LEAST * tol))
        law = atomic(measure, best.nodes, epsilon, tol, max(10 * best.bounds.gap, 1e-4), idle=True, sharp=sharp)
        if law.bounds.gap >= best.bounds.gap:
            break
        if law.bounds.gap > 0.5 * best.bounds.gap:
            sharp *= 0.1
        best = law
    return best


def atomic(
    measure: LineMeasure,
    nodes: Nodes,
    epsilon: float,
    tol: float,
    slack: float,
    rounds: int = 0,
    *,
    idle: bool = False,
    sharp: float = _SHARP,
) -> LineLaw:
    """Merge groups of nodes into atoms, polish weights and positions around them, and bound."""
    slack = float(np.clip(slack, 1e-9, 1e-3))
    merged = _regroup(measure, nodes, epsilon, sharp, slack if idle else None)
    merged, alone = _alone(measure, merged, epsilon)
    untouched = np.ones(merged.y.size, bool)
    parts = []
    for a, b in stretches(merged.y[merged.free & ~alone], epsilon):
        stretch = Stretch.cut(measure, merged, epsilon, a, b)
        untouched[stretch.inner] = False
        solved = polish(
            stretch.x,
            stretch.mass,
            merged.take(stretch.inner),
            epsilon,
            background=stretch.background,
            beyond=Beyond.where_settled(measure, epsilon, tol),
            residual=1e-3 * tol,
            slack_start=slack,
        )
        parts.append(solved)
    return with_tails(measure, join(merged.take(untouched), *parts), epsilon, tol, rounds)


def _regroup(
    measure: LineMeasure, nodes: Nodes, epsilon: float, sharp: float = _SHARP, slack: float | None = None
) -> Nodes:
    """Drop inactive nodes; merge isolated groups on a maximum of c into free atoms; keep long stretches.

    With a ``slack``, about the violation of c ≤ 1, the inactive nodes beside long stretches are kept too: a node alone
    between them and an atom cannot move.
    """
    root = math.sqrt(epsilon)
    kept = nodes.active()
    first = np.flatnonzero(np.concatenate([[True], np.diff(kept.y) > _SPLIT * root]))
    last = np.concatenate([first[1:], [kept.y.size]]) - 1
    total = np.add.reduceat(kept.nu, first)
    centre = np.add.reduceat(kept.nu * kept.y, first) / total
    single = (kept.y[last] - kept.y[first] <= _ATOM * root) & (_curvature(measure, nodes, centre, epsilon) < -sharp)
    scale = np.maximum(np.add.reduceat(kept.envelope, first), total)
    atoms = Nodes(centre, total, scale, np.minimum.reduceat(kept.slack, first), np.ones(first.size, bool)).take(single)
    if slack is None:
        return join(kept.take(np.repeat(~single, last - first + 1)), atoms)
    low, high = kept.y[first[~single]], kept.y[last[~single]]
    beside = _covered(nodes.y, low - _BESIDE * root, high + _BESIDE * root) & (_away(nodes.y, atoms.y) > _CLEAR * root)
    rest = nodes.take(_covered(nodes.y, low, high) | beside)
    least = np.minimum(_IDLE, slack / np.maximum(rest.slack, slack)) * rest.envelope
    return join(replace(rest, nu=np.maximum(rest.nu, least)), atoms)


def _curvature(measure: LineMeasure, nodes: Nodes, points: FloatArray, epsilon: float) -> FloatArray:
    """ε c″ at the points."""
    logz = background(measure, measure.x, epsilon, nodes)
    taylor = np.empty((points.size, 3))
    moments_at(points, measure.x, np.log(measure.mass) - logz, math.sqrt(epsilon), 9.0, 0.0, taylor)
    return np.asarray(2 * taylor[:, 2] + Beyond.where_settled(measure, epsilon, 1.0).at(points, math.sqrt(epsilon))[2])


def _covered(y: FloatArray, low: FloatArray, high: FloatArray) -> BoolArray:
    """Which points lie in one of the intervals [low, high]."""
    steps = np.zeros(y.size + 1)
    np.add.at(steps, np.searchsorted(y, low), 1)
    np.add.at(steps, np.searchsorted(y, high, side="right"), -1)
    return np.asarray(np.cumsum(steps)[:-1] > 0)


def _away(y: FloatArray, atoms: FloatArray) -> FloatArray:
    """Distance to the nearest atom."""
    fence = np.concatenate([[-math.inf], atoms, [math.inf]])
    after = np.searchsorted(fence, y)
    return np.asarray(np.minimum(y - fence[after - 1], fence[after] - y))


def _alone(measure: LineMeasure, nodes: Nodes, epsilon: float) -> tuple[Nodes, BoolArray]:
    """Atoms of μ that stand alone, each with one node: that node is put there with its mass, and needs no more."""
    alone = np.zeros(nodes.y.size, bool)
    far = np.diff(measure.x, prepend=-np.inf, append=np.inf) > APART * math.sqrt(epsilon)
    place = np.flatnonzero(far[1:] & far[:-1])
    if not place.size:
        return nodes, alone
    x = measure.x[place]
    at = np.searchsorted(nodes.y, x)
    single = (at < nodes.y.size) & (np.searchsorted(nodes.y, x, side="right") - at == 1)
    reach = 0.5 * APART * math.sqrt(epsilon)
    single &= np.searchsorted(nodes.y, x + reach) - np.searchsorted(nodes.y, x - reach) == 1
    at, place = at[single], place[single]
    nu = nodes.nu.copy()
    nu[at], alone[at] = measure.mass[place], True
    return replace(nodes, nu=nu), alone


def simplify(measure: LineMeasure, law: LineLaw, epsilon: float, tol: float) -> LineLaw:
    """Merge nodes that stand closely around one place, as far as the certificate allows."""
    root = math.sqrt(epsilon)
    for width in (0.6, 0.3, 0.1):
        nodes = law.nodes.active()
        first = np.flatnonzero(np.concatenate([[True], np.diff(nodes.y) > width * root]))
        if first.size == law.nodes.y.size:
            return law
        total = np.add.reduceat(nodes.nu, first)
        centre = np.add.reduceat(nodes.nu * nodes.y, first) / total
        slack = np.minimum.reduceat(nodes.slack, first)
        merged = Nodes(centre, total, total, slack, np.ones(first.size, bool))
        solved = polish(
            measure.x,
            measure.mass,
            merged,
            epsilon,
            background=background(measure, measure.x, epsilon),
            beyond=Beyond.where_settled(measure, epsilon, tol),
            residual=1e-3 * tol,
            slack_start=1e-7,
            iterations=8,
        )
        if solved.residual > _HOPELESS:
            continue
        trial = with_tails(measure, solved, epsilon, tol, law.rounds)
        if trial.bounds.gap <= max(0.5 * tol, law.bounds.gap):
            return trial
    return law
