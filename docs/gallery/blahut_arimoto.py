"""Why Blahut–Arimoto is not enough.

Its excess over the certified optimum falls like one over the number of sweeps. Both curves are judged over the
continuum: the usual stopping quantity, a maximum over the lattice, says nothing about the places between.
"""

import numpy as np

import heatrd

source, epsilon = heatrd.as_source("uniform"), 0.1
best = heatrd.solve(source, epsilon=epsilon)
sweeps = np.unique(np.geomspace(1, 3000, 14).astype(int))
runs = [heatrd.blahut_arimoto(source, epsilon, iterations=int(n)) for n in sweeps]

with heatrd.plots.figure() as figure:
    ax = figure.subplots()
    ax.plot(sweeps, [r.certificate.gap for r in runs], "o-", label="certified gap")
    ax.plot(sweeps, [r.certificate.lagrangian - best.lagrangian for r in runs], "s-", label="true excess")
    ax.axhline(best.gap, color="C2", dashes=(4, 2), label="heatrd.solve, certified gap")
    ax.set(xscale="log", yscale="log", xlabel="sweeps", ylabel="nat")
    ax.legend()
    heatrd.plots.save(figure, "blahut_arimoto.png")
