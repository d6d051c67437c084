"""Spike trains from files: NumPy's .npz, and .nwb.

A .npz holds one example or M of them, and each example's target, or none where the label is the
name of the folder that the file lies in, or stands in `labels.csv`.

| array | one example | M examples |
|---|---|---|
| `times` and `units`, S spikes in order of time | `(S,)` each | `(S,)` each, with `trial` `(S,)` |
| or `spikes`, dense, 0 or 1 | `(T, N)` | `(M, T, N)` |
| `label`, whole numbers or words | `()` | `(M,)` |
| `image`, uint8 or numbers in [0, 1] | `(H, W)` | `(M, H, W)` |
| `curve`, real values | `(D,)` | `(M, D)` |

Times count from the example's beginning, in seconds unless said otherwise; units from 0. `trial`
says which example, from 0 on, a spike belongs to; then times rise within each. `labels.csv` in the
folder has two columns, `file` (its path below the folder) and `label`. Files that a trained
run is to classify (`vdib.naturalise`) need no targets.
"""

import csv
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vdib.datasets.find_recordings import FilesBelow, files_below
from vdib.datasets.nwb import trials
from vdib.datasets.spike_train import Target, Train, as_target, in_us

SPLITS = {"train": "train", "validation": "validation", "val": "validation", "test": "test"}
"""Folders that say which split their files are of."""
MOST_TRIALS = 1_000_000
_TARGETS = ("label", "labels", "image", "images", "curve", "curves")
_READ = ("times", "units", "trial", "spikes", *_TARGETS)
"""Arrays that mean something here; others may be in a file, and be anything."""


def train_files(folder: Path, exclude: Sequence[str] = ()) -> FilesBelow:
    """The files below a folder that may hold spike trains, by their names."""
    return FilesBelow(list(files_below(folder, (".npz", ".nwb"), exclude)), [])


def trains_below(
    path: Path, target: Target | None, column: str, scale: float, dt: int
) -> list[Train]:
    """All examples in the files below a folder, or in one file, in order of their paths.

    Args:
        path: folder or file.
        target: what each is to become; None where files need not say it.
        column: of NWB's table of trials, that holds it.
        scale: us per unit of time.
        dt: us a step, of dense spikes.

    Raises:
        FileNotFoundError: no files (one line).
        ValueError: a file that is none, or whose parts do not fit (one line, which names it).
    """
    files = [path] if path.is_file() else train_files(path).recordings
    if not files:
        raise FileNotFoundError(f"no spike trains (.npz, .nwb) below {path}")
    root = path.parent if path.is_file() else path
    named = _labels_csv(root / "labels.csv") if target == "label" else {}
    trains: list[Train] = []
    for file in files:
        below = file.relative_to(root)
        split = SPLITS.get(below.parts[0], "") if len(below.parts) > 1 else ""
        classes = below.parts[bool(split) : -1]
        label = named.get(below.as_posix(), classes[-1] if classes else "")
        if file.suffix.lower() == ".nwb":
            trains += trials(file, target, column, scale, split)
        else:
            trains += _examples(file, target, label, scale, dt, split)
    shapes = {np.shape(train.target): train.where for train in trains}
    if len(shapes) > 1:
        (one, here), (other, there) = list(shapes.items())[:2]
        raise ValueError(f"{target}s of one shape expected: {here} has {one}, {there} {other}")
    return trains


def _labels_csv(path: Path) -> dict[str, str]:
    if not path.is_file():
        return {}
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            table = csv.DictReader(file)
            if not {"file", "label"} <= set(table.fieldnames or ()):
                raise ValueError(f"{path}: expected columns file and label, got {table.fieldnames}")
            return {row["file"]: row["label"] for row in table}
    except UnicodeDecodeError as error:
        raise ValueError(f"{path} is no text in UTF-8: {error.reason}") from None


