"""Certificates and sources as plain headers and arrays, and back: what checkpoints and files hold."""

from __future__ import annotations

import inspect
import json
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

import heatrd.sources as source_module
from heatrd.certificate.base import Certificate
from heatrd.curve.law_records import Arrays, holds_law, pack_law, unpack_law
from heatrd.errors import HeatrdError, InvalidInput
from heatrd.solution import Solution
from heatrd.sources import Source, as_source
from heatrd.store import digest

__all__ = ["RecordedSource", "fingerprint", "pack_solution", "pack_source", "unpack_solution", "unpack_source"]

FloatArray = NDArray[np.float64]

_LAW, _QUADRATURE = ("points", "weights"), ("nodes", "masses")
_NUMBERS = ("epsilon", "lagrangian", "lagrangian_lower", "distortion", "log_sup", "discretisation")


class RecordedSource(Source):
    """What a file knows about a source that cannot be rebuilt from it: moments and closed forms, but no density."""

    def __init__(
        self,
        name: str,
        label: str,
        mean: ArrayLike,
        covariance: ArrayLike,
        entropy: float | None,
        critical: float | None,
        record: tuple[dict[str, Any], Arrays] | None = None,
    ) -> None:
        self.record = record
        self.name, self._label = name, label
        self._mean, self._covariance = np.asarray(mean, dtype=float), np.asarray(covariance, dtype=float)
        self.dim = int(self._mean.size)
        self._entropy, self._critical = entropy, critical

    @property
    def mean(self) -> FloatArray:
        return self._mean

    @property
    def covariance(self) -> FloatArray:
        return self._covariance

    def entropy(self) -> float | None:
        return self._entropy

    def critical_epsilon(self) -> float | None:
        return self._critical

    def log_density(self, x: ArrayLike) -> FloatArray:
        raise InvalidInput(
            f"{self._label} was read from a file that does not hold its density; "
            "build the source again and compute, or load with source="
        )

    def sample(self, n: int, rng: np.random.Generator | int | None = None) -> FloatArray:
        raise InvalidInput(f"{self._label} was read from a file that cannot draw from it; build the source again")

    def __repr__(self) -> str:
        return self._label


def fingerprint(source: Source) -> str:
    """Hash a source: class, parameters, moments, and its density and masses at a few points."""
    mean, covariance = np.asarray(source.mean, dtype=float), np.asarray(source.covariance, dtype=float)
    spread = np.sqrt(np.maximum(np.diag(covariance), 0.0))
    steps = np.array([-2.7, -1.1, -0.3, 0.0, 0.2, 0.9, 1.6, 3.1])[:, None]
    try:
        with np.errstate(all="ignore"):
            values = np.asarray(source.log_density(mean + steps * spread), dtype=float)
    except (HeatrdError, ArithmeticError):
        values = np.zeros(0)
    points, masses = source.discrete_part
    kind = f"{type(source).__module__}.{type(source).__qualname__}"
    return digest(kind, repr(source), dict(source.parameters), mean, covariance, values, points, masses)


def pack_source(source: Source) -> tuple[dict[str, Any], Arrays]:
    """Return header and arrays of a source: its class and parameters, and what must be known without them."""
    if isinstance(source, RecordedSource) and source.record is not None:
        return source.record
    arrays: Arrays = {
        "source/mean": np.asarray(source.mean, float),
        "source/covariance": np.asarray(source.covariance, float),
    }
    plain: dict[str, Any] = {}
    for name, value in source.parameters.items():
        if isinstance(value, np.ndarray) and value.dtype != object:
            arrays[f"source/parameter/{name}"] = value
        elif _is_json(value):
            plain[name] = value
    header = {
        "class": _public_class(source),
        "module": type(source).__module__,
        "name": source.name,
        "label": repr(source),
        "plain": plain,
        "count": len(source.parameters),
        "entropy": source.entropy(),
        "critical": source.critical_epsilon(),
        "fingerprint": fingerprint(source),
    }
    return {"source": header}, arrays


def unpack_source(header: Mapping[str, Any], arrays: Mapping[str, NDArray[Any]]) -> Source:
    """Rebuild a heatrd source from its class and parameters; a `RecordedSource` where that does not give the same
    law.
    """
    about = header["source"]
    parameters = dict(about["plain"])
    prefix = "source/parameter/"
    parameters.update({name[len(prefix) :]: value for name, value in arrays.items() if name.startswith(prefix)})
    if len(parameters) == about["count"]:
        try:
            source = _rebuilt(str(about["class"]), parameters)
            if isinstance(source, Source) and fingerprint(source) == about["fingerprint"]:
                return source
        except (HeatrdError, TypeError, ValueError):
            pass
    return RecordedSource(
        about["name"],
        about["label"],
        arrays["source/mean"],
        arrays["source/covariance"],
        about["entropy"],
        about["critical"],
        ({"source": about}, {name: value for name, value in arrays.items() if name.startswith("source/")}),
    )


def _public_class(source: Source) -> str:
    """The name in `heatrd.sources` that makes this source (``Gaussian``, where its own class is ``Gaussian1D``)."""
    for kind in type(source).__mro__:
        if getattr(source_module, kind.__name__, None) is kind:
            return kind.__name__
    return type(source).__name__


def _rebuilt(name: str, parameters: dict[str, Any]) -> Any:
    """A source from the name of its class and its parameters; None where there is no such class."""
    if name == "ScipySource":
        return as_source(f"scipy:{parameters.pop('distribution')}", **parameters)
    kind = getattr(source_module, name, None)
    return kind(**parameters) if inspect.isclass(kind) and issubclass(kind, Source) else None


def pack_solution(solution: Solution, quadrature: bool = True) -> tuple[dict[str, Any], Arrays]:
    """Return header and arrays of a solution (without its source and its wall-clock time)."""
    c = solution.certificate
    arrays: Arrays = {
        "numbers": np.array([*(getattr(c, name) for name in _NUMBERS), solution.distortion, solution.tol]),
        **pack_law(c.law, *_LAW),
    }
    if quadrature:
        arrays |= pack_law(c.quadrature, *_QUADRATURE)
    return {"regime": solution.regime, "evaluations": solution.evaluations}, arrays


def unpack_solution(source: Source, header: Mapping[str, Any], arrays: Mapping[str, NDArray[Any]]) -> Solution:
    """Rebuild a solution.

    Raises
    ------
    InvalidInput
        Entries are missing, of wrong shape, or not numbers.
    """
    try:
        numbers = [float(v) for v in np.asarray(arrays["numbers"], dtype=float)]
        if len(numbers) != 8 or np.isnan(numbers).any():
            raise ValueError("numbers")
        law = unpack_law(arrays, *_LAW, source.dim)
        nodes = unpack_law(arrays, *_QUADRATURE, source.dim) if holds_law(arrays, *_QUADRATURE) else law
        certificate = Certificate(**dict(zip(_NUMBERS, numbers[:6])), law=law, quadrature=nodes)
        return Solution(
            source, certificate, str(header["regime"]), numbers[6], numbers[7], int(header["evaluations"]), 0.0
        )
    except (KeyError, TypeError, ValueError) as error:
        raise InvalidInput(f"the file's solution is damaged: {error}") from None


def _is_json(value: Any) -> bool:
    try:
        return bool(json.loads(json.dumps(value)) == value)
    except (TypeError, ValueError):
        return False
