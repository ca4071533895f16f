"""A law found on the working quadrature, which can be proved on the finer one.

On the way to a target distortion most laws serve only to say where to go next: what a proof costs is spent on the last.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

from heatrd.certificate.base import Certificate
from heatrd.laws import DiscreteLaw

__all__ = ["Draft"]


@dataclass(frozen=True, slots=True, eq=False)
class Draft:
    """What is known of a law before it is proved.

    Attributes
    ----------
    epsilon : float
    upper, lower : float
        Bounds on L(ε) but for the error of the working quadrature, nats.
    distortion : float
    law : DiscreteLaw
    regime : str
    prove : callable
        Returns the certificate.
    """

    epsilon: float
    upper: float
    lower: float
    distortion: float
    law: DiscreteLaw
    regime: str
    prove: Callable[[], Certificate]

    @classmethod
    def of(cls, c: Certificate, regime: str) -> Draft:
        """What is proved already."""
        return cls(c.epsilon, c.lagrangian, c.lagrangian_lower, c.distortion, c.law, regime, lambda: c)

    @property
    def gap(self) -> float:
        """Width of the interval of L(ε), nats."""
        return self.upper - self.lower

    def residual(self, name: str, value: float) -> float:
        """Relative miss of a distortion, or of a rate by its upper bound; increasing in ε."""
        if name == "distortion":
            return math.log(max(self.distortion, 1e-320)) - math.log(value)
        return math.log(value) - math.log(max(self.rate, 1e-300))

    @property
    def rate(self) -> float:
        """Upper bound on R(distortion), nats."""
        return self.upper - self.distortion / (2 * self.epsilon)
