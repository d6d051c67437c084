"""The same reading options in every command, and messages that name them as the command does."""

import inspect
from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import recordings as make

from vdib import fit
from vdib.datasets.formats.read_options import from_flags
from vdib.datasets.formats.source import Hint, RecordingError
from vdib.datasets.recording import ReadOptions, read_recording
from vdib.lightning_modules.naturalisation.event_data import EVENT_DATA
from vdib.naturalise.__main__ import parser

# Lightning calls what jsonargparse has deprecated.
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")

OPTIONS = [field.name for field in fields(ReadOptions)]
TINY = [
    *("--model.hidden", "[12]", "--model.num_readout", "6", "--trainer.max_epochs", "1"),
    *("--trainer.enable_progress_bar", "false", "--figures_every", "-1", "--data.num_steps", "8"),
    *("--data.cache", "false", "--data.sensor_size", "[34,34]", "--data.root", "mine"),
]


@pytest.fixture
def seconds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Text of recordings with t in seconds, as x, y, p, t."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    for split in ("train", "validation", "test"):
        for i in range(2):
            made = make.scattered(60, seed=i)
            columns = (made.x, made.y, made.p.astype(int), made.t / 1e6)
            lines = [" ".join(map(str, row)) for row in zip(*columns, strict=True)]
            path = tmp_path / "mine" / split / f"{i}.txt"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text("\n".join(lines))
        make.write_image(tmp_path / "mine" / f"{split}.png", np.full((5, 4), 100))
    return tmp_path / "mine"


def test_every_command_has_every_option(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        parser().parse_args(["--help"])
    said = capsys.readouterr().out
    for option in OPTIONS:
        assert f"--{option.replace('_', '-')} " in said or f"--{option.replace('_', '-')}]" in said
    files = {k: v for k, v in EVENT_DATA.items() if k not in ("SpikeTrainData", "TonicData")}
    for name, kind in files.items():  # the others read files of other kinds
        assert set(OPTIONS) < set(inspect.signature(kind).parameters)
        given: dict[str, Any] = {"root": "x", "sensor_size": (40, 40), "flip_x": True}
        if name == "EventFolderData":
            given |= {"image_shape": (4, 4), "judged": False}
        options = kind(**given).recording_splits.options  # type: ignore[attr-defined]
        assert options == ReadOptions(sensor_size=(40, 40), flip_x=True)
        with pytest.raises(TypeError, match="colums"):
            kind(**given, colums="xypt")


def test_flags_become_options() -> None:
    words = ["a.raw", "--run", "r", "--out", "o", "--sensor-size", "34x30", "--layout", "DAVIS346"]
    words += ["--stream", "1", "--on-error", "segments", "--columns", "xypt", "--time-scale", "1e6"]
    words += ["--unwrap", "--flip-x", "--flip-y", "--flip-polarity"]
    assert from_flags(parser().parse_args(words)) == ReadOptions(
        "segments", (34, 30), True, True, True, True, "DAVIS346", 1, "xypt", 1e6
    )
    assert from_flags(parser().parse_args(words[:5])) == ReadOptions()


def test_hints_can_be_followed_when_training(
    seconds: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """What the first message names mends the first fault, and so on."""
    words = ["--config", "recordings", *TINY]
    assert fit.main(words) == 2
    make.one_line(
        *capsys.readouterr().err.splitlines(),
        "0.txt: byte 0",
        "; --data.columns xytp or the like",
        "; --data.on_error skip leaves out",
    )
    words += ["--data.columns", "xypt"]
    assert fit.main(words) == 2
    make.one_line(*capsys.readouterr().err.splitlines(), "; --data.time_scale 1e6 reads t in s")
    words += ["--data.time_scale", "1e6"]
    assert fit.main([*words, "--name", "a"]) == 0
    (seconds / "train" / "0.txt").write_text("1 2 0 0.5\n1 2 x 0.7\n1 3 1 0.8\n1 3 1 0.6\n")
    capsys.readouterr()
    assert fit.main(words) == 2
    make.one_line(*capsys.readouterr().err.splitlines(), "'1 2 x 0.7'", "--data.on_error skip")
    assert fit.main([*words, "--data.on_error", "skip", "--name", "b"]) == 0
    lines = capsys.readouterr().err.splitlines()
    assert "vdib: mine train: 2 bad records left out, in 1 of 2 recordings" in lines


def test_losses_are_said_of_cached_spikes_too(
    seconds: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (seconds / "train" / "0.txt").write_text("1 2 0 0.5\n1 2 x 0.7\n")
    settings = {"time_scale": 1e6, "columns": "xypt", "on_error": "skip", "sensor_size": (34, 34)}
    for _ in range(2):
        EVENT_DATA["EventFolderData"](root=str(seconds), num_steps=8, **settings).split("train")
        (line,) = capsys.readouterr().err.splitlines()
        make.one_line(line, "mine train: 1 bad records left out, in 1 of 2 recordings")


def test_settings_that_are_none_are_one_line(
    seconds: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for words, message in (
        (["--data.layout", "DVS346"], "DAVIS346"),
        (["--data.columns", "xyt"], "columns is 'xyt', expected the letters t, x, y, p"),
        (["--data.on_error", "ignore"], "segments"),
    ):
        assert fit.main(["--config", "recordings", *TINY, *words]) == 2
        make.one_line(*capsys.readouterr().err.splitlines(), message)


def test_patterns_of_files_from_the_command_line(
    seconds: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (seconds / "train" / "boxes_0.txt").write_text("1 2 3 4 5\n")
    words = ["--config", "recordings", *TINY, "--data.time_scale", "1e6", "--data.columns", "xypt"]
    assert fit.main(words) == 2
    make.one_line(*capsys.readouterr().err.splitlines(), "boxes_0.txt")
    assert fit.main([*words, "--data.exclude", '["boxes_*"]', "--name", "a"]) == 0
    (seconds / "train" / "boxes_0.txt").write_text("no events")
    capsys.readouterr()
    assert fit.main([*words, "--name", "b"]) == 0
    assert "vdib: passed over, no recordings: boxes_0.txt" in capsys.readouterr().err.splitlines()


def test_errors_survive_processes() -> None:
    import pickle

    error = RecordingError("a", 3, "this", "that", (Hint("unwrap", "true", "helps"),))
    again = pickle.loads(pickle.dumps(error))
    assert str(again) == str(error) == "a: byte 3: found this, expected that; unwrap=True helps"


def test_messages_name_options_of_python(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("t,x,y,p\n5,1,1,1\n3,1,1,1\n")
    with pytest.raises(RecordingError) as caught:
        read_recording(tmp_path / "a.csv")
    for hint in caught.value.hints:
        value = True if hint.value == "true" else hint.value
        assert hint.option in OPTIONS
        read_recording(tmp_path / "a.csv", **{hint.option: value})
