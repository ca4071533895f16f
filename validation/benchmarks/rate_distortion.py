"""One point of a rate–distortion problem: processor seconds until the law is certified to a gap, for heatrd and peers.

The rule is the same for all: F(ν) − lower bound ≤ gap by `heatrd.certify`, over the continuum, for the source itself.
An iterative peer is charged for one run of just enough iterations (found beforehand on a sequence growing by half),
not for stopping tests. Compilation happens before the clock starts, except where a method compiles anew in every call
(WGD, NERD).
"""

from __future__ import annotations

import math
import warnings
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

import heatrd
from heatrd import sources
from validation.benchmarks._measure import peak_memory, ratio, repeated, timed
from validation.benchmarks.peers import Peer, available

GAPS = (1e-2, 1e-3, 1e-4, 1e-6, 1e-8)
BUDGET = 1.0
WEIGHED = "Laplacian, ε = 0.05 σ²"  # the problem whose memory is measured

PROBLEMS: dict[str, tuple[Any, float]] = {
    "uniform, ε = 0.05 σ²": (sources.Uniform(), 0.05),
    "Laplacian, ε = 0.05 σ²": (sources.Laplace(), 0.1),
    "two moons (2-D), ε = 0.15": (sources.TwoMoons(0.2), 0.15),
}


def race(peer: Peer, source: Any, epsilon: float, budget: float) -> dict[str, Any]:
    """Raise the effort until every gap is certified or a run takes longer than ``budget`` seconds."""
    reached: dict[float, tuple[float, float]] = {}
    trace, note, last = [], "", math.inf
    peer.solve(source, epsilon, peer.efforts[0])  # compiles
    for effort in peer.efforts:
        try:
            seconds, (points, weights) = timed(lambda effort=effort: peer.solve(source, epsilon, effort))
        except MemoryError as error:
            note = f"stopped: {error}"
            break
        gap = heatrd.certify(source, points, weights, epsilon).gap
        trace.append([effort, seconds, gap])
        for wanted in GAPS:
            if gap <= wanted:
                reached.setdefault(wanted, (effort, seconds))
        if len(reached) == len(GAPS):
            break
        if seconds > budget:
            note = f"more than {budget:g} s"
            break
        if gap == last and effort > 100:
            note = "its own rule stops it"
            break
        last = gap
    runs = {
        effort: {"effort": effort, **repeated(lambda effort=effort: peer.solve(source, epsilon, effort), seconds)}
        for effort, seconds in dict(reached.values()).items()
    }
    times = {f"{gap:g}": runs[effort] for gap, (effort, _) in reached.items()}
    best = min(trace, key=lambda row: row[2], default=[None, None, math.inf])
    return {"method": peer.name, "package": peer.package, "times": times, "trace": trace, "best": best[2], "note": note}


def memory(peer: Peer, source: Any, epsilon: float, effort: float) -> float:
    """Peak bytes of one solve at ``effort``."""
    return peak_memory(
        partial(peer.solve, sources.Uniform() if source.dim == 1 else source, 10 * epsilon, peer.efforts[0]),
        partial(peer.solve, source, epsilon, effort),
    )


def problem(name: str, budget: float, smoke: bool) -> list[dict[str, Any]]:
    """One record a method: times by gap, ratio to heatrd, memory at 1e-4 (or at its best)."""
    source, epsilon = PROBLEMS[name]
    rows: list[dict[str, Any]] = []
    for peer in available(source.dim):
        try:
            row = race(peer, source, epsilon, budget)
        except ModuleNotFoundError as error:
            rows.append({"problem": name, "method": peer.name, "skipped": str(error)})
            continue
        ours = rows[0]["times"] if rows else row["times"]
        row["ratios"] = {gap: ratio(t, ours[gap]) for gap, t in row["times"].items() if gap in ours}
        if name == WEIGHED and peer.package != "jax":
            effort = row["times"].get("0.0001", {}).get("effort") or min(row["trace"], key=lambda r: r[2])[0]
            row["peak_bytes"] = memory(peer, source, epsilon, effort)
        rows.append({"problem": name, **row})
        print(f"  {name:<28}{peer.name:<24}" + _line(row), flush=True)
    return rows


def _line(row: dict[str, Any]) -> str:
    times = ", ".join(f"{gap}: {t['median']:.3g} s" for gap, t in row["times"].items()) or "no gap reached"
    return f"{times}; best {row['best']:.1e} {row['note']}"


def run(smoke: bool = False) -> list[dict[str, Any]]:
    """Every method on every problem (smoke: the uniform source, one second each)."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        names = list(PROBLEMS)[:1] if smoke else list(PROBLEMS)
        return [row for name in names for row in problem(name, 0.2 if smoke else BUDGET, smoke)]


def claims(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """heatrd certifies every gap it was asked for."""
    return [
        {
            "claim": f"{row['problem']}: heatrd certifies every gap down to {GAPS[-1]:g}",
            "expected": f"<= {GAPS[-1]:g}",
            "measured": f"{row['best']:.1e}",
            "passed": row["best"] <= GAPS[-1],
        }
        for row in rows
        if row["method"] == "heatrd"
    ]


def draw(rows: list[dict[str, Any]], directory: Path) -> None:
    """Gap against processor seconds, one panel a problem."""
    names = list(dict.fromkeys(row["problem"] for row in rows))
    with heatrd.plots.figure(size=(4.0 * len(names), 4.2)) as figure:
        axes = np.atleast_1d(figure.subplots(1, len(names), sharey=True))
        methods = list(dict.fromkeys(row["method"] for row in rows))
        for ax, name in zip(axes, names, strict=False):
            for row in (r for r in rows if r["problem"] == name and "trace" in r):
                k = methods.index(row["method"])
                best = np.minimum.accumulate([t[2] for t in row["trace"]])
                seconds = [t[1] for t in row["trace"]]
                ours = row["method"] == "heatrd"
                ax.plot(
                    seconds,
                    best,
                    "os^vD<>ph"[k % 9] + "-",
                    color="k" if ours else "#8C6D1F" if k == 8 else f"C{k - 1}",
                    markersize=6 if ours else 3,
                    linewidth=1.8 if ours else 1,
                    label=row["method"],
                )
            ax.set(xscale="log", yscale="log", title=name, xlabel="processor seconds")
            ax.grid(alpha=0.3)
        axes[0].set_ylabel("certified gap (nat)")
        handles = {label: h for ax in axes for h, label in zip(*ax.get_legend_handles_labels(), strict=True)}
        figure.legend(handles.values(), handles.keys(), loc="outside lower center", ncols=5, fontsize=8)
        heatrd.plots.save(figure, directory / "rate_distortion.png")
