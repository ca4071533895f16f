"""one certified point of the curve, with its reconstruction law

examples:
  heatrd solve uniform --distortion 0.1 --json
  heatrd solve laplace --param scale=0.7 --rate 1 --unit bit
  heatrd solve scipy:gennorm --param beta=0.8 --epsilon 0.2 --plot point.png
  heatrd solve --samples x.csv --method kde --distortion 0.05 --out law.csv

Give exactly one of --epsilon, --distortion, --rate. Rates are upper and lower bounds at the distortion printed.
"""

from __future__ import annotations

import argparse
import math
import sys
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
    print_pairs,
    print_table,
    save_picture,
    sign_of_life,
    write_columns,
)
from heatrd.cli._sources import NamedSource, add_source_arguments, one_source
from heatrd.errors import InvalidInput, NotConverged

__all__ = ["add_arguments", "run"]

ATOMS_SHOWN = 25


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of ``heatrd solve``."""
    add_source_arguments(parser)
    group = parser.add_argument_group("target (exactly one)").add_mutually_exclusive_group()
    group.add_argument("--epsilon", type=float, metavar="E", help="per-coordinate variance of the backward channel")
    group.add_argument("--distortion", type=float, metavar="D", help="squared error, summed over coordinates")
    group.add_argument("--rate", type=float, metavar="R", help="rate, in --unit")
    parser.add_argument("--tol", type=float, help="width of the certified interval, nats (default: 1e-9 on the line)")
    add_unit_argument(parser)
    add_output_arguments(parser)


def run(args: argparse.Namespace) -> int:
    """Solve, print, draw and write one point."""
    check_output_files(args)
    if args.epsilon is args.distortion is args.rate is None:
        raise InvalidInput("no target; give exactly one of --epsilon, --distortion, --rate")
    named = one_source(args)
    with sign_of_life(f"solving {named.label}", args):
        solution, complaint = _solve(named, args)
    deliver(
        args,
        answer=lambda: _report(solution, named, args),
        out=lambda: write_columns(args.out, _law_columns(solution)),
        plot=lambda: save_picture(args.plot, lambda figure: _draw(figure, solution, args.unit)),
    )
    if complaint or solution.gap > solution.tol:
        reason = complaint or f"certified to {solution.gap:.2g} nats, not to the {solution.tol:.2g} asked; raise --tol"
        print(f"heatrd: {' '.join(reason.split())}", file=sys.stderr)
        return 3
    return 0


def _solve(named: NamedSource, args: argparse.Namespace) -> tuple[Any, str | None]:
    """Return the solution, and the solver's complaint where it stopped short of the tolerance."""
    rate = None if args.rate is None else args.rate * NATS_PER[args.unit]
    try:
        found = heatrd.solve(named.source, epsilon=args.epsilon, distortion=args.distortion, rate=rate, tol=args.tol)
        return found, None
    except NotConverged as error:
        if error.result is None:
            raise
        return error.result, str(error)


def _draw(figure: Any, solution: Any, unit: str) -> None:
    above, below = heatrd.plots.panels(figure, solution)
    heatrd.plots.plot_solution(solution, ax=above, certificate_ax=below, unit=unit)


def bounds_beside(source: Any, distortion: float) -> dict[str, float]:
    """Return the Shannon lower and the Gaussian upper bound at a distortion, nats; nan at none (a constant source)."""
    if distortion <= 0:
        return {"shannon_lower_bound": math.nan, "gaussian_upper_bound": math.nan}
    return {
        "shannon_lower_bound": float(heatrd.shannon_lower_bound(source, distortion)),
        "gaussian_upper_bound": float(heatrd.gaussian_upper_bound(source, distortion)),
    }


