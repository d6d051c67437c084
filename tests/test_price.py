"""What a nat of rate costs in training, and that only training knows of it."""

import pytest
import tiny
import torch

from vdib import online
from vdib.dynamics.firing import Concrete
from vdib.estimator import LeaveOneOut, RelaxedBernoulli, StraightThrough
from vdib.model import VDIB
from vdib.neurons.srm import srm
from vdib.neurons.synapses import dense
from vdib.noise import Noise
from vdib.objective import BITS_PER_NAT, bernoulli_kl
from vdib.price import Price
from vdib.vimco import VIMCO

NOISE = Noise(3, 0, torch.tensor([5, 9]))


def examples():
    pairs = zip(tiny.example(1), tiny.example(2), strict=True)
    return [torch.cat(both) for both in pairs]


def test_the_price_rises_in_a_straight_line_and_stays():
    price = Price(warmup=0.25)
    shares = [price.share(progress) for progress in (0.0, 0.05, 0.2, 0.25, 0.9, 1.0)]
    assert shares == pytest.approx([0.0, 0.2, 0.8, 1.0, 1.0, 1.0])
    assert Price().share(0.0) == 1.0


@pytest.mark.parametrize("estimator", [StraightThrough(), LeaveOneOut(2), VIMCO(2)])
def test_a_model_that_warms_up_is_one_at_a_lower_beta(estimator):
    """Its gradient, not its loss: what is logged and measured is at the full price."""
    x, r = examples()
    model = tiny.bottleneck(estimator, price=Price(warmup=0.4))
    early, out = model.training_loss(x, r, NOISE, None, 0.1)
    mine = tiny.gradient(model, early)
    full, late = model.training_loss(x, r, NOISE)
    cheap = tiny.bottleneck(estimator)
    cheap.beta = tiny.BETA / 4
    wanted, _ = cheap.training_loss(x, r, NOISE)
    wanted = tiny.gradient(cheap, wanted)
    torch.testing.assert_close(mine, wanted)
    assert (tiny.gradient(model, full) - wanted).norm() > 0.1
    torch.testing.assert_close(out.loss(tiny.BETA), late.loss(tiny.BETA))
    costs = out.distortion.sum(1) + tiny.BETA * out.rate.sum(1)
    torch.testing.assert_close(out.loss(tiny.BETA), costs.mean())


def test_bits_up_to_some_are_free_for_each_neuron():
    """The gradient is that of `beta sum_n max(KL_n, free_bits)`, KL_n the mean over the batch."""
    x, r = examples()
    model = tiny.bottleneck(RelaxedBernoulli())  # which differentiates the loss itself
    weights = torch.tensor([0.0, 1.0, 0.5]).double()
    _, out = model.training_loss(x, r, NOISE, weights)
    kl = (weights[:, None] * bernoulli_kl(out.code.logits, out.prior)).sum(1).mean(0)
    torch.testing.assert_close(kl.sum(), out.rate.sum(1).mean())
    between = float(kl.mean().detach())
    assert float(kl.detach().min()) < between < float(kl.detach().max())
    wanted = out.distortion.sum(1).mean() + tiny.BETA * kl.clamp_min(between).sum()
    wanted = tiny.gradient(model, wanted)
    model.price = Price(free_bits=between * BITS_PER_NAT)
    loss, after = model.training_loss(x, r, NOISE, weights)
    torch.testing.assert_close(tiny.gradient(model, loss), wanted)
    torch.testing.assert_close(after.loss(tiny.BETA), out.loss(tiny.BETA))
    plain = tiny.bottleneck(RelaxedBernoulli())
    assert torch.equal(model(x, r, NOISE).rate, plain(x, r, NOISE).rate)


