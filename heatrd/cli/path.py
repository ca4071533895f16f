"""the optimal density path and control, from the backward heat equation

examples:
  heatrd path ring --epsilon 0.08 --plot path.png
  heatrd path gaussian-mixture --epsilon 0.2 --out path.csv --times 0,0.5,1
  heatrd path gaussian --epsilon 0.5 --plot path.gif

Solves the heat equation backwards from the source over "time" epsilon. Reports what the answer rests on:
noise amplification, what was cut, the residual of pushing it forward again, and the certified gap.
"""

from __future__ import annotations

import argparse
from typing import Any

import numpy as np

import heatrd
from heatrd.cli._output import (
    PICTURES,
    add_output_arguments,
    check_output_files,
    print_json,
    print_pairs,
    save_picture,
    sign_of_life,
    write_columns,
)
from heatrd.cli._sources import NamedSource, add_source_arguments, one_source
from heatrd.cli.curve import number_list

__all__ = ["add_arguments", "run"]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of ``heatrd path``."""
    add_source_arguments(parser)
    parser.add_argument("--epsilon", type=float, required=True, metavar="E", help="how far to go back")
    parser.add_argument("--solver", default="auto", metavar="NAME", help="backward solver (default: auto)")
    parser.add_argument("--times", default="0,0.25,0.5,0.75,1", metavar="T,T,...", help="times written by --out")
    add_output_arguments(parser, pictures=(*PICTURES, ".gif"))


def run(args: argparse.Namespace) -> int:
    """Solve backwards, report, draw and write."""
    check_output_files(args)
    named = one_source(args)
    with sign_of_life(f"solving the backward heat equation for {named.label}", args):
        found = heatrd.backward_heat(named.source, args.epsilon, method=args.solver)
    record = {"source": named.label, "epsilon": args.epsilon, **scalars_of(found)}
    if args.json:
        print_json(record)
    else:
        print_pairs([(name.replace("_", " "), _text(value)) for name, value in record.items()])
    if args.out:
        write_columns(args.out, _columns(named, found, number_list(args.times, "--times")))
    if args.plot:
        _draw(args.plot, found)
    return 0


def scalars_of(result: Any) -> dict[str, Any]:
    """Return the numbers, words and flags among the public attributes of a result."""
    names = [name for name in dir(result) if not name.startswith("_")]
    values = {name: getattr(result, name, None) for name in names}
    return {name: value for name, value in values.items() if isinstance(value, str | bool | int | float | np.number)}


def _text(value: Any) -> str:
    return f"{value:.10g}" if isinstance(value, float | np.floating) else str(value)


def _columns(named: NamedSource, path: Any, times: np.ndarray) -> dict[str, np.ndarray]:
    """Return density and control along the path on points that cover the source (1-D)."""
    spread = np.sqrt(np.diag(named.source.covariance))
    axes = [np.linspace(m - 5 * s, m + 5 * s, 401 if named.source.dim == 1 else 61)
            for m, s in zip(named.source.mean, spread, strict=True)]  # fmt: skip
    points = np.stack([axis.ravel() for axis in np.meshgrid(*axes, indexing="ij")], axis=-1)
    density = np.concatenate([np.ravel(path.density(t, points)) for t in times])
    control = np.concatenate([np.reshape(path.control(t, points), (len(points), -1)) for t in times])
    every = np.tile(points, (len(times), 1))
    label = [""] if named.source.dim == 1 else [f"_{axis + 1}" for axis in range(named.source.dim)]
    return {
        "t": np.repeat(times, len(points)),
        **{f"x{suffix}": every[:, axis] for axis, suffix in enumerate(label)},
        "density": density,
        **{f"control{suffix}": control[:, axis] for axis, suffix in enumerate(label)},
    }


def _draw(file: str, path: Any) -> None:
    if file.lower().endswith(".gif"):
        path.animate(file)
    else:
        save_picture(file, lambda figure: path.plot(ax=figure.subplots()))
