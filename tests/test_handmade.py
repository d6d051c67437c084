"""Decoders with nothing to learn, against the formulas of their papers and by enumeration."""

import math

import pytest
import tiny
import torch
from torch.distributions import Normal

from vdib.encoder import SpikeCode, SpikingEncoder
from vdib.estimator import ByScore
from vdib.first_spike import FirstSpikeDecoder
from vdib.handmade import CountDecoder
from vdib.lightning_modules.naturalisation.image_data import ImageData
from vdib.lightning_modules.naturalisation.module import NaturalisationModule
from vdib.membrane import MembraneDecoder
from vdib.model import VDIB
from vdib.neurons.srm import srm
from vdib.neurons.synapses import dense
from vdib.noise import EVALUATION, Noise
from vdib.prior import BernoulliPrior
from vdib.signal import Image, Label
from vdib.van_rossum import VanRossumDecoder, target_train
from vdib.window import FullWindow


def bottleneck(decoder, estimator, beta=0.0, readout=None):
    """A tiny network, every code of which can be enumerated, that says one of two labels."""
    torch.manual_seed(0)
    encoder = tiny.encoder()
    if readout is not None:
        encoder = SpikingEncoder(encoder.layers, readout)
    decoder = decoder(FullWindow(tiny.STEPS), tiny.READOUT, Label(tiny.READOUT))
    return VDIB(encoder, decoder, BernoulliPrior(0.3), estimator, beta).double()


class Unmoved(ByScore):
    """The score function without a baseline: exact in expectation, code by code."""

    def advantage(self, returns):
        return returns


class Never(Unmoved):
    def loss(self, drawn):
        raise AssertionError("nothing is learnt from what was drawn")


# --- first to spike ---------------------------------------------------------------------------


def first_alone(codes):
    """Who fires first in each code, -1 where several do or none, `(C,)`."""
    out = []
    for code in codes:
        fires = [row for row in code.tolist() if any(row)]
        alone = fires and sum(fires[0]) == 1
        out.append(fires[0].index(1.0) if alone else -1)
    return torch.tensor(out)


def test_the_first_to_spike_has_the_probability_of_its_codes():
    """By enumeration: under refractoriness, which no neuron feels before it fires."""
    model, (x, _) = bottleneck(FirstSpikeDecoder, Never()), tiny.example()
    codes = tiny.all_codes()
    log_p, _ = tiny.log_probability(model, x, codes)
    who = first_alone(codes)
    expected = torch.stack([log_p[who == c].logsumexp(0) for c in range(tiny.READOUT)])
    code = model.encode(x, tiny.forcing(codes[:1]))
    found = torch.stack([model.decode(code).log_prob(torch.tensor([[c]])) for c in range(2)])
    torch.testing.assert_close(found.flatten(), expected, rtol=1e-12, atol=1e-12)
    assert 0.1 < log_p[who < 0].exp().sum() < 0.9  # ties and silence, that count for no class
    torch.testing.assert_close(model.decode(code).probs[0, 0], expected.softmax(0))
    for c in range(2):
        loss, _ = model.training_loss(x, torch.tensor([c]), tiny.forcing(codes[5:6]))
        again, _ = tiny.log_probability(model, x, codes)
        wanted = tiny.gradient(model, -again[who == c].logsumexp(0))
        assert wanted.norm() > 0.1
        torch.testing.assert_close(tiny.gradient(model, loss), wanted, rtol=1e-9, atol=1e-9)
        torch.testing.assert_close(loss, -expected[c])


def test_a_rate_beside_it_is_still_learnt_from_samples():
    """The mean over all codes of the gradient is that of the exact loss."""
    model, (x, _) = bottleneck(FirstSpikeDecoder, Unmoved(), beta=0.7), tiny.example()
    codes, r = tiny.all_codes(), torch.tensor([1])
    log_p, _ = tiny.log_probability(model, x, codes)
    exact = 0
    for p, code in zip(log_p.exp(), codes[:, None], strict=True):
        exact = exact + p * model(x, r, tiny.forcing(code)).loss(0.7)
    wanted = tiny.gradient(model, exact)
    mean = torch.zeros_like(wanted)
    for p, code in zip(log_p.exp().detach(), codes[:, None], strict=True):
        loss, _ = model.training_loss(x, r, tiny.forcing(code))
        mean += p * tiny.gradient(model, loss)
    torch.testing.assert_close(mean, wanted, rtol=1e-9, atol=1e-9)


