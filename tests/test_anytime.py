"""Decoding after drawn numbers of steps: the windows, the loss, its gradient, and what is shown."""

import csv
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import recordings as make
import tiny
import torch
from test_estimator import FixedBaseline
from torch.distributions import Bernoulli

from vdib import fit
from vdib.datasets.camera.presets import mnist_dvs_recording
from vdib.datasets.transforms.partial import drawn_begin, drawn_looks, late
from vdib.datasets.transforms.track import Track
from vdib.estimator import LeaveOneOut, StraightThrough
from vdib.figures.anytime import anytime
from vdib.handmade import CountDecoder
from vdib.lightning_modules.naturalisation.anytime import AnyTime
from vdib.lightning_modules.naturalisation.event_data import MNISTDVSData, NMNISTData
from vdib.metrics import wilson_interval
from vdib.model import VDIB
from vdib.noise import EVALUATION, Noise
from vdib.objective import distortion, per_step, rate
from vdib.signal import Image, Label
from vdib.window import FullWindow, recent, recent_at

LOOKS = torch.tensor([[1, 3]])


# --- windows and costs -------------------------------------------------------------------------


@pytest.mark.parametrize("length", [1, 3, 9])
def test_windows_are_those_of_every_step(length: int) -> None:
    spikes = tiny.spike_train(3, 6, 4)
    looks = torch.tensor([[1, 6], [2, 2], [5, 3]])
    every = recent(spikes, length, every_step=True)
    expected = torch.stack([every[b][looks[b] - 1] for b in range(3)])
    assert torch.equal(recent_at(spikes, length, looks), expected)
    spikes.requires_grad_()
    (own,) = torch.autograd.grad((recent_at(spikes, length, looks) ** 3).sum(), spikes)
    every = recent(spikes, length, every_step=True)
    picked = torch.stack([every[b][looks[b] - 1] for b in range(3)])
    (expected,) = torch.autograd.grad((picked**3).sum(), spikes)
    torch.testing.assert_close(own, expected)


@pytest.mark.parametrize("looks", [[[0, 1]], [[2, 7]], [[1], [2]]])
def test_looks_outside_of_a_sequence(looks: list[list[int]]) -> None:
    with pytest.raises(ValueError, match="expected 1 rows of 1 to 6 steps"):
        recent_at(tiny.spike_train(1, 6, 4), 3, torch.tensor(looks))


def test_costs_are_due_at_their_looks() -> None:
    costs = torch.tensor([[1.0, 2.0, 4.0], [1.0, 1.0, 3.0]])
    looks = torch.tensor([[1, 3, 4], [2, 2, 3]])
    assert per_step(costs, 4, looks).tolist() == [[1, 0, 2, 4], [0, 2, 3, 0]]


def test_the_distortion_is_the_mean_over_looks() -> None:
    model = tiny.bottleneck(StraightThrough())
    x, r = tiny.example()
    noise, image = torch.full((1, 3, 2), 0.4), r[:, 0]
    out = model(x, image, noise, looks=LOOKS)
    every = model(x, image[:, None].expand(-1, 3, -1), noise)
    picked = every.distortion[0, LOOKS[0] - 1]
    torch.testing.assert_close(out.distortion.sum(1), picked.mean()[None])
    torch.testing.assert_close(out.rate, every.rate)
    loss = picked.mean() + model.beta * every.rate.sum()
    torch.testing.assert_close(out.loss(model.beta), loss)


def test_spikes_are_credited_with_the_looks_they_may_change() -> None:
    """The exact gradient, by enumeration of all codes."""
    model = tiny.bottleneck(FixedBaseline(0.5))
    x, r = tiny.example()
    image = r[:, 0]
    codes = tiny.all_codes()
    log_p, code = tiny.log_probability(model, x, codes)
    nats = distortion(
        model.decode(code, LOOKS.expand(len(codes), -1)), image.expand(len(codes), -1)
    )
    costs = nats.mean(1) + model.beta * rate(code.logits, model.prior(code.spikes)).sum(1)
    exact = tiny.gradient(model, (log_p.exp() * costs).sum())
    total: Any = 0
    for one, weight in zip(codes, log_p.exp().detach(), strict=True):
        loss, _ = model.training_loss(x, image, tiny.forcing(one[None]), looks=LOOKS)
        total = total + weight * tiny.gradient(model, loss)
    assert exact.norm() > 0.1
    torch.testing.assert_close(total, exact, rtol=1e-9, atol=1e-9)


