"""The certificate in R^d (DESIGN (2)): a source discretised twice, and the bounds that a law proves.

F, ∫ μ log s and c (`heatrd.certificate.space_dual`) are computed with one quadrature and again with a second, finer
one; the differences widen the bounds. Mass δ left out in the tails enters the upper bound as
∫ −μ log Z ≤ ∫ ‖x − y‖²/2ε + δ log(1/w), y an atom, and the lower bound as δ (take α = 1 there).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import KDTree

from heatrd.certificate.base import Certificate
from heatrd.certificate.space_dual import NodalCheck, check_nodes, objective
from heatrd.errors import InvalidInput
from heatrd.kernels.posterior import posterior_energy
from heatrd.laws import DiscreteLaw
from heatrd.quadrature.space import SpaceNodes, space_nodes
from heatrd.quadrature.tiles import Tiles, make_tiles, near_atoms
from heatrd.sources import Source

__all__ = ["SPACING", "SpaceProblem", "as_certificate", "certify_law", "space_problem", "tail_terms"]

FloatArray = NDArray[np.float64]
SPACING = {2: 0.3, 3: 0.5}  # of √ε: as fine as the default tolerance needs
FINER = 0.9
TAIL_MASS = {2: 1e-13, 3: 5e-10}


@dataclass(frozen=True, slots=True, eq=False)
class SpaceProblem:
    """A source discretised for one ε, twice, in units of √ε about its mean.

    Attributes
    ----------
    epsilon : float
    shift : (d,) array
        The origin of the scaled coordinates.
    nodes : SpaceNodes
        The first quadrature in the source's units.
    tiles, finer : Tiles
        Both quadratures, scaled; ``finer`` is None where the first is exact.
    """

    epsilon: float
    shift: FloatArray
    nodes: SpaceNodes
    tiles: Tiles
    finer: Tiles | None

    def scaled(self, points: FloatArray) -> FloatArray:
        return np.ascontiguousarray((points - self.shift) / np.sqrt(self.epsilon))

    def unscaled(self, points: FloatArray) -> FloatArray:
        return self.shift + np.sqrt(self.epsilon) * points


def space_problem(
    source: Source,
    epsilon: float,
    *,
    spacing: float | None = None,
    mass: float | None = None,
    second: bool = True,
    error: float = 0.0,
) -> SpaceProblem:
    """Discretise a source at spacing·√ε but for a mass in its tails, and once more finer for the error estimate."""
    root = float(np.sqrt(epsilon))
    spacing = SPACING.get(source.dim, 0.42) if spacing is None else spacing
    mass = TAIL_MASS.get(source.dim, 5e-10) if mass is None else mass
    nodes = space_nodes(source, spacing * root, mass, error)
    shift = np.asarray(nodes.weights @ nodes.points)
    tiles = make_tiles((nodes.points - shift) / root, nodes.weights)
    finer = None
    if second and not nodes.exact:
        factor, other = FINER, nodes
        while len(other.points) < 1.2 * len(nodes.points) and factor > 0.1:  # panels come in whole numbers
            other = space_nodes(source, factor * spacing * root, max(mass, nodes.tail_mass))
            factor *= FINER
        finer = make_tiles((other.points - shift) / root, other.weights)
    return SpaceProblem(float(epsilon), shift, nodes, tiles, finer)


def distortion(tiles: Tiles, atoms: FloatArray, weights: FloatArray) -> float:
    """E‖X − Y‖² of the channel of ν, in units of ε."""
    log_w = np.log(weights / weights.sum())
    pointer, near = near_atoms(tiles, atoms, log_w)
    return float(posterior_energy(tiles.points, tiles.weights, tiles.starts, atoms, log_w, pointer, near, tiles.drop))


def tail_terms(
    problem: SpaceProblem, check: NodalCheck, atoms: FloatArray, weights: FloatArray
) -> tuple[float, float]:
    """What the tails left out take from the upper and from the lower bound, nats.

    For x in a tail, n its nearest node and y_j the atom nearest to n, −log Z(x) ≤ ‖x − n‖² + ‖n − y_j‖² − log w_j in
    units of √ε; the distances of atoms are bounded tile by tile.
    """
    nodes, tiles = problem.nodes, problem.tiles
    if nodes.tail_mass == 0:
        return 0.0, 0.0
    centre, radius = 0.5 * (tiles.low + tiles.high), 0.5 * np.sqrt(((tiles.high - tiles.low) ** 2).sum(axis=1))
    apart = float((KDTree(atoms).query(centre)[0] + radius).max())
    edge = apart**2 - float(np.log(weights.min() / weights.sum()))
    upper = nodes.tail_energy / problem.epsilon + nodes.tail_mass * edge
    return upper, nodes.tail_mass * (1 + abs(check.objective))


def as_certificate(problem: SpaceProblem, check: NodalCheck, atoms: FloatArray, weights: FloatArray) -> Certificate:
    """Add the discretisation error and the tails to the nodal bounds (``check`` should have used both quadratures)."""
    weights = weights / weights.sum()
    nodes, epsilon = problem.nodes, problem.epsilon
    tails = tail_terms(problem, check, atoms, weights)
    upper, lower = check.difference + tails[0], check.difference + tails[1]
    rounding = 4e-15 * (1 + abs(check.objective))
    return Certificate(
        epsilon=epsilon,
        lagrangian=check.objective + upper + rounding,
        lagrangian_lower=max(check.lower - lower - rounding, 0.0),
        distortion=epsilon * distortion(problem.tiles, atoms, weights),
        log_sup=check.log_sup,
        discretisation=upper + lower,
        law=DiscreteLaw(problem.unscaled(atoms), weights),
        quadrature=DiscreteLaw(nodes.points, nodes.weights),
    )


def certify_law(
    source: Source, law: DiscreteLaw, epsilon: float, *, accuracy: float | None = None, repair: bool = True
) -> Certificate:
    """Prove bounds on L(ε) from any reconstruction law, d = 2 or 3.

    Parameters
    ----------
    source : Source
    law : DiscreteLaw
        ν, in the source's units.
    epsilon : float
        Per-coordinate variance of the backward channel, ε > 0.
    accuracy : float, optional
        How far the bound of sup c may lie above sup c; 1e-10 in the plane and 1e-7 beyond when omitted.
    repair : bool
        Also search a dual s that is large only where c exceeds 1.

    Raises
    ------
    InvalidInput
        ε not positive, unequal dimensions, or a law so far away that F overflows.
    """
    if not (np.isfinite(epsilon) and epsilon > 0):
        raise InvalidInput(f"epsilon={epsilon} must be positive and finite")
    if law.dim != source.dim:
        raise InvalidInput(
            f"the law has points in R^{law.dim}, the source lives in R^{source.dim}; need equal dimensions"
        )
    accuracy = (1e-10 if source.dim <= 2 else 1e-7) if accuracy is None else accuracy
    problem = space_problem(source, epsilon)
    keep = law.weights > 0
    atoms, weights = problem.scaled(law.points[keep]), law.weights[keep]
    if not np.isfinite(objective(problem.tiles, atoms, weights)):
        raise InvalidInput(
            f"the law lies further from the source than numbers go at epsilon={epsilon:g}; "
            "move it nearer, or enlarge epsilon"
        )
    check = check_nodes(problem.tiles, atoms, weights, accuracy, repair=repair, finer=problem.finer, maxima=False)
    return as_certificate(problem, check, atoms, weights)
