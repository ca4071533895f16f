"""What the shape of a source is worth.

Four sources of unit variance: the Gaussian is the hardest at every distortion. The gap to it, in bits, at equal
signal-to-noise ratio.
"""

import numpy as np

import heatrd
from heatrd import sources

named = {
    "uniform": sources.Uniform(),
    "triangular": sources.Triangular(),
    "Laplacian": sources.Laplace(scale=0.5**0.5),
    "30 % Bernoulli–Gaussian": sources.BernoulliGaussian(0.3, 0.3**-0.5),
}
distortions = np.geomspace(0.05, 0.95, 13)

with heatrd.plots.figure(size=(5.4, 3.6)) as figure:
    ax = figure.subplots()
    for label, source in named.items():
        bits = [heatrd.solve(source, distortion=d, tol=1e-3).bits for d in distortions]
        ax.plot(-10 * np.log10(distortions), -0.5 * np.log2(distortions) - bits, label=label)
    ax.set(xlabel="signal-to-noise ratio (dB)", ylabel="saved against the Gaussian (bit)")
    ax.legend()
    heatrd.plots.save(figure, "four_sources.png")
