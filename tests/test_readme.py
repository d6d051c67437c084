"""What the README shows has to run."""

import re
from pathlib import Path

import pytest

README = Path(__file__).parents[1] / "README.md"


def test_the_parts_in_plain_pytorch(capsys):
    (code,) = re.findall(r"```python\n(.*?)```", README.read_text(encoding="utf-8"), re.DOTALL)
    exec(compile(code, str(README), "exec"), {})
    assert re.fullmatch(r"distortion \d+ nats, rate \d+ nats\n", capsys.readouterr().out)


@pytest.mark.parametrize("line", re.findall(r"\]\(((?:docs/)?[\w.]+)\)", README.read_text("utf-8")))
def test_links_lead_somewhere(line):
    assert (README.parent / line).exists()
