"""The state of the sweep in a folder, from its records, its plan, and the signs of running work.

Nothing is written to the folder's records or claims, and nothing needs torch.
"""

from __future__ import annotations

import time
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from benchmarks.errors import UserError
from benchmarks.run.run_plan import RunPlan, read_plan
from benchmarks.run.runs import Run, living_runs
from benchmarks.signs_of_life import Onlooker, Owner, owner_of, read
from benchmarks.sweep.pace import Pace
from results.schema import Record
from results.store import Store


@dataclass(frozen=True)
class RunningCell:
    """A cell that a process has claimed."""

    key: str
    title: str
    owner: Owner


@dataclass(frozen=True)
class Failure:
    """A failed cell."""

    key: str
    title: str
    reason: str


@dataclass(frozen=True)
class FolderStatus:
    """The state of the latest sweep in a folder, or of all its records if no plan is there."""

    planned: int | None
    """Cells of the sweep; None without a plan."""
    done: int
    not_applicable: int
    failures: tuple[Failure, ...]
    running: tuple[RunningCell, ...]
    left: int
    """Cells without a result on which nobody works."""
    runs: tuple[Run, ...]
    """Runs that live."""
    seconds_left: float | None
    """Expected time until all is done, if a run lives and something is known."""
    other_records: int
    """Records that are not of the sweep."""
    problems: tuple[str, ...]
    """A line for each file that is no readable record."""


def status_of(out: Path) -> FolderStatus:
    """Return the state of a folder.

    Raises:
        UserError: there is no such folder, or no run has written to it.
    """
    if not out.is_dir():
        what = "it is not a folder" if out.exists() else "no such folder"
        raise UserError(f"{out}: {what}; name one that a run wrote to with --out.")
    # Before the records: a cell that is finished meanwhile is done and not lost.
    runs = tuple(living_runs(out))
    claimed = _claimed(out / "claims")
    plan = read_plan(out)
    records, problems = Store(out).all()
    if plan is None and not (records or problems or runs):
        raise UserError(f"{out}: no results; name a folder that a run wrote to with --out.")
    by_key = {record.key: record for record in records}
    if plan is None:
        return _status(None, by_key, set(), {}, runs, problems)
    pending = {c.key for c in plan.cells if c.is_pending(by_key.get(c.key))}
    running = {key: owner for key, owner in claimed.items() if key in pending}
    return _status(plan, by_key, pending, running, runs, problems)


def _status(
    plan: RunPlan | None,
    by_key: dict[str, Record],
    pending: set[str],
    running: dict[str, Owner],
    runs: tuple[Run, ...],
    problems: Iterable[str],
) -> FolderStatus:
    titles = {c.key: c.title for c in plan.cells} if plan else {}
    of_sweep = [r for k, r in by_key.items() if plan is None or k in titles]
    over = [record for record in of_sweep if record.key not in pending]
    return FolderStatus(
        planned=len(titles) if plan else None,
        done=sum(record.status == "done" for record in over),
        not_applicable=sum(record.status == "not_applicable" for record in over),
        failures=tuple(
            Failure(r.key, titles.get(r.key) or _title(r), r.error or "no reason given")
            for r in over
            if r.status == "failed"
        ),
        running=tuple(RunningCell(key, titles[key], running[key]) for key in running),
        left=len(pending) - len(running),
        runs=runs,
        seconds_left=_seconds_left(plan, pending, running) if plan and runs else None,
        other_records=len(by_key) - len(of_sweep),
        problems=tuple(problems),
    )


def _seconds_left(plan: RunPlan, pending: set[str], running: dict[str, Owner]) -> float | None:
    pace, now = Pace({cell.key: cell.expected_s for cell in plan.cells}), time.time()
    finished = [cell.key for cell in plan.cells if cell.to_run and cell.key not in pending]
    begun = {key: max(0.0, now - owner.since) for key, owner in running.items()}
    return pace.left(max(0.0, now - plan.began), finished, pending, len(running), begun)


def _claimed(folder: Path) -> dict[str, Owner]:
    """Return the cells that a living process has claimed, and that process."""
    onlooker, found = Onlooker(folder), {}
    with suppress(OSError):
        # Of several claims on a cell the one with the highest number holds.
        for file in sorted(folder.iterdir(), key=lambda file: (len(file.name), file.name)):
            with suppress(OSError):
                sign = read(file)
                owner = owner_of(sign.content) if sign is not None else None
                if sign is not None and owner is not None and onlooker.is_alive(sign):
                    found[file.stem] = owner
    return found


def _title(record: Record) -> str:
    return f"{record.method} · {record.dataset} · seed {record.seed}"
