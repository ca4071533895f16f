"""The Schrödinger bridge between a source μ and a law ν, from its two heat potentials (DESIGN (4)).

    φ_t = G_{ε(1−t)} ∗ (e^τ ν)        heat flow back from the reconstruction,
    φ̂_t = G_{εt} ∗ (μ / φ_0)          heat flow forward from the ratio,
    ρ_t = φ_t φ̂_t,    u_t = ε ∇log φ_t,    v_t = (ε/2) (∇log φ_t − ∇log φ̂_t).

u drives dX = u dt + √ε dW from X_0 ~ μ, v its probability-flow equation dx/dt = v; both have the marginals ρ_t. The
tilt τ
is zero for a rate–distortion solution; for given marginals (Sinkhorn) it is the ν-side potential g/ε. Always ρ_0 =
μ, and

    φ̂_1(y) = ∫ μ(dx) G_ε(x − y)/φ_0(x) = c(y),

the certificate function of DESIGN (2); ρ_1 = e^τ c ν, so ρ_1 = ν iff c = e^{−τ} on supp ν. With ν made of atoms
u_t(x) = (E[Y | X_t = x] − x)/(1 − t).

All of it lives in the log domain and stays finite up to t → 1. Where ν is atomic, t = 1 itself has no density.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from heatrd import arguments
from heatrd.backward import backward_heat
from heatrd.bridge.flows import (
    AtomFlow,
    DensityFlow,
    Flow,
    MixtureFlow,
    PathFlow,
    SumFlow,
    UnitFlow,
    gaussian_rule,
    spacing,
)
from heatrd.bridge.grid import GridBridge, grid_bridge
from heatrd.bridge.nodes import source_nodes
from heatrd.errors import HeatrdError, InvalidInput
from heatrd.laws import DiscreteLaw, as_law
from heatrd.sources import Source, Source1D

__all__ = ["SchrodingerBridge"]

FloatArray = NDArray[np.float64]

_LINE_SWITCH = 0.25  # below this t a density on the line gets its own quadrature
_LIGHT = 1e-17  # nodes lighter than this are left out of expectations
_EARLY = 0.1  # below it the nodes of μ, slightly blurred, integrate better than a lattice
_LATTICE = {1: 0.4, 2: 0.5, 3: 0.7}  # spacing over √(εt(1−t))
_LATTICE_LIGHT = 1e-12
_WIDEST = 1e300  # squares of paths must not overflow
_SAME = 1e-10  # difference of log-densities that is rounding
_MOST_NODES = 20_000  # more nodes of μ than this, in R^d, are replaced by fewer that serve kernels of width √ε
_LONG = 5000  # nodes on the line from which on a lattice is cheaper
_MANY = 100  # nodes from which on a coarser rule around each is enough


@dataclass(frozen=True, slots=True, eq=False)
class _Parts:
    """The two measures behind the potentials."""

    terminal: Flow  # e^τ ν
    ratio: Flow  # μ/φ_0
    nodes: AtomFlow  # μ/φ_0, discretised
    log_phi0: FloatArray  # log φ_0 at the nodes of μ


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
        self._set(mu, nu, epsilon, source, tilt, nu_nodes)
        self._parts = self._build(None)

    def _set(
        self,
        mu: DiscreteLaw,
        nu: Any,
        epsilon: float,
        source: Source | None,
        tilt: ArrayLike | None,
        nu_nodes: DiscreteLaw | None,
    ) -> None:
        """Check and keep what the bridge is made of."""
        self.epsilon = _positive(epsilon)
        if isinstance(mu, Source):
            source = mu if source is None else source
            mu = source_nodes(mu, self.epsilon)
        self.mu = mu if isinstance(mu, DiscreteLaw) else as_law(*_pair(mu), what="mu")
        if self.mu.dim > 1 and self.mu.size > _MOST_NODES and source is not None and not source.is_discrete:
            self.mu = min(self.mu, source_nodes(source, self.epsilon), key=len)
        self.source = source
        self.dim = self.mu.dim
        self.reconstruction = nu if isinstance(nu, DiscreteLaw) else _nodes_of(nu, nu_nodes, self.epsilon)
        self.nu = nu if isinstance(nu, Source) else self.reconstruction
        if self.reconstruction.dim != self.dim:
            raise InvalidInput(
                f"mu lives in R^{self.dim}, nu in R^{self.reconstruction.dim}; give laws on the same space"
            )
        if source is not None and source.dim != self.dim:
            raise InvalidInput(f"mu lives in R^{self.dim}, its source in R^{source.dim}; give laws on the same space")
        self.tilt = np.zeros(self.reconstruction.size) if tilt is None else np.asarray(tilt, dtype=np.float64)
        if self.tilt.shape != (self.reconstruction.size,):
            raise InvalidInput(
                f"tilt has shape {self.tilt.shape}; need ({self.reconstruction.size},), one per point of nu"
            )

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
        if smooth is not None and _is_mixture(smooth):
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
            ``log_density(t, x)`` and
            ``score(t, x)``: the lattice serves while the heat kernel resolves it, the path itself nearer to t = 1.
        mu : DiscreteLaw, optional
            The discretised source; computed when omitted.
        """
        law, source = path.reconstruction, path.source
        bridge = cls.__new__(cls)
        bridge._set(source_nodes(source, path.epsilon) if mu is None else mu, law, path.epsilon, source, None, None)
        if not _has_density(path):
            bridge._parts = bridge._build(None)
            return bridge
        bridge.nu = path
        atoms = AtomFlow(law.points, _log(law.weights))
        closed = getattr(getattr(path, "inversion", None), "law", None)
        exact: Any = closed(1.0) if callable(closed) else None
        if _is_mixture(exact):
            bridge._parts = bridge._build(MixtureFlow(exact.weights, exact.means, exact.covs))
        else:
            coarse = np.inf if exact is not None else 4.0 * spacing(law.points) ** 2
            bridge._parts = bridge._build(PathFlow(path, atoms, coarse=coarse))
        return bridge

    def _build(self, terminal: Flow | None) -> _Parts:
        nu, law = self.nu, self.reconstruction
        with np.errstate(divide="ignore"):
            nu_atoms = AtomFlow(law.points, np.log(law.weights) + self.tilt)
            log_mu = np.log(self.mu.weights)
        if terminal is None:
            terminal = nu_atoms
            if isinstance(nu, Source) and not nu.is_discrete and not self.tilt.any():
                terminal = _flow_of(nu, nu_atoms, self.epsilon)
        log_phi0, _ = terminal.log_and_score(self.epsilon, self.mu.points)
        nodes = AtomFlow(self.mu.points, log_mu - log_phi0)
        ratio: Flow = nodes
        source = self.source
        if source is not None and not source.is_discrete:
            ratio = (
                UnitFlow()
                if self._is_heat_flow(source, terminal, log_phi0)
                else self._ratio_flow(source, terminal, nodes)
            )
        return _Parts(terminal, ratio, nodes, log_phi0)

    def _is_heat_flow(self, source: Source, terminal: Flow, log_phi0: FloatArray) -> bool:
        """Whether μ = φ_0 to rounding, so that φ̂ ≡ 1: checked at every node that carries mass, for ν in closed form
        only."""
        exact = isinstance(terminal, MixtureFlow) or (isinstance(terminal, PathFlow) and terminal.coarse == np.inf)
        if not exact or self.tilt.any() or len(source.discrete_part[1]):
            return False
        heavy = self.mu.weights > _LATTICE_LIGHT * self.mu.weights.max()
        log_mu = np.asarray(source.log_density(self.mu.points[heavy]))
        return bool(np.abs(log_mu - log_phi0[heavy]).max() < _SAME)

    def _ratio_flow(self, source: Source, terminal: Flow, nodes: AtomFlow) -> Flow:
        def log_ratio(x: FloatArray) -> FloatArray:
            with np.errstate(invalid="ignore"):  # far out both are −∞: lost, and left to the nodes
                return source.log_density(x) - terminal.log_and_score(self.epsilon, x)[0]

        if isinstance(source, Source1D):
            continuous = DensityFlow(
                log_ratio, nodes, coarse=_LINE_SWITCH * self.epsilon, edges=_edges(source, self.mu.points[:, 0])
            )
        else:
            coarse = min(2.0 * spacing(self.mu.points) ** 2, 0.5 * self.epsilon)
            continuous = DensityFlow(log_ratio, nodes, coarse=max(coarse, 1e-3 * self.epsilon))
        points, masses = source.discrete_part
        if len(points) == 0:
            return continuous
        return _Mixed(continuous, AtomFlow(points, np.log(masses) - terminal.log_and_score(self.epsilon, points)[0]))

    # -- potentials -------------------------------------------------------------------------------------------

    @property
    def atomic(self) -> bool:
        """Whether ν has atoms, so that ρ_1 has no density and u blows up as t → 1."""
        return self._parts.terminal.atomic

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
        return self._vector(self.epsilon * self._phi(self._time(t, terminal=True), points)[1], x)

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
        return self._vector(points + tiny * self._parts.terminal.log_and_score(tiny, points)[1], x)

    # -- laws -------------------------------------------------------------------------------------------------

    @property
    def terminal(self) -> DiscreteLaw:
        """ρ_1 as weighted points: weights w_j e^{τ_j} c(y_j). Equal to ν iff ν is optimal (or the plan converged)."""
        law = self.reconstruction
        log_c = self._phi_hat(1.0, law.points)[0]
        return DiscreteLaw(law.points, law.weights * np.exp(self.tilt + log_c))

    def quadrature(self, t: float) -> DiscreteLaw:
        """Points and weights that integrate smooth functions against ρ_t.

        From the side of ν for t ≥ 1/2, E f(X_t) = Σ_j w_j e^{τ_j} E[(φ̂_t f)(y_j + √(ε(1−t)) Z)]; before, from the
        side of μ in the same
        way on the line and for t < 0.1, and by the trapezoidal rule on a lattice otherwise and for smooth ν. The
        weights sum to one up to the
        quadrature error, which is therefore visible.
        """
        time = self._time(t)
        if time in (0.0, 1.0):
            return self.mu if time == 0.0 else self.terminal
        late = time >= 0.5
        space = self.dim in (2, 3) and (_EARLY <= time < 0.5 or not self.atomic)
        if space or (self.dim == 1 and not self.atomic and self.mu.size > _LONG):
            return self._lattice(time)
        atoms = (
            AtomFlow(self.reconstruction.points, _log(self.reconstruction.weights) + self.tilt)
            if late
            else self._parts.nodes
        )
        heavy = self._heavy(atoms, late)
        z, w = gaussian_rule(self.dim, 0.25 if heavy.sum() <= _MANY else 0.5, coarse=not late)
        spread = np.sqrt(self.epsilon * ((1.0 - time) if late else time))
        points = (atoms.points[heavy, None, :] + spread * z).reshape(-1, self.dim)
        other = self._phi_hat(time, points)[0] if late else self._phi(time, points)[0]
        weights = np.exp(other.reshape(-1, len(w)) + atoms.log_mass[heavy, None]) * w
        keep = weights.ravel() > 0
        return DiscreteLaw(points[keep], weights.ravel()[keep])

    def _lattice(self, t: float) -> DiscreteLaw:
        """Lattice whose spacing resolves √(εt(1−t)), the narrowest feature of ρ_t, or ν itself where that is smooth."""
        spread = np.sqrt(self.epsilon * t * (1.0 - t))
        step = _LATTICE[self.dim] * spread
        ends = self.mu.points[self.mu.weights > _LATTICE_LIGHT * self.mu.weights.max()]
        if not self.atomic:
            step = max(step, 0.7 * spacing(self.reconstruction.points))
        axes = [
            np.arange(np.floor((a - 6 * spread) / step), np.ceil((b + 6 * spread) / step) + 1) * step
            for a, b in zip(ends.min(axis=0), ends.max(axis=0), strict=True)
        ]
        points = np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1).reshape(-1, self.dim)
        weights = self.density(t, points) * step**self.dim
        keep = weights > _LIGHT
        return DiscreteLaw(points[keep], weights[keep])

    def _heavy(self, atoms: AtomFlow, late: bool) -> NDArray[np.bool_]:
        weight = self.reconstruction.weights if late else self.mu.weights
        return np.asarray(weight[weight > 0] > _LIGHT)

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
        draws = self._parts.terminal.draw(
            self.epsilon, self._points(x), np.asarray(uniform, dtype=np.float64), np.asarray(normal, dtype=np.float64)
        )
        return self._vector(draws, x)

    def on_grid(self, grid: Any, **options: Any) -> GridBridge:
        """Return the same bridge by the grid route; see `heatrd.bridge.grid.grid_bridge` for the options."""
        return grid_bridge(self, grid, **options)

    @property
    def log_phi0(self) -> FloatArray:
        """log φ_0 at the points of ``mu``; −Σ μ log φ_0 = F(ν) + (d/2) log 2πε for the tilt zero."""
        return self._parts.log_phi0

    # -- inside -----------------------------------------------------------------------------------------------

    def _phi(self, t: float, x: FloatArray) -> tuple[FloatArray, FloatArray]:
        return self._parts.terminal.log_and_score(self.epsilon * (1.0 - t), x)

    def _phi_hat(self, t: float, x: FloatArray) -> tuple[FloatArray, FloatArray]:
        ratio = self._parts.ratio
        s = self.epsilon * t
        if isinstance(ratio, AtomFlow | UnitFlow) or s >= getattr(ratio, "coarse", np.inf) or t == 0.0:
            return ratio.log_and_score(s, x)
        guess = x + (1.0 - t) * self.epsilon * self._phi(t, x)[1]  # E[X_1 | X_t = x]
        return ratio.log_and_score(s, x, (x - t * guess) / (1.0 - t), np.sqrt(s / (1.0 - t)))

    def _time(self, t: float, *, terminal: bool = False, initial: bool = False) -> float:
        time = arguments.number(t, "t")
        if not 0.0 <= time <= 1.0:
            raise InvalidInput(f"t = {t} is outside [0, 1]; time runs from the source (0) to the reconstruction (1)")
        if terminal and time == 1.0 and self.atomic:
            raise InvalidInput(
                "at t = 1 the law is atomic and has no density; use t < 1, or .reconstruction for the law itself"
            )
        if initial and time == 0.0 and isinstance(self._parts.ratio, AtomFlow):
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


