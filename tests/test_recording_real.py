"""Real recordings (`VDIB_DATA`): counts, mirroring, polarity."""

import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from vdib.datasets.recording import Recording, read_recording


@pytest.fixture
def data() -> Path:
    if "VDIB_DATA" not in os.environ:
        pytest.skip("VDIB_DATA does not name a folder of real recordings")
    return Path(os.environ["VDIB_DATA"])


@pytest.mark.parametrize(
    ("name", "count", "size", "seconds"),
    [
        ("events/expelliarmus_NCARS_obj_004397_td.dat", 4407, (54, 61), 0.099937),
        ("events/expelliarmus_evt2_sample.raw", 539481, (600, 476), 0.05),
        ("events/jAER_DVS128-2017-03-21-short.aedat", 130114, (128, 128), 6.181499),
        ("events/mnist_0_scale08_0001_qt1.aedat", 5078, (128, 128), 0.196557),
        ("events/mnist_0_scale16_0001_qt1.aedat", 11209, (128, 128), 0.196604),
        ("events/tonic_sample.aedat4", 111954, (320, 240), 0.589917),
        ("mnist_dvs/grabbed_data0/scale4/mnist_0_scale04_0001.aedat", 15744, (128, 128), 2.210588),
        ("nmnist/Train/0/00002.bin", 5028, (34, 34), 0.304404),
    ],
)
def test_real_files(
    name: str, count: int, size: tuple[int, int], seconds: float, data: Path
) -> None:
    if name.endswith(".aedat4"):
        pytest.importorskip("aedat")
    recording = read_recording(data / name)
    assert (len(recording), recording.sensor_size, recording.num_skipped) == (count, size, 0)
    assert recording.t[-1] - recording.t[0] == round(seconds * 1e6)


def drift_of_on_events(path: Path, window: int) -> float:
    """How the ON events' centre, seen from the OFF events', follows the digit's motion in x."""
    recording = read_recording(path)
    step, x = recording.t // window, recording.x
    n = int(step[-1]) + 1

    def centre(which: Any) -> Any:
        count = np.bincount(step[which], minlength=n)
        return np.bincount(step[which], x[which], n) / np.maximum(count, 1), count

    (on, ons), (off, offs), (all_, _) = (
        centre(w) for w in (recording.p, ~recording.p, slice(None))
    )
    velocity = np.gradient(np.convolve(all_, np.ones(3) / 3, "same"))
    busy = (ons > 10) & (offs > 10)
    busy[[0, 1, -3, -2, -1]] = False
    return float(np.corrcoef(velocity[busy], (on - off)[busy])[0, 1])


def test_polarity_as_stored_agrees_between_cameras(data: Path) -> None:
    """DVS128 and ATIS filmed the same digits: whichever sign is right, it is the same one."""
    dvs = sorted((data / "mnist_dvs/grabbed_data0/scale4").iterdir())[:10]
    atis = sorted((data / "nmnist/Train/0").iterdir())[:10]
    assert np.mean([drift_of_on_events(path, 10_000) for path in dvs]) < -0.03
    assert np.mean([drift_of_on_events(path, 6_000) for path in atis]) < -0.2


def test_zeros_of_mnist_dvs_are_not_mirrored(data: Path) -> None:
    raw = data / "mnist/MNIST/raw"
    labels = np.fromfile(raw / "train-labels-idx1-ubyte", "u1", offset=8)
    images = np.fromfile(raw / "train-images-idx3-ubyte", "u1", offset=16).reshape(-1, 28, 28)
    zeros = images[labels == 0]
    match = np.zeros((40, 2))
    for i in range(40):
        path = data / f"mnist_dvs/grabbed_data0/scale4/mnist_0_scale04_{i + 1:04}.aedat"
        events = followed(read_recording(path))
        for j, image in enumerate((zeros[i], zeros[i][:, ::-1])):
            digit = np.pad(image.astype(float) - image.mean(), ((0, 36), (0, 36)))
            shifts = np.fft.ifft2(np.fft.fft2(events) * np.fft.fft2(digit).conj()).real
            match[i, j] = shifts.max() / np.linalg.norm(digit)
    difference = match[:, 0] - match[:, 1]
    assert difference.mean() > 3 * difference.std() / len(difference) ** 0.5


def followed(recording: Recording) -> np.ndarray[Any, Any]:
    """The events' image (64, 64), its mean taken off, from 10 ms windows moved to their centres."""
    step = recording.t // 10_000
    count = np.maximum(np.bincount(step), 1)
    places = []
    for places_in in (recording.y, recording.x):
        centre = np.bincount(step, places_in) / count
        places.append(np.rint(places_in - centre[step]).astype(int).clip(-32, 31) + 32)
    image = np.zeros((64, 64))
    np.add.at(image, tuple(places), 1)
    image[[0, -1]] = image[:, [0, -1]] = 0
    return (image - image.mean()) / image.std()
