"""`tec_account`: which route fits which control."""

from __future__ import annotations

import time
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from heatrd.bridge import ProductBridge, SchrodingerBridge
from heatrd.errors import InvalidInput
from heatrd.laws import DiscreteLaw
from heatrd.sampler import Ensemble, sample
from heatrd.sources import Source
from heatrd.tec.account import TECAccount, Terms, make_account
from heatrd.tec.bridges import SPACE_PATHS, of_bridge
from heatrd.tec.chain import of_chain
from heatrd.tec.entropies import entropy_of, mean, source_entropy
from heatrd.tec.quadrature import by_quadrature, path_cubature
from heatrd.tec.times import report_times

__all__ = ["tec_account"]

METHODS = ("auto", "potentials", "quadrature", "paths")


def tec_account(
    control: Any,
    *,
    method: str = "auto",
    times: ArrayLike | None = None,
    until: float | None = None,
    epsilon: float | None = None,
    initial: Any = None,
    n_paths: int | None = None,
    n_steps: int = 200,
    rng: np.random.Generator | int | None = 0,
    optimum: float | None = None,
) -> TECAccount:
    """Account for a control: energy, terminal entropy, their sum, the optimum and the excess.

    Parameters
    ----------
    control : Solution, SchrodingerBridge, TransportPlan, HeatPath, Ensemble or callable
        What steers: the optimal objects of the package, an ensemble already sampled, or any u(t, x).
    method : {"auto", "potentials", "quadrature", "paths"}
        "auto": potentials for bridges, quadrature for heat paths and (one-dimensional) callables, paths for ensembles.
    times : (k,) array_like, optional
        The s to report, increasing in (0, 1]; ``until`` alone when omitted, preceded by a few earlier ones.
    until : float, optional
        Last s; 1 where that exists for the route, else 0.95.
    epsilon, initial : optional
        For callables: diffusion coefficient, and the source (or discrete law) of X_0.
    n_paths, rng : int, seed
        For ``paths``: quasi-random paths (a multiple of 16; 2¹⁵ on the line and 2¹⁸ in R^d when omitted), and their
        seed.
    n_steps : int
        Time steps of the Euler chain, for callables.
    optimum : float, optional
        L(ε) + (d/2) log 2πε, where the caller knows it better.

    Returns
    -------
    TECAccount

    Raises
    ------
    InvalidInput
        An unknown method, or one that does not fit the control.
    """
    start = time.perf_counter()
    if method not in METHODS:
        raise InvalidInput(f"method = {method!r}; use one of {', '.join(METHODS)}")
    if isinstance(control, Ensemble):
        return _of_ensemble(control, optimum, start)
    given = optimum if optimum is not None else _known_optimum(control)
    control = _unwrap(control)
    if isinstance(control, SchrodingerBridge):
        terms = of_bridge(control, method, times, until, n_paths, rng)
        known = _bridge_optimum(control) if given is None else given
        return make_account(terms, control.epsilon, control.dim, entropy_of(control), known, start)
    if hasattr(control, "score") and hasattr(control, "log_density"):
        if method in ("potentials", "paths"):
            bridge = SchrodingerBridge.from_path(control)
            terms = of_bridge(bridge, method, times, until, n_paths, rng)
        else:
            terms = by_quadrature(control, report_times(times, until, False, 1.0), path_cubature(control), None)
        entropy = source_entropy(control.source, None)
        return make_account(terms, control.epsilon, control.dim, entropy, entropy if given is None else given, start)
    return _of_callable(control, method, times, until, epsilon, initial, n_paths, n_steps, rng, given, start)


def _unwrap(control: Any) -> Any:
    """The bridge of a solution or of a plan; anything else as it is."""
    inner = getattr(control, "bridge", None)
    if inner is None or isinstance(control, SchrodingerBridge):
        return control
    return inner() if callable(inner) else inner


def _known_optimum(control: Any) -> float | None:
    """L(ε) + (d/2) log 2πε of a certified solution."""
    value, eps = getattr(control, "lagrangian", None), getattr(control, "epsilon", None)
    law = getattr(control, "reconstruction", None)
    if value is None or eps is None or law is None:
        return None
    return float(value) + 0.5 * law.dim * float(np.log(2 * np.pi * eps))


def _bridge_optimum(bridge: SchrodingerBridge) -> float:
    if isinstance(bridge, ProductBridge):
        return sum(_bridge_optimum(factor) for factor in bridge.factors)
    return float("nan") if bridge.tilt.any() else -mean(bridge.mu, bridge.log_phi0)


def _of_ensemble(ensemble: Ensemble, optimum: float | None, start: float) -> TECAccount:
    """Read an account off an ensemble (its energy and entropy must end at the same time)."""
    if ensemble.energy_horizon < ensemble.times[-1]:
        raise InvalidInput(
            "this ensemble ends on the atoms of the reconstruction, where energy and entropy diverge; "
            "sample with until < 1, "
            "or with scheme='euler'"
        )
    parts = (ensemble.energy, ensemble.entropy, ensemble.account)
    values = [np.array([float(p)]) for p in parts]
    stderr = np.array([[p.stderr] for p in parts] + [[np.nan]])
    terms = Terms("paths", ensemble.times[-1:], values[0], values[1], values[2], np.array([np.nan]), stderr)
    return make_account(terms, ensemble.epsilon, ensemble.dim, np.nan, np.nan if optimum is None else optimum, start)


def _of_callable(
    control: Any,
    method: str,
    times: ArrayLike | None,
    until: float | None,
    epsilon: float | None,
    initial: Any,
    n_paths: int | None,
    n_steps: int,
    rng: Any,
    optimum: float | None,
    start: float,
) -> TECAccount:
    """Account for an arbitrary control: by its Euler chain in one dimension, by paths in any."""
    if method == "potentials":
        raise InvalidInput(
            "the potentials of an arbitrary control are not known; use method='quadrature' (d = 1) or 'paths'"
        )
    dim = getattr(initial, "dim", None)
    if method == "paths" or (method == "auto" and dim != 1):
        run = sample(
            control,
            n_paths or SPACE_PATHS,
            n_steps,
            epsilon=epsilon,
            initial=initial,
            scheme="euler",
            rng=rng,
            until=1.0 if until is None else until,
        )
        return _of_ensemble(run, optimum, start)
    if not isinstance(initial, Source | DiscreteLaw) or dim != 1 or epsilon is None:
        raise InvalidInput(
            "quadrature of an arbitrary control needs epsilon= and initial=, a source or discrete law on the line"
        )
    terms = of_chain(control, epsilon, initial, report_times(times, until, False, 1.0), n_steps)
    entropy = source_entropy(initial, None) if isinstance(initial, Source) else -np.inf
    return make_account(terms, epsilon, 1, entropy, np.nan if optimum is None else optimum, start)
