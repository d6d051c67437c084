"""Judge accuracy against seconds seen, both ways: a state carried on, and the last 2 s anew.

    python benchmarks/anytime.py --run RUN [--count 200] [--seconds 4] [--out FOLDER]
    python benchmarks/anytime.py --run RUN --animate 4 --seconds 3 --out docs

Of a run of `--config mnist_dvs_anytime`: simulated test digits from any phase, longer than what the
model looks back, and, with `VDIB_DATA`, real zeros 0101 to 0300 from wherever they begin. Writes
`anytime.csv` and `anytime.png`. The second line writes `anytime.gif` instead: of the first so many
simulated digits, the events of every 50 ms beside what the stream makes of all before.
"""

import argparse
import csv
import os
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from vdib.datasets.camera.presets import mnist_dvs_recording
from vdib.datasets.mnist_dvs import MNISTDVS
from vdib.datasets.recording import Recording
from vdib.datasets.sources import source_images
from vdib.figures import gif
from vdib.figures.anytime import anytime
from vdib.figures.style import save
from vdib.naturalise.event_feed import EventFeed
from vdib.naturalise.looks import Look
from vdib.naturalise.naturaliser import Naturaliser, naturaliser_of

EVERY = 100_000  # us
FRAME = 50_000  # us


def simulated(count: int, seconds: float, seed: int) -> Iterator[tuple[Recording, int]]:
    """Test digits, each from a phase of its own."""
    digits = source_images("test", "auto")
    for i in range(count):
        address = (seed, 7_000_000 + i)
        image = digits.images[i].numpy()
        made = mnist_dvs_recording(image, address, any_phase=True, seconds=seconds)
        yield made, int(digits.labels[i])


def real_zeros() -> Iterator[tuple[Recording, int]]:
    """As many of 0101 to 0300 as there are."""
    zeros = MNISTDVS(numbers=(101, 300))
    for i, shown in enumerate(zeros.shown):
        if shown.label == 0:
            yield zeros.recording(i), 0


def both_ways(model: Naturaliser, recording: Recording) -> NDArray[np.floating]:
    """Images after 0.1 s, 0.2 s, .. of a recording: carried on, and anew, `(2, G, H, W)`."""
    start, past = int(recording.t[0]), model.prepare.past_us
    ends = range(start + EVERY, int(recording.t[-1]) + 2, EVERY)
    feed, windows, spikes = EventFeed(model), [], []
    for end in ends:
        feed.feed(recording.between(end - EVERY, end))
        windows.append(feed.look(end))
        since = max(start, end - past)  # of what is shorter, its steps come first
        spikes.append(model.prepare(recording.between(since, end), end - past))
    shape = model.module.signal.shape
    carried = feed.stream.decode(np.stack(windows)).mean.view(-1, *shape).numpy()
    return np.stack([carried, model.images(spikes)])


def animate(model: Naturaliser, recordings: Sequence[Recording], path: Path) -> None:
    """Events of `FRAME` us beside the image of all so far, of some recordings at once."""
    feeds = [EventFeed(model) for _ in recordings]
    frames = min(int(r.t[-1] - r.t[0]) for r in recordings) // FRAME
    with gif.GIFWriter(path) as animation:
        for frame in range(frames):
            pictures = []
            for recording, feed in zip(recordings, feeds, strict=True):
                since = int(recording.t[0]) + frame * FRAME
                new = recording.between(since, since + FRAME)
                feed.feed(new)
                seen = feed.look(since + FRAME)
                image = feed.stream.decode(seen[None]).mean.view(model.module.signal.shape)
                pictures += [Look(since, since + FRAME, seen, [new]).picture]
                pictures += [gif.grey(image.numpy())]
            animation.add(gif.beside(pictures, height=128), FRAME / 1000)


def main() -> None:
    """Table and figure, or an animation."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--run", type=Path, required=True)
    parser.add_argument("--count", type=int, default=200)
    parser.add_argument("--seconds", type=float, default=4.0)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--animate", type=int, metavar="DIGITS", help="an animation alone")
    parser.add_argument("--out", type=Path, default=Path())
    options = parser.parse_args()
    model = naturaliser_of(options.run)
    options.out.mkdir(parents=True, exist_ok=True)
    if options.animate:
        digits = simulated(options.animate, options.seconds, options.seed)
        animate(model, [recording for recording, _ in digits], options.out / "anytime.gif")
        return
    judge = model.module.judge
    kinds = {"simulated": simulated(options.count, options.seconds, options.seed)}
    if os.environ.get("VDIB_DATA"):
        kinds["real zeros"] = real_zeros()
    looks = round(options.seconds * 1e6) // EVERY
    right = {
        f"{kind}, {way}": np.zeros((2, looks), int)  # right, and of how many
        for kind in kinds
        for way in ("carried on", "anew")
    }
    for kind, recordings in kinds.items():
        for recording, label in recordings:
            for way, images in zip(
                ("carried on", "anew"), both_ways(model, recording)[:, :looks], strict=True
            ):
                judged = judge(torch.from_numpy(images)).numpy()
                right[f"{kind}, {way}"][0, : len(judged)] += judged == label
                right[f"{kind}, {way}"][1, : len(judged)] += 1
    seconds = (1 + np.arange(looks)) * EVERY / 1e6
    with (options.out / "anytime.csv").open("w", newline="") as file:
        table = csv.writer(file)
        table.writerow(
            ["seconds", *(f"{name}, {what}" for name in right for what in ("right", "of"))]
        )
        for i, time in enumerate(seconds):
            table.writerow(
                [f"{time:.1f}", *(int(v) for counts in right.values() for v in counts[:, i])]
            )
    counts = {name: (some[0], some[1]) for name, some in right.items()}
    save(anytime(seconds, counts, "judge accuracy"), options.out / "anytime.png")
    for name, (good, of) in right.items():
        shares = [f"{g / n:.2f}" for g, n in zip(good, of, strict=True) if n]
        print(f"{name} (of {of[0]}): {' '.join(shares)}")


if __name__ == "__main__":
    main()
