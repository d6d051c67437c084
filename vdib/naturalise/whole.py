"""What the first T steps of a recording are."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from vdib.datasets.recording import joined
from vdib.figures.images import save_image
from vdib.naturalise.naturaliser import Binned, Naturaliser


def whole(model: Naturaliser, path: Path, read: Mapping[str, Any], out: Path) -> int:
    """One image of a recording, `<out>.png`, from its first T steps.

    Returns:
        How many bad records were left out.
    """
    spikes, skipped = first_steps(model, path, read)
    (image,) = model.images([spikes])
    save_image(image, out.with_name(f"{out.name}.png"))
    return skipped


def first_steps(model: Naturaliser, path: Path, read: Mapping[str, Any]) -> tuple[Binned, int]:
    """The spikes of a recording's first T steps, no more of which is read.

    Beside them, how many bad records were left out.

    Raises:
        ValueError: no events in them.
    """
    start, kept, skipped = model.prepare.binning.start, [], 0
    for piece in model.pieces(path, read):
        skipped += piece.num_skipped
        if len(piece):
            start = int(piece.t[0]) if start is None else start
            kept.append(piece.between(start, start + model.prepare.past_us))
            if piece.t[-1] >= start + model.prepare.past_us:
                break
    if not any(map(len, kept)):
        raise ValueError(f"{path}: no events" + (f" from {start} us on" if kept else ""))
    return model.prepare(joined(kept), start), skipped
