"""The certificate with the Shannon dual: sources with a density, d ≤ 3.

α = 1/((2πε)^{d/2} μ) meets the dual constraint of `certificate.base` for every density: ∫ μ(x) α(x) k(x − y) dx ≤ 1 at
every y of the continuum (it is the repair s = (2πε)^{d/2} μ/Z, which makes c_s ≡ 1). Hence, with φ = ν∗G_ε,

    F(ν) − KL(μ‖φ)  =  h(μ) − (d/2) log 2πε  ≤  L(ε)  ≤  F(ν) = −∫ μ log Z,     Z = (2πε)^{d/2} φ.

The gap is the residual KL(μ‖φ) of DESIGN (1), and no supremum has to be bounded: this is the dual for the backward-heat
class, where the residual vanishes.

Both integrals are sums over a tensor grid (`quadrature.tensor`), and the difference between two such rules widens the
bounds. Outside the box B of a rule

    −∫_{Bᶜ} μ log Z  ≤  (∫_{Bᶜ} μ ‖x − m‖² + μ(Bᶜ) tr V)/2ε,     m, V mean and covariance of ν (Jensen),

and both integrals are what B lacks of the mass and of the second moment of μ.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from heatrd.certificate.base import Certificate
from heatrd.errors import InvalidInput
from heatrd.laws import DiscreteLaw
from heatrd.quadrature.tensor import KernelSum, TensorRule, tensor_rules
from heatrd.sources import Source

__all__ = ["certify_by_entropy"]

FloatArray = NDArray[np.float64]

_TINY = 1e-280  # Z below this is replaced by Jensen's bound
_SLACK = 1e-14  # relative rounding of sums over nodes
_LIGHT = 1e-17  # masses of nodes left out of the discretised source that is handed out


@dataclass(frozen=True, slots=True, eq=False)
class _Sums:
    """Integrals over the box: of μ, μ‖x − m‖², −μ log Z, −μ log μ, and of the distortion; max log μ on its rim."""

    mass: float
    energy: float
    cross: float
    entropy: float
    distortion: float
    rim: float
    nodes: DiscreteLaw


def certify_by_entropy(source: Source, law: DiscreteLaw, epsilon: float) -> Certificate:
    """Prove bounds on L(ε) from any reconstruction law, below by the entropy of the source; d ≤ 3.

    Parameters
    ----------
    source : Source
        With a density and no atoms.
    law : DiscreteLaw
        ν, in the source's units; cheap where its points form (part of) a lattice.
    epsilon : float
        Per-coordinate variance of the backward channel, ε > 0.

    Returns
    -------
    Certificate
        Its gap is KL(μ ‖ ν∗G_ε) and the quadrature's error. ``log_sup`` is inf: c itself is not bounded.

    Raises
    ------
    InvalidInput
        A source with atoms, or in more than three dimensions.
    TooLarge
        The sums would be too long (a narrow source in a wide box).
    """
    if source.dim > 3 or law.dim != source.dim or source.discrete_part[1].size:
        raise InvalidInput(f"{source.name}: bounds by entropy need a density on R^d, d <= 3, and a law there")
    keep = law.weights > 0
    law = DiscreteLaw(law.points[keep], law.weights[keep] / law.weights[keep].sum())
    fine, coarse = (_sums(source, law, epsilon, rule) for rule in tensor_rules(source, epsilon))
    upper, upper_too = (_cross_entropy(source, law, epsilon, s) for s in (fine, coarse))
    lower, lower_too = (_entropy(s) for s in (fine, coarse))
    constant = 0.5 * source.dim * math.log(2 * math.pi * epsilon)
    rounding = 4e-15 * (1 + abs(upper) + abs(constant))
    above, below = abs(upper - upper_too) + rounding, abs(lower - lower_too) + rounding
    return Certificate(
        epsilon=float(epsilon),
        lagrangian=upper + above,
        lagrangian_lower=max(lower - constant - below, 0.0),
        distortion=fine.distortion,
        log_sup=math.inf,
        discretisation=above + below,
        law=law,
        quadrature=fine.nodes,
    )


def _sums(source: Source, law: DiscreteLaw, epsilon: float, rule: TensorRule) -> _Sums:
    kernel, centre = KernelSum(law, rule, epsilon), law.mean
    spread = float(np.trace(law.covariance))
    totals, rim, kept = np.zeros(5), -math.inf, []
    for rows in rule.blocks():
        points, cell = rule.part(rows)
        log_mu = np.asarray(source.log_density(points.reshape(-1, source.dim))).reshape(cell.shape)
        mu = np.exp(log_mu) * cell
        log_mu = np.where(mu > 0, log_mu, 0.0)
        square = ((points - centre) ** 2).sum(axis=-1)
        z, moment = kernel.at(rows)
        there = z > _TINY
        safe = np.where(there, z, 1.0)
        log_z = np.where(there, np.log(safe), -(square + spread) / (2 * epsilon))
        posterior = np.where(there, moment / safe, square + spread)
        totals += [float((mu * f).sum()) for f in (np.ones_like(mu), square, -log_z, -log_mu, posterior)]
        rim = max(rim, _rim(log_mu, rows, rule))
        heavy = mu > _LIGHT / math.sqrt(rule.size)
        kept.append((points[heavy], mu[heavy]))
    nodes = np.concatenate([p for p, _ in kept])
    masses = np.concatenate([m for _, m in kept])
    mass, energy, cross, entropy, distortion = totals.tolist()
    return _Sums(mass, energy, cross, entropy, distortion, rim, DiscreteLaw(nodes, masses / masses.sum()))


def _rim(log_mu: FloatArray, rows: slice, rule: TensorRule) -> float:
    """Largest log μ on the faces of the box within a run of the first axis."""
    faces = [log_mu.take((0, -1), axis=a) for a in range(1, log_mu.ndim)]
    faces += [log_mu[:1]] * (rows.start == 0) + [log_mu[-1:]] * (rows.stop == rule.shape[0])
    return max((float(f.max()) for f in faces), default=-math.inf)


def _cross_entropy(source: Source, law: DiscreteLaw, epsilon: float, sums: _Sums) -> float:
    """F(ν), from above outside the box."""
    total = source.total_variance + float(((source.mean - law.mean) ** 2).sum())
    energy = max(total - sums.energy, 0.0) + _SLACK * total
    return sums.cross + (energy + _missing(sums) * float(np.trace(law.covariance))) / (2 * epsilon)


def _entropy(sums: _Sums) -> float:
    """h(μ), from below outside the box, where log μ is taken to be below its largest value on the rim."""
    return sums.entropy - _missing(sums) * max(sums.rim, 0.0)


def _missing(sums: _Sums) -> float:
    return max(1.0 - sums.mass, 0.0) + _SLACK
