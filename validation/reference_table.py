"""Make heatrd/data/reference.csv and docs/reference/table.md: certified points of standard sources of unit variance.

    python validation/reference_table.py [--sources laplace uniform] [--tol 1e-10]

Finished points are kept in the file: the script goes on where it stopped, so that rows of single sources can be made
anew.
"""

import argparse
import csv
import math
import sys
from pathlib import Path

import heatrd
from heatrd.sources import (
    BernoulliGaussian,
    Exponential,
    Gaussian,
    GaussianMixture,
    GeneralizedGaussian,
    Laplace,
    Logistic,
    NoisySphere,
    Sphere,
    StudentT,
    Triangular,
    Uniform,
)

ROOT = Path(__file__).resolve().parents[1]
TABLE = ROOT / "heatrd" / "data" / "reference.csv"
PAGE = ROOT / "docs" / "reference" / "table.md"
RATES_BIT = (0.25, 0.5, 1.0, 1.5, 2.0, 3.0, 4.0)
DISTORTIONS = (0.5, 0.2, 0.1, 0.05, 0.01)
COLUMNS = ("source", "definition", "asked", "value", "epsilon", "distortion", "rate_lower_nat", "rate_upper_nat")

#: name: expression for a source of unit variance (sum over coordinates)
SOURCES = {
    "gaussian": "Gaussian(0.0, 1.0)",
    "uniform": "Uniform(-math.sqrt(3), math.sqrt(3))",
    "laplace": "Laplace(0.0, math.sqrt(0.5))",
    "triangular": "Triangular(-math.sqrt(6), 0.0, math.sqrt(6))",
    "exponential": "Exponential(scale=1.0)",
    "logistic": "Logistic(0.0, math.sqrt(3) / math.pi)",
    "generalized-gaussian-4": "GeneralizedGaussian(4.0, scale=math.sqrt(math.gamma(1 / 4) / math.gamma(3 / 4)))",
    "generalized-gaussian-1.5": "GeneralizedGaussian(1.5, scale=math.sqrt(math.gamma(1 / 1.5) / math.gamma(3 / 1.5)))",
    "two-gaussians": "GaussianMixture([0.5, 0.5], [-math.sqrt(0.9), math.sqrt(0.9)], [0.1, 0.1])",
    "three-gaussians": "GaussianMixture([1 / 3] * 3, [-math.sqrt(1.2), 0.0, math.sqrt(1.2)], [0.2, 0.2, 0.2])",
    "scale-mixture": "GaussianMixture([0.8, 0.2], [0.0, 0.0], [0.25, 4.0])",
    "bernoulli-gaussian": "BernoulliGaussian(0.5, math.sqrt(2))",
    "student-5": "StudentT(5.0, 0.0, math.sqrt(3 / 5))",
    "arcsine": "heatrd.as_source('scipy:arcsine', loc=-math.sqrt(2), scale=2 * math.sqrt(2))",
    "circle": "Sphere(2, radius=1.0)",
    "noisy-circle": "NoisySphere(2, radius=math.sqrt(0.8), noise=math.sqrt(0.1))",
    "gaussian-2d": "Gaussian([0.0, 0.0], [[0.8, 0.0], [0.0, 0.2]])",
}
NAMES = {c.__name__: c for c in (BernoulliGaussian, Exponential, Gaussian, GaussianMixture, GeneralizedGaussian,
Laplace, Logistic,
                                 NoisySphere, Sphere, StudentT, Triangular, Uniform)}  # fmt: skip


def build(name):
    """Make a source and check its variance."""
    source = eval(SOURCES[name], {"math": math, "heatrd": heatrd, **NAMES})
    assert abs(source.total_variance - 1) < 1e-9, (name, source.total_variance)
    return source


def targets():
    yield from (("rate", f"{bits:g} bit", bits * math.log(2)) for bits in RATES_BIT)
    yield from (("distortion", f"{d:g}", d) for d in DISTORTIONS)


def read():
    if not TABLE.exists():
        return {}
    with TABLE.open(newline="", encoding="utf-8") as file:
        rows = csv.DictReader(line for line in file if not line.startswith("#"))
        return {(r["source"], r["asked"], r["value"]): r for r in rows}


def write(rows):
    TABLE.parent.mkdir(parents=True, exist_ok=True)
    order = {name: i for i, name in enumerate(SOURCES)}
    place = {(asked, value): i for i, (asked, value, _) in enumerate(targets())}
    ordered = sorted(rows.values(), key=lambda r: (order[r["source"]], place[r["asked"], r["value"]]))
    with TABLE.open("w", newline="", encoding="utf-8") as file:
        file.write(
            "# Certified points of rate-distortion functions: rate_lower_nat <= R(distortion) <= rate_upper_nat.\n"
        )
        file.write(
            "# Made by validation/reference_table.py; unit variance, squared error summed over coordinates, nats.\n"
        )
        writer = csv.DictWriter(file, COLUMNS, lineterminator="\n")
        writer.writeheader()
        writer.writerows(ordered)
    page(ordered)


def page(rows):
    """Write the table for readers: bits, ten decimals, and the width of the proved interval."""
    PAGE.parent.mkdir(parents=True, exist_ok=True)
    lines = [
        "# Reference table",
        "",
        "Certified points of R(D) for sources of unit variance (squared error summed over coordinates).",
        "The proved interval is *rate* ± half the *width*; full digits in nats: `heatrd.reference_table()`.",
        "Made by `validation/reference_table.py`.",
        "",
    ]
    for name in dict.fromkeys(r["source"] for r in rows):
        lines += [
            f"## {name}",
            "",
            f"`{SOURCES[name]}`",
            "",
            "| asked | D | R (bit) | width (bit) |",
            "|---|---|---|---|",
        ]
        for r in (r for r in rows if r["source"] == name):
            low, high = float(r["rate_lower_nat"]) / math.log(2), float(r["rate_upper_nat"]) / math.log(2)
            lines.append(
                f"| {r['asked']} {r['value']} | {float(r['distortion']):.12g} | {0.5 * (low + high):.10f} "
                f"| {high - low:.1e} |"
            )
        lines.append("")
    PAGE.write_text("\n".join(lines), encoding="utf-8")


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sources", nargs="*", default=list(SOURCES))
    parser.add_argument("--tol", type=float, default=1e-10)
    parser.add_argument("--again", type=float, default=1e-9, help="make rows afresh whose interval is wider than this")
    args = parser.parse_args()
    rows = read()
    for name in args.sources:
        source = build(name)
        for asked, label, value in targets():
            old = rows.get((name, asked, label))
            if old and float(old["rate_upper_nat"]) - float(old["rate_lower_nat"]) <= args.again:
                continue
            point = heatrd.solve(source, tol=args.tol, **{asked: value})
            row = {
                "source": name,
                "definition": SOURCES[name],
                "asked": asked,
                "value": label,
                "epsilon": repr(point.epsilon),
                "distortion": repr(point.distortion),
                "rate_lower_nat": repr(point.rate_lower),
                "rate_upper_nat": repr(point.rate),
            }
            if old is None or point.gap < float(old["rate_upper_nat"]) - float(old["rate_lower_nat"]):
                rows[name, asked, label] = row
            print(f"{name:26s} {asked} {label:9s} gap {point.gap:.1e}  {point.seconds:.1f} s", flush=True)
            write(rows)
    worst = max(float(r["rate_upper_nat"]) - float(r["rate_lower_nat"]) for r in rows.values())
    print(f"{len(rows)} rows, widest interval {worst:.1e} nats")
    return 0 if worst <= 1e-9 else 1


if __name__ == "__main__":
    sys.exit(main())
