"""What holds of every data module: stable ids, disjoint splits, an order of its own, batches."""

import inspect
import re
import sys
from functools import partial
from types import SimpleNamespace
from typing import get_args
from unittest import mock

import numpy as np
import pytest
import recordings as make
import sequences
import torch

from vdib.coding import constant_code
from vdib.lightning_modules import choices
from vdib.lightning_modules.data_module import DataModule, SpikeBatch
from vdib.lightning_modules.experiments import DATA
from vdib.lightning_modules.naturalisation.event_data import EVENT_DATA
from vdib.lightning_modules.naturalisation.image_data import ImageData
from vdib.lightning_modules.predictive_coding.data import BlobData
from vdib.lightning_modules.sequences.sine_data import SineData
from vdib.lightning_modules.sequences.speech_data import SpeechData
from vdib.lightning_modules.sequences.text_data import TextData
from vdib.noise import EVALUATION
from vdib.signal import Label
from vdib.sparse import SparseSpikes

pytestmark = pytest.mark.usefixtures("small_world")

SPLITS = ("train", "validation", "test")
SIZES = {"num_train": 7, "num_validation": 3, "num_test": 4}
SIMULATED = {"recordings": "simulated", "num_steps": 4, "step_ms": 100, "cache": False, **SIZES}


def folder(**settings):
    """Seven recordings to train on, three and four to measure by, of two classes."""
    for split, count in zip(SPLITS, SIZES.values(), strict=True):
        for i in range(count):
            name = "cat" if i % 2 else "dog"
            made = make.scattered(60, seed=i + 10 * len(split))
            make.write_npz(make.Path("mine", split, name, f"{i}.npz"), made)
            make.write_image(make.Path("mine", split, f"{name}.png"), np.full((4, 3), 100 + i))
    settings = {"num_steps": 4, "sensor_size": (34, 34), "cache": False, **settings}
    return EVENT_DATA["EventFolderData"](root="mine", **settings)


def text(**settings):
    """A short book."""
    path = sequences.write_text(times=20)
    return TextData(path, num_steps=10, unscored=4, vector_size=3, **settings)


def speech(**settings):
    """Two speakers, two digits, takes of every split."""
    pytest.importorskip("librosa")
    takes = (0, 1, 5, 6, 10, 11)
    return SpeechData(4, 6, root=sequences.write_speech(takes=takes), **settings)


def spike_trains(target="label", **settings):
    """The same sizes, of four units, with every kind of target."""
    for split, count in zip(SPLITS, SIZES.values(), strict=True):
        for i in range(count):
            path = make.Path("trains", split, f"{i}.npz")
            path.parent.mkdir(parents=True, exist_ok=True)
            rng = np.random.default_rng(i + 10 * len(split))
            np.savez(
                path,
                times=np.sort(rng.random(20)) / 2,
                units=rng.integers(0, 4, 20),
                label=("cat", "dog")[i % 2],
                image=rng.random((4, 3)),
                curve=rng.normal(size=2),
            )
    settings = {"num_steps": 4, "step_ms": 100, "num_units": 4, "cache": False, **settings}
    return EVENT_DATA["SpikeTrainData"](path="trains", target=target, **settings)


class Made:
    """What tonic might offer."""

    sensor_size = (34, 34, 2)

    def __init__(self, save_to, train=True):
        self.location_on_system, self.train = save_to, train
        self.targets = [i % 3 for i in range(10 if train else 4)]

    def __len__(self):
        return len(self.targets)

    def __getitem__(self, index):
        made = make.scattered(60, seed=index + 20 * self.train)
        names = ["x", "y", "t", "p"]
        columns = [getattr(made, name) for name in names]
        return np.rec.fromarrays(columns, names=names), self.targets[index]


def from_tonic(**settings):
    module = SimpleNamespace(datasets=SimpleNamespace(Made=Made))
    with mock.patch.dict(sys.modules, {"tonic": module}):
        settings = {"num_steps": 4, "step_ms": 100, "cache": False, "validation": 0.3, **settings}
        return EVENT_DATA["TonicData"](name="Made", root="there", **settings)


