"""R2D2: a neural control for the quadratic rate–distortion curve (extra ``neural``).

One network, amortised over ε, steers X_0 ~ μ to the optimal reconstruction X_1; the whole curve is read from one
training (DESIGN (8)). Data flows

    data → coordinates → network → rollout → terminal → losses → training → fitting → readout → estimator → storage

and jax is imported nowhere outside this package.
"""

from __future__ import annotations

import importlib

try:
    for _needed in ("equinox", "jax", "optax"):
        importlib.import_module(_needed)
except ImportError as error:  # pragma: no cover - the extra is installed wherever the tests run
    raise ImportError(
        f"heatrd.neural needs jax, equinox and optax ({error}); install them with: pip install 'heatrd[neural]'"
    ) from error

from heatrd.neural.estimator import R2D2
from heatrd.neural.results import NeuralCurve, NeuralEstimate, TrainingHistory

__all__ = ["R2D2", "NeuralCurve", "NeuralEstimate", "TrainingHistory"]
