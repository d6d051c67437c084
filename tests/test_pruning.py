"""Magnitude pruning, and the synaptic operations that are counted with it and without."""

import math

import pytest
import suites
import torch
from pytorch_lightning import Trainer
from pytorch_lightning.callbacks import ModelCheckpoint

from vdib.encoder import build_encoder
from vdib.lightning_modules.checkpoints import Checkpoint
from vdib.lightning_modules.naturalisation.image_data import ImageData
from vdib.lightning_modules.naturalisation.module import NaturalisationModule
from vdib.neurons.recurrent import recurrent_lif
from vdib.neurons.spiking_lstm import spiking_lstm
from vdib.neurons.techniques import Techniques
from vdib.noise import Noise
from vdib.operations import connections, operations
from vdib.pruning import Pruning
from vdib.sparse import SparseSpikes


def weights(encoder):
    layers = (*encoder.layers, encoder.readout)
    parts = [part for layer in layers for part, _ in connections(layer)]
    return [weight for part in parts for weight in part.parameters()]


def small(**settings):
    torch.manual_seed(0)
    return build_encoder((2, 6, 6), 3, (5,), (4,), num_filters=2, **settings)


def test_the_share_follows_the_cubic_schedule():
    pruning = Pruning(small(), 0.8, end=0.5)
    for progress, share in ((0.0, 0.0), (0.25, 0.8 * 7 / 8), (0.5, 0.8), (1.0, 0.8)):
        assert pruning.share(progress) == pytest.approx(share)


def test_the_smallest_weights_go_and_stay_zero_through_adam():
    encoder = small()
    before = [weight.detach().clone() for weight in weights(encoder)]
    pruning = Pruning(encoder, 0.8)
    pruning.after_update(0.25)
    for old, new in zip(before, weights(encoder), strict=True):
        count = round(0.7 * old.numel())
        edge = old.abs().flatten().sort().values[count]
        assert torch.equal(new, torch.where(old.abs() < edge, 0, old))
    gone = [weight == 0 for weight in weights(encoder)]
    optimizer = torch.optim.Adam(encoder.parameters(), 0.1)
    x = suites.spike_train(2, 8, 2, 6, 6, dtype=torch.float32)
    for step in range(3):
        optimizer.zero_grad()
        encoder(x, Noise(0, step, torch.arange(2))).v.sum().backward()
        optimizer.step()
        assert any(
            (weight[mask] != 0).any() for weight, mask in zip(weights(encoder), gone, strict=True)
        )
        pruning.after_update(0.25 + step / 8)
        assert all(
            (weight[mask] == 0).all() for weight, mask in zip(weights(encoder), gone, strict=True)
        )
    for weight in weights(encoder):
        assert int((weight == 0).sum()) == round(0.8 * weight.numel())
    # What a checkpoint restores is pruned already, whatever it was drawn as.
    other = small()
    other.load_state_dict(encoder.state_dict())
    again = Pruning(other, 0.8)
    for weight in weights(other):
        weight.data += 0.01
    again.after_update(0.0)
    for weight, pruned in zip(weights(other), weights(encoder), strict=True):
        assert torch.equal(weight == 0, pruned == 0)


@pytest.mark.parametrize("amount", [0.0, 1.0, -0.5, math.nan])
def test_other_shares_are_refused(amount):
    with pytest.raises(ValueError, match=r"^prune: got .*, expected above 0 and below 1$"):
        Pruning(small(), amount)


@pytest.mark.parametrize("techniques", [None, Techniques(norm=True, residual="add")])
@pytest.mark.parametrize("pruned", [True, False])
def test_operations_are_additions_of_surviving_weights(techniques, pruned):
    """Counted by hand: what spikes, times how many weights of it reach some current."""
    encoder = small(techniques=techniques)
    x = suites.spike_train(2, 8, 2, 6, 6, dtype=torch.float32)
    encoder.calibrate(x, 0.3)
    Pruning(encoder, 0.6).after_update(1.0)
    code = encoder(x, Noise(0, 0, torch.arange(2)))
    total, below = 0, x
    for layer, spikes in zip(
        (*encoder.layers, encoder.readout), (*code.hidden, code.spikes), strict=True
    ):
        ((connection, _),) = connections(layer)
        for place in below.flatten(0, 1).flatten(1).sum(0).nonzero().flatten():
            one = torch.zeros(1, *connection.input_shape)
            one.view(-1)[place] = 1
            if not pruned:  # a weight that is zero counts as well: as any other number
                connection = suites.disturbed(connection, 10.0)
            reached = int((connection(one) != 0).sum())
            total += reached * int(below.detach().flatten(0, 1).flatten(1)[:, place].sum())
        below = spikes
    assert float(operations(encoder, x, code, pruned)) == total / 2
    assert float(operations(encoder, SparseSpikes.of(x), code, pruned)) == total / 2


@pytest.mark.parametrize(("neuron", "currents"), [(spiking_lstm, 4), (recurrent_lif, 1)])
@torch.no_grad()
def test_what_neurons_of_a_layer_tell_each_other_is_pruned_and_counted(neuron, currents):
    torch.manual_seed(0)
    encoder = build_encoder((5,), 2, (12,), num_filters=2, neuron=neuron)
    x = suites.spike_train(2, 16, 5, rate=0.5, dtype=torch.float32)
    encoder.calibrate(x, 0.3)
    code = encoder(x, Noise(0, 0, torch.arange(2)))
    fan_out, own = 12 * currents, code.hidden[0].sum()
    felt = code.hidden[0][:, :-1].sum()  # the last step's spikes would be felt in the next
    expected = x.sum() * fan_out + felt * fan_out + own * 2 * 2
    assert own > 0
    assert float(operations(encoder, x, code)) == float(expected) / 2
    Pruning(encoder, 0.5).after_update(1.0)
    weight = encoder.layers[0].recurrent.by_input
    assert int((weight == 0).sum()) == fan_out * 12 // 2
    counts = code.hidden[0][:, :-1].sum((0, 1)) @ (weight != 0).float().sum(1)
    fewer = operations(encoder, x, code) - counts / 2
    weight.zero_()
    assert float(operations(encoder, x, code)) == pytest.approx(float(fewer))


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")
def test_a_training_prunes_and_chooses_among_pruned_weights(tmp_path):
    module = NaturalisationModule(
        num_steps=5, input_shape=(784,), signal=ImageData(num_steps=5).signal,
        hidden=(6,), num_readout=4, prune=0.75,
    )  # fmt: skip
    candidates = []

    class Seen(Checkpoint):
        def on_validation_end(self, trainer, pl_module):
            candidates.append(pl_module.may_be_best)
            super().on_validation_end(trainer, pl_module)

    trainer = Trainer(
        max_epochs=4, limit_train_batches=2, limit_val_batches=1, logger=False,
        enable_progress_bar=False, enable_model_summary=False, num_sanity_val_steps=0,
        callbacks=[Seen(tmp_path / "best.ckpt", "val/loss")], accelerator="cpu",
    )  # fmt: skip
    trainer.fit(module, datamodule=ImageData(num_steps=5))
    assert candidates == [False, True, True, True]
    saved = torch.load(tmp_path / "best.ckpt", weights_only=True)
    assert saved["epoch"] > 0
    for name, weight in saved["state_dict"].items():
        if name.endswith("by_input"):
            assert int((weight == 0).sum()) == round(0.75 * weight.numel())
    assert issubclass(Checkpoint, ModelCheckpoint)
