"""What every source offers: the `Source` base class.

A source is a law μ on R^d: a density, a discrete part, or both. The solvers ask it for log-densities,
moments, samples, and whatever closed forms it knows about itself: differential entropy h(μ), critical ε, the
deblurred law ν with μ = ν ∗ N(0, ε I) (DESIGN (5)), factorisation into independent coordinates, rotational symmetry.
"""

from __future__ import annotations

import abc
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

__all__ = ["FloatArray", "Source", "Source1D"]

FloatArray = NDArray[np.float64]


class Source(abc.ABC):
    """A law μ on R^d with finite second moments.

    Subclasses set `name`, `dim` and implement `mean`, `covariance`, `log_density` and `sample`;
    everything else has a default that means "not known in closed form".
    """

    name: str = "source"
    dim: int = 1

    @property
    def parameters(self) -> Mapping[str, Any]:
        """Parameters by name, enough to rebuild the source (numbers, strings, arrays)."""
        return {}

    @property
    @abc.abstractmethod
    def mean(self) -> FloatArray:
        """E X, shape (d,)."""

    @property
    @abc.abstractmethod
    def covariance(self) -> FloatArray:
        """Cov X, shape (d, d)."""

    @abc.abstractmethod
    def log_density(self, x: ArrayLike) -> FloatArray:
        """Log-density of the absolutely continuous part at points ``x`` of shape (..., d) → (...); −inf off the
        support.

        The continuous part integrates to ``1 - discrete_part[1].sum()``.
        """

    @abc.abstractmethod
    def sample(self, n: int, rng: np.random.Generator | int | None = None) -> FloatArray:
        """Draw ``n`` independent points, shape (n, d)."""

    @property
    def total_variance(self) -> float:
        """E‖X − E X‖² = trace of the covariance: the distortion at zero rate."""
        return float(np.trace(self.covariance))

    @property
    def discrete_part(self) -> tuple[FloatArray, FloatArray]:
        """Points (k, d) and masses (k,) of the atoms of μ (k = 0 for a density)."""
        return np.zeros((0, self.dim)), np.zeros(0)

    @property
    def is_discrete(self) -> bool:
        """Whether μ is purely atomic."""
        return bool(abs(self.discrete_part[1].sum() - 1.0) < 1e-12)

    def entropy(self) -> float | None:
        """Differential entropy h(μ) in nats; −inf for a singular law; None where no closed form is known."""
        return None

    def critical_epsilon(self) -> float | None:
        """Largest ε with μ = ν ∗ N(0, ε I) for a law ν (0 when there is none); None where not known in closed form."""
        return None

    def deblurred(self, epsilon: float) -> Source | None:
        """Return the law ν with μ = ν ∗ N(0, ε I), in closed form, or None where it is not known."""
        return None

    @property
    def factors(self) -> Sequence[tuple[tuple[int, ...], Source]] | None:
        """Independent blocks ``((coordinates, source), ...)`` when μ is a product; None otherwise."""
        return None

    def __repr__(self) -> str:
        inside = ", ".join(f"{k}={_short(v)}" for k, v in self.parameters.items())
        return f"{type(self).__name__}({inside})"


class Source1D(Source):
    """A law on the line. Adds what one-dimensional quadrature wants; scalars stand for points of shape (1,)."""

    dim = 1

    @property
    @abc.abstractmethod
    def support(self) -> tuple[float, float]:
        """The convex hull of the support, possibly infinite."""

    @property
    def breakpoints(self) -> Sequence[float]:
        """Interior points where the density is not smooth (kinks, jumps, poles), as far as known; hints only."""
        return ()

    @abc.abstractmethod
    def logpdf(self, x: ArrayLike) -> FloatArray:
        """Log-density of the continuous part at scalars ``x`` of any shape."""

    @abc.abstractmethod
    def cdf(self, x: ArrayLike) -> FloatArray:
        """P(X ≤ x) at scalars of any shape (discrete part included)."""

    @abc.abstractmethod
    def tail_cut(self, mass: float) -> tuple[float, float]:
        """Points (a, b) with P(X < a) ≤ mass and P(X > b) ≤ mass; accurate down to mass ~ 1e-300 if possible."""

    def log_density(self, x: ArrayLike) -> FloatArray:
        x = np.asarray(x, dtype=np.float64)
        return self.logpdf(x[..., 0])

    @property
    def variance(self) -> float:
        return self.total_variance


def _short(value: Any) -> str:
    if isinstance(value, np.ndarray):
        return np.array2string(value, precision=6, separator=", ", threshold=8).replace("\n", "")
    return repr(value)
