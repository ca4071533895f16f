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
from dataclasses import replace
from pathlib import Path
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax.sharding import Mesh, NamedSharding, PartitionSpec
from numpy.typing import NDArray

from heatrd.neural.checkpoint import CHECKPOINT, State, restore, store
from heatrd.neural.data import Data
from heatrd.neural.losses import tec_loss
from heatrd.neural.model import Model
from heatrd.neural.plan import Plan, Task, learning_rate, stratified
from heatrd.neural.results import TrainingHistory

__all__ = ["MIN_DELTA", "train"]

FloatArray = NDArray[np.float64]
AVERAGING = 0.995
HELD_OUT_GROUPS = 6
MIN_DELTA = 2e-3
"""Nats by which an evaluation must beat the best before it: below, the loss cannot tell a better control from noise."""
OPTIMISER = optax.chain(optax.clip_by_global_norm(1.0), optax.scale_by_adam(b2=0.99))


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
        state = restore(state, checkpoint / CHECKPOINT, marks)
    evaluate = _validation_loss(data, plan)
    started = time.perf_counter() - state.seconds

    def keep() -> None:
        if checkpoint is not None:
            store(replace(state, seconds=time.perf_counter() - started), checkpoint, marks)

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
                    keep()
        finally:
            keep()
    return state.best, _history(replace(state, seconds=time.perf_counter() - started))


def _advanced(state: State, data: Data, plan: Plan, evaluate: Callable[[Model], float]) -> State:
    """The state after one more step, judged where an evaluation is due."""
    size = plan.batch // plan.groups
    z = data.coordinates.forward(data.train(plan.groups * size, plan.seed, state.step))
    x0 = _shard(z.reshape(plan.groups, size, -1).astype(np.float32))
    epsilon = jnp.asarray(stratified(plan, state.step), jnp.float32)
    key = jax.random.fold_in(jax.random.key(plan.seed), state.step)
    model, average, optimiser, loss = _update(
        state.model, state.average, state.optimiser, x0, epsilon, key, jnp.int32(state.step),
        jnp.float32(learning_rate(plan, state.step)), plan.task,
    )
    state = replace(
        state, model=model, average=average, optimiser=optimiser, step=state.step + 1, last_loss=float(loss),
        losses=(*state.losses, float(loss)),
    )
    due = state.step % plan.evaluate_every == 0 or state.step == plan.steps
    return _evaluated(state, evaluate, plan) if due else state


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
