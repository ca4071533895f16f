"""A hundred and fifty samples, two questions.

As atoms the samples are the source, and log₂ 150 bits reproduce them exactly; through a kernel density the question
is about the law behind them, made wider by the square of the bandwidth. The curves part where the distortion
falls to the squared distance between samples.
"""

import numpy as np

import heatrd

x = np.random.default_rng(0).laplace(size=150)
distortions = np.geomspace(1e-4, 1.8, 7)
views = {
    "the samples": heatrd.from_samples(x),
    "their kernel density": heatrd.from_samples(x, method="kde"),
    "the Laplacian they came from": heatrd.as_source("laplace"),
}

with heatrd.plots.figure() as figure:
    ax = figure.subplots()
    for label, source in views.items():
        ax.plot(distortions, [heatrd.solve(source, distortion=d, tol=1e-3).bits for d in distortions], label=label)
    ax.axhline(np.log2(150), color="#777777", dashes=(4, 2), linewidth=0.9, label="log₂ 150")
    ax.set(xscale="log", xlabel="distortion", ylabel="rate (bit)")
    ax.legend()
    heatrd.plots.save(figure, "samples.png")
