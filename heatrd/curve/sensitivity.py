"""How R(D) answers to the source's parameters: the envelope theorem.

R(D; θ) = max over s of L(s; θ) − sD and L(s; θ) = min over ν of F(ν; s, θ), so that at fixed D only the explicit
dependence on θ counts:

    ∂R/∂θ = ∂F/∂θ = −∫ ∂_θ μ(dx) log (k∗ν)(x)

with ν and ε those of the solution at D. The source is rebuilt at neighbouring parameters and F evaluated at the same
ν and ε: a difference of
quadratures, no second solve; in the backward-heat class R = h(μ) − (d/2) log(2πeD/d), and only ∂h/∂θ is left. Fourth-
order central differences keep the error of the step below that of the quadrature.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import logsumexp

from heatrd.certificate.line import evaluate_potential
from heatrd.errors import HeatrdError, InvalidInput
from heatrd.laws import DiscreteLaw
from heatrd.reconstruction.dispatch import discretise
from heatrd.solution import Solution
from heatrd.sources import Source, Source1D

__all__ = ["parameter_sensitivity"]

FloatArray = NDArray[np.float64]

_STEP = {1: 2e-3}  # by dimension, relative to the parameter's scale
_STEP_IN_SPACE = 1e-2
_STENCIL = ((1, 2 / 3), (2, -1 / 12))


def parameter_sensitivity(solution: Solution) -> dict[str, Any]:
    """Return ∂R/∂θ at the solution's distortion, by parameter name (nats per unit of the parameter).

    Arrays of parameters give arrays of derivatives of the same shape. Parameters that are not real numbers
    (dimensions, names) are left out, and so
    are those that the source's class does not let vary.

    Raises
    ------
    InvalidInput
        The source cannot be rebuilt from its parameters.
    """
    source = solution.source
    parameters = dict(source.parameters)
    base = _rebuild(source, parameters)
    if base is None:
        raise InvalidInput(
            f"{source!r} cannot be rebuilt from its parameters {sorted(parameters)}; sensitivity needs that"
        )
    if solution.regime == "zero-rate":
        return {
            name: np.zeros(np.shape(value)) if np.ndim(value) else 0.0
            for name, value in parameters.items()
            if _is_real(value)
        }
    spread = math.sqrt(source.total_variance / source.dim)
    found: dict[str, Any] = {}
    for name, value in parameters.items():
        if not _is_real(value):
            continue
        derivative = _derivative(source, parameters, name, np.asarray(value, dtype=float), spread, solution)
        if derivative is not None:
            found[name] = float(derivative) if np.ndim(value) == 0 else derivative
    return found


def _derivative(
    source: Source, parameters: dict[str, Any], name: str, value: FloatArray, spread: float, solution: Solution
) -> FloatArray | None:
    result = np.zeros(value.shape)
    square = value.ndim >= 2 and value.shape[-1] == value.shape[-2]
    for index in np.ndindex(value.shape):
        step = _STEP.get(source.dim, _STEP_IN_SPACE) * (abs(float(value[index])) or spread)
        twin = (*index[:-2], index[-1], index[-2]) if square else index

        def at(shift: float, index: tuple[int, ...] = index, twin: tuple[int, ...] = twin) -> float | None:
            moved = value.copy()
            moved[index] += shift
            if twin != index:  # a symmetric matrix stays symmetric
                moved[twin] += shift
            rebuilt = _rebuild(source, {**parameters, name: float(moved) if moved.ndim == 0 else moved})
            if rebuilt is None:
                return None
            entropy = rebuilt.entropy() if solution.regime == "backward-heat" else None
            return _functional(rebuilt, solution.reconstruction, solution.epsilon) if entropy is None else entropy

        slope = _central(at, step)
        if slope is None:
            return None
        result[index] = slope if twin == index else 0.5 * slope
    return result


def _central(function: Callable[[float], float | None], step: float) -> float | None:
    total = 0.0
    for k, weight in _STENCIL:
        above, below = function(k * step), function(-k * step)
        if above is None or below is None:
            return None
        total += weight * (above - below)
    return total / step


def _functional(source: Source, law: DiscreteLaw, epsilon: float) -> float:
    """F(ν) = −∫ μ log k∗ν."""
    if isinstance(source, Source1D):
        nodes = discretise(source, epsilon)
        rows, atoms = np.argsort(nodes.points[:, 0]), np.argsort(law.points[:, 0])
        atoms = atoms[law.weights[atoms] > 0]
        logz, _ = evaluate_potential(nodes.points[rows, 0], law.points[atoms, 0], law.weights[atoms], epsilon)
        return -float(nodes.weights[rows] @ logz)
    nodes = discretise(source, epsilon)
    keep = law.weights > 0
    points, log_weights = law.points[keep], np.log(law.weights[keep])
    total, block = 0.0, max(1, 4_000_000 // max(points.shape[0], 1))
    for first in range(0, nodes.size, block):
        x = nodes.points[first : first + block]
        square = ((x[:, None, :] - points[None, :, :]) ** 2).sum(axis=-1)
        total -= float(nodes.weights[first : first + block] @ logsumexp(log_weights - square / (2 * epsilon), axis=1))
    return total


def _rebuild(source: Source, parameters: dict[str, Any]) -> Source | None:
    """The same class with other parameters; None where the class refuses them."""
    try:
        made = type(source)(**parameters)
    except (HeatrdError, TypeError, ValueError):
        return None
    if isinstance(made, Source):
        return made
    return None


def _is_real(value: Any) -> bool:
    if isinstance(value, bool) or isinstance(value, (int, np.integer)):
        return False
    array = np.asarray(value)
    return bool(array.dtype.kind == "f" and array.size > 0 and np.isfinite(array).all())
