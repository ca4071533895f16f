"""heatrd: certified quadratic rate–distortion functions, through the heat equation.

Names are loaded on first use, so that ``import heatrd`` costs nothing.
"""

from __future__ import annotations

import importlib
from typing import Any

__version__ = "0.1.0"

_HOME = {
    "HeatrdError": "errors", "HeatrdWarning": "errors", "InvalidInput": "errors", "NotConverged": "errors",
    "TooLarge": "errors",
    "DiscreteLaw": "laws", "as_law": "laws",
    "Source": "sources", "as_source": "sources", "from_samples": "sources", "from_grid": "sources",
    "solve": "solve", "Solution": "solve",
    "certify": "certificate", "Certificate": "certificate",
    "shannon_lower_bound": "closed_forms", "gaussian_upper_bound": "closed_forms",
    "critical_epsilon": "backward_heat", "critical_distortion": "backward_heat",
    "backward_heat": "backward_heat", "HeatPath": "backward_heat",
    "blahut_arimoto": "reconstruction",
    "SchrodingerBridge": "bridge", "sinkhorn": "sinkhorn", "sinkhorn_divergence": "sinkhorn",
    "sample": "sampler", "Ensemble": "sampler",
    "tec_account": "tec", "TECAccount": "tec",
    "rd_curve": "curve", "rd_curves": "curve", "RDCurve": "curve",
    "reference_table": "reference",
}
_MODULES = ("neural", "testing", "plots")

__all__ = ["__version__", "sources", *_HOME, *_MODULES]
