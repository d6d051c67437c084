"""Kernels against their formulas, filtering against direct convolution."""

import math

import pytest
import torch

from vdib.dynamics.filters import ExponentialPair, RaisedCosines, causal_filter

PAIRS = [(0.9, 0.85), (0.85, 0.9), (0.99, 0.85), (0.9, 0.9), (0.99, 0.99), (0.9, 0.0), (0.0, 0.0)]
BANKS = [(8, 10, 0.5), (1, 10, 0.5), (2, 10, 0.5), (5, 25, 1.0), (12, 40, 0.5), (1, 1, 0.5)]


def exponential_pair(a, c, num_steps):
    """Unscaled: the response of a leaky integrator fed by another, by running both."""
    current = potential = 0.0
    out = []
    for t in range(num_steps):
        current = c * current + (1.0 if t == 0 else 0.0)
        potential = a * potential + current
        out.append(potential)
    return out


def raised_cosines(count, duration, mu):
    """Unscaled, over t = 0..duration (one step beyond the kernels)."""
    c = duration / 10
    d = math.log((duration + c) / c) / (count - 1 + 1 / mu)
    rows = []
    for j in range(count):
        phases = [mu * math.pi * (math.log((t + c) / c) - j * d) / d for t in range(duration + 1)]
        rows.append([(1 + math.cos(max(-math.pi, min(math.pi, p)))) / 2 for p in phases])
    return rows


def direct_convolution(x, kernel):
    out = torch.zeros(x.shape[0], x.shape[1], *x.shape[3:], dtype=x.dtype)
    for t in range(x.shape[1]):
        for lag in range(min(t + 1, kernel.shape[1])):
            for k in range(kernel.shape[0]):
                out[:, t] += kernel[k, lag] * x[:, t - lag, k]
    return out


