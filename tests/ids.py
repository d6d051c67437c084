"""Names of tests that are the same in every process, so that several can share them."""

import re


def named(part: object) -> str:
    """A part in words, without the addresses of its functions."""
    return re.sub(r" at 0x[0-9a-f]+", "", str(part))
