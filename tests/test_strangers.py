"""Files from strangers: whatever they hold is refused in one line, and nothing of it is executed.

Recordings have tests of their own (`test_recording_fuzz.py`), archives too
(`test_download_mnist_dvs.py`).
"""

import builtins
import io
import os
import pickle
import time
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
from tiny_runs import said

from vdib import evaluate, fit
from vdib.datasets.cache import cached
from vdib.datasets.recording import RecordingError, read_recording
from vdib.runs.checkpoint import read_checkpoint
from vdib.runs.folder import Run
from vdib.runs.safe_yaml import check_yaml
from vdib.version import __version__

# Lightning calls what jsonargparse has deprecated.
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")


@pytest.fixture(autouse=True)
def elsewhere(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


class Evil:
    """Unpickled, it leaves a mark."""

    def __reduce__(self):
        return builtins.open, ("pwned", "w")


POPEN = "{class_path: subprocess.Popen, init_args: {args: touch pwned, shell: true}}"
MODEL = "{class_path: NaturalisationModule, init_args: {%s}}"
CALL = "{class_path: pytorch_lightning.callbacks.LambdaCallback, init_args: {on_fit_start: %s}}"


def config(model=MODEL % "", data="ImageData", trainer="", more=""):
    return f"experiment: x\nmodel: {model}\ndata: {data}\ntrainer: {{{trainer}}}\n{more}"


NINE = ", ".join(["*{}"] * 9)
BOMB = "a: &a [1, 1, 1, 1, 1, 1, 1, 1, 1]\n" + "".join(
    f"{b}: &{b} [{NINE.format(*[a] * 9)}]\n" for a, b in zip("abcdefg", "bcdefgh", strict=True)
)
CONFIGS = {
    "a decoder that is a process": (config(MODEL % f"decoder: {POPEN}"), "expected a Decoder"),
    "a decoder that is a function": (config(MODEL % "decoder: os.system"), "got 'os.system'"),
    "an estimator": (config(MODEL % f"estimator: {POPEN}"), "--model.estimator: got"),
    "a model": (config(POPEN), "not correspond to a subclass of LightningModule"),
    "a data set": (config(data=POPEN), "not correspond to a subclass of LightningDataModule"),
    "a callback": (config(trainer=f"callbacks: [{POPEN}]"), "not correspond to a subclass of"),
    "a callback that calls": (config(trainer=f"callbacks: [{CALL % 'os.abort'}]"), "LambdaCallb"),
    "a logger": (config(trainer=f"logger: {POPEN}"), "--trainer.logger: got"),
    "a plugin": (config(trainer=f"plugins: [{POPEN}]"), "--trainer.plugins: "),
    "a strategy": (config(trainer=f"strategy: {POPEN}"), "--trainer.strategy: got"),
    "a profiler": (config(trainer=f"profiler: {POPEN}"), "--trainer.profiler: got"),
    "a tag": (config(more="name: !!python/object/apply:os.system [touch pwned]"), "could not det"),
    "a name": (config(more="name: !!python/name:os.system"), "could not determine a constructor"),
    "deep": (f"experiment: {'[' * 5000}{']' * 5000}", "nested too deeply"),
    "deep settings": (f"model: {'{a: ' * 3000}1{'}' * 3000}", "nested too deeply"),
    "a bomb": (BOMB + config(), "values, expected 10000 at most"),
    "itself": ("model: &m {class_path: NaturalisationModule, init_args: *m}", "holds itself"),
    "too long": (f"experiment: {'x' * 2_000_000}", "expected 1048576 at most"),
    "no text": (b"\x80\xff", "can't decode byte"),
    "many digits": (config(more=f"seed: {'9' * 6000}"), "Exceeds the limit"),
}


@pytest.mark.parametrize("name", CONFIGS)
def test_a_config_is_refused(name, capsys):
    text, words = CONFIGS[name]
    Path("c.yaml").write_bytes(text.encode() if isinstance(text, str) else text)
    began = time.process_time()
    assert fit.main(["--config", "c.yaml", "--name", "n"]) == 2
    assert time.process_time() - began < 20  # of imports, and not minutes
    assert words in said(capsys)
    assert [path.name for path in Path().iterdir()] == ["c.yaml"]


@pytest.mark.parametrize("name", ["itself", "a bomb", "deep", "no text", "a tag"])
def test_a_run_of_such_settings_is_damaged(name, capsys):
    checkpoints = Run(Path("run")).checkpoints
    checkpoints.mkdir(parents=True)
    (checkpoints / "best.ckpt").touch()
    text = CONFIGS[name][0]
    Path("run", "config.yaml").write_bytes(text.encode() if isinstance(text, str) else text)
    assert evaluate.main(["run"]) == 2
    assert said(capsys) == f"{Path('run', 'config.yaml')} is damaged"


def test_settings_may_repeat_themselves():
    check_yaml("a: &a [1, 2]\nb: *a\nc: [*a, *a]\n")
    check_yaml("")
    check_yaml("[")  # what does not parse is the parser's to say


@pytest.mark.parametrize("word", ["http://127.0.0.1:9/x", "file:///etc/passwd", "ftp://h/x"])
@pytest.mark.parametrize("option", ["--config", "--ckpt_path"])
def test_addresses_are_no_files(option, word, capsys, monkeypatch):
    def never(*args, **how):
        raise AssertionError("the network was asked")

    monkeypatch.setattr("socket.socket.connect", never)
    assert fit.main([option, word, "--name", "n"]) == 2
    assert said(capsys).startswith(f"{option} {word}: ")
    assert list(Path().iterdir()) == []


def zipped(*files):
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files:
            archive.writestr(name, content)
    return out.getvalue()


def saved(content):
    out = io.BytesIO()
    torch.save(content, out)
    return out.getvalue()


CHECKPOINTS = {
    "a pickle": pickle.dumps(Evil()),
    "a pickle in a checkpoint": saved({"state_dict": {}, "callbacks": Evil()}),
    "no weights": saved({"state_dict": {"a": [1]}}),
    "no checkpoint": saved([1, 2]),
    "a zip bomb": zipped(("archive/data.pkl", b"\0" * 50_000_000)),
    "an archive of nothing": zipped(),
    "noise": bytes(range(256)) * 40,
}


@pytest.mark.parametrize("name", CHECKPOINTS)
def test_a_checkpoint_is_refused(name, capsys):
    Path("x.ckpt").write_bytes(CHECKPOINTS[name])
    with pytest.raises(ValueError, match=r"^x.ckpt is damaged, or no checkpoint$"):
        read_checkpoint(Path("x.ckpt"))
    assert fit.main(["--ckpt_path", "x.ckpt", "--name", "n"]) == 2
    assert said(capsys) == "x.ckpt is damaged, or no checkpoint"
    assert [path.name for path in Path().iterdir()] == ["x.ckpt"]


def test_a_checkpoint_of_another_shape_and_version_is_one_line(capsys):
    state = {"state_dict": {"vdib.x": torch.zeros(2)}, "vdib_version": "0.0.1"}
    Path("x.ckpt").write_bytes(saved(state))
    assert fit.main(["--ckpt_path", "x.ckpt", "--name", "n"]) == 2
    line = said(capsys)
    assert line.startswith("x.ckpt is of another model: ")
    assert line.endswith(f"(written by vdib 0.0.1; this is {__version__})")
    assert [path.name for path in Path().iterdir()] == ["x.ckpt"]


def objects(*arrays):
    out = io.BytesIO()
    np.savez(out, **{name: np.array([Evil()], dtype=object) for name in arrays})
    return out.getvalue()


def test_no_reader_unpickles():
    Path("x.npz").write_bytes(objects("x", "y", "t", "p"))
    array = io.BytesIO()
    np.save(array, np.array([Evil()], dtype=object))
    Path("x.npy").write_bytes(array.getvalue())
    for name in ("x.npz", "x.npy"):
        with pytest.raises(RecordingError):
            read_recording(name)
    assert not Path("pwned").exists()


def test_a_cache_that_somebody_wrote_is_made_again(capsys):
    def make():
        return {"a": np.arange(3)}

    folder = Path("cache")
    cached({"x": 1}, make, folder)
    (path,) = folder.iterdir()
    for content in (objects("a"), pickle.dumps(Evil())):
        path.write_bytes(content)
        assert cached({"x": 1}, make, folder)["a"].tolist() == [0, 1, 2]
    assert capsys.readouterr().err.count("is damaged: making it again") == 2
    assert not Path("pwned").exists()


@pytest.mark.skipif(os.name != "posix", reason="links as on POSIX")
def test_a_link_in_the_place_of_a_file_is_replaced_and_not_followed():
    """Whoever may write in a cache cannot have it write elsewhere."""
    folder, elsewhere = Path("cache"), Path("precious")
    elsewhere.write_text("kept")
    cached({"x": 1}, lambda: {"a": np.arange(3)}, folder)
    (path,) = folder.iterdir()
    path.unlink()
    path.symlink_to(elsewhere.absolute())
    cached({"x": 1}, lambda: {"a": np.arange(3)}, folder)
    assert elsewhere.read_text() == "kept"
    assert not path.is_symlink()
