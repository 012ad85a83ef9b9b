"""A server of the page of a folder, for tests."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from benchmarks.cli.parts import live_page
from benchmarks.cli.parts.live_page import LivePage
from benchmarks.cli.parts.page_server import PageServer, serving


@contextmanager
def page_server(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[PageServer]:
    """Serve a folder until the context ends, without pauses between two looks at it."""
    monkeypatch.setattr(live_page, "_SHARE", 1e9)
    with serving(LivePage(folder), "127.0.0.1", 0) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield server
        server.shutdown()
        thread.join()
