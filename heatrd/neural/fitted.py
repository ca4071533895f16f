"""What a fit leaves behind, and its file: settings, coordinates, weights, read-out points and history."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from numpy.typing import ArrayLike, NDArray

from heatrd.arguments import integer, number, numbers, short, word
from heatrd.errors import InvalidInput
from heatrd.neural.coordinates import Coordinates
from heatrd.neural.losses import ENTROPIES
from heatrd.neural.model import Model
from heatrd.neural.network import ControlNetwork
from heatrd.neural.results import TrainingHistory
from heatrd.neural.rollout import Grid
from heatrd.neural.start import NODES
from heatrd.neural.storage import read_arrays, read_header, write_arrays
from heatrd.neural.terminal import GaussianMixtureLaw, RadialLaw

__all__ = ["Fitted", "Settings", "new_model", "read_fitted", "settings_of", "write_fitted"]

FloatArray = NDArray[np.float64]

RADIAL_FLOOR = 1e-4
WEIGHT_STREAM = 23
POINT_SETS = 3


@dataclass(frozen=True, slots=True)
class Settings:
    """Arguments of `R2D2`, checked; ``dim``, ``entropy`` and ``epsilon_range`` as settled by a fit."""

    dim: int | None
    width: int
    depth: int
    steps: int
    entropy: str
    epsilon_range: tuple[float, float] | None
    components: int
    last: float
    seed: int

    @property
    def grid(self) -> Grid:
        return Grid(self.steps, self.last)

    @property
    def marks(self) -> dict[str, Any]:
        """By name, as JSON has them."""
        return asdict(self) | {"epsilon_range": None if self.epsilon_range is None else list(self.epsilon_range)}


@dataclass(frozen=True, slots=True, eq=False)
class Fitted:
    """A trained model and what reading it out needs; points (n, d) in source units.

    ``pool``: training points, where rollouts start. ``choice``: points that fit the shares of the law bound and choose
    between the bounds; of a finite sample, its validation points. ``held_out``: points for the bounds alone.
    """

    settings: Settings
    coordinates: Coordinates
    model: Model
    history: TrainingHistory
    held_out: FloatArray
    pool: FloatArray
    choice: FloatArray
    exact_moments: bool

    def points(self, x: ArrayLike) -> FloatArray:
        """Positions as (n, d), checked."""
        d = self.coordinates.dim
        points = numbers(x, "x")
        if points.ndim < 2 and points.size % d == 0:
            points = points.reshape(-1, d)
        if points.ndim != 2 or points.shape[1] != d:
            raise InvalidInput(f"x has shape {np.shape(x)}; need ({d},) or (n, {d})")
        if not np.isfinite(points).all():
            raise InvalidInput("x contains NaN or inf")
        return points

    def standard_epsilon(self, epsilon: Any) -> float:
        """ε in standard coordinates, checked to lie in the trained range."""
        value = number(epsilon, "epsilon")
        assert self.settings.epsilon_range is not None
        low, high = self.settings.epsilon_range
        if not low * (1 - 1e-6) <= value <= high * (1 + 1e-6):
            raise InvalidInput(
                f"epsilon={value:g} lies outside the trained range [{low:g}, {high:g}]; "
                "fit again with epsilon_range that contains it"
            )
        return value / self.coordinates.scale**2


def settings_of(
    dim: Any, *, width: Any, depth: Any, steps: Any, entropy: Any, epsilon_range: Any, components: Any, last: Any,
    seed: Any,
) -> Settings:
    """Check the arguments of `R2D2`.

    Raises
    ------
    InvalidInput
        One of them is of no use.
    """
    span = None if epsilon_range is None else _range(epsilon_range)
    found = number(last, "last")
    if not 1e-6 <= found < 1:
        raise InvalidInput(f"last={short(last)} must lie in [1e-6, 1): it is 1 − t at the end of the chain, e.g. 0.01")
    return Settings(
        dim=None if dim is None else integer(dim, "dim"),
        width=integer(width, "width"),
        depth=integer(depth, "depth"),
        steps=integer(steps, "steps"),
        entropy=word(entropy, "entropy", ("auto", *ENTROPIES)),
        epsilon_range=span,
        components=integer(components, "components"),
        last=found,
        seed=integer(seed, "seed", 0),
    )


def new_model(settings: Settings, eigenvalues: FloatArray, span: tuple[float, float], start: FloatArray) -> Model:
    """Return an untrained model in standard coordinates, its law at the table ``start`` over the ε range ``span``."""
    rng = np.random.default_rng((settings.seed, WEIGHT_STREAM))
    return Model(
        network=ControlNetwork(eigenvalues, span, settings.last, settings.width, settings.depth, rng),
        law=GaussianMixtureLaw(eigenvalues, span, start, rng),
        radial=RadialLaw(eigenvalues, span, RADIAL_FLOOR, rng),
    )


def write_fitted(path: Path, fitted: Fitted) -> None:
    """Write one ``.npz`` file with a JSON header (no pickle)."""
    history, c = fitted.history, fitted.coordinates
    header = {
        "kind": "model",
        "settings": fitted.settings.marks,
        "history": {
            "steps": history.steps.tolist(),
            "held_out": history.held_out.tolist(),
            "training": history.training.tolist(),
            "best_step": history.best_step,
            "stopped": history.stopped,
            "seconds": history.seconds,
        },
        "points": [len(fitted.held_out), len(fitted.pool), len(fitted.choice)],
        "exact_moments": fitted.exact_moments,
        "components": fitted.model.law.components,
    }
    arrays = [c.mean, c.rotation, np.float64(c.scale), c.eigenvalues, fitted.held_out, fitted.pool, fitted.choice]
    write_arrays(path, header, [*arrays, *jax.tree.leaves(fitted.model)])


def read_fitted(path: Path) -> Fitted:
    """Read what `write_fitted` wrote.

    Raises
    ------
    InvalidInput
        Not such a file, damaged, or of another version.
    """
    header = read_header(path, "model")
    try:
        raw = dict(header["settings"])
        settings = settings_of(integer(raw.pop("dim"), "dim"), **raw)
        d, span = settings.dim, settings.epsilon_range
        if d is None or span is None or settings.entropy == "auto":
            raise ValueError("its settings are not those of a fitted model")
        shape = (NODES, integer(header["components"], "components"), 1 + 2 * d)
        sizes = [integer(n, "points", 0) for n in header["points"]]
        if len(sizes) != POINT_SETS:
            raise ValueError(f"{len(sizes)} sets of points instead of {POINT_SETS}")
        exact_moments, record = bool(header["exact_moments"]), dict(header["history"])
        columns = [np.asarray(record.pop(name), dtype=np.float64) for name in ("steps", "held_out", "training")]
        history = TrainingHistory(columns[0], columns[1], columns[2], **record)
    except (KeyError, TypeError, ValueError) as error:
        raise InvalidInput(f"{path} has a damaged header: {error}") from None
    skeleton = new_model(settings, np.ones(d), span, np.zeros(shape))
    like = [np.zeros(d), np.eye(d), np.float64(1), np.ones(d), *(np.zeros((n, d)) for n in sizes)]
    _, leaves = read_arrays(path, kind="model", like=[*like, *jax.tree.leaves(skeleton)])
    coordinates = Coordinates(leaves[0], leaves[1], float(leaves[2]), leaves[3])
    model = jax.tree.unflatten(jax.tree.structure(skeleton), [jnp.asarray(leaf) for leaf in leaves[4 + POINT_SETS :]])
    return Fitted(settings, coordinates, model, history, leaves[4], leaves[5], leaves[6], exact_moments)


def _range(value: Any) -> tuple[float, float]:
    ends = numbers(value, "epsilon_range")
    if ends.shape != (2,) or not np.isfinite(ends).all() or not 0 < ends[0] <= ends[1]:
        raise InvalidInput(f"epsilon_range={short(value)}; need (low, high) with 0 < low <= high, in source units")
    return float(ends[0]), float(ends[1])
