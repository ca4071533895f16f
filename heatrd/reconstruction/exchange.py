"""The reconstruction law of a source on the line, certified.

A lattice solution (`interior_point`) gives the shape of ν. The certificate then shows where c exceeds one between
the nodes; nodes are
inserted there, ever more closely (a Remez exchange), and only the stretch around them is solved again: a sequence
of convex problems.
Alongside, isolated groups of nodes that sit on one maximum of c are merged into atoms whose positions become Newton
variables (`polish`): from a good start that
converges quadratically. On long stretches where c ≈ 1 everywhere ν is nearly smooth, and lattice nodes serve as
they are.
It ends when the certified gap is within tolerance: nothing else is trusted.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from heatrd.certificate.beyond import Beyond
from heatrd.certificate.line import LineBounds, bound_lagrangian, evaluate_potential
from heatrd.kernels.line import moments_at
from heatrd.quadrature.line_measure import LineMeasure
from heatrd.reconstruction.interior_point import Nodes, join, solve_nodes
from heatrd.reconstruction.polish import polish

__all__ = ["LineLaw", "solve_line"]

FloatArray = NDArray[np.float64]
BoolArray = NDArray[np.bool_]

_FINE, _COARSE, _OTHER = 0.25, 0.5, 0.35
_LOOSE = 1e-7  # tolerances for which a wider lattice will do
_FINE_NODES = 2000  # the fine lattice recognises clusters better, and is taken where it is no larger than this
_SMOOTH, _BETWEEN = 0.9, 0.45  # the closest spacing far from where the density is not smooth, and on the way there
_NEAR = 24.0  # near, in √ε; the way is as long again
_ROUNDS = 24
_SIMPLIFIED = 400  # laws larger than this are returned as they were found
_HOPELESS = 1e-2  # residual of merged nodes from which on they are not bounded
_PATIENCE = 5
_APART = 10.0  # source nodes farther apart than this (in √ε) are solved side by side
_SPLIT = 0.8  # active nodes farther apart than this (in √ε) belong to different groups
_ATOM = 1.05  # a group no wider than this may be one atom ...
_SHARP = 1e-6  # ... if −ε c″ at its centre exceeds this ...
_SHARPEST = 1e-10  # ... and, where that does not do, less ...
_TRUSTED, _LEAST = 3.0, 10.0  # ... but no less than c is known to, or than what the tolerance feels
_STRICT = 1e-10  # tolerances below this are left to the exchange after the first atoms
_BESIDE, _CLEAR = 1.5, 0.6  # reach of a stretch (in √ε), and how near to an atom its idle nodes may be
_IDLE = 1e-3  # share of the envelope that an idle node starts with at most
_MARGIN = 30.0  # a stretch solved again reaches this far (in √ε) beyond the violation


@dataclass(frozen=True, slots=True, eq=False)
class LineLaw:
    """Reconstruction law in standard units: y (m,), w (m,) sorted and normalised with the tails; bounds; effort."""

    y: FloatArray
    w: FloatArray
    nodes: Nodes
    bounds: LineBounds
    rounds: int


def solve_line(
    coarse: LineMeasure, measure: LineMeasure, epsilon: float, tol: float, start: Nodes | None = None
) -> LineLaw:
    """Minimise F over laws on the line until the certified gap is below ``tol``.

    Parameters
    ----------
    coarse, measure : LineMeasure
        Discretised source for the lattice problem and for everything after it.
    start : Nodes, optional
        Solution at a neighbouring ε.

    Returns
    -------
    LineLaw
        The best law found; its bounds say how good it is.
    """
    if start is not None:
        law = atomic(measure, start, epsilon, tol, 1e-3)
        if law.bounds.gap <= 0.5 * tol:
            return law
    fine = _lattice(coarse, epsilon, _FINE).size <= _FINE_NODES
    spacings = (_FINE, _OTHER, _COARSE) if fine else (_COARSE, _FINE)
    if fine and tol >= _LOOSE:
        spacings = (_OTHER, _FINE, _COARSE)
    if coarse.rough.size == 0 and fine:
        spacings = (_SMOOTH, _BETWEEN, _FINE) if all(coarse.settled) else (_BETWEEN, 0.7, _FINE)
    best = _from_lattice(coarse, measure, epsilon, tol, spacings[0])
    for spacing in spacings[1:]:  # rarely, a lattice is unlucky with the tails
        if best.bounds.gap > tol:
            best = min(best, _from_lattice(coarse, measure, epsilon, tol, spacing, atoms_first=False), key=_gap)
    return simplify(measure, best, epsilon, tol) if best.nodes.y.size <= _SIMPLIFIED else best


def _lattice(measure: LineMeasure, epsilon: float, spacing: float) -> FloatArray:
    """Points of about ``spacing``·√ε where atoms are not settled.

    Beside a settled comb they are in step with it: only nodes that can carry it on join it without a seam. There they
    are closer where the density is not smooth.
    """
    root = math.sqrt(epsilon)
    low, high = float(measure.x[0]), float(measure.x[-1])
    left, right = measure.settled
    if not (left or right):
        return _over_clusters(measure.x, epsilon, spacing)
    y = measure.flanks.y
    below, above = y[y < 0.5 * (low + high)], y[y >= 0.5 * (low + high)]
    middle = 0.5 * (below[-1] + above[0]) if left and right else (high if left else low)
    parts = []
    if left:
        step = float(below[-1] - below[-2])
        parts.append(_carried_on(measure.rough, float(below[-1]), middle + 0.25 * spacing * root, step, spacing, root))
    if right:
        step = float(above[1] - above[0])
        parts.append(_carried_on(measure.rough, float(above[0]), middle - 0.25 * spacing * root, -step, spacing, root))
    points = np.unique(np.concatenate(parts))
    close = np.flatnonzero(np.diff(points) < 0.1 * spacing * root)
    return np.delete(points, close)


def _over_clusters(x: FloatArray, epsilon: float, spacing: float) -> FloatArray:
    """A lattice over each cluster of source nodes.

    Clusters more than 10√ε apart (exp(−50) from one to the other) are solved side by side, each by a law on its own
    hull: atoms of μ that stand alone are atoms of ν.
    """
    gaps = np.flatnonzero(np.diff(x) > _APART * math.sqrt(epsilon))
    first, last = x[np.concatenate([[0], gaps + 1])], x[np.concatenate([gaps, [x.size - 1]])]
    step = spacing * math.sqrt(epsilon)
    count = np.where(last > first, np.ceil((last - first) / step), 0).astype(np.int64) + 1
    index = np.repeat(np.arange(count.size), count)
    within = np.arange(index.size) - np.repeat(np.cumsum(count) - count, count)
    return np.asarray(0.5 * (first + last)[index] + step * (within - 0.5 * (count[index] - 1)))


def _carried_on(rough: FloatArray, start: float, stop: float, step: float, spacing: float, root: float) -> FloatArray:
    """The comb's points after ``start`` up to ``stop``, and points between them."""
    comb = np.arange(start, stop + step, step)
    away = np.full(comb.size, np.inf)
    for place in rough:
        away = np.minimum(away, np.abs(comb - place) / root)
    far = max(spacing, _SMOOTH) if rough.size else spacing
    wanted = np.select([away <= _NEAR, away <= 2 * _NEAR], [spacing, max(spacing, _BETWEEN)], far)
    pieces = np.maximum(np.round(abs(step) / root / wanted), 1).astype(np.int64)
    index = np.repeat(np.arange(comb.size), pieces)
    within = np.arange(index.size) - np.repeat(np.cumsum(pieces) - pieces, pieces) + 1
    points = comb[index] + step * within / pieces[index]
    return np.asarray(points[(points - stop) * math.copysign(1, step) < 0])


