"""A curve as a file: npz with a JSON header (`heatrd.store`), the same bytes for the same curve."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np

from heatrd.curve.band import Band, Knots
from heatrd.curve.records import pack_solution, pack_source, unpack_solution, unpack_source
from heatrd.errors import InvalidInput
from heatrd.solution import Solution
from heatrd.sources import Source, as_source
from heatrd.store import read_npz, write_npz

__all__ = ["read_curve", "write_curve"]

_KIND = "rd-curve"


def write_curve(path: str | Path, curve: Any, solutions: bool = True) -> None:
    """Write a curve; wall-clock time is left out, so that equal curves are equal files."""
    about, arrays = pack_source(curve.source)
    knots = curve.band.knots
    arrays |= {
        "epsilons": curve.epsilons,
        "distortions": curve.distortions,
        "knots": np.stack([knots.epsilon, knots.upper, knots.lower, knots.distortion]),
    }
    kept = []
    for index, solution in enumerate(curve.solutions if solutions else ()):
        if solution is None:
            continue
        header, parts = pack_solution(solution)
        kept.append({"index": index, **header})
        arrays |= {f"solution/{index}/{name}": part for name, part in parts.items()}
    header = {
        **about,
        "tol": curve.tol,
        "asked": curve.asked,
        "solves": curve.solves,
        "certificates": curve.certificates,
        "complete": curve.complete,
        "points": len(curve.epsilons),
        "solutions": kept,
        "variance": curve.band.variance,
        "dim": curve.band.dim,
        "entropy": curve.band.entropy,
        "differential": curve.band.differential,
    }
    write_npz(path, _KIND, header, arrays)


def read_curve(path: str | Path, source: Any = None) -> dict[str, Any]:
    """Return the fields of a curve read from a file.

    Raises
    ------
    InvalidInput
        Not such a file, or its content does not fit together.
    """
    header, arrays = read_npz(path, _KIND)
    try:
        law: Source = unpack_source(header, arrays) if source is None else as_source(source)
        epsilons, distortions = (np.asarray(arrays[name], dtype=float) for name in ("epsilons", "distortions"))
        rows = np.asarray(arrays["knots"], dtype=float)
        if rows.ndim != 2 or rows.shape[0] != 4 or np.isnan(rows).any():
            raise ValueError("knots")
        if epsilons.shape != (header["points"],) or distortions.shape != epsilons.shape:
            raise ValueError("points")
        if law.dim != header["dim"] or not math.isclose(law.total_variance, header["variance"], rel_tol=1e-9):
            raise InvalidInput(f"{str(path)!r} holds a curve of {header['source']['label']}, not of {law!r}")
        solutions: list[Solution | None] = [None] * epsilons.size
        for each in header["solutions"]:
            prefix = f"solution/{each['index']}/"
            parts = {name[len(prefix) :]: value for name, value in arrays.items() if name.startswith(prefix)}
            solutions[int(each["index"])] = unpack_solution(law, each, parts)
        asked = None if header["asked"] is None else (float(header["asked"][0]), float(header["asked"][1]))
        bounds = [None if header[name] is None else float(header[name]) for name in ("entropy", "differential")]
        if any(bound is not None and math.isnan(bound) for bound in bounds):
            raise ValueError("bounds")
        band = Band(Knots(*rows), float(header["variance"]), int(header["dim"]), *bounds)
        return {
            "source": law,
            "epsilons": epsilons,
            "distortions": distortions,
            "solutions": tuple(solutions),
            "band": band,
            "tol": float(header["tol"]),
            "asked": asked,
            "solves": int(header["solves"]),
            "certificates": int(header["certificates"]),
            "complete": bool(header["complete"]),
        }
    except (KeyError, TypeError, ValueError, IndexError) as error:
        if isinstance(error, InvalidInput):
            raise
        raise InvalidInput(f"{str(path)!r} is damaged: {error!r}") from None
