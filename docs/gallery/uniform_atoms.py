"""Atoms that appear one by one.

The best reproduction of a uniform source is a handful of points. As ε falls, a new one appears in the middle with no
weight at first, or the middle one splits. Each dot is an atom, its size the weight.
"""

import numpy as np

import heatrd

with heatrd.plots.figure(size=(5.2, 3.6)) as figure:
    ax = figure.subplots()
    for epsilon in np.geomspace(0.03, 0.95, 60):
        law = heatrd.solve("uniform", epsilon=epsilon, tol=1e-6).reconstruction
        ax.scatter(np.full(len(law.weights), epsilon), law.points[:, 0], 60 * law.weights, color="C0", linewidth=0)
    ax.set(xscale="log", xlabel="ε", ylabel="reproduction points", title="uniform source of unit variance")
    heatrd.plots.save(figure, "uniform_atoms.png")
