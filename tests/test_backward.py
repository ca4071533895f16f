"""The backward heat solver against closed forms, the limit η^{1−θ}, noise, and bad input."""

import warnings

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import heatrd
from heatrd import sources
from heatrd.backward import METHODS, HeatPath, backward_heat
from heatrd.backward.lattice import CUTS, lattice_law, with_tails
from heatrd.backward.spectral import mode_weights, spectrum_of
from heatrd.certificate.shannon import certify_by_entropy
from heatrd.errors import HeatrdWarning, InvalidInput, TooLarge
from heatrd.grids import Grid

ETA = 2.0**-53
SMOOTH = {
    "gaussian": sources.Gaussian(0.3, 1.7),
    "two": sources.GaussianMixture([0.4, 0.6], [-1.5, 1.0], [0.5, 0.8]),
    "three": sources.GaussianMixture([0.3, 0.5, 0.2], [-2.0, 0.5, 3.0], 1.0),
    "sinc": sources.SincMixture(),
    "two-2d": sources.GaussianMixture([0.5, 0.5], [[-1.0, 0.0], [0.5, 1.0]], [1.0, 0.5]),
    "three-2d": sources.GaussianMixture([0.3, 0.5, 0.2], [[-2.0, 0.0], [0.5, 1.0], [1.0, -2.0]], [1.0, 0.5, 0.6]),
    "ring": sources.NoisySphere(2, noise=0.3),
    "gaussian-3d": sources.Gaussian([0, 0, 0], [1.0, 0.5, 0.25]),
}
WITHIN = {1: 3.0, 2: 10.0, 3: 10.0}
LINE = [name for name in SMOOTH if SMOOTH[name].dim == 1]


def quiet(*args, **kwargs):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", HeatrdWarning)
        return backward_heat(*args, **kwargs)


def relative_error(path, t=1.0):
    exact = np.exp(path.source.deblurred(path.epsilon * t).log_density(path.grid.points))
    return np.abs(path.density(t) - exact).sum() / exact.sum()


def noisy_table(source, noise, seed=1, n=400, width=7.0):
    """A density tabulated with relative noise, as `from_grid` takes it."""
    spread = width * np.sqrt(np.diag(source.covariance))
    axes = [np.linspace(m - s, m + s, n) for m, s in zip(source.mean, spread)]
    density = np.exp(source.log_density(np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1)))
    density *= np.maximum(1 + noise * np.random.default_rng(seed).standard_normal(density.shape), 0.0)
    return heatrd.from_grid(axes if source.dim > 1 else axes[0], density, normalize=True)


@pytest.mark.parametrize("theta", [0.25, 0.5, 0.75, 0.9])
@pytest.mark.parametrize("name", SMOOTH)
def test_spectral_method_reaches_the_limit(name, theta):
    source = SMOOTH[name]
    path = quiet(source, theta * source.critical_epsilon(), method="spectral")
    error, limit = relative_error(path), ETA ** (1 - theta)
    assert error < WITHIN[source.dim] * limit
    assert path.density(1.0).min() >= 0
    assert path.estimated_error > error / 30 or error < 1e-11


@pytest.mark.parametrize("theta", [0.25, 0.5, 0.75, 0.9])
@pytest.mark.parametrize("name", ["two", "sinc", "two-2d", "three-2d", "ring"])
def test_finite_differences_reach_the_limit(name, theta):
    source = SMOOTH[name]
    path = quiet(source, theta * source.critical_epsilon(), method="finite-difference")
    assert path.method == "finite-difference"
    assert relative_error(path) < 30 * ETA ** (1 - theta)


def scattered(seed, dim=2):
    """A mixture drawn at random."""
    rng = np.random.default_rng(seed)
    count = int(rng.integers(2, 6))
    weights, means = rng.dirichlet(np.ones(count)), rng.normal(0, 1.5, (count, dim))
    return sources.GaussianMixture(weights, means, rng.uniform(0.3, 1.5, count))


