"""The start of child processes: the server that forks them, and what Python needs for it."""

from __future__ import annotations

import importlib
import multiprocessing
import multiprocessing.forkserver
import os
import signal
import sys
import tempfile
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import MappingProxyType
from typing import Any

_FIRST = "benchmarks.server"
PRELOADED = ["torch", "open_clip", "benchmarks.run.worker"]
"""Modules that the server imports once for all children, if they are going to fit."""
LIGHT = ["methods.parts.training.learning", "benchmarks.datasets.registry"]
"""The same if children only import plug-ins: torch, and what most plug-ins begin with. open_clip
takes longer than all of these together."""
NO_VARIABLES: Mapping[str, str] = MappingProxyType({})
_LONGEST_FOLDER = 75
"""Bytes in the path of the temporary folder; the system allows a socket 107, 32 of them in it."""
_SHORT = "/tmp"
_starting = threading.RLock()
_state = {"fitting": False}


def warm_up(*, fitting: bool) -> None:
    """Start the server from which children are forked; it imports torch beside this process.

    Args:
        fitting: import at once what children need to fit methods, and not only to import them.
            A server that runs already does not do this any more.
    """
    _state["fitting"] = fitting
    start_server(context_of())


def start_server(context: Any) -> None:
    """Start the server unless it runs; return before its imports are done."""
    if context.get_start_method() != "forkserver":
        return
    handler = signal.getsignal(signal.SIGINT)
    may_set = threading.current_thread() is threading.main_thread() and handler is not None
    if may_set:  # inherited: Ctrl-C in the middle of its imports would print a traceback
        signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        with variables(NO_VARIABLES), short_sockets():
            multiprocessing.forkserver.ensure_running()
    finally:
        if may_set:
            signal.signal(signal.SIGINT, handler)


def context_of(*, fresh: bool = False) -> Any:
    """The way to start a process: a fork of the server, or a new interpreter if `fresh`."""
    # macOS's frameworks do not survive a fork.
    fresh = fresh or sys.platform == "darwin"
    context = multiprocessing.get_context("spawn" if fresh else "forkserver")
    context.set_forkserver_preload([_FIRST, *_preloaded()])
    return context


def _preloaded() -> list[str]:
    return PRELOADED if _state["fitting"] else LIGHT


def import_here() -> None:
    """Import what children need, to learn why they could not.

    Raises:
        Exception: of the import that fails.
    """
    for name in _preloaded():
        importlib.import_module(name)


@contextmanager
def variables(chosen: Mapping[str, str]) -> Iterator[None]:
    """Start processes with these variables, one thread at a time.

    They can import this project, and nothing from the folder that they are started in.
    """
    root = str(Path(__file__).resolve().parents[1])
    inherited = os.environ.get("PYTHONPATH")
    wanted = {
        "PYTHONPATH": root if not inherited else os.pathsep.join([root, inherited]),
        "PYTHONSAFEPATH": "1",
        **chosen,
    }
    with _starting:
        before = {name: os.environ.get(name) for name in wanted}
        os.environ.update(wanted)
        try:
            yield
        finally:
            for name, value in before.items():
                if value is None:
                    os.environ.pop(name, None)
                else:
                    os.environ[name] = value


@contextmanager
def short_sockets() -> Iterator[None]:
    """Let multiprocessing put its sockets into /tmp if the temporary folder lies too deep.

    Python does so itself from 3.14 on.
    """
    before = tempfile.tempdir
    if len(os.fsencode(tempfile.gettempdir())) > _LONGEST_FOLDER:
        tempfile.tempdir = _SHORT
    try:
        yield
    finally:
        tempfile.tempdir = before


@contextmanager
def without_main() -> Iterator[None]:
    """Keep new processes from running the main script again.

    multiprocessing imports it in each of them, so that a script that calls `run_benchmarks.main`
    would need `if __name__ == "__main__"`. No child needs anything of it.
    """
    names = vars(sys.modules["__main__"])
    before: dict[str, Any] = {n: names[n] for n in ("__spec__", "__file__") if n in names}
    names["__spec__"] = None
    names.pop("__file__", None)
    try:
        yield
    finally:
        names.update(before)
