"""Moved recordings: against images moved by hand and by scipy, and where moves come from."""

from types import SimpleNamespace

import pytest
import scipy.ndimage
import scipy.stats
import torch
from suites import spike_train

from vdib.datasets.spike_set import SpikeExamples
from vdib.datasets.transforms.moved import drawn_move, moved
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
    there = moved(SparseSpikes.of(x), torch.zeros(4), right, down)
    for i in range(4):
        expected = pushed(x[i], int(right[i]), int(down[i]))
        assert torch.equal(there[i : i + 1].dense()[0], expected)
    assert x[1].sum() > there[1:2].dense().sum() > 0
    assert there[3:4].dense().sum() == 0
    assert there.neuron.dtype == torch.int32


def test_spikes_turn_clockwise_about_the_centre():
    """Against scipy, which turns the other way; a quarter turn is exact."""
    x = spike_train(3, 2, 2, 9, 9, dtype=torch.float32)
    nowhere = torch.zeros(3, dtype=torch.int64)
    quarter = moved(SparseSpikes.of(x), torch.full((3,), 90.0), nowhere, nowhere).dense()
    assert torch.equal(quarter, x.rot90(-1, (-2, -1)))
    back = moved(SparseSpikes.of(quarter), torch.full((3,), -90.0), nowhere, nowhere).dense()
    assert torch.equal(back, x)

    row, column = torch.meshgrid(torch.arange(34), torch.arange(34), indexing="ij")
    bar = ((row - 12).abs() < 3) & ((column - 20).abs() < 9)
    x = bar.float().expand(3, 1, 1, 34, 34)
    angle = torch.tensor([-20.0, 5.0, 33.0])
    turned = moved(SparseSpikes.of(x), angle, nowhere, nowhere).dense()
    for i in range(3):
        expected = scipy.ndimage.rotate(bar.float().numpy(), -float(angle[i]), reshape=False)
        assert (turned[i, 0, 0] - torch.from_numpy(expected)).abs().mean() < 0.03
        assert turned[i].sum() == bar.sum()  # no two pixels become one


def test_a_turned_recording_is_shifted_before_it_is_cut():
    x = torch.zeros(1, 1, 1, 21, 21)
    x[..., 10, 20] = 1  # 90 degrees clockwise: to the last row, and from there up
    there = moved(
        SparseSpikes.of(x), torch.tensor([90.0]), torch.tensor([0]), torch.tensor([-3])
    ).dense()
    assert there.nonzero().tolist() == [[0, 0, 0, 17, 10]]
    corner = torch.zeros(1, 1, 1, 21, 21)
    corner[..., 0, 0] = 1  # leaves the sensor above, if it is not shifted down
    angle = torch.tensor([45.0])
    for down, seen in ((0, 0), (6, 1)):
        there = moved(SparseSpikes.of(corner), angle, torch.tensor([0]), torch.tensor([down]))
        assert len(there.neuron) == seen


def test_every_shift_is_as_likely_in_both_directions():
    """A chi-squared test at a level of 1e-4: 255 degrees of freedom for 16 x 16 shifts."""
    _, right, down = drawn_move(Noise(1, 2, torch.arange(20_000)), 0.0, (-8, 7))
    counts = torch.bincount((right + 8) * 16 + down + 8, minlength=256)
    expected = 20_000 / 256
    assert len(counts) == 256
    assert ((counts - expected) ** 2 / expected).sum() < 347


def test_angles_are_uniform_and_apart_from_shifts():
    angle, right, _ = drawn_move(Noise(1, 2, torch.arange(20_000)), 12.0, (-8, 7))
    assert scipy.stats.kstest(angle.double().numpy(), "uniform", (-12, 24)).pvalue > 1e-4
    assert abs(scipy.stats.spearmanr(angle, right).statistic) < 4 / 20_000**0.5


def data_of(**settings):
    given = {"recordings": "simulated", "target": "label", "num_train": 3, "num_steps": 5}
    sizes = {"num_validation": 1, "num_test": 1, "source": "digits", "cache": False}
    return EVENT_DATA["NMNISTData"](**given, **sizes, **settings)


def examples(*ids):
    x = torch.cat([spike_train(1, 5, 2, 34, 34, seed=i, dtype=torch.float32) for i in ids])
    label = torch.zeros(len(ids), dtype=torch.int64)
    return SpikeExamples(SparseSpikes.of(x), torch.zeros(len(ids), 1, 1), label, torch.tensor(ids))


def test_a_move_depends_on_seed_step_and_recording_only():
    data = data_of(shift=[-3, 2], turn=20, seed=4)
    both, alone = data.code(examples(5, 9), 17).spikes, data.code(examples(9), 17).spikes
    assert torch.equal(both[1:2].dense(), alone.dense())
    drawn = drawn_move(Noise(4, 17, torch.tensor([5, 9])), 20, (-3, 2))
    raw = examples(5, 9).spikes
    assert torch.equal(both.dense(), moved(raw, *drawn).dense())
    steps = [data.code(examples(9), step).spikes.dense() for step in range(10)]
    assert len({tuple(step.nonzero()[0].tolist()) for step in steps}) > 3
    assert torch.equal(data.code(examples(5, 9), EVALUATION).spikes.dense(), raw.dense())
    assert torch.equal(data_of().code(examples(5, 9), 17).spikes.dense(), raw.dense())


@pytest.mark.parametrize("settings", [{"shift": [-3, 2]}, {"turn": 20}])
def test_only_training_moves(settings):
    data = data_of(**settings)
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


@pytest.mark.parametrize("turn", [-1, 46, float("nan")])
def test_a_turn_is_at_most_an_eighth(turn):
    with pytest.raises(ValueError, match=f"turn: got {turn}, expected 0 to 45 degrees"):
        data_of(turn=turn)
