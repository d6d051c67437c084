"""Every word of the tables of choices against the base suite of its kind."""

from functools import partial
from pathlib import Path
from typing import Literal

import pytest
import suites
import torch

from vdib.dynamics.filters import ExponentialPair, RaisedCosines
from vdib.lightning_modules import choices
from vdib.lightning_modules.choices import MODEL, listing
from vdib.lightning_modules.choosing import Choice, chosen
from vdib.lightning_modules.vdib_module import VDIBModule
from vdib.neurons.srm import srm, stochastic_srm
from vdib.neurons.synapses import dense, pooled_conv

PLACES = {"dense": dense((5,), 4), "conv": pooled_conv((2, 5, 4), 3, kernel_size=3)}
HIDDEN = {
    f"{word}, {place}": partial(choice.part, *connection, None)
    for word, choice in choices.NEURONS.items()
    for place, connection in PLACES.items()
} | {
    f"{word} that learns {', '.join(learn)}, {place}": partial(
        choices.NEURONS[word].part, *connection, None, learn=learn, shared=word != "srm"
    )
    for word, learn in {
        "srm": ("membrane", "synapse", "refractory"),
        "recurrent_srm": ("membrane", "refractory"),
        "recurrent_lif": ("beta",),
    }.items()
    for place, connection in PLACES.items()
}
READOUTS = {
    f"{word}, {place}": partial(how.part, *connection, srm, None, 3)
    for word, how in choices.READOUTS.items()
    for place, connection in PLACES.items()
} | {
    f"{name}, {place}": partial(stochastic_srm, *connection, filter)
    for name, filter in {"a bank": RaisedCosines(3, 8), "a pair": ExponentialPair()}.items()
    for place, connection in PLACES.items()
}


class TestNeurons(suites.LayerSuite):
    @pytest.fixture(params=HIDDEN.values(), ids=list(HIDDEN))
    def part(self, request):
        return request.param


class TestReadouts(suites.LayerSuite):
    @pytest.fixture(params=READOUTS.values(), ids=list(READOUTS))
    def part(self, request):
        return request.param


def seen(window, length):
    return window(length, min(3, length))


DECODINGS = {
    f"{word}, {view}, {kind}": suites.DecoderCase(
        word, choice.part, partial(seen, window.part), *signal
    )
    for word, choice in choices.DECODERS.items()
    for view, window in choices.WINDOWS.items()
    for kind, signal in suites.SIGNALS.items()
    if isinstance(signal[0], choice.part.DECODES)
}


DECODINGS |= {
    f"{word}, {decision}": suites.DecoderCase(
        word,
        partial(choices.DECODERS[word].part, decision=decision),
        partial(seen, choices.WINDOWS["full"].part),
        *suites.SIGNALS["label"],
    )
    for word in ("counts", "membrane")
    for decision in ("count", "first_spike", "likeliest")
}


class TestDecoders(suites.DecoderSuite):
    @pytest.fixture(params=DECODINGS.values(), ids=list(DECODINGS))
    def part(self, request):
        return request.param


class TestPriors(suites.PriorSuite):
    @pytest.fixture(params=choices.PRIORS.values(), ids=list(choices.PRIORS))
    def part(self, request):
        return request.param.part


class TestEstimators(suites.EstimatorSuite):
    @pytest.fixture(params=choices.ESTIMATORS.values(), ids=list(choices.ESTIMATORS))
    def part(self, request):
        return request.param.words, request.param.part


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("word", choices.SURROGATES)
def test_a_surrogate_is_elementwise_and_finite(word, dtype):
    """Its formula is a row of `CASES` in test_surrogate.py."""
    surrogate = choices.SURROGATES[word].part
    v = torch.cat([torch.linspace(-3, 3, 13), torch.tensor([-1e4, 1e4])]).to(dtype)
    slope = surrogate(v)
    assert slope.dtype == dtype
    assert slope.isfinite().all()
    assert slope.unique().numel() > 1
    torch.testing.assert_close(slope, torch.stack([surrogate(one) for one in v]))
    torch.testing.assert_close(slope.view(3, 5), surrogate(v.view(3, 5)))


