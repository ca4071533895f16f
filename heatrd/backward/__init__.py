"""The backward heat equation: path, control and reconstruction in the class μ = ν ∗ G_ε, and where the class ends."""

from heatrd.backward.critical import CriticalValue, critical_distortion, critical_epsilon
from heatrd.backward.path import HeatPath
from heatrd.backward.solver import METHODS, backward_heat

__all__ = ["METHODS", "CriticalValue", "HeatPath", "backward_heat", "critical_distortion", "critical_epsilon"]
