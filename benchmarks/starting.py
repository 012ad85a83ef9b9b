"""Conditions under which Python starts processes: short paths, and no second run of a script."""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

_LONGEST_FOLDER = 75
"""Bytes in the path of the temporary folder; the system allows a socket 107, 32 of them in it."""
_SHORT = "/tmp"


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
