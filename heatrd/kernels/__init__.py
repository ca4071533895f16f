"""All numba code of heatrd, and nothing else.

Kernels take arrays and numbers and fill or return arrays: no validation, no objects, no randomness. Every kernel has a
plain NumPy twin in ``tests/reference.py``.
"""
