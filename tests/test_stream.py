"""A stream equals the whole-sequence forward, stays small, and goes on after being saved."""

import tracemalloc

import pytest
import torch

from vdib.decoder import CNNDecoder, Decoder, LogisticDecoder, MLPDecoder
from vdib.dynamics.filters import ExponentialPair
from vdib.encoder import SpikingEncoder, build_encoder
from vdib.estimator import StraightThrough
from vdib.model import VDIB
from vdib.neurons.srm import stochastic_srm
from vdib.neurons.synapses import dense
from vdib.noise import EVALUATION, Noise
from vdib.prior import BernoulliPrior
from vdib.signal import Label
from vdib.stream import NOISE_STEPS
from vdib.window import BasisWindow, FullWindow, RateWindow

INPUTS, READOUT, PATTERNS = 8, 5, 11


def model(hidden=(), decoder=LogisticDecoder, window=FullWindow, readout=None):
    torch.manual_seed(0)
    encoder = build_encoder((INPUTS,), READOUT, hidden)
    if readout is not None:
        encoder = SpikingEncoder(encoder.layers, readout)
    encoder = encoder.double()
    encoder.calibrate(inputs(50), 0.3)
    for layer in (*encoder.layers, encoder.readout):
        torch.nn.init.uniform_(layer.gain, 0.5, 3.0)
    built = decoder(window(4), READOUT, Label(PATTERNS))
    torch.nn.init.normal_(built.head.weight)
    made = VDIB(encoder, built, BernoulliPrior(0.2), StraightThrough(), every_step=True)
    return made.double()


def inputs(steps):
    generator = torch.Generator().manual_seed(1)
    return (torch.rand(1, steps, INPUTS, generator=generator) < 0.3).double()


CASES = {
    "the reference": {},
    "hidden layers": {"hidden": (7, 6)},
    "rate decoding": {"window": RateWindow},
    "a basis": {"window": lambda length: BasisWindow(length, 3)},
    "an MLP": {"decoder": MLPDecoder},
    "a CNN": {"decoder": CNNDecoder},
    "an endless kernel": {"readout": stochastic_srm(*dense((INPUTS,), READOUT), ExponentialPair())},
}


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_a_stream_equals_the_whole_sequence(case):
    bottleneck, x = model(**case), inputs(300)
    with torch.no_grad():
        code = bottleneck.encode(x, Noise(3, EVALUATION, torch.tensor([7])))
        decoded = bottleneck.decode(code)
    stream = bottleneck.stream(seed=3, id=7)
    for t in range(300):
        prediction = stream.push(x[0, t])
        assert torch.equal(stream.spikes, code.spikes[0, t])
        torch.testing.assert_close(prediction.distribution.logits, decoded.logits[0, t])
    assert stream.time == 300
    assert 0.05 < code.spikes.mean() < 0.95


@pytest.mark.parametrize("hidden", [(), (6,)])
def test_a_saved_stream_goes_on(hidden):
    bottleneck, steps = model(hidden), NOISE_STEPS + 30
    x = inputs(steps)[0]
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
    with pytest.raises(ValueError, match="a stream of another model"):
        stream.load_state_dict(model(hidden=(4,)).stream(0).state_dict())

    class ByCounts(Decoder):
        def forward(self, code, every_step=False):
            raise NotImplementedError

    encoder, decoder = build_encoder((INPUTS,), READOUT, ()), ByCounts(Label())
    with pytest.raises(ValueError, match="from a window of recent spikes, not by ByCounts"):
        VDIB(encoder, decoder, BernoulliPrior(), StraightThrough()).stream(0)
