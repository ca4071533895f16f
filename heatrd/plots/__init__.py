"""Pictures of results, drawn by the results' attributes alone.

Every function takes a result and ``ax=None``, returns the axes, and never shows, saves or changes global
settings; the look is one style sheet, used as a context. matplotlib is imported on first drawing.
"""

from heatrd.plots._style import figure, save, style
from heatrd.plots.bridge import plot_account, plot_paths, plot_terminal
from heatrd.plots.curve import plot_curve, plot_curves, plot_excess, plot_points, plot_reconstructions
from heatrd.plots.path import animate_path, draw_path
from heatrd.plots.solution import panels, plot_solution

__all__ = [
    "animate_path",
    "draw_path",
    "figure",
    "panels",
    "plot_account",
    "plot_curve",
    "plot_curves",
    "plot_excess",
    "plot_paths",
    "plot_points",
    "plot_reconstructions",
    "plot_solution",
    "plot_terminal",
    "save",
    "style",
]
