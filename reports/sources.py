"""The records that a caller from Python means: those of folders or of lines of a data frame."""

from __future__ import annotations

import dataclasses
import os
import sys
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from benchmarks.errors import UserError
from benchmarks.sweep.settings import split_labels
from reports.folders import LoadedRecords, load_records, of_datasets, of_methods
from results.schema import Record

Folder = str | os.PathLike[str]
Source = Folder | pd.DataFrame
"""A folder with records, or lines of the frame that `reports.api.load` returns."""


def loaded_from(sources: Sequence[Source]) -> LoadedRecords:
    """The records of folders and of lines of frames.

    Raises:
        UserError: nothing that has records, or a record of a frame that is not there any more.
    """
    folders: dict[Path, bool] = {}
    chosen: dict[str, int] = {}
    for source in sources:
        if isinstance(source, pd.DataFrame):
            if not {"key", "folder"} <= set(source.columns):
                raise UserError("A frame needs the columns 'key' and 'folder': take one of load().")
            for key in source["key"]:
                chosen.setdefault(key, len(chosen))
            for folder in source["folder"].unique():
                folders.setdefault(Path(folder), False)
        else:
            folders[Path(source)] = True
    if not folders:
        raise UserError("Name a folder with records, or lines of the frame that load() returns.")
    loaded = load_records(list(folders), warn)
    records = [r for r in loaded.records if folders[loaded.folder_of[r.key]] or r.key in chosen]
    records.sort(key=lambda r: (chosen.get(r.key, -1), r.dataset, r.method, r.seed, r.key))
    if gone := chosen.keys() - {record.key for record in records}:
        raise UserError(
            f"Record {min(gone)} of the frame is not in its folder any more, or another folder has "
            "a later one of its cell: load() all folders again."
        )
    return dataclasses.replace(loaded, records=records)


def chosen_of(
    loaded: LoadedRecords, methods: str | Sequence[str], datasets: str | Sequence[str]
) -> list[Record]:
    """The records of some methods and data sets, of all if none are named.

    Raises:
        UserError: a name that no record has.
    """
    records = loaded.records
    if methods:
        records = of_methods(records, labels_in(methods))
    return of_datasets(records, labels_in(datasets)) if datasets else records


def given(**values: Any) -> dict[str, tuple[Any, str]]:
    """The arguments that were given, each with its name for messages."""
    return {n: (value, n) for n, value in values.items() if value not in (None, "", ())}


def labels_in(names: str | Sequence[str]) -> tuple[str, ...]:
    """Names from a text with commas or from a list."""
    return split_labels(names) if isinstance(names, str) else tuple(names)


def warn(line: str) -> None:
    """Warn the code that called the reports, however deep the reason is."""
    level, frame = 1, sys._getframe()
    while frame.f_back is not None and frame.f_globals["__name__"].startswith("reports."):
        level, frame = level + 1, frame.f_back
    warnings.warn(line, stacklevel=level)
