"""From a uniform law to four points.

Sampled paths of the optimal diffusion. The control waits, then commits: its energy is small at half time and grows
without bound towards t = 1.
"""

import heatrd

solution = heatrd.solve("uniform", epsilon=0.12)
run = heatrd.sample(solution, n_paths=200, n_steps=300, rng=4, save=True)

with heatrd.plots.figure(size=(5.4, 3.6)) as figure:
    ax = figure.subplots()
    ax.plot(run.times, run.paths[:, :, 0].T, color="C0", linewidth=0.4, alpha=0.35)
    law = solution.reconstruction
    ax.scatter([1.0] * len(law.weights), law.points[:, 0], 150 * law.weights, color="C1", zorder=3)
    ax.set(xlabel="t", ylabel="$X_t$", title=f"ε = 0.12: {solution.bits:.3f} bit at D = {solution.distortion:.3f}")
    heatrd.plots.save(figure, "bridge_paths.png")
