"""Bounds and estimates as rows of one table, and the interval that they make together."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Literal

from vdib.information.intervals import Interval, Statistic, bootstrap, jackknife

Side = Literal["above", "below", "estimate"]
LEVEL = 0.95


@dataclass(frozen=True, eq=False)
class Row:
    """What one method says, in nats a sequence.

    Attributes:
        name: of the method.
        side: whether it bounds from `above` or `below` in expectation, or is an `estimate`, which
            bounds nothing.
        statistic: of the sequences.
        count: N of them.
        seed: of the resamples.
        pairs: whether the statistic is one of pairs of sequences, and no mean.
    """

    name: str
    side: Side
    statistic: Statistic
    count: int
    seed: int
    pairs: bool = False

    def at(self, level: float) -> Interval:
        """Its interval, as `vdib.information.intervals` makes it."""
        if self.pairs:
            return jackknife(self.statistic, self.count, level)
        return bootstrap(self.statistic, self.count, level, self.seed)

    @cached_property
    def interval(self) -> Interval:
        """Its interval at the level of the house."""
        return self.at(LEVEL)


def combined(rows: Sequence[Row], level: float = LEVEL) -> tuple[float, float]:
    """Ends between which the information lies with at least this probability, in nats.

    Each of m bounds from above leaves `(1 - level) / (2 m)` beyond its end, and so do those from
    below: then the best of them may be taken after looking at all.

    Args:
        rows: bounds on one quantity; estimates are passed over.
        level: of the interval.
    """
    ends = []
    for side in ("below", "above"):
        own = [row for row in rows if row.side == side]
        each = 1 - (1 - level) / max(1, len(own))
        ends.append([row.at(each)[1 if side == "below" else 2] for row in own])
    lows, highs = ends
    return max([0.0, *lows]), min([math.inf, *highs])


@dataclass(frozen=True)
class Section:
    """Rows of one quantity.

    Attributes:
        title: what it is.
        rows: of methods.
        ceiling: nats that no bound from below can exceed with this many sequences.
        ends: what `combined` gave; None where rows bound nothing together.
        note: one line more.
    """

    title: str
    rows: tuple[Row, ...]
    ceiling: float | None = None
    ends: tuple[float, float] | None = None
    note: str = ""


@dataclass(frozen=True)
class Report:
    """All that was measured.

    Attributes:
        head: its first line.
        unit: of the printed figures.
        factor: from nats a sequence to that unit.
        sections: of rows.
        facts: settings and sizes, for the file.
    """

    head: str
    unit: str
    factor: float
    sections: tuple[Section, ...]
    facts: dict[str, Any] = field(default_factory=dict)

    def table(self) -> str:
        """As it is printed."""
        lines = [self.head]
        width = max(len(row.name) for section in self.sections for row in section.rows)
        for section in self.sections:
            lines += ["", f"{section.title} ({self.unit}; {LEVEL:.0%} intervals over sequences)"]
            floor = lowest(section)
            for row in section.rows:
                estimate, low, high = row.interval.scaled(self.factor)
                over = ""
                if row.side == "above" and floor is not None and floor > 0:
                    excess = row.interval.estimate - floor
                    over = f"  {excess * self.factor:+.3g} ({excess / floor:+.1%})"
                words = f"{row.side:<8}  {row.name:<{width}}"
                lines.append(f"  {words}  {estimate:9.4g}  [{low:.4g}, {high:.4g}]{over}")
            if section.ceiling is not None:
                words = f"{'ceiling':<8}  {'log2 N, the most that N sequences can show':<{width}}"
                lines.append(f"  {words}  {section.ceiling * self.factor:9.4g}")
            if section.ends is not None:
                low, high = (self.factor * end for end in section.ends)
                lines.append(f"  between {low:.4g} and {high:.4g}, at {LEVEL:.0%} or more")
            if section.note:
                lines.append(f"  {section.note}")
        return "\n".join(lines)

    def content(self) -> dict[str, Any]:
        """For `information.json`, in bits a sequence."""
        bits = 1 / math.log(2)
        sections = []
        for section in self.sections:
            rows = [
                {"name": row.name, "side": row.side, **row.interval.scaled(bits)._asdict()}
                for row in section.rows
            ]
            whole: dict[str, Any] = {"title": section.title, "rows": rows, "note": section.note}
            if section.ceiling is not None:
                whole["ceiling"] = section.ceiling * bits
            if section.ends is not None:
                low, high = section.ends
                whole["between"] = [low * bits, high * bits if math.isfinite(high) else None]
            sections.append(whole)
        return {
            "unit": "bits per sequence",
            "printed_unit": self.unit,
            "printed_per_bit": self.factor * math.log(2),
            "level": LEVEL,
            **self.facts,
            "sections": sections,
        }


def lowest(section: Section) -> float | None:
    """The best bound from below, in nats; None where there is none."""
    below = [row.interval.estimate for row in section.rows if row.side == "below"]
    return max(below) if below else None
