"""Atoms added to a dual point, and the maxima of c that ask for them."""

import numpy as np
import pytest
from scipy.optimize import brentq

from heatrd.certificate.space import space_problem
from heatrd.certificate.space_dual import Tilt, capped, objective
from heatrd.certificate.space_maxima import local_maxima
from heatrd.certificate.supremum import scan, upper_bound
from heatrd.quadrature.tiles import Field, make_tiles
from heatrd.reconstruction import space, space_exchange
from heatrd.reconstruction.space_completion import Completed, Missing
from heatrd.reconstruction.space_interior import optimal_additions
from heatrd.reconstruction.space_moments import optimal_moments
from heatrd.sources import GaussianMixture, Polygon


def as_tilt(atoms, weights):
    moments = np.zeros((len(weights), 6))
    moments[:, 0] = 1
    return Tilt(atoms, np.log(weights), moments)


def without_light_atoms(least):
    """The nodes of a mixture, and its best law without the atoms that weigh less."""
    source = GaussianMixture(None, [[-1.2, 0.0], [1.2, 0.3]], [0.5 * np.eye(2), [[0.4, 0.1], [0.1, 0.2]]])
    problem = space_problem(source, 0.25)
    best, _ = space.reconstruct(source, 0.25)
    kept = best.law.weights >= least
    weights = best.law.weights[kept]
    return problem.tiles, (problem.scaled(best.law.points[kept]), weights / weights.sum())


def test_one_addition_solves_its_equation():
    """∫ μ r/(1 + η r) = 1, by bisection."""
    rng = np.random.default_rng(1)
    ratio, mu = rng.lognormal(0.5, 1.0, 200), rng.dirichlet(np.ones(200))
    excess = np.array([mu @ ratio - 1])

    def assemble(eta):
        z = 1 + ratio * eta[0]
        return np.array([mu @ (ratio / z)]), np.array([[eta[0] * mu @ (ratio / z) ** 2]])

    first_order = excess / (mu @ ratio**2)  # of `Missing.needs`: a lower bound, c is convex in η
    found = optimal_additions(assemble, first_order, excess, tol=1e-9)
    root = brentq(lambda eta: mu @ (ratio / (1 + ratio * eta)) - 1, 0, 100, xtol=1e-14)
    assert root > first_order[0]
    assert found[0] == pytest.approx(root, rel=1e-6)


@pytest.mark.parametrize(
    ("source", "epsilon"),
    [(Polygon(), 0.15), (GaussianMixture([0.5, 0.5], [[0, 0], [2, 1]], [0.5 * np.eye(2), 0.1 * np.eye(2)]), 0.4)],
)
def test_a_dual_gets_back_the_atom_it_lacks(source, epsilon):
    """A law without the lightest atom of some weight: c above 1 where it stood; completed, hardly any is left."""
    best, _ = space.reconstruct(source, epsilon)
    problem = space_problem(source, epsilon)
    weights = best.law.weights
    tiles, kept = problem.tiles, weights != weights[weights > 1e-4].min()
    atoms, weights = problem.scaled(best.law.points[kept]), weights[kept]
    tilt = as_tilt(atoms, weights)
    law = atoms, weights / weights.sum()
    measured = capped(tiles, *law, 1e-9, 1e-10, tilt)
    found = measured.supremum()
    assert found.log > 1e-4
    log_z = measured.log_z[0] + measured.log_s[0]
    missing = Missing(tiles, log_z, found.maxima, found.excess, Completed.of(tilt))
    more = missing.added()
    after = capped(tiles, *law, 1e-9, 1e-10, more.tilt)
    assert after.supremum().log < 0.1 * found.log
    added = more.eta
    lost = after.loss() - measured.loss()  # Φ falls, and log(1 + x) <= x
    assert added.sum() * (1 - 1e-4) <= lost <= added.sum() * (1 + found.excess.max())
    # the bound is one: below F of the best law
    bound = objective(tiles, *law) - after.loss() - after.supremum().log
    assert bound <= best.lagrangian


def test_points_whose_excess_the_nodes_near_do_not_show_are_left_alone():
    tiles = make_tiles(np.zeros((1, 2)), np.ones(1))
    tilt = as_tilt(np.zeros((1, 2)), np.ones(1))
    nothing = Completed.of(tilt)
    missing = Missing(tiles, np.zeros(1), np.array([[30.0, 0.0]]), np.array([0.5]), nothing)
    assert missing.added() is nothing
    assert missing.needs.size == 0


