"""Rotationally symmetric sources in any dimension: exact rates, averaged kernel, agreement with the plane and space."""

import mpmath
import numpy as np
import pytest
import reference
from scipy import integrate, optimize, special

import heatrd
from heatrd.certificate import radial as certificate_radial
from heatrd.certificate.radial import RadialLaw, certify_radii, log_kernel, slopes
from heatrd.certificate.space import certify_law
from heatrd.errors import InvalidInput
from heatrd.kernels.radial import chebyshev_table, radial_log_kernel
from heatrd.reconstruction import dispatch
from heatrd.reconstruction.radial import radial_form, reconstruct
from heatrd.sources import Ball, Disc, IsotropicLaplace, IsotropicT, MultivariateT, NoisySphere, Sphere
from heatrd.sources._bessel import bessel_ratio, log_damped_average, log_sphere_average


def sphere_rate(n, distortion):
    """∫₀^√(1−D) of the inverse of A_n: the rate of the uniform law on the unit sphere."""
    ratio = lambda k: special.ive(n / 2, k) / special.ive(n / 2 - 1, k)  # noqa: E731
    top = np.sqrt(1 - distortion)
    inverse = lambda a: optimize.brentq(lambda k: ratio(k) - a, 1e-12, 1e5) if a > 0 else 0.0  # noqa: E731
    return integrate.quad(inverse, 0, top, epsabs=1e-11, limit=200)[0]


@pytest.mark.parametrize("dim", [2, 3, 10, 33, 200])
def test_averaged_exponential_against_mpmath(dim):
    t = np.array([0.0, 1e-6, 0.3, 4.0, 60.0, 150.0, 3000.0])
    with mpmath.workdps(40):
        exact = [mpmath.log(mpmath.hyp0f1(mpmath.mpf(dim) / 2, mpmath.mpf(float(x)) ** 2 / 4)) for x in t]
        damped = [float(e - mpmath.mpf(float(x))) for e, x in zip(exact, t)]
        ratio = [
            float(mpmath.besseli(mpmath.mpf(dim) / 2, float(x)) / mpmath.besseli(mpmath.mpf(dim) / 2 - 1, float(x)))
            if x
            else 0.0
            for x in t
        ]
    np.testing.assert_allclose(log_damped_average(dim, t), damped, rtol=1e-13, atol=2e-14 * dim)
    np.testing.assert_allclose(log_sphere_average(dim, t), [float(e) for e in exact], rtol=1e-12, atol=2e-14 * dim)
    np.testing.assert_allclose(bessel_ratio(dim, t), ratio, rtol=1e-12, atol=1e-14 * dim)


@pytest.mark.parametrize("dim", [1, 2, 3, 10, 2000])
def test_spherical_averages_of_large_arguments(dim):
    """Debye's expansion takes over from scipy at 10⁶."""
    t = [9e5, 1.1e6, 1e8]
    with mpmath.workdps(40):
        nu = mpmath.mpf(dim) / 2 - 1
        exact = [
            float(mpmath.log(mpmath.besseli(nu, x)) - x + mpmath.loggamma(nu + 1) - nu * mpmath.log(mpmath.mpf(x) / 2))
            for x in t
        ]
    np.testing.assert_allclose(log_damped_average(dim, t), exact, rtol=1e-15, atol=4e-15 * dim)
    assert np.isfinite(log_damped_average(dim, [1e12, 1e200])).all()


@pytest.mark.parametrize("dim", [2, 3, 33])
def test_kernel_tables(dim):
    r, s = np.array([0.0, 0.4, 3.0, 12.0]), np.array([0.0, 0.5, 2.5, 11.0, 14.0])
    exact = -0.5 * np.subtract.outer(r, s) ** 2 + log_damped_average(dim, np.multiply.outer(r, s))
    got = log_kernel(dim, r, s)
    near = np.abs(np.subtract.outer(r, s)) < 10
    np.testing.assert_allclose(got[near], exact[near], atol=1e-13 * dim)
    h = 1e-4
    first, second = slopes(dim, r, s[1:])
    up, down = np.exp(log_kernel(dim, r, s[1:] + h)), np.exp(log_kernel(dim, r, s[1:] - h))
    middle = np.exp(log_kernel(dim, r, s[1:]))
    np.testing.assert_allclose(first * middle, (up - down) / (2 * h), atol=1e-7)
    np.testing.assert_allclose(second * middle, (up - 2 * middle + down) / h**2, atol=1e-5)


