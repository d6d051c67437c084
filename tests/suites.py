"""What holds of every layer, decoder, estimator and prior: a class each.

A test class inherits a suite and says what it is run for by overriding the fixture `part`;
`test_choices.py` does so for every word of the tables of `vdib.lightning_modules.choices`, so that
a new word is tested by being there. What a part alone can tell about itself (the closed form of a
neuron's answer to a spike) is a function in a table here; where there is none, the test is skipped
and says so.

Legend: B batch, T steps, N neurons.
"""

import io
import itertools
import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from statistics import NormalDist
from typing import Any, ClassVar

import pytest
import tiny
import torch
from safetensors.torch import load, save
from tiny import spike_train
from torch import Tensor

from vdib.backends import dispatch
from vdib.decoder import Decoder, WindowDecoder
from vdib.drawn import Drawn
from vdib.dynamics.firing import Bernoulli, PassThrough
from vdib.encoder import SpikeCode, SpikingEncoder
from vdib.estimator import Estimator
from vdib.neurons.layer import Layer, spiking
from vdib.neurons.spike_response import SRM
from vdib.neurons.srm import stochastic_srm
from vdib.neurons.stepping import stepped
from vdib.neurons.synapses import dense
from vdib.neurons.wrapped import Wrapped
from vdib.noise import EVALUATION, PRIOR, Noise
from vdib.objective import code_length, rate
from vdib.prior import Prior, draw_spikes
from vdib.signal import Curve, Image, Label, Signal
from vdib.sparse import SparseSpikes
from vdib.stream import Stream
from vdib.window import FullWindow, RateWindow, Window, recent

BATCH, STEPS = 2, 14


def disturbed(module: Any, amount: float, seed: int = 1) -> Any:
    """The module, no parameter of which is left where its default could hide an error."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in module.parameters():
            parameter += amount * torch.randn(parameter.shape, generator=generator).to(parameter)
    return module


def uniform(*shape: int, seed: int = 3) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.rand(shape, generator=generator, dtype=torch.float64)


def numerically(value: Callable[[], Tensor], at: Tensor, step: float = 1e-6) -> Tensor:
    """The derivative of a scalar with respect to a tensor that it reads, by central differences."""
    found = torch.zeros_like(at)
    for where in itertools.product(*map(range, at.shape)):
        before, costs = at.data[where].clone(), []
        for moved in (before + step, before - step):
            at.data[where] = moved
            with torch.no_grad():
                costs.append(value())
        at.data[where] = before
        found[where] = (costs[0] - costs[1]) / (2 * step)
    return found


# --- layers -----------------------------------------------------------------------------------


def srm_answer(layer: SRM, steps: int) -> Tensor:
    """`(w_0 eps[t] + b - theta) / Delta`, `(T, *N)`: of the neuron's own spikes nothing."""
    one = torch.zeros(1, *layer.input_shape, dtype=layer.bias.dtype)
    one.view(-1)[0] = 1
    weights = layer.synapses(one).detach().view(layer.filter.num_filters, *layer.shape)
    eps = torch.zeros(layer.filter.num_filters, steps, dtype=weights.dtype)
    kernel = layer.filter.impulse_response(steps)
    eps[:, : kernel.shape[1]] = kernel
    potential = torch.einsum("kt,k...->t...", eps, weights)
    return (potential + layer.bias.detach() - layer.threshold) / layer.width


def leaky_answer(layer: Any, steps: int) -> Tensor:
    """`(w_0 beta^t + b (1 - beta^(t + 1)) / (1 - beta) - theta) / width`: bias is a current."""
    one = torch.zeros(1, *layer.input_shape, dtype=layer.bias.dtype)
    one.view(-1)[0] = 1
    weight = layer.synapses(one).detach().view(layer.shape)
    beta, theta, width = (of(layer.bias).detach() for of in (layer.beta, layer.theta, layer.width))
    t = torch.arange(steps, dtype=torch.float64).view(-1, *[1] * len(layer.shape))
    current = layer.bias.detach() * (1 - beta ** (t + 1)) / (1 - beta)
    unit = 1 - beta if layer.decay_input else 1
    return (unit * (weight * beta**t + current) - theta) / width


ONE_SPIKE: dict[str, Callable[[Any, int], Tensor]] = {
    "SRM": srm_answer,
    "Slayer": srm_answer,
    "Leaky": leaky_answer,
}
"""By a layer's class: v `(T, *N)` after a spike of input 0 at step 0, until a neuron fires."""


def detached(layer: Any) -> bool:
    """Whether a layer's own spikes carry no gradient on purpose; see test_leaky, test_slayer."""
    layer = innermost(layer)
    of_reset = bool(getattr(getattr(layer, "reset", None), "detached", False))
    return of_reset or not getattr(layer, "ATTACHED", True)


