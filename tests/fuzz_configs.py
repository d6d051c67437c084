"""Configs that somebody has tampered with: one line of error, or a run that can begin.

    python tests/fuzz_configs.py --count 1000
    python tests/fuzz_configs.py --start 417 --count 1     # one of them again

A config is a function of its number alone: one that ships, whose settings are taken out, renamed,
exchanged, repeated, put elsewhere, or given awkward values, or whose text is cut. Each is parsed
and built as `vdib.fit` does, up to where data would be read: what there is to say has to be one
line; anything else, or more than 2 s of CPU time, is a fault.
"""

import argparse
import copy
import io
import logging
import os
import sys
import tempfile
import time
import traceback
import warnings
from collections.abc import Iterator
from contextlib import redirect_stderr, redirect_stdout
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from vdib.runs.arguments import config_names
from vdib.runs.command import UserError

Random = np.random.Generator
SECONDS = 2.0
AWKWARD: tuple[Any, ...] = (
    *(None, True, False, 0, -1, 1, 2, 10**30, -(10**9), 1e-300, 1e300, float("nan"), float("inf")),
    *("", "x", "null", "-", "~", "../..", "\0", "é\n", "9" * 5000, "[1, 2", "{a: b}", "nan"),
    *([], [None], [0], [-3], [1.5], ["a"], [[2]], [10**9], {}, {"": 1}, {"a": {"b": 1}}),
    *({"class_path": "os.system"}, {"class_path": "x.y"}, {"class_path": 3, "init_args": []}),
    *({"init_args": {"a": 1}}, {"class_path": "NaturalisationModule", "init_args": None}),
)
NAMES = ("model", "data", "trainer", "seed", "name", "lr", "class_path", "init_args", "", "0", "ß")


def places(settings: Any, above: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """The path of every value below some settings."""
    items = settings.items() if isinstance(settings, dict) else enumerate(settings)
    for key, value in items:
        yield (*above, key)
        if isinstance(value, dict | list):
            yield from places(value, (*above, key))


def at(settings: Any, path: tuple[Any, ...]) -> Any:
    for key in path:
        settings = settings[key]
    return settings


def changed(settings: dict[Any, Any], random: Random) -> None:
    """One change, in place."""
    every = list(places(settings))
    if not every:
        settings["model"] = AWKWARD[random.integers(len(AWKWARD))]
        return
    path = every[random.integers(len(every))]
    holder, key = at(settings, path[:-1]), path[-1]
    match random.integers(6):
        case 0 | 1:
            holder[key] = copy.deepcopy(AWKWARD[random.integers(len(AWKWARD))])
        case 2:
            del holder[key]
        case 3:
            other = at(settings, every[random.integers(len(every))])
            holder[key] = copy.deepcopy(other)
        case 4 if isinstance(holder, dict):
            name = str(key)
            cut = random.integers(len(name) + 1)
            new = name[:cut] + name[cut + 1 :] if random.random() < 0.5 else name[::-1]
            holder[new] = holder.pop(key)
        case _:
            if isinstance(holder, dict):
                word = NAMES[random.integers(len(NAMES))]
                holder[word] = copy.deepcopy(AWKWARD[random.integers(len(AWKWARD))])


def mutated(number: int) -> bytes:
    """The text of a config."""
    random = np.random.default_rng([number, 20261128])
    names = config_names()
    name = names[random.integers(len(names))]
    settings = yaml.safe_load((files("vdib.configs") / f"{name}.yaml").read_text("utf-8"))
    for _ in range(min(random.geometric(0.5), 5)):
        changed(settings, random)
    text = yaml.safe_dump(settings, allow_unicode=True).encode()
    if random.random() < 0.15:
        first, last = sorted(random.integers(0, len(text) + 1, 2))
        kind = random.integers(3)
        middle = (b"", text[first:last] * 2, random.bytes(last - first))[kind]
        text = text[:first] + middle + text[last:]
    return text


def fault(number: int) -> str:
    """What is wrong with how a config is taken; empty where nothing is."""
    from vdib.runs.cli import build

    Path("c.yaml").write_bytes(mutated(number))
    out, began = io.StringIO(), time.process_time()
    try:
        with redirect_stdout(out), redirect_stderr(out), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            build(["--config", "c.yaml", "--name", "n", "--trainer.accelerator", "cpu"])
    except (UserError, OSError) as error:
        if len(str(error).splitlines()) != 1:
            return f"{type(error).__name__} of {len(str(error).splitlines())} lines: {error!r}"
    except SystemExit as error:
        return f"exit {error.code}"
    except MemoryError:
        return "out of memory"
    except Exception as error:
        where = traceback.extract_tb(error.__traceback__)[-1]
        return f"{type(error).__name__}: {str(error)[:100]!r} at {where.filename}:{where.lineno}"
    took = time.process_time() - began
    left = sorted(path.name for path in Path().iterdir() if path.name != "c.yaml")
    if left:
        return f"left {left}"
    return f"took {took:.1f} s" if took > SECONDS else ""


def main(words: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--start", type=int, default=0)
    parser.add_argument("--count", type=int, default=1_000)
    args = parser.parse_args(words)
    faults, before = 0, Path.cwd()
    logging.disable()  # what Lightning says of devices
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        try:
            from vdib.runs.cli import build

            build(["--config", "digits", "--name", "n"])  # imports take their time
            for number in range(args.start, args.start + args.count):
                if words_of_fault := fault(number):
                    faults += 1
                    print(f"{number}: {words_of_fault}", flush=True)
        finally:
            os.chdir(before)
            logging.disable(logging.NOTSET)
    print(f"{args.count - faults} of {args.count}: one line, or a run that can begin")
    return int(faults > 0)


if __name__ == "__main__":
    sys.exit(main())
