"""What fuzzing found, one regression test each."""

import io
import json
import math
import zipfile

import numpy as np
import pytest

import heatrd
from heatrd import closed_forms, grids, heat, sources
from heatrd.errors import HeatrdWarning, InvalidInput, TooLarge
from heatrd.sources.loading import load_density, load_samples

UNIFORM = sources.Uniform(0.0, 1.0)


@pytest.mark.parametrize(
    "call",
    [
        lambda: heatrd.solve("uniform", epsilon=10**400),
        lambda: heatrd.solve("uniform", epsilon=0.2, tol={}),
        lambda: heatrd.solve("uniform", epsilon=1e-320),
        lambda: heatrd.solve("uniform", rate=1e262),
        lambda: heatrd.solve(sources.Gaussian(1e257, 1.0), epsilon=0.2),
        lambda: heatrd.certify(UNIFORM, [1e308], None, 0.1),
        lambda: heatrd.blahut_arimoto(UNIFORM, "x"),
        lambda: heatrd.blahut_arimoto(UNIFORM, 0.1, points=[0.1, 0.5], weights=[1.0]),
        lambda: heatrd.blahut_arimoto(UNIFORM, 0.1, points=[1e308]),
        lambda: heatrd.from_samples([1.0, 2.0], weights=[1, 10**400]),
        lambda: heatrd.as_source("laplace", scale=1j),
        lambda: heatrd.as_source("ball", dim=np.zeros(0)),
        lambda: heatrd.as_source("sphere", dim=10**9),
        lambda: heatrd.as_source("spirals", arms=10**9),
        lambda: heatrd.as_source("checkerboard", squares=[]),
        lambda: heatrd.from_grid((np.array([0, 1e144, 2e144]),) * 3, np.ones((3, 3, 3)), normalize=True),
        lambda: heatrd.shannon_lower_bound(0.5, 0.1),
        lambda: closed_forms.gaussian_rate(10**400, 0.1),
        lambda: closed_forms.sphere_rate(None, 0.1),
        lambda: heatrd.rd_curve("uniform", max_rate=1e63),
        lambda: heatrd.rd_curve("uniform", rates=[0.1], checkpoint=np.zeros(3)),
        lambda: heatrd.sinkhorn([0.0, 1e308], [1.0, 2.0], 0.1),
        lambda: heatrd.sinkhorn([0.0, 1.0], [1.0, 2.0], [[1], [2, 3]]),
        lambda: heatrd.sinkhorn([0.0, 1.0], [1.0, 2.0], 0.1, tol=1e166),
        lambda: heatrd.sinkhorn([[0.0, 1e160]], [[1e160, 0.0]], 1e308),
        lambda: heatrd.solve(sources.Atoms([0.0, 1.0, 3.0]), epsilon=1e-100),
        lambda: closed_forms.sphere_rate(3, 1e-308, 0.22),
        lambda: heatrd.blahut_arimoto(UNIFORM, 0.1, iterations=10**137),
        lambda: heatrd.solve(heatrd.as_source("exponentially-modified-gaussian", K=1e-308), epsilon=0.65),
        lambda: heatrd.from_grid((1e137 * np.arange(3.0),) * 3, np.ones((3, 3, 3))),
        lambda: heatrd.solve(heatrd.from_samples([-5e71, 1e72, 0.0], "kde", 0.3, weights=[1, 1, 1e307]), epsilon=0.02),
        lambda: heatrd.solve(sources.Atoms([-0.1, 0.0, 0.3]), epsilon=0.018).bridge.velocity(0.3, [1e308]),
        lambda: heat.heat_flow([1.0, 1.0], [-1e308, 0.5], 0.1, scheme="explicit", boundary="periodic"),
        lambda: heat.heat_flow([1.0, 1.0, 1.0], [0.0, 1e-160, 1.0], 0.1),
        lambda: heatrd.solve(UNIFORM, epsilon=1e308).bridge,
        lambda: heatrd.as_source("noisy-sphere", noise=5e242),
        lambda: heatrd.from_grid(([[1], [2, 3]], [0.0, 1.0]), np.ones((2, 2)), normalize=True),
        lambda: heatrd.as_source("pinwheel", radius=1e150, tangential=1.0).covariance,
        lambda: heatrd.sinkhorn([0.0], [1e70], 1e142, annealing=1e300),
        lambda: heatrd.from_grid([0.0, 1e-310, 1.0], [0.0, 1.0, 1.0], normalize=True),
        lambda: sources.Tabulated([[0.0, 1.0], [0.0, 1.0]], [[1.0, 2.0], [3.0]]),
        lambda: heatrd.from_grid((1e-114 * np.arange(3.0),) * 3, np.ones((3, 3, 3)), normalize=True),
        lambda: heatrd.backward_heat(sources.Gaussian(0.0, 1.0), 0.3, noise=1e3, method="spectral"),
        lambda: heatrd.sample(lambda t, x: -x, 16, 5, curve=True, epsilon=0.1, initial=UNIFORM),
        lambda: heatrd.sample(lambda t, x: -x, 16, 5, epsilon=b"x", initial=UNIFORM),
        lambda: heatrd.solve("uniform", rate=1.0, start=b"x"),
        lambda: heatrd.solve("uniform", rate=1.0, start=heatrd.as_law(np.zeros((1, 2)))),
        lambda: heatrd.as_source("isotropic-t", scale=1e-221),
        lambda: heatrd.as_source("isotropic-laplace", scale=1e-308),
        lambda: heatrd.as_source("circle", radius=5e-324),
        lambda: heatrd.from_samples(10**400),
        lambda: heatrd.solve(sources.Atoms([0.0, 1.0], [1e-308, 1.0]), epsilon=1.5e-308),
        lambda: heatrd.as_source("sinc-mixture", means=[-2e139, 2e139], widths=4e-91, sharpened=-6e88),
        lambda: closed_forms.sphere_rate(1000, 1.8e-80, 1e308),
        lambda: heatrd.blahut_arimoto(sources.Triangular(-2.0, 1.5, 3.5), 1e-17, points=[0.5]),
        lambda: grids.Grid.uniform("", 1.0, 10),
        lambda: heatrd.critical_epsilon(heatrd.from_grid(np.arange(3.0), np.ones(3), normalize=True)),
        lambda: heatrd.as_source("von-mises", kappa=6.8e112, scale=1e3),
        lambda: heatrd.as_source("noisy-sphere", dim=2, noise=1.35e-130),
        lambda: heatrd.blahut_arimoto(UNIFORM, 1.0, 15, spacing=1e-308),
        lambda: heatrd.as_source("spirals", turns=1e17, radius=8.8),
        lambda: heatrd.as_source("banana", curvature=1e17, scale=1e308, noise=14.2),
        lambda: heatrd.as_source("banana", scale=1e-116, noise=1.0),
        lambda: heatrd.blahut_arimoto(sources.Uniform(-9e-51, 8e-51), 1e308, 4, spacing=0.3),
        lambda: heatrd.rd_curve("uniform", rates=[0.1], workers=10**500),
        lambda: heatrd.rd_curve("uniform", rates=[0.1], workers=10**5000),
        lambda: heatrd.solve("uniform", epsilon=10**5000),
        lambda: heatrd.sample(lambda t, x: -x, 1 << 15, 5, epsilon=0.1, initial=np.zeros((1, 1)), threads=-1),
    ],
)  # fmt: skip
def test_refused_in_one_line(call):
    with pytest.raises((InvalidInput, TooLarge)) as caught:
        call()
    assert "\n" not in str(caught.value) and len(str(caught.value)) < 500


