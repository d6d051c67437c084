"""What a published experiment is, and its rows."""

from collections.abc import Sequence
from dataclasses import dataclass

ACCURACIES = ("class_accuracy", "judge_accuracy")
"""Figures that are proportions of test examples, whose interval is Wilson's."""


@dataclass(frozen=True)
class Row:
    """One line of an experiment's table.

    Attributes:
        words: what is trained.
        args: of `vdib.fit`, but for the seed.
        figure: a key of the summary.
        published: the figure that was published for it, with its circumstances; empty for rows that
            are only ours.
        folds: arguments to add, one list a fold; the figure is the mean over them.
        before: arguments of a training whose weights a seed's runs start from, if any.
    """

    words: str
    args: Sequence[str]
    figure: str
    published: str = ""
    folds: Sequence[Sequence[str]] = ((),)
    before: Sequence[str] = ()


@dataclass(frozen=True)
class Experiment:
    """One published experiment.

    Attributes:
        title: whose, and of what.
        source: a URL.
        rows: of its table.
        ours: what is run here: the published settings, or what of them was cut.
        differs: what the original did differently.
        minutes: of one core that a seed takes, about.
    """

    title: str
    source: str
    rows: Sequence[Row]
    ours: str
    differs: str
    minutes: float = 1.0
