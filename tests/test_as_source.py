"""Sources by name, from scipy's objects and from a user's own: the same laws, and bad input in one line."""

from pathlib import Path

import numpy as np
import pytest
import scipy.stats as st

import heatrd
from heatrd import closed_forms
from heatrd.errors import InvalidInput
from heatrd.sources import (
    Atoms,
    BernoulliGaussian,
    Exponential,
    Gaussian,
    GaussianMixture,
    GeneralizedGaussian,
    Laplace,
    Logistic,
    SincMixture,
    Source1D,
    StudentT,
    Triangular,
    Uniform,
)

NEW_INTERFACE = hasattr(st, "make_distribution")  # scipy >= 1.15


@pytest.mark.parametrize("name", heatrd.sources.source_names())
def test_every_name_builds_with_its_defaults(name):
    src = heatrd.as_source(name)
    assert np.isfinite(src.total_variance) and src.total_variance > 0
    assert src.sample(3, rng=0).shape == (3, src.dim)
    assert heatrd.as_source(name.replace("-", "_").upper()).name == src.name
    heatrd.sources.source_parameters(name)


NEW_STYLE = (
    [
        (st.Normal(mu=1.0, sigma=2.0), Gaussian),
        (st.Uniform(a=-1.0, b=2.0), Uniform),
        (
            st.Mixture([st.Normal(mu=-1.0, sigma=1.0), st.Normal(mu=2.0, sigma=0.5)], weights=[0.3, 0.7]),
            GaussianMixture,
        ),
        (2.0 * st.Normal(mu=0.5, sigma=1.0) + 1.0, Gaussian),
    ]
    if NEW_INTERFACE
    else []
)


@pytest.mark.parametrize(
    ("obj", "kind"),
    [
        (st.norm(1, 2), Gaussian),
        (st.uniform(1, 2), Uniform),
        (st.laplace(1, 2), Laplace),
        (st.gennorm(0.5, 1, 2), GeneralizedGaussian),
        (st.logistic(1, 2), Logistic),
        (st.triang(0.3, 1, 2), Triangular),
        (st.expon(1, 2), Exponential),
        (st.t(4.5, 1, 2), StudentT),
        *NEW_STYLE,
        (st.gaussian_kde([1.0, 2.0, 4.0]), GaussianMixture),
    ],
)
def test_scipy_objects_become_the_same_law(obj, kind):
    src = heatrd.as_source(obj)
    assert isinstance(src, kind) and isinstance(src, Source1D)
    x = np.linspace(-2, 5, 29) + 1e-3
    with np.errstate(divide="ignore"):
        np.testing.assert_allclose(np.exp(src.logpdf(x)), obj.pdf(x), rtol=1e-10, atol=1e-300)
    if hasattr(obj, "cdf"):
        np.testing.assert_allclose(src.cdf(x), obj.cdf(x), rtol=1e-10, atol=1e-12)
    if hasattr(obj, "var"):
        assert src.variance == pytest.approx(float(obj.var()), rel=1e-12)


def test_names_parameters_and_passing_through():
    assert heatrd.as_source("laplace", scale=0.7).variance == pytest.approx(2 * 0.49)
    assert heatrd.as_source("uniform").variance == pytest.approx(1.0, rel=1e-15)
    assert heatrd.as_source("scipy:gennorm", beta=0.8).parameters["beta"] == 0.8
    assert heatrd.as_source("gaussian-mixture", means=[[0, 0], [1, 2]], covs=0.5).dim == 2
    stable = heatrd.as_source(st.levy_stable(2.0, 0.0, 1.0, 0.5))
    assert isinstance(stable, Gaussian) and stable.parameters == {"mean": 1.0, "cov": 0.5}
    src = Laplace()
    assert heatrd.as_source(src) is src
    assert heatrd.as_source(st.norm).variance == 1.0

    class Mine:
        dim, support, mean, covariance = 1, (-np.inf, np.inf), np.zeros(1), np.eye(1)
        logpdf = cdf = tail_cut = sample = log_density = staticmethod(lambda *_: 0.0)

    mine = Mine()
    assert heatrd.as_source(mine) is mine


class Ramp(st.rv_continuous):
    def _pdf(self, x):
        return 2 * x