@pytest.mark.parametrize(
    "call",
    [
        lambda bridge: bridge.density(type, [0.0]),
        lambda bridge: bridge.density(0.5, ["a"]),
        lambda bridge: bridge.density(0.5, [math.inf]),
        lambda bridge: heatrd.sample(bridge, 10**12, 5),
        lambda bridge: heatrd.sample(bridge, 10, 10**15),
        lambda bridge: heatrd.sample(bridge, 10, 5, until="x"),
        lambda bridge: heatrd.tec_account(bridge, until=type),
        lambda bridge: heatrd.tec_account(bridge, times=[]),
        lambda bridge: heatrd.tec_account(bridge, times=[[0.5]]),
        lambda bridge: heatrd.tec_account(bridge, times="x"),
    ],
)
def test_refused_by_a_bridge(call):
    with pytest.raises((InvalidInput, TooLarge)):
        call(heatrd.solve(UNIFORM, epsilon=0.02).bridge)


def test_distortion_of_a_rate_at_the_end_of_the_numbers_is_zero():
    assert closed_forms.gaussian_distortion(0.25, 1e308) == 0.0


def test_a_density_far_away_is_zero():
    bridge = heatrd.solve(UNIFORM, epsilon=0.02).bridge
    assert bridge.density(0.5, [1e300]).tolist() == [0.0]


