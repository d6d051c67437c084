"""The Triton kernels against the plain code: in Triton's interpreter, so no GPU is needed.

They are also compiled for a GPU, as the interpreter takes more than the compiler does.
"""

import importlib
import re
import subprocess
import sys
from functools import partial

import pytest
import tiny
import torch
from ids import named
from test_fused import (
    assert_bfloat16_is_how_numbers_are_stored,
    assert_fused_is_plain,
    assert_known,
    layer_of,
    spike_train,
)

from vdib.backends import available, cuda, dispatch
from vdib.backends.available import launcher, on_cpu, triton_runs_on
from vdib.backends.describe import NoKernel
from vdib.backends.event_linear import EventLinear
from vdib.backends.settings import changed
from vdib.dynamics import surrogate
from vdib.dynamics.alpha import Alpha, AlphaFeedback
from vdib.dynamics.feedback import CosineFeedback, ExponentialFeedback
from vdib.dynamics.filters import ExponentialPair, RaisedCosines
from vdib.dynamics.firing import Bernoulli, Concrete, PassThrough, Threshold
from vdib.encoder import build_encoder
from vdib.neurons.leaky import leaky
from vdib.neurons.synapses import dense, pooled_conv
from vdib.noise import LayerNoise, Noise

triton = pytest.importorskip("triton")  # here, so that its own functions are not interpreted ones

FILTERS = [ExponentialPair(), RaisedCosines(2, 4)]
FEEDBACKS = [ExponentialFeedback(), CosineFeedback(3)]
FIRES = [Threshold(), Bernoulli(), PassThrough(), Concrete(0.5)]
SLOPES = [
    partial(surrogate.boxcar, width=0.8),
    surrogate.sigmoid,
    partial(surrogate.arctan, alpha=3.0),
    surrogate.gaussian,
    partial(surrogate.exponential, a=1.3),
]


def forget(patch):
    """As if the kernels and their caller had never been imported; undone with `patch`."""
    for name in ("layer_kernels", "launch", "leaky_kernels", "launch_leaky"):
        for place, key in ((vars(cuda), name), (sys.modules, f"{cuda.__name__}.{name}")):
            patch.setitem(place, key, None)
            del place[key]


def load(patch, interpret, name="layer_kernels"):
    """The kernels, imported anew."""
    forget(patch)
    patch.setenv("TRITON_INTERPRET", str(int(interpret)))
    return importlib.import_module(f"vdib.backends.cuda.{name}")


@pytest.fixture(scope="module")
def interpreter():
    triton_runs_on.cache_clear()
    with pytest.MonkeyPatch.context() as patch:
        load(patch, interpret=True)
        yield
    triton_runs_on.cache_clear()


@pytest.fixture
def interpreted(interpreter):
    """Layers on the CPU run in the interpreter, which is shared by all tests."""
    with changed(triton=("cpu",)):
        yield


def noise_of(batch):
    return Noise(5, 2**62, torch.tensor([-1, 2**63 - 1, 7])[:batch]).of_layer(1)


def assert_triton_is_plain(filter, feedback, fire, noise=None, shape=(2, 7, 5), **options):
    layer = layer_of(filter, feedback, 4, shape[2])
    x = spike_train(*shape[:2], 4).requires_grad_()
    noise = noise_of(shape[0]) if noise is None else noise
    soft = isinstance(fire, Concrete)
    parameters = [x, *layer.parameters()]
    assert_known(filter, feedback, fire)
    assert_fused_is_plain(lambda: layer(x, fire, noise), parameters, soft, **options)
    return layer(x, fire, noise)[0].detach()


@pytest.mark.parametrize("fire", FIRES, ids=named)
@pytest.mark.parametrize("feedback", [*FEEDBACKS, CosineFeedback(1)], ids=named)
@pytest.mark.parametrize("filter", [*FILTERS, RaisedCosines(1, 3)], ids=named)
def test_triton_is_plain(filter, feedback, fire, interpreted):
    spikes = assert_triton_is_plain(filter, feedback, fire, shape=(2, 8, 5))
    assert 0.05 < spikes.mean() < 0.95