def test_it_is_exact_where_probabilities_underflow():
    drive = torch.tensor([[[-800.0, -900.0]] * 3]).double()
    decoder = FirstSpikeDecoder(FullWindow(3), 2, Label(2))
    code = SpikeCode(torch.zeros(1, 3, 2), None, drive=drive)
    found = [float(decoder(code).log_prob(torch.tensor([[c]]))) for c in range(2)]
    assert found == pytest.approx([-800 + math.log(3), -900 + math.log(3)])


def test_who_fires_first_is_the_decision():
    decoder = FirstSpikeDecoder(FullWindow(4), 3, Label(3))
    spikes, drive = torch.zeros(3, 4, 3), torch.zeros(3, 4, 3)
    spikes[0, 2, 1] = spikes[0, 3, 0] = 1
    spikes[1, 1, [0, 2]] = 1  # of two, the one with the larger drive
    drive[1, 1] = torch.tensor([-1.0, 3.0, 1.0])
    drive[2, :, 2] = 0.5  # silence: the likeliest
    label, step = decoder.decide(SpikeCode(spikes, None, drive=drive))
    assert label.tolist() == [1, 2, 2]
    assert step.tolist() == [3, 2, 4]


def test_readouts_without_a_sampled_drive_are_refused():
    with pytest.raises(ValueError, match="FirstSpikeDecoder needs the readout sampled"):
        bottleneck(FirstSpikeDecoder, Never(), readout=srm(*dense((4,), 2)))
    with pytest.raises(ValueError, match=r"FirstSpikeDecoder needs layers .* Gates is none"):
        bottleneck(FirstSpikeDecoder, Never(), readout=tiny.Gates((4,), 2))


# --- filtered trains ---------------------------------------------------------------------------


def convolved(train, tau):
    """`sum_{u <= t} exp(-(t - u) / tau) train[u]`, term by term."""
    return [
        sum(math.exp(-(t - u) / tau) * train[u] for u in range(t + 1)) for t in range(len(train))
    ]


def test_the_distance_of_van_rossum_is_that_of_direct_convolutions():
    tau, steps, labels = 4.0, 25, torch.tensor([1, 0, 2])
    spikes = tiny.spike_train(3, steps, 3, rate=0.25)
    decoder = VanRossumDecoder(FullWindow(steps), 3, Label(3), 0.2, 0.04, tau=tau)
    trains = {rate: [float((t + 1) % round(1 / rate) == 0) for t in range(steps)]
              for rate in (0.2, 0.04)}  # fmt: skip
    for i, label in enumerate(labels.tolist()):
        squares = 0.0
        for neuron in range(3):
            target = trains[0.2 if neuron == label else 0.04]
            pairs = zip(convolved(spikes[i, :, neuron].tolist(), tau),
                        convolved(target, tau), strict=True)  # fmt: skip
            squares += sum((f - g) ** 2 for f, g in pairs) / tau
        constant = 3 * steps * math.log(math.sqrt(tau) * math.sqrt(2 * math.pi))
        found = decoder(SpikeCode(spikes[i : i + 1], None)).log_prob(labels[i : i + 1, None])
        assert float(found) == pytest.approx(-squares / 2 - constant, rel=1e-12)
    label, step = decoder.decide(SpikeCode(spikes, None))
    every = torch.stack([decoder(SpikeCode(spikes, None)).log_prob(torch.full((3, 1), c))[:, 0]
                         for c in range(3)])  # fmt: skip
    assert torch.equal(label, every.argmax(0))
    assert (step == steps).all()


