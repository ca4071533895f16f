"""The bridge of a product: every independent block has its own, and all of them run side by side.

If μ = ⊗ μ_b and ν = ⊗ ν_b in an orthonormal basis, x = shift + Σ_b V_b z_b, the heat kernel is a product too, and

    φ_t(x) = Π_b φ_t^b(z_b),    φ̂_t(x) = Π_b φ̂_t^b(z_b),    u_t(x) = Σ_b V_b u_t^b(z_b),

so that logarithms, energies and entropies add. No joint quadrature is needed for any of them, in any dimension.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import scipy
from numpy.typing import ArrayLike, NDArray

from heatrd.bridge.flows import AtomFlow, MixtureFlow
from heatrd.bridge.marginal_law import law_on_lattice
from heatrd.bridge.schrodinger import SchrodingerBridge
from heatrd.laws import DiscreteLaw
from heatrd.reconstruction.product import ProductLaw, independent_blocks
from heatrd.sources import Source

__all__ = ["ProductBridge", "product_bridge"]

FloatArray = NDArray[np.float64]

_LISTED = 1_000_000  # a joint law with more points stays a product
_STEEPEST = 1e300  # infinite scores of two blocks may meet in one coordinate
_LIGHT = 1e-17  # joint nodes lighter than this are left out of expectations


class ProductBridge(SchrodingerBridge):
    """Potentials, densities and controls of independent bridges, as one bridge on their product.

    Parameters
    ----------
    factors : sequence of SchrodingerBridge
        One bridge per independent block, all with the same ε; products among them are taken apart.
    bases : sequence of (d, d_b) arrays
        Orthonormal columns that carry each block into R^d; together they span it.
    shift : (d,) array
        Constant part.
    source : Source, optional
        The product itself.
    """

    def __init__(
        self,
        factors: Sequence[SchrodingerBridge],
        bases: Sequence[FloatArray],
        shift: FloatArray,
        source: Source | None = None,
    ) -> None:
        self.factors, self.bases, self.shift = _flattened(factors, bases, np.asarray(shift, dtype=np.float64))
        self.epsilon, self.dim, self.source = self.factors[0].epsilon, len(self.shift), source
        self.mu = self._join([factor.mu for factor in self.factors])
        self.reconstruction: Any = ProductLaw([f.reconstruction for f in self.factors], self.bases, self.shift)
        self.nu = self.reconstruction
        self.tilt = np.zeros(0)

    @property
    def atomic(self) -> bool:
        return any(factor.atomic for factor in self.factors)

    @property
    def terminal(self) -> DiscreteLaw:
        return self._join([factor.terminal for factor in self.factors])

    @property
    def log_phi0(self) -> FloatArray:
        values = np.zeros(1)
        for factor in self.factors:
            values = np.add.outer(values, factor.log_phi0).ravel()
        return values

    def posterior_mean(self, t: float, x: ArrayLike) -> FloatArray:
        parts = self._parts_of(self._points(x))
        means = [f.posterior_mean(t, z) @ v.T for f, v, z in zip(self.factors, self.bases, parts, strict=True)]
        return self._vector(self.shift + sum(means), x)

    def quadrature(self, t: float) -> DiscreteLaw:
        """Points and weights that integrate smooth functions against ρ_t: the blocks' own, combined.

        Where these are more than a million together a lattice is used instead (d ≤ 3).
        """
        laws = [factor.quadrature(t) for factor in self.factors]
        if math.prod(float(len(law)) for law in laws) > _LISTED and self.dim <= 3 and 0.0 < t < 1.0:
            return law_on_lattice(self, t)
        joint = ProductLaw(laws, self.bases, self.shift)
        weights = joint.weights * math.prod(float(law.weights.sum()) for law in laws)
        keep = weights > _LIGHT
        return DiscreteLaw(joint.points[keep], weights[keep])

    def draw_terminal(self, x: ArrayLike, uniform: ArrayLike, normal: ArrayLike) -> FloatArray:
        """Draw X_1 given X_0 = x from the optimal coupling, with random numbers handed in.

        A block that is chosen from its points is chosen by its own share of ``normal`` (n, d), made uniform. A
        mixture needs a uniform number beside it: the first takes ``uniform`` (n,), others are drawn from their nodes.
        """
        points, spare = self._points(x), np.asarray(uniform, dtype=np.float64)
        draws, mixed = np.tile(self.shift, (len(points), 1)), False
        normals = np.asarray(normal, dtype=np.float64)
        for factor, basis, z in zip(self.factors, self.bases, self._parts_of(points), strict=True):
            own = normals @ basis
            if not _is_mixture(factor):
                drawn = factor.draw_terminal(z, scipy.special.ndtr(own[:, 0]), own)
            elif not mixed:
                drawn, mixed = factor.draw_terminal(z, spare, own), True
            else:
                nodes = AtomFlow(factor.reconstruction.points, np.log(factor.reconstruction.weights))
                drawn = nodes.draw(self.epsilon, z, scipy.special.ndtr(own[:, 0]), own)
            draws += drawn @ basis.T
        return self._vector(draws, x)

    # -- inside -----------------------------------------------------------------------------------------------

    def _time(self, t: float, *, terminal: bool = False, initial: bool = False) -> float:
        return max(factor._time(t, terminal=terminal, initial=initial) for factor in self.factors)

    def _parts_of(self, x: FloatArray) -> list[FloatArray]:
        """Coordinates (n, d_b) of the blocks."""
        return [np.ascontiguousarray((x - self.shift) @ basis) for basis in self.bases]

    def _phi(self, t: float, x: FloatArray) -> tuple[FloatArray, FloatArray]:
        return self._add(x, lambda factor, z: factor._phi(t, z))

    def _phi_hat(self, t: float, x: FloatArray) -> tuple[FloatArray, FloatArray]:
        return self._add(x, lambda factor, z: factor._phi_hat(t, z))

    def _add(
        self, x: FloatArray, ask: Callable[[SchrodingerBridge, FloatArray], tuple[FloatArray, FloatArray]]
    ) -> tuple[FloatArray, FloatArray]:
        """Sum of the blocks' log-potentials, and of their gradients in R^d."""
        value, score = np.zeros(len(x)), np.zeros(x.shape)
        for factor, basis, z in zip(self.factors, self.bases, self._parts_of(x), strict=True):
            more, slope = ask(factor, z)
            value += more
            score += slope.clip(-_STEEPEST, _STEEPEST) @ basis.T
        return value, score

    def _join(self, laws: Sequence[DiscreteLaw]) -> Any:
        joint = ProductLaw(laws, self.bases, self.shift)
        return DiscreteLaw(joint.points, joint.weights) if joint.size <= _LISTED else joint


