"""Solving and certifying a source on the line, in its own units.

Order of trial: a point mass at the mean (zero rate); the deblurred source where it is known in closed form
(backward-heat class, SLB
tight); otherwise the exchange method. Whatever comes out is certified on a finer quadrature than it was found with,
and the
difference between the two is carried in the bounds.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from heatrd.certificate.base import Certificate
from heatrd.certificate.line import LineBounds, bound_lagrangian, supremum
from heatrd.errors import InvalidInput, TooLarge
from heatrd.laws import DiscreteLaw
from heatrd.quadrature.line import LineQuadrature
from heatrd.quadrature.line_measure import LineMeasure, SettledLaw
from heatrd.reconstruction.draft import Draft
from heatrd.reconstruction.exchange import solve_line
from heatrd.reconstruction.flank import blend, handed_over, settle
from heatrd.reconstruction.interior_point import Nodes
from heatrd.reconstruction.line_law import LineLaw
from heatrd.sources import ScipySource, Source1D

__all__ = ["LineProblem", "certify_law", "reconstruct"]

FloatArray = NDArray[np.float64]

_MOST_NODES = 6_000_000  # refused
_WANTED_NODES = 300_000  # a heavier far tail is accepted, at the price of a wider certificate, rather than more nodes
_CHEAP_NODES = 30_000
_HEAVIEST_TAIL = 1e-5
_LIGHT = 1e-3
_WIDEST = 1e300  # ε over the squared scale
_TAIL_LOSS = 0.02  # of the tolerance, through the width of tail cells


class LineProblem:
    """One source on the line, to be solved at several ε.

    Parameters
    ----------
    source : Source1D
    tol : float
        Gap asked for, nats.
    """

    def __init__(self, source: Source1D, tol: float = 1e-9) -> None:
        self.source = source
        self.tol = tol
        self._quadratures: dict[float, LineQuadrature] = {}
        self._eps = math.nan
        self._settled: SettledLaw | None = None
        self.quadrature = self._with_tail(_LIGHT * tol)
        self.scale, self.shift = self.quadrature.scale, self.quadrature.shift

    def _with_tail(self, mass: float) -> LineQuadrature:
        if mass not in self._quadratures:
            self._quadratures[mass] = LineQuadrature(self.source, mass, _TAIL_LOSS * self.tol)
        return self._quadratures[mass]

    def _prepare(self, eps: float) -> None:
        """Take the lightest far tail whose core needs no more than the wanted number of nodes, and settle ν there.

        Where ν is settled the nodes beyond the cuts are few and cheap, so that many more may be wanted.
        """
        if self._eps == eps:
            return
        for wanted in (8 * _WANTED_NODES, _WANTED_NODES):
            self.quadrature = self._lightest_tail(eps, wanted)
            self._settled = settle(self.quadrature, eps, self.tol)
            open_ends = [not math.isfinite(v) for v in self.source.support]
            if self._settled is not None and list(self._settled.sides) == open_ends:
                break
            if self.quadrature.count(eps, 0.5) <= _WANTED_NODES:
                break
        self._eps = eps

    def _lightest_tail(self, eps: float, wanted: int) -> LineQuadrature:
        """A twentieth of the tolerance is light enough, a thousandth is better where it is cheap."""
        quadrature = self._with_tail(_LIGHT * self.tol)
        if quadrature.count(eps, 0.5) <= _CHEAP_NODES or not self._has_tails():
            return quadrature
        mass = 0.05 * self.tol
        while self._with_tail(mass).count(eps, 0.5) > wanted and mass < _HEAVIEST_TAIL:
            mass *= 10
        return self._with_tail(mass)

    def _has_tails(self) -> bool:
        return not all(math.isfinite(v) for v in self.source.support)

    def standard(self, epsilon: float) -> float:
        """ε in standard units, where it is at most `_WIDEST`: beyond, F is zero to the last digit."""
        return min(epsilon / self.scale / self.scale, _WIDEST)

    def measure(self, eps: float, width: float = 1.0) -> LineMeasure:
        """μ discretised for ε in standard units, with ν settled in the tails where they are smooth."""
        self._prepare(eps)
        return self.quadrature.measure(eps, width, self._settled)

    def __call__(self, epsilon: float, start: DiscreteLaw | None = None) -> tuple[Certificate, str]:
        """Return the certificate of the best law found at ε, and the regime.

        Raises
        ------
        TooLarge
            √ε is so small against the range that the nodes would not fit.
        """
        draft = self.draft(epsilon, start)
        return draft.prove(), draft.regime

    def draft(self, epsilon: float, start: DiscreteLaw | None = None) -> Draft:
        """Return the best law found at ε; what the finer quadrature says of it is left for its proof."""
        eps = self.standard(epsilon)
        self._prepare(eps)
        self._check_size(eps)
        measure = self.measure(eps)
        if eps >= self.quadrature.variance * (1 - 1e-9):
            still = self._certificate(measure, np.zeros(1), np.ones(1), epsilon)
            if still.gap <= self.tol and still.log_sup <= 0.05 * self.tol:
                return Draft.of(still, "zero-rate")
        smooth = self._deblurred(measure, epsilon)
        if smooth is not None and smooth.gap <= max(self.tol, 1e-6):
            return Draft.of(smooth, "backward-heat")
        law = solve_line(self.measure(eps, 2.0), measure, eps, self.tol, self._start(start, measure))

        def prove() -> Certificate:
            return self._certificate(measure, law.y, law.w, epsilon, law)

        if smooth is not None:
            found = prove()
            return Draft.of(smooth, "backward-heat") if smooth.gap < found.gap else Draft.of(found, "atomic")
        bounds = law.bounds
        distortion = bounds.distortion * self.scale * self.scale
        return Draft(epsilon, bounds.upper, bounds.lower, distortion, self._law(law.y, law.w), "atomic", prove)

    def certify(self, law: DiscreteLaw, epsilon: float) -> Certificate:
        """Bound L(ε) from any law."""
        eps = self.standard(epsilon)
        self._prepare(eps)
        self._check_size(eps)
        order = np.argsort(law.points[:, 0], kind="stable")
        order = order[law.weights[order] > 0]
        y = (law.points[order, 0] - self.shift) / self.scale
        return self._certificate(self.measure(eps), y, law.weights[order], epsilon)

    def _check_size(self, eps: float) -> None:
        count = self.quadrature.count(eps, 0.5)
        if count > _MOST_NODES:
            smallest = eps * (count / _MOST_NODES) ** 2 * self.scale**2
            raise TooLarge(
                f"epsilon={eps * self.scale**2:.3g} needs {count} quadrature nodes for {self.source!r}, "
                f"more than {_MOST_NODES}; "
                f"use epsilon >= {smallest:.3g}",
                smallest,
            )

    def _start(self, law: DiscreteLaw | None, measure: LineMeasure) -> Nodes | None:
        if law is None:
            return None
        lo, hi = ((v - self.shift) / self.scale for v in self.quadrature.core)
        lo, hi = max(lo, measure.room[0]), min(hi, measure.room[1])
        y = (law.points[:, 0] - self.shift) / self.scale
        keep = (law.weights > 1e-25) & (y >= lo) & (y <= hi)
        y, w = y[keep], law.weights[keep]
        if y.size == 0:
            return None
        order = np.argsort(y, kind="stable")
        return Nodes(y[order], w[order], w[order], np.full(y.size, 1e-3), np.zeros(y.size, bool))

    def _deblurred(self, measure: LineMeasure, epsilon: float) -> Certificate | None:
        """The deblurred source as a reconstruction law, where it is known."""
        law = self.source.deblurred(epsilon)
        if not isinstance(law, Source1D):
            return None
        if law.is_discrete:
            points, weights = law.discrete_part
            y, w = (points[:, 0] - self.shift) / self.scale, weights
        else:
            y, w = self._discretised(law, epsilon)
        order = np.argsort(y, kind="stable")
        y, w = y[order], w[order]
        if self._settled is not None and not law.is_discrete:
            y, w = blend(self._settled, measure.tails, y, w, math.sqrt(self.standard(epsilon)))
        return self._certificate(measure, y, w / w.sum(), epsilon)

    def _discretised(self, law: Source1D, epsilon: float) -> tuple[FloatArray, FloatArray]:
        """Nodes (standard units of the source) and masses of a continuous law, as far as it is not settled."""
        nu = LineQuadrature(law, tail_mass=0.1 * self.quadrature.tail_mass)
        eps = epsilon / nu.scale / nu.scale
        if self._settled is not None and all(self._settled.sides):
            reach = handed_over(self._settled, math.sqrt(self.standard(epsilon)))
            low, high = ((self.shift + self.scale * v - nu.shift) / nu.scale for v in reach)
            y, w = nu.between(eps, 1.5, low, high)
        else:
            nodes = nu.measure(eps, 3.0 if self._settled is None else 1.5)
            y, w = np.concatenate([nodes.x, nodes.tails.centre]), np.concatenate([nodes.mass, nodes.tails.mass])
        return (nu.shift + nu.scale * y - self.shift) / self.scale, w

    def _certificate(
        self, measure: LineMeasure, y: FloatArray, w: FloatArray, epsilon: float, law: LineLaw | None = None
    ) -> Certificate:
        """Bound on a finer quadrature; the change against the coarser one is the discretisation error."""
        eps = self.standard(epsilon)
        first = law.bounds if law is not None else bound_lagrangian(measure, y, w, eps, self.tol, repair=False)
        if self.source.is_discrete:
            finer, error = measure, 0.0
            fine = bound_lagrangian(measure, y, w, eps, self.tol)
        else:
            finer = self.measure(eps, 0.5)
            fine = bound_lagrangian(finer, y, w, eps, self.tol)
            error = self._discretisation(measure, finer, first, fine)
        points = np.concatenate([measure.x, measure.flanks.x, measure.tails.centre])
        masses = np.concatenate([measure.mass, measure.flanks.mass, measure.tails.mass])
        return Certificate(
            epsilon=float(epsilon),
            lagrangian=fine.upper + error,
            lagrangian_lower=self._lower(fine, eps) - error,
            distortion=fine.distortion * self.scale * self.scale,
            log_sup=supremum(finer, y, w, eps, self.tol),
            discretisation=error,
            law=self._law(y, w),
            quadrature=DiscreteLaw((self.shift + self.scale * points)[:, None], masses / masses.sum()),
        )

    def _law(self, y: FloatArray, w: FloatArray) -> DiscreteLaw:
        """A law in standard units in those of the source."""
        return DiscreteLaw((self.shift + self.scale * y)[:, None], w / w.sum())

    def _discretisation(self, measure: LineMeasure, finer: LineMeasure, first: LineBounds, fine: LineBounds) -> float:
        """Change of F between the two quadratures, plus what a mass defect could do."""
        defect = max(measure.defect, finer.defect)
        # rounding of a library's log-density, seen against ball arithmetic
        library = 2e-13 * (1 + abs(fine.upper)) if isinstance(self.source, ScipySource) else 0.0
        return abs(fine.upper - first.upper) + (2 * defect if defect > 2e-14 else 0.0) + library

    def _lower(self, fine: LineBounds, eps: float) -> float:
        """The dual bound, or the Shannon lower bound h(μ) − ½ log 2πε where that is better."""
        entropy = self.source.entropy()
        if entropy is None or not math.isfinite(entropy):
            return fine.lower
        shannon = entropy - math.log(self.scale) - 0.5 * math.log(2 * math.pi * eps)
        return max(fine.lower, shannon - 1e-14 * (1 + abs(shannon)))


def reconstruct(
    source: Source1D, epsilon: float, *, tol: float | None = None, start: DiscreteLaw | None = None
) -> tuple[Certificate, str]:
    """Return the best reconstruction law found at ε with its certificate, and the regime.

    Parameters
    ----------
    source : Source1D
    epsilon : float
        Variance of the backward channel.
    tol : float, optional
        Gap to prove, nats (1e-9 when omitted); otherwise the best certificate found is returned.
    start : DiscreteLaw, optional
        A law to start from, such as the solution at a neighbouring ε.
    """
    _check_epsilon(epsilon)
    return LineProblem(source, 1e-9 if tol is None else tol)(epsilon, start)


def certify_law(source: Source1D, law: DiscreteLaw, epsilon: float, *, tol: float = 1e-9) -> Certificate:
    """Prove bounds on L(ε) from any reconstruction law on the line.

    Raises
    ------
    InvalidInput
        The law does not live on the line, or ε is not positive.
    """
    _check_epsilon(epsilon)
    if law.dim != 1:
        raise InvalidInput(f"the law has points in R^{law.dim}, the source lives in R^1; need equal dimensions")
    return LineProblem(source, tol).certify(law, epsilon)


def _check_epsilon(epsilon: float) -> None:
    if not (math.isfinite(epsilon) and epsilon > 0):
        raise InvalidInput(f"epsilon={epsilon} must be positive and finite")
