"""Reconstruction laws ν: interior point, exchange and polishing on the line and in space; radial and product reductions; Blahut–Arimoto."""

from heatrd.reconstruction.baseline import BlahutArimoto, blahut_arimoto

__all__ = ["BlahutArimoto", "blahut_arimoto"]
