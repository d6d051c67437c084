"""The table of accuracy against seconds seen, and the animation of the README."""

import csv
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from PIL import Image as Picture
from test_benchmarks import script as script
from test_event_feed import DT, moving, naturaliser, whole

MS = 100


@pytest.fixture
def anytime(script):
    return script("anytime")


def test_carried_on_is_the_whole_sequence_at_each_look(anytime):
    model, recording = naturaliser(track=None), moving(2 * MS + 50)
    carried, anew = anytime.both_ways(model, recording)
    spikes = torch.from_numpy(whole(model, recording, 3 * MS))
    window = model.module.vdib.decoder.window.length
    for look in range(2):
        end = MS * 1_000 * (look + 1) // DT
        seen = spikes[None, end - window : end]
        expected = model.module.vdib.decoder.outputs(seen[:, None])[0, 0].sigmoid()
        assert carried[look].ravel() == pytest.approx(expected.detach().numpy(), rel=1e-5)
    assert anew.shape == carried.shape == (2, 4, 5)
    assert not np.allclose(anew[1], carried[1])


def test_right_ones_are_counted_by_look_and_way(anytime, tmp_path, monkeypatch, capsys):
    # Two recordings, of which the second is a look shorter; an image says what it is taken for.
    told = {
        "a": ([[3, 3, 8], [3, 8, 8]], 3),  # carried on, anew
        "b": ([[5, 5], [0, 5]], 5),
    }
    model = SimpleNamespace(module=SimpleNamespace(judge=lambda images: images[:, 0, 0]))
    monkeypatch.setattr(anytime, "naturaliser_of", lambda run: model)
    monkeypatch.setattr(
        anytime, "simulated", lambda *how: ((name, label) for name, (_, label) in told.items())
    )
    monkeypatch.setattr(
        anytime, "both_ways", lambda model, name: np.array(told[name][0])[..., None, None]
    )
    monkeypatch.delenv("VDIB_DATA", raising=False)
    monkeypatch.setattr("sys.argv", ["anytime", "--run", "x", "--seconds", "0.4", "--out", "out"])
    anytime.main()
    rows = list(csv.reader((tmp_path / "out" / "anytime.csv").read_text().splitlines()))
    assert rows[1:] == [
        ["0.1", "2", "2", "1", "2"],
        ["0.2", "2", "2", "1", "2"],
        ["0.3", "0", "1", "0", "1"],
        ["0.4", "0", "0", "0", "0"],
    ]
    assert (tmp_path / "out" / "anytime.png").stat().st_size > 1000
    assert "simulated, carried on (of 2): 1.00 1.00 0.00\n" in capsys.readouterr().out


def test_an_animation_has_a_frame_every_50_ms(anytime, tmp_path):
    model = naturaliser(track=None)
    anytime.animate(model, [moving(220), moving(170, seed=1)], tmp_path / "a.gif")
    with Picture.open(tmp_path / "a.gif") as image:
        assert image.n_frames == 3
        assert image.info["duration"] == 50
        frames = []
        for i in range(3):
            image.seek(i)
            frames.append(np.asarray(image.convert("L"), int))
    assert frames[0].shape == frames[2].shape
    assert (frames[0] != frames[2]).any()
