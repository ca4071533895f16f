"""A ring that shrinks to a circle, then to a point.

A noisy ring. Above the critical ε, which is the variance 0.09 of its noise, one circle is the optimal reproduction;
its radius shrinks as ε grows, and is zero from the moment the rate is. Below, the optimum has a density.
"""

import numpy as np

import heatrd

source = heatrd.sources.NoisySphere(2, noise=0.3)

with heatrd.plots.figure(size=(5.2, 3.6)) as figure:
    ax = figure.subplots()
    for epsilon in np.geomspace(0.0905, 0.66, 60):
        law = heatrd.solve(source, epsilon=epsilon, tol=1e-6).reconstruction
        ax.plot(np.full(len(law.radii), epsilon), law.radii, "o", color="C0", markersize=4)
    ax.axvline(0.09, color="C1", dashes=(4, 2))
    ax.annotate(" critical ε", (0.09, 0.03), color="C1")
    ax.set(xscale="log", xlabel="ε", ylabel="radius of the circle", ylim=(-0.05, 1.2))
    heatrd.plots.save(figure, "ring.png")
