"""Live input at a million events a second over UDP: what is kept up with, how late, in what memory.

    python benchmarks/live.py --run RUN [--rate 1e6] [--minutes 10]

A recording of the simulated camera is replayed to `vdib.live` by another process, from its
beginning again and again. What was sent and what was received, used and dropped must come out even.
"""

import argparse
import json
import os
import subprocess
import sys
import time
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import IO

from naturalise import record

PORT = 33_301
RECORDED = 10.0  # s


def resident_mb(pid: int) -> float:
    """Memory of a process now, of Linux."""
    for line in Path(f"/proc/{pid}/status").read_text("ascii").splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) / 1024
    raise ProcessLookupError(pid)


def wait_until_it_follows(err: IO[str]) -> None:
    """For its line on stderr."""
    for line in err:
        if "following" in line:
            return
    raise RuntimeError("vdib.live ended before it began")


def main() -> None:
    """Print what came out."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--run", type=Path, required=True)
    parser.add_argument("--rate", type=float, default=1e6, help="events a second")
    parser.add_argument("--minutes", type=float, default=10)
    parser.add_argument("--look-ms", type=float, default=20)
    options = parser.parse_args()
    print(f"{os.cpu_count()} cores, load {os.getloadavg()[0]:.1f} before")
    with TemporaryDirectory() as folder:
        path = Path(folder, "ring.aedat")
        print(f"a recording of {record(path, RECORDED):,} events")
        live = subprocess.Popen(
            [
                *(sys.executable, "-m", "vdib.live", "--run", str(options.run), "--json"),
                *("--source", f"udp://127.0.0.1:{PORT}", "--quiet"),
                *("--look-ms", str(options.look_ms)),
            ],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        assert live.stdout is not None
        assert live.stderr is not None
        wait_until_it_follows(live.stderr)
        replay = subprocess.Popen(
            [
                *(sys.executable, "-m", "vdib.live.replay", str(path), f"udp://127.0.0.1:{PORT}"),
                *("--rate", str(options.rate), "--seconds", str(60 * options.minutes)),
            ],
            stdout=subprocess.PIPE,
            text=True,
        )
        memory = []
        while replay.poll() is None:
            memory.append(resident_mb(live.pid))
            time.sleep(1)
        assert replay.stdout is not None
        sent = json.loads(replay.stdout.read())
        time.sleep(2)  # for what is still on its way
        live.terminate()  # SIGINT is ignored by what a shell runs in the background
        found = json.loads(live.stdout.read().splitlines()[-1])
        status = live.wait()
    rate = sent["events"] / sent["seconds"]
    print(f"sent      {sent['packets']:>12,} packets {sent['events']:>14,} events, {rate:,.0f}/s")
    print(f"received  {found['packets']:>12,} packets {found['events']:>14,} events")
    print(f"lost      {sent['packets'] - found['packets']:>12,} packets, kernel: {found['lost']}")
    print(f"used      {found['used']:>35,} events, dropped by the queue {found['dropped']:,}")
    print(f"looks {found['looks']:,}, latency p50 {found['latency_p50_ms']} ms, "
          f"p99 {found['latency_p99_ms']} ms")  # fmt: skip
    tenth = max(1, len(memory) // 10)
    first, last = max(memory[tenth : 2 * tenth + 1]), max(memory[-tenth:])
    print(f"memory {first:.0f} MB in the second tenth, {last:.0f} MB in the last")
    print(f"exit status {status}, load {os.getloadavg()[0]:.1f} after")
    even = found["events"] == found["used"] + found["dropped"] + found["outside"]
    print(f"counts come out even: {even and status == 143}")


if __name__ == "__main__":
    main()
