"""A run's folder: of use wherever it is, and one line for whatever is wrong with it."""

import errno
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch
import yaml
from tiny_runs import TINY, rows, run, said, same, summary, weights

import vdib
from vdib import evaluate, fit
from vdib.lightning_modules.checkpoints import WholeCheckpoints
from vdib.runs.command import UserError
from vdib.runs.folder import Run
from vdib.runs.portable_yaml import portable_yaml

# Lightning calls what jsonargparse has deprecated.
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A run of two epochs."""
    root = tmp_path_factory.mktemp("trained")
    words = ["--runs", str(root), "--experiment", "e", "--name", "n", "--trainer.max_epochs", "2"]
    assert fit.main([*TINY, *words]) == 0
    return root / "e" / "n"


@pytest.fixture
def folder(trained, tmp_path, monkeypatch):
    """A copy of it, `runs/e/n` in an empty folder."""
    monkeypatch.chdir(tmp_path)
    shutil.copytree(trained, Path("runs", "e", "n"))
    return Path("runs", "e", "n")


def setting(folder, old, new):
    """Edit `config.yaml`."""
    path = folder / "config.yaml"
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))


# --- of use elsewhere -------------------------------------------------------------------------


def test_a_run_is_loaded_as_a_model(folder):
    before, environment = torch.get_rng_state(), dict(os.environ)
    model = vdib.load(folder)
    assert torch.equal(torch.get_rng_state(), before)  # the caller's process is left alone
    assert dict(os.environ) == environment
    assert type(model) is vdib.VDIB
    assert not any(module.training for module in model.modules())
    kept = {n.removeprefix("vdib."): w for n, w in weights(folder, "best").items() if "vdib" in n}
    assert same(model.state_dict(), kept)
    x = (torch.rand(1, 6, 1, 28, 28, generator=torch.Generator().manual_seed(0)) < 0.2).float()
    noise = vdib.Noise(0, -1, torch.tensor([0]))
    stream = model.stream(seed=0)
    code = model.encode(x, noise)
    for t in range(6):
        stream.push(x[0, t])
        assert stream.spikes.shape == code.spikes[0, t].shape
    assert torch.isfinite(model.decode(code).mean).all()


TRAINERS = {
    "GPUs": "accelerator: gpu",
    "devices": "devices: 4",
    "strategy": "strategy: fsdp",
    "callback": "callbacks: [{class_path: not.installed.Callback}]",
    "logger": "logger: {class_path: not.installed.Logger}",
    "plugin": "plugins: [{class_path: not.installed.Precision}]",
}


@pytest.mark.parametrize("kind", TRAINERS)
def test_a_run_needs_nothing_of_the_machine_that_trained_it(folder, kind):
    settings = Run(folder).config()
    settings["trainer"] |= yaml.safe_load(TRAINERS[kind])
    Run(folder).write_config(portable_yaml(settings))
    assert isinstance(vdib.load(folder), vdib.VDIB)
    before = summary(folder)
    if kind in ("GPUs", "callback"):
        assert evaluate.main([str(folder)]) == 0
        assert summary(folder) == before


def test_half_precision_of_a_gpu_is_left_there(folder):
    setting(
        folder, f"precision: {Run(folder).config()['trainer']['precision']}", "precision: 16-mixed"
    )
    assert evaluate.main([str(folder)]) == 0


def test_a_slurm_job_of_several_tasks_measures(folder, monkeypatch):
    for name, value in {"NTASKS": "4", "JOB_ID": "1", "JOB_NAME": "x", "PROCID": "0"}.items():
        monkeypatch.setenv(f"SLURM_{name}", value)
    before = summary(folder)
    assert evaluate.main([str(folder)]) == 0
    assert summary(folder) == before


# --- damaged, unfinished, of another model or version -----------------------------------------


def cut(path):
    """Half of a file."""
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


DAMAGE = {
    "config.yaml": lambda path: path.write_text("model: ["),
    "checkpoints/best.ckpt": cut,
}


@pytest.mark.parametrize("name", DAMAGE)
@pytest.mark.parametrize("how", ["damaged", "missing", "empty"])
def test_what_is_wrong_is_said_by_the_name_of_the_file(folder, capsys, name, how):
    path = folder / name
    if how == "damaged":
        DAMAGE[name](path)
    elif how == "empty":
        path.write_bytes(b"")
    else:
        path.unlink()
    expected = {
        "damaged": f"{path} is damaged",
        "empty": f"{path} is damaged",
        "missing": f"{folder} is not a finished run: {path} is missing",
    }[how]
    assert evaluate.main([str(folder)]) == 2
    assert said(capsys).startswith(expected)
    with pytest.raises(ValueError, match=r"finished run|damaged") as caught:
        vdib.load(folder)
    assert str(caught.value).startswith(expected)
    if path.suffix == ".ckpt":
        run("other", "--model.init_from", str(folder), status=2)
        assert f"{path}" in capsys.readouterr().err.splitlines()[-1]


def test_another_model_or_version_is_said(folder, capsys):
    setting(folder, f"# vdib {vdib.__version__}", "# vdib 0.0.1")
    setting(folder, "num_readout: 8", "num_readout: 9")
    assert evaluate.main([str(folder)]) == 2
    assert said(capsys).startswith(f"{Run(folder).best} is of another model: size mismatch")
    state = torch.load(Run(folder).best, weights_only=True)
    assert state["vdib_version"] == vdib.__version__
    torch.save({**state, "vdib_version": "0.0.1"}, Run(folder).best)
    assert evaluate.main([str(folder)]) == 2
    assert said(capsys).endswith(f"(written by vdib 0.0.1; this is {vdib.__version__})")
    setting(folder, "num_readout: 9", "number_of_readouts: 9")
    assert evaluate.main([str(folder)]) == 2
    line = said(capsys)
    assert line.startswith(f"{folder / 'config.yaml'}: ")
    assert line.endswith(f"(written by vdib 0.0.1; this is {vdib.__version__})")


def test_a_damaged_last_checkpoint_falls_back_on_the_newest_whole_one(folder, capsys):
    cut(Run(folder).last)
    stray = folder / "checkpoints" / ".last.ckpt.0123abcd.tmp"
    stray.write_bytes(b"half")
    best = torch.load(Run(folder).best, weights_only=True)["epoch"]
    words = ["--experiment", "e", "--name", "n", "--ckpt_path", "last"]
    assert fit.main([*words, "--trainer.max_epochs", "3"]) == 0
    line = capsys.readouterr().err.splitlines()[0]
    assert line == (
        f"vdib: {Run(folder).last} is damaged, or no checkpoint: taking best.ckpt, "
        f"of epoch {best + 1}"
    )
    assert [row["epoch"] for row in rows(folder)] == [*"000011112222", "3"]
    assert not stray.exists()
    cut(Run(folder).last)
    cut(Run(folder).best)
    assert fit.main(words) == 2
    assert said(capsys) == f"{Run(folder).last} is damaged, or no checkpoint"


def test_a_torn_row_of_the_metrics_is_left_out(folder):
    path = folder / "metrics.csv"
    before = rows(folder)[:-1]
    path.write_text(path.read_text() + "1,2")
    words = ["--experiment", "e", "--name", "n", "--ckpt_path", "last"]
    assert fit.main([*words, "--trainer.max_epochs", "3"]) == 0
    assert rows(folder)[: len(before)] == before
    assert [row["epoch"] for row in rows(folder)] == [*"000011112222", "3"]


# --- whole or not at all ----------------------------------------------------------------------


def test_a_full_disk_leaves_the_checkpoint_there_was(folder, monkeypatch, capsys):
    replace, before = os.replace, Run(folder).last.read_bytes()

    def full(source, target):
        if Path(target).suffix == ".ckpt":
            raise OSError(errno.ENOSPC, "No space left on device")
        replace(source, target)

    monkeypatch.setattr(os, "replace", full)
    words = ["--experiment", "e", "--name", "n", "--ckpt_path", "last"]
    assert fit.main([*words, "--trainer.max_epochs", "3"]) == 2
    line = said(capsys)
    assert ".ckpt: No space left on device; go on with --experiment e --name n" in line
    assert Run(folder).last.read_bytes() == before
    left = {path.name for path in (folder / "checkpoints").iterdir()}
    assert left == {"last.ckpt", "best.ckpt"}


def test_a_checkpoint_is_written_in_its_own_folder(tmp_path, monkeypatch):
    monkeypatch.setenv("TMPDIR", str(tmp_path / "nowhere"))
    path = tmp_path / "new" / "a.ckpt"
    WholeCheckpoints().save_checkpoint({"state_dict": {"w": torch.ones(3)}}, path)
    assert torch.load(path, weights_only=True)["state_dict"]["w"].tolist() == [1, 1, 1]
    assert list(path.parent.iterdir()) == [path]


# --- two at once ------------------------------------------------------------------------------


def test_a_folder_is_made_once_and_locked(tmp_path):
    mine = Run(tmp_path / "e" / "n")
    with mine.made():
        for enter in (mine.made, Run(tmp_path / "e" / "n").made):
            with pytest.raises(UserError, match="exists: choose another --name"), enter():
                pass
        if sys.platform != "win32":
            with pytest.raises(UserError, match="another process trains in"), mine.resumed():
                pass
    with mine.resumed():
        pass


@pytest.mark.skipif(sys.platform == "win32", reason="no locks on folders")
def test_a_run_that_is_at_work_is_not_said_to_be_deletable(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    with Run(Path("runs", "naturalise_digits", "x")).made():
        run("x", status=2)
        assert said(capsys).startswith("another process trains in ")
        run("x", status=2)


def test_default_names_differ(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for _ in range(2):
        assert fit.main([*TINY, "--trainer.max_epochs", "0"]) == 2
    assert len(list(Path("runs", "naturalise_digits").iterdir())) == 2


# --- names ------------------------------------------------------------------------------------

NAMES = ["1e-3", "12e3", "4e10", "~", "null", "&x", "on", "0x10", "1_0", "1:30", "数字", "a: b"]


def test_a_run_may_have_any_name(folder):
    import vdib.runs.cli as cli

    for name in NAMES:
        built = cli.build([*TINY, "--experiment", name, "--name", name])
        assert (built.config.experiment, built.config.name) == (name, name)
        written = Run(Path("names", str(NAMES.index(name))))
        written.folder.mkdir(parents=True)
        written.write_config(built.dump())
        assert written.config_file.read_bytes().isascii()
        again = cli.parse({**written.config(), "trainer": {}}, written.folder)
        assert (again.config.experiment, again.config.name) == (name, name)
        resumed = cli.build(["--config", str(written.config_file)])
        assert (resumed.config.experiment, resumed.config.name) == (name, name)


def test_numbers_stay_numbers_and_words_words():
    settings = {"a": "1e-3", "b": 1e-5, "c": "word", "d": None, "e": "nan", "f": "ü"}
    text = portable_yaml(settings)
    assert text.isascii()
    assert yaml.safe_load(text) == settings
    assert text.splitlines()[:3] == ['a: "1e-3"', "b: 1.0e-05", "c: word"]


def test_a_terminal_of_another_encoding_shows_what_it_can(tmp_path):
    environment = {**os.environ, "PYTHONIOENCODING": "cp1252"}
    command = [
        sys.executable,
        "-m",
        "vdib.fit",
        *TINY,
        "--name",
        "数字",
        "--trainer.max_epochs",
        "0",
    ]
    done = subprocess.run(command, env=environment, cwd=tmp_path, capture_output=True)
    assert done.returncode == 2
    assert b"training in runs/naturalise_digits/\\u6570\\u5b57" in done.stdout
    assert b"nothing to evaluate" in done.stderr


def test_the_home_folder_is_found_after_an_equals_sign(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    Path("home", "data").mkdir(parents=True)
    Path("mine.yaml").write_text("data:\n  init_args:\n    root: ~/data\n")
    for args in (["--data.root=~/data"], ["--config", "mine.yaml"]):
        assert fit.main(["--config", "recordings", *args]) == 2
        assert str(tmp_path / "home" / "data") in said(capsys)
