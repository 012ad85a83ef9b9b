"""Text packages: class names, prompt templates and descriptions, one YAML file a data set."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

import yaml

from benchmarks.datasets.base import Texts

_FOLDER = Path(__file__).parent


def read_texts(name: str) -> Texts:
    """The text package in `NAME.yaml`, its classes in the order of the file.

    A class's name is its key with underscores turned into spaces. Keys, unlike names, are what
    class folders are called on disk: `read_keys` gives those.
    """
    package = _read(name)
    classes: dict[str, str] = package["classes"]
    return Texts(
        class_names=tuple(key.replace("_", " ") for key in classes),
        templates=tuple(package["templates"]),
        descriptions=tuple(classes.values()),
    )


def read_keys(name: str) -> tuple[str, ...]:
    """The class names in `NAME.yaml` as the publisher's folders and label files spell them."""
    return tuple(_read(name)["classes"])


def read_source(name: str) -> str:
    """Where the texts of the package in `NAME.yaml` come from, in a line."""
    source: str = _read(name)["source"]
    return source


@cache
def _read(name: str) -> Any:
    return yaml.safe_load((_FOLDER / f"{name}.yaml").read_text(encoding="utf-8"))