BLOBS = {"num_steps": 30, "num_long": 0, "unscored": 5, **SIZES}
MAKERS = {
    "digits": (ImageData, partial(ImageData, "digits", num_steps=4)),
    "digits, labels": (ImageData, partial(ImageData, "digits", "label", num_steps=4)),
    "digits, rate": (ImageData, partial(ImageData, "digits", coding="rate", num_steps=4)),
    "digits, currents": (ImageData, partial(ImageData, "digits", coding="constant", num_steps=4)),
    "digits, rows": (ImageData, partial(ImageData, "digits", coding="rows", num_steps=28)),
    **{
        name: (EVENT_DATA[name], partial(EVENT_DATA[name], **SIMULATED))
        for name in ("NMNISTData", "MNISTDVSData")
    },
    "NMNISTData, labels": (
        EVENT_DATA["NMNISTData"],
        partial(EVENT_DATA["NMNISTData"], target="label", **SIMULATED),
    ),
    "a folder": (EVENT_DATA["EventFolderData"], folder),
    "a folder, labels": (EVENT_DATA["EventFolderData"], partial(folder, target="label")),
    **{
        f"spike trains, {target}": (EVENT_DATA["SpikeTrainData"], partial(spike_trains, target))
        for target in ("label", "image", "curve")
    },
    "tonic": (EVENT_DATA["TonicData"], from_tonic),
    "blobs": (BlobData, partial(BlobData, lag=2, **BLOBS)),
    "blobs, inputs": (BlobData, partial(BlobData, lag=-2, target="inputs", **BLOBS)),
    "curves": (SineData, partial(SineData, num_steps=10, **SIZES)),
    "curves, random": (SineData, partial(SineData, phase="random", num_steps=10, **SIZES)),
    "characters": (TextData, text),
    "words": (TextData, partial(text, unit="word")),
    "speech": (SpeechData, speech),
}
"""A data module's class, and a small one of it, by more settings."""
for name, kind in EVENT_DATA.items():  # those that are made by code need no line above
    if kind not in {known for known, _ in MAKERS.values()}:
        taken = inspect.signature(kind).parameters
        some = {key: value for key, value in SIMULATED.items() if key in taken}
        MAKERS[name] = (kind, partial(kind, **some))
        if "target" in taken and "label" in get_args(taken["target"].annotation):
            MAKERS[f"{name}, labels"] = (kind, partial(kind, target="label", **some))


@pytest.fixture(params=MAKERS.values(), ids=list(MAKERS), scope="module")
def world(request):
    """What each data module loads, once for all tests: by the settings given."""
    return request.param[1], {}


@pytest.fixture
def made(world):
    make_one, kept = world

    def build(**settings):
        key = tuple(sorted(settings.items()))
        if key not in kept:
            kept[key] = make_one(**settings)
            for split in SPLITS:
                kept[key].split(split)
        return kept[key]

    return build


def test_every_data_module_is_here():
    assert {kind for kind, _ in MAKERS.values()} == set(DATA)
    assert set(choices.EVENT_SETS) == set(EVENT_DATA)
    assert all(issubclass(kind, DataModule) for kind in DATA)


@pytest.mark.parametrize("name", EVENT_DATA)
def test_help_describes_every_setting(name):
    described = set(re.findall(r"^    (\w+):", EVENT_DATA[name].__doc__, re.MULTILINE))
    assert set(inspect.signature(EVENT_DATA[name]).parameters) <= described


def same(one, other):
    """Two batches, lists of spikes among them."""
    for a, b in zip(one, other, strict=True):
        if isinstance(a, SparseSpikes):
            a, b = a.dense(), b.dense()
        assert (a is None and b is None) or torch.equal(a, b)


def rows(batch, at):
    """Some examples of a batch."""
    spikes = batch.spikes.dense() if isinstance(batch.spikes, SparseSpikes) else batch.spikes
    return SpikeBatch(*(field[at] for field in (spikes, *batch[1:4])))


def is_real(data):
    """Whether inputs are currents of either sign: spectra, vectors of words."""
    words = isinstance(data, TextData) and data.text.unit == "word"
    return words or isinstance(data, SpeechData)


def examples_of(data, split):
    return data.examples(split, 20)