def product_bridge(source: Source, mu: ProductLaw, nu: ProductLaw, epsilon: float, *, smooth: bool) -> ProductBridge:
    """Build the bridge of a source that was solved block by block.

    Parameters
    ----------
    source : Source
        With independent blocks: `factors`, or a Gaussian.
    mu, nu : ProductLaw
        Discretised source and reconstruction law, with the blocks of the source.
    epsilon : float
    smooth : bool
        Whether every block is in the backward-heat class; blocks whose critical ε is known are also judged by that.
    """
    blocks, _ = independent_blocks(source)
    known: dict[int, SchrodingerBridge] = {}  # equal blocks share their law
    factors: list[SchrodingerBridge] = []
    for block, own_mu, own_nu in zip(blocks, mu.blocks, nu.blocks, strict=True):
        if id(own_nu) not in known:
            known[id(own_nu)] = _block_bridge(block.source, own_mu, own_nu, epsilon, smooth)
        factors.append(known[id(own_nu)])
    bases = list(nu.bases)
    if rest := source.dim - sum(basis.shape[1] for basis in bases):  # directions in which the source is constant
        point = DiscreteLaw(np.zeros((1, rest)), np.ones(1))
        factors.append(SchrodingerBridge(point, point, epsilon))
        bases.append(scipy.linalg.null_space(np.concatenate(bases, axis=1).T))
    return ProductBridge(factors, bases, nu.shift, source)


def _block_bridge(source: Source, mu: Any, nu: Any, epsilon: float, smooth: bool) -> SchrodingerBridge:
    if isinstance(nu, ProductLaw):
        return product_bridge(source, mu, nu, epsilon, smooth=smooth)
    if smooth or (source.critical_epsilon() or 0.0) > epsilon:
        return SchrodingerBridge.backward_heat(mu, nu, epsilon, source)
    return SchrodingerBridge(mu, nu, epsilon, source)


def _is_mixture(bridge: SchrodingerBridge) -> bool:
    """Whether a draw from ν takes a uniform number besides normal ones."""
    return isinstance(bridge._potentials.terminal, MixtureFlow) and len(bridge._potentials.terminal.means) > 1


def _flattened(
    factors: Sequence[SchrodingerBridge], bases: Sequence[FloatArray], shift: FloatArray
) -> tuple[tuple[SchrodingerBridge, ...], tuple[FloatArray, ...], FloatArray]:
    """The same product with products among its factors taken apart."""
    parts: list[tuple[SchrodingerBridge, FloatArray]] = []
    for factor, basis in zip(factors, bases, strict=True):
        if isinstance(factor, ProductBridge):
            shift = shift + basis @ factor.shift
            parts += [(f, basis @ v) for f, v in zip(factor.factors, factor.bases, strict=True)]
        else:
            parts.append((factor, basis))
    return tuple(f for f, _ in parts), tuple(v for _, v in parts), shift
