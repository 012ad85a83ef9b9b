"""The YAML file that describes a user's own data: what it may say, checked key by key."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, cast

from benchmarks.datasets.base import TaskKind
from benchmarks.datasets.files.texts import read_mapping
from benchmarks.errors import UserError, did_you_mean
from benchmarks.plugins.values import GROUP_RULES, coerce
from benchmarks.yaml_files import yaml_mapping

SPLITS = ("train", "test", "val")
KNOBS = ("test_share", "imbalance", "profile", "head_share", "n_max")
"""Keys that are fields of the data set as well: `--set NAME.FIELD` changes them."""
ROLES = ("path", "label", "labels", "split", "caption")
"""What a column of a table may be."""
TEMPLATES = ("a photo of a {}.",)
SEPARATORS = "|;"

_KEYS = (
    "name", "task", "images", "table", "columns", "separator", "classes", "templates",
    "descriptions", "groups", "version", "source", "licence", *KNOBS,
)  # fmt: skip


@dataclass(frozen=True)
class Spec:
    """What a file says of a data set, without what may be changed from outside."""

    file: Path
    name: str
    task: TaskKind
    images: Mapping[str, Path] = field(default_factory=dict)
    """Folders of class folders by split, with "" for one folder of whatever form; of a table, the
    folder that its paths start from, under ""."""
    table: Path | None = None
    columns: Mapping[str, str | tuple[str, ...]] = field(default_factory=dict)
    """Role -> name of the column; of `labels`, also several names, a column of 0 and 1 a class."""
    separator: str = SEPARATORS
    """Each of these characters stands between two labels."""
    classes: Mapping[str, str] = field(default_factory=dict)
    """Key -> name in prompts, in the order of the class indices; empty takes what is there."""
    templates: tuple[str, ...] = TEMPLATES
    descriptions: Mapping[str, str] | Literal["wordnet"] = field(default_factory=dict)
    """By key or name of a class; or glosses, from a WordNet on this machine."""
    groups: str = "auto"
    version: str = "1"
    source: str = ""
    licence: str = ""
    knobs: Mapping[str, Any] = field(default_factory=dict)
    """Fields of the data set that the file sets, unchecked."""


def read_spec(file: Path) -> Spec:
    """What a file says.

    Raises:
        UserError: it cannot be read; an unknown key, a wrong type or value. One line.
    """
    values = yaml_mapping(file, "your own data are described by lines such as 'images: photos'")
    for key in values:
        if key not in _KEYS:
            raise did_you_mean(f"key in {file}", key, _KEYS)
    values = {key: value for key, value in values.items() if value is not None}
    task = _text(values.get("task", "single"), f"{file}, task")
    if task not in ("single", "multi"):
        raise UserError(f"{file}, task: '{task}' is none of single, multi.")
    groups = _text(values.get("groups", "auto"), f"{file}, groups")
    if groups not in GROUP_RULES:
        raise UserError(f"{file}, groups: '{groups}' is none of {', '.join(GROUP_RULES)}.")
    images, table = _places(values, file, task)
    return Spec(
        file=file,
        name=_name(values.get("name", file.stem), file),
        task=cast(TaskKind, task),
        images=images,
        table=table,
        columns=_columns(values.get("columns", {}), f"{file}, columns", task),
        separator=_separator(values.get("separator", SEPARATORS), f"{file}, separator"),
        classes=_classes(values.get("classes", {}), f"{file}, classes"),
        templates=_templates(values.get("templates", TEMPLATES), f"{file}, templates"),
        descriptions=_descriptions(values.get("descriptions", {}), file),
        groups=groups,
        version=_text(values.get("version", "1"), f"{file}, version"),
        source=_text(values.get("source", ""), f"{file}, source"),
        licence=_text(values.get("licence", ""), f"{file}, licence"),
        knobs={key: value for key, value in values.items() if key in KNOBS},
    )


def plain(text: str) -> str:
    """A name or path in the one form of Unicode that macOS and Linux files are compared in."""
    return unicodedata.normalize("NFC", text)


def _text(value: Any, where: str) -> str:
    """A text, or a number that was meant as one: `version: 2`."""
    number = isinstance(value, int | float) and not isinstance(value, bool)
    text: str = coerce(str(value) if number else value, str, where)
    return text.strip()


def _name(value: Any, file: Path) -> str:
    name = _text(value, f"{file}, name")
    if not re.fullmatch(r"\w[\w.-]*", name):
        raise UserError(
            f"{file}: the data set cannot be called '{name}': write `name:` with letters, digits, "
            "'-', '_' and '.' alone."
        )
    return name


def _places(values: dict[str, Any], file: Path, task: str) -> tuple[dict[str, Path], Path | None]:
    """The folders of images and the table, as paths that can be opened from here."""
    images = values.get("images")
    if "table" in values:
        table = _path(values["table"], file, "table")
        if isinstance(images, dict):
            raise UserError(f"{file}, images: beside a table one folder is wanted.")
        return {"": table.parent if images is None else _path(images, file, "images")}, table
    for key in ("columns", "separator"):
        if key in values:
            raise UserError(f"{file}, {key}: goes with a table, and there is no `table:`.")
    if task == "multi":
        raise UserError(
            f"{file}: task multi needs a table of paths and labels: write `table: FILE`."
        )
    if images is None:
        raise UserError(
            f"{file}: say where the images are: `images: FOLDER` with a folder for each class, or "
            "`table: FILE` with a path and a label a row."
        )
    if not isinstance(images, dict):
        return {"": _path(images, file, "images")}, None
    for split in images:
        if split not in SPLITS:
            raise did_you_mean(f"split in {file}, images", str(split), SPLITS)
    if "train" not in images:
        raise UserError(f"{file}, images: a folder for train is wanted among them.")
    return {s: _path(images[s], file, f"images, {s}") for s in SPLITS if s in images}, None


def _path(value: Any, file: Path, key: str) -> Path:
    text = _text(value, f"{file}, {key}")
    if not text:
        raise UserError(f"{file}, {key}: no path is given.")
    return file.parent / Path(text).expanduser()


def _columns(value: Any, where: str, task: str) -> dict[str, str | tuple[str, ...]]:
    if not isinstance(value, dict):
        raise UserError(f"{where}: a mapping such as {{path: filename}} is wanted, not {value!r}.")
    found: dict[str, str | tuple[str, ...]] = {}
    for role, column in value.items():
        if role not in ROLES:
            raise did_you_mean(f"role in {where}", str(role), ROLES)
        if role == "labels" and isinstance(column, list):
            if task != "multi":
                raise UserError(f"{where}: several columns of labels need `task: multi`.")
            found[role] = tuple(_text(name, f"{where}, labels") for name in column)
        else:
            found[role] = _text(column, f"{where}, {role}")
    if "label" in found and "labels" in found:
        raise UserError(f"{where}: label and labels are the same; name one.")
    return found


def _separator(value: Any, where: str) -> str:
    text: str = coerce(value, str, where)
    if not text:
        raise UserError(f"{where}: one or more characters are wanted.")
    return text


def _classes(value: Any, where: str) -> dict[str, str]:
    """Key -> name, from a list of keys or a mapping."""
    if isinstance(value, list):
        pairs: Iterable[tuple[Any, Any]] = ((key, None) for key in value)
    elif isinstance(value, dict):
        pairs = value.items()
    else:
        raise UserError(f"{where}: a list of names or a mapping {{key: name}} is wanted.")
    found: dict[str, str] = {}
    for key, name in pairs:
        if isinstance(key, bool) or key is None:
            raise UserError(f"{where}: YAML reads one of the names as {key}; put it in quotes.")
        text = plain(_text(key, where))
        if not text:
            raise UserError(f"{where}: a class has a blank name.")
        if text in found:
            raise UserError(f"{where}: '{text}' stands there twice.")
        found[text] = shown(text) if name is None else plain(_text(name, f"{where}, {text}"))
        if not found[text]:
            raise UserError(f"{where}: the name of '{text}' is blank.")
    if value and len(found) < 2:
        raise UserError(f"{where}: at least two are wanted.")
    return found


def shown(key: str) -> str:
    """A class's key as prompts spell it."""
    return " ".join(key.replace("_", " ").split())


