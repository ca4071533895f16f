"""Which solver a source goes to: the line, a product of coordinates, the radius, or space."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

from heatrd.certificate import space as space_certificate
from heatrd.certificate.base import Certificate
from heatrd.certificate.radial import RadialLaw, certify_radii
from heatrd.errors import InvalidInput, TooLarge
from heatrd.laws import DiscreteLaw
from heatrd.quadrature.line import LineQuadrature
from heatrd.reconstruction import line, product, radial, space
from heatrd.reconstruction.isolated import isolated
from heatrd.sources import Source, Source1D

__all__ = ["Solve", "certify_law", "discretise", "resolvable", "solver_for"]

_MOST_NODES = 6_000_000
_FARTHEST = 1e12  # standard deviations
_FINEST, _FINEST_OF_ATOMS, _FINEST_IN_SPACE = 1e-28, 1e-200, 1e-20  # of the variance

Solve = Callable[[float, DiscreteLaw | None], tuple[Certificate, str]]


def solver_for(source: Source, tol: float) -> Solve:
    """Return ``solve(epsilon, start) -> (certificate, regime)`` for the source, prepared once for all ε."""
    if isinstance(source, Source1D):
        _check_place(source)
        return line.LineProblem(source, tol)
    if product.applies(source):
        return lambda epsilon, start: product.reconstruct(source, epsilon, tol=tol, start=start)
    symmetric = radial.radial_form(source)
    if symmetric is not None:
        return lambda epsilon, start: radial.reconstruct(symmetric, epsilon, tol=tol, start=start)
    if source.dim > 3 and not source.is_discrete:
        raise InvalidInput(
            f"{source!r} has dimension {source.dim}; beyond d = 3 only products, rotationally "
            "symmetric sources and samples are solved; use heatrd.neural for an estimate"
        )
    if source.is_discrete:
        return lambda epsilon, start: _solve_atoms(source, epsilon, tol, start)
    return lambda epsilon, start: space.reconstruct(source, epsilon, tol=tol, start=start)


def _solve_atoms(source: Source, epsilon: float, tol: float, start: DiscreteLaw | None) -> tuple[Certificate, str]:
    """Atoms in space: in closed form where the channel does not confuse them."""
    if (certificate := isolated(source, epsilon)) is not None:
        return certificate, "atomic"
    return space.reconstruct(source, _above_rounding(source, epsilon), tol=tol, start=start)


def certify_law(source: Source, law: DiscreteLaw, epsilon: float, *, tol: float = 1e-9) -> Certificate:
    """Bound L(ε) from any reconstruction law: by the radius or block by block where source and law allow it.

    On the line ``tol`` (nats) is the gap hoped for: it sets how far out tails are resolved.
    """
    if isinstance(source, Source1D):
        _check_place(source)
        return line.certify_law(source, law, resolvable(source, epsilon), tol=tol)
    symmetric = radial.radial_form(source)
    if symmetric is not None and isinstance(law, RadialLaw) and np.array_equal(law.centre, symmetric.centre):
        some = law.masses > 0
        return certify_radii(symmetric, law.radii[some], law.masses[some], epsilon)
    if isinstance(law, product.ProductLaw) and product.matches(source, law):
        return product.certify(source, law, epsilon, certify_law)
    return space_certificate.certify_law(source, law, _above_rounding(source, epsilon))


def _check_place(source: Source1D) -> None:
    """Refuse a density so far from the origin that its points differ in their last digits only."""
    away, spread = abs(float(source.mean[0])), math.sqrt(source.total_variance)
    if away > _FARTHEST * spread and not source.is_discrete:
        raise InvalidInput(
            f"{source!r} lies {away / spread if spread else math.inf:.2g} standard deviations from the origin, where "
            "double precision does not tell its points apart; shift it towards zero"
        )


def resolvable(source: Source, epsilon: float) -> float:
    """Return ε; refuse one at which no number of quadrature nodes that can be counted resolves a density."""
    variance = source.total_variance
    finest = _FINEST_OF_ATOMS if source.is_discrete else _FINEST
    if variance > 0 and epsilon < finest * variance:
        raise TooLarge(
            f"epsilon={epsilon:g} is {epsilon / variance:.2g} of the variance {variance:g}: too fine to resolve; "
            f"use epsilon >= {finest * variance:g}, or the Shannon lower bound",
            finest * variance,
        )
    return epsilon


def _above_rounding(source: Source, epsilon: float) -> float:
    """Return ε; refuse one at which the coordinates of atoms, in units of √ε, are rounding."""
    least = _FINEST_IN_SPACE * source.total_variance
    if source.is_discrete and epsilon < least:
        raise TooLarge(
            f"epsilon={epsilon:g}: at {_FINEST_IN_SPACE:g} of the variance and below, points in R^{source.dim} are "
            f"rounding in units of sqrt(epsilon); use epsilon >= {least:.3g}",
            least,
        )
    return epsilon


def discretise(source: Source, epsilon: float) -> DiscreteLaw:
    """The nodes and masses that stand for μ at ε."""
    if isinstance(source, Source1D):
        _check_place(source)
        quadrature = LineQuadrature(source)
        eps = resolvable(source, epsilon) / quadrature.scale / quadrature.scale
        if not math.isfinite(eps):
            raise InvalidInput(f"epsilon={epsilon:g} overflows in units of {source!r}; use a smaller one")
        if (count := quadrature.count(eps, 1.0)) > _MOST_NODES:
            least = epsilon * (count / _MOST_NODES) ** 2
            raise TooLarge(f"epsilon={epsilon:g} needs {count} nodes for {source!r}; use epsilon >= {least:.3g}", least)
        measure = quadrature.measure(eps)
        return DiscreteLaw(
            (quadrature.shift + quadrature.scale * measure.x)[:, None], measure.mass / measure.mass.sum()
        )
    nodes = space_certificate.space_problem(source, epsilon, second=False).nodes
    return DiscreteLaw(nodes.points, nodes.weights / nodes.weights.sum())
