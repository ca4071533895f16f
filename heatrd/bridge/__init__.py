"""The Schrödinger bridge: potentials, density path, control and velocity at any (t, x) (DESIGN (4))."""

from heatrd.bridge.grid import GridBridge
from heatrd.bridge.product import ProductBridge, product_bridge
from heatrd.bridge.schrodinger import SchrodingerBridge

__all__ = ["GridBridge", "ProductBridge", "SchrodingerBridge", "product_bridge"]
