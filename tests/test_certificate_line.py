"""Certificates on the line against quadrature that shares no code with them: scipy's quad, mpmath, dense scans."""

import itertools
import math

import mpmath
import numpy as np
import pytest
from scipy import integrate, special, stats

import heatrd
from heatrd.errors import InvalidInput
from heatrd.reconstruction.line import LineProblem

CASES = {
    "uniform": (heatrd.as_source("uniform"), stats.uniform(-math.sqrt(3), 2 * math.sqrt(3)), ()),
    "laplace": (heatrd.as_source("laplace"), stats.laplace(), (0.0,)),
    "exponential": (heatrd.as_source("exponential"), stats.expon(), ()),
    "triangular": (heatrd.as_source("triangular"), stats.triang(0.5, -math.sqrt(6), 2 * math.sqrt(6)), (0.0,)),
    "logistic": (heatrd.as_source("logistic"), stats.logistic(), (0.0,)),
    "gamma": (heatrd.as_source("gamma"), stats.gamma(2.0), ()),
    "skewed": (heatrd.as_source(stats.skewnorm(4.0)), stats.skewnorm(4.0), (0.0,)),
}


def potential(law, epsilon):
    """x ↦ log Z(x), in the log domain."""
    y, logw = law.points[:, 0], np.log(np.maximum(law.weights, 1e-300))

    def log_z(x):
        a = logw - (x - y) ** 2 / (2 * epsilon)
        top = a.max()
        return top + math.log(np.exp(a - top).sum())

    return log_z


def panels(frozen, kinks, epsilon):
    """Panels a few √ε wide, growing outwards, over all but 1e-17 of the mass."""
    low, high = frozen.ppf(1e-17), frozen.isf(1e-17)
    step = 3 * math.sqrt(epsilon)
    inner = np.arange(low, high, step)
    return np.unique(np.concatenate([[low, high], inner, [k for k in kinks if low < k < high]]))


def integral(f, edges):
    """∫ f by scipy's quad, panel by panel."""
    return math.fsum(
        integrate.quad(f, a, b, epsabs=1e-14, epsrel=1e-11, limit=50)[0] for a, b in itertools.pairwise(edges)
    )


def lagrangian(law, epsilon, frozen, kinks):
    """F(ν) = −∫ μ log Z by quad."""
    log_z = potential(law, epsilon)
    return integral(lambda x: -frozen.pdf(x) * log_z(x), panels(frozen, kinks, epsilon))


def scan(law, epsilon, frozen, kinks, points, core=None):
    """log c(y), c = ∫ μ k/Z, at many points: Gauss–Legendre of order 40 on half-width panels."""
    edges = panels(frozen, kinks, epsilon / 4)
    edges = edges if core is None else np.unique(np.clip(edges, *core))
    t, v = np.polynomial.legendre.leggauss(40)
    half = np.diff(edges)[:, None] / 2
    x = (edges[:-1, None] + half * (1 + t)).ravel()
    log_z = potential(law, epsilon)
    log_q = np.log(np.maximum((half * v).ravel() * frozen.pdf(x), 1e-300)) - np.array([log_z(s) for s in x])
    return np.array([special.logsumexp(log_q - (x - y) ** 2 / (2 * epsilon)) for y in points])


@pytest.mark.parametrize("ratio", [0.5, 0.1])
@pytest.mark.parametrize("name", CASES)
def test_recomputed_lagrangian_lies_in_the_interval(name, ratio):
    source, frozen, kinks = CASES[name]
    epsilon = ratio * source.total_variance
    solution = heatrd.solve(source, epsilon=epsilon)
    assert solution.gap <= 1e-9
    f = lagrangian(solution.reconstruction, epsilon, frozen, kinks)
    assert solution.lagrangian_lower - 1e-13 <= f <= solution.lagrangian + 1e-13
    assert solution.lagrangian - f <= 2e-10  # the interval's upper end is F, not F and a margin that hides errors


@pytest.mark.parametrize("name", CASES)
def test_recomputed_supremum_is_bounded_by_the_certificate(name):
    source, frozen, kinks = CASES[name]
    epsilon = 0.3 * source.total_variance
    certificate = heatrd.solve(source, epsilon=epsilon).certificate
    core = source.tail_cut(1e-12)  # beyond it the dual is another, and log_sup speaks of the core
    low, high = max(core[0], frozen.support()[0]), min(core[1], frozen.support()[1])
    points = np.concatenate([np.linspace(low - 1, high + 1, 301), certificate.law.points[:, 0]])
    top = scan(certificate.law, epsilon, frozen, kinks, points, (low, high)).max()
    assert -1e-9 <= top <= certificate.log_sup + 1e-12


