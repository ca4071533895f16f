"""What an account says: `TECAccount`, and the columns that every route fills."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from heatrd.plots.bridge import plot_account
from heatrd.sampler import Estimate

__all__ = ["TECAccount", "Terms", "make_account"]

FloatArray = NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class TECAccount:
    """Energy, terminal entropy and excess over [0, s], all in nats.

    Attributes
    ----------
    method : str
        "potentials", "quadrature" or "paths".
    epsilon : float
    dim : int
    times : (k,) array
        The s of the account.
    energies, entropies, totals, excesses : (k,) arrays
        E∫₀ˢ‖u‖²/2ε dt, h(X_s), their sum, and E∫₀ˢ‖u − ε∇log ρ‖²/2ε dt. At s = 1 with an atomic ν energy is inf,
        entropy −inf, and the
        total their limit.
    initial_entropy : float
        h(X_0) = h(μ); −inf when μ has no density.
    optimum : float
        L(ε) + (d/2) log 2πε at the reconstruction law used; NaN where it is not known.
    stderr : (4, k) array
        Standard errors of energies, entropies, totals, excesses (zero for the deterministic routes).
    seconds : float
    """

    method: str
    epsilon: float
    dim: int
    times: FloatArray
    energies: FloatArray
    entropies: FloatArray
    totals: FloatArray
    excesses: FloatArray
    initial_entropy: float
    optimum: float
    stderr: FloatArray
    seconds: float

    @property
    def until(self) -> float:
        """The last s."""
        return float(self.times[-1])

    @property
    def energy(self) -> Estimate:
        """Energy up to the last s."""
        return Estimate(self.energies[-1], self.stderr[0, -1])

    @property
    def entropy(self) -> Estimate:
        """Entropy at the last s."""
        return Estimate(self.entropies[-1], self.stderr[1, -1])

    @property
    def total(self) -> Estimate:
        """Energy + entropy at the last s."""
        return Estimate(self.totals[-1], self.stderr[2, -1])

    @property
    def excess(self) -> Estimate:
        """E∫‖u − ε∇log ρ‖²/2ε up to the last s: what the path costs above a backward heat flow."""
        return Estimate(self.excesses[-1], self.stderr[3, -1])

    @property
    def lagrangian(self) -> float:
        """L(ε) = optimum − (d/2) log 2πε."""
        return self.optimum - 0.5 * self.dim * float(np.log(2 * np.pi * self.epsilon))

    @property
    def balance(self) -> float:
        """Total − h(X_0) − excess at the last s: zero by DESIGN (3), up to the error of the route."""
        return float(self.totals[-1]) - self.initial_entropy - float(self.excesses[-1])

    def plot(self, ax: Any = None) -> Any:
        """Draw the terms against s; return the axes."""
        return plot_account(self, ax=ax)

    def __repr__(self) -> str:
        return (
            f"TECAccount({self.method}, s={self.until:.6g}, energy={self.energy!r}, entropy={self.entropy!r}, "
            f"total={self.total!r}, optimum={self.optimum:.9g}, excess={self.excess!r})"
        )


@dataclass(frozen=True, eq=False)
class Terms:
    method: str
    times: FloatArray
    energies: FloatArray
    entropies: FloatArray
    totals: FloatArray
    excesses: FloatArray
    stderr: FloatArray


def make_account(
    terms: Terms, epsilon: float, dim: int, initial_entropy: float, optimum: float, start: float
) -> TECAccount:
    return TECAccount(
        method=terms.method,
        epsilon=epsilon,
        dim=dim,
        times=terms.times,
        energies=terms.energies,
        entropies=terms.entropies,
        totals=terms.totals,
        excesses=terms.excesses,
        initial_entropy=initial_entropy,
        optimum=optimum,
        stderr=terms.stderr,
        seconds=time.perf_counter() - start,
    )
