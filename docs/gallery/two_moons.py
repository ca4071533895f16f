"""Reproducing two moons.

The optimal points in the plane for three values of ε, over samples of the source. The area of a disc is its weight.
"""

import heatrd

source = heatrd.sources.TwoMoons(0.1)
x = source.sample(1500, 0)

with heatrd.plots.figure(size=(8.4, 2.9)) as figure:
    for ax, epsilon in zip(figure.subplots(1, 3, sharex=True, sharey=True), (0.5, 0.2, 0.1), strict=True):
        point = heatrd.solve(source, epsilon=epsilon, tol=1e-3)
        law = point.reconstruction
        ax.plot(*x.T, ".", color="#9AA7B5", markersize=1)
        ax.scatter(*law.points.T, 500 * law.weights, color="C1", linewidth=0)
        ax.set(aspect="equal", title=f"ε = {epsilon}: {point.bits:.2f} bit, {len(law.weights)} points")
        ax.grid(False)
    heatrd.plots.save(figure, "two_moons.png")
