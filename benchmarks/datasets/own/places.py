"""Places of a user's own images: the keys of a description that name them."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from benchmarks.datasets.own.words import path_of, text_of
from benchmarks.errors import UserError, did_you_mean

SPLITS = ("train", "test", "val")
HUB = "hf-hub:"
"""Beginning of the name of a data set on the Hugging Face hub, as in the names of backbones."""
KEYS = ("images", "table", "shards", "huggingface", "splits")

_KINDS = ("table", "shards", "huggingface", "images")
_PART = r"[A-Za-z0-9][\w.-]*"
REPOSITORY = rf"{_PART}/{_PART}"
"""Pattern of USER/NAME on the hub, in ASCII."""
_HUB_NAME = re.compile(
    rf"{HUB}(?P<repository>{REPOSITORY})(?P<folder>(?:/{_PART})*)(?:@(?P<revision>[\w./-]+))?",
    re.ASCII,
)

Place = TypeVar("Place")


@dataclass(frozen=True)
class HubData:
    """Parquet files on the Hugging Face hub."""

    repository: str
    """USER/NAME of a data set."""
    folder: str
    """Folder in it; "" for all of it."""
    revision: str
    """Branch, tag or commit."""

    def __str__(self) -> str:
        folder = f"/{self.folder}" if self.folder else ""
        return f"{HUB}{self.repository}{folder}@{self.revision}"


@dataclass(frozen=True)
class Places:
    """Places of the images; one of `table`, `shards`, `huggingface`, or `images` alone."""

    images: Mapping[str, Path] = field(default_factory=dict)
    """Split -> folder of class folders. Under "": one folder for all splits, or for a table the
    folder that its paths start from."""
    table: Path | None = None
    shards: Mapping[str, tuple[Path, ...]] = field(default_factory=dict)
    """Split -> tar files, whose names may contain {000..009} or *. Under "": all splits."""
    huggingface: Path | HubData | None = None
    splits: Mapping[str, str] = field(default_factory=dict)
    """Split -> its name in `huggingface`; empty for names that tell."""

    def rows(self) -> str | None:
        """Name of what lists each image, for messages; None for folders."""
        for place in (self.table, self.huggingface):
            if place is not None:
                return str(place)
        if self.shards:
            return ", ".join(str(file) for files in self.shards.values() for file in files)
        return None


def read_places(values: Mapping[str, Any], file: Path, task: str) -> Places:
    """Read the keys that say where the images are.

    Raises:
        UserError: none or several of them, or a value that cannot be used.
    """
    kinds = [key for key in _KINDS if key in values and (key != "images" or "table" not in values)]
    if len(kinds) > 1:
        raise UserError(f"{file}: {' and '.join(kinds)} exclude each other; keep one of them.")
    kind = kinds[0] if kinds else ""
    if "splits" in values and kind != "huggingface":
        raise UserError(f"{file}, splits: is for `huggingface:`; others name a place for each.")
    if kind in ("", "images"):
        _refuse_without_rows(values, file, task)
    if kind == "table":
        return _table(values, file)
    if kind == "shards":
        return Places(shards=_by_split(values["shards"], file, "shards", _shards))
    if kind == "huggingface":
        splits = _splits(values.get("splits", {}), f"{file}, splits")
        return Places(huggingface=_huggingface(values["huggingface"], file), splits=splits)
    return Places(_by_split(values["images"], file, "images", path_of))


def _refuse_without_rows(values: Mapping[str, Any], file: Path, task: str) -> None:
    for key in ("columns", "separator"):
        if key in values:
            raise UserError(f"{file}, {key}: needs a table, and there is no `table:`.")
    if task == "multi":
        raise UserError(
            f"{file}: task multi needs a table of paths and labels: write `table: FILE`."
        )
    if "images" not in values:
        raise UserError(
            f"{file}: where are the images? Write `images: FOLDER` with a folder for each class, "
            "`table: FILE` with a path and a label in each row, `shards: FILE.tar` or "
            "`huggingface: FOLDER`."
        )


def _table(values: Mapping[str, Any], file: Path) -> Places:
    images, table = values.get("images"), path_of(values["table"], file, "table")
    if isinstance(images, dict):
        raise UserError(f"{file}, images: with a table, give one folder.")
    folder = table.parent if images is None else path_of(images, file, "images")
    return Places({"": folder}, table)


def _by_split(
    value: Any, file: Path, key: str, read: Callable[[Any, Path, str], Place]
) -> dict[str, Place]:
    """The place for each split, or that for all of them under ""."""
    if not isinstance(value, dict):
        return {"": read(value, file, key)}
    for split in value:
        if split not in SPLITS:
            raise did_you_mean(f"split in {file}, {key}", str(split), SPLITS)
    if "train" not in value:
        raise UserError(f"{file}, {key}: train is missing.")
    return {s: read(value[s], file, f"{key}, {s}") for s in SPLITS if s in value}


def _shards(value: Any, file: Path, key: str) -> tuple[Path, ...]:
    texts = value if isinstance(value, list) else [value]
    if not texts:
        raise UserError(f"{file}, {key}: no file is given.")
    return tuple(path_of(text, file, key) for text in texts)


def _huggingface(value: Any, file: Path) -> Path | HubData:
    path = path_of(value, file, "huggingface")
    text = text_of(value, f"{file}, huggingface")
    if not text.startswith(HUB):
        return path
    found = _HUB_NAME.fullmatch(text)
    if found is None:
        raise UserError(
            f"{file}, huggingface: '{text}' is not {HUB}USER/NAME, with /FOLDER and @REVISION "
            "behind it if you like."
        )
    revision = found["revision"] or "main"
    return HubData(found["repository"], found["folder"].strip("/"), revision)


def _splits(value: Any, where: str) -> dict[str, str]:
    if not isinstance(value, dict):
        raise UserError(
            f"{where}: write a mapping such as {{test: validation}}, not {repr(value)[:60]}."
        )
    for split in value:
        if split not in SPLITS:
            raise did_you_mean(f"split in {where}", str(split), SPLITS)
    return {split: text_of(name, f"{where}, {split}") for split, name in value.items()}
