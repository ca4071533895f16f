"""The certificate of rotationally symmetric laws, in any dimension.

With X = ρU and ν the law of σV (U, V uniform on the unit sphere), everything depends on radii only. In units of √ε

    κ(r, s) = E exp(−‖r e − s V‖²/2) = exp(−(r − s)²/2) · E exp(r s (e·V − 1)),

log Z(r) = log Σ_j w_j κ(r, s_j), and c(y) = Σ_i a_i κ(r_i, ‖y‖). Along any line through the origin c is an even entire
function with |c(s + iv)| ≤ exp(v²/2) c(s), so the Chebyshev bound of `supremum` holds with d = 1; outside the
largest radius c only decreases.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property, lru_cache

import numpy as np
from numpy.polynomial.chebyshev import chebvander
from numpy.typing import NDArray

from heatrd.certificate.base import Certificate
from heatrd.certificate.space_dual import Measured, NodalCheck, Supremum, best_dual
from heatrd.certificate.supremum import Scan, chebyshev_points, degrees, upper_bound
from heatrd.errors import InvalidInput
from heatrd.kernels.radial import chebyshev_table, radial_log_kernel
from heatrd.quadrature.tiles import LOG_HUGE, make_tiles
from heatrd.sources import RadialSource
from heatrd.sources._bessel import bessel_ratio, log_damped_average
from heatrd.sources.radial_base import sphere_rule

__all__ = ["RadialLaw", "RadialProblem", "certify_radii", "log_kernel", "radial_problem", "slopes"]

FloatArray = NDArray[np.float64]

_REACH = 13.0
_WIDEST = 250.0  # √ε between the innermost and the outermost radius
_TABLE_ORDER, _TABLE_WIDTH, _TABLE_PANELS = 14, 0.2, 100  # up to t = e^20
_ENUMERABLE = 1_000_000


class RadialLaw:
    """A rotationally symmetric law: weights on spheres about a centre.

    Attributes
    ----------
    radii, masses : (m,) arrays
        Radii in the source's units, and their probabilities.
    dim : int
    centre : (dim,) array
    spacing : float
        Distance of neighbouring points on a sphere when the law is listed as points.
    """

    def __init__(self, radii: FloatArray, masses: FloatArray, centre: FloatArray, spacing: float) -> None:
        order = np.argsort(radii)
        self.radii, self.masses = radii[order], masses[order] / masses.sum()
        self.centre, self.spacing = centre, spacing
        self.dim = len(centre)

    @cached_property
    def _listed(self) -> tuple[FloatArray, FloatArray]:
        if self.dim > 3:
            raise InvalidInput(
                f"this law is uniform on {len(self.radii)} spheres of R^{self.dim}: its points cannot be listed; "
                "use .radii and .masses"
            )
        degrees_needed = [int(np.ceil(2 * np.pi * r / self.spacing)) + 10 if r > 0 else 0 for r in self.radii]
        count = sum((n + 1) if self.dim == 2 else (n + 1) * (n // 2 + 1) for n in degrees_needed)
        if count > _ENUMERABLE:
            raise InvalidInput(f"{count} points would be needed to list this law; use .radii and .masses")
        points, weights = [], []
        for r, w, n in zip(self.radii, self.masses, degrees_needed):
            if n == 0:
                points.append(self.centre[None, :])
                weights.append(np.array([w]))
                continue
            u, v = sphere_rule(self.dim, n)
            points.append(self.centre + r * u)
            weights.append(w * v)
        total = np.concatenate(weights)
        return np.concatenate(points), total / total.sum()

    @property
    def points(self) -> FloatArray:
        """Support points (m, d) of an equivalent discrete law, d = 2 or 3 (InvalidInput beyond)."""
        return self._listed[0]

    @property
    def weights(self) -> FloatArray:
        """Masses of `points`."""
        return self._listed[1]

    @property
    def size(self) -> int:
        return len(self.points)

    def __len__(self) -> int:
        return self.size

    @property
    def mean(self) -> FloatArray:
        return self.centre.copy()

    @property
    def covariance(self) -> FloatArray:
        return np.asarray(self.masses @ self.radii**2 / self.dim * np.eye(self.dim))


@lru_cache(maxsize=64)
def _table(dim: int, which: str) -> FloatArray:
    """Chebyshev coefficients on panels of log(1 + t): "log" E exp(t(e·V − 1)), "ratio" A_d(t), "slope" A_d′(t)."""
    x = chebyshev_points(_TABLE_ORDER)
    u = _TABLE_WIDTH * (np.arange(_TABLE_PANELS)[:, None] + 0.5 * (1 + x))
    t = np.expm1(u)
    if which == "log":
        values = log_damped_average(dim, t)
    else:
        values = bessel_ratio(dim, t)
        if which == "slope":
            small = t < 1e-5
            with np.errstate(divide="ignore", invalid="ignore"):
                values = np.where(small, 1.0 / dim, 1 - values**2 - (dim - 1) * values / t)
    return np.ascontiguousarray(values @ np.linalg.inv(chebvander(x, _TABLE_ORDER - 1)).T)


def _lookup(dim: int, which: str, t: FloatArray) -> FloatArray:
    flat = np.ascontiguousarray(t).ravel()
    out = np.empty(flat.size)
    chebyshev_table(flat, _table(dim, which), _TABLE_WIDTH, out)
    return out.reshape(t.shape)


def log_kernel(dim: int, r: FloatArray, s: FloatArray) -> FloatArray:
    """log κ(r_i, s_j), shape (len(r), len(s)); −∞ where it cannot matter."""
    out = np.empty((len(r), len(s)))
    reach = _REACH + 1.5 * float(np.sqrt(dim))  # x − y is about √d long
    if len(s):
        ordered = np.sort(s)
        index = np.searchsorted(ordered, r)
        nearest = np.minimum(
            np.abs(r - ordered[np.maximum(index - 1, 0)]), np.abs(r - ordered[np.minimum(index, len(s) - 1)])
        )
        reach = max(reach, float(nearest.max(initial=0.0)) + 1.0)
    radial_log_kernel(np.ascontiguousarray(r), np.ascontiguousarray(s), reach, _table(dim, "log"), _TABLE_WIDTH, out)
    return out


def slopes(dim: int, r: FloatArray, s: FloatArray) -> tuple[FloatArray, FloatArray]:
    """∂ₛκ/κ and ∂ₛ²κ/κ, shape (len(r), len(s))."""
    t = np.multiply.outer(r, s)
    first = r[:, None] * _lookup(dim, "ratio", t) - s
    return first, -1 + r[:, None] ** 2 * _lookup(dim, "slope", t) + first**2


@dataclass(frozen=True, slots=True, eq=False)
class RadialProblem:
    """The law of the radius, discretised twice, in units of √ε."""

    dim: int
    epsilon: float
    r: FloatArray
    mu: FloatArray
    finer: tuple[FloatArray, FloatArray] | None
    tail_mass: float
    tail_energy: float


def radial_problem(source: RadialSource, epsilon: float, *, width: float = 2.4, mass: float = 1e-13) -> RadialProblem:
    """Discretise the radius on panels of ``width``·√ε, and once more on narrower ones."""
    root = float(np.sqrt(epsilon))
    r, w, lost, energy = _scaled_nodes(source, width * root, mass, root)
    while r.max() - r.min() > _WIDEST and mass < 1e-4:  # a heavier cut enters the bounds
        mass *= 3.0
        r, w, lost, energy = _scaled_nodes(source, width * root, mass, root)
    finer, factor = None, 0.8
    while len(r) > 1:  # panels come in whole numbers: refine until there are more of them
        finer = _scaled_nodes(source, factor * width * root, mass, root)[:2]
        if len(finer[0]) > len(r):
            break
        factor *= 0.7
    return RadialProblem(source.dim, float(epsilon), r, w, finer, lost, energy)


def _scaled_nodes(
    source: RadialSource, spacing: float, mass: float, root: float
) -> tuple[FloatArray, FloatArray, float, float]:
    """Radii in units of ``root``, masses, tail mass and tail energy."""
    r, w, lost, energy = source.radial_nodes(spacing, mass)
    keep = w > 1e-20 * w.max()
    return r[keep] / root, w[keep] / w[keep].sum(), lost + float(w[~keep].sum()), energy


class _RadialMeasured(Measured):
    """c of radial laws under one or two quadratures of the radius."""

    def __init__(self, problem: RadialProblem, radii: FloatArray, log_w: FloatArray, accuracy: float) -> None:
        self.dim, self.accuracy = problem.dim, accuracy
        pairs = [(problem.r, problem.mu), *([problem.finer] if problem.finer is not None else [])]
        self.all = [make_tiles(r[:, None], mu) for r, mu in pairs]
        self.log_z = [_log_sum(log_kernel(self.dim, t.points[:, 0], radii) + log_w) for t in self.all]
        self.log_s = [np.zeros(t.size) for t in self.all]

    def value(self, which: int, s: FloatArray) -> FloatArray:
        """c_s at radii ``s`` under quadrature ``which``."""
        t = self.all[which]
        log_a = np.log(t.weights) - self.log_z[which] - self.log_s[which]
        out = np.empty(len(s))
        step = max(1, 2_000_000 // t.size)
        for i in range(0, len(s), step):
            part = s[i : i + step]
            out[i : i + step] = np.exp(np.minimum(log_a, LOG_HUGE)) @ np.exp(log_kernel(self.dim, t.points[:, 0], part))
        return out

    def supremum(self, *, maxima: bool = True) -> Supremum:
        top_radius = max(float(t.high.max()) for t in self.all)
        n, _, _ = degrees(self.accuracy, 1)
        centres = np.arange(1.0, max(top_radius, 1.0) + 1.0, 2.0)
        points = (centres[:, None] + chebyshev_points(n)).ravel()
        values = self.value(0, np.abs(points))
        result = Scan(centres[:, None], 1.0, values.reshape(len(centres), n), 0.0, 1e-16)
        top = upper_bound(result, self.accuracy)
        high = values
        if len(self.all) > 1:
            other = self.value(1, np.abs(points))
            high = other + np.abs(values - other)
            top = max(top, float(high.max()))
        found, excess = self._maxima(points, values) if maxima else (np.zeros(0), np.zeros(0))
        where = np.abs(np.concatenate([points, found]))
        logs = np.log(np.maximum(np.concatenate([high, 1 + excess]), 1.0))
        keep = logs > 0
        log = max(float(np.log(top)), self.beyond_range())
        return Supremum(log, found[:, None], excess, self._origin(where[keep])[:, None], logs[keep])

    def _origin(self, s: FloatArray) -> FloatArray:
        """Mean radius of the mass that makes up c(s): in high dimension far from s itself."""
        t = self.all[0]
        log_a = np.minimum(np.log(t.weights) - self.log_z[0] - self.log_s[0], LOG_HUGE)
        k = np.exp(log_a[:, None] + log_kernel(self.dim, t.points[:, 0], s))
        return np.asarray((t.points[:, 0] @ k) / np.maximum(k.sum(axis=0), 1e-300))

    def _maxima(self, points: FloatArray, values: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Local maxima of c above 1 in the radius, by golden-section-like refinement of the grid's maxima."""
        order = np.argsort(points)
        x, v = points[order], values[order]
        inner = (v >= np.concatenate([[-np.inf], v[:-1]])) & (v >= np.concatenate([v[1:], [-np.inf]])) & (v > 0.97)
        index = np.flatnonzero(inner)
        if not len(index):
            return np.zeros(0), np.zeros(0)
        low, high = x[np.maximum(index - 1, 0)], x[np.minimum(index + 1, len(x) - 1)]
        for _ in range(6):
            grid = low[:, None] + (high - low)[:, None] * np.linspace(0, 1, 9)
            best = self.value(0, np.abs(grid.ravel())).reshape(grid.shape).argmax(axis=1)
            rows = np.arange(len(grid))
            low, high = grid[rows, np.maximum(best - 1, 0)], grid[rows, np.minimum(best + 1, 8)]
        found = np.abs(0.5 * (low + high))
        c = self.value(0, found)
        keep = c > 1
        return found[keep], c[keep] - 1


