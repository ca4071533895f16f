"""What a sampling run returns: points, paths, and estimates with standard errors."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree
from scipy.special import digamma, gammaln

from heatrd.plots.bridge import plot_paths, plot_terminal

__all__ = ["Ensemble", "Estimate", "SampledCurve", "block_estimate", "nearest_neighbour_entropy"]

FloatArray = NDArray[np.float64]

_ENTROPY_SAMPLE = 200_000
_NEIGHBOURS = 4


class Estimate(float):
    """A number with its standard error."""

    stderr: float

    def __new__(cls, value: float, stderr: float) -> Estimate:
        out = super().__new__(cls, value)
        out.stderr = float(stderr)
        return out

    def __reduce__(self) -> Any:
        return Estimate, (float(self), self.stderr)

    def z(self, exact: float) -> float:
        """Distance from ``exact`` in standard errors."""
        return (float(self) - exact) / self.stderr

    def __repr__(self) -> str:
        return f"{float(self):.6g} ± {self.stderr:.2g}"


def block_estimate(values: FloatArray, block: int) -> Estimate:
    """Mean of per-path values, with the standard error of the means of consecutive blocks of paths."""
    if not np.isfinite(values).all():
        return Estimate(float(np.mean(values)), 0.0)
    whole = len(values) - len(values) % block
    means = values[:whole].reshape(-1, block).mean(axis=1)
    if len(means) < 2:
        return Estimate(float(values.mean()), np.nan)
    unit = float(np.abs(means).max()) or 1.0  # squares of very large values would overflow
    return Estimate(float(values.mean()), unit * float((means / unit).std(ddof=1) / np.sqrt(len(means))))


def nearest_neighbour_entropy(points: FloatArray, neighbours: int = _NEIGHBOURS) -> FloatArray:
    """Per-point terms whose mean is the Kozachenko–Leonenko estimate of h, nats.

    log(n − 1) − ψ(k) + log(volume of the unit ball) + d log(distance to the k-th neighbour); the bias vanishes as n
    grows for
    a smooth density. −inf where points coincide.
    """
    n, d = points.shape
    distance = cKDTree(points).query(points, k=neighbours + 1)[0][:, -1]
    ball = 0.5 * d * np.log(np.pi) - gammaln(0.5 * d + 1)
    with np.errstate(divide="ignore"):
        return np.asarray(np.log(n - 1) - digamma(neighbours) + ball + d * np.log(distance))


@dataclass(frozen=True, eq=False)
class SampledCurve:
    """The whole rate–distortion curve from one run, inside the backward-heat class (DESIGN (5)).

    X_t is the optimal reconstruction of X_0 at the channel variance εt, so at each t the run estimates one point of
    the curve.

    Attributes
    ----------
    times, epsilon : (k,) arrays
        t and εt.
    distortion, distortion_stderr : (k,) arrays
        E‖X_t − X_0‖², which is dεt.
    rate, rate_stderr : (k,) arrays
        E∫₀ᵗ‖u‖²/2ε + h(X_t) − (d/2) log(2πeεt), nats: R at that distortion.
    """

    times: FloatArray
    epsilon: FloatArray
    distortion: FloatArray
    distortion_stderr: FloatArray
    rate: FloatArray
    rate_stderr: FloatArray


@dataclass(frozen=True, eq=False)
class Ensemble:
    """Paths of dX = u dt + √ε dW and what they say.

    Attributes
    ----------
    epsilon : float
        Diffusion coefficient.
    scheme : str
        "exact", "euler", "exponential" or "heun".
    times : (k + 1,) array
        The time grid.
    initial, terminal : (n, d) arrays
        X at the first and the last time.
    energies : (n,) array
        ∫‖u‖²/2ε dt along each path up to `energy_horizon`.
    energy_horizon : float
        Last time up to which energy was integrated: the last time but one where the control blows up at t = 1.
    block : int
        Consecutive paths that are not independent: 1, 2 (antithetic), or the size of a scrambled Sobol replicate.
    saved_times, paths : (s,) array, (n, s, d) array or None
        Saved paths, when asked for.
    curve : SampledCurve or None
        The whole curve, when asked for (``curve=True``).
    atomic : bool
        Whether the terminal law has atoms, so that its entropy is −inf.
    seconds : float
    """

    epsilon: float
    scheme: str
    times: FloatArray
    initial: FloatArray
    terminal: FloatArray
    energies: FloatArray
    energy_horizon: float
    block: int
    saved_times: FloatArray | None
    paths: FloatArray | None
    curve: SampledCurve | None
    atomic: bool
    seconds: float
    terminal_log_density: Callable[[FloatArray], FloatArray] | None = field(default=None, repr=False)

    @property
    def n_paths(self) -> int:
        return len(self.terminal)

    @property
    def dim(self) -> int:
        return int(self.terminal.shape[1])

    @property
    def energy(self) -> Estimate:
        """E∫‖u‖²/2ε dt up to `energy_horizon`, nats."""
        return block_estimate(self.energies, self.block)

    @property
    def distortion(self) -> Estimate:
        """E‖X_end − X_0‖²."""
        return block_estimate(((self.terminal - self.initial) ** 2).sum(axis=1), self.block)

    @cached_property
    def entropies(self) -> FloatArray:
        """Per-path terms of the terminal entropy: −log ρ(X_end) where the density is known, else nearest neighbours.

        At most 200 000 paths are used.
        """
        points = self.terminal[:_ENTROPY_SAMPLE]
        if self.atomic:
            return np.full(len(points), -np.inf)
        if self.terminal_log_density is not None:
            return -np.asarray(self.terminal_log_density(points)).reshape(len(points))
        return nearest_neighbour_entropy(points)

    @property
    def entropy(self) -> Estimate:
        """Differential entropy of the terminal law, nats; −inf where it is atomic."""
        return block_estimate(self.entropies, self.block)

    @property
    def account(self) -> Estimate:
        """Energy + terminal entropy, nats: at the optimum L(ε) + (d/2) log 2πε (DESIGN (3)); jointly estimated."""
        terms = self.entropies
        joint = block_estimate(self.energies[: len(terms)] + terms, self.block)
        if len(terms) == len(self.energies):
            return joint
        return Estimate(float(self.energy) + float(self.entropy), joint.stderr)

    @property
    def energy_stderr(self) -> float:
        return self.energy.stderr

    @property
    def distortion_stderr(self) -> float:
        return self.distortion.stderr

    @property
    def entropy_stderr(self) -> float:
        return self.entropy.stderr

    @property
    def standard_errors(self) -> dict[str, float]:
        """Standard errors by name."""
        return {name: getattr(self, name).stderr for name in ("energy", "distortion", "entropy")}

    def plot(self, ax: Any = None) -> Any:
        """Draw saved paths, or the terminal histogram where none were saved; return the axes."""
        return plot_paths(self, ax=ax) if self.paths is not None else plot_terminal(self, ax=ax)

    def __repr__(self) -> str:
        return (
            f"Ensemble({self.n_paths} paths, {len(self.times) - 1} steps, scheme={self.scheme!r}, "
            f"epsilon={self.epsilon:.6g}, "
            f"energy={self.energy!r}, distortion={self.distortion!r})"
        )
