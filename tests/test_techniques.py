"""What is put around hidden layers: batch norm, attention, delays, residual connections."""

import itertools
from functools import partial

import pytest
import suites
import torch

from vdib import online
from vdib.credit import EProp
from vdib.decoder import LogisticDecoder
from vdib.encoder import build_encoder
from vdib.estimator import StraightThrough
from vdib.lightning_modules import choices
from vdib.lightning_modules.naturalisation.module import NaturalisationModule
from vdib.model import VDIB
from vdib.neurons.attended import Attended
from vdib.neurons.delayed import Delayed
from vdib.neurons.leaky import leaky
from vdib.neurons.normalised import NormalisedSynapses, normalised
from vdib.neurons.residual import JOINS, Residual
from vdib.neurons.srm import srm
from vdib.neurons.synapses import dense, pooled_conv
from vdib.neurons.techniques import Techniques
from vdib.noise import EVALUATION, Noise
from vdib.prior import BernoulliPrior
from vdib.signal import Image
from vdib.sparse import SparseSpikes
from vdib.window import FullWindow

PLACES = {"dense": dense((5,), 4), "conv": pooled_conv((2, 5, 4), 3, kernel_size=3)}
SAME = {"dense": dense((5,), 5), "conv": pooled_conv((2, 4, 4), 2, kernel_size=3, pool=1)}


def evaluated(make):
    """In evaluation, under statistics that are not those of standard currents."""
    layer = make()
    for part in layer.modules():
        if isinstance(part, NormalisedSynapses):
            with torch.no_grad():
                part.norm.running_mean.copy_(torch.linspace(-0.3, 0.4, part.norm.num_features))
                part.norm.running_var.copy_(torch.linspace(0.5, 3.0, part.norm.num_features))
    return layer.eval()


def fixed(make):
    """Delays that do not learn: a rounded number has no derivative to be compared with."""
    layer = make()
    layer.position.requires_grad_(False)
    return layer


def all_of_them(place, neuron):
    layer = Techniques(norm=True, delays=3, attention=4).around(neuron)(*place, None)
    layer.position.requires_grad_(False)
    return layer


WRAPPED = {
    f"{name}, {place}": make
    for place in PLACES
    for name, make in {
        "norm": partial(evaluated, partial(normalised(srm), *PLACES[place], None)),
        "attention": lambda place=place: Attended(srm(*PLACES[place]), 4),
        "delays": partial(fixed, lambda place=place: Delayed(srm(*PLACES[place]), 3)),
        "and": lambda place=place: Residual(srm(*SAME[place]), JOINS["and"]),
    }.items()
} | {
    f"all, {neuron}": partial(evaluated, partial(all_of_them, PLACES["dense"], choice.part))
    for neuron, choice in choices.NEURONS.items()
}


class TestWrapped(suites.LayerSuite):
    @pytest.fixture(params=WRAPPED.values(), ids=list(WRAPPED))
    def part(self, request):
        return request.param


# --- batch norm -------------------------------------------------------------------------------


@pytest.mark.parametrize("place", PLACES)
def test_currents_are_normalised_over_batch_time_and_space(place):
    connect, shape = PLACES[place]
    torch.manual_seed(0)
    synapses = NormalisedSynapses(connect(2), 2 * shape[0]).double()
    suites.disturbed(synapses, 0.5)
    x = suites.spike_train(60, *synapses.input_shape)
    plain = synapses.synapses(x).detach().view(60, 2 * shape[0], -1)  # R, C, space
    across = (0, 2)
    mean, var = (plain.mean(across), plain.var(across, correction=0))
    mean_c, var_c, gamma, shift = (
        part.detach()[:, None] for part in (mean, var, synapses.norm.weight, synapses.norm.bias)
    )
    expected = gamma * (plain - mean_c) / (var_c + 1e-5).sqrt() + shift
    torch.testing.assert_close(synapses(x).view_as(plain), expected, rtol=1e-10, atol=1e-10)
    count = plain.numel() / plain.shape[1]
    torch.testing.assert_close(synapses.norm.running_mean, 0.1 * mean)
    unbiased = var * count / (count - 1)
    torch.testing.assert_close(synapses.norm.running_var, 0.9 + 0.1 * unbiased)


