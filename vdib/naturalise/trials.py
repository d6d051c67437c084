"""What the spike trains in a file are, by a run that was trained on such files."""

import re
from pathlib import Path

from vdib.figures.images import save_image
from vdib.naturalise.labels import Table
from vdib.naturalise.naturaliser import Naturaliser

TOGETHER = 32
"""Trials that are naturalised together."""


def trials(model: Naturaliser, path: Path, out: Path, table: Table) -> None:
    """Of each trial in a file its label, a row of the table, or its image.

    That of one trial is `<out>.png`; those of several are `<out>/trial_NNNNNN.png`, and their rows
    begin with `<path>[<trial>]`.

    Args:
        model: of a run over spike trains.
        path: of the file, whose targets nobody asks for.
        out: where images go.
        table: where rows go.

    Raises:
        ValueError: no such file, or a spike train that the run cannot read (one line).
    """
    assert model.trains is not None
    spikes = [model.prepare(recording) for recording in model.trains.untold(path)]
    several = len(spikes) > 1
    if several and not model.labels:
        out.mkdir(parents=True, exist_ok=True)
        for earlier in out.glob("trial_*.png"):  # there may be fewer this time
            if re.fullmatch(r"trial_\d{6,}\.png", earlier.name):  # others are the user's
                earlier.unlink()
    for first in range(0, len(spikes), TOGETHER):
        some = spikes[first : first + TOGETHER]
        if model.labels:
            for trial, decision in enumerate(model.decisions(some), first):
                name = f"{path}[{trial}]" if several else str(path)
                table.add(name, model.prepare.past_us / 1e6, decision)
        else:
            for trial, image in enumerate(model.images(some), first):
                one = out.with_name(f"{out.name}.png")
                save_image(image, out / f"trial_{trial:06}.png" if several else one)
