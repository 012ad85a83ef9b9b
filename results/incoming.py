"""Records that come from others, checked before they join a folder of records."""

from __future__ import annotations

import filecmp
import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks.errors import UserError
from results.record_file import LARGEST, reason
from results.record_file import read as read_record
from results.schema import RecordError
from results.store import Store

LARGEST_PREDICTIONS = 2 * 2**30
"""Bytes of a file of predictions."""
MOST_FILES = 200_000
_NAME = re.compile(r"records/[A-Za-z0-9_][A-Za-z0-9_-]{0,127}\.(json|npz)")


@dataclass(frozen=True)
class Incoming:
    """Outcome of taking records."""

    taken: int
    bare: int
    """Number of those that come without their predictions."""
    present: int
    """Number of records that were in the folder already, unchanged."""
    problems: tuple[str, ...]
    """A line for each record that was not taken."""


def wanted(sizes: Sequence[tuple[str, int]]) -> list[str]:
    """The files of records among those that others offer; others are left where they are.

    Args:
        sizes: path and bytes of each file.

    Raises:
        UserError: there are none, too many, or one is larger than a record or its predictions.
    """
    found = [(path, size) for path, size in sizes if _NAME.fullmatch(path)]
    if not any(path.endswith(".json") for path, _ in found):
        raise UserError("there are no records (records/KEY.json)")
    if len(found) > MOST_FILES:
        raise UserError(f"there are {len(found):,} files, more than {MOST_FILES:,}")
    for path, size in found:
        if size > (LARGEST if path.endswith(".json") else LARGEST_PREDICTIONS):
            raise UserError(f"{path} has {size:,} bytes, too many for it")
    return [path for path, _ in found]


def take(source: Path, out: Path) -> Incoming:
    """Move the records under `source/records` that are sound to `out/records`.

    A record is read and checked with its predictions. One of a cell that `out` has is never
    replaced by a different one; it gets its predictions if it has none there.

    Args:
        source: folder on the file system of `out`.
        out: folder that holds `records/`, as `--out` of a run.

    Raises:
        UserError: a folder cannot be read or written to.
    """
    here, there = Store(out), Store(source)
    here.check_writable()
    taken = bare = present = 0
    problems = []
    for file in there.files():
        own = here.folder / file.name
        try:
            stored = read_record(file)
        except (OSError, RecordError) as error:
            problems.append(f"{file.name}: {reason(error)}")
            continue
        pairs = [(file, own)]
        if file.with_suffix(".npz").exists():
            try:
                there.predictions(file.stem)
            except UserError as error:
                text = str(error).replace(f"{file.with_suffix('.npz')}", f"{file.stem}.npz")
                problems.append(f"{file.name}: {text}")
                continue
            pairs.insert(0, (file.with_suffix(".npz"), own.with_suffix(".npz")))
        different = [new.name for old, new in pairs if new.exists() and not _same(old, new)]
        if different:
            problems.append(f"{different[0]}: {out} has another one of this cell, which stays")
            continue
        if own.exists():
            present += 1
        else:
            taken += 1
            bare += len(pairs) == 1 and stored.predictions_sha256 is not None
        for old, new in pairs:
            if not new.exists():
                _put(old, new)
    return Incoming(taken, bare, present, tuple(problems))


def _put(file: Path, new: Path) -> None:
    try:
        os.link(file, new)  # unlike a rename, it replaces nothing
    except FileExistsError:
        raise
    except OSError:  # a file system without hard links, such as that of a memory stick
        os.rename(file, new)


def _same(file: Path, other: Path) -> bool:
    return filecmp.cmp(file, other, shallow=False)