def test_batches_are_what_the_module_says_of_itself(made):
    data = made()
    for split in SPLITS:
        batch = examples_of(data, split)
        count = len(batch.id)
        assert batch.spikes.shape == (count, data.num_steps, *data.input_shape)
        assert batch.label.shape == (count,)
        assert batch.id.dtype == torch.int64
        shown = batch.spikes.dense() if isinstance(batch.spikes, SparseSpikes) else batch.spikes
        if getattr(data, "coding", None) is constant_code:  # currents: pixels in every step
            assert torch.equal(shown, shown[:, :1].expand_as(shown))
            assert ((shown >= 0) & (shown <= 1)).all()
        elif is_real(data):
            assert shown.isfinite().all()
            assert shown.std() > 0.1
        else:
            assert ((shown == 0) | (shown == 1)).all()
            assert 0 < shown.mean() < 0.9
        # The signal can tell what each target costs, of outputs as many as it says.
        outputs = data.constant()
        assert outputs.shape == (data.signal.num_outputs,)
        costs = data.signal.likelihood(outputs).log_prob(batch.target)
        assert costs.shape[:1] == (count,)
        assert costs.isfinite().all()
        assert torch.equal(data.targets(split)[:count], batch.target)
        if isinstance(data.signal, Label) and not isinstance(data, TextData):
            assert torch.equal(batch.target, batch.label)


def test_ids_are_stable_and_splits_are_disjoint(made):
    data, other = made(), made(seed=1)
    marks = {}
    for split in SPLITS:
        batch = examples_of(data, split)
        assert len(batch.id.unique()) == len(batch.id)
        if split != "train":  # what is measured by is the same for all seeds
            assert torch.equal(batch.id, examples_of(other, split).id)
        dense = rows(batch, slice(None)).spikes
        marks[split] = {(int(i), x.numpy().tobytes()) for i, x in zip(batch.id, dense, strict=True)}
    assert sum(map(len, marks.values())) == len(set.union(*marks.values()))


def test_an_example_is_the_same_in_any_batch(made):
    data = made()
    some = data.split("validation")
    whole = data.code(some.__getitems__([0, 1, 2]), EVALUATION)
    for at in ([2, 0], [1], [1, 1, 2]):
        same(rows(data.code(some.__getitems__(at), EVALUATION), slice(None)), rows(whole, at))
    same(data.code(some.__getitems__([0, 1, 2]), EVALUATION), whole)


def test_order_is_a_function_of_seed_and_epoch(made):
    def order(seed, epoch):
        loader = made(seed=seed, batch_size=3).train_dataloader()
        loader.batch_sampler.sampler.set_epoch(epoch)
        return torch.cat([loader.dataset.__getitems__(some)[-1] for some in loader.batch_sampler])

    torch.manual_seed(0)
    before = torch.random.get_rng_state()
    first = order(0, 2)
    assert torch.equal(first, order(0, 2))
    assert not torch.equal(first, order(0, 3))
    assert not torch.equal(order(0, 1), order(1, 0))  # seeds do not meet at later epochs
    assert torch.equal(first.sort().values, order(0, 3).sort().values)
    assert torch.equal(before, torch.random.get_rng_state())


def test_loaders_hand_over_whole_batches(made):
    data = made(batch_size=3)
    loader = data.val_dataloader()
    batch = next(iter(loader))
    coded = data.on_after_batch_transfer(batch, 0)
    expected = examples_of(data, "validation")
    count = min(len(expected.id), len(coded.id))
    same(rows(coded, slice(count)), rows(expected, slice(count)))
    assert coded.to("cpu").id.equal(coded.id)


def test_a_description_loads_nothing(world):
    data = world[0]()
    assert str(data) == type(data).__name__
    assert not data._splits


def test_batch_sizes_are_checked(world):
    with pytest.raises(ValueError, match="batch_size >= 1 and num_workers >= 0, got 0 and 0"):
        world[0](batch_size=0)


@pytest.mark.parametrize("given", [{"target": "lable"}, {"coding": "rat"}])
def test_misspelt_words_are_refused(given):
    with pytest.raises(ValueError, match="expected image or label and one of rate, time"):
        ImageData(**given)


def test_rows_come_in_whole_images():
    with pytest.raises(ValueError, match="num_steps: got 30, expected a multiple of 28, the rows"):
        ImageData(coding="rows")
