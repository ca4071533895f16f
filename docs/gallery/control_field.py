"""The control of a Laplacian source.

The drift u(t, x) = (E[Y | X_t = x] − x)/(1 − t) in colour, density contours on top.
"""

import numpy as np

import heatrd

bridge = heatrd.solve("laplace", epsilon=0.5).bridge
x, times = np.linspace(-5, 5, 300), np.linspace(0.01, 0.95, 120)
control = np.array([bridge.control(t, x) for t in times])
density = np.array([bridge.density(t, x) for t in times])

with heatrd.plots.figure(size=(5.6, 3.6)) as figure:
    ax = figure.subplots()
    mesh = ax.pcolormesh(times, x, np.clip(control, -4, 4).T, cmap="RdBu_r", vmin=-4, vmax=4, rasterized=True)
    ax.contour(times, x, density.T, levels=[0.02, 0.05, 0.1, 0.2, 0.4], colors="k", linewidths=0.6)
    figure.colorbar(mesh, label="u(t, x), clipped at ± 4")
    ax.set(xlabel="t", ylabel="x")
    ax.grid(False)
    heatrd.plots.save(figure, "control_field.png")
