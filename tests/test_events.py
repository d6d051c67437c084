"""Event-driven products against dense ones."""

import pytest
import tiny
import torch

from vdib.backends import dispatch, event_conv
from vdib.backends import event_linear as events
from vdib.backends.event_conv import event_conv2d
from vdib.backends.event_linear import EventLinear
from vdib.backends.settings import changed
from vdib.credit import BPTT, DirectFeedback, EProp
from vdib.dynamics.firing import PassThrough, Threshold
from vdib.encoder import build_encoder
from vdib.neurons.srm import srm
from vdib.neurons.synapses import dense, pooled_conv
from vdib.noise import Noise
from vdib.sparse import SparseSpikes


@pytest.fixture(params=[1, 2], autouse=True)
def threads(request):
    before = torch.get_num_threads()
    torch.set_num_threads(request.param)
    with changed(thread_from=0, list_from=0):
        yield
    torch.set_num_threads(before)


def spike_train(*shape, rate=0.1, seed=1):
    return tiny.spike_train(*shape, rate=rate, seed=seed, dtype=torch.float32)


def counted(monkeypatch):
    """How often the event-driven product was taken."""
    calls = []
    gather = events._gather
    monkeypatch.setattr(events, "_gather", lambda *args: calls.append(1) or gather(*args))
    return calls


