"""Forward and backward passes of encoders, ours and the peers': the table of docs/performance.md.

    python benchmarks/speed.py                     # the tables, and speed.json
    python benchmarks/speed.py --settings mnist    # some of it
    python benchmarks/speed.py --threads 2         # on two cores: compare wall times
    python benchmarks/speed.py --profile dvs       # where a training step of ours spends its time

Rows of a setting take turns, so that whatever else the machine does disturbs all of them alike; a
figure is the median over turns of the process's CPU time. Peak memory is that of a process of its
own, above what it held before its first step. Peers that are not installed are left out.
"""

import argparse
import json
import math
import platform
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import AbstractContextManager, ExitStack, nullcontext
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path
from unittest.mock import patch

import torch
from torch import Tensor, nn

sys.path.insert(0, str(Path(__file__).parent))

from peers import PEERS, network

from vdib import events, fused
from vdib.decoder import MLPDecoder
from vdib.encoder import SpikingEncoder, build_encoder
from vdib.estimator import PassThrough, StraightThrough
from vdib.filters import ExponentialPair
from vdib.model import VDIB
from vdib.noise import Noise
from vdib.prior import BernoulliPrior
from vdib.scan import ExponentialFeedback
from vdib.sparse import SparseSpikes
from vdib.srm import SRM, Dense, PooledConv2d, hidden_conv, hidden_dense
from vdib.window import BasisWindow

Step = Callable[[], None]


@dataclass(frozen=True)
class Setting:
    """Sizes of a network and its batch."""

    inputs: tuple[int, ...]
    hidden: int
    readout: int
    steps: int
    batch: int
    channels: tuple[int, ...] = ()

    def __str__(self) -> str:
        layers = [*map(str, (math.prod(self.inputs), *self.channels, self.hidden, self.readout))]
        if self.channels:
            layers[0] = "x".join(map(str, self.inputs))
        return f"{'-'.join(layers)}, T={self.steps}, B={self.batch}"

    def spikes(self, density: float) -> Tensor:
        generator = torch.Generator().manual_seed(0)
        shape = (self.batch, self.steps, *self.inputs)
        return (torch.rand(shape, generator=generator) < density).float()


SETTINGS = {
    "mnist": Setting((784,), 600, 256, 30, 64),
    "dvs": Setting((1352,), 800, 256, 200, 32),
    "conv": Setting((2, 34, 34), 256, 256, 100, 16, channels=(12,)),
    "long": Setting((784,), 600, 256, 1_000, 8),
    "longer": Setting((784,), 600, 256, 5_000, 2),
}


def mixed(bf16: bool) -> AbstractContextManager[object]:
    """What `--trainer.precision bf16-mixed` runs a step in."""
    return torch.autocast("cpu", torch.bfloat16) if bf16 else nullcontext()


def _one_filter(at: Setting) -> SpikingEncoder:
    """What the peers have, as far as ours can: one synaptic filter a layer, hidden and readout."""
    pair, shape, layers = ExponentialPair(), at.inputs, []
    for channels in at.channels:
        layers.append(hidden_conv((shape[0], shape[1], shape[2]), channels))
        shape = layers[-1].shape
    layers.append(hidden_dense(math.prod(shape), at.hidden))
    readout = SRM(Dense(at.hidden, at.readout), (at.readout,), pair, ExponentialFeedback())
    return SpikingEncoder(layers, readout)


def ours(
    at: Setting,
    density: float = 0.02,
    full: bool = False,
    plain: bool = False,
    dense: bool = False,
    lists: bool = False,
    bf16: bool = False,
) -> Step:
    """A step of our encoder.

    Args:
        at: sizes.
        density: spikes per input and step.
        full: the reference readout, of eight filters.
        plain: without compiled code.
        dense: without event-driven products.
        lists: inputs come as lists of spikes.
        bf16: in mixed precision.
    """
    torch.manual_seed(0)
    encoder = (
        build_encoder(at.inputs, at.readout, (at.hidden,), at.channels) if full else _one_filter(at)
    )
    spikes = at.spikes(density)
    encoder.calibrate(spikes, rate=0.1)  # hidden neurons then fire at about 5 %
    x = SparseSpikes.of(spikes) if lists else spikes
    noise = Noise(0, 0, torch.arange(at.batch))

    def step() -> None:
        with ExitStack() as stack:
            if plain:
                stack.enter_context(fused.plain())
            if dense:
                stack.enter_context(patch.object(events, "LARGE", math.inf))
            with mixed(bf16):
                code = encoder(x, noise, PassThrough())
                loss = code.spikes.mean() + code.logits.square().mean()
            loss.backward()

    return step


