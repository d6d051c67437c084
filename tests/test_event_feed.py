"""Events through a stream that carries its state on: as the whole sequence has it, step by step."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import recordings as make
import torch

from vdib.datasets.preparation import Preparation
from vdib.datasets.recording import Recording
from vdib.datasets.transforms.binning import SpikeBinning
from vdib.datasets.transforms.follow import Follow
from vdib.datasets.transforms.track import Track
from vdib.lightning_modules.naturalisation.module import NaturalisationModule
from vdib.naturalise.carried import CarriedLooks, looks_of
from vdib.naturalise.event_feed import EventFeed
from vdib.naturalise.looks import Looks
from vdib.naturalise.naturaliser import Naturaliser
from vdib.noise import EVALUATION, Noise
from vdib.signal import Image, Label

SIZE, DT, STEPS = (30, 20), 1_000, 12
TRACK = Track((8, 6), memory=3, reach=5)


def naturaliser(track: Track | None = TRACK, signal: Any = None, **binning: Any) -> Naturaliser:
    """An untrained model in double precision, whose readout is neither silent nor always on."""
    torch.manual_seed(0)
    prepare = Preparation((), SpikeBinning(dt=DT, num_steps=STEPS, **binning), SIZE)
    shape = prepare.shape(SIZE)
    module = NaturalisationModule(
        num_steps=STEPS,
        input_shape=shape if track is None else track.shape(shape),
        signal=signal or Image((4, 5)),
        hidden=[15],
        num_readout=6,
        num_filters=2,
    )
    module.vdib.double()
    x = torch.rand(1, 50, *module.vdib.encoder.input_shape) < 0.1
    module.vdib.encoder.calibrate(x.double(), 0.3, 3.0)
    return Naturaliser(module.eval(), prepare, track=track, anytime=True)


def moving(steps: int, seed: int = 0) -> Recording:
    """A thing that goes to and fro, some 20 events a step, several at one time and one pixel."""
    rng = np.random.default_rng(seed)
    t = np.sort(rng.integers(0, steps * DT, 20 * steps))
    x = (15 + 9 * np.sin(t / 9_000)).astype(int) + rng.integers(-2, 3, len(t))
    y = 10 + rng.integers(-3, 4, len(t))
    return make.of(x, y, t + 777, rng.random(len(t)) < 0.5, SIZE)


def whole(model: Naturaliser, recording: Recording, steps: int) -> np.ndarray:
    """The readout's spikes of the sequence, (T, N_y)."""

    prepare = replace(model.prepare, binning=replace(model.prepare.binning, num_steps=steps))
    longer = replace(model, prepare=prepare)
    spikes, ids = longer.batch([prepare(recording)])
    with torch.no_grad():
        code = model.module.vdib.encode(
            spikes.dense(torch.float64), Noise(model.module.seed, EVALUATION, ids)
        )
    assert 0.02 < code.spikes.mean() < 0.98
    return code.spikes[0].numpy()


