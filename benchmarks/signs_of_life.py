"""Signs of life: files that say which process works in a folder, touched as long as it does.

A process on the machine of whoever looks is alive while it exists. One on another machine is alive
while it touches its file.
"""

from __future__ import annotations

import json
import os
import platform
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from benchmarks.safe_files import clock_of, process_gone, this_process

BEAT_S = 5.0
"""Seconds between two touches."""
SILENT_S = 120.0
"""Seconds without a touch after which a process of another machine counts as dead. A network file
system may show an old time for a minute."""


class Sign(NamedTuple):
    """A sign of life as it was read."""

    content: bytes
    touched: int
    """In nanoseconds, by the clock of the file system."""


class Owner(NamedTuple):
    """The process that made a sign."""

    host: str
    pid: int
    process: str
    """Its name among all processes, as `safe_files.this_process` gives it."""
    since: float
    """Time at which it made the sign, by its own clock."""

    def __str__(self) -> str:
        """Return where to find it, for example `node7, process 1234`."""
        return f"{self.host}, process {self.pid}"


def content_of(token: str, **more: object) -> bytes:
    """Return the content of a sign of this process, made now.

    Args:
        token: distinguishes the signs of one process.
        **more: JSON values to add.
    """
    who = {
        "host": platform.node(),
        "pid": os.getpid(),
        "process": this_process(),
        "since": time.time(),
        "token": token,
    }
    return json.dumps(who | more).encode()


def read(file: Path) -> Sign | None:
    """Return a sign; None if there is no such file.

    Raises:
        OSError: the file cannot be read.
    """
    try:
        with open(file, "rb") as stream:  # opening it makes a network file system ask the server
            return Sign(stream.read(), os.fstat(stream.fileno()).st_mtime_ns)
    except FileNotFoundError:
        return None


def owner_of(content: bytes) -> Owner | None:
    """Return the process that made a sign; None if the content does not tell."""
    try:
        data = json.loads(content)
        owner = Owner(
            str(data.get("host", "?")), int(data.get("pid", 0)), data["process"],
            float(data.get("since", 0)),
        )  # fmt: skip
        process_gone(owner.process)
    except (ValueError, KeyError, TypeError, AttributeError, OverflowError, RecursionError):
        return None
    return owner


class Onlooker:
    """Judges signs once, without waiting to see whether they change.

    Args:
        folder: of the signs. If it can be written to, the clock of its file system is asked.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._now: float | None = None

    def is_alive(self, sign: Sign) -> bool:
        """Return True if the process that made a sign works on."""
        owner = owner_of(sign.content)
        gone = None if owner is None else process_gone(owner.process)
        if gone is not None:
            return not gone
        if self._now is None:
            self._now = time.time()
            with suppress(OSError):
                self._now = clock_of(self._folder)
        # The clock may have been set back: a file from the future is no newer.
        return abs(self._now - sign.touched / 1e9) < SILENT_S


class Beats:
    """Calls a function every few seconds from a thread.

    Args:
        beat: touches signs.
    """

    def __init__(self, beat: Callable[[], None]) -> None:
        self._beat = beat
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._keep_beating, name="beats", daemon=True)

    def start(self) -> None:
        """Start the thread, which does not keep the process alive."""
        self._thread.start()

    def stop(self) -> None:
        """End the thread and wait until it has ended."""
        self._over.set()
        self._thread.join()

    def _keep_beating(self) -> None:
        while not self._over.wait(BEAT_S):
            self._beat()
