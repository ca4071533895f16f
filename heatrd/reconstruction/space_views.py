"""A source in R^d seen through several quadratures: one to prove with, coarser ones to search with."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from heatrd.certificate.space import SpaceProblem, space_problem
from heatrd.quadrature.tiles import Field, Tiles, make_tiles, thinned
from heatrd.sources import Source

__all__ = ["Views"]

FloatArray = NDArray[np.float64]

# the coarse quadrature: spacing, of √ε; nodes lighter than this share of tol are thinned out; to this spacing (not in
# space: half the search was for tails that the thinned nodes had not shown)
_COARSE = {2: (0.38, 0.01, 0.4), 3: (0.65, 0.0, 1.0)}
_TAILS = 0.01  # that share where the sharp quadrature is as coarse itself: for heavy tails
_ROUGH, _ROUGHEST = {2: 1.0, 3: 0.1}, 10.0  # errors of both where the source sets them, of tol
_STEERING = {2: (0.5, 0.1, 0.4), 3: (0.8, 0.5, 1.0)}  # the one for Hessians, which only steer
_TILE = 4.0  # side of its tiles in space, √ε


class Views:
    """Quadratures of one problem, and how much of μ there is around a point.

    Attributes
    ----------
    fine : Tiles
        What bounds are proved with.
    middle : Tiles
        Coarser; wrong where the source is narrower than √ε.
    coarse : Tiles
        Like ``middle``, in the plane with light nodes thinned out; what is found with it must be looked at with
        ``fine``.
    steering : Tiles
        For Hessians.
    """

    def __init__(self, source: Source, problem: SpaceProblem, tol: float) -> None:
        self.fine = problem.tiles
        self.coarse = self.middle = self.steering = self.fine
        if not problem.nodes.exact:
            spacing, light, apart = _COARSE.get(source.dim, _COARSE[3])
            self.middle = self._coarser(source, problem, spacing, _ROUGH.get(source.dim, 0.1) * tol)
            self.coarse = thinned(self.middle, (_TAILS if self.middle is self.fine else light) * tol, apart)
            spacing, light, apart = _STEERING.get(source.dim, _STEERING[3])
            self.steering = thinned(self._coarser(source, problem, spacing, _ROUGHEST * tol), light * tol, apart)
            if source.dim > 2:
                self.steering = make_tiles(self.steering.points, self.steering.weights, _TILE)
        half = make_tiles(0.5 * self.coarse.points, self.coarse.weights)
        self._wide = Field(half, np.log(half.weights))
        double = make_tiles(2.0 * self.coarse.points, self.coarse.weights)
        self._narrow = Field(double, np.log(double.weights))

    def _coarser(self, source: Source, problem: SpaceProblem, spacing: float, error: float) -> Tiles:
        """A quadrature of that spacing, or the fine one where that has hardly more nodes."""
        mass = problem.nodes.tail_mass
        tiles = space_problem(source, problem.epsilon, spacing=spacing, mass=mass, second=False, error=error).tiles
        return self.fine if tiles.size > 0.7 * self.fine.size else tiles

    def sharper(self, tiles: Tiles) -> Tiles:
        """The next quadrature up."""
        return self.middle if tiles is self.coarse and self.middle is not self.coarse else self.fine

    def mass_around(self, y: FloatArray) -> FloatArray:
        """Mass of μ within about 2√ε of y: what an excess of c there can cost."""
        return np.minimum(self._wide.at(0.5 * y, 1e-30), 1.0)

    def mass_at(self, y: FloatArray) -> FloatArray:
        """Mass of μ within about √ε/2 of y: the order of an atom's weight there."""
        return np.clip(self._narrow.at(2.0 * y, 1e-30), 1e-20, 1.0)
