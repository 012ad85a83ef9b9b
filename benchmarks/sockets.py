"""Room for the sockets through which Python starts processes."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager

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
