"""Natural signals: the best constant answer, shapes, and which decoder takes which."""

import math

import pytest
import torch
from suites import SIGNALS
from tiny import spike_train

from vdib.decoder import Decoder
from vdib.encoder import SpikeCode
from vdib.objective import distortion
from vdib.signal import Curve, Image, Label


def draw(*shape, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(*shape, generator=generator, dtype=torch.float64)


EXAMPLES = {
    "image": (Image((2, 2)), torch.sigmoid(draw(50, 4))),
    "label": (Label(3), torch.arange(50).pow(2) % 3),
    "curve": (Curve(2), 3 * draw(50, 2) + 1),
}
signals = pytest.mark.parametrize(("signal", "r"), EXAMPLES.values(), ids=list(EXAMPLES))


@signals
def test_the_constant_answer_costs_least(signal, r):
    """Least of all near it: the mean cost has no slope there, and grows every way."""
    if isinstance(signal, Label):  # one more of each class, so that none is impossible
        r = torch.cat([r, torch.arange(3)])
        best = signal.constant(r[:50]).double()
    else:
        best = signal.constant(r)
    assert best.shape == (signal.num_outputs,)
    best.requires_grad_()

    def cost(outputs):
        return -signal.likelihood(outputs.expand(len(r), -1)).log_prob(r).mean()

    (slope,) = torch.autograd.grad(cost(best), best)
    torch.testing.assert_close(slope, torch.zeros_like(slope), rtol=0, atol=1e-6)
    for seed in range(20):
        assert cost(best + 0.1 * draw(signal.num_outputs, seed=seed)) > cost(best)


def test_constant_answers_at_the_ends_are_finite():
    assert Image((2,)).constant(torch.tensor([[0.0, 1.0]])).isfinite().all()
    assert Label(4).constant(torch.tensor([2, 2])).tolist() == pytest.approx(
        [math.log(n / 6) for n in (1, 1, 3, 1)]
    )
    assert Curve(1).constant(torch.tensor([[2.0], [2.0]])).tolist() == pytest.approx(
        [2.0, math.log(1e-3)]
    )


@signals
def test_distortions_are_per_example_and_decoding(signal, r):
    outputs = draw(50, 1, signal.num_outputs)
    once = distortion(signal.likelihood(outputs), r)
    assert once.shape == (50, 1)
    every = outputs.expand(-1, 5, -1)
    at_each = r[:, None].expand(-1, 5, *r.shape[1:])
    cost = distortion(signal.likelihood(every), at_each)
    torch.testing.assert_close(cost, once.expand(50, 5))


def test_labels_cost_the_log_of_their_probability():
    outputs = torch.tensor([[0.0, math.log(3.0)]])
    cost = -Label(2).likelihood(outputs).log_prob(torch.tensor([1]))
    assert float(cost) == pytest.approx(math.log(4 / 3))
    with pytest.raises(ValueError, match="labels: got 1 classes, expected at least 2"):
        Label(1)


def test_curves_cost_their_density():
    # Two deviations off a mean of 1 with deviation e: 2 + 1 + log(2 pi) / 2.
    outputs = torch.tensor([[1.0, 1.0]])
    cost = -Curve(1).likelihood(outputs).log_prob(torch.tensor([[1 + 2 * math.e]]))
    assert float(cost) == pytest.approx(3 + math.log(2 * math.pi) / 2)


class Votes(Decoder):
    """A decoder without weights: each neuron stands for a class."""

    DECODES = (Label, Curve)

    def forward(self, code, every_step=False):
        counts = code.spikes.cumsum(1) if every_step else code.spikes.sum(1, keepdim=True)
        return self.signal.likelihood(counts)


def test_a_decoder_says_what_it_decodes():
    with pytest.raises(ValueError, match=r"^Votes decodes labels or curves, the data hold images$"):
        Votes(Image((2, 2)))
    votes = Votes(Label(3))
    code = SpikeCode(spike_train(2, 9, 3), None)
    decoded = votes(code, every_step=True)
    assert decoded.batch_shape == (2, 9)
    torch.testing.assert_close(decoded.logits[:, -1], votes(code).logits[:, 0])
    votes.start_from(torch.zeros(3))  # it does not learn
    assert not list(votes.parameters())


def test_every_kind_of_signal_has_examples_in_the_suites():
    assert {type(signal) for signal, _ in SIGNALS.values()} == {Image, Label, Curve}
