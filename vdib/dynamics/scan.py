"""The one sequential loop: threshold and refractoriness over time.

Everything that reaches a neuron from elsewhere is known for all steps at once (its *drive*); only
its own spikes feed back on it step by step:

    v[t] = drive[t] + gain (nu * s)[t - 1]        (distance from threshold, in units of Delta)
    s[t] = fire(v[t], noise[t])

`scan` is one function of plain arguments, so that a faster one can take its place.
Legend: B batch, T steps, N neurons (any trailing axes), L length of nu.
"""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from vdib.dynamics.feedback import Feedback, over
from vdib.dynamics.filters import State
from vdib.dynamics.firing import Fire


def scan(
    drive: Tensor,
    gain: Tensor,
    feedback: Feedback,
    fire: Fire,
    noise: Tensor | None = None,
    attached: bool = True,
) -> tuple[Tensor, Tensor]:
    """Run the threshold over time.

    The backward pass is exact but for `fire.slope` in place of the derivative of the spikes, and
    reaches through the feedback of every step on all later ones:

        dL/dv[t] = g_v[t] + slope[t] (g_s[t] + gain sum_k nu[k] dL/dv[t + 1 + k])

    Detached from their feedback, spikes are constants in it, and the sum over k is left out.

    Args:
        drive: `(B, T, *N)`, everything in v that does not come from the neuron's own spikes.
        gain: broadcastable to `(*N)`, the weight of the neuron's own feedback.
        feedback: the impulse response `nu`; where it is a module, its parameters are learned.
        fire: how spikes come about.
        noise: `(B, T, *N)` uniform in (0, 1), for a stochastic threshold.
        attached: whether the gradient reaches through the feedback.

    Returns:
        Spikes and distances from threshold v, each `(B, T, *N)`.
    """
    learned = feedback.parameters() if isinstance(feedback, nn.Module) else ()
    spikes, v = _Scan.apply(drive, gain, feedback, fire, noise, attached, *learned)  # type: ignore[no-untyped-call, unused-ignore]
    return spikes, v


class _Scan(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        drive: Tensor,
        gain: Tensor,
        feedback: Feedback,
        fire: Fire,
        noise: Tensor | None,
        attached: bool,
        *learned: Tensor,
    ) -> tuple[Tensor, Tensor]:
        state: State = ()
        spikes, v = torch.empty_like(drive), torch.empty_like(drive)
        for t in range(drive.shape[1]):
            now = torch.add(drive[:, t], gain * feedback.read(state))
            s = fire(now, None if noise is None else noise[:, t])
            state = feedback.write(state, s)
            v[:, t], spikes[:, t] = now, s
        ctx.save_for_backward(spikes, v, gain, *learned)
        ctx.feedback, ctx.fire, ctx.attached = feedback, fire, attached
        return spikes, v

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        spikes, v, gain, *learned = ctx.saved_tensors
        grad_spikes, grad_v = grads
        slope = ctx.fire.slope(v, spikes)
        if slope is None:
            total = grad_v
        elif not ctx.attached:
            total = torch.addcmul(grad_v, slope, grad_spikes)
        else:
            # The adjoint of the feedback is the feedback itself, run backwards in time.
            state: State = ()
            total = torch.empty_like(v)
            for t in range(v.shape[1] - 1, -1, -1):
                now = grad_spikes[:, t] + gain * ctx.feedback.read(state)
                now = torch.addcmul(grad_v[:, t], slope[:, t], now)
                state = ctx.feedback.write(state, now)
                total[:, t] = now
        grad_gain = None
        if ctx.needs_input_grad[1]:
            grad_gain = (total * over(ctx.feedback, spikes)).sum((0, 1)).sum_to_size(gain.shape)
        asked = [part for part in learned if part.requires_grad]
        found = iter(_of_feedback(ctx.feedback, spikes.detach(), asked, gain * total))
        grads_learned = (next(found) if part.requires_grad else None for part in learned)
        return total, grad_gain, None, None, None, None, *grads_learned


def _of_feedback(
    feedback: Feedback, spikes: Tensor, learned: list[Tensor], grad: Tensor
) -> Sequence[Tensor | None]:
    """Of what is learned of the feedback, given the gradient of what it makes of the spikes."""
    if not learned:
        return []
    with torch.enable_grad():
        fed_back = over(feedback, spikes)
    if not fed_back.requires_grad:  # no spike has had the time to be felt
        return [None] * len(learned)
    return torch.autograd.grad(fed_back, learned, grad)
