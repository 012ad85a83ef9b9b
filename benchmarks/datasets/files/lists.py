"""Split lists in the forms that long-tailed data sets are published in, one image a line.

path label            ImageNet-LT, Places-LT, iNaturalist
path label label …    VOC-LT, COCO-LT; an image may have no label at all
path caption          the captions that come with them
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from benchmarks.datasets.files.image_files import ENDINGS
from benchmarks.errors import DataError, DataMissing

_ENDING = "|".join(re.escape(ending) for ending in ENDINGS)
# A path may hold blanks: it ends with the name of an image.
_LINE = re.compile(rf"(?P<path>.+?(?:{_ENDING}))(?:\s+(?P<rest>.*?))?\s*", re.IGNORECASE)


@dataclass(frozen=True)
class Listing:
    """The images of one split in the list's order."""

    files: tuple[str, ...]
    """N paths as the list has them, without leading slashes."""
    labels: NDArray[np.int64]
    """(N,) for single-label, (N, C) zeros and ones for multi-label."""


def read_list(file: Path, classes: int, *, multi: bool = False) -> Listing:
    """A list of paths with labels.

    Args:
        file: the list.
        classes: C; labels are 0 to C - 1. A class may be absent: it moves no other.
        multi: any number of labels a line, none included; else exactly one.

    Raises:
        DataMissing: there is no such file.
        DataError: a line that is no path with labels, a label out of range or a path twice; the
            line's number is named.
    """
    files: dict[str, list[int]] = {}
    for number, path, rest in _lines(file):
        words = rest.split()
        if not all(word.isascii() and word.isdigit() for word in words):
            raise DataError(f"{file}, line {number}: '{rest}' is no list of labels.")
        labels = [int(word) for word in words]
        if not multi and len(labels) != 1:
            raise DataError(f"{file}, line {number}: one label is wanted, not {len(labels)}.")
        wrong = [label for label in labels if label >= classes]
        if wrong:
            raise DataError(
                f"{file}, line {number}: label {wrong[0]} is out of range, there are {classes} "
                f"classes (0 to {classes - 1})."
            )
        if path in files:
            raise DataError(f"{file}, line {number}: {path} stands in the list twice.")
        files[path] = labels
    if multi:
        many = np.zeros((len(files), classes), dtype=np.int64)
        for row, labels in zip(many, files.values(), strict=True):
            row[labels] = 1
        return Listing(tuple(files), many)
    single = np.array([labels[0] for labels in files.values()], dtype=np.int64)
    return Listing(tuple(files), single)


def read_captions(file: Path) -> dict[str, str]:
    """Path -> caption.

    Raises:
        DataMissing: there is no such file.
        DataError: a line without a path, or a path twice.
    """
    captions: dict[str, str] = {}
    for number, path, caption in _lines(file):
        if path in captions:
            raise DataError(f"{file}, line {number}: {path} stands in the list twice.")
        captions[path] = caption
    return captions


def _lines(file: Path) -> list[tuple[int, str, str]]:
    """(line number, path, what follows it) of every line that is not blank."""
    try:
        text = file.read_text(encoding="utf-8-sig")
    except FileNotFoundError as error:
        raise DataMissing(f"{file}: no such file.") from error
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{file}: cannot be read as text.") from error
    found = []
    for number, line in enumerate(text.split("\n"), 1):
        if not line.strip():
            continue
        match = _LINE.fullmatch(line)
        if match is None:
            raise DataError(f"{file}, line {number}: '{line[:60]}' does not begin with an image.")
        found.append((number, match["path"].strip().lstrip("/"), match["rest"] or ""))
    return found
