"""Monte Carlo paths under a control: `sample` returns an `Ensemble` of estimates with standard errors."""

from heatrd.sampler.ensemble import Ensemble, Estimate, SampledCurve, nearest_neighbour_entropy
from heatrd.sampler.fields import TabulatedControl
from heatrd.sampler.run import sample

__all__ = ["Ensemble", "Estimate", "SampledCurve", "TabulatedControl", "nearest_neighbour_entropy", "sample"]