def test_a_potential_far_away_from_a_tiny_source_is_zero():
    bridge = heatrd.solve(sources.Uniform(0.0, 1e-108), epsilon=1e-217).bridge
    assert bridge.potential(0.5, [1e300]).tolist() == [0.0]


@pytest.mark.parametrize("kappa", [1e10, 9.2e18])
def test_entropy_of_concentrated_von_mises_laws(kappa):
    """scipy's own difference of large terms is off by 1e3 nats."""
    source = heatrd.as_source("von-mises", kappa=kappa)
    gauss = closed_forms.gaussian_rate(1 / kappa, 0.1 / kappa)
    assert heatrd.shannon_lower_bound(source, 0.1 / kappa) == pytest.approx(gauss, abs=1e-6)


@pytest.mark.parametrize("noise", [1e-5, 1e-7, 1e-12])
def test_a_sphere_with_hardly_any_noise_is_a_sphere(noise):
    """scipy's Bessel functions are NaN beyond 2³¹: no node was left of a sphere with noise 1e-5 of its radius."""
    noisy, bare = (heatrd.solve(law, epsilon=0.2) for law in (sources.NoisySphere(2, 1.0, noise), sources.Sphere(2)))
    assert noisy.lagrangian == pytest.approx(bare.lagrangian, abs=4 * noise**2 + 1e-9)
    shell = math.log(2 * math.pi) + 0.5 * math.log(2 * math.pi * math.e * noise**2)
    assert noisy.source.entropy() == pytest.approx(shell, abs=noise**2 + 1e-12)


@pytest.mark.parametrize("df", [1.9e3, 2.1e3, 1e7, 1.75e21])
def test_student_of_many_degrees_is_nearly_gaussian(df):
    """h(T) = h(N(0, cov T)) − (1/4) d (d + 2)/df² …: to rounding at any df."""
    source = heatrd.as_source("isotropic-t", dim=3, df=df)
    gauss = 1.5 * math.log(2 * math.pi * math.e * df / (df - 2))
    assert source.entropy() == pytest.approx(gauss, abs=4 / df**2 + 1e-13)
    at_the_mean = source.log_density(np.zeros((1, 3)))[0]
    assert at_the_mean == pytest.approx(-1.5 * math.log(2 * math.pi), abs=4 / df + 1e-13)


def test_the_series_of_gamma_functions_meet_the_functions():
    from scipy import special

    from heatrd.sources._gamma import STIRLING, digamma_gap, log_gamma_ratio

    for h in (0.5, 1.0, 7.5):
        b = STIRLING + 1.0
        assert log_gamma_ratio(b, h) == pytest.approx(special.gammaln(b + h) - special.gammaln(b), abs=1e-11)
        assert digamma_gap(b, h) == pytest.approx(special.digamma(b + h) - special.digamma(b), rel=1e-11)


def test_bridges_where_the_reach_of_an_atom_is_rounding():
    bridge = heatrd.solve(sources.Atoms([-6.7e64]), epsilon=0.34).bridge
    assert bridge.density(0.5, [-6.7e64])[0] > 0
    tiny = heatrd.solve(sources.Uniform(0.0, 1e149), epsilon=5e298 / 24).bridge
    first, later = (tiny.backward_control(t, [3e148])[0] for t in (1.6e-288, 1e-9))
    assert first == pytest.approx(later, rel=1e-5) == pytest.approx(-2e148, rel=1e-5)


def test_a_score_at_the_end_of_the_numbers():
    source = sources.Gaussian([0.0, 5.5e-80], 1e-159 * np.array([[4.4, -2.8], [-2.8, 12.9]]))
    bridge = heatrd.solve(source, epsilon=1.36e-158).bridge
    assert not np.isnan(bridge.score(1e-150, [[-7.9e-80, 1e308]])).any()


def test_lattices_are_counted_before_they_are_made():
    from heatrd.reconstruction.interior_point import lattice

    with pytest.raises(TooLarge):
        lattice(0.0, 1.0, 1e-22)


