"""Readers of users' YAML and JSON files: strict, and bounded in time and memory.

A file may come with data from elsewhere. Its tags run no code (`SafeLoader`), it is read up to a
size, and a text of a few lines cannot grow without end, as by aliases of aliases.
"""

from __future__ import annotations

import json
import re
from collections.abc import Hashable
from pathlib import Path
from typing import Any, ClassVar

import yaml

from benchmarks.errors import UserError
from benchmarks.input_files import MB, read_text

YAML_LIMIT = 4 * MB
"""Largest YAML file in bytes; JSON is read ten times faster."""
JSON_LIMIT = 256 * MB
"""Largest JSON file in bytes."""
_DEPTH = 50
"""Most mappings and lists inside each other."""
_VALUES = 300_000
"""Most values, where an alias counts as all that it repeats."""
_DIGITS = 100
"""Longest number in characters; some forms take a time that grows with the square."""

_LONG = MB // 10
"""Characters of a text from which on libyaml reads it, where PyYAML has it. It is ten times faster,
but knows fewer ways to write a value, such as the mapping `{recipe:}`."""


_MISREAD = re.compile(r"[-+]?0[0-9]+|[-+]?0[bx].+|.*:.*")
"""Numbers that YAML 1.1 does not read as they look: octal, binary, hexadecimal, to the base 60."""


class Refused(ValueError):
    """Valid text whose values would not be those that its author sees."""


class DuplicateKey(Refused):
    """A key appears twice in a mapping; the parsers would silently keep the last value."""


class _Constructor(yaml.constructor.SafeConstructor):
    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        seen = set()
        for key, _ in node.value:
            if isinstance(key, yaml.ScalarNode) and (key.tag, key.value) in seen:
                line = key.start_mark.line + 1
                raise DuplicateKey(f"'{key.value}' appears twice (line {line})")
            seen.add((key.tag, str(key.value)))
        return super().construct_mapping(node, deep)

    def number(self, node: yaml.ScalarNode) -> Any:
        """An int or float."""
        if len(node.value) > _DIGITS:
            raise ValueError(f"a number of {len(node.value):,} characters")
        kind = node.tag.rpartition(":")[2]
        found = getattr(self, f"construct_yaml_{kind}")(node)
        looks = node.value.replace("_", "")
        if _MISREAD.fullmatch(looks) and not (looks.isdecimal() and int(looks) == found):
            line = node.start_mark.line + 1
            raise Refused(
                f"{node.value} is {found} in YAML (line {line}): write {found}, or '{node.value}' "
                "in quotes if it is a name"
            )
        return found

    def text(self, node: yaml.ScalarNode) -> str:
        """A text that a file's name or a record can contain."""
        found: str = self.construct_yaml_str(node)
        if re.search("[\0\ud800-\udfff]", found):
            raise ValueError(f"line {node.start_mark.line + 1} has a character without a form")
        return found

    yaml_constructors: ClassVar = {
        **yaml.constructor.SafeConstructor.yaml_constructors,
        "tag:yaml.org,2002:str": text,
        **dict.fromkeys(("tag:yaml.org,2002:int", "tag:yaml.org,2002:float"), number),
    }


class _Strict(_Constructor, yaml.SafeLoader):
    pass


class _StrictAndFast(_Constructor, getattr(yaml, "CSafeLoader", yaml.SafeLoader)):  # type: ignore[misc]
    pass


def load_yaml(text: str) -> Any:
    """Parse YAML text.

    Raises:
        Refused: a key appears twice, or a number is not what it looks like.
        yaml.YAMLError, ValueError: the text is not valid YAML, or is nested without end.
    """
    loader = _Strict if len(text) < _LONG else _StrictAndFast
    _refuse_endless(text, loader)
    try:
        return yaml.load(text, loader)  # a SafeLoader
    except (KeyError, AttributeError, IndexError, TypeError) as error:
        # PyYAML's own constructors raise them for a value such as `!!bool x`.
        raise ValueError("a value does not have the type that its tag says") from error


def load_json(text: str) -> Any:
    """Parse JSON text.

    Raises:
        DuplicateKey: a key appears twice.
        ValueError: the text is not valid JSON, or is nested without end.
    """

    def constant(name: str) -> Any:
        raise ValueError(f"{name} is not a number in JSON")

    def mapping(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        found = dict(pairs)
        if len(found) < len(pairs):
            keys = [key for key, _ in pairs]
            twice = next(key for key in keys if keys.count(key) > 1)
            raise DuplicateKey(f"'{twice[:60]}' appears twice")
        return found

    try:
        found = json.loads(text, object_pairs_hook=mapping, parse_constant=constant)
        if re.search(r"\\u[dD][89a-fA-F]", text):  # half a character cannot be written or hashed
            json.dumps(found, ensure_ascii=False).encode()
    except RecursionError:
        raise ValueError("lists and mappings are nested without end") from None
    return found


def _refuse_endless(text: str, loader: type) -> None:
    """Refuse a text whose values are nested deeply, or many once its aliases are followed.

    The parser's events are looked at, because building the values from them recurses.
    """
    sizes: dict[str, int] = {}  # values under each anchor
    above: list[tuple[str | None, int]] = []  # anchor of each open collection; values before it
    total = 0
    for event in yaml.parse(text, loader):
        anchor = getattr(event, "anchor", None)
        if isinstance(event, yaml.AliasEvent):
            if anchor in {name for name, _ in above}:
                raise ValueError(f"the alias *{anchor} contains itself")
            total += sizes.get(str(anchor), 1)
        elif isinstance(event, yaml.ScalarEvent):
            total += 1
            if anchor is not None:
                sizes[anchor] = 1
        elif isinstance(event, yaml.CollectionStartEvent):
            above.append((anchor, total))
            total += 1
        elif isinstance(event, yaml.CollectionEndEvent):
            name, before = above.pop()
            if name is not None:
                sizes[name] = total - before
        if len(above) > _DEPTH:
            raise ValueError(f"more than {_DEPTH} lists and mappings inside each other")
        if total > _VALUES:
            raise ValueError(f"more than {_VALUES:,} values")


def yaml_mapping(file: Path, expected: str) -> dict[str, Any]:
    """Read the mapping in a YAML file.

    Args:
        file: the file.
        expected: the expected content, for the error message.

    Raises:
        UserError: the file cannot be read, or does not contain a mapping.
    """
    try:
        data = load_yaml(read_text(file, YAML_LIMIT))
    except OSError as error:
        raise UserError(f"Cannot read {file}: {error.strerror}.") from error
    except Refused as error:
        raise UserError(f"{file}: {error}.") from error
    except (yaml.YAMLError, ValueError) as error:  # ValueError: not UTF-8, or a date with month 13
        raise UserError(f"{file} is not valid YAML: {' '.join(str(error).split())}") from error
    if not isinstance(data, dict):
        raise UserError(f"{file}: {expected}, not {repr(data)[:80]}.")
    found = {str(k): v for k, v in data.items()}
    if len(found) < len(data):
        raise UserError(f"{file}: a key appears both as a text and as a number.")
    return found