@pytest.mark.parametrize("rate", [0.0, 0.02, 0.1, 0.4])
@pytest.mark.parametrize(("num_inputs", "num_outputs"), [(1, 1), (13, 64), (50, 131)])
@pytest.mark.parametrize("plain", [False, True])
def test_currents_and_gradients_are_the_dense_ones(
    num_inputs, num_outputs, rate, plain, monkeypatch
):
    torch.manual_seed(0)
    weights = EventLinear(num_inputs, num_outputs)
    spikes = spike_train(4, 9, num_inputs, rate=rate)
    dense = spikes.flatten(0, 1).requires_grad_()
    upstream = torch.randn(36, num_outputs)
    expected = torch.nn.functional.linear(dense, weights.weight)
    expected_grads = torch.autograd.grad(expected, (weights.by_input, dense), upstream)
    few = spikes.mean() <= events.DENSE[torch.float32]
    calls = counted(monkeypatch)

    lists = SparseSpikes.of(spikes)
    with dispatch.plain() if plain else torch.enable_grad():
        out = weights(lists)
        (grad,) = torch.autograd.grad(out, weights.by_input, upstream)
    torch.testing.assert_close(out, expected, rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(grad, expected_grads[0], rtol=1e-5, atol=1e-5)
    assert len(calls) == few

    if not plain:
        out = weights(dense)
        grads = torch.autograd.grad(out, (weights.by_input, dense), upstream)
        torch.testing.assert_close(out, expected, rtol=1e-5, atol=1e-5)
        for grad, other in zip(grads, expected_grads, strict=True):
            torch.testing.assert_close(grad, other, rtol=1e-5, atol=1e-5)
        assert len(calls) == 2 * few


def test_double_precision():
    weights = EventLinear(13, 5).double()
    spikes = spike_train(4, 9, 13).double()
    upstream = torch.randn(36, 5, dtype=torch.float64)
    out = weights(SparseSpikes.of(spikes))
    expected = torch.nn.functional.linear(spikes.flatten(0, 1), weights.weight)
    torch.testing.assert_close(out, expected)
    (grad,) = torch.autograd.grad(out, weights.by_input, upstream)
    torch.testing.assert_close(grad, torch.autograd.grad(expected, weights.by_input, upstream)[0])


@pytest.mark.parametrize("rate", [0.02, 0.4])
@pytest.mark.parametrize("dense", [False, True])
def test_mixed_precision(rate, dense, monkeypatch):
    torch.manual_seed(0)
    weights = EventLinear(50, 131)
    spikes = spike_train(4, 9, 50, rate=rate)
    rows = spikes.flatten(0, 1).bfloat16().requires_grad_()
    upstream = torch.randn(36, 131).bfloat16()
    rounded = weights.by_input.detach().bfloat16().double().requires_grad_()
    expected = rows.double() @ rounded
    expected_grads = torch.autograd.grad(expected, (rounded, rows), upstream.double())
    calls = counted(monkeypatch)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        out = weights(rows if dense else SparseSpikes.of(spikes))
    assert out.dtype == torch.bfloat16
    assert len(calls) == (rate < 0.05)
    rounding = {"rtol": 2**-8, "atol": 1e-6}
    torch.testing.assert_close(out.double(), expected, **rounding)
    wanted = (weights.by_input, rows) if dense else (weights.by_input,)
    grad, *to_spikes = torch.autograd.grad(out, wanted, upstream)
    if calls:  # its gradient is never rounded
        assert grad.dtype == torch.float32
        torch.testing.assert_close(grad.double(), expected_grads[0], rtol=1e-5, atol=1e-5)
    else:
        torch.testing.assert_close(grad.double(), expected_grads[0], rtol=2**-8, atol=1e-2)
    for found in to_spikes:
        torch.testing.assert_close(
            found.double(), expected_grads[1].double(), rtol=2**-7, atol=0.02
        )


@pytest.mark.parametrize("rate", [0.0, 0.02, 0.4])
@pytest.mark.parametrize(
    ("size", "kernel", "stride", "padding"),
    [((8, 7), 4, 2, 1), ((5, 9), 3, 1, 1), ((9, 6), 7, 3, 2), ((4, 4), 4, 1, 0), ((7, 7), 2, 3, 0)],
)
def test_convolutions_are_the_dense_ones(size, kernel, stride, padding, rate, monkeypatch):
    spikes = spike_train(2, 20, 3, *size, rate=rate)
    dense = spikes.flatten(0, 1).requires_grad_()
    generator = torch.Generator().manual_seed(0)
    weight = torch.randn(5, 3, kernel, kernel, generator=generator).requires_grad_()
    expected = torch.nn.functional.conv2d(dense, weight, stride=stride, padding=padding)
    upstream = torch.randn(expected.shape, generator=generator)
    expected_grads = torch.autograd.grad(expected, (weight, dense), upstream)
    calls = []
    apply = event_conv._Convolution.apply
    monkeypatch.setattr(
        event_conv._Convolution, "apply", lambda *args: calls.append(1) or apply(*args)
    )
    for x in (SparseSpikes.of(spikes), dense):
        out = event_conv2d(x, weight, stride, padding)
        torch.testing.assert_close(out, expected, rtol=1e-5, atol=1e-5)
        wanted = (weight,) if isinstance(x, SparseSpikes) else (weight, dense)
        for grad, other in zip(
            torch.autograd.grad(out, wanted, upstream), expected_grads, strict=False
        ):
            torch.testing.assert_close(grad, other, rtol=1e-5, atol=1e-4)
    assert len(calls) == (2 if rate < event_conv.LISTED[torch.float32] else 0)


def test_convolutions_in_mixed_precision():
    spikes = spike_train(2, 20, 3, 8, 7, rate=0.05)
    dense = spikes.flatten(0, 1).requires_grad_()
    weight = torch.randn(5, 3, 4, 4, generator=torch.Generator().manual_seed(0)).requires_grad_()
    rounded = weight.detach().bfloat16().float()
    expected = torch.nn.functional.conv2d(dense, rounded, stride=2, padding=1)
    for x in (SparseSpikes.of(spikes), dense.bfloat16()):
        with torch.autocast("cpu", dtype=torch.bfloat16):
            out = event_conv2d(x, weight, 2, 1)
        assert out.dtype == torch.bfloat16
        torch.testing.assert_close(out.float(), expected, rtol=2**-8, atol=1e-6)
        (grad,) = torch.autograd.grad(out.float().square().sum(), weight)
        full = dense.detach(), rounded.clone().requires_grad_()
        wanted = torch.nn.functional.conv2d(*full, stride=2, padding=1).square().sum()
        (other,) = torch.autograd.grad(wanted, full[1])
        torch.testing.assert_close(grad, other, rtol=0.02, atol=0.02 * float(other.abs().max()))


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_listing_is_what_lists_are(dtype):
    spikes = spike_train(31, 70).to(dtype)
    lists, expected = events.listed(spikes, 0.2), SparseSpikes.of(spikes[:, None])
    assert torch.equal(lists.offset, expected.offset)
    assert torch.equal(lists.neuron, expected.neuron)
    assert lists.shape == expected.shape


def test_what_is_no_spike_train_is_not_listed():
    spikes = spike_train(31, 70)
    for value in (0.5, 2.0, -1.0, float("nan")):
        other = spikes.clone()
        other[4, 5] = value
        assert events.listed(other, 0.2) is None
    assert events.listed(spike_train(31, 70, rate=0.9), 0.2) is None


@pytest.mark.parametrize("credit", [BPTT, EProp, DirectFeedback])
@pytest.mark.parametrize("samples", [1, 2])
def test_encoders_take_lists(credit, samples):
    torch.manual_seed(0)
    encoder, other = (build_encoder((2, 5, 3), 9, (20, 11), credit=credit) for _ in range(2))
    spikes = spike_train(4, 31, 2, 5, 3)
    other.load_state_dict(encoder.state_dict())
    encoder.calibrate(SparseSpikes.of(spikes), rate=0.2)
    with dispatch.plain():
        other.calibrate(spikes, rate=0.2)
    noise = Noise(0, 1, torch.arange(4), samples)
    code = encoder(SparseSpikes.of(spikes), noise, PassThrough())
    with dispatch.plain():
        expected = other(spikes, noise, PassThrough())
    assert torch.equal(code.spikes, expected.spikes)
    torch.testing.assert_close(code.logits, expected.logits, rtol=1e-4, atol=1e-4)
    upstream = torch.randn(code.spikes.shape)
    grads = torch.autograd.grad((code.spikes * upstream).sum(), list(encoder.parameters()))
    wanted = torch.autograd.grad((expected.spikes * upstream).sum(), list(other.parameters()))
    for grad, want in zip(grads, wanted, strict=True):
        torch.testing.assert_close(grad, want, rtol=1e-4, atol=1e-4 * float(want.abs().max()))


@pytest.mark.parametrize("rate", [0.03, 0.3])
def test_convolutional_layers_take_lists(rate):
    torch.manual_seed(0)
    layer = srm(*pooled_conv((2, 9, 8), 3, kernel_size=3))
    spikes = spike_train(2, 14, 2, 9, 8, rate=rate)
    assert (spikes.mean() < event_conv.DENSE[torch.float32]) == (rate < 0.1)
    layer.calibrate(SparseSpikes.of(spikes))
    fired, v = layer(SparseSpikes.of(spikes), Threshold())
    with dispatch.plain():
        expected, expected_v = layer(spikes, Threshold())
    assert torch.equal(fired, expected)
    assert 0.01 < fired.mean() < 0.9
    torch.testing.assert_close(v, expected_v, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("lists", [False, True])
def test_spikes_of_other_shapes_are_refused(lists):
    def of(*shape):
        spikes = spike_train(2, 3, *shape)
        return SparseSpikes.of(spikes) if lists else spikes

    with pytest.raises(ValueError, match="expected 5 inputs, got 6"):
        srm(*dense((5,), 4)).drive(of(6))
    layer = srm(*pooled_conv((2, 8, 8), 3))
    for shape in ((3, 8, 8), (1, 8, 8), (128,)):
        with pytest.raises(ValueError, match=r"expected inputs of shape \(2, H, W\), got \("):
            layer.drive(of(*shape))
    with pytest.raises(ValueError, match=r"inputs \(2, 8, 6\) make .* \(3, 4, 3\), expected"):
        layer.drive(of(2, 8, 6))


@pytest.mark.parametrize("connect", [dense((16,), 5), pooled_conv((1, 4, 4), 3)])
def test_parameters_in_bfloat16_take_the_plain_code(connect):
    torch.manual_seed(0)
    layer = srm(*connect)
    spikes = spike_train(2, 9, *layer.input_shape)
    layer.calibrate(spikes)
    expected, _ = layer(spikes, Threshold())
    fired, v = layer.bfloat16()(spikes.bfloat16(), Threshold())
    (grad,) = torch.autograd.grad(v.float().square().sum(), layer.bias)
    assert (fired.float() - expected).abs().mean() < 0.03  # a rounded v may miss the threshold
    assert grad.isfinite().all()


def test_half_precision_takes_pytorchs_products():
    weights = EventLinear(50, 31)
    spikes = spike_train(4, 9, 50, rate=0.05)
    with torch.autocast("cpu", dtype=torch.float16):
        for x in (SparseSpikes.of(spikes), spikes.flatten(0, 1)):
            out = weights(x)
            expected = spikes.flatten(0, 1) @ weights.weight.t()
            torch.testing.assert_close(out.float(), expected.float(), rtol=2e-3, atol=2e-3)
            out.float().sum().backward()


TYPES = [torch.bool, torch.uint8, torch.int64, torch.bfloat16, torch.float16, torch.float64]


@pytest.mark.parametrize("mixed", [False, True])
@pytest.mark.parametrize("largest", [1, 2])
@pytest.mark.parametrize("dtype", TYPES, ids=str)
def test_dense_spikes_of_any_type_and_size(dtype, largest, mixed):
    torch.manual_seed(0)
    weights, kernel = EventLinear(50, 7), torch.randn(5, 2, 3, 3, requires_grad=True)
    spikes = spike_train(40, 2, 5, 5, rate=0.02)
    if dtype != torch.bool:
        spikes[3, 1, 2] = largest  # what is no spike counts as what it is
    x = spikes.to(dtype)
    assert torch.equal(x.float(), spikes)
    weight = weights.weight.detach()
    rounded = [w.bfloat16().float() if mixed else w for w in (weight, kernel.detach())]
    expected = spikes.flatten(1) @ rounded[0].t()
    expected_conv = torch.nn.functional.conv2d(spikes, rounded[1], padding=1)
    tolerance = {"rtol": 2**-8, "atol": 2**-8} if mixed else {"rtol": 1e-5, "atol": 1e-5}
    for list_from in (0, float("inf")):
        with changed(list_from=list_from), torch.autocast("cpu", torch.bfloat16, enabled=mixed):
            out, conv = weights(x.flatten(1)), event_conv2d(x, kernel, 1, 1)
        assert out.dtype == conv.dtype == (torch.bfloat16 if mixed else torch.float32)
        torch.testing.assert_close(out.float(), expected, **tolerance)
        torch.testing.assert_close(conv.float(), expected_conv, **tolerance)
        (grad,) = torch.autograd.grad(out.float().sum(), weights.by_input)
        torch.testing.assert_close(grad[:, 0], spikes.flatten(1).sum(0), rtol=2**-7, atol=1e-5)


def test_no_rows():
    assert EventLinear(5, 3)(torch.zeros(0, 5)).shape == (0, 3)
    weight = torch.zeros(3, 2, 3, 3)
    assert event_conv2d(torch.zeros(0, 2, 4, 4), weight, 1, 1).shape == (0, 3, 4, 4)
