"""Tiny sweeps, started as a user starts them, and what they leave on disk.

Records and predictions are read here by a few lines of our own, so that a fault in the suite's
reader cannot hide itself.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import signal
import subprocess
import sys
import time
import zipfile
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

ROOT = Path(__file__).resolve().parents[3]
START = [sys.executable, str(ROOT / "run_benchmarks.py")]
GLYPHS = {"classes": 6, "n_max": 40, "imbalance": 8, "test_per_class": 20}
DATA = [
    "--datasets", "glyphs100_lt", "--backbone", "glyph", "--device", "cpu", "--offline",
    *(word for name, value in GLYPHS.items() for word in ("--set", f"glyphs100_lt.{name}={value}")),
]  # fmt: skip
"""106 training and 120 test images in 6 classes, on the embedded backbone."""
CHANCE = 100 / GLYPHS["classes"]
HANG_S = 900
"""Seconds after which a command counts as hanging; it takes 5 to 30 on an idle machine."""
VOLATILE = {"fit_s", "eval_s", "peak_memory_mb", "data_wait_s", "fitted_together"}
"""Costs of a record that differ between equal runs."""
NO_MORE: Mapping[str, str] = {}
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")


@dataclass(frozen=True)
class Run:
    """A command that has ended."""

    status: int
    """Exit status; the negative number of the signal that ended it."""
    output: str
    """Everything that it printed, on both streams."""
    hung: bool = False

    def says(self, text: object) -> bool:
        """True if the output contains a text, however its lines are wrapped."""
        return "".join(str(text).split()) in "".join(self.output.split())

    def faults(self) -> list[str]:
        """Things that no output may contain."""
        found = []
        if self.hung:
            found.append(f"did not end within {HANG_S} s")
        if "Traceback (most recent call last)" in self.output:
            found.append("prints a traceback: " + self.output.strip().splitlines()[-1][:200])
        if "error: unexpected" in self.output:
            line = next(x for x in self.output.splitlines() if "error: unexpected" in x)
            found.append(f"prints '{line[:200]}'")
        if _CONTROL.search(self.output.replace("\r\n", "\n")):
            found.append("prints control characters")
        if any(len(line) > 4000 for line in self.output.splitlines()):
            found.append("prints a line of more than 4,000 characters")
        return found


@dataclass(frozen=True)
class Place:
    """Folder of one case: `out` of its run, its private cache, anything else beside them."""

    folder: Path

    @property
    def out(self) -> Path:
        """Folder of the records."""
        return self.folder / "out"

    @property
    def cache(self) -> Path:
        """Cache folder of its own."""
        return self.folder / "cache"

    def environment(self, more: Mapping[str, str]) -> dict[str, str]:
        """Environment of its commands."""
        kept = {k: v for k, v in os.environ.items() if not k.startswith(("COV", "PYTEST"))}
        own = {
            "LONGTAIL_VLM_CACHE": str(self.cache), "OMP_NUM_THREADS": "1", "COLUMNS": "300",
            "TERM": "dumb",
        }  # fmt: skip
        return {**kept, **own, **more}

    def start(
        self,
        arguments: Sequence[str],
        environment: Mapping[str, str] = NO_MORE,
        *,
        shielded: bool = False,
    ) -> subprocess.Popen[bytes]:
        """Start a command in a session of its own, its output in `output.txt`.

        Args:
            arguments: after `run_benchmarks.py`.
            environment: more variables.
            shielded: put a shell between this tool and the command, for plug-ins that kill the
                parent of their process.
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        shield = ["sh", "-c", '"$@"; exit $?', "sh"] if shielded else []
        with (self.folder / "output.txt").open("wb") as output:
            return subprocess.Popen(
                [*shield, *START, *arguments], cwd=self.folder, env=self.environment(environment),
                stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT,
                start_new_session=True,
            )  # fmt: skip

    def ended(self, process: subprocess.Popen[bytes], seconds: float = HANG_S) -> Run:
        """Wait for a command; end it and everything it started if it hangs."""
        hung = False
        try:
            process.wait(seconds)
        except subprocess.TimeoutExpired:
            hung = True
            self.end(process.pid)
            process.wait()
        output = (self.folder / "output.txt").read_text(encoding="utf-8", errors="replace")
        return Run(process.returncode, output, hung)

    def run(self, arguments: Sequence[str], environment: Mapping[str, str] = NO_MORE) -> Run:
        """Run a command to its end."""
        return self.ended(self.start(arguments, environment))

    def living(self, session: int) -> list[int]:
        """Processes of a command that still live: those of its session, and its workers.

        Workers have sessions of their own. On Linux they are known by the cache folder in the
        environment that they started with, which no plug-in can change.
        """
        command = ["ps", "-A", "-o", "pid=,stat="]
        listed = subprocess.run(command, capture_output=True, text=True, check=True).stdout
        mark = f"LONGTAIL_VLM_CACHE={self.cache}".encode()
        found = []
        for line in listed.splitlines():
            pid, state = line.split(None, 1)
            if not state.startswith("Z") and _belongs(int(pid), session, mark):
                found.append(int(pid))
        return found

    def orphans(self, session: int, patience: float = 60) -> list[int]:
        """Processes that are alive although their command is over; some seconds are granted."""
        until = time.monotonic() + patience
        while (alive := self.living(session)) and time.monotonic() < until:
            time.sleep(0.5)
        return alive

    def end(self, session: int) -> None:
        """Kill every process of a command."""
        for pid in self.living(session):
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)

    def sweep(self, methods: Sequence[str], *more: str) -> list[str]:
        """Arguments of a sweep of the tiny data set into `out`."""
        return ["--methods", ",".join(methods), *DATA, "--out", str(self.out), *more]


