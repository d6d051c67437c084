"""What is drawn from a model: from its prior alone, and between two of its codes."""

import pytest
import torch

from vdib.decoder import MLPDecoder
from vdib.drawing import between, check_drawable, decoded, draw, forming
from vdib.encoder import build_encoder
from vdib.estimator import StraightThrough
from vdib.model import VDIB
from vdib.neurons.readout import threshold
from vdib.noise import EVALUATION, Noise
from vdib.prior import AutoregressivePrior, BernoulliPrior, draw_spikes
from vdib.signal import Image
from vdib.window import FullWindow

STEPS, INPUTS, READOUT, PIXELS = 5, 9, 4, 6


@pytest.fixture
def model():
    """Of weights that differ from step to step, and a prior in which spikes call for spikes."""
    torch.manual_seed(0)
    encoder = build_encoder((INPUTS,), READOUT, hidden=(8,))
    decoder = MLPDecoder(FullWindow(STEPS), READOUT, Image((PIXELS,)), num_hidden=7)
    for weight in decoder.parameters():
        torch.nn.init.normal_(weight)
    prior = AutoregressivePrior(READOUT, 0.3)
    torch.nn.init.normal_(prior.linear.weight)
    made = VDIB(encoder, decoder, prior, StraightThrough()).requires_grad_(False)
    made.encoder.calibrate(inputs(), 0.3, 2.0)
    return made


def inputs(count=2):
    generator = torch.Generator().manual_seed(1)
    return (torch.rand(count, STEPS, INPUTS, generator=generator) < 0.4).float()


def by_hand(model, spikes):
    decoder = model.decoder
    hidden = torch.relu(spikes.flatten(1) @ decoder.hidden.weight.T + decoder.hidden.bias)
    return torch.sigmoid(hidden @ decoder.head.weight.T + decoder.head.bias)


def test_spikes_are_the_priors_and_images_the_decoders(model):
    noise = Noise(3, EVALUATION, torch.arange(6))
    spikes, means = draw(model, 6, STEPS, noise)
    assert torch.equal(spikes, draw_spikes(model.prior, 6, STEPS, READOUT, noise))
    torch.testing.assert_close(means, by_hand(model, spikes))
    fewer, _ = draw(model, 2, STEPS, Noise(3, EVALUATION, torch.arange(2)))
    assert torch.equal(fewer, spikes[:2])
    other = draw(model, 6, STEPS, noise, BernoulliPrior(1e-6))
    assert other[0].sum() == 0 < spikes.sum()


def test_an_image_forms_from_what_has_been_said_so_far(model):
    spikes, means = draw(model, 3, STEPS, Noise(0, EVALUATION, torch.arange(3)))
    growing = forming(model, spikes)
    assert growing.shape == (STEPS + 1, 3, PIXELS)
    for until in range(STEPS + 1):
        cut = spikes.clone()
        cut[:, until:] = 0
        torch.testing.assert_close(growing[until], by_hand(model, cut))
    torch.testing.assert_close(growing[-1], means)


def test_between_two_inputs_drives_are_mixed(model):
    x, noise = inputs(), Noise(2, EVALUATION, torch.tensor([0]))
    spikes = between(model, x, torch.tensor([0.0, 0.25, 1.0]), noise)
    for row, end in ((0, 0), (2, 1)):
        assert torch.equal(spikes[row], model.encode(x[end : end + 1], noise).spikes[0])
    assert not torch.equal(spikes[0], spikes[2])
    # By hand: step by step under the mixed drive and the code's own past.
    readout = model.encoder.readout
    drives = readout.drive(model.encoder.hidden_spikes(x)[-1])
    drive = 0.75 * drives[0] + 0.25 * drives[1]
    u = noise.uniform(1, STEPS, (READOUT,))[0]  # of the readout, above one hidden layer
    own = torch.zeros(1, STEPS, READOUT)
    for t in range(STEPS):
        v = readout.given(drive[None], own)[0, t]
        own[0, t] = (u[t] < torch.sigmoid(v)).float()
    assert torch.equal(spikes[1], own[0])
    torch.testing.assert_close(decoded(model, spikes), by_hand(model, spikes))


def test_what_cannot_be_drawn_from_is_refused(model):
    check_drawable(model)
    model.every_step = True
    with pytest.raises(ValueError, match="decodes every step"):
        check_drawable(model)
    model.every_step = False
    model.decoder.SAMPLES = False
    with pytest.raises(ValueError, match="MLPDecoder, does not look at the spikes"):
        check_drawable(model)
    model.decoder.SAMPLES = True
    model.encoder = build_encoder((INPUTS,), READOUT, hidden=(8,), readout=threshold)
    with pytest.raises(ValueError, match="its readout is deterministic"):
        check_drawable(model)
