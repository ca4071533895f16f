"""Sources: the laws μ whose rate–distortion function is asked for."""

import heatrd.sources.named  # noqa: F401  (registers its names)
from heatrd.sources.base import Source, Source1D
from heatrd.sources.bernoulli_gaussian import BernoulliGaussian
from heatrd.sources.discrete import Atoms
from heatrd.sources.gaussian import Gaussian, GaussianMixture
from heatrd.sources.kernel_density import KernelDensity
from heatrd.sources.loading import load_density, load_samples
from heatrd.sources.multivariate import MultivariateT
from heatrd.sources.noisy_curve import NoisyCurve, Spirals, TwoMoons
from heatrd.sources.radial import Ball, Disc, IsotropicLaplace, IsotropicT, NoisySphere, Sphere
from heatrd.sources.radial_base import RadialSource
from heatrd.sources.registry import as_source, register, register_converter, source_names, source_parameters
from heatrd.sources.samples import from_samples
from heatrd.sources.scipy_adaptor import ScipySource
from heatrd.sources.shapes import Box, Checkerboard, LaplaceProduct, Polygon, Product, Square
from heatrd.sources.sheared import Banana, Pinwheel
from heatrd.sources.sinc_mixture import SincMixture
from heatrd.sources.tabulated import Tabulated, from_grid
from heatrd.sources.univariate import (
    Exponential,
    GeneralizedGaussian,
    Laplace,
    Logistic,
    StudentT,
    Triangular,
    Uniform,
)

__all__ = [
    "Atoms",
    "Ball",
    "Banana",
    "BernoulliGaussian",
    "Box",
    "Checkerboard",
    "Disc",
    "Exponential",
    "Gaussian",
    "GaussianMixture",
    "GeneralizedGaussian",
    "IsotropicLaplace",
    "IsotropicT",
    "KernelDensity",
    "Laplace",
    "LaplaceProduct",
    "Logistic",
    "MultivariateT",
    "NoisyCurve",
    "NoisySphere",
    "Pinwheel",
    "Polygon",
    "Product",
    "RadialSource",
    "ScipySource",
    "SincMixture",
    "Source",
    "Source1D",
    "Sphere",
    "Spirals",
    "Square",
    "StudentT",
    "Tabulated",
    "Triangular",
    "TwoMoons",
    "Uniform",
    "as_source",
    "from_grid",
    "from_samples",
    "load_density",
    "load_samples",
    "register",
    "register_converter",
    "source_names",
    "source_parameters",
]
