"""Products of independent blocks: at equal slope every block is solved on its own, and L, D and R add.

If μ = ⊗ μ_b and ν = ⊗ ν_b then Z and c are products over the blocks, F(ν) = Σ F_b(ν_b) and sup c = Π sup c_b; so the
certificates add too: the slope −1/2ε is the same for all blocks (reverse water-filling when they are Gaussian). A
Gaussian with any covariance is such
a product in the eigenbasis of its covariance matrix; coordinates of variance below ε collapse to points.
"""

from __future__ import annotations

import pickle
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from heatrd.certificate.base import Certificate
from heatrd.errors import InvalidInput
from heatrd.laws import DiscreteLaw
from heatrd.reconstruction import line, radial, space
from heatrd.sources import Gaussian, Source, Source1D

__all__ = [
    "ProductLaw",
    "applies",
    "certify",
    "default_tolerance",
    "independent_blocks",
    "matches",
    "on_lines",
    "reconstruct",
]

FloatArray = NDArray[np.float64]

_ENUMERABLE = 1_000_000
_SHARP = 1e-9  # nats: the gap asked for on lines and radii

BlockSolver = Callable[[Source, float, float, Any], tuple[Certificate, str]]
BlockCertifier = Callable[[Source, Any, float], Certificate]


class ProductLaw:
    """A law with independent blocks in an orthonormal basis: x = shift + Σ_b V_b z_b.

    Attributes
    ----------
    blocks : tuple of laws
        One law per independent block.
    bases : tuple of (d, d_b) arrays
        Orthonormal columns that carry each block into R^d.
    shift : (d,) array
        Constant part.
    """

    def __init__(self, blocks: Sequence[Any], bases: Sequence[FloatArray], shift: FloatArray) -> None:
        self.blocks, self.bases, self.shift = tuple(blocks), tuple(bases), shift
        self.dim = len(shift)

    @cached_property
    def size(self) -> int:
        """Number of points."""
        return int(np.prod([float(len(b)) for b in self.blocks]))

    def __len__(self) -> int:
        return self.size

    @property
    def listable(self) -> bool:
        """Whether `points` and `weights` are few enough to be listed: at most a million."""
        return self.size <= _ENUMERABLE

    @cached_property
    def _listed(self) -> tuple[FloatArray, FloatArray]:
        if not self.listable:
            raise InvalidInput(
                f"this law is a product of {len(self.blocks)} laws with {self.size:.3g} points together, "
                "too many to list; use .blocks"
            )
        points, weights = self.shift[None, :], np.ones(1)
        for block, basis in zip(self.blocks, self.bases):
            moved = block.points @ basis.T
            points = (points[:, None, :] + moved[None, :, :]).reshape(-1, self.dim)
            weights = np.multiply.outer(weights, block.weights).ravel()
        return points, weights / weights.sum()

    @property
    def points(self) -> FloatArray:
        """Support points (m, d); InvalidInput where there are more than a million."""
        return self._listed[0]

    @property
    def weights(self) -> FloatArray:
        """Masses of `points`."""
        return self._listed[1]

    @property
    def mean(self) -> FloatArray:
        return np.asarray(self.shift + sum(v @ b.mean for b, v in zip(self.blocks, self.bases)))

    @property
    def covariance(self) -> FloatArray:
        return np.asarray(sum(v @ b.covariance @ v.T for b, v in zip(self.blocks, self.bases)))


@dataclass(frozen=True, slots=True, eq=False)
class _Block:
    source: Source
    basis: FloatArray


def applies(source: Source) -> bool:
    """Whether the source is solved block by block."""
    return source.dim > 1 and not source.is_discrete and (isinstance(source, Gaussian) or source.factors is not None)


def independent_blocks(source: Source) -> tuple[list[_Block], FloatArray]:
    """Return the independent blocks of a source, each with its basis, and the constant part."""
    identity = np.eye(source.dim)
    if isinstance(source, Gaussian):
        mean = np.asarray(source.mean, dtype=float)
        values, vectors = np.linalg.eigh(source.covariance)
        alive = values > 1e-14 * values[-1]
        blocks = [_Block(Gaussian(0.0, float(v)), vectors[:, k : k + 1]) for k, v in enumerate(values) if alive[k]]
        return blocks, mean
    factors = source.factors
    assert factors is not None
    return [_Block(part, identity[:, list(index)]) for index, part in factors], np.zeros(source.dim)


def on_lines(source: Source) -> bool:
    """Whether all is solved on lines and radii."""
    if source.dim == 1 or radial.radial_form(source) is not None:
        return True
    return applies(source) and all(on_lines(block.source) for block in independent_blocks(source)[0])


