"""Shifts of recordings: against shifted images, and where they come from."""

from types import SimpleNamespace

import pytest
import torch
from suites import spike_train

from vdib.datasets.spike_set import SpikeExamples
from vdib.datasets.transforms.shift import drawn_shift, shifted
from vdib.lightning_modules.naturalisation.event_data import EVENT_DATA
from vdib.noise import EVALUATION, Noise
from vdib.sparse import SparseSpikes


def pushed(image, right, down):
    """`(..., H, W)` by hand, pixel by pixel."""
    out = torch.zeros_like(image)
    height, width = image.shape[-2:]
    for y in range(height):
        for x in range(width):
            if 0 <= y + down < height and 0 <= x + right < width:
                out[..., y + down, x + right] = image[..., y, x]
    return out


def test_spikes_move_with_their_pixels():
    x = spike_train(4, 6, 2, 5, 7, dtype=torch.float32)
    right, down = torch.tensor([0, 3, -2, 9]), torch.tensor([0, -1, 4, 0])
    moved = shifted(SparseSpikes.of(x), right, down)
    for i in range(4):
        expected = pushed(x[i], int(right[i]), int(down[i]))
        assert torch.equal(moved[i : i + 1].dense()[0], expected)
    assert x[1].sum() > moved[1:2].dense().sum() > 0
    assert moved[3:4].dense().sum() == 0
    assert moved.neuron.dtype == torch.int32


def test_every_shift_is_as_likely_in_both_directions():
    """A chi-squared test at a level of 1e-4: 255 degrees of freedom for 16 x 16 shifts."""
    right, down = drawn_shift(Noise(1, 2, torch.arange(20_000)), -8, 7)
    counts = torch.bincount((right + 8) * 16 + down + 8, minlength=256)
    expected = 20_000 / 256
    assert len(counts) == 256
    assert ((counts - expected) ** 2 / expected).sum() < 347


def data_of(**settings):
    given = {"recordings": "simulated", "target": "label", "num_train": 3, "num_steps": 5}
    sizes = {"num_validation": 1, "num_test": 1, "source": "digits", "cache": False}
    return EVENT_DATA["NMNISTData"](**given, **sizes, **settings)


def examples(*ids):
    x = torch.cat([spike_train(1, 5, 2, 34, 34, seed=i, dtype=torch.float32) for i in ids])
    label = torch.zeros(len(ids), dtype=torch.int64)
    return SpikeExamples(SparseSpikes.of(x), torch.zeros(len(ids), 1, 1), label, torch.tensor(ids))


def test_a_shift_depends_on_seed_step_and_recording_only():
    data = data_of(shift=[-3, 2], seed=4)
    both, alone = data.code(examples(5, 9), 17).spikes, data.code(examples(9), 17).spikes
    assert torch.equal(both[1:2].dense(), alone.dense())
    right, down = drawn_shift(Noise(4, 17, torch.tensor([5, 9])), -3, 2)
    raw = examples(5, 9).spikes
    assert torch.equal(both.dense(), shifted(raw, right, down).dense())
    steps = [data.code(examples(9), step).spikes.dense() for step in range(10)]
    assert len({tuple(step.nonzero()[0].tolist()) for step in steps}) > 3
    assert torch.equal(data.code(examples(5, 9), EVALUATION).spikes.dense(), raw.dense())
    assert torch.equal(data_of().code(examples(5, 9), 17).spikes.dense(), raw.dense())


def test_only_training_shifts():
    data = data_of(shift=[-3, 2])
    data.trainer = SimpleNamespace(training=False, global_step=3)
    raw = examples(5, 9)
    assert torch.equal(data.on_after_batch_transfer(raw, 0).spikes.dense(), raw.spikes.dense())
    data.trainer = SimpleNamespace(training=True, global_step=3)
    other = data.on_after_batch_transfer(raw, 0).spikes.dense()
    assert torch.equal(other, data.code(raw, 3).spikes.dense())
    assert not torch.equal(other, raw.spikes.dense())


def test_a_shift_begins_with_the_lowest():
    with pytest.raises(ValueError, match=r"shift: got .*3, -1.*, expected the lowest first"):
        data_of(shift=[3, -1])
