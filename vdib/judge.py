"""The judge: a LeNet-5 that says which digit a naturalised image shows.

    python -m vdib.judge                                        how good the shipped judge is
    python -m vdib.judge --train --out vdib/judge.safetensors   train it again

It is trained on real MNIST training images 12,000 to 59,999 only: everything else in the project
(N-MNIST, MNIST-DVS, the shipped digits, MNIST's own validation and test images) lies outside.

Shapes: B batch, images 28 x 28, ten classes.
"""

import argparse
import math
import os
import sys
from collections.abc import Callable, Iterable
from importlib.resources import files
from pathlib import Path

import safetensors.torch
import torch
import torch.nn.functional as F
from torch import Generator, Tensor, nn

from vdib.metrics import judge_accuracy, wilson_interval

TRAINED_ON = (12_000, 60_000)
EPOCHS = 20


class LeNet5(nn.Module):
    """Two convolutions and three dense layers, 61,706 weights.

        28 x 28 -> 6 @ 28 x 28 -> pool 14 x 14 -> 16 @ 10 x 10 -> pool 5 x 5 -> 120 -> 84 -> 10

    Y. LeCun et al., "Gradient-based learning applied to document recognition", 1998,
    https://doi.org/10.1109/5.726791, with today's ReLU, max-pooling, full second convolution and
    softmax output in place of its tanh, subsampling, sparse connections and RBF units.
    """

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(1, 6, 5, padding=2)
        self.conv2 = nn.Conv2d(6, 16, 5)
        self.dense1 = nn.Linear(400, 120)
        self.dense2 = nn.Linear(120, 84)
        self.readout = nn.Linear(84, 10)

    def forward(self, image: Tensor) -> Tensor:
        """Logits of the ten digits.

        Args:
            image: (B, 28, 28) in [0, 1].

        Raises:
            ValueError: another shape.
        """
        if image.dim() != 3 or image.shape[1:] != (28, 28):
            raise ValueError(f"image: got {tuple(image.shape)}, expected (B, 28, 28)")
        x = (image[:, None] - 0.1307) / 0.3081  # MNIST's mean and deviation    (B, 1, 28, 28)
        x = F.max_pool2d(F.relu(self.conv1(x)), 2)  # (B, 6, 14, 14)
        x = F.max_pool2d(F.relu(self.conv2(x)), 2)  # (B, 16, 5, 5)
        x = F.relu(self.dense1(x.flatten(1)))  # (B, 120)
        x = F.relu(self.dense2(x))  # (B, 84)
        logits: Tensor = self.readout(x)  # (B, 10)
        return logits


def load_judge() -> LeNet5:
    """The shipped judge, in eval mode and without gradients of its weights.

    Takes nothing from the global random generator.

    >>> load_judge()(torch.zeros(2, 28, 28)).shape
    torch.Size([2, 10])
    """
    weights = safetensors.torch.load((files("vdib") / "judge.safetensors").read_bytes())
    with torch.device("meta"):
        judge = LeNet5()
    judge.load_state_dict(weights, assign=True)
    return judge.eval().requires_grad_(False)


def jitter(image: Tensor, generator: Generator) -> Tensor:
    """Each image under its own small affine map, resampled bilinearly, zeros from outside.

    Rotation and shear uniform in +-0.2 rad, scale in 1 +- 0.12, shift in +-2.8 pixels.

    Args:
        image: (B, 28, 28).
    """
    angle, shear, scale, dx, dy = torch.rand(5, len(image), generator=generator) * 2 - 1
    angle, shear, scale = 0.2 * angle, 0.2 * shear, 1 + 0.12 * scale
    cos, sin = scale * angle.cos(), scale * angle.sin()
    rows = [cos, shear - sin, 0.2 * dx, sin, cos, 0.2 * dy]
    grid = F.affine_grid(
        torch.stack(rows, 1).view(-1, 2, 3), [len(image), 1, 28, 28], align_corners=False
    )
    return F.grid_sample(image[:, None], grid, align_corners=False)[:, 0]


