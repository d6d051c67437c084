"""Simulated beside real recordings of the same images: docs/dvs_camera.png and its table.

    VDIB_DATA=... python benchmarks/dvs_camera.py

Of N-MNIST, recordings 1 to 900, every ninth; of MNIST-DVS, zeros 0001 to 0100, every second. Those
are what the camera was calibrated on: recordings beyond them are for tests of what was trained on
simulation.
"""

import argparse
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure, SubFigure
from numpy.typing import NDArray

sys.path.insert(0, str(Path(__file__).parent))

from event_statistics import KINDS, Statistics, View, correlations, distances, statistics

from vdib.datasets.camera.presets import mnist_dvs_recording, nmnist_recording
from vdib.datasets.mnist import training_images
from vdib.datasets.recording import Recording, read_recording
from vdib.figures import style

REAL, SIMULATED = style.BLUE, style.ORANGE
Maker = Callable[[torch.Tensor, tuple[int, int]], Recording]


class Comparison:
    """Real recordings, and simulated ones of their images: twice, for the noise between them."""

    def __init__(
        self,
        name: str,
        view: View,
        files: list[Path],
        images: torch.Tensor,
        make: Maker,
        shown: list[int],
    ) -> None:
        self.name, self.view, self.shown = name, view, shown
        self.real = [read_recording(file) for file in files]
        make(images[0], (0, 0))  # compiles
        start = time.process_time()
        self.simulated = [make(image, (0, i)) for i, image in enumerate(images)]
        self.speed = len(images) / (time.process_time() - start)
        again = statistics([make(image, (1, i)) for i, image in enumerate(images)], view)
        self.statistics = statistics(self.real, view), statistics(self.simulated, view)
        self.correlation = {
            "real, simulated": correlations(*self.statistics),
            "simulated twice": correlations(self.statistics[1], again),
            "real, another image": correlations(*self.statistics, shift=1),
        }

    def table(self) -> str:
        """In Markdown."""
        lines = [f"| {self.name} | real | simulated | distance |", "|---|---|---|---|"]
        lines += [f"| {name} | {text} |" for name, text in distances(*self.statistics).items()]
        for name, values in self.correlation.items():
            lines.append(
                f"| correlation of spikes, {name} | | | {values.mean():.3f} ± {values.std():.3f} |"
            )
        lines.append(f"| recordings simulated per second of one core | | | {self.speed:.0f} |")
        return "\n".join(lines)


def nmnist(data: Path) -> Comparison:
    index = list(range(0, 900, 9))
    images = training_images(0, 900, download=False)
    files = [
        data / "nmnist" / "Train" / str(int(images.labels[i])) / f"{i + 1:05d}.bin" for i in index
    ]
    view = View((0, 0, 34), 10_000, 31)
    shown = [3, 4, 5, 6, 13, 15, 16, 23, 25, 27]
    return Comparison("N-MNIST", view, files, images.images[index], nmnist_recording, shown)


def mnist_dvs(data: Path) -> Comparison:
    index = list(range(0, 100, 2))
    images = training_images(0, 12_000, download=False)
    zeros = images.images[images.labels == 0]
    folder = data / "mnist_dvs" / "grabbed_data0" / "scale4"
    files = [folder / f"mnist_0_scale04_{i + 1:04d}.aedat" for i in index]
    view = View((38, 34, 56), 25_000, 78)
    shown = [2, 5, 8, 14, 18, 22, 26, 30, 42, 46]
    return Comparison("MNIST-DVS", view, files, zeros[index], mnist_dvs_recording, shown)


def figure(comparisons: list[Comparison]) -> Figure:
    whole = Figure((13, 5.6 * len(comparisons)), layout="constrained")
    for part, comparison in zip(
        np.atleast_1d(whole.subfigures(len(comparisons), 1)), comparisons, strict=True
    ):
        pictures, curves = part.subfigures(2, 1, height_ratios=(1.15, 1))
        _pictures(pictures, comparison)
        _curves(curves, comparison)
    return whole


def _pictures(part: SubFigure, comparison: Comparison) -> None:
    """Spikes in some bins: ON red, OFF blue, more events darker; real over simulated."""
    axes = part.subplots(2, len(comparison.shown), gridspec_kw={"hspace": 0.02, "wspace": 0.03})
    step = comparison.view.bin_us // 1000
    for row, (recording, name) in enumerate(
        ((comparison.real[0], "real"), (comparison.simulated[0], "simulated"))
    ):
        maps = comparison.view.maps(recording)
        for panel, k in zip(axes[row], comparison.shown, strict=True):
            panel.imshow(_coloured(maps[k]), interpolation="nearest")
            panel.set(xticks=[], yticks=[])
            panel.spines[:].set_color("#d0d0d0")
            if not row:
                panel.set_title(f"{k * step} to {(k + 1) * step} ms", fontsize=8, color=style.INK)
        axes[row, 0].set_ylabel(name, color=(REAL, SIMULATED)[row], fontsize=11)
    part.suptitle(
        f"{comparison.name}: one image, ON red and OFF blue", color=style.INK, fontsize=12
    )


