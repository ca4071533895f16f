"""What a quadrature on the line makes: nodes of the core, flanks with a settled law, and the cells of the far tails."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

__all__ = ["Flanks", "LineMeasure", "SettledLaw", "TailCells"]

FloatArray = NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class TailCells:
    """Far tails of μ cut into cells, in standard coordinates.

    Attributes
    ----------
    centre, mass, moment, entropy : (K,) arrays
        Centre of mass y of each cell, P(cell), ∫ μ (x−y)² and −∫ μ log μ over the cell.
    """

    centre: FloatArray
    mass: FloatArray
    moment: FloatArray
    entropy: FloatArray

    @property
    def total(self) -> float:
        return float(self.mass.sum())


@dataclass(frozen=True, slots=True, eq=False)
class Flanks:
    """The part of μ between the cuts and the tail cells, with the part of ν settled there in advance.

    Attributes
    ----------
    x, mass, entropy : (n,) arrays
        Sorted nodes of μ beyond the cuts, their masses, and −mass · log μ.
    y, nu : (m,) arrays
        Sorted settled atoms of ν, and their masses.
    """

    x: FloatArray
    mass: FloatArray
    entropy: FloatArray
    y: FloatArray
    nu: FloatArray

    @classmethod
    def none(cls) -> Flanks:
        return cls(*(np.zeros(0) for _ in range(5)))


@dataclass(frozen=True, slots=True, eq=False)
class LineMeasure:
    """μ discretised for one ε, in standard coordinates.

    Attributes
    ----------
    x, mass : (n,) arrays
        Sorted nodes and masses of the core.
    tails : TailCells
        The farthest part.
    defect : float
        |total mass − 1| before normalisation: what the quadrature missed.
    cuts : (float, float)
        Ends of the core; infinite where nothing lies beyond.
    settled : (bool, bool)
        Whether ν is settled beyond the left and the right cut, and some way before it.
    room : (float, float)
        Where the atoms of ν that are not settled may lie.
    flanks : Flanks
        What lies between the cuts and the tail cells.
    rough : (k,) array
        Places where the density is not smooth, as far as the source knows.
    """

    x: FloatArray
    mass: FloatArray
    tails: TailCells
    defect: float
    cuts: tuple[float, float] = (-math.inf, math.inf)
    settled: tuple[bool, bool] = (False, False)
    room: tuple[float, float] = (-math.inf, math.inf)
    flanks: Flanks = field(default_factory=Flanks.none)
    rough: FloatArray = field(default_factory=lambda: np.zeros(0))

    @property
    def outside(self) -> tuple[float, float]:
        """Mass beyond the left and the right cut."""
        x = np.concatenate([self.tails.centre, self.flanks.x])
        mass = np.concatenate([self.tails.mass, self.flanks.mass])
        return float(mass[x < self.cuts[0]].sum()), float(mass[x > self.cuts[1]].sum())


@dataclass(frozen=True, slots=True, eq=False)
class SettledLaw:
    """Cuts in standard units (infinite: none), which sides are settled, where ν is still free, and the settled
    atoms of ν."""

    cuts: tuple[float, float]
    sides: tuple[bool, bool]
    room: tuple[float, float]
    y: FloatArray
    nu: FloatArray