@pytest.mark.parametrize("neuron", [srm, leaky])
def test_running_statistics_fold_into_weights_and_a_bias_current(neuron):
    """Which goes through the filter: as an input of its own that fires at every step."""
    torch.manual_seed(0)
    layer = normalised(neuron)(*dense((5,), 4), None).double()
    x = suites.spike_train(3, 12, 5)
    layer.calibrate(x, 2.0)
    suites.disturbed(layer, 0.2)
    layer(x)
    layer.eval()
    synapses = layer.inner.synapses
    norm = synapses.norm
    scale = norm.weight / (norm.running_var + 1e-5).sqrt()
    current = norm.bias - norm.running_mean * scale
    assert current.abs().max() > 0.1
    other = neuron(*dense((6,), 4), None).double()
    with torch.no_grad():
        weight = synapses.synapses.weight * scale[:, None]
        other.synapses.by_input.copy_(torch.cat([weight, current[:, None]], 1).t())
        other.bias.copy_(layer.inner.bias)
        if neuron is srm:
            other.gain.copy_(layer.inner.gain)
    spikes, v = layer(x)
    expected, expected_v = other(torch.cat([x, torch.ones(3, 12, 1).double()], 2))
    assert torch.equal(spikes, expected)
    assert 0.05 < spikes.detach().mean() < 0.95
    torch.testing.assert_close(v, expected_v, rtol=1e-10, atol=1e-10)


def test_calibration_measures_the_batch_and_forgets_the_scale_of_the_weights():
    x, found = suites.spike_train(20, 14, 5), []
    for scale in (1.0, 7.0):
        torch.manual_seed(0)
        layer = normalised(srm)(*dense((5,), 4), None).double()
        layer.inner.synapses.synapses.by_input.data.mul_(scale)
        layer.calibrate(x, 2.0)
        found.append(layer.eval()(x)[1])
    # Up to the epsilon beside the variance.
    torch.testing.assert_close(found[0], found[1], rtol=1e-3, atol=1e-3)
    drive = layer.inner.drive(x).detach()
    assert (drive + 1).square().mean().sqrt() == pytest.approx(2.0, rel=0.02)
    assert layer.train().training


def test_batch_norm_in_training_refuses_steps_and_rules_that_are_local_in_time():
    layer = normalised(srm)(*dense((5,), 4), None)
    with pytest.raises(ValueError, match=r"whole sequences: call eval\(\) to step$"):
        layer.step(torch.zeros(1, 5), None)
    with pytest.raises(ValueError, match=r"EProp needs layers whose weights .* Normalised is none"):
        build_encoder((5,), 2, (4,), credit=EProp, techniques=Techniques(norm=True))


# --- attention --------------------------------------------------------------------------------


def test_attention_is_the_formula_and_sees_no_later_step():
    torch.manual_seed(0)
    layer = Attended(srm(*dense((5,), 4)), 4).double()
    x = suites.spike_train(2, 9, 5)
    layer.calibrate(x)
    assert float(layer.level) == pytest.approx(float(x.mean()))
    squeezed = x.mean(2) / x.mean()
    first, _, second = layer.weigh
    found = layer.before(x)
    for b, t in itertools.product(range(2), range(9)):
        recent = torch.stack(
            [squeezed[b, t - k] if t >= k else squeezed.new_zeros(()) for k in range(4)]
        )
        hidden = (first.weight @ recent + first.bias).clamp_min(0)
        weight = 1 / (1 + torch.exp(-(second.weight @ hidden + second.bias)))
        torch.testing.assert_close(found[b, t], weight * x[b, t])
    later = x.clone()
    later[:, 5:] = 1 - later[:, 5:]
    assert torch.equal(layer.before(later)[:, :5], found[:, :5])
    assert not torch.equal(layer.before(later)[:, 5:], found[:, 5:])
    with pytest.raises(ValueError, match=r"^attention: got 1 steps, expected at least 2$"):
        Attended(srm(*dense((5,), 4)), 1)


