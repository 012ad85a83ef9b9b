"""Places to fit cells: this process, or worker processes that may die.

Both run the same `Worker`; they differ in where it is and in nothing else.
"""

from __future__ import annotations

import dataclasses
import logging
import time
from collections.abc import Callable, Hashable, Iterator, Mapping
from typing import Any, Protocol, TypeVar

from benchmarks.datasets.registry import DATASETS
from benchmarks.inputs.features import user_store
from benchmarks.plugins.catalog import Catalog
from benchmarks.plugins.origins import Origin
from benchmarks.processes import Child, Ended, Message, Overdue
from benchmarks.run.bench import Take
from benchmarks.run.border import (
    Facts,
    Verdict,
    checked_curves,
    checked_notes,
    clean,
    from_messages,
)
from benchmarks.run.data_sets import DataSets
from benchmarks.run.display import Display
from benchmarks.run.options import RunOptions
from benchmarks.run.slots import Slot
from benchmarks.run.worker import ERRORS, Measure, Open, Worker, serve, shared
from benchmarks.sweep.cell import Cell
from methods.registry import METHODS, info_of

T = TypeVar("T")

_log = logging.getLogger(__name__)


class Lost(Exception):
    """A worker ended or took too long; its text says how, for the records of its cells."""


class Vanished(Lost):
    """The machine of a worker is gone, which is no fault of the cells."""


class Stopped(Exception):
    """The run ends, and nothing that was being fitted is to be recorded."""


class Engine(Protocol):
    """A place where cells are fitted."""

    def open(self, cells: list[Cell]) -> Facts:
        """Load what a batch needs.

        Raises:
            UserError: data or weights that only the user can put right.
            Lost: the worker is gone.
        """
        ...

    def measure(self, cells: list[Cell], shape: tuple[int, int], take: Take) -> Verdict:
        """Fit a batch that was opened and pass on the result of each cell.

        Args:
            cells: the batch.
            shape: (N, C) of their logits.
            take: receives the results in order.

        Raises:
            UserError: data that only the user can put right.
            Lost: the worker is gone.
        """
        ...

    def output(self) -> str:
        """Return what the methods have printed since the last call."""
        ...

    def stop(self) -> None:
        """Make every call raise `Stopped`, also the one that another thread is waiting for."""
        ...

    def close(self) -> None:
        """End the worker."""
        ...


class Here:
    """Fits in this process: for debuggers, and for tests."""

    def __init__(self, options: RunOptions, display: Display, data_sets: DataSets) -> None:
        self._data_sets = data_sets
        self._worker = Worker(options, display, data_sets.for_fitting, user_store())

    def open(self, cells: list[Cell]) -> Facts:
        """See `Engine.open`."""
        return self._worker.open(cells[0])

    def measure(self, cells: list[Cell], shape: tuple[int, int], take: Take) -> Verdict:
        """See `Engine.measure`."""
        verdict = self._worker.measure(cells, take)
        if verdict.changed:
            self._worker.close()
            self._data_sets.release(cells[0])
        return verdict

    def output(self) -> str:
        """Return nothing: what methods print goes where this process prints."""
        return ""

    def stop(self) -> None:
        """Do nothing: no other thread calls this process's only engine."""

    def close(self) -> None:
        """See `Engine.close`."""
        self._worker.close()


class Process(Protocol):
    """A worker process, as `processes.Child` on this machine."""

    def send(self, request: Any) -> None: ...

    def receive(self, seconds: float | None = None) -> Message: ...

    def output(self) -> str: ...

    def strike(self) -> None: ...

    def kill(self) -> None: ...