class _Mixed(SumFlow):
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


def _positive(epsilon: float) -> float:
    number = arguments.number(epsilon, "epsilon", positive=True)
    if number > _WIDEST:
        raise InvalidInput(f"epsilon={number:g}; a bridge needs epsilon <= {_WIDEST:g}: change the unit of length")
    return number


def _pair(law: Any) -> tuple[Any, Any]:
    points, weights = getattr(law, "points", None), getattr(law, "weights", None)
    if points is None:
        raise InvalidInput(f"mu is a {type(law).__name__}; need a DiscreteLaw (heatrd.as_law(points, weights))")
    return points, weights


def _log(values: FloatArray) -> FloatArray:
    with np.errstate(divide="ignore"):
        return np.log(values)


def _edges(source: Source1D, nodes: FloatArray) -> FloatArray:
    low, high = source.support
    low = low if np.isfinite(low) else nodes.min() - 10.0 * (1.0 + np.ptp(nodes))
    high = high if np.isfinite(high) else nodes.max() + 10.0 * (1.0 + np.ptp(nodes))
    inner = [b for b in source.breakpoints if low < b < high]
    return np.array([low, *inner, high])


def _is_mixture(law: Any) -> bool:
    return all(hasattr(law, name) for name in ("weights", "means", "covs"))


