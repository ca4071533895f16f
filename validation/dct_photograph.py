"""DCT coefficients of real photographs: the certified curve, two fitted models, and a practical quantiser.

The AC coefficients of 8×8 blocks are what JPEG-like codecs quantise. For each coefficient of each photograph:

- the certified R(D) of the coefficients as they are (equal atoms), and of their kernel density;
- the curves of the fitted Laplacian (maximum likelihood) and generalised Gaussian (first two absolute moments);
- the points (D, H) of a uniform quantiser of step Δ with a dead centre cell, centroids as reproduction, and
  an ideal entropy coder: H the entropy of the indices. Their distance from R(D), in bits at equal distortion and in dB
  at equal rate, is what any cleverer code for this source could still gain.

High-resolution theory: the distance tends to ½ log₂(2πe/12) = 0.2546 bit, or 1.53 dB; at low rate it tends to zero.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from scipy import fft, optimize, special

import heatrd

BLOCK = 8
TOL = 1e-6
CEILING_BITS = 0.5 * np.log2(2 * np.pi * np.e / 12)
COEFFICIENTS = ((0, 1), (1, 1))
STEPS_PER_SIGMA = (0.4, 0.7, 1.0, 1.5, 2.0, 3.0, 4.5)
RATES = np.array([0.1, 0.25, 0.5, 1.0, 1.5, 2.0, 2.5, 3.0]) * np.log(2)


def run(smoke: bool = False) -> list[dict[str, Any]]:
    """Study every coefficient of every photograph (smoke: one of one, three quantiser steps)."""
    photographs = list(_photographs())[: 1 if smoke else None]
    studies = [
        _study(name, place, coefficients(image, place), smoke)
        for name, image in photographs
        for place in (COEFFICIENTS[:1] if smoke else COEFFICIENTS)
    ]
    return [_record(study) for study in studies] + [_summary(studies)]


def _photographs() -> Iterator[tuple[str, np.ndarray]]:
    """Yield grey photographs, 0 to 255, that scikit-image and scikit-learn ship."""
    from skimage import data
    from sklearn.datasets import load_sample_image

    yield "china", _grey(load_sample_image("china.jpg"))
    yield "coffee", _grey(data.coffee())
    yield "astronaut", _grey(data.astronaut())


def _grey(image: np.ndarray) -> np.ndarray:
    """Luma of BT.601."""
    return np.asarray(image[..., :3] @ np.array([0.299, 0.587, 0.114]))


def coefficients(image: np.ndarray, place: tuple[int, int]) -> np.ndarray:
    """Return one DCT coefficient of every 8×8 block, orthonormal transform."""
    rows, columns = (size // BLOCK for size in image.shape)
    blocks = image[: rows * BLOCK, : columns * BLOCK].reshape(rows, BLOCK, columns, BLOCK).swapaxes(1, 2)
    return np.asarray(fft.dctn(blocks, axes=(2, 3), norm="ortho")[:, :, *place].ravel())


def quantiser_point(x: np.ndarray, step: float) -> tuple[float, float]:
    """Return (distortion, entropy in nats) of the uniform quantiser with centroids, on the samples themselves."""
    _, cell, count = np.unique(np.round(x / step), return_inverse=True, return_counts=True)
    centroid = np.bincount(cell, weights=x) / count
    probability = count / x.size
    return float(np.mean((x - centroid[cell]) ** 2)), float(-np.sum(probability * np.log(probability)))


def fit_generalised_gaussian(x: np.ndarray) -> tuple[float, float]:
    """Return (β, α) of the density ∝ exp(−|x/α|^β) with the samples' E|x| and E x².

    (E|x|)²/E x² = Γ(2/β)²/(Γ(1/β) Γ(3/β)), increasing in β (Mallat 1989). Maximum likelihood would follow
    the spike of the flat blocks instead.
    """
    target = np.log(np.mean(np.abs(x)) ** 2 / np.mean(x**2))

    def mismatch(beta: float) -> float:
        return float(2 * special.gammaln(2 / beta) - special.gammaln(1 / beta) - special.gammaln(3 / beta) - target)

    beta = float(optimize.brentq(mismatch, 0.1, 20.0))
    return beta, float(np.mean(np.abs(x)) * np.exp(special.gammaln(1 / beta) - special.gammaln(2 / beta)))


def _study(name: str, place: tuple[int, int], x: np.ndarray, smoke: bool) -> dict[str, Any]:
    """Compute everything about one coefficient; rates in nats."""
    beta, alpha = fit_generalised_gaussian(x)
    empirical = heatrd.from_samples(x, method="atoms")
    sources = {
        "kernel density": heatrd.from_samples(x, method="kde"),
        "Laplacian fit": heatrd.as_source("laplace", scale=float(np.mean(np.abs(x)))),
        "generalised Gaussian fit": heatrd.as_source("scipy:gennorm", beta=beta, scale=alpha),
    }
    rates = RATES[2:6:2] if smoke else RATES
    steps = STEPS_PER_SIGMA[2:5] if smoke else STEPS_PER_SIGMA
    return {
        "photograph": name,
        "coefficient": place,
        "samples": x.size,
        "variance": float(np.var(x)),
        "beta": beta,
        "curve": _curve(empirical, rates),
        "models": {label: _curve(source, rates) for label, source in sources.items()},
        "quantiser": [_against_curve(empirical, *quantiser_point(x, step * x.std())) for step in steps],
    }


def _solve(source: Any, **target: float) -> Any:
    """Solve, or take the best answer with its own honest bounds."""
    try:
        return heatrd.solve(source, tol=TOL, **target)
    except heatrd.NotConverged as error:
        return error.result


def _curve(source: Any, rates: np.ndarray) -> dict[str, list[float]]:
    points = [_solve(source, rate=float(rate)) for rate in rates]
    return {name: [getattr(point, name) for point in points] for name in ("distortion", "rate", "rate_lower")}


def _against_curve(source: Any, distortion: float, rate: float) -> dict[str, float]:
    """Put one quantiser point beside the certified curve."""
    at_distortion, at_rate = _solve(source, distortion=distortion), _solve(source, rate=rate)
    return {
        "distortion": distortion,
        "rate": rate,
        "lower": at_distortion.rate_lower,
        "upper": at_distortion.rate,
        "gap_bits": (rate - at_distortion.rate) / np.log(2),
        "gap_db": float(10 * np.log10(distortion / at_rate.distortion)),
    }


def _record(study: dict[str, Any]) -> dict[str, Any]:
    points = study["quantiser"]
    widths = [p["upper"] - p["lower"] for p in points] + list(
        np.subtract(study["curve"]["rate"], study["curve"]["rate_lower"])
    )
    possible = all(p["rate"] >= p["lower"] for p in points)
    bits, decibel = [p["gap_bits"] for p in points], [p["gap_db"] for p in points]
    name = f"{study['photograph']} {study['coefficient']}"
    return {
        "claim": f"{name}: band certified, quantiser above the curve, gap below ceiling",
        "expected": f"width <= {TOL:g} nat; 0 <= gap <= {CEILING_BITS:.4f} bit",
        "measured": f"width {max(widths):.1e} nat; gap {min(bits):.4f} to {max(bits):.4f} bit, "
        f"{min(decibel):.2f} to {max(decibel):.2f} dB",
        "passed": bool(max(widths) <= TOL and possible and max(bits) <= CEILING_BITS),
        "data": study,
    }


def _summary(studies: list[dict[str, Any]]) -> dict[str, Any]:
    """Compare the two models by how far their distortion at equal rate is from the empirical one, in dB."""
    errors = {
        label: [_model_error(s, label) for s in studies] for label in ("Laplacian fit", "generalised Gaussian fit")
    }
    laplace, general = (float(np.mean(values)) for values in errors.values())
    return {
        "claim": "the generalised Gaussian model predicts the empirical curve better than the Laplacian one",
        "expected": "smaller mean error in dB at equal rate",
        "measured": f"{general:.2f} dB against {laplace:.2f} dB",
        "passed": general < laplace,
    }


def _model_error(study: dict[str, Any], label: str) -> float:
    ratio = np.array(study["models"][label]["distortion"]) / np.array(study["curve"]["distortion"])
    return float(np.mean(np.abs(10 * np.log10(ratio))))


def draw(records: list[dict[str, Any]], directory: Path) -> None:
    """Draw each study: curves and quantiser points in bits against SNR in dB, the gaps below."""
    for record in records:
        if "data" in record:
            with heatrd.plots.figure(size=(5.2, 5.2)) as figure:
                _draw_study(figure, record["data"])
                row, column = record["data"]["coefficient"]
                heatrd.plots.save(figure, directory / f"dct_{record['data']['photograph']}_{row}{column}.png")


def _draw_study(figure: Any, study: dict[str, Any]) -> None:
    above, below = figure.subplots(2, 1, sharex=True, height_ratios=(2.2, 1))
    bit, variance = np.log(2), study["variance"]

    def snr(distortion: Any) -> np.ndarray:
        return np.asarray(10 * np.log10(variance / np.asarray(distortion)))

    curve = study["curve"]
    above.plot(
        snr(curve["distortion"]), np.array(curve["rate"]) / bit, color="C0", label="R(D) of the coefficients, certified"
    )
    for label, dashes, colour in zip(study["models"], ((5, 1.5), (1, 1.3), (3, 1.3, 1, 1.3)), ("C3", "C2", "C5")):
        model = study["models"][label]
        name = f"{label}, β = {study['beta']:.2f}" if label.startswith("gen") else label
        above.plot(
            snr(model["distortion"]),
            np.array(model["rate"]) / bit,
            color=colour,
            dashes=dashes,
            linewidth=1.2,
            label=name,
        )
    points = study["quantiser"]
    position = snr([p["distortion"] for p in points])
    above.plot(
        position,
        np.array([p["rate"] for p in points]) / bit,
        "o",
        color="C1",
        label="uniform quantiser + entropy coder",
    )
    above.set_ylabel("rate  (bit per coefficient)")
    above.set_title(f"{study['photograph']}, DCT coefficient {tuple(study['coefficient'])}, {study['samples']} blocks")
    above.legend()
    below.plot(position, [p["gap_bits"] for p in points], "o-", color="C1", linewidth=1)
    below.axhline(CEILING_BITS, color="#777777", linewidth=1, dashes=(4, 2))
    below.annotate("0.2546 bit", (0.01, CEILING_BITS), xycoords=("axes fraction", "data"), va="bottom", fontsize=8)
    below.set_ylim(0, 0.32)
    below.set_ylabel("gap to R(D)  (bit)")
    below.set_xlabel("SNR  10 log₁₀(variance / distortion)  (dB)")
