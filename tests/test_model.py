"""The bottleneck as a whole."""

import pytest
import tiny
import torch

from vdib.decoder import CNNDecoder, MLPDecoder
from vdib.encoder import SpikeCode, build_encoder
from vdib.estimator import LeaveOneOut, ScoreFunction, StraightThrough
from vdib.model import VDIB
from vdib.neurons.srm import srm
from vdib.neurons.synapses import dense
from vdib.noise import Noise
from vdib.objective import bernoulli_kl, code_length, distortion
from vdib.penalty import hidden_rate, hidden_spikes, im_loss, readout_spikes
from vdib.prior import BernoulliPrior
from vdib.signal import Image
from vdib.window import FullWindow

STEPS, INPUTS, READOUT, PIXELS = 7, 12, 6, 10


def model(window=FullWindow, decoder=MLPDecoder, estimator=None, penalties=None):
    torch.manual_seed(0)
    encoder = build_encoder((INPUTS,), READOUT, hidden=(9,))
    decoder = decoder(window(STEPS), READOUT, Image((PIXELS,)))
    estimator = estimator or StraightThrough()
    return VDIB(encoder, decoder, BernoulliPrior(0.2), estimator, 0.3, penalties=penalties)


def batch(size=5):
    generator = torch.Generator().manual_seed(1)
    x = (torch.rand(size, STEPS, INPUTS, generator=generator) < 0.4).float()
    return x, torch.rand(size, PIXELS, generator=generator), torch.arange(100, 100 + size)


def test_the_loss_is_distortion_and_beta_times_rate():
    x, r, ids = batch()
    bottleneck = model()
    bottleneck.encoder.calibrate(x, 0.2)
    out = bottleneck(x, r, Noise(0, 0, ids))
    q = out.decoded.mean[:, 0]
    distortion = -(r * q.log() + (1 - r) * (1 - q).log()).sum(1)
    rate = bernoulli_kl(out.code.logits, torch.logit(torch.tensor(0.2))).sum((1, 2))
    torch.testing.assert_close(out.loss(0.3), (distortion + 0.3 * rate).mean())
    assert out.code.spikes.sum() > 0


def test_examples_do_not_depend_on_their_batch():
    x, r, ids = batch()
    bottleneck = model(decoder=CNNDecoder).double()
    bottleneck.encoder.calibrate(x.double(), 0.3)
    whole = bottleneck(x.double(), r, Noise(0, 3, ids))
    order = torch.tensor([3, 0, 4])
    some = bottleneck(x[order].double(), r[order], Noise(0, 3, ids[order]))
    assert torch.equal(some.code.spikes, whole.code.spikes[order])
    torch.testing.assert_close(some.distortion, whole.distortion[order])
    torch.testing.assert_close(some.rate, whole.rate[order])


def test_a_call_leaves_no_state_behind():
    x, r, ids = batch()
    bottleneck = model()
    noise = Noise(0, 0, ids)
    first = bottleneck(x, r, noise)
    bottleneck(1 - x, r, noise)
    assert torch.equal(first.code.logits, bottleneck(x, r, noise).code.logits)


def test_several_codes_share_their_input():
    x, r, ids = batch(2)
    bottleneck = model(estimator=LeaveOneOut(3))
    _, out = bottleneck.training_loss(x, r, Noise(0, 0, ids))
    assert out.distortion.shape == (6, 1)
    assert out.code.hidden[0].shape[0] == 2


def test_the_last_step_alone_is_charged_for_a_static_target():
    """Spikes of step t are credited with the whole distortion, whatever t."""
    x, r, ids = batch()
    seen = {}

    class Spy(ScoreFunction):
        def advantage(self, returns):
            seen["returns"] = returns
            return super().advantage(returns)

    bottleneck = model(estimator=Spy(STEPS))
    _, out = bottleneck.training_loss(x, r, Noise(0, 0, ids))
    later = torch.cat([out.rate.flip(1).cumsum(1).flip(1)[:, 1:], torch.zeros(len(x), 1)], 1)
    torch.testing.assert_close(seen["returns"], (out.distortion + 0.3 * later).detach())


def test_training_lowers_the_loss():
    bottleneck = model()
    x, r, ids = batch(32)
    bottleneck.encoder.calibrate(x, 0.3)
    optimiser = torch.optim.Adam(bottleneck.parameters(), lr=0.01)
    losses = []
    for step in range(60):
        loss, out = bottleneck.training_loss(x, r, Noise(0, step, ids))
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        losses.append(out.loss(0.3).item())
    assert sum(losses[-10:]) < 0.9 * sum(losses[:10])


def test_errors():
    with pytest.raises(ValueError, match="beta"):
        VDIB(tiny.encoder(), None, None, None, beta=-1.0)