def simplify(measure: LineMeasure, law: LineLaw, epsilon: float, tol: float) -> LineLaw:
    """Merge nodes that stand closely around one place, as far as the certificate allows."""
    root = math.sqrt(epsilon)
    for width in (0.6, 0.3, 0.1):
        nodes = _prune(law.nodes)
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
            background=_background(measure, measure.x, epsilon),
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


def _from_lattice(
    coarse: LineMeasure, measure: LineMeasure, epsilon: float, tol: float, spacing: float, *, atoms_first: bool = True
) -> LineLaw:
    """Solve on a lattice, then exchange and polish, from the first atoms or from the lattice as it is."""
    points = _lattice(coarse, epsilon, spacing)
    nodes = solve_nodes(
        coarse.x,
        coarse.mass,
        points,
        epsilon,
        background=_background(coarse, coarse.x, epsilon),
        beyond=Beyond.where_settled(coarse, epsilon, tol),
        gap=max(1e-11, 1e-3 * tol),
    )
    best = _atoms(measure, nodes, epsilon, tol) if tol >= _STRICT else atomic(measure, nodes, epsilon, tol, 1e-3)
    if best.bounds.gap <= 0.5 * tol:
        return best
    trial = with_tails(measure, nodes, epsilon, tol)
    if atoms_first:
        trial = min(best, trial, key=_gap)
    lowest, stalled = math.inf, 0
    for rounds in range(1, _ROUNDS + 1):
        best = min(best, trial, key=_gap)
        stalled = 0 if trial.bounds.gap < 0.8 * lowest else stalled + 1
        lowest = min(lowest, trial.bounds.gap)
        if best.bounds.gap <= 0.5 * tol or stalled >= _PATIENCE:
            break
        nodes = _improve(measure, _prune(trial.nodes), trial.bounds, epsilon, tol)
        trial = with_tails(measure, nodes, epsilon, tol, rounds)
        if rounds % 2 == 0 or trial.bounds.gap <= 0.5 * tol:
            law = atomic(measure, nodes, epsilon, tol, 10 * trial.bounds.gap, rounds)
            best = min(best, law, key=_gap)
            if atoms_first and law.bounds.gap < trial.bounds.gap:
                trial = law
    return best


