"""Frozen results: what the paper reads out, and apart from it what is a bound."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["NeuralCurve", "NeuralEstimate", "TrainingHistory"]

FloatArray = NDArray[np.float64]
NATS_PER_BIT = float(np.log(2.0))
NORMAL_QUANTILE_975 = 1.959963984540054


@dataclass(frozen=True, slots=True, eq=False)
class NeuralEstimate:
    """One point of the curve. Nats; distortions are full squared errors in source units.

    Attributes
    ----------
    epsilon : float
        ε in source units; the slope of the curve is −1/(2ε).
    rate, distortion : float
        R̂ and D̂ of the paper: rollout distortion, and loss − D̂/2ε. An estimate, in general no bound.
    lagrangian : float
        R̂ + D̂/2ε, the training objective on fresh paths.
    energy, terminal_entropy : float
        The two parts of the loss: E[KL against the Brownian chain], and −E log φ_s(X_s) or ĥ(X_1), in source units.
    lagrangian_upper : float
        Unbiased held-out estimate of an upper bound on L(ε): its expectation is ≥ L(ε), whatever the network learned.
    lagrangian_upper_stderr : float
        Its standard error.
    upper_method : str
        ``"law"``: F(ν̂) of an explicit law; ``"chain"``: path cost and terminal cross-entropy, importance weighted.
    upper_distortion : float
        D of the channel behind the bound (``nan`` for ``"chain"``); (upper_distortion, upper_rate) bounds the curve
        from above.
    held_out : int
        Number of held-out source points behind the bound.
    """

    epsilon: float
    rate: float
    distortion: float
    lagrangian: float
    energy: float
    terminal_entropy: float
    lagrangian_upper: float
    lagrangian_upper_stderr: float
    upper_method: str
    upper_distortion: float
    held_out: int

    @property
    def lagrangian_upper_interval(self) -> tuple[float, float]:
        """Central 95 % interval for the expectation of the bound (normal approximation)."""
        half = NORMAL_QUANTILE_975 * self.lagrangian_upper_stderr
        return self.lagrangian_upper - half, self.lagrangian_upper + half

    @property
    def upper_rate(self) -> float:
        """Upper bound on R(upper_distortion): F(ν̂) − D/2ε, nats."""
        return max(self.lagrangian_upper - self.upper_distortion / (2 * self.epsilon), 0.0)

    @property
    def bits(self) -> float:
        """R̂ in bits."""
        return self.rate / NATS_PER_BIT

    def to_dict(self) -> dict[str, Any]:
        """Return plain numbers and strings by field name, with the interval and the derived rates."""
        names = (
            "epsilon",
            "rate",
            "distortion",
            "lagrangian",
            "energy",
            "terminal_entropy",
            "lagrangian_upper",
            "lagrangian_upper_stderr",
            "upper_method",
            "upper_distortion",
            "upper_rate",
            "held_out",
        )
        low, high = self.lagrangian_upper_interval
        fields = {name: getattr(self, name) for name in names}
        return fields | {"lagrangian_upper_low": low, "lagrangian_upper_high": high}


@dataclass(frozen=True, slots=True, eq=False)
class NeuralCurve:
    """Estimates over several ε, largest ε (lowest rate) first."""

    estimates: tuple[NeuralEstimate, ...]

    def __len__(self) -> int:
        return len(self.estimates)

    def __iter__(self) -> Iterator[NeuralEstimate]:
        return iter(self.estimates)

    def __getitem__(self, index: int) -> NeuralEstimate:
        return self.estimates[index]

    def column(self, name: str) -> FloatArray:
        """One attribute of every estimate as an array."""
        return np.array([getattr(e, name) for e in self.estimates], dtype=np.float64)

    @property
    def epsilons(self) -> FloatArray:
        return self.column("epsilon")

    @property
    def rates(self) -> FloatArray:
        return self.column("rate")

    @property
    def distortions(self) -> FloatArray:
        return self.column("distortion")

    def rate_upper(self, distortion: Any) -> FloatArray:
        """Upper bound on R at ``distortion``: convexity between the proved points (D_ν, F − D_ν/2ε), nan outside them.

        Raises nothing; holds in expectation, with the standard errors of the estimates behind it.
        """
        d, r = self.column("upper_distortion"), np.array([e.upper_rate for e in self.estimates])
        keep = np.isfinite(d)
        order = np.argsort(d[keep])
        if not order.size:
            return np.full(np.shape(distortion), np.nan)
        return np.interp(distortion, d[keep][order], r[keep][order], left=np.nan, right=float(r[keep][order][-1]))

    def to_csv(self, path: Any) -> None:
        """Write one row per ε, columns as in `NeuralEstimate.to_dict`."""
        rows = [e.to_dict() for e in self.estimates]
        with open(path, "w", encoding="utf-8") as file:
            file.write(",".join(rows[0]) + "\n")
            file.writelines(",".join(_plain(v) for v in row.values()) + "\n" for row in rows)

    def plot(self, ax: Any = None, *, unit: str = "bit") -> Any:
        """Draw R̂ against D̂, and the held-out bound with its interval as a separate curve; return the axes."""
        import matplotlib.pyplot as plt

        ax = plt.subplots()[1] if ax is None else ax
        per = NATS_PER_BIT if unit == "bit" else 1.0
        ax.plot(self.distortions, self.rates / per, "o", mfc="none", label="R̂ (estimate)")
        d = self.column("upper_distortion")
        keep = np.isfinite(d)
        if keep.any():
            r = np.array([e.upper_rate for e in self.estimates])[keep] / per
            error = NORMAL_QUANTILE_975 * self.column("lagrangian_upper_stderr")[keep] / per
            ax.errorbar(d[keep], r, yerr=error, label="held-out upper bound, 95 %")
        ax.set_xlabel("distortion D")
        ax.set_ylabel(f"rate ({unit}s)")
        ax.legend()
        return ax


@dataclass(frozen=True, slots=True, eq=False)
class TrainingHistory:
    """What the training did.

    Attributes
    ----------
    steps : (k,) array
        Steps at which the held-out loss was evaluated.
    held_out : (k,) array
        Held-out loss, mean over the ε range of the estimate of L(ε), nats.
    training : (k,) array
        Mean training loss since the evaluation before.
    best_step : int
        Step whose parameters are kept.
    stopped : str
        ``"steps"`` (all done) or ``"patience"`` (early stopping).
    seconds : float
        Wall-clock time, over all sessions of a resumed training.
    """

    steps: FloatArray
    held_out: FloatArray
    training: FloatArray
    best_step: int
    stopped: str
    seconds: float


def _plain(value: Any) -> str:
    return value if isinstance(value, str) else repr(float(value)) if isinstance(value, float) else str(value)
