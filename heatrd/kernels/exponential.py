"""The exponential as arithmetic alone, so that loops over it run in vector registers.

A call of the C library's exp keeps LLVM from vectorising the loop around it; that costs a factor of three to five in
the sums over atoms. With x = k log 2 + r, |r| ≤ ½ log 2, e^x = 2^k e^r; e^r is a Taylor polynomial of degree 13
(remainder below 5e-18), and 2^k is written into the exponent bits. Relative error below 4e-16.
"""

from __future__ import annotations

import math
from typing import Any

import numba
from llvmlite import ir
from numba.core import types
from numba.extending import intrinsic

from heatrd.kernels._jit import jit

__all__ = ["exponential"]

_MAGIC = 1.5 * 2.0**52  # added to k, it leaves k in the lowest bits
_PER_LOG_2 = 1.4426950408889634
_LOG_2 = 6.93147180369123816490e-01, 1.90821492927058770002e-10  # its first 33 bits, and the rest
_LOWEST, _HIGHEST = -708.0, 710.0


@intrinsic
def _power_in_bits(typing_context: Any, shifted: Any) -> Any:
    def generate(context: Any, builder: Any, signature: Any, values: Any) -> Any:
        word = ir.IntType(64)
        bits = builder.shl(builder.bitcast(values[0], word), word(52))
        return builder.bitcast(builder.add(bits, word(1023 << 52)), ir.DoubleType())

    return types.float64(types.float64), generate


def _power_in_python(shifted: float) -> float:
    k = shifted - _MAGIC
    return math.nan if math.isnan(k) else math.inf if k > 1023 else math.ldexp(1.0, int(k))


#: 2^k, given k + ``_MAGIC``, for −1022 ≤ k ≤ 1024 (infinite).
_power_of_two: Any = _power_in_python if vars(numba.config)["DISABLE_JIT"] else _power_in_bits


@jit
def exponential(x):
    """e^x; 3e-308, not less, below −708, and infinite from 709.5 on."""
    y = min(max(x, _LOWEST), _HIGHEST)
    shifted = y * _PER_LOG_2 + _MAGIC
    k = shifted - _MAGIC
    r = (y - k * _LOG_2[0]) - k * _LOG_2[1]
    p = 1 / 6227020800
    p = p * r + 1 / 479001600
    p = p * r + 1 / 39916800
    p = p * r + 1 / 3628800
    p = p * r + 1 / 362880
    p = p * r + 1 / 40320
    p = p * r + 1 / 5040
    p = p * r + 1 / 720
    p = p * r + 1 / 120
    p = p * r + 1 / 24
    p = p * r + 1 / 6
    p = p * r + 0.5
    p = p * r + 1.0
    p = p * r + 1.0
    return p * _power_of_two(shifted)
