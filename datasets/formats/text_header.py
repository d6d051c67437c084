"""The lines of text that AEDAT 2, AEDAT 3 and Prophesee files begin with."""

import re
from typing import BinaryIO

from vdib.datasets.formats.source import Faults

MAX_LINE = 1 << 16  # bytes; jAER writes its preferences as lines of a few hundred

_BINARY = re.compile(rb"[\x00-\x08\x0b\x0c\x0e-\x1f]")


def text_header(file: BinaryIO, mark: bytes, end: re.Pattern[bytes], faults: Faults) -> list[str]:
    """Read the lines that begin with `mark`, and leave the file at the first byte of data.

    The header stops after a line that matches `end`. Older writers put no such line: there it
    stops at the first line without the mark or, since data may happen to begin with the mark,
    at the first that holds control characters. A line that the file's end cuts off is an error.
    """
    lines: list[str] = []
    while True:
        start = file.tell()
        line = file.readline(MAX_LINE)
        if not line.startswith(mark) or _BINARY.search(line):
            file.seek(start)
            return lines
        if not line.endswith(b"\n"):
            raise faults.fatal(start, "a header line without an end", "a line break, then events")
        lines.append(line.decode("latin-1").strip())
        if end.match(line):
            return lines
