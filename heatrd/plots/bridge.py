"""Pictures of the stochastic reading: sample paths over the density path, terminal points over ν, the TEC terms
against t."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from heatrd.errors import InvalidInput
from heatrd.plots._style import drawing

__all__ = ["plot_account", "plot_paths", "plot_terminal"]

FloatArray = NDArray[np.float64]

PATHS_DRAWN = 60
DENSITY_TIMES = 120
DENSITY_POINTS = 300


@drawing
def plot_paths(ensemble: Any, ax: Any = None, *, bridge: Any = None, count: int = PATHS_DRAWN) -> Any:
    """Draw sample paths, over the density path when the bridge is given.

    Parameters
    ----------
    ensemble : Ensemble
        With saved ``paths``. In two and more dimensions the first two coordinates are drawn.
    ax : matplotlib axes, optional
    bridge : SchrodingerBridge or HeatPath, optional
        Its ``density(t, x)`` is shown as an image (one dimension).
    count : int
        Most paths to draw.

    Returns
    -------
    matplotlib axes
    """
    if ensemble.paths is None:
        raise InvalidInput("no paths were saved; sample with save=True")
    paths = ensemble.paths[:count]
    if ensemble.dim > 1:
        return _draw_planar(ax, paths)
    if bridge is not None:
        _draw_density(ax, bridge, ensemble)
    ax.plot(ensemble.saved_times, paths[:, :, 0].T, color="C0", linewidth=0.6, alpha=0.6)
    if bridge is not None:
        _mark_atoms(ax, bridge)
    ax.set_xlabel("t")
    ax.set_ylabel("$X_t$")
    ax.set_xlim(0, max(1.0, float(ensemble.saved_times[-1])))
    return ax


@drawing
def plot_terminal(ensemble: Any, ax: Any = None, *, law: Any = None, bins: int = 80) -> Any:
    """Draw the histogram of the terminal points, over the weights of ν when given.

    Parameters
    ----------
    ensemble : Ensemble
    ax : matplotlib axes, optional
    law : DiscreteLaw, optional
        The reconstruction law: in one dimension its weights stand as stems against the relative frequencies.
    bins : int
    """
    end = ensemble.terminal
    if ensemble.dim > 1:
        ax.plot(end[:4000, 0], end[:4000, 1], ".", color="C0", alpha=0.3, markersize=2)
        if law is not None:
            ax.scatter(
                law.points[:, 0], law.points[:, 1], s=160 * law.weights / law.weights.max(), color="C1", linewidths=0
            )
        ax.set_aspect("equal", adjustable="datalim")
        ax.set_xlabel("$x_1$")
        ax.set_ylabel("$x_2$")
        return ax
    share = np.full(len(end), 1.0 / len(end))
    ax.hist(end[:, 0], bins=bins, weights=share, color="C0", alpha=0.5)
    if law is not None:
        ax.vlines(law.points[:, 0], 0, law.weights, color="C1")
        ax.plot(law.points[:, 0], law.weights, "o", color="C1", markersize=3.5)
    ax.set_xlabel("$X_1$")
    ax.set_ylabel("share of paths")
    return ax


@drawing
def plot_account(account: Any, ax: Any = None) -> Any:
    """Draw energy, entropy and their sum over [0, s] against s, with the optimum as a line.

    Parameters
    ----------
    account : TECAccount
        With ``times``, ``energies``, ``entropies``, ``totals``, ``optimum``.
    """
    for values, label in (
        (account.energies, "energy"),
        (account.entropies, "entropy  $h(X_s)$"),
        (account.totals, "sum"),
    ):
        ax.plot(account.times, values, label=label)
    ax.axhline(account.optimum, color="#777777", linewidth=0.9, dashes=(4, 2), label="optimum")
    ax.set_xlabel("s")
    ax.set_ylabel("nat")
    ax.legend()
    return ax


def _draw_density(ax: Any, bridge: Any, ensemble: Any) -> None:
    values = ensemble.paths[:, :, 0]
    low, high = float(values.min()), float(values.max())
    x = np.linspace(low, high, DENSITY_POINTS)
    t = np.linspace(0, 1, DENSITY_TIMES + 1)[:-1] + 0.5 / DENSITY_TIMES
    image = np.stack([np.ravel(bridge.density(float(s), x[:, None])) for s in t], axis=1)
    top = np.quantile(image, 0.98)
    ax.imshow(np.minimum(image, top), extent=(0, 1, low, high), origin="lower", aspect="auto", cmap="Greys", alpha=0.6)


def _mark_atoms(ax: Any, bridge: Any) -> None:
    law = getattr(bridge, "reconstruction", None)
    if law is not None and getattr(bridge, "atomic", False):
        heavy = law.points[law.weights > 1e-3 * law.weights.max(), 0]
        ax.plot(np.ones(len(heavy)), heavy, "o", color="C1", markersize=3.5, clip_on=False)


def _draw_planar(ax: Any, paths: FloatArray) -> Any:
    for path in paths:
        ax.plot(path[:, 0], path[:, 1], color="C0", linewidth=0.5, alpha=0.5)
    ax.plot(paths[:, -1, 0], paths[:, -1, 1], ".", color="C1", markersize=3)
    ax.set_aspect("equal", adjustable="datalim")
    ax.set_xlabel("$x_1$")
    ax.set_ylabel("$x_2$")
    return ax
