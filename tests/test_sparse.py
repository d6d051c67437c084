"""Spikes as lists say the same as dense ones."""

import pytest
import torch

from vdib.sparse import SparseSpikes


def some(batch, *shape, seed=0, density=0.2):
    generator = torch.Generator().manual_seed(seed)
    return (torch.rand(batch, *shape, generator=generator) < density).float()


@pytest.mark.parametrize("shape", [(4, 5), (4, 2, 3, 3), (1, 1)])
def test_there_and_back(shape):
    spikes = some(3, *shape)
    sparse = SparseSpikes.of(spikes)
    assert torch.equal(sparse.dense(), spikes)
    assert sparse.density == pytest.approx(float(spikes.mean()))
    assert len(sparse) == 3
    assert sparse.num_neurons == spikes[0, 0].numel()


def test_a_part_of_a_batch():
    spikes = some(5, 4, 6)
    sparse = SparseSpikes.of(spikes)
    for part in (slice(1), slice(2, 4), slice(3, 9), slice(2, 2), slice(None)):
        assert torch.equal(sparse[part].dense(), spikes[part])
    with pytest.raises(ValueError, match="step of 2"):
        sparse[::2]


def test_batches_one_after_the_other():
    parts = [some(2, 4, 6), some(1, 4, 6, density=0), some(3, 4, 6, seed=1)]
    joined = SparseSpikes.cat([SparseSpikes.of(part) for part in parts])
    assert torch.equal(joined.dense(), torch.cat(parts))
    other = SparseSpikes.of(some(1, 5, 6))
    with pytest.raises(ValueError, match="alike in steps and neurons"):
        SparseSpikes.cat([SparseSpikes.of(parts[0]), other])


def test_lists_that_do_not_fit_are_refused():
    good = SparseSpikes.of(some(2, 3, 4))
    with pytest.raises(ValueError, match=r"offset: got \(6,\)"):
        SparseSpikes(good.offset[:-1], good.neuron, good.shape)
    with pytest.raises(ValueError, match=r"neuron: got .*int64"):
        SparseSpikes(good.offset, good.neuron.long(), good.shape)
