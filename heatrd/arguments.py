"""Checks of arguments at the public boundary: each returns what the library computes with, or raises one line."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from heatrd.errors import InvalidInput

__all__ = ["integer", "normalised", "number", "numbers", "short", "word"]

_SHOWN = 60


def short(value: Any) -> str:
    """``repr`` on one line and of bounded length, for messages."""
    plain = value.item() if isinstance(value, np.generic) else value
    try:
        text = " ".join(repr(plain).split())
    except ValueError:  # integers of more than 4300 digits are not written out
        text = f"<{type(plain).__name__}>"
    return text if len(text) <= _SHOWN else f"{text[: _SHOWN - 3]}..."


def numbers(value: Any, name: str) -> NDArray[np.float64]:
    """Return real numbers as a float64 array (NaN and inf among them where given).

    Raises
    ------
    InvalidInput
        Strings, complex numbers, dates, records, ragged lists and other objects.
    """
    try:
        raw = np.asarray(value)
        if raw.dtype.kind not in "biufO":
            raise TypeError
        with np.errstate(over="ignore", under="ignore"):
            return np.asarray(raw, dtype=np.float64)
    except (TypeError, ValueError, OverflowError):
        raise InvalidInput(f"{name}={short(value)} is not a number or an array of numbers") from None


def number(value: Any, name: str, *, positive: bool = False) -> float:
    """Return one finite number, > 0 where ``positive``."""
    found = numbers(value, name)
    needed = "a positive finite number" if positive else "a finite number"
    if found.size != 1 or not math.isfinite(found.item()) or (positive and found.item() <= 0):
        raise InvalidInput(f"{name}={short(value)}; need {needed}")
    return float(found.item())


def integer(value: Any, name: str, least: int = 1) -> int:
    """Return a whole number ≥ ``least``."""
    found = number(value, name)
    if found != math.floor(found) or found < least:
        raise InvalidInput(f"{name}={short(value)}; need a whole number >= {least}")
    return int(found)


def normalised(weights: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return non-negative weights, of which one is positive, scaled to sum one; unchanged where they do so exactly, so
    that normalising twice is normalising once.
    """
    with np.errstate(over="ignore"):
        if float(weights.sum()) == 1.0:
            return weights
    shares = weights / weights.max()
    shares = np.asarray(shares / shares.sum())
    for _ in range(3):  # the last rounding error goes to the heaviest
        shares[shares.argmax()] += 1.0 - shares.sum()
    return shares


def word(value: Any, name: str, known: Sequence[str]) -> str:
    """Return one of the words known."""
    if not isinstance(value, str) or value not in known:
        raise InvalidInput(f"{name}={short(value)}; use one of {', '.join(known)}")
    return value