def test_sampled_curves_of_large_scales():
    source = sources.Gaussian(0.0, 2.0**854)
    wide, one = (
        heatrd.sample(heatrd.backward_heat(s, 0.25 * v), 64, 2, curve=True, rng=0).curve
        for s, v in ((source, 2.0**854), (sources.Gaussian(0.0, 1.0), 1.0))
    )
    assert (wide.distortion / 2.0**854).tolist() == pytest.approx(one.distortion.tolist())


def test_an_epsilon_that_overflows_in_units_of_the_source():
    solution = heatrd.solve(sources.Atoms([0.0, 1e-94]), epsilon=1e121)
    assert solution.rate == 0.0 and solution.epsilon == 1e121
    assert abs(heatrd.certify(sources.Gaussian(0.0, 1e-224), [0.0], None, 1e308).lagrangian) < 1e-12


def test_a_curve_of_rate_zero_has_no_slope():
    curve = heatrd.rd_curve(UNIFORM, distortions=1e308)
    assert curve.slope([-0.0, 1e-3, 2.0]).tolist() == [0.0, 0.0, 0.0]


@pytest.mark.parametrize("variance", [5e-215, 1e250])
def test_slopes_beyond_the_variance_are_zero(variance):
    curve = heatrd.rd_curve(sources.Gaussian(0.0, variance), rates=[0.0, 0.3, 0.8], tol=1e-2)
    assert curve.slope([1.001 * variance, 1e300]).tolist() == [0.0, 0.0]
    assert curve.rate([1.001 * variance, 1e300]).tolist() == [0.0, 0.0]


@pytest.mark.parametrize("share", [1e-6, 1e-12, 1e-20])
def test_small_distortions_of_discrete_sources_are_met(share):
    source = sources.Atoms([1.238270e-59, 1.487394e-59], [0.124894, 0.875106])
    solution = heatrd.solve(source, distortion=share * source.total_variance)
    assert solution.distortion == pytest.approx(share * source.total_variance, rel=1e-9)
    assert solution.gap < 1e-10 and solution.rate == pytest.approx(0.376563843, abs=1e-9 + 50 * share)
    assert solution.evaluations <= 15


def test_rates_beyond_the_entropy_of_a_discrete_source_in_the_plane():
    solution = heatrd.solve(sources.Atoms([[0.0, 0.0], [1.0, 0.0], [0.3, 0.4]]), rate=5.0, tol=1e-3)
    assert solution.evaluations == 1 and solution.distortion < 1e-20
    assert solution.rate_lower <= math.log(3) <= solution.rate + 1e-9


def test_a_density_at_a_time_as_good_as_zero_is_the_source():
    source = sources.Laplace(9.0, 9.0)
    bridge = heatrd.solve(source, epsilon=400.0, tol=1e-4).bridge
    x = [[9.0], [10.0], [20.0]]
    for t in (5e-324, 1e-100, 1e-20):
        assert bridge.density(t, x) == pytest.approx(np.exp(source.log_density(np.array(x))), rel=1e-6)
    with pytest.raises(InvalidInput, match="until"):
        heatrd.tec_account(bridge, until=5e-324)


def test_a_table_that_is_all_noise():
    source = heatrd.from_grid([-5.8, -3.7, -3.2, -2.8, -2.5, -1.5], [0.82, 0.03, 0.07, 0.41, 0.1, 0.2], normalize=True)
    with pytest.warns(HeatrdWarning, match="estimated relative error"):
        path = heatrd.backward_heat(source, 0.465)
    assert np.isfinite(path.density(1.0, [-3.0])).all()


def test_tiny_checkerboards_have_a_variance():
    small, one = (heatrd.as_source("checkerboard", side=side) for side in (2.0**-320, 1.0))
    assert small.total_variance * 2.0**640 == pytest.approx(one.total_variance, rel=1e-12)


def test_spirals_smaller_than_their_noise_are_gaussian():
    source = heatrd.as_source("spirals", radius=1e-308, noise=0.5)
    assert source.covariance == pytest.approx(0.25 * np.eye(2))
    assert source.log_density(np.zeros((1, 2)))[0] == pytest.approx(-math.log(2 * math.pi * 0.25))


