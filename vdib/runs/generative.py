"""What the generative half of a trained model, prior and decoder, is worth on test images."""

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor
from tqdm import tqdm  # type: ignore[import-untyped]

from vdib.drawing import check_drawable, draw
from vdib.fad import FAD, fad_file
from vdib.importance import binarised, importance_bound
from vdib.lightning_modules.data_module import DataModule
from vdib.lightning_modules.naturalisation.module import NaturalisationModule
from vdib.noise import EVALUATION, Noise
from vdib.runs.command import UserError, tell
from vdib.signal import Image

ELBO = "negative_elbo_nats"
"""Key of the bound by one code; by K codes `_K` follows."""
ROWS = 4_000
"""Codes that are looked at together."""


def generative_figures(
    module: Any, data: DataModule[Any], count: int, codes: int, images: int, bar: bool
) -> dict[str, float]:
    """Figures of the summary that take a while, of those that are asked for.

    Args:
        module: with the run's best weights.
        data: the run's.
        count: test examples that the importance-weighted bound is of, the first ones.
        codes: K of that bound; 0 for none.
        images: how many are drawn for the Frechet autoencoder distance; 0 for none.
        bar: whether to show how far it is.

    Returns:
        `negative_elbo_nats_K`, `fad`, `fad_published`, `fad_images`; none of the latter, and
        one line on stderr, where the data they need are absent.

    """
    figures: dict[str, float] = {}
    if codes:
        figures[f"{ELBO}_{codes}"] = importance_nats(module, data, count, codes, bar)
    if images:
        figures |= distances(module, data, images, bar)
    return figures


def check_generative(module: Any) -> None:
    """Refuse, before anything takes long, figures that are asked for and cannot be.

    Args:
        module: of a run; `importance_codes` and `drawn_images` say what it is asked for.

    Raises:
        UserError: the run has no such figures (one line).
    """
    for setting in ("importance_codes", "drawn_images"):
        if not getattr(module, setting, 0):
            continue
        if not isinstance(module, NaturalisationModule) or not isinstance(module.signal, Image):
            raise UserError(f"{setting}: only of runs of images")
        try:
            check_drawable(module.vdib)
        except ValueError as error:
            raise UserError(f"{setting}: of this run there is none: {error}") from error
        if setting == "drawn_images" and not module.signal.digits:
            raise UserError(f"{setting}: only of runs of digits, which are compared with MNIST's")


@torch.no_grad()
def importance_nats(
    module: NaturalisationModule, data: DataModule[Any], count: int, codes: int, bar: bool
) -> float:
    """The importance-weighted bound by K codes, in nats, the mean over the first test examples.

    Binary images and codes have the addresses of their examples.
    """
    total = 0.0
    for rows in _parts(count, max(1, ROWS // codes), "examples", bar):
        batch = data.code(data.split("test").__getitems__(rows), EVALUATION).to(module.device)
        noise = Noise(module.seed, EVALUATION, batch.id)
        target = binarised(batch.target, noise)
        nats = importance_bound(module.vdib, batch.spikes, target, noise.with_samples(codes))
        total += float(nats.sum())
    return total / count


@torch.no_grad()
def distances(
    module: NaturalisationModule, data: DataModule[Any], count: int, bar: bool
) -> dict[str, float]:
    """Frechet autoencoder distances of mean images, drawn by seed, from MNIST's test images."""
    from vdib.datasets.mnist import MNIST

    assert isinstance(module.signal, Image)
    path = fad_file()
    if path is None:
        tell("no fad: $VDIB_DATA/fad/mnist_autoencoder.safetensors is not there")
        return {}
    try:
        real = MNIST("test", download=False).all().image
    except FileNotFoundError as error:
        tell(f"no fad: {error}")
        return {}
    distance = FAD.load(path)
    drawn: list[Tensor] = []
    for rows in _parts(count, 1_000, "images", bar):
        noise = Noise(module.seed, EVALUATION, torch.tensor(rows, device=module.device))
        drawn.append(draw(module.vdib, len(rows), data.num_steps, noise)[1].cpu())
    images = torch.cat(drawn).view(-1, *module.signal.shape).float()
    return {
        "fad": distance.fad(images, real),
        "fad_published": distance.published_fad(images),
        "fad_images": count,
    }


def _parts(count: int, size: int, unit: str, bar: bool) -> Iterator[list[int]]:
    """The numbers below `count`, some at a time."""
    with tqdm(total=count, unit=unit, disable=None if bar else True, leave=False) as shown:
        for start in range(0, count, size):
            rows = list(range(start, min(start + size, count)))
            yield rows
            shown.update(len(rows))
