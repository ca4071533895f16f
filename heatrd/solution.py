"""One entry: `solve` picks the regime, certifies, and returns a `Solution`.

A target distortion or rate is met by finding the ε at which the solution's own pair has it
(`heatrd.reconstruction.target`). The certificate is at the very point returned.
"""

from __future__ import annotations

import math
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike

from heatrd import arguments
from heatrd.certificate.base import Certificate
from heatrd.errors import InvalidInput
from heatrd.laws import DiscreteLaw, as_law
from heatrd.reconstruction.dispatch import certify_law, resolvable, solver_for
from heatrd.reconstruction.product import ProductLaw, default_tolerance
from heatrd.reconstruction.target import Counted, Guess, find
from heatrd.sources import Source, as_source

if TYPE_CHECKING:
    from heatrd.bridge import SchrodingerBridge

__all__ = ["Certified", "Solution", "certify", "solve"]

_FARTHEST = 1e100  # standard deviations


@dataclass(frozen=True, slots=True, eq=False)
class Solution:
    """A certified point of the rate–distortion curve. Rates in nats.

    Attributes
    ----------
    source : Source
    certificate : Certificate
        The proof: both bounds, the law, the discretised source.
    regime : str
        "backward-heat" (Shannon lower bound tight), "atomic" or "zero-rate".
    distortion : float
        D = E‖X−Y‖², summed over coordinates.
    tol : float
        Gap that was asked for.
    evaluations : int
        Solves that were needed (more than one for a distortion or rate target).
    seconds : float
        Wall-clock time.
    """

    source: Source
    certificate: Certificate
    regime: str
    distortion: float
    tol: float
    evaluations: int
    seconds: float

    @property
    def epsilon(self) -> float:
        """Per-coordinate variance of the backward channel: the slope is −1/(2ε). Infinite where D > variance."""
        return self.certificate.epsilon

    @property
    def rate(self) -> float:
        """Certified upper bound on R(distortion), nats."""
        if self.regime == "zero-rate":
            return 0.0
        return max(self.certificate.lagrangian - self.distortion / (2 * self.epsilon), 0.0)

    @property
    def rate_lower(self) -> float:
        """Certified lower bound on R(distortion), nats."""
        if self.regime == "zero-rate":
            return 0.0
        return min(self.certificate.lower_bound(self.distortion), self.rate)

    @property
    def gap(self) -> float:
        """Width of the certified interval, nats."""
        return self.rate - self.rate_lower

    @property
    def certified(self) -> bool:
        """Whether the gap asked for was reached."""
        return self.gap <= self.tol

    @property
    def lagrangian(self) -> float:
        """Certified upper bound on L(ε), nats."""
        return self.certificate.lagrangian

    @property
    def lagrangian_lower(self) -> float:
        """Certified lower bound on L(ε), nats."""
        return self.certificate.lagrangian_lower

    @property
    def reconstruction(self) -> DiscreteLaw:
        """The reconstruction law ν: ``points`` (m, d) and ``weights`` (m,)."""
        return self.certificate.law

    @property
    def bits(self) -> float:
        """The rate in bits."""
        return self.rate / math.log(2)

    @property
    def snr_db(self) -> float:
        """10 log₁₀(total variance / distortion)."""
        variance = self.source.total_variance
        if self.distortion == 0:
            return math.inf if variance > 0 else 0.0
        return 10 * (math.log10(variance) - math.log10(self.distortion)) if variance > 0 else 0.0

    @property
    def bridge(self) -> SchrodingerBridge:
        """The Schrödinger bridge between μ and ν: density path, control, potentials (DESIGN (4))."""
        if not math.isfinite(self.epsilon):
            raise InvalidInput(
                "no bridge at zero slope (epsilon is infinite); solve at epsilon= or at a smaller distortion"
            )
        from heatrd.bridge import SchrodingerBridge, product_bridge

        mu, nu, smooth = self.certificate.quadrature, self.reconstruction, self.regime == "backward-heat"
        if isinstance(mu, ProductLaw) and isinstance(nu, ProductLaw):
            return product_bridge(self.source, mu, nu, self.epsilon, smooth=smooth)
        if smooth:
            return SchrodingerBridge.backward_heat(mu, nu, self.epsilon, self.source)
        return SchrodingerBridge(mu, nu, self.epsilon, source=self.source)

    def plot(self, ax: Any = None, *, unit: str = "nat") -> Any:
        """Draw source, reconstruction law and certificate function; return the axes."""
        from heatrd import plots

        return plots.plot_solution(self, ax=ax, unit=unit)

    def __repr__(self) -> str:
        return (
            f"Solution({self.source!r}, epsilon={self.epsilon:.6g}, distortion={self.distortion:.6g}, "
            f"rate={self.rate:.10g}, "
            f"gap={self.gap:.2g}, regime={self.regime!r})"
        )


