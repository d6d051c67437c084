"""A stream equals the whole-sequence forward, stays small, and goes on after being saved."""

import tracemalloc

import pytest
import tiny
import torch

from vdib.decoder import CNNDecoder, Decoder, LogisticDecoder, MLPDecoder
from vdib.dynamics.filters import ExponentialPair
from vdib.encoder import SpikingEncoder, build_encoder
from vdib.estimator import StraightThrough
from vdib.model import VDIB
from vdib.neurons.spike_response import SRM
from vdib.neurons.srm import srm, stochastic_srm
from vdib.neurons.synapses import dense
from vdib.noise import EVALUATION, Noise
from vdib.prior import BernoulliPrior
from vdib.signal import Label
from vdib.stream import NOISE_STEPS
from vdib.window import BasisWindow, FullWindow, RateWindow

INPUTS, READOUT, PATTERNS = 8, 5, 11


def model(hidden=(), decoder=LogisticDecoder, window=FullWindow, readout=None, **more):
    torch.manual_seed(0)
    encoder = build_encoder(more.pop("input_shape", (INPUTS,)), READOUT, hidden, **more)
    if readout is not None:
        encoder = SpikingEncoder(encoder.layers, readout())
    encoder = encoder.double()
    encoder.calibrate(inputs(50, encoder.input_shape), 0.3)
    if not encoder.readout.stochastic:  # or it would be all but silent
        encoder.readout.synapses.by_input.data.mul_(4)
    for layer in (*encoder.layers, encoder.readout):
        if isinstance(layer, SRM):
            torch.nn.init.uniform_(layer.gain, 0.5, 3.0)
    built = decoder(window(4), READOUT, Label(PATTERNS))
    torch.nn.init.normal_(built.head.weight)
    made = VDIB(encoder, built, BernoulliPrior(0.2), StraightThrough(), every_step=True)
    return made.double()


def inputs(steps, shape=(INPUTS,)):
    return tiny.spike_train(1, steps, *shape, seed=1)


def gates(connect, shape, surrogate):
    """A neuron that is no SRM, and that no rule but back-propagation can do with."""
    return tiny.Gates(connect(1).input_shape, shape[0])


CASES = {
    "the reference": {},
    "hidden layers": {"hidden": (7, 6)},
    "rate decoding": {"window": RateWindow},
    "a basis": {"window": lambda length: BasisWindow(length, 3)},
    "an MLP": {"decoder": MLPDecoder},
    "a CNN": {"decoder": CNNDecoder},
    "an endless kernel": {
        "readout": lambda: stochastic_srm(*dense((INPUTS,), READOUT), ExponentialPair())
    },
    "images": {"input_shape": (2, 4, 3)},
    "images into dense layers": {"input_shape": (1, 4, 3), "hidden": (7,)},
    "convolutions": {"input_shape": (1, 6, 6), "conv": (3,), "hidden": (7,)},
    "convolutions alone": {"input_shape": (2, 4, 6), "conv": (2,), "decoder": MLPDecoder},
    "another neuron": {"hidden": (7,), "neuron": gates},
    "thresholds": {"hidden": (7,), "readout": lambda: srm(*dense((7,), READOUT))},
}


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_a_stream_equals_the_whole_sequence(case):
    bottleneck, steps = model(**case), 100 if case else NOISE_STEPS + 100
    x = inputs(steps, bottleneck.encoder.input_shape)
    with torch.no_grad():
        code = bottleneck.encode(x, Noise(3, EVALUATION, torch.tensor([7])))
        decoded = bottleneck.decode(code)
    stream = bottleneck.stream(seed=3, id=7)
    for t in range(steps):
        prediction = stream.push(x[0, t])
        assert torch.equal(stream.spikes, code.spikes[0, t])
        torch.testing.assert_close(prediction.distribution.logits, decoded.logits[0, t])
    assert stream.time == steps
    assert 0.05 < code.spikes.mean() < 0.95


SAVED = ("the reference", "hidden layers", "an endless kernel", "convolutions", "another neuron")