def test_a_rate_as_good_as_zero():
    solution = heatrd.solve(sources.Gaussian(0.0, 1e297), rate=1e-308)
    assert solution.rate < 1e-12 and solution.distortion == pytest.approx(1e297, rel=1e-12)


def test_annealing_by_a_half_precision_factor():
    plan = heatrd.sinkhorn([0.0, 1e70], [1e70, 2e70], 1e141, annealing=np.float16(2.0))
    assert plan.row_error < 1e-12 and plan.column_error < 1e-8


def test_the_ratio_of_variance_to_an_enormous_distortion():
    assert heatrd.solve(sources.Uniform(0.0, 1e-61), distortion=1e256).snr_db == pytest.approx(-3780 - 10.8, abs=0.1)


def test_a_mixture_far_beyond_its_components():
    source = sources.Gaussian(0.0, 1.0)
    bridge = heatrd.solve(source, epsilon=0.3).bridge
    assert bridge.density(0.5, [1e200]).tolist() == [0.0]
    assert bridge.control(0.5, [1e200]) == pytest.approx([-0.3 * 1e200 / 0.85])


def test_rates_of_spheres_at_the_ends_of_the_numbers():
    assert closed_forms.sphere_rate(3, 1e308, 1e-200) == 0.0
    low, high = (closed_forms.sphere_rate(3, d) + math.log(d) for d in (1e-285, 1e-9))
    assert low == pytest.approx(high, abs=1e-6)


def test_at_rate_zero_the_distortion_is_the_variance():
    source = heatrd.as_source("multivariate-t", df=1.75e21)
    solution = heatrd.solve(source, epsilon=1.5, tol=1e-4)
    assert solution.regime == "zero-rate" and solution.distortion == source.total_variance
    heatrd.testing.check_solution(solution)


def test_a_point_at_the_end_of_the_numbers_gets_no_mass():
    law = heatrd.blahut_arimoto(UNIFORM, 0.1, 3, points=[0.25, 0.75, 1e308]).law
    assert law.weights.tolist() == pytest.approx([0.5, 0.5, 0.0])


def test_rates_of_spheres_far_larger_than_the_distortion():
    """R(D) + (n − 1)/2 log D tends to a limit: the sphere is flat near by."""
    near, far = (closed_forms.sphere_rate(2, d) + 0.5 * math.log(d) for d in (1e-9, 1e-181))
    assert near == pytest.approx(far, abs=1e-7)


def test_unreachable_rates_of_discrete_sources_give_zero_distortion():
    solution = heatrd.solve(sources.Atoms([0.0, 1.0]), rate=5.0)
    assert solution.distortion == 0.0 and solution.snr_db == math.inf
    assert solution.rate == pytest.approx(math.log(2))
    heatrd.testing.check_solution(solution)


def test_a_curve_is_zero_at_infinite_distortion():
    curve = heatrd.rd_curve(UNIFORM, rates=[0.2], tol=1e-3)
    assert curve.rate(math.inf) == 0.0 and curve.bounds([math.inf])[1].tolist() == [0.0]


def test_standard_errors_at_large_scales():
    solution = heatrd.solve(sources.Uniform(0.0, 1e150), epsilon=1e299)
    assert math.isfinite(heatrd.sample(solution.bridge, 50, 3, rng=0).distortion.stderr)


@pytest.mark.parametrize(
    "source", [sources.Gaussian(0.0, 0.3), heatrd.as_source("scipy:gamma", a=2.5), sources.Atoms([1.0, 2.0])]
)
def test_sources_of_curves_survive_files(source, tmp_path):
    heatrd.rd_curve(source, rates=[0.2], tol=1e-3).save(tmp_path / "c.npz")
    again = heatrd.RDCurve.load(tmp_path / "c.npz").source
    assert type(again) is type(source) and repr(again) == repr(source)
    assert again.sample(3, 0).shape == (3, 1)


# -- files ------------------------------------------------------------------------------------------


def lying_npy(shape):
    buffer = io.BytesIO()
    np.lib.format.write_array_header_1_0(buffer, {"descr": "<f8", "fortran_order": False, "shape": shape})
    return buffer.getvalue() + bytes(64)