def _coloured(maps: NDArray[np.int64]) -> NDArray[np.float64]:
    """(2, H, W) events to (H, W, 3) colours on white; a pixel with both is violet."""
    strength = np.minimum(maps, 3)[..., None] / 3  # (2, H, W, 1)
    strength = np.where(strength > 0, 0.35 + 0.65 * strength, 0)
    ink = 1 - np.array([[0x1F, 0x5F, 0xB4], [0xBD, 0x1F, 0x01]])[:, None, None] / 255
    return np.clip(1 - (strength * ink).sum(0), 0, 1)


def _curves(part: SubFigure, comparison: Comparison) -> None:
    panels = part.subplots(1, 5, width_ratios=(0.8, 1.5, 0.95, 0.95, 0.95))
    pairs = list(zip(comparison.statistics, (REAL, SIMULATED), strict=True))
    _counts(panels[0], pairs)
    time_ms = (np.arange(comparison.view.num_bins) + 0.5) * comparison.view.bin_us / 1000
    for stats, colour in pairs:
        panels[1].plot(time_ms, stats.rate[:, 1], color=colour, linewidth=1.6)
        panels[1].plot(time_ms, -stats.rate[:, 0], color=colour, linewidth=1.6)
        for p, dashes in enumerate((":", "-")):
            number = np.sort(stats.per_pixel[p])[::-1]
            share = np.arange(1, len(number) + 1) / len(number)
            panels[2].plot(number + 1, share, dashes, color=colour, linewidth=1.5)
    panels[1].axhline(0, color=style.FAINT, linewidth=0.8)
    panels[2].set(xscale="log", yscale="log")
    _tidy(panels[1], "time (ms)", "", "events per bin: ON up, OFF down")
    _tidy(panels[2], "1 + events of a pixel", "", "share of pixels above\n(ON solid, OFF dotted)")
    for panel, kinds in ((panels[3], (0, 3)), (panels[4], (1, 2))):
        for stats, colour in pairs:
            for kind, dashes in zip(kinds, (":", "-"), strict=True):
                edges = np.linspace(2.5, 6.5, 65)
                density = np.histogram(stats.interval[kind], edges)[0] / len(stats.count)
                middle = 10 ** ((edges[1:] + edges[:-1]) / 2 - 3)
                panel.plot(middle, density, dashes, color=colour, linewidth=1.5)
        panel.set_xscale("log")
        _tidy(
            panel,
            "interval (ms)",
            "",
            f"intervals of a pixel\n{KINDS[kinds[1]]} (dots: {KINDS[kinds[0]]})",
        )


def _counts(axes: Axes, pairs: list[tuple[Statistics, str]]) -> None:
    counts = [stats.count.sum(1) for stats, _ in pairs]
    edges = np.linspace(min(map(np.min, counts)), max(map(np.max, counts)), 19)
    for values, (_, colour), name in zip(counts, pairs, ("real", "simulated"), strict=True):
        axes.hist(values, edges, color=colour, alpha=0.25)
        axes.hist(values, edges, color=colour, histtype="step", linewidth=1.5, label=name)
    axes.legend(frameon=False, fontsize=8, labelcolor=style.INK, loc="upper left")
    axes.set_ylim(top=1.35 * axes.get_ylim()[1])
    _tidy(axes, "events", "", "recordings")


def _tidy(axes: Axes, xlabel: str, ylabel: str, title: str) -> None:
    axes.set_xlabel(xlabel, color=style.INK, fontsize=9)
    axes.set_ylabel(ylabel, color=style.INK, fontsize=9)
    axes.set_title(title, loc="left", fontsize=9, color=style.INK)
    axes.spines[["top", "right"]].set_visible(False)
    axes.spines[["left", "bottom"]].set_color(style.FAINT)
    axes.tick_params(color=style.FAINT, labelcolor=style.INK, labelsize=8)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--figure", type=Path, default=Path("docs/dvs_camera.png"))
    arguments = parser.parse_args()
    if "VDIB_DATA" not in os.environ:
        parser.error("VDIB_DATA does not name the folder of real recordings")
    data = Path(os.environ["VDIB_DATA"])
    comparisons = [nmnist(data), mnist_dvs(data)]
    print("\n\n".join(comparison.table() for comparison in comparisons))
    style.save(figure(comparisons), arguments.figure)


if __name__ == "__main__":
    main()
