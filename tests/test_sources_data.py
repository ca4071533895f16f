"""Sources from samples, from tables and from files."""

from itertools import pairwise

import numpy as np
import pytest
import scipy.stats as st
from hypothesis import given
from hypothesis import strategies as some
from hypothesis.extra.numpy import arrays
from scipy import integrate

import heatrd
from heatrd.errors import InvalidInput
from heatrd.sources import Atoms, Gaussian, GaussianMixture, KernelDensity, Source1D, load_density, load_samples

# --- samples -----------------------------------------------------------------------------------------------------


def test_atoms_merge_duplicates_and_keep_weights():
    src = heatrd.from_samples([3.0, 1.0, 3.0, 2.0], weights=[1, 1, 2, 0])
    points, masses = src.discrete_part
    assert points[:, 0].tolist() == [1.0, 3.0] and masses.tolist() == [0.25, 0.75]
    assert src.is_discrete and isinstance(src, Source1D)
    assert src.cdf([0.9, 1.0, 2.9, 3.0]).tolist() == [0.0, 0.25, 0.25, 1.0]
    assert src.mean.tolist() == [2.5] and src.variance == pytest.approx(0.75)
    plane = heatrd.from_samples([[0, 1], [0, 1], [1, 1]])
    assert plane.dim == 2 and plane.discrete_part[1].tolist() == pytest.approx([2 / 3, 1 / 3])


@pytest.mark.parametrize("method", ["atoms", "kde"])
def test_constant_samples_are_a_point(method):
    src = heatrd.from_samples(np.full(100, 7.5), method=method)
    assert isinstance(src, Atoms) and src.total_variance == 0.0 and src.discrete_part[0].tolist() == [[7.5]]


@pytest.mark.parametrize("rule", ["silverman", "scott"])
@pytest.mark.parametrize("shape", [(40,), (300,), (200, 2)])
def test_kde_is_scipys(rule, shape):
    x = np.random.default_rng(1).standard_gamma(2.0, shape)
    ref = st.gaussian_kde(x.T, rule)
    weighted = st.gaussian_kde(x.T, rule, weights=np.arange(1.0, len(x) + 1))
    t = np.atleast_2d(np.random.default_rng(2).uniform(-1, 8, (60, *shape[1:])).T).T
    for src in (heatrd.from_samples(x, "kde", bandwidth=rule), heatrd.as_source(ref)):
        np.testing.assert_allclose(src.log_density(t), ref.logpdf(t.T), rtol=1e-9, atol=1e-9)
    src = heatrd.from_samples(x, "kde", bandwidth=rule, weights=np.arange(1.0, len(x) + 1))
    np.testing.assert_allclose(src.log_density(t), weighted.logpdf(t.T), rtol=1e-9, atol=1e-9)
    assert isinstance(src, KernelDensity) == (shape == (300,))


@given(
    x=arrays(float, some.integers(2, 80), elements=some.floats(-50, 50, width=32)),
    bandwidth=some.floats(0.01, 20.0),
    t=arrays(float, 20, elements=some.floats(-120, 120)),
)
def test_kernel_density_is_the_mixture(x, bandwidth, t):
    fast, plain = KernelDensity(x, bandwidth), GaussianMixture(None, x, bandwidth**2)
    with np.errstate(under="ignore"):
        np.testing.assert_allclose(fast.logpdf(t), plain.logpdf(t), rtol=1e-11, atol=1e-11)
        np.testing.assert_allclose(fast.cdf(t), plain.cdf(t), rtol=0, atol=1e-13)
    assert fast.variance == pytest.approx(plain.variance, rel=1e-9)
    if np.ptp(x) > 0:
        assert fast.critical_epsilon() == pytest.approx(bandwidth**2)
        half = fast.deblurred(0.5 * bandwidth**2)
        np.testing.assert_allclose(half.logpdf(t), plain.deblurred(0.5 * bandwidth**2).logpdf(t), rtol=1e-9, atol=1e-9)


