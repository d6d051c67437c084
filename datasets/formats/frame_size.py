"""How large a compressed packet may become, from the headers of its blocks alone.

LZ4 makes a byte of 255, zstd a block of 128 kB of 4 bytes: a file of 64 kB may hold a gigabyte. So
blocks are counted before anything is decompressed.

Formats: "LZ4 Frame Format Description", https://github.com/lz4/lz4/blob/dev/doc/lz4_Frame_format.md
and "Zstandard Compression and the application/zstd Media Type", RFC 8878, 2021,
https://www.rfc-editor.org/rfc/rfc8878
"""

import struct
from typing import BinaryIO

_LZ4, _ZSTD = 0x184D2204, 0xFD2FB528
_ZSTD_BLOCK = 1 << 17


def most_bytes(file: BinaryIO, start: int, stop: int) -> int:
    """No frame that lies in bytes `start` to `stop - 1` of the file decompresses to more.

    A frame whose headers make no sense counts as far as they do: there decompression ends too.
    """
    at, total = start, 0
    try:
        while at + 4 <= stop:
            magic = _number(file, at, 4)
            if magic == _LZ4:
                at, size = _lz4(file, at + 4, stop)
            elif magic == _ZSTD:
                at, size = _zstd(file, at + 4, stop)
            else:
                break
            total += size
    except EOFError:
        pass
    return total


def _number(file: BinaryIO, at: int, width: int) -> int:
    file.seek(at)
    read = file.read(width)
    if len(read) < width:
        raise EOFError
    return int.from_bytes(read, "little")


def _lz4(file: BinaryIO, at: int, stop: int) -> tuple[int, int]:
    """Where a frame ends, and what its blocks may come to."""
    flags, block = struct.unpack("2B", _number(file, at, 2).to_bytes(2, "little"))
    largest = 1 << (8 + 2 * (block >> 4 & 7))
    checksum = 4 if flags & 0x10 else 0
    at += 3 + (8 if flags & 0x08 else 0) + (4 if flags & 0x01 else 0)
    total = 0
    while at < stop and (word := _number(file, at, 4)):
        size, stored = word & 0x7FFFFFFF, word >> 31
        total += size if stored else min(largest, 255 * size)
        at += 4 + size + checksum
    return at + 4 + (4 if flags & 0x04 else 0), total


def _zstd(file: BinaryIO, at: int, stop: int) -> tuple[int, int]:
    """Where a frame ends, and what its blocks may come to."""
    flags = _number(file, at, 1)
    single, at = bool(flags & 0x20), at + 1
    at += 0 if single else 1  # the window, which decoders set aside as it fills
    at += (0, 1, 2, 4)[flags & 3]
    width = (1 if single else 0, 2, 4, 8)[flags >> 6]
    stated, at = (_number(file, at, width) if width else 0), at + width
    total, is_last = 0, False
    while at < stop and not is_last:
        word = _number(file, at, 3)
        is_last, kind, size = bool(word & 1), word >> 1 & 3, word >> 3
        total += _ZSTD_BLOCK if kind == 2 else size
        at += 3 + (1 if kind == 1 else size)
    at += 4 if flags & 0x04 else 0
    # What a frame of one segment states is set aside at once.
    return at, max(total, stated if single else 0)
