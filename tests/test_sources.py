"""Univariate sources against quadrature, mpmath and scipy: what each says about itself must agree with its density."""

import pickle
from itertools import pairwise

import mpmath
import numpy as np
import pytest
import scipy.stats as st
from hypothesis import given
from hypothesis import strategies as some
from scipy import integrate

import heatrd
from heatrd import closed_forms
from heatrd.sources import (
    Atoms,
    BernoulliGaussian,
    Exponential,
    Gaussian,
    GaussianMixture,
    GeneralizedGaussian,
    KernelDensity,
    Laplace,
    Logistic,
    SincMixture,
    Source1D,
    StudentT,
    Tabulated,
    Triangular,
    Uniform,
)

NEW_INTERFACE = hasattr(st, "make_distribution")  # scipy >= 1.15
CASES = {
    "gaussian": Gaussian(0.5, 2.0),
    "mixture": GaussianMixture([0.2, 0.5, 0.3], [-2.0, 0.0, 3.0], [0.1, 1.0, 0.4]),
    "uniform": Uniform(-1.0, 3.0),
    "laplace": Laplace(0.3, 0.7),
    "gennorm-0.5": GeneralizedGaussian(0.5),
    "gennorm-3": GeneralizedGaussian(3.0, 2.0, 1.0),
    "logistic": Logistic(-1.0, 0.4),
    "triangular": Triangular(0.0, 0.5, 2.0),
    "triangular-left": Triangular(0.0, 0.0, 2.0),
    "triangular-right": Triangular(0.0, 2.0, 2.0),
    "exponential": Exponential(2.0, -1.0),
    "student-5": StudentT(5.0, 1.0, 2.0),
    "bernoulli-gaussian": BernoulliGaussian(0.3, 2.0),
    "sinc": SincMixture([0.4, 0.6], [0.0, 1.2]),
    "sinc-sharpened": SincMixture(sharpened=0.08),
    "kernel-density": KernelDensity(np.linspace(-1, 4, 90) ** 2, 0.3),
    "tabulated": Tabulated([0.0, 1.0, 1.5, 4.0], [0.0, 2.0, 0.5, 0.5], normalize=True),
    "gamma-0.5": heatrd.as_source(st.gamma(0.5, scale=3.0)),
    "gamma-900": heatrd.as_source(st.gamma(900.0)),
    "lognormal": heatrd.as_source("lognormal", sigma=0.8),
    "gumbel": heatrd.as_source(st.gumbel_r(2.0, 0.5)),
    "exponnorm": heatrd.as_source(st.exponnorm(1.5, 1.0, 2.0)),
    "skewnorm": heatrd.as_source(st.skewnorm(-2.0, 1.0, 2.0)),
    "pearson3": heatrd.as_source(st.pearson3(-1.5)),
    "von-mises": heatrd.as_source(st.vonmises(40.0, 0.3, 2.0)),
    "johnsonsb": heatrd.as_source(st.johnsonsb(4.3, 3.2)),
    "weibull": heatrd.as_source("weibull", shape=0.7),
    "asymmetric-laplace": heatrd.as_source("asymmetric-laplace"),
    "histogram": heatrd.as_source(st.rv_histogram(([1.0, 3.0, 2.0], [0.0, 1.0, 2.0, 4.0]), density=False)),
    **(
        {"new-gamma": heatrd.as_source(st.make_distribution(st.gamma)(a=2.5))}
        if hasattr(st, "make_distribution")
        else {}
    ),
}
SOURCES = [pytest.param(s, id=name) for name, s in CASES.items()]


def expectation(src: Source1D, function, mass: float = 1e-18) -> float:
    """∫ f(x) p(x) dx of the continuous part, on pieces that grow geometrically away from every special point."""
    low, high = src.tail_cut(mass)
    scale = np.sqrt(src.variance)
    centres = [
        *src.breakpoints,
        *(e for e in src.support if np.isfinite(e)),
        float(src.mean[0]),
        *np.ravel(getattr(src, "means", ())),
    ]
    ladder = scale * np.concatenate(
        [2.0 ** np.arange(-200.0, -4.0, 2.0), np.arange(1, 64) / 8, 2.0 ** np.arange(3, 60, 0.25)]
    )
    edges = np.unique(
        np.clip(
            np.concatenate([[c + s * ladder for s in (-1, 1)] for c in centres] + [[centres]], axis=None), low, high
        )
    )
    edges = np.unique(np.concatenate([edges, centres]).clip(low, high))
    if isinstance(src, SincMixture):  # it oscillates everywhere
        edges = np.arange(low, high, 0.5)
    nodes, weights = np.polynomial.legendre.leggauss(24)
    half = 0.5 * np.diff(edges)[:, None]
    x = edges[:-1, None] + half * (1 + nodes)
    log_p = src.logpdf(x)
    with np.errstate(invalid="ignore"):
        return float((half * weights * np.where(log_p > -np.inf, np.exp(log_p) * function(x, log_p), 0.0)).sum())


