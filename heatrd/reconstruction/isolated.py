"""Atoms that the channel does not confuse: ν = μ, proved without a search.

Let μ = Σ w_i δ(x_i) and r the least distance of two atoms. With ν = μ every Z(x_i) = Σ_j w_j k(x_i − x_j) is at least
w_i, so that c(y) ≤ Σ_i k(x_i − y) wherever y is; at most one atom is nearer to y than r/2, hence

    log sup c  ≤  log(1 + (n − 1) e^{−r²/8ε}).

Where that is negligible μ is its own reconstruction to the last digit; its rate is the entropy −Σ w log w less what
confusing neighbours saves, and D = Σ_i (w_i/Z(x_i)) Σ_j w_j k(x_i − x_j) ‖x_i − x_j‖².
"""

from __future__ import annotations

import math

import numpy as np
from scipy.spatial import cKDTree

from heatrd.certificate.base import Certificate
from heatrd.laws import DiscreteLaw
from heatrd.sources import Source

__all__ = ["isolated"]

_NEGLIGIBLE = 1e-13  # of log sup c
_CLOSE = 1e-6  # of the spread: nearer atoms are left to the general solver, as rounding may hide which are nearest
_UNDERFLOW = 745.0  # exp(−745) = 0
_ROUNDING = 1e-15


def isolated(source: Source, epsilon: float) -> Certificate | None:
    """Return the certificate of ν = μ where the atoms of a discrete source are far apart at ε; None where not."""
    points, weights = source.discrete_part
    spread = math.sqrt(source.total_variance)
    if len(points) < 2 or spread == 0.0:
        return None
    unit = (points - source.mean) / spread
    tree = cKDTree(unit)
    nearest = float(tree.query(unit, k=2)[0][:, 1].min()) * (1 - _CLOSE)
    blur = math.sqrt(epsilon) / spread
    if not nearest > _CLOSE or nearest / blur < math.sqrt(8 * math.log(len(points) / _NEGLIGIBLE)):
        return None
    log_sup = (len(points) - 1) * math.exp(-min((nearest / blur) ** 2 / 8, _UNDERFLOW)) if blur else 0.0
    i, j = tree.query_pairs(math.sqrt(2 * _UNDERFLOW) * blur, output_type="ndarray").T
    i, j = np.concatenate([i, j]), np.concatenate([j, i])
    square = (((points[i] - points[j]) / math.sqrt(epsilon)) ** 2).sum(axis=1)
    confused = weights[j] * np.exp(-0.5 * square)
    z = weights + np.bincount(i, confused, minlength=len(weights))
    objective = -float(weights @ np.log(z))
    distortion = float((weights[i] / z[i] * confused) @ square) * epsilon
    slack = _ROUNDING * (1 + objective)
    law = DiscreteLaw(points, weights)
    return Certificate(epsilon, objective + slack, objective - log_sup - slack, distortion, log_sup, 0.0, law, law)
