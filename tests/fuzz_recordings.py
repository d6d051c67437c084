"""`python tests/fuzz_recordings.py --count 10000`: readers against mutated recordings (Linux).

Each file is read with options by chance, whole and in pieces, and has to give events that hold the
invariants of a recording, the same both ways, or an error of one line that names the file. Bounds:
2 s of computing, and a peak of memory of 64 MB and four times the decoded events (or the file)
above that of the imports. Files are read in a process of their own, which is started again where
one kills it.
"""

import argparse
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
from mutations import Random, mutated

SECONDS = 2.0
SPARE_BYTES = 64 << 20
TIMES_DECODED = 4
EVENT_BYTES = 13


def options_of(random: Random) -> dict[str, Any]:
    """Reading options by chance; without any as often as not."""
    if random.random() < 0.5:
        return {}
    options: dict[str, Any] = {"on_error": str(random.choice(["raise", "skip", "segments"]))}
    for name in ("unwrap", "flip_x", "flip_y", "flip_polarity"):
        options[name] = bool(random.random() < 0.3)
    if random.random() < 0.3:
        options["sensor_size"] = (34, 34)
    if random.random() < 0.2:
        options["time_scale"] = float(random.choice([1e6, 1e-3, 1e300, 1e-300]))
    if random.random() < 0.2:
        options |= {"layout": "DAVIS346", "stream": 0, "columns": "xypt"}
    return options


def fault_of(path: Path, options: dict[str, Any]) -> tuple[str, int]:
    """What is wrong with how a file is read, and how many events it gave (-1: an error)."""
    from vdib.datasets.recording import RecordingError, joined, read_pieces, read_recording

    count = -1
    try:
        recording = read_recording(path, **options)
        count = len(recording)
        if recording.num_skipped and "on_error" not in options:
            return "left something out without being asked to", count
        known = "sensor_size" in options or not recording.num_skipped
        # Else the extent of what was kept is no sensor that may be asked of the rest.
        size = {} if "sensor_size" in options else {"sensor_size": recording.sensor_size}
        pieces = list(read_pieces(path, **options, **size)) if known else []
        if known and (pieces or count):
            whole = joined(pieces)
            for field in "xytp":
                if not np.array_equal(getattr(whole, field), getattr(recording, field)):
                    return f"{field} differs in pieces", count
            if whole.num_skipped != recording.num_skipped:
                return "loses other records in pieces", count
    except RecordingError as error:
        words = str(error)
        if len(words.splitlines()) != 1 or not words.startswith(str(path)):
            return f"a message that is no line about the file: {words!r}", count
        if not 0 <= error.offset <= path.stat().st_size:
            return f"byte {error.offset} of {path.stat().st_size}", count
    return "", count


def peak() -> int:
    """Bytes: the most that this process has held since the peak was last forgotten."""
    status = Path("/proc/self/status").read_text()
    return int(status.split("VmHWM:")[1].split()[0]) << 10


def check(number: int, folder: Path) -> str:
    """The fault of a mutated file, or nothing."""
    name, content = mutated(number)
    options = options_of(np.random.default_rng([number, 1]))
    path = folder / name
    path.write_bytes(content)
    # Touched before, so that the file's own bytes and Python's spare memory are not counted.
    Path("/proc/self/clear_refs").write_text("5")
    before, begun = peak(), time.process_time()
    try:
        fault, count = fault_of(path, options)
    except Exception as error:
        fault, count = f"{type(error).__name__}: {error}", -1
    took, more = time.process_time() - begun, peak() - before
    path.unlink()
    if not fault and took > SECONDS:
        fault = f"{took:.1f} s"
    if not fault and more > SPARE_BYTES + TIMES_DECODED * max(EVENT_BYTES * count, len(content)):
        fault = f"{more >> 20} MB for {count} events of a file of {len(content)} bytes"
    said = "error" if count < 0 else "events"
    return f"{number} {said} {took:.4f} {more} {name} {options} {fault}".strip()


def work(start: int, stop: int) -> None:
    """Check files and say of each how it went, a line each."""
    with tempfile.TemporaryDirectory() as folder:
        check(0, Path(folder))  # imports, and what else is done once
        for number in range(start, stop):
            print(check(number, Path(folder)), flush=True)


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--count", type=int, default=10_000)
    parser.add_argument("--start", type=int, default=0, help="number of the first file")
    parser.add_argument("--worker", action="store_true", help=argparse.SUPPRESS)
    given = parser.parse_args()
    stop = given.start + given.count
    if given.worker:
        work(given.start, stop)
        return 0
    lines: list[str] = []
    while (at := given.start + len(lines)) < stop:
        command = [sys.executable, __file__, "--worker", "--start", str(at)]
        done = subprocess.Popen([*command, "--count", str(stop - at)], stdout=subprocess.PIPE,
                                stderr=subprocess.PIPE, text=True)  # fmt: skip
        assert done.stdout is not None
        lines += [line.rstrip("\n") for line in done.stdout]
        if done.wait() and given.start + len(lines) < stop:
            lines.append(f"{given.start + len(lines)} error 0 0 - {{}} killed its process")
    faults = [line for line in lines if not line.endswith("}")]
    for line in faults:
        print(line)
    took, more = (np.array([float(line.split()[i]) for line in lines]) for i in (2, 3))
    events = sum(line.split()[1] == "events" for line in lines)
    print(
        f"{len(lines)} mutated files: {events} gave events, {len(lines) - events} one line of "
        f"error, {len(faults)} faults; at most {took.max():.2f} s and {more.max() / 2**20:.0f} MB"
    )
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