@pytest.mark.parametrize("src", SOURCES)
def test_density_mass_mean_and_variance(src):
    atoms, masses = src.discrete_part
    continuous = 1.0 - masses.sum()
    heavy = isinstance(src, SincMixture)  # mean and variance converge like 1/range²; the mass like 1/range³
    assert expectation(src, lambda x, _: 1.0, 1e-9 if heavy else 1e-18) == pytest.approx(
        continuous, abs=2e-9 if heavy else 1e-11
    )
    if heavy:
        return
    mean = expectation(src, lambda x, _: x) + float(masses @ atoms[:, 0])
    assert src.mean[0] == pytest.approx(mean, rel=1e-10, abs=1e-10)
    square = expectation(src, lambda x, _: (x - mean) ** 2) + float(masses @ (atoms[:, 0] - mean) ** 2)
    assert src.variance == pytest.approx(square, rel=1e-9)
    assert src.covariance.shape == (1, 1) and src.mean.shape == (1,)


@pytest.mark.parametrize("src", SOURCES)
def test_entropy_agrees_with_quadrature(src):
    if src.discrete_part[1].size:
        assert src.entropy() == -np.inf
        return
    exact = closed_forms.differential_entropy(src)
    mass = 1e-12 if isinstance(src, SincMixture) else 1e-18
    assert exact == pytest.approx(expectation(src, lambda x, log_p: -log_p, mass), abs=1e-10)


@pytest.mark.parametrize("src", SOURCES)
def test_cdf_integrates_the_density(src):
    low, high = src.tail_cut(1e-4)
    cuts = np.sort(np.concatenate([np.linspace(low, high, 9), [b for b in src.breakpoints if low < b < high]]))
    for a, b in pairwise(cuts):
        points = [m for m in np.ravel(getattr(src, "means", ())) if a < m < b][:20]
        mass = integrate.quad(lambda t: np.exp(src.logpdf(t)), a, b, points=points or None, limit=400, epsabs=1e-13)[0]
        atoms, masses = src.discrete_part
        mass += masses[(atoms[:, 0] > a) & (atoms[:, 0] <= b)].sum()
        tolerance = 1e-7 if np.isinf(src.logpdf(np.array([a, b]))).any() else 3e-10
        assert src.cdf(b) - src.cdf(a) == pytest.approx(mass, abs=tolerance)
    assert (np.diff(src.cdf(np.linspace(low, high, 500))) >= -1e-15).all()


@pytest.mark.parametrize("mass", [1e-3, 1e-15, 1e-40])
@pytest.mark.parametrize("src", SOURCES)
def test_tail_cut_is_valid_and_not_wasteful(src, mass):
    low, high = src.tail_cut(mass)
    assert src.support[0] <= low < high <= src.support[1]
    assert np.isfinite([low, high]).all()
    for point, end, side in ((low, src.support[0], -1), (high, src.support[1], 1)):
        if point == end or isinstance(src, Tabulated):
            continue
        tail = _log_tail(src, point, side)
        assert tail <= np.log(mass) + 1e-6
        assert tail >= np.log(mass) - 8, "cuts far more than it was asked to keep"


@pytest.mark.parametrize("shape", [200.0, 300.0, 1e4])
def test_a_density_that_drops_suddenly_keeps_its_tail(shape):
    """A skew normal law with a large shape rises towards 0 from the right and is gone within 1/shape."""
    low, high = heatrd.as_source(st.skewnorm(shape)).tail_cut(1e-20)
    assert -15 / shape < low < 0
    below = mpmath.quad(lambda z: 2 * mpmath.npdf(z) * mpmath.ncdf(shape * z), mpmath.linspace(4 * low, low, 9))
    assert float(below) == pytest.approx(1e-20, rel=1e-3)
    assert st.skewnorm(shape).sf(high) == pytest.approx(1e-20, rel=1e-4)