def test_kernel_density_of_many_points():
    x = np.random.default_rng(0).standard_normal(100_000)
    src = heatrd.from_samples(x, "kde")
    t = np.array([-6.0, -1.0, 0.0, 2.5, 5.5])
    direct = [np.logaddexp.reduce(-0.5 * ((u - x) / src.bandwidth) ** 2) for u in t]
    direct -= np.log(x.size * src.bandwidth * np.sqrt(2 * np.pi))
    np.testing.assert_allclose(src.logpdf(t), direct, rtol=1e-11)
    assert src.deblurred(src.critical_epsilon()).points.size == x.size


@pytest.mark.parametrize(
    ("arguments", "hint"),
    [
        (([],), "no samples"),
        ((["a", "b"],), "not all numbers"),
        (([object()],), "not all numbers"),
        (([[1.0, 2.0], [3.0]],), "not all numbers"),
        (([1.0, np.nan, np.inf],), "2 of 3 values"),
        ((np.zeros((2, 2, 2)),), "shape (2, 2, 2)"),
        ((1.0,), "shape ()"),
        (([1j],), "not all numbers"),
        (([1.0, 2.0], "kdee"), "need 'atoms' or 'kde'"),
        (([1.0, 2.0], "kde", "scot"), "'silverman' or 'scott'"),
        (([1.0, 2.0], "kde", 0.0), "must be positive"),
        (([1.0, 2.0], "atoms", 1.0), "needs method='kde'"),
        (([1.0, 2.0], "kde", None, [1.0]), "one per point"),
        (([1.0, 2.0], "atoms", None, [-1.0, 2.0]), "non-negative"),
    ],
)
def test_bad_samples(arguments, hint):
    with pytest.raises(InvalidInput) as caught:
        heatrd.from_samples(*arguments)
    assert hint in str(caught.value) and "\n" not in str(caught.value)


# --- tables ------------------------------------------------------------------------------------------------------


@given(
    density=arrays(float, some.integers(2, 12), elements=some.floats(0, 1)),
    seed=some.integers(0, 1000),
)
def test_piecewise_linear_density_is_exact(density, seed):
    if density.sum() < 0.1:
        density[0] = 1.0
    x = np.cumsum(np.random.default_rng(seed).uniform(0.1, 2.0, density.size))
    src = heatrd.from_grid(x, density, normalize=True)

    def moment(power):
        return sum(
            integrate.quad(lambda t: np.exp(src.logpdf(t)) * t**power, a, b, epsabs=1e-13)[0] for a, b in pairwise(x)
        )

    mass, first, second = moment(0), moment(1), moment(2)
    assert mass == pytest.approx(1.0, abs=1e-10)
    assert src.mean[0] == pytest.approx(first, rel=1e-9)
    assert src.variance == pytest.approx(second - first**2, rel=1e-7)
    ends = src.cdf(np.concatenate([[x[0] - 1], x, [x[-1] + 1]]))
    assert ends[0] == 0 and ends[-1] == pytest.approx(1.0) and (np.diff(ends) >= 0).all()
    assert src.entropy() <= Gaussian(0, src.variance).entropy() + 1e-12
    assert set(src.breakpoints) <= set(x[1:-1])
    low, high = src.tail_cut(0.01)
    assert src.cdf(low) <= 0.01 + 1e-12 and src.cdf(high) >= 0.99 - 1e-12


def test_known_tables():
    flat = heatrd.from_grid([0.0, 1.0, 3.0], np.full(3, 1 / 3))
    assert (
        flat.entropy() == pytest.approx(np.log(3)) and flat.variance == pytest.approx(9 / 12) and flat.breakpoints == ()
    )
    ramp = heatrd.from_grid([0.0, 2.0], [0.0, 1.0])
    assert ramp.entropy() == pytest.approx(0.5, abs=1e-14) and ramp.mean[0] == pytest.approx(4 / 3)
    np.testing.assert_allclose(ramp.cdf([1.0, 2.0]), [0.25, 1.0])
    padded = heatrd.from_grid(np.arange(6.0), [0, 0, 0, 1, 0, 0])
    assert padded.support == (2.0, 4.0)


