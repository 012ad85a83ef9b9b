"""Readers of the split lists that long-tailed data sets publish, one image per line.

path label            ImageNet-LT, Places-LT, iNaturalist
path label label …    VOC-LT, COCO-LT; an image may have no label
path caption          captions of VOC-LT and COCO-LT
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from benchmarks.datasets.files.characters import shown
from benchmarks.datasets.files.image_files import SUFFIXES
from benchmarks.datasets.files.links import leaves
from benchmarks.datasets.files.other_formats import refuse_messages
from benchmarks.errors import DataError, DataMissing
from benchmarks.input_files import MB, read_text

_SUFFIX = "|".join(map(re.escape, SUFFIXES))
# A path may contain spaces: it ends with the suffix of an image file.
_LINE = re.compile(rf"(?P<path>.+?(?:{_SUFFIX}))(?:\s+(?P<rest>.*))?", re.IGNORECASE)
_LIMIT = 256 * MB
"""Largest list, in bytes; iNaturalist's has 35 MB."""


@dataclass(frozen=True)
class Listing:
    """Images of one split in the list's order."""

    files: tuple[str, ...]
    """N paths as listed, with slashes and none at the beginning."""
    labels: NDArray[np.int64]
    """(N,) for single-label, (N, C) zeros and ones for multi-label."""


def read_list(file: Path, classes: int, *, multi: bool = False) -> Listing:
    """Read a list of paths with labels.

    Args:
        file: the list.
        classes: number of classes C; labels are 0 to C - 1, and a class may have no images.
        multi: True for any number of labels per line, including none; False for exactly one.

    Raises:
        DataMissing: the file does not exist.
        DataError: a line is not a path with labels, a label is out of range or a path is
            repeated; the message gives the line number.
    """
    files: dict[str, list[int]] = {}
    for number, path, rest in _lines(file):
        words = rest.split()
        if not all(word.isascii() and word.isdigit() for word in words):
            raise DataError(f"{file}, line {number}: '{shown(rest)}' is not a list of labels.")
        labels = [int(word) if len(word) < 18 else 10**18 for word in words]
        if not multi and len(labels) != 1:
            raise DataError(f"{file}, line {number}: expected one label, not {len(labels)}.")
        wrong = [label for label in labels if label >= classes]
        if wrong:
            raise DataError(
                f"{file}, line {number}: label {wrong[0]} is out of range for {classes} classes "
                f"(0 to {classes - 1})."
            )
        if path in files:
            raise DataError(f"{file}, line {number}: {path} is listed twice.")
        files[path] = labels
    if multi:
        many = np.zeros((len(files), classes), dtype=np.int64)
        for row, labels in zip(many, files.values(), strict=True):
            row[labels] = 1
        return Listing(tuple(files), many)
    single = np.array([labels[0] for labels in files.values()], dtype=np.int64)
    return Listing(tuple(files), single)


def read_captions(file: Path) -> dict[str, str]:
    """Read captions by path.

    Raises:
        DataMissing: the file does not exist.
        DataError: a line has no path, or a path is repeated.
    """
    captions: dict[str, str] = {}
    for number, path, caption in _lines(file):
        if path in captions:
            raise DataError(f"{file}, line {number}: {path} is listed twice.")
        captions[path] = caption
    return captions


def _lines(file: Path) -> list[tuple[int, str, str]]:
    """Return (line number, path, text after the path) of every line that is not blank."""
    refuse_messages(file)
    try:
        text = read_text(file, _LIMIT, "utf-8-sig")
    except FileNotFoundError as error:
        raise DataMissing(f"{file}: no such file.") from error
    except OSError as error:
        raise DataError(f"{file}: cannot be read ({error.strerror}).") from error
    except UnicodeDecodeError as error:
        raise DataError(f"{file}: cannot be read as text.") from error
    found = []
    for number, line in enumerate(text.split("\n"), 1):
        if not line.strip():
            continue
        match = _LINE.fullmatch(line.strip())
        if match is None:
            raise DataError(
                f"{file}, line {number}: '{shown(line)}' does not start with an image path."
            )
        path = match["path"].replace("\\", "/").lstrip("/").removeprefix("./")
        if leaves(path):
            raise DataError(f"{file}, line {number}: '{shown(path)}' leads out of the data.")
        found.append((number, path, match["rest"] or ""))
    return found