def test_terms_are_added_in_the_same_order(interpreted):
    assert_triton_is_plain(RaisedCosines(), CosineFeedback(), Threshold(), shape=(1, 20, 128))
    assert_triton_is_plain(ExponentialPair(), CosineFeedback(), Threshold(), shape=(1, 20, 128))
    assert_triton_is_plain(Alpha(1.5), AlphaFeedback(), Threshold(), shape=(1, 20, 128))


@pytest.mark.parametrize("fire", [Threshold(), PassThrough()], ids=named)
@pytest.mark.parametrize("filter", FILTERS, ids=named)
def test_bfloat16_is_how_numbers_are_stored(filter, fire, interpreted):
    # The interpreter rounds towards zero, where compiled code rounds to the nearest.
    sizes = 2, 9, 130
    assert_bfloat16_is_how_numbers_are_stored(filter, CosineFeedback(3), fire, sizes, False)


@pytest.mark.parametrize("slope", SLOPES, ids=named)
def test_every_surrogate(slope, interpreted):
    assert_triton_is_plain(ExponentialPair(0.99, 0.99), ExponentialFeedback(), Threshold(slope))


@pytest.mark.parametrize("reached", [("spikes",), ("v",)])
@pytest.mark.parametrize("fire", FIRES, ids=named)
def test_either_output_alone(fire, reached, interpreted):
    assert_triton_is_plain(RaisedCosines(2, 4), CosineFeedback(3), fire, reached=reached)


# One of everything, fewer steps than taps, blocks of 128 that end early, and several of them.
@pytest.mark.parametrize("shape", [(1, 1, 1), (3, 2, 3), (1, 3, 128), (1, 3, 129), (2, 3, 300)])
@pytest.mark.parametrize("filter", FILTERS, ids=named)
def test_any_size_and_given_noise(filter, shape, interpreted):
    noise = torch.rand(shape, generator=torch.Generator().manual_seed(3))
    assert_triton_is_plain(filter, CosineFeedback(3), PassThrough(), noise, shape)
    assert_triton_is_plain(filter, CosineFeedback(3), PassThrough(), None, shape)


@pytest.mark.parametrize("filter", FILTERS, ids=named)
def test_convolutional_layers(filter, interpreted):
    torch.manual_seed(0)
    layer = tiny.filtered(*pooled_conv((2, 5, 4), 3, kernel_size=3), filter)
    torch.nn.init.normal_(layer.bias)
    x = spike_train(2, 6, 2, 5, 4).requires_grad_()
    layer.calibrate(x.detach())
    assert_fused_is_plain(lambda: layer(x, Threshold()), [x, *layer.parameters()])


@pytest.mark.parametrize("feedback", FEEDBACKS, ids=named)
@pytest.mark.parametrize("filter", [*FILTERS, Alpha(1.0)], ids=named)
def test_the_drive_and_the_response_to_it(filter, feedback, interpreted):
    layer = layer_of(filter, feedback, 4, 5)
    x = spike_train(2, 7, 4).requires_grad_()
    parameters = [x, *layer.parameters()]

    def run():
        return layer.respond(layer.drive(x), PassThrough(), noise_of(2))

    assert_fused_is_plain(run, parameters)
    drive = layer.drive(x)
    with dispatch.plain():
        assert torch.equal(drive, layer.drive(x))


def test_layouts_that_are_not_contiguous(interpreted):
    layer = layer_of(ExponentialPair(), ExponentialFeedback(), 6, 7)
    x = spike_train(9, 4, 6).transpose(0, 1).requires_grad_()
    noise = torch.rand(9, 4, 7, generator=torch.Generator().manual_seed(3)).transpose(0, 1)

    def run():
        spikes, v = layer(x, PassThrough(), noise)
        return spikes.transpose(1, 2), v.transpose(1, 2)

    assert_fused_is_plain(run, [x, *layer.parameters()])


@pytest.mark.parametrize("samples", [1, 2])
def test_an_encoder(samples, interpreted):
    torch.manual_seed(0)
    encoder = build_encoder((2, 6, 6), 4, hidden=(7,), conv=(2,), num_filters=3)
    x = spike_train(2, 6, 2, 6, 6)
    encoder.calibrate(x, rate=0.3)
    noise = Noise(0, 1, torch.arange(2), samples)

    def run():
        code = encoder(x, noise, PassThrough())
        return code.spikes, code.logits

    assert_fused_is_plain(run, list(encoder.parameters()))


