"""The reconstruction law of a rotationally symmetric source, in any dimension: a problem on the half line.

F is convex and invariant under rotations, so ν may be taken rotationally symmetric: weights on spheres. The same
exchange as in `space`, with the spherically averaged kernel of `certificate.radial`: an interior point on radii √ε/2
apart, clusters, Newton on (log w, s), insertion at the maxima of c.
"""

from __future__ import annotations

import logging
from functools import partial

import numpy as np
from numpy.typing import NDArray

from heatrd.certificate.base import Certificate
from heatrd.certificate.radial import (
    RadialLaw,
    RadialProblem,
    as_certificate,
    check_radii,
    log_kernel,
    radial_problem,
    slopes,
)
from heatrd.certificate.space_dual import NodalCheck
from heatrd.errors import InvalidInput
from heatrd.laws import DiscreteLaw
from heatrd.reconstruction.space_interior import optimal_weights
from heatrd.reconstruction.space_polish import State, polish
from heatrd.sources import RadialSource, Source

__all__ = ["radial_form", "reconstruct"]

FloatArray = NDArray[np.float64]
_log = logging.getLogger(__name__)

_CYCLES = 30


def radial_form(source: Source) -> RadialSource | None:
    """The source as a rotationally symmetric one, where it is."""
    if isinstance(source, RadialSource):
        return source
    form = getattr(source, "isotropic", None)
    return form if isinstance(form, RadialSource) else None


def reconstruct(
    source: RadialSource, epsilon: float, *, tol: float | None = None, start: DiscreteLaw | RadialLaw | None = None
) -> tuple[Certificate, str]:
    """Return the best rotationally symmetric law found at ε with its certificate, and the regime.

    Parameters
    ----------
    source : RadialSource
        Any dimension.
    epsilon : float
        Per-coordinate variance of the backward channel.
    tol : float, optional
        Gap to prove, nats (1e-9 when omitted); otherwise the best certificate found is returned.
    start : RadialLaw, optional
        A law to start from; other laws are ignored.
    """
    if not (np.isfinite(epsilon) and epsilon > 0):
        raise InvalidInput(f"epsilon={epsilon} must be positive and finite")
    tol = 1e-9 if tol is None else float(tol)
    accuracy = max(0.05 * tol, 2e-13)
    problem = radial_problem(source, epsilon)
    root = float(np.sqrt(epsilon))
    if source.total_variance <= 2 * source.dim * epsilon:
        check = check_radii(problem, np.zeros(1), np.ones(1), accuracy, repair=False)
        if check.gap <= tol:
            return as_certificate(source, problem, check, np.zeros(1), np.ones(1)), "zero-rate"
    law = source.deblurred(epsilon)
    smooth = None
    if isinstance(law, RadialSource):
        r, w, _, _ = law.radial_nodes(2.4 * root, 1e-15)
        keep = w > 1e-18 * w.max()
        radii, weights = r[keep] / root, w[keep] / w[keep].sum()
        smooth = as_certificate(source, problem, check_radii(problem, radii, weights, accuracy), radii, weights)
        if smooth.gap <= tol:
            return smooth, "backward-heat"
    found = _exchange(source, problem, tol, accuracy, start if isinstance(start, RadialLaw) else None)
    if smooth is not None and smooth.gap <= found.gap:
        return smooth, "backward-heat"
    return found, "atomic"


def _state(problem: RadialProblem, points: FloatArray, weights: FloatArray) -> State:
    """Objective and derivatives in (log w, s): the radial twin of `tile_state`."""
    s = np.abs(points[:, 0])
    m = len(s)
    log_p = log_kernel(problem.dim, problem.r, s) + np.log(weights)
    top = log_p.max(axis=1)
    p = np.exp(log_p - top[:, None])
    total = p.sum(axis=1)
    p /= total[:, None]
    objective = float(weights.sum()) - float(problem.mu @ (top + np.log(total)))
    xi, curvature = slopes(problem.dim, problem.r, s)
    root = np.sqrt(weights)
    weighted = problem.mu[:, None] * p / weights
    c = weighted.sum(axis=0)
    gradient = (weighted * xi).sum(axis=0)

    def second() -> tuple[FloatArray, FloatArray]:
        g = np.empty((len(problem.r), m, 2))
        g[:, :, 0] = p / root
        g[:, :, 1] = g[:, :, 0] * xi
        g *= np.sqrt(problem.mu)[:, None, None]
        flat = g.reshape(len(problem.r), -1)
        hessian = flat.T @ flat
        second_order = (weighted * curvature).sum(axis=0)
        blocks = np.stack([np.stack([c - 1, gradient], axis=-1), np.stack([gradient, second_order], axis=-1)], axis=-1)
        j = np.arange(m)
        hessian.reshape(m, 2, m, 2)[j, :, j, :] -= blocks
        return hessian, blocks

    return State(s[:, None], weights, objective, c, gradient[:, None], second)


