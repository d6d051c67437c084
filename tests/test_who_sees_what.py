"""Who sees which examples, with which noise, and how weights are moved: watched during runs."""

import math
from collections import defaultdict

import numpy as np
import pytest
import recordings as make
import torch
from test_data_modules import MAKERS, SPLITS
from tiny_runs import run

from vdib.datasets import mnist, sources
from vdib.datasets.mnist_dvs import MNISTDVSSplits
from vdib.datasets.nmnist import NMNISTSplits
from vdib.datasets.spike_set import SpikeSet
from vdib.lenet5 import TRAINED_ON
from vdib.lightning_modules.data_module import DataModule
from vdib.lightning_modules.naturalisation.image_data import ImageData
from vdib.lightning_modules.naturalisation.module import NaturalisationModule
from vdib.model import VDIB
from vdib.noise import EVALUATION, Noise

# Lightning calls what jsonargparse has deprecated.
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")
LOADERS = dict(zip(SPLITS, ("train_dataloader", "val_dataloader", "test_dataloader"), strict=True))


@pytest.mark.parametrize("name", ["digits", "a folder", "blobs"])
def test_every_loader_hands_over_its_own_split_once(name, small_world):
    data = MAKERS[name][1](batch_size=3)
    shown = {}
    for split, loader in LOADERS.items():
        batches = list(getattr(data, loader)())
        shown[split] = torch.cat([batch.id for batch in batches])
        every = data.open_split(split)
        expected = every.__getitems__(range(len(every)))
        assert torch.equal(shown[split].sort().values, expected.id.sort().values)
        if split != "train":  # in their own order
            assert torch.equal(shown[split], expected.id)
        if name == "a folder":  # lists of spikes follow their ids
            continue
        rows = {int(i): x for batch in batches for i, x in zip(batch.id, batch[0], strict=True)}
        for i, x in zip(expected.id, expected[0], strict=True):
            assert torch.equal(rows[int(i)], x)
    if name == "digits":
        sizes = {split: len(ids) for split, ids in shown.items()}
        assert sizes == {"train": 4_000, "validation": 500, "test": 500}
    if name != "blobs":  # whose ids are positions
        ids = torch.cat(list(shown.values()))
        assert len(ids.unique()) == len(ids)


@pytest.fixture
def watched(tmp_path, monkeypatch):
    """What a tiny run asks of its data and its model, by the stage it is in."""
    monkeypatch.chdir(tmp_path)
    splits, noises, coded = defaultdict(set), defaultdict(list), defaultdict(list)

    def stage_of(part):
        trainer = getattr(part, "trainer", None)
        if trainer is None or trainer.state.stage is None:
            return "end" if coded["test"] else "start"
        return str(trainer.state.stage.value)

    split, code = DataModule.split, ImageData.code
    loss, forward = VDIB.training_loss, VDIB.forward
    now = {}

    def watched_split(data, name):
        now["stage"] = stage_of(data)
        splits[now["stage"]].add(name)
        return split(data, name)

    def watched_code(data, batch, step):
        now["stage"] = stage_of(data)
        if now["stage"] == "train" and step == EVALUATION:  # before the first step
            now["stage"] = "start"
        coded[now["stage"]].append((step, batch.id))
        return code(data, batch, step)

    def watched_loss(model, x, r, noise, *rest):
        noises["train"].append(noise)
        return loss(model, x, r, noise, *rest)

    def watched_forward(model, x, r, noise, *rest):
        noises[now["stage"]].append(noise)
        return forward(model, x, r, noise, *rest)

    monkeypatch.setattr(DataModule, "split", watched_split)
    monkeypatch.setattr(ImageData, "code", watched_code)
    monkeypatch.setattr(VDIB, "training_loss", watched_loss)
    monkeypatch.setattr(VDIB, "forward", watched_forward)
    run("seen", "--seed", "5", "--data.coding", "rate", epochs=2)
    return splits, noises, coded


