"""Entropic optimal transport between two densities on an n × n grid: `heatrd.sinkhorn`, OTT-JAX and POT.

OTT's grid geometry applies the kernel axis by axis as heatrd does; POT's general solver is given the dense matrix of
all pairs. One rule for all: the sum of both marginals' L1 errors, computed afterwards in double precision from the plan
or the potentials, is at most the target; a method's own threshold is tightened tenfold until it is. Compilation is not
timed.
"""

from __future__ import annotations

import os
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

import heatrd
from heatrd.transport import sinkhorn
from validation.benchmarks._measure import peak_memory, ratio, repeated
from validation.benchmarks.transport import bumps, scattered

for _backend in ("JAX", "PYTORCH", "TENSORFLOW", "CUPY"):
    os.environ.setdefault(f"POT_BACKEND_DISABLE_{_backend}", "1")

TARGET = 1e-8
EPSILON = 1e-2


def ours(n: int, epsilon: float, threshold: float, judge: bool = False) -> float:
    """Solve by heatrd; return the marginal error (which it measures itself) either way."""
    return float(sinkhorn(bumps(n, 1), bumps(n, 2), epsilon, tol=threshold).marginal_error)


def pot(n: int, epsilon: float, threshold: float, judge: bool = False) -> float:
    """Solve by POT's dense solver; return the plan's marginal error if ``judge``."""
    import ot

    (x, a), (y, b) = scattered(bumps(n, 1)), scattered(bumps(n, 2))
    plan = ot.sinkhorn(a, b, 0.5 * ot.dist(x, y), epsilon, stopThr=threshold, numItermax=5000, warn=False)
    return float(np.abs(plan.sum(axis=0) - b).sum() + np.abs(plan.sum(axis=1) - a).sum()) if judge else np.nan


_COMPILED: dict[tuple[Any, ...], Any] = {}


def ott(n: int, epsilon: float, threshold: float, judge: bool = False, *, logarithmic: bool) -> float:
    """Solve by OTT, the jitted solver kept between calls; return the potentials' marginal error if ``judge``."""
    import jax
    import jax.numpy as jnp
    from ott.geometry import grid
    from ott.problems.linear import linear_problem
    from ott.solvers.linear import sinkhorn as solver

    (axes, a), (_, b) = bumps(n, 1), bumps(n, 2)
    with jax.enable_x64():
        geometry = grid.Grid(x=[jnp.asarray(axis) for axis in axes], epsilon=2 * epsilon)  # its cost lacks our ½
        problem = linear_problem.LinearProblem(geometry, a=jnp.asarray(a.ravel()), b=jnp.asarray(b.ravel()))
        run = _COMPILED.setdefault(
            (n, epsilon, threshold, logarithmic),
            jax.jit(solver.Sinkhorn(threshold=threshold, lse_mode=logarithmic, max_iterations=20_000)),
        )
        out = run(problem)
        out.f.block_until_ready()
        if not judge:
            return np.nan
        rows, columns = (np.asarray(geometry.marginal_from_potentials(out.f, out.g, axis=i)) for i in (1, 0))
    return float(np.abs(rows - a.ravel()).sum() + np.abs(columns - b.ravel()).sum())


METHODS = {
    "heatrd": ours,
    "OTT-JAX, kernel": partial(ott, logarithmic=False),
    "OTT-JAX, log domain": partial(ott, logarithmic=True),
    "POT, dense": pot,
}


def beside(n: int, epsilon: float, largest_dense: int, smoke: bool) -> list[dict[str, Any]]:
    """One record a method."""
    rows: list[dict[str, Any]] = []
    for name, method in METHODS.items():
        if (name.startswith("POT") or "log" in name) and n > largest_dense:
            continue
        try:
            row = _timed(name, method, n, epsilon)
        except ModuleNotFoundError as error:
            rows.append({"method": name, "n": n, "skipped": str(error)})
            continue
        if rows and "seconds" in row and "seconds" in rows[0]:
            row["ratio"] = ratio(row["seconds"], rows[0]["seconds"])
        if not smoke and "seconds" in row:
            row["peak_bytes"] = peak_memory(
                partial(method, 16, epsilon, 1e-4), partial(method, n, epsilon, row["threshold"])
            )
        rows.append(row)
        print(f"  {n}² {name:<22}{row.get('seconds', {}).get('median', float('nan')):.4f} s", flush=True)
    return rows


def _timed(name: str, method: Any, n: int, epsilon: float) -> dict[str, Any]:
    """Find a threshold that reaches the target (this also compiles), then time it."""
    error = np.inf
    for threshold in TARGET * 0.1 ** np.arange(4):
        error = method(n, epsilon, float(threshold), judge=True)
        if error <= TARGET:
            times = repeated(partial(method, n, epsilon, float(threshold)))
            return {"method": name, "n": n, "seconds": times, "error": error, "threshold": float(threshold)}
    return {"method": name, "n": n, "error": error, "note": "marginal error not reached"}


def run(smoke: bool = False) -> list[dict[str, Any]]:
    """Every method on grids of growing size."""
    sizes = (24,) if smoke else (32, 64, 128)
    return [row for n in sizes for row in beside(n, EPSILON, 24 if smoke else 64, smoke)]


def claims(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """heatrd reaches the marginal error."""
    return [
        {
            "claim": f"{row['n']}² grid: heatrd's marginal error",
            "expected": f"<= {TARGET:g}",
            "measured": f"{row['error']:.1e}",
            "passed": row["error"] <= TARGET,
        }
        for row in rows
        if row["method"] == "heatrd"
    ]


def draw(rows: list[dict[str, Any]], directory: Path) -> None:
    """Seconds and bytes against the number of cells."""
    with heatrd.plots.figure(size=(8.4, 3.9)) as figure:
        left, right = figure.subplots(1, 2)
        for method in METHODS:
            found = [r for r in rows if r["method"] == method and "seconds" in r]
            cells = [r["n"] ** 2 for r in found]
            colour = {"color": "k", "linewidth": 1.8} if method == "heatrd" else {}
            left.plot(cells, [r["seconds"]["median"] for r in found], "o-", label=method, **colour)
            right.plot(cells, [max(r.get("peak_bytes", 0) / 2**20, 0.01) for r in found], "o-", **colour)
        left.set(xscale="log", yscale="log", xlabel="grid cells", ylabel="processor seconds")
        right.set(xscale="log", yscale="log", xlabel="grid cells", ylabel="added memory at peak (MiB)")
        figure.legend(*left.get_legend_handles_labels(), loc="outside lower center", ncols=4)
        heatrd.plots.save(figure, directory / "entropic.png")
