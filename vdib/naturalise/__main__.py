"""`python -m vdib.naturalise RECORDING... --out DIR`: recordings to images or labels.

python -m vdib.naturalise a.aedat b.aedat --out images        one image each, by a run that ships
python -m vdib.naturalise recordings/ --run RUN --out images --window-ms 100    running
find . -name '*.aedat4' | python -m vdib.naturalise - --run RUN --out images --crop 40,0,260,260

A run that tells labels writes a table of them, DIR/labels.csv, and no images. One that was trained
on spike trains (--config spike_trains) reads files of such, .npz and .nwb.
"""

import argparse
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import fields, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm  # type: ignore[import-untyped]

from vdib.datasets.find_recordings import FilesBelow, passed_over, recordings_below
from vdib.datasets.formats.read_options import ReadOptions, add_flags, as_flag, from_flags
from vdib.datasets.formats.source import RecordingError
from vdib.runs.command import UserError, add_run, run, words_of

CAMERA = ("window_ms", "window_events", "crop", "zoom", *(f.name for f in fields(ReadOptions)))
"""Options that say how recordings of a camera are read and looked at."""


def recordings_in(
    words: Sequence[str],
    lines: Iterator[str],
    exclude: Sequence[str] = (),
    below: Callable[[Path, Sequence[str]], FilesBelow] = recordings_below,
) -> list[Path]:
    """A folder stands for the recordings below it, `-` for the files and folders in `lines`."""
    files: list[Path] = []
    for word in words:
        path = Path(word)
        if word == "-":
            named = (line.strip() for line in lines)
            listed = [line for line in named if line not in ("", "-")]
            files += recordings_in(listed, iter(()), exclude, below)
        elif path.is_dir():
            found, others = below(path, exclude)
            files += found
            if others:
                print(f"vdib: {passed_over(others, 'no recordings')}", file=sys.stderr)
        else:
            files.append(path)
    return files


def names_of(files: Sequence[Path]) -> list[str]:
    """What the images of files are called: as the files; where another is, with a number."""
    taken = {path.stem for path in files}  # a file called a-2 keeps its name
    counts: dict[str, int] = {}
    names: list[str] = []
    for path in files:
        name, number = path.stem, counts.get(path.stem, 0) + 1
        if number > 1:
            while (name := f"{path.stem}-{number}") in taken:
                number += 1
        counts[path.stem] = number
        taken.add(name)
        names.append(name)
    return names


def _numbers(count: int) -> Callable[[str], tuple[int, ...]]:
    def parse(word: str) -> tuple[int, ...]:
        numbers = tuple(int(part) for part in word.replace("x", ",").split(","))
        if len(numbers) != count:
            raise ValueError(word)
        return numbers

    parse.__name__ = f"list of {count} numbers"
    return parse


def parser() -> argparse.ArgumentParser:
    """The command's options."""
    options = argparse.ArgumentParser(
        prog="python -m vdib.naturalise",
        description="Turn recordings of an event camera, or spike trains, into images or labels, "
        "with a trained run.",
    )
    add = options.add_argument
    add("recordings", nargs="+", metavar="RECORDING", help="files, folders, or - for a list")
    add_run(options)
    add("--out", type=Path, required=True, help="folder for the images, or for labels.csv")
    windows = options.add_mutually_exclusive_group()
    windows.add_argument("--window-ms", type=float, help="an image, or a label, every so many ms")
    windows.add_argument(
        "--window-events", type=int, help="an image, or a label, every so many events"
    )
    add("--original", type=Path, help="an image to show beside, or a folder of <recording>.png")
    add("--crop", type=_numbers(4), metavar="L,T,W,H", help="use these pixels of the recording")
    add(
        "--zoom",
        metavar="Z",
        help="then bring it to the model's sensor, centre on centre: pixels per pixel, or 'fit'",
    )
    add("--exclude", action="append", default=[], metavar="PATTERN", help="files to pass over")
    add_flags(options)
    return options


def main(args: list[str] | None = None) -> int:
    """The command's exit status: 0, 1 where a recording failed, 2 where nothing could begin."""
    return run(lambda: _naturalise(parser().parse_args(words_of(args))))


