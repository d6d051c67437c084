"""The scan and its hand-written backward pass against autograd through the plain loop."""

import math

import pytest
import torch

from vdib.dynamics.feedback import CosineFeedback, ExponentialFeedback, over
from vdib.dynamics.filters import delayed
from vdib.dynamics.firing import Bernoulli, Concrete, PassThrough, Threshold
from vdib.dynamics.scan import scan

BATCH, STEPS = 3, 17


def exponential_kernel():
    return [-(0.65**k) for k in range(STEPS)]


def cosine_kernel(duration=4):
    """One raised cosine, centred on lag 0 and zero at `duration`, on the log axis."""
    c = duration / 10
    phase = [math.pi * math.log((k + c) / c) / math.log(11) for k in range(duration)]
    return [-(1 + math.cos(p)) / 2 for p in phase]


# Spikes whose autograd derivative is the one training takes, each by its own antiderivative.


def threshold_spike(v, noise):
    soft = v / (1 + 5 * v.abs())
    return (v > 0).double() + soft - soft.detach()


def pass_through_spike(v, noise):
    p = torch.sigmoid(v)
    return (noise < p).double() + p - p.detach()


def concrete_spike(v, noise):
    return torch.sigmoid((v - torch.log(noise / (1 - noise))) / 0.7)


def bernoulli_spike(v, noise):
    return (noise < torch.sigmoid(v)).double()


FIRES = {
    "threshold": (Threshold(), threshold_spike),
    "pass-through": (PassThrough(), pass_through_spike),
    "concrete": (Concrete(0.7), concrete_spike),
    "bernoulli": (Bernoulli(), bernoulli_spike),
}
FEEDBACKS = {
    "exponential": (ExponentialFeedback(), exponential_kernel()),
    "kernel": (CosineFeedback(4), cosine_kernel()),
}
fires = pytest.mark.parametrize(("fire", "spike"), FIRES.values(), ids=list(FIRES))
feedbacks = pytest.mark.parametrize(("feedback", "nu"), FEEDBACKS.values(), ids=list(FEEDBACKS))


def plain_loop(drive, gain, nu, spike, noise):
    spikes, distances = [], []
    for t in range(drive.shape[1]):
        fed_back = sum((nu[k] * spikes[t - 1 - k] for k in range(min(t, len(nu)))), 0.0)
        distances.append(drive[:, t] + gain * fed_back)
        spikes.append(spike(distances[-1], noise[:, t]))
    return torch.stack(spikes, 1), torch.stack(distances, 1)


def setting(neurons, gain_shape):
    generator = torch.Generator().manual_seed(0)

    def draw(*shape):
        return torch.randn(shape, generator=generator, dtype=torch.float64)

    drive = draw(BATCH, STEPS, *neurons).requires_grad_()
    gain = (1 + 0.3 * draw(*gain_shape)).requires_grad_()
    noise = torch.rand(BATCH, STEPS, *neurons, generator=generator, dtype=torch.float64)
    return drive, gain, noise, draw(*drive.shape), draw(*drive.shape)


