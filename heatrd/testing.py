"""For tests, ours and others': hypothesis strategies for sources and solutions, and checks that raise AssertionError.

The checks hold for every rate–distortion function, whoever computed it:

- R is convex and non-increasing, between the Shannon and the Gaussian bound, zero from the variance on;
- nobody's upper bound lies below a certified lower bound (`check_upper_bound`), and no interval misses another
  (`check_overlap`);
- for every control u of dX = u dt + √ε dW from X_0 ~ μ, E∫‖u‖²/2ε dt + h(X_1) ≥ L(ε) + (d/2) log 2πε (DESIGN (3)).
  With Euler steps and a cross-entropy in place of h the left side only grows, so `check_control` can test it in
  standard errors.

The strategies need the package ``hypothesis``; the checks do not.
"""

from __future__ import annotations

import importlib
import itertools
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import logsumexp

from heatrd import sources
from heatrd.closed_forms import gaussian_upper_bound, shannon_lower_bound
from heatrd.errors import HeatrdError, InvalidInput
from heatrd.solution import Solution, solve
from heatrd.sources import Source, as_source

__all__ = [
    "ControlReport",
    "check_control",
    "check_overlap",
    "check_rd_curve",
    "check_solution",
    "check_upper_bound",
    "line_sources",
    "plane_sources",
    "solutions",
]

FloatArray = NDArray[np.float64]

_ROUNDING = 1e-12
_CHUNK = 2_000_000


# -- strategies -------------------------------------------------------------------------------------


def _strategies() -> Any:
    try:
        return importlib.import_module("hypothesis.strategies")
    except ModuleNotFoundError as error:
        raise HeatrdError("strategies need the package hypothesis: pip install hypothesis") from error


def _number(low: float, high: float) -> Any:
    """Three decimals: failing examples stay readable."""
    return _strategies().integers(round(1000 * low), round(1000 * high)).map(lambda n: n / 1000)


def _weights(size: int) -> Any:
    return _strategies().lists(_number(0.05, 1.0), min_size=size, max_size=size)


def _uniform() -> Any:
    return _strategies().builds(lambda a, w: sources.Uniform(a, a + w), _number(-2, 2), _number(0.5, 4))


def _laplace() -> Any:
    return _strategies().builds(sources.Laplace, _number(-2, 2), _number(0.3, 2))


def _exponential() -> Any:
    return _strategies().builds(sources.Exponential, _number(0.3, 2), _number(-2, 2))


def _generalized_gaussian() -> Any:
    return _strategies().builds(sources.GeneralizedGaussian, _number(1.2, 4), _number(0.3, 2), _number(-2, 2))


def _triangular() -> Any:
    return _strategies().builds(
        lambda a, w, t: sources.Triangular(a, a + t * w, a + w), _number(-2, 2), _number(1, 4), _number(0.1, 0.9)
    )


def _mixture() -> Any:
    st = _strategies()

    def components(size: int) -> Any:
        means = st.lists(_number(-3, 3), min_size=size, max_size=size)
        variances = st.lists(_number(0.2, 1.5), min_size=size, max_size=size)
        return st.builds(sources.GaussianMixture, _weights(size), means, variances)

    return st.integers(1, 3).flatmap(components)


def _atoms() -> Any:
    st = _strategies()

    def placed(size: int) -> Any:
        points = st.lists(st.integers(-40, 40), min_size=size, max_size=size, unique=True)
        return st.builds(lambda p, w: sources.Atoms(np.array(p) / 10.0, w), points, _weights(size))

    return st.integers(2, 10).flatmap(placed)


def _tabulated() -> Any:
    st = _strategies()

    def tabulate(heights: list[float], low: float, width: float) -> Source:
        grid = np.linspace(low, low + width, len(heights))
        return sources.from_grid(grid, heights, normalize=True)

    return st.builds(tabulate, st.lists(_number(0.05, 1.0), min_size=3, max_size=8), _number(-2, 2), _number(1, 4))


_FAMILIES: dict[str, Callable[[], Any]] = {
    "uniform": _uniform,
    "laplace": _laplace,
    "exponential": _exponential,
    "generalized-gaussian": _generalized_gaussian,
    "triangular": _triangular,
    "gaussian-mixture": _mixture,
    "atoms": _atoms,
    "tabulated": _tabulated,
}