def _flow_of(nu: Source, nodes: AtomFlow, epsilon: float) -> Flow:
    """The heat flow of a source with a density."""
    if _is_mixture(nu):
        return MixtureFlow(nu.weights, nu.means, nu.covs)  # type: ignore[attr-defined]
    if isinstance(nu, Source1D):
        return DensityFlow(nu.log_density, nodes, coarse=_LINE_SWITCH * epsilon, edges=_edges(nu, nodes.points[:, 0]))
    coarse = min(2.0 * spacing(nodes.points) ** 2, 0.5 * epsilon)
    return DensityFlow(nu.log_density, nodes, coarse=max(coarse, 1e-3 * epsilon))


def _nodes_of(nu: Any, nodes: DiscreteLaw | None, epsilon: float) -> DiscreteLaw:
    """Quadrature nodes of a source: given, or computed for kernels of width √(ε/4), as t → 1 asks for finer ones."""
    if nodes is not None:
        return nodes
    if not isinstance(nu, Source):
        if hasattr(nu, "points") and hasattr(nu, "weights"):  # any law that can be listed as points
            return as_law(nu.points, nu.weights, what="nu")
        raise InvalidInput(f"nu is a {type(nu).__name__}; need a DiscreteLaw or a Source")
    return source_nodes(nu, 0.25 * epsilon)


def _has_density(path: Any) -> bool:
    """Whether ρ_1 of a path is a density that can be evaluated."""
    centre = np.asarray(path.source.mean, dtype=np.float64)[None, :]
    try:
        return bool(np.isfinite(path.score(1.0, centre)).all())
    except InvalidInput:
        return False
