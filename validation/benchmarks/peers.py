"""What a user would pick instead, each as a function of effort: from nothing to a reconstruction law ν.

| peer | package | effort |
|---|---|---|
| Blahut–Arimoto, dense matrix | NumPy | sweeps |
| Blahut–Arimoto | dit | sweeps allowed (it stops by its own rule) |
| Richardson–Lucy deconvolution of the source by the kernel | scikit-image | sweeps |
| exponential-cone programme | cvxpy with Clarabel or SCS | lattice points per √ε |
| Wasserstein gradient descent (WGD), NERD | own, `validation.neural.baselines` | training steps |
| `heatrd.solve` | heatrd | tolerance |

A source becomes nodes by heatrd's quadrature, the same for everybody. Whatever a peer returns is judged by
`heatrd.certify` against the source itself over the continuum, which is not on the peer's clock.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

import heatrd
from heatrd.certificate.space import space_problem
from heatrd.reconstruction.dispatch import discretise

Law = tuple[np.ndarray, np.ndarray]


@dataclass(frozen=True)
class Peer:
    """A method: ``solve(source, epsilon, effort)`` returns points (m, d) and weights (m,)."""

    name: str
    package: str
    solve: Callable[[Any, float, float], Law]
    efforts: tuple[float, ...]
    dims: tuple[int, ...] = (1, 2)


def nodes(source: Any, epsilon: float) -> Law:
    """Points (n, d) and masses (n,) that stand for the source."""
    found = discretise(source, epsilon) if source.dim == 1 else space_problem(source, epsilon, second=False).nodes
    keep = found.weights > 0
    return found.points[keep].reshape(-1, source.dim), found.weights[keep]


def lattice(points: np.ndarray, spacing: float) -> tuple[list[np.ndarray], np.ndarray]:
    """Axes and points of a lattice over the nodes' box."""
    axes = [np.arange(a, b + spacing, spacing) for a, b in zip(points.min(axis=0), points.max(axis=0), strict=True)]
    return axes, np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1).reshape(-1, len(axes))


def kernel(x: np.ndarray, y: np.ndarray, epsilon: float) -> np.ndarray:
    """exp(−‖x − y‖²/2ε), dense."""
    square = (x**2).sum(axis=1)[:, None] + (y**2).sum(axis=1) - 2 * x @ y.T
    return np.asarray(np.exp(-np.maximum(square, 0) / (2 * epsilon)))


def _cleaned(y: np.ndarray, w: np.ndarray) -> Law:
    """Drop what has no weight; normalise."""
    w = np.maximum(w, 0)
    keep = w > 1e-14 * w.max()
    return y[keep], w[keep] / w[keep].sum()


def heatrd_solve(source: Any, epsilon: float, effort: float) -> Law:
    """Our own, at a tolerance."""
    law = heatrd.solve(source, epsilon=epsilon, tol=effort).reconstruction
    return law.points, law.weights


def dense_sweeps(source: Any, epsilon: float, effort: float, per_root: float = 4.0) -> Law:
    """Sweep ν ← ν c on a lattice of √ε/4, one dense matrix, two products a sweep."""
    x, mass = nodes(source, epsilon)
    _, y = lattice(x, math.sqrt(epsilon) / per_root)
    k = kernel(x, y, epsilon)
    w = np.full(len(y), 1 / len(y))
    for _ in range(int(effort)):
        w = w * ((mass / np.maximum(k @ w, 1e-300)) @ k)
    return _cleaned(y, w)


def fine_sweeps(source: Any, epsilon: float, effort: float) -> Law:
    """The same on a lattice of √ε/16, whose own error is small."""
    return dense_sweeps(source, epsilon, effort, 16.0)


def dit_sweeps(source: Any, epsilon: float, effort: float) -> Law:
    """dit's Blahut–Arimoto; it wants as many reproduction letters as source letters."""
    from dit.rate_distortion.blahut_arimoto import blahut_arimoto

    x, mass = nodes(source, epsilon)
    y = np.linspace(x.min(axis=0), x.max(axis=0), len(x))
    square = (x - y.T) ** 2
    _, joint = blahut_arimoto(
        mass, 1 / (2 * epsilon * math.log(2)), distortion=lambda p, q: square, max_iters=int(effort), restarts=1
    )
    return _cleaned(y, joint.sum(axis=0))


