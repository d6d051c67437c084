"""Fused layers against the plain code: spikes to the last one, gradients to rounding."""

import subprocess
import sys
from functools import partial

import numpy
import pytest
import tiny
import torch
from ids import named

from vdib.backends import dispatch, fused
from vdib.backends.available import launcher
from vdib.backends.describe import NoKernel, describe
from vdib.backends.settings import changed
from vdib.credit import BPTT, DirectFeedback, EProp
from vdib.dynamics import surrogate
from vdib.dynamics.feedback import CosineFeedback, ExponentialFeedback
from vdib.dynamics.filters import ExponentialPair, RaisedCosines
from vdib.dynamics.firing import Bernoulli, Concrete, PassThrough, Threshold
from vdib.encoder import build_encoder
from vdib.neurons.spike_response import SRM
from vdib.neurons.synapses import Dense, pooled_conv
from vdib.noise import Noise

FILTERS = [ExponentialPair(), ExponentialPair(0.99, 0.99), RaisedCosines(), RaisedCosines(1, 3)]
FEEDBACKS = [ExponentialFeedback(), CosineFeedback(), CosineFeedback(1)]
SURROGATES = [
    surrogate.boxcar,
    surrogate.sigmoid,
    surrogate.arctan,
    surrogate.fast_sigmoid,
    surrogate.gaussian,
    surrogate.exponential,
    partial(surrogate.gaussian, std=1.3),
]
FIRES = [*map(Threshold, SURROGATES), Bernoulli(), PassThrough(), Concrete(0.5)]


@pytest.fixture(params=[1, 2], autouse=True)
def threads(request):
    before = torch.get_num_threads()
    torch.set_num_threads(request.param)
    with changed(thread_from=0):
        yield
    torch.set_num_threads(before)


def layer_of(filter, feedback, num_inputs, num_neurons, width=1.6):
    torch.manual_seed(0)
    linear = Dense((num_inputs,), filter.num_filters * num_neurons)
    parts = linear, (num_neurons,), filter, feedback, Threshold()
    layer = SRM(*parts, threshold=0.3, width=width)
    torch.nn.init.normal_(layer.synapses.weight)
    torch.nn.init.normal_(layer.bias, std=0.3)
    torch.nn.init.normal_(layer.gain, 1.0, 0.3)
    return layer


spike_train = partial(tiny.spike_train, seed=1, dtype=torch.float32)


def close(value, expected, tolerance=1e-5):
    """To `tolerance` of the largest entry; an entry may itself be a difference of large ones."""
    assert value.shape == expected.shape
    scale = expected.abs().max().item()
    torch.testing.assert_close(value, expected, rtol=tolerance, atol=tolerance * scale)


def results(run, parameters, reached=("spikes", "v")):
    """Spikes, v and the gradients of a loss that looks at what is `reached`."""
    spikes, v = run()
    generator = torch.Generator().manual_seed(2)
    loss = torch.zeros(())
    for name, out in (("spikes", spikes), ("v", v)):
        upstream = torch.randn(out.shape, generator=generator)
        if name in reached:
            loss = loss + (out * upstream).sum()
    grads = torch.autograd.grad(loss, parameters, allow_unused=True)
    return spikes.detach(), v.detach(), grads


def assert_fused_is_plain(run, parameters, soft=False, reached=("spikes", "v")):
    spikes, v, grads = results(run, parameters, reached)
    with dispatch.plain():
        expected_spikes, expected_v, expected = results(run, parameters, reached)
    if soft:
        close(spikes, expected_spikes)
        close(v, expected_v)
    else:
        assert torch.equal(spikes, expected_spikes)
        assert torch.equal(v, expected_v)
    for grad, other in zip(grads, expected, strict=True):
        close(grad, torch.zeros_like(grad) if other is None else other)


def assert_known(*parts):
    """That there are kernels for them, so that fused layers were compared with plain ones."""
    launcher(torch.zeros(1))
    for part in parts:
        describe(part)


@pytest.mark.parametrize("fire", FIRES, ids=named)
@pytest.mark.parametrize("feedback", FEEDBACKS, ids=named)
@pytest.mark.parametrize("filter", FILTERS, ids=named)
def test_fused_is_plain(filter, feedback, fire):
    layer = layer_of(filter, feedback, 6, 37)
    x = spike_train(3, 29, 6).requires_grad_()
    noise = Noise(0, 3, torch.arange(3)).of_layer(1)
    assert_known(filter, feedback, fire)
    soft = isinstance(fire, Concrete)
    assert_fused_is_plain(lambda: layer(x, fire, noise), [x, *layer.parameters()], soft)
    spikes, _ = layer(x, fire, noise)
    assert 0.05 < spikes.detach().mean() < 0.95


