"""AEStream's packets: events as 32-bit words in a datagram, little-endian.

    bits 31        30 .. 16     15           14 .. 0
         no time   x            polarity     y

Where bit 31 is 0, a second word follows with the event's time in us, modulo 2^32. A datagram holds
512 bytes or fewer: 128 events, or 64 with times. Found in the sources of its UDP output (AEStream,
https://github.com/aestream/aestream, `dvs_to_udp`).
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

PACKET_BYTES = 512
_NO_TIME = 0x80000000

Ints = NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Events:
    """E events as they arrived.

    Attributes:
        x, y: pixels, int16.
        p: true where the light rose.
        t: us by the source's clock; None where it says none.
        arrived: when they did, s by this machine's monotonic clock.
    """

    x: NDArray[np.int16]
    y: NDArray[np.int16]
    p: NDArray[np.bool_]
    t: NDArray[np.int64] | None
    arrived: float

    def __len__(self) -> int:
        return len(self.x)

    def part(self, first: int) -> "Events":
        """Those from event `first` on."""
        t = None if self.t is None else self.t[first:]
        return Events(self.x[first:], self.y[first:], self.p[first:], t, self.arrived)


def timed(packet: bytes) -> bool:
    """Whether the events of a packet, of 4 bytes or more, have times."""
    return not packet[3] & 0x80


def decoded(data: bytes, times: bool, arrived: float) -> tuple[Events, int]:
    """The events of packets that are all alike, joined, and how many words made no sense.

    Args:
        data: of the packets.
        times: whether they are `timed`.
        arrived: see `Events`.
    """
    words = np.frombuffer(data[: len(data) // 4 * 4], "<u4")
    t, bad = None, int(len(data) % 4 > 0)
    if times:
        bad += len(words) % 2
        words, t = words[: len(words) // 2 * 2 : 2], words[1::2].astype(np.int64)
    good = np.flatnonzero((words & _NO_TIME == 0) == times)
    bad += len(words) - len(good)
    if bad:
        words, t = words[good], None if t is None else t[good]
    x, low = (words >> 16 & 0x7FFF).astype(np.int16), words & 0xFFFF
    return Events(x, (low & 0x7FFF).astype(np.int16), low >> 15 > 0, t, arrived), bad


def encoded(events: Events) -> list[bytes]:
    """The same events as packets."""
    words = events.y.astype(np.uint32) | events.p.astype(np.uint32) << 15
    words |= events.x.astype(np.uint32) << 16
    if events.t is None:
        words |= np.uint32(_NO_TIME)
    else:
        words = np.stack([words, (events.t & 0xFFFFFFFF).astype(np.uint32)], 1)
    data = words.astype("<u4").tobytes()
    return [data[at : at + PACKET_BYTES] for at in range(0, len(data), PACKET_BYTES)]
