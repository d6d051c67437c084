"""Which of two ways is taken where both give the same, for tests and benchmarks to change."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any


@dataclass(frozen=True)
class Settings:
    """Of all layers of the process.

    Attributes:
        fused: whether kernels are used at all.
        triton: types of the devices whose layers run in Triton: "cpu" too, for its interpreter.
        thread_from: elements from which on a second thread saves more than it costs.
        list_from: elements of dense spikes from which on it is worth counting them.
    """

    fused: bool = True
    triton: tuple[str, ...] = ("cuda",)
    thread_from: float = 20_000
    list_from: float = 100_000


_settings = Settings(fused="VDIB_PLAIN" not in os.environ)


def settings() -> Settings:
    """Those of now."""
    return _settings


@contextmanager
def changed(**changes: Any) -> Iterator[None]:
    """Everything inside runs under other settings: `changed(list_from=0)`."""
    global _settings
    before, _settings = _settings, replace(_settings, **changes)
    try:
        yield
    finally:
        _settings = before