@pytest.mark.parametrize("name", SAVED)
def test_a_saved_stream_goes_on(name):
    bottleneck, steps = model(**CASES[name]), NOISE_STEPS + 30
    x = inputs(steps, bottleneck.encoder.input_shape)[0]
    stream = bottleneck.stream(seed=3)
    for t in range(NOISE_STEPS - 20):
        stream.push(x[t])
    state = stream.state_dict()
    assert all(isinstance(value, torch.Tensor) for value in state.values())
    before = {name: value.clone() for name, value in state.items()}
    # Past a block of noise.
    rest = [stream.push(x[t]).outputs for t in range(NOISE_STEPS - 20, steps)]
    assert all(torch.equal(state[name], before[name]) for name in state)
    other = bottleneck.stream(seed=99)
    other.push(x[0])
    other.load_state_dict(state)
    again = [other.push(x[t]).outputs for t in range(NOISE_STEPS - 20, steps)]
    assert torch.equal(torch.stack(rest), torch.stack(again))
    assert all(torch.equal(state[name], before[name]) for name in state)


@pytest.mark.parametrize("name", CASES)
def test_a_stream_saved_before_its_first_step_begins_anew(name):
    bottleneck = model(**CASES[name])
    x = inputs(20, bottleneck.encoder.input_shape)[0]
    fresh = bottleneck.stream(seed=3, id=5)
    state = fresh.state_dict()
    other = bottleneck.stream(seed=99)
    for now in x:
        other.push(now)
    other.load_state_dict(state)
    assert other.time == 0
    for now in x:
        assert torch.equal(fresh.push(now).outputs, other.push(now).outputs)
        assert torch.equal(fresh.spikes, other.spikes)


def test_streams_do_not_share_anything():
    bottleneck, x = model(), inputs(40)[0]
    alone = [bottleneck.stream(0).push(x[0]).outputs]
    first, second = bottleneck.stream(0), bottleneck.stream(0, id=1)
    for t in range(40):
        now = first.push(x[t]).outputs
        second.push(1 - x[t])
        if t == 0:
            assert torch.equal(now, alone[0])


def test_later_training_does_not_reach_a_stream():
    bottleneck, x = model(), inputs(1)[0]
    stream, expected = bottleneck.stream(0), bottleneck.stream(0).push(x[0]).outputs
    with torch.no_grad():
        for parameter in bottleneck.parameters():
            parameter.add_(1)
    assert torch.equal(stream.push(x[0]).outputs, expected)


def test_memory_does_not_grow():
    bottleneck, x = model(), inputs(100)[0].numpy()
    stream = bottleneck.stream(0)
    sizes = []
    tracemalloc.start()
    for steps in (2 * NOISE_STEPS, 2 * NOISE_STEPS, 2 * NOISE_STEPS):
        for t in range(steps):
            stream.push(x[t % 100])
        sizes.append(tracemalloc.get_traced_memory()[0])
    tracemalloc.stop()
    assert sizes[2] - sizes[1] < 20_000  # bytes; a step's spikes alone would make 80,000


def test_errors():
    stream = model().stream(0)
    with pytest.raises(ValueError, match=r"got shape \(3,\), expected \(8,\)"):
        stream.push(torch.zeros(3))
    images = model(**CASES["images"]).stream(0)
    with pytest.raises(ValueError, match=r"got shape \(24,\), expected \(2, 4, 3\)"):
        images.push(torch.zeros(24))
    with pytest.raises(ValueError, match="a stream of another model"):
        stream.load_state_dict(model(hidden=(4,)).stream(0).state_dict())

    class ByCounts(Decoder):
        def forward(self, code, every_step=False):
            raise NotImplementedError

    encoder, decoder = build_encoder((INPUTS,), READOUT, ()), ByCounts(Label())
    with pytest.raises(ValueError, match="recent spikes or by hand, not by ByCounts"):
        VDIB(encoder, decoder, BernoulliPrior(), StraightThrough()).stream(0)
