"""The reference table: certified R(D) and D(R) of standard unit-variance sources, shipped with the package.

Each row is one point of a curve with proved bounds, rate_lower ≤ R(D) ≤ rate_upper (nats), made by
``validation/reference_table.py``.
"""

from __future__ import annotations

import csv
from dataclasses import dataclass
from importlib import resources

from heatrd.errors import InvalidInput

__all__ = ["ReferencePoint", "reference_table"]

_FILE = "reference.csv"


@dataclass(frozen=True, slots=True)
class ReferencePoint:
    """One certified point of the rate–distortion function of a source of unit variance (per vector).

    Attributes
    ----------
    source : str
        Name in the table, such as ``"laplace"``.
    definition : str
        Python expression that makes the source.
    asked : str
        ``"rate"`` or ``"distortion"``: which of the two was prescribed.
    distortion : float
        D = E‖X − Y‖².
    rate_lower, rate_upper : float
        rate_lower ≤ R(distortion) ≤ rate_upper, nats.
    epsilon : float
        The slope dR/dD is −1/2ε.
    """

    source: str
    definition: str
    asked: str
    distortion: float
    rate_lower: float
    rate_upper: float
    epsilon: float

    @property
    def rate(self) -> float:
        """Middle of the proved interval, nats."""
        return 0.5 * (self.rate_lower + self.rate_upper)

    @property
    def gap(self) -> float:
        """Width of the proved interval, nats."""
        return self.rate_upper - self.rate_lower


def reference_table(source: str | None = None) -> list[ReferencePoint]:
    """Return the reference table.

    Parameters
    ----------
    source : str, optional
        Only the rows of this source.

    Raises
    ------
    InvalidInput
        No such source in the table.

    Examples
    --------
    >>> import heatrd
    >>> row = heatrd.reference_table("gaussian")[0]
    >>> abs(row.rate + 0.5 * __import__("math").log(row.distortion)) < 1e-9
    True
    """
    with resources.files("heatrd").joinpath("data", _FILE).open(encoding="utf-8") as file:
        rows = [
            ReferencePoint(
                r["source"],
                r["definition"],
                r["asked"],
                float(r["distortion"]),
                float(r["rate_lower_nat"]),
                float(r["rate_upper_nat"]),
                float(r["epsilon"]),
            )
            for r in csv.DictReader(line for line in file if not line.startswith("#"))
        ]
    if source is None:
        return rows
    chosen = [row for row in rows if row.source == source]
    if not chosen:
        known = ", ".join(dict.fromkeys(row.source for row in rows))
        raise InvalidInput(f"no source {source!r} in the reference table; it has {known}")
    return chosen