def test_kernels_match_their_twins():
    table = certificate_radial._table(3, "log")
    width = certificate_radial._TABLE_WIDTH
    t = np.array([0.0, 1e-9, 0.21, 5.0, 1e4])
    out = np.empty(t.size)
    chebyshev_table(t, table, width, out)
    np.testing.assert_allclose(out, reference.chebyshev_table(t, table, width), rtol=1e-13, atol=1e-15)
    r, s = np.array([0.0, 2.0, 30.0]), np.array([0.5, 29.0])
    dense = np.empty((3, 2))
    radial_log_kernel(r, s, 13.0, table, width, dense)
    np.testing.assert_allclose(dense, reference.radial_log_kernel(r, s, 13.0, table, width), rtol=1e-13)


@pytest.mark.parametrize(
    ("dim", "distortion", "rate"),
    [
        (2, 0.9, 0.10265),
        (2, 0.5, 0.59049),
        (2, 0.1, 1.54386),
        (2, 0.01, 2.71901),
        (3, 0.9, 0.15481),
        (3, 0.5, 0.92221),
        (3, 0.1, 2.66289),
        (3, 0.01, 4.98896),
        (33, 0.9, 1.73364),
        (33, 0.5, 11.29501),
        (33, 0.1, 37.16487),
        (33, 0.01, 74.02939),
    ],
)
def test_sphere_rates(dim, distortion, rate):
    exact = sphere_rate(dim, distortion)
    assert exact == pytest.approx(rate, abs=2e-5)
    point = heatrd.solve(Sphere(dim), distortion=distortion)
    assert point.gap <= 1e-9
    assert point.distortion == pytest.approx(distortion, rel=1e-7)
    slope = 1 / (2 * point.epsilon)
    assert point.rate + slope * (point.distortion - distortion) == pytest.approx(exact, abs=5e-8)


@pytest.mark.parametrize(("dim", "rate"), [(2, 1.540630), (5, 2.678030), (10, 3.448071)])
def test_noisy_sphere_at_its_critical_epsilon(dim, rate):
    source = NoisySphere(dim, 1.0, 0.1**0.5)
    certificate, regime = reconstruct(source, 0.1)
    assert regime == "backward-heat"
    assert certificate.rate == pytest.approx(rate, abs=5e-7)
    assert certificate.gap <= 1e-9
    assert certificate.distortion == pytest.approx(0.1 * dim, rel=1e-10)
    slb = source.entropy() - 0.5 * dim * np.log(2 * np.pi * 0.1)
    assert certificate.lagrangian_lower - 1e-10 <= slb <= certificate.lagrangian + 1e-10


@pytest.mark.parametrize(
    ("source", "epsilon"),
    [
        (Disc(), 0.01),
        (Ball(3), 0.02),
        (Ball(33), 0.005),
        (NoisySphere(2), 0.2),
        (NoisySphere(100), 0.07),
        (IsotropicLaplace(2), 0.3),
        (Sphere(5, 2.0, [1.0, 0, 0, 0, 0]), 0.3),
    ],
)
def test_gap(source, epsilon):
    certificate, _ = reconstruct(source, epsilon)
    assert 0 <= certificate.gap <= 2e-9
    assert certificate.rate_lower <= certificate.rate
    assert certificate.log_sup >= -1e-12


@pytest.mark.slow
def test_heavy_tail_says_what_it_reached():
    certificate, _ = reconstruct(IsotropicT(2, df=8.0), 1.0, tol=1e-3)
    assert certificate.gap < 1e-2
    assert certificate.discretisation <= certificate.gap


def test_scaling_and_translation():
    base, _ = reconstruct(Ball(4, 1.0), 0.03)
    moved, _ = reconstruct(Ball(4, 1e3, [1.0, 2.0, 3.0, 4.0]), 0.03e6)
    assert moved.lagrangian == pytest.approx(base.lagrangian, abs=2e-9)
    assert moved.distortion == pytest.approx(1e6 * base.distortion, rel=1e-6)
    np.testing.assert_allclose(moved.law.mean, [1.0, 2.0, 3.0, 4.0])


@pytest.mark.parametrize(("source", "epsilon"), [(Disc(), 0.1), (NoisySphere(2), 0.3)])
def test_listed_points_prove_the_same(source, epsilon):
    certificate, _ = reconstruct(source, epsilon)
    listed = certify_law(source, heatrd.as_law(certificate.law.points, certificate.law.weights), epsilon)
    assert listed.lagrangian == pytest.approx(certificate.lagrangian, abs=2e-9)
    assert listed.gap <= (1e-8 if source.dim == 2 else 1e-6)
    assert listed.distortion == pytest.approx(certificate.distortion, rel=1e-8)
    np.testing.assert_allclose(
        certificate.law.covariance,
        heatrd.DiscreteLaw(certificate.law.points, certificate.law.weights).covariance,
        atol=1e-12,
    )


