"""Live inputs at the sizes of predictive coding (20-10, 210 patterns, tau_d = 5), one core.

    python benchmarks/streams.py data                      steps per second of the data's process
    python benchmarks/streams.py push                      steps per second of a stream
    python benchmarks/streams.py online --steps 1000000    peak memory of online learning

The input of `online` is made as it goes, by the running process of `datasets/drifting_blobs.py`.
"""

import argparse
import resource
import time
from collections.abc import Iterator

import torch
from torch import Tensor

from vdib import online
from vdib.datasets.drifting_blobs import UNIT, DriftingBlobs, spikes
from vdib.decoder import LogisticDecoder
from vdib.encoder import build_encoder
from vdib.estimator import StraightThrough
from vdib.lightning_modules.predictive_coding.signals import Pattern
from vdib.model import VDIB
from vdib.noise import Noise
from vdib.prior import BernoulliPrior
from vdib.window import FullWindow

PROCESS, SETS = DriftingBlobs(amplitude=UNIT), Pattern(20, 2)


def model(x: Tensor) -> VDIB:
    """The reference model, calibrated on `(B, T, 20)` spikes."""
    torch.manual_seed(0)
    encoder = build_encoder((20,), 10, hidden=())
    encoder.calibrate(x, 0.2)
    decoder = LogisticDecoder(FullWindow(5), 10, SETS)
    return VDIB(encoder, decoder, BernoulliPrior(0.2), StraightThrough(), every_step=True)


def live(steps: int, chunk: int = 1_000) -> Iterator[Tensor]:
    """The bins of one sequence that never ends, `(1, D)` at a time."""
    noise, state = Noise(0, 0, torch.arange(1)), None
    for start in range(0, steps, chunk):
        bins, state = PROCESS.advance(noise, min(chunk, steps - start), start, state)
        yield from bins.unbind(1)


def data(steps: int) -> None:
    """Time the making of sequences of 100 steps, from noise to input spikes."""
    noise, process = Noise(0, 0, torch.arange(steps // 100)), DriftingBlobs()
    spikes(process.bins(noise, 100), 20)
    wall, cpu = time.perf_counter(), time.process_time()
    spikes(process.bins(noise, 100), 20)
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    print(f"{steps / wall:,.0f} steps a second, {steps / cpu:,.0f} a second of CPU time")


def push(steps: int) -> None:
    """Time `stream.push`, and compare with the whole sequence."""
    x = spikes(PROCESS.bins(Noise(0, 0, torch.arange(1)), steps), 20)
    bottleneck = model(x[:, :1_000])
    stream, inputs = bottleneck.stream(0), x[0].numpy()
    wall, cpu = time.perf_counter(), time.process_time()
    outputs, emitted = [], []
    for now in inputs:
        outputs.append(stream.push(now).outputs)
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    stream = bottleneck.stream(0)
    for now in inputs[:2_000]:
        stream.push(now)
        emitted.append(stream.spikes)
    with torch.no_grad():
        code = bottleneck.encode(x[:, :2_000], Noise(0, -1, torch.arange(1)))
        whole = bottleneck.decoder.outputs(
            torch.nn.functional.pad(code.spikes, (0, 0, 4, 0)).unfold(1, 5, 1).transpose(2, 3)
        )
    same = torch.equal(torch.stack(emitted), code.spikes[0])
    apart = float((torch.stack(outputs[:2_000]) - whole[0]).abs().max())
    print(f"{steps / wall:,.0f} steps a second, {steps / cpu:,.0f} a second of CPU time")
    print(f"the first 2,000 steps: same spikes {same}, logits apart by at most {apart:.1e}")


def learn(steps: int) -> None:
    """Learn online from one stream; the peak memory of the process."""
    bottleneck = model(spikes(PROCESS.bins(Noise(0, 0, torch.arange(50)), 100), 20))
    optimizer = torch.optim.Adam(bottleneck.parameters(), lr=2e-3, fused=True)
    memory = online.begin(bottleneck, torch.zeros(1, 20))
    noise = Noise(0, 0, torch.arange(1))
    begun = time.perf_counter()
    for t, bins in enumerate(live(steps)):
        if t % 1_000 == 0:
            u = noise.uniform(0, 1_000, (10,), t)
        memory = online.advance(bottleneck, spikes(bins, 20), u[:, t % 1_000], memory)
        costs, kl = online.step_loss(bottleneck, memory, SETS.of(bins))
        optimizer.zero_grad()
        (costs + 0.01 * kl).mean().backward()
        optimizer.step()
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    ms = 1_000 * (time.perf_counter() - begun) / steps
    print(f"{steps:,} updates, {ms:.2f} ms each, peak memory {peak:.1f} MiB")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("what", choices=["data", "push", "online"])
    parser.add_argument("--steps", type=int, default=50_000)
    args = parser.parse_args()
    torch.set_num_threads(1)
    {"data": data, "push": push, "online": learn}[args.what](args.steps)


if __name__ == "__main__":
    main()
