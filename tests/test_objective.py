"""The closed forms against enumeration, and the rate against directed information."""

import itertools
import math

import pytest
import torch
from torch.distributions import Bernoulli, Independent, kl_divergence

from vdib.dynamics.filters import RaisedCosines
from vdib.objective import BITS_PER_NAT, bernoulli_kl, code_length, distortion, per_step, rate
from vdib.prior import AutoregressivePrior
from vdib.signal import Curve, Image, Label

F64 = torch.float64


def test_kl_against_enumeration_of_all_patterns():
    torch.manual_seed(0)
    logits, prior = torch.randn(4, dtype=F64), torch.randn(4, dtype=F64)
    total = 0.0
    for bits in itertools.product((0.0, 1.0), repeat=4):
        y = torch.tensor(bits, dtype=F64)
        log_p = Bernoulli(logits=logits).log_prob(y).sum()
        total += log_p.exp() * (log_p - Bernoulli(logits=prior).log_prob(y).sum())
    torch.testing.assert_close(rate(logits[None, None], prior)[0, 0], total)


def test_kl_is_stable_far_out():
    a = torch.tensor([-200.0, 200.0, 30.0])
    assert bernoulli_kl(a, torch.zeros(3)).tolist() == pytest.approx([math.log(2)] * 3)
    assert bernoulli_kl(a, a).abs().max() < 1e-5


def test_kl_against_torch():
    torch.manual_seed(0)
    a, b = torch.randn(100, dtype=F64), torch.randn(100, dtype=F64)
    expected = kl_divergence(Bernoulli(logits=a), Bernoulli(logits=b))
    torch.testing.assert_close(bernoulli_kl(a, b), expected)


class ToyChannel:
    """`y_t ~ Bernoulli(sigmoid(w x_t + c y_{t-1} + b))`, x_t fair coins, T = 3, one neuron.

    Everything about it is a sum over the 8 inputs and 8 outputs.
    """

    steps = 3

    def __init__(self, w, c, b):
        bits = torch.tensor(list(itertools.product((0.0, 1.0), repeat=self.steps)), dtype=F64)
        x, y = bits[:, None, :], bits[None, :, :]
        past = torch.cat([torch.zeros(1, len(bits), 1, dtype=F64), y[..., :-1]], -1)
        self.logits = w * x + c * past + b  # x, y, T
        self.y = y.expand_as(self.logits)
        log_p = torch.where(self.y > 0.5, self.logits, -self.logits).sigmoid().log()
        self.step_log_p = log_p  # log p(y_t | y^{t-1}, x^t)
        self.joint = log_p.sum(-1).exp() / len(bits)

    def marginal_logits(self):
        """Of `p(y_t | y^{t-1})`, from the joint, `(y, T)`."""
        probability = self.joint.sum(0)  # of y
        columns = []
        for t in range(self.steps):
            prefix = self.y[0, :, :t]
            same = (prefix[:, None] == prefix[None]).all(-1).to(F64)
            spiking = same @ (probability * self.y[0, :, t])
            columns.append(torch.logit(spiking / (same @ probability)))
        return torch.stack(columns, -1)

    def directed_information(self):
        """`sum_t I(x^t; y_t | y^{t-1})`, from the definition, in nats."""
        marginal = torch.where(self.y[0] > 0.5, 1, -1) * self.marginal_logits()
        ratio = self.step_log_p - marginal.sigmoid().log()
        return (self.joint * ratio.sum(-1)).sum()

    def rate(self, prior_logits):
        rows = rate(self.logits.flatten(0, 1)[..., None], prior_logits)
        return (self.joint.flatten() * rows.sum(1)).sum()


CHANNELS = [(2.0, 0.0, -1.0), (3.0, -4.0, 0.5), (0.0, 2.0, -1.0)]


@pytest.mark.parametrize("parameters", CHANNELS)
def test_rate_under_the_true_marginal_is_the_directed_information(parameters):
    channel = ToyChannel(*parameters)
    true = channel.marginal_logits().expand_as(channel.logits).flatten(0, 1)[..., None]
    torch.testing.assert_close(channel.rate(true), channel.directed_information())