@pytest.mark.parametrize("source", [*map(scattered, (35, 63, 65)), sources.NoisySphere(2, noise=0.2)])
@pytest.mark.parametrize("method", ["spectral", "finite-difference"])
def test_rounding_noise_near_the_axes_is_not_taken_for_signal(source, method):
    """One false mode beyond the cut-off costs a factor of a hundred to ten thousand here."""
    path = quiet(source, 0.75 * source.critical_epsilon(), method=method)
    assert relative_error(path) < 10 * ETA**0.25


def test_noise_of_rounded_coordinates_is_measured_line_by_line():
    axis = np.linspace(-9.0, 9.0, 128)
    moved = axis + 1e-10 * np.random.default_rng(0).standard_normal(axis.size)
    density = np.exp(-0.5 * np.add.outer(moved**2, axis**2)) / (2 * np.pi)
    spectrum = spectrum_of(density, Grid((axis, axis)))
    near, far = spectrum.levels[:, 0].min(), spectrum.levels[40, 40]
    size = np.abs(spectrum.modes)
    assert near > 1e5 * far
    assert near == pytest.approx(np.sqrt(np.mean(size[50:78, 0] ** 2)), rel=0.8)
    assert np.sqrt(-2 * np.log(20 * near)) < spectrum.cutoff < 1.05 * np.sqrt(-2 * np.log(far))  # off the line


def test_finite_differences_in_space():
    axes = [np.linspace(-s, s, 64) for s in 8.5 * np.sqrt([1.0, 0.5, 0.25])]
    path = quiet(SMOOTH["gaussian-3d"], 0.1875, grid=axes, method="finite-difference")
    assert relative_error(path) < 30 * ETA**0.25
    assert path.inversion.march.order >= 8


@pytest.mark.parametrize("order, error", [(2, 0.3), (4, 3e-2), (8, 1e-3)])
def test_the_order_asked_for_is_used_and_its_error_estimated(order, error):
    source = SMOOTH["two"]
    path = quiet(source, 0.25, grid=np.linspace(-8, 8, 90), method="finite-difference", order=order)
    assert path.inversion.march.order == order
    found = relative_error(path)
    assert found < error and found < 3 * path.estimated_error
    assert found > 1e-9, "this grid is too coarse for a small error: the order was not used"


@pytest.mark.parametrize("name", SMOOTH)
def test_auto_takes_the_closed_form(name):
    source = SMOOTH[name]
    path = backward_heat(source, 0.6 * source.critical_epsilon())
    assert path.method == "closed-form" and path.trusted and path.theta == pytest.approx(0.6)
    assert relative_error(path) < 1e-14 and relative_error(path, 0.3) < 1e-14


@pytest.mark.parametrize("method", ["spectral", "finite-difference", "positive", "arbitrary-precision"])
def test_every_method_answers_like_the_closed_form(method):
    source = SMOOTH["two"]
    exact, path = backward_heat(source, 0.25), backward_heat(source, 0.25, method=method)
    assert path.method == method
    x = np.linspace(-3, 3, 41)
    for t in (0.0, 0.37, 1.0):
        np.testing.assert_allclose(path.density(t, x), exact.density(t, x), rtol=2e-6, atol=1e-9)
        np.testing.assert_allclose(path.control(t, x), exact.control(t, x), atol=2e-5)
    gap = (
        path.reconstruction.mean - exact.reconstruction.mean,
        path.reconstruction.covariance - exact.reconstruction.covariance,
    )
    assert np.abs(gap[0]).max() < 1e-6 and np.abs(gap[1]).max() < 1e-5


def test_control_is_epsilon_times_the_score_of_the_density():
    source = SMOOTH["three-2d"]
    x = source.sample(40, rng=3)
    for method in ("auto", "spectral"):
        path = quiet(source, 0.4, method=method)
        h = 1e-4
        for a in range(2):
            step = h * np.eye(2)[a]
            slope = (path.log_density(0.6, x + step) - path.log_density(0.6, x - step)) / (2 * h)
            np.testing.assert_allclose(path.control(0.6, x)[:, a], 0.4 * slope, rtol=1e-4, atol=1e-5)
        np.testing.assert_allclose(path.control(0.6, x), 0.4 * path.score(0.6, x))


