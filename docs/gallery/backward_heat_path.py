"""The heat equation, run backward.

Inside the class where the Shannon bound is tight, one density path holds the optimal reproduction at every distortion
D = εt: the source sharpens until, at the critical ε, a component would become a point.
"""

import numpy as np

import heatrd

source = heatrd.sources.GaussianMixture([0.3, 0.4, 0.3], [-2.5, 0.0, 2.2], [0.4, 0.5, 0.7])
path = heatrd.backward_heat(source, 0.39)
x, times = np.linspace(-5, 5, 500), np.linspace(0, 1, 9)

with heatrd.plots.figure(size=(5.4, 3.6)) as figure:
    ax = figure.subplots()
    for t in times:
        ax.plot(x, path.density(t, x), color=(0.12 + 0.66 * t, 0.37 - 0.06 * t, 0.66 - 0.48 * t))
    ax.set(xlabel="x", ylabel="density of $X_t$", title="from the source (blue) to ν (red)")
    heatrd.plots.save(figure, "backward_heat_path.png")
