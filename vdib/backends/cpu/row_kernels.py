"""Sums of rows, compiled for the CPU: called by `vdib.backends.rows`."""

from typing import Any

from vdib.backends.cpu.jit import jit


@jit
def add_rows(out: Any, table: Any, rows: Any) -> None:
    """`out[n] += sum over rows of table[row, n]`."""
    for s in range(len(rows)):
        row = table[rows[s]]
        for n in range(len(out)):
            out[n] += row[n]
