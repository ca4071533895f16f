"""Sources on the command line: a name with parameters, a scipy.stats name, a file of samples or of a density."""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import heatrd
from heatrd.errors import InvalidInput

__all__ = ["NamedSource", "add_source_arguments", "one_source", "read_sources"]


MAX_COPIES = 1000
_DATA = (".csv", ".txt", ".npy", ".npz")


@dataclass(frozen=True, slots=True, eq=False)
class NamedSource:
    """A source and the words the user called it by."""

    label: str
    source: Any


def add_source_arguments(parser: argparse.ArgumentParser, *, several: bool = False) -> None:
    """Add the options that say which source, or sources, a command is about."""
    group = parser.add_argument_group("source")
    what = "source names" if several else "source name"
    group.add_argument(
        "sources", nargs="*", metavar="SOURCE", help=f"{what} such as laplace, uniform, gaussian-mixture, scipy:gennorm"
    )
    group.add_argument(
        "--source", action="append", default=[], metavar="NAME", dest="more", help="the same, as an option"
    )
    group.add_argument(
        "--param",
        action="append",
        default=[],
        metavar="K=V",
        help="a parameter of the source: scale=0.7, weights=0.3,0.7, cov=[[1,0],[0,2]]"
        + ("; laplace.scale=2 for one source of several" if several else ""),
    )
    group.add_argument(
        "--dim", type=int, metavar="D", help="dimension: of a sphere, a ball, ...; or D independent copies"
    )
    group.add_argument(
        "--samples", action="append", default=[], metavar="FILE", help="samples in a .csv, .txt, .npy or .npz file"
    )
    group.add_argument(
        "--method", choices=("atoms", "kde"), default="atoms", help="samples as equal atoms, or as a kernel density"
    )
    group.add_argument("--bandwidth", metavar="H", help="of the kernel density: a number, silverman or scott")
    group.add_argument(
        "--density", action="append", default=[], metavar="FILE", help="a tabulated density: columns x (y, z), p"
    )
    group.add_argument("--normalize", action="store_true", help="rescale a tabulated density to unit mass")


def read_sources(args: argparse.Namespace) -> list[NamedSource]:
    """Build every source the user named, in the order of the command line.

    Raises
    ------
    InvalidInput
        No source, an unknown one, a wrong parameter, or an unusable file.
    """
    names = [*args.sources, *args.more]
    shared, own = _parameters(args.param, names)
    if (shared or args.dim is not None) and not names:
        raise InvalidInput("--param and --dim describe a named source; name one, for example: laplace --param scale=2")
    found = [_named(name, {**shared, **own[name]}, args.dim) for name in names]
    found += [NamedSource(file, _samples(file, args)) for file in args.samples]
    found += [NamedSource(file, _density(file, args.normalize)) for file in args.density]
    if not found:
        raise InvalidInput("no source given; name one (for example laplace), or use --samples FILE or --density FILE")
    return found


def one_source(args: argparse.Namespace) -> NamedSource:
    """Build the one source of a command that takes exactly one."""
    found = read_sources(args)
    if len(found) > 1:
        labels = ", ".join(each.label for each in found)
        raise InvalidInput(f"one source is needed, {len(found)} were given ({labels}); run the command once for each")
    return found[0]


def _named(name: str, parameters: Mapping[str, Any], dim: int | None) -> NamedSource:
    """Build a named source; ``dim`` is a parameter of some, and a number of independent copies of the others."""
    if name.lower().endswith(_DATA):
        raise InvalidInput(f"{name!r} is a file, not a named source; give it as --samples {name} or --density {name}")
    takes_dim = dim is not None and not name.startswith("scipy:") and "dim" in heatrd.sources.source_parameters(name)
    label = _label(name, {**parameters, **({} if dim is None else {"dim": dim})})
    source = heatrd.as_source(name, **parameters, **({"dim": dim} if takes_dim else {}))
    if dim is None or takes_dim:
        return NamedSource(label, source)
    if not 1 <= dim <= MAX_COPIES:
        raise InvalidInput(f"--dim {dim} copies of {name!r} cannot be had; give a number from 1 to {MAX_COPIES}")
    return NamedSource(label, heatrd.sources.Product([source] * dim))


def _samples(file: str, args: argparse.Namespace) -> Any:
    options = {} if args.bandwidth is None else {"bandwidth": parse_value(args.bandwidth)}
    return heatrd.sources.load_samples(file, method=args.method, **options)


def _density(file: str, normalize: bool) -> Any:
    options = {"normalize": True} if normalize else {}
    return heatrd.sources.load_density(file, **options)


def _label(name: str, parameters: Mapping[str, Any]) -> str:
    inside = ", ".join(f"{key}={value}" for key, value in parameters.items())
    return f"{name}({inside})" if inside else name


def _parameters(words: Sequence[str], names: Sequence[str]) -> tuple[dict[str, Any], dict[str, dict[str, Any]]]:
    """Split ``K=V`` words into parameters for all sources and, where written NAME.K=V, for one."""
    shared: dict[str, Any] = {}
    own: dict[str, dict[str, Any]] = {name: {} for name in names}
    for word in words:
        key, equals, text = word.partition("=")
        if not equals or not key.strip():
            raise InvalidInput(f"--param {word!r} is not of the form name=value; try: --param scale=0.7")
        owner, dot, short = key.strip().rpartition(".")
        if dot and owner not in own:
            raise InvalidInput(f"--param {word!r} is for source {owner!r}, which is not among {', '.join(names)}")
        (own[owner] if dot else shared)[short] = parse_value(text)
    return shared, own


def parse_value(text: str) -> Any:
    """Read a parameter: JSON where it is JSON, a comma-separated list of numbers, or else a word."""
    for candidate in (text, f"[{text}]" if "," in text else text):
        try:
            return json.loads(candidate)
        except ValueError:
            continue
    try:
        return float(text)  # numbers JSON does not know, such as .5
    except ValueError:
        return text.strip()