def _log_sum(terms: FloatArray) -> FloatArray:
    top = terms.max(axis=1)
    return np.asarray(top + np.log(np.exp(terms - top[:, None]).sum(axis=1)))


def check_radii(
    problem: RadialProblem, radii: FloatArray, weights: FloatArray, accuracy: float, *, repair: bool = True
) -> NodalCheck:
    """Bounds of a radial law for the discretised radius (units of √ε)."""
    return best_dual(_RadialMeasured(problem, radii, np.log(weights / weights.sum()), accuracy), repair=repair)


def _distortion(problem: RadialProblem, radii: FloatArray, weights: FloatArray) -> float:
    """E‖X − Y‖² of the channel, units of ε: ‖x − y‖² averaged over the sphere is r² + s² − 2 r s A_d(r s)."""
    log_p = log_kernel(problem.dim, problem.r, radii) + np.log(weights)
    p = np.exp(log_p - _log_sum(log_p)[:, None])
    t = np.multiply.outer(problem.r, radii)
    cost = np.subtract.outer(problem.r, radii) ** 2 + 2 * t * (1 - _lookup(problem.dim, "ratio", t))
    return float(problem.mu @ (p * cost).sum(axis=1))


def _spread(dim: int, t: FloatArray) -> FloatArray:
    """Bound of −log κ̄(t) for any t: beyond t₀ = 1e5 its slope 1 − A_d is at most (d − 1)(1 + d/t₀)/2t."""
    known = np.minimum(t, 1e5)
    return np.asarray(-log_damped_average(dim, known) + 0.5 * (dim - 1) * (1 + dim / 1e5) * np.log(t / known))


