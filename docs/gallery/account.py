"""Energy up, entropy down, sum finite.

Towards atoms the energy of the control and the entropy of X_s both diverge as s → 1; their sum tends to the optimum
of the control problem.
"""

import numpy as np

import heatrd

account = heatrd.tec_account(heatrd.solve("uniform", epsilon=0.2))
inner = account.times < 1

with heatrd.plots.figure(size=(5.2, 3.6)) as figure:
    ax = figure.subplots()
    for name in ("energies", "entropies", "totals"):
        ax.plot(1 - account.times[inner], np.asarray(getattr(account, name))[inner], "o-", label=name)
    ax.axhline(account.optimum, color="#777777", linewidth=0.9)
    ax.set(xscale="log", xlabel="1 − s", ylabel="nat")
    ax.invert_xaxis()
    ax.legend()
    heatrd.plots.save(figure, "account.png")
