"""Child processes whose failure cannot harm this one.

A child is forked from a server process that has imported torch already, so it starts in a tenth of
a second. It answers with messages of JSON, never with pickles, because it may run code that nobody
has read. Its output goes to a bounded buffer. When it ends, for whatever reason, its parent learns
the reason; when the parent ends, the child and its own children are killed.
"""

from __future__ import annotations

import array
import ctypes
import fcntl
import json
import multiprocessing
import os
import queue
import signal
import stat
import sys
import tempfile
import termios
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from multiprocessing.connection import Connection, wait
from pathlib import Path
from typing import Any, NamedTuple

from benchmarks.errors import UserError
from benchmarks.starting import (
    NO_VARIABLES,
    context_of,
    import_here,
    start_server,
    variables,
    without_main,
)

LARGEST_MESSAGE = 64 * 2**20
"""Bytes in a part of a message; a longer one is noise that the child wrote to the pipe."""
KEPT_OUTPUT = 64 * 1024
"""Bytes of output that are kept from its beginning, and as many from its end."""
_WAITING = 1000
"""Messages that wait for the parent before the child has to."""

_state = {"here": False}


def in_this_process() -> bool:
    """Return True if this process itself may import plug-ins and fit methods.

    That is so in children, with `--debug`, and in most tests.
    """
    return _state["here"]


@contextmanager
def staying_here(here: bool = True) -> Iterator[None]:
    """Import plug-ins and fit methods in this process, or, with False, in children only."""
    before, _state["here"] = _state["here"], here
    try:
        yield
    finally:
        _state["here"] = before


class Ended(Exception):
    """A child ended, or sent something that is not a message; its text says how."""


class Overdue(Exception):
    """A child did not answer in time."""


class Message(NamedTuple):
    """An answer of a child."""

    head: dict[str, Any]
    """JSON; `kind` says what the message is about."""
    body: bytes
    """Raw data, empty for most messages."""


class Parent:
    """The child's end of the pipe: requests come in, answers go out."""

    def __init__(self, requests: Connection, answers: Connection) -> None:
        self._requests = requests
        # Kept as they are now: a method may replace them, and its answer would be lost.
        self._send_bytes, self._dumps = answers.send_bytes, json.dumps
        self._owner = os.getpid()
        self._lock = threading.Lock()

    def next_request(self) -> Any:
        """Wait for a request and return it.

        Raises:
            EOFError: there will be no more.
        """
        return self._requests.recv()

    def send(self, head: dict[str, Any], body: bytes | memoryview = b"") -> None:
        """Send a message; `head` holds JSON types."""
        if os.getpid() != self._owner:  # a fork made by a method is not the child
            os._exit(1)
        with self._lock:
            self._send_bytes(self._dumps(head).encode())
            self._send_bytes(body)


class Child:
    """A process that runs `target(parent, *arguments)`.

    Args:
        target: a function of a module, whose first argument is a `Parent`.
        arguments: whatever can be pickled.
        environment: variables that the child has before it imports anything. It is then a new
            interpreter, which takes the seconds of importing torch, and no fork.

    Raises:
        UserError: no process can be started.
    """

    def __init__(
        self,
        target: Callable[..., None],
        *arguments: Any,
        environment: Mapping[str, str] = NO_VARIABLES,
    ) -> None:
        self._messages: queue.Queue[Message | None] = queue.Queue(_WAITING)
        self._output = Output()
        self._heard = False
        context = context_of(fresh=bool(environment))
        child_requests, self._requests = context.Pipe(duplex=False)
        answers, child_answers = context.Pipe(duplex=False)
        self._printed, child_output = context.Pipe(duplex=False)
        self._process = context.Process(
            target=_main,
            args=(
                target, arguments, child_requests, child_answers, child_output,
                dict(os.environ) | dict(environment), _folder(),
            ),
            daemon=True,
        )  # fmt: skip
        try:
            with variables(environment), without_main():
                start_server(context)
                self._process.start()
        except EOFError as error:  # the server has ended
            import_here()
            raise UserError(
                "Cannot start a process: their server has ended. What is finished is kept; the "
                "same command goes on from there."
            ) from error
        except OSError as error:
            raise UserError(
                f"Cannot start a process ({error.strerror or error}): are there too many, or was "
                f"the temporary folder {tempfile.gettempdir()} cleared? What is finished is kept; "
                "the same command goes on from there."
            ) from error
        for end in (child_requests, child_answers, child_output):
            end.close()
        # Daemons: a grandchild may hold a pipe open for ever.
        for work in (
            lambda: _read_messages(answers, self._messages),
            lambda: self._output.read(self._printed),
        ):
            threading.Thread(target=work, daemon=True).start()

    def send(self, request: Any) -> None:
        """Send a request.

        Raises:
            Ended: the child is gone.
        """
        try:
            self._requests.send(request)
        except OSError:
            raise Ended(self.end()) from None

    def receive(self, seconds: float | None = None) -> Message:
        """Wait for the next message.

        Args:
            seconds: time to wait; None waits without a limit.

        Raises:
            Ended: the child is gone, or wrote something else; it is killed.
            Overdue: no message came in time; the child runs on.
        """
        until = None if seconds is None else time.monotonic() + seconds
        while True:
            left = None if until is None else until - time.monotonic()
            if left is not None and left <= 0:
                raise Overdue
            with suppress(queue.Empty):
                message = self._messages.get(timeout=min(0.2, left or 0.2))
                if message is None:
                    raise Ended(self.end())
                self._heard = True
                return message
            if not self._process.is_alive() and self._messages.empty():
                raise Ended(self.end())

    def end(self) -> str:
        """Kill the child and return how it ended, in words.

        Raises:
            Exception: what this project needs cannot be imported, which ended the child.
        """
        # A child that is ending by itself closes its pipes a moment before.
        wait([self._process.sentinel], timeout=1.0)
        alive = self._process.is_alive()
        self.kill()
        if not self._heard and self._process.exitcode == 1:
            import_here()
        if alive:
            return "its process wrote something that is not an answer, and was ended"
        return _ending(self._process.exitcode)

    def strike(self) -> None:
        """Kill the child and its processes; any thread may call this."""
        pid = self._process.pid
        if pid is not None:
            for kill in (os.killpg, os.kill):  # its group has its number, once it has one
                with suppress(OSError):
                    kill(pid, signal.SIGKILL)

    def kill(self) -> None:
        """Kill the child and the processes that it has started, and wait for its end."""
        self.strike()
        self._process.kill()
        self._process.join()
        self._requests.close()

    def output(self) -> str:
        """Return what the child has printed since the last call."""
        until = time.monotonic() + 0.2
        while self._unread() and time.monotonic() < until:
            time.sleep(0.001)
        return self._output.take()

    def _unread(self) -> bool:
        unread = array.array("i", [0])
        with suppress(OSError):
            fcntl.ioctl(self._printed.fileno(), termios.FIONREAD, unread)
        return unread[0] > 0


