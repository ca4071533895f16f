"""The table of claims: what each module asserts, in words, and its tables from the committed results.

python -m validation.claims            README and docs/_tables/validation.md, written anew from results/full.json

Expected and measured values are never typed: they are those of the module's first failing record, otherwise of its
first one. A module without a committed result says so.
"""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
ROOT = HERE.parent
RESULTS = HERE / "results" / "full.json"
PAGE = ROOT / "docs" / "_tables" / "validation.md"
BEGIN, END = "<!-- claims: written by python -m validation.claims -->", "<!-- /claims -->"

CLAIMS: dict[str, tuple[str, str]] = {
    "closed_forms": ("exact rates lie in the certified intervals", "closed_forms.png"),
    "line_sources": ("every named source on the line: certified gap at the tolerance asked", ""),
    "certificate_mpmath": ("F and c of returned laws to thirty digits lie in the bounds", ""),
    "interval_proof": ("both bounds on L(ε) proved independently in ball arithmetic", ""),
    "curve_band": ("the band holds R(D) everywhere, from few solves", ""),
    "space": ("certified points in the plane and in space", ""),
    "radial_truth": ("spheres and noisy spheres in high dimension are exact", ""),
    "backward_heat_limit": (
        "backward heat solver close to the Hölder limit of double precision",
        "backward_heat_limit.png",
    ),
    "paper_examples": ("the paper's three examples attain the Shannon bound", "paper_examples.png"),
    "successive_refinement": ("one sampled run gives the whole curve inside the class", "successive_refinement.png"),
    "tec_account": ("energy + entropy: three routes agree", "tec_account.png"),
    "bridge_sinkhorn_pot": ("couplings equal those of POT", ""),
    "sampler_orders": ("sampling schemes have the order they declare", ""),
    "dct_photograph": ("quantiser on photographs' DCT coefficients: above the certified curve", "dct_china_01.png"),
    "samples_2d": ("irises in the plane: certified curve with bootstrap intervals", "samples_2d.png"),
    "neural.low_dimension": ("R2D2 against certified truth in one and two dimensions", "neural_low_dimension.png"),
    "neural.high_dimension": ("R2D2 against closed forms in high dimension", "neural_high_dimension.png"),
    "neural.against_particles": ("R2D2 against NERD and WGD over seeds", "neural_against_particles.png"),
    "neural.real_data": ("R2D2 on patches and digits, bounds beside NERD and WGD", "neural_real_data.png"),
    "fuzz": ("hostile input ends in a right answer or a one-line error", ""),
}


def headline(records: list[dict[str, Any]]) -> dict[str, Any]:
    """The record that a module is summed up by: its first failing one, or the first."""
    return next((record for record in records if not record["passed"]), records[0])


def _cell(value: Any) -> str:
    """A value as a table cell: short numbers, no bars."""
    if isinstance(value, float):
        return f"{value:.3g}"
    if isinstance(value, list):
        return ", ".join(_cell(v) for v in value)
    return str(value).replace("|", "\\|").replace("\n", " ")


def _size(result: dict[str, Any]) -> str:
    return " (smoke size)" if result.get("smoke") else ""


def readme_table(stored: dict[str, Any]) -> str:
    """One row a module."""
    rows = ["| claim | script | expected | measured | runtime | figure |", "|---|---|---|---|---|---|"]
    for name, (claim, figure) in CLAIMS.items():
        script = f"[`{name}`](validation/{name.replace('.', '/')}.py)"
        result = stored["results"].get(name)
        if not result or not result["records"]:
            rows.append(f"| {claim} | {script} | | no committed result | | |")
            continue
        records = result["records"]
        record, held = headline(records), sum(r["passed"] for r in records)
        verdict = f"{held} of {len(records)} records hold" if len(records) > 1 else ("holds" if held else "")
        missed = "" if record["passed"] else "**not met:** "
        picture = f"docs/_static/validation/{figure}"
        rows.append(
            f"| {claim} | {script} | {_short(record['expected'])} | {missed}{_short(record['measured'])}"
            f"{'; ' if verdict else ''}{verdict}{_size(result)} | {result['seconds']:.0f} s | "
            + (f"[picture]({picture}) |" if figure and (ROOT / picture).exists() else "|")
        )
    return "\n".join(rows) + "\n"


def _short(value: Any, limit: int = 110) -> str:
    text = _cell(value)
    return text if len(text) <= limit else text[: limit - 1].rsplit(" ", 1)[0] + " …"


def records_table(stored: dict[str, Any]) -> str:
    """Every record of every module, with figures, for the documentation."""
    versions = ", ".join(f"{name} {version}" for name, version in stored["versions"].items())
    parts = [f"Python {stored['python']}; {stored['machine']}; {versions}.\n"]
    for name, (claim, figure) in CLAIMS.items():
        parts.append(f"## {name}\n\n{claim[0].upper()}{claim[1:]}.\n")
        result = stored["results"].get(name)
        if not result or not result["records"]:
            parts.append("No committed result.\n")
            continue
        rows = ["| | claim | expected | measured |", "|---|---|---|---|"]
        for record in result["records"]:
            word = "holds" if record["passed"] else "**not met**"
            cells = (_cell(record[key]) for key in ("claim", "expected", "measured"))
            rows.append(f"| {word} | " + " | ".join(cells) + " |")
        parts.append(f"{result['seconds']:.0f} s{_size(result)}.\n\n" + "\n".join(rows) + "\n")
        if figure and (ROOT / "docs" / "_static" / "validation" / figure).exists():
            parts.append(f"```{{image}} _static/validation/{figure}\n:alt: {claim}\n:width: 90%\n```\n")
    return "\n".join(parts)


def main() -> int:
    """Write both tables."""
    stored = json.loads(RESULTS.read_text())
    PAGE.parent.mkdir(exist_ok=True)
    PAGE.write_text(records_table(stored))
    readme = ROOT / "README.md"
    block = f"{BEGIN}\n\n{readme_table(stored)}\n{END}"
    readme.write_text(re.sub(f"{BEGIN}.*{END}", lambda _: block, readme.read_text(), flags=re.DOTALL))
    return 0


if __name__ == "__main__":
    sys.exit(main())