def _belongs(pid: int, session: int, mark: bytes) -> bool:
    try:
        if os.getsid(pid) == session:
            return True
        return mark in Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")
    except OSError:  # it has ended, is another user's, or this is no Linux
        return False


# ---- what a run leaves -------------------------------------------------------------------------


@dataclass(frozen=True)
class Cell:
    """A cell as it lies on disk."""

    method: str
    seed: int
    status: str
    error: str | None
    record: Mapping[str, Any]
    """The record without times, machine and checksum."""
    predictions: Mapping[str, str]
    """Hash of each array."""

    def differs_from(self, other: Cell) -> str:
        """First difference in a word or two; empty if there is none."""
        for name in sorted({*self.record, *other.record}):
            if self.record.get(name) != other.record.get(name):
                return f"record.{name}"
        for name in sorted({*self.predictions, *other.predictions}):
            if self.predictions.get(name) != other.predictions.get(name):
                return f"predictions.{name}"
        return ""


def cells(out: Path) -> dict[str, Cell]:
    """Cells by key.

    Raises:
        ValueError: a record or its predictions cannot be read.
    """
    return {file.stem: cell(file) for file in sorted((out / "records").glob("*.json"))}


def cell(file: Path) -> Cell:
    """Cell of a record's file.

    Raises:
        ValueError: the record or its predictions cannot be read.
    """
    try:
        return _cell(file)
    except (OSError, ValueError, KeyError, TypeError, EOFError, zipfile.BadZipFile) as error:
        raise ValueError(f"{file.name}: {type(error).__name__}: {error}") from error


def _cell(file: Path) -> Cell:
    data = json.loads(file.read_text(encoding="utf-8"), parse_constant=_refused)
    record = {k: v for k, v in data.items() if k not in ("provenance", "checksum")}
    if record.get("cost"):
        record["cost"] = {k: v for k, v in record["cost"].items() if k not in VOLATILE}
    predictions = {}
    if data["status"] == "done":
        with np.load(file.with_suffix(".npz"), allow_pickle=False) as arrays:
            predictions = {name: _digest(arrays[name]) for name in arrays.files}
    return Cell(data["method"], data["seed"], data["status"], data["error"], record, predictions)


def _refused(word: str) -> Any:
    raise ValueError(f"{word} in a record")


def _digest(array: np.ndarray[Any, Any]) -> str:
    head = f"{array.dtype.str}{array.shape}".encode()
    return hashlib.sha256(head + np.ascontiguousarray(array).tobytes()).hexdigest()


def files(folder: Path) -> set[str]:
    """Files under a folder, relative to it; empty folders count, too."""
    found = set()
    for path in folder.rglob("*"):
        if path.is_file() or path.is_symlink():
            found.add(path.relative_to(folder).as_posix())
        elif path.is_dir() and not any(path.iterdir()):
            found.add(path.relative_to(folder).as_posix() + "/")
    return found


def table(output: str) -> list[str]:
    """Lines of the last table that was printed, with their times left out."""
    lines = output.splitlines()
    starts = [i for i, line in enumerate(lines) if line.lstrip().startswith("method ")]
    if not starts:
        return []
    end = next((i for i in range(starts[-1], len(lines)) if "Top-1" in lines[i]), len(lines))
    return [
        re.sub(r"\s*\d+\.\d s\s*$", "", x).rstrip() for x in lines[starts[-1] : end] if x.strip()
    ]