def train_judge(
    images: Tensor,
    labels: Tensor,
    *,
    seed: int = 0,
    epochs: int = EPOCHS,
    batch_size: int = 128,
    lr: float = 2e-3,
    progress: Callable[[Iterable[int]], Iterable[int]] = iter,
) -> LeNet5:
    """Train a judge for a fixed number of epochs; nothing is selected.

    Cross-entropy on jittered images, AdamW, learning rate lr (1 + cos(pi step / steps)) / 2. The
    same seed gives the same weights on one machine with one number of threads; the global random
    generator is left as it was.

    Args:
        images: (N, 28, 28) in [0, 1].
        labels: (N,) int64.
        progress: wraps the iterable of steps, to show them (tqdm).

    Raises:
        ValueError: not one label for each image, or epochs or batch_size below 1.
    """
    if len(images) != len(labels) or len(images) == 0:
        raise ValueError(f"got {len(images)} images and {len(labels)} labels, expected as many")
    if epochs < 1 or batch_size < 1:
        raise ValueError(f"got epochs {epochs}, batch_size {batch_size}, expected 1 or more")
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        judge = LeNet5()
    generator = Generator().manual_seed(seed)
    optimiser = torch.optim.AdamW(judge.parameters(), lr)
    order = [torch.randperm(len(images), generator=generator) for _ in range(epochs)]
    batches = [batch for epoch in order for batch in torch.split(epoch, batch_size)]
    for step in progress(range(len(batches))):
        for group in optimiser.param_groups:
            group["lr"] = lr * (1 + math.cos(math.pi * step / len(batches))) / 2
        image, label = images[batches[step]], labels[batches[step]]
        loss = F.cross_entropy(judge(jitter(image, generator)), label)
        optimiser.zero_grad()
        torch.autograd.backward(loss)
        optimiser.step()
    return judge.eval().requires_grad_(False)


def save_judge(judge: LeNet5, path: Path) -> None:
    """Write the weights so that the file is the old one or the new one, never half of one."""
    scratch = path.with_name(f"{path.name}.{os.getpid()}.tmp")
    try:
        with scratch.open("wb") as file:
            file.write(safetensors.torch.save(judge.state_dict()))
            file.flush()
            os.fsync(file.fileno())
        os.replace(scratch, path)
    finally:
        scratch.unlink(missing_ok=True)


def main(args: list[str] | None = None) -> int:
    """The command; returns the exit code, 2 with one line on stderr where data are missing."""
    parser = argparse.ArgumentParser(prog="python -m vdib.judge", description=_ABOUT)
    parser.add_argument("--train", action="store_true", help="train anew, and write --out")
    parser.add_argument("--epochs", type=int, default=EPOCHS, help="default %(default)s")
    parser.add_argument("--seed", type=int, default=0, help="default %(default)s")
    parser.add_argument("--out", type=Path, default=Path("judge.safetensors"), help="%(default)s")
    options = parser.parse_args(args)
    if options.epochs < 1:
        parser.error(f"--epochs: got {options.epochs}, expected 1 or more")
    if options.train and not options.out.resolve().parent.is_dir():
        parser.error(f"--out: no folder {options.out.resolve().parent}")

    # data sets build on this package, so only the command may know them (mypy: once installed)
    from vdib.datasets.mnist import (  # type: ignore[import-not-found, unused-ignore]
        MNIST,
        training_images,
    )

    try:
        splits = {"test": MNIST("test").all(), "validation": MNIST("validation").all()}
        train = training_images(*TRAINED_ON).all() if options.train else None
    except OSError as error:
        print(f"vdib.judge: {error}", file=sys.stderr)
        return 2
    if train is None:
        judge = load_judge()
    else:
        from tqdm import tqdm  # type: ignore[import-untyped]

        torch.set_num_threads(1)  # as fast at this size, and the same weights on any core count
        judge = train_judge(
            train.image,
            train.label,
            seed=options.seed,
            epochs=options.epochs,
            progress=lambda steps: tqdm(steps, desc="judge", unit="step", mininterval=1),
        )
        save_judge(judge, options.out)
        print(f"wrote {options.out}")
    print("MNIST        images  accuracy  95 % interval (Wilson)")
    for name, batch in splits.items():
        accuracy, trials = judge_accuracy(judge, batch.image, batch.label), len(batch.label)
        low, high = wilson_interval(round(accuracy * trials), trials)
        print(f"{name:11} {trials:7}   {accuracy:7.2%}  {low:.2%} to {high:.2%}")
    return 0


_ABOUT = "The accuracy of the judge on MNIST images it never saw; --train trains it again."


if __name__ == "__main__":
    sys.exit(main())
