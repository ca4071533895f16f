"""Sources: the laws μ whose rate–distortion function is asked for."""

from heatrd.sources.base import Source, Source1D

__all__ = ["Source", "Source1D"]
