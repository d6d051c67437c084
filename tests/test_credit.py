"""Credit rules against their equations, written out with forward eligibility traces."""

import pytest
import tiny
import torch

from vdib.credit import BPTT, DirectFeedback, EProp
from vdib.dynamics.firing import PassThrough
from vdib.encoder import SpikingEncoder
from vdib.estimator import LeaveOneOut
from vdib.noise import Noise

HIDDEN = (4,)


def run(credit, seed=0):
    """A tiny network's pieces: hidden layer, its gradient, and `delta = dL/dv` of the readout."""
    torch.manual_seed(seed)
    encoder = tiny.encoder(hidden=HIDDEN, credit=credit)
    x = (torch.rand(2, 6, 3, dtype=torch.float64) < 0.5).double()
    noise = torch.rand(2, 6, tiny.READOUT, dtype=torch.float64)
    drive, hidden = tiny.drive(encoder, x)
    drive.retain_grad()
    spikes, logits = encoder.readout.respond(drive, PassThrough(), noise)
    loss = (spikes * torch.linspace(-1, 2, 6, dtype=torch.float64)[:, None]).sum()
    (loss + 0.3 * logits.square().sum()).backward()
    layer = encoder.layers[0]
    return encoder, layer, x, hidden[0], drive.grad


def eligibility(layer, x):
    """`e_ji[t] = psi_j[t] dv_j[t]/dw_ji` by forward recursion, `(B, T, N, N_in)`."""
    steps = x.shape[1]
    with torch.no_grad():
        spikes, v = layer(x)
    slope = layer.fire.slope(v, spikes)
    eps, nu = layer.filter.impulse_response(steps)[0], layer.feedback.impulse_response(steps)
    gain = layer.gain.detach() / layer.width
    traces, out = [], []
    for t in range(steps):
        psp = sum(eps[k] * x[:, t - k] for k in range(t + 1)) / layer.width  # B, N_in
        own = sum(
            (nu[k] * slope[:, t - 1 - k, :, None] * traces[t - 1 - k] for k in range(t)),
            start=torch.zeros(x.shape[0], *layer.shape, x.shape[2], dtype=x.dtype),
        )
        traces.append(psp[:, None, :] + gain[:, None] * own)
        out.append(slope[:, t, :, None] * traces[t])
    return torch.stack(out, 1)


def test_eprop_is_learning_signal_times_eligibility():
    encoder, layer, x, _, delta = run(EProp())
    weights = encoder.readout.synapses.weight.detach().unflatten(0, (-1, tiny.READOUT))
    now = encoder.readout.filter.impulse_response(1)[:, 0]
    signal = torch.einsum("btn,k,knj->btj", delta, now, weights)
    expected = torch.einsum("btj,btji->ji", signal, eligibility(layer, x))
    assert expected.norm() > 1e-3
    torch.testing.assert_close(layer.synapses.by_input.grad.t(), expected)


def test_dfa_is_projected_signal_times_eligibility():
    credit = DirectFeedback(HIDDEN, tiny.READOUT, seed=3).double()
    _, layer, x, _, delta = run(credit)
    expected = torch.einsum("btj,btji->ji", delta @ credit.matrix_0, eligibility(layer, x))
    assert expected.norm() > 1e-3
    torch.testing.assert_close(layer.synapses.by_input.grad.t(), expected)


def test_bptt_reaches_through_every_later_potential():
    encoder, layer, x, _, delta = run(BPTT())
    steps = x.shape[1]
    weights = encoder.readout.synapses.weight.detach().unflatten(0, (-1, tiny.READOUT))
    eps = encoder.readout.filter.impulse_response(steps)
    signal = torch.zeros(*x.shape[:2], *HIDDEN, dtype=x.dtype)
    for t in range(steps):
        for lag in range(min(eps.shape[1], steps - t)):
            through = torch.einsum("bn,k,knj->bj", delta[:, t + lag], eps[:, lag], weights)
            signal[:, t] += through
    expected = torch.einsum("btj,btji->ji", signal, eligibility(layer, x))
    torch.testing.assert_close(layer.synapses.by_input.grad.t(), expected)


def test_the_rules_differ_below_the_readout_only():
    runs = [run(c) for c in (BPTT(), EProp(), DirectFeedback(HIDDEN, tiny.READOUT).double())]
    for other in runs[1:]:
        assert torch.equal(other[3], runs[0][3])  # hidden spikes
        assert torch.equal(other[4], runs[0][4])  # dL/dv of the readout
        torch.testing.assert_close(
            other[0].readout.synapses.by_input.grad, runs[0][0].readout.synapses.by_input.grad
        )
        assert not torch.allclose(
            other[1].synapses.by_input.grad, runs[0][1].synapses.by_input.grad
        )


@pytest.mark.parametrize("name", ["bptt", "eprop", "dfa"])
def test_signals_of_the_score_function_carry_the_task(name):
    """The baselined return reaches the hidden weights: other targets, other gradients."""
    credit = {
        "bptt": BPTT(),
        "eprop": EProp(),
        "dfa": DirectFeedback(HIDDEN, tiny.READOUT),
    }[name]
    model = tiny.bottleneck(LeaveOneOut(4), credit)
    x, r = tiny.example()
    weight = model.encoder.layers[0].synapses.by_input
    grads = []
    for target in (r, 1 - r):
        loss, _ = model.training_loss(x, target, Noise(0, 0, torch.tensor([0])))
        grads.append(torch.autograd.grad(loss, weight)[0])
    assert (grads[0] - grads[1]).norm() > 0.02 * grads[0].norm() > 0


@pytest.mark.parametrize("rule", [EProp, DirectFeedback])
@pytest.mark.parametrize("which", ["hidden", "readout"])
def test_rules_by_the_drive_refuse_layers_without_one(rule, which):
    gates = tiny.Gates((3,), 4)
    hidden, readout = [gates], tiny.encoder().readout
    if which == "readout":
        hidden, readout = tiny.encoder().layers, tiny.Gates((4,), 2)
    wanted = f"{rule.__name__} needs layers whose weights and filters commute, .* Gates is none"
    with pytest.raises(ValueError, match=wanted):
        SpikingEncoder(hidden, readout, rule.of(hidden, readout, 0))


def test_back_propagation_takes_any_layer():
    """Its gradient is that of the two layers one after the other."""
    torch.manual_seed(0)
    gates, readout = tiny.Gates((3,), 4).double(), tiny.encoder().readout
    encoder, x = SpikingEncoder([gates], readout), tiny.example()[0]
    noise = torch.rand(1, tiny.STEPS, tiny.READOUT, dtype=torch.float64)
    code = encoder(x, noise, PassThrough())
    (grad,) = torch.autograd.grad(code.v.square().sum() + code.spikes.sum(), gates.weight)
    below = gates(x)[0]
    spikes, v = readout(below, PassThrough(), noise)
    (expected,) = torch.autograd.grad(v.square().sum() + spikes.sum(), gates.weight)
    assert expected.norm() > 0.01
    torch.testing.assert_close(grad, expected)
    assert torch.equal(code.hidden[0], below)