def test_a_users_own_scipy_distribution():
    src = heatrd.as_source(Ramp(a=0, b=1, name="ramp")(loc=1.0, scale=2.0))
    assert src.support == (1.0, 3.0)
    assert src.variance == pytest.approx(4 / 18, rel=1e-8)
    assert src.entropy() is None
    assert closed_forms.differential_entropy(src) == pytest.approx(0.5, abs=1e-10)


@pytest.mark.parametrize(
    ("call", "hint"),
    [
        (lambda: heatrd.as_source("laplce"), "did you mean 'laplace'"),
        (lambda: heatrd.as_source("xyzzy"), "known: "),
        (lambda: heatrd.as_source("laplace", scal=1.0), "did you mean 'scale'"),
        (lambda: heatrd.as_source("laplace", scale=-1.0), "must be positive"),
        (lambda: heatrd.as_source("laplace", scale=float("nan")), "not finite"),
        (lambda: heatrd.as_source("laplace", scale="wide"), "not a number"),
        (lambda: heatrd.as_source("laplace", scale=1e200), "unit of length"),
        (lambda: heatrd.as_source("gamma", shape=-1.0), "outside"),
        (lambda: heatrd.as_source("scipy:gennor"), "did you mean 'gennorm'"),
        (lambda: heatrd.as_source("scipy:gennorm"), "needs the parameter 'beta'"),
        (lambda: heatrd.as_source("scipy:gennorm", bet=1.0), "did you mean 'beta'"),
        (lambda: heatrd.as_source("scipy:poisson"), "discrete"),
        (lambda: heatrd.as_source(st.poisson(3.0)), "discrete"),
        (lambda: heatrd.as_source(st.cauchy()), "variance is infinite"),
        (lambda: heatrd.as_source("scipy:levy"), "variance is infinite"),
        (lambda: heatrd.as_source("student-t", df=2.0), "df > 2"),
        (lambda: heatrd.as_source(st.norm(0.0, -1.0)), "must be positive"),
        (lambda: heatrd.as_source(st.gamma(np.nan)), "not finite"),
        (lambda: heatrd.as_source(st.gamma), "needs its parameters"),
        (lambda: heatrd.as_source(st.norm(), loc=1.0), "go with a source's name"),
        (lambda: heatrd.as_source(3.0), "cannot read a source"),
        (lambda: Uniform(1.0, 1.0), "must be less"),
        (lambda: Triangular(0.0, 5.0, 1.0), "mode=5"),
        (lambda: GeneralizedGaussian(0.0), "must be positive"),
        (lambda: BernoulliGaussian(1.5), "(0, 1]"),
        (lambda: Gaussian(0.0, -1.0), "negative"),
        (lambda: Gaussian(0.0, 0.0), "Atoms"),
        (lambda: Gaussian([0.0, 0.0], [[1.0, 2.0], [2.0, 1.0]]), "negative eigenvalue"),
        (lambda: Gaussian([0.0, 0.0], [[1.0, 0.5], [0.1, 1.0]]), "not symmetric"),
        (lambda: Gaussian([0.0, 0.0, 0.0], np.eye(2)), "shape"),
        (lambda: GaussianMixture([0.5], [0.0, 1.0]), "one weight per component"),
        (lambda: GaussianMixture([-0.5, 1.5], [0.0, 1.0]), "negative entry"),
        (lambda: GaussianMixture([0.5, 0.5], [0.0, 1.0], [1.0, 1.0, 1.0]), "covs have shape"),
        (lambda: SincMixture(widths=0.0), "must be positive"),
        (lambda: SincMixture(sharpened=1.0), "sharpened=1"),
        (lambda: Atoms([np.nan]), "NaN"),
        (lambda: Laplace().tail_cut(0.7), "between 0 and 0.5"),
        (lambda: Gaussian().deblurred(-1.0), ">= 0"),
    ],
)
def test_bad_input_is_one_line_that_says_what_to_do(call, hint):
    with pytest.raises(InvalidInput) as caught:
        call()
    assert hint in str(caught.value) and "\n" not in str(caught.value)


def test_the_documentation_lists_every_name():
    page = (Path(__file__).parent.parent / "docs" / "sources.md").read_text(encoding="utf-8")
    missing = [name for name in heatrd.sources.source_names() if f"`{name}`" not in page]
    assert not missing


def test_numpy_scalars_are_shown_as_plain_numbers():
    with pytest.raises(InvalidInput, match=r"epsilon=-1\.0;"):
        heatrd.blahut_arimoto("laplace", np.float64(-1.0))
