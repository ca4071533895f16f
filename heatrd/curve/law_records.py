"""Laws as plain arrays, and back: points and weights, or the structure of a law whose points are too many to list."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from heatrd.certificate.radial import RadialLaw
from heatrd.laws import DiscreteLaw
from heatrd.reconstruction.product import ProductLaw

__all__ = ["Arrays", "holds_law", "pack_law", "unpack_law"]

FloatArray = NDArray[np.float64]
Arrays = dict[str, NDArray[Any]]


def pack_law(law: Any, place: str, mass: str) -> Arrays:
    """Return points and weights under these names; radii and masses of a symmetric law; the blocks of a product."""
    if isinstance(law, RadialLaw):
        about = np.append(law.centre, law.spacing)
        return {f"{place}-radii": law.radii, f"{place}-masses": law.masses, f"{place}-about": about}
    if isinstance(law, ProductLaw):
        arrays: Arrays = {f"{place}-shift": law.shift, f"{place}-blocks": np.array([len(law.blocks)])}
        for i, (block, basis) in enumerate(zip(law.blocks, law.bases)):
            arrays |= {f"{place}-{i}-basis": basis} | pack_law(block, f"{place}-{i}", f"{mass}-{i}")
        return arrays
    return {place: law.points, mass: law.weights}


def holds_law(arrays: Mapping[str, NDArray[Any]], place: str, mass: str) -> bool:
    """Whether `pack_law` wrote a law under these names."""
    return place in arrays or f"{place}-radii" in arrays or f"{place}-shift" in arrays


def unpack_law(arrays: Mapping[str, NDArray[Any]], place: str, mass: str, dim: int) -> Any:
    """Rebuild a law on R^dim.

    Raises
    ------
    KeyError, ValueError
        Entries are missing, of wrong shape, or not finite.
    """
    if f"{place}-radii" in arrays:
        return _radial(arrays, place, dim)
    if f"{place}-shift" in arrays:
        return _product(arrays, place, mass, dim)
    p, w = _finite(arrays[place]), _finite(arrays[mass])
    if p.ndim != 2 or p.shape[1] != dim or w.shape != p.shape[:1]:
        raise ValueError(f"law of shape {p.shape} and {w.shape} in dimension {dim}")
    return DiscreteLaw(p, w)


def _radial(arrays: Mapping[str, NDArray[Any]], place: str, dim: int) -> RadialLaw:
    radii, masses, about = (_finite(arrays[f"{place}-{name}"]) for name in ("radii", "masses", "about"))
    if radii.ndim != 1 or masses.shape != radii.shape or about.shape != (dim + 1,):
        raise ValueError(f"radii of shape {radii.shape} and masses of shape {masses.shape} in dimension {dim}")
    law = RadialLaw(radii, masses, about[:-1], float(about[-1]))
    law.radii, law.masses = radii, masses  # as they were, to the last bit
    return law


def _product(arrays: Mapping[str, NDArray[Any]], place: str, mass: str, dim: int) -> ProductLaw:
    shift, bases, blocks = _finite(arrays[f"{place}-shift"]), [], []
    (count,) = arrays[f"{place}-blocks"]
    for i in range(int(count)):
        basis = _finite(arrays[f"{place}-{i}-basis"])
        if basis.ndim != 2 or basis.shape[0] != dim:
            raise ValueError(f"a block with a basis of shape {basis.shape} in dimension {dim}")
        bases.append(basis)
        blocks.append(unpack_law(arrays, f"{place}-{i}", f"{mass}-{i}", basis.shape[1]))
    if shift.shape != (dim,):
        raise ValueError(f"a shift of shape {shift.shape} in dimension {dim}")
    return ProductLaw(blocks, bases, shift)


def _finite(values: Any) -> FloatArray:
    array = np.asarray(values, dtype=float)
    if not np.isfinite(array).all():
        raise ValueError("a law with entries that are not finite")
    return array
