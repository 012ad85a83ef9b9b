"""The records of a store or of the folders that a command names, and those of a sweep."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path

from rich.console import Console

from benchmarks.cli.parts.messages import warn
from benchmarks.errors import UserError
from benchmarks.sweep.earlier import EarlierFields
from benchmarks.sweep.plan import Expansion
from methods.registry import METHODS
from reports import folders
from reports.folders import LoadedRecords
from results.schema import Record
from results.store import Store


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


def load_records(typed: Sequence[Path], plugins: Sequence[Path], console: Console) -> LoadedRecords:
    """Read the records under the folders of a command; see `reports.folders.load_records`."""
    for file in plugins:
        METHODS.load_file(file)
    return folders.load_records(typed, partial(warn, console))


def records_of_sweep(records: Sequence[Record], expansion: Expansion, file: Path) -> list[Record]:
    """The records of a sweep's cells in its order, made by any version of their methods.

    Raises:
        UserError: no record is of this sweep.
    """
    earlier = EarlierFields(records)
    places = {
        identity: place
        for place, cell in enumerate(expansion.cells)
        for identity in earlier.identities(cell)
    }
    found = [record for record in records if record.identity in places]
    found.sort(key=lambda record: places[record.identity])
    if not found:
        raise UserError(f"No records of the cells of {file} in these folders.")
    return found