def solve(
    source: Any,
    *,
    epsilon: float | None = None,
    distortion: float | None = None,
    rate: float | None = None,
    tol: float | None = None,
    start: DiscreteLaw | None = None,
) -> Solution:
    """Compute a certified point of the rate–distortion curve.

    Parameters
    ----------
    source : source
        Anything `heatrd.as_source` takes.
    epsilon, distortion, rate : float
        Exactly one of the three: the per-coordinate variance ε of the backward channel (slope −1/2ε), the distortion
        D = E‖X−Y‖² (summed over coordinates), or the rate in nats, which the proved upper bound `Solution.rate` meets.
    tol : float, optional
        Gap to be proved, nats: 1e-9 on the line, 1e-8 in the plane and 1e-6 in space when omitted. Where it cannot
        be reached the best answer
        is returned; `Solution.certified` tells.
    start : DiscreteLaw, optional
        Law to start from, such as the reconstruction of a neighbouring solution.

    Returns
    -------
    Solution

    Raises
    ------
    InvalidInput
        Not exactly one target, a target out of range, a source that cannot be used.
    TooLarge
        The problem would not fit in memory.

    Examples
    --------
    >>> import heatrd
    >>> point = heatrd.solve("uniform", epsilon=0.2)
    >>> round(point.lagrangian, 10), point.reconstruction.size
    (1.2068962487, 3)
    """
    began = time.perf_counter()
    given = {k: v for k, v in (("epsilon", epsilon), ("distortion", distortion), ("rate", rate)) if v is not None}
    if len(given) != 1:
        said = ", ".join(f"{k}={v}" for k, v in given.items()) or "none"
        raise InvalidInput(f"give exactly one of epsilon, distortion, rate (given: {said})")
    ((name, value),) = given.items()
    value = _target(name, value)
    src = as_source(source)
    tolerance = default_tolerance(src) if tol is None else _tolerance(tol)
    if start is not None and not (hasattr(type(start), "points") and getattr(start, "dim", None) == src.dim):
        raise InvalidInput(f"start={arguments.short(start)}; need a law in R^{src.dim}, of another solution or as_law")
    variance = src.total_variance
    if variance <= 0 or (name == "distortion" and value >= variance) or (name == "rate" and value == 0):
        return _silence(
            src, value if name == "distortion" else variance, tolerance, began, value if name == "epsilon" else math.inf
        )
    if name != "epsilon":
        return solve_target(src, name, value, tolerance, start=start)
    counted = Counted(src, start, tolerance)
    return _solution(counted, *counted(value), began)


def solve_target(
    source: Source,
    name: str,
    value: float,
    tol: float,
    guess: Guess | None = None,
    start: DiscreteLaw | None = None,
) -> Solution:
    """Return the point at a distortion or a rate (``name``) known to be in range, looking first at the guess."""
    began = time.perf_counter()
    counted = Counted(source, start, tol)
    return _solution(counted, *find(counted, name, value, guess), began)


def _solution(counted: Counted, certificate: Certificate, regime: str, began: float) -> Solution:
    source = counted.source
    reached = source.total_variance if regime == "zero-rate" else certificate.distortion
    return Solution(source, certificate, regime, reached, counted.tol, counted.count, time.perf_counter() - began)


def _check_reach(source: Source, law: DiscreteLaw) -> None:
    """Refuse laws so far from the source that squared distances leave double precision."""
    spread = math.sqrt(source.total_variance) or 1.0
    with np.errstate(over="ignore"):
        reach = float(np.abs(law.points - np.asarray(source.mean)).max() / spread)
    if reach > _FARTHEST:
        raise InvalidInput(f"the law reaches {reach:.2g} standard deviations of the source away; need <= {_FARTHEST:g}")


def _target(name: str, value: Any) -> float:
    number = arguments.number(value, name, positive=name != "rate")
    if number < 0:
        raise InvalidInput(f"{name}={number:g}; need a finite number >= 0 (nats)")
    return number


