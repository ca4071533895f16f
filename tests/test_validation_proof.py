"""The ball-arithmetic checker itself: it proves what is true, and nothing that is not."""

import math

import numpy as np
import pytest
from scipy.integrate import quad

import heatrd

pytest.importorskip("flint")
intervals = pytest.importorskip("validation.interval_proof")

EPSILON = 0.9
POINTS = np.array([-0.8, 0.9])


@pytest.fixture(scope="module")
def proof():
    """A law that is not optimal, for the uniform source on [−2, 2]."""
    from flint import ctx

    ctx.prec = intervals.PRECISION
    law = heatrd.as_law(POINTS, [0.4375, 0.5625])
    return intervals.Proof(intervals.densities()["uniform"], law, EPSILON)


def test_the_upper_bound_is_the_integral(proof):
    def integrand(x):
        return -0.25 * math.log(0.4375 * gauss(x - POINTS[0]) + 0.5625 * gauss(x - POINTS[1]))

    def gauss(z):
        return math.exp(-z * z / (2 * EPSILON))

    value = quad(integrand, -2, 2, epsabs=1e-13)[0]
    assert float(proof.upper().mid()) == pytest.approx(value, abs=1e-12)
    assert float(proof.upper().rad()) < 1e-15


def test_the_lower_bound_is_repaired_and_below_the_minimum(proof):
    best = heatrd.solve(heatrd.sources.Uniform(-2.0, 2.0), epsilon=EPSILON)
    lower = proof.lower(1e-13, 1e-12, True)
    assert proof.bumps, "c exceeds one: the dual has to be repaired"
    assert float(lower.upper()) < best.lagrangian
    assert float(lower.lower()) > best.lagrangian - 0.05


@pytest.mark.parametrize("field, shift", [("lagrangian", -1e-9), ("lagrangian_lower", 1e-9)])
def test_false_bounds_are_not_proved(field, shift, monkeypatch):
    solution = heatrd.solve(heatrd.sources.Uniform(-2.0, 2.0), epsilon=EPSILON)
    claimed = {name: getattr(solution, name) for name in ("lagrangian", "lagrangian_lower", "reconstruction", "gap")}
    false = type("Claimed", (), {**claimed, field: claimed[field] + shift})
    monkeypatch.setattr(heatrd, "solve", lambda *_, **__: false)
    assert not intervals.prove("uniform", EPSILON / (4 / 3))["proved"]


def test_repair_costs_no_more_than_the_excess():
    """Bumps are chosen only where they are cheaper than lowering the whole dual by the excess."""
    from validation.intervals.repair import cheapest_bumps

    x = np.linspace(-1, 1, 801)
    mass = np.full(x.size, 1 / x.size)
    bumps = cheapest_bumps(x, mass, np.array([-0.55, 0.5]), np.array([0.5, 0.5]), 0.2, [])
    s = 1 + sum(h * np.exp(-((x - knot) ** 2) / 0.4) for knot, h in bumps)
    z = sum(0.5 * np.exp(-((x - y) ** 2) / 0.4) for y in (-0.55, 0.5))
    y = np.linspace(-1, 1, 501)
    kernel = np.exp(-((y[:, None] - x) ** 2) / 0.4)
    before, after = (kernel @ (mass / z)).max(), (kernel @ (mass / z / s)).max()
    assert before > 1 + 1e-3 and math.log(after) + mass @ np.log(s) < math.log(before)
