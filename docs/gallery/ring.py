"""A ring that shrinks to a circle, then to a point.

A noisy ring has its optimal reproductions on circles. Radius and mass of each circle against ε: a density below the
critical ε (0.09), circles above, a point at the centre from the moment the rate is zero.
"""

import numpy as np

import heatrd

source = heatrd.sources.NoisySphere(2, noise=0.3)

with heatrd.plots.figure(size=(5.2, 3.6)) as figure:
    ax = figure.subplots()
    for epsilon in np.geomspace(0.1, 0.62, 50):
        law = heatrd.solve(source, epsilon=epsilon, tol=1e-6).reconstruction
        radii = getattr(law, "radii", np.zeros(1))
        masses = getattr(law, "masses", np.ones(1))
        ax.scatter(np.full(len(radii), epsilon), radii, 40 * masses, color="C0", linewidth=0)
    ax.axvline(0.09, color="C1", dashes=(4, 2))
    ax.annotate(" critical ε", (0.09, 0.03), color="C1")
    ax.set(xscale="log", xlabel="ε", ylabel="radius of the circle", ylim=(-0.05, 1.2))
    heatrd.plots.save(figure, "ring.png")