def test_tabulated_in_the_plane_and_in_space():
    axes = np.linspace(0, 2, 5), np.array([-1.0, 0.0, 0.5, 3.0])
    ramp = heatrd.from_grid(axes, np.multiply.outer(axes[0], np.ones(4)) / 8)
    assert ramp.dim == 2
    np.testing.assert_allclose(ramp.mean, [4 / 3, 1.0], rtol=1e-13)
    np.testing.assert_allclose(ramp.covariance, [[2 / 9, 0], [0, 16 / 12]], atol=1e-13)
    assert ramp.entropy() == pytest.approx(0.5 + np.log(4), abs=1e-4)
    turned = heatrd.from_grid(axes[::-1], np.multiply.outer(np.ones(4), axes[0]) / 8)
    assert turned.entropy() == pytest.approx(0.5 + np.log(4), abs=1e-13)
    x = ramp.sample(20_000, rng=4)
    assert st.kstest(x[:, 0], lambda t: (t / 2) ** 2).pvalue > 1e-4
    assert st.kstest(x[:, 1], st.uniform(-1, 4).cdf).pvalue > 1e-4
    assert ramp.log_density(np.array([[1.0, 0.2], [5.0, 0.0]])).tolist() == [pytest.approx(np.log(1 / 8)), -np.inf]
    cube = heatrd.from_grid((axes[0],) * 3, np.full((5, 5, 5), 1 / 8))
    assert cube.entropy() == pytest.approx(np.log(8)) and cube.total_variance == pytest.approx(1.0)


def test_interpolation_error_of_a_tabulated_gaussian_is_second_order():
    errors = []
    for n in (101, 201, 401):
        x = np.linspace(-9, 9, n)
        errors.append(heatrd.from_grid(x, st.norm.pdf(x)).entropy() - Gaussian().entropy())
    rates = np.log2(np.divide(errors[:-1], errors[1:]))
    assert 1.9 < rates.min() and rates.max() < 2.1 and abs(errors[-1]) < 2e-4


@pytest.mark.parametrize(
    ("arguments", "hint"),
    [
        (([0, 1], [1, np.nan]), "NaN"),
        (([0, 1], [2, -1]), "negative at 1 nodes"),
        (([0, 1], [3, 3]), "normalize=True"),
        (([0, 1], [0, 0]), "zero everywhere"),
        (([1, 0], [1, 1]), "increase strictly"),
        (([0, 0, 1], [1, 1, 1]), "increase strictly"),
        (([0, 1, 2], [1, 1]), "3 coordinates"),
        (([0], [1]), "at least two"),
        ((([0, 1], [0, 1]), [1, 1]), "one per axis"),
        (([0, np.inf], [1, 1]), "NaN or inf"),
        (([0, 1], ["a", "b"]), "array of numbers"),
        ((([0, 1],) * 4, np.ones((2,) * 4)), "takes 1, 2 or 3"),
    ],
)
def test_bad_tables(arguments, hint):
    with pytest.raises(InvalidInput) as caught:
        heatrd.from_grid(*arguments)
    assert hint in str(caught.value) and "\n" not in str(caught.value)


# --- files -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "text", ["1\n2\n4\n", "x\n1\n2\n4\n", "# note\n1 # a\n\n2\n4", "\ufeffvalue;\n1;\n2;\n4;\n", "1.0\r\n2e0\r\n+4\r\n"]
)
def test_text_samples(tmp_path, text):
    file = tmp_path / "x.csv"
    file.write_text(text, encoding="utf-8")
    assert load_samples(file).discrete_part[0][:, 0].tolist() == [1.0, 2.0, 4.0]


