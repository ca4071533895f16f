"""Certificates: proved bounds on L(ε) and R(D) from any reconstruction law."""

from heatrd.certificate.base import Certificate

__all__ = ["Certificate"]
