"""your own (distortion, rate) points against the certified curve

examples:
  heatrd compare points.csv --source laplace
  heatrd compare codec.csv --unit bit --samples coefficients.npy --method kde --plot gap.png
  heatrd compare points.csv --source gaussian --json

points.csv has a column of distortions (distortion, mse or d) and one of rates (rate, rate_nat, rate_bit, bits or
nats), or just two columns of numbers: distortion, rate. A rate column that names its unit wins over --unit.

For each point: the certified interval of R(distortion); the gap to it in rate; the gap in dB, that is how much
lower the distortion could be at the point's rate; and whether the point is impossible, because it lies below
the certified lower bound.
"""

from __future__ import annotations

import argparse
import csv
import math
import sys
import warnings
from dataclasses import dataclass
from pathlib import Path
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
    save_picture,
    sign_of_life,
    write_columns,
)
from heatrd.cli._sources import NamedSource, add_source_arguments, one_source
from heatrd.errors import HeatrdWarning, InvalidInput, NotConverged

__all__ = ["add_arguments", "compare_point", "read_points", "run"]

DISTORTION_NAMES = ("distortion", "mse", "d")
RATE_NAMES = {"rate": None, "r": None, "rate_nat": "nat", "rate_nats": "nat", "nats": "nat", "rate_bit": "bit",
              "rate_bits": "bit", "bits": "bit"}  # fmt: skip


