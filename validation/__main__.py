"""Run every validation module, print a table, write JSON with versions, fail when a claim fails.

python -m validation                      all, full size; writes validation/results/full.json
python -m validation --smoke              all, small; writes validation/results/smoke.json
python -m validation --only dct_photograph --figures figures/
python -m validation --redraw --figures figures/     pictures again from the JSON, nothing recomputed
"""

from __future__ import annotations

import argparse
import importlib
import importlib.metadata
import json
import os
import platform
import re
import sys
import time
import traceback
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

HERE = Path(__file__).parent
PACKAGES = (
    "heatrd",
    "numpy",
    "scipy",
    "numba",
    "matplotlib",
    "jax",
    "scikit-learn",
    "scikit-image",
    "mpmath",
    "pot",
    "ott-jax",
    "dit",
    "cvxpy",
    "clarabel",
    "scs",
    "py-pde",
)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the modules asked for and return the exit code: 0, or 1 when a claim fails."""
    args = _arguments(argv)
    os.environ.setdefault("MPLBACKEND", "Agg")
    target = args.json or HERE / "results" / ("smoke.json" if args.smoke else "full.json")
    names = args.only or list(_names())
    if args.redraw:
        return _redraw(target, names, args.figures)
    results = {}
    for name in names:
        results[name] = _run(name, args.smoke)
        _print(name, results[name])
    _write(target, results, args.smoke)
    for name, result in results.items():
        _draw(name, result, args.figures)
    return _verdict(results, args.smoke)


def _arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m validation", description="Run every claim's script.")
    parser.add_argument("--smoke", action="store_true", help="small sizes, for CI")
    parser.add_argument("--only", nargs="+", choices=tuple(_names()), metavar="NAME", help="only these modules")
    parser.add_argument("--figures", type=Path, metavar="DIR", help="draw the figures here")
    parser.add_argument("--json", type=Path, metavar="FILE", help="where the results go")
    parser.add_argument("--redraw", action="store_true", help="draw from the JSON of an earlier run")
    return parser.parse_args(argv)


def _names() -> Iterator[str]:
    """Yield the modules that hold claims: those here with a function ``run``; benchmarks have a runner of their own."""
    for path in sorted(HERE.rglob("*.py")):
        parts = path.relative_to(HERE).with_suffix("").parts
        if parts[0] != "benchmarks" and not parts[-1].startswith("_") and "\ndef run(" in path.read_text():
            yield ".".join(parts)


def _module(name: str) -> ModuleType:
    return importlib.import_module(f"validation.{name}")


def _run(name: str, smoke: bool) -> dict[str, Any]:
    """Run one module; whatever goes wrong in it is a failed claim, a missing package a skipped one."""
    start = time.perf_counter()
    skipped = None
    try:
        found = _module(name).run(smoke=smoke)
        records = [found] if isinstance(found, dict) else list(found)
    except ModuleNotFoundError as error:
        records, skipped = [], str(error)
    except Exception as error:
        traceback.print_exc()
        measured = f"{type(error).__name__}: {error}"
        records = [{"claim": name, "expected": "no exception", "measured": measured, "passed": False, "crashed": True}]
    seconds = time.perf_counter() - start
    return {"seconds": seconds, "smoke": smoke, "skipped": skipped, "records": records}


def _print(name: str, result: dict[str, Any]) -> None:
    print(f"\n{name} ({result['seconds']:.1f} s)" + (f": skipped, {result['skipped']}" if result["skipped"] else ""))
    for record in result["records"]:
        word = "pass" if record["passed"] else "FAIL"
        print(f"  {word}  {record['claim']}\n        expected {record['expected']}; measured {record['measured']}")
    sys.stdout.flush()


def _draw(name: str, result: dict[str, Any], directory: Path | None) -> None:
    drawable = result["records"] and not any(record.get("crashed") for record in result["records"])
    module = _module(name) if directory is not None and drawable else None
    if directory is not None and module is not None and hasattr(module, "draw"):
        directory.mkdir(parents=True, exist_ok=True)
        module.draw(result["records"], directory)


def _redraw(target: Path, names: Sequence[str], directory: Path | None) -> int:
    results = json.loads(target.read_text())["results"]
    for name in names:
        if name in results:
            _draw(name, results[name], directory or HERE / "figures")
    return 0


def _write(target: Path, results: dict[str, Any], smoke: bool) -> None:
    """Write the results, beside those of modules not run this time."""
    old = json.loads(target.read_text())["results"] if target.exists() else {}
    merged = {**old, **results}
    record = {"smoke": smoke, **environment(), "results": {name: merged[name] for name in sorted(merged)}}
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_text(json.dumps(record, indent=1, default=plain) + "\n")
    print(f"\nwritten: {os.path.relpath(target)}")


def environment() -> dict[str, Any]:
    """What the numbers were made with."""
    return {
        "python": platform.python_version(),
        "machine": f"{_processor()}, {os.cpu_count()} cores",
        "versions": dict(_versions()),
    }


def _processor() -> str:
    """Name of the processor where the system tells, otherwise its architecture."""
    cpuinfo = Path("/proc/cpuinfo")
    names = re.findall(r"model name\s*:\s*(.+)", cpuinfo.read_text()) if cpuinfo.exists() else []
    return names[0] if names else platform.machine()


def _versions() -> Iterator[tuple[str, str]]:
    for package in PACKAGES:
        try:
            yield package, importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            continue


def plain(value: Any) -> Any:
    """Turn NumPy values into what JSON knows."""
    return value.tolist() if hasattr(value, "tolist") else str(value)


def _verdict(results: dict[str, Any], smoke: bool) -> int:
    records = [record for result in results.values() for record in result["records"]]
    failed = [record["claim"] for record in records if not record["passed"]]
    skipped = [name for name, result in results.items() if result["skipped"]]
    print(f"{len(records) - len(failed)} of {len(records)} claims hold; {len(skipped)} modules skipped")
    for claim in failed:
        print(f"FAILED: {claim}")
    if skipped:
        print(f"skipped for want of a package: {', '.join(skipped)} (pip install 'heatrd[validation]')")
    return 1 if failed or (skipped and not smoke) or not records else 0


if __name__ == "__main__":
    sys.exit(main())
