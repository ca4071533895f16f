"""Quadrature of a multilinear density on R^d: few nodes where the table is smooth, Gauss–Legendre by cells elsewhere.

On a panel let C_k = ∫ p P_k be the moments of the density with products of Legendre polynomials, exact because p is
multilinear in every cell. The weights

    w_i = ω_i Σ_{k<q} Π_a (k_a + ½) P_{k_a}(ξ_i) C_k

on the Gauss–Legendre nodes ξ_i with weights ω_i integrate polynomials of degree q − 1 exactly, and up to 2q − 1 where p
is nearly a polynomial. The coefficients of an integrand analytic around the panel fall like ρ^−|k|, so the moments
above q that the rule gets wrong tell its error. Panels with small errors and positive weights are taken as they are,
whatever the number of cells in them; others are halved, until few cells are left in one. Panels end at nodes of the
table, so kinks along a cut parallel to the axes do not count.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from itertools import pairwise, product

import numpy as np
from numpy.typing import NDArray
from scipy.interpolate import RegularGridInterpolator

from heatrd.quadrature.tensor import along_axes, check_size
from heatrd.sources.shapes import tensor
from heatrd.sources.tabulated import Tabulated

__all__ = ["table_nodes"]

FloatArray = NDArray[np.float64]
_Panel = tuple[tuple[int, int], ...]  # first and last node of the table along each axis

_WIDTH = 8.0  # of the first panels, in units of the spacing
_STRIP = {2: 5.0, 3: 3.0}  # half-width of the strip around R^d where integrands are analytic, likewise
_ERROR = {2: 1e-10, 3: 1e-8}  # of the whole rule, to its order
_DEFECTS = 3  # moments beyond the order that are looked at
_FEW = 2  # cells along an axis that is not halved again
_HOPELESS = 0.3  # share of the panels taken, after one halving, below which the rest is done by cells
_HINT = ", or a coarser table"


def table_nodes(source: Tabulated, spacing: float, error: float = 0.0) -> tuple[FloatArray, FloatArray]:
    """Nodes and masses of a tabulated density.

    Parameters
    ----------
    source : Tabulated
        d = 2 or 3.
    spacing : float
        Of the trapezoidal rule that would do for a smooth density, in the source's units.
    error : float
        Of integrals of functions of order one that will do, as far as it can be told; 1e-10 in the plane and 1e-8 in
        space where less is asked for.

    Raises
    ------
    TooLarge
        More than four million nodes would be needed.
    """
    dim = source.dim
    check_size(float(np.prod([np.ptp(x) / (_WIDTH * spacing) for x in source.axes])), _HINT)
    error = max(error, _ERROR.get(dim, 1e-8))
    axes = [_Axis(_refined(x, _WIDTH * spacing), _STRIP.get(dim, 3.0) * spacing, spacing, error) for x in source.axes]
    table = RegularGridInterpolator(source.axes, source.density)
    density = table(tuple(np.meshgrid(*(a.x for a in axes), indexing="ij")))
    panels: list[_Panel] = list(product(*(a.panels() for a in axes)))
    found: list[tuple[FloatArray, FloatArray]] = []
    budget, halved = error, False
    while panels:
        rules = [_rule(density, axes, panel) for panel in panels]
        errors = np.array([missed for _, _, missed in rules])
        taken = np.zeros(len(errors), dtype=bool)
        taken[np.argsort(errors)] = np.cumsum(np.sort(errors)) <= 0.5 * budget
        budget -= float(errors[taken].sum())
        found += [(x, mass) for (x, mass, _), good in zip(rules, taken) if good]
        rest = [panel for panel, good in zip(panels, taken) if not good]
        small = [all(b - a <= _FEW for a, b in panel) or (halved and taken.mean() < _HOPELESS) for panel in rest]
        cells = [[a.cells(*e) for a, e in zip(axes, panel)] for panel, done in zip(rest, small) if done]
        count = sum(len(mass) for _, mass in found) + sum(float(np.prod([len(w) for _, w in rule])) for rule in cells)
        check_size(count, _HINT)
        found += [(x, table(x) * volume) for x, volume in map(tensor, cells)]
        panels = [half for panel, done in zip(rest, small) if not done for half in product(*map(_halves, panel))]
        halved = True
    points, mass = (np.concatenate(parts) for parts in zip(*found))
    keep = mass > 0
    return points[keep], mass[keep]


def _refined(x: FloatArray, width: float) -> FloatArray:
    """The nodes of an axis, and more in cells wider than that: the density stays the same."""
    parts = [np.linspace(a, b, max(1, int(np.ceil((b - a) / width))) + 1)[:-1] for a, b in pairwise(x)]
    return np.append(np.concatenate(parts), x[-1])


def _halves(ends: tuple[int, int]) -> list[tuple[int, int]]:
    a, b = ends
    return [ends] if b - a <= _FEW else [(a, (a + b) // 2), ((a + b) // 2, b)]


class _Axis:
    """One axis of a table."""

    def __init__(self, x: FloatArray, strip: float, spacing: float, error: float) -> None:
        self.x, self.width, self.strip, self.error = x, _WIDTH * spacing, strip, error
        self._bases: dict[tuple[int, int], tuple[FloatArray, FloatArray, FloatArray]] = {}
        self._cells: dict[tuple[int, int], tuple[FloatArray, FloatArray]] = {}

    def panels(self) -> list[tuple[int, int]]:
        """The first panels."""
        count = max(1, int(np.ceil(np.ptp(self.x) / self.width)))
        edges = np.searchsorted(self.x, np.linspace(self.x[0], self.x[-1], count + 1)[1:-1])
        return list(pairwise(np.unique([0, *edges, len(self.x) - 1]).tolist()))

    def _order(self, half: float) -> tuple[int, float]:
        """Nodes that a smooth density asks for, and ρ, on a panel of that half-width."""
        rho = float(self.strip / half + np.hypot(self.strip / half, 1.0))
        return max(2, int(np.ceil(-0.5 * np.log(self.error) / np.log(rho)))), rho

    def basis(self, a: int, b: int) -> tuple[FloatArray, FloatArray, FloatArray]:
        """Nodes of a panel, moments of its hat functions, (degrees, b + 1 − a), and ρ^−degree."""
        if (a, b) not in self._bases:
            grid = self.x[a : b + 1]
            low, high = grid[0], grid[-1]
            order, rho = self._order(0.5 * (high - low))
            degrees = order + _DEFECTS
            t, _ = np.polynomial.legendre.leggauss(order)
            s, v = np.polynomial.legendre.leggauss(degrees // 2 + 1)
            half = 0.5 * np.diff(grid)[:, None]
            local = (2 * (grid[:-1, None] + half * (1 + s)) - low - high) / (high - low)
            values = np.polynomial.legendre.legvander(local, degrees - 1) * (half * v)[..., None]
            moments = np.zeros((b + 1 - a, degrees))
            moments[:-1] += np.tensordot(0.5 * (1 - s), values, axes=(0, 1))
            moments[1:] += np.tensordot(0.5 * (1 + s), values, axes=(0, 1))
            nodes = 0.5 * (low + high) + 0.5 * (high - low) * t
            self._bases[a, b] = nodes, np.ascontiguousarray(moments.T), rho ** -np.arange(degrees, dtype=float)
        return self._bases[a, b]

    def cells(self, a: int, b: int) -> tuple[FloatArray, FloatArray]:
        """Gauss–Legendre in every cell of a panel, of the order that the widest one needs."""
        if (a, b) not in self._cells:
            half = 0.5 * np.diff(self.x[a : b + 1])[:, None]
            t, w = np.polynomial.legendre.leggauss(self._order(float(half.max()))[0])
            self._cells[a, b] = (self.x[a:b, None] + half * (1 + t)).ravel(), (half * w).ravel()
        return self._cells[a, b]


def _rule(density: FloatArray, axes: Sequence[_Axis], panel: _Panel) -> tuple[FloatArray, FloatArray, float]:
    """Nodes and masses of one panel, and the error that the moments above tell, with what masses below zero add."""
    block = density[tuple(slice(a, b + 1) for a, b in panel)]
    if not block.any():
        return np.zeros((0, len(axes))), np.zeros(0), 0.0
    bases = [axis.basis(a, b) for axis, (a, b) in zip(axes, panel)]
    orders = [len(nodes) for nodes, _, _ in bases]
    moments = along_axes(block, [m for _, m, _ in bases])
    weights = along_axes(moments[tuple(slice(q) for q in orders)], [_inverse(q) for q in orders])
    missed = np.abs(moments - along_axes(weights, [_forward(q) for q in orders]))
    error = along_axes(missed, [falls[None, :] for _, _, falls in bases]).sum() - np.minimum(weights, 0.0).sum()
    points = np.stack(np.meshgrid(*(x for x, _, _ in bases), indexing="ij"), axis=-1).reshape(-1, len(axes))
    return points, np.maximum(weights, 0.0).ravel(), float(error)


@cache
def _forward(order: int) -> FloatArray:
    """P_k at the nodes, (degrees, order)."""
    t, _ = np.polynomial.legendre.leggauss(order)
    return np.asarray(np.polynomial.legendre.legvander(t, order + _DEFECTS - 1).T)


@cache
def _inverse(order: int) -> FloatArray:
    """From moments to weights, (order, order)."""
    t, w = np.polynomial.legendre.leggauss(order)
    return np.asarray(w[:, None] * np.polynomial.legendre.legvander(t, order - 1) * (np.arange(order) + 0.5))
