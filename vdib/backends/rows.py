"""Sums of rows: what the spikes of one step add, one stream at a time."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from vdib.backends.available import enabled, numba_loads


def add_rows(out: NDArray[np.float64], table: NDArray[Any], rows: NDArray[np.int64]) -> None:
    """`out += sum of table[r] over rows`, in double precision, whose order does not matter.

    Args:
        out: `(N,)`.
        table: `(R, N)`, floating point, rows in one piece.
        rows: `(S,)`, 0 to R - 1.
    """
    if enabled() and numba_loads():
        from vdib.backends.cpu.row_kernels import add_rows as compiled

        compiled(out, table, rows)
    else:
        out += table[rows].sum(0, dtype=np.float64)
