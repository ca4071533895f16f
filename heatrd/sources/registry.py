"""Sources by name, and `as_source`: one door for everything that describes a law.

Modules add their named sources with `register`; a name maps to a factory whose keyword parameters are what
users may set.
"""

from __future__ import annotations

import difflib
import inspect
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import scipy

from heatrd.errors import InvalidInput
from heatrd.sources import samples, scipy_recognition
from heatrd.sources.base import Source

__all__ = ["as_source", "register", "register_converter", "source_names", "source_parameters"]

_FACTORIES: dict[str, Callable[..., Source]] = {}
_ALIASES: dict[str, str] = {}
_CONVERTERS: list[Callable[[Any], Source | None]] = []

_PROTOCOL_1D = ("logpdf", "cdf", "tail_cut", "support", "mean", "covariance", "sample")
_PROTOCOL = ("dim", "mean", "covariance", "log_density", "sample")


def register(name: str, factory: Callable[..., Source], aliases: Iterable[str] = ()) -> None:
    """Add a named source.

    Parameters
    ----------
    name : str
        Lower case, words joined by hyphens; users may also write underscores or spaces.
    factory : callable
        Called with keyword parameters only; every parameter needs a default.
    aliases : iterable of str
        Other names for the same source.
    """
    _FACTORIES[_canonical(name)] = factory
    for alias in aliases:
        _ALIASES[_canonical(alias)] = _canonical(name)


def register_converter(converter: Callable[[Any], Source | None]) -> None:
    """Add a converter tried by `as_source` on objects: it returns a source, or None when the object is not its kind."""
    _CONVERTERS.append(converter)


def source_names() -> list[str]:
    """All registered names, sorted (aliases left out)."""
    return sorted(_FACTORIES)


def source_parameters(name: str) -> Mapping[str, Any]:
    """Parameters of a named source with their defaults (``inspect.Parameter.empty`` where there is none)."""
    return {key: p.default for key, p in _signature(_FACTORIES[_lookup(name)]).items()}


def as_source(obj: Any, **parameters: Any) -> Source:
    """Turn ``obj`` into a `Source`.

    Parameters
    ----------
    obj : object
        A `Source`; a name (``"laplace"``, ``"gaussian-mixture"``, …; ``"scipy:gennorm"`` for anything in
        scipy.stats); a frozen scipy.stats continuous
        distribution; a scipy.stats distribution of the new interface; a ``gaussian_kde``; or any object with
        the attributes of `Source`.
    **parameters
        Parameters of a named source, e.g. ``as_source("laplace", scale=0.7)``.

    Raises
    ------
    InvalidInput
        Unknown name or parameter (the nearest is suggested), parameters out of range, infinite variance, discrete
        distributions, or an object that is none of the above.
    """
    if isinstance(obj, str):
        return _named(obj, parameters)
    if parameters:
        raise InvalidInput(
            f"parameters ({', '.join(parameters)}) go with a source's name, not with a {type(obj).__name__}"
        )
    if isinstance(obj, Source):
        return obj
    for converter in _CONVERTERS:
        source = converter(obj)
        if source is not None:
            return source
    return _converted(obj)


def _named(name: str, parameters: Mapping[str, Any]) -> Source:
    if name.lower().startswith("scipy:"):
        return _scipy_named(name[6:].strip(), parameters)
    key = _lookup(name)
    factory = _FACTORIES[key]
    _check_parameters(key, parameters, list(_signature(factory)))
    return factory(**parameters)


def _scipy_named(name: str, parameters: Mapping[str, Any]) -> Source:
    dist = getattr(scipy.stats, name, None)
    if isinstance(dist, scipy.stats.rv_discrete):
        raise InvalidInput(
            f"scipy:{name} is discrete; heatrd takes continuous laws (finitely many points: heatrd.sources.Atoms)"
        )
    if not isinstance(dist, scipy.stats.rv_continuous):
        names = [n for n in dir(scipy.stats) if isinstance(getattr(scipy.stats, n), scipy.stats.rv_continuous)]
        raise InvalidInput(f"unknown scipy distribution {name!r}{_nearest(name, names)}")
    shapes = [s.strip() for s in dist.shapes.split(",")] if dist.shapes else []
    _check_parameters(f"scipy:{name}", parameters, [*shapes, "loc", "scale"])
    missing = [s for s in shapes if s not in parameters]
    if missing:
        raise InvalidInput(
            f"scipy:{name} needs the parameter {missing[0]!r}; it takes {', '.join([*shapes, 'loc', 'scale'])}"
        )
    return scipy_recognition.from_frozen(dist(**parameters))


def _converted(obj: Any) -> Source:
    frozen = getattr(obj, "dist", None)
    if isinstance(frozen, scipy.stats.rv_discrete) or isinstance(obj, scipy.stats.rv_discrete):
        raise InvalidInput(
            "a discrete scipy distribution; heatrd takes continuous laws (finitely many points: heatrd.sources.Atoms)"
        )
    if isinstance(frozen, scipy.stats.rv_continuous):
        return scipy_recognition.from_frozen(obj)
    if isinstance(obj, scipy.stats.rv_continuous):
        if obj.numargs:
            raise InvalidInput(f"scipy.stats.{obj.name} needs its parameters {obj.shapes}: pass a frozen distribution")
        return scipy_recognition.from_frozen(obj.freeze())
    if isinstance(obj, scipy.stats.gaussian_kde):
        return samples.from_kde(obj)
    if all(hasattr(obj, a) for a in ("logpdf", "iccdf", "icdf", "support", "variance", "sample")):
        if not all(hasattr(obj, a) for a in ("dim", "tail_cut")):
            return scipy_recognition.from_new_style(obj)
    if all(hasattr(obj, a) for a in _PROTOCOL) and (obj.dim != 1 or all(hasattr(obj, a) for a in _PROTOCOL_1D)):
        return obj
    raise InvalidInput(
        f"cannot read a source from {type(obj).__name__!r}; give a name, a scipy.stats "
        "continuous distribution, or a heatrd source "
        "(samples: heatrd.from_samples, tabulated densities: heatrd.from_grid)"
    )


def _canonical(name: str) -> str:
    return name.strip().lower().replace("_", "-").replace(" ", "-")


def _lookup(name: str) -> str:
    key = _canonical(name)
    key = _ALIASES.get(key, key)
    if key not in _FACTORIES:
        raise InvalidInput(f"unknown source {name!r}{_nearest(key, [*_FACTORIES, *_ALIASES])}")
    return key


def _nearest(name: str, known: Iterable[str]) -> str:
    known = sorted(known)
    close = difflib.get_close_matches(name, known, n=1, cutoff=0.5)
    return f"; did you mean {close[0]!r}?" if close else f"; known: {', '.join(known)}"


def _signature(factory: Callable[..., Source]) -> dict[str, inspect.Parameter]:
    target = inspect.getattr_static(factory, "__init__") if isinstance(factory, type) else factory
    parameters = dict(inspect.signature(target).parameters)
    parameters.pop("self", None)
    return parameters


def _check_parameters(name: str, given: Mapping[str, Any], known: list[str]) -> None:
    for key in given:
        if key not in known:
            close = difflib.get_close_matches(key, known, n=1, cutoff=0.4)
            hint = f"did you mean {close[0]!r}?" if close else f"it takes {', '.join(known) or 'no parameters'}"
            raise InvalidInput(f"{name}: unknown parameter {key!r}; {hint}")
