"""Images of spikes that are drawn from a prior: the model's, or one fitted to a class.

B: images; T: steps; N: readout neurons; H, W: pixels.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from tqdm import tqdm  # type: ignore[import-untyped]

from vdib.drawing import draw, forming
from vdib.encoder import SpikeCode
from vdib.generate.drawable import Drawable
from vdib.generate.writing import write
from vdib.lightning_modules.choices import PRIORS
from vdib.noise import EVALUATION, Noise
from vdib.objective import BITS_PER_NAT
from vdib.prior import Prior
from vdib.prior_fitting import fit_prior, mean_nats
from vdib.runs.command import UserError
from vdib.runs.fitted_priors import start_of_fit


def write_samples(run: Drawable, num: int, label: int | None, seed: int, out: Path) -> str:
    """Draw images and write them; what was done, in words.

    Args:
        run: what to draw from.
        num: B.
        label: of a class; None for any.
        seed: of what is drawn; an image does not depend on how many there are.
        out: folder for the images.

    Raises:
        UserError: there is no such class (one line).
    """
    prior, words = (None, "") if label is None else _prior_of(run, label, seed)
    noise = Noise(seed, EVALUATION, torch.arange(num))
    spikes, _ = draw(run.model, num, run.data.num_steps, noise, prior)
    growing = run.images(forming(run.model, spikes))  # T + 1, B, H, W
    write(out, growing[-1], spikes, growing)
    return f"{words}{num} images drawn in {out}"


def _prior_of(run: Drawable, label: int, seed: int) -> tuple[Prior, str]:
    """The model's prior, `past` where that learns nothing, fitted to the training codes of a class.

    Raises:
        UserError: there are no such codes (one line).
    """
    own = run.model.prior
    learns = next(own.parameters(), None) is not None
    run.find_data()
    train, validation = (_codes(run, split, label) for split in ("train", "validation"))
    kind = PRIORS["past"].part
    start = own if learns else start_of_fit(run.cli, "past", kind, train.spikes)
    fitted = fit_prior(start, train, validation, seed)
    before, after = (mean_nats(prior, validation) for prior in (own, fitted))
    words = (
        f"prior{'' if learns else ' `past`'} fitted to {len(train.spikes)} codes of class {label}: "
        f"{after * BITS_PER_NAT:.1f} bits a code of other examples, {before * BITS_PER_NAT:.1f} "
        "under the model's\n"
    )
    return fitted, words


@torch.no_grad()
def _codes(run: Drawable, split: Any, label: int) -> SpikeCode:
    """The codes of all examples of a class.

    Raises:
        UserError: there are none.
    """
    examples, seed = run.data.split(split), run.cli.model.seed
    spikes, v, seen = [], [], set()
    for rows in _shown(_batches(len(examples)), f"{split} codes"):
        some: Any = examples.__getitems__(rows)
        seen |= set(some.label.tolist())
        mine = [row for row, of in zip(rows, some.label.tolist(), strict=True) if of == label]
        if mine:
            batch = run.data.code(examples.__getitems__(mine), EVALUATION)
            code = run.model.encode(batch.spikes, Noise(seed, EVALUATION, batch.id))
            spikes.append(code.spikes)
            v.append(code.logits)
    if not spikes:
        raise UserError(
            f"--label {label}: none of the {split} examples are of it, they are of "
            f"{', '.join(map(str, sorted(seen)))}"
        )
    return SpikeCode(torch.cat(spikes), torch.cat(v))


def _batches(count: int, size: int = 500) -> list[range]:
    return [range(start, min(start + size, count)) for start in range(0, count, size)]


def _shown(batches: list[range], words: str) -> Iterator[range]:
    with tqdm(batches, words, unit="batch", disable=None, leave=False) as bar:
        yield from bar
