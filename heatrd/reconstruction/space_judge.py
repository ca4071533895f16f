"""The judge of the exchange method in R^d: repairs duals under the sharp quadrature and keeps the best law."""

from __future__ import annotations

import logging
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from heatrd.certificate.base import Certificate
from heatrd.certificate.space import SpaceProblem, as_certificate, tail_terms
from heatrd.certificate.space_dual import Measured, NodalCheck, Tilt, check_nodes, confirmed
from heatrd.reconstruction.space_polish import dual_tilt

__all__ = ["Judge"]

FloatArray = NDArray[np.float64]
_log = logging.getLogger(__name__)

_ENOUGH = 0.95  # of tol: gaps under one quadrature that both should confirm
_LEAST = 0.2  # of tol: a smaller gap that both do not confirm is the quadratures' matter
_DAMPINGS = (1e-6, 1e-9)  # of Newton's tilts
_PATIENCE = 8  # laws in a row that do not halve the gap


@dataclass(frozen=True, slots=True, eq=False)
class _Judged:
    """A law, its bounds under the first quadrature, and the dual they started from."""

    check: NodalCheck
    points: FloatArray
    weights: FloatArray
    tilt: Tilt | None


class Judge:
    """Bounds of the laws brought before it.

    Attributes
    ----------
    stale : int
        How many laws in a row have not halved the best gap.
    """

    def __init__(self, problem: SpaceProblem, tol: float, accuracy: float, cap: float) -> None:
        self._problem, self._tol, self._accuracy, self._caps = problem, tol, accuracy, (cap,)
        self._best: _Judged | None = None
        self._last: FloatArray | None = None
        self._proved: Certificate | None = None
        self._settled = False
        self._share = _ENOUGH
        self.stale = 0

    @property
    def exhausted(self) -> bool:
        """Whether laws have long stopped getting better."""
        return self.stale > _PATIENCE

    def heard(self, y: FloatArray, w: FloatArray, given: Tilt | None) -> bool:
        """Repair the dual, from the one given or from Newton's tilts; keep the best law; whether to stop."""
        if self._last is not None and np.array_equal(y, self._last):
            return True
        self._last = y
        before = np.inf if self._best is None else self._best.check.gap
        tiles, enough = self._problem.tiles, self._share * self._tol
        for damping in (0.0,) if given is not None else _DAMPINGS:
            tilt = dual_tilt(tiles, y, w, damping) if given is None else given
            check = check_nodes(tiles, y, w, self._accuracy, tilt=tilt, maxima=False, enough=enough, caps=self._caps)
            _log.debug("   repaired: gap=%.2e sup=%.2e loss=%.1e", check.gap, check.log_sup_dual, check.loss)
            if self._best is None or check.gap < self._best.check.gap:
                self._best = _Judged(check, y, w, tilt)
            if not 0.5 * self._tol < check.gap < 10 * self._tol:
                break
        assert self._best is not None
        gap, tails = self._best.check.gap, self._tails()
        self.stale = 0 if gap < 0.5 * before else self.stale + 1
        return gap <= enough - (tails if tails <= 0.5 * self._tol else 0.0) or self.exhausted

    def confirmed(self) -> bool:
        """Whether the best law holds under both quadratures; its certificate is kept, and the next has to do better."""
        assert self._best is not None
        tails = self._tails()
        enough = self._tol + (tails if tails > 0.5 * self._tol else 0.0)
        proved = self._twice(self._best, enough)
        _log.debug("   under both quadratures: gap=%.2e", proved.gap)
        if self._proved is None or proved.gap < self._proved.gap:
            self._proved = proved
        self._settled = proved.gap <= enough or self._share < _LEAST
        self._share *= 0.5
        return self._settled

    def _tails(self) -> float:
        """What the tails add to the gap of the best law."""
        assert self._best is not None
        return sum(tail_terms(self._problem, self._best.check, self._best.points, self._best.weights))

    def certificate(self, y: FloatArray, w: FloatArray) -> Certificate:
        """The certificate of the best law, with both quadratures; of (y, w) where none was heard."""
        if self._proved is not None and self._settled:
            return self._proved
        if self._best is None:
            last = self._afresh(y, w, None)
        else:
            last = self._twice(self._best, self._tol)
        return last if self._proved is None or last.gap < self._proved.gap else self._proved

    def _twice(self, best: _Judged, enough: float) -> Certificate:
        """The same law and dual under both quadratures; where that is not enough, a dual found with both."""
        check, y, w = best.check, best.points, best.weights
        if self._problem.finer is not None:
            measured = Measured(self._problem.tiles, self._problem.finer, y, np.log(w / w.sum()), self._accuracy)
            check = confirmed(measured, check)
        same = as_certificate(self._problem, check, y, w)
        if same.gap <= enough:
            return same
        other = self._afresh(y, w, best.tilt)
        return other if other.gap < same.gap else same

    def _afresh(self, y: FloatArray, w: FloatArray, tilt: Tilt | None) -> Certificate:
        problem = self._problem
        check = check_nodes(problem.tiles, y, w, self._accuracy, finer=problem.finer, tilt=tilt, maxima=False)
        return as_certificate(problem, check, y, w)