def test_a_spike_is_half_a_distance_and_a_late_one_next_to_nothing():
    """What the paper says of its distance, for a filter that is long in steps."""
    tau, steps = 50.0, 1000
    decoder = VanRossumDecoder(FullWindow(steps), 2, Label(2), 0.002, 0.0, tau=tau)

    def distance(*times):
        code = torch.zeros(1, steps, 2).double()
        code[0, list(times), 0] = 1
        return -2 * float(decoder(SpikeCode(code, None)).log_prob(torch.tensor([[0]])))

    exact = distance(499, 999)
    assert distance(999) - exact == pytest.approx(0.5, rel=0.03)
    assert 0 < distance(500, 999) - exact < 0.03
    assert distance(199, 999) - exact == pytest.approx(1.0, rel=0.03)


def test_targets_are_evenly_spaced_and_as_many_as_said():
    for count in (0, 1, 3, 7, 30, 100):
        train = target_train(count, 100)
        assert train.sum() == count
        assert not count or train[-1] == 1
        gaps = train.nonzero().flatten().diff()
        assert len(gaps) < 2 or gaps.max() - gaps.min() <= 1


# --- counts and membrane ----------------------------------------------------------------------


def test_counts_are_normal_around_their_targets():
    """SLAYER's loss, `(n - d)^2 / (2 L)` summed over neurons, but for its constant."""
    spikes = tiny.spike_train(5, 300, 10, rate=0.1)
    labels, counts = torch.arange(5), spikes.sum(1)
    decoder = CountDecoder(FullWindow(300), 10, Label(10), 60 / 300, 10 / 300)
    target = torch.full((5, 10), 10.0).double()
    target[labels, labels] = 60
    found = decoder(SpikeCode(spikes, None)).log_prob(labels[:, None])[:, 0]
    expected = Normal(target, math.sqrt(300)).log_prob(counts).sum(1)
    torch.testing.assert_close(found, expected)
    slayer = (counts - target).square().sum(1) / (2 * 300)
    torch.testing.assert_close(found + slayer, (found + slayer).mean().expand(5))
    narrow = CountDecoder(FullWindow(300), 10, Label(10), sigma=2.0)
    assert narrow(SpikeCode(spikes, None)).log_prob(labels[:, None]).std() > found.std()
    label, step = decoder.decide(SpikeCode(spikes, None))
    assert torch.equal(label, counts.argmax(1))
    assert (step == 300).all()


def test_the_membrane_is_snntorchs_cross_entropy_at_every_step():
    v, labels = torch.randn(4, 25, 10).double(), torch.tensor([3, 0, 9, 3])
    spikes = tiny.spike_train(4, 25, 10)
    decoder = MembraneDecoder(FullWindow(25), 10, Label(10))
    potential = v + 1.0  # U = v + theta
    loss = sum(torch.nn.functional.cross_entropy(potential[:, t], labels) for t in range(25))
    code = SpikeCode(spikes, v)
    torch.testing.assert_close(-decoder(code).log_prob(labels[:, None]).mean(), loss)
    label, step = decoder.decide(code)
    assert torch.equal(label, spikes.sum(1).max(1)[1])
    assert (step == 25).all()
    with pytest.raises(ValueError, match="needs a readout that has a distance from threshold"):
        decoder(SpikeCode(spikes, None))


