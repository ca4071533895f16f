"""Controls as the sampler sees them: a bridge, a heat path, a table, a function, a network."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.interpolate import RegularGridInterpolator

from heatrd import arguments
from heatrd.bridge import SchrodingerBridge
from heatrd.errors import InvalidInput
from heatrd.kernels.paths import table_values
from heatrd.laws import DiscreteLaw, as_law

__all__ = ["Field", "Tables", "TabulatedControl", "as_field"]

FloatArray = NDArray[np.float64]


class TabulatedControl:
    """A control tabulated on times × a tensor grid, interpolated linearly (extrapolated outside).

    Parameters
    ----------
    times : (k,) array_like
        Increasing, from 0.
    axes : (n,) array_like or sequence of (n_a,) array_like
        Grid axes.
    values : (k, n) or (k, n_1, …, n_d, d) array_like
        u at the nodes.
    epsilon : float
        Diffusion coefficient.
    """

    def __init__(self, times: ArrayLike, axes: Any, values: ArrayLike, epsilon: float) -> None:
        self.epsilon = float(epsilon)
        grid = [axes] if np.ndim(axes[0]) == 0 else list(axes)
        self.axes = tuple(np.asarray(axis, dtype=np.float64) for axis in grid)
        self.times = np.asarray(times, dtype=np.float64)
        table = np.asarray(values, dtype=np.float64)
        shape = (self.times.size, *(axis.size for axis in self.axes))
        self.dim = len(self.axes)
        if self.dim == 1 and table.shape == shape:
            table = table[..., None]
        if table.shape != (*shape, self.dim):
            raise InvalidInput(f"values have shape {table.shape}; need {(*shape, self.dim)}: times, axes, component")
        if not np.isfinite(table).all():
            raise InvalidInput("the tabulated control contains NaN or inf; cut the table before it becomes singular")
        self._table = RegularGridInterpolator((self.times, *self.axes), table, bounds_error=False, fill_value=None)

    def __call__(self, t: float, x: FloatArray) -> FloatArray:
        """u_t(x) for points (n, d), shape (n, d)."""
        where = np.column_stack([np.full(len(x), min(float(t), self.times[-1])), x])
        return np.asarray(self._table(where))


@dataclass(frozen=True, eq=False)
class Field:
    """One control with what the schemes may use of it.

    Attributes
    ----------
    control : callable
        (t, (n, d) points) → (n, d).
    epsilon, dim : float, int
    bridge : SchrodingerBridge or None
        Where the control comes from a bridge: enables the exact scheme and exact densities.
    initial : Source, DiscreteLaw, (n, d) array or None
        Where paths start.
    log_density : callable or None
        (t, x) → log ρ_t(x) under this control.
    parallel : bool
        Whether it may be called from several threads.
    """

    control: Callable[[float, FloatArray], FloatArray]
    epsilon: float
    dim: int
    bridge: SchrodingerBridge | None
    initial: Any
    log_density: Callable[[float, FloatArray], FloatArray] | None
    parallel: bool

    @property
    def atomic(self) -> bool:
        return self.bridge is not None and self.bridge.atomic

    def values(self, t: float, x: FloatArray) -> FloatArray:
        """u_t(x), checked."""
        u = np.asarray(self.control(t, x), dtype=np.float64)
        if u.size != x.size:
            raise InvalidInput(
                f"the control returned shape {u.shape} for x of shape {x.shape}; return one vector per point"
            )
        return u.reshape(x.shape)


@dataclass(frozen=True, eq=False)
class Tables:
    """u at the times of a run, on a uniform axis (one dimension)."""

    values: FloatArray
    low: float
    per_cell: float

    @staticmethod
    def resolving(field: Field) -> int:
        """Table size with a spacing of √ε/100."""
        low, high = _span(field)
        return int(np.ceil((high - low) / (0.01 * np.sqrt(field.epsilon))))

    @classmethod
    def build(cls, field: Field, times: FloatArray, size: int) -> Tables:
        """Tabulate; the last time is left out where the control does not exist there."""
        low, high = _span(field)
        axis = np.linspace(low, high, size)
        count = len(times) - (1 if times[-1] == 1.0 and field.atomic else 0)
        values = np.empty((count, size))
        for k in range(count):
            values[k] = field.values(float(times[k]), axis[:, None])[:, 0]
        return cls(values, low, (size - 1) / (high - low))

    def at(self, k: int, x: FloatArray, out: FloatArray) -> FloatArray:
        """u at time k for x (n, 1), filled into ``out``."""
        table_values(x[:, 0], self.values[k], self.low, self.per_cell, out[:, 0])
        return out


def _span(field: Field) -> tuple[float, float]:
    assert field.bridge is not None
    points = np.concatenate(
        [
            field.bridge.mu.points[field.bridge.mu.weights > 1e-12, 0],
            field.bridge.reconstruction.points[field.bridge.reconstruction.weights > 1e-12, 0],
        ]
    )
    slack = 5.0 * np.sqrt(field.epsilon)
    return float(points.min() - slack), float(points.max() + slack)


def as_field(control: Any, epsilon: float | None, initial: Any) -> Field:
    """Adapt anything that can steer paths.

    Parameters
    ----------
    control : SchrodingerBridge, TransportPlan, Solution, HeatPath, TabulatedControl or callable
        An object with ``.bridge`` is replaced by it. A callable is u(t, x) with x of shape (n, d).
    epsilon : float or None
        Needed for callables only.
    initial : Source, DiscreteLaw, array or None
        Needed for callables; overrides the control's own source otherwise.
    """
    from_bridge = getattr(control, "bridge", None)
    if from_bridge is not None and not isinstance(control, SchrodingerBridge):
        control = from_bridge() if callable(from_bridge) else from_bridge
    if isinstance(control, SchrodingerBridge):
        own = control.source if control.source is not None else control.mu
        given = own if initial is None else _law_of(initial)
        density = control.log_density if initial is None else None
        return Field(control.control, control.epsilon, control.dim, control, given, density, True)
    steer = getattr(control, "control", control)
    eps = getattr(control, "epsilon", None) if epsilon is None else epsilon
    start = getattr(control, "source", None) if initial is None else _law_of(initial)
    if not callable(steer):
        raise InvalidInput(
            f"cannot steer paths by a {type(control).__name__}; pass a bridge, a heat path, or a function u(t, x)"
        )
    if eps is None:
        raise InvalidInput("pass epsilon=, the diffusion coefficient of dX = u dt + sqrt(epsilon) dW")
    eps = arguments.number(eps, "epsilon", positive=True)
    if start is None:
        raise InvalidInput(
            "where do the paths start? pass initial=, a source, a discrete law, or an array of points (n, d)"
        )
    dim = start.shape[1] if isinstance(start, np.ndarray) else int(start.dim)
    return Field(
        steer,
        eps,
        dim,
        None,
        start,
        _log_density_of(control) if initial is None else None,
        hasattr(control, "reconstruction"),
    )


def _law_of(initial: Any) -> Any:
    if isinstance(initial, np.ndarray | list | tuple):
        points = np.asarray(initial, dtype=np.float64)
        points = points[:, None] if points.ndim == 1 else points
        if points.ndim != 2 or not np.isfinite(points).all():
            raise InvalidInput(f"initial points have shape {points.shape}; need finite numbers of shape (n,) or (n, d)")
        return points
    if isinstance(initial, DiscreteLaw) or hasattr(initial, "sample"):
        return initial
    return as_law(*_points_and_weights(initial), what="initial")


def _points_and_weights(initial: Any) -> tuple[Any, Any]:
    if hasattr(initial, "points"):
        return initial.points, getattr(initial, "weights", None)
    raise InvalidInput(
        f"initial is a {type(initial).__name__}; pass a source, a discrete law, or an array of points (n, d)"
    )


def _log_density_of(control: Any) -> Callable[[float, FloatArray], FloatArray] | None:
    log_density = getattr(control, "log_density", None)
    if callable(log_density):
        return log_density
    density = getattr(control, "density", None)
    if not callable(density):
        return None

    def log_of(t: float, x: FloatArray) -> FloatArray:
        with np.errstate(divide="ignore"):
            return np.log(np.maximum(np.asarray(density(t, x), dtype=np.float64).reshape(len(x)), 0.0))

    return log_of