def _naturalise(options: argparse.Namespace) -> int:
    if options.window_ms is not None and not 1 <= options.window_ms * 1000 <= 1e15:
        raise UserError(f"--window-ms: got {options.window_ms}, expected 0.001 or more")
    if options.window_events is not None and options.window_events < 1:
        raise UserError(f"--window-events: got {options.window_events}, expected 1 or more")
    running_mode = options.window_ms is not None or options.window_events is not None
    if options.original is not None and not (running_mode and options.original.exists()):
        why = "no such file or folder" if running_mode else "only with --window-ms or -events"
        raise UserError(f"--original {options.original}: {why}")
    try:
        read = vars(from_flags(options))
    except ValueError as error:
        raise UserError(str(error)) from error
    from vdib.datasets.spike_train_files import train_files
    from vdib.datasets.transforms.place import Crop, Zoom
    from vdib.naturalise import naturaliser  # takes seconds to import
    from vdib.naturalise.labels import Table, labels
    from vdib.naturalise.running import running
    from vdib.naturalise.trials import trials
    from vdib.naturalise.whole import whole

    model = naturaliser.naturaliser_of(options.run)
    if model.trains is not None and (given := _camera_flags(options)):
        raise UserError(f"{given[0]}: not with {options.run}, which was trained on spike trains")
    below = recordings_below if model.trains is None else train_files
    files = recordings_in(options.recordings, sys.stdin, options.exclude, below)
    if not files:
        kind = "recordings" if model.trains is None else "spike trains (.npz, .nwb)"
        raise UserError(f"no {kind} in {', '.join(options.recordings)}")
    if options.original is not None and model.labels:
        raise UserError(f"--original {options.original}: only with a run that makes images")
    options.out.mkdir(parents=True, exist_ok=True)
    table = Table(options.out / "labels.csv")
    place: list[naturaliser.Transform] = [] if options.crop is None else [Crop(*options.crop)]
    if options.zoom is not None:
        assert model.prepare.sensor_size is not None
        place.append(Zoom(model.prepare.sensor_size, _factor(options.zoom)))
    model = replace(model, place=tuple(place))
    every: dict[str, int] = {}
    if options.window_ms is not None:
        every = {"every": round(options.window_ms * 1000)}
    elif options.window_events is not None:
        every = {"events": options.window_events}

    failed: list[str] = []
    skipped = 0
    named = zip(files, names_of(files), strict=True)
    try:
        with tqdm(named, total=len(files), unit="recording", disable=None) as bar:
            for path, name in bar:
                out = options.out / name
                try:
                    if model.trains is not None:
                        trials(model, path, out, table)
                    elif model.labels:
                        skipped += labels(model, path, read, every, table, bar)
                    elif every:
                        original = _original(options.original, path)
                        skipped += running(model, path, read, out, every, original, bar)
                    else:
                        skipped += whole(model, path, read, out)
                except (OSError, ValueError, ImportError) as error:
                    if isinstance(error, RecordingError):
                        error = error.spelt(as_flag)
                    missing = isinstance(error, FileNotFoundError)
                    words = f"{path}: no such file" if missing else str(error).splitlines()[0]
                    failed.append(words if str(path) in words else f"{path}: {words}")
    finally:
        if model.labels:
            table.write()
    done = len(files) - len(failed)
    print(f"{done} of {len(files)} recordings naturalised in {options.out}")
    if skipped:
        print(f"{skipped} bad records left out")
    for words in failed:
        print(f"vdib: {words}", file=sys.stderr)
    return 1 if failed else 0


def _camera_flags(options: argparse.Namespace) -> list[str]:
    """Those of `CAMERA` that were given."""
    default = parser().get_default
    given = [name for name in CAMERA if getattr(options, name) != default(name)]
    return [f"--{name.replace('_', '-')}" for name in given]


def _factor(word: str) -> float | None:
    if word == "fit":
        return None
    try:
        factor = float(word)
    except ValueError:
        factor = 0.0
    if not 0 < factor < float("inf"):
        raise UserError(f"--zoom: got {word!r}, expected a number above 0, or 'fit'")
    return factor


def _original(given: Path | None, recording: Path) -> NDArray[np.uint8] | None:
    from vdib.datasets.grey_image import read_image

    if given is None:
        return None
    path = given / f"{recording.stem}.png" if given.is_dir() else given
    return read_image(path)


if __name__ == "__main__":
    sys.exit(main())
