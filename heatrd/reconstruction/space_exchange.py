"""The exchange method in R^d: atoms in where c exceeds 1, until the repaired dual proves the tolerance.

A first shape (`space_shape`) is polished: positions and weights, by sweeps of expectation–maximisation, then Newton.
In the first two cycles maxima of c above 1 are inserted several times over, weights alone re-optimised: that fills the
tails. Then the convex problem of local moments around the atoms gives the dual, and a better law where atoms must
split, or Newton's method a dual near the law, which is cheaper where there are many unknowns; what it lacks far out
the dual gets as atoms of its own (`space_completion`), and the law those that weigh anything. All this looks through
a coarse quadrature; before law and dual are judged the sharp one is asked.
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
from heatrd.certificate.space_dual import Supremum, Tilt, capped, objective
from heatrd.laws import DiscreteLaw
from heatrd.quadrature.tiles import Tiles, squared_distances
from heatrd.reconstruction.space_completion import Completed, Missing
from heatrd.reconstruction.space_interior import optimal_weights, tile_hessian
from heatrd.reconstruction.space_judge import Judge
from heatrd.reconstruction.space_moments import optimal_moments
from heatrd.reconstruction.space_polish import dual_tilt, polish, tile_state
from heatrd.reconstruction.space_shape import MOST_ATOMS, MOST_MOMENTS, first_shape, merged
from heatrd.reconstruction.space_views import Views
from heatrd.sources import Source

__all__ = ["exchanged"]

FloatArray = NDArray[np.float64]
_log = logging.getLogger(__name__)

_CYCLES = 40
_FILLING_CYCLES = 2  # before a dual is asked for
_DAMPINGS = (1.0, 1e2, 1e4)  # of tol: those of the tilts that Newton's method gives
_WILD = 0.03  # nats: a tilt whose c costs more is damped further
_MANY, _EARLY = 500, 3  # centres in the plane from which the first duals are Newton's
_IDLE, _LAST_IDLE = 0.1, 0.01  # of tol: what two steps of the polish gain, before Newton's dual and at the end
_SETTLED = 1e1  # of tol: gaps below which atoms are polished to the end
_MOST_COARSE = 12  # cycles that may look through the coarse quadrature only
_FILLINGS = 3  # insertions more in the first cycle, and in the second where the convex problem comes next
_CAP = {2: 0.05, 3: 0.1}  # of tol: what the cap of the dual may cost
_WORTHY = 1e-4  # maxima that matter less than this share of the worst wait
_LOOSE = 1e-4  # of the worst: to what weights are optimised
_APART = 0.1  # √ε: new atoms stand further from all others
_SEPARATE = {2: 0.4, 3: 0.55}  # √ε: atoms closer than this become one after filling
_CENTRES = 0.3  # √ε: atoms closer than this share one centre of moments
_REACH = 1.3  # the ball of a centre reaches beyond its atoms by this factor
_NARROWER, _NARROWEST = 0.6, 0.3  # factors of these lengths where the Taylor error of the moments holds up the gap
_TAYLOR = 2.0  # of tol: a gap between both laws and the dual that is put down to it
_SHARE = 1e-5  # of the worst excess: how sharply the convex problem is solved
_GOOD_ENOUGH = {2: 0.8, 3: 0.4}  # of tol: a gap that asks for no further atoms of the law
_CLOSE = {2: 1.0, 3: 0.45}  # of tol: a gap under the coarse quadrature that may hold under the sharp one
_COMPLETIONS = 8  # times that atoms are added to its dual
_SPARE = 0.005  # of tol: what atoms of the dual may weigh more than they need
_ROOMY = 0.5  # of that: what the coarse quadrature should leave to the sharp one
_TOGETHER = 0.1  # of tol: what atoms of the dual need for which those added before are weighed anew
_ANEW = 3  # times that this is done at most: far out each time leaves others to be covered
_NEGLIGIBLE = 0.05  # of tol: maxima that exceed 1 by less get none, nor any that matter less together
_LITTLE = 1e12  # c − 1 up to which an atom in the dual will do


def _worth(matter: FloatArray, spared: float) -> NDArray[np.bool_]:
    """All but the smallest, which together are not above ``spared``."""
    ascending = np.append(np.sort(matter), np.inf)
    return np.asarray(matter >= ascending[np.searchsorted(np.cumsum(ascending), spared)])


@dataclass(frozen=True, slots=True, eq=False)
class _Excess:
    """Where c exceeds 1, what that can cost at most (times the mass around), and the proved log sup c."""

    maxima: FloatArray
    matter: FloatArray
    log_sup: float

    @property
    def worst(self) -> float:
        return float(self.matter.max(initial=0.0))

    @property
    def total(self) -> float:
        return float(self.matter.sum())


def exchanged(
    source: Source, problem: SpaceProblem, tol: float, accuracy: float, deadline: float, start: DiscreteLaw | None
) -> Certificate:
    """Return the certificate of the best law found until ``deadline`` (processor time of this thread, seconds)."""
    exchange = _Exchange(source, problem, tol, accuracy, deadline)
    if start is None:
        y, w = first_shape(problem, exchange.views, accuracy)
    else:
        keep = start.weights > 1e-9
        y, w = problem.scaled(start.points[keep]), start.weights[keep]
    return exchange.run(y, w)


class _Exchange:
    """The state of one exchange."""

    def __init__(
        self, source: Source, problem: SpaceProblem, tol: float, accuracy: float, deadline: float = np.inf
    ) -> None:
        self.tol, self.accuracy, self.dim, self.deadline = tol, accuracy, source.dim, deadline
        self.views = Views(source, problem, tol)
        self.tiles = self.views.coarse
        self.cap = _CAP.get(source.dim, 0.1) * tol
        self.judge = Judge(problem, tol, accuracy, self.cap)
        self.narrowing, self.taylor, self.filling = 1.0, 0.0, False
        self.dual: Completed | None = None
        self.refused = np.zeros((0, source.dim))
        _log.debug(
            "nodes: %d, coarse %d, steering %d", *(t.size for t in (self.views.fine, self.tiles, self.views.steering))
        )

    @property
    def fine(self) -> bool:
        """Whether the search looks through the sharp quadrature already."""
        return self.tiles is self.views.fine

    @property
    def working(self) -> Tiles:
        """The quadrature that atoms are moved and weighed with: in space the steering one while tails are filled."""
        return self.views.steering if self.filling and self.tiles is self.views.coarse else self.tiles

    @property
    def late(self) -> bool:
        """Whether the time is up."""
        return time.thread_time() > self.deadline

    def run(self, y: FloatArray, w: FloatArray) -> Certificate:
        """Fill the law, then find duals near it, until one repaired proves the tolerance."""
        worst, gap, ends = np.inf, np.inf, False
        for cycle in range(_CYCLES):
            self.filling = self.dim > 2 and cycle < _FILLING_CYCLES
            y, w = self._polished(y, w, cycle, gap)
            if cycle < _FILLING_CYCLES:
                excess = self._excess(self.tiles, y, w, self._rough(worst))
                _log.debug("%d m=%d sup=%.2e matter=%.2e", cycle, len(w), excess.log_sup, excess.worst)
                late = self.late
                if self._good(excess) or late:
                    excess, ends = self._law_judged(y, w, excess, late)
                if not (ends or late):
                    again = 0 if self.dim == 2 and cycle > 0 and self._newton(cycle, y, w) else _FILLINGS
                    y, w, worst = self._filled(y, w, excess, again)
            else:
                y, w, gap = self._dualised(y, w, cycle, min(worst, gap))
                late = self.late
                if self._close(cycle, gap) or late:
                    y, w, ends = self._dual_judged(y, w, late)
            if ends or late:
                break
        return self.judge.certificate(y, w)

    def _dualised(self, y: FloatArray, w: FloatArray, cycle: int, worst: float) -> tuple[FloatArray, FloatArray, float]:
        """A dual point near the law, the law with what that asks for, and the gap between both as far as is seen.

        A dual found before stays as long as the gap to it closes. The next comes from the convex problem of moments, or
        from Newton's method where that is too large, and the first one in space.
        """
        if self.dual is not None and self._narrow_enough(gap := self._gap(self.tiles, y, w)):
            return y, w, gap
        before, self.taylor = self.narrowing, 0.0
        if self._newton(cycle, y, w):
            y, w, gap = self._tilted(y, w, worst)
        else:
            radius = max(0.3 * 0.75**cycle, 0.13) * self.narrowing
            y, w, tilt = self._convex(y, w, radius, max(0.005 * self.tol, _SHARE * min(worst, 1e-4)))
            self.dual = Completed.of(tilt)
            y, w, gap = self._completed(self.tiles, y, w, self._rough(worst))
        _log.debug("%d m=%d gap %.2e", cycle, len(w), gap)
        if gap > self.tol and self.narrowing == before:
            if self.taylor > 0.5 * gap:
                self._narrow(self.taylor)
            elif gap > 0.5 * worst:
                self._narrow()
        return y, w, gap

    def _tilted(self, y: FloatArray, w: FloatArray, worst: float) -> tuple[FloatArray, FloatArray, float]:
        """As `_dualised`, by Newton's tilt; where the law is too far from the optimum for that, by damped ones."""
        for damping in _DAMPINGS:
            self.dual = Completed.of(dual_tilt(self.tiles, y, w, damping * self.tol, curvature=self.views.steering))
            y, w, gap = self._completed(self.tiles, y, w, self._rough(worst))
            if gap < np.inf:
                break
        return y, w, gap

    def _close(self, cycle: int, gap: float) -> bool:
        """Whether law and dual are worth judging."""
        return self._narrow_enough(gap) or (self.fine and gap <= 30 * self.tol) or cycle > _MOST_COARSE

    def _narrow_enough(self, gap: float) -> bool:
        """Whether a gap under the quadrature in hand may hold under the sharp one."""
        return gap <= self.tol * (1.0 if self.fine else _CLOSE.get(self.dim, 0.45))

    def _manageable(self, centres: int) -> bool:
        """Whether the convex problem of moments around so many centres is small enough."""
        return (1 + self.dim) * (2 + self.dim) // 2 * centres <= MOST_MOMENTS.get(self.dim, MOST_MOMENTS[3])

    def _newton(self, cycle: int, y: FloatArray, w: FloatArray) -> bool:
        """Whether Newton's method is to find the dual near a law, not the convex problem of moments.

        Where that is too large; and the first one in space, or with many atoms in the plane the first few.
        """
        centres = len(self._merged(y, w)[1])
        early = 1 if self.dim > 2 else _EARLY if centres > _MANY else 0
        return (early > 0 and cycle < _FILLING_CYCLES + early) or not self._manageable(centres)

    def _merged(self, y: FloatArray, w: FloatArray) -> tuple[FloatArray, FloatArray]:
        """One centre of moments for atoms that stand close."""
        return merged(y, w, _CENTRES * self.narrowing)

    def _rough(self, worst: float) -> float:
        """How sharply c is looked at while its excess still matters so much."""
        if self.fine:
            return self.accuracy
        if self.dim == 2:
            return max(self.accuracy, min(1e-4 * worst, 1e-6))
        return max(5 * self.accuracy, min(1e-4 * worst, 1e-3))

    def _gap(self, tiles: Tiles, y: FloatArray, w: FloatArray) -> float:
        """F of the law less what the dual, capped, proves where its c is at most 1."""
        return capped(tiles, y, w, 1.0, self.cap, self.tilt).loss()

    @property
    def tilt(self) -> Tilt | None:
        """The dual point in hand, with what was added to it."""
        return None if self.dual is None else self.dual.tilt

    def _excess(self, tiles: Tiles, y: FloatArray, w: FloatArray, accuracy: float) -> _Excess:
        """Where c exceeds 1 after the cheap part of the repair."""
        found = capped(tiles, y, w, accuracy, self.cap, self.tilt).supremum()
        return _Excess(found.maxima, self._matter(found), found.log)

    def _matter(self, found: Supremum) -> FloatArray:
        """What each maximum of c can cost at most."""
        return np.log1p(found.excess) * self.views.mass_around(found.maxima)

    def _good(self, excess: _Excess) -> bool:
        """Whether the law is worth judging, with no dual but its own."""
        return excess.worst <= 30 * self.tol if self.fine else excess.worst < self.tol and excess.log_sup < 1.0

    def _law_judged(self, y: FloatArray, w: FloatArray, excess: _Excess, late: bool) -> tuple[_Excess, bool]:
        """The excess of a law looked at sharply, and whether the law is good enough."""
        if not self.fine:
            sharp = self._excess(self.views.fine, y, w, self.accuracy)
            _log.debug("   sharp: sup=%.2e matter=%.2e", sharp.log_sup, sharp.worst)
            if sharp.worst > max(self.tol, 3 * excess.worst):
                self._sharpen(y, w, sharp.total)
            if sharp.worst > self.tol and not late:
                return sharp, False
        return excess, self._heard(y, w)

    def _dual_judged(self, y: FloatArray, w: FloatArray, late: bool) -> tuple[FloatArray, FloatArray, bool]:
        """Whether law and dual, completed under the sharp quadrature, are good enough; the law completed."""
        ends = False
        if self.fine:
            ends = self._heard(y, w)
        else:
            before = self.dual
            y, w, gap = self._completed(self.views.fine, y, w, self.accuracy)
            if gap <= self.tol or late:
                ends = self._heard(y, w)
            else:
                self.dual = before
                self._sharpen(y, w, self._excess(self.views.fine, y, w, self.accuracy).total)
        self.dual = None
        return y, w, ends

    def _heard(self, y: FloatArray, w: FloatArray) -> bool:
        """Whether the judge is content, or nothing more is to be hoped for."""
        done = self.judge.heard(y, w, self.tilt)
        if done and (self.judge.confirmed() or (self.fine and self.judge.exhausted)):
            return True
        if self.judge.stale:
            self._narrow()
        if not self.fine and (done or self.judge.stale or self.dual is None):
            self.tiles = self.views.sharper(self.tiles)
            self.judge.stale = 0
        return False

    def _sharpen(self, y: FloatArray, w: FloatArray, total: float) -> None:
        """Look through the next quadrature that sees the excess."""
        middle = self.views.sharper(self.tiles)
        sees = middle is not self.views.fine and 2 * self._excess(middle, y, w, self.accuracy).total > total
        self.tiles = middle if sees else self.views.fine

    def _needed(self, excess: _Excess, y: FloatArray, apart: float = _APART) -> FloatArray:
        """Maxima of c that matter and stand apart from the atoms, worst first."""
        take = (excess.matter >= 0.02 * self.tol) & (excess.matter > _WORTHY * excess.worst)
        take &= squared_distances(excess.maxima, y).min(axis=1, initial=np.inf) > apart**2
        order = np.argsort(-excess.matter * take)
        return excess.maxima[order[: min(int(take.sum()), self._room(y))]]

    def _room(self, y: FloatArray) -> int:
        """How many atoms more there may be."""
        return max(MOST_ATOMS.get(self.dim, MOST_ATOMS[3]) - len(y), 0)

    def _polished(self, y: FloatArray, w: FloatArray, cycle: int, gap: float) -> tuple[FloatArray, FloatArray]:
        newton = self._newton(cycle, y, w)
        settled = gap <= _SETTLED * self.tol and not newton
        result = polish(
            partial(tile_state, self.working, curvature=None if settled else self.views.steering),
            y,
            w,
            tol=0.05 * self.tol,
            iterations=25 if settled else 18,
            shift=1e-7 if settled else 1e-4,
            idle=(_IDLE if newton and self.dim == 2 else _LAST_IDLE if settled else 0.0) * self.tol,
            deadline=self.deadline,
        )
        return merged(result.points, result.weights, 0.02)

    def _narrow(self, error: float = 0.0) -> None:
        """Take lengths shorter, far enough that an error of third order in them comes below the tolerance."""
        factor = (0.5 * self.tol / error) ** (1 / 3) if error > 0 else 1.0
        self.narrowing = max(min(max(factor, _NARROWEST), _NARROWER) * self.narrowing, 0.1)

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
        found = optimal_moments(
            self.tiles, centres, weights, mass, radii, curvature=self.views.steering, tol=tol, deadline=self.deadline
        )
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
        if found.complementarity > 10 * tol:  # it jammed: another radius may do
            self.narrowing = min(self.narrowing / _NARROWER, 1.0)
        else:
            self.taylor = min(given, other)
            if self.taylor > _TAYLOR * self.tol:
                self._narrow(self.taylor)
        if given > max(0.1 * self.tol, 2 * other) and self._manageable(len(masses)):
            y, w = points, masses / masses.sum()
        return y, w, tilt

    def _completed(
        self, tiles: Tiles, y: FloatArray, w: FloatArray, accuracy: float
    ) -> tuple[FloatArray, FloatArray, float]:
        """Atoms in the dual, and in the law, where c exceeds 1 a little; the gap between both as far as is seen."""
        assert self.dual is not None
        given = self.dual.points
        left = self._dual_completed(tiles, y, w, accuracy)
        gap = self._gap(tiles, y, w) + left
        if self.late or gap == np.inf or gap <= _GOOD_ENOUGH.get(self.dim, 0.4) * self.tol:
            return y, w, gap
        new = squared_distances(self.dual.points, given).min(axis=1, initial=np.inf) > 0
        added, eta = merged(self.dual.points[new], self.dual.eta[new], _APART)
        apart = squared_distances(added, y).min(axis=1, initial=np.inf) > _APART**2
        take = _worth(eta, 0.2 * _NEGLIGIBLE * self.tol) & apart
        heaviest = np.argsort(-eta * take)[: min(int(take.sum()), self._room(y))]
        if len(heaviest):
            law = self._insert(y, w, added[heaviest], 0.0, eta[heaviest])
            if objective(self.tiles, *law) < objective(self.tiles, y, w):
                y, w = law
        return y, w, self._gap(tiles, y, w) + left

    def _dual_completed(self, tiles: Tiles, y: FloatArray, w: FloatArray, accuracy: float) -> float:
        """Atoms in the dual where c exceeds 1 a little; what those that it lacks then still need, or ∞ where c is wild.

        They are weighed anew, all together, where what new ones cost on top of those before would be too much.
        """
        enough = _GOOD_ENOUGH.get(self.dim, 0.4) * (1.0 if tiles is self.views.fine else _ROOMY) * self.tol
        for times in range(_COMPLETIONS):
            assert self.dual is not None
            measured = capped(tiles, y, w, accuracy, self.cap, self.tilt)
            found = measured.supremum()
            some = (found.excess < _LITTLE) & (found.excess > _NEGLIGIBLE * self.tol)
            log_z = measured.log_z[0] + measured.log_s[0]
            missing = Missing(tiles, log_z, found.maxima[some], found.excess[some], self.dual)
            matter = float(self._matter(found).sum())
            left = float(missing.needs.sum())
            _log.debug(
                "   sup=%.2e matter=%.2e, %d of %d maxima need %.2e", found.log, matter, some.sum(), len(some), left
            )
            if times == 0 and matter > _WILD:
                return np.inf
            if matter < _NEGLIGIBLE * self.tol or not len(missing.needs) or self.late:
                return left
            dear = left > _TOGETHER * self.tol and measured.loss() + left > enough
            anew = dear and 0 < times <= _ANEW
            self.dual = missing.added(_SPARE * self.tol, anew)
        return 0.0

    def _filled(
        self, y: FloatArray, w: FloatArray, excess: _Excess, again: int
    ) -> tuple[FloatArray, FloatArray, float]:
        """Insert atoms a few times, with weights alone re-optimised; close ones are merged at the end."""
        apart = _SEPARATE.get(self.dim, 0.55)
        new, worst, close = self._needed(excess, y), excess.worst, False
        for times in range(1 + again):
            if not len(new):
                break
            y, w = self._insert(y, w, new, (1 if times == 0 else 10) * _LOOSE * worst)
            if times == again or worst <= 10 * self.tol or self.late:
                break
            close = True
            excess = self._excess(self.tiles, y, w, max(self._rough(worst), 1e-3 * worst))
            new, worst = self._needed(excess, y, apart), min(worst, excess.worst)
            _log.debug("   m=%d sup=%.2e matter=%.2e, %d new", len(w), excess.log_sup, excess.worst, len(new))
            if excess.worst < 10 * self.tol:
                break
        return *(merged(y, w, apart) if close else (y, w)), worst

    def _insert(
        self, y: FloatArray, w: FloatArray, new: FloatArray, tol: float, start: FloatArray | None = None
    ) -> tuple[FloatArray, FloatArray]:
        """Add atoms, re-optimise all weights, drop what got none, but no new one that was asked for before."""
        points = np.concatenate([y, new])
        mass = self.views.mass_at(points)
        weights = np.concatenate([w, 0.05 * mass[len(w) :] if start is None else start])
        assemble = partial(tile_hessian, self.working, points)
        found = optimal_weights(assemble, weights, mass, tol=max(0.02 * self.tol, tol))
        keep = found.active.copy()
        keep[len(w) :] |= squared_distances(new, self.refused).min(axis=1, initial=np.inf) < _CENTRES**2
        self.refused = new[~keep[len(w) :]]
        dropped = int((~keep).sum())
        _log.debug(
            "   insert %d, dropped %d, tau %.1e %d it", len(new), dropped, found.complementarity, found.iterations
        )
        return points[keep], np.maximum(found.weights, 1e-6 * mass)[keep]
