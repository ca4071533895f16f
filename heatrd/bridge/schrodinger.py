"""The Schrödinger bridge between a source μ and a law ν, from its two heat potentials (DESIGN (4)).

    φ_t = G_{ε(1−t)} ∗ (e^τ ν)        heat flow back from the reconstruction,
    φ̂_t = G_{εt} ∗ (μ / φ_0)          heat flow forward from the ratio,
    ρ_t = φ_t φ̂_t,    u_t = ε ∇log φ_t,    v_t = (ε/2) (∇log φ_t − ∇log φ̂_t).

u drives dX = u dt + √ε dW from X_0 ~ μ, v its probability-flow equation dx/dt = v; both have the marginals ρ_t. The
tilt τ is zero for a rate–distortion solution; for given marginals (Sinkhorn) it is the ν-side potential g/ε. Always
ρ_0 = μ, and

    φ̂_1(y) = ∫ μ(dx) G_ε(x − y)/φ_0(x) = c(y),

the certificate function of DESIGN (2); ρ_1 = e^τ c ν, so ρ_1 = ν iff c = e^{−τ} on supp ν. With ν made of atoms
u_t(x) = (E[Y | X_t = x] − x)/(1 − t).

All of it lives in the log domain and stays finite up to t → 1. Where ν is atomic, t = 1 itself has no density.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from heatrd import arguments
from heatrd.backward import backward_heat
from heatrd.bridge.flows import AtomFlow
from heatrd.bridge.grid import GridBridge, grid_bridge
from heatrd.bridge.marginal_law import lattice_serves, law_around_nodes, law_on_lattice
from heatrd.bridge.marginals import Marginals, marginals
from heatrd.bridge.nodes import source_nodes
from heatrd.bridge.potentials import Potentials, as_mixture, path_flow, potentials
from heatrd.errors import HeatrdError, InvalidInput
from heatrd.laws import DiscreteLaw
from heatrd.sources import Source

__all__ = ["SchrodingerBridge"]

FloatArray = NDArray[np.float64]


class SchrodingerBridge:
    """Potentials, densities and controls of the diffusion from μ to ν at any (t, x).

    Parameters
    ----------
    mu : DiscreteLaw or Source
        The source as quadrature nodes and masses; a `Source` is discretised here and doubles as ``source``.
    nu : DiscreteLaw or Source
        The reconstruction law: atoms, or a density (Gaussian mixtures have their heat flow in closed form).
    epsilon : float
        Diffusion coefficient: variance of the reference Brownian motion at t = 1, per coordinate.
    source : Source, optional
        μ itself. With it ρ_0 is the source's density exactly and small t are exact as well; without it
        the density is that of the discretised source, smoothed by the flow, and t = 0 has none.
    tilt : (m,) array_like, optional
        τ at the points of ``nu`` (Sinkhorn's g/ε); zero when omitted.
    nu_nodes : DiscreteLaw, optional
        Quadrature of ``nu`` where that is a source with a density.

    Notes
    -----
    Points ``x`` have shape (n, d); for d = 1 also scalars or (n,). Scalars (density, potentials) come back
    as (n,), vectors (control, velocity) in the shape of ``x``.

    Raises
    ------
    InvalidInput
        ε ≤ 0, laws of different dimension, or a tilt of the wrong shape.
    """

    def __init__(
        self,
        mu: DiscreteLaw,
        nu: DiscreteLaw | Source,
        epsilon: float,
        source: Source | None = None,
        *,
        tilt: ArrayLike | None = None,
        nu_nodes: DiscreteLaw | None = None,
    ) -> None:
        ends = marginals(mu, nu, epsilon, source, tilt, nu_nodes)
        self._keep(ends, potentials(ends))

    def _keep(self, ends: Marginals, both: Potentials) -> None:
        self._potentials = both
        self.epsilon, self.dim, self.tilt = ends.epsilon, ends.dim, ends.tilt
        self.mu, self.source = ends.mu, ends.source
        self.nu, self.reconstruction = ends.nu, ends.reconstruction

    @classmethod
    def from_plan(cls, plan: Any, source: Source | None = None) -> SchrodingerBridge:
        """Build the bridge of an entropic transport plan (`heatrd.sinkhorn`): both marginals are met.

        Parameters
        ----------
        plan : TransportPlan
            Anything with ``mu``, ``nu`` (discrete laws), ``epsilon`` and ``g`` (the ν-side potential, in units of
            the cost).
        source : Source, optional
            μ itself, as in the constructor.
        """
        return cls(plan.mu, plan.nu, plan.epsilon, source, tilt=np.ravel(plan.g) / plan.epsilon)

    @classmethod
    def backward_heat(cls, mu: DiscreteLaw, lattice: DiscreteLaw, epsilon: float, source: Source) -> SchrodingerBridge:
        """Build the bridge inside the backward-heat class: from ν in closed form where the source knows it, else
        from its lattice.

        Parameters
        ----------
        mu, lattice : DiscreteLaw
            The discretised source, and ν on a lattice that resolves the blur ε.
        epsilon : float
        source : Source
            Gaussian mixtures have their flow in closed form; for others the backward heat path is computed.
        """
        smooth = source.deblurred(epsilon)
        if smooth is not None and as_mixture(smooth) is not None:
            return cls(mu, smooth, epsilon, source)
        try:
            return cls.from_path(backward_heat(source, epsilon), mu)
        except HeatrdError:  # no path for this source: the lattice serves until √(ε(1−t)) falls below its spacing
            return cls(mu, lattice, epsilon, source)

    @classmethod
    def from_path(cls, path: Any, mu: DiscreteLaw | None = None) -> SchrodingerBridge:
        """Build the bridge of a backward heat path (`heatrd.backward_heat`): φ_t = ρ_t and φ̂ ≡ 1 up to its residual.

        Parameters
        ----------
        path : HeatPath
            Anything with ``epsilon``, ``source``, ``reconstruction`` (a discrete law, in general a lattice),
            ``log_density(t, x)`` and ``score(t, x)``: the lattice serves while the heat kernel resolves it, the path
            itself nearer to t = 1.
        mu : DiscreteLaw, optional
            The discretised source; computed when omitted.
        """
        source, epsilon = path.source, path.epsilon
        ends = marginals(source_nodes(source, epsilon) if mu is None else mu, path.reconstruction, epsilon, source)
        flow = path_flow(path)
        bridge = cls.__new__(cls)
        bridge._keep(ends if flow is None else replace(ends, nu=path), potentials(ends, flow))
        return bridge

    # -- potentials -------------------------------------------------------------------------------------------

    @property
    def atomic(self) -> bool:
        """Whether ν has atoms, so that ρ_1 has no density and u blows up as t → 1."""
        return self._potentials.terminal.atomic

    def log_potential(self, t: float, x: ArrayLike) -> FloatArray:
        """log φ_t(x), φ_t = G_{ε(1−t)} ∗ ν (times e^τ); shape (n,)."""
        points = self._points(x)
        return self._shape(self._phi(self._time(t, terminal=True), points)[0], x)

    def potential(self, t: float, x: ArrayLike) -> FloatArray:
        """φ_t(x), shape (n,)."""
        return np.exp(self.log_potential(t, x))

    def log_copotential(self, t: float, x: ArrayLike) -> FloatArray:
        """log φ̂_t(x), φ̂_t = G_{εt} ∗ (μ/φ_0); at t = 1 the log of the certificate function c. Shape (n,)."""
        points = self._points(x)
        return self._shape(self._phi_hat(self._time(t, initial=True), points)[0], x)

    def copotential(self, t: float, x: ArrayLike) -> FloatArray:
        """φ̂_t(x), shape (n,)."""
        return np.exp(self.log_copotential(t, x))

    def log_density(self, t: float, x: ArrayLike) -> FloatArray:
        """log ρ_t(x) = log φ_t + log φ̂_t, shape (n,). At t = 0 the source's own log-density.

        Raises
        ------
        InvalidInput
            At t = 1 with an atomic ν, and at t = 0 without a source that has a density.
        """
        points = self._points(x)
        time = self._time(t, terminal=True, initial=True)
        if time == 0.0 and self.source is not None:
            return self._shape(np.asarray(self.source.log_density(points)), x)
        return self._shape(self._phi(time, points)[0] + self._phi_hat(time, points)[0], x)

    def density(self, t: float, x: ArrayLike) -> FloatArray:
        """ρ_t(x), shape (n,)."""
        return np.exp(self.log_density(t, x))

    # -- drifts -----------------------------------------------------------------------------------------------

    def control(self, t: float, x: ArrayLike) -> FloatArray:
        """u_t(x) = ε ∇log φ_t(x), in the shape of ``x``."""
        points = self._points(x)
        score = self._phi(self._time(t, terminal=True), points)[1]
        with np.errstate(over="ignore"):  # infinite that far out
            return self._vector(self.epsilon * score, x)

    def backward_control(self, t: float, x: ArrayLike) -> FloatArray:
        """ε ∇log φ̂_t(x): drives the time-reversed diffusion from ν to μ; zero inside the backward-heat class."""
        points = self._points(x)
        score = self._phi_hat(self._time(t, initial=True), points)[1]
        with np.errstate(over="ignore"):  # infinite at a time as good as zero
            return self._vector(self.epsilon * score, x)

    def velocity(self, t: float, x: ArrayLike) -> FloatArray:
        """v_t(x) = (ε/2)(∇log φ_t − ∇log φ̂_t), the drift of the probability-flow equation, in the shape of ``x``."""
        points = self._points(x)
        time = self._time(t, terminal=True, initial=True)
        with np.errstate(invalid="ignore"):
            both = self._phi(time, points)[1] - self._phi_hat(time, points)[1]
        if np.isnan(both).any():
            raise InvalidInput(f"x reaches {np.abs(points).max():.3g}, so far out that scores overflow")
        with np.errstate(over="ignore"):
            return self._vector(0.5 * self.epsilon * both, x)

    def score(self, t: float, x: ArrayLike) -> FloatArray:
        """∇log ρ_t(x), in the shape of ``x``."""
        points = self._points(x)
        time = self._time(t, terminal=True, initial=True)
        return self._vector(self._phi(time, points)[1] + self._phi_hat(time, points)[1], x)

    def posterior_mean(self, t: float, x: ArrayLike) -> FloatArray:
        """E[X_1 | X_t = x] = x + (1 − t) u_t(x), in the shape of ``x``; at t = 1 with atoms, the nearest one."""
        points = self._points(x)
        time = self._time(t)
        if time < 1.0:
            return self._vector(points + (1.0 - time) * self.epsilon * self._phi(time, points)[1], x)
        tiny = 1e-12 * self.epsilon if self.atomic else 0.0
        return self._vector(points + tiny * self._potentials.terminal.log_and_score(tiny, points)[1], x)

    # -- laws -------------------------------------------------------------------------------------------------

    @property
    def terminal(self) -> DiscreteLaw:
        """ρ_1 as weighted points: weights w_j e^{τ_j} c(y_j). Equal to ν if ν is optimal (or the plan converged)."""
        law = self.reconstruction
        log_c = self._phi_hat(1.0, law.points)[0]
        return DiscreteLaw(law.points, law.weights * np.exp(self.tilt + log_c))

    def quadrature(self, t: float) -> DiscreteLaw:
        """Points and weights that integrate smooth functions against ρ_t.

        From the side of ν for t ≥ 1/2, E f(X_t) = Σ_j w_j e^{τ_j} E[(φ̂_t f)(y_j + √(ε(1−t)) Z)]; before, from the
        side of μ in the same way on the line and for t < 0.1, and by the trapezoidal rule on a lattice otherwise and
        for smooth ν. The weights sum to one up to the quadrature error, which is therefore visible.
        """
        time = self._time(t)
        if time in (0.0, 1.0):
            return self.mu if time == 0.0 else self.terminal
        if lattice_serves(self, time):
            return law_on_lattice(self, time)
        return law_around_nodes(self, self._potentials, time)

    def expectation(self, t: float, values: Any) -> float:
        """E f(X_t) for a smooth vectorised f: (n, d) → (n,)."""
        law = self.quadrature(t)
        return float(law.weights @ values(law.points))

    def draw_terminal(self, x: ArrayLike, uniform: ArrayLike, normal: ArrayLike) -> FloatArray:
        """Draw X_1 given X_0 = x from the optimal coupling, with random numbers handed in.

        Parameters
        ----------
        x : (n, d) array_like
        uniform : (n,) array_like
            Uniform on [0, 1): chooses the atom (or component).
        normal : (n, d) array_like
            Standard normal: used where ν is a Gaussian mixture.

        Returns
        -------
        (n, d) array
        """
        draws = self._potentials.terminal.draw(
            self.epsilon, self._points(x), np.asarray(uniform, dtype=np.float64), np.asarray(normal, dtype=np.float64)
        )
        return self._vector(draws, x)

    def on_grid(self, grid: Any, **options: Any) -> GridBridge:
        """Return the same bridge by the grid route; see `heatrd.bridge.grid.grid_bridge` for the options."""
        return grid_bridge(self, grid, **options)

    @property
    def log_phi0(self) -> FloatArray:
        """log φ_0 at the points of ``mu``; −Σ μ log φ_0 = F(ν) + (d/2) log 2πε for the tilt zero."""
        return self._potentials.log_phi0

    # -- inside -----------------------------------------------------------------------------------------------

    def _phi(self, t: float, x: FloatArray) -> tuple[FloatArray, FloatArray]:
        return self._potentials.phi(t, x)

    def _phi_hat(self, t: float, x: FloatArray) -> tuple[FloatArray, FloatArray]:
        return self._potentials.phi_hat(t, x)

    @property
    def _starts_discrete(self) -> bool:
        """Whether the law at t = 0 has no density."""
        return isinstance(self._potentials.ratio, AtomFlow)

    def _time(self, t: float, *, terminal: bool = False, initial: bool = False) -> float:
        time = arguments.number(t, "t")
        if not 0.0 <= time <= 1.0:
            raise InvalidInput(f"t = {t} is outside [0, 1]; time runs from the source (0) to the reconstruction (1)")
        if terminal and time == 1.0 and self.atomic:
            raise InvalidInput(
                "at t = 1 the law is atomic and has no density; use t < 1, or .reconstruction for the law itself"
            )
        if initial and time == 0.0 and self._starts_discrete:
            raise InvalidInput(
                "at t = 0 the law is the discrete mu and has no density; use t > 0, or give the source its density"
            )
        return time

    def _points(self, x: ArrayLike) -> FloatArray:
        points = arguments.numbers(x, "x")
        if self.dim == 1 and points.ndim < 2:
            points = points.reshape(-1, 1)
        if points.ndim == 1 and points.shape == (self.dim,):
            points = points[None, :]
        if points.ndim != 2 or points.shape[1] != self.dim:
            raise InvalidInput(
                f"x has shape {np.shape(x)}; need (n, {self.dim})" + (" or (n,)" if self.dim == 1 else "")
            )
        if not np.isfinite(points).all():
            raise InvalidInput("x contains NaN or inf; the bridge is evaluated at finite points")
        return points

    def _shape(self, values: FloatArray, x: ArrayLike) -> FloatArray:
        shape = np.shape(x)
        single = len(shape) == 0 or (len(shape) == 1 and self.dim > 1)
        return values.reshape(()) if single else values

    def _vector(self, values: FloatArray, x: ArrayLike) -> FloatArray:
        return values.reshape(np.shape(x))

    def __repr__(self) -> str:
        return (
            f"SchrodingerBridge(epsilon={self.epsilon:.6g}, dim={self.dim}, mu: {self.mu.size} nodes, "
            f"nu: {self.reconstruction.size} {'atoms' if self.atomic else 'nodes of a density'})"
        )