def test_what_is_fitted_or_chosen_sees_what_it_may(watched):
    splits, noises, coded = watched
    ids = {split: set(ImageData().open_split(split).ids.tolist()) for split in SPLITS}
    # Calibration and the constant answer, before, are of training data; the marginal and the best
    # epoch are of validation data; the test split is read when everything is fitted and chosen.
    of = {"start": "train", "train": "train", "validate": "validation", "test": "test"}
    for stage, name in of.items():
        seen = {int(i) for _, batch in coded[stage] for i in batch}
        assert seen, stage
        assert seen <= ids[name], stage
        assert stage == "test" or "test" not in splits[stage]
    # Noise: of the step in training, of no step elsewhere; the input's as the code's.
    assert [(n.seed, n.step) for n in noises["train"]] == [(5, step) for step in range(6)]
    assert [step for step, _ in coded["train"]] == list(range(6))
    for noise, (_, batch) in zip(noises["train"], coded["train"], strict=True):
        assert torch.equal(noise.ids, batch)
    for stage in ("validate", "test"):
        assert {(n.seed, n.step) for n in noises[stage]} == {(5, EVALUATION)}
        assert {step for step, _ in coded[stage]} == {EVALUATION}
    epochs = [torch.cat([ids for _, ids in coded["train"][at : at + 3]]) for at in (0, 3)]
    assert not torch.equal(*epochs)


def test_the_start_looks_at_training_data(monkeypatch):
    """Calibration and the decoder's constant answer, whatever the other splits hold."""
    data = ImageData(num_steps=5)
    taken = []
    split = ImageData.split
    monkeypatch.setattr(ImageData, "split", lambda s, name: taken.append(name) or split(s, name))
    torch.manual_seed(0)
    module = NaturalisationModule(
        num_steps=5, input_shape=(1, 28, 28), signal=data.signal, hidden=[], num_readout=6,
        encoder_gain=3.0, rho=0.2,
    )  # fmt: skip
    module.start(data)
    assert set(taken) == {"train"}
    spikes = data.examples("train", 256).spikes
    readout = module.vdib.encoder.readout
    with torch.no_grad():
        potential = readout.drive(spikes) - readout.bias + readout.threshold
    assert float(potential.square().mean().sqrt()) == pytest.approx(3.0, rel=1e-4)
    assert torch.sigmoid(readout.bias - readout.threshold).allclose(torch.tensor(0.2))
    mean = split(data, "train").all().image.mean(0).flatten().clamp(1e-4, 1 - 1e-4)
    torch.testing.assert_close(module.vdib.decoder.head.bias.detach(), torch.logit(mean))


@pytest.mark.parametrize("schedule", ["cosine", "constant"])
def test_optimiser_groups_and_schedule(tmp_path, monkeypatch, schedule):
    monkeypatch.chdir(tmp_path)
    seen = []
    before = NaturalisationModule.on_before_optimizer_step

    def look(module, optimizer):
        names = {id(p): name for name, p in module.vdib.named_parameters()}
        seen.append([
            (group["lr"], sorted(names[id(p)] for p in group["params"]))
            for group in optimizer.param_groups
        ])  # fmt: skip
        inner = getattr(optimizer, "_optimizer", optimizer)
        assert type(inner) is torch.optim.Adam
        assert (inner.defaults["betas"], inner.defaults["weight_decay"]) == ((0.9, 0.999), 0)
        seen[-1].append(sorted(names.values()))
        before(module, optimizer)

    monkeypatch.setattr(NaturalisationModule, "on_before_optimizer_step", look)
    words = ["--model.lr", "0.01", "--model.encoder_lr", "0.002", "--model.prior", "marginal"]
    words += ["--model.estimator", "relax"]
    run("lr", *words, "--model.schedule", schedule, epochs=2)
    assert len(seen) == 6
    for step, ((rest, others), (rate, encoder), every) in enumerate(seen):
        factor = (1 + math.cos(math.pi * step / 6)) / 2 if schedule == "cosine" else 1
        assert (rest, rate) == pytest.approx((0.01 * factor, 0.002 * factor))
        assert sorted([*others, *encoder]) == every
        assert {name.split(".")[0] for name in encoder} == {"encoder"}
        assert {name.split(".")[0] for name in others} == {"decoder", "prior", "estimator"}