@pytest.mark.parametrize("reached", [("spikes",), ("v",)])
@pytest.mark.parametrize(
    "fire", [Threshold(), PassThrough(), Concrete(0.5), Bernoulli()], ids=named
)
@pytest.mark.parametrize("filter", FILTERS[1:3], ids=named)
def test_either_output_alone(filter, fire, reached):
    layer = layer_of(filter, CosineFeedback(), 6, 37)
    x = spike_train(3, 29, 6).requires_grad_()
    noise = Noise(0, 3, torch.arange(3)).of_layer(1)
    soft = isinstance(fire, Concrete)
    parameters = [x, *layer.parameters()]
    assert_fused_is_plain(lambda: layer(x, fire, noise), parameters, soft, reached)


@pytest.mark.parametrize("fire", [Threshold(), PassThrough(), Concrete(0.5)], ids=named)
@pytest.mark.parametrize("feedback", FEEDBACKS, ids=named)
@pytest.mark.parametrize("filter", FILTERS, ids=named)
def test_bfloat16_is_how_numbers_are_stored(filter, feedback, fire):
    assert_bfloat16_is_how_numbers_are_stored(filter, feedback, fire, (3, 29, 601))


def assert_bfloat16_is_how_numbers_are_stored(filter, feedback, fire, sizes, to_nearest=True):
    """Of the same rounded currents, everything that follows is what float32 gives, rounded."""
    batch, num_steps, size = sizes
    layer = layer_of(filter, feedback, 1, size)
    generator = torch.Generator().manual_seed(1)
    shape = (batch, num_steps, filter.num_filters, size)
    currents = torch.randn(shape, generator=generator).bfloat16().requires_grad_()
    noise = Noise(0, 3, torch.arange(batch)).of_layer(1)
    upstream = torch.randn((2, *sizes), generator=generator).bfloat16()

    def run(currents):
        shift, gain = (layer.bias - 0.3).detach().requires_grad_(), layer.gain.detach() / 1.6
        gain.requires_grad_()
        parts = currents, filter, shift, 1.6, gain, feedback, fire, noise
        spikes, v = dispatch.respond(*parts)
        loss = (upstream[0] * spikes).sum()
        if not isinstance(fire, Threshold):  # its v is not for use
            loss = loss + (upstream[1] * v).sum()
        return spikes, v, torch.autograd.grad(loss, (currents, shift, gain))

    spikes, v, (grad, *grads) = run(currents)
    full = currents.detach().float().requires_grad_()
    expected_spikes, expected_v, (expected, *others) = run(full)
    assert torch.equal(spikes.float(), expected_spikes)
    assert grad.dtype == torch.bfloat16
    if isinstance(fire, Threshold):
        assert spikes.dtype == v.dtype == torch.bfloat16
        if to_nearest:
            assert torch.equal(v, expected_v.bfloat16())
        torch.testing.assert_close(v.float(), expected_v, rtol=2**-7, atol=0)
        close(grad.float(), expected, 0.02)  # by a slope at a rounded v
        tolerance = 0.02
    else:
        assert spikes.dtype == v.dtype == torch.float32
        assert torch.equal(v, expected_v)
        if to_nearest:
            assert torch.equal(grad, expected.bfloat16())
        torch.testing.assert_close(grad.float(), expected, rtol=2**-7, atol=1e-6)
        tolerance = 1e-6
    for found, other in zip(grads, others, strict=True):
        close(found, other, tolerance)


# One of everything, blocks of neurons that end early, and several of them.
@pytest.mark.parametrize("shape", [(1, 1, 1), (1, 40, 1), (5, 1, 3), (1, 12, 513), (3, 7, 1_300)])
@pytest.mark.parametrize("fire", [Threshold(), PassThrough()], ids=named)
@pytest.mark.parametrize("filter", [ExponentialPair(), RaisedCosines()], ids=named)
def test_any_size(filter, fire, shape):
    batch, num_steps, num_neurons = shape
    layer = layer_of(filter, CosineFeedback(), 5, num_neurons)
    x = spike_train(batch, num_steps, 5).requires_grad_()
    noise = torch.rand(shape, generator=torch.Generator().manual_seed(3))
    assert_fused_is_plain(lambda: layer(x, fire, noise), [x, *layer.parameters()])


@pytest.mark.parametrize("filter", [ExponentialPair(), RaisedCosines(2, 8)], ids=named)
def test_convolutional_layers(filter):
    torch.manual_seed(0)
    layer = tiny.filtered(*pooled_conv((2, 9, 8), 3, kernel_size=3), filter)
    torch.nn.init.normal_(layer.bias)
    x = spike_train(2, 14, 2, 9, 8).requires_grad_()
    layer.calibrate(x.detach())
    assert_fused_is_plain(lambda: layer(x, Threshold()), [x, *layer.parameters()])


