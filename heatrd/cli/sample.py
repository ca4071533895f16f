"""sampled paths under the optimal control, checked against exact values

examples:
  heatrd sample laplace --epsilon 0.2 --paths 20000 --steps 100
  heatrd sample gaussian --epsilon 0.5 --seed 7 --json

Draws paths of the controlled SDE from the Schroedinger bridge of the certified solution and sets exact value,
estimate, standard error and z-score side by side.
"""

from __future__ import annotations

import argparse
from typing import Any

import numpy as np

import heatrd
from heatrd.cli._output import (
    add_output_arguments,
    check_output_files,
    numbers,
    print_json,
    print_table,
    save_picture,
    sign_of_life,
    write_columns,
)
from heatrd.cli._sources import add_source_arguments, one_source

__all__ = ["add_arguments", "run"]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of ``heatrd sample``."""
    add_source_arguments(parser)
    parser.add_argument("--epsilon", type=float, required=True, metavar="E", help="diffusion coefficient of the SDE")
    parser.add_argument("--paths", type=int, default=10_000, metavar="N", help="number of paths (default: 10000)")
    parser.add_argument("--steps", type=int, default=100, metavar="N", help="time steps (default: 100)")
    parser.add_argument("--seed", type=int, default=0, help="seed of the random numbers (default: 0)")
    add_output_arguments(parser)


def run(args: argparse.Namespace) -> int:
    """Sample, compare with the exact values, write the terminal points."""
    check_output_files(args)
    named = one_source(args)
    with sign_of_life(f"sampling {args.paths} paths of {named.label}", args):
        solution = heatrd.solve(named.source, epsilon=args.epsilon)
        ensemble = heatrd.sample(solution.bridge, args.paths, args.steps, rng=args.seed)
    table = summary(solution, ensemble)
    if args.json:
        print_json({"source": named.label, "epsilon": args.epsilon, "paths": args.paths, "steps": args.steps,
                    "seed": args.seed, "quantities": table})  # fmt: skip
    else:
        heads = ("exact", "estimate", "stderr", "z")
        columns = {head: numbers([row[head] for row in table.values()]) for head in heads}
        print_table({"quantity": list(table), **columns})
    if args.out:
        terminal = np.atleast_2d(np.asarray(ensemble.terminal).T)
        write_columns(args.out, {f"x{axis + 1}": column for axis, column in enumerate(terminal)})
    if args.plot:
        save_picture(args.plot, lambda figure: ensemble.plot(ax=figure.subplots()))
    return 0


def summary(solution: Any, ensemble: Any) -> dict[str, dict[str, float]]:
    """Return exact value, estimate, standard error and z-score of the distortion."""
    return {"distortion": _row(solution.distortion, ensemble.distortion, ensemble.distortion_stderr)}


def _row(exact: float, estimate: float, stderr: float) -> dict[str, float]:
    z = (estimate - exact) / stderr if stderr > 0 else float("nan")
    return {"exact": exact, "estimate": estimate, "stderr": stderr, "z": z}