def test_maxima_on_a_ridge_hardly_less_than_level_are_found():
    """Along an arc c rises by 1e-8 only; across it falls steeply. No grid point is near the top."""
    radius, angle = 25.0, np.linspace(-0.6, 0.6, 121)
    arc = radius * np.stack([np.sin(angle), np.cos(angle) - 1], axis=1)
    height = 1 + 2e-8 * np.exp(-0.5 * ((angle - 0.137) * radius / 1.5) ** 2)
    field = Field(make_tiles(arc, np.full(121, 1 / 121)), np.log(height))
    top = upper_bound(scan(field, 1e-11), 1e-11)
    level = make_tiles(arc, np.full(121, 1 / 121))
    field = Field(level, np.log(height / top * (1 + 1.5e-8)))
    result = scan(field, 1e-11)
    y, excess = local_maxima(result, upper_bound(result, 1e-11))
    assert excess.max() == pytest.approx(1.5e-8, rel=1e-2)
    assert np.hypot(*(y[excess.argmax()] - radius * np.array([np.sin(0.137), np.cos(0.137) - 1]))) < 0.2


def test_atoms_of_the_dual_save_rounds_of_the_convex_problem(monkeypatch):
    calls = []

    def counted(*args, **kwargs):
        calls.append(1)
        return optimal_moments(*args, **kwargs)

    monkeypatch.setattr(space_exchange, "optimal_moments", counted)
    means, covs = (
        [[0, 0], [2, 0.5], [-1, 1.5]],
        [[[0.3, 0.1], [0.1, 0.2]], [[0.1, 0], [0, 0.4]], [[0.5, -0.2], [-0.2, 0.4]]],
    )
    source = GaussianMixture([0.3, 0.4, 0.3], means, covs)
    all_epsilon = np.array([0.15, 0.1]) * float(np.linalg.eigvalsh(source.covariance)[-1])
    assert all(space.reconstruct(source, e)[0].gap <= 1e-8 for e in all_epsilon)
    with_them = len(calls)
    monkeypatch.setattr(Missing, "added", lambda self, spare, together: self.completed)
    for e in all_epsilon:
        space.reconstruct(source, e)
    assert 3 * with_them <= 2 * (len(calls) - with_them)


def test_atoms_of_the_dual_get_more_than_they_need_where_that_costs_nothing():
    """c has its maxima beside the atoms once they are there: as much again lowers them too."""
    tiles, law = without_light_atoms(1e-4)
    accuracy = 1e-10
    tilt = as_tilt(*law)
    measured = capped(tiles, *law, accuracy, 1e-10, tilt)
    found = measured.supremum()
    log_z = measured.log_z[0] + measured.log_s[0]
    missing = Missing(tiles, log_z, found.maxima, found.excess, Completed.of(tilt))
    plain, twice = missing.added(), missing.added(np.inf)
    np.testing.assert_allclose(twice.eta, 2 * plain.eta)
    some = missing.added(0.01 * missing.needs.sum())
    assert 1.0 < some.eta.sum() / plain.eta.sum() < 1.1
    left = [capped(tiles, *law, accuracy, 1e-10, t.tilt).supremum().log for t in (plain, twice)]
    assert left[1] < 0.7 * left[0]


def test_weighing_anew_costs_less_than_more_on_top():
    """Φ is minimal over all weights, not over those of the new atoms only, and the bound is better."""
    tiles, law = without_light_atoms(1e-3)
    accuracy = 1e-10
    tilt, lost, phi = as_tilt(*law), [], []
    for together in (False, True):
        completed = Completed.of(tilt)
        for times in range(8):
            measured = capped(tiles, *law, accuracy, 0.0, completed.tilt)
            found = measured.supremum()
            log_z = measured.log_z[0] + measured.log_s[0]
            anew = together and times in (1, 2)
            completed = Missing(tiles, log_z, found.maxima, found.excess, completed).added(1e-9, anew)
        after = capped(tiles, *law, accuracy, 0.0, completed.tilt)
        phi.append(completed.eta.sum() - after.loss())
        lost.append(after.loss() + after.supremum().log)
    assert phi[1] < phi[0]
    assert lost[1] < lost[0] - 100 * accuracy
