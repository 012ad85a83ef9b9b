"""A description of images, made from the place where they are: what `init-data` writes."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import yaml

from benchmarks.datasets.own.arrow_files import is_saved
from benchmarks.datasets.own.family import OwnData, family_of
from benchmarks.datasets.own.labels import SPLIT_NAMES
from benchmarks.datasets.own.spec import display_name
from benchmarks.datasets.own.table import header_of
from benchmarks.datasets.registry import DATASETS, without_ratio
from benchmarks.errors import DataMissing, UserError, first_few
from benchmarks.file_names import safe
from methods.registry import METHODS

_TABLES = (".csv", ".tsv", ".txt")
_USUAL = {
    "path": ("path", "file", "filename", "file_name", "filepath", "image", "image_path", "img"),
    "label": ("label", "labels", "class", "category", "species", "target", "class_name", "y"),
    "split": ("split", "set", "subset", "partition"),
    "caption": ("caption", "text", "description"),
}
"""Role of a column -> names that it usually has, in lower case."""
_PATHS = ("images", "table", "shards", "huggingface")
_HEAD = """\
# Made by init-data; docs/own_data.md has all keys. Prompts take the texts to the right of the
# classes: write what you would say, such as `red deer` for `cervus_elaphus`.
"""
_MOST_CLASSES = 2_000
"""Most classes that are written; beyond, the names found are used."""


@dataclass(frozen=True)
class Described:
    """A description that can be used."""

    values: dict[str, Any]
    """The keys of the YAML file, with absolute paths."""
    family: OwnData
    """The data set, with all images listed."""


def described(place: Path) -> Described:
    """Describe the images in a folder, a table or tar files.

    Raises:
        UserError: there are none that can be described; the line says what is missing.
    """
    values = {"name": _name(place), **_at(place)}
    found = _tried(values)
    if "table" in values:
        if joined := _joined(found):
            values |= {"task": "multi"} | ({"separator": joined} if joined not in "|;" else {})
            found = _tried(values)
        if folder := _folder_of_paths(found, place):
            values["images"] = str(folder)
            found = _tried(values)
    splits = {entry.split for entry in found.images.entries}
    if "test" not in splits and "train" in splits:
        values["test_share"] = 0.2
    if len(found.images.keys) <= _MOST_CLASSES:
        values["classes"] = {key: display_name(key) for key in found.images.keys}
    return Described(values, _tried(values))


def _name(place: Path) -> str:
    """A name for the data that nothing of the suite has."""
    name = safe(place.stem if place.suffix and not place.is_dir() else place.resolve().name)
    taken = {*DATASETS.entries(), *METHODS.entries()}
    return f"{name}_own" if without_ratio(name) in taken else name


def yaml_of(found: Described, folder: Path) -> str:
    """The text of the YAML file, with paths that start from its folder."""
    values = {
        key: _relative(value, folder) if key in _PATHS else value
        for key, value in found.values.items()
    }
    text = yaml.safe_dump(values, allow_unicode=True, sort_keys=False, width=1_000)
    return f"{_HEAD}{text}"


def _at(place: Path) -> dict[str, Any]:
    """The key that reads a place."""
    if place.is_file() and place.suffix.lower() in (*_TABLES, ".parquet", ".pq"):
        return {"table": str(place.absolute()), "columns": _columns(place)}
    if place.suffix.lower() == ".tar":
        return {"shards": str(place.absolute())}
    if not place.is_dir():
        what = "this file is none of them" if place.exists() else "there is no such place"
        raise UserError(
            f"{place}: images are described in a folder, a table (.csv, .tsv, .parquet) or tar "
            f"files, and {what}."
        )
    if place.resolve() == Path(place.resolve().anchor):
        raise UserError(f"{place}: the whole disk is not a folder of images.")
    if is_saved(place) or any(place.rglob("*.parquet")):
        return {"huggingface": str(place.absolute())}
    shards = sorted(place.glob("*.tar"))
    if shards:
        return {"shards": _shards(place.absolute(), shards)}
    tables = [file.name for file in sorted(place.iterdir()) if file.suffix.lower() in _TABLES]
    if tables and not any(child.is_dir() for child in place.iterdir()):
        raise UserError(f"{place}: describe its table instead: init-data {place / tables[0]}")
    return {"images": str(place.absolute())}


def _columns(table: Path) -> dict[str, str]:
    """The columns of a table whose names tell their roles.

    Raises:
        UserError: none is one of paths or labels.
    """
    header = header_of(table)
    lower = {name.lower().replace(" ", "_"): name for name in reversed(header)}
    found = {
        role: lower[name]
        for role, usual in _USUAL.items()
        if (name := next((name for name in usual if name in lower), ""))
    }
    for role in ("path", "label"):
        if role not in found:
            raise UserError(
                f"{table}: which column is the {role}? It has {first_few(header, limit=8)}; "
                f"rename it to '{role}', or write the YAML file by hand (docs/own_data.md)."
            )
    return found


def _shards(folder: Path, shards: Sequence[Path]) -> Any:
    """The shards of each split by the words in their names, or all of them."""
    by_split: dict[str, list[str]] = {}
    for shard in shards:
        words = shard.stem.lower().replace("_", "-").replace(".", "-").split("-")
        split = next((SPLIT_NAMES[word] for word in words if word in SPLIT_NAMES), "")
        by_split.setdefault(split, []).append(str(folder / shard.name))
    if "train" not in by_split or "" in by_split:
        return str(folder / "*.tar")
    return {split: by_split[split] for split in ("train", "test", "val") if split in by_split}


def _tried(values: Mapping[str, Any]) -> OwnData:
    """The data set of a description, with all images listed.

    Raises:
        UserError: the description does not fit.
    """
    with _written(values) as file:
        try:
            cls, fields = family_of(file)
            made = cls(**fields)
            made.images  # noqa: B018 - listed now, while the file is there
        except UserError as error:
            text = str(error).replace(f"{file}, ", "").replace(f"{file}: ", "")
            raise type(error)(text) from error
    return made


@contextmanager
def _written(values: Mapping[str, Any]) -> Iterator[Path]:
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "data.yaml"
        file.write_text(yaml.safe_dump(dict(values), allow_unicode=True), encoding="utf-8")
        yield file


def _joined(found: OwnData) -> str:
    """The mark between several labels in a cell of the table; "" if there are none."""
    classes = set(found.images.keys)
    for mark in "|;,":
        parts = {part.strip() for key in classes if mark in key for part in key.split(mark)}
        if parts & classes:
            return mark
    return ""


def _folder_of_paths(found: OwnData, table: Path) -> Path | None:
    """The folder that a table's paths start from, if it is another than the table's.

    Raises:
        DataMissing: no image is in a folder beside the table.
    """
    entries = found.images.entries
    if any(entry.size is not None for entry in entries):
        return None
    for folder in sorted(child for child in table.absolute().parent.iterdir() if child.is_dir()):
        if (folder / entries[0].file).is_file():
            return folder
    raise DataMissing(
        f"{table}: there is no {entries[0].file} beside it or in a folder beside it; move the "
        "table to the folder that its paths start from."
    )


def _relative(value: Any, folder: Path) -> Any:
    if isinstance(value, dict):
        return {split: _relative(place, folder) for split, place in value.items()}
    if isinstance(value, list):
        return [_relative(place, folder) for place in value]
    return os.path.relpath(cast(str, value), folder.absolute())
