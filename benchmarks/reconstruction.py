"""How far decoded images are from their targets, as autoencoders of images are compared.

    python benchmarks/reconstruction.py RUN [RUN ...]

Mean squared error of a pixel whose grey lies in [-1, 1], on test images: at the run's size, and
with images and targets enlarged to 32 x 32 by bilinear interpolation, as the spiking autoencoders
have MNIST. Enlarging is linear: what is enlarged of the mean image, given a code, is the mean
enlarged image, so that the second figure is that of a decoder of 32 x 32 pixels for the same code.
"""

import argparse
import statistics
from pathlib import Path

import torch
from torch import Tensor
from torch.nn.functional import interpolate

from vdib.lightning_modules.naturalisation.module import NaturalisationModule
from vdib.noise import EVALUATION
from vdib.runs.cli import prepare
from vdib.runs.exported import run_at
from vdib.runs.loading import rebuild, take_best
from vdib.signal import Image

SIDE, BATCH = 32, 500


def squared_errors(images: Tensor, targets: Tensor) -> Tensor:
    """Of each image, at its size and enlarged, `(B, 2)`.

    Args:
        images: `(B, H, W)` in [0, 1].
        targets: likewise.
    """
    wrong = 2 * (images - targets)[:, None]
    large = interpolate(wrong, size=(SIDE, SIDE), mode="bilinear", align_corners=False)
    return torch.stack([part.square().mean((1, 2, 3)) for part in (wrong, large)], 1)


@torch.no_grad()
def measured(folder: Path) -> tuple[Tensor, int]:
    """The means over a run's test images, `(2,)`, and how many these are."""
    run = run_at(folder)
    cli = rebuild(run)
    if not isinstance(cli.model, NaturalisationModule) or not isinstance(cli.model.signal, Image):
        raise SystemExit(f"{folder} makes no images")
    prepare(cli)
    take_best(cli, run)
    examples = cli.datamodule.split("test")
    errors = []
    for first in range(0, len(examples), BATCH):
        rows = range(first, min(first + BATCH, len(examples)))
        batch = cli.datamodule.code(examples.__getitems__(rows), EVALUATION)
        images = cli.model(batch.spikes, batch.id)
        errors.append(squared_errors(images, batch.target.view_as(images)))
    return torch.cat(errors).mean(0), len(examples)


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("runs", nargs="+", type=Path, metavar="RUN")
    print("| run | test images | MSE in [-1, 1] | the same at 32 x 32 |\n| --- | --- | --- | --- |")
    found = []
    for folder in parser.parse_args().runs:
        errors, count = measured(folder)
        found.append(errors.tolist())
        print(f"| {folder.name} | {count:,} | {errors[0]:.4f} | {errors[1]:.4f} |")
    if len(found) > 1:
        cells = [
            f"{statistics.mean(x):.4f} ± {statistics.stdev(x):.4f}"
            for x in zip(*found, strict=True)
        ]
        print(f"| mean |  | {' | '.join(cells)} |")


if __name__ == "__main__":
    main()