def default_tolerance(source: Source) -> float:
    """Gap asked for when the caller names none, nats: that of the hardest block."""
    if on_lines(source):
        return _SHARP
    if applies(source):
        return max(default_tolerance(block.source) for block in independent_blocks(source)[0])
    return space.DEFAULT_TOLERANCE.get(source.dim, 1e-6)


def _solve_block(source: Source, epsilon: float, tol: float, start: Any) -> tuple[Certificate, str]:
    if isinstance(source, Source1D):
        return line.LineProblem(source, tol)(epsilon, start)
    if applies(source):
        return reconstruct(source, epsilon, tol=tol, start=start)
    symmetric = radial.radial_form(source)
    if symmetric is not None:
        return radial.reconstruct(symmetric, epsilon, tol=tol, start=start)
    return space.reconstruct(source, epsilon, tol=tol, start=start)


def reconstruct(
    source: Source,
    epsilon: float,
    *,
    tol: float | None = None,
    start: ProductLaw | DiscreteLaw | None = None,
    solve_block: BlockSolver = _solve_block,
) -> tuple[Certificate, str]:
    """Solve every independent block at the same slope and add up.

    Parameters
    ----------
    source : Source
        With `factors`, or a Gaussian; any dimension.
    epsilon : float
        Per-coordinate variance of the backward channel.
    tol : float, optional
        Gap of the sum, nats; `default_tolerance` when omitted. Blocks get shares of it as their own defaults go.
    start : ProductLaw, optional
        The solution at a neighbouring ε; other laws are ignored.
    solve_block : callable
        (source, epsilon, tol, start) ↦ (certificate, regime) of one block.

    Returns
    -------
    certificate : Certificate
        Its law is a `ProductLaw`.
    regime : str
        "zero-rate" or "backward-heat" where all blocks are; "atomic" otherwise.
    """
    tol = default_tolerance(source) if tol is None else float(tol)
    blocks, shift = independent_blocks(source)
    defaults = np.array([default_tolerance(block.source) for block in blocks])
    shares = np.maximum(tol * defaults / defaults.sum(), 1e-11)
    starts = (
        start.blocks if isinstance(start, ProductLaw) and len(start.blocks) == len(blocks) else [None] * len(blocks)
    )
    solved: dict[bytes, tuple[Certificate, str]] = {}
    parts = []
    for block, first, share in zip(blocks, starts, shares):
        key = _identity(block.source)
        if key not in solved:
            solved[key] = solve_block(block.source, epsilon, float(share), first)
        parts.append(solved[key])
    regimes = {r for _, r in parts}
    certificate = _sum([c for c, _ in parts], [b.basis for b in blocks], shift, epsilon)
    return certificate, regimes.pop() if len(regimes) == 1 else "atomic"


def _sum(certificates: list[Certificate], bases: list[FloatArray], shift: FloatArray, epsilon: float) -> Certificate:
    """The certificate of the product of the blocks' laws."""
    return Certificate(
        epsilon=float(epsilon),
        lagrangian=sum(c.lagrangian for c in certificates),
        lagrangian_lower=sum(c.lagrangian_lower for c in certificates),
        distortion=sum(c.distortion for c in certificates),
        log_sup=sum(c.log_sup for c in certificates),
        discretisation=sum(c.discretisation for c in certificates),
        law=ProductLaw([c.law for c in certificates], bases, shift),  # type: ignore[arg-type]
        quadrature=ProductLaw([c.quadrature for c in certificates], bases, shift),  # type: ignore[arg-type]
    )


def matches(source: Source, law: ProductLaw) -> bool:
    """Whether the law has the independent blocks of the source."""
    if not applies(source):
        return False
    blocks, shift = independent_blocks(source)
    return (
        len(blocks) == len(law.blocks)
        and np.array_equal(shift, law.shift)
        and all(np.array_equal(block.basis, basis) for block, basis in zip(blocks, law.bases))
    )


def certify(source: Source, law: ProductLaw, epsilon: float, certify_block: BlockCertifier) -> Certificate:
    """Bound L(ε) from a law that `matches` the source, block by block."""
    blocks, shift = independent_blocks(source)
    parts = [certify_block(block.source, part, epsilon) for block, part in zip(blocks, law.blocks)]
    return _sum(parts, [b.basis for b in blocks], shift, epsilon)


def _identity(source: Source) -> bytes:
    """A key shared by equal sources, so that equal blocks are solved once."""
    try:
        return pickle.dumps((type(source).__name__, dict(source.parameters)))
    except Exception:  # parameters that cannot be pickled: never shared
        return str(id(source)).encode()