def test_several_codes_of_an_input_are_looked_at_alike() -> None:
    model = tiny.bottleneck(LeaveOneOut(3))
    x, r = (torch.cat([some, some.flip(1)]) for some in tiny.example())
    looks = torch.tensor([[1, 2], [3, 3]])
    noise = Noise(0, 0, torch.arange(2))
    _, out = model.training_loss(x, r[:, 0], noise, looks=looks)
    assert out.distortion.shape == (6, 2)
    decoded = model.decode(out.code, looks.repeat(3, 1))
    expected = distortion(decoded, r[:, 0].repeat(3, 1)) / 2
    torch.testing.assert_close(out.distortion, expected)


def test_what_is_made_by_hand_has_no_looks() -> None:
    whole = tiny.bottleneck(StraightThrough())
    decoder = CountDecoder(FullWindow(3), 2, Label(2))
    model = VDIB(whole.encoder, decoder, whole.prior, whole.estimator, 0.1).double()
    with pytest.raises(ValueError, match="got CountDecoder, expected a learned decoder"):
        model(
            tiny.example()[0], torch.zeros(1, dtype=torch.int64), torch.rand(1, 3, 2), looks=LOOKS
        )


# --- data --------------------------------------------------------------------------------------

SIZES: Any = {"num_train": 4, "num_validation": 2, "num_test": 2, "cache": False}


@pytest.mark.usefixtures("small_world")
def test_training_sees_what_was_drawn_and_evaluation_all() -> None:
    settings = {"num_steps": 12, "step_ms": 20, "phase": "any", **SIZES}
    data = MNISTDVSData(follow="past", looks=3, starts=5, seed=4, **settings)
    assert data.input_shape == (2, 26, 26)
    raw: Any = data.split("train").__getitems__(range(4))
    assert raw.spikes.shape == (4, 12, 2, 128, 128)
    noise = Noise(4, 9, raw.id)
    begin = drawn_begin(noise, 5)
    track = Track((26, 26))
    coded = data.code(raw, 9)
    assert coded.looks is not None
    assert torch.equal(coded.looks, drawn_looks(noise, 3, 12 - begin))
    assert torch.equal(coded.spikes.neuron, track(late(raw.spikes, begin)).neuron)
    again = data.code(raw, 9)  # by address: a resumed run sees the same
    assert torch.equal(again.looks, coded.looks)
    assert torch.equal(again.spikes.neuron, coded.spikes.neuron)
    evaluated = data.code(raw, EVALUATION)
    assert evaluated.looks is None
    assert torch.equal(evaluated.spikes.neuron, track(raw.spikes).neuron)
    assert coded.to("cpu").looks is not None


def test_recordings_begin_in_any_phase() -> None:
    """Wherever on its way of 11 pixels the digit is; and no longer with pixels at rest."""
    image = np.zeros((28, 28))
    image[8:20, 12:16] = 1

    def begun(any_phase: bool) -> list[Any]:
        made = (
            mnist_dvs_recording(image, seed, any_phase=any_phase, seconds=0.2) for seed in range(8)
        )
        return [recording.between(0, 100_000) for recording in made]

    recorded, anywhere = begun(False), begun(True)
    spread = [np.ptp([np.median(some.x) for some in kind]) for kind in (recorded, anywhere)]
    assert spread[0] < 3
    assert spread[1] > 6
    first = [np.mean([len(r.between(0, 10_000)) for r in kind]) for kind in (recorded, anywhere)]
    assert first[0] < 0.75 * first[1]
    assert all(0 <= recording.t[0] < 20_000 for recording in anywhere)


@pytest.mark.parametrize(
    ("settings", "why"),
    [
        ({"looks": 13}, "expected 0 to the 12 steps"),
        ({"looks": 2, "starts": 12}, "expected 0 to the 12 steps"),
        ({"starts": 2}, "set looks"),
        ({"follow": "future"}, "expected 'whole' or 'past'"),
        ({"phase": "new"}, "expected 'recorded' or 'any'"),
    ],
)
@pytest.mark.usefixtures("small_world")
def test_mistakes(settings: Any, why: str) -> None:
    with pytest.raises(ValueError, match=why):
        MNISTDVSData(num_steps=12, **SIZES, **settings).prepare_data()


@pytest.mark.usefixtures("small_world")
def test_nmnist_has_looks_too() -> None:
    data = NMNISTData(
        recordings="simulated", source="digits", num_steps=6, looks=2, starts=3, **SIZES
    )
    batch = data.code(data.split("train").__getitems__(range(4)), 0)
    assert batch.looks is not None
    assert batch.looks.shape == (4, 2)
    assert batch.spikes.shape == (4, 6, 2, 34, 34)


# --- what is measured and shown ----------------------------------------------------------------