def _tail_cost(source: RadialSource, problem: RadialProblem, weights: FloatArray) -> float:
    """Bound of what the mass δ beyond the last node adds to F, nats.

    Either every x there goes to the nearest sphere of the law: ∫ ‖x − y‖²/2ε + δ log(1/w). Or, where the source knows
    P(ρ > r), the law gives the share δ to J more spheres of radii s_j = s_0 q^j: with p_j the mass between s_j and
    s_{j+1}, Σ_j p_j ((s_{j+1} − s_j)²/2 − log κ̄(s_{j+1}²) + log(J/δ)), κ̄(t) = E exp(t(e·V − 1)), and δ + δ² for the
    share itself.
    """
    delta = problem.tail_mass
    plain = problem.tail_energy / problem.epsilon - delta * float(np.log(weights.min()))
    outer = float(problem.r.max())
    if not hasattr(source, "tail") or outer < 20.0:
        return plain
    count = int(np.ceil(np.log(1e7) / np.log1p(8.0 / outer)))
    s = outer * np.exp(np.linspace(0.0, np.log(1e7), count + 1))
    mass, energy = np.array([source.tail(float(r) * np.sqrt(problem.epsilon)) for r in s]).T
    shell = -np.diff(mass)
    cost = 0.5 * np.diff(s) ** 2 + _spread(problem.dim, s[1:] ** 2) + np.log(count / delta)
    inner = max(delta - mass[0], 0.0) * (0.5 * outer**2 - float(np.log(weights.min())))
    rest = energy[-1] / problem.epsilon + mass[-1] * np.log(count / delta)
    return min(plain, float(shell @ cost + rest + inner + delta + delta**2))


