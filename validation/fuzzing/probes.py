"""One probe per public function: draw arguments, call, and check the answer.

A probe returns when the answer is right, raises `heatrd.HeatrdError` when the call is refused, and raises anything else
where the package failed.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

import heatrd
from heatrd import closed_forms, grids, heat, sources
from heatrd.errors import HeatrdError
from heatrd.testing import check_overlap, check_solution
from validation.fuzzing.dice import Dice
from validation.fuzzing.laws import any_source, hostile_source, line_source, plane_source

__all__ = ["PROBES", "Probe", "probe"]


@dataclass(frozen=True, slots=True)
class Probe:
    """A function from dice to a checked answer; how often it is drawn; the public names that it calls."""

    name: str
    run: Callable[[Dice], None]
    weight: float
    covers: tuple[str, ...]


PROBES: list[Probe] = []


def probe(weight: float, *covers: str) -> Callable[[Callable[[Dice], None]], Callable[[Dice], None]]:
    """Register a probe."""

    def register(run: Callable[[Dice], None]) -> Callable[[Dice], None]:
        PROBES.append(Probe(run.__name__, run, weight, covers))
        return run

    return register


def require(condition: Any, message: str) -> None:
    if not bool(condition):
        raise AssertionError(message)


def finite(value: Any, what: str) -> None:
    require(np.isfinite(np.asarray(value, dtype=float)).all(), f"{what} is not finite: {value!r}")


def spread(source: Any) -> float:
    """Variance per coordinate, or one where there is none."""
    return (getattr(source, "total_variance", 0.0) or 1.0) / getattr(source, "dim", 1)


def affordable(dice: Dice, source: Any) -> float:
    """An ε at which this source is solved quickly."""
    low = 0.05 if source.dim == 1 else 0.3
    return dice.say("epsilon", dice.log_uniform(low, 3.0) * spread(source))


# -- solving ----------------------------------------------------------------------------------------


def _target(dice: Dice, source: Any) -> dict[str, Any]:
    name = dice.choice(("epsilon", "distortion", "rate"))
    low = 0.1 if source.dim == 1 else 0.4
    good = {
        "epsilon": lambda: dice.log_uniform(low, 3.0) * spread(source),
        "distortion": lambda: dice.uniform(low, 1.2) * (source.total_variance or 1.0),
        "rate": lambda: dice.uniform(0.0, 1.5),
    }[name]
    return {name: dice.number(name, good, 0.25)}


@probe(10, "solve", "Solution", "Certificate")
def solve_line(dice: Dice) -> None:
    source = line_source(dice)
    target = _target(dice, source)
    more = {"tol": dice.number("tol", lambda: 10 ** dice.uniform(-9, -2))} if dice.chance(0.4) else {}
    solution = heatrd.solve(source, **target, **more)
    check_solution(solution)
    finite([solution.rate, solution.rate_lower, solution.distortion, solution.bits], "the answer")
    require(not math.isnan(solution.snr_db), "SNR is nan")


@probe(3, "solve", "Solution")
def solve_plane(dice: Dice) -> None:
    source = plane_source(dice)
    check_solution(heatrd.solve(source, **_target(dice, source), tol=1e-3))


@probe(8, "solve", "as_source", "sources")
def solve_hostile(dice: Dice) -> None:
    source = hostile_source(dice)
    require(source.total_variance >= 0 and np.isfinite(source.covariance).all(), f"covariance {source.covariance!r}")
    ratio = dice.log_uniform(0.2, 3.0) if source.dim == 1 else 1.5
    check_solution(heatrd.solve(source, epsilon=dice.say("epsilon", ratio * spread(source)), tol=1e-4))


@probe(4, "solve")
def solve_scales_exactly(dice: Dice) -> None:
    """R_{aX}(a²D) = R_X(D) for a a power of two: to rounding, at any scale."""
    power = dice.say("power", dice.choice((-498, -300, -100, -7, 7, 100, 300, 498)))
    epsilon = dice.say("epsilon", dice.log_uniform(0.1, 1.5))
    kind = dice.say("kind", dice.choice(("uniform", "laplace", "gaussian", "atoms", "mixture", "kde", "grid")))
    points = np.round(8 * dice.numpy.standard_normal(9)) / 8

    def law(unit: float) -> Any:
        match kind:
            case "uniform":
                return sources.Uniform(-unit, unit)
            case "laplace":
                return sources.Laplace(0.0, unit)
            case "gaussian":
                return sources.Gaussian(0.0, unit**2)
            case "atoms":
                return sources.Atoms(unit * points)
            case "mixture":
                return sources.GaussianMixture(None, unit * points, unit**2 / 4)
            case "kde":
                return heatrd.from_samples(unit * points, method="kde", bandwidth=unit / 2)
            case _:
                return heatrd.from_grid(unit * np.arange(4.0), np.array([0.0, 1.0, 2.0, 1.0]), normalize=True)

    unit = 2.0**power
    one = heatrd.solve(law(1.0), epsilon=epsilon, tol=1e-6)
    two = heatrd.solve(law(unit), epsilon=epsilon * unit**2, tol=1e-6)
    require(math.isclose(one.rate, two.rate, rel_tol=1e-9, abs_tol=1e-12), f"rates {one.rate!r}, {two.rate!r}")
    require(math.isclose(two.distortion / unit / unit, one.distortion, rel_tol=1e-9), "distortions do not scale")


@probe(3, "solve")
def solve_junk(dice: Dice) -> None:
    keys = dice.sample(("epsilon", "distortion", "rate", "tol", "start"), dice.randint(0, 3))
    check_solution(heatrd.solve(any_source(dice), **{key: dice.say(key, dice.junk()) for key in keys}))


@probe(5, "certify", "Certified", "as_law")
def certify(dice: Dice) -> None:
    source = line_source(dice) if dice.chance(0.8) else plane_source(dice)
    size, unit = dice.randint(1, 8), math.sqrt(spread(source))
    shape = (size,) if source.dim == 1 and dice.chance(0.7) else (size, source.dim)
    points, weights = dice.array("points", shape, scale=unit), dice.weights("weights", size)
    epsilon = dice.number("epsilon", lambda: dice.log_uniform(0.1, 2) * unit**2)
    judged = heatrd.certify(source, points, weights, epsilon, repair=dice.say("repair", dice.chance(0.3)))
    require(judged.lagrangian_lower <= judged.lagrangian, "bounds not ordered")
    require(judged.log_sup >= -1e-8, f"sup c below one: {judged.log_sup!r}")
    if dice.chance(0.3):
        best = heatrd.solve(source, epsilon=epsilon, tol=1e-3)
        check_overlap(
            (best.lagrangian_lower, best.lagrangian), (judged.lagrangian_lower, judged.lagrangian), slack=1e-9
        )


@probe(3, "blahut_arimoto")
def blahut(dice: Dice) -> None:
    source = line_source(dice) if dice.chance(0.8) else any_source(dice)
    epsilon = dice.number("epsilon", lambda: dice.log_uniform(0.2, 2) * spread(source))
    options: dict[str, Any] = {}
    if dice.chance(0.4):
        options["points"] = dice.array("points", (dice.randint(1, 6),), scale=math.sqrt(spread(source)))
    if dice.chance(0.3):
        options["weights"] = dice.weights("weights", dice.randint(1, 6))
    if dice.chance(0.2):
        options["spacing"] = dice.number("spacing", lambda: 0.5)
    result = heatrd.blahut_arimoto(source, epsilon, dice.number("iterations", lambda: dice.randint(1, 20)), **options)
    require(result.certificate.lagrangian_lower <= result.certificate.lagrangian, "bounds not ordered")
    finite(result.law.weights, "weights")


# -- sources ----------------------------------------------------------------------------------------


@probe(8, "from_samples", "sources")
def samples(dice: Dice) -> None:
    size = dice.choice((0, 1, 2, 3, 30, 200))
    shape = (size,) if dice.chance(0.7) else (size, dice.choice((1, 2, 3)))
    x = dice.array("x", shape, scale=dice.scale())
    options: dict[str, Any] = {"method": dice.word("method", ("atoms", "kde"))}
    if dice.chance(0.4):
        options["bandwidth"] = dice.number("bandwidth", lambda: dice.choice(("silverman", "scott", 0.3, 1.0)))
    if dice.chance(0.3):
        options["weights"] = dice.weights("weights", size)
    source = heatrd.from_samples(x, **options)
    if source.dim == 1 or (len(np.shape(x)) and size <= 3):
        check_solution(heatrd.solve(source, epsilon=affordable(dice, source), tol=1e-4))


@probe(15, "from_grid", "sources")
def table(dice: Dice) -> None:
    d = dice.choice((1, 1, 1, 2, 3))
    sizes = tuple(dice.choice((1, 2, 3, 6, 6, 9)) for _ in range(d))
    unit = dice.scale()
    axes = [unit * np.cumsum(dice.numpy.uniform(0.1, 1, n)) for n in sizes]
    if dice.chance(0.25):
        axes[0] = (
            np.sort(dice.array("axis", (sizes[0],), 0.0)) if dice.chance(0.5) else dice.array("axis", (sizes[0],), 0.7)
        )
    heights = np.abs(dice.numpy.standard_normal(sizes)) + 0.01
    density = dice.array("density", sizes, 0.7) if dice.chance(0.4) else dice.say("density", heights)
    coords = dice.say("coords", axes[0] if d == 1 else tuple(axes))
    source = heatrd.from_grid(coords, density, normalize=dice.say("normalize", dice.chance(0.8)))
    points = source.sample(5, 0)
    require(points.shape == (5, d) and np.isfinite(points).all(), "samples")
    if d == 1:
        check_solution(heatrd.solve(source, epsilon=affordable(dice, source), tol=1e-4))


@probe(4, "as_source", "Source", "sources")
def ask_a_source(dice: Dice) -> None:
    source = heatrd.as_source(any_source(dice))
    repr(source)
    require(
        source.mean.shape == (source.dim,) and source.covariance.shape == (source.dim, source.dim), "shapes of moments"
    )
    draws = source.sample(7, 1)
    require(draws.shape == (7, source.dim), f"samples of shape {draws.shape}")
    finite(draws, "samples")
    with np.errstate(over="ignore"):  # the probe's own product
        wide = np.nan_to_num(draws * 1e3)
    values = source.log_density(np.concatenate([draws, wide]))
    require(values.shape == (14,) and not np.isnan(values).any(), f"log-density {values!r}")
    entropy = source.entropy()
    require(entropy is None or not math.isnan(entropy), "entropy is nan")
    if isinstance(source, sources.Source1D):
        low, high = source.tail_cut(1e-9)
        require(low <= high, f"tail cut ({low!r}, {high!r})")
        p = source.cdf(np.array([low, draws[0, 0], high]))
        require(((p >= 0) & (p <= 1)).all() and (np.diff(np.sort(p)) >= 0).all(), f"distribution function {p!r}")


# -- bounds and critical values ---------------------------------------------------------------------


@probe(10, "shannon_lower_bound", "gaussian_upper_bound")
def bounds(dice: Dice) -> None:
    source = any_source(dice)
    source = heatrd.as_source(source) if isinstance(source, str) else source
    d = dice.array("distortion", (3,)) if dice.chance(0.3) else dice.number("distortion", dice.scale)
    low, high = heatrd.shannon_lower_bound(source, d), heatrd.gaussian_upper_bound(source, d)
    require(not np.isnan(low).any() and not np.isnan(high).any(), f"bounds {low!r}, {high!r}")
    require((np.asarray(low) <= np.asarray(high) * (1 + 1e-9) + 1e-9).all(), f"Shannon {low!r} above Gauss {high!r}")


@probe(7.5, "closed_forms")
def closed(dice: Dice) -> None:
    d = dice.array("distortion", (3,)) if dice.chance(0.3) else dice.number("distortion", dice.scale)
    match dice.say("form", dice.choice(("rate", "distortion", "sphere"))):
        case "rate":
            value = closed_forms.gaussian_rate(dice.array("covariance", dice.choice(((), (2, 2), (1, 1)))), d)
        case "distortion":
            value = closed_forms.gaussian_distortion(dice.array("covariance", dice.choice(((), (2, 2), (1, 1)))), d)
        case _:
            dim = dice.number("dim", lambda: dice.choice((2, 3, 10, 1000)))
            value = closed_forms.sphere_rate(dim, d, dice.number("radius", dice.scale))
    require(not np.isnan(value).any() and (np.asarray(value) >= 0).all(), f"value {value!r}")


@probe(7.5, "critical_epsilon", "critical_distortion")
def critical(dice: Dice) -> None:
    source = any_source(dice) if dice.chance(0.5) else hostile_source(dice)
    options = {"method": dice.word("method", ("auto", "auto", "closed-form"))} if dice.chance(0.3) else {}
    value = heatrd.critical_epsilon(source, **options)
    require(value >= 0 and not math.isnan(value), f"critical epsilon {value!r}")
    require(heatrd.critical_distortion(source, **options) >= value * (1 - 1e-12), "critical distortion below epsilon")


@probe(2.5, "reference_table")
def reference(dice: Dice) -> None:
    rows = heatrd.reference_table(dice.word("source", ("laplace", "uniform", None), 0.5))
    require(all(row.rate_lower <= row.rate_upper for row in rows), "reference bounds not ordered")


# -- heat -------------------------------------------------------------------------------------------


@probe(3, "backward_heat", "HeatPath")
def backward(dice: Dice) -> None:
    source = line_source(dice) if dice.chance(0.7) else any_source(dice)
    epsilon = dice.number("epsilon", lambda: dice.log_uniform(0.01, 0.3) * spread(source))
    options: dict[str, Any] = {}
    if dice.chance(0.3):
        options["method"] = dice.word("method", ("auto", "closed-form", "spectral", "positive", "finite-difference"))
    if dice.chance(0.3):
        unit = math.sqrt(spread(source))
        options["grid"] = dice.array("grid", (9,)) if dice.chance(0.3) else np.linspace(-8 * unit, 8 * unit, 64)
    if dice.chance(0.15):
        options["noise"] = dice.number("noise", lambda: 1e-6, 0.7)
    path = heatrd.backward_heat(source, epsilon, **options)
    t = dice.number("t", dice.random)
    x = dice.array("x", (4,) if path.dim == 1 else (4, path.dim), scale=math.sqrt(spread(path.source)))
    density = path.density(t, x)
    require(not np.isnan(density).any() and (np.asarray(density) >= 0).all(), f"density {density!r}")
    require(not np.isnan(path.control(t, x)).any(), "control is nan")


@probe(5, "grids", "heat")
def forward(dice: Dice) -> None:
    if dice.chance(0.5):
        grid = grids.as_grid(dice.array("axis", (dice.choice((2, 5, 30)),), 0.6))
    else:
        junk = [dice.number(name, lambda v=v: v, 0.3) for name, v in (("low", -1.0), ("high", 1.0), ("shape", 20))]
        grid = grids.Grid.uniform(*junk)
    require(grid.size >= 2, "grid")
    if grid.size <= 2000 and grid.dim == 1:
        rho = dice.array("rho", grid.shape)
        scheme = dice.word("scheme", heat.SCHEMES)
        boundary = dice.word("boundary", grids.BOUNDARIES)
        flow = heat.heat_flow(rho, grid, dice.number("time", lambda: 0.1), scheme=scheme, boundary=boundary)
        repr(flow)


# -- bridges, transport, sampling -------------------------------------------------------------------


def _bridge(dice: Dice) -> Any:
    source = line_source(dice) if dice.chance(0.85) else plane_source(dice)
    return heatrd.solve(source, epsilon=affordable(dice, source), tol=1e-4)


@probe(4, "SchrodingerBridge", "Solution")
def bridge(dice: Dice) -> None:
    solution = _bridge(dice)
    bridge, unit = solution.bridge, math.sqrt(spread(solution.source))
    name = dice.say(
        "method",
        dice.choice(
            (
                "density",
                "control",
                "potential",
                "copotential",
                "score",
                "posterior_mean",
                "velocity",
                "log_density",
                "backward_control",
            )
        ),
    )
    d = solution.source.dim
    x = dice.array("x", (5,) if d == 1 and dice.chance(0.3) else (5, d), scale=unit)
    values = getattr(bridge, name)(dice.number("t", dice.random), x)
    require(not np.isnan(values).any(), f"{name} is nan: {values!r}")


def _balanced(points: Any, weights: Any) -> Any:
    """A marginal, of mass one where its weights can be normalised."""
    if weights is None:
        return points
    total = np.sum(weights) if isinstance(weights, np.ndarray) and weights.dtype.kind == "f" else 0.0
    return points, weights / total if np.isfinite(total) and total > 0 else weights


@probe(10, "sinkhorn", "sinkhorn_divergence")
def transport(dice: Dice) -> None:
    n, m, d = dice.randint(1, 12), dice.randint(1, 12), dice.choice((1, 1, 2))
    unit = dice.scale()
    first = (dice.array("x", (n, d), 0.2, unit), dice.weights("mu", n, 0.2))
    second = (dice.array("y", (m, d), 0.2, unit), dice.weights("nu", m, 0.2))
    mu, nu = (_balanced(*law) for law in (first, second))
    if dice.chance(0.15):
        nu = dice.say("nu", dice.junk())
    epsilon = dice.number("epsilon", lambda: dice.log_uniform(0.05, 5) * unit**2)
    options: dict[str, Any] = {"max_iterations": 300}
    if dice.chance(0.2):
        options["acceleration"] = dice.word("acceleration", ("auto", "none", "newton", "anderson", "over-relaxation"))
    if dice.chance(0.2):
        options[dice.choice(("tol", "annealing", "max_iterations", "dense_limit"))] = dice.say("option", dice.junk())
    if dice.say("divergence", dice.chance(0.3)):
        value = heatrd.sinkhorn_divergence(mu, nu, epsilon, **options)
        require(not math.isnan(value), "divergence is nan")
        return
    plan = heatrd.sinkhorn(mu, nu, epsilon, **options)
    allowed = max(1e-6, float(options.get("tol", 0.0)))
    require(not math.isnan(plan.cost) and plan.marginal_error <= allowed, f"marginal error {plan.marginal_error!r}")


@probe(4, "sample", "Ensemble")
def paths(dice: Dice) -> None:
    solution = _bridge(dice)
    control = solution if dice.chance(0.5) else solution.bridge
    if dice.chance(0.1):
        control = dice.say(
            "control", dice.choice((dice.junk(), lambda t, x: -x, lambda t, x: x * math.nan, lambda t, x: x[:1]))
        )
    options: dict[str, Any] = {"rng": dice.choice((0, 7)), "threads": 1}
    for key, known in (
        ("scheme", ("auto", "exact", "euler", "exponential", "heun")),
        ("save", (True, False)),
        ("curve", (True, False)),
        ("antithetic", (True, False)),
        ("quasi", (True, False)),
        ("table", (True, False, 64)),
        ("initial", (solution.source,)),
    ):
        if dice.chance(0.2):
            options[key] = dice.word(key, known)
    for key, good in (("until", 0.5), ("epsilon", 0.3)):
        if dice.chance(0.15):
            options[key] = dice.number(key, lambda good=good: good, 0.5)
    if dice.chance(0.1):
        options["times"] = dice.array("times", (4,), 0.5)
    n = dice.number("n_paths", lambda: dice.choice((1, 16, 100)), 0.15)
    k = dice.number("n_steps", lambda: dice.choice((1, 5, 20)), 0.15)
    ensemble = heatrd.sample(control, n, k, **options)
    finite([float(ensemble.energy), float(ensemble.distortion)], "energy and distortion")


@probe(2, "tec_account", "TECAccount")
def account(dice: Dice) -> None:
    solution = _bridge(dice)
    options: dict[str, Any] = {"n_paths": 64, "n_steps": 10}
    if dice.chance(0.4):
        options["method"] = dice.word("method", ("auto", "potentials", "quadrature", "paths"))
    for key, good in (("until", 0.5), ("optimum", 1.0), ("n_paths", 32)):
        if dice.chance(0.2):
            options[key] = dice.number(key, lambda good=good: good, 0.5)
    if dice.chance(0.1):
        options["times"] = dice.array("times", (3,), 0.5)
    result = heatrd.tec_account(solution, **options)
    require(not np.isnan([float(result.energy), float(result.total)]).any(), "account is nan")


# -- curves -----------------------------------------------------------------------------------------


@probe(5, "rd_curve", "rd_curves", "RDCurve")
def curve(dice: Dice) -> None:
    source = line_source(dice) if dice.chance(0.9) else any_source(dice)
    variance = source.total_variance if isinstance(source, sources.Source) else 1.0
    options: dict[str, Any] = {}
    kind = dice.choice(("distortions", "rates", "whole", "both"))
    if kind in ("distortions", "both"):
        good = np.array([0.9, 0.5, 0.3]) * (variance or 1.0)
        options["distortions"] = (
            dice.array("distortions", (3,), 0.8) if dice.chance(0.3) else dice.say("distortions", good)
        )
    if kind in ("rates", "both"):
        options["rates"] = dice.array("rates", (2,), 0.8) if dice.chance(0.3) else dice.say("rates", [0.0, 0.3, 0.8])
    if kind == "whole":
        options["max_rate"] = dice.number("max_rate", lambda: 0.7)
    if dice.chance(0.1):
        options[dice.choice(("executor", "workers", "checkpoint", "tol"))] = dice.say("option", dice.junk())
    else:
        options["tol"] = 1e-2
    several = dice.say("several", dice.chance(0.1))
    result = heatrd.rd_curves([source], **options)[0] if several else heatrd.rd_curve(source, **options)
    _ask_the_curve(dice, result)


def _ask_the_curve(dice: Dice, curve: Any) -> None:
    require((curve.rates_lower <= curve.rates + 1e-12).all(), "band not ordered")
    name = dice.say("query", dice.choice(("rate", "bounds", "distortion", "slope")))
    value = dice.array("at", (3,)) if dice.chance(0.4) else dice.number("at", dice.scale)
    answer = np.asarray(getattr(curve, name)(value), dtype=float)
    require(not np.isnan(answer).any(), f"{name} is nan: {answer!r}")
    if dice.chance(0.3):
        file = dice.folder / "curve.npz"
        curve.save(file)
        again = heatrd.RDCurve.load(file)
        again.save(dice.folder / "again.npz")
        same = file.read_bytes() == (dice.folder / "again.npz").read_bytes()
        require(same, "save, load, save changes the file")
    if dice.chance(0.2):
        curve.to_csv(dice.folder / "curve.csv")


# -- pictures, estimators ---------------------------------------------------------------------------


@probe(0.4, "plots", "RDCurve", "Solution")
def pictures(dice: Dice) -> None:
    import matplotlib

    matplotlib.use("Agg")
    solution = _bridge(dice)
    with heatrd.plots.figure() as figure:
        ax = figure.subplots()
        if dice.chance(0.5):
            solution.plot(ax=ax, unit=dice.word("unit", ("nat", "bit"), 0.3))
        else:
            curve = heatrd.rd_curve(solution.source, rates=[0.2, 0.5], tol=1e-2)
            curve.plot(
                ax=ax, unit=dice.word("unit", ("nat", "bit"), 0.3), x=dice.word("x", ("distortion", "snr_db"), 0.3)
            )
        heatrd.plots.save(figure, dice.folder / "picture.png")


@probe(2.5, "neural")
def estimator(dice: Dice) -> None:
    options: dict[str, Any] = {}
    for key, good in (
        ("dim", 1),
        ("width", 4),
        ("depth", 1),
        ("steps", 3),
        ("components", 2),
        ("last", 0.01),
        ("seed", 0),
    ):
        if dice.chance(0.3):
            options[key] = dice.number(key, lambda good=good: good, 0.5)
    if dice.chance(0.3):
        options["epsilon_range"] = dice.say("epsilon_range", dice.choice(((0.1, 1.0), (1.0, 0.1), (0, 1), dice.junk())))
    if dice.chance(0.3):
        options["entropy"] = dice.word("entropy", ("auto",), 0.7)
    model = heatrd.neural.R2D2(**options)
    try:
        model.rate_distortion(dice.number("epsilon", lambda: 0.3))
    except HeatrdError:
        pass
    else:
        raise AssertionError("an untrained model gave an answer")


@probe(2, "testing")
def checks_of_others(dice: Dice) -> None:
    """No claim below the certified bound may pass, and the certified one must."""
    source = line_source(dice)
    solution = heatrd.solve(source, epsilon=affordable(dice, source), tol=1e-6)
    if solution.rate_lower < 0.05:
        return
    excess = heatrd.testing.check_upper_bound(source, solution.distortion, solution.rate)
    require(abs(excess) < 1e-3, f"the certified rate has an excess of {excess!r}")
    try:
        heatrd.testing.check_upper_bound(source, solution.distortion, 0.9 * solution.rate_lower)
    except AssertionError:
        return
    require(False, "an impossible claim passed")


@probe(2.5, "HeatrdError", "InvalidInput", "TooLarge", "NotConverged", "HeatrdWarning", "DiscreteLaw", "as_law")
def laws(dice: Dice) -> None:
    size = dice.randint(0, 5)
    law = heatrd.as_law(dice.array("points", (size, 2) if dice.chance(0.5) else (size,)), dice.weights("weights", size))
    require(abs(law.weights.sum() - 1) < 1e-12 and (law.weights >= 0).all(), "weights are no probability")
    finite(law.points, "points")