def leaky_layer(reset, detach, learn, size=5):
    torch.manual_seed(0)
    layer = leaky(
        *dense((4,), size),
        beta=0.8,
        theta=0.4,
        reset=reset,
        detach=detach,
        learn=learn,
        shared=False,
    )
    for parameter in layer.parameters():
        parameter.data.add_(0.2 * torch.randn(parameter.shape))
    return layer


LEAKY = [
    ("subtract", False, ("beta", "theta", "width")),
    ("subtract", True, ()),
    ("zero", False, ("beta", "theta", "width")),
    ("zero", True, ("beta",)),
]


@pytest.mark.parametrize(("reset", "detach", "learn"), LEAKY)
def test_leaky_neurons(reset, detach, learn, interpreted):
    layer = leaky_layer(reset, detach, learn)
    x = spike_train(3, 9, 4).requires_grad_()
    for reached in (("spikes", "v"), ("spikes",), ("v",)):
        assert_fused_is_plain(lambda: layer(x), [x, *layer.parameters()], reached=reached)
    assert 0.05 < layer(x)[0].detach().mean() < 0.95


def test_leaky_neurons_of_several_blocks(interpreted):
    layer = leaky_layer(*LEAKY[2], size=300)
    x = spike_train(2, 3, 4).requires_grad_()
    assert_fused_is_plain(lambda: layer(x), [x, *layer.parameters()])


def test_spikes_do_not_hinge_on_the_last_bit(interpreted):
    v = torch.linspace(-12, 12, 200)
    near = torch.sigmoid(v.double())[:, None] * (1 + torch.arange(-40, 41) * 1e-8)
    noise = near.float().view(1, 1, -1)
    drive = v[:, None].expand(-1, 81).reshape(1, 1, -1)
    layer = layer_of(ExponentialPair(), ExponentialFeedback(), 1, drive.shape[2])
    spikes, _ = layer.respond(drive, Bernoulli(), noise)
    assert torch.equal(spikes, (noise.double() < torch.sigmoid(drive.double())).float())
    assert 0.3 < spikes.mean() < 0.7


class Compiled:
    """Compiles for a GPU of compute capability 8.0 in place of a launch, and keeps the assembly."""

    def __init__(self, kernel):
        self.kernel, self.assembly = kernel, ""

    def __getitem__(self, grid):
        return self.compile

    def compile(self, **arguments):
        constants, types = {}, {}
        for parameter in self.kernel.params:
            name, value = parameter.name, arguments[parameter.name]
            # A launch takes the number 1 for a constant.
            if parameter.is_constexpr or (type(value) is int and value == 1):
                constants[name], types[name] = value, "constexpr"
            else:
                types[name] = triton.runtime.jit.mangle_type(value)
        out = triton.compile(
            triton.compiler.ASTSource(self.kernel, types, constants),
            target=triton.backends.compiler.GPUTarget("cuda", 80, 32),
            options={name: arguments[name] for name in arguments.keys() - types.keys()},
        )
        assert out.asm["cubin"]
        self.assembly += out.asm["ptx"]


