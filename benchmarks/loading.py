"""What making a batch costs beside training on it, for the data of the shipped configs.

    VDIB_DATA=data python benchmarks/loading.py [--batches 40] [config ...]

CPU ms on one thread, medians over batches that are made and trained on in turn, as in a run.
*Batch* is the loader's work (order, gathering, collation) and the data module's (coding images);
*step* is forward pass, backward pass and Adam. Batches are made in the training process, as
shipped. Of simulated recordings there are few, which repeat; `recordings.yaml` gathers with the
same code. MNIST and recordings of N-MNIST are looked for below $VDIB_DATA.
"""

import argparse
import os
from collections.abc import Iterator
from statistics import median
from time import process_time
from typing import Any

import torch

from vdib.noise import Noise
from vdib.runs.cli import build

FEW = ["--data.num_train", "128", "--data.cache", "false"]
CONFIGS = {
    "digits": [],
    "mnist": [],
    "mnist, rate": ["--data.coding", "rate"],
    "nmnist": [*FEW, "--data.fold", "0"],
    "mnist_dvs": FEW,
    "mnist_dvs_fine": FEW,
    "predictive_coding_paper": [],
}
WARM = 5
"""Batches that are not counted: kernels are loaded, memory is claimed."""


def epochs(data: Any) -> Iterator[Any]:
    """Training batches without end, as a module gets them."""
    loader = data.train_dataloader()
    while True:
        for batch in loader:
            yield data.on_after_batch_transfer(batch, 0)


def measured(name: str, batches: int) -> tuple[int, float, float]:
    """The batch size, and CPU ms of a batch and of a step."""
    cli = build(["--config", name.split(",")[0], "--name", "none", *CONFIGS[name]])
    module, source = cli.model, epochs(cli.datamodule)
    module.start(cli.datamodule)
    optimizer = torch.optim.Adam(module.vdib.parameters(), fused=True)
    times: list[tuple[float, float]] = []
    for step in range(WARM + batches):
        begin = process_time()
        batch = next(source)
        made = process_time()
        loss, _ = module.training_loss(batch, Noise(0, step, batch.id))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        times.append((made - begin, process_time() - made))
    batch_s, step_s = (median(column) for column in zip(*times[WARM:], strict=True))
    return cli.datamodule.batch_size, 1e3 * batch_s, 1e3 * step_s


def main() -> None:
    """The table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("configs", nargs="*", help=", ".join(CONFIGS))
    parser.add_argument("--batches", type=int, default=40, help="that are counted")
    options = parser.parse_args()
    torch.set_num_threads(1)
    print(f"load {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores\n")
    print("| config | B | batch, CPU ms | step, CPU ms | share of both |")
    print("| --- | --- | --- | --- | --- |")
    if unknown := set(options.configs) - set(CONFIGS):
        parser.error(f"configs: got {', '.join(unknown)}, expected some of {', '.join(CONFIGS)}")
    for name in options.configs or CONFIGS:
        size, batch, step = measured(name, options.batches)
        row = f"{size} | {batch:.2f} | {step:.1f} | {batch / (batch + step):.1%}"
        print(f"| {name} | {row} |", flush=True)


if __name__ == "__main__":
    main()
