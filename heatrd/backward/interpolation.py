"""Densities and scores between grid points: splines of the log-density relative to a Gaussian.

With g the Gaussian of the density's own mean and covariance, the ratio r = log ρ − log g is interpolated by
tensor-product splines of degree 5 (error O(h⁶) for log ρ, O(h⁵) for ∇ log ρ). Where ρ drowns in the noise of its
point values, r is continued from the nearest cell that can be trusted, and beyond the grid from its rim: the tails
become Gaussian instead of wild.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from scipy.interpolate import NdBSpline, make_interp_spline

from heatrd.errors import InvalidInput
from heatrd.grids import Grid

__all__ = ["ORDER", "LogInterpolant", "interpolate_log"]

FloatArray = NDArray[np.float64]
DEGREE = 5
ORDER = DEGREE + 1
TRUST = 10.0  # point values this many rms errors high are used


@dataclass(frozen=True, slots=True, eq=False)
class LogInterpolant:
    """log ρ and its gradient at arbitrary points."""

    spline: NdBSpline
    low: FloatArray
    high: FloatArray
    mean: FloatArray
    precision: FloatArray
    offset: float

    def log_density(self, x: FloatArray) -> FloatArray:
        """log ρ at points (m, d) → (m,)."""
        z = x - self.mean
        gauss = self.offset - 0.5 * np.einsum("mi,ij,mj->m", z, self.precision, z)
        return np.asarray(gauss + self.spline(np.clip(x, self.low, self.high)))

    def score(self, x: FloatArray) -> FloatArray:
        """∇ log ρ at points (m, d) → (m, d)."""
        inside = np.clip(x, self.low, self.high)
        out = -(x - self.mean) @ self.precision
        for a in range(x.shape[1]):
            nu = [int(b == a) for b in range(x.shape[1])]
            out[:, a] += np.where(inside[:, a] == x[:, a], self.spline(inside, nu=nu), 0.0)
        return out


def interpolate_log(density: FloatArray, grid: Grid, noise: float = 0.0) -> LogInterpolant:
    """Interpolate log ρ on a uniform grid.

    Parameters
    ----------
    density : array of the grid's shape
        Non-negative, of mass 1.
    grid : Grid
        At least 6 cells per axis.
    noise : float
        rms error of the point values.
    """
    if min(grid.shape) <= DEGREE:
        raise InvalidInput(f"a table of {' × '.join(map(str, grid.shape))} nodes; need at least {DEGREE + 1} per axis")
    mean, covariance = _moments(density, grid)
    precision = np.linalg.inv(covariance)
    trusted = density > max(TRUST * noise, 1e-300)
    _, log_det = np.linalg.slogdet(2 * np.pi * covariance)
    offset = -0.5 * float(log_det)
    z = grid.points - mean
    gauss = offset - 0.5 * np.einsum("...i,ij,...j->...", z, precision, z)
    ratio = np.where(trusted, np.log(np.where(trusted, density, 1.0)) - gauss, 0.0)
    if not trusted.all():
        nearest = ndimage.distance_transform_edt(
            ~trusted, sampling=grid.spacing, return_distances=False, return_indices=True
        )
        ratio = ratio[tuple(nearest)]
    knots, coefficients = [], ratio
    for a, x in enumerate(grid.axes):
        spline = make_interp_spline(x, coefficients, k=DEGREE, axis=a)
        knots.append(spline.t)
        coefficients = np.moveaxis(spline.c, 0, a)
    low = np.array([x[0] for x in grid.axes])
    high = np.array([x[-1] for x in grid.axes])
    return LogInterpolant(NdBSpline(tuple(knots), coefficients, DEGREE), low, high, mean, np.asarray(precision), offset)


def _moments(density: FloatArray, grid: Grid) -> tuple[FloatArray, FloatArray]:
    p = density / density.sum()
    mean = np.array([float((_marginal(p, a) * x).sum()) for a, x in enumerate(grid.axes)])
    covariance = np.empty((grid.dim, grid.dim))
    for a in range(grid.dim):
        for b in range(grid.dim):
            covariance[a, b] = _moment(p, grid, mean, a, b)
    covariance += np.diag([h**2 / 4 for h in grid.spacing])
    return mean, covariance


def _marginal(p: FloatArray, *axes: int) -> FloatArray:
    others = tuple(a for a in range(p.ndim) if a not in axes)
    return np.asarray(p.sum(axis=others)) if others else p


def _moment(p: FloatArray, grid: Grid, mean: FloatArray, a: int, b: int) -> float:
    za = grid.axes[a] - mean[a]
    if a == b:
        return float((_marginal(p, a) * za**2).sum())
    zb = grid.axes[b] - mean[b]
    joint = _marginal(p, a, b)
    return float(za @ joint @ zb if a < b else zb @ joint @ za)
