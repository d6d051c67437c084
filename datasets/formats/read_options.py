"""How to read what a recording's file leaves open: the same options in every command."""

import re
from argparse import ArgumentParser, Namespace
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, fields
from typing import Any, Literal, get_args

from vdib.datasets.formats.aedat2 import LAYOUTS, AddressLayout, LayoutName
from vdib.datasets.formats.check import MAX_SIDE
from vdib.datasets.formats.source import Hint, RecordingError


@dataclass(frozen=True)
class ReadOptions:
    """Arguments of `read_recording`, flags of `vdib.naturalise`, settings of the data modules.

    Attributes:
        on_error: `raise` at the first bad record; `skip` bad records and count them; `segments`
            also goes on where a camera's clock was set back: the time between the parts is not
            known, and taken to be none. A file that cannot be begun (empty, junk, a header without
            end) raises in any mode.
        sensor_size: (width, height) in pixels, instead of the file's. Where neither file nor
            format states one (DAT, EVT, text and NumPy often do not), it is the events' extent.
        unwrap: continue times over a wrap of the timestamp counter (AEDAT 2.0 and DAT: 32 bits,
            N-MNIST: 23, EVT 2.0: 34) instead of taking it for an error. AEDAT 3.1 counts its wraps
            itself, and those of EVT 3.0 are always continued.
        flip_x: mirror left and right. `aedat2.py` says where sources disagree on a DVS128.
        flip_y: mirror top and bottom.
        flip_polarity: exchange ON and OFF.
        layout: how AEDAT 2.0 addresses are made up, a camera's name or an `AddressLayout`; the
            default is the camera that the header names, or else DVS128.
        stream: which of the event streams of an AEDAT 4.0 file; the default is the first.
        columns: the order in text and plain arrays that name no columns; the default is `txyp`,
            or `xypt` in text with Metavision's line `%geometry:`.
        time_scale: us per unit of t in text and NumPy files, 1e6 where t is in seconds.
    """

    on_error: Literal["raise", "skip", "segments"] = "raise"
    sensor_size: tuple[int, int] | None = None
    unwrap: bool = False
    flip_x: bool = False
    flip_y: bool = False
    flip_polarity: bool = False
    layout: LayoutName | AddressLayout | None = None
    stream: int | None = None
    columns: str | None = None
    time_scale: float = 1.0

    def __post_init__(self) -> None:
        if self.on_error not in ("raise", "skip", "segments"):
            raise ValueError(f"on_error is {self.on_error!r}, expected raise, skip or segments")
        if self.columns is not None and sorted(self.columns) != sorted("txyp"):
            raise ValueError(f"columns is {self.columns!r}, expected the letters t, x, y, p")
        if self.sensor_size and not possible_size(self.sensor_size):
            raise ValueError(f"sensor_size is {self.sensor_size}, expected 1 to {MAX_SIDE} each")
        if isinstance(self.layout, str) and self.layout not in LAYOUTS:
            raise ValueError(f"layout is {self.layout!r}, expected one of {', '.join(LAYOUTS)}")
        if not 0 < self.time_scale < float("inf"):
            raise ValueError(f"time_scale is {self.time_scale}, expected us per unit of t")

    def changed(self) -> dict[str, Any]:
        """The options that are not their defaults."""
        return {
            field.name: getattr(self, field.name)
            for field in fields(self)
            if getattr(self, field.name) != field.default
        }


def possible_size(size: tuple[int, int]) -> bool:
    """Whether both sides of a sensor fit 16 signed bits."""
    return all(1 <= side <= MAX_SIDE for side in size)


def add_flags(parser: ArgumentParser) -> None:
    """The options as flags of a command, explained by the first sentences above."""
    said = " ".join((ReadOptions.__doc__ or "").split())
    for field in fields(ReadOptions):
        found = re.search(rf" {field.name}: (.*?)\.( |$)", said)
        words = found[1].replace("`", "").replace("%", "%%") if found else None
        flag = f"--{field.name.replace('_', '-')}"
        if field.default is False:
            parser.add_argument(flag, action="store_true", help=words)
        else:
            how = _FLAGS.get(field.name, {})
            parser.add_argument(flag, default=field.default, help=words, **how)


def from_flags(parsed: Namespace) -> ReadOptions:
    """What the flags of `add_flags` say.

    Raises:
        ValueError: an option that is none (one line).
    """
    return ReadOptions(**{field.name: getattr(parsed, field.name) for field in fields(ReadOptions)})


def _size(word: str) -> tuple[int, int]:
    width, height = (int(side) for side in word.replace("x", ",").split(","))
    return width, height


_size.__name__ = "list of 2 numbers"  # argparse's complaints name the type so
_FLAGS: dict[str, dict[str, Any]] = {
    "on_error": {"choices": ("raise", "skip", "segments")},
    "sensor_size": {"type": _size, "metavar": "W,H"},
    "layout": {"choices": get_args(LayoutName)},
    "stream": {"type": int, "metavar": "N"},
    "time_scale": {"type": float, "metavar": "US"},
}


def as_flag(hint: Hint) -> str:
    """How `vdib.naturalise` takes an option.

    >>> as_flag(Hint("flip_x", "true", "")), as_flag(Hint("time_scale", "1e6", ""))
    ('--flip-x', '--time-scale 1e6')
    """
    return f"--{hint.option.replace('_', '-')} {hint.value}".removesuffix(" true")


def as_setting(hint: Hint) -> str:
    """How the training commands take an option.

    >>> as_setting(Hint("sensor_size", "W,H", ""))
    '--data.sensor_size [W,H]'
    """
    return f"--data.{hint.option} " + (f"[{hint.value}]" if "," in hint.value else hint.value)


@contextmanager
def options_as_settings() -> Iterator[None]:
    """Errors from inside name the options as the training commands take them."""
    try:
        yield
    except RecordingError as error:
        raise error.spelt(as_setting) from None
