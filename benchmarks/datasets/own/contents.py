"""Contents of a folder that is not what was expected, and the key of a description for them."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

from benchmarks.datasets.files.image_files import SUFFIXES

_LOOKED_AT = 10_000
"""Most files that are looked at."""
_KEYS = {
    ".tar": "write `shards: {folder}/*.tar`",
    ".arrow": "write `huggingface: {folder}`",
    ".parquet": "write `huggingface: {folder}`",
    ".csv": "write `table: FILE`",
    ".tsv": "write `table: FILE`",
    ".zip": "unpack it",
    ".gz": "unpack it",
    ".jsonl": "a table can be .csv, .tsv or .parquet",
}
"""Ending -> what to do, in the order of preference."""


def described(folder: Path, not_as: str = "") -> str:
    """Count a folder's files by their endings and say how to describe them, as a sentence.

    Args:
        folder: an existing folder.
        not_as: key of a description that cannot read it.
    """
    kinds = Counter(_ending(file) for file in _files(folder))
    if not kinds:
        return f"{folder} is empty"
    most = sorted(kinds.items(), key=lambda pair: (-pair[1], pair[0]))[:4]
    counts = ", ".join(f"{number:,} {kind}" for kind, number in most)
    texts = (text for kind, text in _KEYS.items() if kind in kinds)
    advice = next((text for text in texts if not not_as or f"`{not_as}:" not in text), "")
    if not advice and kinds.keys() & set(SUFFIXES):
        advice = "put the images of each class into a folder named after it"
    return f"{folder} holds {counts}" + (f": {advice.format(folder=folder)}" if advice else "")


def _ending(file: str) -> str:
    return PurePosixPath(file).suffix.lower() or "without an ending"


def _files(folder: Path) -> Iterator[str]:
    number = 0
    for _, folders, files in os.walk(folder):
        folders[:] = [name for name in folders if not name.startswith(".")]
        for file in files:
            number += 1
            if number > _LOOKED_AT:
                return
            if not file.startswith("."):
                yield file
