"""Online learning: its gradients are those of the sequence without the paths it leaves out."""

import pytest
import tiny
import torch

from vdib import online
from vdib.decoder import Decoder, LogisticDecoder
from vdib.dynamics.firing import Threshold
from vdib.encoder import SpikeCode, SpikingEncoder, build_encoder
from vdib.estimator import RelaxedBernoulli, StraightThrough
from vdib.lightning_modules import choices
from vdib.model import VDIB
from vdib.neurons.spike_response import SRM
from vdib.objective import BITS_PER_NAT, bernoulli_kl, distortion, rate
from vdib.price import Price
from vdib.prior import BernoulliPrior, MarginalPrior
from vdib.signal import Label
from vdib.window import FullWindow, RateWindow

INPUTS, READOUT, STEPS, BATCH, BETA = 5, 3, 12, 2, 0.4


def model(hidden=(), estimator=None, window=FullWindow, prior=None, fire=None):
    torch.manual_seed(0)
    encoder = build_encoder((INPUTS,), READOUT, hidden)
    if fire is not None:
        was = encoder.readout
        readout = SRM(was.synapses, was.shape, was.filter, was.feedback, fire)
        encoder = SpikingEncoder(encoder.layers, readout)
    for layer in (*encoder.layers, encoder.readout):
        torch.nn.init.normal_(layer.synapses.weight, std=0.8)
        torch.nn.init.uniform_(layer.gain, 0.8, 1.6)
        torch.nn.init.normal_(layer.bias, 0.5, 0.3)
    decoder = LogisticDecoder(window(4), READOUT, Label(6))
    torch.nn.init.normal_(decoder.head.weight)
    prior = prior or BernoulliPrior(0.2)
    return VDIB(encoder, decoder, prior, estimator or StraightThrough(), BETA, True).double()


def batch():
    generator = torch.Generator().manual_seed(1)
    x = (torch.rand(BATCH, STEPS, INPUTS, generator=generator) < 0.4).double()
    r = torch.randint(6, (BATCH, STEPS), generator=generator)
    return x, r, torch.rand(BATCH, STEPS, READOUT, generator=generator)


def online_gradient(bottleneck, x, r, u):
    """Of the sum over steps, with constant weights; the spikes and costs of each step beside it."""
    memory = online.begin(bottleneck, x[:, 0])
    total, spikes, costs, rates = 0, [], [], []
    for t in range(x.shape[1]):
        memory = online.advance(bottleneck, x[:, t], u[:, t], memory)
        d, kl = online.step_loss(bottleneck, memory, r[:, t])
        total = total + (d + BETA * kl).mean()
        spikes.append(memory.layers[-1].spikes[:, -1])
        costs.append(d.detach())
        rates.append(kl.detach())
    gradient = tiny.gradient(bottleneck, total)
    return gradient, *(torch.stack(part, 1) for part in (spikes, costs, rates))


def truncated_gradient(bottleneck, x, r, u):
    """Of the whole sequence, feedback held constant and hidden spikes credited as by e-prop."""
    encoder, fire = bottleneck.encoder, bottleneck.estimator.firing()
    below = x
    for layer in (*encoder.layers, encoder.readout):
        rule = layer.fire if layer is not encoder.readout else fire
        with torch.no_grad():
            s, _ = layer(below, rule, u)
        v = layer.given(layer.drive(below.detach()), s)
        if below.requires_grad:
            v = v + layer.same_step_drive(below - below.detach())
        below = s + rule.slope(v.detach(), s) * (v - v.detach())
    decoded = bottleneck.decode(SpikeCode(below, v))
    kl = rate(v, bottleneck.prior(below.detach()))
    loss = (distortion(decoded, r).sum(1) + BETA * kl.sum(1)).mean()
    return tiny.gradient(bottleneck, loss)


CASES = {
    "the reference": {},
    "rate decoding": {"window": RateWindow},
    "relaxed spikes": {"estimator": RelaxedBernoulli(0.5)},
    "a learned marginal": {"prior": MarginalPrior(READOUT, 0.2)},
    "hidden layers": {"hidden": (4, 3)},
}


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_gradients_sum_to_those_of_the_truncated_sequence(case):
    bottleneck, given = model(**case), batch()
    gradient, _, _, _ = online_gradient(bottleneck, *given)
    torch.testing.assert_close(gradient, truncated_gradient(bottleneck, *given))
    assert gradient.abs().max() > 0.1


