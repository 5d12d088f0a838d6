"""YAML that people write: cards, specs, options of models."""

from __future__ import annotations

from typing import Any

import yaml
from yaml.constructor import ConstructorError
from yaml.nodes import MappingNode


def read_yaml(text: str) -> Any:
    """The values of a YAML document of plain types.

    Raises
    ------
    yaml.YAMLError
        If it is none, or a mapping has a key twice, of which the first would be lost.
    """
    loader = _Loader(text)
    try:
        return loader.get_single_data()
    finally:
        loader.dispose()


class _Loader(yaml.SafeLoader):
    def construct_mapping(self, node: MappingNode, deep: bool = False) -> dict[Any, Any]:
        known: set[str] = set()
        for key, _ in node.value:
            if key.value in known and isinstance(key.value, str):
                raise ConstructorError(None, None, f"'{key.value}' is there twice", key.start_mark)
            known.add(str(key.value))
        return super().construct_mapping(node, deep)
