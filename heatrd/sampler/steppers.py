"""The schemes: one step of dX = u dt + √ε dW from t to t′.

With Δ = t' − t, p = 1 − t, q = 1 − t', standard normal z and b = x + p u (for a bridge the posterior mean E[X_1 |
X_t = x]):

- ``exact`` (bridges): draw X_1 given X_0 from the optimal coupling, then a Brownian bridge,
  x' = x + (Δ/p)(X_1 − x) + √(εΔq/p) z. The law of the path at the grid times is exact for every grid.
- ``euler``: x' = x + Δu + √(εΔ) z. Weak and strong order 1 (additive noise). The energy Σ‖u‖²Δ/2ε is exactly the
  relative entropy of
  the discrete chain to its Brownian reference, so energy + entropy bounds the optimum from above even at coarse steps.
- ``exponential``: b frozen over the step, the linear rest solved: x' = x + Δu + √(εΔq/p) z. Order 1, stable up to t
  = 1, where it lands
  on b.
- ``heun``: predictor x̃ and corrector. Where u stays smooth, x' = x + Δ(u + u'(x̃))/2 + √(εΔ) z: weak order 2. Where
  ν has atoms,
  the same with b linear in time over the step, x' = x + w₀(b − x) + w₁(b' − x) + √(εΔq/p) z, w₁ = 1 − (q/Δ)
  log(p/q), w₀ = Δ/p − w₁; the last step lands on an atom.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from heatrd.kernels.paths import bridge_step, correct, predict, table_energy, table_step
from heatrd.sampler.noise import Stream
from heatrd.sampler.plan import Plan

__all__ = ["Stepper", "controlled_stepper", "exact_stepper", "trapezoid"]

FloatArray = NDArray[np.float64]
Stepper = Callable[[int, FloatArray, FloatArray, FloatArray], None]


def exact_stepper(plan: Plan, x0: FloatArray, uniform: FloatArray, stream: Stream) -> Stepper:
    """Brownian bridges to terminal points drawn from the optimal coupling; energy by the trapezoidal rule in time."""
    field, times, tables = plan.field, plan.times, plan.tables
    assert field.bridge is not None
    end = field.bridge.draw_terminal(x0, uniform, stream.extra())
    weights = trapezoid(times[: plan.horizon + 1]) / (2 * field.epsilon)
    zero = np.zeros_like(x0)

    def charge(k: int, x: FloatArray, energy: FloatArray) -> None:
        if k > plan.horizon:
            return
        if tables is not None:
            table_energy(x[:, 0], tables.values[k], tables.low, tables.per_cell, weights[k], energy)
        else:
            predict(x, field.values(float(times[k]), x), 0.0, 0.0, zero, weights[k], energy)

    def step(k: int, x: FloatArray, noise: FloatArray, energy: FloatArray) -> None:
        if k == 0:
            charge(0, x, energy)
        delta, p, q = times[k + 1] - times[k], 1.0 - times[k], 1.0 - times[k + 1]
        bridge_step(x, end, delta / p, np.sqrt(field.epsilon * delta * q / p), noise)
        charge(k + 1, x, energy)

    return step


def controlled_stepper(plan: Plan) -> Stepper:
    return _heun_stepper(plan) if plan.scheme == "heun" else _euler_stepper(plan)


def _euler_stepper(plan: Plan) -> Stepper:
    """Euler–Maruyama, and the exponential scheme, which differs in the noise alone."""
    field, times, tables = plan.field, plan.times, plan.tables

    def step(k: int, x: FloatArray, noise: FloatArray, energy: FloatArray) -> None:
        delta, p, q = times[k + 1] - times[k], 1.0 - times[k], 1.0 - times[k + 1]
        variance = field.epsilon * delta * (q / p if plan.scheme == "exponential" else 1.0)
        weight = delta / (2 * field.epsilon) if k < plan.horizon else 0.0
        if tables is not None:
            table_step(
                x[:, 0],
                tables.values[k],
                tables.low,
                tables.per_cell,
                delta,
                np.sqrt(variance),
                noise[:, 0],
                weight,
                energy,
            )
        else:
            predict(x, field.values(float(times[k]), x), delta, np.sqrt(variance), noise, weight, energy)

    return step


def _heun_stepper(plan: Plan) -> Stepper:
    field, times, tables = plan.field, plan.times, plan.tables

    def values(k: int, x: FloatArray) -> FloatArray:
        if tables is not None:
            return tables.at(k, x, np.empty_like(x))
        return field.values(float(times[k]), x)

    def step(k: int, x: FloatArray, noise: FloatArray, energy: FloatArray) -> None:
        delta, p, q = times[k + 1] - times[k], 1.0 - times[k], 1.0 - times[k + 1]
        u = values(k, x)
        sigma = np.sqrt(field.epsilon * delta * (q / p if field.atomic else 1.0))
        ahead = x.copy()
        idle = np.zeros(len(x))
        predict(ahead, u, delta, sigma, noise, 0.0, idle)
        if q == 0.0 and field.atomic:
            assert field.bridge is not None
            x[:] = field.bridge.posterior_mean(1.0, ahead)
            return
        u_ahead = values(k + 1, ahead)
        a0, a1, a2 = (delta / 2, delta / 2, 0.0)
        if field.atomic:
            late = 1.0 - (q / delta) * np.log(p / q)
            a0, a1, a2 = (delta / p - late) * p, late * q, late
        correct(x, u, ahead, u_ahead, a0, a1, a2, sigma, noise, delta / (2 * field.epsilon), energy)

    return step


def trapezoid(times: FloatArray) -> FloatArray:
    weights = np.zeros(len(times))
    weights[1:] += 0.5 * np.diff(times)
    weights[:-1] += 0.5 * np.diff(times)
    return weights