def test_decisions_by_count_by_the_membrane_and_by_who_fires_first():
    """Of one code, three answers; in silence the likeliest, at the end."""
    spikes, v = torch.zeros(3, 4, 3), torch.zeros(3, 4, 3)
    spikes[0, 1, 0] = spikes[0, 2, 1] = spikes[0, 3, 1] = 1
    v[0, :, 2] = 1
    spikes[1, 2, [0, 2]] = 1  # of two at once, the one with the larger v
    v[1, 2] = torch.tensor([0.5, 3.0, 0.75])
    v[2, :, 1] = 1
    code = SpikeCode(spikes, v)
    expected = {
        "count": ([1, 0, 0], [4, 4, 4]),
        "likeliest": ([2, 1, 1], [4, 4, 4]),
        "first_spike": ([0, 2, 1], [2, 3, 4]),
    }
    for decision, (labels, steps) in expected.items():
        label, step = MembraneDecoder(FullWindow(4), 3, Label(3), decision).decide(code)
        assert (label.tolist(), step.tolist()) == (labels, steps)
    first = CountDecoder(FullWindow(4), 3, Label(3), decision="first_spike")
    assert first.decide(SpikeCode(spikes, None))[1].tolist() == [2, 3, 4]
    with pytest.raises(ValueError, match="decision: got last, expected likeliest, count, first"):
        CountDecoder(FullWindow(4), 3, Label(3), decision="last")


@pytest.mark.parametrize(
    "kind", [CountDecoder, VanRossumDecoder, MembraneDecoder, FirstSpikeDecoder]
)
def test_one_neuron_a_class(kind):
    with pytest.raises(ValueError, match="got num_readout 12, expected 10"):
        kind(FullWindow(9), 12, Label(10))
    with pytest.raises(ValueError, match="decodes labels, the data hold images"):
        kind(FullWindow(9), 10, Image((10,)))


@pytest.mark.parametrize("given", [{"target_true": 0.01}, {"target_true": 1.2}, {"sigma": 0.0}])
def test_odd_targets_are_refused(given):
    with pytest.raises(ValueError, match="expected"):
        CountDecoder(FullWindow(30), 10, Label(10), **given)
    with pytest.raises(ValueError, match="expected"):
        VanRossumDecoder(FullWindow(30), 10, Label(10), **given)


@pytest.mark.parametrize("given", [{"tau": 0.0}, {"tau": math.inf}, {"sigma": math.nan}])
def test_odd_filters_are_refused(given):
    with pytest.raises(ValueError, match="expected numbers above 0"):
        VanRossumDecoder(FullWindow(30), 10, Label(10), **given)
    with pytest.raises(ValueError, match="1 spikes in 9 steps for all: a larger target_true"):
        VanRossumDecoder(FullWindow(9), 10, Label(10), 0.1, 0.08)


# --- in an experiment -------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("word", "readout"),
    [
        *(("counts", readout) for readout in ("sampled", "threshold")),
        *(("van_rossum", readout) for readout in ("sampled", "threshold")),
        *(("membrane", readout) for readout in ("sampled", "threshold")),
        ("first_spike", "sampled"),
        ("mlp", "sampled"),
    ],
)
def test_labels_are_measured_by_the_decision(word, readout, monkeypatch):
    data = ImageData(target="label", num_steps=12)
    torch.manual_seed(0)
    taken = {name: getattr(data, name) for name in NaturalisationModule.TAKES}
    module = NaturalisationModule(
        **taken, hidden=[20], num_readout=10, decoder=word, readout=readout
    )
    module.start(data)
    batch, seen = data.examples("test", 60), {}
    monkeypatch.setattr(module, "log_figures", lambda stage, figures, count: seen.update(figures))
    with torch.no_grad():
        module.evaluate("test", batch)
        code = module.vdib.encode(batch.spikes, Noise(0, EVALUATION, batch.id))
        label, step = module.vdib.decoder.decide(code)
    assert seen["class_accuracy"] == pytest.approx(float((label == batch.label).float().mean()))
    assert seen["decision_step"] == pytest.approx(float(step.float().mean()))
    assert (seen["decision_step"] < 12) == (word == "first_spike")
    loss, _ = module.training_loss(batch, Noise(0, 1, batch.id))
    loss.backward()
    weights = [*module.vdib.encoder.parameters()]
    assert all(weight.grad.abs().max() > 0 for weight in weights if weight.dim() > 1)
    compared = word in ("first_spike", "mlp")  # with a probability, and no density of counts
    assert (module.constant(data) is not None) == compared
    with torch.no_grad():
        assert {"raster", "code_tsne", "confusion"} <= set(module.figures(batch))