def test_noise_of_training_follows_step_and_seed():
    data = ImageData(num_steps=5)
    torch.manual_seed(0)
    module = NaturalisationModule(
        num_steps=5, input_shape=(1, 28, 28), signal=data.signal, hidden=[], num_readout=6
    )
    batch = data.examples("train", 8)
    codes = {
        (seed, step): module.vdib.training_loss(
            batch.spikes, batch.target, Noise(seed, step, batch.id)
        )[1].code.spikes
        for seed in (0, 1)
        for step in (0, 1)
    }
    assert all(not torch.equal(codes[0, 0], other) for key, other in codes.items() if any(key))


# --- leaks, without any data but what comes along ---------------------------------------------


@pytest.mark.parametrize("kind", [NMNISTSplits, MNISTDVSSplits])
def test_simulated_recordings_of_two_splits_show_no_digit_in_common(kind, small_world):
    """Of images 0 to 9 those of training, 10 to 19 of validation, 20 to 29 of the test."""
    sizes = {"num_train": 7, "num_validation": 6, "num_test": 5}
    splits = kind(recordings="simulated", target="source", **sizes)
    for i, split in enumerate(SPLITS):
        (made,) = splits.recordings(split)
        assert len(made) == sizes[f"num_{split}"]
        numbers = {make.number_of(made.images[one.image]) for one in made.shown}
        assert {number // 10 for number in numbers} == {i}


@pytest.mark.parametrize("kind", [NMNISTSplits, MNISTDVSSplits])
def test_the_image_of_a_class_is_one_to_train_on(kind, small_world):
    """Class images are taken from the training sources: the fixture's are numbered 30 to 39."""
    (made,) = kind(recordings="simulated", target="class", num_test=5).recordings("test")
    for one in made.shown:
        assert make.number_of(made.images[one.image]) == 30 + one.label


def test_nothing_is_measured_on_what_the_judge_was_trained_on(monkeypatch):
    """Numbers of MNIST's training images, whatever is on this disk."""
    asked = []

    def numbered(start, stop, download=True):
        asked.append((start, stop))
        return make.numbered_digits(start, start + 10)

    for module in (mnist, sources):
        monkeypatch.setattr(module, "training_images", numbered)
    for measured in (lambda: sources.source_images("validation", "mnist"),
                     lambda: mnist.MNIST("validation")):  # fmt: skip
        measured()
    assert asked == [(6_000, 12_000), (0, 5_000)]
    assert all(stop <= TRAINED_ON[0] for _, stop in asked)
    sources.source_images("train", "mnist")
    assert asked[-1] == TRAINED_ON  # apart from validation and test, whose digits lie elsewhere
    mnist.MNIST("train")
    assert asked[-1] == (5_000, 60_000)


def test_sets_side_by_side_keep_their_own_images():
    """Of real recordings beside simulated ones, each becomes what it shows."""

    def part(value):
        count, none = np.zeros((2, 3), np.int64), np.zeros(0, np.uint16)
        images = np.full((2, 4, 4), value, np.uint8) + np.arange(2, dtype=np.uint8)[:, None, None]
        at = np.array([1, 0])
        return SpikeSet(count, none, (2, 4, 4), images, at, at, at + value)

    both = SpikeSet.cat([part(10), part(20)]).__getitems__([0, 1, 2, 3])
    assert (both.image[:, 0, 0] * 255).round().tolist() == [11, 10, 21, 20]
    assert both.id.tolist() == [11, 10, 21, 20]
