"""Fused leaky neurons against the plain code: sizes, threads, half precision, unknown parts."""

from functools import partial

import pytest
import suites
import torch
from test_fused import assert_fused_is_plain, close, spike_train

from vdib.backends import dispatch, fused_leaky
from vdib.backends.describe import NoKernel
from vdib.backends.settings import changed
from vdib.dynamics.firing import PassThrough, Threshold
from vdib.dynamics.integrate_and_fire import Reset
from vdib.dynamics.surrogate import arctan
from vdib.neurons.leaky import leaky
from vdib.neurons.plif import plif
from vdib.neurons.synapses import dense

LEARN = ("beta", "theta", "width")


def layer_of(num_neurons, **settings):
    torch.manual_seed(0)
    neuron = plif if settings.get("reset") == "zero" else leaky
    layer = neuron(*dense((6,), num_neurons), theta=0.4, learn=LEARN, shared=False, **settings)
    return suites.disturbed(layer, 0.2)


# One of everything, blocks of neurons that end early, and several of them.
@pytest.mark.parametrize("shape", [(1, 1, 1), (5, 1, 3), (1, 12, 513), (3, 7, 1_300)])
@pytest.mark.parametrize("reset", ["subtract", "zero"])
def test_any_size_on_two_threads(reset, shape):
    batch, num_steps, num_neurons = shape
    layer = layer_of(num_neurons, reset=reset, detach=False)
    x = spike_train(batch, num_steps, 6).requires_grad_()
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        with changed(thread_from=0):
            assert_fused_is_plain(lambda: layer(x), [x, *layer.parameters()])
    finally:
        torch.set_num_threads(before)


@pytest.mark.parametrize("reached", ["spikes", "v"])
def test_either_output_alone(reached):
    layer = layer_of(37, reset="zero", detach=False)
    x = spike_train(3, 29, 6).requires_grad_()
    assert_fused_is_plain(lambda: layer(x), [x, *layer.parameters()], reached=(reached,))
    assert 0.05 < layer(x)[0].detach().mean() < 0.95


def test_a_constant_current_is_laid_out():
    layer = layer_of(37, reset="zero", detach=False)
    once = spike_train(3, 1, 6).requires_grad_()
    run = partial(layer, once.expand(-1, 9, -1))
    assert_fused_is_plain(run, [once, *layer.parameters()])


def test_bfloat16_is_how_numbers_are_stored():
    """Of the same rounded currents, spikes are those of float32, v and gradients are rounded."""
    layer = layer_of(601, reset="zero", detach=False)
    generator = torch.Generator().manual_seed(1)
    currents = torch.randn((3, 29, 601), generator=generator).bfloat16().requires_grad_()
    upstream = torch.randn((3, 29, 601), generator=generator).bfloat16()
    constants = [part.detach().requires_grad_() for part in (layer.bias, *layer.constants())]

    def run(currents):
        parts = *constants, layer.reset, layer.fire
        spikes, v = dispatch.integrate_and_fire(currents, *parts)
        return spikes, v, torch.autograd.grad((upstream * spikes).sum(), (currents, *constants))

    spikes, v, (grad, *grads) = run(currents)
    expected_spikes, expected_v, (expected, *others) = run(
        currents.detach().float().requires_grad_()
    )
    assert spikes.dtype == v.dtype == grad.dtype == torch.bfloat16
    assert torch.equal(spikes.float(), expected_spikes)
    assert torch.equal(v, expected_v.bfloat16())
    for found, other in zip((grad.float(), *grads), (expected, *others), strict=True):
        close(found, other, 0.03)  # by a slope at a rounded v


def test_mixed_precision_is_close():
    layer = layer_of(37, reset="zero", detach=False)
    x = spike_train(3, 29, 6)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        spikes, v = layer(x)
    assert spikes.dtype == torch.bfloat16
    # Of the first step: no spike is compared, as one that flips changes later potentials by more.
    torch.testing.assert_close(v[:, 0].float(), layer(x)[1][:, 0], rtol=2e-2, atol=5e-2)


def test_what_has_no_kernel():
    x, one = spike_train(2, 3, 4), torch.ones(())
    constants = one, one / 2, one, one

    class Other(Reset):
        """Which may do anything."""

    fused_leaky.integrate_and_fire(x, *constants, Reset(), Threshold(arctan))
    for currents, reset, fire in (
        (x, Other(), Threshold(arctan)),
        (x, Reset(), PassThrough()),
        (x, Reset(), Threshold(lambda v: v)),
        (x.double(), Reset(), Threshold(arctan)),
    ):
        with pytest.raises(NoKernel):
            fused_leaky.integrate_and_fire(currents, *constants, reset, fire)


def test_a_surrogate_of_ones_own_takes_the_plain_code():
    layer = leaky(*dense((6,), 37), lambda v: 1 / (1 + v**2))
    x = spike_train(3, 29, 6).requires_grad_()
    layer.calibrate(x.detach(), 2.0)
    assert_fused_is_plain(lambda: layer(x), [x, *layer.parameters()])
