"""How cost grows: with range/√ε on the line, with the dimension, with the number of grid cells. Fitted exponents.

An exponent is the least-squares slope of log seconds against log size over the sizes listed, with its standard error:
one number for a range of sizes in which constant costs still matter, not an asymptotic law.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

import heatrd
from heatrd import sources
from validation.benchmarks import entropic
from validation.benchmarks._measure import exponent, repeated
from validation.benchmarks.peers import clarabel, dense_sweeps, heatrd_solve

GAP = 1e-3


def least_sweeps(source: Any, epsilon: float) -> int:
    """Sweeps of Blahut–Arimoto after which the certified gap is at most GAP, to 20 %."""
    n = 4
    while heatrd.certify(source, *dense_sweeps(source, epsilon, n), epsilon).gap > GAP:
        n = max(n + 1, round(1.2 * n))
    return n


def line(smoke: bool) -> Iterator[dict[str, Any]]:
    """A uniform source of growing length over √ε; gap 1e-3 for all, 1e-9 for heatrd too."""
    lengths = (25, 50) if smoke else (25, 50, 100, 200)
    source = sources.Uniform()
    far = () if smoke else (400, 800, 1600)
    yield curve(
        "heatrd, gap 1e-9", "range/√ε", [*lengths, *far], lambda n: lambda: heatrd_solve(source, 12 / n**2, 1e-9)
    )
    sweeps = {n: least_sweeps(source, 12 / n**2) for n in lengths}
    yield curve(
        "Blahut–Arimoto, gap 1e-3", "range/√ε", lengths, lambda n: lambda: dense_sweeps(source, 12 / n**2, sweeps[n])
    )
    try:
        yield curve(
            "Clarabel, lattice √ε/4", "range/√ε", lengths[:3], lambda n: lambda: clarabel(source, 12 / n**2, 4.0)
        )
    except ModuleNotFoundError as error:
        print(f"  skipped: {error}")


def dimension(smoke: bool) -> Iterator[dict[str, Any]]:
    """Rotation symmetry and independence make the dimension cheap; a general cloud does not."""
    dims = (2, 4) if smoke else (2, 5, 10, 30, 100)
    yield curve(
        "heatrd, noisy sphere", "dimension", dims, lambda d: lambda: heatrd.solve(sources.NoisySphere(d), epsilon=0.1)
    )
    parts = [sources.Laplace(scale=1 + 0.01 * i) for i in range(max(dims))]
    yield curve(
        "heatrd, product of Laplacians",
        "dimension",
        dims[: 2 if smoke else 3],
        lambda d: lambda: heatrd.solve(sources.Product(parts[:d]), epsilon=0.3, tol=1e-6),
    )
    clouds = {d: np.random.default_rng(d).random((100, d)) for d in (1, 2, 3)}
    yield curve(
        "heatrd, 100 points in a cube",
        "dimension",
        (1, 2) if smoke else (1, 2, 3),
        lambda d: lambda: heatrd.solve(heatrd.from_samples(clouds[d]), epsilon=0.05, tol=1e-4),
    )


def cells(smoke: bool) -> Iterator[dict[str, Any]]:
    """Sinkhorn and the backward heat equation against the number of grid cells."""
    sides = (16, 24) if smoke else (64, 128, 192)
    small = (16, 24) if smoke else (24, 32, 48)
    yield curve("heatrd.sinkhorn", "grid cells", [n * n for n in sides], lambda m: _transport(entropic.ours, m))
    for label, method, sizes in (
        ("OTT-JAX, kernel", entropic.METHODS["OTT-JAX, kernel"], sides),
        ("POT, dense", entropic.pot, small),
    ):
        try:
            yield curve(label, "grid cells", [n * n for n in sizes], lambda m, method=method: _transport(method, m))
        except ModuleNotFoundError as error:
            print(f"  skipped: {error}")
    tables = {n * n: _table(n) for n in sides}
    yield curve(
        "heatrd.backward_heat",
        "grid cells",
        [n * n for n in sides],
        lambda m: lambda: heatrd.backward_heat(tables[m], 0.05, method="spectral"),
    )


def _transport(method: Callable[..., float], count: int) -> Callable[[], float]:
    return lambda: method(round(count**0.5), entropic.EPSILON, 1e-8)


def _table(n: int) -> Any:
    axes = [np.linspace(-3, 3, n)] * 2
    density = np.exp(sources.NoisySphere(2, noise=0.3).log_density(np.stack(np.meshgrid(*axes, indexing="ij"), -1)))
    return heatrd.from_grid(axes, density, normalize=True)


def curve(method: str, against: str, sizes: Any, work: Callable[[Any], Callable[[], Any]]) -> dict[str, Any]:
    """Times of ``work(size)`` and their exponent."""
    times = []
    for size in sizes:
        work(size)()  # compiles
        times.append(repeated(work(size)))
    slope, stderr = exponent(list(sizes), [t["median"] for t in times])
    print(f"  {method:<32} seconds ∝ ({against})^{slope:.2f}", flush=True)
    return {
        "method": method,
        "against": against,
        "sizes": list(sizes),
        "seconds": times,
        "exponent": slope,
        "exponent_stderr": stderr,
    }


def run(smoke: bool = False) -> list[dict[str, Any]]:
    """All curves."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return [row for part in (line, dimension, cells) for row in part(smoke)]


def claims(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The line solver is linear in range/√ε."""
    return [
        {
            "claim": "cost of heatrd on the line against range/√ε",
            "expected": "exponent <= 1.3",
            "measured": f"{row['exponent']:.2f} ± {row['exponent_stderr']:.2f}",
            "passed": row["exponent"] <= 1.3,
        }
        for row in rows
        if row["method"] == "heatrd, gap 1e-9"
    ]


def draw(rows: list[dict[str, Any]], directory: Path) -> None:
    """Three panels."""
    kinds = list(dict.fromkeys(row["against"] for row in rows))
    with heatrd.plots.figure(size=(3.9 * len(kinds), 4.0)) as figure:
        for ax, kind in zip(np.atleast_1d(figure.subplots(1, len(kinds))), kinds, strict=True):
            for row in (r for r in rows if r["against"] == kind):
                ax.plot(
                    row["sizes"],
                    [t["median"] for t in row["seconds"]],
                    "o-" if row["method"].startswith("heatrd") else "s--",
                    label=f"{row['method']}: {row['exponent']:.2f}",
                )
            ax.set(xscale="log", yscale="log", xlabel=kind, ylabel="processor seconds")
            ax.legend(fontsize=7, title="fitted exponent", title_fontsize=7)
        heatrd.plots.save(figure, directory / "growth.png")
