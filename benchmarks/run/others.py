"""Records that other runs write into a folder while this one is running."""

from __future__ import annotations

import os
from collections.abc import Mapping

from results.schema import Record
from results.store import Store


class Others:
    """Finds the records that were written since this run was planned.

    Args:
        store: of the folder.
        known: records that its plan found, by the keys of their cells.
    """

    def __init__(self, store: Store, known: Mapping[str, Record | None]) -> None:
        self._store = store
        self._known = known
        self._stamps: dict[str, tuple[int, ...]] = {}

    def record(self, key: str) -> Record | None:
        """Return the record of a cell if another run has written it; None otherwise."""
        stamp = self._stamp(key)
        if stamp is None or stamp == self._stamps.get(key):
            return None
        found = self._store.get(key)
        if found is None:
            return None
        before = self._known.get(key)
        # Two runs of a cell differ in their times at least.
        if before is not None and before.provenance == found.provenance:
            self._stamps[key] = stamp
            return None
        return found

    def _stamp(self, key: str) -> tuple[int, ...] | None:
        try:
            # Opening it makes a network file system ask the server.
            with open(self._store.folder / f"{key}.json", "rb") as stream:
                stat = os.fstat(stream.fileno())
        except OSError:
            return None
        return (stat.st_ino, stat.st_size, stat.st_mtime_ns)