def line_sources(*families: str) -> Any:
    """Strategy for one-dimensional sources of moderate size.

    Parameters
    ----------
    *families : str
        Any of "uniform", "laplace", "exponential", "generalized-gaussian", "triangular", "gaussian-mixture", "atoms",
        "tabulated"; all when omitted.

    Raises
    ------
    InvalidInput
        Unknown family.
    HeatrdError
        hypothesis is not installed.
    """
    unknown = [f for f in families if f not in _FAMILIES]
    if unknown:
        raise InvalidInput(f"unknown family {unknown[0]!r}; known: {', '.join(_FAMILIES)}")
    return _strategies().one_of(*(_FAMILIES[f]() for f in families or _FAMILIES))


def plane_sources() -> Any:
    """Strategy for two-dimensional sources: a few atoms, a Gaussian, a product of two lines."""
    st = _strategies()
    points = st.lists(st.tuples(st.integers(-20, 20), st.integers(-20, 20)), min_size=2, max_size=6, unique=True)
    atoms = st.builds(lambda p: sources.Atoms(np.array(p) / 10.0), points)
    gaussian = st.builds(
        lambda a, b, c: sources.Gaussian([0.0, 0.0], [[a, c * math.sqrt(a * b)], [c * math.sqrt(a * b), b]]),
        _number(0.2, 2),
        _number(0.2, 2),
        _number(-0.8, 0.8),
    )
    product = st.builds(
        lambda a, b: sources.Product([a, b]),
        line_sources("uniform", "laplace"),
        line_sources("uniform", "gaussian-mixture"),
    )
    return st.one_of(atoms, gaussian, product)


def solutions(source_strategy: Any = None, *, ratios: tuple[float, float] = (0.03, 1.5), tol: float = 1e-6) -> Any:
    """Strategy for certified solutions.

    Parameters
    ----------
    source_strategy : strategy, optional
        Where the sources come from; `line_sources` when omitted.
    ratios : (float, float)
        Range of ε over the variance per coordinate, drawn evenly in its logarithm.
    tol : float
        Gap asked for, nats.
    """
    st = _strategies()
    drawn = line_sources() if source_strategy is None else source_strategy

    def at(source: Source, log_ratio: float) -> Solution:
        return solve(source, epsilon=math.exp(log_ratio) * source.total_variance / source.dim, tol=tol)

    return st.builds(at, drawn, _number(math.log(ratios[0]), math.log(ratios[1])))


# -- checks -----------------------------------------------------------------------------------------


def _require(condition: Any, message: str) -> None:
    if not bool(condition):
        raise AssertionError(message)


def check_overlap(*intervals: tuple[float, float], slack: float = _ROUNDING) -> None:
    """Check that intervals (lower, upper) for the same number are ordered and share a point."""
    for low, high in intervals:
        _require(low <= high + slack, f"lower bound {low!r} above upper bound {high!r}")
    low, high = max(i[0] for i in intervals), min(i[1] for i in intervals)
    _require(low <= high + slack * (1 + abs(high)), f"bounds contradict each other: {low!r} <= value <= {high!r}")


def check_solution(solution: Solution, *, tol: float | None = None) -> None:
    """Check everything that must hold of one certified point.

    Parameters
    ----------
    solution : Solution
    tol : float, optional
        Gap it must have reached, nats.

    Raises
    ------
    AssertionError
        What does not hold.
    """
    source, d = solution.source, solution.distortion
    slack = _ROUNDING * (1 + abs(solution.rate))
    _require(
        0 <= solution.rate_lower <= solution.rate, f"bounds not ordered: {solution.rate_lower!r}, {solution.rate!r}"
    )
    possible = d > 0 or (d == 0 and source.is_discrete)
    _require(math.isfinite(solution.rate) and possible, f"rate {solution.rate!r} at distortion {d!r}")
    if solution.regime != "zero-rate":
        _require(solution.lagrangian_lower <= solution.lagrangian, "bounds on the Lagrangian not ordered")
        _require(d <= source.total_variance * (1 + 1e-3), f"distortion {d!r} above the variance")
    if d > 0:
        _require(solution.rate_lower <= gaussian_upper_bound(source, d) + slack, "above the Gaussian bound")
    if d > 0 and (source.dim == 1 or source.entropy() is not None):
        _require(shannon_lower_bound(source, d) <= solution.rate + slack, "below the Shannon lower bound")
    weights = solution.reconstruction.weights
    _require((weights >= 0).all() and abs(weights.sum() - 1) < 1e-12, "the reconstruction law is no probability")
    _require(np.isfinite(solution.reconstruction.points).all(), "the reconstruction law has points that are not finite")
    if tol is not None:
        _require(solution.gap <= tol, f"gap {solution.gap:.2g} above {tol:.2g}")