def as_record(solution: Any, named: NamedSource, unit: str) -> dict[str, Any]:
    """Return the solution under the field names of the Python interface; rates in ``unit``."""
    per = NATS_PER[unit]
    rates = {name: getattr(solution, name) for name in ("rate", "rate_lower", "gap", "lagrangian", "lagrangian_lower")}
    rates |= bounds_beside(named.source, solution.distortion)
    return {
        "source": named.label,
        "unit": unit,
        "epsilon": solution.epsilon,
        "distortion": solution.distortion,
        **{name: value / per for name, value in rates.items()},
        "bits": solution.bits,
        "snr_db": solution.snr_db,
        "regime": solution.regime,
        "reconstruction": _law_record(solution.reconstruction),
    }


def _listable(law: Any) -> bool:
    """Whether the law's points are few enough to be listed; else it is a product of laws."""
    return bool(getattr(law, "listable", True))


def _law_record(law: Any) -> dict[str, Any]:
    """Points and weights; of a product with too many of them the blocks x = shift + Σ_b basis_b z_b."""
    if _listable(law):
        return {"points": law.points, "weights": law.weights}
    blocks = [{**_law_record(block), "basis": basis} for block, basis in zip(law.blocks, law.bases, strict=True)]
    return {"blocks": blocks, "shift": law.shift}


def _report(solution: Any, named: NamedSource, args: argparse.Namespace) -> None:
    if args.json:
        print_json(as_record(solution, named, args.unit))
    else:
        _print(solution, named, args.unit)


def _print(solution: Any, named: NamedSource, unit: str) -> None:
    per = NATS_PER[unit]
    beside = bounds_beside(named.source, solution.distortion)
    law = solution.reconstruction
    count = f"{len(law.weights)}" if _listable(law) else f"{float(len(law)):.3g}"
    print_pairs(
        [
            ("source", named.label),
            ("regime", f"{solution.regime}, {count} point{'s' * (count != '1')}"),
            ("epsilon", f"{solution.epsilon:.12g}"),
            ("distortion", f"{solution.distortion:.12g}  (SNR {solution.snr_db:.4f} dB)"),
            (f"rate ({unit})", f"{solution.rate / per:.12g}  certified upper bound"),
            (f"rate lower ({unit})", f"{solution.rate_lower / per:.12g}  certified lower bound"),
            (f"gap ({unit})", f"{solution.gap / per:.2e}"),
            (f"Shannon bound ({unit})", numbers([beside["shannon_lower_bound"] / per], ".10g")[0]),
            (f"Gaussian bound ({unit})", numbers([beside["gaussian_upper_bound"] / per], ".10g")[0]),
            (f"slope dR/dD ({unit})", f"{-1 / (2 * solution.epsilon * per):.8g}"),
        ]
    )
    _print_law(law)


def _print_law(law: Any) -> None:
    """Print the reconstruction law; of many points only the heaviest."""
    if not _listable(law):
        sizes = " × ".join(str(len(block)) for block in law.blocks)
        print(f"\n(a product of {len(law.blocks)} laws with {sizes} points; --json gives each)")
        return
    heaviest = np.sort(np.argsort(-law.weights, kind="stable")[:ATOMS_SHOWN])
    points = np.atleast_2d(law.points[heaviest].T)
    names = ["point"] if len(points) == 1 else [f"point {axis + 1}" for axis in range(len(points))]
    print()
    columns = {name: numbers(column, ".10g") for name, column in zip(names, points, strict=True)}
    print_table({**columns, "weight": numbers(law.weights[heaviest], ".6g")})
    if len(heaviest) < len(law.weights):
        rest = math.fsum(law.weights) - math.fsum(law.weights[heaviest])
        print(f"({len(law.weights) - len(heaviest)} lighter points, mass {rest:.2g}; --out law.csv writes all)")


def _law_columns(solution: Any) -> dict[str, Any]:
    law = solution.reconstruction
    axes = np.atleast_2d(law.points.T)
    names = ["point"] if len(axes) == 1 else [f"point_{axis + 1}" for axis in range(len(axes))]
    return {**dict(zip(names, axes, strict=True)), "weight": law.weights}
