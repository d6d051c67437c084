"""Recordings to images, simulated and real: the tables and the figure of docs/results.md.

    VDIB_DATA=... python benchmarks/recordings.py --seeds 3 --workers 2

Time decoding beside rate decoding throughout. Runs are single-threaded; finished ones are kept, so
a killed table goes on where it was. `--only nmnist mnist_dvs` chooses what to do.
"""

import argparse
import statistics
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent))

import numpy as np
import torch
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from numpy.typing import NDArray
from sweep import sweep

from vdib.datasets.cache import cache_folder
from vdib.datasets.mnist_dvs import MNISTDVS
from vdib.datasets.nmnist import NMNIST
from vdib.datasets.recording import Recording
from vdib.datasets.recording_set import RecordingSet
from vdib.datasets.simulated import SimulatedMNISTDVS
from vdib.datasets.spike_set import SpikeSet
from vdib.datasets.transforms.event_images import like_mnist, summed_events, time_surface
from vdib.datasets.transforms.follow import Follow
from vdib.figures import style
from vdib.figures.curves import learning_curves
from vdib.lenet5 import load_judge
from vdib.metrics import ssim, wilson_interval
from vdib.naturalise.naturaliser import naturaliser_of

STAGES = ("now", "nmnist", "mnist_dvs", "dt", "figure")
FOLDS = 5
FITTED = 900
"""The camera's settings were fitted to the first so many recordings of N-MNIST."""
WINDOWS = {"nmnist": ("full", "rate"), "mnist_dvs": ("basis", "rate")}
TARGETS = ("source", "class")
TO_CLASS = ["--trainer.max_epochs", "2", "--model.init_from"]
TUNE = ["--model.lr", "0.0005", "--trainer.max_epochs", "4", "--data.recordings", "real"]
DT_MS = (10, 15, 20, 22.5, 25, 27.5, 30, 40)


@dataclass(frozen=True)
class Score:
    """How good R images are: what the judge takes each for, whether it is right, and SSIM."""

    judged: NDArray[np.int64]
    right: NDArray[np.bool_]
    ssim: NDArray[np.float64]


def score(images: torch.Tensor, sources: torch.Tensor, labels: torch.Tensor) -> Score:
    """Images (R, 28, 28) against their sources and classes."""
    judged = load_judge()(images).argmax(1)
    return Score(judged.numpy(), (judged == labels).numpy(), ssim(images, sources).double().numpy())


