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
    deliver,
    print_json,
    print_pairs,
    save_picture,
    sign_of_life,
    write_columns,
)
from heatrd.cli._sources import add_source_arguments, one_source
from heatrd.cli.curve import number_list
from heatrd.errors import InvalidInput

__all__ = ["add_arguments", "run"]


EVIDENCE = ("method", "theta", "distortion", "amplification", "cutoff", "noise", "estimated_error", "negative_mass",
            "residual")  # fmt: skip
TIMES = np.linspace(0.0, 1.0, 5)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of ``heatrd path``."""
    add_source_arguments(parser)
    parser.add_argument("--epsilon", type=float, required=True, metavar="E", help="how far to go back")
    parser.add_argument("--solver", default="auto", metavar="NAME", help="backward solver (default: auto)")
    parser.add_argument("--times", metavar="T,T,...", help="times written by --out (default: 0,0.25,0.5,0.75,1)")
    parser.add_argument("--no-certificate", action="store_true", help="skip the certified gap of the reconstruction")
    add_output_arguments(parser, pictures=(*PICTURES, ".gif"))


def run(args: argparse.Namespace) -> int:
    """Solve backwards, report, draw and write."""
    check_output_files(args)
    times = None if args.times is None else number_list(args.times, "--times")
    named = one_source(args)
    with sign_of_life(f"solving the backward heat equation for {named.label}", args):
        path = heatrd.backward_heat(named.source, args.epsilon, method=args.solver)
        gap = None if args.no_certificate else path.certificate.gap
    record = {"source": named.label, "epsilon": args.epsilon, **{name: getattr(path, name) for name in EVIDENCE}}
    record |= {"flags": list(path.flags)} | ({} if gap is None else {"gap": gap})
    deliver(
        args,
        answer=lambda: _report(record, args),
        out=lambda: write_columns(args.out, _columns(path, _times(path) if times is None else times)),
        plot=lambda: _draw(args.plot, path),
    )
    return 0


def _report(record: dict[str, Any], args: argparse.Namespace) -> None:
    if args.json:
        print_json(record)
    else:
        print_pairs([(name.replace("_", " "), _text(value)) for name, value in record.items()])


def _text(value: Any) -> str:
    if isinstance(value, list):
        return "; ".join(value) or "none"
    return f"{value:.8g}" if isinstance(value, float) else str(value)


def _times(path: Any) -> np.ndarray:
    """Return the default times, without 1 where the reconstruction has no density."""
    try:
        path.density(1.0)
    except InvalidInput:
        return TIMES[:-1]
    return TIMES


def _columns(path: Any, times: np.ndarray) -> dict[str, np.ndarray]:
    """Return density and control on the path's own grid, thinned to some thousand points a time."""
    stride = max(1, int(np.ceil((np.prod([len(axis) for axis in path.grid.axes]) / 4096) ** (1 / path.dim))))
    axes = [np.asarray(axis)[::stride] for axis in path.grid.axes]
    points = np.stack([axis.ravel() for axis in np.meshgrid(*axes, indexing="ij")], axis=-1)
    density = np.concatenate([np.ravel(path.density(t, points)) for t in times])
    control = np.concatenate([np.reshape(path.control(t, points), (len(points), -1)) for t in times])
    every = np.tile(points, (len(times), 1))
    label = [""] if path.dim == 1 else [f"_{axis + 1}" for axis in range(path.dim)]
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
        size = None if path.dim == 1 else (12.0, 3.0)
        save_picture(file, lambda figure: path.plot(ax=figure.subplots()), size=size)
