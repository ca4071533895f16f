"""Which solver a source goes to: the line, a product of coordinates, the radius, or space."""

from __future__ import annotations

from collections.abc import Callable

from heatrd.certificate import space as space_certificate
from heatrd.certificate.base import Certificate
from heatrd.errors import InvalidInput
from heatrd.laws import DiscreteLaw
from heatrd.quadrature.line import LineQuadrature
from heatrd.reconstruction import line, product, radial, space
from heatrd.sources import Source, Source1D

__all__ = ["Solve", "certify_law", "default_tolerance", "discretise", "solver_for"]

Solve = Callable[[float, DiscreteLaw | None], tuple[Certificate, str]]


def default_tolerance(source: Source) -> float:
    """Gap asked for when the caller names none, nats."""
    if source.dim == 1 or radial.radial_form(source) is not None or source.factors is not None:
        return 1e-9
    return {2: 1e-8}.get(source.dim, 1e-6)


def solver_for(source: Source, tol: float) -> Solve:
    """Return ``solve(epsilon, start) -> (certificate, regime)`` for the source, prepared once for all ε."""
    if isinstance(source, Source1D):
        return line.LineProblem(source, tol).at
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
    return lambda epsilon, start: space.reconstruct(source, epsilon, tol=tol, start=start)


def certify_law(source: Source, law: DiscreteLaw, epsilon: float) -> Certificate:
    """Bound L(ε) from any reconstruction law."""
    if isinstance(source, Source1D):
        return line.certify_law(source, law, epsilon)
    return space_certificate.certify_law(source, law, epsilon)


def discretise(source: Source, epsilon: float) -> DiscreteLaw:
    """The nodes and masses that stand for μ at ε."""
    if isinstance(source, Source1D):
        quadrature = LineQuadrature(source)
        measure = quadrature.measure(epsilon / quadrature.scale / quadrature.scale)
        return DiscreteLaw(
            (quadrature.shift + quadrature.scale * measure.x)[:, None], measure.mass / measure.mass.sum()
        )
    nodes = space_certificate.space_problem(source, epsilon, second=False).nodes
    return DiscreteLaw(nodes.points, nodes.weights / nodes.weights.sum())
