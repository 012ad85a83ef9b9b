"""The records of the folders that a user names, and the choice of some of them."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.errors import UserError, did_you_mean
from benchmarks.sweep.fingerprints import fingerprint
from methods.registry import METHODS
from reports.compare.runs import NEEDED, Read
from results.schema import Record
from results.store import Store, preference

Say = Callable[[str], None]
"""Tells the user a line."""


@dataclass(frozen=True)
class LoadedRecords:
    """The records of several folders, one for each cell."""

    records: list[Record]
    stale: set[str]
    """Keys of records made with another version of their method's source."""
    read: Read
    """Reads the predictions of a record."""
    folder_of: Mapping[str, Path]
    """The folder of each record by its key."""


def load_records(folders: Sequence[Path], say: Say) -> LoadedRecords:
    """Read the records under folders; a cell that is in several counts once.

    Args:
        folders: those that runs wrote to, each with `records/`.
        say: gets a line on each file that is not a readable record.

    Raises:
        UserError: a folder without records, or none that can be read.
    """
    records: list[Record] = []
    stores: list[tuple[Path, Store]] = []
    for folder in folders:
        if not os.path.isdir(folder / "records"):
            if folder.name == "records" and folder.is_dir():
                raise UserError(f"{folder}: name the folder around it, {folder.parent}.")
            raise UserError(
                f"No records under {folder}: name a folder that a run wrote to with --out."
            )
        store = Store(folder)
        found, problems = store.all()
        for problem in problems:
            say(f"Ignored: {problem}")
        records += found
        stores += [(folder, store)] * len(found)
    if not records:
        raise UserError(f"No readable records under {', '.join(map(str, folders))}.")
    stale = stale_keys(records)
    # One record for each cell, or its seeds would count twice: several folders may hold the same
    # cell, and one folder the same cell from several versions of a method. Today's code wins.
    # The predictions are those of its own folder: another may hold another run of the cell.
    by_cell = {
        record.identity or record.key: (record, *where)
        for record, where in sorted(
            zip(records, stores, strict=True),
            key=lambda pair: (pair[0].key not in stale, *preference(pair[0])),
        )
    }
    store_of = {record.key: store for record, _, store in by_cell.values()}

    def read(record: Record) -> Mapping[str, Any]:
        return store_of[record.key].predictions(record.key, NEEDED)

    return LoadedRecords(
        records=[record for record, _, _ in by_cell.values()],
        stale=stale,
        read=read,
        folder_of={record.key: folder for record, folder, _ in by_cell.values()},
    )


def stale_keys(records: Sequence[Record]) -> set[str]:
    """Keys of records that another version of their method's source made."""
    known = METHODS.entries()
    return {
        r.key
        for r in records
        if r.provenance is not None
        and r.method in known
        and r.provenance.fingerprint != fingerprint(r.method, r.config)
    }


def of_methods(records: Sequence[Record], wanted: Sequence[str]) -> list[Record]:
    """The records of some methods, in the order of these.

    Raises:
        UserError: a method without a record.
    """
    known = {record.method for record in records}
    for name in wanted:
        if name not in known:
            raise did_you_mean("method of these records", name, known)
    places = {name: place for place, name in reversed(list(enumerate(wanted)))}
    found = [record for record in records if record.method in places]
    return sorted(found, key=lambda record: places[record.method])


def of_datasets(records: Sequence[Record], wanted: Sequence[str]) -> list[Record]:
    """The records of some data sets in the order of these; a name alone matches any fields.

    Raises:
        UserError: a name that matches none.
    """
    known = {record.dataset for record in records}
    places: dict[str, int] = {}
    for place, name in enumerate(wanted):
        same = {name} & known or {k for k in known if k.partition(" (")[0] == name}
        if not same:
            raise did_you_mean("data set of these records", name, known)
        places = {dataset: place for dataset in same} | places
    found = [record for record in records if record.dataset in places]
    return sorted(found, key=lambda record: places[record.dataset])