class Output:
    """The beginning and the end of a text that may be endless."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._first = self._last = b""
        self._omitted = 0

    def read(self, pipe: Connection) -> None:
        """Read a pipe to its end."""
        with suppress(OSError):
            while data := os.read(pipe.fileno(), 65536):
                with self._lock:
                    room = KEPT_OUTPUT - len(self._first)
                    self._first += data[:room]
                    self._last += data[room:] if room > 0 else data
                    if (excess := len(self._last) - KEPT_OUTPUT) > 0:
                        self._last = self._last[excess:]
                        self._omitted += excess

    def take(self) -> str:
        """Return the text and forget it."""
        with self._lock:
            gap = f"\n… {self._omitted} bytes omitted …\n".encode() if self._omitted else b""
            found = self._first + gap + self._last
            self._first = self._last = b""
            self._omitted = 0
        return found.decode(errors="replace")


def _folder() -> str | None:
    """Return the current folder; None if it was removed."""
    try:
        return os.getcwd()
    except OSError:
        return None


def _read_messages(pipe: Connection, messages: queue.Queue[Message | None]) -> None:
    """Put every message of a pipe into a queue, and None at the end or at noise."""
    try:
        while True:
            head = json.loads(pipe.recv_bytes(LARGEST_MESSAGE))
            body = pipe.recv_bytes(LARGEST_MESSAGE)
            if not isinstance(head, dict):
                break
            messages.put(Message(head, body))
    except (OSError, EOFError, ValueError, RecursionError, MemoryError):
        pass
    messages.put(None)


def _main(
    target: Callable[..., None],
    arguments: tuple[Any, ...],
    requests: Connection,
    answers: Connection,
    output: Connection,
    environment: dict[str, str],
    folder: str | None,
) -> None:
    """Prepare the process and call the target."""
    with suppress(OSError):
        os.setsid()  # Ctrl-C is the parent's affair, and the group can be killed as one
    _die_with_parent()
    for stream in (sys.stdout, sys.stderr):
        with suppress(OSError, ValueError):
            stream.flush()
    for number in (1, 2):
        os.dup2(output.fileno(), number)
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    output.close()
    _disconnect(requests.fileno(), answers.fileno(), _sentinel())
    os.environ.clear()  # the server's is older
    os.environ.update(environment)
    with suppress(OSError):
        if folder is not None:
            os.chdir(folder)
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    with staying_here():
        target(Parent(requests, answers), *arguments)


def _disconnect(*kept: int) -> None:
    """Point the server's own pipes, which a fork inherits, to nowhere.

    A method that writes to every open file would end the server. The numbers stay in use, so that
    no other file gets them.
    """
    nowhere = os.open(os.devnull, os.O_RDWR)
    for number in range(3, 256):
        with suppress(OSError):
            mode = os.fstat(number).st_mode
            if number not in kept and (stat.S_ISFIFO(mode) or stat.S_ISSOCK(mode)):
                os.dup2(nowhere, number, inheritable=False)
    os.close(nowhere)


def _sentinel() -> int:
    """Return the file that becomes readable when the parent ends."""
    parent = multiprocessing.parent_process()
    assert parent is not None
    return int(parent.sentinel)


def _die_with_parent() -> None:
    """Kill this process group when the parent ends, and prefer this process when memory is short.

    The server ends with the parent, and Linux then kills its children even if they hold Python's
    lock for ever. Elsewhere a thread watches.
    """
    if sys.platform == "linux":
        with suppress(OSError, AttributeError):
            ctypes.CDLL(None).prctl(1, int(signal.SIGKILL))  # PR_SET_PDEATHSIG
        with suppress(OSError):
            Path("/proc/self/oom_score_adj").write_text("500")

    def watch() -> None:
        wait([_sentinel()])
        with suppress(OSError):
            os.killpg(os.getpgrp(), signal.SIGKILL)

    threading.Thread(target=watch, daemon=True).start()


_HINTS = {
    signal.SIGKILL: ", as the system does when memory runs out",
    signal.SIGSEGV: ", a crash in compiled code",
    signal.SIGABRT: ", a crash in compiled code",
    signal.SIGBUS: ", a crash in compiled code",
}


def _ending(status: int | None) -> str:
    """Return in words how a process ended.

    Args:
        status: its exit status, or minus the number of a signal.
    """
    if status is not None and status < 0:
        with suppress(ValueError):
            number = signal.Signals(-status)
            return f"its process was ended by {number.name}{_HINTS.get(number, '')}"
    return f"its process ended by itself, with exit status {status}"
