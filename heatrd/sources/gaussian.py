"""Gaussian laws and their finite mixtures, in any dimension.

With μ = Σ w_i N(m_i, Σ_i) the backward heat class of DESIGN (5) is explicit: μ = ν ∗ N(0, ε I) with
ν = Σ w_i N(m_i, Σ_i − ε I) up to ε_c = min_i λ_min(Σ_i). No law works beyond ε_c, because the characteristic function
of ν would grow like exp((ε − ε_c)‖ω‖²/2) along the narrowest direction.

Densities are evaluated as −‖L⁻¹(x − m)‖²/2 − log det L − (d/2) log 2π with Σ = L Lᵀ; on the line that is a
division by σ, so scales from 1e-150 to 1e150 neither overflow nor underflow.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import scipy
from numpy.typing import ArrayLike, NDArray
from scipy import special

from heatrd.errors import InvalidInput
from heatrd.sources import _checks
from heatrd.sources._tails import tail_point
from heatrd.sources.base import FloatArray, Source, Source1D
from heatrd.sources.discrete import Atoms

__all__ = ["Gaussian", "GaussianMixture"]

LOG_2PI = float(np.log(2 * np.pi))
_CHUNK = 1 << 22  # entries of the (points × components) table held at once
_FEW = 16


class GaussianMixture(Source):
    """Finite mixture Σ w_i N(m_i, Σ_i) on R^d; on the line it is also a `Source1D`.

    Parameters
    ----------
    weights : (k,) array_like, optional
        Non-negative, normalised here; equal when omitted.
    means : (k,) or (k, d) array_like
        Component means; a 1-D array means d = 1.
    covs : scalar, (k,), (d, d) or (k, d, d) array_like
        Component covariances (variances when d = 1, **not** standard deviations). A scalar is one isotropic
        covariance shared by all, (k,) one
        isotropic covariance each, (d, d) one matrix shared by all. Semi-definite is allowed: on the line a
        component of variance zero is an atom.

    Raises
    ------
    InvalidInput
        Mismatched shapes, NaN, negative weights, covariances that are not symmetric positive semi-definite.
    """

    name = "gaussian-mixture"

    def __new__(cls, weights: Any = None, means: Any = (0.0,), covs: Any = 1.0, **_: Any) -> GaussianMixture:
        if cls is GaussianMixture and _dimension_of_points(means) == 1:
            return super().__new__(GaussianMixture1D)
        return super().__new__(cls)

    def __init__(self, weights: ArrayLike | None = None, means: ArrayLike = (0.0,), covs: ArrayLike = 1.0) -> None:
        m = _checks.array(means, "means", self.name)
        m = m.reshape(-1, 1) if m.ndim < 2 else m
        if m.ndim != 2:
            raise InvalidInput(f"{self.name}: means have shape {m.shape}; need (k,) or (k, d)")
        k, d = m.shape
        w = np.full(k, 1.0 / k) if weights is None else _checks.probabilities(weights, "weights", self.name)
        if w.shape != (k,):
            raise InvalidInput(f"{self.name}: {w.size} weights for {k} means; need one weight per component")
        c = _component_covariances(covs, k, d, self.name)
        self.dim = d
        self._given = {"weights": w, "means": m[:, 0] if d == 1 else m, "covs": c[:, 0, 0] if d == 1 else c}
        keep = w > 0
        self.weights, self.means, self.covs = w[keep], m[keep], c[keep]
        self._roots, self._eigenvalues = _spectra(self.covs, self.name)

    def __reduce__(self) -> Any:
        return _rebuild, (type(self), dict(self.parameters))

    @property
    def parameters(self) -> Mapping[str, Any]:
        return dict(self._given)

    @property
    def mean(self) -> FloatArray:
        return np.asarray(self.weights @ self.means)

    @property
    def covariance(self) -> FloatArray:
        centred = self.means - self.mean
        between = (self.weights[:, None] * centred).T @ centred
        return np.asarray(np.einsum("k,kij->ij", self.weights, self.covs) + between)

    def log_density(self, x: ArrayLike) -> FloatArray:
        x = np.asarray(x, dtype=np.float64)
        flat = x.reshape(-1, self.dim)
        solid = np.flatnonzero(self._eigenvalues[:, 0] > 0)
        out = np.full(len(flat), -np.inf)
        _, shape = np.unique(self.covs[solid].reshape(len(solid), self.dim**2), axis=0, return_inverse=True)
        for group in range(shape.max(initial=-1) + 1):
            out = np.logaddexp(out, self._log_group(flat, solid[shape.ravel() == group]))
        return out.reshape(x.shape[:-1])

    def _log_group(self, x: FloatArray, members: NDArray[np.intp]) -> FloatArray:
        """Log-sum over components that share one covariance: distances after whitening, in chunks of points."""
        root = self._roots[members[0]]
        centre = self.means[members].mean(axis=0)
        white = scipy.linalg.solve_triangular(root, (self.means[members] - centre).T, lower=True).T
        shift = np.log(self.weights[members]) - np.log(np.diag(root)).sum() - 0.5 * self.dim * LOG_2PI
        out = np.empty(len(x))
        step = max(1, _CHUNK // len(members))
        for i in range(0, len(x), step):
            z = scipy.linalg.solve_triangular(root, (x[i : i + step] - centre).T, lower=True).T
            with np.errstate(over="ignore"):
                out[i : i + step] = special.logsumexp(
                    shift - 0.5 * scipy.spatial.distance.cdist(z, white, "sqeuclidean"), axis=1
                )
        return out

    def sample(self, n: int, rng: np.random.Generator | int | None = None) -> FloatArray:
        rng = np.random.default_rng(rng)
        which = rng.choice(len(self.weights), size=n, p=self.weights)
        noise = rng.standard_normal((n, self.dim))
        return np.asarray(self.means[which] + np.einsum("nij,nj->ni", self._roots[which], noise))

    @property
    def discrete_part(self) -> tuple[FloatArray, FloatArray]:
        atoms = self._eigenvalues[:, -1] == 0
        points, index = np.unique(self.means[atoms], axis=0, return_inverse=True)
        return points.reshape(-1, self.dim), np.bincount(
            index.ravel(), self.weights[atoms], minlength=len(points)
        ).astype(float)

    def entropy(self) -> float | None:
        if (self._eigenvalues[:, 0] == 0).any():
            return -np.inf
        if (self.means == self.means[0]).all() and (self.covs == self.covs[0]).all():
            return float(0.5 * self.dim * (1 + LOG_2PI) + 0.5 * np.log(self._eigenvalues[0]).sum())
        return None

    def critical_epsilon(self) -> float:
        return float(self._eigenvalues[:, 0].min())

    def deblurred(self, epsilon: float) -> Source | None:
        """Σ w_i N(m_i, Σ_i − ε I) for 0 ≤ ε ≤ ε_c; None beyond, where no such law exists."""
        eps = clip_epsilon(epsilon, self.critical_epsilon())
        if eps is None:
            return None
        return self._with_covariances(self.covs - eps * np.eye(self.dim))

    def _with_covariances(self, covs: FloatArray) -> Source:
        if (covs == 0).all():
            return Atoms(self.means, self.weights)
        covs = _flush_null_eigenvalues(covs, np.abs(self.covs).max(axis=(1, 2)))
        return GaussianMixture(self.weights, self.means, covs)

    @property
    def factors(self) -> tuple[tuple[tuple[int, ...], Source], ...] | None:
        """A single Gaussian factors into the blocks of its covariance matrix."""
        if self.dim == 1 or len(self.weights) > 1:
            return None
        blocks = _connected_blocks(self.covs[0] != 0)
        if len(blocks) == 1:
            return None
        return tuple((b, _gaussian_block(self.means[0][list(b)], self.covs[0][np.ix_(b, b)])) for b in blocks)


class GaussianMixture1D(GaussianMixture, Source1D):
    """The mixture on the line: everything `Source1D` adds, by closed forms in the log domain."""

    dim = 1

    @property
    def _sigmas(self) -> FloatArray:
        return np.asarray(self._roots[:, 0, 0])

    @property
    def support(self) -> tuple[float, float]:
        if (self._sigmas > 0).any():
            return (-np.inf, np.inf)
        return float(self.means.min()), float(self.means.max())

    @property
    def covariance(self) -> FloatArray:
        return np.asarray(super().covariance)

    def log_density(self, x: ArrayLike) -> FloatArray:
        return Source1D.log_density(self, x)

    def logpdf(self, x: ArrayLike) -> FloatArray:
        solid = self._sigmas > 0
        shift = np.log(self.weights[solid]) - np.log(self._sigmas[solid]) - 0.5 * LOG_2PI
        return self._log_sum(x, solid, lambda z: -0.5 * z * z, shift)

    def cdf(self, x: ArrayLike) -> FloatArray:
        return np.asarray(np.exp(np.minimum(self._log_tail(x, +1.0), 0.0)))

    def tail_cut(self, mass: float) -> tuple[float, float]:
        log_mass = float(np.log(_checks.mass_fraction(mass)))
        reach = -float(special.ndtri_exp(log_mass))
        low = float((self.means[:, 0] - reach * self._sigmas).min())
        high = float((self.means[:, 0] + reach * self._sigmas).max())
        if len(self.weights) == 1:
            return low, high
        a = tail_point(lambda t: self._log_tail(t, +1.0), log_mass, low, high, side=-1)
        b = tail_point(lambda t: self._log_tail(t, -1.0), log_mass, low, high, side=+1)
        return a, b

    def _log_tail(self, x: ArrayLike, sign: float) -> FloatArray:
        """Log P(X ≤ x) (sign +1) or log P(X ≥ x) (sign −1), atoms included."""
        solid = self._sigmas > 0
        out = self._log_sum(x, solid, lambda z: special.log_ndtr(sign * z), np.log(self.weights[solid]))
        x = np.asarray(x, dtype=np.float64)
        for point, weight in zip(self.means[~solid, 0], self.weights[~solid]):
            out = np.where(sign * (x - point) >= 0, np.logaddexp(out, np.log(weight)), out)
        return np.asarray(out)

    def _log_sum(self, x: ArrayLike, which: NDArray[np.bool_], log_term: Any, shift: FloatArray) -> FloatArray:
        """log Σ_i exp(shift_i + log_term((x − m_i)/σ_i)) over the components selected, in chunks of points."""
        x = np.asarray(x, dtype=np.float64)
        flat, means, sigmas = x.ravel(), self.means[which, 0], self._sigmas[which]
        out = np.full(flat.size, -np.inf)
        step = max(1, _CHUNK // max(len(means), 1))
        with np.errstate(over="ignore", divide="ignore", invalid="ignore"):
            for i in range(0, flat.size if len(means) else 0, step):
                table = log_term((flat[i : i + step, None] - means) / sigmas) + shift
                out[i : i + step] = _log_sum_exp(table)
        return out.reshape(x.shape)


def _log_sum_exp(table: FloatArray) -> FloatArray:
    """log Σ_j exp(table_ij); by pairs where the columns are few, which is several times quicker."""
    if table.shape[1] <= _FEW:
        return np.asarray(np.logaddexp.reduce(table, axis=1))
    return np.asarray(special.logsumexp(table, axis=1))


class Gaussian(GaussianMixture):
    """N(mean, cov) on R^d; on the line it is also a `Source1D`.

    Parameters
    ----------
    mean : scalar or (d,) array_like
        Expectation.
    cov : scalar, (d,) or (d, d) array_like
        Covariance (the **variance** when d = 1). A scalar or vector is a multiple of the identity or a
        diagonal. Must be symmetric positive semi-definite and not zero.
    """

    name = "gaussian"

    def __new__(cls, mean: Any = 0.0, cov: Any = 1.0, **_: Any) -> Gaussian:
        if cls is Gaussian and max(np.size(mean), len(cov) if np.ndim(cov) else 1) == 1:
            return object.__new__(Gaussian1D)
        return object.__new__(cls)

    def __init__(self, mean: ArrayLike = 0.0, cov: ArrayLike = 1.0) -> None:
        m = np.atleast_1d(_checks.array(mean, "mean", self.name))
        c = _checks.array(cov, "cov", self.name)
        d = max(m.size, len(c) if c.ndim else 1)
        if m.ndim != 1 or m.size not in (1, d):
            raise InvalidInput(f"gaussian: mean has shape {m.shape} and cov {c.shape}; need (d,) and (d, d)")
        m = np.broadcast_to(m, (d,))
        c = c * np.eye(d) if c.ndim == 0 else np.diag(c) if c.ndim == 1 else c
        if c.shape != (d, d):
            raise InvalidInput(f"gaussian: cov has shape {c.shape} for a mean of length {d}; need ({d}, {d})")
        super().__init__([1.0], m[None, :], c[None, :, :])
        if not (self._eigenvalues[:, -1] > 0).all():
            raise InvalidInput("gaussian: cov is zero; need a positive variance (for a point mass use Atoms)")

    @property
    def parameters(self) -> Mapping[str, Any]:
        if self.dim == 1:
            return {"mean": float(self.means[0, 0]), "cov": float(self.covs[0, 0, 0])}
        return {"mean": self.means[0], "cov": self.covs[0]}

    def _with_covariances(self, covs: FloatArray) -> Source:
        law = super()._with_covariances(covs)
        return Gaussian(law.means[0], law.covs[0]) if isinstance(law, GaussianMixture) else law


class Gaussian1D(Gaussian, GaussianMixture1D):
    """N(m, σ²) on the line."""

    dim = 1

    def cdf(self, x: ArrayLike) -> FloatArray:
        z = (np.asarray(x, dtype=np.float64) - self.means[0, 0]) / self._sigmas[0]
        return np.asarray(special.ndtr(z))


def clip_epsilon(epsilon: float, critical: float) -> float | None:
    """Return ``epsilon`` clipped to [0, ε_c] within rounding; None beyond ε_c; refuse what is not a number ≥ 0."""
    eps = _checks.finite(epsilon, "epsilon", "deblurred")
    if eps < 0:
        raise InvalidInput(f"deblurred: epsilon={eps:g} must be >= 0")
    if eps > critical * (1 + 1e-13):
        return None
    return min(eps, critical)


def _rebuild(cls: type, parameters: dict[str, Any]) -> Any:
    return cls(**parameters)


def _dimension_of_points(points: Any) -> int:
    shape = np.shape(points)
    return int(shape[-1]) if len(shape) > 1 else 1


def _component_covariances(covs: Any, k: int, d: int, what: str) -> FloatArray:
    """Bring any accepted form of ``covs`` to shape (k, d, d)."""
    c = _checks.array(covs, "covs", what)
    eye = np.eye(d)
    if c.ndim == 0:
        return np.broadcast_to(c * eye, (k, d, d)).copy()
    if c.shape == (k,):
        return np.asarray(c[:, None, None] * eye)
    if c.shape == (d, d):
        return np.broadcast_to(c, (k, d, d)).copy()
    if c.shape == (k, d, d):
        return c
    if d == 1 and c.shape == (k, 1):
        return c[:, :, None]
    raise InvalidInput(f"{what}: covs have shape {c.shape}; need a scalar, ({k},), ({d}, {d}) or ({k}, {d}, {d})")


def _spectra(covs: FloatArray, what: str) -> tuple[FloatArray, FloatArray]:
    """Return square roots R_i with Σ_i = R_i R_iᵀ (triangular where Σ_i is definite) and eigenvalues, ascending."""
    d = covs.shape[1]
    if d == 1:
        if (covs < 0).any():
            raise InvalidInput(f"{what}: variance {covs.min():g} is negative")
        return np.sqrt(covs), covs[:, :, 0].copy()
    scale = np.abs(covs).max(axis=(1, 2))
    if (np.abs(covs - covs.transpose(0, 2, 1)).max(axis=(1, 2)) > 1e-10 * scale).any():
        raise InvalidInput(f"{what}: a covariance matrix is not symmetric")
    safe = np.where(scale > 0, scale, 1.0)[:, None, None]
    values, vectors = np.linalg.eigh(0.5 * (covs + covs.transpose(0, 2, 1)) / safe)
    if (values < -1e-12 * d).any():
        raise InvalidInput(f"{what}: a covariance matrix has the negative eigenvalue {(values * safe[:, 0]).min():g}")
    values = np.where(values > 4e-16 * d * values[:, -1:], values, 0.0)
    roots = np.empty_like(covs)
    for i in range(len(covs)):
        if values[i, 0] > 0:
            roots[i] = np.asarray(np.linalg.qr((vectors[i] * np.sqrt(values[i])).T, mode="r")).T
            roots[i] *= np.sign(np.diag(roots[i]))
        else:
            roots[i] = vectors[i] * np.sqrt(values[i])
    return roots * np.sqrt(safe), values * safe[:, 0]


def _flush_null_eigenvalues(covs: FloatArray, scale: FloatArray) -> FloatArray:
    """Set eigenvalues of Σ_i − ε I that are rounding errors of zero to exactly zero."""
    values, vectors = np.linalg.eigh(covs)
    values[values < 1e-15 * covs.shape[1] * scale[:, None]] = 0.0
    if covs.shape[1] == 1:
        return np.asarray(values[:, :, None])
    return np.asarray(np.einsum("kij,kj,klj->kil", vectors, values, vectors))


def _connected_blocks(adjacency: NDArray[np.bool_]) -> list[tuple[int, ...]]:
    count, label = scipy.sparse.csgraph.connected_components(adjacency, directed=False)
    return [tuple(int(i) for i in np.flatnonzero(label == b)) for b in range(count)]


def _gaussian_block(mean: FloatArray, cov: FloatArray) -> Source:
    if not cov.any():
        return Atoms(mean[None, :])
    return Gaussian(mean, cov)