def check_upper_bound(src: Any, distortion: float, rate: float, *, stderr: float = 0.0, z: float = 4.0) -> float:
    """Check anyone's claim that ``rate`` nats suffice at ``distortion``; return its excess over the certified bound.

    Parameters
    ----------
    src : source
        Anything `heatrd.as_source` takes.
    distortion, rate : float
        The claim: E‖X−Y‖² ≤ distortion at ``rate`` nats.
    stderr, z : float
        Standard error of a statistical claim, and how many of them are granted.

    Raises
    ------
    AssertionError
        The claim is impossible: it lies below a certified lower bound.
    """
    truth = solve(as_source(src), distortion=distortion)
    lower = truth.certificate.lower_bound(distortion) if truth.regime != "zero-rate" else 0.0
    _require(math.isfinite(rate), f"the claimed rate is {rate!r}")
    _require(
        rate + z * stderr >= lower - _ROUNDING * (1 + lower),
        f"{rate:.9g} nats at distortion {distortion:.6g} is impossible: at least {lower:.9g} are needed",
    )
    return rate - truth.rate


def check_rd_curve(curve: Any, *, points: int = 60) -> None:
    """Check a curve: bounds ordered, convex, non-increasing, between the Shannon and Gaussian bounds, inverse to D(R).

    Parameters
    ----------
    curve : RDCurve
        Or anything with ``source``, ``distortions``, ``bounds(D)``, ``rate(D)`` and ``distortion(R)``.
    points : int
        How many distortions to look at between the curve's ends.
    """
    known = np.sort(np.asarray(curve.distortions, dtype=float))
    d = np.geomspace(known[0], known[-1], points)
    lower, upper = (np.asarray(b, dtype=float) for b in curve.bounds(d))
    rate = np.asarray(curve.rate(d), dtype=float)
    slack = 1e-10 * (1 + upper.max())
    _require((lower <= rate + slack).all() and (rate <= upper + slack).all(), "the curve leaves its own band")
    _require((np.diff(rate) <= slack).all() and (np.diff(upper) <= slack).all(), "the curve increases somewhere")
    width = float((upper - lower).max())
    for name, values in (("rate", rate), ("upper bound", upper)):
        slopes = np.diff(values) / np.diff(d)
        noise = (slack + 1e-3 * width) / np.diff(d)
        _require((np.diff(slopes) >= -(noise[1:] + noise[:-1])).all(), f"the {name} is not convex")
    source = curve.source
    _require((lower <= np.asarray(gaussian_upper_bound(source, d)) + slack).all(), "above the Gaussian bound")
    if source.dim == 1 or source.entropy() is not None:
        _require((np.asarray(shannon_lower_bound(source, d)) <= upper + slack).all(), "below the Shannon lower bound")
    inside = rate > 1e-6 * max(rate.max(), 1e-300)
    back = np.asarray(curve.distortion(rate[inside]), dtype=float)
    _require(np.allclose(back, d[inside], rtol=1e-6), "D(R(D)) differs from D")


@dataclass(frozen=True, slots=True, eq=False)
class ControlReport:
    """What a control achieved, nats: energy + terminal cross-entropy − (d/2) log 2πε, against the certified L(ε).

    Attributes
    ----------
    lagrangian : float
        The control's estimate, an upper bound on L(ε) in expectation.
    stderr : float
        Its standard error.
    optimum_lower : float
        Certified lower bound on L(ε).
    optimum : float
        Certified upper bound on L(ε).
    distortion : float
        E‖X_0 − X_1‖².
    """

    lagrangian: float
    stderr: float
    optimum_lower: float
    optimum: float
    distortion: float

    @property
    def excess(self) -> float:
        """Estimated excess over the optimum, nats."""
        return self.lagrangian - self.optimum


