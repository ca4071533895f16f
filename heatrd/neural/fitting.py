"""One fit, from data to what it leaves behind: open settings settled, the model trained, points kept for read-outs."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np

from heatrd.neural.coordinates import Coordinates
from heatrd.neural.data import Data
from heatrd.neural.estimate import HELD_OUT_POINTS, PARTICLES_UP_TO_DIM, SELECTION_POINTS
from heatrd.neural.fitted import Fitted, Settings, new_model
from heatrd.neural.plan import Plan
from heatrd.neural.start import start_of
from heatrd.neural.training import train

__all__ = ["fit", "settled", "standard_range"]

DEFAULT_RANGE = (0.02, 1.0)
READOUT_STREAM = 2**31


def settled(settings: Settings, coordinates: Coordinates) -> Settings:
    """The settings with dimension, entropy and range of ε as the data have them, where they were left open."""
    particles = "last-step-mixture" if coordinates.dim <= PARTICLES_UP_TO_DIM else "knife"
    return replace(
        settings,
        dim=coordinates.dim,
        entropy=particles if settings.entropy == "auto" else settings.entropy,
        epsilon_range=settings.epsilon_range or _default_range(coordinates),
    )


def fit(
    data: Data,
    settings: Settings,
    plan: Plan,
    *,
    checkpoint: Path | None,
    checkpoint_every: int,
    resume: bool,
    progress: bool,
    callback: Callable[[int, float], None] | None,
) -> Fitted:
    """Train a model of `settled` settings by the plan; arguments as in `R2D2.fit`."""
    coordinates, span = data.coordinates, plan.epsilon_range
    start = start_of(data, span, entropy=settings.entropy, components=settings.components, seed=settings.seed)
    model, history = train(
        new_model(settings, coordinates.eigenvalues, span, start),
        data,
        plan,
        checkpoint=checkpoint,
        checkpoint_every=checkpoint_every,
        resume=resume,
        progress=progress,
        callback=callback,
        fingerprint=settings.marks
        | plan.marks
        | {"data": data.kind, "mean": coordinates.mean.tolist(), "scale": coordinates.scale},
    )
    n = max(64, min(HELD_OUT_POINTS, 2**20 // coordinates.dim))
    held = np.asarray(data.held_out(n, settings.seed + 2), dtype=np.float64)
    pool = np.asarray(data.train(n, settings.seed, READOUT_STREAM), dtype=np.float64)
    pool, rest = np.split(pool, [len(pool) // 2])
    choice = data.validation(SELECTION_POINTS, settings.seed) if data.kind == "samples" else rest[:SELECTION_POINTS]
    return Fitted(settings, coordinates, model, history, held, pool, choice, data.kind == "source")


def standard_range(settings: Settings, coordinates: Coordinates) -> tuple[float, float]:
    """The settled range of ε in standard coordinates."""
    assert settings.epsilon_range is not None
    low, high = settings.epsilon_range
    return low / coordinates.scale**2, high / coordinates.scale**2


def _default_range(coordinates: Coordinates) -> tuple[float, float]:
    variance = float(coordinates.eigenvalues.mean()) * coordinates.scale**2
    return DEFAULT_RANGE[0] * variance, DEFAULT_RANGE[1] * variance
