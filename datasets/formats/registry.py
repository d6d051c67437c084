"""Which reader a file is for. Its first bytes tell; only N-MNIST's format has no mark."""

from typing import BinaryIO

from vdib.datasets.formats.aedat2 import read_aedat2
from vdib.datasets.formats.aedat3 import read_aedat3
from vdib.datasets.formats.aedat4 import read_aedat4
from vdib.datasets.formats.nmnist_bin import looks_like_nmnist_bin, read_nmnist_bin
from vdib.datasets.formats.numpy_files import read_npy, read_npz
from vdib.datasets.formats.prophesee import looks_like_prophesee, read_prophesee
from vdib.datasets.formats.read_options import ReadOptions
from vdib.datasets.formats.source import EventSource, Faults
from vdib.datasets.formats.text import looks_like_text, read_event_text

_HEAD_BYTES = 4000


def recognised(file: BinaryIO, faults: Faults, options: ReadOptions) -> EventSource:
    """The file, its header read, by the reader of its format; an error if there is none."""
    head = file.read(_HEAD_BYTES)
    file.seek(0)
    named_bin = faults.path.suffix.lower() == ".bin"
    if not head:
        raise faults.fatal(0, "an empty file", "a recording")
    if head.startswith(b"#!AER-DAT2.0"):
        return read_aedat2(file, faults, options.layout)
    if head.startswith(b"#!AER-DAT3.1"):
        return read_aedat3(file, faults)
    if head.startswith(b"#!AER-DAT4.0"):
        return read_aedat4(file, faults, options.stream)
    if looks_like_prophesee(head):
        return read_prophesee(file, faults)
    if head.startswith(b"\x93NUMPY"):
        return read_npy(file, faults, options.columns, options.time_scale)
    if head.startswith(b"PK\x03\x04"):
        return read_npz(file, faults, options.columns, options.time_scale)
    if not head.startswith((b"#!AER-DAT", b"\x89HDF")):
        if looks_like_text(head):
            return read_event_text(file, faults, options.columns, options.time_scale)
        if named_bin or looks_like_nmnist_bin(head):
            return read_nmnist_bin(file, faults)
    raise faults.fatal(
        0,
        f"a beginning {head[:12]!r}",
        "'#!AER-DAT2.0', 3.1 or 4.0, '% ' (Prophesee), .npy, .npz, text, or N-MNIST's .bin",
    )
