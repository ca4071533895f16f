"""Whole rate–distortion curves with a certified band."""

from heatrd.curve.band import Band, Knots
from heatrd.curve.result import RDCurve
from heatrd.curve.sweep import rd_curve, rd_curves

__all__ = ["Band", "Knots", "RDCurve", "rd_curve", "rd_curves"]
