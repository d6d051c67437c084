"""The frozen encoder as a baseline: its gain is chosen like any other setting, on validation data.

A frozen encoder whose potentials stay within a width of the threshold hardly answers to its input.
Each cell of a table tries `GAINS` under seed 0, and takes the one of the lowest validation loss.
"""

from collections.abc import Hashable, Mapping, Sequence
from pathlib import Path
from typing import TypeVar

from sweep import sweep

GAINS = (1, 2, 4, 8, 16, 32)
Cell = TypeVar("Cell", bound=Hashable)


def frozen(gain: int) -> list[str]:
    """The words of the command line that freeze an encoder of this gain."""
    return ["--model.frozen_encoder", "true", "--model.encoder_gain", str(gain)]


def chosen_gains(
    cells: Mapping[Cell, Sequence[str]], folder: Path, workers: int
) -> dict[Cell, int]:
    """The gain of each cell.

    Args:
        cells: what runs of a cell are told, but for the gain.
        folder: of the runs under seed 0; their names begin with the cell's.
        workers: processes.
    """
    tried = {
        (cell, gain): folder / f"{name_of(cell)}-gain{gain}-0" for cell in cells for gain in GAINS
    }
    jobs = {f: [*cells[cell], *frozen(gain), "--seed", "0"] for (cell, gain), f in tried.items()}
    found = sweep(jobs, workers)
    return {
        cell: min(GAINS, key=lambda gain: found[tried[cell, gain]]["validation_loss_nats"])
        for cell in cells
    }


def name_of(cell: object) -> str:
    return "-".join(map(str, cell)) if isinstance(cell, tuple) else str(cell)
