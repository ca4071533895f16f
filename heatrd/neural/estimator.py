"""`R2D2`: fit once, read the whole curve, the control, and bounds."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from heatrd.arguments import integer, number, numbers, short
from heatrd.errors import HeatrdWarning, InvalidInput
from heatrd.neural.control import ControlAt, control, posterior_mean
from heatrd.neural.data import data_of
from heatrd.neural.estimate import HELD_OUT_POINTS, estimate, read_key, reading, rollout_law
from heatrd.neural.fitted import Fitted, read_fitted, settings_of, write_fitted
from heatrd.neural.fitting import fit, settled, standard_range
from heatrd.neural.plan import plan_of
from heatrd.neural.readout import end_points
from heatrd.neural.results import NeuralCurve, NeuralEstimate, TrainingHistory
from heatrd.sources import Source

__all__ = ["R2D2"]

FloatArray = NDArray[np.float64]

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
        self._settings = settings_of(
            dim, width=width, depth=depth, steps=steps, entropy=entropy, epsilon_range=epsilon_range,
            components=components, last=last, seed=seed,
        )
        self._fit: Fitted | None = None
        self._source: Source | None = None

    def __repr__(self) -> str:
        s = self._settings
        state = "fitted" if self._fit is not None else "not fitted"
        return (
            f"R2D2(dim={s.dim}, width={s.width}, depth={s.depth}, steps={s.steps}, entropy={s.entropy!r}, "
            f"epsilon_range={s.epsilon_range}, seed={s.seed}) [{state}]"
        )

    @property
    def dim(self) -> int | None:
        """Dimension of the source, where known."""
        return self._settings.dim

    @property
    def epsilon_range(self) -> tuple[float, float] | None:
        """Trained range of ε in source units, where known."""
        return self._settings.epsilon_range

    @property
    def entropy(self) -> str:
        """How the terminal law is paid for in training."""
        return self._settings.entropy

    @property
    def last(self) -> float:
        """1 − t at the end of the chain."""
        return self._settings.last

    @property
    def history(self) -> TrainingHistory:
        """Losses seen in training.

        Raises
        ------
        InvalidInput
            Not fitted.
        """
        return self._fitted().history

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
        patience: int | None = 5,
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
        if not 0 < number(held_out, "held_out") < 1:
            raise InvalidInput(f"held_out={short(held_out)} must lie in (0, 1): it is the share of samples kept back")
        if resume and checkpoint is None:
            raise InvalidInput("resume=True needs checkpoint=DIR, the directory given to the interrupted fit")
        every = integer(checkpoint_every, "checkpoint_every")
        data = data_of(source, dim=self.dim, held_out=held_out, seed=self._settings.seed)
        settings = settled(self._settings, data.coordinates)
        plan = plan_of(
            settings.entropy, settings.grid, standard_range(settings, data.coordinates), settings.seed, steps=steps,
            batch=batch, groups=groups, learning_rate=learning_rate, evaluate_every=evaluate_every, patience=patience,
        )
        self._fit = fit(
            data, settings, plan, checkpoint=None if checkpoint is None else Path(checkpoint), checkpoint_every=every,
            resume=resume, progress=progress, callback=callback,
        )
        self._settings, self._source = settings, getattr(data, "source", None)
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
        return control(self._fitted(), t, x, epsilon)

    def at(self, epsilon: float) -> ControlAt:
        """Fix ε, for ``heatrd.sample(model.at(0.1), …)``; without a source (loaded, samples) pass it ``initial=``."""
        self._fitted().standard_epsilon(epsilon)
        return ControlAt(self, float(epsilon), self._source)

    def posterior_mean(self, t: float, x: ArrayLike, epsilon: float) -> FloatArray:
        """m_θ(x, t, ε) ≈ E[Y | X_t = x] in source units, of the shape of ``x``; arguments as in `control`."""
        return posterior_mean(self._fitted(), t, x, epsilon)

    def reconstruct(self, x: ArrayLike, epsilon: float, *, seed: int | None = None) -> FloatArray:
        """Run the controlled chain from the points ``x`` (n, d) to its end points, draws of Y given x, (n, d)."""
        fitted = self._fitted()
        z = fitted.coordinates.forward(fitted.points(x))
        key = read_key(self._seed(seed), 5)
        y = end_points(fitted.model, z, fitted.standard_epsilon(epsilon), grid=fitted.settings.grid, key=key)
        return fitted.coordinates.backward(y)

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
            0 leaves the law as the network made it. 25 up to dimension 3 and 8 beyond when omitted.
        method : str
            ``"law"``, ``"chain"``, or ``"auto"``: whichever is lower on points kept for choices.
        seed : int, optional
            Seed of the read-out's noise; the estimator's own when omitted.

        Returns
        -------
        NeuralEstimate
        """
        fitted = self._fitted()
        eps = fitted.standard_epsilon(epsilon)
        how = reading(
            fitted.coordinates.dim, self._seed(seed), held_out=held_out, particles=particles, importance=importance,
            polishing=polishing, method=method,
        )
        held = self._readout_points(source, how.held_out)
        return estimate(fitted, held, eps, float(epsilon), how, fitted.exact_moments and source is None)

    def bound_terms(
        self, x: ArrayLike, epsilon: float, *, particles: int = 8192, polishing: int | None = None,
        seed: int | None = None,
    ) -> FloatArray:
        """The terms −log ∫ k(x − y) ν̂(dy) of the ``"law"`` bound at the points ``x`` (n, d), nats, (n,).

        Their mean over draws of the source is F(ν̂) ≥ L(ε). With the same terms of another law at the same points, the
        difference of two bounds has a far smaller standard error than each of them.

        Parameters
        ----------
        x : (n, d) array_like
            Points that were not trained on; for d = 1 also (n,).
        epsilon : float
            ε in source units, within the trained range.
        particles, polishing, seed : optional
            As in `rate_distortion`.
        """
        fitted = self._fitted()
        eps = fitted.standard_epsilon(epsilon)
        how = reading(
            fitted.coordinates.dim, self._seed(seed), held_out=HELD_OUT_POINTS, particles=particles, importance=1,
            polishing=polishing, method="law",
        )
        return rollout_law(fitted, eps, how)(fitted.coordinates.forward(fitted.points(x))).values

    def curve(self, epsilons: Iterable[float] | int = 12, **options: Any) -> NeuralCurve:
        """Read out at several ε (an int: that many, log-spaced); ``options`` as in `rate_distortion`."""
        self._fitted()
        assert self.epsilon_range is not None
        if isinstance(epsilons, int | np.integer):
            values = np.geomspace(*self.epsilon_range, integer(epsilons, "epsilons"))
        else:
            values = np.asarray(numbers(list(epsilons), "epsilons"))
        if values.ndim != 1 or not values.size:
            raise InvalidInput("epsilons must be a non-empty sequence of numbers, or how many")
        return NeuralCurve(tuple(self.rate_distortion(float(e), **options) for e in np.sort(values)[::-1]))

    def save(self, path: str | Path) -> None:
        """Write weights, settings and the read-out points to one ``.npz`` file with a JSON header (no pickle)."""
        write_fitted(Path(path), self._fitted())

    @classmethod
    def load(cls, path: str | Path) -> R2D2:
        """Read what `save` wrote.

        Raises
        ------
        InvalidInput
            Not such a file, damaged, or of another version.
        """
        fitted = read_fitted(Path(path))
        self = cls()
        self._settings, self._fit = fitted.settings, fitted
        return self

    def _readout_points(self, source: Any, held_out: int) -> FloatArray:
        """Held-out points in standard coordinates."""
        fitted = self._fitted()
        held, seed = fitted.held_out, fitted.settings.seed
        if isinstance(source, np.ndarray | list | tuple):
            held = fitted.points(source)
        elif source is not None:
            held = data_of(source, dim=self.dim, held_out=0.5, seed=seed).held_out(held_out, seed + 3)
        if len(held) < 64:
            warnings.warn(
                f"only {len(held)} held-out points: the interval of the bound is rough", HeatrdWarning, stacklevel=3
            )
        return fitted.coordinates.forward(held[:held_out])

    def _seed(self, seed: int | None) -> int:
        return self._settings.seed if seed is None else integer(seed, "seed", 0)

    def _fitted(self) -> Fitted:
        if self._fit is None:
            raise InvalidInput("this R2D2 is not fitted; call fit(source) first, or R2D2.load(path)")
        return self._fit
