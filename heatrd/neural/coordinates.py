"""Standard coordinates: z = Vᵀ(x − m)/σ, with V the eigenvectors of the covariance and σ² its largest eigenvalue.

An isotropic scale and a rotation leave the problem as it is: L, R and F do not change, ε becomes ε/σ² and the
covariance becomes diag(λ), 0 < λ_k ≤ 1. In these coordinates a Gaussian source is solved coordinate by coordinate.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from heatrd.errors import InvalidInput

__all__ = ["Coordinates", "coordinates_of"]

FloatArray = NDArray[np.float64]

SMALLEST_EIGENVALUE = 1e-9
"""Eigenvalues are raised to this fraction of the largest: constant coordinates are then harmless."""


@dataclass(frozen=True, slots=True, eq=False)
class Coordinates:
    """The map between source units and standard coordinates.

    Attributes
    ----------
    mean : (d,) array
        m, in source units.
    rotation : (d, d) array
        V, orthogonal, eigenvectors in columns, largest eigenvalue first.
    scale : float
        σ > 0, in source units.
    eigenvalues : (d,) array
        λ, in units of σ².
    """

    mean: FloatArray
    rotation: FloatArray
    scale: float
    eigenvalues: FloatArray

    @property
    def dim(self) -> int:
        return int(self.mean.size)

    def forward(self, x: FloatArray) -> FloatArray:
        """Source units → standard coordinates, shape (..., d)."""
        return np.asarray((x - self.mean) @ self.rotation / self.scale)

    def backward(self, z: FloatArray) -> FloatArray:
        """Standard coordinates → source units, shape (..., d)."""
        return np.asarray(self.scale * (z @ self.rotation.T) + self.mean)

    def vector_backward(self, v: FloatArray) -> FloatArray:
        """A displacement or a control in standard coordinates → source units."""
        return np.asarray(self.scale * (v @ self.rotation.T))


def coordinates_of(mean: FloatArray, covariance: FloatArray) -> Coordinates:
    """Build the map from the source's first two moments.

    Raises
    ------
    InvalidInput
        The moments are not finite (heavy tails), or the source is a single point.
    """
    mean = np.atleast_1d(np.asarray(mean, dtype=np.float64))
    covariance = np.atleast_2d(np.asarray(covariance, dtype=np.float64))
    if not (np.isfinite(mean).all() and np.isfinite(covariance).all()):
        raise InvalidInput("the source has no finite mean and covariance; R2D2 needs finite second moments")
    eigenvalues, vectors = np.linalg.eigh((covariance + covariance.T) / 2)
    eigenvalues, vectors = eigenvalues[::-1], vectors[:, ::-1]
    top = float(eigenvalues[0])
    if not top > 0:
        raise InvalidInput("the source has zero variance: its rate is 0 at every distortion, nothing to learn")
    if np.allclose(covariance, np.diag(np.diag(covariance)), rtol=0, atol=1e-14 * top):
        order = np.argsort(-np.diag(covariance), kind="stable")
        eigenvalues, vectors = np.diag(covariance)[order], np.eye(mean.size)[:, order]
    signs = np.where(vectors[np.abs(vectors).argmax(axis=0), np.arange(mean.size)] < 0, -1.0, 1.0)
    return Coordinates(
        mean=mean,
        rotation=np.ascontiguousarray(vectors * signs),
        scale=float(np.sqrt(top)),
        eigenvalues=np.maximum(eigenvalues / top, SMALLEST_EIGENVALUE),
    )
