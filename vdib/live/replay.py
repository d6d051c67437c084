"""`python -m vdib.live.replay RECORDING udp://127.0.0.1:3333`: a recording as AEStream's packets.

At its own times, with them (`--speed`), or at so many events a second, without (`--rate`), from its
beginning again until `--seconds` are over. The packets are numbered out of band: their format has
no place for numbers, so that the last line says how many packets and events were sent, as JSON.
What was sent and not received was lost between two processes, by the kernel; what was received and
not used, vdib.live's own queue dropped.
"""

import argparse
import json
import re
import socket
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING

from vdib.runs.command import UserError, run, words_of

if TYPE_CHECKING:
    from vdib.datasets.recording import Recording

_SHORT = 0.0005
"""Waits below this (s) are not worth a sleep."""


def parser() -> argparse.ArgumentParser:
    """The command's options."""
    options = argparse.ArgumentParser(prog="python -m vdib.live.replay", description=__doc__)
    add = options.add_argument
    add("recording", type=Path, help="a file of events")
    add("to", help="udp://HOST:PORT")
    add("--rate", type=float, help="events a second, without times")
    add("--speed", type=float, default=1.0, help="times as fast as it was made (default: 1)")
    add("--seconds", type=float, help="of sending; once through the recording by default")
    return options


def main(args: list[str] | None = None) -> int:
    """The command's exit status."""
    return run(lambda: _replay(parser().parse_args(words_of(args))))


def scheduled(
    recording: "Recording", rate: float | None, speed: float
) -> Iterator[tuple[float, bytes, int, int]]:
    """Packets for ever: when each is due (s), its bytes, its events, and the turn it is of.

    Args:
        recording: of one event or more.
        rate: events a second, without times; None for those of the recording, with them.
        speed: times as fast as it was made.
    """
    from vdib.live.aestream import PACKET_BYTES, encoded
    from vdib.live.recorded import events_of

    events = events_of(recording, 0.0)
    per = PACKET_BYTES // (4 if rate else 8)
    t = recording.t - recording.t[0]
    length = int(t[-1]) + 1
    for turn in count():
        times = None if rate else t + turn * length
        packets = encoded(replace(events, t=times))
        for at, packet in enumerate(packets):
            first = at * per
            if rate:
                due = (turn * len(events) + first) / rate
            else:
                due = (turn * length + int(t[first])) / 1e6 / speed
            yield due, packet, min(per, len(events) - first), turn


def _replay(options: argparse.Namespace) -> int:
    from vdib.datasets.recording import RecordingError, read_recording

    match = re.fullmatch(r"udp://([\w.-]+):(\d{1,5})", options.to)
    if match is None:
        raise UserError(f"to: got {options.to!r}, expected udp://HOST:PORT")
    if not options.speed > 0 or not (options.rate is None or options.rate > 0):
        raise UserError("--speed and --rate: expected above 0")
    try:
        recording = read_recording(options.recording)
    except (RecordingError, ImportError) as error:
        raise UserError(str(error).splitlines()[0]) from error
    if not len(recording):
        raise UserError(f"{options.recording}: no events")
    packets = events = 0
    begun = time.monotonic()
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as out:
        out.connect((match[1], int(match[2])))
        for due, packet, number, turn in scheduled(recording, options.rate, options.speed):
            if turn if options.seconds is None else due > options.seconds:
                break
            wait = begun + due - time.monotonic()
            if wait > _SHORT:
                time.sleep(wait)
            with suppress(ConnectionRefusedError):  # nobody listens: that is the receiver's affair
                out.send(packet)
            packets, events = packets + 1, events + number
    found = {"packets": packets, "events": events, "seconds": time.monotonic() - begun}
    print(json.dumps(found), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