def check_control(
    src: Any,
    control: Callable[[float, FloatArray], FloatArray],
    epsilon: float,
    *,
    n_paths: int = 4096,
    n_steps: int = 64,
    rng: np.random.Generator | int | None = 0,
    excess: float | None = None,
    z: float = 5.0,
) -> ControlReport:
    """Roll a control out and check that it is no better than the certified optimum, nor worse than ``excess`` above.

    Parameters
    ----------
    src : source
        Law of X_0.
    control : callable
        u(t, x) with x (n, d) → (n, d), for 0 ≤ t < 1.
    epsilon : float
        Diffusion coefficient of dX = u dt + √ε dW.
    n_paths, n_steps : int
        Half of the paths build the terminal mixture, the other half judge it. Steps shrink towards t = 1, where u may
        blow up.
    excess : float, optional
        Largest excess allowed, nats.
    z : float
        Standard errors granted.

    Returns
    -------
    ControlReport

    Raises
    ------
    AssertionError
        Wrong shape, values that are not finite, better than possible, or worse than allowed.
    """
    source = as_source(src)
    generator = np.random.default_rng(rng)
    start = source.sample(n_paths, generator)
    energy, centre, width, end = _roll_out(start, control, epsilon, n_steps, generator)
    half = n_paths // 2
    surprise = -_log_mixture(end[half:], centre[:half], width)
    values = energy[half:] + surprise - 0.5 * source.dim * math.log(2 * math.pi * epsilon)
    stderr = float(values.std(ddof=1) / math.sqrt(values.size))
    truth = solve(source, epsilon=epsilon)
    report = ControlReport(
        float(values.mean()),
        stderr,
        truth.lagrangian_lower,
        truth.lagrangian,
        float(((end - start) ** 2).sum(axis=1).mean()),
    )
    _require(
        report.lagrangian + z * stderr >= report.optimum_lower,
        f"{report.lagrangian:.6g} ± {stderr:.2g} nats is less than the certified optimum {report.optimum_lower:.6g}",
    )
    if excess is not None:
        _require(
            report.excess <= excess + z * stderr,
            f"excess {report.excess:.4g} ± {stderr:.2g} nats; allowed {excess:.4g}",
        )
    return report


def _roll_out(
    x: FloatArray,
    control: Callable[[float, FloatArray], FloatArray],
    epsilon: float,
    n_steps: int,
    rng: np.random.Generator,
) -> tuple[FloatArray, FloatArray, float, FloatArray]:
    """Euler–Maruyama: energies, last means, variance of the last step, last points."""
    times = 1 - np.linspace(1, 0, n_steps + 1) ** 2
    energy, mean, dt = np.zeros(len(x)), x, 1.0
    for t, following in itertools.pairwise(times):
        dt = float(following - t)
        u = np.asarray(control(float(t), x), dtype=float)
        _require(u.shape == x.shape, f"the control has shape {u.shape} at points of shape {x.shape}")
        _require(np.isfinite(u).all(), f"the control is not finite at t={t:.4g}")
        energy = energy + (u**2).sum(axis=1) * dt / (2 * epsilon)
        mean = x + u * dt
        x = mean + math.sqrt(epsilon * dt) * rng.standard_normal(x.shape)
    return energy, mean, epsilon * dt, x


def _log_mixture(points: FloatArray, centres: FloatArray, variance: float) -> FloatArray:
    """Log-density of 99 % N(centre_i, variance) + 1 % of one broad Gaussian that keeps the tails finite."""
    d = points.shape[1]
    spread = centres.var(axis=0).sum() / d + variance
    broad = -((points - centres.mean(axis=0)) ** 2).sum(axis=1) / (8 * spread) - 0.5 * d * math.log(
        8 * math.pi * spread
    )
    out = np.empty(len(points))
    block = max(1, _CHUNK // len(centres))
    for i in range(0, len(points), block):
        square = ((points[i : i + block, None, :] - centres) ** 2).sum(axis=2)
        out[i : i + block] = logsumexp(-square / (2 * variance), axis=1)
    narrow = out - math.log(len(centres)) - 0.5 * d * math.log(2 * math.pi * variance)
    return np.asarray(np.logaddexp(narrow + math.log(0.99), broad + math.log(0.01)))
