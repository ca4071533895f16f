"""a certified rate-distortion curve, as a table and a picture

examples:
  heatrd curve laplace --plot laplace.png
  heatrd curve uniform laplace gaussian --unit bit --x snr_db --plot three.pdf
  heatrd curve gennorm --param beta=0.8 --rates 0.5,1,2 --json
  heatrd curve --samples x.npy --method kde --plot mine.png --view excess

Each row is proved: rate_lower <= R(distortion) <= rate. The picture shows the curve with its certified band, the
Shannon lower bound and the Gaussian upper bound and, below, the distance to the Shannon bound on a log scale;
--view curve or --view excess draws only one of the two, --view atoms the reconstruction law as epsilon varies.
"""

from __future__ import annotations

import argparse
import sys
import warnings
from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from importlib.util import find_spec
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
from heatrd.cli._sources import NamedSource, add_source_arguments, read_sources
from heatrd.errors import HeatrdWarning, InvalidInput, NotConverged

__all__ = ["add_arguments", "run"]

VIEWS = ("full", "curve", "excess", "atoms")
TALL = (5.2, 4.8)
WHOLE_TOL = 1e-4
VISIBLE_EXCESS = 1e-6
COLUMNS = ("epsilon", "distortion", "snr_db", "rate", "rate_lower", "shannon_lower_bound", "gaussian_upper_bound")