class Counting:
    """A module that says of a code after `look` steps that its class is that many spikes."""

    signal = Image((1,))

    def __init__(self) -> None:
        self.vdib = SimpleNamespace(decode=self.decode)

    def decode(self, code: Any, looks: torch.Tensor) -> Any:
        counts = code.spikes.sum(2).cumsum(1).gather(1, looks - 1)
        return torch.distributions.Independent(Bernoulli(probs=(counts[..., None] + 0.5) / 10), 1)

    def judge(self, images: torch.Tensor) -> torch.Tensor:
        return (images.view(-1) * 10).long()


def test_counts_by_hand(tmp_path: Path) -> None:
    some = AnyTime(4, 25_000)
    spikes = torch.tensor([[1, 0, 1, 1], [1, 1, 1, 1], [0, 0, 0, 1]]).float()[..., None]
    label = torch.tensor([3, 4, 0])
    batch: Any = SimpleNamespace(id=label, label=label, target=torch.ones(3, 1))
    for part in (slice(0, 2), slice(2, 3)):
        piece: Any = SimpleNamespace(**{k: v[part] for k, v in vars(batch).items()})
        some.add(Counting(), piece, SimpleNamespace(spikes=spikes[part]))  # type: ignore[arg-type]
    # After 1 to 4 steps: 1 1 0, 1 2 0, 2 3 0 and 3 4 1, against 3 4 0.
    assert some.sums[:, 0].tolist() == [1, 1, 1, 2]
    assert some.sums[:, 2].tolist() == [3] * 4
    first = -torch.tensor([0.15, 0.15, 0.05]).log().sum()
    torch.testing.assert_close(some.sums[0, 1], first.double(), rtol=1e-5, atol=0)
    figures = some.figures()
    assert float(figures["anytime_accuracy"]) == pytest.approx(5 / 12)
    assert float(figures["late_accuracy"]) == pytest.approx(1 / 3)  # of 1/3, 1/3 and 2/3
    rows = list(csv.DictReader(some.table().splitlines()))
    assert [row["seconds"] for row in rows] == ["0.0250", "0.0500", "0.0750", "0.1000"]
    assert [row["accuracy"] for row in rows] == ["0.3333", "0.3333", "0.3333", "0.6667"]
    assert float(rows[0]["low"]) == pytest.approx(wilson_interval(1, 3)[0], abs=1e-4)
    (axes,) = some.drawn(Image((1,)))["anytime"].axes
    (line,) = axes.lines
    assert line.get_xdata() == pytest.approx([0.025, 0.05, 0.075, 0.1])
    assert line.get_ydata() == pytest.approx([1 / 3, 1 / 3, 1 / 3, 2 / 3])


def test_many_steps_are_looked_at_twenty_times() -> None:
    assert AnyTime(80, 25_000).looks.tolist() == list(range(4, 81, 4))
    assert AnyTime(30, 10_000).looks.tolist() == list(range(2, 31, 2))
    assert AnyTime(25, 10_000).looks[-1] == 25


def test_a_figure_of_several_ways() -> None:
    figure = anytime(
        torch.tensor([1.0, 2.0]), {"a": ([1, 2], [4, 4]), "b": ([3, 0], [4, 0])}, "accuracy"
    )
    (axes,) = figure.axes
    lines = [line.get_ydata().tolist() for line in axes.lines]
    assert lines == [[0.25, 0.5], [0.75]]  # a look of none is left out
    assert [text.get_text() for text in axes.get_legend().get_texts()] == ["a", "b"]
    with pytest.raises(ValueError, match="one length"):
        anytime([1, 2], {"a": ([1], [2])})


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.usefixtures("small_world")
def test_a_run_leaves_figure_and_table() -> None:
    words = [
        *("--config", "mnist_dvs_anytime", "--name", "a", "--data.cache", "false"),
        *("--data.num_train", "6", "--data.num_validation", "3", "--data.num_test", "4"),
        *("--data.num_steps", "8", "--data.starts", "3", "--figures_every", "0"),
        *("--model.hidden", "[12]", "--model.num_readout", "6", "--trainer.max_epochs", "1"),
        *("--trainer.enable_progress_bar", "false"),
    ]
    assert fit.main(words) == 0
    figures = Path("runs/naturalise_mnist_dvs_anytime/a/figures")
    assert (figures / "anytime.png").stat().st_size > 1_000
    rows = list(csv.DictReader((figures / "anytime.csv").read_text().splitlines()))
    seconds = [float(row["seconds"]) for row in rows]
    assert seconds == pytest.approx([0.025 * (1 + i) for i in range(8)])
    assert all(row["samples"] == "4" for row in rows)
    summary = make.same_files(figures.parent)["summary.json"]
    assert b"anytime_accuracy" in summary
    assert b"late_accuracy" in summary
