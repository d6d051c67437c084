"""What a decoder does for a decoding: the products of its weights, and the window before them.

The weights on the spikes of a full window are added; counts, projections on a temporal basis and
the units of hidden layers are multiplied with theirs. Either way only where they are not 0. Biases
are left out, as they are everywhere here. A decoder by hand adds up spikes.

Legend: B batch, S decodings per sequence, L steps of the window, N readout neurons, F features.
"""

from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from vdib.decoder import CNNDecoder, Decoder, WindowDecoder
from vdib.energy.counts import Work
from vdib.handmade import HandmadeDecoder
from vdib.spike_code import SpikeCode
from vdib.window import BasisWindow, FullWindow, Window, recent

WORD = 4
"""Bytes of a number."""


@torch.no_grad()
def decoder_work(decoder: Decoder, code: SpikeCode, every_step: bool) -> dict[str, Work]:
    """What its parts do, for all decodings of a sequence; the mean over a batch.

    Args:
        decoder: a learned one, or one made by hand.
        code: `(B, T, N)` spikes.
        every_step: decode at every step (S = T) rather than once at the end (S = 1).

    Raises:
        ValueError: a decoder, or a window, of no known kind.
    """
    if isinstance(decoder, HandmadeDecoder):
        seen = recent(code.spikes, decoder.length, every_step)
        return {type(decoder).__name__: _added(seen, 1)}
    if not isinstance(decoder, WindowDecoder):
        raise ValueError(f"energy: no count of what {type(decoder).__name__} does")
    found = _window(decoder, code.spikes, every_step)
    size = 8 if every_step else len(code.spikes)  # windows of every step take memory
    for spikes in torch.split(code.spikes, size):
        for name, part in _products(decoder, spikes, every_step).items():
            found[name] = found.get(name, Work()) + part.times(len(spikes) / len(code.spikes))
    return found


def _window(decoder: WindowDecoder, spikes: Tensor, every_step: bool) -> dict[str, Work]:
    window: Window = decoder.window
    if isinstance(window, FullWindow):
        return {}
    if not isinstance(window, BasisWindow):
        raise ValueError(f"energy: no count of what {type(window).__name__} does")
    seen = recent(spikes, window.length, every_step)
    projected = _added(seen, window.num_features)
    if isinstance(decoder, CNNDecoder):  # which sees the spikes that the features determine
        back = window.num_features * seen[0].numel()
        projected += Work(macs=back, unpruned_synops=back, dense_synops=back, bytes=3 * WORD * back)
    return {"window": projected}


def _added(seen: Tensor, features: int) -> Work:
    """Spikes `(B, S, L, N)`, each added to so many sums."""
    events = float(seen.float().sum()) / len(seen)
    count, dense = features * events, features * seen[0].numel()
    return Work(events, count, 0.0, count, dense, bytes=3 * WORD * count)


def _products(decoder: WindowDecoder, spikes: Tensor, every_step: bool) -> dict[str, Work]:
    layers = {n: m for n, m in decoder.named_modules() if isinstance(m, nn.Linear | nn.Conv1d)}
    given: dict[str, Tensor] = {}  # in the order in which they are called

    def keep(name: str, layer: nn.Module, args: tuple[Tensor, ...]) -> None:
        given[name] = args[0].flatten(0, -2 if isinstance(layer, nn.Linear) else -3).float()

    hooks = [m.register_forward_pre_hook(partial(keep, n)) for n, m in layers.items()]
    try:
        decoder.outputs(recent(spikes, decoder.window.length, every_step))
    finally:
        for hook in hooks:
            hook.remove()
    binary = isinstance(decoder.window, FullWindow) and torch.equal(spikes, spikes.round())
    return {
        name: product(layers[name], x, len(spikes), binary and i == 0)
        for i, (name, x) in enumerate(given.items())
    }


def product(layer: nn.Module, x: Tensor, examples: int, spikes: bool) -> Work:
    """What a layer's weights do.

    Args:
        layer: linear or a convolution.
        x: `(R, *N_in)`, what it is given.
        examples: of how many examples these rows are.
        spikes: whether they are spikes, for which weights are added.
    """
    fan_out = [_fan_out(layer, x[:1], pruned) for pruned in (True, False)]
    active = (x != 0).double().sum(0)
    synops, unpruned = (float((active * each).sum()) / examples for each in fan_out)
    return Work(
        float(active.sum()) / examples,
        synops if spikes else 0.0,
        0.0 if spikes else synops,
        unpruned,
        float(fan_out[1].sum()) * len(x) / examples,
        bytes=WORD * (3 if spikes else 4) * synops,
    )


@torch.enable_grad()
def _fan_out(layer: nn.Module, like: Tensor, pruned: bool) -> Tensor:
    """Weights of each input, as many as are not zero or all of them, shaped as `like`."""
    weight: Any = layer.weight
    ones = (weight.detach() != 0).double() if pruned else torch.ones_like(weight).double()
    x = torch.zeros_like(like, dtype=torch.float64).requires_grad_()
    given = {"weight": ones, "bias": torch.zeros(len(ones), dtype=torch.float64)}
    (grad,) = torch.autograd.grad(torch.func.functional_call(layer, given, (x,)).sum(), x)
    return grad
