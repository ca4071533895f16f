"""The exceptions and warnings of heatrd: one family, checked once at the public boundary.

A message says what was given, what is needed and what to try.
"""

from __future__ import annotations

from typing import Any

__all__ = ["HeatrdError", "HeatrdWarning", "InvalidInput", "NotConverged", "TooLarge"]


class HeatrdError(Exception):
    """Base class of every exception that heatrd raises on purpose."""


class InvalidInput(HeatrdError, ValueError):
    """The input cannot be used as given; the message says what is needed."""


class NotConverged(HeatrdError, RuntimeError):
    """The tolerance asked for was not reached.

    Attributes
    ----------
    result : object or None
        The best answer found, with its own honest bounds.
    """

    def __init__(self, message: str, result: Any = None) -> None:
        super().__init__(message)
        self.result = result


class TooLarge(HeatrdError, MemoryError):
    """The predicted memory exceeds what is allowed; refused before allocation.

    Attributes
    ----------
    largest : object or None
        The largest size that fits (same meaning as the size refused), where one is known.
    """

    def __init__(self, message: str, largest: Any = None) -> None:
        super().__init__(message)
        self.largest = largest


class HeatrdWarning(UserWarning):
    """Something was regularised, cut or assumed that the caller should know about."""
