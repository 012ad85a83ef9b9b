"""Single values of the YAML file that describes a user's own data: texts, names and paths."""

from __future__ import annotations

import unicodedata
from pathlib import Path
from typing import Any

from benchmarks.datasets.files.characters import NAME, TEXT, shown, trouble
from benchmarks.errors import UserError
from benchmarks.file_names import expanded
from benchmarks.plugins.values import coerce


def nfc(text: str) -> str:
    """A name or path in Unicode's form NFC, so that macOS and Linux spell files alike."""
    return unicodedata.normalize("NFC", text)


def text_of(value: Any, where: str, longest: int = NAME) -> str:
    """A text; a number is taken as one: `version: 2`."""
    number = isinstance(value, int | float) and not isinstance(value, bool)
    text: str = coerce(str(value) if number else value, str, where)
    return fit(text.strip(), where, longest)


def fit(text: str, where: object, longest: int = NAME) -> str:
    """The text, unless it is too long or has control characters."""
    if wrong := trouble(text, longest):
        raise UserError(f"{where}: '{shown(text)}' {wrong}.")
    return text


def path_of(value: Any, file: Path, key: str) -> Path:
    """A path from the working directory; in the file it starts from the file's folder."""
    text = text_of(value, f"{file}, {key}", TEXT)
    if not text:
        raise UserError(f"{file}, {key}: no path is given.")
    return file.parent / expanded(text, f"{file}, {key}")
