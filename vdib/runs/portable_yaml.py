"""Settings as YAML that everyone reads alike."""

from typing import Any

import yaml  # type: ignore[import-untyped]


def portable_yaml(text: str) -> str:
    """The same YAML in ASCII, with quotes where a reader could take words for numbers.

    PyYAML leaves 1e-3 bare: it is no number in YAML 1.1. To the parser of the commands it is one.
    ASCII, because editors and locales differ in their encodings.
    """
    dumped: str = yaml.dump(yaml.safe_load(text), Dumper=_Dumper, sort_keys=False)
    return dumped


class _Dumper(yaml.SafeDumper):  # type: ignore[misc]
    def represent_str(self, value: str) -> Any:
        try:
            float(value)
        except ValueError:
            return super().represent_str(value)
        return self.represent_scalar("tag:yaml.org,2002:str", value, style='"')


_Dumper.add_representer(str, _Dumper.represent_str)
