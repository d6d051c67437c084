"""Rows of numbers in compiled code that are stored as float32 or as bfloat16.

NumPy and numba know no bfloat16: it comes as the uint16 of its bits, the upper half of a float32.
"""

from typing import Any

import numba
import numpy as np
from numba.extending import overload


def wide(x: Any) -> Any:
    """A stored number as float32."""


@overload(wide, strict=False)  # type: ignore[untyped-decorator, unused-ignore]
def _wide(x: Any) -> Any:
    if x == numba.types.uint16:
        return lambda x: np.uint32(np.uint32(x) << np.uint32(16)).view(np.float32)
    return lambda x: x


def narrow(x: Any, row: Any) -> Any:
    """A float32 as `row` stores it, rounded to the nearest, halves to even."""


@overload(narrow, strict=False)  # type: ignore[untyped-decorator, unused-ignore]
def _narrow(x: Any, row: Any) -> Any:
    def rounded(x: Any, row: Any) -> Any:
        bits = np.float32(x).view(np.uint32)
        odd = (bits >> np.uint32(16)) & np.uint32(1)
        return np.uint16((bits + np.uint32(0x7FFF) + odd) >> np.uint32(16))

    return rounded if row.dtype == numba.types.uint16 else lambda x, row: x
