"""Parts of a sweep that a scheduler's tasks run: units of work together, and the file of them.

The file is in the folder of results, `slurm/HASH/tasks.json`, and lists the keys of each task's
cells. `run --task FILE:I` runs the I-th task, from 0, and `--task FILE:report` only writes the
report.
"""

from __future__ import annotations

import json
import logging
import math
import platform
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks.cache import ENVIRONMENT_VARIABLE, cache_dir
from benchmarks.errors import UserError, counted
from benchmarks.input_files import MB, read_text
from benchmarks.safe_files import write_text
from benchmarks.sweep.cell import Cell
from benchmarks.yaml_files import load_json
from results.identity import short_hash

if TYPE_CHECKING:  # needs torch, and a mistyped `run` is to be told at once
    from benchmarks.run.units import Unit

REPORT = "report"
"""Word for the report of all tasks, in place of a task's number."""
SHORTEST_S = 600.0
"""Units are put together until a task is expected to take this long: it starts in a minute."""
_LARGEST = 256 * MB
_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Task:
    """Units of work that one job of a scheduler runs, one after the other."""

    units: tuple[Unit, ...]
    seconds: float | None
    """Expected time, with that of the features that are not stored; None if it is not known."""

    @property
    def cells(self) -> list[Cell]:
        """All cells."""
        return [cell for unit in self.units for cell in unit.cells]

    @property
    def memory(self) -> float:
        """Expected peak of main memory in bytes."""
        return max(unit.memory.host for unit in self.units)


def tasks_of(
    units: Iterable[Unit], seconds: Callable[[Sequence[Cell]], float | None]
) -> list[Task]:
    """Put units of one bench together until a task takes some minutes; the longest come first.

    Args:
        units: in running order.
        seconds: expected time of cells; None if it is not known, and then a unit stays alone.
    """
    tasks: list[Task] = []
    for unit in units:
        new = seconds(unit.cells)
        last = tasks[-1] if tasks else None
        if (
            last is not None
            and last.units[0].bench == unit.bench
            and new is not None
            and last.seconds is not None
            and last.seconds < SHORTEST_S
        ):
            together = (*last.units, unit)
            # Anew: they share the features that are computed first.
            cells = [cell for one in together for cell in one.cells]
            tasks[-1] = Task(together, seconds(cells))
        else:
            tasks.append(Task((unit,), new))
    return sorted(tasks, key=lambda t: -math.inf if t.seconds is None else -t.seconds)


def write_tasks(out: Path, tasks: Sequence[Task]) -> Path:
    """Write the file of some tasks into a folder of results and return its path.

    Raises:
        UserError: it cannot be written.
    """
    keys = [[cell.key for cell in task.cells] for task in tasks]
    file = out.absolute() / "slurm" / short_hash({"tasks": keys}) / "tasks.json"
    rows = ",\n".join(json.dumps(row) for row in keys)
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        write_text(file, f'{{"tasks": [\n{rows}\n]}}\n')
    except OSError as error:
        raise UserError(f"Cannot write {file}: {error.strerror or error}.") from error
    with suppress(OSError):
        _seen(file).parent.mkdir(parents=True, exist_ok=True)
        _seen(file).touch()
    return file


@dataclass(frozen=True)
class Part:
    """The part of a sweep that `--task` names."""

    file: Path
    which: str
    keys: frozenset[str]
    """Keys of its cells; empty for the report."""

    @property
    def reports(self) -> bool:
        """True if it runs nothing and writes the report of all tasks."""
        return self.which == REPORT

    def forget(self) -> None:
        """Remove what showed that the cache folder is shared: all tasks are over."""
        with suppress(OSError):
            _seen(self.file).unlink()

    def of(self, cells: Sequence[Cell]) -> list[Cell]:
        """Return the cells of the part, all of them for the report.

        Raises:
            UserError: some are not in the sweep.
        """
        if self.reports:
            return list(cells)
        found = [cell for cell in cells if cell.key in self.keys]
        if len(found) < len(self.keys):
            raise UserError(
                f"--task {self.file}:{self.which}: {len(self.keys) - len(found)} of the "
                f"{len(self.keys)} cells are not in this sweep: its flags, its files or the code "
                "have changed since. Submit it again."
            )
        return found


def _seen(file: Path) -> Path:
    """A file in the cache folder by which a task sees whether it has the same cache folder."""
    return cache_dir() / f"submitted-{file.parent.name}"


def part_named(text: str) -> Part:
    """Return the part of a sweep that `FILE:I` or `FILE:report` names.

    Raises:
        UserError: no such file or task.
    """
    name, colon, which = text.rpartition(":")
    if not colon or not (which == REPORT or (which.isascii() and which.isdigit())):
        raise UserError(f"--task {text}: write FILE:I, with the number of a task from 0.")
    file = Path(name)
    try:
        tasks = load_json(read_text(file, _LARGEST))["tasks"]
        keys = [frozenset(str(key) for key in row) for row in tasks]
    except FileNotFoundError:
        raise UserError(
            f"{file} is not on {platform.node()}: the folder of results must be on storage that "
            "all nodes share; name it with --out."
        ) from None
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise UserError(f"{file} cannot be read as a file of tasks ({error}).") from error
    if which == REPORT:
        return Part(file, which, frozenset())
    if not _seen(file).exists():
        _log.warning(
            "The cache folder %s is not the one of the machine that submitted the task: features "
            "are computed on each node. Set %s=DIR to a folder that all nodes share.",
            cache_dir(),
            ENVIRONMENT_VARIABLE,
        )
    if int(which) >= len(keys):
        raise UserError(f"--task {text}: there are {counted(len(keys), 'task')}, from 0.")
    return Part(file, which, keys[int(which)])
