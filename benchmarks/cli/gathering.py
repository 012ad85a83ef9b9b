"""The records of folders, and those of them that a report or a comparison is about."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console

from benchmarks.errors import UserError, did_you_mean
from benchmarks.sweep.settings import split_labels

if TYPE_CHECKING:
    from benchmarks.sweep.plan import Expansion
    from reports.compare.comparison import Read
    from results.schema import Record


def say(console: Console, text: str) -> None:
    """Print a line that a reader should not miss."""
    console.print(text, style="yellow", markup=False, soft_wrap=True)


def records_in(store: Any, console: Console) -> list[Record]:
    """The records of a store; what cannot be read is named and passed over."""
    records, problems = store.all()
    for problem in problems:
        say(console, f"Ignored: {problem}")
    return list(records)


@dataclass(frozen=True)
class Gathered:
    """The records of several folders, one for each cell."""

    records: list[Record]
    stale: set[str]
    read: Read


def gather(folders: Sequence[Path], plugins: Sequence[Path], console: Console) -> Gathered:
    """The records under folders; a cell that is in several counts once.

    Raises:
        UserError: a folder without records, or nothing that can be read.
    """
    from methods.registry import METHODS
    from reports.compare.comparison import NEEDED
    from results.store import Store, preference

    for file in plugins:
        METHODS.load_file(file)
    records: list[Record] = []
    stores: dict[str, Store] = {}
    for folder in folders:
        if not (folder / "records").is_dir():
            raise UserError(
                f"No records under {folder}: give a folder that a run wrote to with --out."
            )
        store = Store(folder)
        here = records_in(store, console)
        records += here
        stores = {record.key: store for record in here} | stores
    if not records:
        raise UserError(f"No readable records under {', '.join(map(str, folders))}.")
    old = stale(records)
    # One record a cell, or its seeds would be counted twice: folders may hold the same cell, and a
    # folder the same cell from several versions of a method. One of today's code goes first.
    by_cell = {
        r.identity or r.key: r
        for r in sorted(records, key=lambda r: (r.key not in old, *preference(r)))
    }

    def read(record: Record) -> Mapping[str, Any]:
        return stores[record.key].predictions(record.key, NEEDED)

    return Gathered(list(by_cell.values()), old, read)


def of_sweep(records: Sequence[Record], expansion: Expansion, file: Path) -> list[Record]:
    """The records of a sweep's cells, made with whatever version of their methods.

    Raises:
        UserError: there are none.
    """
    identities = {cell.identity for cell in expansion.cells}
    found = [record for record in records if record.identity in identities]
    if not found:
        raise UserError(f"No records of the cells of {file} in these folders.")
    return found


def stale(records: Sequence[Record]) -> set[str]:
    """Keys of records that another version of their method's source made."""
    from methods.registry import METHODS, fingerprint

    known = METHODS.entries()
    return {
        r.key
        for r in records
        if r.provenance is not None
        and r.method in known
        and r.provenance.fingerprint != fingerprint(r.method)
    }


def data_sets(typed: str, known: Collection[str]) -> set[str]:
    """The data sets of these names, or of these names and any knobs."""
    found = set()
    for name in split_labels(typed):
        same = {name} & set(known) or {k for k in known if k.partition(" (")[0] == name}
        if not same:
            raise did_you_mean("data set of these records", name, known)
        found |= same
    return found
