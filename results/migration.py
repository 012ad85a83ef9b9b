"""Records of earlier schemas, rewritten as those of the present one.

Whoever raises `SCHEMA_VERSION` adds the step from the last schema to `STEPS`, and examples of the
last schema to `tests/results/schemas/`.
"""

from __future__ import annotations

import errno
import filecmp
import itertools
import os
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks.safe_files import new_folder, remove_leftovers, write_text
from results import record_file
from results.record_file import Step
from results.schema import RecordError
from results.store import Store

STEPS: Mapping[int, Step] = {}
"""Schema -> step to the next schema. A step gets the JSON of a record without its checksums."""


@dataclass(frozen=True)
class Migration:
    """Result of a migration."""

    present: int
    """Number of the records that were of the present schema already."""
    migrated: Mapping[int, int]
    """Earlier schema -> number of its records, which were rewritten."""
    copy: Path | None
    """Folder with the files as they were; None if nothing was rewritten."""
    problems: tuple[str, ...]
    """A line for each file that cannot be read and was left as it is."""


def migrate(out: Path, steps: Mapping[int, Step] = STEPS) -> Migration:
    """Rewrite the records of earlier schemas under a folder, once a copy of all files is there.

    If this ends early, some records are rewritten and the others are as they were; the next call
    goes on and keeps the copy.

    Args:
        out: folder that holds `records/`, as `--out` of a run.
        steps: schema -> step to the next schema.

    Raises:
        UserError: the folder cannot be read.
        OSError: it cannot be written to.
    """
    store = Store(out)
    remove_leftovers(store.folder)
    remove_leftovers(out, of="schema-")
    old: dict[Path, record_file.RecordFile] = {}
    present, problems = 0, []
    for file in store.files():
        try:
            found = record_file.read(file, steps)
        except (OSError, RecordError) as error:
            problems.append(f"{file}: {record_file.reason(error)}")
            continue
        if found.schema in steps:
            old[file] = found
        else:
            present += 1
    schemas = [found.schema for found in old.values()]
    copy = _kept(store.folder, list(old), min(schemas)) if old else None
    for file, found in old.items():
        write_text(file, record_file.text_of(found.record, found.predictions_sha256))
    migrated = {schema: schemas.count(schema) for schema in sorted(set(schemas))}
    return Migration(present, migrated, copy, tuple(problems))


def _kept(folder: Path, files: Sequence[Path], schema: int) -> Path:
    """A copy of a folder in which these files are as they are now; made unless there is one.

    Returns:
        The copy, `schema-N/records` beside the folder or, if that has other files, with a number.
    """
    for number in itertools.count(1):
        place = folder.parent / (f"schema-{schema}" + (f"-{number}" if number > 1 else ""))
        copy = place / folder.name
        new = not os.path.lexists(place)
        if new:
            with new_folder(place) as temporary:
                (temporary / folder.name).mkdir()
                for file in sorted(folder.iterdir()):
                    _copy(file, temporary / folder.name / file.name)
        if all(_same(file, copy / file.name) for file in files):
            return copy
        if new:
            raise OSError(errno.EBUSY, f"{folder} changed while it was copied")
    raise AssertionError("the numbers do not end")


def _copy(file: Path, target: Path) -> None:
    """Copy a record; link predictions, which may be large and are never changed in place.

    What is no file or may not be read is left out: nothing rewrites it.
    """
    if not file.is_file() or not os.access(file, os.R_OK):
        return
    if file.suffix == ".npz":
        try:
            os.link(file.resolve(), target)
            return
        except OSError:  # a file system without links
            pass
    shutil.copy2(file, target)


def _same(file: Path, other: Path) -> bool:
    return other.is_file() and filecmp.cmp(file, other, shallow=False)