def _gap(law: LineLaw) -> float:
    return law.bounds.gap


def _atoms(measure: LineMeasure, nodes: Nodes, epsilon: float, tol: float) -> LineLaw:
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
    merged = regroup(measure, nodes, epsilon, sharp, slack if idle else None)
    merged, alone = _alone(measure, merged, epsilon)
    untouched = np.ones(merged.y.size, bool)
    parts = []
    for a, b in _stretches(merged.y[merged.free & ~alone], _MARGIN * math.sqrt(epsilon)):
        stretch = _Stretch.cut(measure, merged, epsilon, a, b)
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


def _alone(measure: LineMeasure, nodes: Nodes, epsilon: float) -> tuple[Nodes, BoolArray]:
    """Atoms of μ that stand alone, each with one node: that node is put there with its mass, and needs no more."""
    alone = np.zeros(nodes.y.size, bool)
    far = np.diff(measure.x, prepend=-np.inf, append=np.inf) > _APART * math.sqrt(epsilon)
    place = np.flatnonzero(far[1:] & far[:-1])
    if not place.size:
        return nodes, alone
    x = measure.x[place]
    at = np.searchsorted(nodes.y, x)
    single = (at < nodes.y.size) & (np.searchsorted(nodes.y, x, side="right") - at == 1)
    reach = 0.5 * _APART * math.sqrt(epsilon)
    single &= np.searchsorted(nodes.y, x + reach) - np.searchsorted(nodes.y, x - reach) == 1
    at, place = at[single], place[single]
    nu = nodes.nu.copy()
    nu[at], alone[at] = measure.mass[place], True
    return replace(nodes, nu=nu), alone


@dataclass(frozen=True, slots=True, eq=False)
class _Stretch:
    """The source nodes that matter to an interval, which nodes lie in it, and the log-potential of the others."""

    x: FloatArray
    mass: FloatArray
    inner: slice
    background: FloatArray | None

    @classmethod
    def cut(cls, measure: LineMeasure, nodes: Nodes, epsilon: float, a: float, b: float) -> _Stretch:
        reach = 8 * math.sqrt(epsilon)
        rows = slice(*np.searchsorted(measure.x, [a - reach, b + reach]))
        x = measure.x[rows]
        first, left = np.searchsorted(nodes.y, [a - 2 * reach, a])
        right, last = np.searchsorted(nodes.y, [b, b + 2 * reach], side="right")
        near = nodes.take(np.r_[first:left, right:last])
        return cls(x, measure.mass[rows], slice(left, right), _background(measure, x, epsilon, near))


def _background(measure: LineMeasure, x: FloatArray, epsilon: float, near: Nodes | None = None) -> FloatArray | None:
    """Log-potential at x of the settled part of ν, and of nodes held fixed; None where there is nothing."""
    y, nu = measure.flanks.y, measure.flanks.nu
    if x.size and y.size:
        reach = 12 * math.sqrt(epsilon)
        close = (y >= x[0] - reach) & (y <= x[-1] + reach)
        y, nu = y[close], nu[close]
    if near is not None:
        y, nu = np.concatenate([y, near.y]), np.concatenate([nu, near.nu])
    if y.size == 0 or x.size == 0:
        return None
    order = np.argsort(y, kind="stable")
    return evaluate_potential(x, y[order], nu[order], epsilon)[0]


def with_tails(measure: LineMeasure, nodes: Nodes, epsilon: float, tol: float, rounds: int = 0) -> LineLaw:
    """Normalise, add an atom per tail cell, and bound."""
    y = np.concatenate([nodes.y, measure.flanks.y, measure.tails.centre])
    w = np.concatenate([nodes.nu, measure.flanks.nu, measure.tails.mass])
    order = np.argsort(y, kind="stable")
    y, w = y[order], w[order] / w.sum()
    return LineLaw(y, w, nodes, bound_lagrangian(measure, y, w, epsilon, tol), rounds)


def _prune(nodes: Nodes) -> Nodes:
    """Keep the active nodes."""
    active = nodes.nu > nodes.slack * nodes.envelope
    return nodes.take(active if active.any() else nodes.nu >= nodes.nu.max())


