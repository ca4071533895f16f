"""Pictures of rate–distortion curves.

A curve is drawn by its attributes ``distortions``, ``rates``, ``rates_lower``, ``epsilons``, ``solutions``, ``source``
and its methods ``bounds(D) -> (lower, upper)`` and ``rate(D)``, all in nats. The closed-form bounds beside it come as
two functions of the distortion, ``{"shannon": ..., "gaussian": ...}``, from whoever has them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from heatrd.errors import InvalidInput
from heatrd.plots._style import check_unit, distortion_label, drawing, rate_label

__all__ = ["plot_curve", "plot_curves", "plot_excess", "plot_points", "plot_reconstructions"]

FloatArray = NDArray[np.float64]
Bounds = Mapping[str, Callable[[FloatArray], Any]]

POINTS_DRAWN = 400
GREY = "#777777"
EXCESS_FLOOR = 1e-13
LIGHTEST_SHOWN = 1e-3


def plot_curve(curve: Any, ax: Any = None, *, label: str = "", bounds: Bounds | None = None, **options: Any) -> Any:
    """Draw one curve with its certified band; see `plot_curves`."""
    return plot_curves([curve], ax=ax, labels=[label], bounds=[bounds or {}], **options)


@drawing
def plot_curves(
    curves: Sequence[Any],
    *,
    ax: Any,
    labels: Sequence[str] = (),
    bounds: Sequence[Bounds] = (),
    unit: str = "nat",
    x: str = "distortion",
) -> Any:
    """Draw certified curves, their bands and, beside them, the Shannon and Gaussian bounds.

    Parameters
    ----------
    curves : sequence of RDCurve
    ax : matplotlib axes, optional
    labels : sequence of str
        One for each curve, or none.
    bounds : sequence of mappings
        For each curve ``{"shannon": f, "gaussian": g}``, functions of D with values in nats; a missing
        one is not drawn.
    unit : "nat" or "bit"
    x : "distortion" or "snr_db"

    Returns
    -------
    matplotlib axes
    """
    per = check_unit(unit)
    colours = _colours(ax, len(curves))
    for curve, colour, label, beside in zip(curves, colours, _padded(labels, curves, ""), _padded(bounds, curves, {})):
        _draw_bounds(ax, curve, beside, GREY if len(curves) == 1 else colour, per, x)
        _draw_band(ax, curve, colour, label, per, x)
        _mark_ends(ax, curve, colour, per, x)
    _limit_rate(ax, curves, per)
    _finish(ax, curves, unit, x)
    _legend(ax, curves, labels, bounds)
    return ax


@drawing
def plot_excess(
    curves: Sequence[Any],
    *,
    ax: Any,
    bounds: Sequence[Bounds],
    labels: Sequence[str] = (),
    unit: str = "nat",
    x: str = "distortion",
) -> Any:
    """Draw the certified excess of R(D) over the Shannon lower bound, on a log scale.

    The band runs from the certified lower to the certified upper bound, the line is the interpolant inside it; an
    excess below 1e-13 nats is drawn there. No line is drawn where the interpolant lies on the Shannon bound and the
    band does not: the curve as computed does not tell by how much they differ.
    Parameters as for `plot_curves`, but ``bounds`` needs "shannon".
    """
    per, lowest = check_unit(unit), np.inf
    for curve, colour, label, beside in zip(curves, _colours(ax, len(curves)), _padded(labels, curves, ""), bounds):
        distortion = _grid(curve)
        lower, upper = _band(curve, distortion)
        base = np.asarray(beside["shannon"](distortion), dtype=float)
        low, high = (np.maximum(side - base, EXCESS_FLOOR) / per for side in (lower, upper))
        middle = np.maximum(np.asarray(curve.rate(distortion)) - base, EXCESS_FLOOR) / per
        unknown = (middle * per <= EXCESS_FLOOR) & (high * per > 100 * EXCESS_FLOOR)
        middle[unknown & ~unknown.all()] = np.nan
        position = _position(curve, distortion, x)
        ax.fill_between(position, low, high, color=colour, alpha=0.3, linewidth=0)
        ax.plot(position, middle, color=colour, linewidth=1.2, label=label or "certified excess")
        lowest = min(lowest, float(np.nanquantile(middle, 0.03)))
    ax.set_yscale("log")
    ax.set_ylim(bottom=max(lowest / 10, EXCESS_FLOOR / per / 2))
    _finish(ax, curves, unit, x)
    ax.set_ylabel(f"R − Shannon  ({unit})")
    if any(labels):
        ax.legend()
    return ax


@drawing
def plot_reconstructions(curve: Any, *, ax: Any, title: str = "", largest: float = 60.0) -> Any:
    """Draw where the reconstruction law puts its mass as ε varies: one dot an atom, area by weight.

    In more than one dimension the distance of each atom from the source's mean is drawn, of symmetric laws one dot a
    sphere.

    Parameters
    ----------
    curve : RDCurve
        With its ``solutions``.
    ax : matplotlib axes, optional
    title : str
    largest : float
        Area, in points², of an atom that has all the mass.
    """
    solutions = [each for each in curve.solutions if each is not None and np.isfinite(each.epsilon)]
    if not solutions:
        raise InvalidInput("this curve carries no solutions to draw; compute it afresh, or keep them when saving")
    shown: list[float] = []
    for solution in solutions:
        position, weights = _places(solution.reconstruction, curve.source)
        shown += position[weights > LIGHTEST_SHOWN * weights.max()].tolist()
        epsilon = np.full(len(position), solution.epsilon)
        ax.scatter(epsilon, position, s=largest * weights, color="C0", alpha=0.8, linewidths=0)
    ax.set_xscale("log")
    margin = 0.06 * (max(shown) - min(shown)) or 1.0
    ax.set_ylim(min(shown) - margin, max(shown) + margin)
    _mark_critical_epsilon(ax, curve.source)
    ax.set_xlabel(r"$\varepsilon$  (slope $-1/2\varepsilon$)")
    ax.set_ylabel("reconstruction point  $y$" if curve.source.dim == 1 else r"distance of $y$ from the mean")
    ax.set_title(title)
    return ax


@drawing
def plot_points(
    distortions: ArrayLike,
    rates: ArrayLike,
    impossible: ArrayLike,
    *,
    ax: Any,
    variance: float,
    unit: str = "nat",
    x: str = "distortion",
) -> Any:
    """Add somebody's (distortion, rate) points to a picture of a curve; impossible ones as crosses.

    Parameters
    ----------
    distortions, rates : (n,) array_like
        Rates in nats.
    impossible : (n,) array_like of bool
        Points below the certified lower bound.
    variance : float
        Total variance of the source, for the SNR axis.
    """
    d, r = np.asarray(distortions, dtype=float), np.asarray(rates, dtype=float) / check_unit(unit)
    bad = np.asarray(impossible, dtype=bool)
    position = 10 * np.log10(variance / d) if x == "snr_db" else d
    ax.plot(position[~bad], r[~bad], "o", color="C1", markersize=4.5, zorder=5, label="points compared")
    if bad.any():
        ax.plot(position[bad], r[bad], "X", color="#C00000", markersize=7, zorder=6, label="impossible points")
    ax.set_ylim(top=max(ax.get_ylim()[1], 1.05 * r.max()))
    _extend_legend(ax)
    return ax


def _extend_legend(ax: Any) -> None:
    """Add what was drawn since to the legend that is there."""
    old = ax.get_legend()
    handles = list(old.legend_handles) if old else []
    names = [text.get_text() for text in old.get_texts()] if old else []
    new = [(handle, name) for handle, name in zip(*ax.get_legend_handles_labels()) if name not in names]
    ax.legend(handles + [handle for handle, _ in new], names + [name for _, name in new])


def _draw_band(ax: Any, curve: Any, colour: Any, label: str, per: float, x: str) -> None:
    distortion = _grid(curve)
    lower, upper = _band(curve, distortion)
    position = _position(curve, distortion, x)
    ax.fill_between(position, lower / per, upper / per, color=colour, alpha=0.25, linewidth=0)
    ax.plot(position, np.asarray(curve.rate(distortion)) / per, color=colour, label=label or "R(D), certified")
    nodes = np.asarray(curve.distortions, dtype=float)
    if len(nodes) <= 40:
        ax.plot(_position(curve, nodes, x), np.asarray(curve.rates) / per, "o", color=colour, markersize=2.8)


def _draw_bounds(ax: Any, curve: Any, beside: Bounds, colour: Any, per: float, x: str) -> None:
    distortion = _grid(curve)
    position = _position(curve, distortion, x)
    for name, dashes in (("shannon", (4, 2)), ("gaussian", (1, 1.6))):
        if name in beside:
            values = np.asarray(beside[name](distortion), dtype=float) / per
            ax.plot(position, np.where(np.isfinite(values), values, np.nan), color=colour, linewidth=1.1, dashes=dashes)


def _mark_ends(ax: Any, curve: Any, colour: Any, per: float, x: str) -> None:
    """Mark where the rate reaches zero, and the critical point where the source knows it."""
    variance = curve.source.total_variance
    if np.asarray(curve.distortions, dtype=float).max() > 0.9 * variance:
        zero = _position(curve, np.array([variance]), x)
        ax.plot(zero, [0.0], "o", mfc="white", color=colour, markersize=5, clip_on=False, zorder=4)
    critical = _critical_distortion(curve)
    if critical is None:
        return
    height = np.mean(_band(curve, critical)) / per
    ax.plot(_position(curve, critical, x), [height], "D", color=colour, markersize=5.5, zorder=4)


def _critical_distortion(curve: Any) -> FloatArray | None:
    """Return D_c, shape (1,), where the source knows it and it lies inside the curve; None otherwise."""
    source = curve.source
    epsilon = source.critical_epsilon()
    low, high = np.asarray(curve.distortions, dtype=float).min(), source.total_variance * (1 - 1e-9)
    if epsilon is None or not low <= source.dim * epsilon < high:
        return None
    return np.array([source.dim * epsilon])


def _limit_rate(ax: Any, curves: Sequence[Any], per: float) -> None:
    top = max(float(np.max(curve.rates)) for curve in curves) / per
    ax.set_ylim(-0.02 * top, 1.05 * top if top > 0 else 1.0)


def _finish(ax: Any, curves: Sequence[Any], unit: str, x: str) -> None:
    dims = {curve.source.dim for curve in curves}
    dim = dims.pop() if len(dims) == 1 else 0
    if x == "snr_db":
        ax.set_xlabel("SNR  10 log₁₀(variance / distortion)  (dB)")
    else:
        ax.set_xscale("log")
        ax.set_xlabel(distortion_label(dim) if dim else "distortion, summed over coordinates")
    ax.set_ylabel(rate_label(unit, dim) if dim else f"rate  ({unit} per vector)")


def _legend(ax: Any, curves: Sequence[Any], labels: Sequence[str], bounds: Sequence[Bounds]) -> None:
    from matplotlib.lines import Line2D

    handles, names = ax.get_legend_handles_labels()
    words = {"shannon": ("Shannon lower bound", (0, (4, 2))), "gaussian": ("Gaussian upper bound", (0, (1, 1.6)))}
    for key, (word, dashes) in words.items():
        if any(key in beside for beside in bounds):
            handles.append(Line2D([], [], color=GREY, linewidth=1.1, linestyle=dashes))
            names.append(word)
    if any(_critical_distortion(curve) is not None for curve in curves):
        handles.append(Line2D([], [], color=GREY, marker="D", linestyle="none", markersize=5))
        names.append("critical point")
    ax.legend(handles, names)


def _band(curve: Any, distortion: FloatArray) -> tuple[FloatArray, FloatArray]:
    lower, upper = curve.bounds(distortion)
    return np.asarray(lower, dtype=float), np.asarray(upper, dtype=float)


def _grid(curve: Any) -> FloatArray:
    """Return distortions to draw at: log-spaced over the curve's points, the points themselves included."""
    nodes = np.asarray(curve.distortions, dtype=float)
    nodes = nodes[nodes > 0]
    if nodes.size == 0:
        raise InvalidInput("this curve has no point of positive distortion to draw (a constant source?)")
    return np.unique(np.concatenate([np.geomspace(nodes.min(), nodes.max(), POINTS_DRAWN), nodes]))[: POINTS_DRAWN * 4]


