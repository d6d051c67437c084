"""tonic's data sets, found by name, opened without a download unless asked, and read.

tonic is an extra and GPL-3.0: it is imported where it is needed, and nothing of it is here.
"""

import difflib
import inspect
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vdib.datasets.events import Origin, Recording
from vdib.datasets.extras import import_extra


def tonic_class(name: str) -> Any:
    """The class of tonic's that is called so.

    Raises:
        ImportError: tonic is missing (one line).
        ValueError: no such data set, with the nearest name; or one that needs more than a folder.
    """
    known = {
        word: kind
        for word, kind in vars(import_extra("tonic", "tonic").datasets).items()
        if inspect.isclass(kind) and hasattr(kind, "__getitem__")
    }
    if name not in known:
        lower = {word.lower(): word for word in known}
        near = difflib.get_close_matches(name.lower(), lower, n=1)
        hint = f"; did you mean {lower[near[0]]}?" if near else ""
        raise ValueError(f"name: got {name!r}, expected {', '.join(sorted(known))}{hint}")
    return known[name]


def arguments_of(kind: Any, options: Mapping[str, Any]) -> dict[str, inspect.Parameter]:
    """What a class is called with beside its folder, once the options are known to fit."""
    taken = dict(list(inspect.signature(kind).parameters.items())[1:])
    for option in options:
        if option not in taken or option in ("train", "split"):
            free = sorted(set(taken) - {"train", "split"})
            raise ValueError(f"options: got {option!r}, {kind.__name__} has {', '.join(free)}")
    needed = [
        word
        for word, argument in taken.items()
        if argument.default is argument.empty and word not in ("train", "split", *options)
    ]
    if needed:
        raise ValueError(
            f"{kind.__name__} needs {', '.join(needed)}: --data.options '{{{needed[0]}: ...}}'"
        )
    return taken


def tonic_part(kind: Any, part: str, root: Path, download: bool, options: Mapping[str, Any]) -> Any:
    """One of the parts that a data set of tonic's comes in, or all of it where there are none.

    Raises:
        FileNotFoundError: it is not there, and not to be fetched (one line).
        OSError: it could not be fetched (one line).
    """

    def refuse(self: Any) -> None:
        raise FileNotFoundError(
            f"no files of tonic's {kind.__name__} below {root}: --data.download true"
        )

    # tonic fetches what it does not find, into a folder that is called as the class is.
    own = {} if download else {"download": refuse}
    here = type(kind.__name__, (kind,), {"__module__": kind.__module__, **own})
    taken = arguments_of(kind, options)
    how: dict[str, Any] = dict(options)
    if "split" in taken:
        how["split"] = part
    elif "train" in taken:
        how["train"] = part != "test"
    try:
        return here(str(root), **how)
    except FileNotFoundError:
        raise
    except SystemExit as error:  # with which DVSLip ends the process where a folder is missing
        raise FileNotFoundError(
            f"no files of tonic's {kind.__name__} below {root}: put them there, tonic fetches none"
        ) from error
    except (OSError, RuntimeError) as error:
        line = (str(error).splitlines() or [type(error).__name__])[0]
        raise OSError(f"tonic's {kind.__name__} could not be opened: {line}") from error


def targets_of(data: Any) -> list[Any]:
    """Of every example, read without its events where that is possible."""
    targets = list(getattr(data, "targets", []))
    if len(targets) == len(data):
        return targets
    place = Path(getattr(data, "location_on_system", ""), getattr(data, "data_filename", ""))
    if place.suffix == ".h5":  # SHD and SSC
        with import_extra("h5py", "tonic").File(place, "r") as file:
            if "labels" in file:
                return list(file["labels"][()])
    return [data[i][1] for i in range(len(data))]


def names_of(data: Any, targets: Sequence[Any], kind: str) -> list[str]:
    """What the classes are called, in the order of their numbers."""
    if all(isinstance(target, str) for target in targets):
        return sorted(set(targets))
    if not all(isinstance(target, int | np.integer) for target in targets):
        wrong = next(t for t in targets if not isinstance(t, int | np.integer))
        raise ValueError(f"{kind}: got a target {str(wrong)[:40]!r}, expected labels of classes")
    said = getattr(data, "classes", [])
    if isinstance(said, Mapping):
        said = sorted(said, key=lambda word: said[word])
    names = [word.decode() if isinstance(word, bytes) else str(word) for word in said]
    highest = max(int(target) for target in targets)
    return names if len(names) > highest else [str(i) for i in range(highest + 1)]


def as_recording(events: Any, size: tuple[int, int], name: str, bins: int = 1) -> Recording:
    """Structured events of tonic's as a recording.

    Args:
        events: with fields t (us), x and, of a sensor with rows and polarities, y and p.
        size: (width, height) of the sensor.
        name: where they come from.
        bins: neighbouring x that count as one.

    Raises:
        ValueError: frames, or what else is no list of events; events beside the sensor.
    """
    fields = getattr(getattr(events, "dtype", None), "names", None) or ()
    if not {"t", "x"} <= set(fields):
        got = f"an array of {events.dtype}" if hasattr(events, "dtype") else type(events).__name__
        raise ValueError(f"{name}: got {got}, expected events with fields t and x, and no frames")
    order = np.argsort(events["t"], kind="stable")
    none: NDArray[np.int64] = np.zeros(len(order), np.int64)
    x = np.asarray(events["x"][order], np.int64)
    y = np.asarray(events["y"][order], np.int64) if "y" in fields else none
    for side, place, letter in ((size[0], x, "x"), (size[1], y, "y")):
        if len(place) and not 0 <= place.min() <= place.max() < side:
            raise ValueError(
                f"{name}: {letter} goes from {place.min()} to {place.max()} on a sensor of "
                f"{size[0]} x {size[1]}: --data.sensor_size"
            )
    p = events["p"][order] > 0 if "p" in fields else none == 0
    t = np.asarray(events["t"][order], np.int64)
    column, row = (x // bins).astype(np.int16), y.astype(np.int16)
    return Recording(column, row, t, p, (size[0] // bins, size[1]), Origin(name, "tonic"))