def test_shapes_of_points():
    line, plane = backward_heat(SMOOTH["two"], 0.2), backward_heat(SMOOTH["ring"], 0.05)
    assert line.density(0.5, 0.3).shape == () and line.control(0.5, 0.3).shape == ()
    assert line.density(0.5, np.zeros((3, 4))).shape == (3, 4)
    assert line.density(0.5, np.zeros((7, 1))).shape == (7,) and line.control(0.5, np.zeros((7, 1))).shape == (7, 1)
    assert plane.density(0.5, np.zeros((3, 4, 2))).shape == (3, 4) and plane.score(0.5, np.zeros((3, 4, 2))).shape == (
        3,
        4,
        2,
    )
    assert plane.density(0.5).shape == plane.grid.shape
    for bad in (np.zeros(3), np.zeros((2, 3)), 1.0, "x"):
        with pytest.raises(InvalidInput, match="points"):
            plane.density(0.5, bad)


def test_tails_of_a_grid_answer_are_tame():
    """Where the density drowns in noise the control must still point inwards, not oscillate."""
    path = quiet(SMOOTH["two"], 0.4, method="spectral")
    far = np.array([-30.0, -12.0, -9.0, 9.0, 12.0, 30.0])
    control = path.control(0.9, far)
    assert (np.sign(control) == -np.sign(far)).all() and (np.abs(control) < 5 * np.abs(far)).all()
    assert (path.density(0.9, far) < 1e-9).all()


@pytest.mark.parametrize("name", ["two", "sinc", "two-2d", "ring", "gaussian-3d"])
def test_pushing_the_reconstruction_forward_gives_the_source_back(name):
    source = SMOOTH[name]
    epsilon = 0.9 * source.critical_epsilon()
    law = backward_heat(source, epsilon).reconstruction
    x = source.sample(30, rng=2)
    squares = ((x[:, None, :] - law.points) ** 2).sum(axis=-1)
    pushed = (np.exp(-squares / (2 * epsilon)) @ law.weights) / (2 * np.pi * epsilon) ** (source.dim / 2)
    np.testing.assert_allclose(pushed, np.exp(source.log_density(x)), rtol=1e-9)


def test_singular_reconstructions_at_the_critical_epsilon():
    atoms = backward_heat(sources.GaussianMixture([0.25, 0.75], [-2.0, 1.0], 0.3), 0.3)
    np.testing.assert_allclose(atoms.reconstruction.points[:, 0], [-2.0, 1.0])
    np.testing.assert_allclose(atoms.reconstruction.weights, [0.25, 0.75])
    for dim in (2, 3):
        ring = backward_heat(sources.NoisySphere(dim, noise=0.5, radius=1.5), 0.25)
        law = ring.reconstruction
        np.testing.assert_allclose(np.linalg.norm(law.points, axis=1), 1.5)
        np.testing.assert_allclose(law.covariance, 1.5**2 / dim * np.eye(dim), atol=1e-12)
        with pytest.raises(InvalidInput, match="no density"):
            ring.density(1.0)
        assert np.isfinite(ring.control(0.99, law.points[:5])).all()


def test_reports_are_consistent():
    path = quiet(SMOOTH["ring"], 0.06, method="spectral")
    assert path.amplification == pytest.approx(np.exp(0.03 * path.cutoff**2), rel=0.2)
    assert path.estimated_error == pytest.approx(path.noise_error + path.cut_error)
    assert 0 < path.noise < 1e-15 and path.negative_mass > 0 and path.distortion == pytest.approx(0.12)
    assert 0 <= path.residual < path.negative_mass < path.estimated_error < 3 * ETA ** (1 - 0.06 / 0.09)
    higher = quiet(SMOOTH["ring"], 0.08, method="spectral")
    assert higher.amplification > path.amplification and higher.residual > path.residual