@pytest.mark.parametrize("shape", [(10**12,), (2**62,), (2**40, 2**40), (3 * 10**8,)])
def test_headers_that_claim_more_than_the_file_holds(shape, tmp_path):
    (tmp_path / "x.npy").write_bytes(lying_npy(shape))
    with pytest.raises(InvalidInput, match="not a readable"):
        load_samples(tmp_path / "x.npy")
    with zipfile.ZipFile(tmp_path / "x.npz", "w") as archive:
        archive.writestr("x.npy", lying_npy(shape))
    with pytest.raises(InvalidInput, match="not a readable"):
        load_density(tmp_path / "x.npz")


def test_archives_that_unfold_beyond_the_limit(tmp_path):
    np.savez_compressed(tmp_path / "x.npz", x=np.zeros(200_000))
    assert (tmp_path / "x.npz").stat().st_size < 10_000
    assert load_samples(tmp_path / "x.npz").total_variance == 0.0
    with pytest.raises(InvalidInput, match="not a readable"):
        load_samples(tmp_path / "x.npz", max_bytes=1_000_000)
    with pytest.raises(InvalidInput, match="unfolds to"):
        heatrd.RDCurve.load(tmp_path / "x.npz")
    from heatrd.neural.storage import read_header

    with pytest.raises(InvalidInput, match="unfolds to"):
        read_header(tmp_path / "x.npz", "model")


def test_a_curve_whose_entropy_is_no_number_is_refused(tmp_path):
    heatrd.rd_curve(UNIFORM, rates=[0.2], tol=1e-3).save(tmp_path / "c.npz")
    with np.load(tmp_path / "c.npz") as file:
        arrays = {name: file[name] for name in file.files}
    header = json.loads(arrays["header"].tobytes()) | {"entropy": math.nan}
    arrays["header"] = np.frombuffer(json.dumps(header).encode(), dtype=np.uint8)
    np.savez(tmp_path / "d.npz", **arrays)
    with pytest.raises(InvalidInput, match="damaged"):
        heatrd.RDCurve.load(tmp_path / "d.npz")


def test_nothing_is_extracted_from_archives(tmp_path):
    with zipfile.ZipFile(tmp_path / "x.npz", "w") as archive:
        archive.writestr("../escaped.npy", lying_npy((8,)))
    assert load_samples(tmp_path / "x.npz").is_discrete
    assert [path.name for path in tmp_path.iterdir()] == ["x.npz"]
    assert not (tmp_path.parent / "escaped.npy").exists()


def test_constant_samples_among_several_curves(tmp_path, capsys):
    from heatrd.cli import main

    (tmp_path / "x.csv").write_text("3\n3\n")
    assert main(["curve", "uniform", "--rates", "0", "--samples", str(tmp_path / "x.csv")]) == 0
    assert "-" in capsys.readouterr().out


def test_a_table_that_is_no_table_for_the_reader(tmp_path, capsys):
    from heatrd.cli import main

    (tmp_path / "x.csv").write_text("1" * 200_000 + ",2\n")
    assert main(["compare", str(tmp_path / "x.csv"), "--source", "uniform"]) == 2
    assert capsys.readouterr().err.count("\n") == 1


def test_a_path_at_the_critical_epsilon_itself_where_the_end_jumps():
    source = heatrd.as_source("exponentially-modified-gaussian")
    law = heatrd.backward_heat(source, epsilon=source.critical_epsilon()).reconstruction
    assert heatrd.certify(source, law.points, law.weights, epsilon=1.0).gap < 1e-3


def test_a_pinwheel_twisted_beyond_counting_is_refused():
    with pytest.raises(InvalidInput):
        heatrd.solve(sources.Pinwheel(twist=-5.9e277), epsilon=0.1)


def test_kernel_densities_whose_common_lattice_overflows():
    x = 1e140 * np.array([[0.05, 2.6], [3.3, -1.2], [0.4, 2.3], [1.0, 0.1]])
    x = np.column_stack([x, [0.0, 1.6e140, 1.1e140, 0.3e140]])
    source = heatrd.from_samples(x, method="kde", bandwidth=0.3)
    assert heatrd.solve(source, epsilon=1e270).gap < 1e-6


def test_a_law_further_away_than_numbers_go():
    tiny = sources.Product((sources.Uniform(0.0, 1.4e-97), sources.Laplace(0.0, 1.4e-97)))
    with pytest.raises(InvalidInput, match="further from the source than numbers go"):
        heatrd.certify(tiny, [[1.0, 0.0], [1.0, 1.0]], [0.5, 0.5], epsilon=1.1e-194)