# --- delays -----------------------------------------------------------------------------------


def delayed_by(steps, longest=4):
    layer = Delayed(srm(*dense((3,), 2)), longest).double()
    share = (torch.tensor(steps, dtype=torch.float64) / longest).clamp(0.01, 0.99)
    layer.position.data.copy_(torch.logit(share))
    return layer


def test_each_input_arrives_by_its_own_delay_later():
    x = suites.spike_train(2, 7, 3, rate=0.5)
    shifted = delayed_by([0, 1, 4]).before(x)
    for neuron, steps in enumerate((0, 1, 4)):
        assert (shifted[:, :steps, neuron] == 0).all()
        assert torch.equal(shifted[:, steps:, neuron], x[:, : 7 - steps, neuron])
    assert torch.equal(delayed_by([0, 1, 4]).before(SparseSpikes.of(x)), shifted)


def test_the_gradient_of_a_delay_is_the_difference_to_one_more_step():
    x = suites.spike_train(2, 7, 3, rate=0.5).requires_grad_()
    upstream = suites.uniform(2, 7, 3)
    layer, longer = delayed_by([0, 1, 3]), delayed_by([1, 2, 4])
    shifted = layer.before(x)
    grads = torch.autograd.grad((shifted * upstream).sum(), [layer.position, x])
    change = ((longer.before(x) - shifted) * upstream).sum((0, 1)).detach()
    share = torch.sigmoid(layer.position.detach())
    torch.testing.assert_close(grads[0], change * 4 * share * (1 - share))
    one = torch.autograd.functional.jacobian(layer.before, x.detach())  # what arrives, of what came
    torch.testing.assert_close(grads[1], torch.einsum("btn,btnBTN->BTN", upstream, one))
    assert one.sum() == 2 * (7 + 6 + 4)


def test_delays_below_one_step_are_refused():
    with pytest.raises(ValueError, match=r"^delays: got -1 steps, expected at least 1$"):
        build_encoder((5,), 2, (4,), techniques=Techniques(delays=-1))


# --- residual connections ---------------------------------------------------------------------


def test_residual_blocks_follow_the_convolutions():
    torch.manual_seed(0)
    encoder = build_encoder((2, 8, 8), 3, (5,), (4, 3), techniques=Techniques(residual="add"))
    kinds = [type(layer).__name__ for layer in encoder.layers]
    assert kinds == ["SRM", "Residual", "SRM", "Residual", "SRM"]
    assert [layer.shape for layer in encoder.layers[:4]] == [(4, 4, 4)] * 2 + [(3, 2, 2)] * 2
    x = suites.spike_train(2, 12, 2, 8, 8, dtype=torch.float32)
    encoder.calibrate(x, 0.2)
    code = encoder(x, Noise(0, 0, torch.arange(2)))
    for below, layer, above in zip(
        code.hidden[0:4:2], encoder.layers[1:4:2], code.hidden[1:4:2], strict=True
    ):
        alone, _ = layer.inner(below)
        assert torch.equal(above, alone + below)
    assert code.hidden[1].max() == 2