@pytest.mark.parametrize("filter", FILTERS, ids=named)
def test_the_drive_and_the_response_to_it(filter):
    layer = layer_of(filter, ExponentialFeedback(), 6, 37)
    x = spike_train(3, 29, 6).requires_grad_()
    noise = Noise(0, 3, torch.arange(3)).of_layer(1)
    parameters = [x, *layer.parameters()]
    assert_fused_is_plain(lambda: layer.respond(layer.drive(x), PassThrough(), noise), parameters)
    drive = layer.drive(x)
    with dispatch.plain():
        assert torch.equal(drive, layer.drive(x))


@pytest.mark.parametrize("plain", [False, True])
def test_a_leaky_neuron_with_soft_reset_is_one_pole_and_a_feedback_of_the_same_decay(plain):
    """`u[t] = beta u[t - 1] - theta s[t - 1] + I[t] + b`, `s[t] = 1[u[t] > theta]`."""
    beta, theta = 0.8, 0.7
    generator = torch.Generator().manual_seed(0)
    currents, bias = torch.randn(3, 29, 37, generator=generator), torch.tensor(0.1)
    u = s = torch.zeros(3, 37, dtype=torch.float64)
    expected = []
    for now in currents.double().unbind(1):
        u = beta * u - theta * s + now + bias.double()
        s = (u > theta).double()
        expected.append((s, u - theta))
    with dispatch.plain() if plain else torch.enable_grad():
        spikes, v = dispatch.respond(
            (currents + bias)[:, :, None],
            ExponentialPair(beta, 0.0),
            torch.tensor(-theta),
            1.0,
            torch.tensor(theta),
            ExponentialFeedback(beta),
            Threshold(),
        )
    assert torch.equal(spikes.double(), torch.stack([s for s, _ in expected], 1))
    expected_v = torch.stack([v for _, v in expected], 1)
    torch.testing.assert_close(v.double(), expected_v, rtol=1e-5, atol=1e-5)
    assert 0.05 < spikes.mean() < 0.95


def test_layouts_that_are_not_contiguous():
    layer = layer_of(ExponentialPair(), ExponentialFeedback(), 6, 7)
    x = spike_train(9, 4, 6).transpose(0, 1).requires_grad_()
    noise = torch.rand(9, 4, 7).transpose(0, 1)

    def run():
        spikes, v = layer(x, PassThrough(), noise)
        return spikes.transpose(1, 2), v.flip(1)

    assert_fused_is_plain(run, [x, *layer.parameters()])


@pytest.mark.parametrize("samples", [1, 3])
@pytest.mark.parametrize("credit", [BPTT, EProp, DirectFeedback])
def test_encoders_under_every_credit(credit, samples):
    torch.manual_seed(0)
    encoder = build_encoder((13,), 9, hidden=(20, 11), credit=credit)
    x = spike_train(4, 31, 13)
    encoder.calibrate(x, rate=0.2)
    noise = Noise(0, 1, torch.arange(4), samples)

    def run():
        code = encoder(x, noise, PassThrough())
        return code.spikes, code.logits

    assert_fused_is_plain(run, list(encoder.parameters()))


def test_numbers_drawn_inside_are_those_of_the_stream():
    from vdib.backends.cpu.noise import uniform  # loads the compiler

    stream = Noise(5, 2**62, torch.tensor([0, -1, 2**63 - 1]), samples=2).of_layer(3)
    expected = stream.uniform(num_steps=7, shape=(11,), start=2)
    drawn = torch.empty(6, 77)
    for key, row in zip(stream.keys.numpy().view("uint64"), drawn.numpy(), strict=True):
        start, count, to = (numpy.uint64(n) for n in (22, len(row), 0))
        uniform(key, start, count, row, to)
    assert torch.equal(drawn.view(6, 7, 11), expected)


def test_kernels_of_different_kinds_have_files_of_their_own():
    # They go by their names, where the numbers that they were made for do not show.
    from vdib.backends.cpu.layer_backward import backward
    from vdib.backends.cpu.layer_forward import forward

    made = [
        forward(1, 1, 1, 0),
        forward(1, 1, 2, 2),
        backward(1, 1, 4, True, False, False),
        backward(1, 1, 4, True, False, True),
    ]
    assert len({kernel.py_func.__qualname__ for kernel in made}) == len(made)
    assert forward(1, 1, 1, 0) is made[0]


