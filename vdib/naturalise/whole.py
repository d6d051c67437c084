"""One image of a recording."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from vdib.datasets.recording import joined
from vdib.naturalise.naturaliser import Naturaliser, save_image


def whole(model: Naturaliser, path: Path, read: Mapping[str, Any], out: Path) -> int:
    """One image of a recording, `<out>.png`, from its first T steps; no more is read of it.

    Returns:
        How many bad records were left out.
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
    (image,) = model.images([model.prepare(joined(kept), start)])
    save_image(image, out.with_name(f"{out.name}.png"))
    return skipped
