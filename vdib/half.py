"""Rows of numbers in compiled code that are stored as float32 or as bfloat16.

NumPy and numba know no bfloat16: it comes as the uint16 of its bits, the upper half of a float32.
For float32 all of these are nothing at all. Numba's cache on disk does not watch this file for the
kernels' sake: after a change, delete `__pycache__/*.nb?`.
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


def opened(row: Any, spare: Any) -> Any:
    """Where the float32 numbers of a stored row are worked out: the row itself, or `spare`."""


@overload(opened, strict=False)  # type: ignore[untyped-decorator, unused-ignore]
def _opened_of(row: Any, spare: Any) -> Any:
    if row.dtype == numba.types.uint16:
        return lambda row, spare: spare
    return lambda row, spare: row


def close(opened: Any, row: Any) -> None:
    """Store what `opened` gave, rounded to the nearest, halves to even."""


@overload(close, strict=False)  # type: ignore[untyped-decorator, unused-ignore]
def _close_of(opened: Any, row: Any) -> Any:
    def rounded(opened: Any, row: Any) -> None:
        bits = opened.view(np.uint32)
        for j in range(len(row)):
            odd = (bits[j] >> np.uint32(16)) & np.uint32(1)
            row[j] = np.uint16((bits[j] + np.uint32(0x7FFF) + odd) >> np.uint32(16))

    return rounded if row.dtype == numba.types.uint16 else lambda opened, row: None


def read(row: Any, spare: Any) -> Any:
    """A stored row as float32: itself, or a copy in `spare`."""


@overload(read, strict=False)  # type: ignore[untyped-decorator, unused-ignore]
def _read_of(row: Any, spare: Any) -> Any:
    def widened(row: Any, spare: Any) -> Any:
        for j in range(len(row)):
            spare[j] = wide(row[j])
        return spare

    return widened if row.dtype == numba.types.uint16 else lambda row, spare: row
