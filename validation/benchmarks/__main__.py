"""heatrd and what a user would pick instead, measured in one run.

python -m validation.benchmarks                        all, full size; writes validation/results/benchmarks.json
python -m validation.benchmarks --smoke                all, small
python -m validation.benchmarks --only growth --figures docs/_static/benchmarks
python -m validation.benchmarks --redraw --figures docs/_static/benchmarks --tables docs/_tables

Peers are in the extra ``validation``. The exit code is 1 when heatrd itself misses what a module claims for it, and
when a peer is missing in a full run.
"""

from __future__ import annotations

import argparse
import importlib
import json
import os
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

MODULES = ("rate_distortion", "entropic", "deconvolution", "heat", "growth")
RESULTS = Path(__file__).parent.parent / "results" / "benchmarks.json"


def main(argv: Sequence[str] | None = None) -> int:
    """Measure, write, draw; return the exit code."""
    args = _arguments(argv)
    os.environ.setdefault("MPLBACKEND", "Agg")
    target = args.json or (RESULTS.with_name("benchmarks_smoke.json") if args.smoke else RESULTS)
    results = {} if args.redraw else {name: _measure(name, args.smoke) for name in args.only or MODULES}
    stored = _write(target, results, args.smoke) if results else json.loads(target.read_text())
    _show(stored, args.figures, args.tables)
    return _verdict(results, args.smoke)


def _arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m validation.benchmarks", description="heatrd beside its peers.")
    parser.add_argument("--smoke", action="store_true", help="small sizes")
    parser.add_argument("--only", nargs="+", choices=MODULES, help="only these parts")
    parser.add_argument("--figures", type=Path, metavar="DIR", help="draw the figures here")
    parser.add_argument("--tables", type=Path, metavar="DIR", help="write the tables of the documentation here")
    parser.add_argument("--json", type=Path, metavar="FILE", help="where the results go")
    parser.add_argument("--redraw", action="store_true", help="figures and tables from the JSON of an earlier run")
    return parser.parse_args(argv)


def _module(name: str) -> Any:
    return importlib.import_module(f"validation.benchmarks.{name}")


def _measure(name: str, smoke: bool) -> dict[str, Any]:
    """One module: its rows, and what it claims for heatrd. Of `heat`, only what is beside a peer."""
    print(name, flush=True)
    start = time.perf_counter()
    module = _module(name)
    rows = list(getattr(module, "peer_records", module.run)(smoke=smoke))
    found = module.claims(rows) if hasattr(module, "claims") else rows  # rows of `heat` are claims
    return {"wall_seconds": time.perf_counter() - start, "rows": rows, "claims": found}


def _write(target: Path, results: dict[str, Any], smoke: bool) -> dict[str, Any]:
    """Write the results beside those of parts not run this time."""
    from validation.__main__ import environment, plain

    old = json.loads(target.read_text())["results"] if target.exists() else {}
    text = json.dumps({"smoke": smoke, **environment(), "results": {**old, **results}}, indent=1, default=plain)
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_text(text + "\n")
    print(f"written: {os.path.relpath(target)}")
    stored: dict[str, Any] = json.loads(text)
    return stored


def _show(stored: dict[str, Any], figures: Path | None, tables: Path | None) -> None:
    """Draw, and write tables."""
    for name, result in stored["results"].items():
        if figures is not None and hasattr(_module(name), "draw"):
            figures.mkdir(parents=True, exist_ok=True)
            _module(name).draw(result["rows"], figures)
    if tables is not None:
        from validation.benchmarks.tables import write

        write(stored, tables)


def _verdict(results: dict[str, Any], smoke: bool) -> int:
    records = [record for result in results.values() for record in result["claims"]]
    failed = [record for record in records if not record["passed"]]
    skipped = [row for result in results.values() for row in result["rows"] if "skipped" in row]
    for record in failed:
        print(f"FAILED: {record['claim']}: expected {record['expected']}, measured {record['measured']}")
    for row in skipped:
        print(f"skipped: {row['method']}: {row['skipped']}")
    return 1 if failed or (skipped and not smoke) else 0


if __name__ == "__main__":
    sys.exit(main())
