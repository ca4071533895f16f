"""`RDCurve`: the rate–distortion curve, known everywhere within a proved band."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from heatrd import arguments
from heatrd.closed_forms import gaussian_upper_bound, shannon_lower_bound
from heatrd.curve.band import Band, Knots
from heatrd.curve.files import read_curve, write_curve
from heatrd.curve.interpolant import ConvexCurve
from heatrd.curve.sensitivity import parameter_sensitivity
from heatrd.errors import InvalidInput
from heatrd.solution import Solution, solve
from heatrd.sources import Source
from heatrd.store import write_whole

__all__ = ["RDCurve"]

FloatArray = NDArray[np.float64]

_TINY = 2.0**-1022  # below this D counts as zero


@dataclass(frozen=True, slots=True, eq=False)
class RDCurve:
    """R(D) of a source with a certified band. Rates in nats, distortions summed over coordinates.

    Attributes
    ----------
    source : Source
    epsilons, distortions : (n,) arrays
        The points of the curve, from low rate to high, or in the order in which they were asked for. ε is infinite at
        zero slope.
    solutions : tuple
        The `Solution` of each point, or None where it was not kept.
    band : Band
        Proved bounds, from all knots (points and certificates in between).
    tol : float
        Width asked for, nats.
    asked : tuple (float, float) or None
        Range of distortions on which the band was refined to ``tol``.
    solves, certificates : int
        Effort: full solves, and certificates evaluated in between.
    seconds : float
        Wall-clock time.
    complete : bool
        False for what an interrupted or failed run left.
    """

    source: Source
    epsilons: FloatArray
    distortions: FloatArray
    solutions: tuple[Solution | None, ...]
    band: Band
    tol: float
    asked: tuple[float, float] | None = None
    solves: int = 0
    certificates: int = 0
    seconds: float = 0.0
    complete: bool = True
    _smooth: ConvexCurve = field(init=False, repr=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_smooth", _interpolant(self.band))

    @property
    def knots(self) -> Knots:
        """Every proved point, by decreasing ε."""
        return self.band.knots

    @property
    def rates(self) -> FloatArray:
        """Proved upper bounds on R at ``distortions``, nats."""
        return self.bounds(self.distortions)[1]

    @property
    def rates_lower(self) -> FloatArray:
        """Proved lower bounds on R at ``distortions``, nats."""
        return self.bounds(self.distortions)[0]

    @property
    def width(self) -> float:
        """Largest width of the band over the range asked for (at the points, where points were asked for), nats."""
        if self.asked is None:
            lower, upper = self.bounds(self.distortions)
            return float(np.max(upper - lower, initial=0.0))
        return float(np.max(self.band.width(self.band.probes(*self.asked)), initial=0.0))

    @property
    def certified(self) -> bool:
        """Whether the band is as narrow as asked."""
        return self.complete and self.width <= self.tol

    def bounds(self, distortion: ArrayLike) -> tuple[Any, Any]:
        """Return (lower, upper), proved bounds on R at any distortion, nats.

        Parameters
        ----------
        distortion : float or array_like
            D > 0; any shape.
        """
        d = _distortion(distortion)
        lower, upper = self.band.lower(d), self.band.upper(d)
        lower = np.minimum(lower, upper)
        return _like(lower, distortion), _like(upper, distortion)

    def rate(self, distortion: ArrayLike) -> Any:
        """Interpolate R(D) inside the band, nats: convex, non-increasing, fourth order.

        Parameters
        ----------
        distortion : float or array_like
            D > 0; any shape.
        """
        d = _distortion(distortion)
        return _like(self._rate(d), distortion)

    def distortion(self, rate: ArrayLike) -> Any:
        """Return D(R), the inverse of `rate`.

        Parameters
        ----------
        rate : float or array_like
            Nats, non-negative.

        Raises
        ------
        InvalidInput
            Negative or non-finite rates, or a rate beyond what the curve reaches.
        """
        r = arguments.numbers(rate, "rate")
        if not (np.isfinite(r).all() and (r >= 0).all()):
            raise InvalidInput(f"rate={arguments.short(rate)} must be finite and non-negative (nats)")
        low = np.full(r.shape, math.log(max(float(self._smooth.x[0]), _TINY)))
        high = np.full(r.shape, math.log(max(self.band.variance, _TINY)))
        if self.band.variance <= 0:
            return _like(np.zeros(r.shape), rate)
        for _ in range(80):
            short = self._rate(np.exp(low)) < r
            if not short.any() or (low[short] <= math.log(_TINY)).all():
                break
            low = np.where(short, np.maximum(low - 1.0 - 0.5 * np.abs(low), math.log(_TINY)), low)
        for _ in range(64):
            middle = 0.5 * (low + high)
            over = self._rate(np.exp(middle)) > r
            low, high = np.where(over, middle, low), np.where(over, high, middle)
        return _like(np.where(r == 0, self.zero_rate_distortion, np.exp(0.5 * (low + high))), rate)

    def slope(self, distortion: ArrayLike) -> Any:
        """Return dR/dD = −1/2ε at any distortion, nats per unit of distortion (of the interpolant)."""
        d = _distortion(distortion)
        return _like(self._smooth.derivative(d), distortion)

    @property
    def critical_distortion(self) -> float | None:
        """D_c = d·ε_c, below which the Shannon lower bound is tight; None where ε_c is not known in closed form."""
        epsilon = self.source.critical_epsilon()
        return None if epsilon is None else self.source.dim * float(epsilon)

    @property
    def zero_rate_distortion(self) -> float:
        """The distortion from which on the rate is zero: the total variance."""
        return self.band.variance

    def _rate(self, d: FloatArray) -> FloatArray:
        d = np.minimum(d, self.band.variance)
        lower, upper = self.band.lower(d), self.band.upper(d)
        return np.clip(self._smooth(d), np.minimum(lower, upper), upper)

    def plot(self, ax: Any = None, unit: str = "nat", x: str = "distortion", **options: Any) -> Any:
        """Draw the curve with its band, the Shannon and the Gaussian bound; return the axes.

        Parameters
        ----------
        ax : matplotlib axes, optional
        unit : "nat" or "bit"
        x : "distortion" or "snr_db"
        options
            Of `heatrd.plots.plot_curve`; ``bounds={}`` leaves the two bounds out.
        """
        from heatrd import plots

        return plots.plot_curve(self, ax=ax, unit=unit, x=x, **{"bounds": self.closed_forms, **options})

    @property
    def closed_forms(self) -> dict[str, Callable[[ArrayLike], Any]]:
        """The Shannon lower and the Gaussian upper bound of the source, as functions of the distortion, nats."""
        return {
            "shannon": partial(shannon_lower_bound, self.source),
            "gaussian": partial(gaussian_upper_bound, self.source),
        }

    def sensitivity(self, distortion: float) -> dict[str, Any]:
        """Return ∂R(D)/∂θ for every real parameter θ of the source (envelope theorem), nats per unit of θ.

        Parameters
        ----------
        distortion : float
            D > 0; one solve at this distortion is needed.

        Raises
        ------
        InvalidInput
            The source cannot be rebuilt from its parameters.
        """
        d = float(_distortion(distortion))
        return parameter_sensitivity(solve(self.source, distortion=d))

    def columns(self) -> dict[str, FloatArray]:
        """Return the points as named columns; rates in nats."""
        lower, upper = self.bounds(self.distortions)
        with np.errstate(divide="ignore", invalid="ignore"):
            snr = 10 * np.log10(self.band.variance / self.distortions)
        return {
            "epsilon": self.epsilons,
            "distortion": self.distortions,
            "snr_db": snr,
            "rate_nat": upper,
            "rate_lower_nat": lower,
            "rate_bit": upper / math.log(2),
            "rate_lower_bit": lower / math.log(2),
        }

    def to_csv(self, path: str | Path) -> None:
        """Write the points, one row each, atomically; the unit is in the column's name."""
        columns = self.columns()
        text = io.StringIO(newline="")
        writer = csv.writer(text)
        writer.writerow(columns)
        for row in zip(*columns.values()):
            writer.writerow([repr(float(value)) for value in row])
        write_whole(path, text.getvalue().encode())

    def save(self, path: str | Path, solutions: bool = True) -> None:
        """Write everything to one npz file, atomically; `RDCurve.load` reads it. Equal curves give equal bytes.

        Parameters
        ----------
        path : path
        solutions : bool
            Keep the laws of the points as well (needed for pictures of the atoms; larger files).
        """
        write_curve(path, self, solutions)

    @classmethod
    def load(cls, path: str | Path, source: Any = None) -> RDCurve:
        """Read a curve written by `save`.

        Parameters
        ----------
        path : path
        source : source, optional
            The source, where the file cannot hold it (densities given as functions).

        Raises
        ------
        InvalidInput
            Not such a file, damaged, or of another source.
        """
        return cls(**read_curve(path, source))

    def to_dataframe(self) -> Any:
        """Return the points as a `pandas.DataFrame` (needs pandas)."""
        import pandas

        return pandas.DataFrame(self.columns())

    def to_xarray(self) -> Any:
        """Return the points as an `xarray.Dataset` over distortion, with units as attributes (needs xarray)."""
        import xarray

        columns = self.columns()
        units = {
            "epsilon": "squared source units",
            "distortion": "squared source units",
            "snr_db": "dB",
            "rate_nat": "nat",
            "rate_lower_nat": "nat",
            "rate_bit": "bit",
            "rate_lower_bit": "bit",
        }
        data = {
            name: ("distortion", column, {"units": units[name]})
            for name, column in columns.items()
            if name != "distortion"
        }
        axis = ("distortion", columns["distortion"], {"units": units["distortion"]})
        return xarray.Dataset(
            data, coords={"distortion": axis}, attrs={"source": repr(self.source), "tol_nat": self.tol}
        )

    def to_netcdf(self, path: str | Path) -> None:
        """Write the points as netCDF (needs xarray and a netCDF backend)."""
        self.to_xarray().to_netcdf(path)

    def __repr__(self) -> str:
        return (
            f"RDCurve({self.source!r}, {len(self.distortions)} points, {self.knots.size} knots, "
            f"width={self.width:.2g}, "
            f"tol={self.tol:.2g}{'' if self.complete else ', incomplete'})"
        )


def _interpolant(band: Band) -> ConvexCurve:
    """Through the knots whose slope and place are consistent, and the zero-rate point."""
    d, r, m = band.vertices()
    return ConvexCurve(d, r, m)


def _distortion(value: ArrayLike) -> FloatArray:
    d = arguments.numbers(value, "distortion")
    if np.isnan(d).any() or (d < 0).any():
        raise InvalidInput(f"distortion={arguments.short(value)} must be non-negative")
    return d


def _like(values: FloatArray, given: ArrayLike) -> Any:
    return float(values) if np.ndim(given) == 0 else np.asarray(values)
