"""The objective F of a law in R^d, the proved supremum of c over the continuum, and the repaired dual (DESIGN (2)).

Every α > 0 with ∫ μ(dx) α(x) k(x − y) ≤ 1 for all y gives L(ε) ≥ ∫ μ log α. With α = 1/(Z s · sup c_s),
c_s(y) = ∫ μ k/(Z s), the loss is ∫ μ log s + log sup c_s, so s may be large where c is and μ has
hardly any mass. Here log s is a smooth p-mean of the excess,

    log s(x) = κ (Σ_v t_v^p exp(−p ‖x − v‖²/2b²))^(1/p),   t_v = max of log c near v,

applied a few times; what is left is measured, never assumed: sup c_s is bounded over the continuum again.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy import special

from heatrd.certificate.space_maxima import local_maxima
from heatrd.certificate.supremum import scan, upper_bound, values_on
from heatrd.kernels.moments import moment_log_sum
from heatrd.kernels.posterior import posterior_sum
from heatrd.quadrature.tiles import LOG_HUGE, Field, Tiles, near_atoms, squared_distances

__all__ = [
    "TILT_FLOOR",
    "Measured",
    "NodalCheck",
    "Repair",
    "Supremum",
    "Tilt",
    "best_dual",
    "capped",
    "check_nodes",
    "confirmed",
    "log_kernel_sum",
    "objective",
]

FloatArray = NDArray[np.float64]
TILT_FLOOR = 0.25  # a tilt may lower Z to this share, not to zero
_POWER, _WIDTH, _PASSES = 4, 1.5, 5
_WORTH = 0.98  # a patch must lower the total to this share for another to be tried
_CAPS = (1.0, 2.5)  # costs of the caps tried where none are given, in units of the accuracy


@dataclass(frozen=True, slots=True, eq=False)
class Tilt:
    """A signed law Z̃ = Σ_j w_j u_j·f(x − y_j) k(x − y_j), f as in `heatrd.kernels.moments`, whose 1/Z̃ is a dual point.

    Attributes
    ----------
    points : (m, d) array
        Centres y_j, units of √ε.
    log_weights : (m,) array
    moments : (m, (d + 1)(d + 2)/2) array
        u_j; (1, 0, …) is an atom.
    """

    points: FloatArray
    log_weights: FloatArray
    moments: FloatArray

    def log_sum(self, tiles: Tiles) -> FloatArray:
        """log Z̃ at the tiles' points; NaN where Z̃ ≤ 0."""
        out = np.empty(tiles.size)
        pointer, near = near_atoms(tiles, self.points, self.log_weights)
        where = tiles.points, tiles.starts, self.points, self.log_weights, self.moments, pointer, near
        moment_log_sum(*where, tiles.drop, out)
        return out


def log_kernel_sum(tiles: Tiles, atoms: FloatArray, log_weights: FloatArray) -> FloatArray:
    """log Z at the tiles' points."""
    out = np.empty(tiles.size)
    pointer, near = near_atoms(tiles, atoms, log_weights)
    posterior_sum(tiles.points, tiles.starts, atoms, log_weights, pointer, near, tiles.drop, out)
    return out


@dataclass(frozen=True, slots=True, eq=False)
class _Patch:
    """One factor of s: log s(x) of the module's formula."""

    centres: FloatArray
    heights: FloatArray

    def log(self, tiles: Tiles) -> FloatArray:
        out = np.zeros(tiles.size)
        scale = float(self.heights.max())
        relative = (self.heights / scale) ** _POWER
        for t in range(len(tiles)):
            rows = tiles.rows(t)
            apart = np.maximum(np.maximum(tiles.low[t] - self.centres, self.centres - tiles.high[t]), 0.0)
            near = (apart**2).sum(axis=1) < 2 * _WIDTH**2 * 36.0 / _POWER * 2
            if not near.any():
                continue
            k = np.exp(-0.5 * _POWER / _WIDTH**2 * squared_distances(tiles.points[rows], self.centres[near]))
            out[rows] = 1.3 * scale * (k @ relative[near]) ** (1 / _POWER)
        return out


def _patch(points: FloatArray, values: FloatArray, threshold: float) -> _Patch | None:
    """The excess of c over 1 (log), binned on a unit lattice."""
    keep = values > threshold
    if not keep.any():
        return None
    bins, index = np.unique(np.round(points[keep]).astype(np.int64), axis=0, return_inverse=True)
    heights = np.zeros(len(bins))
    np.maximum.at(heights, index.ravel(), values[keep])
    return _Patch(bins.astype(float), heights)


@dataclass(frozen=True, slots=True, eq=False)
class Repair:
    """How a dual 1/(Z s) is made of a law: the tilt, what the cap costs, and the patches, in this order."""

    tilt: Tilt | None
    cap: float
    patches: tuple[_Patch, ...] = ()


