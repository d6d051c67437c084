"""The bottleneck as a whole."""

import pytest
import tiny
import torch

from vdib.decoder import CNNDecoder, MLPDecoder
from vdib.encoder import build_encoder
from vdib.estimator import LeaveOneOut, ScoreFunction, StraightThrough
from vdib.model import VDIB
from vdib.noise import Noise
from vdib.objective import bernoulli_kl
from vdib.prior import BernoulliPrior
from vdib.signal import Image
from vdib.window import FullWindow

STEPS, INPUTS, READOUT, PIXELS = 7, 12, 6, 10


def model(window=FullWindow, decoder=MLPDecoder, estimator=None, **window_arguments):
    torch.manual_seed(0)
    encoder = build_encoder((INPUTS,), READOUT, hidden=(9,))
    decoder = decoder(window(STEPS, **window_arguments), READOUT, Image((PIXELS,)))
    return VDIB(encoder, decoder, BernoulliPrior(0.2), estimator or StraightThrough(), beta=0.3)


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
        def term(self, log_prob, returns):
            seen["returns"] = returns
            return super().term(log_prob, returns)

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
