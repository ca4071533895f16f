"""The reconstruction law in two and three dimensions, with its certificate.

Three regimes. *Zero rate*: the point mass at the mean already satisfies the certificate. *Backward heat* (ε ≤ ε_c,
deblurred law known): ν is that law on a lattice of spacing 0.75 √ε, whose aliasing error is exp(−2π²/0.75²) = 6e-16.
*Atomic*: the exchange method of `heatrd.reconstruction.space_exchange`.
"""

from __future__ import annotations

import time

import numpy as np
from numpy.typing import NDArray

from heatrd.certificate.base import Certificate
from heatrd.certificate.space import SPACING, SpaceProblem, as_certificate, space_problem
from heatrd.certificate.space_dual import check_nodes
from heatrd.errors import InvalidInput, TooLarge
from heatrd.laws import DiscreteLaw
from heatrd.quadrature.space import space_nodes
from heatrd.quadrature.tiles import Field
from heatrd.reconstruction.blas import one_blas_thread
from heatrd.reconstruction.space_exchange import exchanged
from heatrd.reconstruction.space_shape import MEMORY, predicted_bytes
from heatrd.sources import Source

__all__ = ["DEFAULT_TOLERANCE", "MEMORY", "predicted_bytes", "reconstruct"]

FloatArray = NDArray[np.float64]

DEFAULT_TOLERANCE = {2: 1e-8, 3: 1e-6}
_HEAVY = 1e-5  # nats: tails that cost more are followed further out, on a wider quadrature that is still sharper
_WIDE = {2: 0.6, 3: 0.7}  # its spacing, of √ε
_TAIL_SHARE = 0.1
_REFINED = 0.6  # factor of the spacing where both quadratures differ too much
_MOST_REFINED = 300_000  # nodes above which that is not done
_EDGE = 100.0  # nats: more than what F is in the tails


def reconstruct(
    source: Source,
    epsilon: float,
    *,
    tol: float | None = None,
    start: DiscreteLaw | None = None,
    seconds: float = 170.0,
) -> tuple[Certificate, str]:
    """Return the best reconstruction law found at ε with its certificate, and the regime.

    Parameters
    ----------
    source : Source
        d = 2 or 3 (the code holds for any d; the cost grows like (range/√ε)^d).
    epsilon : float
        Per-coordinate variance of the backward channel.
    tol : float, optional
        Gap to prove, nats; 1e-8 in two dimensions and 1e-6 beyond when omitted. If it is not reached, the best
        certificate found is returned: look at its ``gap``. Where heavy tails alone cost more, the rest is solved to a
        tenth of what they cost.
    start : DiscreteLaw, optional
        A law to start from, such as the solution at a neighbouring ε.
    seconds : float
        Give up improving after this much processor time of the calling thread.

    Returns
    -------
    certificate : Certificate
    regime : str
        "zero-rate", "backward-heat" or "atomic".

    Raises
    ------
    TooLarge
        The nodes or the lattice would not fit in memory.
    """
    if not (np.isfinite(epsilon) and epsilon > 0):
        raise InvalidInput(f"epsilon={epsilon} must be positive and finite")
    tol = DEFAULT_TOLERANCE.get(source.dim, 1e-6) if tol is None else float(tol)
    with one_blas_thread():
        return _reconstructed(source, epsilon, tol, start, time.thread_time() + seconds)


def _reconstructed(
    source: Source, epsilon: float, tol: float, start: DiscreteLaw | None, deadline: float
) -> tuple[Certificate, str]:
    """Regime by regime, until ``deadline`` (processor time of this thread)."""
    spacing = SPACING.get(source.dim, 0.42)
    problem = space_problem(source, epsilon)
    if problem.nodes.tail_energy / epsilon > _HEAVY:
        spacing = _WIDE.get(source.dim, 0.7)
        problem = space_problem(source, epsilon, spacing=spacing)
    tol = max(tol, _TAIL_SHARE * problem.nodes.tail_energy / epsilon)
    accuracy = max((0.05 if source.dim == 2 else 0.2) * tol, 2e-13)
    centre = np.zeros((1, source.dim))
    if _may_be_silent(source, problem):
        check = check_nodes(problem.tiles, centre, np.ones(1), accuracy, repair=False, finer=problem.finer)
        if check.gap <= tol:
            return as_certificate(problem, check, centre, np.ones(1)), "zero-rate"
    smooth = _deblurred(source, problem, accuracy)
    if smooth is not None and smooth.gap <= tol:
        return smooth, "backward-heat"
    atomic = exchanged(source, problem, tol, accuracy, deadline, start)
    while _unsure(problem, atomic, tol) and problem.tiles.size < _MOST_REFINED and time.thread_time() < deadline:
        spacing *= _REFINED
        try:
            problem = space_problem(source, epsilon, spacing=spacing)
        except (InvalidInput, TooLarge):  # what was found stays
            break
        other = exchanged(source, problem, tol, accuracy, deadline, atomic.law)
        if other.gap > 0.7 * atomic.gap:
            break
        atomic = other
    if smooth is not None and smooth.gap <= atomic.gap:
        return smooth, "backward-heat"
    return atomic, "atomic"


def _unsure(problem: SpaceProblem, found: Certificate, tol: float) -> bool:
    """Whether the tolerance is missed because both quadratures differ, as where a density is not smooth."""
    nodes = problem.nodes
    tails = nodes.tail_energy / problem.epsilon + _EDGE * nodes.tail_mass
    return found.gap > tol and found.discretisation - tails > 0.5 * max(tol, tails)


def _may_be_silent(source: Source, problem: SpaceProblem) -> bool:
    """Whether a point mass at the mean could be optimal: the necessary conditions, and c at a few nodes."""
    if problem.tiles.size == 1:
        return True
    if np.linalg.eigvalsh(source.covariance)[-1] > problem.epsilon * (1 + 1e-9):
        return False
    x = problem.tiles.points
    field = Field(problem.tiles, np.log(problem.tiles.weights) + 0.5 * (x**2).sum(axis=1))
    return bool((field.at(x[:: max(1, len(x) // 200)]) <= 1 + 1e-6).all())


def _deblurred(source: Source, problem: SpaceProblem, accuracy: float) -> Certificate | None:
    """The lattice law of the deblurred source, certified; None outside the backward-heat class."""
    law = source.deblurred(problem.epsilon)
    if law is None:
        return None
    for spacing in (0.75, 0.6):
        atoms, weights = _lattice_law(law, problem, spacing)
        if len(atoms) > 60_000:
            return None
        check = check_nodes(problem.tiles, atoms, weights, accuracy, finer=problem.finer, maxima=False)
        if check.gap <= max(20 * accuracy, 1e-11):
            break
    return as_certificate(problem, check, atoms, weights)


def _lattice_law(law: Source, problem: SpaceProblem, spacing: float) -> tuple[FloatArray, FloatArray]:
    """Nodes of ν itself, ``spacing``·√ε apart, as atoms in scaled units."""
    nodes = space_nodes(law, spacing * np.sqrt(problem.epsilon), 1e-15)
    keep = nodes.weights > 1e-17 * nodes.weights.max()
    return problem.scaled(nodes.points[keep]), nodes.weights[keep] / nodes.weights[keep].sum()
