"""Hints in compiled code: what will be read or written soon.

Layers go through their arrays row by row, forwards or backwards in time, and by blocks of neurons.
Processors guess neither where the next row begins nor that the last one has ended, and would wait
for memory at each.
"""

from typing import Any

import numpy as np
from llvmlite import ir  # type: ignore[import-untyped, unused-ignore]
from numba.core import types
from numba.extending import intrinsic, overload

LINE = 64
"""Bytes that come together."""


def _prefetch(typing: Any, x: Any, i: Any) -> Any:
    """Have the caches fetch element `i` of `x`, counted along all its axes; it need not exist."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        array = context.make_array(signature.args[0])(context, builder, args[0])
        pointer, number = ir.IntType(8).as_pointer(), ir.IntType(32)
        shape = ir.FunctionType(ir.VoidType(), [pointer, number, number, number])
        fetch = builder.module.declare_intrinsic("llvm.prefetch", [pointer], shape)
        at = builder.bitcast(builder.gep(array.data, [args[1]]), pointer)
        builder.call(fetch, [at, number(0), number(3), number(1)])  # to read, to keep, of data
        return context.get_dummy_value()

    return types.void(x, i), generate


prefetch: Any = intrinsic(_prefetch)


def line(x: Any) -> Any:
    """Elements of `x` that come together."""


@overload(line, strict=False)  # type: ignore[untyped-decorator, unused-ignore]
def _line(x: Any) -> Any:
    elements = np.uint64(LINE * 8 // x.dtype.bitwidth)
    return lambda x: elements
