"""Quadrature of a law on R^d, d = 2, 3: nodes and masses fine enough for kernels of width √ε.

The integrands are μ log Z and μ k/Z, analytic in a strip of width about 1.5 √ε around R^d. A source that knows its own
geometry offers ``nodes(spacing, mass)``: Gauss–Legendre on boxes and discs, products and push-forwards of
one-dimensional rules on curved shapes. Finitely many points are their own quadrature; tables have `table_nodes`.
Anything else is summed with the trapezoidal rule on a lattice over the box that holds all but a small mass, which for
smooth densities is exponentially accurate; how accurate is measured by a second lattice, in the certificate.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import special
from scipy.spatial import KDTree

from heatrd.errors import InvalidInput, TooLarge
from heatrd.quadrature.table import table_nodes
from heatrd.quadrature.tensor import LARGEST, check_size
from heatrd.sources import GaussianMixture, Source
from heatrd.sources.tabulated import Tabulated

__all__ = ["SpaceNodes", "is_exact", "space_nodes"]

FloatArray = NDArray[np.float64]

NEGLIGIBLE = 1e-17
_LIGHT = {3: 0.5}  # of the mass that may be left out: what the lightest nodes in space may carry together


@dataclass(frozen=True, slots=True, eq=False)
class SpaceNodes:
    """μ discretised.

    Attributes
    ----------
    points, weights : (N, d), (N,) arrays
        Nodes in the source's units; masses sum to one.
    tail_mass : float
        Mass left out.
    tail_energy : float
        ∫ ‖x − nearest node‖² μ over what is left out, in squared units.
    exact : bool
        The law *is* these points.
    """

    points: FloatArray
    weights: FloatArray
    tail_mass: float = 0.0
    tail_energy: float = 0.0
    exact: bool = False


def is_exact(source: Source) -> bool:
    """Whether the source consists of finitely many points."""
    return bool(source.is_discrete)


def space_nodes(source: Source, spacing: float, mass: float, error: float = 0.0) -> SpaceNodes:
    """Discretise a source.

    Parameters
    ----------
    source : Source
    spacing : float
        Largest distance of nodes, in the source's units; the sources refine it where their own scale is finer.
    mass : float
        Mass that may be left out in the tails.
    error : float
        Of the rule where that is not the spacing's matter (tables).

    Raises
    ------
    TooLarge
        More than four million nodes would be needed.
    """
    if source.is_discrete:
        points, weights = source.discrete_part
        return _merged(np.asarray(points, dtype=float), np.asarray(weights, dtype=float))
    own = getattr(source, "nodes", None)
    if own is not None:
        return _finish(mass, *own(spacing, mass))
    if isinstance(source, Tabulated):
        return _finish(mass, *table_nodes(source, spacing, error))
    if isinstance(source, GaussianMixture):
        return _finish(mass, *_mixture_nodes(source, spacing, mass))
    return _finish(mass, *_lattice_nodes(source, spacing, mass))


def _merged(points: FloatArray, weights: FloatArray) -> SpaceNodes:
    """Duplicate points merged and sorted: results do not depend on the order of samples."""
    unique, index = np.unique(points, axis=0, return_inverse=True)
    total = np.bincount(index.ravel(), weights, minlength=len(unique))
    keep = total > 0
    return SpaceNodes(unique[keep], total[keep] / total.sum(), exact=True)


def _finish(
    mass: float, points: FloatArray, weights: FloatArray, tail_mass: float = 0.0, tail_energy: float = 0.0
) -> SpaceNodes:
    """The lightest nodes in space, most of them in corners far out, are left out as well."""
    if not np.isfinite(weights).all() or (weights < 0).any():
        raise InvalidInput("the density has NaN, infinite or negative values; give one that is finite and non-negative")
    keep = weights > NEGLIGIBLE * weights.max() / max(1.0, np.sqrt(len(weights)))
    lost = float(weights[~keep].sum())
    span = float(np.ptp(points, axis=0).max()) if len(points) else 0.0
    tail_mass, tail_energy = tail_mass + lost, tail_energy + lost * span**2
    points, weights = points[keep], weights[keep]
    if (spare := _LIGHT.get(points.shape[1], 0.0) * mass * weights.sum()) > 0:
        ascending = np.argsort(weights, kind="stable")
        first = int(np.searchsorted(np.cumsum(weights[ascending]), spare, side="right"))
        light, rest = ascending[:first], np.sort(ascending[first:])
        apart = KDTree(points[rest]).query(points[light])[0]
        tail_energy = 2 * (tail_energy + tail_mass * float((apart**2).max(initial=0.0)))  # its nodes may be light ones
        tail_mass, tail_energy = tail_mass + weights[light].sum(), tail_energy + weights[light] @ apart**2
        points, weights = points[rest], weights[rest]
    return SpaceNodes(points, weights / weights.sum(), tail_mass, tail_energy, False)


def normal_reach(mass: float, dim: int) -> float:
    """Radius in standard deviations outside which N(0, I_d) has the given mass."""
    return float(np.sqrt(2 * special.gammainccinv(dim / 2, max(mass, 1e-300))))


def lattice(low: FloatArray, high: FloatArray, spacing: FloatArray) -> tuple[FloatArray, float]:
    """Points of a lattice that covers a box, and the volume of its cell."""
    axes = []
    for a, b, h in zip(low, high, spacing):
        n = max(2, int(np.ceil((b - a) / h)) + 1)
        check_size(n)
        axes.append(0.5 * (a + b) + h * (np.arange(n) - 0.5 * (n - 1)))
    check_size(float(np.prod([float(len(a)) for a in axes])))
    grid = np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1).reshape(-1, len(axes))
    return grid, float(np.prod(spacing))


def _mixture_nodes(source: GaussianMixture, spacing: float, mass: float) -> tuple[FloatArray, FloatArray, float, float]:
    """Gaussian mixtures: one lattice in the eigenbasis of each component, or one for all where components are many."""
    dim, reach = source.dim, normal_reach(mass, source.dim)
    values, vectors = np.linalg.eigh(source.covs)
    sigma = np.sqrt(np.maximum(values, 0.0))
    step = np.minimum(0.75 * sigma, spacing)
    flat = values <= 1e-14 * values.max()
    each = np.where(flat, 1.0, 2 * reach * sigma / np.where(flat, 1.0, step) + 2)
    separate = float(each.prod(axis=1).sum())
    low = (source.means - reach * sigma.max(axis=1)[:, None]).min(axis=0)
    high = (source.means + reach * sigma.max(axis=1)[:, None]).max(axis=0)
    common = np.full(dim, step[~flat].min() if (~flat).any() else spacing)
    with np.errstate(over="ignore"):  # a box that is far too large counts as infinite
        together = float(np.prod((high - low) / common + 2)) if not flat.any() else np.inf
    energy = mass * float(values.max()) * 4 / reach**2  # ∫ of the squared overshoot beyond the cut
    if together < separate:
        points, cell = lattice(low, high, common)
        weights = np.exp(source.log_density(points)) * cell
        return points, weights, mass, energy
    check_size(separate)
    points_list, weights_list = [], []
    for w, m, s, h, v, f in zip(source.weights, source.means, sigma, step, vectors, flat):
        axes, masses = [], []
        for k in range(dim):
            if f[k]:
                axes.append(np.zeros(1))
                masses.append(np.ones(1))
            else:
                n = int(np.ceil(reach * s[k] / h[k]))
                t = h[k] * np.arange(-n, n + 1)
                axes.append(t)
                g = np.exp(-0.5 * (t / s[k]) ** 2)
                masses.append(g / g.sum())
        grid = np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1).reshape(-1, dim)
        product = masses[0]
        for g in masses[1:]:
            product = np.multiply.outer(product, g)
        keep = product.ravel() > NEGLIGIBLE * product.max()
        points_list.append(m + grid[keep] @ v.T)
        weights_list.append(w * product.ravel()[keep])
    return np.concatenate(points_list), np.concatenate(weights_list), mass, energy


def _box(source: Source, mass: float) -> tuple[FloatArray, FloatArray]:
    """A box that holds all but about ``mass``: the declared support cut by where the density has died out."""
    sigma = np.sqrt(np.diag(source.covariance))
    mean = np.asarray(source.mean, dtype=float)
    support = getattr(source, "support_box", None)
    limits = support if support is not None else (np.full(source.dim, -np.inf), np.full(source.dim, np.inf))
    low, high = mean - 6 * sigma, mean + 6 * sigma
    rng = np.random.default_rng(0)
    for _ in range(12):  # grow until the density on the faces is negligible
        low, high = np.maximum(low, limits[0]), np.minimum(high, limits[1])
        volume = float(np.prod(high - low))
        grown = False
        for k in range(source.dim):
            for side in (0, 1):
                if (low[k] <= limits[0][k]) if side == 0 else (high[k] >= limits[1][k]):
                    continue
                face = low + (high - low) * rng.random((2000, source.dim))
                face[:, k] = low[k] if side == 0 else high[k]
                peak = float(np.exp(np.max(source.log_density(face))))
                if peak * volume > mass and high[k] - low[k] < 80 * sigma[k]:
                    if side == 0:
                        low[k] -= 2 * sigma[k]
                    else:
                        high[k] += 2 * sigma[k]
                    grown = True
        if not grown:
            break
    return low, high


def _lattice_nodes(source: Source, spacing: float, mass: float) -> tuple[FloatArray, FloatArray, float, float]:
    """Trapezoidal rule for any density: refined until the total mass is right, or the size is exhausted."""
    low, high = _box(source, mass)
    own = getattr(source, "scale", None)
    step = min(spacing, 0.6 * float(own)) if isinstance(own, float | int) else spacing
    finest, best = None, np.inf
    for _ in range(5):
        try:
            points, cell = lattice(low, high, np.full(source.dim, step))
        except TooLarge:
            if finest is None:
                raise
            break
        weights = np.exp(source.log_density(points)) * cell
        defect = abs(float(weights.sum()) - 1.0)
        if defect < best:
            finest, best = (points, weights), defect
        if defect < max(1e-12, 10 * mass) or len(points) > LARGEST // 8:
            break
        step *= 0.6
    assert finest is not None
    span = float(((high - low) ** 2).sum())
    return finest[0], finest[1], mass, mass * span
