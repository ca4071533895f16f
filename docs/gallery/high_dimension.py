"""Ground truth in a hundred dimensions.

Noisy spheres reduce to their radius, so R(D) is exact in any dimension: something to test a neural estimator against.
"""

import numpy as np

import heatrd
from heatrd.sources import NoisySphere

with heatrd.plots.figure() as figure:
    ax = figure.subplots()
    for dim in (2, 5, 20, 100):
        source = NoisySphere(dim, noise=0.1)
        epsilons = np.geomspace(0.003, 0.93 * source.total_variance / dim, 40)
        points = [heatrd.solve(source, epsilon=e, tol=1e-6) for e in epsilons]
        ax.plot([p.distortion for p in points], [p.bits for p in points], label=f"d = {dim}")
    ax.set(xscale="log", yscale="log", xlabel="distortion", ylabel="rate (bit per vector)")
    ax.legend()
    heatrd.plots.save(figure, "high_dimension.png")
