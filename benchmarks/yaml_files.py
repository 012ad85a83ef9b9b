"""Reading what users write in YAML and JSON."""

from __future__ import annotations

import json
from collections.abc import Hashable
from pathlib import Path
from typing import Any

import yaml

from benchmarks.errors import UserError


class Twice(ValueError):
    """A key that stands twice in a mapping: the parsers would keep the last one in silence."""


class _Strict(yaml.SafeLoader):
    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        met = set()
        for key, _ in node.value:
            if isinstance(key, yaml.ScalarNode) and (key.tag, key.value) in met:
                raise Twice(f"'{key.value}' stands there twice (line {key.start_mark.line + 1})")
            met.add((key.tag, str(key.value)))
        return super().construct_mapping(node, deep)


def load_yaml(text: str) -> Any:
    """What a YAML text holds.

    Raises:
        Twice: a key stands twice.
        yaml.YAMLError, ValueError: it is no YAML.
    """
    return yaml.load(text, _Strict)  # a SafeLoader


def load_json(text: str) -> Any:
    """What a JSON text holds; raises Twice, or ValueError where it is no JSON."""

    def mapping(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        found: dict[str, Any] = {}
        for key, value in pairs:
            if key in found:
                raise Twice(f"'{key}' stands there twice")
            found[key] = value
        return found

    return json.loads(text, object_pairs_hook=mapping)


def yaml_mapping(file: Path, wanted: str) -> dict[str, Any]:
    """The mapping in a YAML file.

    Raises:
        UserError: it cannot be read, or holds something else; the line says what is `wanted`.
    """
    try:
        data = load_yaml(file.read_text(encoding="utf-8"))
    except OSError as error:
        raise UserError(f"Cannot read {file}: {error.strerror}.") from error
    except (yaml.YAMLError, ValueError) as error:  # ValueError: no UTF-8, or a date of month 13
        raise UserError(f"{file} is not valid YAML: {' '.join(str(error).split())}") from error
    if not isinstance(data, dict):
        raise UserError(f"{file}: {wanted}, not {data!r}.")
    return {str(k): v for k, v in data.items()}
