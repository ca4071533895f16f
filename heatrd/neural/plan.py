"""What determines a training, and its schedules of ε and of the learning rate."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from heatrd.arguments import integer, number
from heatrd.errors import InvalidInput
from heatrd.neural.rollout import Grid

__all__ = ["Plan", "Task", "learning_rate", "plan_of", "stratified"]

FloatArray = NDArray[np.float64]

WARMUP = 0.05


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


def stratified(plan: Plan, step: int) -> FloatArray:
    """One ε per group, log-uniform within its own share of the range."""
    rng = np.random.default_rng((plan.seed, 17, step))
    low, high = np.log(plan.epsilon_range)
    return np.exp(low + (high - low) * (np.arange(plan.groups) + rng.uniform(size=plan.groups)) / plan.groups)


def learning_rate(plan: Plan, step: int) -> float:
    """Linear warm-up, then a cosine from the peak down to a hundredth of it."""
    warmup = max(1, int(WARMUP * plan.steps))
    if step < warmup:
        return plan.learning_rate * (step + 1) / warmup
    phase = (step - warmup) / max(1, plan.steps - warmup)
    return plan.learning_rate * (0.01 + 0.99 * 0.5 * (1 + float(np.cos(np.pi * phase))))