def innermost(layer: Any) -> Any:
    """What a layer is wrapped around."""
    return innermost(layer.inner) if isinstance(layer, Wrapped) else layer


OWN_FIRE: dict[str, str] = {
    "LSTM": "its gates and candidate are no one threshold; see tests/test_lstm.py"
}
"""By a layer's class: why its neurons fire in no other way than their own."""


@dataclass(frozen=True)
class Soft:
    """A smooth twin of a deterministic threshold, whose slope is its derivative."""

    stochastic: ClassVar = False

    def __call__(self, v: Tensor, noise: Tensor | None = None) -> Tensor:
        return torch.sigmoid(2 * v)

    def slope(self, v: Tensor, spikes: Tensor) -> Tensor:
        return 2 * spikes * (1 - spikes)


def assert_alike(layer: Any, found: Tensor, expected: Tensor, most: float = 1e-12) -> None:
    """Spikes to the last one; what are no spikes, to rounding."""
    if spiking(layer):
        assert torch.equal(found, expected)
    else:
        torch.testing.assert_close(found, expected, rtol=most, atol=most)


def looked_at(out: tuple[Tensor, Tensor | None], upstream: Tensor) -> Tensor:
    """A loss that looks at spikes, and at v where there is one; `upstream` weighs them."""
    parts = zip(out, upstream, strict=True)
    return torch.stack([(x.sin() * weight).sum() for x, weight in parts if x is not None]).sum()


def learnt(layer: Any) -> dict[str, Tensor]:
    """The parameters that are not held fixed, by name."""
    return {name: p for name, p in layer.named_parameters() if p.requires_grad}


