"""`python -m vdib.live [--run RUN] --source SOURCE`: events as they come to images.

python -m vdib.live --source udp://:3333 --web 8080      AEStream's packets, by a run that ships
python -m vdib.live --run RUN --source mine.aedat4@1x              a recording in real time
aestream ... | python -m vdib.live --run RUN --source stdin        lines of t,x,y,p
python -m vdib.live --run RUN --source camera                      a camera on USB

Ends with the source, or with Ctrl-C, and then says what it counted.
"""

import argparse
import json
import re
import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vdib.runs.command import UserError, add_run, line_of, run, words_of

if TYPE_CHECKING:
    from vdib.live.source import Source
    from vdib.naturalise.naturaliser import Naturaliser


def parser() -> argparse.ArgumentParser:
    """The command's options."""
    options = argparse.ArgumentParser(
        prog="python -m vdib.live",
        description="Turn live events into images or labels, with a run trained to be good at "
        "any time (--config mnist_dvs_anytime).",
    )
    add = options.add_argument
    add_run(options)
    add("--source", required=True, help="udp://HOST:PORT, FILE@1x, stdin or camera")
    add("--look-ms", type=float, default=20.0, help="an image every so many ms (default: 20)")
    add("--queue", type=int, default=200_000, help="events that may wait (default: 200000)")
    add("--sensor", metavar="W,H", help="of the source, if not the model's")
    add("--zoom", action="store_true", help="bring that sensor to the model's, centre on centre")
    add("--web", type=int, metavar="PORT", help="show a page at http://127.0.0.1:PORT/")
    add("--quiet", action="store_true", help="no view in the terminal")
    add("--json", action="store_true", help="end with one line of JSON")
    return options


def main(args: list[str] | None = None) -> int:
    """The command's exit status: 0 at the source's end, 130 after Ctrl-C, 2 after a mistake."""
    return run(lambda: _live(parser().parse_args(words_of(args))))


def source_of(word: str, size: tuple[int, int] | None) -> "Source":
    """What a word stands for.

    Raises:
        UserError: nothing.
    """
    from vdib.live.camera import CameraSource
    from vdib.live.lines import LineSource
    from vdib.live.recorded import FileSource
    from vdib.live.udp import UdpSource

    try:
        if word == "camera":
            return CameraSource()
        if word == "stdin":
            return LineSource()
        if match := re.fullmatch(r"udp://([\w.-]*):(\d{1,5})", word):
            if int(match[2]) >= 1 << 16:
                raise UserError(f"--source {word}: expected a port below 65536")
            return UdpSource(match[1], int(match[2]))
        if match := re.fullmatch(r"(.+)@([\d.]+)x", word):
            return FileSource(Path(match[1]), float(match[2]), size=size)
    except (OSError, ValueError, ImportError) as error:
        raise UserError(line_of(error)) from error
    raise UserError(f"--source: got {word!r}, expected udp://HOST:PORT, FILE@1x, stdin or camera")


def _sensor(word: str | None) -> tuple[int, int] | None:
    if word is None:
        return None
    match = re.fullmatch(r"(\d{1,5})[,x](\d{1,5})", word)
    if match is None or not (0 < int(match[1]) < 1 << 15 and 0 < int(match[2]) < 1 << 15):
        raise UserError(f"--sensor: got {word!r}, expected width,height in pixels")
    return int(match[1]), int(match[2])


def _model(options: argparse.Namespace, size: tuple[int, int] | None) -> "Naturaliser":
    from vdib.datasets.transforms.place import Zoom
    from vdib.naturalise.naturaliser import camera_naturaliser_of

    model = camera_naturaliser_of(options.run)
    if not model.carries:
        raise UserError(
            f"{options.run} cannot follow a live input: it was not trained for any time, or looks "
            "ahead; see --config mnist_dvs_anytime"
        )
    wanted = model.prepare.sensor_size
    assert wanted is not None
    if options.zoom:
        model = replace(model, place=(Zoom(wanted),))
    elif size not in (None, wanted):
        raise UserError(f"--sensor {options.sensor}: the run was trained on {wanted}: --zoom")
    return model


def _live(options: argparse.Namespace) -> int:
    if not 1 <= options.look_ms <= 10_000:
        raise UserError(f"--look-ms: got {options.look_ms}, expected 1 to 10000")
    if options.queue < 1:
        raise UserError(f"--queue: got {options.queue}, expected 1 or more")
    size = _sensor(options.sensor)
    model = _model(options, size)
    size = size or model.prepare.sensor_size
    assert size is not None
    import torch

    from vdib.live.engine import Engine, Look
    from vdib.live.queue import EventQueue
    from vdib.live.status import Status
    from vdib.live.terminal import Terminal
    from vdib.live.web import Web

    torch.set_num_threads(1)  # one core is the source's
    source = source_of(options.source, size)
    queue = EventQueue(options.queue)
    engine = Engine(model, queue, options.look_ms / 1000, size)
    status = Status(source, engine)
    views: list[Any] = [] if options.quiet else [Terminal(status)]
    try:
        web = None if options.web is None else Web(status, options.web)
    except (OSError, OverflowError) as error:
        raise UserError(f"--web {options.web}: {error}") from error
    if web is not None:
        views.append(web)
        print(f"vdib: {web.address}", file=sys.stderr, flush=True)

    def show(look: Look) -> None:
        for view in views:
            view.show(look)

    thread = source.start(queue)
    print(f"vdib: following {source.name}", file=sys.stderr, flush=True)
    try:
        engine.run(show)
    finally:
        source.stopped.set()
        thread.join(2)
        if web is not None:
            web.close()
        print(json.dumps(status.read()) if options.json else "\n".join(status.lines()), flush=True)
    if source.error is not None:
        raise UserError(line_of(source.error)) from source.error
    return 0


if __name__ == "__main__":
    sys.exit(main())
