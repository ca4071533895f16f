"""What the dual beyond the cuts adds to c, against the error function itself."""

import math

import numpy as np
import pytest
from scipy.integrate import trapezoid
from scipy.stats import norm

from heatrd.certificate.beyond import Beyond
from heatrd.certificate.cells import certificate_function

EPSILON = 0.3
ROOT = math.sqrt(EPSILON)
BEYOND = Beyond((-4.0, 5.0), (0.5, 0.25), (1e-3, 1e-4))


def added(y):
    """δ Φ(±(y − T)/√ε): the Gaussian kernel integrated over either tail, normalised."""
    return 0.5 * norm.cdf((-4.0 - y) / ROOT) + 0.25 * norm.cdf((y - 5.0) / ROOT)


@pytest.mark.parametrize("level", [1.0, 1e-3])
def test_the_constraint_holds_the_tails(level):
    """Where nothing but the tails is left, c is theirs; elsewhere it is the sum."""
    x = np.linspace(-4.0, 5.0, 41)
    logq = np.log(level * np.exp(-0.1 * x**2) / x.size)
    c = certificate_function(x, logq, EPSILON, 1e-13, BEYOND)
    width = np.diff(c.centre).min()
    for y in np.linspace(-9.0, 10.0, 200):
        cell = np.flatnonzero(np.abs(c.centre - y) <= 0.5 * width)
        exact = float(np.exp(logq - (x - y) ** 2 / (2 * EPSILON)).sum() + added(y))
        assert cell.size == 0 or math.exp(c.log_offset) * c.bound[cell].max() >= exact - 1e-14
    at = np.exp(logq - (x - c.at[:, None]) ** 2 / (2 * EPSILON)).sum(axis=1) + added(c.at)
    assert math.exp(c.log_offset) * c.best == pytest.approx(at, rel=1e-10)
    assert math.exp(c.log_sup) >= 0.5 - 1e-9, "the left tail alone reaches its share"


def test_value_and_derivatives():
    y = np.linspace(-8.0, 9.0, 41)
    value, first, second = BEYOND.at(y, ROOT)
    step = 1e-4
    high, low = added(y + step * ROOT), added(y - step * ROOT)
    assert value == pytest.approx(added(y), abs=1e-15)
    assert first == pytest.approx((high - low) / (2 * step), abs=1e-8)
    assert second == pytest.approx((high - 2 * added(y) + low) / step**2, abs=1e-6)


def test_the_integral_of_the_dual():
    """∫ μ log α beyond the cuts with μ α = δ/√(2πε): mass (log δ − ½ log 2πε) − ∫ μ log μ, for an exponential tail."""
    rate = 1.7
    cut = Beyond((-math.inf, 2.0), (1.0, 0.25), (0.0, math.exp(-rate * 2.0)))
    mass = cut.masses[1]
    entropy = -mass * (math.log(rate) - rate * 2.0 - 1)
    x = np.linspace(2.0, 40.0, 400_001)
    mu = rate * np.exp(-rate * x)
    alpha = 0.25 / math.sqrt(2 * math.pi * EPSILON) / mu
    assert cut.value(entropy, EPSILON) == pytest.approx(trapezoid(mu * np.log(alpha), x=x), rel=1e-6)
