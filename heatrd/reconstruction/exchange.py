"""The reconstruction law of a source on the line, certified.

A lattice solution (`interior_point`) gives the shape of ν. The certificate then shows where c exceeds one between
the nodes; nodes are inserted there, ever more closely (a Remez exchange), and only the stretch around them is solved
again: a sequence of convex problems. Alongside, nodes around one maximum of c are merged into `atoms`. It ends when
the certified gap is within tolerance: nothing else is trusted.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from heatrd.certificate.beyond import Beyond
from heatrd.certificate.line import LineBounds
from heatrd.quadrature.line_measure import LineMeasure
from heatrd.reconstruction.atoms import atomic, find_atoms, simplify
from heatrd.reconstruction.interior_point import Nodes, join, solve_nodes
from heatrd.reconstruction.line_lattice import BETWEEN, SMOOTH, line_lattice
from heatrd.reconstruction.line_law import LineLaw, with_tails
from heatrd.reconstruction.stretches import Stretch, background, stretches

__all__ = ["solve_line"]

FloatArray = NDArray[np.float64]
BoolArray = NDArray[np.bool_]

_FINE, _COARSE, _OTHER = 0.25, 0.5, 0.35
_LOOSE = 1e-7  # tolerances for which a wider lattice will do
_FINE_NODES = 2000  # the fine lattice recognises clusters better, and is taken where it is no larger than this
_ROUNDS = 24
_SIMPLIFIED = 400  # laws larger than this are returned as they were found
_PATIENCE = 5
_STRICT = 1e-10  # tolerances below this are left to the exchange after the first atoms


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
    fine = line_lattice(coarse, epsilon, _FINE).size <= _FINE_NODES
    spacings = (_FINE, _OTHER, _COARSE) if fine else (_COARSE, _FINE)
    if fine and tol >= _LOOSE:
        spacings = (_OTHER, _FINE, _COARSE)
    if coarse.rough.size == 0 and fine:
        spacings = (SMOOTH, BETWEEN, _FINE) if all(coarse.settled) else (BETWEEN, 0.7, _FINE)
    best = _from_lattice(coarse, measure, epsilon, tol, spacings[0])
    for spacing in spacings[1:]:  # rarely, a lattice is unlucky with the tails
        if best.bounds.gap > tol:
            best = min(best, _from_lattice(coarse, measure, epsilon, tol, spacing, atoms_first=False), key=_gap)
    return simplify(measure, best, epsilon, tol) if best.nodes.y.size <= _SIMPLIFIED else best


def _from_lattice(
    coarse: LineMeasure, measure: LineMeasure, epsilon: float, tol: float, spacing: float, *, atoms_first: bool = True
) -> LineLaw:
    """Solve on a lattice, then exchange and polish, from the first atoms or from the lattice as it is."""
    points = line_lattice(coarse, epsilon, spacing)
    nodes = solve_nodes(
        coarse.x,
        coarse.mass,
        points,
        epsilon,
        background=background(coarse, coarse.x, epsilon),
        beyond=Beyond.where_settled(coarse, epsilon, tol),
        gap=max(1e-11, 1e-3 * tol),
    )
    best = find_atoms(measure, nodes, epsilon, tol) if tol >= _STRICT else atomic(measure, nodes, epsilon, tol, 1e-3)
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
        nodes = _improve(measure, trial.nodes.active(), trial.bounds, epsilon, tol)
        trial = with_tails(measure, nodes, epsilon, tol, rounds)
        if rounds % 2 == 0 or trial.bounds.gap <= 0.5 * tol:
            law = atomic(measure, nodes, epsilon, tol, 10 * trial.bounds.gap, rounds)
            best = min(best, law, key=_gap)
            if atoms_first and law.bounds.gap < trial.bounds.gap:
                trial = law
    return best


def _gap(law: LineLaw) -> float:
    return law.bounds.gap


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
    for a, b in stretches(bounds.function.centre[matters], epsilon):
        nodes = _solve_stretch(measure, nodes, new[(new >= a) & (new <= b)], epsilon, a, b, tol)
    return nodes


def _mattering(measure: LineMeasure, centre: FloatArray, excess: FloatArray, root: float, tol: float) -> BoolArray:
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
    stretch = Stretch.cut(measure, nodes, epsilon, a, b)
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