def mp_certificate(law, epsilon, density, low, high, kinks, points):
    """F(ν) and c(y) at points with 30 digits."""
    with mpmath.workdps(30):
        eps = mpmath.mpf(epsilon)
        atoms = [(mpmath.mpf(float(y)), mpmath.mpf(float(w))) for y, w in zip(law.points[:, 0], law.weights)]
        total = mpmath.fsum(w for _, w in atoms)

        def z(x):
            return mpmath.fsum(w * mpmath.exp(-((x - y) ** 2) / (2 * eps)) for y, w in atoms) / total

        edges = sorted({mpmath.mpf(low), mpmath.mpf(high), *map(mpmath.mpf, kinks)})
        edges = [a + (b - a) * i / 6 for a, b in itertools.pairwise(edges) for i in range(6)] + [edges[-1]]
        f = mpmath.quad(lambda x: -density(x) * mpmath.log(z(x)), edges)
        c = [
            mpmath.quad(lambda x, y=y: density(x) / z(x) * mpmath.exp(-((x - y) ** 2) / (2 * eps)), edges)
            for y in points
        ]
        return f, c


MP_CASES = {
    "uniform": ("uniform", lambda x: 1 / (2 * mpmath.sqrt(3)), -mpmath.sqrt(3), mpmath.sqrt(3), ()),
    "triangular": ("triangular", lambda x: (mpmath.sqrt(6) - abs(x)) / 6, -mpmath.sqrt(6), mpmath.sqrt(6), (0,)),
    "beta": (stats.beta(2, 5), lambda x: 30 * x * (1 - x) ** 4, 0, 1, ()),
}


@pytest.mark.parametrize("name", MP_CASES)
def test_thirty_digits_agree(name):
    what, density, low, high, kinks = MP_CASES[name]
    source = heatrd.as_source(what)
    solution = heatrd.solve(source, epsilon=0.3 * source.total_variance, tol=1e-11)
    assert solution.gap <= 1e-11
    points = np.linspace(float(low), float(high), 9)
    f, c = mp_certificate(solution.reconstruction, solution.epsilon, density, low, high, kinks, points)
    assert solution.lagrangian_lower <= f <= solution.lagrangian
    assert max(c) <= math.exp(solution.certificate.log_sup)


def bad_laws():
    rng = np.random.default_rng(11)
    yield "one atom", np.zeros(1), np.ones(1)
    yield "far atom", np.array([7.0]), np.ones(1)
    yield "two light ones", np.array([-0.4, 0.6]), np.array([1e-6, 1.0])
    yield "repeated", np.array([0.3, 0.3, -0.5, 0.3]), np.array([0.2, 0.3, 0.4, 0.1])
    yield "particles", rng.standard_normal(60), np.ones(60)
    yield "grid", np.linspace(-1.5, 1.5, 5), np.array([1.0, 2.0, 3.0, 2.0, 1.0])
    yield "with zero weights", np.linspace(-3, 3, 7), np.array([0.0, 1.0, 1.0, 2.0, 1.0, 1.0, 0.0])


@pytest.mark.parametrize(("points", "weights"), [pytest.param(*law[1:], id=law[0]) for law in bad_laws()])
@pytest.mark.parametrize("name", ["uniform", "exponential"])
def test_certificate_of_other_peoples_laws(name, points, weights):
    source, frozen, kinks = CASES[name]
    epsilon = 0.25
    judged = heatrd.certify(source, points, weights, epsilon)
    law = judged.certificate.law
    f = lagrangian(law, epsilon, frozen, kinks)
    assert judged.lagrangian == pytest.approx(f, rel=1e-11, abs=1e-11)
    grid = np.linspace(-3, 9, 201)
    assert scan(law, epsilon, frozen, kinks, grid).max() <= judged.log_sup + 1e-10 * (1 + judged.log_sup)
    best = judged.optimum
    assert judged.certificate.lagrangian_lower <= best.lagrangian  # no law, however bad, proves too much
    assert best.lagrangian_lower <= judged.lagrangian
    low, high = judged.excess
    assert 0 <= low <= high and low <= f - best.lagrangian_lower + 1e-9 and high >= f - best.lagrangian - 1e-9


@pytest.mark.parametrize("sweeps", [1, 10, 100, 1000])
def test_blahut_arimoto_never_contradicts(sweeps):
    solution = heatrd.solve("laplace", epsilon=0.2)
    other = heatrd.blahut_arimoto("laplace", 0.2, iterations=sweeps)
    assert other.iterations == sweeps
    assert other.certificate.lagrangian >= solution.lagrangian_lower
    assert other.certificate.lagrangian_lower <= solution.lagrangian
    assert other.certificate.lagrangian - solution.lagrangian > 1e-9  # it is no way to an answer


def test_repair_never_loses_and_stays_below():
    solution = heatrd.solve("uniform", epsilon=0.05)
    points = solution.reconstruction.points[:, 0]
    rng = np.random.default_rng(0)
    gained = 0
    for size in (1e-5, 1e-4, 1e-3, 1e-2):
        shifted = np.sort(points + size * rng.standard_normal(points.size))
        judged = heatrd.certify("uniform", shifted, solution.reconstruction.weights, 0.05, repair=False).certificate
        plain = judged.lagrangian - judged.log_sup
        assert judged.lagrangian_lower >= plain - 1e-9
        assert judged.lagrangian_lower <= solution.lagrangian
        gained += judged.lagrangian_lower > plain + 0.05 * judged.log_sup
    assert gained >= 2


