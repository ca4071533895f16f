"""sampled paths under the optimal control, checked against exact values

examples:
  heatrd sample laplace --epsilon 0.2 --paths 20000 --steps 100
  heatrd sample gaussian --epsilon 0.5 --seed 7 --json
  heatrd sample uniform --epsilon 0.2 --scheme heun --plot paths.png --out terminal.csv

Draws paths of dX = u dt + sqrt(epsilon) dW under the optimal control of the certified solution, and sets exact value,
estimate, standard error and z-score side by side: the distortion, and the account energy + terminal entropy over
[0, s] (s = 1, or 0.95 where the reconstruction law has atoms, whose entropy is minus infinity).
"""

from __future__ import annotations

import argparse
import math
from typing import Any

import numpy as np

import heatrd
from heatrd.cli._output import (
    add_output_arguments,
    check_output_files,
    deliver,
    numbers,
    print_json,
    print_table,
    save_picture,
    sign_of_life,
    write_columns,
)
from heatrd.cli._sources import add_source_arguments, one_source
from heatrd.cli.compare import best_answer

__all__ = ["add_arguments", "run"]

TOL = 1e-9
SCHEMES = ("auto", "exact", "euler", "exponential", "heun")
HEADS = ("exact", "estimate", "stderr", "z")
PATHS_DRAWN = 60
BATCHES = 16


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of ``heatrd sample``."""
    add_source_arguments(parser)
    parser.add_argument("--epsilon", type=float, required=True, metavar="E", help="diffusion coefficient of the SDE")
    parser.add_argument("--paths", type=int, default=10_000, metavar="N", help="number of paths (default: 10000)")
    parser.add_argument("--steps", type=int, default=100, metavar="N", help="time steps (default: 100)")
    parser.add_argument("--scheme", choices=SCHEMES, default="auto", help="how paths are drawn (default: auto)")
    parser.add_argument("--seed", type=int, default=0, help="seed of the random numbers (default: 0)")
    add_output_arguments(parser)


def run(args: argparse.Namespace) -> int:
    """Sample, compare with the exact values, draw some paths, write the terminal points."""
    check_output_files(args)
    named = one_source(args)
    with sign_of_life(f"sampling {args.paths} paths of {named.label}", args):
        solution = best_answer(named.source, TOL, epsilon=args.epsilon)
        ensemble = heatrd.sample(solution.bridge, args.paths, args.steps, rng=args.seed, scheme=args.scheme)
        table = summary(solution, ensemble, args)
    terminal = {f"x{axis + 1}": column for axis, column in enumerate(ensemble.terminal.T)}
    deliver(
        args,
        answer=lambda: _report(named.label, ensemble.scheme, table, args),
        out=lambda: write_columns(args.out, terminal),
        plot=lambda: save_picture(args.plot, lambda figure: _draw(figure, solution.bridge, args)),
    )
    return 0


def _report(label: str, scheme: str, table: dict[str, dict[str, float]], args: argparse.Namespace) -> None:
    if args.json:
        settings = {name: getattr(args, name) for name in ("epsilon", "paths", "steps", "seed")}
        print_json({"source": label, **settings, "scheme": scheme, "quantities": table})
    else:
        columns = {head: numbers([row[head] for row in table.values()]) for head in HEADS}
        print_table({"quantity": list(table), **columns})


def summary(solution: Any, ensemble: Any, args: argparse.Namespace) -> dict[str, dict[str, float]]:
    """Return exact value, estimate, standard error and z-score of each quantity, nats and squared source units."""
    paths = max(BATCHES, args.paths - args.paths % BATCHES)
    sampled = heatrd.tec_account(solution.bridge, method="paths", n_paths=paths, rng=args.seed)
    exact = heatrd.tec_account(solution.bridge, method="potentials", until=sampled.until)
    rows = {"distortion": _row(solution.distortion, ensemble.distortion)}
    for name in ("energy", "entropy", "total", "excess"):
        rows[f"{name} to s={sampled.until:g}"] = _row(float(getattr(exact, name)), getattr(sampled, name))
    return rows


def _row(exact: float, estimate: Any) -> dict[str, float]:
    """One line of the table; without a standard error there is no z-score."""
    stderr = float(estimate.stderr)
    z = (float(estimate) - exact) / stderr if stderr > 0 else math.nan
    return {"exact": exact, "estimate": float(estimate), "stderr": stderr, "z": z}


def _draw(figure: Any, bridge: Any, args: argparse.Namespace) -> None:
    few = heatrd.sample(bridge, PATHS_DRAWN, max(args.steps, 2), rng=np.random.default_rng(args.seed), save=True)
    heatrd.plots.plot_paths(few, ax=figure.subplots(), bridge=bridge if few.dim == 1 else None)