def test_the_curve_of_a_skew_normal_law_passes_its_critical_point():
    """Next to ε_c the deblurred law is a skew normal one of a very large shape."""
    source = heatrd.as_source(st.skewnorm(3.0))
    point = heatrd.solve(source, epsilon=(1 - 1e-6) * source.critical_epsilon())
    assert point.regime == "backward-heat" and point.gap <= 1e-9


def _log_tail(src, point, side):
    """Log of the mass beyond ``point``, with the density rescaled by its value there."""
    top = float(src.logpdf(point))
    step = 1e-5 * max(abs(point - src.mean[0]), np.sqrt(src.variance))
    length = step / max(top - float(src.logpdf(point + side * step)), 1e-9)
    if isinstance(src, SincMixture):
        length = abs(point) / 3
    end = min(abs(src.support[0 if side < 0 else 1] - point) / length, 1e12)
    edges = np.concatenate([[0.0], 2.0 ** np.arange(-6, 40)])
    edges = np.append(edges[edges < end], end)
    if isinstance(src, SincMixture):  # the zeros of sinc: sample the oscillation at random phases
        u = np.random.default_rng(0).random((edges.size - 1, 4000))
        t = edges[:-1, None] + np.diff(edges)[:, None] * u
        total = (np.diff(edges) * np.exp(src.logpdf(point + side * length * t) - top).mean(axis=1)).sum()
    else:
        nodes, weights = np.polynomial.legendre.leggauss(30)
        half = 0.5 * np.diff(edges)[:, None]
        total = (
            half * weights * np.exp(src.logpdf(point + side * length * (edges[:-1, None] + half * (1 + nodes))) - top)
        ).sum()
    return top + np.log(length) + np.log(total)


@pytest.mark.parametrize("src", SOURCES)
def test_samples_follow_the_law(src):
    x = src.sample(20_000, rng=7)
    assert x.shape == (20_000, 1)
    assert np.array_equal(x, src.sample(20_000, rng=7))
    if src.discrete_part[1].size:
        assert np.mean(x == 0) == pytest.approx(0.7, abs=4 * np.sqrt(0.21 / 20_000))
        x = x[x != 0]
        assert st.kstest(x, st.norm(0, 2).cdf).pvalue > 1e-4
        return
    assert st.kstest(x[:, 0], src.cdf).pvalue > 1e-4


@pytest.mark.parametrize("src", SOURCES)
def test_parameters_rebuild_the_source(src):
    low, high = src.tail_cut(1e-6)
    x = np.linspace(low, high, 37)
    copies = [type(src)(**src.parameters)]
    if "make_distribution" not in repr(
        type(src.parameters.get("distribution"))
    ):  # scipy's own classes of this kind cannot be pickled
        copies.append(pickle.loads(pickle.dumps(src)))
    for again in copies:
        assert type(again) is type(src)
        np.testing.assert_allclose(again.logpdf(x), src.logpdf(x), rtol=1e-12, atol=1e-12)
    assert type(src).__name__ in repr(src)


@pytest.mark.parametrize("src", SOURCES)
def test_logpdf_shapes_and_outside(src):
    x = np.zeros((2, 3)) + src.mean[0]
    assert src.logpdf(x).shape == (2, 3) and src.cdf(x).shape == (2, 3)
    assert src.log_density(x[..., None]).shape == (2, 3)
    assert np.shape(src.logpdf(float(src.mean[0]))) == ()
    low, high = src.support
    outside = [p for p in (low - 1.0, high + 1.0) if np.isfinite(p)]
    assert (src.logpdf(np.array(outside)) == -np.inf).all()
    assert not np.isnan(src.logpdf(np.array([-1e300, -1e10, 1e10, 1e300]))).any()


