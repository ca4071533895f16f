"""The account of terminal-entropy control: energy + terminal entropy, by three routes (DESIGN (3), (4)).

For dX = u dt + √ε dW, X_0 ~ μ, with density path ρ_t, over [0, s]:

    E_s = E∫₀ˢ‖u‖²/2ε dt,    h_s = h(X_s),    E_s + h_s = h(X_0) + E∫₀ˢ‖u − ε∇log ρ‖²/2ε dt  ≥  …,

and at the optimal control E_1 + h_1 = L(ε) + (d/2) log 2πε. The routes:

- ``potentials``: with u = ε∇log φ Itô's formula gives E_s = E log φ_s(X_s) − E log φ_0(X_0), so that the sum is
  −E log φ_0(X_0) − E log φ̂_s(X_s) and the excess E log φ̂_0(X_0) − E log φ̂_s(X_s): three expectations, no time
  integral. Where ν has atoms,
  E_s → ∞ and h_s → −∞ as s → 1, but φ̂_1 = c = 1 on them and the sum tends to the optimum.
- ``quadrature``: E‖u_t‖², E‖u_t − ε∇log ρ_t‖² and −∫ρ_s log ρ_s as integrals over x of the density path and the
  control,
  Gauss–Legendre in time (in log(1 − t) where u blows up). For any other control in one dimension the density path is
  that of the Euler chain, found by
  integrating its Gaussian transition kernels.
- ``paths``: Monte Carlo on exact paths (or on any `Ensemble`), with standard errors; the excess through its Itô form
  E[log φ̂_0(X_0) − log φ̂_s(X_s)], which has the smaller variance.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from heatrd.bridge import SchrodingerBridge
from heatrd.bridge.nodes import source_nodes
from heatrd.errors import InvalidInput
from heatrd.laws import DiscreteLaw
from heatrd.plots.bridge import plot_account
from heatrd.sampler import Ensemble, Estimate, sample
from heatrd.sampler.ensemble import block_estimate
from heatrd.sources import Source

__all__ = ["TECAccount", "tec_account"]

FloatArray = NDArray[np.float64]

METHODS = ("auto", "potentials", "quadrature", "paths")
_PANEL = 12  # Gauss–Legendre nodes per panel in time
_PLANE_POINTS = 160
_LAST_ATOMIC = 0.95
_LINE_PATHS = 1 << 15
_SPACE_PATHS = 1 << 18


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


def tec_account(
    control: Any,
    *,
    method: str = "auto",
    times: ArrayLike | None = None,
    until: float | None = None,
    epsilon: float | None = None,
    initial: Any = None,
    n_paths: int | None = None,
    n_steps: int = 200,
    rng: np.random.Generator | int | None = 0,
    optimum: float | None = None,
) -> TECAccount:
    """Account for a control: energy, terminal entropy, their sum, the optimum and the excess.

    Parameters
    ----------
    control : Solution, SchrodingerBridge, TransportPlan, HeatPath, Ensemble or callable
        What steers: the optimal objects of the package, an ensemble already sampled, or any u(t, x).
    method : {"auto", "potentials", "quadrature", "paths"}
        "auto": potentials for bridges, quadrature for heat paths and (one-dimensional) callables, paths for ensembles.
    times : (k,) array_like, optional
        The s to report, increasing in (0, 1]; ``until`` alone when omitted, preceded by a few earlier ones.
    until : float, optional
        Last s; 1 where that exists for the route, else 0.95.
    epsilon, initial : optional
        For callables: diffusion coefficient, and the source (or discrete law) of X_0.
    n_paths, rng : int, seed
        For ``paths``: quasi-random paths (a multiple of 16; 2¹⁵ on the line and 2¹⁸ in R^d when omitted), and their
        seed.
    n_steps : int
        Time steps of the Euler chain, for callables.
    optimum : float, optional
        L(ε) + (d/2) log 2πε, where the caller knows it better.

    Returns
    -------
    TECAccount

    Raises
    ------
    InvalidInput
        An unknown method, or one that does not fit the control.
    """
    start = time.perf_counter()
    if method not in METHODS:
        raise InvalidInput(f"method = {method!r}; use one of {', '.join(METHODS)}")
    if isinstance(control, Ensemble):
        return _of_ensemble(control, optimum, start)
    given = optimum if optimum is not None else _known_optimum(control)
    control = _unwrap(control)
    if isinstance(control, SchrodingerBridge):
        terms = _of_bridge(control, method, times, until, n_paths, rng)
        known = _bridge_optimum(control) if given is None else given
        return _make(terms, control.epsilon, control.dim, _entropy_of(control), known, start)
    if hasattr(control, "score") and hasattr(control, "log_density"):
        if method in ("potentials", "paths"):
            bridge = SchrodingerBridge.from_path(control)
            terms = _of_bridge(bridge, method, times, until, n_paths, rng)
        else:
            terms = _quadrature_account(control, _report_times(times, until, False, 1.0), _path_cubature(control), None)
        entropy = _source_entropy(control.source, None)
        return _make(terms, control.epsilon, control.dim, entropy, entropy if given is None else given, start)
    return _of_callable(control, method, times, until, epsilon, initial, n_paths, n_steps, rng, given, start)


@dataclass(frozen=True, eq=False)
class _Terms:
    method: str
    times: FloatArray
    energies: FloatArray
    entropies: FloatArray
    totals: FloatArray
    excesses: FloatArray
    stderr: FloatArray


def _make(terms: _Terms, epsilon: float, dim: int, initial_entropy: float, optimum: float, start: float) -> TECAccount:
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


def _unwrap(control: Any) -> Any:
    """The bridge of a solution or of a plan; anything else as it is."""
    inner = getattr(control, "bridge", None)
    if inner is None or isinstance(control, SchrodingerBridge):
        return control
    return inner() if callable(inner) else inner


def _known_optimum(control: Any) -> float | None:
    """L(ε) + (d/2) log 2πε of a certified solution."""
    value, eps = getattr(control, "lagrangian", None), getattr(control, "epsilon", None)
    law = getattr(control, "reconstruction", None)
    if value is None or eps is None or law is None:
        return None
    return float(value) + 0.5 * law.dim * float(np.log(2 * np.pi * eps))


def _bridge_optimum(bridge: SchrodingerBridge) -> float:
    return float("nan") if bridge.tilt.any() else -_mean(bridge.mu, bridge.log_phi0)


def _mean(law: DiscreteLaw, values: FloatArray) -> float:
    live = law.weights > 0
    return float(law.weights[live] @ values[live])


def _entropy_of(bridge: SchrodingerBridge) -> float:
    return -np.inf if bridge.source is None else _source_entropy(bridge.source, bridge.mu)


def _source_entropy(source: Source, nodes: DiscreteLaw | None) -> float:
    """h(μ), in closed form or on the quadrature nodes."""
    value = source.entropy()
    if value is not None:
        return float(value)
    if len(source.discrete_part[1]):
        return -np.inf
    law = source_nodes(source, 0.01 * source.total_variance / source.dim) if nodes is None else nodes
    log_density = np.asarray(source.log_density(law.points))
    return -_mean(law, log_density) if np.isfinite(log_density).all() else -np.inf


def _report_times(times: ArrayLike | None, until: float | None, atomic: bool, last: float) -> FloatArray:
    if times is not None:
        grid: FloatArray = np.atleast_1d(np.asarray(times, dtype=np.float64))
        if not (np.diff(grid) > 0).all() or not (0 < grid[0] and grid[-1] <= 1):
            raise InvalidInput(f"times = {times}; need increasing s in (0, 1]")
    else:
        end = last if until is None else float(until)
        if not 0 < end <= 1:
            raise InvalidInput(f"until = {until}; need s in (0, 1]")
        grid = 1 - 0.5 ** np.arange(1.0, 11.0) if atomic and end > 0.99 else np.linspace(0, end, 5)[1:-1]
        grid = np.append(grid[grid < end], end)
    if atomic and last < 1 and grid[-1] == 1:
        raise InvalidInput(
            "energy and entropy diverge as s → 1 where the reconstruction is atomic; "
            "use until < 1, or method='potentials', "
            "which takes the limit of their sum"
        )
    return grid


# -- bridges ------------------------------------------------------------------------------------------------------


def _of_bridge(
    bridge: SchrodingerBridge, method: str, times: ArrayLike | None, until: float | None, n_paths: int | None, rng: Any
) -> _Terms:
    atomic = bridge.atomic
    if method in ("auto", "potentials"):
        return _potentials(bridge, _report_times(times, until, atomic, 1.0))
    last = _LAST_ATOMIC if atomic else 1.0
    if bridge.dim > 1 and times is None:  # every report costs a pass over the source's nodes
        times = [last if until is None else until]
    grid = _report_times(times, until, atomic, last)
    if method == "paths":
        return _paths(bridge, grid, n_paths or (_LINE_PATHS if bridge.dim == 1 else _SPACE_PATHS), rng)
    return _quadrature_account(
        bridge, grid, _line_cubature(bridge) if bridge.dim == 1 else _bridge_cubature(bridge), atomic
    )


def _potentials(bridge: SchrodingerBridge, grid: FloatArray) -> _Terms:
    start_phi = _mean(bridge.mu, bridge.log_phi0)
    h0 = _entropy_of(bridge)
    start_hat = -h0 - start_phi  # E log φ̂_0 = −h(X_0) − E log φ_0
    energies, entropies, totals = (np.empty(len(grid)) for _ in range(3))
    for k, s in enumerate(grid):
        law = bridge.quadrature(s)
        hat = float(law.weights @ bridge.log_copotential(s, law.points))
        if s == 1.0 and bridge.atomic:
            energies[k], entropies[k], totals[k] = np.inf, -np.inf, -start_phi - hat
            continue
        phi = float(law.weights @ bridge.log_potential(s, law.points))
        energies[k], entropies[k] = phi - start_phi, -phi - hat
        totals[k] = energies[k] + entropies[k]
    excesses = totals + start_phi + start_hat
    return _Terms("potentials", grid, energies, entropies, totals, excesses, np.zeros((4, len(grid))))


def _paths(bridge: SchrodingerBridge, grid: FloatArray, n_paths: int, rng: Any) -> _Terms:
    """Exact paths at Gauss–Legendre times: the time integral has no bias worth the name."""
    nodes, weights, ends = _time_rule(grid, bridge.atomic, False)
    ticks = np.unique(np.concatenate([[0.0], nodes, grid]))
    run = sample(bridge, n_paths, times=ticks, save=True, scheme="exact", quasi=True, rng=rng)
    assert run.paths is not None and run.saved_times is not None
    at = {float(t): run.paths[:, i] for i, t in enumerate(run.saved_times)}
    energy, used, eps = np.zeros(n_paths), 0, bridge.epsilon
    columns: list[list[Estimate]] = [[], [], [], []]
    first = _log_ratio(bridge, run.initial)
    for s, end in zip(grid, ends, strict=True):
        for t, w in zip(nodes[used:end], weights[used:end], strict=True):
            energy += w * (bridge.control(t, at[float(t)]) ** 2).sum(axis=1) / (2 * eps)
        used = end
        x = at[float(s)]
        hat = bridge.log_copotential(s, x)
        surprise = -bridge.log_potential(s, x) - hat
        for column, values in zip(columns, (energy, surprise, energy + surprise, first - hat), strict=True):
            column.append(block_estimate(values, run.block))
    values = np.array([[float(e) for e in column] for column in columns])
    stderr = np.array([[e.stderr for e in column] for column in columns])
    return _Terms("paths", grid, values[0], values[1], values[2], values[3], stderr)


def _log_ratio(bridge: SchrodingerBridge, x: FloatArray) -> FloatArray:
    """log φ̂_0 = log μ/φ_0 at the starts; infinite where μ has no density, as is then the excess."""
    if bridge.source is None or len(bridge.source.discrete_part[1]):
        return np.full(len(x), np.inf)
    return np.asarray(bridge.source.log_density(x)) - bridge.log_potential(0.0, x)


# -- quadrature ---------------------------------------------------------------------------------------------------

Cubature = Callable[[float], tuple[FloatArray, FloatArray]]


def _quadrature_account(path: Any, grid: FloatArray, cubature: Cubature, atomic: bool | None) -> _Terms:
    """Integrals over x at Gauss–Legendre times; ``cubature(t)`` gives points (n, d) and weights that carry ρ_t."""
    nodes, weights, ends = _time_rule(grid, bool(atomic), path.dim == 1)
    eps = path.epsilon
    energy_rate, excess_rate = np.empty(len(nodes)), np.empty(len(nodes))
    for k, t in enumerate(nodes):
        x, w = cubature(float(t))
        u = path.control(t, x)
        energy_rate[k] = w @ (u**2).sum(axis=1) / (2 * eps)
        excess_rate[k] = w @ ((u - eps * path.score(t, x)) ** 2).sum(axis=1) / (2 * eps)
    energies = np.cumsum(weights * energy_rate)[np.array(ends) - 1]
    excesses = np.cumsum(weights * excess_rate)[np.array(ends) - 1]
    entropies = np.empty(len(grid))
    for k, s in enumerate(grid):
        x, w = cubature(float(s))
        entropies[k] = -w @ path.log_density(s, x)
    return _Terms("quadrature", grid, energies, entropies, energies + entropies, excesses, np.zeros((4, len(grid))))


def _time_rule(grid: FloatArray, singular: bool, rough: bool) -> tuple[FloatArray, FloatArray, list[int]]:
    """Gauss–Legendre nodes and weights on [0, s_1], [s_1, s_2], ….

    In −log(1 − t) where the integrand blows up at 1; in the square root of the first interval where μ may be
    ``rough``, because a jump
    makes the excess rate grow like t^{−1/2}.
    """
    z, w = np.polynomial.legendre.leggauss(_PANEL)
    edges = np.concatenate([[0.0], grid])
    scale = -np.log1p(-edges) if singular else edges
    nodes, weights, ends = [], [], []
    for a, b in pairwise(scale):
        pieces = max(int(np.ceil((b - a) / (0.7 if singular else 0.3))), 1)
        cuts = np.linspace(0.0, 1.0, pieces + 1)
        half = 0.5 * np.diff(cuts)[:, None]
        v, share = (cuts[:-1, None] + half * (1 + z)).ravel(), (half * w).ravel()
        place, stretch = (b * v**2, 2 * b * v) if a == 0.0 and rough else (a + (b - a) * v, np.full(len(v), b - a))
        nodes.append(-np.expm1(-place) if singular else place)
        weights.append(share * stretch * (np.exp(-place) if singular else 1.0))
        ends.append(sum(len(n) for n in nodes))
    return np.concatenate(nodes), np.concatenate(weights), ends


def _line_cubature(bridge: SchrodingerBridge) -> Cubature:
    """Trapezoidal rule in x, spaced for a density smoothed over √(εt(1−t)) and controls varying over ε(1−t)."""
    live = np.concatenate(
        [
            bridge.mu.points[bridge.mu.weights > 1e-16, 0],
            bridge.reconstruction.points[bridge.reconstruction.weights > 1e-16, 0],
        ]
    )
    low, high = live.min(), live.max()
    span = np.ptp(bridge.reconstruction.points[:, 0]) / max(bridge.reconstruction.size - 1, 1)

    def points_and_weights(t: float) -> tuple[FloatArray, FloatArray]:
        late = 1.0 - t if bridge.atomic else 1.0
        spread = np.sqrt(bridge.epsilon * t * late)
        step = min(0.4 * spread, 0.5 * bridge.epsilon * late / max(span, 1e-3 * np.sqrt(bridge.epsilon)))
        slack = 9.0 * np.sqrt(bridge.epsilon * t * (1.0 - t)) + 4 * step
        count = int(np.clip(np.ceil((high - low + 2 * slack) / step), 64, 200_000))
        x, step = np.linspace(low - slack, high + slack, count + 1, retstep=True)
        density = bridge.density(t, x)
        keep = density > 1e-25
        return x[keep, None], density[keep] * step

    return points_and_weights


def _bridge_cubature(bridge: SchrodingerBridge) -> Cubature:
    def points_and_weights(t: float) -> tuple[FloatArray, FloatArray]:
        law = bridge.quadrature(t)
        return law.points, law.weights

    return points_and_weights


def _path_cubature(path: Any) -> Cubature:
    """Trapezoidal rule over the box of a heat path: its densities are smooth and vanish at the walls."""
    count = {1: 2000, 2: _PLANE_POINTS, 3: 64}[path.dim]
    axes = [np.linspace(low, high, count) for low, high in path.grid.walls]
    cell = float(np.prod([axis[1] - axis[0] for axis in axes]))
    x = np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1).reshape(-1, path.dim)

    def points_and_weights(t: float) -> tuple[FloatArray, FloatArray]:
        density = np.asarray(path.density(t, x)).reshape(len(x))
        keep = density > 1e-18 * density.max()
        return x[keep], density[keep] * cell

    return points_and_weights


# -- anything else ------------------------------------------------------------------------------------------------


def _of_ensemble(ensemble: Ensemble, optimum: float | None, start: float) -> TECAccount:
    """Read an account off an ensemble (its energy and entropy must end at the same time)."""
    if ensemble.energy_horizon < ensemble.times[-1]:
        raise InvalidInput(
            "this ensemble ends on the atoms of the reconstruction, where energy and entropy diverge; "
            "sample with until < 1, "
            "or with scheme='euler'"
        )
    parts = (ensemble.energy, ensemble.entropy, ensemble.account)
    values = [np.array([float(p)]) for p in parts]
    stderr = np.array([[p.stderr] for p in parts] + [[np.nan]])
    terms = _Terms("paths", ensemble.times[-1:], values[0], values[1], values[2], np.array([np.nan]), stderr)
    return _make(terms, ensemble.epsilon, ensemble.dim, np.nan, np.nan if optimum is None else optimum, start)


def _of_callable(
    control: Any,
    method: str,
    times: ArrayLike | None,
    until: float | None,
    epsilon: float | None,
    initial: Any,
    n_paths: int | None,
    n_steps: int,
    rng: Any,
    optimum: float | None,
    start: float,
) -> TECAccount:
    """Account for an arbitrary control: by its Euler chain in one dimension, by paths in any."""
    if method == "potentials":
        raise InvalidInput(
            "the potentials of an arbitrary control are not known; use method='quadrature' (d = 1) or 'paths'"
        )
    dim = getattr(initial, "dim", None)
    if method == "paths" or (method == "auto" and dim != 1):
        run = sample(
            control,
            n_paths or _SPACE_PATHS,
            n_steps,
            epsilon=epsilon,
            initial=initial,
            scheme="euler",
            rng=rng,
            until=1.0 if until is None else until,
        )
        return _of_ensemble(run, optimum, start)
    if not isinstance(initial, Source | DiscreteLaw) or dim != 1 or epsilon is None:
        raise InvalidInput(
            "quadrature of an arbitrary control needs epsilon= and initial=, a source or discrete law on the line"
        )
    terms = _chain(control, epsilon, initial, _report_times(times, until, False, 1.0), n_steps)
    entropy = _source_entropy(initial, None) if isinstance(initial, Source) else -np.inf
    return _make(terms, epsilon, 1, entropy, np.nan if optimum is None else optimum, start)


def _chain(control: Any, epsilon: float, initial: Any, grid: FloatArray, n_steps: int) -> _Terms:
    """Density path of the Euler chain x' = x + uΔ + √(εΔ) z, by integrating its transition kernels on a lattice.

    Spacing 0.7√(εΔ) integrates them to rounding. Σ E‖u‖²Δ/2ε + h(X_s) is the chain's own account; the excess
    integral is that of the continuous-time
    formula, trapezoidal in t, so the two differ by O(Δ).
    """
    law = source_nodes(initial, 0.25 * epsilon / n_steps) if isinstance(initial, Source) else initial
    times = np.unique(np.concatenate([np.linspace(0, grid[-1], n_steps + 1), grid]))
    x, w = law.points[:, 0], law.weights
    spacing = 0.7 * np.sqrt(epsilon * np.diff(times).min())
    energy, excess, last_rate = 0.0, 0.0, None
    rows: list[tuple[float, float, float]] = []
    for t, end in pairwise(times):
        delta = end - t
        u = np.asarray(control(t, x[:, None]), dtype=np.float64).reshape(len(x))
        energy += delta * float(w @ u**2) / (2 * epsilon)
        mean, noise = x + delta * u, np.sqrt(epsilon * delta)
        heavy = w > 1e-18
        low, high = mean[heavy].min() - 8.5 * noise, mean[heavy].max() + 8.5 * noise
        x = np.arange(np.floor(low / spacing), np.ceil(high / spacing) + 1) * spacing
        density, slope = _push(x, mean[heavy], w[heavy], noise)
        w = density * spacing
        ahead = np.asarray(control(min(end, 1.0), x[:, None]), dtype=np.float64).reshape(len(x)) if end < 1 else None
        if ahead is not None:
            rate = float(w @ (ahead - epsilon * slope) ** 2) / (2 * epsilon)
            excess += delta * (rate if last_rate is None else 0.5 * (rate + last_rate))
            last_rate = rate
        elif last_rate is not None:
            excess += delta * last_rate
        if np.isclose(end, grid, rtol=0, atol=1e-14).any():
            live = density > 0
            rows.append((energy, -float(w[live] @ np.log(density[live])), excess))
    energies, entropies, excesses = np.array(rows).T
    return _Terms("quadrature", grid, energies, entropies, energies + entropies, excesses, np.zeros((4, len(grid))))


def _push(x: FloatArray, mean: FloatArray, weight: FloatArray, noise: float) -> tuple[FloatArray, FloatArray]:
    """Density Σ w N(x; mean, noise²) and its score, a block of rows at a time."""
    density, slope = np.empty(len(x)), np.empty(len(x))
    rows = max(4_000_000 // len(mean), 1)
    for i in range(0, len(x), rows):
        z = (x[i : i + rows, None] - mean) / noise
        p = np.exp(-0.5 * z**2) * (weight / (np.sqrt(2 * np.pi) * noise))
        density[i : i + rows] = p.sum(axis=1)
        slope[i : i + rows] = -(p * z).sum(axis=1) / noise / np.maximum(density[i : i + rows], 1e-300)
    return density, slope