@pytest.mark.parametrize("reached", ["spikes", "v", "both"])
@pytest.mark.parametrize(
    ("neurons", "gain_shape"), [((4,), (4,)), ((4,), ()), ((2, 3, 2), (2, 1, 1))]
)
@feedbacks
@fires
def test_scan_is_the_plain_loop(fire, spike, feedback, nu, neurons, gain_shape, reached):
    drive, gain, noise, to_spikes, to_v = setting(neurons, gain_shape)

    def loss(spikes, v):
        at_spikes = (spikes * to_spikes).sum()
        at_v = (torch.tanh(v) * to_v).sum()
        return {"spikes": at_spikes, "v": at_v, "both": at_spikes + at_v}[reached]

    spikes, v = scan(drive, gain, feedback, fire, noise)
    expected_spikes, expected_v = plain_loop(drive, gain, nu, spike, noise)
    torch.testing.assert_close(spikes, expected_spikes, rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(v, expected_v, rtol=1e-12, atol=1e-12)
    assert 0.1 < spikes.detach().mean() < 0.9

    grads = torch.autograd.grad(loss(spikes, v), (drive, gain))
    reference = loss(expected_spikes, expected_v)
    if not reference.requires_grad:  # Bernoulli spikes alone: nothing to carry
        assert all((grad == 0).all() for grad in grads)
        return
    expected = torch.autograd.grad(reference, (drive, gain))
    for grad, other in zip(grads, expected, strict=True):
        assert grad.shape == other.shape
        torch.testing.assert_close(grad, other, rtol=1e-10, atol=1e-12)


def test_gradient_of_the_drive_alone():
    drive, gain, noise, to_spikes, _ = setting((4,), (4,))
    spikes, _ = scan(drive, gain.detach(), ExponentialFeedback(), PassThrough(), noise)
    (grad,) = torch.autograd.grad((spikes * to_spikes).sum(), drive)
    reference, _ = plain_loop(drive, gain, exponential_kernel(), pass_through_spike, noise)
    (expected,) = torch.autograd.grad((reference * to_spikes).sum(), drive)
    torch.testing.assert_close(grad, expected, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("neurons", [(4,), (2, 3, 2)])
@feedbacks
def test_over_is_reading_and_writing_step_by_step(feedback, nu, neurons):
    generator = torch.Generator().manual_seed(1)
    x = torch.randn(BATCH, STEPS, *neurons, generator=generator, dtype=torch.float64)
    whole = over(feedback, x)
    state = ()
    for t in range(STEPS):
        read = feedback.read(state) + torch.zeros_like(x[:, t])
        state = feedback.write(state, x[:, t])
        past = (nu[k] * x[:, t - 1 - k] for k in range(min(t, len(nu))))
        direct = sum(past, torch.zeros_like(x[:, t]))
        torch.testing.assert_close(whole[:, t], direct, rtol=1e-12, atol=1e-12)
        torch.testing.assert_close(read, direct, rtol=1e-12, atol=1e-12)


@feedbacks
def test_feedback_kernel(feedback, nu):
    expected = torch.tensor(nu, dtype=torch.float64)
    torch.testing.assert_close(feedback.impulse_response(STEPS), expected, rtol=1e-12, atol=1e-15)
    torch.testing.assert_close(feedback.impulse_response(3), expected[:3], rtol=1e-12, atol=1e-15)


@feedbacks
def test_writing_leaves_the_state_as_it_was(feedback, nu):
    state = feedback.write((), torch.ones(2, 3, dtype=torch.float64))
    copy = state[0].clone()
    first = feedback.write(state, torch.ones(2, 3, dtype=torch.float64))
    again = feedback.write(state, torch.ones(2, 3, dtype=torch.float64))
    assert torch.equal(state[0], copy)
    assert torch.equal(first[0], again[0])


def test_a_driven_neuron_is_refractory():
    # v = 0.5 - 5 * 0.65^(k - 1) at k steps after a lone spike: positive again from k = 7 on.
    drive = torch.full((1, 20, 1), 0.5, dtype=torch.float64)
    spikes, v = scan(drive, torch.tensor(5.0), ExponentialFeedback(0.65), Threshold())
    assert spikes.flatten().nonzero().flatten().tolist() == [0, 7, 14]
    assert float(v[0, 1]) == pytest.approx(-4.5)
    assert float(v[0, 6]) == pytest.approx(0.5 - 5 * 0.65**5)
    # A strong finite kernel silences exactly its duration.
    spikes, v = scan(drive, torch.tensor(1e4), CosineFeedback(4), Threshold())
    assert spikes.flatten().nonzero().flatten().tolist() == [0, 5, 10, 15]
    assert float(v[0, 1]) == pytest.approx(0.5 - 1e4)


def test_delayed():
    x = torch.arange(12.0).view(2, 3, 2) + 1
    assert torch.equal(delayed(x)[:, 0], torch.zeros(2, 2))
    assert torch.equal(delayed(x)[:, 1:], x[:, :2])


@pytest.mark.parametrize("decay", [-0.1, 1.0])
def test_exponential_feedback_refuses(decay):
    with pytest.raises(ValueError, match=r"must lie in \[0, 1\), got"):
        ExponentialFeedback(decay)