def test_free_bits_of_a_deterministic_code_are_of_its_length():
    x, r = examples()
    torch.manual_seed(0)
    readout = srm(*dense((4,), tiny.READOUT)).double()
    readout.bias.data.copy_(torch.tensor([1.5, -0.5]))
    model = tiny.bottleneck(StraightThrough(), readout=readout)
    _, out = model.training_loss(x, r, NOISE)
    prior = out.prior.expand_as(out.code.spikes)
    lengths = torch.nn.functional.binary_cross_entropy_with_logits(
        prior, out.code.spikes, reduction="none"
    )
    lengths = lengths.sum(1).mean(0)
    between = float(lengths.mean().detach())
    wanted = out.distortion.sum(1).mean() + tiny.BETA * lengths.clamp_min(between).sum()
    wanted = tiny.gradient(model, wanted)
    model.price = Price(free_bits=between * BITS_PER_NAT)
    loss, _ = model.training_loss(x, r, NOISE)
    torch.testing.assert_close(tiny.gradient(model, loss), wanted)
    torch.testing.assert_close(out.rate.sum(1).mean(), lengths.sum())
    assert 0 < out.code.spikes[..., 0].mean() <= 1
    assert (out.code.spikes[..., 1] == 0).all()


def test_sampled_costs_are_at_the_price_of_each_neuron():
    x, r = examples()
    model = tiny.bottleneck(VIMCO(2), price=Price(0.5, 0.4))
    drawn, out = model.draw(x, r, NOISE, torch.tensor([0.0, 1.0, 0.5]).double(), 0.25)
    kl = bernoulli_kl(out.code.logits, out.prior) * torch.tensor([[0.0], [1.0], [0.5]])
    paid = (kl.sum(1).mean(0) * BITS_PER_NAT > 0.4).double()
    assert paid.sum() == 1
    torch.testing.assert_close(drawn.rate, 0.5 * tiny.BETA * (kl * paid).sum(2))
    spikes, p, q = out.code.spikes, out.code.logits.sigmoid(), out.prior.sigmoid()
    ratio = torch.where(spikes > 0.5, p / q, (1 - p) / (1 - q)).log()
    price = 0.5 * tiny.BETA * paid * torch.tensor([[0.0], [1.0], [0.5]])
    costs = out.distortion + (price * ratio).sum(2)
    torch.testing.assert_close(drawn.sampled_costs, costs)


def test_softened_spikes_harden_over_a_training():
    estimator = RelaxedBernoulli(1.0, end=0.25)
    fires = [estimator.firing(progress) for progress in (0.0, 0.5, 1.0)]
    assert fires == [Concrete(1.0), Concrete(0.5), Concrete(0.25)]
    assert RelaxedBernoulli(0.4).firing(0.0) == RelaxedBernoulli(0.4).firing(1.0)
    x, r = examples()
    model = tiny.bottleneck(estimator)
    for progress, temperature in ((0.5, 0.5), (1.0, 0.25)):
        _, out = model.training_loss(x, r, NOISE, None, progress)
        u = out.code.noise.uniform(tiny.STEPS, (tiny.READOUT,))
        soft = torch.sigmoid((out.code.logits - torch.logit(u.double())) / temperature)
        torch.testing.assert_close(out.code.spikes, soft)
    memory = online.begin(model, x[:, 0])
    u = torch.full((2, tiny.READOUT), 0.3).double()
    memory = online.advance(model, x[:, 0], u, memory, 0.5)
    spikes = memory.layers[-1].spikes[:, -1]
    v = model.encoder(x, u[:, None].expand(-1, tiny.STEPS, -1)).logits[:, 0]
    torch.testing.assert_close(spikes, torch.sigmoid((v - torch.logit(u)) / 0.5))
    with pytest.raises(ValueError, match=r"temperature must be positive, got 1\.0 and -1"):
        RelaxedBernoulli(1.0, end=-1)


def test_errors_name_the_setting():
    with pytest.raises(ValueError, match=r"warmup: got 1.5, expected a share of the training"):
        Price(warmup=1.5)
    with pytest.raises(ValueError, match=r"free_bits: got -1, expected 0 or more"):
        Price(free_bits=-1)
    assert isinstance(tiny.bottleneck(StraightThrough()), VDIB)
