"""One's own folder: classes, images and splits from where files lie."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import recordings as make

from vdib.datasets import event_folder
from vdib.datasets.event_folder import EventFolder
from vdib.datasets.find_recordings import recordings_below
from vdib.datasets.recording import ReadOptions

SIZE = ReadOptions(sensor_size=(34, 34))


def grey(level: int, shape: tuple[int, int] = (4, 6)) -> np.ndarray:
    return np.full(shape, level, np.uint8)


def write(root: Path, *names: str) -> Path:
    """Recordings, all different, and images as grey as their number among the names."""
    for number, name in enumerate(names):
        path = root / name
        if path.suffix == ".png":
            make.write_image(path, grey(number))
        else:
            make.write_npz(path, make.scattered(30, seed=number))
    return root


def levels(data: EventFolder) -> dict[str, int]:
    """Which image each recording is to become."""
    names = [path.relative_to(data.root).as_posix() for path in data.files]
    return {n: int(data.images[s.image][0, 0]) for n, s in zip(names, data.shown, strict=True)}


def labels(data: EventFolder) -> dict[str, int]:
    names = [path.relative_to(data.root).as_posix() for path in data.files]
    return {name: shown.label for name, shown in zip(names, data.shown, strict=True)}


def test_images_beside_the_file_come_before_those_beside_the_folder(tmp_path: Path) -> None:
    root = write(
        tmp_path / "r", "cat/a.npz", "cat/b.npz", "cat/b.png", "cat.png", "dog/a.npz", "dog.png"
    )
    data = EventFolder(root)
    assert levels(data) == {"cat/a.npz": 3, "cat/b.npz": 2, "dog/a.npz": 5}
    assert labels(data) == {"cat/a.npz": 0, "cat/b.npz": 0, "dog/a.npz": 1}
    assert data.images.shape == (3, 4, 6)  # each once
    assert data.classes == {"cat": 0, "dog": 1}
    assert not data.judged


def test_a_flat_folder_is_one_class(tmp_path: Path) -> None:
    data = EventFolder(write(tmp_path / "r", "a.npz", "b.npz", "../r.png", "b.png"))
    assert levels(data) == {"a.npz": 2, "b.npz": 3}
    assert labels(data) == {"a.npz": 0, "b.npz": 0}


def test_numbered_classes_are_called_as_they_are(tmp_path: Path) -> None:
    data = EventFolder(write(tmp_path / "r", "7/a.npz", "7.png", "12/a.npz", "12.png"))
    assert labels(data) == {"7/a.npz": 7, "12/a.npz": 12}
    assert not data.judged


def test_digits_become_the_image_of_their_class(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = []
    digits = make.numbered_digits(0, 10).images.numpy()
    monkeypatch.setattr(event_folder, "class_images", lambda: asked.append(1) or digits)
    data = EventFolder(write(tmp_path / "r", "3/a.npz", "3/b.npz", "7/a.npz"))
    assert [make.number_of(data.images[shown.image]) for shown in data.shown] == [3, 3, 7]
    assert data.judged
    assert len(asked) == 1
    own = EventFolder(write(tmp_path / "own", "3/a.npz", "3.png"))
    assert not own.judged  # 4 x 6 pixels are nothing the judge knows


def test_split_folders(tmp_path: Path) -> None:
    names = ("cat/a.npz", "cat.png", "dog/b.npz", "dog.png")
    root = write(tmp_path / "r", *(f"{s}/{name}" for s in event_folder.SPLITS for name in names))
    for split in ("train", "validation", "test"):
        data = EventFolder(root, split)
        assert labels(data) == {f"{split}/cat/a.npz": 0, f"{split}/dog/b.npz": 1}
    assert len(EventFolder(root)) == 6


def test_splits_part_the_files_and_stay_when_files_are_added(tmp_path: Path) -> None:
    names = [f"{i:03}.npz" for i in range(60)]
    root = write(tmp_path / "r", *names[:40], "../r.png")

    def splits() -> dict[str, dict[str, int]]:
        found = {s: EventFolder(root, s) for s in event_folder.SPLITS}
        return {s: {f.name: shown.id for f, shown in zip(data.files, data.shown, strict=True)}
                for s, data in found.items()}  # fmt: skip

    before = splits()
    assert sorted(name for part in before.values() for name in part) == names[:40]
    write(root, *names[40:])
    after = splits()
    assert len({id for part in after.values() for id in part.values()}) == 60
    for split, part in before.items():
        assert part.items() <= after[split].items()
    assert len(after["train"]) > 40
    moved = root.rename(tmp_path / "elsewhere")
    (tmp_path / "r.png").rename(tmp_path / "elsewhere.png")
    root = moved
    assert splits() == after


def test_recordings_are_read_as_told(tmp_path: Path) -> None:
    root = write(tmp_path / "r", "a.npz", "a.png")
    data = EventFolder(root, None, ReadOptions(sensor_size=(40, 34), flip_x=True))
    recording, _ = data[0]
    made = make.scattered(30, seed=0)
    assert recording.sensor_size == (40, 34)
    assert make.fields(recording)[0] == (39 - made.x).tolist()
    assert data.identity() != EventFolder(root, None, SIZE).identity()


def test_what_is_no_recording_is_left_alone(tmp_path: Path) -> None:
    root = write(tmp_path / "r", "b/a.npz", "a.NPZ.npz", "._b.npz", "c.png")
    (root / "folder.raw").mkdir()
    (root / "timestamps.txt").write_text("0.1\n")
    (root / "README.md").write_text("words")
    found = [path.relative_to(root).as_posix() for path in recordings_below(root).recordings]
    assert found == ["a.NPZ.npz", "b/a.npz"]


def test_images_of_several_sizes_are_refused(tmp_path: Path) -> None:
    root = write(tmp_path / "r", "a.npz", "b.npz", "a.png")
    make.write_image(root / "b.png", grey(0, (5, 6)))
    with pytest.raises(ValueError, match="images of one size expected") as caught:
        EventFolder(root)
    make.one_line(caught.value, "(4, 6)", "(5, 6)")


def test_no_image_says_where_to_put_it(tmp_path: Path) -> None:
    root = write(tmp_path / "r", "cat/a.npz")
    with pytest.raises(FileNotFoundError) as caught:
        EventFolder(root)
    make.one_line(caught.value, str(root / "cat" / "a.npz"), "a.png", "cat.png")


def test_a_damaged_image_is_named(tmp_path: Path) -> None:
    root = write(tmp_path / "r", "a.npz")
    (root / "a.png").write_bytes(b"junk")
    with pytest.raises(ValueError, match=r"a\.png is no image that can be read") as caught:
        EventFolder(root)
    make.one_line(caught.value)


@pytest.mark.parametrize("folder", ["empty", "absent"])
def test_no_recordings(tmp_path: Path, folder: str) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(FileNotFoundError) as caught:
        EventFolder(tmp_path / folder)
    make.one_line(caught.value, "no recordings", str(tmp_path / folder))


def test_a_split_without_recordings_says_how_many_there_are(tmp_path: Path) -> None:
    root = write(tmp_path / "r", "train/a.npz", "train/a.png")
    with pytest.raises(FileNotFoundError) as caught:
        EventFolder(root, "test")
    make.one_line(caught.value, "no test recordings", str(root / "test"), "where 1 lie in all")
    wrong: Any = "val"
    with pytest.raises(ValueError, match="split: got 'val'"):
        EventFolder(root, wrong)


# Files that are no recordings.


def test_what_holds_no_events_is_passed_over(tmp_path: Path) -> None:
    """By content, and said; what is damaged stays a recording, so that somebody is told."""
    root = write(tmp_path / "r", "0/a.npz", "1/b.npz", "0.png", "1.png")
    (root / "README.txt").write_bytes("Recorded on Monday, near Zürich.\n".encode("latin-1"))
    (root / "0" / "user01_labels.csv").write_text("class,startTime_usec,endTime_usec\n1,0,5\n")
    (root / "0" / "timestamps.txt").write_text("0.1\n0.2\n")
    boxes = np.zeros(3, [("ts", "<u8"), ("x", "<f4"), ("y", "<f4"), ("w", "<f4"), ("h", "<f4")])
    np.save(root / "0" / "a_bbox.npy", boxes)
    np.savez(root / "1" / "features.npz", mean=np.zeros(3), std=np.ones(3))
    data = EventFolder(root)
    assert [path.name for path in data.files] == ["a.npz", "b.npz"]
    assert data.classes == {"0": 0, "1": 1}
    assert data.unused == (
        "passed over, no recordings: a_bbox.npy, timestamps.txt, user01_labels.csv and 2 more"
    )
    for name, content in (("0/c.npz", b"PK\x03\x04junk"), ("0/d.npy", b""), ("1/e.txt", b"\0")):
        (root / name).write_bytes(content)
    names = [path.name for path in recordings_below(root).recordings]
    assert names == ["a.npz", "c.npz", "d.npy", "b.npz", "e.txt"]


def test_excluded_files_are_not_looked_at(tmp_path: Path) -> None:
    root = write(tmp_path / "r", "0/a.npz", "0/a_boxes.npz", "labels/b.npz", "0.png", "labels.png")
    assert len(EventFolder(root)) == 3
    data = EventFolder(root, exclude=["*_boxes.npz", "labels/*"])
    assert labels(data) == {"0/a.npz": 0}


def test_recordings_outside_the_split_folders_are_said(tmp_path: Path) -> None:
    root = write(tmp_path / "r", "train/a.npz", "train.png", "more/b.npz", "more.png")
    assert EventFolder(root, "train").unused == "passed over, not in train, validation, test: b.npz"


@pytest.mark.parametrize(
    "name", ["a b.npz", "[a].npz", "-a.npz", "é*.npz", "a.b.npz", "\udcff.npz"]
)
def test_files_may_be_called_anything(name: str, tmp_path: Path) -> None:
    root = write(tmp_path / "r.d [x]", f"cl ass.v1/{name}", "cl ass.v1.png")
    data = EventFolder(root)
    assert data.classes == {"cl ass.v1": 0}
    assert len(data[0][0]) == 30
    assert 0 <= data.shown[0].id < 1 << 48


def test_classes_that_are_one_number_written_twice_stay_apart(tmp_path: Path) -> None:
    root = write(tmp_path / "r", "1/a.npz", "01/a.npz", "1.png", "01.png")
    assert labels(EventFolder(root)) == {"01/a.npz": 0, "1/a.npz": 1}
