"""What a sampling run is asked for, checked: scheme, time grid, chunks, tables, memory."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from heatrd import arguments
from heatrd.errors import InvalidInput, TooLarge
from heatrd.sampler.fields import Field, Tables
from heatrd.sampler.noise import Antithetic, Plain, Quasi, Stream

__all__ = ["Plan", "time_grid"]

FloatArray = NDArray[np.float64]

SCHEMES = ("auto", "exact", "euler", "exponential", "heun")
_CHUNK = 16_384
_REPLICATES = 16
_TABLE = 4096
_LARGEST_TABLE = 1 << 15
_CURVE_TIMES = 16
_MEMORY = 4 << 30


@dataclass(frozen=True, eq=False)
class Plan:
    """Everything that the chunks share."""

    field: Field
    times: FloatArray
    n: int
    scheme: str
    saved: NDArray[np.intp] | None
    curve: NDArray[np.intp] | None
    block: int
    stream: Callable[..., Stream]
    tables: Tables | None
    chunks: list[tuple[int, int]]

    @classmethod
    def make(
        cls,
        field: Field,
        grid: FloatArray,
        n: int,
        scheme: str,
        save: Any,
        curve: bool,
        antithetic: bool,
        quasi: bool,
        table: bool | int | None,
    ) -> Plan:
        if antithetic and quasi:
            raise InvalidInput("antithetic and quasi exclude each other; choose one")
        if antithetic and n % 2:
            raise InvalidInput(f"n_paths = {n}; antithetic paths come in pairs, need an even number")
        if quasi and n % _REPLICATES:
            raise InvalidInput(
                f"n_paths = {n}; quasi-random paths come in {_REPLICATES} replicates, need a multiple of it"
            )
        if curve and field.log_density is None:
            raise InvalidInput("curve=True needs the density along the paths: of a bridge or path, from its own source")
        saved = _saved_indices(save, grid)
        _check_memory(n, field.dim, saved, len(grid), n // _REPLICATES if quasi else 0)
        block = 2 if antithetic else n // _REPLICATES if quasi else 1
        size = block if quasi else _CHUNK
        chunks = [(i, min(i + size, n)) for i in range(0, n, size)]
        stream = Antithetic if antithetic else Quasi if quasi else Plain
        return cls(
            field,
            grid,
            n,
            _scheme(scheme, field),
            saved,
            _curve_indices(grid) if curve else None,
            block,
            stream,
            _tables(field, grid, n, table),
            chunks,
        )

    @property
    def horizon(self) -> int:
        """Index of the last time up to which energy can be integrated."""
        last = len(self.times) - 1
        singular = self.times[-1] == 1.0 and self.field.atomic and self.scheme != "euler"
        return last - 1 if singular else last

    @property
    def lands_on_atoms(self) -> bool:
        return self.times[-1] == 1.0 and self.field.atomic and self.scheme != "euler"


def time_grid(n_steps: int, until: float, times: ArrayLike | None) -> FloatArray:
    if times is None:
        steps, until = arguments.integer(n_steps, "n_steps"), arguments.number(until, "until")
        if not 0 < until <= 1:
            raise InvalidInput(f"until = {until}; need a time in (0, 1]")
        if 8 * steps > _MEMORY:
            raise TooLarge(f"n_steps = {steps} times would take {8 * steps / 2**30:.3g} GiB", _MEMORY // 8)
        return np.linspace(0.0, until, steps + 1)
    grid = arguments.numbers(times, "times")
    if grid.ndim != 1 or grid.size < 2 or grid[0] != 0 or not grid[-1] <= 1 or not (np.diff(grid) > 0).all():
        raise InvalidInput(
            "times must increase from 0 to at most 1; got " + np.array2string(grid, threshold=8, precision=4)
        )
    return grid


def _scheme(scheme: str, field: Field) -> str:
    arguments.word(scheme, "scheme", SCHEMES)
    if scheme == "auto":
        return "heun" if field.bridge is None else "exact"
    if scheme == "exact" and field.bridge is None:
        raise InvalidInput("the exact scheme draws from a bridge's coupling; pass a SchrodingerBridge, or use 'heun'")
    return scheme


def _saved_indices(save: Any, grid: FloatArray) -> NDArray[np.intp] | None:
    if save is False or save is None:
        return None
    if save is True:
        return np.arange(len(grid))
    wanted = np.atleast_1d(arguments.numbers(save, "save"))
    return np.unique(np.abs(grid[:, None] - wanted).argmin(axis=0))


def _curve_indices(grid: FloatArray) -> NDArray[np.intp]:
    return np.unique(np.linspace(1, len(grid) - 1, min(_CURVE_TIMES, len(grid) - 1)).round().astype(np.intp))


def _check_memory(n: int, dim: int, saved: NDArray[np.intp] | None, count: int, replicate: int) -> None:
    doubles = n * (2 * dim + 1) + (0 if saved is None else n * len(saved) * dim) + 4 * replicate * count * dim
    if 8 * doubles > _MEMORY:
        raise TooLarge(
            f"{n} paths would take {8 * doubles / 2**30:.1f} GiB; save fewer times, or sample in several runs",
            int(n * _MEMORY / (8 * doubles)),
        )


def _tables(field: Field, grid: FloatArray, n: int, table: bool | int | None) -> Tables | None:
    """Tabulate a one-dimensional bridge when asked, or when that is cheaper than evaluating it."""
    if field.bridge is None or field.dim != 1 or table is False:
        if table:
            raise InvalidInput("table=True tabulates one-dimensional bridges only; pass a TabulatedControl")
        return None
    if table is not None and table is not True:
        return Tables.build(field, grid, arguments.integer(table, "table", 2))
    size = max(_TABLE, Tables.resolving(field))
    if table is None and (n < size or size > _LARGEST_TABLE):
        return None
    return Tables.build(field, grid, size)
