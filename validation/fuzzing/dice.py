"""Random draws of good and hostile arguments, with a record of what was drawn."""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

__all__ = ["Dice"]

NUMBERS = (
    math.nan,
    math.inf,
    -math.inf,
    0.0,
    -0.0,
    -1.0,
    1.0,
    5e-324,
    -5e-324,
    1e-308,
    1e308,
    -1e308,
    1e-150,
    1e150,
    1e-17,
    1e17,
    0.5,
    2.0,
    1e-3,
    1e3,
    np.float32(0.3),
    np.float16(2.0),
    np.int8(-3),
    np.uint64(2**63),
    np.longdouble(0.1),
    True,
    10**400,
)
OBJECTS = (
    None,
    "",
    "abc",
    "0.5",
    "nan",
    b"\x00",
    [],
    {},
    (),
    [[1], [2, 3]],
    object(),
    {"a": 1},
    1j,
    np.array(["a", "b"]),
    np.array([None, 1.0]),
    np.array(1.0),
    np.zeros((0,)),
    np.zeros((2, 0)),
    np.zeros((1, 1, 1, 1)),
    [None],
    ["x", 1.0],
    np.array([1 + 2j]),
    np.datetime64("2020-01-01"),
    range(3),
    lambda: 1,
    type,
    NotImplemented,
    np.ma.masked,
    set(),
)


class Dice(random.Random):
    """A seeded source of arguments; `said` tells in words what was drawn."""

    def __init__(self, seed: str, folder: Any = None) -> None:
        super().__init__(seed)
        self.folder = folder
        self.said: list[str] = []

    def say(self, name: str, value: Any) -> Any:
        """Record an argument under its name, and return it."""
        self.said.append(f"{name}={_short(value)}")
        return value

    @property
    def numpy(self) -> np.random.Generator:
        return np.random.default_rng(self.getrandbits(63))

    def chance(self, probability: float) -> bool:
        return self.random() < probability

    def log_uniform(self, low: float, high: float) -> float:
        return math.exp(self.uniform(math.log(low), math.log(high)))

    def scale(self) -> float:
        """A unit of length: mostly near one, sometimes anywhere from 1e-150 to 1e150."""
        return self.log_uniform(1e-150, 1e150) if self.chance(0.3) else self.log_uniform(0.1, 10)

    def junk(self) -> Any:
        """Anything but what is asked for."""
        if self.chance(0.25):
            return self.choice(OBJECTS)
        if self.chance(0.3):
            return self.sign() * self.log_uniform(1e-320, 1e300)
        return self.choice(NUMBERS)

    def sign(self) -> int:
        return self.choice((-1, 1))

    def number(self, name: str, good: Callable[[], Any], hostile: float = 0.3) -> Any:
        """A number: a good one, or junk with the probability given."""
        return self.say(name, self.junk() if self.chance(hostile) else good())

    def word(self, name: str, known: Sequence[Any], hostile: float = 0.15) -> Any:
        """One of the words known, or a wrong one."""
        if not self.chance(hostile):
            return self.say(name, self.choice(known))
        return self.say(name, self.choice(("", "AUTO", "no such word", *OBJECTS[:8], 3)))

    def array(self, name: str, shape: tuple[int, ...], hostile: float = 0.4, scale: float = 1.0) -> Any:
        """Numbers of a shape: plain, of another kind or layout, or spoiled."""
        values = np.asarray(scale * self.numpy.standard_normal(shape))
        if self.chance(hostile):
            return self.say(name, self._spoiled(values))
        return self.say(name, self._dressed(values))

    def _dressed(self, values: np.ndarray) -> Any:
        """The same numbers (to their type's precision) as lists, other dtypes and layouts."""
        if values.ndim == 0:
            return float(values)
        readonly = values.copy()
        readonly.flags.writeable = False
        wide = np.repeat(values, 2, axis=0)[::2]
        small = values if np.abs(values).max(initial=0.0) < 1e30 else np.zeros_like(values)
        choices: tuple[Any, ...] = (
            values,
            values.tolist(),
            readonly,
            wide,
            np.asfortranarray(values),
            values[::-1],
            small.astype(np.float32),
            values.astype(object),
            values.astype(">f8"),
            np.round(10 * np.clip(small, -9, 9)).astype(np.int64),
            small > 0,
            values.astype(np.longdouble),
            np.ma.array(values),
        )
        return self.choice(choices)

    def _spoiled(self, values: np.ndarray) -> Any:
        if values.ndim == 0:
            return self.junk()
        flat = values.copy()
        if flat.size and self.chance(0.6):
            flat.flat[self.randrange(flat.size)] = self.choice(
                (math.nan, math.inf, -math.inf, 1e308, -1e308, 1e300, 5e-324)
            )
            return flat
        shape_changes: tuple[Any, ...] = (
            values[None],
            values[..., None],
            values[:0],
            values.ravel()[:1],
            np.zeros_like(values),
            np.full_like(values, 1e200),
            values * 1e-200,
            np.full_like(values, self.random()),
            values.astype(str),
            values.astype(complex),
            list(values),
            np.concatenate([values, values]),
        )
        return self.choice(shape_changes) if self.chance(0.7) else self.junk()

    def weights(self, name: str, size: int, hostile: float = 0.4) -> Any:
        """Masses: none, good ones, or spoiled ones."""
        if self.chance(0.3):
            return self.say(name, None)
        good = self.numpy.uniform(0.01, 1.0, size)
        if not self.chance(hostile):
            return self.say(name, self._dressed(good) if self.chance(0.3) else good * self.scale())
        bad = good.copy()
        if size:
            bad[self.randrange(size)] = self.choice((-1.0, math.nan, math.inf, 0.0, 1e308, 5e-324))
        return self.say(name, self.choice((bad, good[:-1], np.zeros(size), self.junk())))


def _short(value: Any) -> str:
    try:
        text = repr(value)
    except Exception as error:
        text = f"<{type(value).__name__}: {type(error).__name__}>"
    return " ".join(text.split())[:160]
