"""Pictures of a heat path: the density as it sharpens, and the control that does it.

A path is anything with `dim`, `epsilon`, `grid` (with `axes`), `density(t, x)` and `control(t, x)`.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from heatrd.errors import InvalidInput
from heatrd.plots._style import style

__all__ = ["animate_path", "draw_path"]

FloatArray = NDArray[np.float64]
_MASS = 1e-4  # of the density that pictures may leave out on either side


def draw_path(path: Any, *, ax: Any = None, times: int | None = None, arrows: int = 14) -> Any:
    """Draw a density path.

    Parameters
    ----------
    path : HeatPath or the like
    ax : matplotlib axes, optional
        Where to draw; for d = 2 the strip of snapshots stands in inset axes of it.
    times : int, optional
        Times shown: columns of the heat map (d = 1, default 200), snapshots (d ≥ 2, default 5).
    arrows : int
        Control arrows along each direction (d = 1), or along each side of a snapshot.

    Returns
    -------
    axes
    """
    with style():
        if ax is None:
            import matplotlib.pyplot as plt

            width = 6.4 if path.dim == 1 else 12.0
            ax = plt.subplots(figsize=(width, 4.0 if path.dim == 1 else 3.0))[1]
        if path.dim == 1:
            return _draw_line(path, ax, times or 200, arrows)
        return _draw_strip(path, ax, times or 5, arrows)


def animate_path(path: Any, file: str, *, frames: int = 40, fps: int = 12) -> str:
    """Write an animation of ρ_t for t from 0 to 1 (GIF through Pillow); returns the file name.

    Raises
    ------
    InvalidInput
        A suffix other than .gif, .png (animated), .webp.
    """
    if not str(file).lower().endswith((".gif", ".png", ".webp")):
        raise InvalidInput(f"cannot animate to {str(file)!r}: use the suffix .gif, .webp or .png")
    with style():
        from matplotlib.animation import FuncAnimation, PillowWriter
        from matplotlib.figure import Figure

        figure = Figure(figsize=(5.0, 3.6))
        ax = figure.add_subplot()
        times = np.linspace(0.0, _last_time(path), frames)
        update = _line_frame(path, ax, times) if path.dim == 1 else _plane_frame(path, ax, times)
        FuncAnimation(figure, update, frames=frames).save(str(file), writer=PillowWriter(fps=fps))
    return str(file)


def _draw_line(path: Any, ax: Any, columns: int, arrows: int) -> Any:
    (low, high), x = _window(path)[0], None
    x = np.linspace(low, high, 400)
    t = np.linspace(0.0, _last_time(path), columns)
    values = np.stack([path.density(s, x) for s in t], axis=1)
    image = ax.pcolormesh(
        t, x, values, shading="gouraud", cmap="magma", vmax=np.quantile(values, 0.999), rasterized=True
    )
    ax.figure.colorbar(image, ax=ax, label=r"density $\rho_t(x)$")
    at_t = np.linspace(0.06, 0.94 * t[-1], arrows)
    at_x = np.linspace(low, high, arrows + 2)[1:-1]
    control = np.stack([path.control(s, at_x) for s in at_t], axis=1)
    weight = np.stack([path.density(s, at_x) for s in at_t], axis=1)
    control = np.where(weight > 1e-3 * values.max(), control, np.nan)
    ax.quiver(
        *np.meshgrid(at_t, at_x),
        np.ones_like(control),
        control,
        angles="xy",
        color="white",
        alpha=0.8,
        width=0.003,
        scale_units="xy",
        scale=1.6 * arrows,
    )
    ax.set(xlabel="time $t$", ylabel="$x$", title=rf"backward heat path, $\varepsilon$ = {path.epsilon:.3g}")
    return ax


def _draw_strip(path: Any, ax: Any, snapshots: int, arrows: int) -> Any:
    ax.set_axis_off()
    times = np.linspace(0.0, _last_time(path), snapshots)
    window = _window(path)
    for i, t in enumerate(times):
        inset = ax.inset_axes((i / snapshots, 0.0, 0.94 / snapshots, 0.94))
        _draw_plane(path, inset, float(t), window, arrows if t < times[-1] else 0)
        inset.set_title(f"$t$ = {t:.2g}")
        if i:
            inset.set_yticks([])
    return ax


def _draw_plane(path: Any, ax: Any, t: float, window: list[tuple[float, float]], arrows: int) -> Any:
    points, x, y = _plane_points(path, window, 160)
    values = path.density(t, points)
    image = ax.pcolormesh(x, y, values.T, shading="gouraud", cmap="magma", rasterized=True)
    if arrows:
        points, x, y = _plane_points(path, window, arrows)
        control, weight = path.control(t, points), path.density(t, points)
        shown = weight > 0.02 * values.max()
        ax.quiver(
            points[..., 0][shown],
            points[..., 1][shown],
            control[..., 0][shown],
            control[..., 1][shown],
            color="white",
            alpha=0.7,
            width=0.006,
        )
    ax.set_aspect("equal")
    return image


def _plane_points(path: Any, window: list[tuple[float, float]], n: int) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Points of the plane of the first two coordinates, the third at the middle of the window."""
    x, y = (np.linspace(*w, n) for w in window[:2])
    grid = np.stack(np.meshgrid(x, y, indexing="ij"), axis=-1)
    rest = [np.full(grid.shape[:2], (a + b) / 2)[..., None] for a, b in window[2:]]
    return np.concatenate([grid, *rest], axis=-1), x, y


def _window(path: Any) -> list[tuple[float, float]]:
    """Where the source has all but a little of its mass, per axis."""
    rho = path.density(0.0)
    out = []
    for a, x in enumerate(path.grid.axes):
        others = tuple(b for b in range(path.dim) if b != a)
        marginal = rho.sum(axis=others) if others else rho
        below = np.cumsum(marginal) / marginal.sum()
        first, last = np.searchsorted(below, _MASS), np.searchsorted(below, 1 - _MASS)
        out.append((float(x[max(first - 1, 0)]), float(x[min(last + 1, x.size - 1)])))
    return out


def _last_time(path: Any) -> float:
    """1, or a little less where ρ_1 has no density."""
    try:
        path.density(1.0)
    except InvalidInput:
        return 0.995
    return 1.0


def _line_frame(path: Any, ax: Any, times: FloatArray) -> Any:
    x = np.linspace(*_window(path)[0], 400)
    (line,) = ax.plot(x, path.density(0.0, x))
    top = max(path.density(float(times[-1]), x).max(), path.density(0.0, x).max())
    ax.set(xlabel="$x$", ylabel=r"density $\rho_t(x)$", ylim=(0, 1.05 * top), xlim=(x[0], x[-1]))

    def update(i: int) -> Any:
        line.set_ydata(path.density(float(times[i]), x))
        ax.set_title(f"$t$ = {times[i]:.2f}")
        return (line,)

    return update


def _plane_frame(path: Any, ax: Any, times: FloatArray) -> Any:
    window = _window(path)

    def update(i: int) -> Any:
        ax.clear()
        image = _draw_plane(path, ax, float(times[i]), window, 0)
        ax.set_title(f"$t$ = {times[i]:.2f}")
        return (image,)

    return update
