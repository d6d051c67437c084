"""What a sweep is to do: which runs, and how they are compared."""

import itertools
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vdib.sweep.space import Choice, Range


@dataclass(frozen=True)
class Plan:
    """What a sweep is to do.

    Attributes:
        space: what varies.
        searching: whether TPE chooses; otherwise every combination is run.
        seeds: how many of each; a search takes their mean.
        trials: of a search.
        metric: of the summary, to be lowest.
        common: arguments of every run.
        folder: of the sweep.
    """

    space: tuple[Choice | Range, ...]
    searching: bool
    seeds: int
    trials: int
    metric: str
    common: tuple[str, ...]
    folder: Path

    @property
    def identity(self) -> list[Any]:
        """What must not change when a sweep goes on; seeds and trials may grow."""
        return [list(self.common), [str(part) for part in self.space], self.metric]

    def grid(self) -> list[dict[str, Any]]:
        """Every combination, seed by seed."""
        choices = [part for part in self.space if isinstance(part, Choice)]
        every = list(itertools.product(*(choice.values for choice in choices)))
        keys = [choice.key for choice in choices]
        return [
            {**dict(zip(keys, values, strict=True)), "seed": seed}
            for seed in range(self.seeds)
            for values in every
        ]

    def jobs(self, params: Mapping[str, Any]) -> dict[Path, list[str]]:
        """The runs of a trial: their folders, and what `vdib.fit` is told."""
        settings = {key: str(value) for key, value in params.items() if key != "seed"}
        words = [word for key, value in settings.items() for word in (f"--{key}", value)]
        short = ",".join(f"{key.split('.', 1)[1]}={value}" for key, value in settings.items())
        seeds = range(self.seeds) if self.searching else [params["seed"]]
        return {
            self.folder / f"{short.replace('/', '_')},seed={seed}": [
                *(*self.common, *words, "--seed", str(seed))
            ]
            for seed in seeds
        }
