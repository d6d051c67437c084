"""How two sets of recordings of the same images differ: statistics, and distances between them.

R: recordings; T: time bins; P: pixels. Polarity 0 is OFF, 1 is ON.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vdib.datasets.recording import Recording

Floats = NDArray[np.float64]
KINDS = ("OFF to OFF", "OFF to ON", "ON to OFF", "ON to ON")


@dataclass(frozen=True)
class View:
    """What is looked at: a square of the sensor, for so long, in bins.

    `crop` is (left, top, side) in pixels; `bin_us` times `num_bins` is how long, us.
    """

    crop: tuple[int, int, int]
    bin_us: int
    num_bins: int

    def events(self, recording: Recording) -> tuple[NDArray[np.int64], ...]:
        """x, y, t, p of what lies within, x and y from the crop's corner."""
        left, top, side = self.crop
        x, y = recording.x.astype(np.int64) - left, recording.y.astype(np.int64) - top
        kept = (x >= 0) & (x < side) & (y >= 0) & (y < side)
        kept &= recording.t < self.bin_us * self.num_bins
        return x[kept], y[kept], recording.t[kept], recording.p[kept].astype(np.int64)

    def maps(self, recording: Recording) -> NDArray[np.int64]:
        """Numbers of events (T, 2, side, side)."""
        x, y, t, p = self.events(recording)
        shape = (self.num_bins, 2, self.crop[2], self.crop[2])
        place = np.ravel_multi_index((t // self.bin_us, p, y, x), shape)
        return np.bincount(place, minlength=int(np.prod(shape))).reshape(shape)


@dataclass(frozen=True)
class Statistics:
    """Of R recordings, in the order of their images."""

    count: Floats  # (R, 2) events per recording and polarity
    rate: Floats  # (T, 2) events per bin, mean of the recordings
    per_pixel: tuple[NDArray[np.int64], NDArray[np.int64]]  # OFF, ON: (R P,) events of a pixel
    interval: tuple[Floats, ...]  # by kind: log10 of us between a pixel's successive events
    spikes: list[NDArray[np.int64]]  # by recording: which of the view's bins hold an event
    size: int  # bins of the view: T 2 P

    @property
    def density(self) -> float:
        """Share of the bins (of time, polarity and pixel) with an event."""
        return sum(map(len, self.spikes)) / len(self.spikes) / self.size

    @property
    def on_share(self) -> Floats:
        """(R,) share of ON events."""
        return self.count[:, 1] / self.count.sum(1)


def statistics(recordings: Sequence[Recording], view: View) -> Statistics:
    """Of all recordings, as far as the view holds them."""
    maps = [view.maps(recording) for recording in recordings]
    pixels = [m.sum(0).reshape(2, -1) for m in maps]
    by_kind: list[list[Floats]] = [[], [], [], []]
    for recording in recordings:
        x, y, t, p = view.events(recording)
        order = np.lexsort((t, y * view.crop[2] + x))
        pixel, t, p = (y * view.crop[2] + x)[order], t[order], p[order]
        same = pixel[1:] == pixel[:-1]
        gap, kind = np.diff(t)[same], (2 * p[:-1] + p[1:])[same]
        for k in range(4):
            by_kind[k].append(np.log10(np.maximum(gap[kind == k], 1)))
    return Statistics(
        count=np.array([m.sum((0, 2, 3)) for m in maps], float),
        rate=np.mean([m.sum((2, 3)) for m in maps], 0),
        per_pixel=(
            np.concatenate([pixel[0] for pixel in pixels]),
            np.concatenate([pixel[1] for pixel in pixels]),
        ),
        interval=tuple(np.concatenate(gaps) for gaps in by_kind),
        spikes=[np.flatnonzero(m) for m in maps],
        size=maps[0].size,
    )


def wasserstein(a: NDArray[np.generic], b: NDArray[np.generic], points: int = 2_000) -> float:
    """Mean distance between equal quantiles, in the samples' unit (the 1-Wasserstein distance)."""
    level = (np.arange(points) + 0.5) / points
    return float(np.abs(np.quantile(a, level) - np.quantile(b, level)).mean())


def kolmogorov(a: Floats, b: Floats) -> float:
    """Largest difference of the distribution functions, in [0, 1]."""
    at = np.concatenate([a, b])
    below = [np.searchsorted(np.sort(sample), at, "right") / len(sample) for sample in (a, b)]
    return float(np.abs(below[0] - below[1]).max())


def correlations(a: Statistics, b: Statistics, shift: int = 0) -> Floats:
    """Of binary spikes, image by image: Pearson over time, polarity and pixel (R,).

    With `shift`, image i of `a` meets image i + shift of `b`: how far different images agree.
    """
    found = []
    for i, one in enumerate(a.spikes):
        other = b.spikes[(i + shift) % len(b.spikes)]
        both = len(np.intersect1d(one, other, assume_unique=True)) / a.size
        p, q = len(one) / a.size, len(other) / a.size
        found.append((both - p * q) / np.sqrt(p * (1 - p) * q * (1 - q)))
    return np.array(found)


def distances(real: Statistics, simulated: Statistics) -> dict[str, str]:
    """Name to text, a line of the table each."""
    r, s = real.count.sum(1), simulated.count.sum(1)
    ratio = np.log(s / r)
    lines = {
        "events, mean ± deviation over recordings": f"{r.mean():,.0f} ± {r.std():,.0f} | "
        f"{s.mean():,.0f} ± {s.std():,.0f} | W1 {wasserstein(r, s) / r.mean():.1%} of the mean",
        "events, simulated over real of one image": f" | | {np.exp(ratio.mean()):.3f}, "
        f"deviation {ratio.std():.1%}",
        "ON share, mean ± deviation": f"{real.on_share.mean():.3f} ± {real.on_share.std():.3f} | "
        f"{simulated.on_share.mean():.3f} ± {simulated.on_share.std():.3f} | "
        f"W1 {wasserstein(real.on_share, simulated.on_share):.4f}",
        "spikes per bin of the view": f"{real.density:.4f} | {simulated.density:.4f} | "
        f"{simulated.density / real.density - 1:+.1%}",
    }
    for p, name in enumerate(("OFF", "ON")):
        apart = np.abs(real.rate[:, p] - simulated.rate[:, p]).sum() / real.rate[:, p].sum()
        lines[f"rate over time, {name}"] = f" | | L1 {apart:.1%} of all events"
    for p, name in enumerate(("OFF", "ON")):
        a, b = real.per_pixel[p], simulated.per_pixel[p]
        lines[f"events of a pixel, {name}, mean"] = (
            f"{a.mean():.3f} | {b.mean():.3f} | W1 {wasserstein(a, b, 20_000):.3f} events"
        )
    for k, kind in enumerate(KINDS):
        a, b = real.interval[k], simulated.interval[k]
        lines[f"interval {kind}, median (ms)"] = (
            f"{10 ** (np.median(a) - 3):.1f} | {10 ** (np.median(b) - 3):.1f} | "
            f"KS {kolmogorov(a, b):.3f}, W1 {wasserstein(a, b):.3f} decades"
        )
    return lines
