"""What a probe of a public function is: it draws arguments, calls, and checks the answer.

A probe returns when the answer is right, raises `heatrd.HeatrdError` when the call is refused, and raises anything else
where the package failed.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from validation.fuzzing.dice import Dice

__all__ = ["PROBES", "Probe", "probe"]


@dataclass(frozen=True, slots=True)
class Probe:
    """A function from dice to a checked answer; how often it is drawn; the public names that it calls."""

    name: str
    run: Callable[[Dice], None]
    weight: float
    covers: tuple[str, ...]


PROBES: list[Probe] = []


def probe(weight: float, *covers: str) -> Callable[[Callable[[Dice], None]], Callable[[Dice], None]]:
    """Register a probe."""

    def register(run: Callable[[Dice], None]) -> Callable[[Dice], None]:
        PROBES.append(Probe(run.__name__, run, weight, covers))
        return run

    return register


def require(condition: Any, message: str) -> None:
    if not bool(condition):
        raise AssertionError(message)


def finite(value: Any, what: str) -> None:
    require(np.isfinite(np.asarray(value, dtype=float)).all(), f"{what} is not finite: {value!r}")


def spread(source: Any) -> float:
    """Variance per coordinate, or one where there is none."""
    return (getattr(source, "total_variance", 0.0) or 1.0) / getattr(source, "dim", 1)


def affordable(dice: Dice, source: Any) -> float:
    """An ε at which this source is solved quickly."""
    low = 0.05 if source.dim == 1 else 0.3
    return dice.say("epsilon", dice.log_uniform(low, 3.0) * spread(source))
