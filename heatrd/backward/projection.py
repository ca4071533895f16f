"""The KL projection of a lattice law: weights that push forward to μ.

A numerical ρ_1 carries noise that the blur by ε would remove, but clipping it at zero would not: what was negative is
missing in ν∗G_ε. So the weights of the reconstruction law are moved, as little as an optimiser moves them, until

    KL(μ ‖ ν∗G_ε) = Σ_i m_i (r_i − 1 − log r_i),      r = Z/((2πε)^{d/2} μ),

is below a tolerance: this is problem (1) of DESIGN on a lattice, convex in ν. With w = q² the derivative is
2q (1 − c), c the certificate function, and L-BFGS does the rest; Z and c are one Gaussian sum each.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray
from scipy import optimize

from heatrd.errors import TooLarge
from heatrd.laws import DiscreteLaw, as_law
from heatrd.quadrature.tensor import along_axes, lattice_of, tensor_rules
from heatrd.sources.base import Source

__all__ = ["project"]

FloatArray = NDArray[np.float64]

TOLERANCE = {1: 1e-14, 2: 1e-10, 3: 1e-8}  # nats
WORK = 4e8  # nodes times iterations
MOST = 3000  # iterations
LIGHT = 1e-19  # masses of nodes that have no say
MEMORY = 20


class _Residual:
    """KL(μ ‖ ν∗G_ε) of lattice weights, by the coarser of two rules, and its gradient."""

    def __init__(self, source: Source, points: FloatArray, epsilon: float) -> None:
        rule = tensor_rules(source, epsilon)[1]
        self.lattice = lattice_of(points)
        if self.lattice.size > 64 * len(points) + 4096:
            raise TooLarge("the law is no lattice")
        nodes, cell = rule.part(slice(None))
        with np.errstate(divide="ignore"):
            density = np.exp(source.log_density(nodes.reshape(-1, source.dim))).reshape(cell.shape)
        self.mass = density * cell
        self.seen = self.mass > LIGHT * self.mass.max()
        self.mu = np.where(self.seen, (2 * math.pi * epsilon) ** (0.5 * source.dim) * density, 1.0)
        self.kernels = [
            np.exp(-(np.subtract.outer(x, y) ** 2) / (2 * epsilon)) for x, y in zip(rule.axes, self.lattice.axes)
        ]
        self.size = rule.size
        self.best: tuple[float, FloatArray] = (math.inf, np.zeros(0))

    def __call__(self, q: FloatArray) -> tuple[float, FloatArray]:
        z = np.maximum(along_axes(self.lattice.table(q * q), self.kernels), 1e-290)
        ratio = np.where(self.seen, z / self.mu, 1.0)
        value = float((self.mass * (ratio - 1 - np.log(ratio))).sum())
        back = along_axes(np.where(self.seen, self.mass * (1 / self.mu - 1 / z), 0.0), [k.T for k in self.kernels])
        if value < self.best[0]:
            self.best = value, q.copy()
        return value, 2 * q * back[self.lattice.index]


def project(source: Source, law: DiscreteLaw, epsilon: float, tol: float | None = None) -> DiscreteLaw:
    """Move the weights of a lattice law until KL(μ ‖ ν∗G_ε) is below ``tol`` nats, or the work allowed is done.

    Parameters
    ----------
    source : Source
        μ, with a density.
    law : DiscreteLaw
        Points on a lattice, with positive weights.
    tol : float, optional
        1e-14 on the line, 1e-10 in the plane, 1e-8 in space when omitted.

    Returns
    -------
    DiscreteLaw
        On the same points; the law given where the quadrature would not fit.
    """
    tol = TOLERANCE[source.dim] if tol is None else tol
    try:
        residual = _Residual(source, law.points, epsilon)
    except TooLarge:
        return law
    iterations = int(min(MOST, WORK / residual.size))

    def enough(intermediate_result: optimize.OptimizeResult) -> None:
        if intermediate_result.fun <= tol * scale:
            raise StopIteration

    scale = 1e-3 / tol  # L-BFGS-B compares with absolute tolerances

    def scaled(q: FloatArray) -> tuple[float, FloatArray]:
        value, slope = residual(q)
        return scale * value, scale * slope

    start = np.sqrt(law.weights)
    if iterations and residual(start)[0] > tol:
        options = {"maxiter": iterations, "maxfun": 2 * iterations, "maxcor": MEMORY, "ftol": 0.0, "gtol": 0.0}
        optimize.minimize(scaled, start, jac=True, method="L-BFGS-B", options=options, callback=enough)
    return as_law(law.points, residual.best[1] ** 2, what="reconstruction")
