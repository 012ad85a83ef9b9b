"""The end of a place that is on a node of a Ray cluster: an actor that keeps a worker process.

The worker is a child process, as it is without Ray. What the driver sends to it goes through the
actor as bytes, and only the child unpickles them: the actor imports neither torch nor plug-ins.
"""

from __future__ import annotations

import os
import pickle
import platform
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

from benchmarks.processes import Child, Ended, Message, Overdue, Parent
from benchmarks.run.versions import versions
from benchmarks.starting import warm_up

ROOT = Path(__file__).resolve().parents[2]
"""Folder of the code: on a node, the copy that Ray has unpacked."""
_LAST = {"facts", "verdict", "lost", "error"}
"""Kinds of messages that end the answer to a request."""
_PROGRESS = {"preparing", "stepped"}
"""Kinds of messages of which only the latest counts."""
_MOST_BYTES = 32 * 2**20
"""Bytes of messages that travel together."""


class Pickled:
    """An object in the form of bytes; its own pickle becomes that object where it is read."""

    def __init__(self, data: bytes) -> None:
        self._data = data

    def __reduce__(self) -> tuple[Callable[[bytes], Any], tuple[bytes]]:
        return pickle.loads, (self._data,)


class About(NamedTuple):
    """Facts about a node."""

    name: str
    root: Path
    """Folder of the code there."""
    versions: dict[str, str]
    """Versions of Python and of packages there, by name."""
    shares: bool
    """True if it sees a file that the driver has made."""


class Answers(NamedTuple):
    """Messages of the worker."""

    messages: list[Message]
    over: str | None
    """The end of the worker in words, if it has ended."""


class Host:
    """The actor.

    Args:
        folder: in which the command was typed; workers run in it if it exists here.
        paths: folders to import from, below the folder of the code.
    """

    def __init__(self, folder: str, paths: Sequence[str]) -> None:
        self._child: Child | None = None
        self._over: str | None = None
        # Ray's own script: every child would run it to find the classes of `__main__`.
        vars(sys.modules["__main__"]).pop("__file__", None)
        inherited = [*(str(ROOT / path) for path in paths), os.environ.get("PYTHONPATH", "")]
        os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, inherited))
        with suppress(OSError):
            os.chdir(folder)
        warm_up(fitting=True)

    def about(self, marker: str) -> About:
        """Return facts about this node.

        Args:
            marker: path of a file on the driver's machine.
        """
        return About(platform.node(), ROOT, versions(), Path(marker).is_file())

    def start(self, call: bytes) -> None:
        """Start a worker in place of the one that runs.

        Args:
            call: a pickled pair of a function, as `Child` takes it, and its arguments.
        """
        self.end()
        self._over = None
        self._child = Child(_called, Pickled(call))

    def send(self, *requests: bytes) -> None:
        """Send pickled requests to the worker."""
        assert self._child is not None
        try:
            for request in requests:
                self._child.send(Pickled(request))
        except Ended as ended:
            self._over = str(ended)

    def receive(self, seconds: float) -> Answers:
        """Return the messages up to the end of an answer, or those of so many seconds."""
        assert self._child is not None
        until = time.monotonic() + seconds
        found: list[Message] = []
        size = 0
        while self._over is None and size < _MOST_BYTES:
            try:
                message = self._child.receive(until - time.monotonic())
            except Overdue:
                break
            except Ended as ended:
                self._over = str(ended)
                break
            kind = message.head.get("kind")
            if kind in _PROGRESS and found and found[-1].head.get("kind") == kind:
                found.pop()
            found.append(message)
            size += len(message.body)
            if kind in _LAST:
                break
        return Answers(found, self._over)

    def output(self) -> str:
        """Return what the worker has printed since the last call."""
        return "" if self._child is None else self._child.output()

    def end(self) -> None:
        """Kill the worker; its output can still be read."""
        if self._child is not None:
            self._child.kill()


def _called(parent: Parent, call: tuple[Callable[..., None], Sequence[Any]]) -> None:
    """Do in the child what the driver has asked for."""
    target, arguments = call
    target(parent, *arguments)
