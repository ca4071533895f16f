"""Tables of the documentation from the results of `python -m validation.benchmarks`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

GAPS = ("0.01", "0.001", "0.0001", "1e-06", "1e-08")


def write(stored: dict[str, Any], directory: Path) -> None:
    """Write one file a part."""
    directory.mkdir(parents=True, exist_ok=True)
    results = stored["results"]
    for name, table in TABLES.items():
        rows = results.get(name, {"rows": []})["rows"]
        (directory / f"{name}.md").write_text(table(rows) if rows else "No committed result.\n")
    versions = ", ".join(f"{name} {version}" for name, version in stored["versions"].items())
    (directory / "machine.md").write_text(f"Python {stored['python']}; {stored['machine']}; {versions}.\n")


def seconds(summary: dict[str, Any]) -> str:
    """Median, and the range where there were several runs."""
    text = f"{summary['median']:.2g}"
    return text if summary["runs"] == 1 else f"{text} ({summary['low']:.2g}–{summary['high']:.2g})"


def times(ratio: dict[str, Any]) -> str:
    """Ratio of medians, and the range of ratios."""
    return f"{ratio['median']:.2g} ({ratio['low']:.2g}–{ratio['high']:.2g})"


def memory(row: dict[str, Any]) -> str:
    return f"{row['peak_bytes'] / 2**20:.1f}" if "peak_bytes" in row else ""


def _rows(header: list[str], rows: list[list[str]]) -> str:
    lines = ["| " + " | ".join(header) + " |", "|" + "---|" * len(header)]
    return "\n".join(lines + ["| " + " | ".join(row) + " |" for row in rows]) + "\n"


def rate_distortion(rows: list[dict[str, Any]]) -> str:
    """A table a problem: median seconds; for peers, × the ratio of medians to heatrd and its range."""
    parts = []
    for problem in dict.fromkeys(row["problem"] for row in rows):
        here = [row for row in rows if row["problem"] == problem]
        weighed = any("peak_bytes" in row for row in here)
        header = ["method", *(f"gap {float(gap):.0e}" for gap in GAPS), "best gap", *(["MiB"] if weighed else []), ""]
        body = []
        for row in here:
            if "skipped" in row:
                body.append([row["method"], *[""] * (len(header) - 2), "not installed"])
                continue
            cells = [_cell(row, gap) for gap in GAPS]
            found = [row["method"], *cells, f"{row['best']:.0e}", *([memory(row)] if weighed else []), row["note"]]
            body.append(found)
        parts.append(f"**{problem[0].upper()}{problem[1:]}**\n\n{_rows(header, body)}")
    return "\n".join(parts)


def _cell(row: dict[str, Any], gap: str) -> str:
    if gap not in row["times"]:
        return "–"
    if row["method"] != "heatrd" and gap in row["ratios"]:
        return f"{row['times'][gap]['median']:.2g}; ×{times(row['ratios'][gap])}"
    return seconds(row["times"][gap])


def entropic(rows: list[dict[str, Any]]) -> str:
    header = ["grid", "method", "seconds", "over heatrd", "MiB", "marginal error"]
    body = [
        [
            f"{row['n']}²",
            row["method"],
            seconds(row["seconds"]) if "seconds" in row else row.get("skipped", row.get("note", "")),
            times(row["ratio"]) if "ratio" in row else "",
            memory(row),
            f"{row['error']:.0e}" if "error" in row else "",
        ]
        for row in rows
    ]
    return _rows(header, body)


def deconvolution(rows: list[dict[str, Any]]) -> str:
    body = [
        [
            f"{row['theta']:g}",
            row["method"],
            seconds(row["seconds"]) if "seconds" in row else row.get("skipped", ""),
            f"{row['l1']:.1e}" if "l1" in row else "",
        ]
        for row in rows
    ]
    return _rows(["θ", "method", "seconds", "L1 error"], body)


def growth(rows: list[dict[str, Any]]) -> str:
    body = [
        [
            row["against"],
            row["method"],
            f"{row['sizes'][0]:g} to {row['sizes'][-1]:g}",
            f"{row['seconds'][0]['median']:.2g} to {row['seconds'][-1]['median']:.2g}",
            f"{row['exponent']:.2f} ± {row['exponent_stderr']:.2f}",
        ]
        for row in rows
    ]
    return _rows(["against", "method", "sizes", "seconds", "exponent"], body)


def heat(rows: list[dict[str, Any]]) -> str:
    body = [
        ["holds" if row["passed"] else "**not met**", row["claim"], row["expected"], str(row["measured"])]
        for row in rows
    ]
    return _rows(["", "claim", "expected", "measured"], body)


TABLES = {
    "rate_distortion": rate_distortion,
    "entropic": entropic,
    "deconvolution": deconvolution,
    "growth": growth,
    "heat": heat,
}
