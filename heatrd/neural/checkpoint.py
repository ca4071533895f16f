"""State of a training and its checkpoint on disk."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp

from heatrd.neural.model import Model
from heatrd.neural.storage import read_arrays, write_arrays

__all__ = ["CHECKPOINT", "State", "restore", "store"]

CHECKPOINT = "r2d2-checkpoint.npz"


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


def store(state: State, folder: Path, fingerprint: dict[str, Any]) -> None:
    """Write ``state`` to the file `CHECKPOINT` in ``folder``, made where it does not exist."""
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


def restore(state: State, path: Path, fingerprint: dict[str, Any]) -> State:
    """Read what `store` wrote into a state of the structure of ``state``.

    Raises
    ------
    InvalidInput
        Damaged, or of a training with another fingerprint.
    """
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
