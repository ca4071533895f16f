"""`rd_curve` and `rd_curves`: what is asked for, checked, and handed to a `Sweep`."""

from __future__ import annotations

import math
import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from heatrd import arguments
from heatrd.curve.generations import Sweep
from heatrd.curve.result import RDCurve
from heatrd.curve.running import working
from heatrd.errors import HeatrdWarning, InvalidInput
from heatrd.reconstruction.product import on_lines
from heatrd.sources import Source, as_source

__all__ = ["rd_curve", "rd_curves"]

FloatArray = NDArray[np.float64]

_MOST_BITS = 5.0
_MOST_NATS = 30.0  # per coordinate


def rd_curve(
    src: Any,
    distortions: ArrayLike | None = None,
    rates: ArrayLike | None = None,
    tol: float | None = None,
    executor: Any = None,
    workers: int | None = None,
    progress: bool = False,
    checkpoint: Any = None,
    max_rate: float | None = None,
) -> RDCurve:
    """Compute a certified rate–distortion curve.

    Parameters
    ----------
    src : source
        Anything `heatrd.as_source` takes.
    distortions, rates : array_like, optional
        Points to solve at (rates in nats), one of the two; the whole curve from zero rate to ``max_rate`` when both
        are omitted.
    tol : float, optional
        Width of the band asked for, nats: over the whole range, or at the points asked for. When omitted:
        1e-6 at points;
        over the whole range 1e-4 on the line, for rotationally symmetric sources and for products, 1e-3 otherwise.
    executor : concurrent.futures.Executor, optional
        Where to work: threads, processes, ``dask.distributed.Client.get_executor(pure=False)``, ``mpi4py.futures``.
    workers : int, optional
        Work in this many processes instead.
    progress : bool
        Show a bar with the time left on stderr (needs tqdm).
    checkpoint : path, optional
        Folder that keeps every finished piece; a later call with the same source and ``tol`` goes on from there.
    max_rate : float, optional
        Highest rate of the whole curve, nats; 5 bits when omitted.

    Returns
    -------
    RDCurve
        With a `HeatrdWarning` where the band could not be made as narrow as asked.

    Raises
    ------
    InvalidInput
        Both distortions and rates, values out of range, a source that cannot be used.
    KeyboardInterrupt
        With the partial curve as its attribute ``curve``.

    Examples
    --------
    >>> import heatrd
    >>> curve = heatrd.rd_curve("uniform", tol=1e-2)
    >>> lower, upper = curve.bounds(0.25)
    >>> bool(lower <= curve.rate(0.25) <= upper), upper - lower < 1e-2
    (True, True)
    """
    with working(executor, workers) as runner:
        return _curve(as_source(src), distortions, rates, tol, runner, progress, checkpoint, max_rate)


def rd_curves(
    sources: Sequence[Any],
    distortions: ArrayLike | None = None,
    rates: ArrayLike | None = None,
    tol: float | None = None,
    executor: Any = None,
    workers: int | None = None,
    progress: bool = False,
    checkpoint: Any = None,
    max_rate: float | None = None,
) -> list[RDCurve]:
    """Compute the curves of several sources on one set of workers; parameters as for `rd_curve`."""
    if isinstance(sources, str):
        raise InvalidInput(f"sources={sources!r} is one name; give a list, or use rd_curve")
    laws = [as_source(source) for source in sources]
    with working(executor, workers) as runner:
        return [_curve(law, distortions, rates, tol, runner, progress, checkpoint, max_rate) for law in laws]


def _curve(
    source: Source,
    distortions: ArrayLike | None,
    rates: ArrayLike | None,
    tol: float | None,
    runner: Any,
    progress: bool,
    checkpoint: Any,
    max_rate: float | None,
) -> RDCurve:
    if distortions is not None and rates is not None:
        raise InvalidInput("give distortions or rates, not both")
    whole = distortions is None and rates is None
    sweep = Sweep(source, _tolerance(source, tol, whole), runner, checkpoint, progress)
    try:
        if distortions is not None:
            sweep.at_targets("distortion", _targets(distortions, "distortions"))
        elif rates is not None:
            sweep.at_targets("rate", _targets(rates, "rates"))
        else:
            sweep.whole(_MOST_BITS * math.log(2) if max_rate is None else _highest(max_rate, source.dim))
    except KeyboardInterrupt as stop:
        vars(stop)["curve"] = sweep.assemble(complete=False)  # an attribute that the class does not declare
        raise
    finally:
        sweep.bar.close()
    curve = sweep.assemble()
    if curve.width > curve.tol:
        warnings.warn(
            f"{source!r}: the band is up to {curve.width:.2g} nats wide, {curve.tol:.2g} asked",
            HeatrdWarning,
            stacklevel=3,
        )
    return curve


def _tolerance(source: Source, tol: float | None, whole: bool) -> float:
    if tol is None:
        if not whole:
            return 1e-6
        return 1e-4 if on_lines(source) else 1e-3
    value = arguments.number(tol, "tol")
    if not 1e-11 <= value <= 1.0:
        raise InvalidInput(f"tol={value:g}; need a width between 1e-11 and 1 nat")
    return value


def _highest(max_rate: Any, dim: int) -> float:
    rate = arguments.number(max_rate, "max_rate", positive=True)
    if rate > _MOST_NATS * dim:
        raise InvalidInput(f"max_rate={rate:g} nats; need <= {_MOST_NATS * dim:g}, where double precision ends")
    return rate


def _targets(values: ArrayLike, name: str) -> FloatArray:
    targets = np.atleast_1d(arguments.numbers(values, name)).ravel()
    positive = (targets >= 0).all() if name == "rates" else (targets > 0).all()
    if targets.size == 0 or not np.isfinite(targets).all() or not positive:
        raise InvalidInput(f"{name}={values!r}; need at least one finite positive number")
    return targets