@pytest.mark.parametrize("shape", [(2, 9, 5), (1, 1, 1)])
@pytest.mark.parametrize(
    ("filter", "feedback", "fire"),
    [
        (ExponentialPair(), ExponentialFeedback(), Threshold()),
        (ExponentialPair(), CosineFeedback(3), Bernoulli()),
        (RaisedCosines(2, 4), ExponentialFeedback(), PassThrough()),
        (RaisedCosines(1, 1), CosineFeedback(1), Concrete(0.5)),
    ],
    ids=named,
)
def test_kernels_compile_and_round_every_operation(
    filter, feedback, fire, shape, monkeypatch, tmp_path
):
    kernels = load(monkeypatch, interpret=False)
    monkeypatch.setenv("TRITON_CACHE_DIR", str(tmp_path))
    for name in ("forward", "backward"):
        monkeypatch.setattr(kernels, name, Compiled(getattr(kernels, name)))
    monkeypatch.setattr(available, "triton_runs_on", lambda device: True)
    layer = layer_of(filter, feedback, 4, shape[2])
    x = spike_train(*shape[:2], 4)
    with changed(triton=("cpu",)):
        sum(out.sum() for out in layer(x, fire, noise_of(shape[0]))).backward()
        layer.respond(torch.zeros(shape), fire, torch.full(shape, 0.5))[0].sum().backward()
        layer.drive(x).sum().backward()
    assert "mul.rn.f32" in kernels.backward.assembly
    assert "fma.rn.f32" not in kernels.backward.assembly
    assert "mul.rn.f32" in kernels.forward.assembly
    # In the forward pass nothing may part from a CPU by a rounding, but for soft spikes.
    inexact = re.search(
        r"fma\.\S*f32|div\.(full|approx)|(add|sub|mul)\S*ftz", kernels.forward.assembly
    )
    assert isinstance(fire, Concrete) or inexact is None


@pytest.mark.parametrize(("reset", "detach", "learn"), LEAKY)
def test_leaky_kernels_compile_and_round_every_operation(
    reset, detach, learn, monkeypatch, tmp_path
):
    kernels = load(monkeypatch, False, "leaky_kernels")
    monkeypatch.setenv("TRITON_CACHE_DIR", str(tmp_path))
    for name in ("leaky_forward", "leaky_backward"):
        monkeypatch.setattr(kernels, name, Compiled(getattr(kernels, name)))
    monkeypatch.setattr(available, "triton_runs_on", lambda device: True)
    layer = leaky_layer(reset, detach, learn)
    with changed(triton=("cpu",)):
        sum(out.sum() for out in layer(spike_train(2, 9, 4))).backward()
    assert "mul.rn.f32" in kernels.leaky_forward.assembly
    for kernel in (kernels.leaky_forward, kernels.leaky_backward):
        assert "fma.rn.f32" not in kernel.assembly


def test_the_other_kernels_stay_on_cpus(monkeypatch):
    monkeypatch.setattr(available, "triton_runs_on", lambda device: True)
    x = torch.zeros(3, 4, device="meta")
    with changed(triton=("meta",), list_from=0):  # in place of a GPU
        launcher(x)
        assert not on_cpu(x)
        assert on_cpu(torch.zeros(3, 4))
        assert EventLinear(4, 2).to("meta")(x).shape == (3, 2)
        stream = LayerNoise(torch.zeros(3, dtype=torch.int64, device="meta"))
        assert dispatch.uniform(stream, 5, (2,)).shape == (3, 5, 2)


@pytest.fixture
def asked_anew():
    triton_runs_on.cache_clear()
    yield
    triton_runs_on.cache_clear()


def assert_runs_unfused():
    layer = layer_of(ExponentialPair(), ExponentialFeedback(), 4, 5)
    x = spike_train(2, 7, 4).requires_grad_()
    with changed(triton=("cpu",)), pytest.raises(NoKernel):
        launcher(x)
    with changed(triton=("cpu",)):
        assert_fused_is_plain(lambda: layer(x, Threshold()), [x, *layer.parameters()])


def test_where_triton_does_not_run_layers_run_unfused(monkeypatch, asked_anew):
    load(monkeypatch, interpret=False)  # and there is no driver for CPUs
    with pytest.warns(UserWarning, match="layers run unfused on cpu: ") as warned:
        assert_runs_unfused()
    assert len(warned) == 1


def test_without_triton_layers_run_unfused(monkeypatch, asked_anew):
    forget(monkeypatch)
    monkeypatch.setitem(sys.modules, "triton", None)
    assert_runs_unfused()


def test_triton_is_not_loaded_on_cpus():
    code = (
        "import sys, torch; from vdib.backends import dispatch;"
        "from vdib.dynamics.feedback import ExponentialFeedback;"
        "from vdib.dynamics.firing import Threshold;"
        "dispatch.scan(torch.zeros(1, 2, 1), torch.zeros(1), ExponentialFeedback(), Threshold());"
        "assert 'numba' in sys.modules and 'triton' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
