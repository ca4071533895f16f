"""Reconstruction laws ν: on the line and in space, by radial and product reductions, and by Blahut–Arimoto."""

from heatrd.reconstruction.baseline import BlahutArimoto, blahut_arimoto

__all__ = ["BlahutArimoto", "blahut_arimoto"]
