"""heatrd: certified quadratic rate–distortion functions, through the heat equation.

Names are loaded on first use, so that ``import heatrd`` costs nothing.
"""

from __future__ import annotations

import importlib
from typing import Any

__version__ = "0.1.0"

_HOME = {
    "HeatrdError": "errors",
    "HeatrdWarning": "errors",
    "InvalidInput": "errors",
    "NotConverged": "errors",
    "TooLarge": "errors",
    "DiscreteLaw": "laws",
    "as_law": "laws",
    "Source": "sources",
    "as_source": "sources",
    "from_samples": "sources",
    "from_grid": "sources",
    "solve": "solution",
    "Solution": "solution",
    "certify": "solution",
    "Certified": "solution",
    "Certificate": "certificate",
    "shannon_lower_bound": "closed_forms",
    "gaussian_upper_bound": "closed_forms",
    "critical_epsilon": "backward",
    "critical_distortion": "backward",
    "backward_heat": "backward",
    "HeatPath": "backward",
    "blahut_arimoto": "reconstruction",
    "SchrodingerBridge": "bridge",
    "sinkhorn": "transport",
    "sinkhorn_divergence": "transport",
    "sample": "sampler",
    "Ensemble": "sampler",
    "tec_account": "tec",
    "TECAccount": "tec",
    "rd_curve": "curve",
    "rd_curves": "curve",
    "RDCurve": "curve",
    "reference_table": "reference",
}
_MODULES = ("neural", "plots", "sources", "testing")

__all__ = ["__version__", *_HOME, *_MODULES]


def __getattr__(name: str) -> Any:
    if name in _HOME:
        value = getattr(importlib.import_module(f"heatrd.{_HOME[name]}"), name)
    elif name in _MODULES:
        value = importlib.import_module(f"heatrd.{name}")
    else:
        raise AttributeError(f"module 'heatrd' has no attribute {name!r}")
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
