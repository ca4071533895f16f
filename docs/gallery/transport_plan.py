"""Entropic transport between two densities.

The coupling of two given laws at three regularisations, by `heatrd.sinkhorn` on grids.
"""

import numpy as np

import heatrd

x = np.linspace(-4, 4, 160)
mu = np.exp(-((x + 1.2) ** 2) / 0.8) + 0.6 * np.exp(-((x - 1.6) ** 2) / 0.3)
nu = np.exp(-np.abs(x - 0.4) / 0.7)

with heatrd.plots.figure(size=(8.4, 2.9)) as figure:
    for ax, epsilon in zip(figure.subplots(1, 3, sharey=True), (1.0, 0.1, 0.02), strict=True):
        plan = heatrd.sinkhorn(((x,), mu / mu.sum()), ((x,), nu / nu.sum()), epsilon)
        ax.pcolormesh(x, x, plan.coupling.T, cmap="Blues", rasterized=True)
        ax.set(xlabel="source", title=f"ε = {epsilon:g}: I = {plan.mutual_information:.2f} nat")
        ax.grid(False)
    figure.axes[0].set_ylabel("target")
    heatrd.plots.save(figure, "transport_plan.png")
