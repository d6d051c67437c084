"""Derivatives of spikes by their distance from threshold, in compiled code."""

from typing import Any

from vdib.backends.cpu.arithmetic import HALF, ONE, ZERO, exp
from vdib.backends.cpu.jit import jit
from vdib.backends.kinds import (
    ARCTAN,
    BOXCAR,
    BY_CHANCE,
    ESCAPE,
    FAST_SIGMOID,
    GAUSSIAN,
    SIGMOID,
    SOFT,
)


@jit
def slope_of(kind: Any, p: Any, q: Any, v: Any, fired: Any) -> Any:
    """`ds/dv` as in `vdib.dynamics.surrogate` and `vdib.estimator`."""
    if kind == BOXCAR:
        return q if abs(v) <= p else ZERO
    if kind == SIGMOID:
        e = exp(-abs(p * v))
        return p * e / ((ONE + e) * (ONE + e))
    if kind == ARCTAN:
        z = p * v
        return q / (ONE + z * z)
    if kind == FAST_SIGMOID:
        d = ONE + p * abs(v)
        return ONE / (d * d)
    if kind == GAUSSIAN:
        z = v / p
        return q * exp(-HALF * z * z)
    if kind == ESCAPE:
        return p * exp(-q * abs(v))
    if kind == BY_CHANCE:
        e = exp(-abs(v))
        return e / ((ONE + e) * (ONE + e))
    if kind == SOFT:
        return fired * (ONE - fired) / p
    return ZERO
