"""Products of independent coordinates (being written)."""

from __future__ import annotations

from heatrd.certificate.base import Certificate
from heatrd.laws import DiscreteLaw
from heatrd.sources import Source


def applies(source: Source) -> bool:
    """Whether the source is solved factor by factor."""
    return False


def reconstruct(source: Source, epsilon: float, *, tol: float | None = None,
                start: DiscreteLaw | None = None) -> tuple[Certificate, str]:
    raise AssertionError("not reached: applies() is false")