class Workers:
    """Fits in worker processes.

    Methods of the suite share one worker. A plug-in has a worker of its own, a new one for each
    method and each bench. A worker in which anything has changed is not used again.
    """

    def __init__(self, options: RunOptions, slot: Slot, display: Display) -> None:
        self._options = dataclasses.replace(options, isolated=True, threads=slot.threads, slots=())
        self._environment = slot.environment
        self._display = display
        self._child: Process | None = None
        self._purpose: Hashable = None
        self._printed = ""
        self._stopped = False

    def open(self, cells: list[Cell]) -> Facts:
        """See `Engine.open`."""
        cell = cells[0]
        foreign, data_plugins = _origin(METHODS, cell.method), _origin(DATASETS, cell.family.name)
        purpose = (data_plugins, foreign and (cell.method, shared(cell)))
        if self._child is None or purpose != self._purpose:
            self._end()
            self._child = self._started(data_plugins)
            self._purpose = purpose
        if self._stopped:  # perhaps before there was this child to kill
            raise self._lost("")
        # No limit of time: it may download weights and compute features.
        self._send(Open(cell, info_of(cell.method), foreign))
        return self._read(lambda: _facts(self._next({}, None).head["facts"]))

    def measure(self, cells: list[Cell], shape: tuple[int, int], take: Take) -> Verdict:
        """See `Engine.measure`."""
        by_key = {cell.key: cell for cell in cells}
        limit = self._options.cell_timeout
        until = None if limit is None else time.monotonic() + limit * len(cells)
        answers = iter(lambda: self._next(by_key, until), None)
        self._send(Measure(cells))
        for _ in cells:
            take(
                self._read(lambda: from_messages(next(answers).head, _bodies(answers), shape)),
            )
        verdict = self._read(lambda: _verdict(next(answers).head))
        if verdict.changed or verdict.restored:
            self._end()
        return verdict

    def output(self) -> str:
        """See `Engine.output`."""
        found, self._printed = self._printed, ""
        return found + (self._child.output() if self._child is not None else "")

    def stop(self) -> None:
        """See `Engine.stop`."""
        self._stopped = True
        if (child := self._child) is not None:
            child.strike()

    def close(self) -> None:
        """See `Engine.close`."""
        self._end()

    def _started(self, data_plugins: tuple[Origin, ...]) -> Process:
        return Child(serve, self._options, data_plugins, environment=self._environment)

    def _end(self) -> None:
        """Kill the worker, but keep what it printed."""
        if self._child is not None:
            self._child.kill()
            self._printed += self._child.output()
            self._child = None

    def _send(self, request: Open | Measure) -> None:
        assert self._child is not None
        try:
            self._child.send(request)
        except Ended as error:
            raise self._lost(str(error)) from None

    def _lost(self, reason: str) -> Lost | Stopped:
        """End the worker and return the error that says so."""
        self._end()
        return Stopped() if self._stopped else Lost(reason)

    def _read(self, read: Callable[[], T]) -> T:
        """Return what `read` makes of the next messages; a worker that sends nonsense is ended."""
        try:
            return read()
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            reason = f"its process sent no valid result: {clean(str(error), 300)}"
            raise self._lost(reason) from None

    def _next(self, by_key: Mapping[str, Cell], until: float | None) -> Message:
        """Return the next message that is not about progress."""
        assert self._child is not None
        while True:
            try:
                message = self._child.receive(None if until is None else until - time.monotonic())
            except Overdue:
                seconds = self._options.cell_timeout
                reason = f"no result after {seconds:g} s a cell (--cell-timeout)"
                raise self._lost(reason) from None
            except Ended as error:
                raise self._lost(str(error)) from None
            head = message.head
            match head.get("kind"):
                case "preparing":
                    done, total = int(head["done"]), int(head["total"])
                    self._display.preparing(clean(head["what"]), done, total)
                case "started":
                    self._display.started(by_key[head["key"]])
                case "stepped":
                    epoch, epochs, step, steps = map(int, head["at"])
                    self._display.stepped(epoch, epochs, step, steps)
                case "logged":
                    for name, points in checked_curves({head["curve"]: [head["at"]]}).items():
                        self._display.logged(by_key[head["key"]], name, *points[0])
                case "warning":
                    _log.warning("%s", clean(head["text"]))
                case "lost":
                    raise self._lost(clean(head["text"]))
                case "error":
                    known = {error.__name__: error for error in ERRORS}
                    raise known[head["type"]](clean(head["text"]))
                case _:
                    return message


def _bodies(answers: Iterator[Message]) -> Iterator[bytes]:
    """Yield the slices of logits among the next messages."""
    for message in answers:
        if message.head.get("kind") != "logits":
            raise ValueError("logits are missing")
        yield message.body


def _facts(values: Mapping[str, Any]) -> Facts:
    return Facts(**{**values, "nearest": tuple(values["nearest"])})  # JSON has lists


def _verdict(head: Mapping[str, Any]) -> Verdict:
    if head["kind"] != "verdict":
        raise ValueError("more results than cells")
    changed, restored = (tuple(checked_notes(head[name])) for name in ("changed", "restored"))
    return Verdict(changed, restored)


def _origin(catalog: Catalog, name: str) -> tuple[Origin, ...]:
    """Return the plug-in that registers a method or data set, unless it belongs to the suite."""
    entry = catalog.entries().get(name)  # own data are in no catalog
    return () if entry is None or entry.origin is None else (entry.origin,)