@pytest.mark.parametrize("tol", [1e-4, 1e-8, 1e-11])
def test_a_law_is_worth_the_same_at_any_tolerance(tol):
    """Its far tail is a handful of atoms: a finer look at the tails costs no more than the mass out there."""
    source = heatrd.as_source("laplace")
    found, _ = LineProblem(source, 1.25e-7)(0.207)
    again = LineProblem(source, tol).certify(found.law, 0.207)
    assert again.gap <= 1e-7 + 0.1 * tol
    assert max(found.lagrangian_lower, again.lagrangian_lower) <= min(found.lagrangian, again.lagrangian)


def test_particles_without_tails_are_completed():
    """The lower bound from the middle of a law: what is missing is put back, and nothing is overclaimed."""
    source = heatrd.as_source("laplace")
    problem = LineProblem(source, 1e-9)
    full, _ = problem(0.1)
    middle = np.abs(full.law.points[:, 0]) < 3.0
    part = heatrd.DiscreteLaw(full.law.points[middle], full.law.weights[middle] / full.law.weights[middle].sum())
    lower = problem.certify(part, 0.1).lagrangian_lower
    missing = float(full.law.weights[~middle].sum())
    assert full.lagrangian - 3 * missing <= lower <= full.lagrangian


def test_tangent_is_a_lower_bound_along_the_whole_curve():
    certificate = heatrd.solve("exponential", epsilon=0.1).certificate
    for epsilon in (0.01, 0.05, 0.3, 0.9):
        other = heatrd.solve("exponential", epsilon=epsilon)
        assert certificate.lower_bound(other.distortion) <= other.rate
    assert certificate.lower_bound(certificate.distortion) == certificate.rate_lower
    assert certificate.lower_bound(1e9) == 0.0


@pytest.mark.parametrize("name", ["laplace", "student-t", "lognormal"])
def test_far_tails_are_inside_the_bounds(name):
    """However much of the tail is left to the cell bounds, the interval must hold the answer of the finest cut."""
    source = heatrd.as_source(name)
    epsilon = 0.3 * source.total_variance
    reference = heatrd.solve(source, epsilon=epsilon, tol=1e-11)
    for tol in (1e-2, 1e-4, 1e-6):
        rough = heatrd.solve(source, epsilon=epsilon, tol=tol)
        assert rough.lagrangian_lower <= reference.lagrangian and reference.lagrangian_lower <= rough.lagrangian


def test_distortion_is_that_of_the_channel():
    """D_ν by quad: ∫ μ Σ_j p_j(x)(x − y_j)²."""
    source, frozen, kinks = CASES["triangular"]
    solution = heatrd.solve(source, epsilon=0.2)
    y, w = solution.reconstruction.points[:, 0], solution.reconstruction.weights

    def cost(x):
        p = w * np.exp(-((x - y) ** 2) / 0.4)
        return frozen.pdf(x) * float(p @ (x - y) ** 2 / p.sum())

    assert solution.distortion == pytest.approx(integral(cost, panels(frozen, kinks, 0.2)), rel=1e-11)


def test_certificate_does_not_care_about_order_or_scale_of_weights():
    y, w = np.linspace(-1.5, 1.5, 4), np.array([0.3, 0.2, 0.2, 0.3])
    one = heatrd.certify("uniform", y, w, 0.2, repair=False)
    two = heatrd.certify("uniform", y[::-1].reshape(-1, 1), 1e12 * w[::-1], 0.2, repair=False)
    assert one.lagrangian == pytest.approx(two.lagrangian, rel=1e-14)
    assert one.log_sup == pytest.approx(two.log_sup, rel=1e-12)


@pytest.mark.parametrize(
    ("points", "weights", "epsilon"),
    [
        ([], None, 0.1),
        ([0.0, math.nan], None, 0.1),
        ([0.0], [1.0, 2.0], 0.1),
        ([0.0, 1.0], [-1.0, 2.0], 0.1),
        ([0.0, 1.0], [0.0, 0.0], 0.1),
        ([[0.0, 1.0]], None, 0.1),
        ([0.0], None, None),
        ([0.0], None, -1.0),
        ([0.0], None, math.inf),
        ([0.0], None, "wide"),
        (["a"], None, 0.1),
        ([0.0], [math.inf], 0.1),
    ],
)
def test_bad_laws_are_refused_in_one_line(points, weights, epsilon):
    with pytest.raises(InvalidInput) as caught:
        heatrd.certify("uniform", points, weights, epsilon)
    assert "\n" not in str(caught.value) and len(str(caught.value)) > 10


def test_discretisation_error_is_carried():
    """A rough rule with a deliberately coarse tolerance reports what it does not know."""
    problem = LineProblem(heatrd.as_source("laplace"), 1e-9)
    certificate, _ = problem(0.2)
    assert 0 <= certificate.discretisation < 1e-11
    assert certificate.quadrature.weights.sum() == pytest.approx(1, abs=1e-14)
    assert heatrd.solve(heatrd.sources.Atoms([0.0, 1.0, 3.0]), epsilon=0.1).certificate.discretisation == 0.0