def test_weights_of_steps_want_a_model_that_decodes_at_every_step():
    x, r, ids = batch()
    for measure in (model().forward, model().training_loss):
        with pytest.raises(ValueError, match="need a model that decodes at every step"):
            measure(x, r, Noise(0, 0, ids), torch.ones(STEPS))


def test_weights_count_every_cost_of_their_step():
    x, r = tiny.example()
    weights = torch.tensor([0.0, 2.0, 0.5]).double()
    penalty = {"readout_spikes": (readout_spikes, 0.3)}
    bottleneck = tiny.bottleneck(StraightThrough(), penalties=penalty)
    noise = Noise(0, 0, torch.tensor([0]))
    whole, some = bottleneck(x, r, noise), bottleneck(x, r, noise, weights)
    costs = whole.distortion + tiny.BETA * whole.rate + 0.3 * whole.code.spikes.sum(2)
    torch.testing.assert_close(whole.loss(tiny.BETA), costs.sum(1).mean())
    torch.testing.assert_close(some.loss(tiny.BETA), (weights * costs).sum(1).mean())
    assert whole.code.spikes.sum() > 0


def test_penalties_of_several_codes_are_each_codes_own():
    x, r, ids = batch(2)
    penalties = {"hidden_spikes": (hidden_spikes, 0.5), "readout_spikes": (readout_spikes, 2.0)}
    bottleneck = model(estimator=LeaveOneOut(3), penalties=penalties)
    bottleneck.encoder.calibrate(x, 0.3)
    _, out = bottleneck.training_loss(x, r, Noise(0, 0, ids))
    assert list(out.penalties) == list(penalties)
    hidden, readout = out.penalties.values()
    assert hidden.shape == readout.shape == (6, STEPS)
    torch.testing.assert_close(hidden, 0.5 * out.code.hidden[0].sum(2).repeat(3, 1))
    torch.testing.assert_close(readout, 2.0 * out.code.spikes.sum(2))
    assert float(hidden.sum().detach()) > 0
    both = out.distortion.sum(1) + 0.3 * out.rate.sum(1) + hidden.sum(1) + readout.sum(1)
    torch.testing.assert_close(out.loss(0.3), both.mean())


def test_a_penalty_on_spikes_of_no_layer_is_nothing():
    code = SpikeCode(tiny.spike_train(2, 3, 4), None)
    assert torch.equal(hidden_spikes(code), torch.zeros(2, 3).double())
    for penalty in (hidden_spikes, readout_spikes, hidden_rate, im_loss):
        assert penalty(code).shape == (2, 3)


def test_a_deterministic_readout_costs_its_code_length_and_is_trained_without_an_estimator():
    """The loss itself is differentiated, through the surrogate of the readout's threshold."""
    x, r = tiny.example()

    class Never(StraightThrough):
        def loss(self, drawn):
            raise AssertionError("a deterministic code has no probability to differentiate")

    torch.manual_seed(1)
    readout = srm(*dense((4,), tiny.READOUT))
    torch.nn.init.normal_(readout.synapses.weight, std=1.5)
    torch.nn.init.constant_(readout.bias, 3.0)
    bottleneck = tiny.bottleneck(Never(), readout=readout)
    noise = Noise(0, 0, torch.tensor([0]))
    loss, out = bottleneck.training_loss(x, r, noise)
    code = bottleneck.encoder(x)
    assert torch.equal(out.code.spikes, code.spikes)
    assert 0 < code.spikes.mean() < 1
    length = code_length(code.spikes, bottleneck.prior(code.spikes))
    torch.testing.assert_close(out.rate, length)
    costs = distortion(bottleneck.decode(code), r) + tiny.BETA * length
    expected = costs.sum(1).mean()
    torch.testing.assert_close(loss, expected)
    torch.testing.assert_close(bottleneck(x, r, noise).loss(tiny.BETA), expected)
    grads = torch.autograd.grad(loss, list(bottleneck.encoder.parameters()))
    wanted = torch.autograd.grad(expected, list(bottleneck.encoder.parameters()))
    for grad, other in zip(grads, wanted, strict=True):
        torch.testing.assert_close(grad, other)
        assert grad.abs().max() > 1e-6


@pytest.mark.parametrize("weight", [-1.0, float("nan"), float("inf")])
def test_a_penalty_weighs_a_number_of_at_least_0(weight):
    made = tiny.bottleneck(StraightThrough())
    parts = made.encoder, made.decoder, made.prior, made.estimator
    with pytest.raises(ValueError, match="penalties: the weight of spikes is "):
        VDIB(*parts, penalties={"spikes": (readout_spikes, weight)})


def test_a_decoder_of_other_neurons_is_refused():
    made = tiny.bottleneck(StraightThrough())
    decoder = MLPDecoder(FullWindow(2), tiny.READOUT + 1, 3)
    with pytest.raises(ValueError, match="the decoder reads 3 neurons, the encoder has 2"):
        VDIB(made.encoder, decoder, made.prior, made.estimator)
