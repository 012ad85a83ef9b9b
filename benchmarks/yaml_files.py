"""Readers of users' YAML and JSON files that reject duplicate keys."""

from __future__ import annotations

import json
from collections.abc import Hashable
from pathlib import Path
from typing import Any

import yaml

from benchmarks.errors import UserError


class DuplicateKey(ValueError):
    """A key appears twice in a mapping; the parsers would silently keep the last value."""


class _Strict(yaml.SafeLoader):
    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        seen = set()
        for key, _ in node.value:
            if isinstance(key, yaml.ScalarNode) and (key.tag, key.value) in seen:
                line = key.start_mark.line + 1
                raise DuplicateKey(f"'{key.value}' appears twice (line {line})")
            seen.add((key.tag, str(key.value)))
        return super().construct_mapping(node, deep)


def load_yaml(text: str) -> Any:
    """Parse YAML text.

    Raises:
        DuplicateKey: a key appears twice.
        yaml.YAMLError, ValueError: the text is not valid YAML.
    """
    return yaml.load(text, _Strict)  # a SafeLoader


def load_json(text: str) -> Any:
    """Parse JSON text.

    Raises:
        DuplicateKey: a key appears twice.
        ValueError: the text is not valid JSON.
    """

    def mapping(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        found: dict[str, Any] = {}
        for key, value in pairs:
            if key in found:
                raise DuplicateKey(f"'{key}' appears twice")
            found[key] = value
        return found

    return json.loads(text, object_pairs_hook=mapping)


def yaml_mapping(file: Path, expected: str) -> dict[str, Any]:
    """Read the mapping in a YAML file.

    Args:
        file: the file.
        expected: the expected content, for the error message.

    Raises:
        UserError: the file cannot be read, or does not contain a mapping.
    """
    try:
        data = load_yaml(file.read_text(encoding="utf-8"))
    except OSError as error:
        raise UserError(f"Cannot read {file}: {error.strerror}.") from error
    except (yaml.YAMLError, ValueError) as error:  # ValueError: not UTF-8, or a date with month 13
        raise UserError(f"{file} is not valid YAML: {' '.join(str(error).split())}") from error
    if not isinstance(data, dict):
        raise UserError(f"{file}: {expected}, not {data!r}.")
    return {str(k): v for k, v in data.items()}