def test_directed_information_of_a_binary_symmetric_channel():
    """Analytic: three uses of a channel that flips with probability e carry 3 (1 - H(e)) bits."""
    flip = 0.1
    odds = math.log((1 - flip) / flip)
    channel = ToyChannel(2 * odds, 0.0, -odds)
    bits = 3 * (1 + flip * math.log2(flip) + (1 - flip) * math.log2(1 - flip))
    fair = torch.zeros((), dtype=F64)
    assert float(channel.rate(fair)) * BITS_PER_NAT == pytest.approx(bits)
    assert float(channel.directed_information()) * BITS_PER_NAT == pytest.approx(bits)


@pytest.mark.parametrize("parameters", CHANNELS)
def test_no_prior_falls_below_the_directed_information(parameters):
    channel = ToyChannel(*parameters)
    information = channel.directed_information()
    generator = torch.Generator().manual_seed(0)
    for _ in range(200):  # arbitrary functions of the past
        noise = 3 * torch.randn(8, 3, generator=generator, dtype=F64)
        prior = torch.zeros(8, 3, dtype=F64)
        for t in range(3):
            index = (channel.y[0, :, :t] @ (2.0 ** torch.arange(t, dtype=F64))).long()
            prior[:, t] = noise[index, t]
        assert channel.rate(prior.expand(8, 8, 3).flatten(0, 1)[..., None]) >= information


def test_distortion_of_grey_pixels_is_their_cross_entropy():
    torch.manual_seed(0)
    logits, grey = torch.randn(2, 1, 5, dtype=F64), torch.rand(2, 5, dtype=F64)
    q = logits[:, 0].sigmoid()
    expected = -(grey * q.log() + (1 - grey) * (1 - q).log()).sum(1, keepdim=True)
    decoded = Independent(Bernoulli(logits=logits, validate_args=False), 1, validate_args=False)
    torch.testing.assert_close(distortion(decoded, grey), expected)


@pytest.mark.parametrize(
    ("signal", "r"),
    [
        (Curve(1), (4,)),  # would be broadcast to every pair of examples
        (Label(3), (4, 3)),  # one-hot
        (Image((2, 2)), (4, 2, 2)),
        (Image((2, 2)), (3, 4)),
        (Image((2, 2)), (4, 2, 4)),
    ],
)
def test_a_signal_of_another_shape_is_refused(signal, r):
    decoded = signal.likelihood(torch.zeros(4, 1, signal.num_outputs))
    with pytest.raises(ValueError, match=r"r: got shape .*, expected \(4"):
        distortion(decoded, torch.zeros(r))


def test_a_label_that_is_no_class_is_refused():
    assert Label(3).constant(torch.tensor([0, 2])).exp().tolist() == pytest.approx([0.4, 0.2, 0.4])
    for wrong in (3, -1):
        with pytest.raises(ValueError, match=f"labels: got {wrong}, expected 0 to 2"):
            Label(3).constant(torch.tensor([0, wrong]))


def test_costs_fall_due_when_they_are_decoded():
    final, always = torch.tensor([[5.0]]), torch.tensor([[1.0, 2.0, 3.0]])
    assert per_step(final, 3).tolist() == [[0.0, 0.0, 5.0]]
    assert per_step(always, 3) is always


def test_code_lengths_are_those_of_a_distribution_over_codes():
    """Kraft with equality: under a causal prior the probabilities of all codes add up to 1."""
    prior = AutoregressivePrior(2, 0.3, RaisedCosines(2, 3)).double()
    torch.manual_seed(0)
    torch.nn.init.normal_(prior.linear.weight)
    codes = torch.tensor(list(itertools.product((0.0, 1.0), repeat=8)), dtype=F64).view(-1, 4, 2)
    length = code_length(codes, prior(codes))
    assert length.shape == (256, 4)
    assert (length > 0).all()
    torch.testing.assert_close(torch.exp(-length.sum(1)).sum(), torch.ones((), dtype=F64))
    expected = -Bernoulli(logits=prior(codes)).log_prob(codes).sum(-1)
    torch.testing.assert_close(length, expected)


def test_a_code_length_is_the_rate_of_a_code_that_is_certain():
    spikes, prior = torch.tensor([[[1.0, 0.0]]], dtype=F64), torch.tensor([0.3, -2.0], dtype=F64)
    certain = 1e3 * (2 * spikes - 1)
    torch.testing.assert_close(code_length(spikes, prior), rate(certain, prior))
    far = code_length(spikes, torch.tensor([-400.0, 400.0], dtype=F64))
    assert far.tolist() == [[800.0]]
