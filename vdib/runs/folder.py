"""A run's folder, and the only place that knows what is in it and in what state.

    <runs>/<experiment>/<name>/
        config.yaml          every setting, in the words of the command line
        metrics.csv          what was measured while it trained
        checkpoints/         best.ckpt, chosen on validation data, and last.ckpt
        figures/             PNGs, and those of training in epoch_NNN/
        summary.json         what the test set said
        energy.json          what the network costs, where that was asked

Nothing here knows Lightning: a run is of use where the machine that trained it is not.
"""

import errno
import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vdib.files import SCRATCH, replacing
from vdib.runs.checkpoint import of_version, read_checkpoint
from vdib.runs.command import UserError, tell
from vdib.runs.safe_yaml import check_yaml
from vdib.version import __version__

WRITER = "# vdib "
"""How a `config.yaml` begins, before the version that wrote it."""


@dataclass(frozen=True)
class Run:
    """The folder of a run, which may be finished, begun, or not there yet.

    Attributes:
        folder: the folder.
    """

    folder: Path

    @property
    def config_file(self) -> Path:
        return self.folder / "config.yaml"

    @property
    def checkpoints(self) -> Path:
        return self.folder / "checkpoints"

    @property
    def best(self) -> Path:
        """The checkpoint of the best epoch on validation data."""
        return self.checkpoints / "best.ckpt"

    @property
    def last(self) -> Path:
        """The latest checkpoint."""
        return self.checkpoints / "last.ckpt"

    @property
    def figures(self) -> Path:
        return self.folder / "figures"

    @property
    def summary_file(self) -> Path:
        return self.folder / "summary.json"

    @property
    def energy_file(self) -> Path:
        return self.folder / "energy.json"

    @property
    def begun(self) -> bool:
        """Whether there is something to go on with: its settings, or a checkpoint."""
        return self.config_file.is_file() or any(self.checkpoints.glob("*.ckpt"))

    def best_weights(self) -> dict[str, Any]:
        """What the best checkpoint holds.

        Raises:
            UserError: it is missing or damaged.
        """
        return read_checkpoint(self.best)

    def check_finished(self) -> None:
        """Raise a `UserError` unless it has been trained."""
        for path in (self.config_file, self.best):
            if not path.is_file():
                raise UserError(f"{self.folder} is not a finished run: {path} is missing")

    def config(self) -> dict[str, Any]:
        """Its settings, as nested dictionaries.

        Raises:
            UserError: the file is damaged.
        """
        import yaml  # type: ignore[import-untyped]

        try:
            text = self.config_file.read_text("utf-8")
            check_yaml(text)
            content = yaml.safe_load(text)
        except (ValueError, RecursionError, yaml.YAMLError) as error:
            raise UserError(f"{self.config_file} is damaged") from error
        if not isinstance(content, dict):
            raise UserError(f"{self.config_file} is damaged")
        return content

    def write_config(self, text: str) -> None:
        """Write its settings; `text` as `portable_yaml` has them."""
        with replacing(self.config_file) as file:
            file.write(f"{WRITER}{__version__}\n{text}".encode("ascii"))

    def of_another_version(self) -> str:
        """Words for complaints: empty where this version wrote its settings."""
        with self.config_file.open(encoding="utf-8", errors="replace") as file:
            first = file.readline().strip()
        written = first.removeprefix(WRITER) if first.startswith(WRITER) else "?"
        return of_version(written)

    def summary(self) -> dict[str, Any]:
        """What the test set said.

        Raises:
            UserError: the file is missing or damaged.
        """
        try:
            content = json.loads(self.summary_file.read_text("utf-8"))
        except FileNotFoundError as error:
            raise UserError(
                f"{self.folder} is not a finished run: {self.summary_file} is missing"
            ) from error
        except ValueError as error:
            raise UserError(f"{self.summary_file} is damaged") from error
        if not isinstance(content, dict):
            raise UserError(f"{self.summary_file} is damaged")
        return content

    def write_summary(self, content: Mapping[str, Any]) -> None:
        with replacing(self.summary_file) as file:
            file.write(f"{json.dumps(content, indent=2)}\n".encode())

    def newest(self) -> tuple[Path, dict[str, Any]]:
        """The newest checkpoint that is whole, and what it holds; says which where not the last.

        Raises:
            UserError: there is none.
        """
        found = list(self.checkpoints.glob("*.ckpt"))
        found.sort(key=lambda path: (path == self.last, path.stat().st_mtime), reverse=True)
        damaged = []
        for path in found:
            try:
                state = read_checkpoint(path)
            except UserError as error:
                damaged.append(str(error))
                continue
            if path != self.last:
                reason = damaged[0] if damaged else f"there is no checkpoint {self.last}"
                tell(f"{reason}: taking {path.name}, of epoch {state.get('epoch', 0) + 1}")
            return path, state
        raise UserError(damaged[0] if damaged else f"there is no checkpoint {self.last}")

    @contextmanager
    def made(self) -> Iterator[None]:
        """The folder, made now, and for this process alone until the end.

        Raises:
            UserError: it is there already, even if made a moment ago.
        """
        self.folder.parent.mkdir(parents=True, exist_ok=True)
        try:
            self.folder.mkdir()
        except FileExistsError as error:
            raise UserError(f"{self.folder} exists: choose another --name") from error
        with self.locked():
            yield

    @contextmanager
    def resumed(self) -> Iterator[None]:
        """The folder that is there, for this process alone until the end.

        Raises:
            UserError: another process holds it.
        """
        with self.locked():
            for folder in (self.folder, self.checkpoints):
                for path in folder.glob(SCRATCH):  # of a process that was killed
                    path.unlink()
            yield

    @contextmanager
    def locked(self) -> Iterator[None]:
        """The folder for this process alone until the end, which may also be its own.

        Raises:
            UserError: another process holds it.
        """
        try:
            import fcntl
        except ImportError:  # Windows, where nothing keeps two runs from going on in one folder
            yield
            return
        folder = os.open(self.folder, os.O_RDONLY)
        try:
            try:
                fcntl.flock(folder, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError as error:
                if error.errno in (errno.EWOULDBLOCK, errno.EACCES):
                    raise UserError(
                        f"another process trains in {self.folder}: choose another --name"
                    ) from error
                # A file system without locks.
            yield
        finally:
            os.close(folder)


def checkpoint_of(path: str | os.PathLike[str]) -> Path:
    """The best checkpoint of a run's folder; a file is taken as it is."""
    return Run(Path(path)).best if os.path.isdir(path) else Path(path)
