"""What tests share: a small world of data; assertions of the base suites say what failed."""

from pathlib import Path

import pytest
import recordings as make

from vdib.datasets import mnist_dvs, nmnist, simulated

pytest.register_assert_rewrite("suites")

DIGITS = {"train": (0, 10), "validation": (10, 20), "test": (20, 30)}


@pytest.fixture
def small_world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Empty folders, and ten numbered digits in the place of each part of MNIST."""
    monkeypatch.chdir(tmp_path)
    for name in ("VDIB_DATA", "XDG_CACHE_HOME", "LOCALAPPDATA"):
        monkeypatch.setenv(name, str(tmp_path / name))
    classes = make.numbered_digits(30, 40).images.numpy()
    for module in (mnist_dvs, nmnist):
        monkeypatch.setattr(module, "training_images", make.numbered_digits)
        monkeypatch.setattr(module, "class_images", lambda *source: classes)
    asked: list[str] = []
    monkeypatch.setattr(
        simulated, "source_images",
        lambda split, source: asked.append(source) or make.numbered_digits(*DIGITS[split]),
    )  # fmt: skip
    monkeypatch.setattr(simulated, "class_images", lambda *source: classes)
    monkeypatch.setattr(simulated, "asked", asked, raising=False)
