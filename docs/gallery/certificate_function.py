"""The proof, drawn.

A law ν is optimal exactly if c(y) ≤ 1 everywhere; then c = 1 at its atoms. Left: the optimum. Right: three points
that somebody might have guessed, and what they cost.
"""

import numpy as np

import heatrd

source, epsilon, y = heatrd.as_source("uniform"), 0.2, np.linspace(-2.2, 2.2, 600)
best = heatrd.solve(source, epsilon=epsilon).reconstruction
guess = heatrd.as_law([-1.2, 0.0, 1.2], [1 / 3, 1 / 3, 1 / 3])

with heatrd.plots.figure(size=(7.6, 3.2)) as figure:
    for ax, law in zip(figure.subplots(1, 2, sharey=True), (best, guess), strict=True):
        gap = heatrd.certify(source, law.points, law.weights, epsilon).gap
        bridge = heatrd.SchrodingerBridge(source, law, epsilon)
        ax.plot(y, bridge.copotential(1.0, y))
        ax.plot(law.points[:, 0], np.ones(len(law.weights)), "o", color="C1", markersize=6)
        ax.axhline(1, color="#777777", linewidth=0.8)
        ax.set(xlabel="y", title=f"{len(law.weights)} atoms, gap {gap:.1e} nat")
    figure.axes[0].set_ylabel("c(y)")
    heatrd.plots.save(figure, "certificate_function.png")