def _examples(
    path: Path, target: Target | None, label: str, scale: float, dt: int, split: str
) -> Iterator[Train]:
    """Those of a .npz."""
    try:
        with path.open("rb") as opened, np.load(opened, allow_pickle=False) as file:
            arrays = {name: file[name] for name in file.files if name in _READ}
            has = ", ".join(file.files) or "nothing"
    except OSError:
        raise
    except Exception as error:  # of which zipfile, zlib and NumPy raise a dozen types
        raise ValueError(f"{path} is damaged, or no .npz of plain arrays") from error
    dense = arrays.get("spikes")
    if dense is None and not {"times", "units"} <= arrays.keys():
        raise ValueError(f"{path}: has {has}, expected times and units, or spikes")
    many = "trial" in arrays if dense is None else dense.ndim == 3
    if dense is not None:
        flags = dense.dtype.kind in "biuf" and np.isin(dense, (0, 1)).all()
        if dense.ndim not in (2, 3) or not flags:
            raise ValueError(f"{path}: spikes of shape {dense.shape}, expected 0 or 1, (M, T, N)")
        dense = dense if many else dense[None]
        trial, step, unit = (axis.astype(np.int64) for axis in np.nonzero(dense))
        count, duration, num_units = len(dense), dense.shape[1] * dt, dense.shape[2]
        time = step * dt
    else:
        time, unit = arrays["times"], arrays["units"]
        if time.ndim != 1 or time.shape != unit.shape:
            in_us(time, unit, scale, str(path))
        trial = np.asarray(arrays["trial"] if many else np.zeros(len(time), np.int64))
        if trial.shape != time.shape or trial.dtype.kind not in "iu":
            raise ValueError(f"{path}: trial {trial.shape}, expected whole numbers, one a spike")
        count, duration, num_units = _num_trials(arrays, trial, path) if many else 1, 0, 0
    targets = _targets(arrays, target, label, many, count, path)
    if len(targets) != count:
        raise ValueError(f"{path}: {len(targets)} targets for {count} examples, expected as many")
    if not count:
        raise ValueError(f"{path}: no examples, expected 1 or more")
    order = np.argsort(trial, kind="stable")
    bounds = np.searchsorted(trial[order], np.arange(count + 1))
    for i in range(count):
        where = f"{path}, example {i}" if many else str(path)
        mine = order[bounds[i] : bounds[i + 1]]
        one, who = (time[mine], unit[mine]) if many else (time, unit)
        us, who = (one, who) if dense is not None else in_us(one, who, scale, where)
        last = duration or (int(us[-1]) + 1 if len(us) else 1)
        value = None if target is None else as_target(targets[i], target, where)
        yield Train(us, who, value, last, num_units, path, where, split)


def _num_trials(arrays: dict[str, Any], trial: NDArray[np.integer[Any]], path: Path) -> int:
    """M: as many as there are targets, of which the last ones may be silent, or up to the last."""
    told = [len(arrays[name]) for name in _TARGETS if name in arrays and arrays[name].ndim]
    most = max(told, default=MOST_TRIALS)
    if len(trial) and not 0 <= trial.min() <= trial.max() < most:
        why = f", as there are {most} targets" if told else ""
        raise ValueError(
            f"{path}: trials {trial.min()} to {trial.max()}, expected 0 to {most - 1}{why}"
        )
    return most if told else int(trial.max()) + 1 if len(trial) else 0


def _targets(
    arrays: dict[str, Any], target: Target | None, label: str, many: bool, count: int, path: Path
) -> Sequence[Any]:
    """Of each example in a file."""
    if target is None:
        return [None] * count
    given = arrays.get(target, arrays.get(f"{target}s"))
    if given is not None:
        return list(np.atleast_1d(given)) if many else [given]
    if target != "label" or not label:
        where = "" if target != "label" else ", a folder for each class, or labels.csv"
        raise ValueError(f"{path}: no {target}: expected an array {target}{where}")
    return [label] * count
