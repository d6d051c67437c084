"""Images between two examples: the drives of the readout are mixed, not the images.

B: images; T: steps; N: readout neurons; H, W: pixels.
"""

from pathlib import Path
from typing import Any

import numpy as np
import torch

from vdib.drawing import between, decoded
from vdib.generate.drawable import Drawable
from vdib.generate.writing import write
from vdib.noise import EVALUATION, Noise
from vdib.runs.command import UserError
from vdib.sparse import SparseSpikes, Spikes


def write_between(run: Drawable, ends: list[str], num: int, seed: int, out: Path) -> str:
    """Make images from one example to another and write them; what was done, in words.

    Args:
        run: whose model makes them.
        ends: two numbers of test examples, or two files of recordings.
        num: B, both ends included.
        seed: of the noise, which all images share.
        out: folder for the images.

    Raises:
        UserError: there is no such example or recording, or the readout takes no drive (one line).
    """
    x = _numbered(run, ends) if all(map(_whole, ends)) else _recorded(run, ends)
    shares = torch.linspace(0, 1, num)
    noise = Noise(seed, EVALUATION, torch.zeros(1, dtype=torch.int64))
    try:
        spikes = between(run.model, x, shares, noise)
    except ValueError as error:
        raise UserError(f"--between: {error}") from error
    images = run.images(decoded(run.model, spikes))
    titles = [f"{share:.0%}" for share in shares.tolist()]
    write(out, images, spikes, np.stack([*images])[:, None], titles)
    return f"{num} images from {ends[0]} to {ends[1]} in {out}"


def _whole(word: str) -> bool:
    return word.removeprefix("-").isdecimal()


def _numbered(run: Drawable, ends: list[str]) -> Spikes:
    """Test examples by their numbers."""
    run.find_data()
    examples = run.data.split("test")
    rows = [int(end) for end in ends]
    if wrong := [row for row in rows if not 0 <= row < len(examples)]:
        raise UserError(
            f"--between: no test example {wrong[0]}, there are 0 to {len(examples) - 1}"
        )
    return run.data.code(examples.__getitems__(rows), EVALUATION).spikes


def _recorded(run: Drawable, ends: list[str]) -> Spikes:
    """Recordings by their files, the first T steps of each."""
    from vdib.naturalise.naturaliser import camera_naturaliser_of
    from vdib.naturalise.whole import first_steps

    model = camera_naturaliser_of(run.folder)
    spikes: list[Any] = []
    for end in ends:
        try:
            spikes.append(first_steps(model, Path(end), {})[0])
        except FileNotFoundError as error:
            raise UserError(f"--between {end}: neither a number nor a recording") from error
        except (OSError, ValueError, ImportError) as error:
            words = str(error).splitlines()[0]
            raise UserError(words if end in words else f"{end}: {words}") from error
    lists: SparseSpikes = model.batch(spikes)[0]
    return lists
