"""How a function becomes machine code."""

from collections.abc import Callable
from contextlib import suppress
from typing import Any, TypeVar

import numba

from vdib.backends.cpu.disk_cache import DiskCache

Function = TypeVar("Function", bound=Callable[..., Any])


def jit(function: Function, *kinds: int) -> Function:
    """Machine code for `function` that runs without the interpreter's lock.

    Without `fastmath`, which would change which neurons spike.

    Args:
        function: compiled at its first call, for the types of its arguments.
        kinds: where the name stands for several functions, what tells them apart. They go into the
            qualified name, by which both the compiler and its cache on disk know a function.
    """
    if kinds:
        function.__qualname__ = "_".join([function.__name__, *map(str, map(int, kinds))])
    machine_code: Any = numba.njit(nogil=True, error_model="numpy")(function)
    with suppress(RuntimeError, OSError):  # no folder to write to, or no source to hash
        machine_code._cache = DiskCache(function)
    out: Function = machine_code
    return out
