"""Settings as YAML that everyone reads alike."""

from enum import Enum
from typing import Any

import yaml  # type: ignore[import-untyped]


def portable_yaml(settings: dict[str, Any]) -> str:
    """Settings in ASCII, with quotes where a reader could take words for numbers.

    PyYAML leaves 1e-3 bare: it is no number in YAML 1.1. To the parser of the commands it is one.
    ASCII, because editors and locales differ in their encodings.

    >>> print(portable_yaml({"name": "1e-3", "lr": 1e-3, "window": "rate"}), end="")
    name: "1e-3"
    lr: 0.001
    window: rate
    """
    text: str = yaml.dump(settings, Dumper=_Dumper, sort_keys=False)
    return text


class _Dumper(yaml.SafeDumper):  # type: ignore[misc]
    def represent_str(self, value: str) -> Any:
        try:
            float(value)
        except ValueError:
            return super().represent_str(value)
        return self.represent_scalar("tag:yaml.org,2002:str", value, style='"')

    def represent_enum(self, value: Enum) -> Any:  # some of Lightning's defaults
        return self.represent_data(value.value)


_Dumper.add_representer(str, _Dumper.represent_str)
_Dumper.add_multi_representer(Enum, _Dumper.represent_enum)
