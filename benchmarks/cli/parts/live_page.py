"""The page of a folder in which a sweep may be running."""

from __future__ import annotations

import hashlib
import os
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

from benchmarks.cli.parts.status_text import headline
from benchmarks.errors import UserError
from benchmarks.run.folder_status import status_of
from benchmarks.run.run_plan import FILE, read_plan
from benchmarks.run.runs import FOLDER
from benchmarks.sweep.rows.comparability import MixedRecords
from reports.across.matrix import matrices
from reports.across.overview import overviews
from reports.across.study import study
from reports.aggregate import build_tables
from reports.compare.runs import NEEDED
from reports.folders import stale_keys
from reports.from_predictions import with_predictions
from reports.knob_sweeps import find_sweeps
from reports.page.document import Content, document, page_data
from reports.page.packing import script_json
from results.schema import Record
from results.store import Store

ASKED_S = 3.0
"""Seconds between two questions of a page for newer data."""
NEWS_S = 15.0
"""Seconds after which the line on what is running is written anew."""
_SHARE = 0.1
"""Largest share of a core that the page takes from the sweep beside it."""


class LivePage:
    """The page, made anew when the folder has changed and somebody asks.

    Args:
        folder: folder that runs write to.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._store = Store(folder)
        self._lock = threading.Lock()
        self._seen: object = None
        self._data: dict[str, Any] = {}
        self._json, self._tag = b"", ""
        self._not_before = 0.0

    def html(self) -> bytes:
        """The whole page, with the data of now."""
        with self._lock:
            self._renew()
            return document(self._data).encode()

    def data(self) -> tuple[bytes, str]:
        """The data of now as JSON, and a tag that changes with them."""
        with self._lock:
            self._renew()
            return self._json, self._tag

    # ---- parts -------------------------------------------------------------------------------

    def _renew(self) -> None:
        """Read the folder again if it has changed, but not so often that the sweep suffers."""
        began = time.monotonic()
        if began < self._not_before or (state := self._state()) == self._seen:
            return
        self._data = {**self._content(), "live": ASKED_S}
        self._json = script_json(self._data).encode()
        self._tag = f'"{hashlib.sha256(self._json).hexdigest()[:16]}"'
        self._seen = state
        self._not_before = time.monotonic() + (time.monotonic() - began) / _SHARE

    def _state(self) -> object:
        """Everything whose change makes the page another."""
        files = list(_stamps(self._store.folder)) + list(_stamps(self._folder / FOLDER, FILE))
        names = [_names(self._folder / folder) for folder in (FOLDER, "claims")]
        return files, names, time.monotonic() // NEWS_S if any(names) else None

    def _content(self) -> dict[str, Any]:
        try:
            news = headline(status_of(self._folder))
        except UserError as error:
            news = str(error)
        records, problems = self._store.all()
        plan = read_plan(self._folder)
        if plan is not None:  # records of other sweeps may not share its tables
            of_plan = {cell.key for cell in plan.cells}
            records = [record for record in records if record.key in of_plan]
        stale = stale_keys(records)
        try:
            tables = build_tables(records, stale=stale)
        except MixedRecords as error:
            news = f"{news} {error}"
            tables = build_tables(records, stale=stale, allow_mixed=True)
        tables = with_predictions(tables, self._read)
        studies = [study(matrix) for matrix in matrices(tables)]
        summary = overviews(tables, studies)
        content = Content(tables, find_sweeps(tables), summary, studies, records, self._read)
        ignored = [f"Ignored: {problem}" for problem in problems[:5]]
        return {**page_data(content), "news": " ".join([news, *ignored])}

    def _read(self, record: Record) -> Any:
        return self._store.predictions(record.key, NEEDED)


def _stamps(folder: Path, only: str = "") -> Iterator[tuple[str, int, int]]:
    """Name, size and time of the files in a folder that are complete."""
    with suppress(OSError), os.scandir(folder) as entries:
        for entry in sorted(entries, key=lambda entry: entry.name):
            if not entry.name.startswith(".") and only in ("", entry.name):
                with suppress(OSError):
                    stat = entry.stat()
                    yield entry.name, stat.st_size, stat.st_mtime_ns


def _names(folder: Path) -> list[str]:
    with suppress(OSError):
        return sorted(name for name in os.listdir(folder) if name != FILE)
    return []
