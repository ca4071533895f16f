"""The training loop: Adam on the TEC loss, stratified log-uniform ε, averaged weights, early stopping.

Step k sees batch k of the data, ε drawn from (seed, k) and the key fold_in(seed, k): the trajectory is a function of
the seed alone, so a training resumed from a checkpoint is the uninterrupted one, bit for bit. The held-out loss is
evaluated with fixed points, ε and noise; the parameters kept are the best seen, the start (exact for Gaussians)
included. The batch is sharded over all devices JAX sees.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax.sharding import Mesh, NamedSharding, PartitionSpec
from numpy.typing import NDArray

from heatrd.arguments import integer, number
from heatrd.errors import InvalidInput
from heatrd.neural.data import Data
from heatrd.neural.losses import tec_loss
from heatrd.neural.model import Model
from heatrd.neural.results import TrainingHistory
from heatrd.neural.rollout import Grid
from heatrd.neural.storage import read_arrays, write_arrays

__all__ = ["Plan", "Task", "plan_of", "train"]

FloatArray = NDArray[np.float64]
CHECKPOINT = "r2d2-checkpoint.npz"
AVERAGING = 0.995
WARMUP = 0.05
HELD_OUT_GROUPS = 6
MIN_DELTA = 2e-3
"""Nats by which an evaluation must beat the best before it: below, the loss cannot tell a better control from noise."""
OPTIMISER = optax.chain(optax.clip_by_global_norm(1.0), optax.scale_by_adam(b2=0.99))


class Task(NamedTuple):
    """What the compiled step depends on besides array shapes."""

    entropy: str
    grid: Grid


@dataclass(frozen=True, slots=True)
class Plan:
    """Everything that determines a training, in standard coordinates where it has units."""

    task: Task
    epsilon_range: tuple[float, float]
    seed: int
    steps: int
    learning_rate: float
    batch: int
    groups: int
    evaluate_every: int
    patience: int | None
    validation_batch: int = 512

    @property
    def marks(self) -> dict[str, Any]:
        """What a checkpoint must agree on, beside the settings of the model."""
        return {
            "training_steps": self.steps, "batch": self.batch, "groups": self.groups,
            "learning_rate": self.learning_rate, "evaluate_every": self.evaluate_every,
        }


def plan_of(
    entropy: str, grid: Grid, epsilon_range: tuple[float, float], seed: int, *, steps: Any, batch: Any, groups: Any,
    learning_rate: Any, evaluate_every: Any, patience: Any,
) -> Plan:
    """Check the arguments of a training.

    Raises
    ------
    InvalidInput
        One of them is of no use.
    """
    steps, groups, batch = integer(steps, "steps"), integer(groups, "groups"), integer(batch, "batch")
    if batch < 4 * groups:
        raise InvalidInput(f"batch={batch} leaves fewer than 4 points for each of {groups} groups; enlarge it")
    return Plan(
        task=Task(entropy, grid),
        epsilon_range=epsilon_range,
        seed=seed,
        steps=steps,
        learning_rate=number(learning_rate, "learning_rate", positive=True),
        batch=batch,
        groups=groups,
        evaluate_every=max(1, steps // 25) if evaluate_every is None else integer(evaluate_every, "evaluate_every"),
        patience=None if patience is None else integer(patience, "patience"),
    )


@dataclass(frozen=True, slots=True)
class State:
    """What changes during training; everything a checkpoint holds.

    Replaced as a whole after every step, so that an interrupt at any moment finds the state before or after it.
    """

    model: Model
    average: Model
    best: Model
    optimiser: Any
    step: int = 0
    best_step: int = 0
    best_loss: float = float("inf")
    log: tuple[tuple[int, float, float], ...] = ()
    losses: tuple[float, ...] = ()
    seconds: float = 0.0
    stopped: str = "steps"
    last_loss: float = float("nan")


def train(
    model: Model,
    data: Data,
    plan: Plan,
    *,
    checkpoint: Path | None = None,
    checkpoint_every: int = 0,
    resume: bool = False,
    progress: bool = False,
    callback: Callable[[int, float], None] | None = None,
    fingerprint: dict[str, Any] | None = None,
) -> tuple[Model, TrainingHistory]:
    """Train ``model`` by ``plan`` and return the best averaged model with the history.

    An exception from ``callback(step, loss)`` and a keyboard interrupt leave a checkpoint (where there is a directory
    for it) before they propagate.
    """
    state = State(model, model, model, OPTIMISER.init(model))
    marks = fingerprint or {}
    if checkpoint is not None and resume and (checkpoint / CHECKPOINT).exists():
        state = _restore(state, checkpoint / CHECKPOINT, marks)
    evaluate = _validation_loss(data, plan)
    started = time.perf_counter() - state.seconds

    def store() -> None:
        if checkpoint is not None:
            _store(replace(state, seconds=time.perf_counter() - started), checkpoint, marks)

    with _bar(progress, plan.steps, state.step) as tick:
        try:
            if not state.log:
                state = _evaluated(state, evaluate, plan)
            while state.step < plan.steps and state.stopped == "steps":
                state = _advanced(state, data, plan, evaluate)
                tick(state.last_loss, state.best_loss)
                if callback is not None:
                    callback(state.step, state.last_loss)
                if checkpoint_every and state.step % checkpoint_every == 0:
                    store()
        finally:
            store()
    return state.best, _history(replace(state, seconds=time.perf_counter() - started))


def _advanced(state: State, data: Data, plan: Plan, evaluate: Callable[[Model], float]) -> State:
    """The state after one more step, judged where an evaluation is due."""
    size = plan.batch // plan.groups
    z = data.coordinates.forward(data.train(plan.groups * size, plan.seed, state.step))
    x0 = _shard(z.reshape(plan.groups, size, -1).astype(np.float32))
    epsilon = jnp.asarray(_stratified(plan, state.step), jnp.float32)
    key = jax.random.fold_in(jax.random.key(plan.seed), state.step)
    model, average, optimiser, loss = _update(
        state.model, state.average, state.optimiser, x0, epsilon, key, jnp.int32(state.step),
        jnp.float32(_learning_rate(plan, state.step)), plan.task,
    )
    state = replace(
        state, model=model, average=average, optimiser=optimiser, step=state.step + 1, last_loss=float(loss),
        losses=(*state.losses, float(loss)),
    )
    due = state.step % plan.evaluate_every == 0 or state.step == plan.steps
    return _evaluated(state, evaluate, plan) if due else state


def _stratified(plan: Plan, step: int) -> FloatArray:
    """One ε per group, log-uniform within its own share of the range."""
    rng = np.random.default_rng((plan.seed, 17, step))
    low, high = np.log(plan.epsilon_range)
    return np.exp(low + (high - low) * (np.arange(plan.groups) + rng.uniform(size=plan.groups)) / plan.groups)


def _learning_rate(plan: Plan, step: int) -> float:
    """Linear warm-up, then a cosine from the peak down to a hundredth of it."""
    warmup = max(1, int(WARMUP * plan.steps))
    if step < warmup:
        return plan.learning_rate * (step + 1) / warmup
    phase = (step - warmup) / max(1, plan.steps - warmup)
    return plan.learning_rate * (0.01 + 0.99 * 0.5 * (1 + float(np.cos(np.pi * phase))))


@eqx.filter_jit
def _update(
    model: Model,
    average: Model,
    state: Any,
    x0: jax.Array,
    epsilon: jax.Array,
    key: jax.Array,
    step: jax.Array,
    rate: jax.Array,
    task: Task,
) -> tuple[Model, Model, Any, jax.Array]:
    """One Adam step; a gradient that is not finite in some weight leaves that weight alone."""

    def loss(model: Model) -> tuple[jax.Array, jax.Array]:
        return tec_loss(model, x0, epsilon, key, entropy=task.entropy, grid=task.grid, jitter=True)

    (_, values), gradient = eqx.filter_value_and_grad(loss, has_aux=True)(model)
    gradient = jax.tree.map(lambda g: jnp.nan_to_num(g, nan=0.0, posinf=0.0, neginf=0.0), gradient)
    change, state = OPTIMISER.update(gradient, state, model)
    model = jax.tree.map(lambda m, c: m - rate * c, model, change)
    keep = jnp.minimum(AVERAGING, (1.0 + step) / (10.0 + step))
    average = jax.tree.map(lambda a, m: keep * a + (1 - keep) * m, average, model)
    return model, average, state, values.mean()


@eqx.filter_jit
def _values(model: Model, x0: jax.Array, epsilon: jax.Array, key: jax.Array, task: Task) -> jax.Array:
    return tec_loss(model, x0, epsilon, key, entropy=task.entropy, grid=task.grid, jitter=False)[1]


def _validation_loss(data: Data, plan: Plan) -> Callable[[Model], float]:
    points = data.coordinates.forward(data.validation(plan.validation_batch, plan.seed)).astype(np.float32)
    low, high = np.log(plan.epsilon_range)
    middles = (np.arange(HELD_OUT_GROUPS) + 0.5) / HELD_OUT_GROUPS
    epsilon = jnp.asarray(np.exp(low + (high - low) * middles), jnp.float32)
    x0 = jnp.asarray(np.broadcast_to(points, (HELD_OUT_GROUPS, *points.shape)))
    key = jax.random.key(plan.seed + 1)
    return lambda model: float(np.asarray(_values(model, x0, epsilon, key, plan.task)).mean())


def _evaluated(state: State, evaluate: Callable[[Model], float], plan: Plan) -> State:
    """The state with its averaged weights judged: kept where better than the best, stopped where out of patience."""
    loss = evaluate(state.average)
    entry = (state.step, loss, float(np.mean(state.losses)) if state.losses else loss)
    state = replace(state, log=(*state.log, entry), losses=())
    if loss < state.best_loss - MIN_DELTA:
        return replace(state, best=state.average, best_loss=loss, best_step=state.step)
    waited = sum(step > state.best_step for step, _, _ in state.log)
    out_of_patience = plan.patience is not None and waited >= plan.patience
    return replace(state, stopped="patience") if out_of_patience else state


def _history(state: State) -> TrainingHistory:
    log = np.asarray(state.log, dtype=np.float64).reshape(-1, 3)
    return TrainingHistory(log[:, 0], log[:, 1], log[:, 2], state.best_step, state.stopped, state.seconds)


def _shard(x0: NDArray[np.float32]) -> jax.Array:
    """Spread the batch axis over all devices, where it divides; a single device takes it whole."""
    devices = jax.devices()
    if len(devices) == 1 or x0.shape[1] % len(devices):
        return jnp.asarray(x0)
    return jax.device_put(x0, NamedSharding(Mesh(np.asarray(devices), ("batch",)), PartitionSpec(None, "batch", None)))


@contextlib.contextmanager
def _bar(progress: bool, total: int, start: int) -> Iterator[Callable[[float, float], None]]:
    """A tqdm bar on stderr where asked for and installed."""
    if progress:
        with contextlib.suppress(ImportError):
            from tqdm import tqdm

            with tqdm(total=total, initial=start, unit="step", desc="R2D2") as bar:

                def tick(loss: float, best: float) -> None:
                    bar.update()
                    if bar.n % 20 == 0:
                        bar.set_postfix(loss=f"{loss:.4f}", held_out=f"{best:.4f}", refresh=False)

                yield tick
                return
    yield lambda loss, best: None


def _store(state: State, folder: Path, fingerprint: dict[str, Any]) -> None:
    header = {
        "kind": "checkpoint",
        "fingerprint": fingerprint,
        "step": state.step,
        "best_step": state.best_step,
        "best_loss": state.best_loss,
        "log": state.log,
        "losses": state.losses,
        "seconds": state.seconds,
        "stopped": state.stopped,
    }
    folder.mkdir(parents=True, exist_ok=True)
    write_arrays(folder / CHECKPOINT, header, jax.tree.leaves(_arrays(state)))


def _restore(state: State, path: Path, fingerprint: dict[str, Any]) -> State:
    like = _arrays(state)
    header, leaves = read_arrays(path, kind="checkpoint", like=jax.tree.leaves(like), fingerprint=fingerprint)
    model, average, best, optimiser = jax.tree.unflatten(
        jax.tree.structure(like), [jnp.asarray(leaf) for leaf in leaves]
    )
    return State(
        model, average, best, optimiser, header["step"], header["best_step"], header["best_loss"],
        tuple((step, loss, mean) for step, loss, mean in header["log"]), tuple(header["losses"]), header["seconds"],
        header["stopped"],
    )


def _arrays(state: State) -> tuple[Any, ...]:
    return state.model, state.average, state.best, state.optimiser
