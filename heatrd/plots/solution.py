"""Pictures of one solution: the source, the reconstruction law over it, and the certificate below.

The certificate function c(y) = ∫ μ(dx) k(x−y)/Z(x), Z = k∗ν, k(z) = exp(−‖z‖²/2ε), is at most 1 everywhere and
equals 1 on the support of an optimal ν (DESIGN (2)): the lower panel shows just that.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import logsumexp

from heatrd.plots._style import check_unit, style

__all__ = ["panels", "plot_solution"]

FloatArray = NDArray[np.float64]

POINTS_DRAWN = 801
STEMS_DRAWN = 120


def plot_solution(solution: Any, ax: Any = None, *, certificate_ax: Any = None, unit: str = "nat") -> Any:
    """Draw a solution: source density, atoms of the reconstruction law and, below, the certificate function.

    Parameters
    ----------
    solution : Solution
        With ``source``, ``reconstruction``, ``certificate``.
    ax : matplotlib axes, optional
        For source and atoms; without it a figure with both panels is made.
    certificate_ax : matplotlib axes, optional
        For the certificate function of a one-dimensional source.
    unit : "nat" or "bit"

    Returns
    -------
    matplotlib axes
        The axes with source and atoms.
    """
    check_unit(unit)
    with style():
        if ax is None:
            import matplotlib.pyplot as plt

            ax, certificate_ax = panels(plt.figure(), solution)
        return _draw(solution, ax, certificate_ax, unit)


def panels(fig: Any, solution: Any) -> tuple[Any, Any]:
    """Return axes for source and atoms, and axes for the certificate (None but for one-dimensional sources)."""
    if solution.source.dim > 1:
        return fig.subplots(), None
    above, below = fig.subplots(2, 1, sharex=True, height_ratios=(2.4, 1))
    return above, below


def _draw(solution: Any, ax: Any, certificate_ax: Any, unit: str) -> Any:
    per = check_unit(unit)
    ax.set_title(
        rf"$\varepsilon$ = {solution.epsilon:.4g},  D = {solution.distortion:.4g},  "
        f"R = {solution.rate / per:.6g} {unit},  gap {solution.gap / per:.1g}"
    )
    if solution.source.dim == 1:
        _draw_line(ax, certificate_ax, solution)
    else:
        _draw_plane(ax, solution)
    return ax


def _draw_line(ax: Any, certificate_ax: Any, solution: Any) -> None:
    law, source = solution.reconstruction, solution.source
    y = _window(solution)
    _draw_source(ax, source, y)
    weight_axis = ax.twinx()
    weight_axis.spines["right"].set_visible(True)
    weight_axis.grid(False)
    order = np.argsort(-law.weights)[:STEMS_DRAWN]
    width, marker = (1.4, 3.5) if len(order) <= 40 else (0.7, 2.0)
    weight_axis.vlines(law.points[order, 0], 0, law.weights[order], color="C1", linewidth=width)
    weight_axis.plot(law.points[order, 0], law.weights[order], "o", color="C1", markersize=marker)
    weight_axis.set_ylim(0, 1.12 * law.weights.max())
    weight_axis.set_ylabel("reconstruction weight", color="C1")
    ax.set_xlim(y[0], y[-1])
    if certificate_ax is None:
        ax.set_xlabel("x, y")
    else:
        _draw_certificate(certificate_ax, solution, y)


def _draw_certificate(below: Any, solution: Any, y: FloatArray) -> None:
    below.plot(y, certificate_function(solution, y[:, None]), color="C2")
    below.axhline(1.0, color="#777777", linewidth=0.9, dashes=(4, 2))
    points = solution.reconstruction.points[:, 0]
    below.plot(points, np.ones(len(points)), "o", color="C1", markersize=2.5)
    below.set_ylim(-0.05, 1.15)
    below.set_ylabel("certificate  c(y)")
    below.set_xlabel("x, y")


def _draw_source(ax: Any, source: Any, y: FloatArray) -> None:
    points, masses = source.discrete_part
    if masses.size:
        shown = np.argsort(-masses)[:2000]
        ax.vlines(points[shown, 0], 0, masses[shown], color="C0", linewidth=0.6, alpha=0.5)
        ax.set_ylabel("source mass", color="C0")
    if not source.is_discrete:
        density = np.exp(source.logpdf(y))
        density = np.minimum(density, 4 * np.quantile(density, 0.99))  # an integrable pole has no height
        ax.fill_between(y, density, color="C0", alpha=0.22, linewidth=0)
        ax.plot(y, density, color="C0")
        ax.set_ylabel("source density", color="C0")
    ax.set_ylim(bottom=0)


def _draw_plane(ax: Any, solution: Any) -> None:
    """Draw atoms over the source in the first two coordinates."""
    law, source = solution.reconstruction, solution.source
    cloud = source.sample(4000, np.random.default_rng(0))
    ax.plot(cloud[:, 0], cloud[:, 1], ".", color="C0", alpha=0.4, markersize=2.5, markeredgewidth=0, zorder=1)
    area = np.minimum(700 * law.weights, 160)
    ax.scatter(law.points[:, 0], law.points[:, 1], s=area, color="C1", alpha=0.85, linewidths=0, zorder=2)
    ax.set_aspect("equal", adjustable="datalim")
    ax.set_xlabel("$x_1$")
    ax.set_ylabel("$x_2$")


def certificate_function(solution: Any, y: FloatArray) -> FloatArray:
    """Return c at points ``y`` of shape (m, d), from the discretised source, in the log domain."""
    law, mu = solution.reconstruction, solution.certificate.quadrature
    positive, carried = law.weights > 0, mu.weights > 0
    log_z = _log_blur(mu.points[carried], law.points[positive], np.log(law.weights[positive]), solution.epsilon)
    return np.exp(_log_blur(y, mu.points[carried], np.log(mu.weights[carried]) - log_z, solution.epsilon))


def _log_blur(at: FloatArray, points: FloatArray, log_weights: FloatArray, epsilon: float) -> FloatArray:
    """log Σ_j exp(log_weights_j − ‖at − points_j‖²/2ε), a block of rows at a time."""
    block = max(1, 2_000_000 // max(len(points), 1))
    rows = [
        logsumexp(log_weights - ((part[:, None, :] - points) ** 2).sum(axis=-1) / (2 * epsilon), axis=1)
        for part in np.split(at, range(block, len(at), block))
    ]
    return np.concatenate(rows)


def _window(solution: Any) -> FloatArray:
    """Return points across the source's bulk and all atoms that matter."""
    law, source = solution.reconstruction, solution.source
    low, high = source.tail_cut(2e-4)
    heavy = law.points[law.weights > 1e-4 * law.weights.max(), 0]
    low, high = min(low, heavy.min()), max(high, heavy.max())
    margin = 0.06 * (high - low) or 1.0
    return np.linspace(low - margin, high + margin, POINTS_DRAWN)
