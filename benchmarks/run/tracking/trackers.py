"""The trackers of a run, each behind a queue and in a process of its own.

A run puts what happens into the queues and goes on. A tracker that fails loses the current
cell, and one that hangs or ends is given up; a line says so, and no cell is harmed.
"""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, Protocol, Self

from benchmarks.errors import UserError, counted
from benchmarks.processes import Child, Ended, Overdue, in_this_process
from benchmarks.run.tracking.base import Settings, TrackedCell
from benchmarks.run.tracking.side import Side, serve
from benchmarks.sweep.tracks import Track

OPENING_S = 120.0
"""Longest time that importing a tracker's library may take."""
PATIENCE_S = 120.0
"""Longest time of a call while cells are run."""
LAST_S = 30.0
"""Longest time of a call once all cells are done."""
HURRY_S = 5.0
"""The same after an interruption."""
SILENT_S = 2.0
"""Time after which a line says that the run waits for a tracker."""
MOST_WAITING = 100_000
"""Calls that wait for a slow tracker before it is given up."""

Say = Callable[[str], None]


class Trackers:
    """The trackers of a run; a context that lasts as long as cells are run.

    Args:
        tracks: their names.
        settings: of the run.
        say: prints a line; any thread may call it.
    """

    def __init__(self, tracks: Sequence[Track], settings: Settings, say: Say) -> None:
        lane = _Here if in_this_process() else _Elsewhere
        self._new = [partial(lane, track, settings, _Account(track, say)) for track in tracks]
        self._lanes: list[_Lane] = []

    def __enter__(self) -> Self:
        """Start them.

        Raises:
            UserError: one cannot work.
        """
        try:
            for new in self._new:
                self._lanes.append(new())
            for lane in self._lanes:
                lane.open()
        except BaseException:
            for lane in self._lanes:
                lane.close(0.0)
            raise
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        for lane in self._lanes:
            lane.put("close", "")
        for lane in self._lanes:
            lane.close(LAST_S if kind is None else HURRY_S)

    def begin(self, cell: TrackedCell) -> None:
        """Say that a cell begins."""
        for lane in self._lanes:
            lane.put("begin", cell.key, cell)

    def log(self, key: str, name: str, epoch: float, value: float) -> None:
        """Pass on a number of the cell with a key."""
        for lane in self._lanes:
            lane.put("log", key, key, name, epoch, value)

    def end(self, key: str, record: Mapping[str, Any]) -> None:
        """Pass on the record of the cell with a key."""
        for lane in self._lanes:
            lane.put("end", key, key, record)


class _Account:
    """Cells that a tracker has and lacks; prints its first failure, and the number at the end."""

    def __init__(self, track: Track, say: Say) -> None:
        self._track = track
        self._say = say
        self._begun: set[str] = set()
        self._broken: set[str] = set()
        self._whole: set[str] = set()
        self._failed = False

    def asked(self, call: str, key: str) -> None:
        """Count a call that is to be made."""
        if call == "begin":
            self._begun.add(key)
            self._whole.discard(key)

    def done(self, call: str, key: str) -> None:
        """Count a call that went well."""
        if call == "begin":
            self._broken.discard(key)
        elif call == "end" and key not in self._broken:
            self._whole.add(key)

    def failed(self, key: str, reason: str) -> None:
        """Count a call that failed; print the first reason."""
        self._broken.add(key)
        if not self._failed:
            self._failed = True
            reason = reason.rstrip(".")
            self._say(f"--track {self._track}: {reason}. The sweep goes on without it.")

    def waits(self) -> None:
        """Say that the run has ended and the tracker has not."""
        self._say(f"Waiting until {self._track} has taken the rest.")

    def over(self) -> None:
        """Say how many cells are missing, if any call failed."""
        missing = len(self._begun - self._whole)
        if self._failed and missing:
            cells = counted(len(self._begun), "cell")
            self._say(f"--track {self._track}: incomplete there: {missing} of {cells}.")


class _Lane(Protocol):
    """The way to a tracker."""

    def open(self) -> None:
        """Wait until the tracker is ready.

        Raises:
            UserError: it cannot work.
        """
        ...

    def put(self, call: str, key: str, *arguments: Any) -> None:
        """Call a function of `Side`, now or soon."""
        ...

    def close(self, patience: float) -> None:
        """Wait until the tracker has taken everything, as long as each call takes `patience`."""
        ...


class _Here:
    """A tracker in this process, for debuggers and tests."""

    def __init__(self, track: Track, settings: Settings, account: _Account) -> None:
        self._account = account
        self._side = Side(track, settings)

    def open(self) -> None:
        """See `_Lane.open`."""

    def put(self, call: str, key: str, *arguments: Any) -> None:
        """See `_Lane.put`."""
        self._account.asked(call, key)
        if reason := self._side.call(call, arguments):
            self._account.failed(key, reason)
        else:
            self._account.done(call, key)

    def close(self, patience: float) -> None:
        """See `_Lane.close`."""
        self._account.over()


class _Elsewhere:
    """A tracker in a child process, which a thread serves."""

    def __init__(self, track: Track, settings: Settings, account: _Account) -> None:
        self._track = track
        self._account = account
        self._calls: queue.Queue[tuple[str, str, tuple[Any, ...]]] = queue.Queue(MOST_WAITING)
        self._child = Child(serve, track, settings)
        self._given_up = False
        self._answered = time.monotonic()
        self._thread = threading.Thread(target=self._pass_on, name=str(track), daemon=True)

    def open(self) -> None:
        """See `_Lane.open`."""
        try:
            head = self._child.receive(OPENING_S).head
        except (Ended, Overdue) as error:
            reason = str(error) or f"its library does not load within {OPENING_S:g} s"
            raise UserError(f"--track {self._track}: {reason}.") from None
        if head["kind"] == "refused":
            raise UserError(str(head["text"]))
        self._thread.start()

    def put(self, call: str, key: str, *arguments: Any) -> None:
        """See `_Lane.put`."""
        self._account.asked(call, key)
        try:
            self._calls.put_nowait((call, key, arguments))
        except queue.Full:
            self._give_up(key, f"{MOST_WAITING:,} calls wait for it")

    def close(self, patience: float) -> None:
        """See `_Lane.close`."""
        try:
            if self._thread.ident is not None:
                self._wait(patience)
        finally:
            self._child.kill()
        self._account.over()

    def _wait(self, patience: float) -> None:
        self._thread.join(SILENT_S)
        if self._thread.is_alive():
            self._account.waits()
        self._answered = max(self._answered, time.monotonic() - SILENT_S)
        while self._thread.is_alive():
            self._thread.join(0.1)
            if time.monotonic() - self._answered > patience:
                self._give_up("", f"no answer for {patience:g} s")
                self._thread.join(PATIENCE_S)  # it closes the pipe of the child that was struck
                return

    def _pass_on(self) -> None:
        """Pass calls on, one at a time, until the last."""
        call = ""
        while call != "close":
            call, key, arguments = self._calls.get()
            if self._given_up:
                continue
            try:
                self._child.send((call, arguments))
                error = str(self._child.receive(PATIENCE_S).head["error"])
            except Overdue:
                self._give_up(key, f"no answer for {PATIENCE_S:g} s")
            except (Ended, OSError) as ended:  # OSError: an interrupted run has closed the pipe
                self._give_up(key, str(ended))
            else:
                self._answered = time.monotonic()
                if error:
                    self._account.failed(key, error)
                else:
                    self._account.done(call, key)

    def _give_up(self, key: str, reason: str) -> None:
        if not self._given_up:
            self._given_up = True
            self._account.failed(key, reason)
        self._child.strike()