@pytest.mark.parametrize(
    ("src", "kernel"),
    [
        (CASES["gaussian"], 0.7),
        (CASES["mixture"], 0.05),
        (SincMixture([0.4, 0.6], [0.0, 1.2]), 0.03),
        (SincMixture(sharpened=0.05), 0.04),
        (CASES["kernel-density"], 0.05),
        (CASES["exponnorm"], 1.0),
        (CASES["exponnorm"], 4.0),
        (CASES["skewnorm"], 0.3),
        (GeneralizedGaussian(2.0, 1.5), 0.4),
        (heatrd.as_source(st.skewnorm(1.5)), "critical"),
        (CASES["skewnorm"], "critical"),
    ],
)
def test_deblurred_convolved_back_is_the_source(src, kernel):
    eps = src.critical_epsilon() if kernel == "critical" else kernel
    law = src.deblurred(eps)
    assert law.variance + eps == pytest.approx(src.variance, rel=1e-9)
    assert law.mean[0] == pytest.approx(src.mean[0], abs=1e-9)
    for x in src.mean[0] + np.sqrt(src.variance) * np.array([-1.5, -0.4, 0.0, 0.8, 2.0]):
        breaks = [b for b in (*law.breakpoints, *law.support) if np.isfinite(b)]
        back = integrate.quad(
            lambda t, x=x: np.exp(law.logpdf(t) - 0.5 * (x - t) ** 2 / eps) / np.sqrt(2 * np.pi * eps),
            x - 12 * np.sqrt(eps), x + 12 * np.sqrt(eps), points=breaks or None, limit=400, epsabs=1e-13,
        )[0]  # fmt: skip
        assert back == pytest.approx(np.exp(src.logpdf(x)), rel=1e-9)
    assert src.deblurred(1.01 * src.critical_epsilon()) is None
    assert src.deblurred(0.0).variance == pytest.approx(src.variance)


def test_deblurred_at_the_end_of_the_class_is_atoms():
    point = Gaussian(1.0, 2.0).deblurred(2.0)
    assert isinstance(point, Atoms) and point.points.tolist() == [[1.0]]
    mixed = GaussianMixture([0.25, 0.75], [0.0, 1.0], [0.5, 2.0]).deblurred(0.5)
    points, masses = mixed.discrete_part
    assert points.tolist() == [[0.0]] and masses.tolist() == [0.25]
    assert mixed.critical_epsilon() == 0.0 and mixed.entropy() == -np.inf
    atoms = GaussianMixture([0.25, 0.75], [0.0, 1.0], 0.5).deblurred(0.5)
    assert isinstance(atoms, Atoms) and atoms.weights.tolist() == [0.25, 0.75]
    plane = Gaussian([0.0, 1.0], [[2.0, 0.5], [0.5, 1.0]])
    flat = plane.deblurred(plane.critical_epsilon())
    assert flat.critical_epsilon() == 0.0 and flat.entropy() == -np.inf
    np.testing.assert_allclose(flat.covariance + plane.critical_epsilon() * np.eye(2), plane.covariance, rtol=1e-12)


def test_critical_epsilon_of_sinc_mixtures():
    assert SincMixture(means=[0.0]).critical_epsilon() == 0.0
    for parameters in ({}, {"means": [0.0, 1.0]}, {"means": [0.0, 1.0, 0.3], "widths": [1.0, 1.0, 2.0]}):
        src = SincMixture(**parameters)
        eps = src.critical_epsilon()
        x = src._grid(400.0, 0.02)
        assert eps > 0.04 and src._density(x, eps * (1 - 1e-9)).min() >= -1e-17
        assert (src._density(x, eps * 1.01) / src._envelope(x)).min() < -1e-6
    # four kernels π/4 apart: all oscillation of the tail cancels, so positivity is lost at finite x and the
    # tail bound log(3)/8 of two is passed
    assert SincMixture(means=np.arange(4) * np.pi / 4).critical_epsilon() > np.log(3) / 8
    small, large = (SincMixture(means=[0.0, u], widths=u).critical_epsilon() for u in (1e-140, 1e140))
    assert small / 1e-280 == pytest.approx(large / 1e280, rel=1e-9)


