"""Prophesee EVT 3.0: 16-bit words that change row, time and base column, or add 1 to 12 events.

Decoded by the MIT package `evt3` (the extra `vdib[evt3]`), fed a block at a time. Events before
the first time word, which it passes over in silence, are found here from the words alone. Words of
types that the format keeps for later are no fault: some cameras pad with them. Format: https://docs.prophesee.ai/stable/data/encoding_formats/evt3.html

Two bytes may hold twelve events, so the decoded recording may be some 80 times the file.
"""

from collections.abc import Iterator
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray

from vdib.datasets.extras import import_extra
from vdib.datasets.formats.source import EventChunk, Faults, records

_HALF = 1 << 11  # of the range of a time word
_SINGLE, _VECTOR_12, _VECTOR_8, _TIME_HIGH = 0x2, 0x4, 0x5, 0x8


def _events_of_words() -> NDArray[np.uint8]:
    """How many events each 16-bit word is: one, or as many as a vector's bits that are set."""
    word = np.arange(1 << 16)
    kinds = [word >> 12 == kind for kind in (_SINGLE, _VECTOR_12, _VECTOR_8)]
    bits = np.select(kinds, [1, word & 0xFFF, word & 0xFF]).astype("<u2").view(np.uint8)
    number: NDArray[np.uint8] = np.unpackbits(bits.reshape(-1, 2), axis=1).sum(1, dtype=np.uint8)
    return number


_EVENTS_OF_WORDS = _events_of_words()


def decode_evt3(file: BinaryIO, start: int, faults: Faults) -> Iterator[EventChunk]:
    """Events from byte `start` on.

    A time word that falls by more than half of its 12 bits is a wrap of the 24-bit counter. They
    are counted here: the decoder knows them only where words come without gaps.
    """
    # The decoder's own sensor size only labels its output: places are checked by the caller.
    decoder = import_extra("evt3", "evt3").Decoder()
    timed = False
    high, turns = 0, 0  # of the last time word
    for first, word in records(file, np.dtype("<u2"), start, faults, "words"):
        is_high = word >> 12 == _TIME_HIGH
        number = _EVENTS_OF_WORDS[word]
        if not timed:
            timed = bool(is_high.any())
            early = slice(int(is_high.argmax()) if timed else None)
            if number[early].any():
                i, count = int(number[early].argmax()), int(number[early].sum())
                faults.bad(first + 2 * i, "an event before any time word", "time first", count)
                number[early] = 0
            high = int(word[is_high][0] & 0xFFF) if timed else 0
        highs = (word[is_high] & 0xFFF).astype(np.int64)
        step = np.diff(highs, prepend=high)
        wraps = (step < -_HALF).astype(np.int64) - (step > _HALF)
        turn = turns + np.concatenate(([0], np.cumsum(wraps)))  # after so many time words
        high, turns = int(highs[-1]) if highs.size else high, int(turn[-1])
        events = decoder.feed(word.tobytes())
        if len(events.x) != number.sum(dtype=np.int64):
            raise faults.fatal(
                first, f"{len(events.x)} events decoded", f"{number.sum()} from the words' types"
            )
        t = events.t.astype(np.int64) & 0xFFFFFF
        if turn.any():
            t += np.repeat(turn[np.cumsum(is_high)], number) << 24
        yield EventChunk(
            x=events.x.astype(np.int32),
            y=events.y.astype(np.int32),
            t=t,
            p=events.p == 1,
            offset=first + 2 * np.repeat(np.arange(word.size), number),
        )