def regroup(
    measure: LineMeasure, nodes: Nodes, epsilon: float, sharp: float = _SHARP, slack: float | None = None
) -> Nodes:
    """Drop inactive nodes; merge isolated groups on a maximum of c into free atoms; keep long stretches.

    With a ``slack``, about the violation of c ≤ 1, the inactive nodes beside long stretches are kept too: a node alone
    between them and an atom cannot move.
    """
    root = math.sqrt(epsilon)
    kept = _prune(nodes)
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


def _curvature(measure: LineMeasure, nodes: Nodes, points: FloatArray, epsilon: float) -> FloatArray:
    """ε c″ at the points."""
    logz = _background(measure, measure.x, epsilon, nodes)
    taylor = np.empty((points.size, 3))
    moments_at(points, measure.x, np.log(measure.mass) - logz, math.sqrt(epsilon), 9.0, 0.0, taylor)
    return np.asarray(2 * taylor[:, 2] + Beyond.where_settled(measure, epsilon, 1.0).at(points, math.sqrt(epsilon))[2])


def _improve(measure: LineMeasure, nodes: Nodes, bounds: LineBounds, epsilon: float, tol: float) -> Nodes:
    """Insert nodes where c exceeds one and matters, and solve the stretches around them again."""
    root = math.sqrt(epsilon)
    excess = np.maximum(bounds.function.bound - 1.0, 0.0)
    if bounds.function.log_offset:
        excess = np.where(np.log(np.maximum(bounds.function.bound, 1e-300)) + bounds.function.log_offset > 0, 1.0, 0.0)
    matters = _mattering(measure, bounds.function.centre, excess, root, tol)
    if not matters.any():
        return nodes
    new = _new_points(nodes, bounds.function.at, np.where(matters, bounds.function.best, 0.0), 0.1 * tol, root)
    for a, b in _stretches(bounds.function.centre[matters], _MARGIN * root):
        nodes = _solve_stretch(measure, nodes, new[(new >= a) & (new <= b)], epsilon, a, b, tol)
    return nodes


def _mattering(
    measure: LineMeasure, centre: FloatArray, excess: FloatArray, root: float, tol: float
) -> NDArray[np.bool_]:
    """Cells whose excess, weighted by the mass within 4√ε, adds up to more than a tenth of the tolerance."""
    cumulative = np.concatenate([[0.0], np.cumsum(measure.mass)])
    near = (
        cumulative[np.searchsorted(measure.x, centre + 4 * root)]
        - cumulative[np.searchsorted(measure.x, centre - 4 * root)]
    )
    loss = np.minimum(excess, 1.0) * np.minimum(near, 1.0)
    order = np.argsort(loss)
    ignored = np.cumsum(loss[order]) < 0.1 * tol
    matters = np.ones(centre.size, bool)
    matters[order[ignored]] = False
    return matters & (excess > 0.05 * tol)


def _stretches(points: FloatArray, margin: float) -> list[tuple[float, float]]:
    """Disjoint intervals of ``margin`` around sorted points."""
    if points.size == 0:
        return []
    breaks = np.flatnonzero(np.diff(points) > 2 * margin)
    left = points[np.concatenate([[0], breaks + 1])] - margin
    right = points[np.concatenate([breaks, [points.size - 1]])] + margin
    return list(zip(left.tolist(), right.tolist()))


def _new_points(nodes: Nodes, at: FloatArray, best: FloatArray, excess: float, root: float) -> FloatArray:
    """Every local maximum of c above 1 + excess, and points closely on both its sides."""
    padded = np.concatenate([[-np.inf], best, [-np.inf]])
    peak = at[(best > 1 + excess) & (best >= padded[:-2]) & (best >= padded[2:])]
    fence = np.concatenate([[nodes.y[0] - 2 * root], nodes.y, [nodes.y[-1] + 2 * root]])
    after = np.clip(np.searchsorted(fence, peak), 1, fence.size - 1)
    width = np.minimum(fence[after] - fence[after - 1], root)
    return np.asarray(np.sort(np.concatenate([peak, peak - width / 8, peak + width / 8])))


def _solve_stretch(
    measure: LineMeasure, nodes: Nodes, new: FloatArray, epsilon: float, a: float, b: float, tol: float
) -> Nodes:
    """Solve for the nodes within [a, b] and the new ones, all others fixed."""
    stretch = _Stretch.cut(measure, nodes, epsilon, a, b)
    y = np.sort(np.concatenate([nodes.y[stretch.inner], new]))
    y = y[np.concatenate([[True], np.diff(y) > 1e-7 * math.sqrt(epsilon)])]
    solved = solve_nodes(
        stretch.x,
        stretch.mass,
        y,
        epsilon,
        background=stretch.background,
        beyond=Beyond.where_settled(measure, epsilon, tol),
        total=float(nodes.nu[stretch.inner].sum()),
    )
    return join(nodes.take(slice(None, stretch.inner.start)), solved, nodes.take(slice(stretch.inner.stop, None)))
