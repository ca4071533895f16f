"""the critical epsilon and distortion: up to there the Shannon lower bound is tight

examples:
  heatrd critical gaussian-mixture
  heatrd critical ring --param noise=0.3 --json
  heatrd critical scipy:logistic --unit bit

For epsilon <= epsilon_c the source is a Gaussian blur of its reconstruction law (the backward-heat class),
R(D) equals the Shannon lower bound, and one density path serves the whole curve.
"""

from __future__ import annotations

import argparse
from typing import Any

import heatrd
from heatrd.cli._output import NATS_PER, add_unit_argument, numbers, print_json, print_pairs, sign_of_life
from heatrd.cli._sources import add_source_arguments, one_source

__all__ = ["add_arguments", "run"]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of ``heatrd critical``."""
    add_source_arguments(parser)
    add_unit_argument(parser)
    parser.add_argument("--json", action="store_true", help="print exactly one JSON object on stdout")
    parser.add_argument("--quiet", action="store_true", help="no progress on stderr")


def run(args: argparse.Namespace) -> int:
    """Find and print the critical point."""
    named = one_source(args)
    with sign_of_life(f"looking for the critical epsilon of {named.label}", args):
        epsilon = heatrd.critical_epsilon(named.source)
        distortion = heatrd.critical_distortion(named.source)
    record = {
        "source": named.label,
        "unit": args.unit,
        **_interval("critical_epsilon", epsilon),
        **_interval("critical_distortion", distortion),
        "rate": _rate(named.source, float(distortion)) / NATS_PER[args.unit],
    }
    if args.json:
        print_json(record)
        return 0
    rate = numbers([record["rate"]], ".10g")[0]
    print_pairs(
        [
            ("source", named.label),
            ("critical epsilon", _text("critical_epsilon", record)),
            ("critical distortion", _text("critical_distortion", record)),
            (f"rate there ({args.unit})", rate if float(distortion) > 0 else "unbounded"),
        ]
    )
    return 0


def _rate(source: Any, distortion: float) -> float:
    """R(D_c) in nats: there the Shannon lower bound is tight."""
    return float(heatrd.shannon_lower_bound(source, distortion)) if distortion > 0 else float("inf")


def _interval(name: str, value: Any) -> dict[str, float]:
    """Return the value, and its bounds where it is known only to lie between them."""
    ends = {f"{name}_{end}": float(getattr(value, end)) for end in ("lower", "upper") if hasattr(value, end)}
    return {name: float(value), **ends}


def _text(name: str, record: dict[str, Any]) -> str:
    lower, upper = (record.get(f"{name}_{end}") for end in ("lower", "upper"))
    between = f"  (in [{lower:.10g}, {upper:.10g}])" if lower != upper else ""
    return f"{record[name]:.10g}{between}"
