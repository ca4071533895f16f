"""The ε at which the optimal law's own pair has a given distortion or rate.

D(ε) increases and R(ε) decreases, both continuous wherever the source has a density: a bracketed secant on log ε, each
trial started from the last, of which only the one that hits the target is proved. D is not stationary at the optimum,
so that it is known no better than the law; where solves no longer bring it nearer, laws on either side are mixed, and
a last small step in ε keeps the law. Off the line the duals of the laws around prove what such a law is worth.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np
from scipy.special import entr

from heatrd.certificate.base import Certificate
from heatrd.errors import InvalidInput
from heatrd.laws import DiscreteLaw
from heatrd.reconstruction.dispatch import certify_law, resolvable, solver_for
from heatrd.reconstruction.draft import Draft
from heatrd.reconstruction.line import LineProblem
from heatrd.sources import Source

__all__ = ["Counted", "Guess", "find", "lower_between"]

_TARGET = 5e-10  # relative accuracy of a distortion or rate target
_TRIALS = 40
_JUMP = 1e-8  # a bracket on log ε narrower than this is a jump of the law, bridged by mixing both sides
_KEPT = 0.8  # of the tolerance: ε may move so far, relatively, while the law is kept
_MIXED = 0.3  # of √tolerance: laws so near each other in log ε may be mixed, at a loss of second order
_STALLED = 0.1  # a trial that leaves more of the miss than this brought no progress
_SHARES = 12
_WIDEST, _LARGEST = 30.0, 700.0  # of log ε, beyond the variance's and at all: there nothing is sent
_VANISHED = 1500.0  # exp(−_VANISHED/2) is zero in double precision


@dataclass(frozen=True, slots=True)
class Guess:
    """Where to look first: ε, and the slope of the residual in log ε there."""

    epsilon: float
    slope: float


class Counted:
    """A solver that counts its calls and starts each from the law of the last."""

    def __init__(self, source: Source, start: DiscreteLaw | None, tol: float) -> None:
        self.source, self.start, self.tol, self.count = source, start, tol, 0
        self.solver = solver_for(source, tol)

    def __call__(self, epsilon: float) -> tuple[Certificate, str]:
        """Solve at ε and prove."""
        draft = self.draft(epsilon)
        return draft.prove(), draft.regime

    def draft(self, epsilon: float) -> Draft:
        """Solve at ε; on the line the proof is left for later."""
        self.count += 1
        epsilon = resolvable(self.source, epsilon)
        draft = self._draft(epsilon, self.start)
        patience = 1.0 if self.source.dim == 1 else 100.0  # in space a second attempt takes minutes
        if draft.gap > patience * self.tol and self.start is not None:  # a start can mislead
            afresh = self._draft(epsilon, None)
            if afresh.gap < draft.gap:
                draft = afresh
        self.start = draft.law if draft.regime == "atomic" else None
        return draft

    def _draft(self, epsilon: float, start: DiscreteLaw | None) -> Draft:
        if isinstance(self.solver, LineProblem):
            return self.solver.draft(epsilon, start)
        return Draft.of(*self.solver(epsilon, start))


@dataclass(frozen=True, slots=True, eq=False)
class _Trial:
    """A law on the way to a target: t = log ε, the relative miss f, and a function g of it that secants bend less at:
    for a distortion the miss of log D/(σ² − D).
    """

    t: float
    f: float
    g: float
    draft: Draft


def find(solve_at: Counted, name: str, value: float, guess: Guess | None = None) -> tuple[Certificate, str]:
    """Find ε at which the distortion or the rate (``name``) has the value; return the certificate and the regime."""
    aim = _Aim(solve_at, name, value)
    t = math.log(guess.epsilon if guess else _first_epsilon(solve_at.source, name, value))
    low: _Trial | None = None
    high: _Trial | None = None
    last: _Trial | None = None
    for _ in range(_TRIALS):
        trial = aim.at(t)
        if aim.lossless or (abs(trial.f) <= _TARGET and aim.hit(trial)):
            break
        low, high = (trial, high) if trial.f < 0 else (low, trial)
        if last is None or last.g == trial.g:
            proposal = trial.t - trial.f / (guess.slope if guess else aim.slope(trial))
        else:
            proposal = _secant(last, trial)
        stalled = last is not None and abs(trial.f) > _STALLED * abs(last.f)
        last = trial
        if aim.nearby(trial, low, high, stalled):
            break
        if low is not None and high is not None:
            if abs(high.t - low.t) < 1e-13:
                break
            t = _inside(low, high, proposal)
        else:
            step = (proposal - t) if (proposal - t) * -trial.f > 0 else -trial.f
            t = t + max(-1.0, min(1.0, step if abs(step) > 1e-12 else -math.copysign(1e-6, trial.f)))
            t = min(t, aim.widest)
    return aim.best()


class _Aim:
    """A target and the best that was found."""

    def __init__(self, solve_at: Counted, name: str, value: float) -> None:
        self.solve_at, self.name, self.value = solve_at, name, value
        self.tol = solve_at.tol
        self.line = isinstance(solve_at.solver, LineProblem)
        self.widest = min(math.log(solve_at.source.total_variance) + _WIDEST, _LARGEST)
        self.lossless = name == "rate" and value >= _entropy(solve_at.source)
        self.proved = False  # whether every trial is proved, since drafts miss what their proofs say
        self.nearest: _Trial | None = None

    def at(self, t: float) -> _Trial:
        """Solve at log ε = t."""
        draft = self.solve_at.draft(math.exp(t))
        return self._kept(t, Draft.of(draft.prove(), draft.regime) if self.proved else draft)

    def slope(self, trial: _Trial) -> float:
        """About df/dt: D is nearly in proportion to ε, and dR/dD = −1/2ε."""
        if self.name == "distortion":
            return 1.0
        found = trial.draft
        return max(found.distortion / (2 * found.epsilon * max(found.rate, 1e-300)), 1e-3)

    def hit(self, trial: _Trial) -> bool:
        """Prove a trial that seems to hit, and say whether it does."""
        certain = self._trial(trial.t, Draft.of(trial.draft.prove(), trial.draft.regime))
        self.proved = True
        if abs(certain.f) <= 1.5 * _TARGET:
            self.nearest = certain
            return True
        self.nearest = None
        self._kept(trial.t, certain.draft)
        return False

    def best(self) -> tuple[Certificate, str]:
        """The certificate of the nearest trial, and the regime."""
        assert self.nearest is not None
        return self.nearest.draft.prove(), self.nearest.draft.regime

    def nearby(self, trial: _Trial, low: _Trial | None, high: _Trial | None, stalled: bool) -> bool:
        """Try what costs certificates only: to keep the law, or to mix two; say whether the target is hit."""
        around = [each for each in (trial, low, high) if each is not None]
        between = low is not None and high is not None and not self.line
        near = _MIXED * math.sqrt(self.tol) if between else _KEPT * self.tol
        if abs(trial.f) <= near and self._reached(self._moved(trial, around), [trial]):
            return True
        if low is None or high is None:
            return False
        apart = abs(high.t - low.t)
        if self.line and apart < _JUMP:
            for mixture in self._mixtures(low, high):
                self._better(mixture)
                if abs(mixture.f) <= _TARGET:
                    break
            return True
        plain = type(low.draft.law) is type(high.draft.law) is DiscreteLaw
        mixed = stalled and plain and apart <= _MIXED * math.sqrt(self.tol)
        return mixed and self._reached(self._mixtures(low, high), [low, high])

    def _reached(self, trials: Iterator[_Trial], made_of: list[_Trial]) -> bool:
        worst = max(self.tol, *(each.draft.gap for each in made_of))
        for trial in trials:
            if trial.draft.gap > worst:
                return False
            if abs(trial.f) <= _TARGET:
                self.nearest = trial
                return True
        return False

    def _moved(self, trial: _Trial, around: list[_Trial]) -> Iterator[_Trial]:
        """The law of a trial at ever other ε, by secants."""
        law, regime = trial.draft.law, trial.draft.regime
        before, now = trial, self._certified(law, trial.t - trial.f, regime, around)
        for _ in range(3):
            yield now
            if now.g == before.g:
                return
            before, now = now, self._certified(law, _secant(before, now), regime, around)

    def _mixtures(self, low: _Trial, high: _Trial) -> Iterator[_Trial]:
        """Go from one law and slope to the other: F is convex in ν, so mixtures of near-optimal laws are
        near-optimal.
        """
        a, b = low.draft.law, high.draft.law
        share, left, right = low.f / (low.f - high.f), (0.0, low.f), (1.0, high.f)
        for _ in range(_SHARES):
            law = DiscreteLaw(
                np.concatenate([a.points, b.points]), np.concatenate([(1 - share) * a.weights, share * b.weights])
            )
            trial = self._certified(law, low.t + share * (high.t - low.t), low.draft.regime, [low, high])
            yield trial
            left, right = ((share, trial.f), right) if trial.f < 0 else (left, (share, trial.f))
            share = left[0] - left[1] * (right[0] - left[0]) / (right[1] - left[1])
            share = min(max(share, 0.0), 1.0)

    def _certified(self, law: DiscreteLaw, t: float, regime: str, around: list[_Trial]) -> _Trial:
        solver, epsilon = self.solve_at.solver, math.exp(t)
        if isinstance(solver, LineProblem):
            return self._trial(t, Draft.of(solver.certify(law, epsilon), regime))
        found = certify_law(self.solve_at.source, law, epsilon, tol=self.tol)
        proved = [each.draft.prove() for each in around]
        lower = max(found.lagrangian_lower, lower_between(found.epsilon, proved, self.solve_at.source.total_variance))
        return self._trial(t, Draft.of(replace(found, lagrangian_lower=min(lower, found.lagrangian)), regime))

    def _trial(self, t: float, draft: Draft) -> _Trial:
        f = draft.residual(self.name, self.value)
        if self.name == "rate":
            return _Trial(t, f, f, draft)
        variance = self.solve_at.source.total_variance
        left = math.log((variance - self.value) / max(variance - draft.distortion, 1e-16 * variance))
        return _Trial(t, f, f + left, draft)

    def _kept(self, t: float, draft: Draft) -> _Trial:
        trial = self._trial(t, draft)
        self._better(trial)
        return trial

    def _better(self, trial: _Trial) -> None:
        if self.nearest is None or abs(trial.f) < abs(self.nearest.f):
            self.nearest = trial


def lower_between(epsilon: float, proved: list[Certificate], variance: float) -> float:
    """A lower bound of L(ε) from those at other ε: in β = 1/2ε, L = min over D of R(D) + βD is concave and rises at
    most like βσ².
    """
    known = sorted((0.5 / each.epsilon, each.lagrangian_lower) for each in proved)
    beta = 0.5 / epsilon
    lower = max(bound - variance * max(at - beta, 0.0) for at, bound in known)
    for (left, low), (right, high) in pairwise(known):
        if left <= beta <= right and left < right:
            share = (beta - left) / (right - left)
            lower = max(lower, (1 - share) * low + share * high)
    return lower


def _secant(a: _Trial, b: _Trial) -> float:
    return b.t - b.g * (b.t - a.t) / (b.g - a.g)


def _inside(low: _Trial, high: _Trial, proposal: float) -> float:
    """The secant's proposal where it falls well inside the bracket, else a guarded false position."""
    width = high.t - low.t
    if low.t + 1e-3 * width < proposal < high.t - 1e-3 * width:
        return proposal
    t = low.t - low.f * width / (high.f - low.f)
    return min(max(t, low.t + 0.02 * width), high.t - 0.02 * width)


