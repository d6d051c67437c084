"""The numbers of `vdib.noise` in compiled code."""

from typing import Any

import numpy as np

from vdib.backends.cpu.arithmetic import HALF
from vdib.backends.cpu.jit import jit

_GOLDEN = np.uint64(0x9E3779B97F4A7C15)
_MIX_1, _MIX_2 = np.uint64(0xBF58476D1CE4E5B9), np.uint64(0x94D049BB133111EB)
_27, _30, _31, _41 = (np.uint64(n) for n in (27, 30, 31, 41))
_UNIT = np.float32(2.0**-23)


@jit
def uniform(key: Any, start: Any, m: Any, out: Any, to: Any) -> None:
    """`out[to : to + m]`, numbers `start`, ... of the row of `key`, as in `vdib.noise`."""
    counter = key + start * _GOLDEN
    for j in range(m):
        counter += _GOLDEN
        z = counter
        z = (z ^ (z >> _30)) * _MIX_1
        z = (z ^ (z >> _27)) * _MIX_2
        z = z ^ (z >> _31)
        out[to + j] = (np.float32(np.int32(z >> _41)) + HALF) * _UNIT


@jit
def draw(first: Any, last: Any, keys: Any, start: Any, out: Any) -> None:
    """Rows `first` to `last` of `out`, `(B, T N)`, of the streams of `keys`, `(B,)`."""
    for b in range(first, last):
        uniform(keys[b], start, np.uint64(out.shape[1]), out[b], np.uint64(0))