@settings(max_examples=12)
@given(st.sampled_from(["two", "three", "gaussian"]), st.floats(-8, -2), st.floats(0.1, 1.4), st.integers(0, 1000))
def test_noisy_tables_never_blow_up_and_never_lie(name, log_noise, theta, seed):
    """No negative density, no unflagged wrong one, for noise from 1e-8 to 1e-2 and ε below and above ε_c."""
    source, noise = SMOOTH[name], 10.0**log_noise
    epsilon = theta * source.critical_epsilon()
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        path = backward_heat(noisy_table(source, noise, seed), epsilon)
    rho = path.density(1.0)
    assert np.isfinite(rho).all() and rho.min() >= 0 and path.grid.integrate(rho) == pytest.approx(1.0)
    assert bool(path.flags) == any(issubclass(w.category, HeatrdWarning) for w in caught)
    if theta < 1:
        exact = np.exp(source.deblurred(epsilon).log_density(path.grid.points))
        error = np.abs(rho - exact).sum() * path.grid.cell
        assert error < 4 * noise ** (1 - theta)
        assert error < max(10 * path.estimated_error, 1e-7) or path.flags
    elif theta > 1.15:
        assert path.flags


@pytest.mark.parametrize("noise", [1e-8, 1e-4, 1e-2])
def test_noisy_ring_within_ten_times_the_limit(noise):
    source = SMOOTH["ring"]
    table = noisy_table(source, noise, n=128)
    for theta in (0.25, 0.5, 0.75):
        path = quiet(table, theta * 0.09, method="spectral")
        exact = np.exp(source.deblurred(theta * 0.09).log_density(path.grid.points))
        assert np.abs(path.density(1.0) - exact).sum() * path.grid.cell < 10 * noise ** (1 - theta)


def test_noise_is_measured():
    source = SMOOTH["three"]
    for noise in (1e-9, 1e-6, 1e-3):
        table = noisy_table(source, noise)
        spectrum = spectrum_of(table.density, Grid.uniform(-9, 9, 400))
        h = table.axes[0][1] - table.axes[0][0]
        expected = noise * np.sqrt((table.density**2).sum()) * h
        assert expected / 1.5 < spectrum.noise < 1.5 * expected


def test_positive_polishing_reduces_what_pushing_forward_fails_to_reproduce():
    table = noisy_table(SMOOTH["two"], 1e-6)
    plain, positive = quiet(table, 0.4, method="spectral"), quiet(table, 0.4, method="positive")
    assert positive.residual < 0.1 * plain.residual
    assert positive.inversion.sweeps > 0
    assert np.abs(positive.density(0.5) - plain.density(0.5)).sum() * plain.grid.cell < 1e-4


def test_a_coarse_table_is_flagged():
    source = sources.Gaussian(0.0, 1.0)
    x = np.linspace(-8, 8, 12)
    table = heatrd.from_grid(x, np.exp(source.logpdf(x)), normalize=True)
    with pytest.warns(HeatrdWarning):
        path = backward_heat(table, 0.3)
    assert not path.trusted


def test_a_stretched_table_is_resampled_and_says_so():
    source = SMOOTH["two"]
    x = np.sinh(np.linspace(-2.7, 2.7, 500))
    with pytest.warns(HeatrdWarning, match="equal spacing"):
        path = backward_heat(heatrd.from_grid(x, np.exp(source.logpdf(x)), normalize=True), 0.2)
    exact = np.exp(source.deblurred(0.2).log_density(path.grid.points))
    assert np.abs(path.density(1.0) - exact).sum() * path.grid.cell < 1e-3


@pytest.mark.parametrize("name", ["gaussian", "two"])
def test_arbitrary_precision_at_theta_095(name):
    source = SMOOTH[name]
    path = backward_heat(source, 0.95 * source.critical_epsilon(), method="arbitrary-precision")
    assert relative_error(path) < 1e-6
    assert path.estimated_error < 1e-6 and path.negative_mass < 1e-6
    assert relative_error(quiet(source, path.epsilon, method="spectral")) > 1e-3, "doubles cannot do this"