@pytest.mark.parametrize("join", JOINS)
def test_residual_steps_and_gradients(join):
    layer = Residual(srm(*SAME["conv"]), JOINS[join]).double()
    x = suites.spike_train(2, 9, 2, 4, 4).requires_grad_()
    layer.calibrate(x.detach(), 2.0)
    spikes, _ = layer(x)
    state = None
    for t in range(9):
        now, _, state = layer.step(x[:, t], state)
        assert torch.equal(now, spikes[:, t])
    (grad,) = torch.autograd.grad(spikes.sum(), x)
    alone, _ = layer.inner(x)
    outer = torch.ones_like(x) if join == "add" else x.detach()
    around = torch.ones_like(x) if join == "add" else alone.detach()
    (through,) = torch.autograd.grad((alone * outer).sum(), x)
    torch.testing.assert_close(grad, through + around)


@pytest.mark.parametrize(
    ("settings", "conv", "hidden", "told"),
    [
        ({"residual": "add"}, (), (4,), "residual is for convolutional layers: set conv as well"),
        ({"norm": True}, (), (), "techniques are for hidden layers, of which there are none"),
    ],
)
def test_techniques_without_a_place_are_refused(settings, conv, hidden, told):
    with pytest.raises(ValueError, match=told):
        build_encoder((2, 4, 4), 2, hidden, conv, techniques=Techniques(**settings))
    with pytest.raises(ValueError, match="layer of the shape of its input: got "):
        Residual(srm(*dense((5,), 4)), JOINS["add"])


# --- in a model, and in its settings ------------------------------------------------------------


def test_a_stream_with_all_of_them_is_the_sequence():
    torch.manual_seed(0)
    techniques = Techniques(norm=True, delays=3, attention=2, residual="add")
    encoder = build_encoder((2, 6, 6), 4, (6,), (3,), techniques=techniques)
    decoder = LogisticDecoder(FullWindow(5), 4, Image((3,)))
    model = VDIB(encoder, decoder, BernoulliPrior(0.1), StraightThrough(), every_step=True)
    x = suites.spike_train(1, 16, 2, 6, 6, dtype=torch.float32)
    encoder.calibrate(x, 0.3)
    encoder(x, Noise(0, 0, torch.arange(1)))
    model.eval()
    stream = model.stream(seed=3, id=7)
    whole = model.encode(x, Noise(3, EVALUATION, torch.tensor([7])))
    assert 0.05 < whole.spikes.mean() < 0.8
    for t in range(16):
        stream.push(x[0, t])
        assert torch.equal(stream.spikes, whole.spikes[0, t])


def test_a_module_takes_them_by_name():
    settings = {"num_steps": 5, "input_shape": (2, 6, 6), "signal": Image((3,)), "num_readout": 3}
    settings |= {"hidden": (4,), "conv": (3,)}
    asked = {"norm": True, "delays": 3, "attention": 2, "residual": "and"}
    encoder = NaturalisationModule(techniques=asked, **settings).vdib.encoder
    assert [type(layer).__name__ for layer in encoder.layers] == ["Delayed", "Residual", "Delayed"]
    plain = NaturalisationModule(**settings).vdib.encoder
    assert [type(layer).__name__ for layer in plain.layers] == ["SRM", "SRM"]
    for wrong, told in (
        ({"atention": 2}, r"got 'atention', expected norm, delays, .*; did you mean attention\?$"),
        ({"delays": 2.5}, r"delays: got 2.5, expected int$"),
        ({"residual": "or"}, r"residual: got 'or', expected add, and, or null$"),
    ):
        with pytest.raises(ValueError, match=rf"^techniques: {told}"):
            NaturalisationModule(techniques=wrong, **settings)


def test_online_learning_refuses_them():
    torch.manual_seed(0)
    for techniques in (Techniques(norm=True), Techniques(delays=2), Techniques(attention=2)):
        encoder = build_encoder((5,), 4, (6,), techniques=techniques)
        decoder = LogisticDecoder(FullWindow(5), 4, Image((3,)))
        model = VDIB(encoder, decoder, BernoulliPrior(0.1), StraightThrough(), every_step=True)
        with pytest.raises(ValueError, match=r"^online learning needs layers .* is none$"):
            online.begin(model, torch.zeros(1, 5))