def test_two_bad_radii_still_enclose():
    exact, _ = reconstruct(Disc(), 0.05)
    poor = certify_radii(Disc(), np.array([0.2, 0.8]), np.array([0.3, 0.7]), 0.05)
    assert poor.lagrangian_lower <= exact.lagrangian
    assert exact.lagrangian_lower <= poor.lagrangian
    assert poor.gap > 1e-4


def test_multivariate_t_is_seen_to_be_radial():
    assert isinstance(radial_form(MultivariateT(5.0, [0, 0], np.eye(2) * 4)), IsotropicT)
    assert radial_form(MultivariateT(5.0, [0, 0], np.diag([1.0, 2.0]))) is None


def test_points_of_a_high_dimensional_law_cannot_be_listed():
    law = RadialLaw(np.array([1.0]), np.ones(1), np.zeros(7), 0.1)
    with pytest.raises(InvalidInput, match="cannot be listed"):
        _ = law.points
    np.testing.assert_allclose(law.covariance, np.eye(7) / 7)
    with pytest.raises(InvalidInput, match="radii"):
        certify_radii(Ball(3), np.array([-1.0]), np.ones(1), 0.1)
    with pytest.raises(InvalidInput, match="positive"):
        reconstruct(Ball(3), 0.0)


@pytest.mark.parametrize("source", [Disc(), NoisySphere(3), Ball(10), IsotropicLaplace(2), IsotropicT(2)])
@pytest.mark.parametrize("epsilon", [0.02, 0.5, 10.0])
def test_the_second_quadrature_of_the_radius_is_another(source, epsilon):
    problem = certificate_radial.radial_problem(source, epsilon)
    assert problem.finer is not None
    assert len(problem.finer[0]) > len(problem.r)


def test_a_sphere_far_away_proves_nothing_wrong():
    source = Disc()
    far = certify_radii(source, np.array([50.0]), np.ones(1), 0.001)
    good = certify_radii(source, np.linspace(0.02, 1.0, 50), np.linspace(0.02, 1.0, 50), 0.001, repair=False)
    assert far.lagrangian > 1e5
    assert far.lagrangian_lower <= good.lagrangian


def test_certify_law_takes_the_radius_where_it_can():
    """In R^10 the points cannot be listed, and in the plane listing them would lose digits."""
    for source, epsilon in [(Ball(10), 0.02), (Disc(), 0.1)]:
        certificate, _ = reconstruct(source, epsilon)
        again = dispatch.certify_law(source, certificate.law, epsilon)
        assert again.gap <= 2 * certificate.gap + 1e-10
        assert again.lagrangian == pytest.approx(certificate.lagrangian, abs=1e-12)


def test_shells_beyond_the_last_node_bound_the_tail():
    """The tail's cost falls from the energy to it (5e-5) to a few nats of its mass; the spread bounds −log κ̄."""
    source = IsotropicT(2, 5.0)
    problem = certificate_radial.radial_problem(source, 0.5)
    cost = certificate_radial._tail_cost(source, problem, np.ones(1))
    assert 20 * problem.tail_mass < cost < 200 * problem.tail_mass
    assert cost < 0.01 * problem.tail_energy / problem.epsilon
    with mpmath.workdps(30):
        for dim, t in [(2, 1e6), (7, 1e6), (3, 1e4)]:
            exact = float(t - mpmath.log(mpmath.hyp0f1(mpmath.mpf(dim) / 2, mpmath.mpf(t) ** 2 / 4)))
            bound = float(certificate_radial._spread(dim, np.array([t]))[0])
            assert exact - 1e-9 <= bound <= exact * 1.001


@pytest.mark.parametrize("source", [Ball(3), Ball(5)], ids=["R3", "R5"])
def test_curves_go_by_the_radius(source, monkeypatch):
    """Listing points of spheres is slow for d = 3 and impossible beyond: between solved points radii are mixed."""

    def listed(law):
        raise AssertionError("points of a radial law were listed")

    monkeypatch.setattr(RadialLaw, "_listed", property(listed))
    curve = heatrd.rd_curve(source, tol=5e-3, max_rate=2.0)
    assert 0 < curve.width <= 5e-3
    point = heatrd.solve(source, distortion=0.5 * source.total_variance)
    low, high = curve.bounds(point.distortion)
    assert low <= point.rate and point.rate_lower <= high
