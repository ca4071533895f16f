"""Checks of source parameters at the public boundary: each returns a clean number or raises one line."""

from __future__ import annotations

from typing import Any

import numpy as np

from heatrd import arguments
from heatrd.errors import InvalidInput
from heatrd.sources.base import FloatArray

__all__ = ["array", "finite", "mass_fraction", "positive", "probabilities"]


def finite(value: Any, name: str, what: str) -> float:
    """Return ``value`` as a finite float."""
    number = arguments.numbers(value, f"{what}: {name}")
    if number.size != 1:
        raise InvalidInput(f"{what}: {name} has shape {number.shape}; need one number")
    result = float(number.reshape(()))
    if not np.isfinite(result):
        raise InvalidInput(f"{what}: {name}={result} is not finite; need a finite number")
    return result


def positive(value: Any, name: str, what: str) -> float:
    """Return ``value`` as a finite float > 0."""
    result = finite(value, name, what)
    if result <= 0:
        raise InvalidInput(f"{what}: {name}={result:g} must be positive")
    return result


def variance_of_scale(scale: float, what: str, factor: float = 1.0) -> float:
    """Return ``factor · scale²``, refusing what double precision cannot hold."""
    with np.errstate(over="ignore", under="ignore"):
        variance = float(np.float64(scale) * np.float64(scale) * np.float64(factor))
    if not (np.isfinite(variance) and variance > 0):
        raise InvalidInput(
            f"{what}: scale {scale:g} has variance {variance:g} in double precision; change the unit of length"
        )
    return variance


def array(value: Any, name: str, what: str) -> FloatArray:
    """Return ``value`` as a finite float array (a copy)."""
    result = np.array(arguments.numbers(value, f"{what}: {name}"))
    if result.size == 0:
        raise InvalidInput(f"{what}: {name} is empty")
    if not np.isfinite(result).all():
        raise InvalidInput(f"{what}: {name} contains NaN or inf")
    return result


def probabilities(value: Any, name: str, what: str) -> FloatArray:
    """Return non-negative weights normalised to sum to one."""
    weights = array(value, name, what)
    if weights.ndim != 1:
        raise InvalidInput(f"{what}: {name} has shape {weights.shape}; need one weight per component")
    if (weights < 0).any():
        raise InvalidInput(f"{what}: {name} has a negative entry {weights.min():g}; weights must be >= 0")
    if weights.max() == 0:
        raise InvalidInput(f"{what}: {name} are all zero; at least one must be positive")
    return arguments.normalised(weights)


def mass_fraction(mass: float) -> float:
    """Return a tail mass, checked to lie in (0, 1/2)."""
    mass = arguments.number(mass, "mass")
    if not 0 < mass < 0.5:
        raise InvalidInput(f"tail_cut: mass={mass:g} must lie strictly between 0 and 0.5")
    return mass
