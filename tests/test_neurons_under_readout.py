"""Every hidden neuron under the stochastic readout: each estimator, window and prior, and streams.

Of a network whose codes can be enumerated, the exact gradient says where the estimators' point.
"""

from functools import partial

import pytest
import tiny
import torch

from vdib import online
from vdib.decoder import LogisticDecoder, MLPDecoder
from vdib.encoder import build_encoder
from vdib.estimator import LeaveOneOut, StraightThrough
from vdib.lightning_modules import choices
from vdib.model import VDIB
from vdib.neurons.readout import sampled
from vdib.noise import EVALUATION, Noise
from vdib.objective import distortion
from vdib.prior import BernoulliPrior
from vdib.signal import Image, Label

words = pytest.mark.parametrize("word", choices.NEURONS)


def full(length, num_basis):
    return choices.WINDOWS["full"].part(length, num_basis)


def bottleneck(word, estimator=None, window=full, prior=None):
    """Three inputs, six hidden neurons that fire often, a readout of two, all in float64."""
    torch.manual_seed(0)
    neuron = choices.NEURONS[word].part
    estimator = estimator or LeaveOneOut()
    readout = partial(sampled, feedback=not estimator.antithetic)
    kind = {"neuron": neuron, "readout": readout}
    encoder = build_encoder((3,), tiny.READOUT, (6,), num_filters=2, **kind).double()
    encoder.calibrate(tiny.spike_train(20, tiny.STEPS, 3, rate=0.6), 0.3)
    with torch.no_grad():
        for layer in encoder.layers:
            for _, weight in layer.synapses.named_parameters():
                weight.mul_(2.5)
    decoder = MLPDecoder(window(2, 2), tiny.READOUT, Image((3,)), num_hidden=5)
    for weight in (decoder.hidden.weight, decoder.head.weight):
        torch.nn.init.normal_(weight, std=1.5)
    prior = prior or BernoulliPrior(0.3)
    return VDIB(encoder, decoder, prior, estimator, tiny.BETA, True).double()


def assert_it_points_at_the_exact_gradient(model, least):
    """The hidden layer's, of the mean over many codes of one input."""
    x, r = tiny.example()
    hidden = [p for p in model.encoder.layers[0].parameters() if p.requires_grad]

    def flat(loss):
        return torch.cat([grad.flatten() for grad in torch.autograd.grad(loss, hidden)])

    exact = flat(tiny.exact_loss(model, x, r))
    assert exact.norm() > 1e-3
    # An antithetic pair tells little of the faint gradient of recurrent neurons.
    ids = torch.arange(16_000 if model.estimator.antithetic else 1_000)
    many = [given.expand(len(ids), -1, -1) for given in (x, r)]
    for step in range(2):  # the first of a moving baseline has none yet
        loss, _ = model.training_loss(*many, Noise(5, step, ids))
    cosine = torch.nn.functional.cosine_similarity(flat(loss), exact, dim=0)
    assert cosine > least


@words
@pytest.mark.parametrize("estimator", choices.ESTIMATORS)
def test_every_estimator_trains_it(word, estimator):
    choice = choices.ESTIMATORS[estimator]
    # More than none: of another objective, or biased.
    least = 0.9 if choice.words.endswith("; unbiased") else 0.2
    model = bottleneck(word, choice.part(tiny.STEPS, tiny.READOUT))
    assert_it_points_at_the_exact_gradient(model, least)


@words
@pytest.mark.parametrize("window", choices.WINDOWS)
def test_every_window_reads_it(word, window):
    model = bottleneck(word, window=choices.WINDOWS[window].part)
    assert_it_points_at_the_exact_gradient(model, 0.9)


@words
@pytest.mark.parametrize("prior", choices.PRIORS)
def test_every_prior_predicts_it(word, prior):
    model = bottleneck(word, prior=choices.PRIORS[prior].part(tiny.READOUT, 0.3))
    assert_it_points_at_the_exact_gradient(model, 0.9)


def of_labels(word):
    torch.manual_seed(0)
    encoder = build_encoder((8,), 5, (7, 6), neuron=choices.NEURONS[word].part).double()
    encoder.calibrate(tiny.spike_train(1, 50, 8, seed=1), 0.3)
    with torch.no_grad():
        for layer in encoder.layers:  # or some neurons would hardly fire
            for _, weight in layer.synapses.named_parameters():
                weight.mul_(6)
    decoder = LogisticDecoder(full(4, 2), 5, Label(11))
    torch.nn.init.normal_(decoder.head.weight)
    return VDIB(encoder, decoder, BernoulliPrior(0.2), StraightThrough(), every_step=True).double()


@words
def test_streams_are_sequences_and_go_on_after_being_saved(word):
    model, x = of_labels(word), tiny.spike_train(1, 60, 8, seed=1)
    with torch.no_grad():
        code = model.encode(x, Noise(3, EVALUATION, torch.tensor([7])))
        decoded = model.decode(code)
    assert all(out.abs().mean() > 0.02 for out in code.hidden)  # of an LSTM, no spikes
    stream = model.stream(seed=3, id=7)
    for t in range(60):
        if t == 25:
            saved, stream = stream.state_dict(), model.stream(seed=0)
            stream.load_state_dict(saved)
        prediction = stream.push(x[0, t])
        assert torch.equal(stream.spikes, code.spikes[0, t])
        torch.testing.assert_close(
            prediction.distribution.logits, decoded.logits[0, t], rtol=1e-8, atol=1e-8
        )


@words
def test_online_learning_goes_through_the_same_spikes_or_is_refused(word):
    model, x = of_labels(word), tiny.spike_train(1, 20, 8, seed=1)
    layers = model.encoder.layers
    if not all(hasattr(layer, "from_traces") for layer in layers):
        name = type(layers[0]).__name__
        with pytest.raises(ValueError, match=f"online learning needs layers .* {name} is none"):
            online.begin(model, x[:, 0])
        return
    noise = Noise(3, EVALUATION, torch.tensor([7])).uniform(2, 20, (5,))
    with torch.no_grad():
        code = model.encoder(x, noise)
    memory = online.begin(model, x[:, 0])
    for t in range(20):
        memory = online.advance(model, x[:, t], noise[:, t], memory)
        assert torch.equal(memory.layers[-1].spikes[:, -1], code.spikes[:, t])
        assert torch.equal(memory.layers[1].spikes[:, -1], code.hidden[1][:, t])
    cost, _ = online.step_loss(model, memory, torch.tensor([4]))
    expected = distortion(model.decode(code), torch.full((1, 20), 4))[:, -1]
    torch.testing.assert_close(cost, expected, rtol=1e-8, atol=1e-8)
