"""What penalties come to, worked out by hand, and how they are asked for."""

import math

import pytest
import suites
import torch

from vdib.encoder import SpikeCode, build_encoder
from vdib.lightning_modules.penalties import penalties_of
from vdib.neurons.spiking_lstm import spiking_lstm
from vdib.noise import Noise
from vdib.penalty import hidden_rate, im_loss


def code_of(hidden, hidden_v=()):
    return SpikeCode(torch.zeros(2, 4, 3), None, hidden, hidden_v=hidden_v)


def test_a_rate_is_compared_with_its_target():
    """Layers of 2 neurons that fire 4 and 0 of 8 times, and of 1 that fires 1 and 2 of 4 times."""
    first, second = torch.zeros(2, 4, 2), torch.zeros(2, 4, 1)
    first[0, :2] = 1
    second[0, 0] = second[1, :2] = 1
    nats = hidden_rate(code_of((first, second)), target=0.25)
    assert nats.shape == (2, 4)
    torch.testing.assert_close(nats.sum(1), torch.tensor([1.0 + 0.0, 1.0 + 1.0]))
    assert (nats == nats[:, :1]).all()
    above = hidden_rate(code_of((first, second)), target=0.25, only_above=True)
    torch.testing.assert_close(above.sum(1), torch.tensor([1.0, 1.0]))
    own = hidden_rate(code_of((first, second)), target=(0.25, 0.125))
    torch.testing.assert_close(own.sum(1), torch.tensor([1.0 + 1.0, 1.0 + 9.0]))
    with pytest.raises(ValueError, match=r"^hidden_rate: got 3 targets for 2 hidden layers$"):
        hidden_rate(code_of((first, second)), target=(0.25, 0.125, 0.5))
    for target in (0.0, -1.0, 1.1, math.nan):
        with pytest.raises(
            ValueError, match=r"^hidden_rate: got a target of .*, expected above 0, at most 1$"
        ):
            hidden_rate(code_of((first,)), target=target)


def test_im_loss_is_the_square_of_the_mean_distance_from_threshold():
    v = suites.uniform(2, 4, 5).float()
    nats = im_loss(code_of((v, v), (v - 2, 3 * v)))
    mean = v.mean((1, 2))
    torch.testing.assert_close(nats.sum(1), (mean - 2) ** 2 + 9 * mean**2)
    assert (nats == nats[:, :1]).all()
    for hidden_v in ((), (None, v)):
        with pytest.raises(ValueError, match=r"^im_loss needs hidden neurons with a distance"):
            im_loss(code_of((v, v), hidden_v))


def test_a_code_holds_v_of_hidden_layers_where_it_is_asked_to():
    x, noise = suites.spike_train(2, 12, 5, dtype=torch.float32), Noise(0, 0, torch.arange(2))
    torch.manual_seed(1)
    encoder = build_encoder((5,), 2, (8, 7))
    encoder.calibrate(x, 0.3)
    assert encoder(x, noise).hidden_v == ()
    for several in (noise, noise.with_samples(3)):
        code = encoder(x, several, hidden_v=True)
        for spikes, v in zip(code.hidden, code.hidden_v, strict=True):
            assert torch.equal(spikes, (v > 0).float())
    cells = build_encoder((5,), 2, (4,), neuron=spiking_lstm)
    assert cells(x, noise, hidden_v=True).hidden_v == (None,)


def test_penalties_are_asked_for_by_weight_and_by_settings():
    asked = {"hidden_spikes": 1, "hidden_rate": {"weight": 0.5, "target": 0.25}}
    made, hidden_v = penalties_of(asked, 1)
    assert {name: weight for name, (_, weight) in made.items()} == {
        "hidden_spikes": 1.0,
        "hidden_rate": 0.5,
    }
    assert not hidden_v
    assert penalties_of({"im_loss": 2.0}, 1)[1]
    code = code_of((torch.ones(2, 4, 2),))
    torch.testing.assert_close(made["hidden_rate"][0](code).sum(1), torch.full((2,), 9.0))


@pytest.mark.parametrize(
    ("asked", "told"),
    [
        ({"hidden_spike": 1}, r"got 'hidden_spike', expected .*; did you mean hidden_spikes\?$"),
        (
            {"im_loss": {"target": 1}},
            "^penalties_settings of im_loss: it has none; null takes back",
        ),
        ({"hidden_rate": {"weight": 1, "targe": 1}}, r"did you mean target\?$"),
        ({"hidden_rate": {"weight": 1, "target": 2.0}}, r"^hidden_rate: got a target of 2\.0"),
        ({"hidden_rate": {"weight": 1, "target": [0.1, 0.2]}}, "^hidden_rate: got 2 targets for 1"),
        (
            {"hidden_rate": {"weight": 1, "target": "low"}},
            "got 'low', expected float, or a list, each float$",
        ),
        ({"hidden_rate": {"target": 0.1}}, "weight of hidden_rate is None, expected a number$"),
        ({"im_loss": "much"}, "weight of im_loss is 'much', expected a number$"),
    ],
)
def test_wrong_penalties_are_refused(asked, told):
    with pytest.raises(ValueError, match=told):
        penalties_of(asked, 1)