def _position(curve: Any, distortion: FloatArray, x: str) -> FloatArray:
    """Map distortions to the horizontal axis."""
    if x == "distortion":
        return distortion
    if x == "snr_db":
        return np.asarray(10 * np.log10(curve.source.total_variance / distortion))
    raise InvalidInput(f"x={x!r} is unknown; use 'distortion' or 'snr_db'")


def _places(law: Any, source: Any) -> tuple[FloatArray, FloatArray]:
    """Where the law has mass, as drawn, and how much; a sphere is one place."""
    if hasattr(law, "radii"):
        return law.radii, law.masses
    points = law.points
    position = points[:, 0] if points.shape[1] == 1 else np.linalg.norm(points - source.mean, axis=1)
    return np.asarray(position), law.weights


def _mark_critical_epsilon(ax: Any, source: Any) -> None:
    epsilon = source.critical_epsilon()
    left, right = ax.get_xlim()
    if epsilon and left < epsilon < right:
        ax.axvspan(left, epsilon, color="C0", alpha=0.07, linewidth=0)
        ax.axvline(epsilon, color=GREY, linewidth=1.0, dashes=(4, 2))
        ax.annotate(r" $\varepsilon_c$", (epsilon, 0.97), xycoords=("data", "axes fraction"), va="top")
        ax.set_xlim(left, right)


def _colours(ax: Any, count: int) -> list[str]:
    import matplotlib

    cycle = matplotlib.rcParams["axes.prop_cycle"].by_key()["color"]
    return [cycle[i % len(cycle)] for i in range(count)]


def _padded(values: Sequence[Any], curves: Sequence[Any], default: Any) -> list[Any]:
    return [*values, *[default] * (len(curves) - len(values))]