CASES = {
    "followed": {},
    "as it is": {"track": None},
    "merged": {"track": None, "polarity": "merged"},
    "cropped and coarser": {"track": None, "crop": (4, 2, 24, 16), "downsample": 2},
}


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_steps_are_those_of_the_sequence(case: dict[str, Any]) -> None:
    model, recording = naturaliser(**case), moving(3 * STEPS)
    expected = whole(model, recording, 3 * STEPS)
    feed, start = EventFeed(model), int(recording.t[0])
    for step in range(1, 3 * STEPS):
        end = start + step * DT
        part = recording.between(end - DT, end)
        for piece in make.pieces(part, [len(part) // 3, len(part) // 2]):
            feed.feed(piece)
        seen = feed.look(end)
        since = max(0, step - STEPS)
        assert np.array_equal(seen[STEPS - (step - since) :], expected[since:step])
        assert not seen[: STEPS - (step - since)].any()


def test_pieces_and_looks_change_nothing() -> None:
    model, recording = naturaliser(), moving(30)
    alone, looked = EventFeed(model), EventFeed(model)
    alone.feed(recording)
    for piece in make.pieces(recording, range(0, len(recording), 7)):
        looked.feed(piece)
        if len(piece):
            looked.look(int(piece.t[-1]) + 1)
    end = int(recording.t[-1]) + 1
    assert np.array_equal(alone.look(end), looked.look(end))


def test_a_look_within_a_step_sees_what_has_come_of_it() -> None:
    model, recording = naturaliser(), moving(30)
    end = int(recording.t[0]) + 20 * DT + DT // 2
    cut = recording.between(0, end)
    feed = EventFeed(model)
    feed.feed(cut)
    expected = whole(model, cut, 21)  # its last step has only half of its events
    assert np.array_equal(feed.look(end), expected[-STEPS:])


def test_after_a_long_silence_it_begins_anew() -> None:
    model, first = naturaliser(), moving(20)
    gap = (STEPS + 40) * DT
    start = int(first.t[0])
    second = make.of(first.x, first.y, first.t + gap, first.p, SIZE)
    feed, fresh = EventFeed(model), EventFeed(model)
    feed.feed(first)
    feed.feed(second)
    fresh.feed(second)
    end = start + gap + 20 * DT
    assert np.array_equal(feed.look(end), fresh.look(end))
    assert feed.stream.time < 25  # the silence was not worked through


def test_which_runs_carry() -> None:
    model = naturaliser(None)
    make_looks: Any = (None, {}, {"every": 1}, None)
    assert type(looks_of(model, *make_looks)) is CarriedLooks

    for other in (
        replace(model, anytime=False),
        replace(model, prepare=replace(model.prepare, transforms=(Follow((3, 3)),))),
        replace(
            model,
            prepare=replace(
                model.prepare, binning=SpikeBinning(dt=DT, num_steps=STEPS, rule="first")
            ),
        ),
    ):
        assert type(looks_of(other, *make_looks)) is Looks


class Bar:
    def set_postfix_str(self, words: str) -> None: ...


def test_looks_come_at_the_same_times_and_agree_while_nothing_is_forgotten(tmp_path: Any) -> None:
    """Up to T steps, what is carried on and what is encoded anew are the same."""
    model = naturaliser(None)
    path = make.write_npz(tmp_path / "a.npz", moving(3 * STEPS))
    for every in ({"every": 2 * DT}, {"events": 37}):
        anew, carried = (
            [look for batch in kind(model, path, {}, every, Bar()).batches() for look in batch]
            for kind in (Looks, CarriedLooks)
        )
        assert [look[:2] for look in anew] == [look[:2] for look in carried]
        for one, other in zip(anew, carried, strict=True):
            assert np.array_equal(one.picture, other.picture)


def test_images_and_labels_are_what_the_windows_mean(tmp_path: Any) -> None:
    path = make.write_npz(tmp_path / "a.npz", moving(3 * STEPS))
    model = naturaliser()
    some = CarriedLooks(model, path, {}, {"every": 3 * DT}, Bar())
    batch = next(some.batches())
    images = some.images(batch)
    windows = torch.from_numpy(np.stack([look.seen for look in batch])).double()
    with torch.no_grad():
        logits = model.module.vdib.decoder.outputs(windows[None])[0]
    np.testing.assert_allclose(images, logits.sigmoid().view(-1, 4, 5), rtol=1e-5)
    named = naturaliser(signal=Label(3, ("a", "b", "c")))
    some = CarriedLooks(named, path, {}, {"every": 3 * DT}, Bar())
    batch = next(some.batches())
    windows = torch.from_numpy(np.stack([look.seen for look in batch])).double()
    with torch.no_grad():
        chances = named.module.vdib.decoder.outputs(windows[None])[0].softmax(-1)
    for (label, sure, ms), row in zip(some.decisions(batch), chances, strict=True):
        assert label == "abc"[row.argmax()]
        assert abs(sure - float(row.max())) < 1e-5
        assert ms == STEPS * DT / 1000