@pytest.mark.parametrize("readout", ["stochastic", "deterministic"])
@pytest.mark.parametrize("hidden", [(), (4, 3)])
def test_spikes_and_costs_are_those_of_the_sequence(hidden, readout):
    fire = Threshold() if readout == "deterministic" else None
    bottleneck, (x, r, u) = model(hidden, fire=fire), batch()
    _, spikes, costs, rates = online_gradient(bottleneck, x, r, u)
    with torch.no_grad():
        out = bottleneck(x, r, u)
    assert torch.equal(spikes, out.code.spikes)
    torch.testing.assert_close(costs, out.distortion)
    torch.testing.assert_close(rates, out.rate)


@pytest.mark.parametrize("word", choices.PRIORS)
def test_every_prior_sees_the_window_and_no_steps_before_the_first(word):
    torch.manual_seed(0)
    prior = choices.PRIORS[word].part(READOUT, 0.2)
    for weight in prior.parameters():
        torch.nn.init.normal_(weight, std=0.7)
    bottleneck, (x, r, u) = model(prior=prior), batch()
    _, spikes, _, rates = online_gradient(bottleneck, x, r, u)
    with torch.no_grad():
        v = bottleneck(x, r, u).code.logits
        for t in range(STEPS):
            window = spikes[:, max(0, t - 3) : t + 1]
            logits = prior(window).expand_as(window)[:, -1]
            torch.testing.assert_close(rates[:, t], rate(v[:, t], logits))


@pytest.mark.parametrize("num_free", [0, 1, READOUT])
def test_neurons_of_a_low_rate_are_not_charged_at_that_step(num_free):
    """The value stays the whole rate, what is charged is the gradient."""
    bottleneck, (x, r, u) = model(), batch()
    kl = bernoulli_kl(bottleneck(x[:, :1], r[:, :1], u[:, :1]).code.logits, bottleneck.prior.logit)
    means = kl.detach()[:, 0].mean(0) * BITS_PER_NAT
    edges = [0.0, *means.sort().values.tolist(), 1e3]
    bottleneck.price = Price(free_bits=sum(edges[num_free : num_free + 2]) / 2)
    memory = online.advance(bottleneck, x[:, 0], u[:, 0], online.begin(bottleneck, x[:, 0]))
    _, found = online.step_loss(bottleneck, memory, r[:, 0])
    torch.testing.assert_close(found, kl[:, 0].sum(1))
    charged = kl[:, 0, means > bottleneck.price.free_bits]
    assert charged.shape[1] == READOUT - num_free
    bias = bottleneck.encoder.readout.bias
    gradient, wanted = (
        torch.autograd.grad(value.sum(1).mean() + 0 * bias.sum(), bias)[0]
        for value in (found[:, None], charged)
    )
    torch.testing.assert_close(gradient, wanted)
    assert num_free == READOUT or gradient.abs().max() > 1e-3


def test_without_refractoriness_nothing_is_left_out():
    """One layer whose own spikes do not act on it: the sequence's gradient itself."""
    bottleneck, (x, r, u) = model(), batch()
    with torch.no_grad():
        bottleneck.encoder.readout.gain.zero_()
    gradient, _, _, _ = online_gradient(bottleneck, x, r, u)
    loss, _ = bottleneck.training_loss(x, r, u)
    torch.testing.assert_close(gradient, tiny.gradient(bottleneck, loss))


def test_memory_is_of_constant_size():
    bottleneck, (x, _, u) = model((4,)), batch()
    memory, sizes = online.begin(bottleneck, x[:, 0]), []
    for t in range(STEPS):
        memory = online.advance(bottleneck, x[:, t], u[:, t], memory)
        parts = [p for m in memory.layers for p in (m.traces, m.own, m.spikes, *m.filter)]
        sizes.append(sum(part.numel() for part in parts))
        assert not any(part.requires_grad for part in parts)
    assert len(set(sizes)) == 1


def test_layers_and_decoders_it_cannot_do_with_are_refused():
    bottleneck, (x, _, _) = model(), batch()
    gates = SpikingEncoder([tiny.Gates((INPUTS,), INPUTS).double()], bottleneck.encoder.readout)
    decoder, prior, estimator = bottleneck.decoder, bottleneck.prior, bottleneck.estimator
    with pytest.raises(ValueError, match=r"online learning needs layers whose .* Gates is none"):
        online.begin(VDIB(gates, decoder, prior, estimator), x[:, 0])

    class ByCounts(Decoder):
        def forward(self, code, every_step=False):
            raise NotImplementedError

    by_counts = VDIB(bottleneck.encoder, ByCounts(Label(6)), prior, estimator)
    with pytest.raises(ValueError, match="needs a decoder of a window of recent spikes"):
        online.begin(by_counts, x[:, 0])
