"""The YAML file that describes a user's own data, checked key by key."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, cast

from benchmarks.datasets.base import TaskKind
from benchmarks.datasets.files.characters import TEXT, shown
from benchmarks.datasets.files.texts import read_mapping
from benchmarks.datasets.own.places import KEYS as PLACES
from benchmarks.datasets.own.places import Places, read_places
from benchmarks.datasets.own.words import fit, nfc, path_of, text_of
from benchmarks.errors import UserError, did_you_mean
from benchmarks.plugins.values import GROUP_RULES, coerce
from benchmarks.yaml_files import yaml_mapping

KNOBS = ("test_share", "imbalance", "profile", "head_share", "n_max")
"""Keys that are also fields of the data set, so that `--set NAME.FIELD` can change them."""
ROLES = {
    "table": ("path", "label", "labels", "split", "caption"),
    "shards": ("image", "label", "labels", "caption"),
    "huggingface": ("image", "label", "labels", "caption"),
}
"""Roles of columns, for each kind of data that has any."""
TEMPLATES = ("a photo of a {}.",)
SEPARATORS = "|;"

_KEYS = (
    "name", "task", *PLACES, "columns", "separator", "classes", "templates", "descriptions",
    "hierarchy", "groups", "version", "source", "licence", *KNOBS,
)  # fmt: skip


@dataclass(frozen=True)
class Spec:
    """Description of a data set in a file; `--set` can change nothing of it but `knobs`."""

    file: Path
    name: str
    task: TaskKind
    places: Places
    columns: Mapping[str, str | tuple[str, ...]] = field(default_factory=dict)
    """Role -> name of the column, of a column of `huggingface`, or of a part of a sample in
    `shards` (an ending such as `jpg`, or `json.KEY`); for `labels` of a table also several, a
    column of 0 and 1 per class."""
    separator: str = SEPARATORS
    """Characters, each of which separates two labels."""
    classes: Mapping[str, str] = field(default_factory=dict)
    """Key -> name in prompts, in the order of the class indices; empty for the classes found."""
    templates: tuple[str, ...] = TEMPLATES
    descriptions: Mapping[str, str] | Literal["wordnet"] = field(default_factory=dict)
    """Key or name of a class -> text; `wordnet` for the glosses of an installed WordNet."""
    hierarchy: Any = None
    """Nested mappings of groups of classes (see `hierarchy.nested`), `wordnet` or None."""
    groups: str = "auto"
    version: str = "1"
    source: str = ""
    licence: str = ""
    knobs: Mapping[str, Any] = field(default_factory=dict)
    """Fields of the data set that the file sets, unchecked."""


def read_spec(file: Path) -> Spec:
    """Read a description.

    Raises:
        UserError: the file cannot be read, or has an unknown key or a wrong type or value.
    """
    values = yaml_mapping(file, "a description of your own data has lines such as 'images: photos'")
    for key in values:
        if key not in _KEYS:
            raise did_you_mean(f"key in {file}", key, _KEYS)
    values = {key: value for key, value in values.items() if value is not None}
    task = text_of(values.get("task", "single"), f"{file}, task")
    if task not in ("single", "multi"):
        raise UserError(f"{file}, task: '{task}' is not one of single, multi.")
    groups = text_of(values.get("groups", "auto"), f"{file}, groups")
    if groups not in GROUP_RULES:
        raise UserError(f"{file}, groups: '{groups}' is not one of {', '.join(GROUP_RULES)}.")
    places = read_places(values, file, task)
    return Spec(
        file=file,
        name=_name(values.get("name", file.stem), file),
        task=cast(TaskKind, task),
        places=places,
        columns=_columns(values.get("columns", {}), f"{file}, columns", task, places),
        separator=_separator(values.get("separator", SEPARATORS), f"{file}, separator"),
        classes=_classes(values.get("classes", {}), f"{file}, classes"),
        templates=_templates(values.get("templates", TEMPLATES), f"{file}, templates"),
        descriptions=_descriptions(values.get("descriptions", {}), file),
        hierarchy=_hierarchy(values.get("hierarchy"), file),
        groups=groups,
        version=text_of(values.get("version", "1"), f"{file}, version"),
        source=text_of(values.get("source", ""), f"{file}, source", TEXT),
        licence=text_of(values.get("licence", ""), f"{file}, licence", TEXT),
        knobs={key: value for key, value in values.items() if key in KNOBS},
    )


def _name(value: Any, file: Path) -> str:
    name = text_of(value, f"{file}, name")
    if not re.fullmatch(r"\w[\w.-]{0,99}", name):
        raise UserError(
            f"{file}: the data set cannot be called '{name}': write `name:` with letters, digits, "
            "'-', '_' and '.' only, at most 100."
        )
    return name


def _columns(value: Any, where: str, task: str, places: Places) -> dict[str, str | tuple[str, ...]]:
    if not isinstance(value, dict):
        raise UserError(
            f"{where}: write a mapping such as {{path: filename}}, not {repr(value)[:60]}."
        )
    found: dict[str, str | tuple[str, ...]] = {}
    kind = "shards" if places.shards else "huggingface" if places.huggingface else "table"
    for role, column in value.items():
        if role not in ROLES[kind]:
            raise did_you_mean(f"role in {where}", str(role), ROLES[kind])
        if role == "labels" and isinstance(column, list) and kind == "table":
            if task != "multi":
                raise UserError(f"{where}: several label columns need `task: multi`.")
            found[role] = tuple(text_of(name, f"{where}, labels") for name in column)
        else:
            found[role] = text_of(column, f"{where}, {role}")
    if "label" in found and "labels" in found:
        raise UserError(f"{where}: label and labels mean the same; give one of them.")
    return found


def _separator(value: Any, where: str) -> str:
    text: str = coerce(value, str, where)
    if not text:
        raise UserError(f"{where}: give one or more characters.")
    return text


def _classes(value: Any, where: str) -> dict[str, str]:
    """Key -> name, from a list of keys or a mapping."""
    if isinstance(value, list):
        pairs: Iterable[tuple[Any, Any]] = ((key, None) for key in value)
    elif isinstance(value, dict):
        pairs = value.items()
    else:
        raise UserError(f"{where}: write a list of names or a mapping {{key: name}}.")
    found: dict[str, str] = {}
    for key, name in pairs:
        if isinstance(key, bool) or key is None:
            raise UserError(f"{where}: YAML reads one of the names as {key}; put it in quotes.")
        text = nfc(text_of(key, where))
        if not text:
            raise UserError(f"{where}: a class has a blank name.")
        if text in found:
            raise UserError(f"{where}: '{text}' is listed twice.")
        found[text] = display_name(text) if name is None else nfc(text_of(name, f"{where}, {text}"))
        if not found[text]:
            raise UserError(f"{where}: the name of '{text}' is blank.")
    if value and len(found) < 2:
        raise UserError(f"{where}: name at least two.")
    return found


def display_name(key: str) -> str:
    """The name of a class in prompts, made from its key."""
    return " ".join(key.replace("_", " ").split())


def _templates(value: Any, where: str) -> tuple[str, ...]:
    texts = [value] if isinstance(value, str) else value
    if not isinstance(texts, list | tuple) or not texts:
        raise UserError(f"{where}: write a text or a list of texts, not {repr(value)[:60]}.")
    for text in texts:
        rest = text.replace("{}", "", 1) if isinstance(text, str) else "{"
        if rest == text or "{" in rest or "}" in rest:
            said = shown(str(text))
            raise UserError(f"{where}: '{said}' needs exactly one {{}} for the class name.")
        fit(text, where, TEXT)
    return tuple(texts)


def _hierarchy(value: Any, file: Path) -> Any:
    if not isinstance(value, str) or value == "wordnet":
        return value
    return read_mapping(path_of(value, file, "hierarchy"), f"{file}, hierarchy")


def _descriptions(value: Any, file: Path) -> dict[str, str] | Literal["wordnet"]:
    if value == "wordnet":
        return "wordnet"
    where: Path | str = f"{file}, descriptions"
    if isinstance(value, str):
        where = path_of(value, file, "descriptions")
        value = read_mapping(where, f"{file}, descriptions")
    if not isinstance(value, dict):
        raise UserError(
            f"{where}: write a mapping {{class: text}}, a JSON or YAML file, or wordnet."
        )
    found = {}
    for key, text in value.items():
        if isinstance(key, bool) or key is None:
            raise UserError(f"{where}: YAML reads one of the names as {key}; put it in quotes.")
        if not isinstance(text, str) or not text.strip():
            raise UserError(f"{where}: the description of '{key}' is not a text.")
        found[nfc(str(key))] = fit(" ".join(text.split()), where, TEXT)
    return found
