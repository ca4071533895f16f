"""Where batches come from: a source, an array of samples, or a callable; training and held-out draws never mix.

Every draw is a pure function of (seed, stream, step), so that a resumed training sees the batches it would have seen.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from heatrd.errors import InvalidInput
from heatrd.neural.coordinates import Coordinates, coordinates_of
from heatrd.sources import Source, as_source

__all__ = ["Data", "data_of"]

FloatArray = NDArray[np.float64]

TRAIN, HELD_OUT, MOMENTS, SPLIT, VALIDATION = 0, 1, 2, 3, 4
MOMENT_DRAWS = 16384


class Data(Protocol):
    """What the training and the read-outs ask of a data set (source units, arrays of shape (n, d))."""

    coordinates: Coordinates
    kind: str

    def train(self, n: int, seed: int, step: int) -> FloatArray:
        """A training batch."""

    def validation(self, n: int, seed: int) -> FloatArray:
        """At most ``n`` points to choose among models by; no training batch contains them."""

    def held_out(self, n: int, seed: int) -> FloatArray:
        """At most ``n`` points that neither training nor any choice has seen, independent draws of μ."""


class SourceData:
    """Fresh draws of a `heatrd` source."""

    kind = "source"

    def __init__(self, source: Source) -> None:
        self.source = source
        self.coordinates = coordinates_of(source.mean, source.covariance)

    def train(self, n: int, seed: int, step: int) -> FloatArray:
        return self.source.sample(n, np.random.default_rng((seed, TRAIN, step)))

    def validation(self, n: int, seed: int) -> FloatArray:
        return self.source.sample(n, np.random.default_rng((seed, VALIDATION)))

    def held_out(self, n: int, seed: int) -> FloatArray:
        return self.source.sample(n, np.random.default_rng((seed, HELD_OUT)))


class ArrayData:
    """A finite sample, split once: a share held out for the bounds, half as much for choices, the rest for training."""

    kind = "samples"

    def __init__(self, x: FloatArray, held_out: float, seed: int) -> None:
        x = _checked(x, None, "samples")
        if len(x) < 16:
            raise InvalidInput(f"{len(x)} samples are too few to train and to hold out; need at least 16")
        order = np.random.default_rng((seed, SPLIT)).permutation(len(x))
        cut = min(max(int(round(held_out * len(x))), 4), len(x) - 10)
        middle = cut + min(max(cut // 2, 2), len(x) - cut - 8)
        self._held, self._validation, self._train = np.split(x[order], [cut, middle])
        self.coordinates = coordinates_of(self._train.mean(axis=0), _covariance(self._train))

    def train(self, n: int, seed: int, step: int) -> FloatArray:
        rng = np.random.default_rng((seed, TRAIN, step))
        return self._train[rng.integers(len(self._train), size=n)]

    def validation(self, n: int, seed: int) -> FloatArray:
        return self._validation[:n]

    def held_out(self, n: int, seed: int) -> FloatArray:
        return self._held[:n]


class CallableData:
    """Fresh batches from ``generate(n, rng)`` (or ``generate(n)``), checked once."""

    kind = "callable"

    def __init__(self, generate: Callable[..., Any], dim: int | None, seed: int) -> None:
        self._generate = generate
        self._takes_rng = _takes_rng(generate)
        self._dim = dim
        x = self._draw(MOMENT_DRAWS, (seed, MOMENTS))
        self._dim = x.shape[1]
        self.coordinates = coordinates_of(x.mean(axis=0), _covariance(x))

    def _draw(self, n: int, key: tuple[int, ...]) -> FloatArray:
        x = self._generate(n, np.random.default_rng(key)) if self._takes_rng else self._generate(n)
        x = _checked(x, self._dim, "the batch generator's output")
        if len(x) != n:
            raise InvalidInput(f"the batch generator returned {len(x)} points when asked for {n}")
        return x

    def train(self, n: int, seed: int, step: int) -> FloatArray:
        return self._draw(n, (seed, TRAIN, step))

    def validation(self, n: int, seed: int) -> FloatArray:
        return self._draw(n, (seed, VALIDATION))

    def held_out(self, n: int, seed: int) -> FloatArray:
        return self._draw(n, (seed, HELD_OUT))


def data_of(source: Any, *, dim: int | None, held_out: float, seed: int) -> Data:
    """Accept a source, samples of shape (n,) or (n, d), or a batch generator ``f(n, rng) → (n, d)``.

    Raises
    ------
    InvalidInput
        None of these, a dimension other than ``dim``, or numbers that are not finite.
    """
    data: Data
    if isinstance(source, Source):
        data = SourceData(source)
    elif isinstance(source, np.ndarray | list | tuple):
        data = ArrayData(np.asarray(_numbers(source, "samples")), held_out, seed)
    elif inspect.isroutine(source) or (callable(source) and not hasattr(source, "rvs") and not hasattr(source, "pdf")):
        data = CallableData(source, dim, seed)
    else:
        data = SourceData(as_source(source))
    if dim is not None and data.coordinates.dim != dim:
        raise InvalidInput(f"the data have dimension {data.coordinates.dim} but R2D2 was built with dim={dim}")
    return data


def _numbers(x: Any, what: str) -> FloatArray:
    try:
        return np.asarray(x, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise InvalidInput(f"{what} must be numbers in an array of shape (n,) or (n, d): {error}") from None


def _checked(x: Any, dim: int | None, what: str) -> FloatArray:
    x = _numbers(x, what)
    if x.ndim == 1:
        x = x[:, None]
    if x.ndim != 2 or x.size == 0:
        raise InvalidInput(f"{what} has shape {x.shape}; need (n,) or (n, d) with n, d >= 1")
    if dim is not None and x.shape[1] != dim:
        raise InvalidInput(f"{what} has dimension {x.shape[1]}; need {dim}")
    if not np.isfinite(x).all():
        raise InvalidInput(f"{what} contains NaN or inf; remove them first")
    return x


def _covariance(x: FloatArray) -> FloatArray:
    return np.atleast_2d(np.cov(x, rowvar=False, bias=True))


def _takes_rng(generate: Callable[..., Any]) -> bool:
    try:
        parameters = inspect.signature(generate).parameters.values()
    except (TypeError, ValueError):
        return False
    positional = [p for p in parameters if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)]
    return len(positional) >= 2 or any(p.kind is p.VAR_POSITIONAL for p in parameters)