def normal(*shape, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(*shape, generator=generator, dtype=torch.float64)


@pytest.mark.parametrize(("a", "c"), PAIRS)
def test_exponential_pair_is_its_formula(a, c):
    if a == c:
        unscaled = [(t + 1) * a**t for t in range(50)]
    else:
        unscaled = [(a ** (t + 1) - c ** (t + 1)) / (a - c) for t in range(50)]
    peak = max(exponential_pair(a, c, 2_000))
    expected = torch.tensor(unscaled, dtype=torch.float64)[None] / peak
    kernel = ExponentialPair(a, c).impulse_response(50)
    torch.testing.assert_close(kernel, expected, rtol=1e-10, atol=1e-14)


@pytest.mark.parametrize(("a", "c"), PAIRS)
def test_exponential_pair_is_a_cascade_of_unit_peak(a, c):
    expected = torch.tensor(exponential_pair(a, c, 500), dtype=torch.float64)
    kernel = ExponentialPair(a, c).impulse_response(500)[0]
    torch.testing.assert_close(kernel, expected / expected.max(), rtol=1e-10, atol=1e-14)
    assert float(kernel.max()) == pytest.approx(1, abs=1e-15)


def test_exponential_pair_tends_to_its_limit():
    limit = ExponentialPair(0.9, 0.9).impulse_response(40)
    near = ExponentialPair(0.9, 0.9 + 2e-6).impulse_response(40)
    torch.testing.assert_close(near, limit, rtol=1e-4, atol=0)


@pytest.mark.parametrize(("count", "duration", "mu"), BANKS)
def test_raised_cosines_are_their_formula(count, duration, mu):
    rows = torch.tensor(raised_cosines(count, duration, mu), dtype=torch.float64)
    bank = RaisedCosines(count, duration, mu)
    kernel = bank.impulse_response(1_000)
    assert kernel.shape == (count, duration)  # zero beyond its duration
    expected = rows[:, :duration] / rows[:, :duration].amax(1, keepdim=True)
    torch.testing.assert_close(kernel, expected, rtol=1e-10, atol=1e-14)
    torch.testing.assert_close(kernel.amax(1), torch.ones(count, dtype=torch.float64))
    assert torch.equal(bank.impulse_response(4), kernel[:, :4])


def test_the_last_raised_cosine_reaches_zero_at_its_duration():
    for count, duration, mu in BANKS:
        last = raised_cosines(count, duration, mu)[-1]
        assert last[duration] == pytest.approx(0, abs=1e-15)
        assert last[duration - 1] > 0


@pytest.mark.parametrize("mu", [0.5, 1.0])
def test_raised_cosines_before_scaling_sum_to_a_constant(mu):
    # On the stretch of log-time that 1 / mu neighbours cover from either side; the ends of the
    # bank have neighbours on one side only.
    count, duration = 8, 40
    unscaled = torch.tensor(raised_cosines(count, duration, mu), dtype=torch.float64)
    scaled = RaisedCosines(count, duration, mu).impulse_response(duration)
    total = (scaled * unscaled[:, :duration].amax(1, keepdim=True)).sum(0)
    spacing = math.log(11) / (count - 1 + 1 / mu)
    position = torch.log(1 + 10 * torch.arange(duration, dtype=torch.float64) / duration) / spacing
    inside = (position >= 1 / mu - 1) & (position <= count - 1 / mu)
    assert int(inside.sum()) > 10
    torch.testing.assert_close(total[inside], torch.full_like(total[inside], 1 / mu))
    assert float(total[-1]) < 0.9 / mu


@pytest.mark.parametrize("kernel_length", [1, 4, 9, 15])
@pytest.mark.parametrize("neurons", [(3,), (2, 3, 2), ()])
def test_causal_filter_is_direct_convolution(kernel_length, neurons):
    x, kernel = normal(2, 9, 3, *neurons), normal(3, kernel_length, seed=1)
    expected = direct_convolution(x, kernel)
    torch.testing.assert_close(causal_filter(x, kernel), expected, rtol=1e-12, atol=1e-13)


def test_causal_filter_never_looks_ahead():
    x, kernel = normal(2, 9, 2, 3), normal(2, 9, seed=1)
    before = causal_filter(x, kernel)
    for t in range(9):
        changed = x.clone()
        changed[:, t:] = normal(2, 9 - t, 2, 3, seed=2)
        after = causal_filter(changed, kernel)
        torch.testing.assert_close(after[:, :t], before[:, :t], rtol=0, atol=1e-14)
        assert ((after - before)[:, t].abs() > 1e-6).all()  # lag 0 acts in its own step


def test_causal_filter_goes_backward():
    x, kernel, upstream = normal(2, 6, 2, 3).requires_grad_(), normal(2, 4, seed=1), normal(2, 6, 3)
    (grad,) = torch.autograd.grad((causal_filter(x, kernel) * upstream).sum(), x)
    expected = torch.zeros_like(x)
    for t in range(6):
        for lag in range(min(4, 6 - t)):
            for k in range(2):
                expected[:, t, k] += kernel[k, lag] * upstream[:, t + lag]
    torch.testing.assert_close(grad, expected, rtol=1e-12, atol=1e-13)


@pytest.mark.parametrize("neurons", [(3,), (2, 3, 2)])
@pytest.mark.parametrize(
    "bank",
    [
        *(ExponentialPair(*pair) for pair in PAIRS),
        *(RaisedCosines(*parameters) for parameters in BANKS),
    ],
    ids=str,
)
def test_steps_are_the_causal_filter(bank, neurons):
    x = normal(2, 45, bank.num_filters, *neurons)
    whole = causal_filter(x, bank.impulse_response(45))
    torch.testing.assert_close(bank(x), whole, rtol=1e-10, atol=1e-10)
    state = ()
    for t in range(45):
        now, state = bank.step(x[:, t], state)
        torch.testing.assert_close(now, whole[:, t], rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("num_steps", [1, 6, 25])
@pytest.mark.parametrize("bank", [ExponentialPair(), RaisedCosines(), RaisedCosines(5, 25, 1.0)])
def test_whole_sequences_go_backward(bank, num_steps):
    x = normal(2, num_steps, bank.num_filters, 3).requires_grad_()
    kernel, upstream = bank.impulse_response(num_steps), normal(2, num_steps, 3, seed=1)
    (grad,) = torch.autograd.grad((bank(x) * upstream).sum(), x)
    expected = torch.autograd.grad((direct_convolution(x, kernel) * upstream).sum(), x)[0]
    torch.testing.assert_close(grad, expected, rtol=1e-11, atol=1e-12)


def test_a_step_leaves_its_state_as_it_was():
    for bank in (ExponentialPair(), RaisedCosines()):
        x = normal(2, 3, bank.num_filters, 4)
        _, state = bank.step(x[:, 0], ())
        copies = [part.clone() for part in state]
        first, _ = bank.step(x[:, 1], state)
        again, _ = bank.step(x[:, 1], state)
        assert torch.equal(first, again)
        assert all(torch.equal(*both) for both in zip(state, copies, strict=True))


@pytest.mark.parametrize("decays", [(1.0, 0.5), (-0.1, 0.5), (0.5, 1.0), (0.5, -0.1)])
def test_exponential_pair_refuses(decays):
    with pytest.raises(ValueError, match=r"decay per step must lie in \[0, 1\), got"):
        ExponentialPair(*decays)


@pytest.mark.parametrize("arguments", [(0, 10, 0.5), (8, 0, 0.5), (8, 10, 0.0)])
def test_raised_cosines_refuse(arguments):
    with pytest.raises(ValueError, match="need count >= 1, duration >= 1 and compression > 0"):
        RaisedCosines(*arguments)


def test_causal_filter_refuses_another_number_of_filters():
    with pytest.raises(ValueError, match="3 currents, the filter has 2"):
        causal_filter(normal(1, 4, 3, 2), normal(2, 4))
