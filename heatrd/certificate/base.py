"""The certificate of a reconstruction law: proved bounds on L(ε) and on R(D) (DESIGN (2)).

For any law ν let Z = k∗ν and c(y) = ∫ μ(dx) k(x−y)/Z(x), k(z) = exp(−‖z‖²/2ε). Then

    F(ν) − log sup_y c(y)  ≤  L(ε)  ≤  F(ν) = −∫ μ log Z,

with the supremum over the continuum. More generally every α > 0 with ∫ μ(dx) α(x) k(x−y) ≤ 1 for all y gives
L(ε) ≥ ∫ μ log α; α = 1/(Z s) with a function s ≥ 1 that is large only where c is ("local repair") loses
∫ μ log s instead of log sup c.
"""

from __future__ import annotations

from dataclasses import dataclass

from heatrd.laws import DiscreteLaw

__all__ = ["Certificate"]


@dataclass(frozen=True, slots=True, eq=False)
class Certificate:
    """Proved bounds from one reconstruction law at one ε. All rates and Lagrangians in nats.

    Attributes
    ----------
    epsilon : float
        Per-coordinate variance of the backward channel; the slope of the curve is −1/(2ε).
    lagrangian, lagrangian_lower : float
        ``lagrangian_lower ≤ L(ε) ≤ lagrangian``; the source's discretisation error is inside both.
    distortion : float
        D_ν = E‖X−Y‖² of the channel π(dy|x) = ν(dy) k(x−y)/Z(x).
    log_sup : float
        log of the proved upper bound of sup c over the continuum, before any repair of the dual. On the line c
        is that of the core of μ; its far tail has a dual term of its own. Infinite where
        the lower bound is the entropy's and c was not looked at (`certificate.shannon`).
    discretisation : float
        The estimated error of integrating against the discretised source, already inside the bounds.
    law : DiscreteLaw
        ν.
    quadrature : DiscreteLaw
        The discretised source that was used.
    """

    epsilon: float
    lagrangian: float
    lagrangian_lower: float
    distortion: float
    log_sup: float
    discretisation: float
    law: DiscreteLaw
    quadrature: DiscreteLaw

    @property
    def gap(self) -> float:
        """Width of the proved interval, nats."""
        return self.lagrangian - self.lagrangian_lower

    @property
    def rate(self) -> float:
        """Proved upper bound on R(distortion), nats."""
        return max(self.lagrangian - self.distortion / (2 * self.epsilon), 0.0)

    @property
    def rate_lower(self) -> float:
        """Proved lower bound on R(distortion), nats."""
        return self.lower_bound(self.distortion)

    def lower_bound(self, distortion: float) -> float:
        """Return the tangent line: R(D) ≥ L_lower − D/2ε at every D, nats."""
        return max(self.lagrangian_lower - distortion / (2 * self.epsilon), 0.0)
