"""The records of the folders that a user names, and the choice of some of them."""

from __future__ import annotations

import os
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.console import Console

from benchmarks.cli.parts.messages import warn
from benchmarks.errors import UserError, did_you_mean
from benchmarks.sweep.fingerprints import fingerprint
from benchmarks.sweep.plan import Expansion
from benchmarks.sweep.settings import split_labels
from methods.registry import METHODS
from reports.compare.runs import NEEDED, Read
from results.schema import Record
from results.store import Store, preference


def read_records(store: Store, console: Console, told: set[str] | None = None) -> list[Record]:
    """The readable records of a store; print a line for each of the others.

    Args:
        store: the store.
        console: where to print.
        told: lines that were printed before; new ones are added.
    """
    records, problems = store.all()
    told = set() if told is None else told
    for problem in problems:
        if problem not in told:
            warn(console, f"Ignored: {problem}")
    told.update(problems)
    return list(records)


@dataclass(frozen=True)
class LoadedRecords:
    """The records of several folders, one for each cell."""

    records: list[Record]
    stale: set[str]
    """Keys of records made with another version of their method's source."""
    read: Read
    """Reads the predictions of a record."""


def load_records(
    folders: Sequence[Path], plugins: Sequence[Path], console: Console
) -> LoadedRecords:
    """Read the records under folders; a cell that is in several counts once.

    Raises:
        UserError: a folder without records, or none that can be read.
    """
    for file in plugins:
        METHODS.load_file(file)
    records: list[Record] = []
    stores: list[Store] = []
    for folder in folders:
        if not os.path.isdir(folder / "records"):
            raise UserError(
                f"No records under {folder}: name a folder that a run wrote to with --out."
            )
        store = Store(folder)
        found = read_records(store, console)
        records += found
        stores += [store] * len(found)
    if not records:
        raise UserError(f"No readable records under {', '.join(map(str, folders))}.")
    stale = stale_keys(records)
    # One record for each cell, or its seeds would count twice: several folders may hold the same
    # cell, and one folder the same cell from several versions of a method. Today's code wins.
    # The predictions are those of its own folder: another may hold another run of the cell.
    by_cell = {
        record.identity or record.key: (record, store)
        for record, store in sorted(
            zip(records, stores, strict=True),
            key=lambda pair: (pair[0].key not in stale, *preference(pair[0])),
        )
    }
    store_of = {record.key: store for record, store in by_cell.values()}

    def read(record: Record) -> Mapping[str, Any]:
        return store_of[record.key].predictions(record.key, NEEDED)

    return LoadedRecords([record for record, _ in by_cell.values()], stale, read)


def records_of_sweep(records: Sequence[Record], expansion: Expansion, file: Path) -> list[Record]:
    """The records of a sweep's cells, whatever version of their methods made them.

    Raises:
        UserError: no record is of this sweep.
    """
    identities = {cell.identity for cell in expansion.cells}
    found = [record for record in records if record.identity in identities]
    if not found:
        raise UserError(f"No records of the cells of {file} in these folders.")
    return found


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


def matching_datasets(typed: str, known: Collection[str]) -> set[str]:
    """The known data sets with the typed names; a name without fields matches any fields.

    Raises:
        UserError: a name that matches none.
    """
    found = set()
    for name in split_labels(typed):
        same = {name} & set(known) or {k for k in known if k.partition(" (")[0] == name}
        if not same:
            raise did_you_mean("data set of these records", name, known)
        found |= same
    return found
