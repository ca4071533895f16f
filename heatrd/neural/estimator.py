"""`R2D2`: fit once, read the whole curve, the control, and bounds."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from numpy.typing import ArrayLike, NDArray

from heatrd.errors import HeatrdWarning, InvalidInput
from heatrd.neural.coordinates import Coordinates
from heatrd.neural.data import Data, data_of
from heatrd.neural.losses import ENTROPIES
from heatrd.neural.model import Model
from heatrd.neural.network import ControlNetwork
from heatrd.neural.readout import Bound, chain_bound, end_points, law_bound, paper_readout, polish, remove_known_moments
from heatrd.neural.results import NeuralCurve, NeuralEstimate, TrainingHistory
from heatrd.neural.rollout import Grid
from heatrd.neural.start import NODES, gaussian_start, mixture_start
from heatrd.neural.storage import read_arrays, read_header, write_arrays
from heatrd.neural.terminal import GaussianMixtureLaw, RadialLaw
from heatrd.neural.training import Plan, Task, train
from heatrd.sources import Source

__all__ = ["R2D2", "ControlAt"]

FloatArray = NDArray[np.float64]

DEFAULT_RANGE = (0.02, 1.0)
RADIAL_FLOOR = 1e-4
READOUT_STREAM = 2**31
WEIGHT_STREAM = 23
PARTICLES_UP_TO_DIM = 3
PLAIN = ("elliptical", "negentropy")
"""Entropies that leave the mixture at the Gaussian solution."""
START_STREAM = 2**31 + 1
VALIDATION_POINTS = 8192
POLISHING_SWEEPS = 25
POLISHED = 256
HELD_OUT_POINTS = 16384
SELECTION_POINTS = 2048
CHAIN_POINTS = 4096
PAPER_POINTS = 2048
PAPER_POINTS_WITHOUT_PARTICLES = 8192
READOUT_STEPS = 32


@dataclass(frozen=True, eq=False)
class ControlAt:
    """The control at one ε, as `heatrd.sample` and `heatrd.tec_account` take it.

    Attributes
    ----------
    model : R2D2
    epsilon : float
        In source units.
    source : Source or None
        What the model was fitted on, where that was a source.
    """

    model: R2D2
    epsilon: float
    source: Source | None

    def control(self, t: float, x: ArrayLike) -> FloatArray:
        """u_θ(x, t, ε), of the shape of ``x``."""
        return self.model.control(t, x, self.epsilon)


class R2D2:
    """Neural estimator of the quadratic rate–distortion curve (DESIGN (8)).

    One control network, amortised over ε, trained by backpropagation through controlled rollouts on energy + terminal
    entropy. Data are centred, rotated to principal axes and scaled by one number inside; every argument and result is
    in source units.

    Parameters
    ----------
    dim : int, optional
        Dimension of the source; read from the data when omitted, checked against them when given.
    width, depth : int
        Units per hidden layer and number of hidden layers of the control network.
    steps : int
        Steps of the controlled chain, geometric in 1 − t down to ``last``.
    entropy : str
        How the terminal law is paid for in training: ``"last-step-mixture"`` (the batch's own end points; exact in
        the limit of large batches, best in low dimension), ``"knife"`` (learned Gaussian mixture), ``"elliptical"``
        (learned radial law; high-dimensional symmetric sources), ``"negentropy"`` (the paper's approximation; no
        bound). ``"auto"``: the first up to dimension 3, the second beyond.
    epsilon_range : (float, float), optional
        ε in source units; 0.02 to 1 of the mean variance per coordinate when omitted.
    components : int
        Components of the learned Gaussian mixture, at most; fewer where fewer explain the data as well.
    last : float
        1 − t at the end of the chain.
    seed : int
        Seeds weights, batches, noise, the split of samples and the read-outs.

    Examples
    --------
    >>> from heatrd.neural import R2D2
    >>> model = R2D2(seed=0).fit(heatrd.sources.Laplace(), steps=1500)        # doctest: +SKIP
    >>> estimate = model.rate_distortion(0.1)                                 # doctest: +SKIP
    >>> estimate.rate, estimate.distortion, estimate.lagrangian_upper         # doctest: +SKIP
    """

    def __init__(
        self,
        dim: int | None = None,
        *,
        width: int = 64,
        depth: int = 3,
        steps: int = 12,
        entropy: str = "auto",
        epsilon_range: tuple[float, float] | None = None,
        components: int = 32,
        last: float = 0.01,
        seed: int = 0,
    ) -> None:
        self.dim = None if dim is None else _integer(dim, "dim", 1)
        self.width = _integer(width, "width", 1)
        self.depth = _integer(depth, "depth", 1)
        self.steps = _integer(steps, "steps", 1)
        self.components = _integer(components, "components", 1)
        self.seed = _integer(seed, "seed", 0)
        if entropy not in ("auto", *ENTROPIES):
            raise InvalidInput(f"entropy={entropy!r} is not known; choose 'auto' or one of {', '.join(ENTROPIES)}")
        self.entropy = entropy
        self.last = _number(last, "last")
        if not 1e-6 <= self.last < 1:
            raise InvalidInput(f"last={last!r} must lie in [1e-6, 1): it is 1 − t at the end of the chain, e.g. 0.01")
        self.epsilon_range = None if epsilon_range is None else _range(epsilon_range)
        self._model: Model | None = None
        self._coordinates: Coordinates | None = None
        self._history: TrainingHistory | None = None
        self._held_out = self._pool = np.zeros((0, 1))
        self._exact_moments = False
        self._source: Source | None = None

    def __repr__(self) -> str:
        state = "fitted" if self._model is not None else "not fitted"
        return (
            f"R2D2(dim={self.dim}, width={self.width}, depth={self.depth}, steps={self.steps}, "
            f"entropy={self.entropy!r}, epsilon_range={self.epsilon_range}, seed={self.seed}) [{state}]"
        )

    @property
    def _grid(self) -> Grid:
        return Grid(self.steps, self.last)

    @property
    def history(self) -> TrainingHistory:
        """Losses seen in training.

        Raises
        ------
        InvalidInput
            Not fitted.
        """
        self._fitted()
        assert self._history is not None
        return self._history

    def fit(
        self,
        source: Any,
        *,
        steps: int = 1500,
        batch: int = 1024,
        groups: int = 4,
        learning_rate: float = 5e-3,
        progress: bool = False,
        checkpoint: str | Path | None = None,
        checkpoint_every: int = 200,
        resume: bool = False,
        evaluate_every: int | None = None,
        patience: int | None = 10,
        held_out: float = 0.2,
        callback: Callable[[int, float], None] | None = None,
    ) -> R2D2:
        """Train on a source, on samples, or on batches from a callable.

        Parameters
        ----------
        source : source, array_like or callable
            Anything `heatrd.as_source` takes; samples of shape (n,) or (n, d); or ``f(n, rng) → (n, d)`` (or
            ``f(n)``, which gives up reproducibility) for fresh independent points.
        steps : int
            Adam steps in all, those before a resumed checkpoint included.
        batch, groups : int
            Points per step, split over ``groups`` values of ε.
        learning_rate : float
            Peak of a warm-up and cosine schedule.
        progress : bool
            Show a bar on stderr (needs tqdm).
        checkpoint : path, optional
            Directory for a checkpoint, written every ``checkpoint_every`` steps, at the end and when interrupted.
        resume : bool
            Continue from the checkpoint in that directory, where there is one: bit for bit the uninterrupted training.
        evaluate_every : int, optional
            Steps between evaluations of the held-out loss; a 25th of ``steps`` when omitted. The best parameters seen
            are kept.
        patience : int or None
            Stop after this many evaluations without improvement; None never stops.
        held_out : float
            Share of ``samples`` never trained on (sources and callables give fresh points instead).
        callback : callable, optional
            Called as ``callback(step, loss)`` after every step.

        Returns
        -------
        R2D2
            Itself.

        Raises
        ------
        InvalidInput
            Unusable data or settings, or a checkpoint that belongs to another training.
        """
        if not 0 < _number(held_out, "held_out") < 1:
            raise InvalidInput(f"held_out={held_out!r} must lie in (0, 1): it is the share of samples kept back")
        if resume and checkpoint is None:
            raise InvalidInput("resume=True needs checkpoint=DIR, the directory given to the interrupted fit")
        data = data_of(source, dim=self.dim, held_out=held_out, seed=self.seed)
        coordinates = data.coordinates
        if self.entropy == "auto":
            self.entropy = "last-step-mixture" if coordinates.dim <= PARTICLES_UP_TO_DIM else "knife"
        epsilon_range = self.epsilon_range or _default_range(coordinates)
        span = _standard_range(coordinates, epsilon_range)
        plan = self._plan(coordinates, epsilon_range, steps, batch, groups, learning_rate, evaluate_every, patience)
        model, history = train(
            self._skeleton(coordinates, span, self._start(data, span)),
            data,
            plan,
            checkpoint=None if checkpoint is None else Path(checkpoint),
            checkpoint_every=_integer(checkpoint_every, "checkpoint_every", 1),
            resume=resume,
            progress=progress,
            callback=callback,
            fingerprint=self._settings(coordinates, epsilon_range)
            | {
                "training_steps": plan.steps,
                "batch": plan.batch,
                "groups": plan.groups,
                "learning_rate": plan.learning_rate,
                "evaluate_every": plan.evaluate_every,
                "data": data.kind,
                "mean": coordinates.mean.tolist(),
                "scale": coordinates.scale,
            },
        )
        self.dim, self.epsilon_range = coordinates.dim, epsilon_range
        self._model, self._coordinates, self._history = model, coordinates, history
        self._keep_readout_points(data)
        self._exact_moments = data.kind == "source"
        self._source = getattr(data, "source", None)
        return self

    def control(self, t: float, x: ArrayLike, epsilon: float) -> FloatArray:
        """u_θ(x, t, ε) = (m_θ − x)/(1 − t) in source units, held constant in time beyond the end of the trained grid.

        Parameters
        ----------
        t : float
            Time in [0, 1].
        x : (d,) or (n, d) array_like
            Positions; for d = 1 also () and (n,).
        epsilon : float
            ε in source units, within the trained range.

        Returns
        -------
        array
            Of the shape of ``x``.
        """
        x, mean = self._posterior_mean(_time(t), x, epsilon)
        return np.asarray((mean - x) / max(1 - float(t), self.last))

    def at(self, epsilon: float) -> ControlAt:
        """Fix ε, for ``heatrd.sample(model.at(0.1), …)``; without a source (loaded, samples) pass it ``initial=``."""
        self._standard_epsilon(epsilon)
        return ControlAt(self, float(epsilon), self._source)

    def posterior_mean(self, t: float, x: ArrayLike, epsilon: float) -> FloatArray:
        """m_θ(x, t, ε) ≈ E[Y | X_t = x] in source units, of the shape of ``x``; arguments as in `control`."""
        return self._posterior_mean(_time(t), x, epsilon)[1]

    def reconstruct(self, x: ArrayLike, epsilon: float, *, seed: int | None = None) -> FloatArray:
        """Run the controlled chain from the points ``x`` (n, d) to its end points, draws of Y given x, (n, d)."""
        model, coordinates = self._fitted()
        points = self._points(x)
        z = end_points(
            model,
            coordinates.forward(points),
            self._standard_epsilon(epsilon),
            grid=self._grid,
            key=self._key(seed, 5),
        )
        return coordinates.backward(z)

    def rate_distortion(
        self,
        epsilon: float,
        *,
        source: Any = None,
        held_out: int = HELD_OUT_POINTS,
        particles: int = 8192,
        importance: int = 8,
        polishing: int | None = None,
        method: str = "auto",
        seed: int | None = None,
    ) -> NeuralEstimate:
        """Read out R̂ and D̂, and a held-out upper bound on L(ε), at one ε.

        Parameters
        ----------
        epsilon : float
            ε in source units, within the trained range.
        source : optional
            Held-out points instead of those kept at `fit`: an array of shape (n, d), taken whole, or anything else that
            `fit` takes, to draw them from. Must not contain training points.
        held_out : int
            At most this many held-out points for the bound.
        particles : int
            End points in the explicit law ν̂ of the ``"law"`` bound.
        importance : int
            Paths per point of the ``"chain"`` bound.
        polishing : int, optional
            Sweeps of expectation–maximisation that refine some of the end points on training points before they join ν̂;
            0 leaves the law as the network made it. 25 up to dimension 3 and 0 beyond when omitted.
        method : str
            ``"law"``, ``"chain"``, or ``"auto"``: whichever is lower on training points.
        seed : int, optional
            Seed of the read-out's noise; the estimator's own when omitted.

        Returns
        -------
        NeuralEstimate
        """
        model, coordinates = self._fitted()
        eps = self._standard_epsilon(epsilon)
        held_out, particles = _integer(held_out, "held_out", 2), _integer(particles, "particles", 2)
        importance = _integer(importance, "importance", 1)
        if polishing is None:
            polishing = POLISHING_SWEEPS if coordinates.dim <= PARTICLES_UP_TO_DIM else 0
        polishing = _integer(polishing, "polishing", 0)
        if method not in ("auto", "law", "chain"):
            raise InvalidInput(f"method={method!r} is not known; choose 'auto', 'law' or 'chain'")
        held, pool = self._readout_points(source, held_out)
        fine = Grid(max(self.steps, READOUT_STEPS), self.last)
        exact = self._exact_moments and source is None
        n = PAPER_POINTS if self.entropy == "last-step-mixture" else PAPER_POINTS_WITHOUT_PARTICLES
        paper = paper_readout(
            model, held[:n], pool[:n] if exact else None, eps, entropy=self.entropy, key=self._key(seed, 1), grid=fine
        )
        bound, chosen = self._bound(held, pool, eps, particles, importance, polishing, method, seed, exact)
        distortion = paper.distortion * coordinates.scale**2
        return NeuralEstimate(
            epsilon=float(epsilon),
            rate=paper.lagrangian - paper.distortion / (2 * eps),
            distortion=distortion,
            lagrangian=paper.lagrangian,
            energy=paper.energy,
            terminal_entropy=paper.terminal + coordinates.dim * float(np.log(coordinates.scale)),
            lagrangian_upper=float(bound.values.mean()),
            lagrangian_upper_stderr=float(bound.values.std(ddof=1) / np.sqrt(bound.values.size)),
            upper_method=chosen,
            upper_distortion=bound.distortion * coordinates.scale**2,
            held_out=bound.values.size,
        )

    def curve(self, epsilons: Iterable[float] | int = 12, **options: Any) -> NeuralCurve:
        """Read out at several ε (an int: that many, log-spaced); ``options`` as in `rate_distortion`."""
        self._fitted()
        assert self.epsilon_range is not None
        if isinstance(epsilons, int | np.integer):
            values = np.geomspace(*self.epsilon_range, _integer(epsilons, "epsilons", 1))
        else:
            values = np.asarray(list(epsilons), dtype=np.float64)
        if values.ndim != 1 or not values.size:
            raise InvalidInput("epsilons must be a non-empty sequence of numbers, or how many")
        return NeuralCurve(tuple(self.rate_distortion(float(e), **options) for e in np.sort(values)[::-1]))

    def save(self, path: str | Path) -> None:
        """Write weights, settings and the read-out points to one ``.npz`` file with a JSON header (no pickle)."""
        model, coordinates = self._fitted()
        assert self.epsilon_range is not None
        history = self.history
        header = {
            "kind": "model",
            "settings": self._settings(coordinates, self.epsilon_range),
            "history": {
                "steps": history.steps.tolist(),
                "held_out": history.held_out.tolist(),
                "training": history.training.tolist(),
                "best_step": history.best_step,
                "stopped": history.stopped,
                "seconds": history.seconds,
            },
            "points": [len(self._held_out), len(self._pool)],
            "exact_moments": self._exact_moments,
            "components": model.law.components,
        }
        arrays = [coordinates.mean, coordinates.rotation, np.float64(coordinates.scale), coordinates.eigenvalues]
        write_arrays(Path(path), header, [*arrays, self._held_out, self._pool, *jax.tree.leaves(model)])

    @classmethod
    def load(cls, path: str | Path) -> R2D2:
        """Read what `save` wrote.

        Raises
        ------
        InvalidInput
            Not such a file, damaged, or of another version.
        """
        path = Path(path)
        header = read_header(path, "model")
        try:
            settings = dict(header["settings"])
            d = _integer(settings["dim"], "dim", 1)
            settings["epsilon_range"] = tuple(settings["epsilon_range"])
            self = cls(**settings)
            exact_moments = bool(header["exact_moments"])
            shape = (NODES, _integer(header["components"], "components", 1), 1 + 2 * d)
            sizes = [_integer(n, "points", 0) for n in header["points"]]
            raw = dict(header["history"])
            columns = [np.asarray(raw.pop(name), dtype=np.float64) for name in ("steps", "held_out", "training")]
            history = TrainingHistory(columns[0], columns[1], columns[2], **raw)
        except (KeyError, TypeError, ValueError) as error:
            raise InvalidInput(f"{path} has a damaged header: {error}") from None
        blank = Coordinates(np.zeros(d), np.eye(d), 1.0, np.ones(d))
        assert self.epsilon_range is not None
        start = np.zeros(shape)
        skeleton = self._skeleton(blank, self.epsilon_range, start)
        like = [blank.mean, blank.rotation, np.float64(1), blank.eigenvalues, *(np.zeros((n, d)) for n in sizes)]
        _, leaves = read_arrays(path, kind="model", like=[*like, *jax.tree.leaves(skeleton)])
        self._coordinates = Coordinates(leaves[0], leaves[1], float(leaves[2]), leaves[3])
        self._held_out, self._pool, self._history = leaves[4], leaves[5], history
        self._exact_moments = exact_moments
        weights = [jnp.asarray(leaf) for leaf in leaves[6:]]
        self._model = jax.tree.unflatten(jax.tree.structure(skeleton), weights)
        return self

    def _bound(
        self,
        held: FloatArray,
        pool: FloatArray,
        eps: float,
        particles: int,
        importance: int,
        polishing: int,
        method: str,
        seed: int | None,
        exact_moments: bool,
    ) -> tuple[Bound, str]:
        """The bound asked for; ``auto`` compares both on training points, so that the choice does not bias it."""
        model, coordinates = self._fitted()
        half = max(1, len(pool) // 2)
        fit = pool[half:][:SELECTION_POINTS] if len(pool) > 1 else pool
        starts = np.resize(pool[:half], (particles, pool.shape[1]))

        def law(z: FloatArray) -> Bound:
            y = end_points(model, starts, eps, key=self._key(seed, 2), grid=self._grid)
            refined = polish(y[:POLISHED], pool[:half], eps, polishing) if polishing else None
            return law_bound(model, y, fit, z, eps, refined)

        def chain(z: FloatArray, stream: int) -> Bound:
            return chain_bound(
                model, z, eps, entropy=self.entropy, importance=importance, key=self._key(seed, stream), grid=self._grid
            )

        trials = {}
        if method in ("auto", "law"):
            trials["law"] = law(fit).values
        if method in ("auto", "chain"):
            trials["chain"] = chain(fit, 3).values
        method = min(trials, key=lambda name: float(trials[name].mean()))
        held = held if method == "law" else held[:CHAIN_POINTS]
        bound = law(held) if method == "law" else chain(held, 4)
        if exact_moments:
            eigenvalues = coordinates.eigenvalues
            values = remove_known_moments(held, bound.values, fit, trials[method], eigenvalues)
            bound = Bound(values, bound.distortion)
        return bound, method

    def _posterior_mean(self, t: float, x: ArrayLike, epsilon: float) -> tuple[FloatArray, FloatArray]:
        model, coordinates = self._fitted()
        given = np.asarray(x, dtype=np.float64)
        points = self._points(x)
        eps = jnp.asarray([self._standard_epsilon(epsilon)], jnp.float32)
        z = jnp.asarray(coordinates.forward(points)[None], jnp.float32)
        m = _mean(model, z, jnp.float32(min(t, 1 - self.last)), eps)
        return given, coordinates.backward(np.asarray(m[0], dtype=np.float64)).reshape(given.shape)

    def _points(self, x: ArrayLike) -> FloatArray:
        """Positions as (n, d)."""
        _, coordinates = self._fitted()
        try:
            points = np.asarray(x, dtype=np.float64)
        except (TypeError, ValueError) as error:
            raise InvalidInput(f"x must be numbers of shape (n, {coordinates.dim}): {error}") from None
        d = coordinates.dim
        if points.ndim == 0 or (d == 1 and points.ndim == 1 and points.size != 1) or (d > 1 and points.ndim == 1):
            points = points.reshape(-1, d) if points.size % d == 0 else points
        if points.ndim == 1 and d == 1:
            points = points[:, None]
        if points.ndim != 2 or points.shape[1] != d:
            raise InvalidInput(f"x has shape {np.shape(x)}; need ({d},) or (n, {d})")
        if not np.isfinite(points).all():
            raise InvalidInput("x contains NaN or inf")
        return points

    def _standard_epsilon(self, epsilon: float) -> float:
        _, coordinates = self._fitted()
        assert self.epsilon_range is not None
        value = _number(epsilon, "epsilon")
        low, high = self.epsilon_range
        if not low * (1 - 1e-6) <= value <= high * (1 + 1e-6):
            raise InvalidInput(
                f"epsilon={value:g} lies outside the trained range [{low:g}, {high:g}]; "
                "fit again with epsilon_range that contains it"
            )
        return value / coordinates.scale**2

    def _readout_points(self, source: Any, held_out: int) -> tuple[FloatArray, FloatArray]:
        """Held-out points and training points in standard coordinates."""
        _, coordinates = self._fitted()
        held = self._held_out
        if source is not None:
            if isinstance(source, np.ndarray | list | tuple):
                held = self._points(source)
            else:
                held = data_of(source, dim=self.dim, held_out=0.5, seed=self.seed).held_out(held_out, self.seed + 3)
        if len(held) < 64:
            warnings.warn(
                f"only {len(held)} held-out points: the interval of the bound is rough", HeatrdWarning, stacklevel=4
            )
        return coordinates.forward(held[:held_out]), coordinates.forward(self._pool)

    def _keep_readout_points(self, data: Data) -> None:
        n = max(64, min(HELD_OUT_POINTS, 2**20 // data.coordinates.dim))
        self._held_out = np.asarray(data.held_out(n, self.seed + 2), dtype=np.float64)
        self._pool = np.asarray(data.train(n, self.seed, READOUT_STREAM), dtype=np.float64)

    def _skeleton(self, coordinates: Coordinates, span: tuple[float, float], start: FloatArray) -> Model:
        """A new model in standard coordinates, its law at ``start``."""
        rng = np.random.default_rng((self.seed, WEIGHT_STREAM))
        lam = coordinates.eigenvalues
        return Model(
            network=ControlNetwork(lam, span, self.last, self.width, self.depth, rng),
            law=GaussianMixtureLaw(lam, span, start, rng),
            radial=RadialLaw(lam, span, RADIAL_FLOOR, rng),
        )

    def _start(self, data: Data, span: tuple[float, float]) -> FloatArray:
        """Table of laws to begin with."""
        lam = data.coordinates.eigenvalues
        if self.entropy in PLAIN:
            return gaussian_start(lam)
        check = data.coordinates.forward(data.validation(VALIDATION_POINTS, self.seed))
        rng = np.random.default_rng((self.seed, START_STREAM))

        def draw(n: int) -> FloatArray:
            return data.coordinates.forward(data.train(n, self.seed, START_STREAM))

        return mixture_start(draw, check, lam, span, self.components, rng)

    def _settings(self, coordinates: Coordinates, epsilon_range: tuple[float, float]) -> dict[str, Any]:
        return {
            "dim": coordinates.dim,
            "width": self.width,
            "depth": self.depth,
            "steps": self.steps,
            "entropy": self.entropy,
            "epsilon_range": list(epsilon_range),
            "components": self.components,
            "last": self.last,
            "seed": self.seed,
        }

    def _plan(
        self,
        coordinates: Coordinates,
        epsilon_range: tuple[float, float],
        steps: int,
        batch: int,
        groups: int,
        learning_rate: float,
        evaluate_every: int | None,
        patience: int | None,
    ) -> Plan:
        steps, groups = _integer(steps, "steps", 1), _integer(groups, "groups", 1)
        batch = _integer(batch, "batch", 1)
        if batch < 4 * groups:
            raise InvalidInput(f"batch={batch} leaves fewer than 4 points for each of {groups} groups; enlarge it")
        if not _number(learning_rate, "learning_rate") > 0:
            raise InvalidInput(f"learning_rate={learning_rate!r} must be positive")
        every = max(1, steps // 25) if evaluate_every is None else _integer(evaluate_every, "evaluate_every", 1)
        return Plan(
            task=Task(self.entropy, self._grid),
            epsilon_range=_standard_range(coordinates, epsilon_range),
            seed=self.seed,
            steps=steps,
            learning_rate=float(learning_rate),
            batch=batch,
            groups=groups,
            evaluate_every=every,
            patience=None if patience is None else _integer(patience, "patience", 1),
        )

    def _key(self, seed: int | None, stream: int) -> jax.Array:
        base = self.seed if seed is None else _integer(seed, "seed", 0)
        return jax.random.fold_in(jax.random.key(base), 1_000_000 + stream)

    def _fitted(self) -> tuple[Model, Coordinates]:
        if self._model is None or self._coordinates is None:
            raise InvalidInput("this R2D2 is not fitted; call fit(source) first, or R2D2.load(path)")
        return self._model, self._coordinates


@eqx.filter_jit
def _mean(model: Model, z: jax.Array, t: jax.Array, epsilon: jax.Array) -> jax.Array:
    return model.posterior(epsilon)(z, t)[0]


def _standard_range(coordinates: Coordinates, epsilon_range: tuple[float, float]) -> tuple[float, float]:
    return epsilon_range[0] / coordinates.scale**2, epsilon_range[1] / coordinates.scale**2


def _default_range(coordinates: Coordinates) -> tuple[float, float]:
    variance = float(coordinates.eigenvalues.mean()) * coordinates.scale**2
    return DEFAULT_RANGE[0] * variance, DEFAULT_RANGE[1] * variance


def _integer(value: Any, name: str, least: int) -> int:
    if isinstance(value, bool) or not isinstance(value, int | np.integer) or value < least:
        raise InvalidInput(f"{name}={value!r} must be an integer >= {least}")
    return int(value)


def _number(value: Any, name: str) -> float:
    try:
        number = float(value)
    except (TypeError, ValueError):
        raise InvalidInput(f"{name}={value!r} must be a number") from None
    if not np.isfinite(number):
        raise InvalidInput(f"{name}={value!r} must be finite")
    return number


def _time(t: Any) -> float:
    t = _number(t, "t")
    if not 0 <= t <= 1:
        raise InvalidInput(f"t={t!r} must lie in [0, 1]")
    return t


def _range(value: Any) -> tuple[float, float]:
    try:
        low, high = (float(v) for v in value)
    except (TypeError, ValueError):
        raise InvalidInput(f"epsilon_range={value!r} must be a pair (low, high)") from None
    if not (np.isfinite(low) and np.isfinite(high) and 0 < low <= high):
        raise InvalidInput(f"epsilon_range={value!r} must satisfy 0 < low <= high < inf, in source units")
    return low, high
