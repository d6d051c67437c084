"""Single-precision arithmetic in compiled code."""

import math
from typing import Any

import numpy as np

from vdib.backends.cpu.jit import jit

ZERO, HALF, ONE = np.float32(0), np.float32(0.5), np.float32(1)

EXP_ERROR = np.float32(1e-6)
"""Several times the relative error of `exp`, on which a spike must not depend."""

_LOG2_E = np.float32(math.log2(math.e))
_ROUND = np.float32(12582912)  # 1.5 * 2^23: adding it leaves no bits below the units
_LARGEST = np.float32(87)
_C1, _C2, _C3, _C4, _C5, _C6 = (  # of 2^f
    np.float32(math.log(2) ** n / math.factorial(n)) for n in range(1, 7)
)


@jit
def exp(x: Any) -> Any:
    """`exp(x)` to (2 + |x|) 1e-7 of itself, in operations that vectorise."""
    x = min(max(x, -_LARGEST), _LARGEST) * _LOG2_E
    n = (x + _ROUND) - _ROUND
    f = x - n
    series = ONE + f * (_C1 + f * (_C2 + f * (_C3 + f * (_C4 + f * (_C5 + f * _C6)))))
    return series * np.int32((np.int32(n) + np.int32(127)) << np.int32(23)).view(np.float32)
