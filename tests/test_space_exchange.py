"""The exchange method in R^d: what is inserted, what is judged, what is kept when time is up."""

from functools import partial

import numpy as np
import pytest

import heatrd
from heatrd.certificate.space import space_problem, tail_terms
from heatrd.certificate.space_dual import check_nodes
from heatrd.reconstruction import space_exchange
from heatrd.reconstruction.space_exchange import _Exchange
from heatrd.reconstruction.space_judge import Judge
from heatrd.reconstruction.space_shape import first_shape
from heatrd.reconstruction.space_views import Views
from heatrd.sources import Banana, Disc, GaussianMixture, MultivariateT, Polygon

TOL, ACCURACY = 1e-8, 5e-10


def exchange(source, share=0.2, tol=TOL, accuracy=ACCURACY):
    problem = space_problem(source, share * float(np.linalg.eigvalsh(source.covariance)[-1]))
    return problem, _Exchange(source, problem, tol, accuracy)


def test_an_atom_asked_for_twice_stays():
    problem, state = exchange(Disc())
    y, w = first_shape(problem, state.views, ACCURACY)
    far = np.array([[3.0 * np.abs(y).max(), 0.0]])
    once, weights = state._insert(y, w, far, 1e-10)
    assert not (once == far).all(axis=1).any()
    twice, weights = state._insert(once, weights, far, 1e-10)
    assert (twice == far).all(axis=1).any() and weights.min() > 0


def test_filling_finds_more_than_one_insertion():
    problem, state = exchange(Banana(curvature=0.25))
    y, w = state._polished(*first_shape(problem, state.views, ACCURACY), 0, np.inf)
    before = state._excess(state.tiles, y, w, 1e-7)
    once = state._insert(y, w, state._needed(before, y), 1e-6)
    once = state._excess(state.tiles, *state._polished(*once, 0, np.inf), 1e-7)
    y, w, reached = state._filled(y, w, before, 3)
    filled = state._excess(state.tiles, *state._polished(y, w, 0, np.inf), 1e-7)
    assert before.worst > once.worst > 10 * filled.worst
    assert reached < before.worst


def test_a_coarse_quadrature_that_misses_a_narrow_component_is_left():
    """Where the source is far narrower than √ε the coarse quadratures do not see what the fine one sees."""
    narrow = GaussianMixture([0.5, 0.5], [[0.0, 0.0], [3.0, 0.5]], [np.diag([0.01, 1.0]), np.eye(2)])
    _, state = exchange(narrow, 0.5)
    y = np.array([[0.0, 0.0], [2.0, 0.0]])
    w = np.array([0.5, 0.5])
    sharp = state._excess(state.views.fine, y, w, ACCURACY)
    state._sharpen(y, w, 10 * sharp.total)
    assert state.fine
    _, state = exchange(narrow, 0.5)
    state._sharpen(y, w, sharp.total)
    assert state.tiles is state.views.middle


def test_a_law_judged_once_is_not_forgotten():
    """Where the search goes on with a sharper quadrature, or time is up, the best law judged before still counts."""
    source = Polygon()
    problem, state = exchange(source, tol=1e-12, accuracy=2e-13)  # more than the law is good for
    law = heatrd.solve(source, epsilon=problem.epsilon).reconstruction
    good = problem.scaled(law.points) + 1e-4, law.weights
    coarse = state.tiles
    state._law_judged(*good, state._excess(coarse, *good, ACCURACY), late=True)
    assert state.tiles is not coarse
    bad = good[0] + 0.3, good[1]
    assert state.judge.certificate(*bad).gap < 1e-7


def test_the_bar_rises_where_both_quadratures_do_not_confirm():
    problem, state = exchange(Polygon(), 0.2)
    y, w = first_shape(problem, state.views, ACCURACY)
    y, w = state._polished(y, w, 0, np.inf)
    judge = Judge(problem, 1e-16, 2e-13, 2e-17)  # no gap between two quadratures is so small
    judge.heard(y, w, None)
    assert [judge.confirmed() for _ in range(4)] == [False, False, False, True]
    assert judge.certificate(y, w).gap > 1e-16


def test_what_tails_cost_does_not_keep_the_search_going():
    """No better law makes it less: a search for one went on until the time was up."""
    source = MultivariateT(30, [0.0, 0.0], [[1.0, 0.4], [0.4, 0.6]])
    law = heatrd.solve(source, epsilon=0.5 * float(np.linalg.eigvalsh(source.covariance)[-1]))
    problem = space_problem(source, law.epsilon)
    atoms, weights = problem.scaled(law.reconstruction.points), law.reconstruction.weights
    tails = sum(tail_terms(problem, check_nodes(problem.tiles, atoms, weights, 1e-8, repair=False), atoms, weights))
    tol = 0.2 * tails
    judge = Judge(problem, tol, 0.05 * tol, 0.1 * tol)
    assert judge.heard(atoms, weights, None)
    assert judge.confirmed()
    assert tails < judge.certificate(atoms, weights).gap <= tails + tol


def test_lengths_are_not_narrowed_where_the_convex_problem_only_jammed(monkeypatch):
    """Its gap is then no Taylor error, and shorter radii would jam it again."""
    problem, state = exchange(Polygon(), 0.2)
    y, w = state._polished(*first_shape(problem, state.views, ACCURACY), 0, np.inf)
    loose = partial(space_exchange.optimal_moments, iterations=2)
    monkeypatch.setattr(space_exchange, "optimal_moments", lambda *a, tol, **k: loose(*a, tol=tol, **k))
    state.narrowing = 0.36
    state._convex(y, w, 0.3, 1e-11)
    assert state.narrowing == 0.36 / 0.6


@pytest.mark.parametrize(("spacing", "same"), [(0.5, False), (0.7, True)])
def test_the_search_in_space_looks_through_fewer_nodes(spacing, same):
    """A wide quadrature, as heavy tails get, has no coarser one: its light nodes are thinned out instead."""
    source = GaussianMixture(None, [[-0.5, 0.0, 0.0], [0.5, 0.0, 0.0]], np.diag([1.0, 0.8, 0.6]))
    problem = space_problem(source, 0.3, spacing=spacing, second=False)
    views = Views(source, problem, 1e-6 if not same else 1e-4)
    assert (views.middle is views.fine) == same
    assert views.coarse.size < 0.7 * views.fine.size
    assert views.coarse.weights.sum() == pytest.approx(1.0)
    assert views.sharper(views.coarse) is not views.coarse
    assert views.sharper(views.sharper(views.coarse)) is views.fine