def _tolerance(tol: Any) -> float:
    number = arguments.number(tol, "tol")
    if not (1e-13 <= number <= 1.0):
        raise InvalidInput(f"tol={number:g}; need a gap between 1e-13 and 1 nat")
    return number


def _silence(source: Source, distortion: float, tol: float, began: float, epsilon: float) -> Solution:
    """Zero rate: send nothing, reproduce the mean."""
    point = DiscreteLaw(np.asarray(source.mean, dtype=float).reshape(1, -1), np.ones(1))
    lagrangian = distortion / (2 * epsilon)
    certificate = Certificate(epsilon, lagrangian, lagrangian, distortion, 0.0, 0.0, point, point)
    return Solution(source, certificate, "zero-rate", distortion, tol, 0, time.perf_counter() - began)


@dataclass(frozen=True, slots=True, eq=False)
class Certified:
    """What a law of another method proves, beside what can be proved at its ε.

    Attributes
    ----------
    certificate : Certificate
        Of the law itself: F(ν), log sup c over the continuum, the bounds it proves alone.
    optimum : Certificate or None
        The repaired dual point: the best law found at the same ε (None with ``repair=False``).
    """

    certificate: Certificate
    optimum: Certificate | None

    @property
    def epsilon(self) -> float:
        return self.certificate.epsilon

    @property
    def lagrangian(self) -> float:
        """F(ν), nats: an upper bound on L(ε)."""
        return self.certificate.lagrangian

    @property
    def lagrangian_lower(self) -> float:
        """The best proved lower bound on L(ε), nats."""
        own = self.certificate.lagrangian_lower
        return own if self.optimum is None else max(own, self.optimum.lagrangian_lower)

    @property
    def log_sup(self) -> float:
        """log sup c of the law, over the continuum, nats."""
        return self.certificate.log_sup

    @property
    def distortion(self) -> float:
        return self.certificate.distortion

    @property
    def rate(self) -> float:
        """Upper bound on R at the law's distortion, nats."""
        return self.certificate.rate

    @property
    def rate_lower(self) -> float:
        """Lower bound on R at the law's distortion, nats."""
        return max(self.lagrangian_lower - self.distortion / (2 * self.epsilon), 0.0)

    @property
    def gap(self) -> float:
        """Width of the proved interval on L(ε), nats."""
        return self.lagrangian - self.lagrangian_lower

    @property
    def excess(self) -> tuple[float, float]:
        """Proved bounds on the law's true excess F(ν) − L(ε), nats."""
        upper = self.lagrangian - self.lagrangian_lower
        if self.optimum is None:
            return 0.0, upper
        floor = self.certificate.lagrangian - 2 * self.certificate.discretisation
        return max(floor - self.optimum.lagrangian, 0.0), upper

    @property
    def dual(self) -> DiscreteLaw:
        """Law whose potential is the dual point: α = 1/(k∗dual) up to the factor sup c."""
        return self.certificate.law if self.optimum is None else self.optimum.law


def certify(
    src: Any, points: ArrayLike, weights: ArrayLike | None = None, epsilon: float | None = None, repair: bool = True
) -> Certified:
    """Judge the reconstruction law or particles of any method.

    Parameters
    ----------
    src : source
        Anything `heatrd.as_source` takes.
    points : (m,) or (m, d) array_like
        Support of ν.
    weights : (m,) array_like, optional
        Masses, normalised here; uniform when omitted.
    epsilon : float
        Per-coordinate variance of the backward channel.
    repair : bool
        Also solve at ε, for the true excess and a repaired dual point.

    Raises
    ------
    InvalidInput
        Bad points, weights or ε.
    """
    if epsilon is None:
        raise InvalidInput(
            "certify needs epsilon, the per-coordinate variance of the backward channel, e.g. epsilon=0.1"
        )
    source = as_source(src)
    value = _target("epsilon", epsilon)
    law = as_law(points, weights, what="reconstruction law")
    if law.dim != source.dim:
        raise InvalidInput(
            f"the law has points in R^{law.dim}, the source lives in R^{source.dim}; need equal dimensions"
        )
    _check_reach(source, law)
    value = resolvable(source, value)
    optimum = solver_for(source, default_tolerance(source))(value, None)[0] if repair else None
    return Certified(certify_law(source, law, value), optimum)