@dataclass(frozen=True, slots=True, eq=False)
class NodalCheck:
    """Bounds from one law, the continuum over y included (units of √ε).

    Attributes
    ----------
    objective, lower : float
        ``lower ≤ L ≤ objective`` up to the discretisation of F.
    log_sup : float
        Proved bound of log sup c before repair.
    maxima, excess : (n, d), (n,) arrays
        Local maxima of c above 1 before repair, and c − 1 there.
    log_sup_dual, loss : float
        log sup c_s and ∫ μ log s of the best dual (0 without repair).
    difference : float
        |F₁ − F₂| + |∫μ log s₁ − ∫μ log s₂| between the two quadratures (0 without a second one).
    repair : Repair or None
        How the best dual was made; None where that is 1/Z itself.
    """

    objective: float
    lower: float
    log_sup: float
    maxima: FloatArray
    excess: FloatArray
    log_sup_dual: float
    loss: float
    difference: float
    repair: Repair | None = None

    @property
    def gap(self) -> float:
        return self.objective - self.lower


@dataclass(frozen=True, slots=True, eq=False)
class Supremum:
    """The proved log sup c; local maxima of c above 1 and their excess; points where c exceeds 1, and log c there."""

    log: float
    maxima: FloatArray
    excess: FloatArray
    points: FloatArray
    values: FloatArray


class Measured:
    """c and its dual variants under one or two quadratures."""

    def __init__(
        self, tiles: Tiles, finer: Tiles | None, atoms: FloatArray, log_w: FloatArray, accuracy: float
    ) -> None:
        self.all = [tiles] if finer is None else [tiles, finer]
        self.accuracy = accuracy
        self.log_z = [log_kernel_sum(t, atoms, log_w) for t in self.all]
        self.log_s = [np.zeros(t.size) for t in self.all]

    def integrals(self, values: list[FloatArray]) -> tuple[float, float]:
        """∫ μ values under the first quadrature, and the difference between the two."""
        first = [float(t.weights @ v) for t, v in zip(self.all, values)]
        return first[0], abs(first[-1] - first[0])

    def loss(self) -> float:
        """∫ μ log s under the first quadrature: F less the bound, were sup c_s = 1."""
        return float(self.all[0].weights @ self.log_s[0])

    def multiply(self, patch: _Patch) -> None:
        self.log_s = [s + patch.log(t) for s, t in zip(self.log_s, self.all)]

    def tilt(self, tilt: Tilt) -> None:
        """Take the dual point 1/Z̃ in place of 1/Z; fmax passes over NaN."""
        floor = np.log(TILT_FLOOR)
        self.log_s = [np.fmax(tilt.log_sum(t) - z, floor) for t, z in zip(self.all, self.log_z)]

    def repair(self, recipe: Repair) -> None:
        """Take the dual point made like this."""
        if recipe.tilt is not None:
            self.tilt(recipe.tilt)
        self.cap(recipe.cap)
        for patch in recipe.patches:
            self.multiply(patch)

    def cap(self, loss: float) -> None:
        """Keep α = 1/(Z s) below the level at which this costs ``loss``: far out c then falls off with μ."""
        t, log_alpha = self.all[0], -self.log_z[0] - self.log_s[0]
        order = np.argsort(-log_alpha)
        values, mass = log_alpha[order], np.cumsum(t.weights[order])
        cost = np.cumsum(t.weights[order] * values) - mass * values
        most = int(np.searchsorted(cost, loss)) - 1
        if most <= 0:  # to cap at the highest node costs nothing here, but where another quadrature has higher ones
            return
        level = values[most]
        self.log_s = [s + np.maximum(-z - s - level, 0.0) for s, z in zip(self.log_s, self.log_z)]

    def fields(self) -> list[Field]:
        return [Field(t, np.log(t.weights) - z - s) for t, z, s in zip(self.all, self.log_z, self.log_s)]

    def beyond_range(self) -> float:
        """Bound of log sup c by log Σ a_i, a_i = μ_i/(Z s)(x_i), where an a_i is too large to be summed; else −∞."""
        log_a = [np.log(t.weights) - z - s for t, z, s in zip(self.all, self.log_z, self.log_s)]
        if max(float(a.max()) for a in log_a) < LOG_HUGE:
            return -np.inf
        return max(float(special.logsumexp(a)) for a in log_a)

    def supremum(self, *, maxima: bool = True) -> Supremum:
        """Prove a bound of sup c, and list where c exceeds 1; local maxima too unless they are not needed."""
        fields = self.fields()
        result = scan(fields[0], self.accuracy)
        top = upper_bound(result, self.accuracy)
        inner = tuple(range(1, result.values.ndim))
        high = np.flatnonzero(result.values.max(axis=inner, initial=0.0) > 0.9)
        values = result.values[high]
        if len(fields) > 1 and len(high):
            other = values_on(fields[1], result, high, self.accuracy)
            values = other + np.abs(values - other)  # the finer one errs by less than they differ
            top = max(top, float(values.max()))
        found, excess = np.zeros((0, result.centres.shape[1])), np.zeros(0)
        if maxima:
            found, excess = local_maxima(result, top, self.accuracy)
        above = values > 1
        where = np.concatenate([result.points(high, above), found])
        logs = np.concatenate([np.log(values[above]), np.log1p(excess)])
        return Supremum(max(float(np.log(top)), self.beyond_range()), found, excess, where, logs)