def test_arbitrary_precision_takes_a_formula_and_digits():
    import mpmath

    def density(x):  # a Gaussian blur, variance 1, of the uniform law on [-1, 1]
        return (mpmath.erf((x + 1) / mpmath.sqrt(2)) - mpmath.erf((x - 1) / mpmath.sqrt(2))) / 4

    class Blurred(sources.Logistic):
        def critical_epsilon(self):
            return None

        def tail_cut(self, mass):
            return sources.Gaussian(0.0, 1.0).tail_cut(mass)[0] - 1, sources.Gaussian(0.0, 1.0).tail_cut(mass)[1] + 1

        def logpdf(self, x):
            return np.log([float(density(mpmath.mpf(float(v)))) for v in np.ravel(x)]).reshape(np.shape(x))

    x = np.array([0.0, 0.5, 0.9, 1.2])
    exact = [float((mpmath.erf((v + 1) / mpmath.sqrt(0.2)) - mpmath.erf((v - 1) / mpmath.sqrt(0.2))) / 4) for v in x]
    path = backward_heat(Blurred(), 0.9, method="arbitrary-precision", formula=density, digits=120)
    np.testing.assert_allclose(path.density(1.0, x), exact, rtol=2e-4)
    with pytest.raises(InvalidInput, match="formula"):
        backward_heat(Blurred(), 0.9, method="arbitrary-precision")
    with pytest.raises(InvalidInput, match="digits"):
        backward_heat(SMOOTH["two"], 0.2, method="arbitrary-precision", digits=4)


@pytest.mark.parametrize(
    "arguments, match",
    [
        ({"epsilon": 0.0}, "positive"),
        ({"epsilon": -0.1}, "positive"),
        ({"epsilon": np.inf}, "finite"),
        ({"epsilon": "small"}, "number"),
        ({"epsilon": 0.51}, "epsilon_c=0.5"),
        ({"epsilon": 0.51, "method": "spectral"}, "epsilon_c=0.5"),
        ({"method": "spectrall"}, "did you mean 'spectral'"),
        ({"method": "fd"}, "choose one of"),
        ({"grid": [np.linspace(-5, 5, 50)] * 2}, "2 axes"),
        ({"grid": [np.linspace(-5, 5, 50)] * 2, "method": "spectral"}, "2 axes"),
        ({"grid": np.linspace(-5, 5, 5), "method": "spectral"}, "too coarse"),
        ({"source": heatrd.from_grid([-1.0, 0.0, 1.0], [0.0, 1.0, 0.0])}, "too coarse"),
        ({"source": sources.Atoms([0.0, 1.0])}, "atoms"),
        ({"source": sources.Laplace()}, "epsilon_c=0"),
        ({"source": sources.Uniform()}, "epsilon_c=0"),
    ],
)
def test_bad_input_is_refused(arguments, match):
    with pytest.raises(InvalidInput, match=match):
        backward_heat(**({"source": SMOOTH["two"], "epsilon": 0.2} | arguments))


def test_closed_form_is_refused_where_there_is_none():
    with pytest.raises(InvalidInput, match="closed form"):
        backward_heat(noisy_table(SMOOTH["two"], 1e-8), 0.2, method="closed-form")


def test_grids_too_large_for_memory_are_refused_with_the_largest_that_fits():
    grid = [np.linspace(-5, 5, 300)] * 2
    for method in METHODS[:5]:
        with pytest.raises(TooLarge) as caught:
            backward_heat(SMOOTH["ring"], 0.05, grid=grid, method=method, memory_limit=1_000_000)
        n = caught.value.largest[0]
        assert 2 <= n < 300
        quiet(SMOOTH["ring"], 0.05, grid=[np.linspace(-5, 5, n)] * 2, method=method, memory_limit=1_000_000)


