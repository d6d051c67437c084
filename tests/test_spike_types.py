"""Spikes in the types they come in: bool, whole numbers, half precision, at every size."""

import pytest
import torch

from vdib.encoder import SpikingEncoder, build_encoder
from vdib.estimator import Bernoulli
from vdib.noise import Noise
from vdib.sparse import SparseSpikes

TYPES = (torch.bool, torch.uint8, torch.int64, torch.bfloat16, torch.float64)
SHAPES = {"dense": (400,), "conv": (1, 20, 20)}


def encoder(kind: str, spikes: torch.Tensor) -> SpikingEncoder:
    torch.manual_seed(0)
    made = build_encoder(SHAPES[kind], 8, (50,), conv=(4,) if kind == "conv" else ())
    made.calibrate(spikes, rate=0.1)
    return made


def code(made: SpikingEncoder, spikes: torch.Tensor) -> torch.Tensor:
    return made(spikes, Noise(0, 0, torch.arange(len(spikes))), Bernoulli()).spikes


@pytest.mark.parametrize("kind", SHAPES)
@pytest.mark.parametrize("batch", [1, 16])  # below and above where spikes are listed
@pytest.mark.parametrize("density", [0.01, 0.5])  # where listing pays, and where not
def test_types_make_no_difference(kind: str, batch: int, density: float) -> None:
    generator = torch.Generator().manual_seed(1)
    spikes = torch.rand(batch, 30, *SHAPES[kind], generator=generator) < density
    made = encoder(kind, spikes.float())
    expected = code(made, spikes.float())
    assert 0 < expected.mean() < 1
    for dtype in TYPES:
        assert torch.equal(code(made, spikes.to(dtype)), expected), dtype
    weights = [parameter.clone() for parameter in made.parameters()]
    for dtype in TYPES:
        again = encoder(kind, spikes.to(dtype))
        for parameter, weight in zip(again.parameters(), weights, strict=True):
            torch.testing.assert_close(parameter, weight)


@pytest.mark.parametrize("number", [2.0, -1.0, 0.5, float("nan")])
def test_counts_and_signs_are_no_spikes(number: float) -> None:
    frames = torch.tensor([[[0.0, 1.0], [number, 1.0]]])
    with pytest.raises(ValueError, match=rf"spikes: got {number}, expected 0 or 1"):
        SparseSpikes.of(frames)
    sparse = SparseSpikes.of(frames > 0)
    assert torch.equal(sparse.dense(), (frames > 0).float())
