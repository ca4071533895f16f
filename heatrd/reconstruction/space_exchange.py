"""The exchange method in R^d: atoms in where c exceeds 1, until the repaired dual proves the tolerance.

A first shape (`space_shape`) is polished: positions and weights, by sweeps of expectation–maximisation, then Newton.
In the first rounds maxima of c above 1 are inserted several times over, weights alone re-optimised: that fills the
tails. From the third round on the convex problem of local moments around the atoms gives the dual, and a better law
where atoms must split. All this looks through a coarse quadrature; before a law is judged the sharp one is asked.
"""

from __future__ import annotations

import logging
import time
from dataclasses import dataclass
from functools import partial

import numpy as np
from numpy.typing import NDArray

from heatrd.certificate.base import Certificate
from heatrd.certificate.space import SpaceProblem
from heatrd.certificate.space_dual import Tilt, capped_supremum, objective
from heatrd.laws import DiscreteLaw
from heatrd.quadrature.tiles import Tiles, squared_distances
from heatrd.reconstruction.space_interior import optimal_weights, tile_hessian
from heatrd.reconstruction.space_judge import Judge
from heatrd.reconstruction.space_moments import optimal_moments
from heatrd.reconstruction.space_polish import polish, tile_state
from heatrd.reconstruction.space_shape import MOST_ATOMS, first_shape, merged
from heatrd.reconstruction.space_views import Views
from heatrd.sources import Source

__all__ = ["exchanged"]

FloatArray = NDArray[np.float64]
_log = logging.getLogger(__name__)

_CYCLES = 40
_NEWTON_CYCLES = 2  # before the convex problem of moments is called
_MOST_COARSE = 12  # cycles that may look through the coarse quadrature only
_FILLINGS = 3  # insertions a cycle before the convex problem is called
_CAP = 0.2  # of tol: what the cap of the dual may cost
_WORTHY = 1e-4  # maxima that matter less than this share of the worst wait
_SPARED = 0.1  # of tol: what maxima may cost together that are passed over once a law has been refused
_LOOSE = 1e-4  # of the worst: to what weights are optimised
_APART = 0.1  # √ε: new atoms stand further from all others
_CENTRES = 0.4  # √ε: atoms closer than this share one centre of moments
_REACH = 1.3  # the ball of a centre reaches beyond its atoms by this factor
_NARROWER = 0.6  # factor of these lengths where the Taylor error of the moments holds up the gap
_TAYLOR = 2.0  # of tol: a gap between both laws and the dual that is put down to it
_MOST_MOMENTS = 3000


@dataclass(frozen=True, slots=True, eq=False)
class _Excess:
    """Where c exceeds 1, what that can cost at most (times the mass around), and the proved log sup c."""

    maxima: FloatArray
    matter: FloatArray
    log_sup: float

    @property
    def worst(self) -> float:
        return float(self.matter.max(initial=0.0))


def exchanged(
    source: Source, problem: SpaceProblem, tol: float, accuracy: float, deadline: float, start: DiscreteLaw | None
) -> Certificate:
    """Return the certificate of the best law found until ``deadline`` (processor time of this thread, seconds)."""
    exchange = _Exchange(source, problem, tol, accuracy)
    if start is None:
        y, w = first_shape(problem, exchange.views, accuracy)
    else:
        keep = start.weights > 1e-9
        y, w = problem.scaled(start.points[keep]), start.weights[keep]
    return exchange.run(y, w, deadline)