@pytest.mark.parametrize("t", [-0.1, 1.5, np.nan, [0.1, 0.2]])
def test_times_outside_the_unit_interval_are_refused(t):
    with pytest.raises(InvalidInput, match="t="):
        backward_heat(SMOOTH["two"], 0.2).density(t)


def test_path_type_and_names():
    assert heatrd.backward_heat is backward_heat and heatrd.HeatPath is HeatPath
    assert isinstance(backward_heat("gaussian", 0.2), HeatPath)


@pytest.mark.parametrize("name, theta", [("gaussian", 0.5), ("three", 0.9), ("two", 0.25)])
def test_certificate_on_the_line_proves_the_reconstruction_optimal(name, theta):
    source = SMOOTH[name]
    path = backward_heat(source, theta * source.critical_epsilon())
    certificate = path.certificate
    assert certificate is path.certificate, "computed once"
    assert 0 <= certificate.gap < 1e-9
    entropy = heatrd.shannon_lower_bound(source, path.distortion)
    assert certificate.rate == pytest.approx(float(entropy), abs=1e-7)


@pytest.mark.slow
def test_certificate_in_the_plane():
    source = SMOOTH["ring"]
    assert 0 <= backward_heat(source, 0.75 * source.critical_epsilon()).certificate.gap < 1e-9


def test_certificate_of_a_clipped_answer_admits_what_is_missing():
    source = SMOOTH["gaussian"]
    path = quiet(source, 0.9 * 1.7, method="spectral")
    clipped = lattice_law(path.density(1.0), path.grid, path.epsilon)
    assert certify_by_entropy(source, clipped, path.epsilon).gap == pytest.approx(path.residual, rel=0.1)
    assert path.residual > 1e-3 > 1e-9 > path.certificate.gap


def test_a_table_without_visible_noise_is_still_one_of_rounded_numbers():
    """The modes of a constant are exactly zero; N rounded numbers leave no less than 2⁻⁵² / √N."""
    spectrum = spectrum_of(np.ones(64), Grid.uniform(0.0, 1.0, 64))
    assert (spectrum.levels >= 2.0**-52 / 8).all() and spectrum.noise >= 2.0**-52 / 8
    assert spectrum.kept.sum() == 1


def test_modes_that_no_law_has_are_not_kept():
    """|S| exp(εω²/2) ≤ 1 for every law: beyond ε_c the modes that exceed it are dropped, and the answer says so."""
    grid = Grid.uniform(-10.0, 10.0, 256)
    x = grid.axes[0]
    spectrum = spectrum_of(np.exp(-0.5 * x**2) * (1 + 0.5 * np.cos(4 * x)), grid, variance=0.5)
    grown = np.abs(spectrum.modes) * np.exp(0.25 * spectrum.square)
    assert grown.max() > 2 and not spectrum.possible
    assert grown[spectrum.kept].max() < 1.05


@pytest.mark.parametrize("shape", [(16,), (15,), (6, 8), (6, 7)])
def test_mode_weights_satisfy_parseval(shape):
    table = np.random.default_rng(0).standard_normal(shape)
    grid = Grid(tuple(np.arange(float(n)) for n in shape))
    energy = (mode_weights(grid) * np.abs(np.fft.rfftn(table)) ** 2).sum()
    assert energy == pytest.approx(table.size * (table**2).sum())


def test_a_continued_law_has_the_mass_of_the_tails():
    """A lattice narrower than every cut is continued from the innermost one, with what the source has there."""
    source = heatrd.as_source("student-t")
    inner = np.linspace(-2.0, 2.0, 81)
    law = with_tails(heatrd.as_law(inner, np.exp(source.log_density(inner[:, None]))), source, 0.05)
    beyond = np.abs(law.points[:, 0]) > 2.0
    assert law.weights[beyond].sum() == pytest.approx(2.0 * CUTS[-1], rel=1e-9)
    assert np.abs(law.points).max() > 100.0
