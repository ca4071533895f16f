"""train the neural estimator R2D2 and set its curve beside certified bounds

examples:
  heatrd neural gaussian --dim 8 --steps 2000
  heatrd neural laplace --epsilon 0.02,1 --seed 3 --json

Needs the extra: pip install 'heatrd[neural]'.
"""

from __future__ import annotations

import argparse

import numpy as np

import heatrd
from heatrd.cli._output import (
    NATS_PER,
    add_output_arguments,
    add_unit_argument,
    check_output_files,
    numbers,
    print_json,
    print_table,
    progress_wanted,
    write_columns,
)
from heatrd.cli._sources import add_source_arguments, one_source
from heatrd.cli.curve import number_list
from heatrd.errors import InvalidInput

__all__ = ["add_arguments", "run"]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of ``heatrd neural``."""
    add_source_arguments(parser)
    parser.add_argument("--epsilon", default="0.02,1", metavar="MIN,MAX", help="range of epsilon trained over")
    parser.add_argument("--points", type=int, default=8, metavar="N", help="points read off the curve (default: 8)")
    parser.add_argument("--steps", type=int, default=1500, metavar="N", help="training steps (default: 1500)")
    parser.add_argument("--seed", type=int, default=0, help="seed of training and evaluation (default: 0)")
    add_unit_argument(parser)
    add_output_arguments(parser)


def run(args: argparse.Namespace) -> int:
    """Train, read off the curve, print it."""
    check_output_files(args)
    named = one_source(args)
    ends = number_list(args.epsilon, "--epsilon")
    if ends.size != 2 or not 0 < ends[0] < ends[1]:
        raise InvalidInput(f"--epsilon {args.epsilon!r} is no range; two increasing positive numbers: --epsilon 0.02,1")
    model = heatrd.neural.R2D2(epsilon_range=(float(ends[0]), float(ends[1])), seed=args.seed)
    model.fit(named.source, steps=args.steps, progress=progress_wanted(args))
    epsilons = np.geomspace(ends[0], ends[1], args.points)
    points = [model.rate_distortion(float(epsilon)) for epsilon in epsilons]
    rates = np.array([point.rate for point in points]) / NATS_PER[args.unit]
    columns = {"epsilon": epsilons, "distortion": np.array([point.distortion for point in points]), "rate": rates}
    if args.json:
        print_json({"source": named.label, "unit": args.unit, **columns})
    else:
        print_table({head: numbers(column) for head, column in columns.items()})
    if args.out:
        write_columns(args.out, columns)
    return 0