def as_certificate(
    source: RadialSource, problem: RadialProblem, check: NodalCheck, radii: FloatArray, weights: FloatArray
) -> Certificate:
    """Add discretisation and tails; the law is a `RadialLaw`."""
    weights = weights / weights.sum()
    epsilon, root = problem.epsilon, float(np.sqrt(problem.epsilon))
    upper = lower = check.difference
    if problem.tail_mass > 0:
        upper += _tail_cost(source, problem, weights)
        lower += problem.tail_mass * (1 + abs(check.objective))
    rounding = 4e-14 * (1 + abs(check.objective))
    law = RadialLaw(root * radii, weights, source.centre, 0.75 * root)
    return Certificate(
        epsilon=epsilon,
        lagrangian=check.objective + upper + rounding,
        lagrangian_lower=max(check.lower - lower - rounding, 0.0),
        distortion=epsilon * _distortion(problem, radii, weights),
        log_sup=check.log_sup,
        discretisation=upper + lower,
        law=law,  # type: ignore[arg-type]
        quadrature=RadialLaw(root * problem.r, problem.mu, source.centre, 0.3 * root),  # type: ignore[arg-type]
    )


def certify_radii(
    source: RadialSource,
    radii: FloatArray,
    masses: FloatArray,
    epsilon: float,
    *,
    accuracy: float = 1e-11,
    repair: bool = True,
) -> Certificate:
    """Prove bounds on L(ε) from a rotationally symmetric law, any dimension.

    Parameters
    ----------
    source : RadialSource
    radii, masses : (m,) arrays
        Radii (source's units) and probabilities of the reconstruction law's spheres about the source's centre.
    epsilon : float
    accuracy : float
        How far the bound of sup c may lie above sup c.
    repair : bool
        Also search a dual that is small only where c exceeds 1.
    """
    r = np.asarray(radii, dtype=float)
    w = np.asarray(masses, dtype=float)
    if r.ndim != 1 or r.shape != w.shape or not (np.isfinite(r).all() and (r >= 0).all() and (w > 0).all()):
        raise InvalidInput("radii and masses must be vectors of one length, radii >= 0 and masses > 0")
    problem = radial_problem(source, epsilon)
    scaled = r / np.sqrt(epsilon)
    return as_certificate(source, problem, check_radii(problem, scaled, w, accuracy, repair=repair), scaled, w)
