"""train the neural estimator R2D2 once and read off the whole curve, beside the certified one

examples:
  heatrd neural gaussian --dim 8 --steps 2000
  heatrd neural laplace --range 0.02,1 --seed 3 --json
  heatrd neural --samples patches.npy --no-certified --save model.npz --plot curve.png

Needs the extra: pip install 'heatrd[neural]'. The estimate (the paper's read-out) is no bound; the held-out
upper bound is one in expectation, with a standard error. "excess" is that bound above the certified optimum.
"""

from __future__ import annotations

import argparse
from contextlib import ExitStack
from typing import Any

import numpy as np

import heatrd
from heatrd.cli._output import (
    NATS_PER,
    add_output_arguments,
    add_unit_argument,
    check_output_files,
    deliver,
    numbers,
    print_json,
    print_table,
    progress_wanted,
    save_picture,
    sign_of_life,
    write_columns,
)
from heatrd.cli._sources import NamedSource, add_source_arguments, one_source
from heatrd.cli.compare import best_answer
from heatrd.cli.curve import number_list
from heatrd.errors import InvalidInput, TooLarge

__all__ = ["add_arguments", "run"]

TOL = 1e-6
RATES = ("rate", "rate_upper", "lagrangian_upper", "lagrangian_upper_stderr", "lagrangian_certified", "excess")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of ``heatrd neural``."""
    add_source_arguments(parser)
    parser.add_argument("--range", metavar="MIN,MAX", help="epsilons trained over (default: 0.02 to 1 of the variance)")
    parser.add_argument("--points", type=int, default=8, metavar="N", help="points read off the curve (default: 8)")
    parser.add_argument("--steps", type=int, default=1500, metavar="N", help="training steps (default: 1500)")
    parser.add_argument("--entropy", default="auto", metavar="NAME", help="terminal entropy in training")
    parser.add_argument("--seed", type=int, default=0, help="seed of training and evaluation (default: 0)")
    parser.add_argument("--held-out", type=int, metavar="N", help="points behind the bound (default: 16384)")
    parser.add_argument("--no-certified", action="store_true", help="do not solve for the certified curve beside it")
    parser.add_argument("--checkpoint", metavar="DIR", help="keep the training here, and resume it from here")
    parser.add_argument("--save", metavar="FILE", help="write the trained model (.npz)")
    add_unit_argument(parser)
    add_output_arguments(parser)


def run(args: argparse.Namespace) -> int:
    """Train, read off the curve, set it beside the certified one."""
    check_output_files(args)
    _check_sizes(args)
    named = one_source(args)
    model = _trained(named, args)
    if args.save:
        model.save(args.save)
    sizes = {} if args.held_out is None else {"held_out": args.held_out, "particles": args.held_out}
    with sign_of_life(f"R2D2: reading {args.points} points off the curve", args):
        curve = model.curve(args.points, **sizes)
    with sign_of_life(f"{named.label}: solving for the optimum beside it", args):
        columns = _columns(curve, None if args.no_certified else named.source, NATS_PER[args.unit])
    in_unit = {f"{name}_{args.unit}" if name in RATES else name: column for name, column in columns.items()}
    deliver(
        args,
        answer=lambda: _report(named, columns, args),
        out=lambda: write_columns(args.out, in_unit),
        plot=lambda: save_picture(args.plot, lambda figure: curve.plot(ax=figure.subplots(), unit=args.unit)),
    )
    return 0


def _trained(named: NamedSource, args: argparse.Namespace) -> Any:
    """The trained model; what comes before the first step, loading and compiling, shows a sign of life of its own."""
    with ExitStack() as ready:
        ready.enter_context(sign_of_life("R2D2: getting ready", args))
        model = heatrd.neural.R2D2(epsilon_range=_range(args.range), entropy=args.entropy, seed=args.seed)
        model.fit(
            named.source, steps=args.steps, progress=progress_wanted(args), checkpoint=args.checkpoint,
            resume=args.checkpoint is not None, callback=lambda step, loss: ready.close(),
        )
    return model


def _check_sizes(args: argparse.Namespace) -> None:
    """Refuse before the training what the read-out could not use."""
    for option, value, least in (("--points", args.points, 1), ("--held-out", args.held_out, 2)):
        if value is not None and value < least:
            raise InvalidInput(f"{option} {value}; need at least {least}")


def _report(named: NamedSource, columns: dict[str, np.ndarray], args: argparse.Namespace) -> None:
    if args.json:
        print_json({"source": named.label, "unit": args.unit, "seed": args.seed, "steps": args.steps, **columns})
    else:
        print(f"{named.label}: rates in {args.unit}s per vector of {named.source.dim}")
        print_table({name.replace("_", " "): numbers(column) for name, column in columns.items()})


def _range(text: str | None) -> tuple[float, float] | None:
    if text is None:
        return None
    ends = number_list(text, "--range")
    if ends.size != 2 or not 0 < ends[0] < ends[1]:
        raise InvalidInput(f"--range {text!r} is no range; give two increasing positive numbers: --range 0.02,1")
    return float(ends[0]), float(ends[1])


def _columns(curve: Any, source: Any, per: float) -> dict[str, np.ndarray]:
    """Return estimate, held-out bound and certified optimum by column; rates and Lagrangians in the unit asked."""
    upper = curve.column("lagrangian_upper")
    columns = {
        "epsilon": curve.epsilons,
        "distortion": curve.distortions,
        "rate": curve.rates / per,
        "upper_distortion": curve.column("upper_distortion"),
        "rate_upper": curve.column("upper_rate") / per,
        "lagrangian_upper": upper / per,
        "lagrangian_upper_stderr": curve.column("lagrangian_upper_stderr") / per,
    }
    if source is not None:
        certified = np.array([_certified(source, float(epsilon)) for epsilon in curve.epsilons])
        columns |= {"lagrangian_certified": certified / per, "excess": (upper - certified) / per}
    return columns


def _certified(source: Any, epsilon: float) -> float:
    """Return the certified lower bound of L(ε), or nan where the source is out of the solver's reach."""
    try:
        return float(best_answer(source, TOL, epsilon=epsilon).lagrangian_lower)
    except (InvalidInput, TooLarge):
        return float("nan")
