"""What rows become in the table and in the file: sides, units, and how far above the floor."""

import json
import math

import numpy as np
import pytest

from vdib.information.intervals import Interval, mean
from vdib.information.rows import Report, Row, Section, lowest

NAT = 1 / math.log(2)
"""Bits."""


def row(name, side, nats, count=4):
    """A row without spread, so that it is its own interval."""
    return Row(name, side, mean(np.full(count, nats)), count, seed=0)


def report():
    bounds = (
        row("loose", "above", 6.0),
        row("tight", "above", 5.0),
        row("weak", "below", 2.0),
        row("strong", "below", 4.0),
        row("guess", "estimate", 9.0),
    )
    whole = Section("I", bounds, ceiling=4.5, ends=(4.0, 5.0))
    open_end = Section("part", (row("guess", "estimate", -1.0),), ends=(0.0, math.inf), note="n")
    return Report("head", "bits/step", NAT / 10, (whole, open_end), {"num_steps": 10})


def test_the_floor_is_the_highest_bound_from_below():
    whole, part = report().sections
    assert lowest(whole) == 4.0
    assert lowest(part) is None


def test_the_table_is_in_its_unit_and_says_how_far_bounds_from_above_lie_over_the_floor():
    lines = report().table().splitlines()
    said = {line.split()[1]: line for line in lines[3 : lines.index("", 2)]}  # of the first part
    for name, nats in (("loose", 6.0), ("tight", 5.0), ("weak", 2.0), ("strong", 4.0)):
        value = f"{nats * NAT / 10:.4g}"
        assert f"{value}  [{value}, {value}]" in said[name]
    assert said["loose"].endswith(f"{2 * NAT / 10:+.3g} (+50.0%)")
    assert said["tight"].endswith(f"{NAT / 10:+.3g} (+25.0%)")
    assert "%" not in said["strong"] + said["weak"] + said["guess"]
    assert float(said["log2"].split()[-1]) == pytest.approx(4.5 * NAT / 10, rel=1e-3)
    assert f"  between {4 * NAT / 10:.4g} and {5 * NAT / 10:.4g}, at 95% or more" in lines
    assert lines[-1] == "  n"


def test_the_file_is_in_bits_a_sequence_whatever_is_printed():
    content = json.loads(json.dumps(report().content()))
    whole, part = content["sections"]
    assert content["unit"] == "bits per sequence"
    for held, nats in zip(whole["rows"], (6.0, 5.0, 2.0, 4.0, 9.0), strict=True):
        assert [held[key] for key in ("estimate", "low", "high")] == pytest.approx([nats * NAT] * 3)
    assert whole["ceiling"] == pytest.approx(4.5 * NAT)
    assert whole["between"] == pytest.approx([4 * NAT, 5 * NAT])
    assert part["between"] == [0, None]  # nothing bounds it from above
    assert "ceiling" not in part
    # What is printed is the file's figure times this.
    assert content["printed_per_bit"] == pytest.approx(1 / 10)
    assert (content["printed_unit"], content["num_steps"]) == ("bits/step", 10)


def test_an_interval_in_another_unit():
    assert Interval(2.0, 1.0, 4.0).scaled(0.5) == (1.0, 0.5, 2.0)
