"""A window that follows what moves by its past alone."""

import numpy as np
import pytest
import torch

from vdib.datasets.transforms.partial import drawn_begin, drawn_looks, late
from vdib.datasets.transforms.track import Track
from vdib.noise import Noise
from vdib.sparse import SparseSpikes

TRACK = Track((8, 6), memory=3, reach=5)


def blob(steps: int, size: tuple[int, int] = (30, 40), seed: int = 0) -> np.ndarray:
    """Spikes (T, 2, H, W) of a thing that wanders, and of pixels that fire on their own."""
    rng = np.random.default_rng(seed)
    spikes = rng.random((steps, 2, *size)) < 0.0005
    for t in range(steps):
        x, y = 8 + 0.8 * t % 24, 15 + 6 * np.sin(t / 5)
        for _ in range(12):
            dx, dy = rng.integers(-2, 3, 2)
            spikes[t, rng.integers(2), int(y) + dy, int(x) + dx] = True
    return spikes


def by_hand(spikes: np.ndarray, track: Track) -> tuple[np.ndarray, list[tuple[int, int]]]:
    """The same, one recording, spike by spike in whole numbers."""
    steps, _, height, width = spikes.shape
    out = np.zeros((steps, 2, track.size[1], track.size[0]), bool)
    centre, past, centres = (width // 2, height // 2), [], []
    for t in range(steps):
        centres.append(centre)
        fired = [(int(c), int(y), int(x)) for c, y, x in np.argwhere(spikes[t])]
        for c, y, x in fired:
            to_x, to_y = x - centre[0] + track.size[0] // 2, y - centre[1] + track.size[1] // 2
            if 0 <= to_x < track.size[0] and 0 <= to_y < track.size[1]:
                out[t, c, to_y, to_x] = True

        def near(about: tuple[int, int], fired: list = fired) -> list[tuple[int, int]]:
            return [
                (x, y)
                for _, y, x in fired
                if max(abs(x - about[0]), abs(y - about[1])) <= track.reach
            ]

        past = [*past, (near(centre), len(fired))][-track.memory :]
        all_near = [place for some, _ in past for place in some]
        if 2 * len(all_near) < sum(n for _, n in past) and fired:
            xs, ys = zip(*((x, y) for _, y, x in fired), strict=True)
            centre = int(np.median(xs)), int(np.median(ys))
            past = [(near(centre), len(fired))]
        elif all_near:
            n = len(all_near)
            centre = tuple((2 * sum(p[i] for p in all_near) + n) // (2 * n) for i in (0, 1))
    return out, centres


def test_a_batch_is_followed_as_by_hand() -> None:
    both = np.stack([blob(50), blob(50, seed=3)[::-1]])
    seen = TRACK(SparseSpikes.of(torch.from_numpy(both)))
    assert seen.shape == (2, 50, 2, 6, 8)
    for i in range(2):
        expected, centres = by_hand(both[i], TRACK)
        assert np.array_equal(seen.dense(torch.bool)[i].numpy(), expected)
        assert len(set(centres)) > 10
    again = SparseSpikes.of(seen.dense())  # in order, each once
    assert torch.equal(again.neuron, seen.neuron)
    assert torch.equal(again.offset, seen.offset)


def test_nothing_that_comes_has_a_say() -> None:
    whole = blob(40)
    cut = whole.copy()
    cut[20:] = False
    first, second = (
        TRACK(SparseSpikes.of(torch.from_numpy(x)[None])).dense() for x in (whole, cut)
    )
    assert torch.equal(first[:, :20], second[:, :20])
    assert not second[:, 20:].any()


def test_it_keeps_the_thing_in_sight() -> None:
    """Behind it by (memory + 1) / 2 steps of 0.8 pixels, less what the window cuts off."""
    seen = TRACK(SparseSpikes.of(torch.from_numpy(blob(60))[None])).dense()[0]
    y, x = np.nonzero(seen[10:].sum((0, 1)).numpy())
    weights = seen[10:].sum((0, 1)).numpy()[y, x]
    assert 0.8 < np.average(x, weights=weights) - 4 < 1.6
    assert abs(np.average(y, weights=weights) - 3) < 1


@pytest.mark.parametrize("bad", [{"size": (0, 3)}, {"memory": 0}, {"reach": 0}])
def test_settings(bad: dict) -> None:
    with pytest.raises(ValueError, match="expected at least 1 each"):
        Track(**{"size": (3, 3), **bad})


# --- recordings that begin late, and looks before they end -------------------------------------


def test_late_recordings_are_the_rest_of_them() -> None:
    x = torch.rand(5, 7, 2, 3, generator=torch.Generator().manual_seed(0)) < 0.4
    begin = torch.tensor([0, 1, 3, 6, 2])
    seen = late(SparseSpikes.of(x), begin).dense(torch.bool)
    for i, first in enumerate(begin.tolist()):
        assert torch.equal(seen[i, : 7 - first], x[i, first:])
        assert not seen[i, 7 - first :].any()


def test_what_is_drawn_depends_on_its_address() -> None:
    ids = torch.arange(4_000)
    noise = Noise(0, 5, ids)
    begin = drawn_begin(noise, 20)
    steps = 80 - begin
    looks = drawn_looks(noise, 4, steps)
    some = Noise(0, 5, ids[7:9])
    assert torch.equal(drawn_begin(some, 20), begin[7:9])
    assert torch.equal(drawn_looks(some, 4, steps[7:9]), looks[7:9])
    assert not torch.equal(drawn_begin(Noise(0, 6, ids), 20), begin)
    assert not torch.equal(drawn_looks(Noise(1, 5, ids), 4, steps), looks)


def test_half_begin_late_and_looks_are_one_in_each_part() -> None:
    """Of 4,000: each count within five standard deviations."""
    noise = Noise(0, 0, torch.arange(4_000))
    counts = torch.bincount(drawn_begin(noise, 3), minlength=4)
    assert len(counts) == 4
    chances = torch.tensor([1 / 2 + 1 / 8, 1 / 8, 1 / 8, 1 / 8])
    assert ((counts - 4_000 * chances).abs() < 5 * (4_000 * chances * (1 - chances)).sqrt()).all()
    looks = drawn_looks(noise, 4, torch.full((4_000,), 8))
    for s in range(4):  # of 8 steps, each of four looks has two
        assert looks[:, s].unique().tolist() == [2 * s + 1, 2 * s + 2]
        assert abs(int((looks[:, s] == 2 * s + 1).sum()) - 2_000) < 5 * 1_000**0.5
    assert drawn_looks(noise, 3, torch.ones(4_000)).unique().tolist() == [1]