@dataclass(frozen=True, slots=True, eq=False)
class Row:
    """One source, its curve as far as it was finished, and the reason why it was not, if any."""

    named: NamedSource
    curve: Any
    complaint: str | None = None


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of ``heatrd curve``."""
    add_source_arguments(parser, several=True)
    group = parser.add_argument_group("range (default: from zero rate to high rate)").add_mutually_exclusive_group()
    group.add_argument("--distortions", metavar="D,D,...", help="solve at these distortions")
    group.add_argument("--rates", metavar="R,R,...", help="solve at these rates, in --unit")
    group.add_argument("--max-rate", type=float, metavar="R", help="highest rate of the whole curve, in --unit")
    parser.add_argument(
        "--tol", type=float, help="width of the certified band, nats (default: 1e-4; at points asked for 1e-6)"
    )
    parser.add_argument("--rows", type=int, default=24, help="rows shown of a long table (0: all; default: 24)")
    parser.add_argument("--workers", type=int, metavar="N", help="solve points in N processes")
    parser.add_argument("--checkpoint", metavar="DIR", help="keep finished points here, and resume from them")
    parser.add_argument("--x", choices=("distortion", "snr_db"), default="distortion", help="horizontal axis")
    parser.add_argument("--view", choices=VIEWS, default="full", help="what to draw (default: full)")
    add_unit_argument(parser)
    add_output_arguments(parser)


def run(args: argparse.Namespace) -> int:
    """Compute, print, draw and write one or several curves."""
    check_output_files(args)
    named = read_sources(args)
    targets = _targets(args)
    rows: list[Row] = []
    try:
        for each in named:
            rows.append(_curve(each, targets, args))
    except KeyboardInterrupt as stop:
        partial = getattr(stop, "curve", None)
        unfinished = [] if partial is None or not len(partial.distortions) else [Row(named[len(rows)], partial)]
        _deliver([*rows, *unfinished], args)
        raise
    _deliver(rows, args)
    return _verdict(rows)


def _deliver(rows: Sequence[Row], args: argparse.Namespace) -> None:
    if not rows:
        return
    view = "curve" if args.view == "full" and not _excess_is_visible(rows) else args.view
    deliver(
        args,
        answer=lambda: _report(rows, args),
        out=lambda: _write(rows, args),
        plot=lambda: save_picture(
            args.plot, lambda figure: _draw(figure, rows, view, args), size=TALL if view == "full" else None
        ),
    )


def _targets(args: argparse.Namespace) -> dict[str, Any]:
    """Return what `heatrd.rd_curve` is asked for beside the source."""
    targets: dict[str, Any] = {"tol": args.tol, "progress": progress_wanted(args)}
    if args.distortions is not None:
        targets["distortions"] = number_list(args.distortions, "--distortions")
    if args.rates is not None:
        targets["rates"] = number_list(args.rates, "--rates") * NATS_PER[args.unit]
    if args.max_rate is not None:
        targets["max_rate"] = args.max_rate * NATS_PER[args.unit]
    if args.checkpoint is not None:
        targets["checkpoint"] = args.checkpoint
    if args.workers is not None:
        targets["workers"] = args.workers
    return targets


def number_list(text: str, option: str) -> np.ndarray:
    """Read comma-separated numbers."""
    try:
        values = np.array([float(word) for word in text.split(",") if word.strip()])
    except ValueError:
        raise InvalidInput(f"{option} {text!r} is not a list of numbers; try: {option} 0.5,0.1,0.05") from None
    if values.size == 0:
        raise InvalidInput(f"{option} is empty; try: {option} 0.5,0.1,0.05")
    return values


def _curve(named: NamedSource, targets: dict[str, Any], args: argparse.Namespace) -> Row:
    whole = args.distortions is None and args.rates is None
    if args.tol is None and whole and named.source.dim == 1:
        targets = {**targets, "tol": WHOLE_TOL}
    plain = find_spec("tqdm") is None
    with warnings.catch_warnings(), sign_of_life(f"{named.label}: solving", args) if plain else nullcontext():
        warnings.filterwarnings(
            "ignore", message=".*the band is up to", category=HeatrdWarning
        )  # said by the exit code
        try:
            return Row(named, heatrd.rd_curve(named.source, **targets))
        except NotConverged as error:
            if error.result is None:
                raise
            return Row(named, error.result, str(error))


def columns_of(row: Row, unit: str) -> dict[str, np.ndarray]:
    """Return the columns of the table, points from low rate to high; rates in ``unit``."""
    curve, source, per = row.curve, row.named.source, NATS_PER[unit]
    order = np.argsort(-np.asarray(curve.distortions), kind="stable")
    distortions = np.asarray(curve.distortions)[order]
    rates = {
        "rate": np.asarray(curve.rates)[order],
        "rate_lower": np.asarray(curve.rates_lower)[order],
        "shannon_lower_bound": _beside(heatrd.shannon_lower_bound, source, distortions),
        "gaussian_upper_bound": _beside(heatrd.gaussian_upper_bound, source, distortions),
    }
    return {
        "epsilon": np.asarray(curve.epsilons)[order],
        "distortion": distortions,
        "snr_db": _beside(lambda law, d: 10 * np.log10(law.total_variance / d), source, distortions),
        **{name: np.asarray(values) / per for name, values in rates.items()},
    }


def _beside(bound: Any, source: Any, distortions: np.ndarray) -> np.ndarray:
    """Return a bound at the distortions; nan at zero (a constant source)."""
    values = np.full(distortions.shape, np.nan)
    positive = distortions > 0
    if positive.any():
        values[positive] = bound(source, distortions[positive])
    return values


def _report(rows: Sequence[Row], args: argparse.Namespace) -> None:
    """Print the tables or the JSON object."""
    if args.json:
        records = [_record(row, args) for row in rows]
        print_json(records[0] if len(records) == 1 else {"curves": records})
    else:
        for row in rows:
            _print(row, args)


def _record(row: Row, args: argparse.Namespace) -> dict[str, Any]:
    columns = columns_of(row, args.unit)
    plural = {name: f"{name}s" for name in ("epsilon", "distortion", "rate")} | {"rate_lower": "rates_lower"}
    return {
        "source": row.named.label,
        "unit": args.unit,
        "tol": row.curve.tol,
        "certified": bool(row.curve.certified and row.complaint is None),
        "width": row.curve.width / NATS_PER[args.unit],
        **{plural.get(name, name): values for name, values in columns.items()},
    }


def _print(row: Row, args: argparse.Namespace) -> None:
    columns = columns_of(row, args.unit)
    shown = _thinned(len(columns["rate"]), args.rows)
    gaps = (columns["rate"] - columns["rate_lower"])[shown]
    dim = row.named.source.dim
    total = "" if dim == 1 else f"; distortion and rate per vector of {dim} coordinates"
    print(f"{row.named.label}: rates in {args.unit}s{total}")
    print_table(
        {
            "distortion": numbers(columns["distortion"][shown], ".6g"),
            "SNR dB": numbers(columns["snr_db"][shown], ".3f"),
            "rate lower": numbers(columns["rate_lower"][shown], ".9f"),
            "rate upper": numbers(columns["rate"][shown], ".9f"),
            "gap": numbers(gaps, ".1e"),
            "Shannon": numbers(columns["shannon_lower_bound"][shown], ".6f"),
            "Gaussian": numbers(columns["gaussian_upper_bound"][shown], ".6f"),
            "epsilon": numbers(columns["epsilon"][shown], ".6g"),
        }
    )
    hidden = len(columns["rate"]) - len(shown)
    print(f"({hidden} more certified points; --rows 0 shows all)\n" if hidden else "")


def _thinned(total: int, rows: int) -> np.ndarray:
    """Return indices of at most ``rows`` evenly spread rows, ends included."""
    if rows <= 0 or total <= rows:
        return np.arange(total)
    return np.unique(np.linspace(0, total - 1, max(rows, 2)).round().astype(int))


def _write(rows: Sequence[Row], args: argparse.Namespace) -> None:
    """Write all points of all curves, one row each, units in the column names."""
    tables = [columns_of(row, args.unit) for row in rows]
    labels = np.concatenate([np.full(len(t["rate"]), row.named.label) for t, row in zip(tables, rows, strict=True)])
    in_unit = {name: f"{name}_{args.unit}" for name in COLUMNS if "rate" in name or "bound" in name}
    merged = {in_unit.get(name, name): np.concatenate([table[name] for table in tables]) for name in COLUMNS}
    write_columns(args.out, {"source": labels, **merged})


def _draw(figure: Any, rows: Sequence[Row], view: str, args: argparse.Namespace) -> None:
    labels = [row.named.label for row in rows]
    curves = [row.curve for row in rows]
    if view == "atoms":
        for ax, curve, label in zip(np.ravel(figure.subplots(1, len(curves))), curves, labels, strict=True):
            heatrd.plots.plot_reconstructions(curve, ax=ax, title=label)
        return
    bounds = [curve.closed_forms for curve in curves]
    words: dict[str, Any] = {"labels": labels, "bounds": bounds, "unit": args.unit, "x": args.x}
    if view == "full":
        above, below = figure.subplots(2, 1, sharex=True, height_ratios=(2.2, 1))
        heatrd.plots.plot_curves(curves, ax=above, **words)
        heatrd.plots.plot_excess(curves, ax=below, **words)
        above.set_xlabel("")
        if below.get_legend():
            below.get_legend().remove()
    else:
        draw = heatrd.plots.plot_excess if view == "excess" else heatrd.plots.plot_curves
        draw(curves, ax=figure.subplots(), **words)


def _excess_is_visible(rows: Sequence[Row]) -> bool:
    """Whether every curve has a finite Shannon bound, and some curve leaves it."""
    columns = [columns_of(row, "nat") for row in rows]
    distances = [each["rate"] - each["shannon_lower_bound"] for each in columns]
    return all(np.isfinite(each).all() for each in distances) and any(np.max(d) > VISIBLE_EXCESS for d in distances)


def _verdict(rows: Sequence[Row]) -> int:
    """Return the exit code, and say on stderr which curve is wider than asked."""
    code = 0
    for row in rows:
        if row.complaint or not row.curve.certified:
            width, tol = row.curve.width, row.curve.tol
            reason = row.complaint or f"band up to {width:.2g} nats wide, {tol:.2g} asked; raise --tol"
            print(f"heatrd: {row.named.label}: {' '.join(reason.split())}", file=sys.stderr)
            code = 3
    return code
