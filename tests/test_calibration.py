"""Whether probabilities are how often decisions are right, and what is drawn of it."""

import numpy as np
import pytest
import torch

from vdib.figures.calibration import calibration
from vdib.figures.confusion import confusion
from vdib.figures.vectors import scatter
from vdib.lightning_modules.verdicts import Verdicts
from vdib.metrics import calibration_error, confusions, reliability
from vdib.signal import Label


def test_bins_hold_their_upper_end_and_add_up_over_batches():
    confidence = torch.tensor([0.0, 0.2, 0.2000001, 0.4, 0.41, 1.0], dtype=torch.float64)
    right = torch.tensor([0, 1, 0, 1, 1, 1]) > 0
    bins = reliability(confidence, right, num_bins=5)
    assert bins[:, 0].tolist() == [2, 2, 1, 0, 1]
    assert bins[:, 2].tolist() == [1, 1, 1, 0, 1]
    sums = torch.tensor([0.2, 0.6000001, 0.41, 0, 1.0]).double()
    torch.testing.assert_close(bins[:, 1], sums, rtol=1e-6, atol=0)
    parts = reliability(confidence[:2], right[:2], 5) + reliability(confidence[2:], right[2:], 5)
    torch.testing.assert_close(parts, bins)
    expected = (2 * abs(0.5 - 0.1) + 2 * abs(0.5 - 0.3) + abs(1 - 0.41) + 0) / 6
    assert calibration_error(bins) == pytest.approx(expected, rel=1e-6)


def test_decisions_as_sure_as_they_are_right_have_no_error():
    """Of n drawn decisions, within four deviations of the largest bin."""
    generator = torch.Generator().manual_seed(0)
    confidence = torch.rand(20_000, generator=generator)
    right = torch.rand(20_000, generator=generator) < confidence
    assert calibration_error(reliability(confidence, right)) < 4 * 0.5 / (20_000 / 15) ** 0.5
    assert calibration_error(reliability(confidence, right & False)) == pytest.approx(0.5, abs=0.01)


def test_the_reliability_diagram_holds_the_bins():
    bins = torch.tensor([[0, 0, 0], [10, 4.0, 3], [5, 4.0, 5]])
    (axes,) = calibration(bins).axes
    points = axes.lines[1].get_xydata()
    np.testing.assert_allclose(points, [[0.4, 0.3], [0.8, 1.0]])
    assert [text.get_text() for text in axes.texts] == ["10", "5"]
    assert axes.get_title("left") == "expected calibration error 0.133"  # (1 + 1) / 15
    with pytest.raises(ValueError, match="no decisions"):
        calibration(torch.zeros(3, 3))


def test_confusions_are_counted_and_named():
    decided, labels = torch.tensor([0, 1, 1, 2]), torch.tensor([0, 0, 1, 2])
    (axes,) = confusion(confusions(decided, labels, 3), ["cat", "dog", "cow"]).axes
    counts = {tuple(map(int, text.get_position())): text.get_text() for text in axes.texts}
    assert counts == {(0, 0): "1", (1, 0): "1", (1, 1): "1", (2, 2): "1"}
    assert [label.get_text() for label in axes.get_yticklabels()] == ["cat", "dog", "cow"]
    assert axes.get_title("left") == "3 of 4 right"


def test_tables_hold_all_decisions_of_all_batches():
    verdicts = Verdicts(Label(3, ("cat", "dog", "cow")))
    label, target = torch.tensor([0, 1, 1, 2, 1]), torch.tensor([0, 0, 1, 2, 0])
    probability = torch.tensor([0.5, 0.99, 0.98, 0.38, 0.95])
    for part in (slice(2), slice(2, None)):
        verdicts.add(label[part], probability[part], target[part])
    tables = verdicts.tables()
    assert tables["confusion"] == "class,cat,dog,cow\ncat,1,2,0\ndog,0,1,0\ncow,0,0,1\n"
    assert tables["calibration"].splitlines() == [
        "from,to,decisions,mean_probability,share_right",
        "0.3333,0.4000,1,0.3800,1.0000",
        "0.4667,0.5333,1,0.5000,1.0000",
        "0.9333,1.0000,3,0.9733,0.3333",
    ]
    assert verdicts.error == pytest.approx((0.62 + 0.5 + 2.92 - 1) / 5)
    assert set(verdicts.figures()) == {"confusion", "calibration"}
    words = Verdicts(Label(1_000))
    words.add(label, probability, target)
    assert set(words.tables()) == set(words.figures()) == {"calibration"}


def test_vectors_lie_over_their_targets():
    target, decoded = torch.rand(2, 7, 2, generator=torch.Generator().manual_seed(0))
    (axes,) = scatter(decoded, target).axes
    for i, points in enumerate(axes.collections):
        expected = torch.stack([target[:, i], decoded[:, i]], 1)
        np.testing.assert_allclose(np.asarray(points.get_offsets()), expected, rtol=1e-6)
    with pytest.raises(ValueError, match="one length"):
        scatter(decoded, target[:, :1])
    many = scatter(torch.rand(7, 12), torch.rand(7, 12)).axes[0]
    assert len(many.collections) == 1