def check_nodes(
    tiles: Tiles,
    atoms: FloatArray,
    weights: FloatArray,
    accuracy: float,
    *,
    repair: bool = True,
    finer: Tiles | None = None,
    tilt: Tilt | None = None,
    maxima: bool = True,
    enough: float = 0.0,
    caps: tuple[float, ...] = (),
) -> NodalCheck:
    """Evaluate F and the proved supremum of c, then repair the dual until the gap is at most ``enough``."""
    measured = Measured(tiles, finer, atoms, np.log(weights / weights.sum()), accuracy)
    return best_dual(measured, repair=repair, tilt=tilt, maxima=maxima, enough=enough, caps=caps)


def objective(tiles: Tiles, atoms: FloatArray, weights: FloatArray) -> float:
    """F of a law under one quadrature."""
    return -float(tiles.weights @ log_kernel_sum(tiles, atoms, np.log(weights / weights.sum())))


def capped(
    tiles: Tiles, atoms: FloatArray, weights: FloatArray, accuracy: float, loss: float, tilt: Tilt | None
) -> Measured:
    """The dual of a law, or of a tilt near it, after the cheap part of the repair: a cap that costs ``loss``."""
    measured = Measured(tiles, None, atoms, np.log(weights / weights.sum()), accuracy)
    if tilt is not None:
        measured.tilt(tilt)
    measured.cap(loss)
    return measured


def best_dual(
    measured: Measured,
    *,
    repair: bool = True,
    tilt: Tilt | None = None,
    maxima: bool = True,
    enough: float = 0.0,
    caps: tuple[float, ...] = (),
) -> NodalCheck:
    """Try duals 1/(Z s): the tilted one where given, then s multiplied up patch by patch; the bounds of the best."""
    accuracy = measured.accuracy
    caps = caps or tuple(share * accuracy for share in _CAPS)
    objective, difference = measured.integrals([-z for z in measured.log_z])
    first = current = measured.supremum(maxima=maxima)
    best = (first.log, first.log, 0.0, 0.0)  # total, its parts: log sup, loss, difference
    recipe, made = Repair(tilt, 0.0), None
    if repair and first.log > accuracy and tilt is not None:
        measured.tilt(tilt)
    plain = measured.log_s
    for step in range(len(caps) + _PASSES if repair and first.log > accuracy else 0):
        if step < len(caps):
            measured.log_s = plain
            recipe = Repair(tilt, caps[step])
            measured.cap(recipe.cap)
        else:
            patch = _patch(current.points, current.values, 0.25 * accuracy)
            if patch is None:
                break
            recipe = replace(recipe, patches=(*recipe.patches, patch))
            measured.multiply(patch)
        loss, change = measured.integrals(measured.log_s)
        if loss > best[0]:
            break
        current = measured.supremum(maxima=step >= len(caps) - 1)  # peaks between grid points need patches too
        total, before = loss + current.log + change, best[0]
        if total < before:
            best, made = (total, current.log, loss, change), recipe
        if current.log <= accuracy or best[0] <= enough or (step >= len(caps) and total > _WORTH * before):
            break
    bounds = objective - best[0], first.log, first.maxima, first.excess
    return NodalCheck(objective, *bounds, best[1], best[2], difference + best[3], made)


def confirmed(measured: Measured, check: NodalCheck) -> NodalCheck:
    """The same dual again, under other quadratures: its bounds, and those of F."""
    objective, difference = measured.integrals([-z for z in measured.log_z])
    loss = change = 0.0
    if check.repair is not None:
        measured.repair(check.repair)
        loss, change = measured.integrals(measured.log_s)
    top = measured.supremum(maxima=False).log
    return replace(
        check,
        objective=objective,
        lower=objective - loss - top - change,
        log_sup=max(check.log_sup, top) if check.repair is None else check.log_sup,
        log_sup_dual=top,
        loss=loss,
        difference=difference + change,
    )
