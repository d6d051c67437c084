"""How the shipped judge was trained, and how well it does.

Shapes: B batch, N images, 28 x 28 pixels.
"""

import math
from collections.abc import Callable, Iterable
from pathlib import Path

import safetensors.torch
import torch
import torch.nn.functional as F
from torch import Generator, Tensor

from vdib.files import replacing
from vdib.lenet5 import TRAINED_ON, LeNet5, load_judge
from vdib.metrics import judge_accuracy, wilson_interval


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
    epochs: int = 20,
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
    """Write the weights, in safetensors' format."""
    with replacing(path) as file:
        file.write(safetensors.torch.save(judge.state_dict()))


def judge_mnist(out: Path | None, seed: int, epochs: int) -> None:
    """Print how good the judge is; where `out` is given, train it first and write it there."""
    from vdib.datasets.digits import Digits
    from vdib.datasets.mnist import MNIST, training_images

    splits = {
        "test": MNIST("test").all(),
        "validation": MNIST("validation").all(),
        "digits": Digits("test").all(),
    }
    if out is None:
        judge = load_judge()
    else:
        train = training_images(*TRAINED_ON).all()
        torch.set_num_threads(1)  # as fast at this size, and the same weights on any core count
        judge = train_judge(train.image, train.label, seed=seed, epochs=epochs, progress=_progress)
        save_judge(judge, out)
        print(f"wrote {out}")
    print("MNIST        images  accuracy  95 % interval (Wilson)")
    for name, batch in splits.items():
        accuracy, trials = judge_accuracy(judge, batch.image, batch.label), len(batch.label)
        low, high = wilson_interval(round(accuracy * trials), trials)
        print(f"{name:11} {trials:7}   {accuracy:7.2%}  {low:.2%} to {high:.2%}")


def _progress(steps: Iterable[int]) -> Iterable[int]:
    from tqdm import tqdm  # type: ignore[import-untyped]

    bar: Iterable[int] = tqdm(steps, desc="judge", unit="step", mininterval=1)
    return bar
