"""A few of the configs that `fuzz_configs.py` mutates."""

import fuzz_configs
import pytest
import yaml

# Lightning calls what jsonargparse has deprecated.
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::UserWarning")


def test_mutated_configs_are_one_line_or_a_run(capsys):
    assert fuzz_configs.main(["--count", "25"]) == 0
    assert "25 of 25" in capsys.readouterr().out


def test_a_fault_is_found(tmp_path, monkeypatch):
    """What is no line of ours is told with the place that it came from."""
    monkeypatch.chdir(tmp_path)

    def broken(args):
        raise KeyError("model")

    monkeypatch.setattr("vdib.runs.cli.build", broken)
    assert fuzz_configs.fault(0).startswith("KeyError: \"'model'\" at ")


def test_configs_differ_and_stay_the_same():
    some = [fuzz_configs.mutated(number) for number in range(40)]
    assert some == [fuzz_configs.mutated(number) for number in range(40)]
    assert len(set(some)) > 35  # some changes leave a config as it was
    parsed = 0
    for text in some:
        try:
            parsed += isinstance(yaml.safe_load(text), dict)
        except yaml.YAMLError:
            continue
    assert parsed > 25  # most are mutated in their structure