class LayerSuite:
    """A layer, hidden or readout. `part` is called without arguments and makes one in float32."""

    @pytest.fixture
    def part(self) -> Callable[[], Layer]:
        raise NotImplementedError

    def ready(self, part: Any, dtype: torch.dtype = torch.float64) -> tuple[Any, Tensor, Any]:
        """A layer that neither is silent nor saturates, its input, and its other arguments."""
        # Neurons that reset for long need more to fire at all, and so few cells a lucky draw.
        for seed, spread in ((0, 2.0), (0, 4.0), (0, 8.0), (1, 8.0), (2, 8.0), (3, 8.0)):
            torch.manual_seed(seed)
            layer = part().to(dtype)
            x = spike_train(BATCH, STEPS, *layer.input_shape, dtype=dtype)
            layer.calibrate(x, spread, 0.3 if layer.stochastic else None)
            noise = uniform(BATCH, STEPS, *layer.shape).to(dtype)
            given = (PassThrough(), noise) if layer.stochastic else ()
            if disturbed(layer, 0.2)(x, *given)[0].detach().abs().mean() > 0.05:
                break
        return layer, x, given

    def fires_as_told(self, part: Any) -> tuple[Any, Tensor, Any]:
        layer, x, given = self.ready(part)
        if (name := type(innermost(layer)).__name__) in OWN_FIRE:
            pytest.skip(OWN_FIRE[name])
        return layer, x, given

    @pytest.mark.parametrize(("dtype", "most"), [(torch.float32, 1e-5), (torch.float64, 1e-12)])
    def test_steps_are_the_whole_sequence(self, part: Any, dtype: Any, most: float) -> None:
        layer, x, given = self.ready(part, dtype)
        spikes, v = layer(x, *given)
        assert spikes.shape == (BATCH, STEPS, *layer.shape)
        assert 0.02 < spikes.detach().abs().mean() < 0.9
        assert bool(((spikes == 0) | (spikes == 1)).all()) == spiking(layer)
        state = None
        for t in range(STEPS):
            now = (given[0], given[1][:, t]) if given else ()
            s_t, v_t, state = layer.step(x[:, t], state, *now)
            assert_alike(layer, s_t, spikes[:, t], most)
            if v is not None:
                torch.testing.assert_close(v_t, v[:, t], rtol=most, atol=most)

    def test_nothing_is_remembered_between_calls(self, part: Any) -> None:
        layer, x, given = self.ready(part)
        before = {name: value.clone() for name, value in layer.state_dict().items()}
        first, _ = layer(x, *given)
        layer(1 - x, *given)
        now = (given[0], given[1][:, 0]) if given else ()
        _, _, state = layer.step(x[:, 0], None, *now)
        one, _, _ = layer.step(x[:, 1], state, *now)
        two, _, _ = layer.step(x[:, 1], state, *now)  # a step leaves the state it was given
        assert torch.equal(one, two)
        assert torch.equal(first, layer(x, *given)[0])
        assert all(torch.equal(before[name], value) for name, value in layer.state_dict().items())

    def test_the_answer_to_one_spike_is_the_closed_form(self, part: Any) -> None:
        layer, x, given = self.ready(part)
        answer = ONE_SPIKE.get(type(layer).__name__)
        if answer is None:
            pytest.skip(f"no closed form of {type(layer).__name__} is given in tests/suites.py")
        one = torch.zeros_like(x[:1])
        one[0, 0].view(-1)[0] = 1
        late = (given[0], 0.9 + given[1][:1] / 10) if given else ()
        spikes, v = layer(one, *late)
        fired = spikes.detach().cumsum(1) - spikes.detach()  # in earlier steps
        expected = torch.where(fired[0] > 0, v[0].detach(), answer(layer, STEPS))
        torch.testing.assert_close(v[0], expected, rtol=1e-12, atol=1e-12)
        assert (fired == 0)[:, STEPS // 2].any()

    def test_gradients_are_those_of_a_smooth_twin(self, part: Any) -> None:
        """Every path of the gradient, through the layer's own spikes as well, by differences."""
        layer, x, _ = self.fires_as_told(part)
        if detached(layer):
            pytest.skip("the reset carries no gradient on purpose; see tests/test_leaky.py")
        x, upstream = x[:1, :5].clone(), uniform(2, 1, 5, *layer.shape) - 0.5
        parameters = learnt(layer)

        def loss() -> Tensor:
            return looked_at(layer(x, Soft()), upstream)

        grads = torch.autograd.grad(loss(), list(parameters.values()))
        for (name, parameter), grad in zip(parameters.items(), grads, strict=True):
            expected = numerically(loss, parameter)
            assert expected.abs().max() > 1e-4, name
            torch.testing.assert_close(grad, expected, rtol=1e-5, atol=1e-7, msg=name)

    def test_fused_is_plain(self, part: Any) -> None:
        layer, x, given = self.ready(part, torch.float32)
        upstream = uniform(2, BATCH, STEPS, *layer.shape).float() - 0.5

        def run() -> tuple[Tensor, tuple[Tensor, ...]]:
            out = layer(x, *given)
            loss = looked_at(out, upstream)
            return out[0], torch.autograd.grad(loss, list(learnt(layer).values()))

        spikes, grads = run()
        with dispatch.plain():
            expected, others = run()
        assert torch.equal(spikes, expected)
        for grad, other in zip(grads, others, strict=True):
            torch.testing.assert_close(grad, other, rtol=1e-4, atol=1e-5 * float(other.abs().max()))

    @pytest.mark.parametrize("at", [0, 1, STEPS // 2])
    def test_a_saved_stream_goes_on_alike(self, part: Any, at: int) -> None:
        layer, x, given = self.ready(part)
        with torch.no_grad():
            expected, _ = layer(x, *((Bernoulli(), given[1]) if given else ()))
            first, other = stepped(layer), stepped(layer)
            other.push(x[1, 0].numpy(), given[1][1, 0].numpy() if given else None)
            for t in range(STEPS):
                if t == at:
                    memory = [part.clone() for part in first.memory()]
                    other.remember(memory if t else None)
                    first = other
                spikes = first.push(x[0, t].numpy(), given[1][0, t].numpy() if given else None)
                assert_alike(layer, torch.from_numpy(spikes.copy()), expected[0, t])

    def test_calibration_forgets_the_scale_of_the_weights(self, part: Any) -> None:
        found = []
        for scale in (1.0, 7.0):
            torch.manual_seed(0)
            layer = part().double()
            if not hasattr(layer, "synapses"):
                pytest.skip(f"{type(layer).__name__} has no synapses to scale")
            with torch.no_grad():
                for _, weight in layer.synapses.named_parameters():
                    weight.mul_(scale)
            x = spike_train(BATCH, STEPS, *layer.input_shape)
            layer.calibrate(x, 2.0, 0.2 if layer.stochastic else None)
            found.append(layer)
        for one, other in zip(found[0].parameters(), found[1].parameters(), strict=True):
            torch.testing.assert_close(one, other, rtol=1e-10, atol=1e-10)
        given = (Bernoulli(), uniform(BATCH, STEPS, *layer.shape)) if layer.stochastic else ()
        assert 0.01 < layer(x, *given)[0].abs().mean() < 0.9
        if layer.stochastic:  # a silent neuron that has not fired does so with that probability
            silent = layer(torch.zeros_like(x), *given)[1][:, 0]
            torch.testing.assert_close(torch.sigmoid(silent), torch.full_like(silent, 0.2))
        for wrong in ({"spread": 0.0}, {"rate": 1.0}, {"spread": float("nan")}):
            with pytest.raises(ValueError, match="expected spread > 0 and rate in"):
                layer.calibrate(x, **wrong)
        with pytest.raises(ValueError, match="spikes that move no potential"):
            layer.calibrate(torch.zeros_like(x))

    def test_lists_are_dense_spikes(self, part: Any) -> None:
        layer, x, given = self.ready(part)
        spikes, v = layer(x, *given)
        other, other_v = layer(SparseSpikes.of(x), *given)
        assert_alike(layer, spikes, other)
        if v is not None:
            torch.testing.assert_close(v, other_v, rtol=1e-10, atol=1e-10)

    def test_a_stochastic_layer_asks_for_noise(self, part: Any) -> None:
        layer, x, _ = self.fires_as_told(part)
        for run in (lambda *how: layer(x, *how), lambda *how: layer.step(x[:, 0], None, *how)):
            with pytest.raises(ValueError, match="Bernoulli needs noise"):
                run(Bernoulli())
            if layer.stochastic:
                with pytest.raises(ValueError, match=f"{type(layer.fire).__name__} needs noise"):
                    run()

    # What rules that are local in time ask for beside: `CommutingLayer`.

    def commuting(self, part: Any) -> tuple[Any, Tensor, Any]:
        layer, x, given = self.ready(part)
        if not hasattr(layer, "from_traces"):
            pytest.skip(f"weights and filters of {type(layer).__name__} do not commute")
        return layer, x, given

    def test_the_response_to_the_drive_is_the_layer(self, part: Any) -> None:
        layer, x, given = self.commuting(part)
        spikes, v = layer(x, *given)
        again, again_v = layer.respond(layer.drive(x), *given)
        assert torch.equal(spikes, again)
        torch.testing.assert_close(v, again_v, rtol=1e-12, atol=1e-12)

    def test_traces_make_v(self, part: Any) -> None:
        layer, x, given = self.commuting(part)
        spikes, v = layer(x, *given)
        own, state, past = torch.zeros_like(v[:, 0]), (), None
        for t in range(STEPS):
            traces, past = layer.trace(x[:, t], past)
            own = layer.feedback.read(state) + torch.zeros_like(v[:, t])
            again = layer.from_traces(traces, own)
            torch.testing.assert_close(again, v[:, t], rtol=1e-10, atol=1e-10)
            state = layer.feedback.write(state, spikes[:, t])

    def test_same_step_drive_is_what_spikes_do_in_their_own_step(self, part: Any) -> None:
        layer, x, _ = self.commuting(part)
        zero = layer.drive(torch.zeros_like(x))
        for t in (0, 3):
            alone = torch.zeros_like(x)
            alone[:, t] = x[:, t]
            expected = (layer.drive(alone) - zero)[:, t]
            torch.testing.assert_close(layer.same_step_drive(x)[:, t], expected)
        assert not layer.same_step_drive(x).requires_grad  # the weights are held constant
        assert layer.same_step_drive(x.requires_grad_()).requires_grad

    def test_the_expansion_adds_up_to_v(self, part: Any) -> None:
        layer, x, given = self.commuting(part)
        expansion = layer.expansion(1000)
        if expansion is None:
            pytest.skip("the layer lasts, or is not dense")
        spikes, v = layer(x, *given)
        expected = expansion.constant.expand_as(v).clone()
        for t in range(STEPS):
            for lag in range(min(t + 1, expansion.response.shape[1])):
                expected[:, t] += x[:, t - lag].flatten(1) @ expansion.response[:, lag]
            for lag in range(min(t, len(expansion.after))):
                expected[:, t] += spikes[:, t - 1 - lag] * expansion.after[lag]
        torch.testing.assert_close(v, expected, rtol=1e-10, atol=1e-10)
        assert layer.expansion(2) is None


# --- decoders ---------------------------------------------------------------------------------

NEURONS, LENGTH = 4, 5
LENGTHS = [1, 2, 8, 9, 12]


def grey(*shape: int) -> Tensor:
    return uniform(*shape, 3, seed=4)


def classes(*shape: int) -> Tensor:
    return torch.arange(math.prod(shape)).view(shape) % NEURONS


SIGNALS: dict[str, tuple[Signal, Callable[..., Tensor]]] = {
    "image": (Image((3,)), grey),
    # Some decoders have one neuron a class.
    "label": (Label(NEURONS), classes),
    "curve": (Curve(3), grey),
}
"""Every kind of natural signal, and examples of it of any batch shape."""


@dataclass(frozen=True)
class DecoderCase:
    """A decoder's word, what it makes and of what."""

    word: str
    make: Callable[[Window, int, Signal], Decoder]
    window: Callable[[int], Window]
    signal: Signal
    examples: Callable[..., Tensor]

    def build(self, window: Window | None = None, seed: int = 0) -> Any:
        torch.manual_seed(seed)
        return self.make(window or self.window(LENGTH), NEURONS, self.signal).double()


def code_of(*shape: int, seed: int = 0) -> SpikeCode:
    """Spikes, distances from threshold and drives that have nothing to do with each other."""
    v, drive = uniform(2, *shape, NEURONS)
    return SpikeCode(spike_train(*shape, NEURONS, rate=0.4, seed=seed), v, drive=3 * drive - 2)


START: dict[str, str] = {"cnn": "even"}
"""Decoders of a window that start with weights equal over time, not as exactly the rate decoder."""


class DecoderSuite:
    """A decoder under a window and of a signal."""

    @pytest.fixture
    def part(self) -> DecoderCase:
        raise NotImplementedError

    def test_a_distribution_over_r(self, part: DecoderCase) -> None:
        decoder, code = disturbed(part.build(), 0.3), code_of(2, 9)
        for every_step, steps in ((True, 9), (False, 1)):
            decoded = decoder(code, every_step)
            assert decoded.batch_shape == (2, steps)
            r = part.examples(2, steps)
            log_prob = decoded.log_prob(r)
            assert log_prob.shape == (2, steps)
            assert log_prob.isfinite().all()
            assert log_prob.std() > 0
            if isinstance(decoder, WindowDecoder):
                outputs = decoder.outputs(recent(code.spikes, LENGTH, every_step))
                expected = part.signal.likelihood(outputs).log_prob(r)
                torch.testing.assert_close(log_prob, expected)

    @pytest.mark.parametrize("length", LENGTHS)
    def test_every_step_is_the_decoding_of_each_prefix(self, part: Any, length: int) -> None:
        decoder = disturbed(part.build(part.window(length)), 0.3)
        code, r = code_of(2, 9), part.examples(2, 9)
        parts = [part.requires_grad_() for part in (code.spikes, code.v, code.drive)]
        parameters = [*parts, *decoder.parameters()]
        found = decoder(code, True).log_prob(r)
        cut = [[part[:, : t + 1] for part in parts] for t in range(9)]
        prefixes = [SpikeCode(spikes, v, drive=drive) for spikes, v, drive in cut]
        each = [decoder(p).log_prob(r[:, t : t + 1]) for t, p in enumerate(prefixes)]
        expected = torch.cat(each, 1)
        torch.testing.assert_close(found, expected, rtol=1e-10, atol=1e-10)
        upstream = uniform(2, 9, seed=5)
        ways = {"allow_unused": True}  # of the three parts of a code
        grads = torch.autograd.grad((found * upstream).sum(), parameters, **ways)
        wanted = torch.autograd.grad((expected * upstream).sum(), parameters, **ways)
        assert any(grad is not None for grad in grads)
        for grad, other in zip(grads, wanted, strict=True):
            assert (grad is None) == (other is None)
            if grad is not None:
                torch.testing.assert_close(grad, other, rtol=1e-9, atol=1e-9)

    def test_a_label_is_decided(self, part: DecoderCase) -> None:
        """By the likeliest where nothing else is said, and never before it can be known."""
        decoder, code = disturbed(part.build(), 0.3), code_of(40, 9)
        if not isinstance(part.signal, Label):
            pytest.skip("there is no label to decide")
        label, step = decoder.decide(code)
        assert label.shape == step.shape == (40,)
        assert label.dtype == step.dtype == torch.int64
        likeliest = decoder(code).probs[:, 0].argmax(-1)
        if getattr(decoder, "decision", "likeliest") == "likeliest":
            assert torch.equal(label, likeliest)
            assert (step == 9).all()
        for i in range(40):  # what comes after the decision cannot change it
            known = slice(0, int(step[i]))
            parts = [whole[i : i + 1, known] for whole in (code.spikes, code.v, code.drive)]
            again = decoder.decide(SpikeCode(*parts[:2], drive=parts[2]))
            assert (again[0] == label[i]).all()
            assert (again[1] == step[i]).all()

    def test_weights_survive_safetensors(self, part: DecoderCase) -> None:
        """Which takes contiguous weights only, none of them a view of another's."""
        decoder, other = disturbed(part.build(), 0.3), part.build(seed=1)
        other.load_state_dict(load(save(decoder.state_dict())))
        r, code = part.examples(2, 9), code_of(2, 9)
        assert torch.equal(decoder(code, True).log_prob(r), other(code, True).log_prob(r))

    def test_a_start_from_given_outputs(self, part: DecoderCase) -> None:
        """The spikes add to them: two starts are as far apart as what they start from."""
        decoder, code = part.build(), code_of(2, 9)
        if not isinstance(decoder, WindowDecoder):
            pytest.skip("has no outputs of its own")
        one, other = uniform(2, decoder.num_outputs, seed=6)
        seen = recent(code.spikes, LENGTH)
        outputs = []
        for start in (one, other):
            decoder.start_from(start)
            outputs.append(decoder.outputs(seen))
        torch.testing.assert_close(outputs[0] - outputs[1], (one - other).expand_as(outputs[0]))
        assert all(parameter.requires_grad for parameter in decoder.parameters())
        with torch.no_grad():  # of a decoder that says nothing, the answer itself
            for name, parameter in decoder.named_parameters():
                if name != "head.bias":
                    parameter.zero_()
        constant = part.signal.constant(part.examples(20))
        decoder.start_from(constant)
        r = part.examples(2, 1)
        expected = part.signal.likelihood(constant.double()).log_prob(r)
        torch.testing.assert_close(decoder(code).log_prob(r), expected, rtol=1e-6, atol=1e-6)

    @pytest.mark.parametrize("length", LENGTHS)
    def test_training_starts_where_it_promises(self, part: Any, length: int) -> None:
        spikes = spike_train(2, 5, length, NEURONS, rate=0.4)
        decoder = part.build(part.window(length))
        if not isinstance(decoder, WindowDecoder):
            pytest.skip("sees no window that it could start from")
        if START.get(part.word) != "even":
            expected = part.build(RateWindow(length)).outputs(spikes)
        else:  # windows differ in nothing but what they let through
            full = part.build(FullWindow(length))
            expected = full.outputs(decoder.window.smooth(spikes))
            mean = spikes.mean(2, keepdim=True).expand_as(spikes)
            by_rate = part.build(RateWindow(length)).outputs(spikes)
            torch.testing.assert_close(by_rate, full.outputs(mean))
        assert expected.std() > 0.01
        torch.testing.assert_close(decoder.outputs(spikes), expected, rtol=0, atol=1e-5)
        # ... and in float32, as it is trained.
        outputs = decoder.float().outputs(spikes.float())
        torch.testing.assert_close(outputs, expected.float(), rtol=0, atol=1e-5)

    @pytest.mark.parametrize("length", [1, 5, 12])
    def test_streams_decode_alike(self, part: DecoderCase, length: int) -> None:
        """At every step what the prefix is decoded to, and taken for; also after a restart."""
        decoder = disturbed(part.build(part.window(length)), 0.3)
        encoder = disturbed(SpikingEncoder([], stochastic_srm(*dense((3,), NEURONS))).double(), 0.5)
        x, noise = spike_train(1, 9, 3), Noise(0, EVALUATION, torch.tensor([0]))
        stream, other = Stream(encoder, decoder, seed=0), Stream(encoder, decoder, seed=1)
        other.push(x[0, 1])
        for t in range(9):
            if t in (0, 4):
                other.load_state_dict(stream.state_dict())
                stream, other = other, stream
            prediction = stream.push(x[0, t])
            code = encoder(x[:, : t + 1], noise, drive=not decoder.SAMPLES)
            with torch.no_grad():
                decoded = decoder(code)
                r = part.examples(NEURONS)
                found = torch.stack([prediction.distribution.log_prob(one) for one in r])
                expected = torch.stack([decoded.log_prob(one[None, None])[0, 0] for one in r])
            torch.testing.assert_close(found, expected, rtol=1e-10, atol=1e-10)
            if isinstance(part.signal, Label):
                label, step = decoder.decide(code)
                assert prediction.label == label
                assert prediction.decided in (0, step)
                assert prediction.decided or step == t + 1
            else:
                assert prediction.label is None

    def test_the_seed_decides_the_weights(self, part: DecoderCase) -> None:
        code, r = code_of(2, 9), part.examples(2, 1)
        if not list(part.build().parameters()):
            pytest.skip("has nothing to learn")
        one, same, other = (part.build(seed=seed)(code).log_prob(r) for seed in (0, 0, 1))
        assert torch.equal(one, same)
        assert not torch.allclose(one, other)


# --- priors -----------------------------------------------------------------------------------


class PriorSuite:
    """A prior q(y_t | y^{t-1}). `part` makes one from N and rho."""

    RHO = 0.2

    @pytest.fixture
    def part(self) -> Callable[[int, float], Any]:
        raise NotImplementedError

    def ready(self, part: Any) -> tuple[Any, Tensor]:
        prior = disturbed(part(NEURONS, self.RHO).double(), 0.5)
        return prior, spike_train(BATCH, 9, NEURONS, rate=0.4)

    def test_it_starts_at_rho(self, part: Any) -> None:
        spikes = spike_train(BATCH, 9, NEURONS, rate=0.4, dtype=torch.float32)
        logits = part(NEURONS, self.RHO)(spikes).detach().expand(BATCH, 9, NEURONS)
        torch.testing.assert_close(torch.sigmoid(logits), torch.full_like(logits, self.RHO))

    @pytest.mark.parametrize("rho", [0.0, 1.0, -0.2])
    def test_a_rate_outside_the_unit_interval_is_refused(self, part: Any, rho: float) -> None:
        with pytest.raises(ValueError, match=f"strictly between 0 and 1, got {rho}"):
            part(NEURONS, rho)

    def test_it_sees_the_past_only(self, part: Any) -> None:
        """What comes before a spike, in time and, under an ordered prior, in its own step."""
        prior, spikes = self.ready(part)
        before = prior(spikes).expand_as(spikes).flatten(1)
        size = 1 if prior.ordered else NEURONS
        for first in range(0, 9 * NEURONS, size):
            changed = spikes.flatten(1).clone()
            changed[:, first:] = 1 - changed[:, first:]
            after = prior(changed.view_as(spikes)).expand_as(spikes).flatten(1)
            seen = slice(0, first + size)
            torch.testing.assert_close(after[:, seen], before[:, seen], rtol=0, atol=1e-13)

    def test_the_probabilities_of_all_codes_add_up_to_1(self, part: Any) -> None:
        prior = disturbed(part(2, self.RHO).double(), 0.5)
        codes = tiny.all_codes(5)
        lengths = code_length(codes, prior(codes))
        assert float(lengths.detach().std()) > 0.1
        total = torch.exp(-lengths.sum(1)).sum().detach()
        torch.testing.assert_close(total, torch.ones_like(total))

    def test_the_rate_is_not_negative(self, part: Any) -> None:
        prior, spikes = self.ready(part)
        logits = 4 * (uniform(BATCH, 9, NEURONS) - 0.5)
        assert (rate(logits, prior(spikes)) >= 0).all()
        same = prior(spikes).expand_as(spikes)
        assert rate(same, same).abs().max() < 1e-12

    def test_gradients_are_those_of_differences(self, part: Any) -> None:
        prior, spikes = self.ready(part)
        upstream = uniform(BATCH, 9, NEURONS) - 0.5
        spikes = spikes.requires_grad_()

        def value() -> Tensor:
            return (prior(spikes) * upstream).sum()

        reached = {"spikes": spikes, **dict(prior.named_parameters())}
        if not value().requires_grad:
            assert len(reached) == 1  # nothing to learn, nothing it looks at
            return
        grads = torch.autograd.grad(value(), list(reached.values()), allow_unused=True)
        for (name, at), grad in zip(reached.items(), grads, strict=True):
            expected = numerically(value, at)
            found = torch.zeros_like(at) if grad is None else grad
            torch.testing.assert_close(found, expected, rtol=1e-6, atol=1e-7, msg=name)

    def test_streams_of_another_length(self, part: Any) -> None:
        prior, spikes = self.ready(part)
        short = prior(spikes[:, :4]).expand(BATCH, 4, NEURONS)
        torch.testing.assert_close(short, prior(spikes).expand_as(spikes)[:, :4])

    def test_what_is_drawn_has_the_probabilities_it_says(self, part: Any) -> None:
        prior, _ = self.ready(part)
        noise = Noise(3, EVALUATION, torch.arange(5))
        drawn = draw_spikes(prior, 5, 9, NEURONS, noise)
        logits = prior(drawn).expand_as(drawn)
        assert torch.equal(drawn, (noise.uniform(PRIOR, 9, (NEURONS,)) < logits.sigmoid()).double())
        assert 0 < float(drawn.mean()) < 1
        few = draw_spikes(prior, 2, 9, NEURONS, Noise(3, EVALUATION, torch.tensor([4, 1])))
        assert torch.equal(few, drawn[[4, 1]])
        if not prior.ordered:  # as a prior without a step of its own draws
            state: tuple[Tensor, ...] = ()
            for t, u in enumerate(noise.uniform(PRIOR, 9, (NEURONS,)).double().unbind(1)):
                spikes, state = Prior.step(prior, u, state)
                assert torch.equal(spikes, drawn[:, t])

    def test_it_begins_as_independent_spikes_of_given_rates(self, part: Any) -> None:
        prior, spikes = part(NEURONS, self.RHO).double(), spike_train(BATCH, 9, NEURONS)
        if not list(prior.parameters()):
            pytest.skip("has nothing to learn")
        rates = 0.1 + 0.8 * uniform(9, NEURONS)
        prior.start_from(rates)
        found = prior(spikes).sigmoid().expand_as(spikes)
        torch.testing.assert_close(found, rates.mean(0).expand_as(spikes))


# --- estimators -------------------------------------------------------------------------------


def encoder_part(model: Any, flat: Tensor) -> Tensor:
    """The encoder's part of a flat gradient."""
    return flat[: sum(p.numel() for p in model.encoder.parameters())]


def cosine(a: Tensor, b: Tensor) -> float:
    return float(torch.nn.functional.cosine_similarity(a, b, dim=0))


def drawn(estimator: Estimator, seed: int) -> Drawn:
    """Codes of three inputs, two steps and two neurons, under costs of no model."""
    v = 4 * uniform(3, 2, 2) - 2
    noise = uniform(3, 2, 2, seed=seed)
    if estimator.num_samples > 1:
        v, noise = v.repeat(estimator.num_samples, 1, 1), torch.cat([noise, 1 - noise])
        noise = noise.repeat(estimator.num_samples // 2, 1, 1)
    code = SpikeCode((noise < torch.sigmoid(v)).double(), v, noise=noise)
    price = torch.full((1, 1), 0.7, dtype=torch.float64)
    prior = torch.full((2,), -1.0, dtype=torch.float64)
    due, cost = uniform(len(v), 2, seed=seed + 10), uniform(len(v), 2, seed=seed + 20)
    return Drawn(code, due, cost, prior, price, estimator.num_samples)


class EstimatorSuite:
    """An estimator, against the exact gradient of a network whose codes can be enumerated.

    `part` is its words in the table of choices, which say whether it is biased, and what makes it
    from T and N.
    """

    @pytest.fixture
    def part(self) -> tuple[str, Callable[[int, int], Estimator]]:
        raise NotImplementedError

    def test_its_gradients_average_to_what_it_claims(self, part: Any) -> None:
        """The exact one, or a biased one that points the right way; alpha = 1e-4 for the first.

        Through the addressed noise, and a baseline that moves.
        """
        words, make = part
        claims = words.rsplit("; ", 1)[-1]
        of_bound = claims == "unbiased for that bound"
        known = of_bound or claims in ("biased", "unbiased")
        assert known, "its line in choices.py ends with what it claims"
        x, r = tiny.example()
        model = tiny.bottleneck(make(tiny.STEPS, tiny.READOUT))
        disturbed(model.estimator, 0.5)
        value = tiny.exact_loss(model, x, r)
        if of_bound:
            value = tiny.exact_bound(model, x, r, model.estimator.num_samples)
        exact = tiny.gradient(model, value)
        assert exact.norm() > 0.1
        batch, batches = (2_000, 10) if claims == "biased" else (64, 250)
        ids = torch.arange(batch)
        many = [given.expand(batch, -1, -1) for given in (x, r)]
        samples = torch.stack(
            [
                tiny.gradient(model, model.training_loss(*many, Noise(5, step, ids))[0])
                for step in range(batches)
            ]
        )
        if claims == "biased":
            mine, true = (encoder_part(model, flat) for flat in (samples.mean(0), exact))
            assert 0.5 < cosine(mine, true) < 0.9999
            return
        error = samples.mean(0) - exact
        deviation = samples.std(0) / batches**0.5
        alive = deviation > 1e-12
        assert (error[~alive].abs() < 1e-4).all()  # moved by codes too rare to have been drawn
        z = (error[alive] / deviation[alive]).abs()
        # Two-sided, Bonferroni over the parameters.
        assert float(z.max()) < NormalDist().inv_cdf(1 - 0.5e-4 / int(alive.sum()))

    def test_what_it_remembers_is_in_its_checkpoint(self, part: Any) -> None:
        trained, fresh = (part[1](2, 2).double() for _ in range(2))
        disturbed(trained, 0.5)
        for seed in (1, 2):
            trained.loss(drawn(trained, seed))
        file = io.BytesIO()
        torch.save(trained.state_dict(), file)
        file.seek(0)
        fresh.load_state_dict(torch.load(file, weights_only=True))
        assert torch.equal(trained.loss(drawn(trained, 3)), fresh.loss(drawn(fresh, 3)))

    def test_costs_that_all_codes_share_are_no_news(self, part: Any) -> None:
        """A return that is the same for all has, once it is known, no gradient."""
        estimator = part[1](2, 2).double()
        given = drawn(estimator, 1)
        given.code.logits.requires_grad_()
        due = torch.tensor([[5.0, 3.0]]).double().expand_as(given.due)
        given = replace(given, due=due, rate=0 * due, price=0 * given.price)
        estimator.loss(given)
        loss = estimator.loss(given)
        assert loss.shape == (3,)
        if loss.requires_grad:
            (grad,) = torch.autograd.grad(loss.sum(), given.code.logits)
            torch.testing.assert_close(grad, torch.zeros_like(grad))