def maps_of(at: Setting, kernels: int = 1) -> list[nn.Module]:
    """The linear maps of a setting, `kernels` outputs to a readout neuron."""
    maps: list[nn.Module] = []
    shape = at.inputs
    for channels in at.channels:
        maps.append(PooledConv2d(shape[0], channels, 5, 2))
        shape = (channels, shape[1] // 2, shape[2] // 2)
    sizes = (math.prod(shape), at.hidden, kernels * at.readout)
    return [*maps, *(Dense(before, after)[1] for before, after in pairwise(sizes))]


def peer(at: Setting, name: str, bf16: bool = False) -> Step:
    """A step of a peer's network on the same spikes."""
    torch.manual_seed(0)
    maps: list[nn.Module] = [nn.Sequential(nn.Flatten(), m) for m in maps_of(at)]
    maps[: len(at.channels)] = maps_of(at)[: len(at.channels)]
    net = network(name, maps)
    x = at.spikes(0.02).transpose(0, 1).contiguous()

    def step() -> None:
        with mixed(bf16):
            loss = net(x).float().mean()
        loss.backward()

    return step


def bound(at: Setting, kernels: int = 1, bf16: bool = False) -> Step:
    """The dense products that a step cannot do without unless it skips silent neurons.

    Of each linear map forward and weight gradient, of all but the first the gradient for its input.
    """
    dtype = torch.bfloat16 if bf16 else torch.float32
    x = torch.rand(at.steps * at.batch, *at.inputs, dtype=dtype)
    products = []
    for i, linear in enumerate(maps_of(at, kernels)):
        linear.to(dtype)
        if isinstance(linear, nn.Linear):
            x = x.flatten(1)
        x = x.detach().requires_grad_(i > 0)
        out = linear(x)
        products.append((linear, x, torch.rand_like(out)))
        x = out

    def step() -> None:
        for linear, x, grad in products:
            wanted = [*linear.parameters(), *([x] if x.requires_grad else [])]
            torch.autograd.grad(linear(x), wanted, grad)

    return step


def rows_of(at: Setting) -> dict[str, Callable[[], Step]]:
    """Builders of what is compared in a setting."""
    rows: dict[str, Callable[[], Step]] = {}

    def add(label: str, **how: bool | float) -> None:
        rows[label] = lambda: ours(at, **how)  # type: ignore[arg-type]

    add("ours, lists of events, 2 %", lists=True)
    add("ours, dense input, 2 %")
    add("ours, lists of events, 20 %", lists=True, density=0.2)
    add("ours, dense products only", dense=True)
    add("ours, plain PyTorch", plain=True)
    rows["dense products"] = lambda: bound(at)
    for label in PEERS:
        rows[label] = lambda label=label: peer(at, label)  # type: ignore[misc]
    add("ours, eight filters, lists, 2 %", lists=True, full=True)
    add("ours, eight filters, dense products only", dense=True, full=True)
    add("ours, eight filters, plain PyTorch", plain=True, full=True)
    rows["dense products, eight filters"] = lambda: bound(at, kernels=8)
    if at.steps <= 200:
        add("ours, lists of events, 2 %, bf16", lists=True, bf16=True)
        add("ours, dense products only, bf16", dense=True, bf16=True)
        rows["dense products, bf16"] = lambda: bound(at, bf16=True)
        for label in PEERS:
            rows[f"{label}, bf16"] = lambda label=label: peer(at, label, True)  # type: ignore[misc]
    return rows


def timed(name: str, turns: int) -> dict[str, dict[str, float]]:
    """Median CPU and wall ms of every row, in turns; the first turn warms up and does not count."""
    steps: dict[str, Step] = {}
    for label, build in rows_of(SETTINGS[name]).items():
        try:
            steps[label] = build()
            steps[label]()
        except ImportError as error:
            print(f"left out: {label} ({error})", file=sys.stderr)
            steps.pop(label, None)
    cpu: dict[str, list[float]] = {label: [] for label in steps}
    wall: dict[str, list[float]] = {label: [] for label in steps}
    for _ in range(turns):
        for label, step in steps.items():
            start = time.perf_counter(), time.process_time()
            step()
            wall[label].append(1e3 * (time.perf_counter() - start[0]))
            cpu[label].append(1e3 * (time.process_time() - start[1]))
    return {
        label: {
            "cpu_ms": statistics.median(cpu[label]),
            "cpu_ms_least": min(cpu[label]),
            "wall_ms": statistics.median(wall[label]),
        }
        for label in steps
    }


def peak(name: str, label: str) -> float:
    """MB that two steps add at most to what this process held before (Linux)."""
    # What compilers hold is no part of a step's memory: they run on a smaller batch before.
    small = replace(SETTINGS[name], steps=4, batch=2)
    rows_of(small)[label]()()
    step = rows_of(SETTINGS[name])[label]()
    Path("/proc/self/clear_refs").write_text("5")  # the peak starts anew from what is held now
    before = _status("VmRSS")
    step()
    step()
    return (_status("VmHWM") - before) / 1024


def _status(field: str) -> int:
    """A field of /proc/self/status, in kB."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(field))


def profile(name: str) -> None:
    """Print where three training steps of ours spend their time, decoder and optimiser included."""
    at = SETTINGS[name]
    torch.manual_seed(0)
    encoder = build_encoder(at.inputs, at.readout, (at.hidden,), at.channels)
    decoder = MLPDecoder(BasisWindow(at.steps), at.readout, 784)
    model = VDIB(encoder, decoder, BernoulliPrior(0.1), StraightThrough())
    x, r = SparseSpikes.of(at.spikes(0.02)), torch.rand(at.batch, 784)
    encoder.calibrate(x, rate=0.1)
    optimizer = torch.optim.Adam(model.parameters(), fused=True)
    noise = Noise(0, 0, torch.arange(at.batch))

    def step() -> None:
        loss, _ = model.training_loss(x, r, noise)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()

    step()
    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU]) as seen:
        for _ in range(3):
            step()
    table = seen.key_averages().table(
        sort_by="self_cpu_time_total", row_limit=16, max_name_column_width=40
    )
    print(f"{at}, eight filters, MLP, Adam, lists of events at 2 %: three steps\n{table}")
    print("mm: dense products; _Product, _embedding_bag: events; _Fused: filter, threshold, noise")


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--settings", nargs="*", default=list(SETTINGS), choices=list(SETTINGS))
    parser.add_argument("--turns", type=int, help="default: 7, or 3 for more than 200 steps")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--out", type=Path, default=Path("speed.json"))
    parser.add_argument("--profile", choices=list(SETTINGS), help="profile instead")
    parser.add_argument("--peak", nargs=2, help=argparse.SUPPRESS)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    if args.peak:
        print(peak(*args.peak))
        return
    if args.profile:
        profile(args.profile)
        return
    found: dict[str, object] = {
        "torch": torch.__version__,
        "python": platform.python_version(),
        "threads": args.threads,
    }
    for name in args.settings:
        results = timed(name, args.turns or (7 if SETTINGS[name].steps <= 200 else 3))
        print(f"\n{SETTINGS[name]}\n\n| | CPU ms | wall ms | peak MB |\n| --- | --- | --- | --- |")
        for label, result in results.items():
            command = [sys.executable, __file__, "--threads", str(args.threads)]
            asked = subprocess.run(
                [*command, "--peak", name, label], capture_output=True, text=True, check=True
            )
            result["peak_mb"] = float(asked.stdout)
            cells = (result["cpu_ms"], result["wall_ms"], result["peak_mb"])
            print(f"| {label} | " + " | ".join(f"{cell:.0f}" for cell in cells) + " |", flush=True)
        found[name] = results
        args.out.write_text(json.dumps(found, indent=1) + "\n")


if __name__ == "__main__":
    main()
