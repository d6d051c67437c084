"""What the parser complains of, in one line, with the nearest right word."""

import difflib
import inspect
import pydoc
import re
from collections.abc import Sequence

from pytorch_lightning import Trainer

from vdib.disarm import DisARM
from vdib.estimator import LeaveOneOut, RelaxedBernoulli, ScoreFunction, StraightThrough
from vdib.lightning_modules import choices
from vdib.lightning_modules.experiments import DATA, EXPERIMENTS
from vdib.relax import Relax
from vdib.vimco import VIMCO

LOGGERS = {"wandb": "WandbLogger", "tensorboard": "TensorBoardLogger"}

# What may be asked for by class, with settings of its own.
ESTIMATORS: list[type] = [
    *(StraightThrough, RelaxedBernoulli, LeaveOneOut, ScoreFunction),
    *(Relax, DisARM, VIMCO),
]
DECODERS: list[type] = [choice.part for choice in choices.DECODERS.values()]  # type: ignore[misc]
CLASSES: list[type] = [*EXPERIMENTS, *DATA, *DECODERS, *ESTIMATORS]


def settings_of(kind: type) -> list[str]:
    """The names of a class's settings, those that it hands on to its base included."""
    return [
        name
        for owner in kind.__mro__[:-1]
        if "__init__" in vars(owner) and owner.__module__.startswith("vdib.")
        for name in list(inspect.signature(owner).parameters)
        if name != "settings"
    ]


def one_line(error: Exception) -> str:
    """The first concrete complaint of a nested parser error, and the nearest right word."""
    text = str(error)
    if found := re.search(r"unrecognized arguments: ([^\s=]+)", text):
        return f"{found[1]}: no such option" + _nearest(found[1], _options())
    if found := re.search(r"Group '([\w.]+)' does not accept option '([\w.]+)'", text):
        name = f"--{found[1]}.{found[2]}"
        return f"{name}: no such option" + _nearest(name, _options())
    keys = re.findall(r'Parser key "([\w.]+)"', text)
    name = "--" + ".".join(keys)
    if found := re.search(r"Option '([\w.]+)' is not accepted", text):
        return f"{name}.{found[1]}: no such setting" + _hint(text, name, found[1])
    if keys and (found := re.search(r"following arguments are required: (.*)", text)):
        return f"{name}: {found[1]} is required"
    noise = "Expected|Does not validate|Problem with|Type "
    complaints = re.findall(rf"^\s*- (?!{noise})(.*)", text, re.MULTILINE)
    if not keys:  # from a constructor, not from the parser
        line = re.search(r"line \d+", text) if text.startswith("Problems parsing config") else None
        return (complaints or text.splitlines())[0] + (f", {line[0]}" if line else "")
    text = text[text.rfind('Parser key "') :]
    if found := re.search(r"Expected '([\w.]+)' to be a subclass of <class '(\w+)'>", text):
        return f"{name}: got {found[1]}, expected a {found[2]}"
    found = re.search(r"(?:Got|Given) value: NestedArg\(key='(\w+)'", text)
    if found and found[1] != keys[-1]:
        return f"{name}.{found[1]}: no such setting" + _hint(text, name, found[1])
    given = re.search(r"(?:Got|Given) value: (.*?)(?:\. Got|$)", text, re.MULTILINE)
    got = given[1] if given else ""
    kinds = re.findall(r"Expected an? (?!path)(.*)", text)
    literals = [kind for kind in kinds if kind.startswith("typing.Literal")]
    words = re.findall(r"(?<=')[\w-]+(?=')|\b\d+\b", " ".join(literals))
    types = [word for kind in kinds for word in _type_words(kind)]
    if name == "--trainer.logger":
        words = [*LOGGERS, *words]
    known = [*words, *(kind.__name__ for kind in CLASSES if "a class" in types)]
    known = [word for word in known if word != got]
    expected = ", ".join(dict.fromkeys([*words, *types]))
    if not expected:
        return f"{name}: {complaints[0] if complaints else f'got {got!r}, which does not fit'}"
    return f"{name}: got {got!r}, expected {expected}" + _nearest(got, known)


def _type_words(kind: str) -> list[str]:
    """What to call a type: `<class 'int'>` is int."""
    if kind.startswith("dot import path"):
        return ["a class"]
    found = re.match(r"<class '(?:\w+\.)*(\w+)'>", kind)
    if found is None or found[1] == "NoneType":
        return []
    return ["a list" if found[1] in ("Sequence", "Iterable", "list") else found[1]]


def _hint(text: str, name: str, setting: str) -> str:
    """What may have been meant by a setting that a class does not have."""
    found = re.findall(rf"class_path[ =]'([\w.]+)'(?:, init_args=Namespace\({setting}=|:)", text)
    owner = pydoc.locate(found[-1]) if found else object
    assert isinstance(owner, type)
    others = [kind for kind in CLASSES if setting in settings_of(kind)]
    better = [kind.__name__ for kind in others if issubclass(kind, owner)]
    near = _nearest(setting, settings_of(owner)) if found else ""
    return f"; {name} {better[0]} has one" if better else near


def _options() -> list[str]:
    """Every option there is."""
    groups: dict[str, list[type]] = {"model": EXPERIMENTS, "data": DATA}
    names = ["config", "name", "runs", "seed", "ckpt_path", "experiment", "figures_every"]
    names += [f"trainer.{key}" for key in inspect.signature(Trainer).parameters]
    for group, kinds in groups.items():
        for kind in kinds:
            names += [f"{group}.{key}" for key in settings_of(kind)]
    return [f"--{name}" for name in names]


def _nearest(word: str, known: Sequence[str]) -> str:
    close = difflib.get_close_matches(word, known, n=1)
    return f"; did you mean {close[0]}?" if close else ""