def test_columns_binary_files_and_kde(tmp_path):
    (tmp_path / "xy.txt").write_text("a b\n1 2\n3 4\n")
    assert load_samples(tmp_path / "xy.txt").dim == 2
    x = np.random.default_rng(0).standard_normal(200)
    np.save(tmp_path / "x.npy", x)
    np.savez(tmp_path / "x.npz", samples=x, note=np.zeros(3))
    for name in ("x.npy", "x.npz"):
        src = load_samples(tmp_path / name, method="kde", bandwidth=0.2)
        assert isinstance(src, KernelDensity) and src.bandwidth == pytest.approx(0.2)


def test_density_files(tmp_path):
    (tmp_path / "p.csv").write_text("x,density\n0,0\n1,1\n2,0\n")
    assert load_density(tmp_path / "p.csv").variance == pytest.approx(1 / 6)
    np.savez(tmp_path / "p.npz", x=[0.0, 1.0], y=[0.0, 3.0], density=np.ones((2, 2)))
    assert load_density(tmp_path / "p.npz", normalize=True).covariance[1, 1] == pytest.approx(9 / 12)
    rows = [(x, y, 1 + x) for y in (0.0, 1.0, 2.0) for x in (0.0, 1.0)]
    np.save(tmp_path / "p.npy", np.array(rows))
    plane = load_density(tmp_path / "p.npy", normalize=True)
    assert plane.density.shape == (2, 3) and plane.mean[0] == pytest.approx(5 / 9)


@pytest.mark.parametrize(
    ("name", "content", "hint"),
    [
        ("missing.csv", None, "cannot be read"),
        ("x.csv", b"", "is empty"),
        ("x.csv", b"x\n", "no numbers"),
        ("x.csv", b"# only a comment\n", "no data"),
        ("x.csv", b"1\n2\nhello\n", "line 3 holds what is no number: 'hello'"),
        ("x.csv", b"1,2\n3\n", "line 2 has 1 numbers, those before it have 2"),
        ("x.csv", b"1\n\xff\xfe\x00", "not text"),
        ("x.csv", b"1\nnan\n", "NaN"),
        ("x.npy", b"garbage", "not a readable"),
        ("x.npz", b"garbage", "not a readable"),
        ("x.xlsx", b"1", "unknown kind"),
    ],
)
def test_bad_files(tmp_path, name, content, hint):
    if content is not None:
        (tmp_path / name).write_bytes(content)
    for load in (load_samples, load_density):
        with pytest.raises(InvalidInput) as caught:
            load(tmp_path / name)
        message = str(caught.value)
        assert name in message and "\n" not in message
        if load is load_samples:
            assert hint in message


def test_pickles_folders_and_large_files_are_refused(tmp_path):
    np.save(tmp_path / "x.npy", np.array([{}, {}], dtype=object), allow_pickle=True)
    np.savez(tmp_path / "y.npz", a=np.array([{}], dtype=object))
    for name in ("x.npy", "y.npz"):
        with pytest.raises(InvalidInput, match="pickled"):
            load_samples(tmp_path / name)
    with pytest.raises(InvalidInput, match="folder"):
        load_samples(tmp_path)
    (tmp_path / "big.csv").write_text("1\n" * 1000)
    with pytest.raises(InvalidInput, match="max_bytes"):
        load_samples(tmp_path / "big.csv", max_bytes=100)
    np.savez(tmp_path / "two.npz", a=np.ones(2), b=np.ones(3))
    with pytest.raises(InvalidInput, match="several arrays"):
        load_samples(tmp_path / "two.npz")
    (tmp_path / "holes.csv").write_text("0,0,1\n0,1,1\n1,0,1\n")
    with pytest.raises(InvalidInput, match="exactly once"):
        load_density(tmp_path / "holes.csv")


@pytest.mark.parametrize("x", [1e9, 1e12, 1e100])
def test_kernel_density_so_far_away_that_its_reach_is_rounding(x):
    """The nearest point alone counts: log p = −(x − 1)²/2h² to leading order, on both sides."""
    source = heatrd.from_samples([-1.0, 0.0, 1.0], method="kde", bandwidth=0.5)
    right, left = source.logpdf([x, -x])
    assert right == left == pytest.approx(-2 * (x - 1) ** 2, rel=1e-12)
