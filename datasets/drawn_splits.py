"""Splits of data that come without any."""

import numpy as np

from vdib.datasets.recording_set import Split


def drawn(count: int, split: Split, validation: float, test: float, seed: int) -> list[int]:
    """Which of so many examples are in a split: at least one each, in order.

    Args:
        count: of examples.
        split: train, validation or test.
        validation: share of what is not in the test split.
        test: share of all; 0 for a test split of its own.
        seed: of the draw.

    Raises:
        ValueError: too few to train on.
    """
    order = np.random.default_rng(seed).permutation(count)
    tested = max(1, round(test * count)) if test else 0
    validated = max(1, round(validation * (count - tested)))
    if count - tested - validated < 1:
        raise ValueError(f"{count} examples are too few for splits of their own")
    part = {
        "test": order[:tested],
        "validation": order[tested : tested + validated],
        "train": order[tested + validated :],
    }[split]
    return sorted(part.tolist())
