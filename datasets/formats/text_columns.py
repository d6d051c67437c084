"""What stands above the events in a text: comments, the sensor's size, the names of the columns.

Read are the line `%geometry:W,H` of Metavision's converters, whose columns are x, y, p, t; a first
line `W H`, as E2VID's tools take it; names of columns, alone on a line or in a comment, among them
faery's `t,x@W,y@H,on`.
"""

import re
from typing import BinaryIO, NamedTuple

from vdib.datasets.formats.columns import named_columns
from vdib.datasets.formats.source import BLOCK_BYTES, Faults

BYTE_ORDER_MARK = b"\xef\xbb\xbf"
BLANKS = bytes.maketrans(b",;\t", b"   ")
COMMENTS = (b"#", b"%")

_GEOMETRY = re.compile(rb"geometry\s*[:=]?\s*(\d{1,5})\s*[,x]\s*(\d{1,5})", re.IGNORECASE)
_WITH_SIDE = re.compile(r"(.+)@(\d{1,5})")


class TextColumns(NamedTuple):
    """Where x, y, t and p stand in a line, the sensor's size if stated, the first event's byte."""

    places: dict[str, int]
    sensor_size: tuple[int, int] | None
    start: int


def text_columns(file: BinaryIO, faults: Faults, columns: str | None) -> TextColumns:
    """The file is left at the first line that may be an event.

    Raises:
        NotARecordingError: the first line that is no comment is none of numbers either.
    """
    size: tuple[int, int] | None = None
    order = columns or "txyp"
    names: dict[str, int] | None = None
    begun = False  # whether anything speaks of events
    file.seek(0)
    if file.read(len(BYTE_ORDER_MARK)) != BYTE_ORDER_MARK:
        file.seek(0)
    while True:
        start = file.tell()
        line = file.readline(BLOCK_BYTES)
        if len(line) == BLOCK_BYTES:
            raise faults.other(start, f"a line of {BLOCK_BYTES} bytes", "an event a line")
        words = line.translate(BLANKS).decode("latin-1").split()
        if line and not words:
            continue
        if line.lstrip().startswith(COMMENTS):
            if found := _GEOMETRY.search(line):
                size, order, begun = (int(found[1]), int(found[2])), columns or "xypt", True
            # A sentence with these words in it is no list of names.
            if len(words) <= 8 and (named := _named(words[words[0] in ("#", "%") :])):
                names, size, begun = named[0], named[1] or size, True
            continue
        if words and (named := _named(words)):
            names, size, begun = named[0], named[1] or size, True
            start = file.tell()
        elif len(words) == 2 and all(word.isdecimal() for word in words) and not begun:
            size, begun = (int(words[0]), int(words[1])), True
            continue
        elif not (begun if not words else _begins_with_numbers(words)):
            found_words = repr(" ".join(words)[:80]) if words else "the end of the file"
            raise faults.other(start, found_words, "numbers, or the names x, y, t and p")
        places = names or {field: order.index(field) for field in "xytp"}
        file.seek(start)
        return TextColumns(places, size, start)


def _named(words: list[str]) -> tuple[dict[str, int], tuple[int, int] | None] | None:
    """Places by names, and the size that names such as `x@640` state."""
    sides = [_WITH_SIDE.fullmatch(word) for word in words]
    places = named_columns(
        [side[1] if side else word for side, word in zip(sides, words, strict=True)]
    )
    if places is None:
        return None
    width, height = sides[places["x"]], sides[places["y"]]
    return places, (int(width[2]), int(height[2])) if width and height else None


def _begins_with_numbers(words: list[str]) -> bool:
    """Whether a line may be an event: four or more words, the first of them numbers.

    One bad number among them makes a bad event, not another kind of file.
    """
    return len(words) >= 4 and sum(map(_is_number, words[:4])) >= 3


def _is_number(word: str) -> bool:
    try:
        float(word)
    except ValueError:
        return False
    return True