@dataclass(frozen=True, slots=True, eq=False)
class Comparison:
    """One point beside the curve; all rates in nats.

    Attributes
    ----------
    distortion, rate : float
        The point.
    lower, upper : float
        The certified interval of R(distortion).
    gap_db : float
        10 log₁₀ of the point's distortion over the distortion that the curve reaches at the point's rate.
    certified : bool
        Whether the interval is as narrow as asked.
    """

    distortion: float
    rate: float
    lower: float
    upper: float
    gap_db: float
    certified: bool

    @property
    def gap(self) -> float:
        """The point's rate above the certified upper bound; the excess is at least this."""
        return self.rate - self.upper

    @property
    def impossible(self) -> bool:
        """Whether the point lies below the certified lower bound."""
        return self.rate < self.lower


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of ``heatrd compare``."""
    parser.add_argument("points", metavar="POINTS.csv", help="distortions and rates, one point a line")
    add_source_arguments(parser)
    parser.add_argument("--tol", type=float, default=1e-6, help="width of the certified interval, nats (default: 1e-6)")
    parser.add_argument("--x", choices=("distortion", "snr_db"), default="distortion", help="horizontal axis")
    add_unit_argument(parser)
    add_output_arguments(parser)


def run(args: argparse.Namespace) -> int:
    """Compare every point of the file with the curve of the source."""
    check_output_files(args)
    points = read_points(args.points, args.unit)
    named = one_source(args)
    with sign_of_life(f"comparing {len(points)} points with {named.label}", args):
        results = [compare_point(named.source, distortion, rate, args.tol) for distortion, rate in points]
    columns = _columns(results, args.unit)
    in_unit = {_with_unit(name, args.unit): column for name, column in columns.items()}
    deliver(
        args,
        answer=lambda: _report(named, columns, args),
        out=lambda: write_columns(args.out, in_unit),
        plot=lambda: save_picture(args.plot, lambda figure: _draw(figure, named, results, args)),
    )
    if all(result.certified for result in results):
        return 0
    print(f"heatrd: not every interval is certified to {args.tol:.2g} nats; raise --tol", file=sys.stderr)
    return 3


def read_points(file: str, unit: str) -> list[tuple[float, float]]:
    """Read (distortion, rate) pairs, rates converted to nats.

    Raises
    ------
    InvalidInput
        Unreadable file, missing columns, or entries that are not positive distortions and non-negative rates.
    """
    try:
        text = Path(file).read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidInput(f"cannot read {file!r}: {error}; a text file with two columns is needed") from None
    try:
        rows = [row for row in csv.reader(text.splitlines(), delimiter=_delimiter(text)) if any(map(str.strip, row))]
    except csv.Error as error:
        raise InvalidInput(f"{file!r} is no table: {error}; a text file with two columns is needed") from None
    rows = [[cell.strip() for cell in row] for row in rows if not row[0].lstrip().startswith("#")]
    if not rows:
        raise InvalidInput(f"{file!r} holds no points; give lines such as 0.1,1.7 (distortion, rate)")
    columns, rate_unit = (0, 1), unit
    if not _is_number(rows[0][0]):
        columns, rate_unit = _header(rows.pop(0), unit, file)
    if not rows:
        raise InvalidInput(f"{file!r} has a header but no points; give lines such as 0.1,1.7")
    return [_point(row, columns, NATS_PER[rate_unit], file) for row in rows]


def _delimiter(text: str) -> str:
    first = text.partition("\n")[0]
    return next((mark for mark in ("\t", ";", ",") if mark in first), ",")


def _is_number(cell: str) -> bool:
    try:
        float(cell)
    except ValueError:
        return False
    return True


def _header(cells: list[str], unit: str, file: str) -> tuple[tuple[int, int], str]:
    """Find the two columns in a header line, and the unit the rate column names."""
    names = [cell.lower().replace(" ", "_").replace("(", "").replace(")", "") for cell in cells]
    distortions = [i for i, name in enumerate(names) if name in DISTORTION_NAMES]
    rates = [i for i, name in enumerate(names) if name in RATE_NAMES]
    if not distortions or not rates:
        raise InvalidInput(
            f"{file!r} has columns {', '.join(cells)}; one named distortion (or mse) and one named rate (or bits, "
            f"nats, rate_bit, rate_nat) are needed"
        )
    return (distortions[0], rates[0]), RATE_NAMES[names[rates[0]]] or unit


def _point(row: list[str], columns: tuple[int, int], per: float, file: str) -> tuple[float, float]:
    try:
        distortion, rate = (float(row[column]) for column in columns)
    except (ValueError, IndexError):
        raise InvalidInput(f"{file!r}: line {','.join(row)!r} does not hold a distortion and a rate") from None
    if not (0 < distortion < math.inf and 0 <= rate < math.inf):
        raise InvalidInput(f"{file!r}: ({distortion:g}, {rate:g}) is no point: distortion > 0 and rate >= 0 are needed")
    return distortion, rate * per


def compare_point(source: Any, distortion: float, rate: float, tol: float) -> Comparison:
    """Put one point (rate in nats) beside the certified curve of ``source``."""
    at_distortion = best_answer(source, tol, distortion=distortion)
    lower = upper = 0.0
    if distortion < source.total_variance:  # the solution's distortion is the target to ten digits
        steepness = 0.5 / at_distortion.epsilon
        lower = at_distortion.certificate.lower_bound(distortion)
        upper = at_distortion.rate + steepness * max(at_distortion.distortion - distortion, 0.0)
    reachable = source.total_variance if rate <= 0 else best_answer(source, tol, rate=rate).distortion
    return Comparison(distortion, rate, lower, upper, 10 * math.log10(distortion / reachable), at_distortion.gap <= tol)


def best_answer(source: Any, tol: float, **target: float) -> Any:
    """Solve; where the tolerance is out of reach, take the best answer with its own honest bounds."""
    try:
        return heatrd.solve(source, tol=tol, **target)
    except NotConverged as error:
        if error.result is None:
            raise
        return error.result


def _columns(results: list[Comparison], unit: str) -> dict[str, Any]:
    per = NATS_PER[unit]
    in_rate = ("rate", "lower", "upper", "gap")
    names = {"lower": "rate_lower", "upper": "rate_upper"}
    columns = {names.get(name, name): np.array([getattr(each, name) for each in results]) / per for name in in_rate}
    return {
        "distortion": np.array([each.distortion for each in results]),
        **columns,
        "gap_bits": np.array([each.gap for each in results]) / NATS_PER["bit"],
        "gap_db": np.array([each.gap_db for each in results]),
        "impossible": [each.impossible for each in results],
    }


def _with_unit(name: str, unit: str) -> str:
    return f"{name}_{unit}" if name in ("rate", "rate_lower", "rate_upper", "gap") else name


def _report(named: NamedSource, columns: dict[str, Any], args: argparse.Namespace) -> None:
    if args.json:
        print_json({"source": named.label, "unit": args.unit, "tol": args.tol, **columns})
    else:
        _print(named, columns, args.unit)


def _print(named: NamedSource, columns: dict[str, Any], unit: str) -> None:
    print(f"{named.label}: rates in {unit}s; gap = how far above R(D), in rate and as distortion at equal rate")
    print_table(
        {
            "distortion": numbers(columns["distortion"]),
            "rate": numbers(columns["rate"], ".6f"),
            "R(D) lower": numbers(columns["rate_lower"], ".9f"),
            "R(D) upper": numbers(columns["rate_upper"], ".9f"),
            "gap bit": numbers(columns["gap_bits"], "+.6f"),
            "gap dB": numbers(columns["gap_db"], "+.4f"),
            "verdict": ["IMPOSSIBLE" if flag else "ok" for flag in columns["impossible"]],
        }
    )
    count = sum(columns["impossible"])
    if count:
        print(f"{count} of {len(columns['rate'])} points lie below the certified lower bound: no code can reach them")


def _draw(figure: Any, named: NamedSource, results: list[Comparison], args: argparse.Namespace) -> None:
    distortions = np.array([each.distortion for each in results])
    rates = np.array([each.rate for each in results])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", HeatrdWarning)
        curve = heatrd.rd_curve(named.source, max_rate=1.15 * max(each.upper for each in results) + 0.1)
    ax = figure.subplots()
    curve.plot(ax=ax, label=named.label, unit=args.unit, x=args.x)
    impossible = np.array([each.impossible for each in results])
    heatrd.plots.plot_points(
        distortions, rates, impossible, ax=ax, unit=args.unit, x=args.x, variance=named.source.total_variance
    )
