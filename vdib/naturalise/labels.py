"""What recordings are taken for, in a table."""

import csv
import io
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from vdib.files import replacing
from vdib.naturalise.carried import looks_of
from vdib.naturalise.looks import Looks
from vdib.naturalise.naturaliser import Naturaliser
from vdib.naturalise.whole import first_steps

COLUMNS = ("recording", "end_s", "label", "probability", "decision_ms")


class Table:
    """The rows of `labels.csv`, written at the end.

    | column | of a row |
    |---|---|
    | recording | its path; of several spike trains in a file, `path[trial]` |
    | end_s | of what was looked at, in s since the first step; of many looks, the first event |
    | label | the name of its class, or the number where it has no name |
    | probability | of that class, given that it is one of them |
    | decision_ms | from the beginning of what was looked at until the class was decided |

    Args:
        path: of the table.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.rows: list[tuple[str, str, str, str, str]] = []

    def add(self, recording: Path | str, end_s: float, decision: tuple[str, float, float]) -> None:
        label, probability, ms = decision
        row = (str(recording), f"{end_s:.6f}", label, f"{probability:.6f}", f"{ms:.3f}")
        self.rows.append(row)

    def write(self) -> None:
        text = io.StringIO(newline="")
        table = csv.writer(text, lineterminator="\n")
        table.writerow(COLUMNS)
        table.writerows(self.rows)
        with replacing(self.path) as file:  # a path need not be of the file system's encoding
            file.write(text.getvalue().encode("utf-8", "surrogateescape"))


def labels(
    model: Naturaliser,
    path: Path,
    read: Mapping[str, Any],
    every: Mapping[str, int],
    table: Table,
    bar: Any,
) -> int:
    """The label of a recording's first T steps, or of its recent past again and again.

    Args:
        model: that tells labels.
        path: of the recording.
        read: how it is read.
        every: us or events from one look to the next; empty for one look.
        table: where the rows go.
        bar: shows how far it is.

    Returns:
        How many bad records were left out.
    """
    if not every:
        spikes, skipped = first_steps(model, path, read)
        (decision,) = model.decisions([spikes])
        table.add(path, model.prepare.past_us / 1e6, decision)
        return skipped
    looks = looks_of(model, path, read, every, bar)
    for end_s, decision in _running(looks):
        table.add(path, end_s, decision)
    return looks.skipped


def _running(looks: Looks) -> Iterator[tuple[float, tuple[str, float, float]]]:
    for batch in looks.batches():
        assert looks.first is not None
        ends = [(look.end - looks.first) / 1e6 for look in batch]
        yield from zip(ends, looks.decisions(batch), strict=True)