def lucy_sweeps(source: Any, epsilon: float, effort: float, per_root: float = 4.0) -> Law:
    """scikit-image's Richardson–Lucy on the source's histogram over a grid of √ε/4; the kernel is cut at 6√ε."""
    from skimage.restoration import richardson_lucy

    x, mass = nodes(source, epsilon)
    spacing = math.sqrt(epsilon) / per_root
    axes, y = lattice(x - spacing / 2, spacing)
    edges = [np.append(a, a[-1] + spacing) - spacing / 2 for a in axes]
    image, _ = np.histogramdd(x, bins=edges, weights=mass)
    offsets = spacing * np.arange(-round(6 * per_root), round(6 * per_root) + 1)
    psf = np.ones((1,) * source.dim)
    for axis in range(source.dim):
        line = np.exp(-(offsets**2) / (2 * epsilon))
        psf = psf * line.reshape([-1 if axis == i else 1 for i in range(source.dim)])
    found = richardson_lucy(image, psf / psf.sum(), num_iter=int(effort), clip=False)
    return _cleaned(y, found.ravel())


def _cone_programme(source: Any, epsilon: float, effort: float, solver: str, **settings: float) -> Law:
    import cvxpy as cp

    x, mass = nodes(source, epsilon)
    _, y = lattice(x, math.sqrt(epsilon) / effort)
    if len(x) * len(y) > 1_500_000:
        raise MemoryError(f"{len(x)} × {len(y)} entries")
    w = cp.Variable(len(y), nonneg=True)
    cost = -(mass @ cp.log(kernel(x, y, epsilon) @ w))
    cp.Problem(cp.Minimize(cost), [cp.sum(w) == 1]).solve(solver=solver, **settings)
    return _cleaned(y, np.asarray(w.value))


def clarabel(source: Any, epsilon: float, effort: float) -> Law:
    """min −Σ μ_i log (Kw)_i over the simplex, interior point, default settings."""
    return _cone_programme(source, epsilon, effort, "CLARABEL")


def scs(source: Any, epsilon: float, effort: float) -> Law:
    """The same by splitting, residuals to 1e-7."""
    return _cone_programme(source, epsilon, effort, "SCS", eps_abs=1e-7, eps_rel=1e-7, max_iters=2_000)


def wasserstein(source: Any, epsilon: float, effort: float) -> Law:
    """1024 particles along the Wasserstein gradient."""
    from validation.neural.baselines import wgd

    points = wgd(source.sample, epsilon, steps=int(effort)).points
    return points, np.full(len(points), 1 / len(points))


def generator(source: Any, epsilon: float, effort: float) -> Law:
    """NERD, 4096 samples of its generator."""
    from validation.neural.baselines import nerd

    points = nerd(source.sample, epsilon, steps=int(effort), readout=4096).points
    return points, np.full(len(points), 1 / len(points))


def _sweeps(last: int) -> tuple[float, ...]:
    """1, 2, 3, 5, 8, 12 …, growing by half."""
    found, n = [], 1.0
    while n <= last:
        found.append(float(round(n)))
        n = max(n + 1, 1.5 * n)
    return tuple(found)


PEERS = (
    Peer("heatrd", "heatrd", heatrd_solve, (1e-3, 1e-4, 1e-6, 1e-8)),
    Peer("Blahut–Arimoto, √ε/4", "numpy", dense_sweeps, _sweeps(1_000_000)),
    Peer("Blahut–Arimoto, √ε/16", "numpy", fine_sweeps, _sweeps(1_000_000), (1,)),
    Peer("dit Blahut–Arimoto", "dit", dit_sweeps, _sweeps(1_000_000), (1,)),
    Peer("Richardson–Lucy", "scikit-image", lucy_sweeps, _sweeps(1_000_000)),
    Peer("Clarabel", "cvxpy", clarabel, (1.0, 2.0, 4.0, 8.0, 16.0, 32.0)),
    Peer("SCS", "cvxpy", scs, (1.0, 2.0, 4.0, 8.0, 16.0, 32.0)),
    Peer("WGD, 1024 particles", "jax", wasserstein, (30.0, 100.0, 300.0, 1000.0, 3000.0, 10000.0)),
    Peer("NERD, 4096 samples", "jax", generator, (100.0, 300.0, 1000.0, 3000.0, 10000.0)),
)


def available(dim: int) -> Iterator[Peer]:
    """Peers for a dimension."""
    return (peer for peer in PEERS if dim in peer.dims)
