"""A certified curve.

The band is narrower than the line; the Shannon lower bound and the Gaussian upper bound stand beside it.
"""

from functools import partial

import heatrd

source = heatrd.as_source("laplace")
curve = heatrd.rd_curve(source, tol=1e-3, max_rate=2.5)
bounds = {
    "shannon": partial(heatrd.shannon_lower_bound, source),
    "gaussian": partial(heatrd.gaussian_upper_bound, source),
}

with heatrd.plots.figure() as figure:
    heatrd.plots.plot_curve(curve, ax=figure.subplots(), bounds=bounds, unit="bit")
    heatrd.plots.save(figure, "laplace_curve.png")