@pytest.mark.parametrize("e", [0.02, 0.1, 0.3])
def test_sinc_kernel_against_mpmath(e):
    from heatrd.sources.sinc_mixture import _kernel, _kernel_cdf

    def g(s):
        x = s / 2
        spline = 1.5 * (mpmath.mpf(2) / 3 - x**2 + x**3 / 2 if x <= 1 else (2 - x) ** 3 / 6)
        return spline * mpmath.exp(mpmath.mpf(e) * s * s / 2)

    def transform(function):
        return mpmath.quad(lambda s: g(s) * function(s), [mpmath.mpf(i) / 8 for i in range(33)]) / mpmath.pi

    with mpmath.workdps(25):
        for u in (0.0, 0.7, 5.0, 7.9, 8.1, 11.9, 12.1, 22.0, 45.0):
            density = transform(lambda s, u=u: mpmath.cos(s * u))
            tail = 0.5 - transform(lambda s, u=u: mpmath.sin(s * u) / s if s else u)
            assert abs(_kernel(np.array([u]), e)[0] - density) < 1e-11 * abs(density) + 1e-15
            assert abs(_kernel_cdf(np.array([-u]), e)[0] - tail) < 1e-13


@pytest.mark.parametrize("scale", [1e-150, 1e-12, 1e12, 1e150])
@pytest.mark.parametrize(
    "make",
    [
        lambda s: Gaussian(s, s * s),
        lambda s: GaussianMixture([0.5, 0.5], [0, s], [s * s, 0.5 * s * s]),
        lambda s: Uniform(0, s),
        lambda s: Laplace(s, s),
        lambda s: GeneralizedGaussian(0.7, s, s),
        lambda s: Logistic(s, s),
        lambda s: Triangular(0, s, 3 * s),
        lambda s: Exponential(s, s),
        lambda s: StudentT(3, s, s),
        lambda s: BernoulliGaussian(0.4, s),
        lambda s: SincMixture(means=[0, s], widths=s),
        lambda s: KernelDensity(np.arange(100) * s, s),
        lambda s: Tabulated([0, s, 3 * s], [0, 1, 0], normalize=True),
        lambda s: heatrd.as_source(st.gamma(0.5, s, s)),
        lambda s: heatrd.as_source("gumbel", scale=s),
    ],
)
def test_units_of_length_do_not_matter(make, scale):
    unit, src = make(1.0), make(scale)
    z = np.linspace(-3, 5, 41) + 0.01234
    np.testing.assert_allclose(src.logpdf(z * scale) + np.log(scale), unit.logpdf(z), rtol=1e-9, atol=1e-9)
    np.testing.assert_allclose(src.cdf(z * scale), unit.cdf(z), rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(np.divide(src.tail_cut(1e-20), scale), unit.tail_cut(1e-20), rtol=1e-8)
    assert src.variance / scale / scale == pytest.approx(unit.variance, rel=1e-9)
    if unit.entropy() is not None and np.isfinite(unit.entropy()):
        assert src.entropy() - np.log(scale) == pytest.approx(unit.entropy(), abs=1e-9)


def test_extreme_tails_against_mpmath():
    with mpmath.workdps(40):
        for df in (2.1, 5.0, 40.0, 1e6):
            reach = StudentT(df).tail_cut(1e-300)[1]
            x = mpmath.mpf(df) / (df + mpmath.mpf(reach) ** 2)
            tail = mpmath.betainc(mpmath.mpf(df) / 2, 0.5, 0, x, regularized=True) / 2
            assert abs(tail / mpmath.mpf("1e-300") - 1) < 1e-8
        for beta in (0.3, 1.0, 4.0):
            reach = GeneralizedGaussian(beta).tail_cut(1e-300)[1]
            tail = mpmath.gammainc(1 / mpmath.mpf(beta), mpmath.mpf(reach) ** beta, regularized=True) / 2
            assert abs(tail / mpmath.mpf("1e-300") - 1) < 1e-10
        reach = Gaussian().tail_cut(1e-300)[1]
        assert abs(mpmath.erfc(mpmath.mpf(reach) / mpmath.sqrt(2)) / 2 / mpmath.mpf("1e-300") - 1) < 1e-10


@given(scale=some.floats(1e-3, 1e3), loc=some.floats(-10, 10), mass=some.floats(1e-200, 0.4))
def test_tail_mass_is_the_cdf(scale, loc, mass):
    for src in (
        Laplace(loc, scale),
        Logistic(loc, scale),
        StudentT(4.0, loc, scale),
        GeneralizedGaussian(1.5, scale, loc),
    ):
        low, high = src.tail_cut(mass)
        assert low + high == pytest.approx(2 * loc, abs=1e-9 * max(1.0, high - low))
        if mass > 1e-8:  # below, loc + reach rounds the argument
            assert float(src.cdf(low)) == pytest.approx(mass, rel=1e-5)
