"""What the laws on the line are drawn with and solved by."""

import math

from hypothesis import settings
from hypothesis import strategies as st

import heatrd

TOL = 1e-6
quick = settings(max_examples=8)
RATIO = st.floats(math.log(0.05), math.log(1.2)).map(math.exp)
SMOOTH = ("uniform", "laplace", "exponential", "generalized-gaussian", "triangular", "gaussian-mixture", "tabulated")


def solve(source, ratio, tol=TOL, **more):
    return heatrd.solve(source, epsilon=ratio * source.total_variance, tol=tol, **more)


def lagrangian_bounds(solution):
    return solution.lagrangian_lower, solution.lagrangian