def _first_epsilon(source: Source, name: str, value: float) -> float:
    """Start from the Shannon lower bound's ε, or from the Gaussian's at the rate where the entropy is not known; for a
    discrete source, whose atoms at distance δ are confused with probability exp(−δ²/2ε), from no less than that allows.
    """
    nearest = _nearest(source) if source.is_discrete else 0.0
    if name == "distortion":
        return max(value / source.dim, nearest / (2 * math.log(source.total_variance / value) + 1))
    least = nearest / _VANISHED
    if value >= _entropy(source):
        return least
    entropy = source.entropy()
    if entropy is not None and math.isfinite(entropy):
        width = math.exp(2 * entropy / source.dim) / (2 * math.pi * math.e)
    else:
        width = source.total_variance / source.dim
    epsilon = max(width * math.exp(-2 * value / source.dim), least)
    if epsilon < sys.float_info.min:
        raise InvalidInput(f"rate={value:g} nats needs a distortion below what double precision holds; ask for less")
    return epsilon


def _entropy(source: Source) -> float:
    """Rate at which nothing of a discrete source is lost; infinite for others."""
    masses = source.discrete_part[1]
    return float(entr(masses).sum()) if source.is_discrete else math.inf


def _nearest(source: Source) -> float:
    """The least squared distance between two atoms."""
    points = source.discrete_part[0]
    if source.dim == 1:
        return float(np.diff(np.sort(points[:, 0])).min() ** 2)
    from scipy.spatial import cKDTree

    centred = (points - points.mean(axis=0)) / math.sqrt(source.total_variance)
    return float(cKDTree(centred).query(centred, k=2)[0][:, 1].min() ** 2 * source.total_variance)
