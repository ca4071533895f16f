"""The result of `sinkhorn`: potentials, marginal errors, and what follows from them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from heatrd.bridge import SchrodingerBridge
from heatrd.errors import InvalidInput, TooLarge
from heatrd.kernels.potentials import log_mixture
from heatrd.laws import DiscreteLaw
from heatrd.sources import Source
from heatrd.transport.measures import Marginal
from heatrd.transport.operators import half_squared_cost, make_kernel

__all__ = ["TransportPlan"]

FloatArray = NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class TransportPlan:
    """The coupling π_ij = a_i b_j exp((f_i + g_j − ½‖x_i − y_j‖²)/ε), by its potentials.

    Attributes
    ----------
    source_marginal, target_marginal : Marginal
        μ and ν as given: points or grids.
    epsilon : float
        Regularisation.
    f, g : arrays
        Potentials in units of the cost, in the shapes of the weights; gauge Σ b g = 0.
    value : float
        Dual value Σ a f + Σ b g = E½‖X−Y‖² + ε KL(π ‖ μ⊗ν).
    row_error, column_error : float
        L1 errors of the two marginals of π.
    iterations, newton_steps : int
        Sweeps in all, and Newton steps among them.
    kernel : str
        Which operator was used.
    seconds : float
        Wall time.
    dense_limit : int
        Most matrix entries that may be formed.
    """

    source_marginal: Marginal
    target_marginal: Marginal
    epsilon: float
    f: FloatArray
    g: FloatArray
    value: float
    row_error: float
    column_error: float
    iterations: int
    newton_steps: int
    kernel: str
    seconds: float
    dense_limit: int = 30_000_000

    @property
    def mu(self) -> DiscreteLaw:
        """First marginal as weighted points (grids in C order)."""
        return self.source_marginal.law

    @property
    def nu(self) -> DiscreteLaw:
        """Second marginal as weighted points."""
        return self.target_marginal.law

    @property
    def marginal_error(self) -> float:
        """The larger of the two L1 errors."""
        return max(self.row_error, self.column_error)

    @property
    def coupling(self) -> FloatArray:
        """π as a matrix (n, m).

        Raises
        ------
        TooLarge
            More than ``dense_limit`` entries; use `barycentric_map` and `cost`, which need no matrix.
        """
        a, b = self.source_marginal, self.target_marginal
        if a.size * b.size > self.dense_limit:
            raise TooLarge(
                f"the coupling has {a.size} × {b.size} entries, the limit is {self.dense_limit}; "
                "use .barycentric_map() or .cost, or raise dense_limit in sinkhorn()",
                self.dense_limit,
            )
        exponent = (self.f.reshape(-1, 1) + self.g.ravel() - half_squared_cost(a.points, b.points)) / self.epsilon
        return np.asarray(a.weights.reshape(-1, 1) * b.weights.ravel() * np.exp(exponent))

    @property
    def cost(self) -> float:
        """E ½‖X − Y‖² under π."""
        a, b = self.source_marginal, self.target_marginal
        if a.size * b.size <= self.dense_limit:
            return float(np.sum(self.coupling * half_squared_cost(a.points, b.points)))
        centre = a.weights.ravel() @ a.points
        x, y = a.points - centre, b.points - centre
        cross = np.sum((self.barycentric_map() - centre) * x, axis=1)
        return float(
            a.weights.ravel() @ (0.5 * (x**2).sum(axis=1) - cross) + b.weights.ravel() @ (0.5 * (y**2).sum(axis=1))
        )

    @property
    def distortion(self) -> float:
        """E‖X − Y‖² under π."""
        return 2.0 * self.cost

    @property
    def mutual_information(self) -> float:
        """KL(π ‖ μ⊗ν) = I(X; Y), nats."""
        return (self.value - self.cost) / self.epsilon

    def barycentric_map(self, x: ArrayLike | None = None) -> FloatArray:
        """E[Y | X = x], the entropic transport map.

        Parameters
        ----------
        x : (k,) or (k, d) array_like, optional
            Where; anywhere in R^d. The points of μ when omitted.

        Returns
        -------
        (k, d) array
        """
        b = self.target_marginal
        with np.errstate(divide="ignore"):
            h = b.log_weights + self.g / self.epsilon
        if x is None and self.source_marginal.axes is not None and b.axes is not None:
            return self._map_on_grid(h)
        points = self.source_marginal.points if x is None else np.asarray(x, dtype=np.float64)
        points = points[:, None] if points.ndim == 1 else points
        if points.ndim != 2 or points.shape[1] != b.dim:
            raise InvalidInput(f"x has shape {points.shape}; need (k, {b.dim})")
        log_sum, mean = np.empty(len(points)), np.empty(points.shape)
        log_mixture(np.ascontiguousarray(points), b.points, h.ravel(), self.epsilon, log_sum, mean)
        return mean

    def _map_on_grid(self, h: FloatArray) -> FloatArray:
        """Coordinate by coordinate with the separable kernel; coordinates are shifted to be positive."""
        a, b = self.source_marginal, self.target_marginal
        assert b.axes is not None
        kernel = make_kernel(a, b, self.epsilon, dense_limit=self.dense_limit)
        base = kernel.forward(h)
        columns = []
        for k, axis in enumerate(b.axes):
            low = axis.min() - max(np.ptp(axis), 1.0)
            shape = [-1 if j == k else 1 for j in range(b.dim)]
            columns.append((low + np.exp(kernel.forward(h + np.log(axis - low).reshape(shape)) - base)).ravel())
        return np.stack(columns, axis=1)

    def bridge(self, source: Source | None = None) -> SchrodingerBridge:
        """Return the Schrödinger bridge from μ to ν, whose coupling of (X_0, X_1) is this plan."""
        return SchrodingerBridge.from_plan(self, source)

    def density(self, t: float, x: ArrayLike) -> FloatArray:
        """ρ_t(x) of the bridge, 0 < t < 1."""
        return self.bridge().density(t, x)

    def control(self, t: float, x: ArrayLike) -> FloatArray:
        """Optimal control u_t(x) of the bridge."""
        return self.bridge().control(t, x)

    def __repr__(self) -> str:
        return _summary(self)


def _summary(plan: Any) -> str:
    return (
        f"TransportPlan(epsilon={plan.epsilon:.6g}, value={plan.value:.12g}, marginal_error={plan.marginal_error:.2g}, "
        f"{plan.source_marginal.size} × {plan.target_marginal.size}, {plan.iterations} sweeps, {plan.seconds:.3g} s)"
    )