@pytest.mark.parametrize("word", choices.SURROGATES)
@pytest.mark.parametrize("neuron", choices.NEURONS)
def test_the_surrogate_that_is_asked_for_is_the_slope(word, neuron):
    """In a single step, in which no spike acts on a later one."""
    surrogate = choices.SURROGATES[word].part
    torch.manual_seed(0)
    layer = choices.NEURONS[neuron].part(*PLACES["dense"], surrogate).double()
    if type(layer).__name__ in suites.OWN_FIRE:
        pytest.skip(suites.OWN_FIRE[type(layer).__name__])
    # Where a synapse answers in the next step only, nothing fires in the first of two.
    waits = hasattr(layer, "filter") and not layer.filter.impulse_response(1).any()
    x = suites.spike_train(20, 1 + waits, 5, rate=0.6)
    layer.calibrate(x, 2.0)
    upstream = suites.uniform(20, 4)
    spikes, v = layer(x)
    assert not spikes[:, :-1].any()
    grads = torch.autograd.grad(
        (spikes[:, -1] * upstream).sum(), list(suites.learnt(layer).values()), allow_unused=True
    )
    _, v = layer(x)
    through_v = (v * surrogate(v.detach()))[:, -1] * upstream
    wanted = torch.autograd.grad(
        through_v.sum(), list(suites.learnt(layer).values()), allow_unused=True
    )
    for grad, other in zip(grads, wanted, strict=True):
        torch.testing.assert_close(grad, other)
    assert wanted[0].abs().max() > 1e-4


@pytest.mark.parametrize(
    ("word", "near"), [("mpl", "mlp"), ("logistik", "logistic"), ("CNN", None), ("forest", None)]
)
def test_a_wrong_word_is_answered_with_the_nearest(word, near):
    with pytest.raises(
        ValueError, match=f"^decoder: got '{word}', expected logistic, mlp, cnn, counts"
    ) as told:
        chosen("decoder", word, choices.DECODERS)
    said = str(told.value).partition("; did you mean ")[2]
    assert said == ("" if near is None else f"{near}?")
    assert chosen("decoder", "cnn", choices.DECODERS) is choices.DECODERS["cnn"].part


def sized(first, size: int = 3, share: float = 0.5, kind: Literal["a", "b"] = "a", other=None):
    return first, size, share, kind


SIZED = {"sized": Choice(sized, "")}


def test_settings_of_a_word_are_bound():
    part = chosen("part", "sized", SIZED, {"share": 1, "kind": "b"})
    assert part(0) == (0, 3, 1, "b")
    assert chosen("part", "sized", SIZED) is sized
    membrane = chosen("neuron", "lif", choices.NEURONS, {"beta": 0.5})(*PLACES["dense"], None)
    assert membrane.filter.membrane == 0.5


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        ({"sise": 1}, "got 'sise', expected size, share, kind; did you mean size\\?"),
        ({"first": 1}, "got 'first', expected size, share, kind"),
        ({"other": 1}, "got 'other', expected size, share, kind"),
        ({"size": 1.5}, "size: got 1.5, expected int"),
        ({"size": True}, "size: got True, expected int"),
        ({"share": "half"}, "share: got 'half', expected float"),
        ({"kind": "c"}, r"kind: got 'c', expected a, b"),
    ],
)
def test_wrong_settings_of_a_word_are_refused(settings, told):
    with pytest.raises(ValueError, match=f"^part_settings of sized: {told}$"):
        chosen("part", "sized", SIZED, settings)


def test_the_readme_lists_the_words():
    readme = (Path(__file__).parent.parent / "README.md").read_text("utf-8")
    if listing() not in readme:
        lines = [line for line in listing().splitlines() if line not in readme.splitlines()]
        pytest.fail("in their order in the README's table, please:\n" + "\n".join(lines))


def test_help_says_what_the_words_mean():
    for table in MODEL.values():
        for word, choice in table.items():
            assert f"`{word}`: {choice.words}" in (VDIBModule.__doc__ or "")
