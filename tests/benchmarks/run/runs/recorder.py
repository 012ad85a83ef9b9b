"""A tracker that remembers, for the tests of trackers."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

RECORDER = '''
    import json
    import os
    import time
    from pathlib import Path

    from benchmarks.errors import UserError
    from benchmarks.run.tracking.base import Tracker

    class Recorder(Tracker):
        """Writes each call on a line of a file, and does what its target says at some of them."""

        def __init__(self, target, settings):
            super().__init__(target, settings)
            self._file = Path.cwd() / f"seen{target}.jsonl"
            self._obey("new")

        def begin(self, cell):
            self._write("begin", cell.key, title=cell.title, config=dict(cell.config))
            self._obey("begin")
            return cell.key

        def log(self, run, name, epoch, value):
            self._write("log", run, name=name, epoch=epoch, value=value)
            self._obey("log")

        def end(self, run, record):
            self._write("end", run, record=record)
            self._obey("end")

        def close(self):
            self._write("close", "")
            self._obey("close")

        def _write(self, call, key, **rest):
            with self._file.open("a") as stream:
                stream.write(json.dumps({"call": call, "key": key, **rest}) + "\\n")

        def _obey(self, call):
            if self.target == f"refuse-{call}":
                raise UserError("no such place.")
            if self.target == f"interrupt-{call}":
                raise KeyboardInterrupt
            if self.target == f"fail-{call}":
                raise ValueError("no\\nluck")
            if self.target == f"exit-{call}":
                os._exit(3)
            if self.target == f"hang-{call}":
                time.sleep(1000)
'''


def seen() -> list[dict[str, Any]]:
    """Return the calls of a tracker without a target."""
    return [json.loads(line) for line in Path("seen.jsonl").read_text().splitlines()]


def told(calls: list[dict[str, Any]], key: str) -> dict[str, list[tuple[float, float]]]:
    """Return the curves of a cell as a tracker was told them."""
    found: dict[str, list[tuple[float, float]]] = {}
    for call in calls:
        if call["key"] == key and call["call"] == "log":
            found.setdefault(call["name"], []).append((call["epoch"], call["value"]))
    return found
