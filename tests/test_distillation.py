"""A teacher's rates, its training, and what it adds to a model's loss."""

import math

import pytest
import sequences as make
import torch
from torch.distributions import Categorical

from vdib.decoder import LogisticDecoder
from vdib.distillation import Teacher, rates
from vdib.encoder import build_encoder
from vdib.estimator import LeaveOneOut
from vdib.handmade import Scores
from vdib.lightning_modules.naturalisation.module import NaturalisationModule
from vdib.model import VDIB
from vdib.noise import Noise
from vdib.prior import BernoulliPrior
from vdib.runs.cli import build
from vdib.runs.command import UserError
from vdib.signal import Image, Label
from vdib.sparse import SparseSpikes
from vdib.window import FullWindow


def examples(count, seed):
    """Which half of the inputs fires more often."""
    generator = torch.Generator().manual_seed(seed)
    label = torch.randint(2, (count,), generator=generator)
    often = torch.stack([1 - label, label], 1).repeat_interleave(3, 1)
    x = torch.rand((count, 10, 6), generator=generator) < 0.15 + 0.2 * often[:, None]
    return x.float(), label


def test_rates_are_those_of_lists_and_of_dense_spikes():
    x, _ = examples(7, 0)
    torch.testing.assert_close(rates(x), x.sum(1) / 10)
    torch.testing.assert_close(rates(SparseSpikes.of(x)), x.sum(1) / 10)
    images = x.view(7, 10, 2, 3, 1)
    torch.testing.assert_close(rates(SparseSpikes.of(images)), x.sum(1) / 10)


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_symbols_of_every_step_have_no_teacher(tmp_path, monkeypatch):
    """As the command refuses it, in a line and before there is a folder."""
    text = tmp_path / "text" / "alice.txt"
    text.parent.mkdir()
    make.write_text(text, times=3_000)
    monkeypatch.setenv("VDIB_DATA", str(tmp_path))
    with pytest.raises(UserError, match="a teacher knows one label a sequence"):
        build(["--config", "char_lm", "--model.teacher", "{units: 4}"])


def test_a_teacher_learns_from_one_split_and_is_chosen_by_the_other():
    torch.manual_seed(0)
    teacher = Teacher(6, 2, units=16, epochs=8, lr=0.01)
    train, validation = examples(200, 1), examples(100, 2)
    accuracy = teacher.fit([train], [(SparseSpikes.of(validation[0]), validation[1])])
    logits = teacher.network(rates(validation[0]))
    assert accuracy == pytest.approx(float((logits.argmax(1) == validation[1]).float().mean()))
    assert accuracy > 0.75
    # On wrong validation labels nothing that is learnt helps: the first epochs are best.
    torch.manual_seed(0)
    other = Teacher(6, 2, units=16, epochs=8, lr=0.01)
    other.fit([train], [(validation[0], 1 - validation[1])])
    sure = [
        float(torch.softmax(t.network(rates(train[0])), 1).max(1).values.mean())
        for t in (teacher, other)
    ]
    assert sure[0] > sure[1] + 0.1


@pytest.mark.parametrize("kind", [lambda scores: Categorical(logits=scores), Scores])
def test_the_cost_is_the_divergence_at_a_temperature(kind):
    torch.manual_seed(0)
    teacher = Teacher(6, 2, temperature=3.0, weight=0.5)
    x, _ = examples(4, 3)
    scores = torch.randn(8, 1, 2, requires_grad=True)  # two codes an input
    found = teacher.nats(x, kind(scores))
    with torch.no_grad():
        wanted = torch.softmax(teacher.network(x.mean(1)) / 3, 1).repeat(2, 1)[:, None]
    given = torch.softmax(scores / 3, -1)
    expected = 0.5 * 9 * (wanted * (wanted / given).log()).sum(-1)
    assert found.shape == (8, 1)
    torch.testing.assert_close(found, expected)
    (grad,) = torch.autograd.grad(found.sum(), scores)
    torch.testing.assert_close(grad, 0.5 * 3 * (given - wanted).detach())


def test_only_training_is_taught():
    torch.manual_seed(0)
    encoder = build_encoder((6,), 3, (4,))
    decoder = LogisticDecoder(FullWindow(10), 3, Label(2))
    model = VDIB(encoder, decoder, BernoulliPrior(0.2), LeaveOneOut(2), 0.0)
    x, label = examples(5, 4)
    encoder.calibrate(x, 0.3)
    noise = Noise(0, 0, torch.arange(5)).with_samples(2)
    plain, without = model.training_loss(x, label, noise)
    model.teacher = Teacher(6, 2)
    loss, out = model.training_loss(x, label, noise)
    nats = model.teacher.nats(x, out.decoded)
    torch.testing.assert_close(out.distortion, without.distortion + nats)
    assert float(nats.detach().min()) > 0
    assert not math.isclose(float(loss.detach()), float(plain.detach()))
    torch.testing.assert_close(model(x, label, noise).distortion, without.distortion)
    assert not any("teacher" in name for name in model.state_dict())


def test_a_teacher_of_anything_else_is_refused():
    settings = {"num_steps": 5, "input_shape": (6,), "hidden": (4,), "num_readout": 3}
    with pytest.raises(ValueError, match=r"a teacher"):
        NaturalisationModule(signal=Image((3,)), teacher={"units": 4}, **settings)
    with pytest.raises(ValueError, match=r"^teacher: got 'unit', .*; did you mean units\?$"):
        NaturalisationModule(signal=Label(2), teacher={"unit": 4}, **settings)
    for name in ("units", "temperature", "weight", "epochs", "lr"):
        with pytest.raises(ValueError, match=f"^teacher: {name}: got 0, expected above 0$"):
            Teacher(6, 2, **{name: 0})
