"""Events over UDP in AEStream's format, and what the kernel lost of them."""

import os
import socket
import struct
from pathlib import Path

from vdib.live.aestream import decoded, timed
from vdib.live.queue import EventQueue
from vdib.live.source import Source, now

_OVERFLOW = 40  # SO_RXQ_OVFL of Linux, which Python does not name
_BUFFER = 8 << 20  # asked for; the system may give less
_PATIENCE = 0.1  # s, after which it is looked whether to stop
_TOGETHER = 512  # packets, at most, that are decoded at once


class UdpSource(Source):
    """A socket bound to a port, from whomever.

    Args:
        host: address to listen at.
        port: of it; 0 for any that is free.

    Attributes:
        port: the same, or the one that was free.
        packets: received so far.
    """

    def __init__(self, host: str, port: int) -> None:
        super().__init__()
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        try:
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _BUFFER)
            self._socket.bind((host, port))
        except OSError:
            self._socket.close()
            raise
        try:
            self._socket.setsockopt(socket.SOL_SOCKET, _OVERFLOW, 1)
            self._told = True
        except OSError:  # of another system
            self._told = False
        self.port = int(self._socket.getsockname()[1])
        self.name = f"udp://{host}:{self.port}"
        self.packets = 0

    @property
    def lost_words(self) -> str:
        return "packets dropped by the kernel"

    def run(self, queue: EventQueue) -> None:
        with self._socket:
            while not self.stopped.is_set():
                self._read(queue)
            self._ask()

    def _read(self, queue: EventQueue) -> None:
        """All packets that are there; the first is waited for."""
        packets: dict[bool, list[bytes]] = {False: [], True: []}
        self._socket.settimeout(_PATIENCE)
        for _ in range(_TOGETHER):
            try:
                data, told, _, _ = self._socket.recvmsg(65_536, socket.CMSG_SPACE(4))
            except (TimeoutError, BlockingIOError):
                break
            for level, kind, value in told:
                if level == socket.SOL_SOCKET and kind == _OVERFLOW:
                    self.lost = struct.unpack("I", value[:4])[0]
            self._socket.settimeout(0)
            self.packets += 1
            if len(data) < 4:
                self.bad += 1
            else:
                packets[timed(data)].append(data)
        else:
            self._ask()
        arrived = now()
        for times, some in packets.items():
            if some:
                events, bad = decoded(b"".join(some), times, arrived)
                self.bad += bad
                queue.put(events)

    def _ask(self) -> None:
        """The kernel's own table, which also knows of packets dropped after the last received."""
        lost = kernel_drops(os.fstat(self._socket.fileno()).st_ino)
        known = [count for count in (self.lost, lost) if count is not None]
        if known or self._told:
            self.lost = max(known, default=0)


def kernel_drops(inode: int, table: str = "/proc/net/udp") -> int | None:
    """What the column `drops` says of a socket; None where there is no such table or socket."""
    try:
        lines = Path(table).read_text("ascii").splitlines()
    except OSError:
        return None
    for line in lines[1:]:
        fields = line.split()
        if fields[9] == str(inode):
            return int(fields[-1])
    return None