def test_spikes_do_not_hinge_on_the_last_bit():
    # Noise within a few units in the last place of the probability, where two ways of computing
    # a single-precision sigmoid part.
    v = torch.linspace(-12, 12, 5_000)
    near = torch.sigmoid(v.double())[:, None] * (1 + torch.arange(-40, 41) * 1e-8)
    noise = near.float().view(1, 1, -1)
    drive = v[:, None].expand(-1, 81).reshape(1, 1, -1)
    layer = layer_of(ExponentialPair(), ExponentialFeedback(), 1, drive.shape[2])
    spikes, _ = layer.respond(drive, Bernoulli(), noise)
    assert torch.equal(spikes, (noise.double() < torch.sigmoid(drive.double())).float())
    assert 0.3 < spikes.mean() < 0.7


class Slower(ExponentialPair):
    """A subclass, which may do anything."""


class Unhashable:
    """A surrogate of the user's own."""

    __hash__ = None

    def __call__(self, v):
        return torch.ones_like(v)


UNKNOWN = [
    None,
    object(),
    Slower(),
    type("Weaker", (ExponentialFeedback,), {})(),
    type("Doubled", (PassThrough,), {})(),
    type("Sharper", (Threshold,), {})(),
    Threshold(lambda v: v),
    Threshold(Unhashable()),
    Threshold(torch.sigmoid),
    Threshold(partial(surrogate.boxcar, torch.zeros(1))),
    Threshold(partial(surrogate.boxcar, width=torch.tensor(0.5))),
    Threshold(partial(lambda v, width: v, width=0.5)),
    Threshold(partial(Unhashable())),
]


@pytest.mark.parametrize("part", UNKNOWN, ids=named)
def test_unknown_parts_are_never_taken_for_none(part):
    with pytest.raises(NoKernel):
        describe(part)
    filter, feedback, fire = ExponentialPair(), ExponentialFeedback(), Threshold()
    x, one = spike_train(2, 3, 1, 4), torch.ones(1)
    for parts in ((part, feedback, fire), (filter, part, fire), (filter, feedback, part)):
        with pytest.raises(NoKernel):
            fused.respond(x, parts[0], one, 1.0, one, *parts[1:])
    with pytest.raises(NoKernel):
        fused.drive(x, part, one, 1.0)


@pytest.mark.parametrize(
    ("filter", "feedback", "fire"),
    [
        (Slower(), ExponentialFeedback(), Threshold()),
        (ExponentialPair(), type("Weaker", (ExponentialFeedback,), {})(), PassThrough()),
        (ExponentialPair(), ExponentialFeedback(), Threshold(Unhashable())),
    ],
)
def test_layers_of_unknown_parts_take_the_plain_code(filter, feedback, fire):
    layer = layer_of(filter, feedback, 6, 37)
    x = spike_train(3, 29, 6).requires_grad_()
    noise = Noise(0, 3, torch.arange(3)).of_layer(1)
    assert_fused_is_plain(lambda: layer(x, fire, noise), [x, *layer.parameters()])


def test_what_has_no_kernel():
    x = spike_train(2, 3, 4)
    launcher(x, x)
    launcher(x.bfloat16(), x)
    for currents, parameter in (
        (x.double(), x),
        (x.half(), x),
        (x, x.double()),
        (x, x.bfloat16()),
        (x[:0], x),
        (x.to("meta"), x),
    ):
        with pytest.raises(NoKernel):
            launcher(currents, parameter)


def test_dynamics_without_a_kernel_run_as_they_are():
    def integrate(drive, leak):
        return leak * drive.cumsum(1)

    x = spike_train(2, 3, 4)
    assert torch.equal(dispatch.run(integrate, x, leak=0.5), 0.5 * x.cumsum(1))


def test_kernels_are_used_where_they_fit_and_nowhere_else():
    calls = []

    def kernel(x):
        if x.dtype == torch.float64:
            raise NoKernel
        calls.append("kernel")
        return x

    @dispatch.with_kernel(kernel)
    def dynamics(x):
        calls.append("plain")
        return x

    for x, expected in ((torch.zeros(1), "kernel"), (torch.zeros(1).double(), "plain")):
        dynamics(x)
        assert calls.pop() == expected
        with dispatch.plain():
            dynamics(x)
        assert calls.pop() == "plain"


def test_the_compiler_is_not_loaded_before_it_is_needed():
    code = "import sys, vdib.encoder; assert not {'numba', 'llvmlite'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_uniform_is_that_of_the_stream():
    stream = Noise(5, 2**62, torch.tensor([0, -1, 2**63 - 1]), samples=2).of_layer(3)
    drawn = dispatch.uniform(stream, 7, (3, 11))
    assert torch.equal(drawn, stream.uniform(7, (3, 11)))
    with dispatch.plain():
        assert torch.equal(dispatch.uniform(stream, 7, (3, 11)), drawn)
