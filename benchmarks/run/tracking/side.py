"""The side of a tracker: it lives here, in a child process, and its errors become texts."""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from benchmarks.errors import UserError
from benchmarks.plugins.origins import PluginFile, reported
from benchmarks.processes import Parent
from benchmarks.run.border import clean
from benchmarks.run.tracking.base import Settings, TrackedCell, Tracker
from benchmarks.sweep.tracks import Track

LONGEST = 300
"""Characters of an error's text that are printed."""


class Side:
    """A tracker with the cells that it follows.

    Args:
        track: names the tracker.
        settings: of the run.

    Raises:
        UserError: it cannot be imported, or says that it cannot work.
    """

    def __init__(self, track: Track, settings: Settings) -> None:
        with reported(f"--track {track}", "cannot be used"):
            try:
                self._tracker = _class_of(track)(track.target, settings)
            except UserError as error:
                raise UserError(f"--track {track}: {error}") from error
        self._runs: dict[str, Any] = {}

    def call(self, name: str, arguments: tuple[Any, ...]) -> str:
        """Call `begin`, `log`, `end` or `close`; return what went wrong, empty if nothing."""
        try:
            getattr(self, name)(*arguments)
        except KeyboardInterrupt:  # the user's, where the tracker is in the run's own process
            raise
        except BaseException as error:  # a library may raise SystemExit
            return clean(f"{type(error).__name__}: {_text(error)}", LONGEST)
        return ""

    def begin(self, cell: TrackedCell) -> None:
        """Begin a cell, for the first time or again."""
        self._drop(cell.key)
        self._runs[cell.key] = self._tracker.begin(cell)

    def log(self, key: str, name: str, epoch: float, value: float) -> None:
        """Pass a number on, unless the cell's tracking has failed."""
        if key in self._runs:
            try:
                self._tracker.log(self._runs[key], name, epoch, value)
            except BaseException:
                self._drop(key)
                raise

    def end(self, key: str, record: Mapping[str, Any] | None) -> None:
        """End a cell, unless its tracking has failed."""
        if key in self._runs:
            self._tracker.end(self._runs.pop(key), record)

    def close(self) -> None:
        """End the cells that were interrupted, and the tracker."""
        for key in list(self._runs):
            self._drop(key)
        self._tracker.close()

    def _drop(self, key: str) -> None:
        with suppress(Exception):
            self.end(key, None)


def serve(parent: Parent, track: Track, settings: Settings) -> None:
    """Do what the parent asks for until it closes the pipe."""
    try:
        side = Side(track, settings)
    except UserError as error:
        parent.send({"kind": "refused", "text": clean(str(error), 2 * LONGEST)})
        return
    parent.send({"kind": "ready"})
    while True:
        try:
            name, arguments = parent.next_request()
        except EOFError:
            return
        parent.send({"kind": "answer", "error": side.call(name, arguments)})


def _class_of(track: Track) -> type[Tracker]:
    """Return the only tracker that a module defines.

    Raises:
        UserError: a user's file defines none, or several.
    """
    if track.is_file:
        plugin = PluginFile.at(Path(track.kind))
        plugin.run()
        name = plugin.module
    else:
        name = f"{__package__}.{track.kind}"
    members = inspect.getmembers(importlib.import_module(name), inspect.isclass)
    own = [c for _, c in members if issubclass(c, Tracker) and c.__module__ == name]
    if len(own) != 1:
        raise UserError(
            f"the file defines {len(own)} classes derived from "
            "benchmarks.run.tracking.base.Tracker; it must define one"
        )
    return own[0]


def _text(error: BaseException) -> str:
    try:
        return str(error)
    except BaseException:
        return "its message cannot be read"
