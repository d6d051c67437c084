"""Data and module as Lightning sees them."""

import pytest
import torch

from vdib.lightning_modules.naturalisation.image_data import ImageData
from vdib.lightning_modules.naturalisation.module import NaturalisationModule
from vdib.lightning_modules.predictive_coding.module import PredictiveCodingModule
from vdib.lightning_modules.predictive_coding.signals import Pattern
from vdib.noise import EVALUATION
from vdib.signal import Image

DIGITS = Image((28, 28), digits=True)


def small(**settings):
    torch.manual_seed(0)
    return NaturalisationModule(
        num_steps=5, input_shape=(784,), signal=DIGITS, hidden=[10], num_readout=4, **settings
    )


@pytest.mark.parametrize("coding", ["rate", "time"])
def test_spikes_of_an_example_do_not_depend_on_its_batch(coding):
    data = ImageData(coding=coding, num_steps=5, seed=3)
    images = data.split("validation")
    whole = data.code(images.__getitems__(range(20)), step=7)
    some = data.code(images.__getitems__([11, 2]), step=7)
    assert torch.equal(some.spikes, whole.spikes[[11, 2]])
    assert torch.equal(some.id, whole.id[[11, 2]])


def test_rate_coding_is_drawn_anew_at_each_step_and_fixed_in_evaluation():
    data = ImageData(coding="rate", num_steps=5)
    batch = data.split("validation").__getitems__(range(20))
    at = [data.code(batch, step).spikes for step in (0, 1, EVALUATION, EVALUATION)]
    assert not torch.equal(at[0], at[1])
    assert torch.equal(at[2], at[3])


def test_the_order_of_examples_is_a_function_of_seed_and_epoch():
    def order(seed, epoch):
        loader = ImageData(seed=seed, batch_size=100).train_dataloader()
        loader.sampler.set_epoch(epoch)
        return torch.cat([batch.id for batch in loader])

    assert torch.equal(order(0, 2), order(0, 2))
    assert not torch.equal(order(0, 2), order(0, 3))
    assert not torch.equal(order(0, 1), order(1, 0))  # seeds do not meet at later epochs
    assert order(0, 2).unique().numel() == 4000


def test_naturalised_images_are_pixels():
    data = ImageData(num_steps=5)
    batch = data.code(data.split("validation").__getitems__(range(3)), EVALUATION)
    images = small()(batch.spikes, batch.id)
    assert images.shape == (3, 28, 28)
    assert 0 <= images.min() <= images.max() <= 1


def test_a_frozen_encoder_has_nothing_to_learn():
    module = small(frozen_encoder=True)
    assert not any(p.requires_grad for p in module.vdib.encoder.parameters())
    assert all(p.requires_grad for p in module.vdib.decoder.parameters())


def test_the_judge_is_no_part_of_the_model():
    assert not any("judge" in name for name in small().state_dict())


def test_a_signal_that_is_not_measured_is_refused():
    with pytest.raises(ValueError, match="decodes images or labels, the data hold patterns"):
        NaturalisationModule(num_steps=5, input_shape=(6,), signal=Pattern(6, 2))
    with pytest.raises(ValueError, match="decodes active inputs, the data hold images"):
        PredictiveCodingModule(num_steps=5, input_shape=(784,), signal=DIGITS, lag=0, unscored=0)


@pytest.mark.parametrize("steps", [0, 6])
def test_an_odd_window_is_refused(steps):
    with pytest.raises(ValueError, match=f"window_steps: got {steps}, expected 1 to 5"):
        small(window_steps=steps)


def test_a_loss_that_is_not_finite_stops_before_the_weights_are_touched():
    module = small()
    weight = next(iter(module.vdib.parameters()))
    weight.grad = torch.full_like(weight, float("nan"))
    with pytest.raises(FloatingPointError, match="gradient"):
        module.on_before_optimizer_step(None)
