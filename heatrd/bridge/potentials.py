"""The two potentials of a bridge as heat flows (DESIGN (4)), each chosen by what its measure is.

    φ_t = G_{ε(1−t)} ∗ (e^τ ν),        φ̂_t = G_{εt} ∗ (μ/φ_0).

Atoms are summed, Gaussian mixtures and backward heat paths have their flow in closed form, other densities a quadrature
of their own below the scale which their nodes resolve (`heatrd.bridge.flows`). Inside the backward-heat class μ = φ_0,
so that φ̂ ≡ 1.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from heatrd.bridge.flows import (
    AtomFlow,
    DensityFlow,
    Flow,
    MixtureFlow,
    PathFlow,
    SumFlow,
    UnitFlow,
    spacing,
)
from heatrd.bridge.marginals import Marginals
from heatrd.errors import InvalidInput
from heatrd.sources import Source, Source1D

__all__ = ["Mixture", "Potentials", "as_mixture", "path_flow", "potentials"]

FloatArray = NDArray[np.float64]

_LINE_SWITCH = 0.25  # below this t a density on the line gets its own quadrature
_NEGLIGIBLE = 1e-12  # nodes lighter than this share of the heaviest carry no mass that counts
_SAME = 1e-10  # difference of log-densities that is rounding


class Mixture(Protocol):
    """Anything with the weights (k,), means (k, d) and covariances (k, d, d) of a Gaussian mixture."""

    weights: FloatArray
    means: FloatArray
    covs: FloatArray


@dataclass(frozen=True, slots=True, eq=False)
class Potentials:
    """φ and φ̂ at any (t, x), points (n, d).

    Attributes
    ----------
    epsilon : float
    terminal : Flow
        The heat flow of e^τ ν, behind φ.
    ratio : Flow
        The heat flow of μ/φ_0, behind φ̂.
    nu_nodes, ratio_nodes : AtomFlow
        The same measures discretised.
    log_phi0 : (n,) array
        log φ_0 at the nodes of μ.
    """

    epsilon: float
    terminal: Flow
    ratio: Flow
    nu_nodes: AtomFlow
    ratio_nodes: AtomFlow
    log_phi0: FloatArray

    def phi(self, t: float, x: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Return log φ_t(x), shape (n,), and its gradient (n, d)."""
        return self.terminal.log_and_score(self.epsilon * (1.0 - t), x)

    def phi_hat(self, t: float, x: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Return log φ̂_t(x), shape (n,), and its gradient (n, d)."""
        ratio = self.ratio
        s = self.epsilon * t
        if isinstance(ratio, AtomFlow | UnitFlow) or s >= getattr(ratio, "coarse", np.inf) or t == 0.0:
            return ratio.log_and_score(s, x)
        guess = x + (1.0 - t) * self.epsilon * self.phi(t, x)[1]  # E[X_1 | X_t = x]
        return ratio.log_and_score(s, x, (x - t * guess) / (1.0 - t), np.sqrt(s / (1.0 - t)))


def potentials(ends: Marginals, terminal: Flow | None = None) -> Potentials:
    """Build both potentials; ``terminal`` is the flow of ν where the caller has a better one than its nodes."""
    law = ends.reconstruction
    with np.errstate(divide="ignore"):
        nu_nodes = AtomFlow(law.points, np.log(law.weights) + ends.tilt)
        log_mu = np.log(ends.mu.weights)
    terminal = terminal or _terminal_flow(ends, nu_nodes)
    log_phi0, _ = terminal.log_and_score(ends.epsilon, ends.mu.points)
    ratio_nodes = AtomFlow(ends.mu.points, log_mu - log_phi0)
    ratio = _ratio_flow(ends, terminal, ratio_nodes, log_phi0)
    return Potentials(ends.epsilon, terminal, ratio, nu_nodes, ratio_nodes, log_phi0)


def path_flow(path: Any) -> Flow | None:
    """Return the heat flow of the ν of a backward heat path, None where that has no density."""
    if not _has_density(path):
        return None
    law = path.reconstruction
    closed = getattr(getattr(path, "inversion", None), "law", None)
    exact = closed(1.0) if callable(closed) else None
    mixture = as_mixture(exact)
    if mixture is not None:
        return MixtureFlow(mixture.weights, mixture.means, mixture.covs)
    with np.errstate(divide="ignore"):
        nodes = AtomFlow(law.points, np.log(law.weights))
    coarse = np.inf if exact is not None else 4.0 * spacing(law.points) ** 2
    return PathFlow(path, nodes, coarse=coarse)


def as_mixture(law: Any) -> Mixture | None:
    """Return a law that is a Gaussian mixture, whose heat flow is known in closed form, None for any other."""
    return law if all(hasattr(law, name) for name in ("weights", "means", "covs")) else None


def _terminal_flow(ends: Marginals, nodes: AtomFlow) -> Flow:
    """The heat flow of e^τ ν: of a source with a density and without a tilt its own, else of its nodes."""
    nu = ends.nu
    if not isinstance(nu, Source) or nu.is_discrete or ends.tilt.any():
        return nodes
    mixture = as_mixture(nu)
    if mixture is not None:
        return MixtureFlow(mixture.weights, mixture.means, mixture.covs)
    if isinstance(nu, Source1D):
        edges = _edges(nu, nodes.points[:, 0])
        return DensityFlow(nu.log_density, nodes, coarse=_LINE_SWITCH * ends.epsilon, edges=edges)
    return DensityFlow(nu.log_density, nodes, coarse=_coarse_in_space(nodes.points, ends.epsilon))


def _ratio_flow(ends: Marginals, terminal: Flow, nodes: AtomFlow, log_phi0: FloatArray) -> Flow:
    """The heat flow of μ/φ_0: of its density where μ has one, else of its nodes."""
    source = ends.source
    if source is None or source.is_discrete:
        return nodes
    if _is_heat_flow(source, ends, terminal, log_phi0):
        return UnitFlow()
    continuous = _continuous_ratio(source, ends, terminal, nodes)
    points, masses = source.discrete_part
    if len(points) == 0:
        return continuous
    return _MixedFlow(continuous, AtomFlow(points, np.log(masses) - terminal.log_and_score(ends.epsilon, points)[0]))


def _is_heat_flow(source: Source, ends: Marginals, terminal: Flow, log_phi0: FloatArray) -> bool:
    """Whether μ = φ_0 to rounding, so that φ̂ ≡ 1: checked at every node with mass, for ν in closed form only."""
    exact = isinstance(terminal, MixtureFlow) or (isinstance(terminal, PathFlow) and terminal.coarse == np.inf)
    if not exact or ends.tilt.any() or len(source.discrete_part[1]):
        return False
    heavy = ends.mu.weights > _NEGLIGIBLE * ends.mu.weights.max()
    log_mu = np.asarray(source.log_density(ends.mu.points[heavy]))
    return bool(np.abs(log_mu - log_phi0[heavy]).max() < _SAME)


def _continuous_ratio(source: Source, ends: Marginals, terminal: Flow, nodes: AtomFlow) -> DensityFlow:
    epsilon = ends.epsilon

    def log_ratio(x: FloatArray) -> FloatArray:
        with np.errstate(invalid="ignore"):  # far out both are −∞: lost, and left to the nodes
            return source.log_density(x) - terminal.log_and_score(epsilon, x)[0]

    if isinstance(source, Source1D):
        edges = _edges(source, ends.mu.points[:, 0])
        return DensityFlow(log_ratio, nodes, coarse=_LINE_SWITCH * epsilon, edges=edges)
    return DensityFlow(log_ratio, nodes, coarse=_coarse_in_space(ends.mu.points, epsilon))


def _coarse_in_space(points: FloatArray, epsilon: float) -> float:
    """Variance from which on nodes in R^d stand for their density."""
    return max(min(2.0 * spacing(points) ** 2, 0.5 * epsilon), 1e-3 * epsilon)


class _MixedFlow(SumFlow):
    """Continuous and discrete part of μ/φ_0; below ``coarse`` separately, above it the joint nodes."""

    def __init__(self, continuous: DensityFlow, atoms: AtomFlow) -> None:
        super().__init__(continuous, atoms)
        self.continuous = continuous
        self.coarse = continuous.coarse

    def log_and_score(
        self, s: float, x: FloatArray, hint: FloatArray | None = None, width: float | None = None
    ) -> tuple[FloatArray, FloatArray]:
        if s >= self.coarse:
            return self.continuous.nodes.log_and_score(s, x)
        return super().log_and_score(s, x, hint, width)


def _edges(source: Source1D, nodes: FloatArray) -> FloatArray:
    low, high = source.support
    low = low if np.isfinite(low) else nodes.min() - 10.0 * (1.0 + np.ptp(nodes))
    high = high if np.isfinite(high) else nodes.max() + 10.0 * (1.0 + np.ptp(nodes))
    inner = [b for b in source.breakpoints if low < b < high]
    return np.array([low, *inner, high])


def _has_density(path: Any) -> bool:
    """Whether ρ_1 of a path is a density that can be evaluated."""
    centre = np.asarray(path.source.mean, dtype=np.float64)[None, :]
    try:
        return bool(np.isfinite(path.score(1.0, centre)).all())
    except InvalidInput:
        return False