@torch.no_grad()
def naturalised(run: Path, recordings: RecordingSet, dt_ms: float | None = None) -> Score:
    """What a run makes of recordings, their steps as in training or of `dt_ms`."""
    model = naturaliser_of(run)
    prepare = model.prepare
    if dt_ms is not None:
        prepare = replace(prepare, binning=replace(prepare.binning, dt=round(dt_ms * 1000)))
    spikes = SpikeSet.of(recordings, prepare, cache_folder() / "spikes")
    images, sources, labels = [], [], []
    for at in np.array_split(np.arange(len(spikes)), max(1, len(spikes) // 100)):
        batch = spikes.__getitems__(at.tolist())
        images.append(model.module(batch.spikes, batch.id))
        sources.append(batch.image)
        labels.append(batch.label)
    return score(torch.cat(images), torch.cat(sources), torch.cat(labels))


def pictured(
    recordings: RecordingSet,
    picture: Callable[[Recording], NDArray[np.float64]],
    follow: Follow | None = None,
) -> Score:
    """What pictures without learning are worth."""
    every = []
    for i in range(len(recordings)):
        recording = recordings.recording(i)
        every.append(like_mnist(picture(follow(recording) if follow else recording)))
    rows = [shown.image for shown in recordings.shown]
    sources = torch.from_numpy(recordings.images[rows]).float() / 255
    labels = torch.tensor([shown.label for shown in recordings.shown])
    return score(torch.from_numpy(np.stack(every)).float(), sources, labels)


def words(scores: Sequence[Score]) -> str:
    """Judge accuracy (mean and spread over seeds, Wilson interval on the recordings) and SSIM."""
    accuracy = [float(s.right.mean()) for s in scores]
    count = len(scores[0].right)
    low, high = wilson_interval(round(statistics.mean(accuracy) * count), count)
    similar = spread([s.ssim.mean() for s in scores], 3)
    return f"{spread(accuracy, 3)} [{low:.3f}, {high:.3f}] | {similar}"


def spread(values: Sequence[float], digits: int) -> str:
    """Mean and standard deviation over seeds."""
    mean = f"{statistics.mean(values):.{digits}f}"
    return f"{mean} ± {statistics.stdev(values):.{digits}f}" if len(values) > 1 else mean


def joined(parts: Sequence[Score]) -> Score:
    """One score over the folds."""
    return Score(*(np.concatenate(column) for column in zip(*map(_fields, parts), strict=True)))


def _fields(part: Score) -> tuple[Any, ...]:
    return part.judged, part.right, part.ssim


def nmnist(runs: Path, seeds: int, workers: int) -> None:
    """Trained on simulation, then tuned on four fifths of the real recordings."""
    simulated = {
        (window, seed): runs / "recordings" / f"nmnist-simulated-{window}-{seed}"
        for window in WINDOWS["nmnist"]
        for seed in range(seeds)
    }
    common = ["--config", "nmnist_paper"]
    sweep(
        {
            folder: [
                *common,
                "--model.window",
                window,
                "--seed",
                str(seed),
                "--data.recordings",
                "simulated",
            ]
            for (window, seed), folder in simulated.items()
        },
        workers,
    )
    tuned = {
        (window, seed, fold): runs / "recordings" / f"nmnist-real-{window}-{seed}-{fold}"
        for window, seed in simulated
        for fold in range(FOLDS)
    }
    sweep(
        {
            folder: [
                *common,
                "--model.window",
                window,
                "--seed",
                str(seed),
                *TUNE,
                "--data.fold",
                str(fold),
                "--model.init_from",
                str(simulated[window, seed]),
            ]
            for (window, seed, fold), folder in tuned.items()
        },
        workers,
    )
    everything = NMNIST(None)
    print("\nReal N-MNIST, 1,000 recordings\n")
    print("| trained on | decoding | judge accuracy [95 %] | SSIM |\n| --- | --- | --- | --- |")
    for window in WINDOWS["nmnist"]:
        scores = [naturalised(simulated[window, seed], everything) for seed in range(seeds)]
        held = [Score(*(column[FITTED:] for column in _fields(s))) for s in scores]
        print(f"| simulation only, recordings 901 to 1,000 | {window} | {words(held)} |")
        print(f"| the same, all; 1 to 900 fitted the camera | {window} | {words(scores)} |")
    for window in WINDOWS["nmnist"]:
        scores = [
            joined(
                [naturalised(tuned[window, seed, k], NMNIST("test", fold=k)) for k in range(FOLDS)]
            )
            for seed in range(seeds)
        ]
        print(f"| simulation, then the other four fifths | {window} | {words(scores)} |")
    for name, picture in (("summed events", summed_events), ("time surface", time_surface)):
        print(f"| (no training) | {name} | {words([pictured(everything, picture)])} |")


def now(runs: Path, seeds: int, workers: int) -> None:
    """N-MNIST as `--config nmnist` is now, trained on simulation alone."""
    folders = [runs / "recordings" / f"now-nmnist-{seed}" for seed in range(seeds)]
    common = ["--config", "nmnist", "--data.recordings", "simulated"]
    jobs = {folder: [*common, "--seed", str(seed)] for seed, folder in enumerate(folders)}
    summaries = sweep(jobs, workers)
    scores = [naturalised(folder, NMNIST(None)) for folder in folders]
    held = [Score(*(column[FITTED:] for column in _fields(s))) for s in scores]
    print("\nReal N-MNIST, 1,000 recordings, as the default is now\n")
    print("| recordings | judge accuracy [95 %] | SSIM |\n| --- | --- | --- |")
    print(f"| 901 to 1,000 | {words(held)} |")
    print(f"| all; 1 to 900 fitted the camera | {words(scores)} |")
    for key, digits in (("rate_bits", 0), ("spikes_per_sample", 0), ("judge_accuracy", 3)):
        values = [summaries[folder][key] for folder in folders]
        print(f"\n{key}, simulated test recordings: {spread(values, digits)}")


def mnist_dvs(runs: Path, seeds: int, workers: int) -> None:
    """Trained on simulation of all classes, tested on simulation and on real zeros."""
    folders = {
        (target, window, seed): runs / "recordings" / f"mnist_dvs-{target}-{window}-{seed}"
        for target in TARGETS
        for window in WINDOWS["mnist_dvs"]
        for seed in range(seeds)
    }
    results: dict[Path, dict[str, Any]] = {}
    for target in TARGETS:
        jobs: dict[Path, list[str]] = {}
        for (_, window, seed), folder in folders.items():
            if folder == folders[target, window, seed]:
                jobs[folder] = ["--config", "mnist_dvs", "--data.target", target]
                jobs[folder] += ["--model.window", window, "--seed", str(seed)]
                if target == "class":
                    jobs[folder] += [*TO_CLASS, str(folders["source", window, seed])]
        results |= sweep(jobs, workers)
    follow = Follow((28, 28))
    print("\nSimulated MNIST-DVS, 1,000 test recordings of all classes\n")
    print("| target | decoding | judge accuracy [95 %] | SSIM | nats | bits | spikes |")
    print("| --- | --- | --- | --- | --- | --- | --- |")
    for target in TARGETS:
        for window in WINDOWS["mnist_dvs"]:
            group = [results[folders[target, window, seed]] for seed in range(seeds)]
            accuracy = [run["judge_accuracy"] for run in group]
            count = group[0]["test_samples"]
            low, high = wilson_interval(round(statistics.mean(accuracy) * count), count)
            cells = [
                f"{spread(accuracy, 3)} [{low:.3f}, {high:.3f}]",
                spread([run["ssim"] for run in group], 3),
                spread([run["distortion_nats"] for run in group], 1),
                spread([run["rate_bits"] for run in group], 0),
                spread([run["spikes_per_sample"] for run in group], 0),
            ]
            print(f"| {target} | {window} | {' | '.join(cells)} |")
    test = SimulatedMNISTDVS("test", 1_000)
    for name, picture in (("summed events", summed_events), ("time surface", time_surface)):
        scores = [pictured(test, picture, follow)]
        print(f"| source | {name} (no training) | {words(scores)} | | | |")

    fresh = Held(SimulatedMNISTDVS("test", 3_000), first=1_000)
    print("\nThe same runs on 2,000 simulated test recordings that came after all choices\n")
    print("| target | decoding | judge accuracy [95 %] | other digits that become zeros |")
    print("| --- | --- | --- | --- |")
    no_zero = np.array([shown.label != 0 for shown in fresh.shown])
    for target in TARGETS:
        for window in WINDOWS["mnist_dvs"]:
            scores = [naturalised(folders[target, window, s], fresh) for s in range(seeds)]
            wrong = [float((s.judged[no_zero] == 0).mean()) for s in scores]
            accuracy = words(scores).split(" | ")[0]
            print(f"| {target} | {window} | {accuracy} | {spread(wrong, 3)} |")

    zeros = MNISTDVS(None, target="source", numbers=(101, 300))
    print(f"\nReal MNIST-DVS, recordings 0101 to 0300 of class 0 ({len(zeros)}), and what becomes "
          "of simulated other digits\n")  # fmt: skip
    print("| target | decoding | real zeros that become zeros [95 %] | simulated other digits that "
          "become zeros [95 %] |\n| --- | --- | --- | --- |")  # fmt: skip
    other = [shown.label != 0 for shown in test.shown]
    for target in TARGETS:
        for window in WINDOWS["mnist_dvs"]:
            shares: list[list[float]] = [[], []]
            for seed in range(seeds):
                run = folders[target, window, seed]
                shares[0].append(float((naturalised(run, zeros).judged == 0).mean()))
                shares[1].append(float((naturalised(run, test).judged[other] == 0).mean()))
            cells = []
            for values, count in zip(shares, (len(zeros), sum(other)), strict=True):
                low, high = wilson_interval(round(statistics.mean(values) * count), count)
                cells.append(f"{spread(values, 3)} [{low:.3f}, {high:.3f}]")
            print(f"| {target} | {window} | {' | '.join(cells)} |")


class Held(RecordingSet):
    """The recordings of another set from one of them on, made once and for all."""

    def __init__(self, recordings: RecordingSet, first: int = 0) -> None:
        self.images, self.name = recordings.images, recordings.name
        self.shown = recordings.shown[first:]
        self.held = [recordings.recording(i) for i in range(first, len(recordings))]
        self.known = [first, recordings.identity()]

    def recording(self, index: int) -> Recording:
        return self.held[index]

    def identity(self) -> Any:
        return self.known


def dt(runs: Path, seeds: int, out: Path) -> None:
    """Robustness to the length of a step, without training again: a figure."""
    test = Held(SimulatedMNISTDVS("test", 300))
    curves = {}
    for window in WINDOWS["mnist_dvs"]:
        curves[f"{window} window"] = (
            DT_MS,
            [
                [
                    float(
                        naturalised(
                            runs / "recordings" / f"mnist_dvs-source-{window}-{seed}", test, dt_ms
                        ).right.mean()
                    )
                    for dt_ms in DT_MS
                ]
                for seed in range(seeds)
            ],
        )
    style.save(learning_curves(curves, "step (ms); trained at 25 ms", "judge accuracy"), out)
    print(f"\n{out}")
    for name, (_, accuracy) in curves.items():
        print(f"{name}: {np.mean(accuracy, 0).round(3).tolist()}")


def figure(runs: Path, out: Path) -> None:
    """Real recordings of the first fold, one a class, beside what they become."""
    test = NMNIST("test", fold=0)
    model = naturaliser_of(runs / "recordings" / "nmnist-real-full-0-0")
    labels = [shown.label for shown in test.shown]
    chosen = [labels.index(digit) for digit in range(10)]
    recordings = [test.recording(i) for i in chosen]
    images = model.images([model.prepare(recording) for recording in recordings])
    originals = test.images[[test.shown[i].image for i in chosen]] / 255
    rows = {
        "recording": [signed(recording) for recording in recordings],
        "naturalised": images,
        "original": originals,
    }
    drawn = Figure((10, 3.2), layout="constrained")
    for axes, (name, row) in zip(drawn.subplots(3, 10), rows.items(), strict=True):
        for panel, picture in zip(axes, row, strict=True):
            how = {"cmap": "gray", "vmin": 0, "vmax": 1} if name != "recording" else {}
            panel.imshow(picture, interpolation="nearest", **how)
            panel.set(xticks=[], yticks=[])
            panel.spines[:].set_visible(False)
        axes[0].set_ylabel(name, color=style.INK)
    style.save(drawn, out)
    print(f"\n{out}")


def signed(recording: Recording) -> NDArray[np.float64]:
    """Events of the first saccade as colours (h, w, 3): ON red, OFF blue, none white."""
    width, height = recording.sensor_size
    first = recording.t < 100_000
    place = recording.y[first].astype(np.int64) * width + recording.x[first]
    counts = [
        np.bincount(place[recording.p[first] == polarity], minlength=width * height)
        for polarity in (True, False)
    ]
    share = np.clip((counts[0] - counts[1]) / 3, -1, 1).reshape(height, width, 1)
    red, blue = (np.array(to_rgb(colour)) for colour in (style.RED, style.BLUE))
    colour = np.where(share > 0, red, blue)
    return np.asarray(1 - np.abs(share) * (1 - colour))


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--runs", type=Path, default=Path("runs"))
    parser.add_argument("--out", type=Path, default=Path("docs"))
    parser.add_argument("--only", nargs="+", choices=STAGES)
    args = parser.parse_args()
    chosen = args.only or STAGES
    if "now" in chosen:
        now(args.runs, args.seeds, args.workers)
    if "nmnist" in chosen:
        nmnist(args.runs, args.seeds, args.workers)
    if "mnist_dvs" in chosen:
        mnist_dvs(args.runs, args.seeds, args.workers)
    if "dt" in chosen:
        dt(args.runs, args.seeds, args.out / "step_length.png")
    if "figure" in chosen:
        figure(args.runs, args.out / "recordings.png")


if __name__ == "__main__":
    main()