class _Exchange:
    """The state of one exchange."""

    def __init__(self, source: Source, problem: SpaceProblem, tol: float, accuracy: float) -> None:
        self.tol, self.accuracy, self.dim = tol, accuracy, source.dim
        self.views = Views(source, problem, tol)
        self.tiles = self.views.coarse
        self.judge = Judge(problem, tol, accuracy, _CAP * tol)
        self.narrowing, self.strict = 1.0, False
        self.refused = np.zeros((0, source.dim))
        _log.debug(
            "nodes: %d, coarse %d, steering %d", *(t.size for t in (self.views.fine, self.tiles, self.views.steering))
        )

    @property
    def fine(self) -> bool:
        """Whether the search looks through the sharp quadrature already."""
        return self.tiles is self.views.fine

    def run(self, y: FloatArray, w: FloatArray, deadline: float) -> Certificate:
        """Polish, look where c exceeds 1, insert, until the repaired dual proves the tolerance."""
        settled, worst = False, np.inf
        for cycle in range(_CYCLES):
            convex = cycle >= _NEWTON_CYCLES and self._manageable(len(self._merged(y, w)[1]))
            y, w = self._polished(y, w, settled and not convex)
            tilt = None
            if convex:
                radius = max(0.3 * 0.75**cycle, 0.13) * self.narrowing
                y, w, tilt = self._convex(y, w, radius, max(0.005 * self.tol, 1e-4 * worst))
            excess = self._excess(self.tiles, y, w, tilt, self._rough(worst))
            _log.debug("%d m=%d sup=%.2e matter=%.2e", cycle, len(w), excess.log_sup, excess.worst)
            late = time.thread_time() > deadline
            if self._due(cycle, excess, settled) or late:
                ends, excess = self._judged(y, w, tilt, excess, late)
                if ends or late:
                    break
            new = self._needed(excess, y)
            settled = len(new) <= 2 or (self.fine and excess.worst <= 100 * self.tol)
            worst = excess.worst
            if len(new):
                y, w = self._insert(y, w, new, _LOOSE * worst)
                if cycle < _NEWTON_CYCLES and worst > 10 * self.tol:
                    y, w, worst = self._filled(y, w, worst)
        return self.judge.certificate(y, w)

    def _manageable(self, centres: int) -> bool:
        """Whether the convex problem of moments around so many centres is small enough."""
        return (1 + self.dim) * (2 + self.dim) // 2 * centres <= _MOST_MOMENTS

    def _merged(self, y: FloatArray, w: FloatArray) -> tuple[FloatArray, FloatArray]:
        """One centre of moments for atoms that stand close."""
        return merged(y, w, _CENTRES * self.narrowing)

    def _rough(self, worst: float) -> float:
        """How sharply c is looked at while its excess still matters so much."""
        if self.fine:
            return self.accuracy
        return max(self.accuracy, min(1e-4 * worst, 1e-6 if self.dim == 2 else 1e-3))

    def _excess(self, tiles: Tiles, y: FloatArray, w: FloatArray, tilt: Tilt | None, accuracy: float) -> _Excess:
        """Where c exceeds 1 after the cheap part of the repair."""
        found = capped_supremum(tiles, y, w, accuracy, _CAP * self.tol, tilt=tilt)
        return _Excess(found.maxima, np.log1p(found.excess) * self.views.mass_around(found.maxima), found.log)

    def _due(self, cycle: int, excess: _Excess, settled: bool) -> bool:
        """Whether the law is worth judging."""
        if self.fine:
            return excess.worst <= 30 * self.tol or settled
        return (excess.worst < self.tol and excess.log_sup < 1.0) or cycle > _MOST_COARSE

    def _judged(
        self, y: FloatArray, w: FloatArray, tilt: Tilt | None, excess: _Excess, late: bool
    ) -> tuple[bool, _Excess]:
        """Whether the law is good enough, and its excess, looked at sharply before."""
        if not self.fine:
            sharp = self._excess(self.views.fine, y, w, tilt, self.accuracy)
            _log.debug("   sharp: sup=%.2e matter=%.2e", sharp.log_sup, sharp.worst)
            if sharp.worst > self.tol and not late:
                if sharp.worst > 3 * excess.worst:
                    self._sharpen(y, w, tilt, sharp.worst)
                return False, sharp
        done = self.judge.heard(y, w, tilt)
        if done and (self.judge.confirmed() or (self.fine and self.judge.exhausted)):
            return True, excess
        self.strict |= not done
        if self.judge.stale:
            self._narrow()
        if not self.fine and (done or self.judge.stale or tilt is None):
            self.tiles = self.views.sharper(self.tiles)
            self.judge.stale = 0
        return False, excess

    def _sharpen(self, y: FloatArray, w: FloatArray, tilt: Tilt | None, worst: float) -> None:
        """Look through the next quadrature that sees the excess."""
        middle = self.views.middle
        if self.tiles is self.views.coarse and 2 * self._excess(middle, y, w, tilt, self.accuracy).worst > worst:
            self.tiles = middle
        else:
            self.tiles = self.views.fine

    def _needed(self, excess: _Excess, y: FloatArray, apart: float = _APART) -> FloatArray:
        """Maxima of c that matter and stand apart from the atoms, worst first."""
        least = 0.02 * self.tol
        if self.strict:
            ascending = np.append(np.sort(excess.matter), np.inf)
            least = float(ascending[np.searchsorted(np.cumsum(ascending), _SPARED * self.tol)])
        take = (excess.matter >= least) & (excess.matter > _WORTHY * excess.worst)
        take &= squared_distances(excess.maxima, y).min(axis=1, initial=np.inf) > apart**2
        order = np.argsort(-excess.matter * take)
        return excess.maxima[order[: min(int(take.sum()), max(MOST_ATOMS - len(y), 0))]]

    def _polished(self, y: FloatArray, w: FloatArray, settled: bool) -> tuple[FloatArray, FloatArray]:
        result = polish(
            partial(tile_state, self.tiles, curvature=None if settled else self.views.steering),
            y,
            w,
            tol=0.05 * self.tol,
            iterations=25 if settled else 18,
            shift=1e-7 if settled else 1e-4,
        )
        return merged(result.points, result.weights, 0.02)

    def _narrow(self) -> None:
        self.narrowing = max(_NARROWER * self.narrowing, 0.1)

    def _centres(self, y: FloatArray, w: FloatArray, radius: float) -> tuple[FloatArray, FloatArray, FloatArray]:
        """Centres of moments, their masses and radii: around the atoms, and where an atom was asked for in vain."""
        centres, weights = self._merged(y, w)
        apart = squared_distances(y, centres)
        radii = np.full(len(centres), radius)
        np.maximum.at(radii, apart.argmin(axis=1), _REACH * np.sqrt(apart.min(axis=1)))
        idle = self.refused[squared_distances(self.refused, centres).min(axis=1) > _CENTRES**2]
        weights = np.concatenate([weights, 1e-3 * self.views.mass_at(idle)])
        return np.concatenate([centres, idle]), weights, np.concatenate([radii, np.full(len(idle), radius)])

    def _convex(self, y: FloatArray, w: FloatArray, radius: float, tol: float) -> tuple[FloatArray, FloatArray, Tilt]:
        """The dual point of the convex problem around these atoms, and the better of both laws."""
        centres, weights, radii = self._centres(y, w, radius)
        mass = self.views.mass_at(centres)
        found = optimal_moments(self.tiles, centres, weights, mass, radii, curvature=self.views.steering, tol=tol)
        points, masses = found.law()
        tilt = found.dual()
        ideal = -float(self.tiles.weights @ tilt.log_sum(self.tiles))
        given, other = objective(self.tiles, y, w) - ideal, objective(self.tiles, points, masses) - ideal
        _log.debug(
            "   moments: %d blocks, tau %.1e %d it, F(atoms) - D %.1e, F - D %.1e with %d atoms",
            len(centres),
            found.complementarity,
            found.iterations,
            given,
            other,
            len(masses),
        )
        if min(given, other) > _TAYLOR * self.tol:
            self._narrow()
        if given > max(0.1 * self.tol, 2 * other) and self._manageable(len(masses)):
            y, w = points, masses / masses.sum()
        return y, w, tilt

    def _filled(self, y: FloatArray, w: FloatArray, worst: float) -> tuple[FloatArray, FloatArray, float]:
        """Insert atoms a few times more, with weights alone re-optimised; close ones are merged at the end."""
        for _ in range(_FILLINGS):
            excess = self._excess(self.tiles, y, w, None, max(self._rough(worst), 1e-3 * worst))
            new = self._needed(excess, y, _CENTRES)
            worst = min(worst, excess.worst)
            _log.debug("   m=%d sup=%.2e matter=%.2e, %d new", len(w), excess.log_sup, excess.worst, len(new))
            if not len(new) or excess.worst < 10 * self.tol:
                break
            y, w = self._insert(y, w, new, 10 * _LOOSE * excess.worst)
        return *merged(y, w, _CENTRES), worst

    def _insert(self, y: FloatArray, w: FloatArray, new: FloatArray, tol: float) -> tuple[FloatArray, FloatArray]:
        """Add atoms, re-optimise all weights, drop what got none, but no new one that was asked for before."""
        points = np.concatenate([y, new])
        mass = self.views.mass_at(points)
        weights = np.concatenate([w, 0.05 * mass[len(w) :]])
        assemble = partial(tile_hessian, self.tiles, points)
        found = optimal_weights(assemble, weights, mass, tol=max(0.02 * self.tol, tol))
        keep = found.active.copy()
        keep[len(w) :] |= squared_distances(new, self.refused).min(axis=1, initial=np.inf) < _CENTRES**2
        self.refused = new[~keep[len(w) :]]
        dropped = int((~keep).sum())
        _log.debug(
            "   insert %d, dropped %d, tau %.1e %d it", len(new), dropped, found.complementarity, found.iterations
        )
        return points[keep], np.maximum(found.weights, 1e-6 * mass)[keep]
