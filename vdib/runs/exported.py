"""A run as two files that no code has to be run to read: `run.json` and `model.safetensors`.

    run.json             settings, shapes, versions, the summary, how it was made
    model.safetensors    weights, and what the data module learned

`vdib.load`, `naturalise`, `generate`, `information`, `energy`, `export` and `sample` take such a
folder as a run's. It is not trained on, and its summary is not measured again.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

import vdib
from vdib.files import replacing
from vdib.runs.checkpoint import VERSION, of_version
from vdib.runs.command import UserError
from vdib.runs.folder import Run
from vdib.version import __version__

FORMAT = 1
DATA = "data."
"""How the names of what the data module learned begin, beside the model's weights."""


class ExportedRun(Run):
    """Such a folder."""

    @property
    def config_file(self) -> Path:
        return self.folder / "run.json"

    @property
    def best(self) -> Path:
        return self.folder / "model.safetensors"

    def content(self) -> dict[str, Any]:
        """What `run.json` says.

        Raises:
            UserError: the file is damaged, or of a later format.
        """
        try:
            content = json.loads(self.config_file.read_text("utf-8"))
            known = content["format"], content["config"], content["summary"], content["data"]
        except (ValueError, KeyError, TypeError, RecursionError) as error:
            raise UserError(f"{self.config_file} is damaged") from error
        if known[0] != FORMAT or not all(isinstance(part, dict) for part in known[1:]):
            beside = of_version(str(content.get(VERSION, "?")))
            raise UserError(f"{self.config_file}: got format {known[0]}, expected {FORMAT}{beside}")
        return dict(content)

    def config(self) -> dict[str, Any]:
        return dict(self.content()["config"])

    def of_another_version(self) -> str:
        return of_version(str(self.content().get(VERSION, "?")))

    def summary(self) -> dict[str, Any]:
        return dict(self.content()["summary"])

    def best_weights(self) -> dict[str, Any]:
        """Weights in the shape of a checkpoint; those in half precision as single.

        Raises:
            UserError: the file is damaged.
        """
        import safetensors.torch

        content = self.content()
        try:
            tensors = safetensors.torch.load(self.best.read_bytes())
        except Exception as error:  # whatever the bytes of a wrong file happen to mean
            raise UserError(f"{self.best} is damaged, or no safetensors") from error
        whole = {
            name: x.float() if x.dtype in (torch.float16, torch.bfloat16) else x
            for name, x in tensors.items()
        }
        data = {k.removeprefix(DATA): v for k, v in whole.items() if k.startswith(DATA)}
        return {
            "state_dict": {k: v for k, v in whole.items() if not k.startswith(DATA)},
            **dict.fromkeys(content["data"], data),
            VERSION: content.get(VERSION, "?"),
        }


def run_at(path: Path) -> Run:
    """The run in a folder, as `vdib.fit` left it or exported; or one that ships, by its name.

    Raises:
        UserError: a name alone that is neither a folder nor a run that ships.
    """
    names = shipped()
    if not path.exists() and path.name == str(path) and names:
        if path.name not in names:
            there = ", ".join(names)
            raise UserError(f"{path}: no such folder, nor a run that ships: those are {there}")
        path = SHIPPED / path
    exported = ExportedRun(path)
    return exported if exported.config_file.is_file() else Run(path)


SHIPPED = Path(vdib.__file__).parent / "pretrained"
"""Where the runs lie that ship with the package, exported, under their names."""


def left_by(run: Run) -> Path:
    """Where what is measured of a run goes: into its folder.

    Of one that ships, whose folder is the package's, into `<name>_measured` here: a folder of its
    name would be taken for it.
    """
    ships = run.folder.parent == SHIPPED
    return Path(f"{run.folder.name}_measured") if ships else run.folder


def shipped() -> list[str]:
    """Their names."""
    return sorted(path.parent.name for path in SHIPPED.glob("*/run.json"))


def write_exported(run: Run, out: Path, half: bool = False) -> ExportedRun:
    """Write a finished run as such a folder.

    Args:
        run: with a best checkpoint and a summary.
        out: the folder; made where it is missing.
        half: real numbers in half precision.

    Raises:
        UserError: the run is not finished or damaged.
    """
    import safetensors.torch

    run.check_finished()
    state, config, summary = run.best_weights(), run.config(), run.summary()
    kind = config["data"]["class_path"].rsplit(".", 1)[-1]
    learned = {k: v for k, v in state.get(kind, {}).items() if isinstance(v, torch.Tensor)}
    tensors = {**state["state_dict"], **{f"{DATA}{name}": x for name, x in learned.items()}}
    tensors = {
        name: x.half() if half and x.is_floating_point() else x for name, x in tensors.items()
    }
    tensors = {name: x.contiguous().clone() for name, x in tensors.items()}
    content: Mapping[str, Any] = {
        "format": FORMAT,
        VERSION: __version__,
        "versions": {"torch": torch.__version__},
        "config": config,
        "summary": summary,
        "data": {kind: sorted(learned)} if learned else {},
        "tensors": {n: {"shape": [*x.shape], "dtype": str(x.dtype)} for n, x in tensors.items()},
    }
    out.mkdir(parents=True, exist_ok=True)
    made = ExportedRun(out)
    with replacing(made.best) as file:
        file.write(safetensors.torch.save(tensors, {"format": "pt", VERSION: __version__}))
    with replacing(made.config_file) as file:
        file.write(f"{json.dumps(content, indent=2)}\n".encode())
    return made
