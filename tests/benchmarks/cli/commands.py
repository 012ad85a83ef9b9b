"""Helpers for the tests of the command line."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path

ROOT = Path(__file__).resolve().parents[3]
SCRIPT = ROOT / "run_benchmarks.py"


class Ended:
    """Exit status and output of a command."""

    def __init__(self, status: int, out: str, err: str) -> None:
        self.status, self.out, self.err = status, out, err


Command = Callable[..., Ended]


def content(folder: Path) -> dict[str, bytes | None]:
    return {
        str(p.relative_to(folder)): p.read_bytes() if p.is_file() else None
        for p in folder.rglob("*")
    }


def records(folder: Path = Path("runs")) -> dict[tuple[str, int], Path]:
    found = {}
    for file in (folder / "records").glob("*.json"):
        record = json.loads(file.read_text(encoding="utf-8"))
        found[record["method"], record["seed"]] = file
    return found


def the_line(ended: Ended) -> str:
    """The only line that a command with unusable arguments prints."""
    assert ended.status == 2
    assert ended.err.startswith("error: "), ended.err
    assert ended.err.count("\n") == 1, ended.err
    assert "Traceback" not in ended.out
    return ended.err


def start(*words: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, str(SCRIPT), *words],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        # A shell's background jobs ignore Ctrl-C, and so would everything they start.
        preexec_fn=partial(signal.signal, signal.SIGINT, signal.SIG_DFL),
    )
