"""Forward and backward passes of encoders, ours and the peers': the table of docs/performance.md.

    python benchmarks/speed.py                     # the tables, and speed.json
    python benchmarks/speed.py --settings mnist    # some of it
    python benchmarks/speed.py --compiled          # and the peers under torch.compile
    OMP_WAIT_POLICY=passive python benchmarks/speed.py --threads 2   # two cores, wall time
    python benchmarks/speed.py --profile dvs       # where a training step of ours spends its time

Rows of a setting take turns, so that whatever else the machine does disturbs all of them alike; a
figure is the median over turns of the process's CPU time. Peak memory is that of a process of its
own, above what it held before its first step. Peers that are not installed are left out.
"""

import vdib  # noqa: F401  # isort: skip  # before torch, so that its waiting threads do not spin

import argparse
import json
import platform
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import torch

sys.path.insert(0, str(Path(__file__).parent))

from networks import LEAKY, SETTINGS, Setting, bound, ours, peer
from peers import PEERS
from timing import Step, added, alone, in_turns

from vdib.decoder import MLPDecoder
from vdib.encoder import build_encoder
from vdib.estimator import StraightThrough
from vdib.model import VDIB
from vdib.noise import Noise
from vdib.prior import BernoulliPrior
from vdib.signal import Image
from vdib.sparse import SparseSpikes
from vdib.window import BasisWindow


def rows_of(at: Setting, compiled: bool = False) -> dict[str, Callable[[], Step]]:
    """Builders of what is compared in a setting; of peers also `compiled`, if asked for."""
    rows: dict[str, Callable[[], Step]] = {}

    def add(label: str, **how: bool | float | str) -> None:
        rows[label] = lambda: ours(at, **how)  # type: ignore[arg-type]

    add("ours, lists of events, 2 %", lists=True)
    add("ours, dense input, 2 %")
    add("ours, lists of events, 20 %", lists=True, density=0.2)
    add("ours, dense products only", dense=True)
    add("ours, plain PyTorch", plain=True)
    for neuron in LEAKY:
        add(f"ours, {neuron}, lists of events, 2 %", leaky=neuron, lists=True)
        add(f"ours, {neuron}, dense input, 2 %", leaky=neuron)
        add(f"ours, {neuron}, dense products only", leaky=neuron, dense=True)
    rows["dense products"] = lambda: bound(at)
    for label in PEERS:
        rows[label] = lambda label=label: peer(at, label)  # type: ignore[misc]
        if compiled:
            rows[f"{label}, compiled"] = lambda label=label: peer(at, label, compiled=True)  # type: ignore[misc]
    add("ours, eight filters, lists, 2 %", lists=True, full=True)
    add("ours, eight filters, dense products only", dense=True, full=True)
    add("ours, eight filters, plain PyTorch", plain=True, full=True)
    rows["dense products, eight filters"] = lambda: bound(at, kernels=8)
    add("ours, lists of events, 2 %, bf16", lists=True, bf16=True)
    add("ours, lists of events, 20 %, bf16", lists=True, density=0.2, bf16=True)
    add("ours, dense products only, bf16", dense=True, bf16=True)
    for neuron in LEAKY:
        add(f"ours, {neuron}, lists of events, 2 %, bf16", leaky=neuron, lists=True, bf16=True)
    rows["dense products, bf16"] = lambda: bound(at, bf16=True)
    for label in PEERS:
        rows[f"{label}, bf16"] = lambda label=label: peer(at, label, bf16=True)  # type: ignore[misc]
    add("ours, eight filters, lists, 2 %, bf16", lists=True, full=True, bf16=True)
    add("ours, eight filters, dense products only, bf16", dense=True, full=True, bf16=True)
    rows["dense products, eight filters, bf16"] = lambda: bound(at, kernels=8, bf16=True)
    return rows


def peak(name: str, label: str) -> float:
    """MB that a row needs at most."""
    at = SETTINGS[name]
    small = replace(at, steps=4, batch=2)
    return added(lambda steps: rows_of(small if steps else at, compiled=True)[label]())


def profile(name: str) -> None:
    """Print where three training steps of ours spend their time, decoder and optimiser included."""
    at = SETTINGS[name]
    torch.manual_seed(0)
    encoder = build_encoder(at.inputs, at.readout, (at.hidden,), at.channels)
    decoder = MLPDecoder(BasisWindow(at.steps), at.readout, Image((28, 28)))
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
    print(
        "mm: dense products; _Product, _Convolution, _embedding_bag: events; "
        "_Fused: filter, threshold, noise"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--settings", nargs="*", default=list(SETTINGS), choices=list(SETTINGS))
    parser.add_argument("--turns", type=int, help="default: 7, or 3 for more than 200 steps")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--leave-out", nargs="*", default=[], help="rows whose names begin so")
    parser.add_argument(
        "--compiled", action="store_true", help="peers under torch.compile as well (gcc, minutes)"
    )
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
        at = SETTINGS[name]
        rows = {
            label: build
            for label, build in rows_of(at, args.compiled).items()
            if not label.startswith(tuple(args.leave_out))
        }
        results = in_turns(rows, args.turns or (7 if at.steps <= 200 else 3))
        print(f"\n{at}\n\n| | CPU ms | wall ms | peak MB |\n| --- | --- | --- | --- |")
        for label, result in results.items():
            threads = "--threads", str(args.threads)
            result["peak_mb"] = alone(__file__, *threads, "--peak", name, label)
            cells = (result["cpu_ms"], result["wall_ms"], result["peak_mb"])
            print(f"| {label} | " + " | ".join(f"{cell:.0f}" for cell in cells) + " |", flush=True)
        found[name] = results
        args.out.write_text(json.dumps(found, indent=1) + "\n")


if __name__ == "__main__":
    main()
