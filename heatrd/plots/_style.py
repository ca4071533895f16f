"""The style sheet as a context, figures without global state, and the words on axes."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from functools import wraps
from importlib import resources
from pathlib import Path
from typing import Any, ParamSpec, TypeVar

from heatrd.errors import InvalidInput

__all__ = ["NATS_PER", "check_unit", "distortion_label", "drawing", "figure", "rate_label", "save", "style"]

NATS_PER = {"nat": 1.0, "bit": math.log(2.0)}

P = ParamSpec("P")
Axes = TypeVar("Axes")


def style() -> AbstractContextManager[Any]:
    """Return the package's style as a context manager: ``with heatrd.plots.style(): ...``."""
    import matplotlib.style

    with resources.as_file(resources.files("heatrd") / "heatrd.mplstyle") as sheet:
        return matplotlib.style.context(sheet)


@contextmanager
def figure(size: tuple[float, float] | None = None) -> Iterator[Any]:
    """Yield an empty figure in the package's style, without pyplot and its global list of figures.

    Parameters
    ----------
    size : (float, float), optional
        Width and height in inches.
    """
    with style():
        from matplotlib.figure import Figure

        yield Figure(figsize=size)


def save(fig: Any, file: str | Path) -> None:
    """Save a figure; the suffix chooses the format; the same figure gives the same bytes.

    Raises
    ------
    InvalidInput
        A suffix matplotlib cannot write.
    """
    suffix = Path(file).suffix.lower().removeprefix(".")
    if suffix not in fig.canvas.get_supported_filetypes():
        raise InvalidInput(f"cannot draw {str(file)!r}: the name must end in .png, .pdf or .svg")
    dates = {"pdf": {"CreationDate": None}, "svg": {"Date": None}}
    with style():
        fig.savefig(file, metadata=dates.get(suffix))


def drawing(draw: Callable[P, Axes]) -> Callable[P, Axes]:
    """Run a plot function in the package's style, on new axes where none were given."""

    @wraps(draw)
    def styled(*args: P.args, **kwargs: P.kwargs) -> Axes:
        with style():
            if kwargs.get("ax") is None:
                import matplotlib.pyplot as plt

                kwargs["ax"] = plt.subplots()[1]
            return draw(*args, **kwargs)

    return styled


def check_unit(unit: str) -> float:
    """Return nats per ``unit``.

    Raises
    ------
    InvalidInput
        A unit other than "nat" and "bit".
    """
    if not isinstance(unit, str) or unit not in NATS_PER:
        raise InvalidInput(f"unit {unit!r} is unknown; use 'nat' or 'bit'")
    return NATS_PER[unit]


def rate_label(unit: str, dim: int) -> str:
    """Return the label of a rate axis: unit, and per what."""
    return f"rate  ({unit} per {'sample' if dim == 1 else f'{dim}-vector'})"


def distortion_label(dim: int) -> str:
    """Return the label of a distortion axis: squared error summed over coordinates."""
    return "distortion  " + (r"$E(X-Y)^2$" if dim == 1 else rf"$E\|X-Y\|^2$  (sum over {dim} coordinates)")
