"""The answer of `status`, as lines and for JSON."""

from __future__ import annotations

import re
import time
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.text import Text

from benchmarks.cli.parts.messages import warn
from benchmarks.cli.parts.plan_table import duration
from benchmarks.errors import counted, first_few
from benchmarks.run.folder_status import Failure, FolderStatus, RunningCell
from benchmarks.run.runs import clock_time
from benchmarks.signs_of_life import Owner
from benchmarks.visible import one_visible_line

_LINES = 20
"""Most lines about failed cells, and about runs."""
_REASON = 300
"""Most characters of a reason."""


def print_status(folder: Path, status: FolderStatus, console: Console) -> None:
    """Print the state of a folder."""

    def say(line: str, style: str = "") -> None:
        console.print(Text(line, style=style), soft_wrap=True)

    say(f"{folder}: {_counts(status)}.")
    for line in _bounded(_running_lines(status), "processes"):
        say(f"  {line}")
    if status.seconds_left:
        say(_expected_end(status.seconds_left))
    elif status.left and not (status.runs or status.running):
        say("Nothing is running; the same command computes what is left.")
    if status.failures:
        say("Failed (--rerun failed runs them again):", "red")
        for line in _bounded(_failure_lines(status.failures), "reasons; --json has all"):
            say(f"  {line}")
    if status.planned is None:
        say("There is no plan of a run here, so what is left is not known.", "yellow")
    if status.other_records:
        say(f"{counted(status.other_records, 'record')} of other sweeps or earlier code.", "dim")
    for problem in _bounded(status.problems, "files"):
        warn(console, f"Ignored: {problem}")


def headline(status: FolderStatus) -> str:
    """Return the state of a folder in a line, for a page."""
    end = f" {_expected_end(status.seconds_left)}" if status.seconds_left else ""
    return f"{_counts(status)}.{end}"


def status_answer(folder: Path, status: FolderStatus) -> dict[str, Any]:
    """Return the state of a folder for `--json`, with all cells that failed or are running."""
    end = None if status.seconds_left is None else _iso(time.time() + status.seconds_left)
    return {
        "folder": str(folder),
        "planned": status.planned,
        "done": status.done,
        "failed": len(status.failures),
        "not_applicable": status.not_applicable,
        "running": len(status.running),
        "left": status.left,
        "seconds_left": status.seconds_left,
        "expected_end": end,
        "runs": [_where(run.owner) for run in status.runs],
        "running_cells": [
            {"key": cell.key, "title": cell.title} | _where(cell.owner) for cell in status.running
        ],
        "failures": [vars(failure) for failure in status.failures],
        "other_records": status.other_records,
        "problems": list(status.problems),
    }


def _expected_end(seconds_left: float) -> str:
    end = clock_time(time.time() + seconds_left)
    return f"Expected end: about {end}, in {duration(seconds_left)} (rough)."


def _counts(status: FolderStatus) -> str:
    """Return the number of cells in each state."""
    head = "" if status.planned is None else f"{counted(status.planned, 'cell')}: "
    states = {
        "done": status.done,
        "failed": len(status.failures),
        "not applicable": status.not_applicable,
        "running": len(status.running),
        "left": status.left,
    }
    always = ("done",) if status.planned is None else ("done", "failed", "left")
    return head + ", ".join(f"{n} {name}" for name, n in states.items() if n or name in always)


def _running_lines(status: FolderStatus) -> list[str]:
    """Return a line for each process that has begun, with the cells that it works on."""
    cells: dict[str, list[RunningCell]] = {}
    owners: dict[str, Owner] = {}
    for run in status.runs:
        owners.setdefault(run.owner.process, run.owner)
    for cell in status.running:
        owners.setdefault(cell.owner.process, cell.owner)
        cells.setdefault(cell.owner.process, []).append(cell)
    lines = []
    for process, owner in owners.items():
        mine = cells.get(process, [])
        titles = [f"{cell.title} (since {clock_time(cell.owner.since)})" for cell in mine]
        work = f"{counted(len(mine), 'cell')}: {first_few(titles)}" if mine else "no cell just now"
        lines.append(f"running on {owner}, since {clock_time(owner.since)}: {work}")
    return lines


def _failure_lines(failures: Sequence[Failure]) -> list[str]:
    """Return a line for each reason, those of the most cells first; numbers in it may differ."""
    alike: dict[str, list[Failure]] = {}
    for failure in failures:
        alike.setdefault(re.sub(r"\d+", "#", failure.reason), []).append(failure)
    lines = []
    for group in sorted(alike.values(), key=len, reverse=True):
        reason = one_visible_line(group[0].reason, _REASON)
        titles = [failure.title for failure in group]
        many = f"{len(group)} cells, " if len(group) > 1 else ""
        lines.append(f"{many}{first_few(titles, limit=2)}: {reason}")
    return lines


def _bounded(lines: Iterable[str], what: str) -> list[str]:
    """Return the first lines, and one that counts the others."""
    lines = list(lines)
    more = [f"and {len(lines) - _LINES} more {what}"] if len(lines) > _LINES else []
    return lines[:_LINES] + more


def _where(owner: Owner) -> dict[str, Any]:
    return {"host": owner.host, "pid": owner.pid, "since": _iso(owner.since)}


def _iso(seconds: float) -> str | None:
    try:
        return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="seconds")
    except (ValueError, OverflowError, OSError):
        return None