def _templates(value: Any, where: str) -> tuple[str, ...]:
    texts = [value] if isinstance(value, str) else value
    if not isinstance(texts, list | tuple) or not texts:
        raise UserError(f"{where}: a text or a list of texts is wanted, not {value!r}.")
    for text in texts:
        rest = text.replace("{}", "", 1) if isinstance(text, str) else "{"
        if rest == text or "{" in rest or "}" in rest:
            raise UserError(f"{where}: '{text}' is no text with one {{}} for the class name.")
    return tuple(texts)


def _descriptions(value: Any, file: Path) -> dict[str, str] | Literal["wordnet"]:
    if value == "wordnet":
        return "wordnet"
    where: Path | str = f"{file}, descriptions"
    if isinstance(value, str):
        where = _path(value, file, "descriptions")
        value = read_mapping(where, f"{file}, descriptions")
    if not isinstance(value, dict):
        raise UserError(
            f"{where}: a mapping {{class: text}}, a JSON or YAML file or wordnet is wanted."
        )
    found = {}
    for key, text in value.items():
        if isinstance(key, bool) or key is None:
            raise UserError(f"{where}: YAML reads one of the names as {key}; put it in quotes.")
        if not isinstance(text, str) or not text.strip():
            raise UserError(f"{where}: the description of '{key}' is not a text.")
        found[plain(str(key))] = " ".join(text.split())
    return found