def _weights_state(problem: RadialProblem, s: FloatArray, weights: FloatArray) -> tuple[FloatArray, FloatArray]:
    log_p = log_kernel(problem.dim, problem.r, s) + np.log(weights)
    top = log_p.max(axis=1)
    p = np.exp(log_p - top[:, None])
    p /= p.sum(axis=1)[:, None]
    c = (problem.mu @ p) / weights
    g = p * np.sqrt(problem.mu)[:, None] / np.sqrt(weights)
    return c, g.T @ g


def _mass_at(problem: RadialProblem, s: FloatArray, width: float) -> FloatArray:
    """Mass of ρ within about ``width`` of where a unit Gaussian about a point at radius s lies, √(s² + d − 1)."""
    k = np.exp(-0.5 * (np.subtract.outer(np.sqrt(s * s + problem.dim - 1), problem.r) / width) ** 2)
    return np.clip(k @ problem.mu, 1e-20, 1.0)


def _first_shape(problem: RadialProblem) -> tuple[FloatArray, FloatArray]:
    s = np.arange(0.0, problem.r.max() + 0.5, 0.5)
    mass = _mass_at(problem, s, 0.5)
    keep = mass > 1e-14
    keep[0] = True
    s, mass = s[keep], mass[keep]
    found = optimal_weights(partial(_weights_state, problem, s), mass, mass, tol=1e-7)
    return _cluster(s[found.active], found.weights[found.active], 0.8)


def _cluster(s: FloatArray, w: FloatArray, radius: float) -> tuple[FloatArray, FloatArray]:
    """Groups of neighbours closer than ``radius`` to the heaviest among them, replaced by their means."""
    free = np.ones(len(w), dtype=bool)
    radii, weights = [], []
    for j in np.argsort(-w, kind="stable"):
        if free[j]:
            group = np.flatnonzero(free & (np.abs(s - s[j]) < radius))
            free[group] = False
            radii.append(float(w[group] @ s[group] / w[group].sum()))
            weights.append(float(w[group].sum()))
    return np.array(radii), np.array(weights)


def _exchange(
    source: RadialSource, problem: RadialProblem, tol: float, accuracy: float, start: RadialLaw | None
) -> Certificate:
    if start is not None:
        s, w = start.radii / np.sqrt(problem.epsilon), start.masses
        s, w = s[w > 1e-14], w[w > 1e-14]
    else:
        s, w = _first_shape(problem)
    best: tuple[NodalCheck, FloatArray, FloatArray] | None = None
    stale = 0
    floor = 0.2 * problem.tail_energy / problem.epsilon  # what the tails cost anyway
    for cycle in range(_CYCLES):
        result = polish(partial(_state, problem), s[:, None], w, tol=0.02 * tol, iterations=20, shift=1e-6)
        s, w = _cluster(result.points[:, 0], result.weights, 0.2)
        check = check_radii(problem, s, w, accuracy)
        _log.debug(
            "%d m=%d residual=%.1e (%d) gap=%.2e sup=%.2e loss=%.1e",
            cycle,
            len(w),
            result.residual,
            result.iterations,
            check.gap,
            check.log_sup,
            check.loss,
        )
        if best is None or check.gap < 0.5 * best[0].gap:
            stale = 0
        else:
            stale += 1
        if best is None or check.gap < best[0].gap:
            best = (check, s, w)
        if check.gap <= max(0.5 * tol, floor) or stale > 5:
            break
        new = check.maxima[:, 0]
        if len(new):
            matter = np.log1p(check.excess) * _mass_at(problem, new, 2.0)
            apart = np.abs(np.subtract.outer(new, s)).min(axis=1)
            new = new[(matter > 1e-3 * matter.max()) & (apart > 0.05)]
        if len(new):
            points = np.concatenate([s, new])
            mass = _mass_at(problem, points, 0.5)
            weights = np.concatenate([w, 0.05 * mass[len(s) :]])
            found = optimal_weights(partial(_weights_state, problem, points), weights, mass, tol=0.02 * tol)
            s, w = points[found.active], found.weights[found.active]
    assert best is not None
    return as_certificate(source, problem, *best)
